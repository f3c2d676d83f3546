//! Is every mistake answered by a sentence that says what to do, with the right exit code and nothing half-done?

use proof::erp::Erp;
use proof::site::{Ran, Site};
use proof::sql;
use serde_json::json;

use crate::site;

/// What is typed, the exit code, and a part of the sentence.
type Row = (&'static [&'static str], i32, &'static str);

const ROWS: &[Row] = &[
    (&[], 2, "Usage"),
    (&["frobnicate"], 2, "unrecognized subcommand"),
    (&["sync", "--tenant", "Nobody"], 2, "Nobody"),
    (&["sync"], 2, "--tenant"),
    (&["sync", "--tenant", "Alfa", "--kind", "ponies"], 2, "contacts"),
    (&["sync", "--tenant", "Alfa", "--direction", "sideways"], 2, "from-metakocka"),
    (&["sync", "--tenant", "Alfa", "--tenant", "Alfa"], 2, "named twice"),
    (&["sync", "--tenant", "Alfa", "--ids", "a,,b"], 2, "empty id"),
    (&["sync", "--tenant", "Alfa", "--plugin", "missing.wasm"], 2, "missing.wasm"),
    (&["sync", "--tenant", "Alfa", "--plugin", "notes.txt"], 2, "component"),
    (&["sync", "--tenant", "Alfa", "--plan", "missing.json"], 2, "missing.json"),
    (&["sync", "--tenant", "Alfa", "--plan", "notes.txt"], 2, "is no plan"),
    (&["sync", "--tenant", "Alfa", "--ids", "no-such-record"], 1, "Metakocka has no partner with this id"),
    (&["sync", "--tenant", "Unconnected"], 2, "connect"),
    (&["plan", "--tenant", "Unconnected"], 2, "connect"),
    (&["test-connection", "--tenant", "Unconnected"], 2, "connect"),
    (&["tenant", "add", "Alfa"], 2, "already a tenant with this name"),
    (&["tenant", "add", ""], 2, "name"),
    (&["tenant", "add", "New", "--organization", "not-a-uuid"], 2, "--organization"),
    (&["settings", "set", "--tenant", "Alfa", "contacts.colour", "red"], 2, "settings list"),
    (&["settings", "set", "--tenant", "Alfa", "contacts.direction", "both"], 2, "bidirectional"),
    (&["settings", "set", "--tenant", "Alfa", "contacts.policy.shoe_size", "crm"], 2, "fields with a policy"),
    (&["settings", "set", "--tenant", "Alfa", "contacts.policy.phone", "coin"], 2, "manual"),
    (&["settings", "set", "--tenant", "Alfa", "create.settle-seconds", "-1"], 2, "unexpected argument"),
    (&["settings", "set", "--tenant", "Alfa", "limits.guest-memory-mib", "lots"], 2, "whole number"),
    (&["settings", "get", "--tenant", "Alfa", "nothing"], 2, "nothing"),
    (&["conflicts", "resolve", "--tenant", "Alfa", "--id", "x", "--take", "crm"], 2, "conflicts list"),
    (&["conflicts", "resolve", "--tenant", "Alfa", "--id", "x", "--take", "mine"], 2, "metakocka"),
    (&["quarantine", "retry", "--tenant", "Alfa", "--id", "x"], 2, "quarantine list"),
    (
        &["crm", "delete", "--tenant", "Alfa", "--collection", "contacts", "--ids", "x"],
        2,
        "nothing was deleted",
    ),
    (&["crm", "export", "--tenant", "Alfa", "--collection", "ponies"], 2, "contacts"),
    (&["crm", "import", "--tenant", "Alfa", "--collection", "contacts", "missing.jsonl"], 2, "missing.jsonl"),
    (&["links", "--tenant", "Nobody"], 2, "Nobody"),
    (&["runs", "--tenant", "Nobody"], 2, "Nobody"),
    (&["--store", "mysql:x", "tenant", "list"], 2, "sqlite:"),
    (&["--store", "sqlite:", "tenant", "list"], 2, "sqlite:"),
    (&["--store", "sqlite:missing/folder/h.db", "tenant", "list"], 2, "missing/folder"),
    (&["--store", "sqlite:notes.txt", "tenant", "list"], 2, "notes.txt"),
    (&["sandbox", "--listen", "nowhere"], 2, "--listen"),
    (&["component", "--out", "missing/folder/x.wasm"], 2, "missing/folder"),
];

/// A sentence, not a crash or a debug print.
fn readable(ran: &Ran) {
    let text = format!("{}{}", ran.out, ran.err);
    for sign in ["panicked", "RUST_BACKTRACE", "Err(", "Some(", "thread '"] {
        assert!(!text.contains(sign), "{sign} in {ran}");
    }
    assert!(!ran.err.trim().is_empty() || ran.code == 1, "no word on standard error: {ran}");
}

