//! Does a first import bring everything over, as it is, with the least calls, and is the second one quiet?

use std::collections::{HashMap, HashSet};

use proof::erp::Erp;
use proof::reading::{columns_of, contact_of};
use proof::site::wrote_nothing;

use crate::site;

#[test]
fn a_thousand_partners_arrive_field_by_field_and_the_second_run_is_quiet() {
    let (erp, site) = (Erp::with(1_000, 7), site());
    site.tenant("Alfa", &erp);
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!(result["created"], 1_000, "{result:#}");
    assert_eq!(result["failed"], 0, "{result:#}");
    assert_eq!(result["calls"]["made"], result["calls"]["least"], "{result:#}");
    assert_eq!(result["calls"]["made"], 1, "{result:#}");

    let partners = erp.partners();
    let contacts: HashMap<String, _> = site
        .export("Alfa")
        .into_iter()
        .map(|contact| (contact["id"].as_str().unwrap().to_owned(), contact))
        .collect();
    let links: HashMap<String, String> =
        site.links("Alfa").into_iter().map(|(contact, partner)| (partner, contact)).collect();
    assert_eq!((partners.len(), contacts.len(), links.len()), (1_000, 1_000, 1_000));
    let mut met = HashSet::new();
    for partner in &partners {
        let contact = &contacts[&links[partner["mk_id"].as_str().unwrap()]];
        assert!(met.insert(contact["id"].as_str().unwrap()), "two partners share a contact: {partner:#}");
        assert_eq!(columns_of(contact), contact_of(partner), "{partner:#}\n{contact:#}");
        assert_eq!(contact["status"], "active");
    }

    let before = erp.newest();
    let again = site.sync("Alfa", "from-metakocka");
    wrote_nothing(&again);
    assert_eq!(again["unchanged"], 1_000, "{again:#}");
    assert_eq!(again["calls"]["made"], 1, "{again:#}");
    assert_eq!(erp.sandbox().requests(before).len(), 1);
    assert!(erp.writes_since(0).is_empty(), "an import writes nothing to Metakocka");
}

/// Zero partners are an error for the vendor, and good news for us.
#[test]
fn an_empty_company_is_no_failure() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    wrote_nothing(&site.sync("Alfa", "from-metakocka"));
    assert!(site.export("Alfa").is_empty());
}

#[test]
fn one_changed_partner_is_one_changed_contact() {
    let (erp, site) = (Erp::with(60, 3), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    let before = site.export("Alfa");
    let partner = &erp.partners()[17];
    let mk_id = partner["mk_id"].as_str().unwrap();
    erp.edit(mk_id, serde_json::json!({ "registration_number": "7654321000" }));
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!(
        (&result["created"], &result["updated"], &result["unchanged"]),
        (&0.into(), &1.into(), &59.into())
    );
    let links = site.links("Alfa");
    let (edited, _) = links.iter().find(|(_, partner)| partner == mk_id).unwrap();
    for (old, new) in before.iter().zip(site.export("Alfa")) {
        if old["id"] == edited.as_str() {
            assert_eq!(new["registration_number"], "7654321000");
        } else {
            assert_eq!(*old, new);
        }
    }
}

/// Linking before creating: one unlinked contact with the key is the partner's, two are a question.
#[test]
fn what_is_already_in_the_crm_is_linked_not_doubled() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let company = |name: &str, tax: &str| {
        erp.create(serde_json::json!({
            "customer": name, "business_entity": "true", "buyer": "true", "tax_id_number": tax,
            "partner_delivery_address_list": [{ "address_type": "Račun", "street": "Ulica 1", "post_number": "1000", "city": "Ljubljana" }],
        }))
    };
    let (once, twice, never) =
        (company("Ena", "SI12312312"), company("Dve", "SI45645645"), company("Nič", "SI78978978"));
    site.import(
        "Alfa",
        &[
            // The same number, spelt differently.
            serde_json::json!({ "id": "c-1", "company": "Ena", "tax_number": "1231 2312" }),
            serde_json::json!({ "id": "c-2a", "company": "Dve", "tax_number": "SI45645645" }),
            serde_json::json!({ "id": "c-2b", "company": "Dve 2", "tax_number": "SI45645645" }),
        ],
    );
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!(
        (&result["linked"], &result["created"], &result["parked"]),
        (&1.into(), &1.into(), &1.into()),
        "{result:#}"
    );
    let links = site.links("Alfa");
    assert!(links.contains(&("c-1".to_owned(), once)), "{links:?}");
    assert!(links.iter().any(|(_, partner)| *partner == never), "{links:?}");
    assert!(
        !links.iter().any(|(_, partner)| *partner == twice),
        "an ambiguous partner is linked with nobody"
    );
    let review = site.json(&["quarantine", "list", "--tenant", "Alfa"]);
    assert_eq!(review[0]["metakocka_id"], twice.as_str(), "{review:#}");
    assert_eq!(site.export("Alfa").len(), 4);
}
