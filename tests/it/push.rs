//! Do contacts become partners, as they are, once, in as few calls as possible, and only when that is wanted?

use std::collections::HashMap;

use proof::erp::Erp;
use proof::reading::{columns_of, contact_of, without_split_names};
use proof::records::contacts;
use proof::site::wrote_nothing;
use serde_json::{Value, json};

use crate::site;

#[test]
fn five_hundred_contacts_become_partners_field_by_field() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    site.import("Alfa", &contacts(500));
    let result = site.sync("Alfa", "to-metakocka");
    assert_eq!(result["metakocka"]["created"], 500, "{result:#}");
    assert_eq!(result["failed"], 0, "{result:#}");
    let made = result["calls"]["made"].as_u64().unwrap();
    assert!(made <= 3 * 500, "{made} calls for 500 creates");
    assert_eq!(erp.sandbox().requests(0).len() as u64, made, "the report counts what the ERP sees");
    assert_eq!(result["calls"]["made"], result["calls"]["least"], "{result:#}");

    let partners: HashMap<String, Value> = erp
        .partners()
        .into_iter()
        .map(|partner| (partner["mk_id"].as_str().unwrap().to_owned(), partner))
        .collect();
    let links: HashMap<String, String> = site.links("Alfa").into_iter().collect();
    assert_eq!((partners.len(), links.len()), (500, 500));
    for contact in site.export("Alfa") {
        let partner = &partners[&links[contact["id"].as_str().unwrap()]];
        // The CRM's own columns for first and last name are one name over there.
        let (wanted, got) = (columns_of(&contact), contact_of(partner));
        assert_eq!(without_split_names(wanted), without_split_names(got), "{contact:#}\n{partner:#}");
        assert_eq!(partner["buyer"], "true", "else it cannot be used on sales documents");
        assert_eq!(partner["partner_contact_list"].as_array().unwrap().len(), 1, "{partner:#}");
        assert_eq!(partner["partner_delivery_address_list"].as_array().unwrap().len(), 1, "{partner:#}");
    }
    assert_eq!(erp.duplicates(), 0);

    let before = erp.newest();
    wrote_nothing(&site.sync("Alfa", "to-metakocka"));
    assert!(erp.writes_since(before).is_empty());
    // Nor is what was sent news when it is read.
    wrote_nothing(&site.sync("Alfa", "bidirectional"));
    assert!(erp.writes_since(before).is_empty());
}

#[test]
fn without_a_direction_nothing_is_written_to_metakocka() {
    let (erp, site) = (Erp::with(20, 1), site());
    site.tenant("Alfa", &erp);
    site.import("Alfa", &contacts(10));
    let _ = site.json(&["sync", "--tenant", "Alfa", "--kind", "contacts"]);
    let _ = site.json(&["sync", "--tenant", "Alfa", "--kind", "contacts"]);
    assert!(erp.writes_since(0).is_empty());
    assert_eq!(site.links("Alfa").len(), 20, "reading took place");
    // An edit of a linked contact neither: it is held.
    let linked = &site.links("Alfa")[0].0;
    let mut contact = site.contact("Alfa", linked);
    contact["phone"] = json!("01 999 99 99");
    for stamped in ["createdat", "updatedat"] {
        contact.as_object_mut().unwrap().remove(stamped);
    }
    for stamped in ["tenant_id", "user_id", "organization_id", "revision"] {
        contact.as_object_mut().unwrap().remove(stamped);
    }
    site.import("Alfa", &[contact]);
    let held = site.json(&["sync", "--tenant", "Alfa", "--kind", "contacts"]);
    assert_eq!(held["held"], 1, "{held:#}");
    assert!(erp.writes_since(0).is_empty());
    assert_eq!(site.contact("Alfa", linked)["phone"], "01 999 99 99", "the edit stays");
}

#[test]
fn all_problems_of_a_contact_are_named_at_once_and_its_neighbours_go_on() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let mut two = contacts(2);
    two.push(json!({ "id": "bad", "email": "kdo@nihce.example", "tax_number": "x".repeat(60) }));
    site.import("Alfa", &two);
    let ran = site.try_sync("Alfa", "to-metakocka");
    let result = ran.json();
    assert_eq!(result["metakocka"]["created"], 2, "{ran}");
    assert_eq!(erp.writes_since(0).len(), 2, "a record that is not complete is not tried");
    let rows = site.json(&["quarantine", "list", "--tenant", "Alfa"]);
    let [row] = rows.as_array().unwrap().as_slice() else { panic!("{rows:#}") };
    assert_eq!(row["crm_id"], "bad");
    let reason = row["reason"].as_str().unwrap();
    for problem in ["name", "street", "postal_code", "city", "tax_number"] {
        assert!(reason.contains(problem), "{problem} in: {reason}");
    }
    // The same record is not tried again by itself, and a mended one is.
    let again = site.try_sync("Alfa", "to-metakocka").json();
    assert_eq!(again["metakocka"]["created"], 0, "{again:#}");
    site.import(
        "Alfa",
        &[json!({ "id": "bad", "firstname": "Kdo", "email": "kdo@nihce.example", "street": "Pot 1",
            "postal_code": "1000", "city": "Ljubljana" })],
    );
    let mended = site.sync("Alfa", "to-metakocka");
    assert_eq!(mended["metakocka"]["created"], 1, "{mended:#}");
    assert_eq!(mended["quarantined"], 0, "{mended:#}");
}

/// Creating in the ERP: a partner that is there is adopted; one that belongs to somebody is not stolen and not doubled.
#[test]
fn what_is_already_in_metakocka_is_linked_not_doubled() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let address =
        json!([{ "address_type": "Račun", "street": "Ulica 1", "post_number": "1000", "city": "Ljubljana" }]);
    let partner = |name: &str, tax: &str| {
        erp.create(json!({ "customer": name, "business_entity": "true", "tax_id_number": tax,
            "partner_delivery_address_list": address.clone() }))
    };
    let free = partner("Prosta d.o.o.", "SI11111111");
    let (_, _) = (partner("Dvojna d.o.o.", "SI22222222"), partner("Dvojna d.o.o.", "SI22222222"));
    let contact = |id: &str, name: &str, tax: &str| json!({ "id": id, "company": name, "tax_number": tax, "street": "Ulica 1", "postal_code": "1000", "city": "Ljubljana" });
    site.import(
        "Alfa",
        &[contact("c-free", "Prosta d.o.o.", "SI11111111"), contact("c-two", "Dvojna d.o.o.", "SI22222222")],
    );
    let result = site.try_sync("Alfa", "to-metakocka").json();
    assert_eq!(result["metakocka"]["created"], 0, "{result:#}");
    assert_eq!((&result["linked"], &result["parked"]), (&1.into(), &1.into()), "{result:#}");
    assert_eq!(site.links("Alfa"), [("c-free".to_owned(), free)]);
    // Somebody makes a second contact with the key of a linked one.
    site.import("Alfa", &[contact("c-thief", "Prosta d.o.o.", "SI11111111")]);
    let result = site.try_sync("Alfa", "to-metakocka").json();
    assert_eq!(result["metakocka"]["created"], 0, "{result:#}");
    let rows = site.json(&["quarantine", "list", "--tenant", "Alfa"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["crm_id"] == "c-thief").unwrap();
    assert_eq!((&row["status"], &row["code"]), (&"needs_review".into(), &"partner-already-linked".into()));
    assert_eq!(erp.partners().len(), 3);
    assert!(erp.writes_since(0).is_empty());
}
