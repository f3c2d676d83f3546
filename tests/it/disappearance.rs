//! What happens when partners are gone - or only seem to be?

use proof::erp::Erp;
use proof::site::{Site, wrote_nothing};
use proof::sql;
use serde_json::json;

use crate::site;

/// Tables that tell of runs, which also happen when nothing changes.
const RUNS: [&str; 3] = ["metakocka_sync_runs", "metakocka_integration_logs", "metakocka_credentials"];

fn imported(partners: usize) -> (Erp, Site, String) {
    let (erp, site) = (Erp::with(partners, 5), site());
    let id = site.tenant("Alfa", &erp);
    site.set("Alfa", "retry.max-retries", "0");
    let _ = site.sync("Alfa", "from-metakocka");
    (erp, site, id)
}

#[test]
fn a_deleted_partner_leaves_an_inactive_contact_with_everything_else_kept() {
    let (erp, site, _) = imported(40);
    let (contact, partner) = site.links("Alfa").swap_remove(11);
    let edit = format!(
        "UPDATE contacts SET notes = 'beleženo', custom = '{{\"loyalty\":7}}' WHERE id = '{contact}'"
    );
    assert_eq!(sql::execute(&site.store(), &edit), 1);
    let before = site.contact("Alfa", &contact);
    erp.delete(&partner);
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!((&result["deactivated"], &result["crm"]["deactivated"]), (&1.into(), &1.into()), "{result:#}");
    let mut after = site.contact("Alfa", &contact);
    assert_eq!(after["status"], "inactive");
    after["status"] = json!("active");
    after["updatedat"] = before["updatedat"].clone();
    assert_eq!(after, before, "nothing but the status has changed");
    assert_eq!(site.links("Alfa").len(), 40, "the link is kept");
    assert_eq!(site.export("Alfa").iter().filter(|contact| contact["status"] == "inactive").count(), 1);
    wrote_nothing(&site.sync("Alfa", "from-metakocka"));
    // Nor does a deleted partner come back because its contact is edited.
    assert_eq!(
        sql::execute(&site.store(), &format!("UPDATE contacts SET phone = '1' WHERE id = '{contact}'")),
        1
    );
    let _ = site.try_sync("Alfa", "bidirectional");
    assert_eq!(erp.partners().len(), 39);
}

#[test]
fn a_third_gone_at_once_stops_the_run_before_it_changes_anything() {
    let (erp, site, tenant) = imported(200);
    for (_, partner) in site.links("Alfa").iter().take(60) {
        erp.delete(partner);
    }
    // Something that would change, were the run not stopped.
    let (_, kept) = &site.links("Alfa")[100];
    erp.edit(kept, json!({ "registration_number": "1111111000" }));
    let before = sql::everything_of(&site.store(), &tenant, &RUNS);
    for _ in 0..2 {
        let ran = site.try_sync("Alfa", "bidirectional").exits(1);
        let result = ran.json();
        assert_eq!(result["stopped"]["code"], "mass-deactivation", "{ran}");
        let why = result["stopped"]["message"].as_str().unwrap();
        assert!(why.contains("60 of 200") && why.contains("--allow-mass-deactivation"), "{why}");
        assert_eq!(sql::everything_of(&site.store(), &tenant, &RUNS), before, "nothing has changed");
        assert!(erp.writes_since(0).is_empty());
    }
    let yes = ["sync", "--tenant", "Alfa", "--direction", "from-metakocka", "--allow-mass-deactivation"];
    let result = site.json(&yes);
    assert_eq!((&result["deactivated"], &result["updated"]), (&60.into(), &1.into()), "{result:#}");
}

/// At most a tenth, or fewer than five: people do delete partners.
#[test]
fn a_few_are_no_mass() {
    for (partners, deleted) in [(200, 20), (12, 4)] {
        let (erp, site, _) = imported(partners);
        for (_, partner) in site.links("Alfa").iter().take(deleted) {
            erp.delete(partner);
        }
        let result = site.sync("Alfa", "from-metakocka");
        assert_eq!(result["deactivated"], deleted, "{result:#}");
    }
}

/// A list that is not whole proves nothing.
#[test]
fn a_cut_list_deactivates_nobody() {
    let (erp, site, tenant) = imported(30);
    let before = sql::everything_of(&site.store(), &tenant, &RUNS);
    for fault in ["truncated-json", "cut-body", "html-page", "http-500", "opr-1-without-commit"] {
        erp.faults(json!([{ "match": "get_partner", "fault": fault }]));
        let ran = site.try_sync("Alfa", "from-metakocka").exits(1);
        assert_eq!(ran.json()["deactivated"], 0, "{fault}: {ran}");
        assert_eq!(sql::everything_of(&site.store(), &tenant, &RUNS), before, "{fault}");
        println!("{fault}: {}", ran.json()["stopped"]["message"]);
    }
    // What announces more than it sends is whole JSON: what is there is taken, and nobody is missing.
    erp.faults(json!([{ "match": "get_partner", "fault": "count-mismatch", "rows": 3 }]));
    let ran = site.try_sync("Alfa", "from-metakocka").exits(0);
    assert!(ran.err.contains("announced another number"), "{ran}");
    assert_eq!((&ran.json()["seen"], &ran.json()["deactivated"]), (&27.into(), &0.into()), "{ran}");
    assert_eq!(sql::everything_of(&site.store(), &tenant, &RUNS), before, "count-mismatch");
    erp.faults(json!([]));
    wrote_nothing(&site.sync("Alfa", "from-metakocka"));
}

/// Being missing from the list is not enough: each one is asked for directly before its contact becomes inactive.
#[test]
fn a_missing_partner_is_asked_for_directly() {
    let (erp, site, _) = imported(30);
    let (_, partner) = site.links("Alfa").swap_remove(29);
    erp.delete(&partner);
    let result = site.sync("Alfa", "from-metakocka");
    assert_eq!(result["calls"]["made"], 2, "one scan, one direct look-up: {result:#}");
    assert_eq!(result["calls"]["least"], 2, "{result:#}");
    let asked = erp.sandbox().requests(0);
    assert_eq!(
        asked.last().unwrap()["request"]["partner_id"],
        partner.as_str(),
        "{:#}",
        asked.last().unwrap()
    );
}

/// When that look-up fails, nothing is known, and the contact stays as it is.
#[test]
fn without_an_answer_to_that_question_nobody_becomes_inactive() {
    let (erp, site, _) = imported(30);
    let (contact, partner) = site.links("Alfa").swap_remove(29);
    erp.delete(&partner);
    erp.faults(json!([{ "match": "get_partner", "fault": "http-500", "body_contains": "partner_id" }]));
    let _ = site.try_sync("Alfa", "from-metakocka");
    assert_eq!(site.contact("Alfa", &contact)["status"], "active");
    erp.faults(json!([]));
    assert_eq!(site.sync("Alfa", "from-metakocka")["deactivated"], 1);
}