#[test]
fn every_mistake_is_answered_by_a_sentence() {
    let (erp, site) = (Erp::with(3, 1), site());
    let id = site.tenant("Alfa", &erp);
    let _ = site.json(&["tenant", "add", "Unconnected"]);
    std::fs::write(site.path("notes.txt"), "these are notes\n".repeat(100)).unwrap();
    let before = sql::everything_of(
        &site.store(),
        &id,
        &["metakocka_sync_runs", "metakocka_integration_logs", "metakocka_credentials"],
    );
    let mut wrong = Vec::new();
    for (args, code, part) in ROWS {
        let ran = site.run(args);
        readable(&ran);
        if ran.code != *code || !format!("{}{}", ran.out, ran.err).contains(part) {
            wrong.push(format!("wanted exit {code} and {part:?}: {ran}"));
        }
        // With --json there is one document on standard output, whatever happens.
        let ran = site.run(&[*args, &["--json"]].concat());
        if ran.code != *code || serde_json::from_str::<serde_json::Value>(&ran.out).is_err() {
            wrong.push(format!("--json: wanted exit {code} and one document: {ran}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), ROWS.len(), wrong.join("\n====\n"));
    let after = sql::everything_of(
        &site.store(),
        &id,
        &["metakocka_sync_runs", "metakocka_integration_logs", "metakocka_credentials"],
    );
    assert_eq!(after, before, "nothing was half-done");
    assert!(erp.writes_since(0).is_empty());
}

#[test]
fn bad_lines_are_numbered_and_nothing_of_them_is_stored() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let lines = "{\"id\":\"good-1\",\"company\":\"Ena\"}\n\
                 {\"id\":\"broken\",\n\
                 {\"id\":\"bad-1\",\"phone\":41}\n\
                 {\"company\":\"brez id\"}\n\
                 {\"id\":\"good-1\",\"company\":\"še enkrat\"}\n\
                 {\"id\":\"good-2\",\"company\":\"Dve\"}\n";
    let import = ["crm", "import", "--tenant", "Alfa", "--collection", "contacts"];
    let ran = site.run_with_input(&import, lines).exits(1);
    readable(&ran);
    for line in ["line 2", "line 3", "line 4", "line 5", "--keep-good"] {
        assert!(ran.err.contains(line), "{line}: {ran}");
    }
    assert!(site.export("Alfa").is_empty(), "all or nothing");
    let ran = site.run_with_input(&[&import[..], &["--keep-good", "--json"]].concat(), lines).exits(1);
    let answer = ran.json();
    assert_eq!((&answer["imported"], &answer["success"]), (&2.into(), &false.into()), "{ran}");
    let numbers: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    let ids: Vec<_> =
        site.export("Alfa").iter().map(|contact| contact["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["good-1", "good-2"]);
}

/// Runs `connect` with this secret.
fn connect(site: &Site, url: &str, company: &str, secret: Option<&str>, allow: &str) -> Ran {
    let mut command =
        site.command(&["connect", "--tenant", "Alfa", "--base-url", url, "--company-id", company]);
    command.env("HARNESS_ALLOW_HOSTS", allow);
    if let Some(secret) = secret {
        command.env("HARNESS_SECRET_KEY", secret);
    }
    site.finish(command, None)
}

#[test]
fn connections_that_make_no_sense_are_refused_at_once() {
    let site = site();
    let _ = site.json(&["tenant", "add", "Alfa"]);
    for (url, company, secret, allow, part) in [
        ("not a url", "1", Some("s"), "", "URL"),
        ("ftp://erp.example/rest/eshop/", "1", Some("s"), "", "http"),
        ("http://127.0.0.1:9/rest/eshop/", "1", Some("s"), "", "HARNESS_ALLOW_HOSTS"),
        ("https://127.0.0.1:9/rest/eshop/", "1", Some("s"), "", "HARNESS_ALLOW_HOSTS"),
        ("https://[::1]/rest/eshop/", "1", Some("s"), "", "HARNESS_ALLOW_HOSTS"),
        ("https://user:pass@erp.example/rest/eshop/", "1", Some("s"), "", "user name or password"),
        ("https://main.metakocka.si/rest/eshop/", " ", Some("s"), "", "--company-id"),
        ("https://main.metakocka.si/rest/eshop/", "1", Some("  "), "", "secret key is empty"),
        ("https://main.metakocka.si/rest/eshop/", "1", None, "", "--secret-file"),
    ] {
        let ran = connect(&site, url, company, secret, allow);
        readable(&ran);
        assert_eq!(ran.code, 2, "{url}: {ran}");
        assert!(ran.err.contains(part), "{part:?} for {url}: {ran}");
    }
    assert!(sql::texts(&site.store(), "SELECT company_id FROM metakocka_credentials").is_empty());
}

/// Nobody there, another program there, a wrong key, a wrong family of paths: one sentence each, few calls, exit 1.
#[test]
fn an_erp_that_does_not_answer_as_it_should_ends_the_run_early() {
    let erp = Erp::with(5, 1);
    let at = erp.running();
    let html = json!([{ "match": "*", "fault": "html-page" }]);
    let none = json!([]);
    for (what, url, secret, rules, part) in [
        ("nobody", nobody().as_str(), "some-secret", &none, "reached"),
        ("wrong key", at.base_url.as_str(), "wrong-secret", &none, "secret"),
        ("a page", at.base_url.as_str(), at.secret_key.as_str(), &html, "web page"),
        (
            "a wrong path",
            &at.base_url.replace("/rest/eshop", "/rest/shop"),
            &at.secret_key,
            &none,
            "base URL",
        ),
    ] {
        let site = site();
        let _ = site.json(&["tenant", "add", "Alfa"]);
        site.set("Alfa", "retry.max-retries", "1");
        site.set("Alfa", "retry.base-delay-ms", "1");
        site.import("Alfa", &proof::records::contacts(30));
        erp.faults(rules.clone());
        let _ = connect(&site, url, &at.company_id, Some(secret), "127.0.0.1").exits(0);
        let before = erp.newest();
        for direction in ["from-metakocka", "to-metakocka"] {
            let ran = site.try_sync("Alfa", direction).exits(1);
            readable(&ran);
            let result = ran.json();
            let why = result["stopped"]["message"]
                .as_str()
                .unwrap_or_else(|| panic!("{what} {direction} stops: {ran}"));
            println!("{what}, {direction}: {why}");
            assert!(why.contains(part), "{part:?} for {what} {direction}: {why}");
            assert_eq!((&result["created"], &result["updated"]), (&0.into(), &0.into()), "{ran}");
        }
        let calls = erp.sandbox().requests(before).len();
        println!("{what}: {calls} calls");
        assert!(calls <= 20, "{what}: {calls} calls to an ERP in trouble");
        let ran = site.run(&["test-connection", "--tenant", "Alfa"]).exits(1);
        readable(&ran);
        assert!(ran.err.contains("Alfa"), "{ran}");
        assert!(erp.writes_since(0).is_empty(), "{what}");
    }
}

/// An address where nobody listens.
fn nobody() -> String {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/rest/eshop/", taken.local_addr().unwrap())
}

/// A mistyped address leaves nothing behind that keeps the right one out: nothing was ever sent there.
#[test]
fn a_wrong_address_can_be_put_right() {
    let (erp, site) = (Erp::with(0, 1), site());
    let _ = site.json(&["tenant", "add", "Alfa"]);
    site.set("Alfa", "retry.max-retries", "0");
    site.import("Alfa", &proof::records::contacts(3));
    let at = erp.running();
    let _ = connect(&site, &nobody(), &at.company_id, Some(&at.secret_key), "127.0.0.1").exits(0);
    let _ = site.try_sync("Alfa", "to-metakocka").exits(1);
    let _ = connect(&site, &at.base_url, &at.company_id, Some(&at.secret_key), "127.0.0.1").exits(0);
    let good = site.sync("Alfa", "to-metakocka");
    assert_eq!(good["metakocka"]["created"], 3, "{good:#}");
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let site = site();
    let _ = site.json(&["tenant", "add", "Alfa"]);
    let newer = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
                 VALUES (9999, 'from the future', '2099-01-01', 1, x'00', 0)";
    assert_eq!(sql::execute(&site.store(), newer), 1);
    for args in [&["tenant", "list"][..], &["tenant", "add", "Beta"]] {
        let ran = site.run(args).exits(2);
        readable(&ran);
        assert!(ran.err.contains("newer"), "{ran}");
    }
    assert_eq!(sql::texts(&site.store(), "SELECT name FROM tenants"), ["Alfa"]);
}

/// With `--ids` nothing else is looked at, and never a whole list.
#[test]
fn single_records_never_read_the_whole_list() {
    let (erp, site) = (Erp::with(40, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    let (contact, partner) = site.links("Alfa").swap_remove(3);
    erp.edit(&partner, json!({ "registration_number": "1212121000" }));
    for id in [&contact, &partner] {
        let before = erp.newest();
        let result = site.json(&["sync", "--tenant", "Alfa", "--ids", id]);
        assert!(result["seen"].as_u64().unwrap() <= 1, "{result:#}");
        let requests = erp.sandbox().requests(before);
        assert_eq!(requests.len(), 1, "{requests:#?}");
        assert_eq!(requests[0]["request"]["partner_id"], partner.as_str(), "{requests:#?}");
    }
    assert_eq!(site.contact("Alfa", &contact)["registration_number"], "1212121000");
}
