//! Can one tenant's work be seen in another's records, tables, company or report?

use std::collections::HashSet;

use proof::erp::Erp;
use proof::records::contacts;
use proof::sql;
use serde_json::json;

use crate::site;

#[test]
fn whatever_happens_to_a_leaves_b_as_it_was() {
    let (erp_a, erp_b, site) = (Erp::with(50, 7), Erp::with(40, 7), site());
    let a = site.tenant("Alfa", &erp_a);
    let b = site.tenant("Beta", &erp_b);
    // The same seed and the same ids on both sides: only the tenant tells them apart.
    site.import("Alfa", &contacts(6));
    site.import("Beta", &contacts(6));
    for tenant in ["Alfa", "Beta"] {
        site.set(tenant, "create.settle-seconds", "1");
        let _ = site.sync(tenant, "bidirectional");
    }
    let rows = sql::everything_of(&site.store(), &b, &[]);
    let state = erp_b.sandbox().state();
    let requests = erp_b.newest();
    assert!(rows.len() > 90, "the dump holds B's rows: {}", rows.len());
    assert!(!rows.iter().any(|row| row.contains(&a)), "nothing of A is among them");

    // Edits, a conflict, lost answers, a deletion, a review, a refused connection, a broken plan, a mass deletion.
    site.set("Alfa", "contacts.policy.phone", "manual");
    let linked = site.partner_of("Alfa", "company-00002");
    assert_eq!(
        sql::execute(
            &site.store(),
            &format!("UPDATE contacts SET phone = '01 1' WHERE tenant_id = '{a}' AND id = 'company-00002'")
        ),
        1
    );
    erp_a.edit_phone(&linked, "01 222 22 22");
    erp_a.faults(json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 2 }]));
    site.import("Alfa", &contacts(12).split_off(6));
    site.import("Alfa", &[json!({ "id": "bad", "company": "Brez naslova" })]);
    let _ = site.try_sync("Alfa", "bidirectional");
    erp_a.faults(json!([]));
    let conflicts = site.json(&["conflicts", "list", "--tenant", "Alfa"]);
    let id = conflicts[0]["id"].as_str().unwrap();
    site.set("Alfa", "contacts.direction", "bidirectional");
    let _ = site.json(&["conflicts", "resolve", "--tenant", "Alfa", "--id", id, "--take", "crm"]);
    let _ = site.json(&[
        "crm",
        "delete",
        "--tenant",
        "Alfa",
        "--collection",
        "contacts",
        "--ids",
        "person-00001",
    ]);
    for (_, partner) in site.links("Alfa").iter().take(30) {
        if erp_a.partners().iter().any(|known| known["mk_id"] == partner.as_str()) {
            erp_a.delete(partner);
        }
    }
    let _ = site.try_sync("Alfa", "bidirectional").exits(1);
    let _ = site.run(&["plan", "--tenant", "Alfa", "--out", "plan.json"]);
    let _ = site.run(&["sync", "--tenant", "Alfa", "--allow-mass-deactivation", "--json"]);
    let _ = site.run(&["quarantine", "retry", "--tenant", "Alfa", "--json"]);

    assert_eq!(sql::everything_of(&site.store(), &b, &[]), rows, "B's tables");
    assert_eq!(erp_b.sandbox().state(), state, "B's company");
    assert_eq!(erp_b.newest(), requests, "B's company was not even asked");
    // Somebody else's ids lead nowhere.
    let theirs = site.links("Beta").iter().map(|(contact, _)| contact.clone()).collect::<HashSet<_>>();
    let foreign = theirs.iter().find(|id| !id.starts_with("company") && !id.starts_with("person")).unwrap();
    let ran = site.run(&["crm", "delete", "--tenant", "Alfa", "--collection", "contacts", "--ids", foreign]);
    assert_eq!(ran.code, 2, "{ran}");
    let ran = site.run(&["conflicts", "resolve", "--tenant", "Beta", "--id", id, "--take", "crm"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert_eq!(sql::everything_of(&site.store(), &b, &[]), rows, "B's tables");
}

#[test]
fn two_tenants_at_once_in_one_process_each_get_their_own() {
    let (erp_a, erp_b, site) = (Erp::with(120, 7), Erp::with(80, 11), site());
    site.tenant("Alfa", &erp_a);
    site.tenant("Beta", &erp_b);
    let results =
        site.json(&["sync", "--tenant", "Alfa", "--tenant", "Beta", "--direction", "from-metakocka"]);
    for (result, (name, count)) in results.as_array().unwrap().iter().zip([("Alfa", 120), ("Beta", 80)]) {
        assert_eq!((&result["tenant"], &result["created"]), (&name.into(), &count.into()), "{results:#}");
    }
    for (name, erp) in [("Alfa", &erp_a), ("Beta", &erp_b)] {
        let mine: HashSet<String> =
            erp.partners().iter().map(|partner| partner["mk_id"].as_str().unwrap().to_owned()).collect();
        let linked: HashSet<String> = site.links(name).into_iter().map(|(_, partner)| partner).collect();
        assert_eq!(mine, linked, "{name}");
    }
}

/// A tenant that has links does not slide over to another company.
#[test]
fn another_company_is_refused_while_there_are_links() {
    let (erp_a, erp_b, site) = (Erp::with(10, 7), Erp::with(10, 11), site());
    let id = site.tenant("Alfa", &erp_a);
    let _ = site.sync("Alfa", "from-metakocka");
    let before = sql::everything_of(&site.store(), &id, &[]);
    let ran = site.try_connect("Alfa", &erp_b).exits(2);
    assert!(ran.err.contains("Alfa"), "{ran}");
    println!("{}", ran.err.trim());
    assert_eq!(sql::everything_of(&site.store(), &id, &[]), before);
}
