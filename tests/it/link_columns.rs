//! What a link keeps beside its ids: is it shown, and does an export that shows it come back as it was?

use proof::erp::Erp;
use proof::sql;
use serde_json::{Value, json};

use crate::site;

#[test]
fn links_and_the_export_show_what_the_plugin_keeps_and_an_import_takes_no_notice() {
    let (erp, site) = (Erp::with(3, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    let (contact, _) = site.links("Alfa").swap_remove(1);
    let shown = json!({ "code": "77", "attributes": [{ "code": "barva", "value": "modra" }] });
    let metadata = json!({ "metakocka": shown, "other": 1 });
    let update = format!(
        "UPDATE metakocka_contact_mappings SET metadata = '{metadata}', crm_hash = 'h1', \
         crm_modified_at = '2026-11-23T08:30:00.000Z', sync_error = 'refused', sync_status = 'error' \
         WHERE contact_id = '{contact}'"
    );
    assert_eq!(sql::execute(&site.store(), &update), 1);

    let rows = site.json(&["links", "--tenant", "Alfa"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["crm_id"] == contact.as_str()).unwrap();
    assert_eq!(row["metadata"], metadata, "{row:#}");
    assert_eq!(row["crm_hash"], "h1", "{row:#}");
    assert_eq!(row["crm_modified_at"], "2026-11-23T08:30:00.000Z", "{row:#}");
    assert_eq!(row["sync_error"], "refused", "{row:#}");
    assert!(row["last_synced_at"].is_string(), "{row:#}");

    assert_eq!(site.contact("Alfa", &contact)["metakocka"], shown);
    site.import(
        "Alfa",
        &[json!({ "id": "unlinked", "company": "Brez d.o.o.", "metakocka": { "made": "up" } })],
    );
    assert!(site.contact("Alfa", "unlinked").get("metakocka").is_none(), "nothing to show without a link");
    let before = site.export("Alfa");

    let mut again = before.clone();
    again[0]["metakocka"] = json!({ "made": "up" });
    site.import("Alfa", &again);
    let untimed = |lines: Vec<Value>| -> Vec<Value> {
        lines
            .into_iter()
            .map(|mut line| {
                line.as_object_mut().unwrap().remove("updatedat");
                line
            })
            .collect()
    };
    assert_eq!(untimed(site.export("Alfa")), untimed(before));
    let custom = sql::texts(&site.store(), "SELECT coalesce(custom, '-') FROM contacts");
    assert!(custom.iter().all(|custom| !custom.contains("metakocka")), "{custom:?}");
}
