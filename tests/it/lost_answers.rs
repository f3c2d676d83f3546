//! When answers get lost, requests run late, or the harness is killed: is anything created twice, or not at all?

use std::collections::HashSet;

use proof::erp::{Erp, slow};
use proof::records::contacts;
use proof::site::{Site, wrote_nothing};
use proof::{seed, until};
use serde_json::{Value, json};

use crate::site;

const COUNT: usize = 200;

fn prepared(erp: &Erp) -> Site {
    let site = site();
    site.tenant("Alfa", erp);
    site.set("Alfa", "create.settle-seconds", "2");
    site.import("Alfa", &contacts(COUNT));
    site
}

/// Runs until nothing waits any more; the runs it took.
fn to_rest(site: &Site) -> u32 {
    for run in 1..=6 {
        let result = site.try_sync("Alfa", "to-metakocka").json();
        println!(
            "run {run}: created {}, waiting {}, failed {}, calls {}",
            result["metakocka"]["created"], result["waiting"], result["failed"], result["calls"]["made"]
        );
        if result["waiting"] == 0 && result["failed"] == 0 {
            return run;
        }
    }
    panic!("six runs were not enough to come to rest");
}

/// Every contact has a partner of its own, and no partner is a copy.
fn never_twice_never_lost(erp: &Erp, site: &Site) {
    assert_eq!(erp.duplicates(), 0, "duplicates");
    assert_eq!(erp.partners().len(), COUNT, "partners");
    let links = site.links("Alfa");
    let contacts: HashSet<&str> = links.iter().map(|(contact, _)| contact.as_str()).collect();
    let partners: HashSet<&str> = links.iter().map(|(_, partner)| partner.as_str()).collect();
    assert_eq!((contacts.len(), partners.len()), (COUNT, COUNT), "links");
    let there: HashSet<String> =
        erp.partners().iter().map(|partner| partner["mk_id"].as_str().unwrap().to_owned()).collect();
    assert!(partners.iter().all(|partner| there.contains(*partner)), "a link points nowhere");
    let outbox = proof::sql::texts(&site.store(), "SELECT contact_id FROM metakocka_outbox");
    assert!(outbox.is_empty(), "{outbox:?} left in the outbox");
    let before = erp.newest();
    wrote_nothing(&site.sync("Alfa", "bidirectional"));
    assert!(erp.writes_since(before).is_empty());
}

fn survives(rule: Value) {
    let mut rule = rule;
    rule["match"] = json!("add_partner");
    rule["probability"] = json!(0.1);
    rule["seed"] = json!(seed(20_261_123));
    let erp = Erp::with(0, 1);
    let site = prepared(&erp);
    erp.faults(json!([rule]));
    let runs = to_rest(&site);
    let sent = erp.writes_since(0).len();
    let lost = erp
        .writes_since(0)
        .iter()
        .filter(|request| request["status"] != 200 || request["response"]["opr_code"].is_string())
        .count();
    println!("{rule}: at rest after {runs} runs, {sent} sends, {lost} of them without a good answer");
    assert!(lost > 0, "no answer was lost, so nothing is proved");
    erp.faults(json!([]));
    never_twice_never_lost(&erp, &site);
}

#[test]
fn answers_lost_after_the_commit() {
    survives(json!({ "fault": "commit-then-drop" }));
}

#[test]
fn requests_carried_out_late() {
    survives(json!({ "fault": "late-commit", "delay_ms": 700 }));
}

#[test]
fn requests_that_never_arrived() {
    survives(json!({ "fault": "drop-before" }));
}

#[test]
fn internal_errors_after_the_commit() {
    survives(json!({ "fault": "opr-1-after-commit" }));
}

#[test]
fn pages_of_a_proxy_after_the_commit() {
    survives(json!({ "fault": "http-502-after-commit" }));
}

/// The kills wait for what the ERP has seen, not for time: after so many creates were sent in all.
#[test]
fn kill_9_in_the_middle_five_times() {
    let erp = Erp::start(slow(0, 1));
    let site = prepared(&erp);
    let sent = || erp.writes_since(0).len();
    for target in [1, 20, 51, 90, 140] {
        let mut child = site.start(&["sync", "--tenant", "Alfa", "--direction", "to-metakocka", "--json"]);
        let mut ended = false;
        until("creates arrive", || {
            ended = child.try_wait().unwrap().is_some();
            ended || sent() >= target
        });
        // SIGKILL: nothing of the program gets a last word.
        let _ = child.kill();
        let _ = child.wait();
        println!("killed after {} creates were sent (already ended: {ended})", sent());
        assert!(!ended, "the run ended before {target} creates were sent, so nothing was killed");
    }
    to_rest(&site);
    never_twice_never_lost(&erp, &site);
}

