//! Who is at work: one run at a time for a tenant and for an ERP company, whoever and wherever it is, and nobody else waits.

use std::process::{Child, Command};

use proof::erp::{Erp, slow};
use proof::records::contacts;
use proof::site::Site;
use proof::{sql, until};
use serde_json::json;

use crate::site;

const SYNC: [&str; 5] = ["sync", "--tenant", "Alfa", "--direction", "to-metakocka"];

/// A tenant with so many contacts to create, each call of the ERP taking a while.
fn at_work(count: usize, latency_ms: u64) -> (Erp, Site, Child) {
    let erp = Erp::start(slow(1, latency_ms));
    let site = site();
    site.tenant("Alfa", &erp);
    site.set("Alfa", "limits.lease-seconds", "5");
    site.set("Alfa", "create.settle-seconds", "1");
    site.import("Alfa", &contacts(count));
    let child = site.start(&SYNC);
    until("the run is at work", || erp.newest() > 0);
    (erp, site, child)
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn creates(erp: &Erp) -> usize {
    let writes = erp.writes_since(0);
    writes.iter().filter(|request| request["path"].as_str().unwrap().ends_with("add_partner")).count()
}

#[test]
fn a_second_run_is_told_who_is_at_work_and_short_commands_go_on() {
    let (_erp, site, mut first) = at_work(30, 200);
    let ran = site.run(&SYNC).exits(3);
    assert!(ran.err.contains(&format!("process {}", first.id())), "{ran}");
    assert!(ran.err.contains("apply contacts") && ran.err.contains("since 20"), "{ran}");
    let ran = site.run(&["sync", "--tenant", "Alfa", "--json"]).exits(3);
    assert_eq!(ran.json()["success"], false, "{ran}");
    for args in [
        &["links", "--tenant", "Alfa"][..],
        &["settings", "list", "--tenant", "Alfa"],
        &["settings", "set", "--tenant", "Alfa", "retry.max-retries", "2"],
        &["crm", "export", "--tenant", "Alfa", "--collection", "contacts"],
        &["tenant", "add", "Beta"],
        &["quarantine", "list", "--tenant", "Alfa"],
    ] {
        let _ = site.run(args).exits(0);
    }
    site.import(
        "Alfa",
        &[json!({ "id": "meanwhile", "company": "Medtem d.o.o.", "email": "m@medtem.example" })],
    );
    assert!(first.try_wait().unwrap().is_none(), "the first run was there all the time");
    // A killed one holds nothing, though nobody has asked yet how it ended.
    first.kill().unwrap();
    let ran = site.run(&SYNC);
    assert_ne!(ran.code, 3, "{ran}");
    first.wait().unwrap();
}

#[test]
fn who_waits_gets_its_turn() {
    let (erp, site, mut first) = at_work(6, 100);
    let ran = site.run(&[&SYNC[..], &["--wait", "60", "--json"]].concat()).exits(0);
    assert_eq!(ran.json()["metakocka"]["created"], 0, "the first run has created all: {ran}");
    assert!(first.wait().unwrap().success());
    assert_eq!((creates(&erp), erp.duplicates()), (6, 0));
}

/// Paused for longer than its lease, a run finds another one in its place and stores nothing any more.
#[test]
fn a_paused_run_that_was_overtaken_stores_nothing() {
    let (erp, site, mut first) = at_work(8, 150);
    signal(&first, "-STOP");
    let ran = site.run(&[&SYNC[..], &["--wait", "60", "--json"]].concat());
    assert_ne!(ran.code, 3, "{ran}");
    let rows = "SELECT contact_id || ' ' || metakocka_id || ' ' || revision FROM metakocka_contact_mappings ORDER BY 1";
    let links = sql::texts(&site.store(), rows);
    signal(&first, "-CONT");
    let ended = first.wait().unwrap();
    assert_eq!(ended.code(), Some(1), "it ends with an error");
    assert_eq!(sql::texts(&site.store(), rows), links, "nothing of it is stored");
    // What it had on its way is found, not doubled.
    let mut last = json!(null);
    for _ in 0..6 {
        last = site.try_sync("Alfa", "to-metakocka").json();
        if last["waiting"] == 0 && last["metakocka"]["created"] == 0 {
            break;
        }
    }
    assert_eq!((last["waiting"].clone(), last["failed"].clone()), (json!(0), json!(0)), "{last:#}");
    assert_eq!((erp.duplicates(), site.links("Alfa").len()), (0, 8));
}

/// Two tenants of one company never work at the same time, in one process or in two; and the one learns nothing of the other.
#[test]
fn two_tenants_of_one_company_go_one_after_the_other() {
    let (erp, site, mut first) = at_work(10, 150);
    site.tenant("Beta", &erp);
    let ran = site.run(&["sync", "--tenant", "Beta"]).exits(3);
    assert!(ran.err.contains("another tenant") && !ran.err.contains(&first.id().to_string()), "{ran}");
    assert!(!ran.err.contains("Alfa"), "{ran}");
    first.wait().unwrap();
    let both = site.json(&["sync", "--tenant", "Alfa", "--tenant", "Beta", "--direction", "from-metakocka"]);
    assert!(both.as_array().unwrap().iter().all(|result| result["success"] == true), "{both:#}");
}

/// A file of several names is one store: a symbolic link is followed, a second hard link is refused with what to do, and
/// whoever of two processes comes first makes every partner once.
#[test]
fn two_names_of_one_store() {
    for hard in [false, true] {
        let erp = Erp::start(slow(1, 30));
        let site = site();
        site.tenant("Alfa", &erp);
        site.import("Alfa", &contacts(20));
        let other = site.path("other.db");
        if hard {
            std::fs::hard_link(site.store(), &other).unwrap();
        } else {
            std::os::unix::fs::symlink(site.store(), &other).unwrap();
        }
        let name = format!("sqlite:{}", other.display());
        let mut first = site.start(&SYNC);
        until("the first run is at work", || erp.newest() > 0);
        let ran = site.run(&[&SYNC[..], &["--store", &name]].concat()).exits(if hard { 2 } else { 3 });
        if hard {
            assert!(ran.err.contains("hard link"), "{ran}");
            let _ = site.run(&["links", "--tenant", "Alfa", "--store", &name]).exits(2);
        }
        assert!(first.wait().unwrap().success(), "hard: {hard}");
        assert_eq!((creates(&erp), erp.duplicates(), site.links("Alfa").len()), (20, 0, 20), "hard: {hard}");
        let _ = site.run(&["links", "--tenant", "Alfa"]).exits(0);
        // Moved, it is a store all the same.
        let moved = site.path("moved.db");
        std::fs::remove_file(&other).unwrap();
        std::fs::rename(site.store(), &moved).unwrap();
        let _ = site.run(&["tenant", "list", "--store", &format!("sqlite:{}", moved.display())]).exits(0);
        let _ =
            site.run(&["tenant", "add", "Gama", "--store", &format!("sqlite:{}", moved.display())]).exits(0);
    }
}

#[test]
fn the_store_is_private_and_durable() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_erp, site, mut first) = at_work(20, 100);
    for name in ["harness.db", "harness.db-wal", "harness.db-shm", "harness.db.lock"] {
        let mode = std::fs::metadata(site.path("store").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(sql::texts(&site.store(), "PRAGMA journal_mode"), ["wal"]);
    first.kill().unwrap();
    first.wait().unwrap();
}
