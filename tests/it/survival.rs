//! Does everything nobody told us about survive: custom fields, fields of a partner we do not map, rows of its lists?

use proof::erp::Erp;
use proof::site::{Site, wrote_nothing};
use proof::sql;
use serde_json::{Value, json};

use crate::site;

const CONTACT: &str = "c-1";

/// One linked pair, with more on both sides than is mapped.
fn pair() -> (Erp, Site, String) {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let partner = erp.create(json!({
        "customer": "Polna d.o.o.", "business_entity": "true", "taxpayer": "true", "buyer": "true", "supplier": "true",
        "tax_id_number": "SI55555555",
        "partner_contact_list": [
            { "name": "Ana Prva", "email": "ana@polna.example", "phone": "01 100 10 00", "gsm": "041 100 100", "fax": "01 100 10 01" },
            { "name": "Bor Drugi", "email": "bor@polna.example", "gsm": "041 200 200" },
            { "name": "Cene Tretji" },
        ],
        "partner_delivery_address_list": [
            { "address_type": "Dobava", "street": "Skladišče 5", "post_number": "3000", "city": "Celje", "country": "Slovenija" },
            { "address_type": "Račun", "street": "Sedež 1", "post_number": "1000", "city": "Ljubljana", "country": "Slovenija", "payment_due_days": "30" },
            { "address_type": "Poslovna enota", "street": "Enota 3", "post_number": "2000", "city": "Maribor", "country": "Slovenija" },
        ],
    }));
    site.import(
        "Alfa",
        &[json!({
            "id": CONTACT, "company": "Polna d.o.o.", "tax_number": "SI55555555", "position": "direktorica", "notes": "kliči zjutraj",
            "personalitytype": "mirna", "website": "https://polna.example", "loyalty": { "points": 7, "tiers": ["a", "ž"] }, "vip": true, "score": 1.25,
        })],
    );
    let first = site.sync("Alfa", "bidirectional");
    assert_eq!(first["linked"], 1, "{first:#}");
    (erp, site, partner)
}