/// A partner without any findable key is tried at most once; a person is told why.
#[test]
fn without_a_key_a_create_is_tried_at_most_once() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "create.settle-seconds", "1");
    site.import(
        "Alfa",
        &[json!({ "id": "keyless", "firstname": "Ana", "lastname": "Brez Ključa", "street": "Pot 1",
            "postal_code": "1000", "city": "Ljubljana" })],
    );
    erp.faults(json!([{ "match": "add_partner", "fault": "drop-before" }]));
    for _ in 0..3 {
        let _ = site.try_sync("Alfa", "to-metakocka");
    }
    erp.faults(json!([]));
    let _ = site.try_sync("Alfa", "to-metakocka");
    assert_eq!(erp.writes_since(0).len(), 1, "sent once, never again");
    let rows = site.json(&["quarantine", "list", "--tenant", "Alfa"]);
    assert_eq!(
        (&rows[0]["crm_id"], &rows[0]["code"]),
        (&"keyless".into(), &"outcome-unknown".into()),
        "{rows:#}"
    );
    assert!(rows[0]["reason"].as_str().unwrap().contains("never sent twice"), "{rows:#}");
}

/// Updates whose answers are lost are looked at again, not repeated blindly, and rows are not doubled.
#[test]
fn lost_answers_of_updates() {
    let erp = Erp::with(0, 1);
    let site = site();
    site.tenant("Alfa", &erp);
    site.set("Alfa", "create.settle-seconds", "1");
    site.import("Alfa", &contacts(20));
    let _ = site.sync("Alfa", "bidirectional");
    let edited =
        proof::sql::execute(&site.store(), "UPDATE contacts SET phone = '01 777 0' || substr(id, -2)");
    assert_eq!(edited, 20);
    erp.faults(json!([{ "match": "update_partner", "fault": "commit-then-drop", "every": 3 }]));
    for _ in 0..4 {
        let _ = site.try_sync("Alfa", "bidirectional");
    }
    erp.faults(json!([]));
    let _ = site.try_sync("Alfa", "bidirectional");
    for (contact, partner) in site.links("Alfa") {
        let partner = erp.partner(&partner);
        assert_eq!(partner["partner_contact_list"].as_array().unwrap().len(), 1, "{partner:#}");
        assert_eq!(
            proof::reading::contact_of(&partner).get("phone").unwrap().as_str(),
            site.contact("Alfa", &contact)["phone"].as_str().unwrap()
        );
    }
    let before = erp.newest();
    wrote_nothing(&site.sync("Alfa", "bidirectional"));
    assert!(erp.writes_since(before).is_empty());
}

/// A write whose outcome stays unknown is not repeated over and over within one run: what comes next is another run's business.
#[test]
fn an_update_that_is_never_answered_well_is_not_sent_in_a_loop() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "create.settle-seconds", "0");
    site.import("Alfa", &contacts(1));
    let _ = site.sync("Alfa", "bidirectional");
    assert_eq!(proof::sql::execute(&site.store(), "UPDATE contacts SET phone = '01 777 77 77'"), 1);
    erp.faults(json!([{ "match": "update_partner", "fault": "opr-1-without-commit" }]));
    // A loop ends here, and not after minutes.
    site.set("Alfa", "limits.http-calls", "40");
    let before = erp.newest();
    let _ = site.try_sync("Alfa", "bidirectional");
    site.set("Alfa", "limits.http-calls", "default");
    let sent = erp.writes_since(before).len();
    println!("{sent} updates sent in one run");
    assert!(sent <= 3, "{sent} updates sent in one run");
    erp.faults(json!([]));
    let _ = site.try_sync("Alfa", "bidirectional");
    let partner = erp.partner(&site.partner_of("Alfa", "person-00001"));
    assert_eq!(proof::reading::contact_of(&partner)["phone"], "01 777 77 77");
}
