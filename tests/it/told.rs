//! Does the program say what was done, what is left, and what it does not know?

use proof::erp::Erp;
use proof::records::contacts;
use serde_json::{Value, json};

use crate::site;

#[test]
fn results_and_rows_name_the_records() {
    let (erp, site) = (Erp::with(3, 1), site());
    site.tenant("Alfa", &erp);
    site.import("Alfa", &contacts(2));
    let never = site.run(&["unsynced", "--tenant", "Alfa", "--json"]).exits(0);
    assert_eq!(never.json().as_array().unwrap().len(), 2, "{never}");
    assert!(never.err.contains("never read") && never.err.contains("2 without a counterpart"), "{never}");
    let never = site.run(&["unsynced", "--tenant", "Alfa"]).exits(0);
    assert!(never.out.contains("never read"), "{never}");

    let result = site.sync("Alfa", "bidirectional");
    assert_eq!((&result["taken"], &result["items_left_out"]), (&json!(0), &json!(0)), "{result:#}");
    let items = result["items"].as_array().unwrap();
    let links = site.links("Alfa");
    assert_eq!((items.len(), links.len()), (5, 5), "{result:#}");
    for item in items {
        assert_eq!(item["action"], "created", "{item:#}");
        let pair = (item["crm_id"].as_str().unwrap(), item["metakocka_id"].as_str().unwrap());
        assert!(links.iter().any(|(contact, partner)| pair == (contact, partner)), "{item:#}");
    }
    assert_eq!(items.iter().filter(|item| item["side"] == "metakocka").count(), 2, "{result:#}");

    let mut bad = contacts(3).pop().unwrap();
    bad["id"] = json!("bad");
    bad["country"] = json!("Atlantida");
    site.import("Alfa", &[bad]);
    let failed = site.try_sync("Alfa", "to-metakocka").exits(1).json();
    let error = &failed["errors"][0];
    assert_eq!((&error["crm_id"], &error["metakocka_id"]), (&json!("bad"), &Value::Null), "{failed:#}");
    assert_eq!(failed["items"][0]["action"], "failed", "{failed:#}");

    let unsynced = site.run(&["unsynced", "--tenant", "Alfa", "--json"]).exits(0);
    assert!(!unsynced.err.contains("never read"), "{unsynced}");
    let row = &unsynced.json()[0];
    assert_eq!((&row["crm_id"], &row["status"]), (&json!("bad"), &json!("error")), "{unsynced}");
    assert!(row["name"].is_string() && row["email"].is_string(), "{unsynced}");

    let runs = site.json(&["runs", "--tenant", "Alfa"]);
    assert_eq!(runs[0]["result"].get("items"), None, "{runs:#}");
}

#[test]
fn a_partner_that_waits_for_a_person_is_shown_with_its_name() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let twins: Vec<Value> = ["a", "b"]
        .into_iter()
        .map(|id| json!({ "id": id, "company": "Podjetje", "tax_number": "SI50000001", "status": "active" }))
        .collect();
    site.import("Alfa", &twins);
    let partner = erp.create(json!({
        "customer": "Podjetje d.o.o.", "business_entity": "true", "tax_id_number": "SI50000001",
        "supplier": "true",
        "partner_contact_list": [{ "name": "Ana", "email": "ana@podjetje.example", "phone": "01 1" }],
    }));
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!(result["items"][0]["action"], "parked", "{result:#}");
    let rows = site.json(&["unsynced", "--tenant", "Alfa"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["metakocka_id"] == *partner).unwrap();
    assert_eq!(
        (&row["name"], &row["email"], &row["phone"]),
        (&json!("Podjetje d.o.o."), &json!("ana@podjetje.example"), &json!("01 1"))
    );
    site.import("Alfa", &[json!({ "id": "b", "company": "Drugo", "tax_number": "SI50000002" })]);
    let _ = site.sync("Alfa", "from-metakocka");
    let links = site.json(&["links", "--tenant", "Alfa"]);
    assert_eq!(links[0]["metadata"]["metakocka"]["supplier"], "true", "{links:#}");
}