/// What the CRM has and Metakocka does not.
fn unmapped(contact: &Value) -> Value {
    let members =
        ["position", "notes", "personalitytype", "website", "loyalty", "vip", "score", "status", "createdat"];
    members
        .into_iter()
        .map(|member| (member.to_owned(), contact[member].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn rows(partner: &Value) -> (usize, usize) {
    (
        partner["partner_contact_list"].as_array().unwrap().len(),
        partner["partner_delivery_address_list"].as_array().unwrap().len(),
    )
}

#[test]
fn updates_in_both_directions_touch_what_they_name_and_nothing_else() {
    let (erp, site, mk_id) = pair();
    let contact = site.contact("Alfa", CONTACT);
    let partner = erp.partner(&mk_id);
    assert_eq!(contact["loyalty"], json!({ "points": 7, "tiers": ["a", "ž"] }));
    assert_eq!(contact["street"], "Sedež 1", "the billing address, not the first one");

    // From the CRM: e-mail, phone, street and name of the contact person.
    let edit = format!(
        "UPDATE contacts SET email = 'nova@polna.example', phone = '01 999 99 99', street = 'Novi sedež 2', \
         full_name = 'Ana Nova', firstname = 'Ana', lastname = 'Nova' WHERE id = '{CONTACT}'"
    );
    assert_eq!(sql::execute(&site.store(), &edit), 1);
    let result = site.sync("Alfa", "bidirectional");
    assert_eq!(result["metakocka"]["updated"], 1, "{result:#}");
    let mut expected = partner.clone();
    let person = &mut expected["partner_contact_list"][0];
    person["email"] = json!("nova@polna.example");
    person["phone"] = json!("01 999 99 99");
    person["name"] = json!("Ana Nova");
    expected["partner_delivery_address_list"][1]["street"] = json!("Novi sedež 2");
    let mut updated = erp.partner(&mk_id);
    // A contact row shows the street of its address, which the vendor keeps up to date itself.
    for partner in [&mut expected, &mut updated] {
        for person in partner["partner_contact_list"].as_array_mut().unwrap() {
            person.as_object_mut().unwrap().remove("contact_address");
        }
    }
    assert_eq!(updated, expected);

    // From Metakocka.
    erp.edit(&mk_id, json!({ "customer": "Polnejša d.o.o." }));
    erp.edit_row(&mk_id, "partner_contact_list", 1, json!({ "email": "bor2@polna.example" }));
    let result = site.sync("Alfa", "bidirectional");
    assert_eq!(
        (&result["crm"]["updated"], &result["metakocka"]["updated"]),
        (&1.into(), &0.into()),
        "{result:#}"
    );
    let after = site.contact("Alfa", CONTACT);
    assert_eq!(
        (&after["company"], &after["email"]),
        (&"Polnejša d.o.o.".into(), &"nova@polna.example".into())
    );
    assert_eq!(unmapped(&after), unmapped(&contact));
    assert_eq!(rows(&erp.partner(&mk_id)), (3, 3));
    wrote_nothing(&site.sync("Alfa", "bidirectional"));
}

/// Partners as the vendor has them, with keys no page of its documentation names: an update changes its field only.
#[test]
fn keys_nobody_knows_are_still_there_after_updates() {
    let (erp, site) = (Erp::with(40, 7), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "bidirectional");
    let before = erp.partners();
    let known = [
        "mk_id",
        "business_entity",
        "taxpayer",
        "foreign_county",
        "buyer",
        "supplier",
        "customer",
        "count_code",
        "tax_id_number",
        "registration_number",
        "partner_contact_list",
        "partner_delivery_address_list",
    ];
    let strange = before
        .iter()
        .filter(|partner| partner.as_object().unwrap().keys().any(|key| !known.contains(&key.as_str())))
        .count();
    println!("{strange} of 40 partners have keys nobody documents");
    assert!(strange > 0);
    let edit = "UPDATE contacts SET registration_number = substr('000000' || rowid, -7) || '000'";
    assert_eq!(sql::execute(&site.store(), edit), 40);
    let result = site.sync("Alfa", "bidirectional");
    assert_eq!(result["metakocka"]["updated"], 40, "{result:#}");
    for (mut old, mut new) in before.into_iter().zip(erp.partners()) {
        assert_ne!(old["registration_number"], new["registration_number"]);
        for partner in [&mut old, &mut new] {
            partner.as_object_mut().unwrap().remove("registration_number");
        }
        assert_eq!(old, new);
    }
}

#[test]
fn ten_updates_add_no_rows() {
    let (erp, site, mk_id) = pair();
    for round in 0..10 {
        let edit = format!(
            "UPDATE contacts SET phone = '01 300 00 0{round}', street = 'Ulica {round}', email = 'r{round}@polna.example', \
             full_name = 'Oseba {round}' WHERE id = '{CONTACT}'"
        );
        assert_eq!(sql::execute(&site.store(), &edit), 1);
        let direction = if round % 2 == 0 { "bidirectional" } else { "to-metakocka" };
        let result = site.sync("Alfa", direction);
        assert_eq!(result["metakocka"]["updated"], 1, "{round}: {result:#}");
    }
    let partner = erp.partner(&mk_id);
    assert_eq!(rows(&partner), (3, 3), "{partner:#}");
    assert_eq!(partner["partner_delivery_address_list"][1]["street"], "Ulica 9");
    assert_eq!(partner["partner_contact_list"][0]["name"], "Oseba 9");
}

/// The CRM is a program of its own: what it writes with its own SQL is a change like any other.
#[test]
fn plain_sql_of_the_crm_travels_like_any_other_change() {
    let (erp, site, mk_id) = pair();
    assert_eq!(
        sql::execute(&site.store(), &format!("UPDATE contacts SET city = 'Kamnik' WHERE id = '{CONTACT}'")),
        1
    );
    let tenant = sql::texts(&site.store(), "SELECT id FROM tenants").remove(0);
    let insert = format!(
        "INSERT INTO contacts (tenant_id, id, company, street, postal_code, city, tax_number) \
         VALUES ('{tenant}', 'by-sql', 'Sveža d.o.o.', 'Pot 1', '1000', 'Ljubljana', 'SI77777777')"
    );
    assert_eq!(sql::execute(&site.store(), &insert), 1);
    let result = site.sync("Alfa", "bidirectional");
    assert_eq!(
        (&result["metakocka"]["updated"], &result["metakocka"]["created"]),
        (&1.into(), &1.into()),
        "{result:#}"
    );
    assert_eq!(erp.partner(&mk_id)["partner_delivery_address_list"][1]["city"], "Kamnik");
    assert_eq!(erp.partner(&site.partner_of("Alfa", "by-sql"))["customer"], "Sveža d.o.o.");

    // A deletion in the CRM never deletes in the ERP.
    assert_eq!(sql::execute(&site.store(), "DELETE FROM contacts WHERE id = 'by-sql'"), 1);
    let _ = site.sync("Alfa", "bidirectional");
    let _ = site.sync("Alfa", "bidirectional");
    assert_eq!(erp.partners().len(), 2);
    assert!(
        !site.export("Alfa").iter().any(|contact| contact["company"] == "Sveža d.o.o."),
        "nor does it come back"
    );
    wrote_nothing(&site.sync("Alfa", "bidirectional"));
}
