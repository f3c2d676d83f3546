//! Does a row that nobody can read concern itself only, and is it kept out at the door?

use proof::erp::Erp;
use proof::sql;
use serde_json::json;

use crate::site;

/// What plain SQL can leave in a contact, and the column that is to blame.
const SPOILED: &[(&str, &str)] = &[
    ("company = CAST(x'41ff42' AS TEXT)", "company"),
    ("company = x'41ff42'", "company"),
    ("notes = x''", "notes"),
    ("updatedat = x'00'", ""),
    (r#"custom = '{"mine":"\ud800"}'"#, "custom"),
    (r#"custom = '{"mine":'"#, "custom"),
    ("custom = x'7b'", "custom"),
];

#[test]
fn a_spoiled_contact_concerns_itself_only() {
    let (erp, site) = (Erp::with(4, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    let contacts = site.export("Alfa");
    let id = contacts[1]["id"].as_str().unwrap();
    let export = ["crm", "export", "--tenant", "Alfa", "--collection", "contacts"];
    for (set, column) in SPOILED {
        let update =
            format!("PRAGMA ignore_check_constraints = ON; UPDATE contacts SET {set} WHERE id = '{id}'");
        let _ = sql::execute(&site.store(), &update);
        if column.is_empty() {
            assert_eq!(site.export("Alfa").len(), contacts.len(), "{set}");
        } else {
            let ran = site.run(&export).exits(1);
            assert_eq!(ran.out.lines().count(), contacts.len() - 1, "{set}: {ran}");
            assert!(ran.err.contains(id) && ran.err.contains(&format!("{column}: ")), "{set}: {ran}");
        }
        for direction in ["from-metakocka", "to-metakocka"] {
            let ran = site.try_sync("Alfa", direction);
            let result = ran.json();
            assert!(result.get("stopped").is_none(), "{set}, {direction}: {ran}");
            assert_eq!(result["created"], 0, "{set}, {direction}: a second record: {ran}");
            assert_eq!(result["deactivated"], 0, "{set}, {direction}: it is not gone: {ran}");
        }
        assert_eq!(site.links("Alfa").len(), contacts.len(), "{set}");
        let mend = format!(
            "UPDATE contacts SET company = 'Mended d.o.o.', notes = NULL, custom = NULL, \
             updatedat = '2026-11-23T08:30:00.000Z' WHERE id = '{id}'"
        );
        assert_eq!(sql::execute(&site.store(), &mend), 1);
        assert_eq!(site.export("Alfa").len(), contacts.len(), "{set}: mended");
    }
}

/// A row whose id no question can hold is in quarantine, named as well as can be; the others do not notice, and when it goes,
/// the quarantine goes.
#[test]
fn an_id_that_is_no_text_hides_nobody_and_is_said() {
    let (erp, site) = (Erp::with(0, 1), site());
    let tenant = site.tenant("Alfa", &erp);
    let contact = |id: &str, company: &str| json!({ "id": id, "company": company, "street": "Vzorčna 5", "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija" });
    site.import("Alfa", &[contact("a", "Ena d.o.o."), contact("z", "Dve d.o.o.")]);
    let bad = ["'m' || char(0) || 'x'", "CAST(x'6dff' AS TEXT)", "x'6d'", "hex(zeroblob(300))"];
    for bad in bad {
        let insert =
            format!("INSERT INTO contacts (tenant_id, id, company) VALUES ('{tenant}', {bad}, 'Tri')");
        assert_eq!(sql::execute(&site.store(), &insert), 1);
    }
    let ran = site.run(&["crm", "export", "--tenant", "Alfa", "--collection", "contacts"]).exits(1);
    let ids: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "z"]);
    assert_eq!(ran.err.matches("$id:").count(), bad.len(), "{ran}");
    let result = site.try_sync("Alfa", "to-metakocka").exits(1).json();
    assert!(result.get("stopped").is_none(), "{result:#}");
    assert_eq!(
        (&result["metakocka"]["created"], &result["quarantined"]),
        (&2.into(), &bad.len().into()),
        "{result:#}"
    );
    let rows = site.json(&["quarantine", "list", "--tenant", "Alfa"]);
    for row in rows.as_array().unwrap() {
        let (id, reason) = (row["crm_id"].as_str().unwrap(), row["reason"].as_str().unwrap());
        assert!(
            id.starts_with("$id:") && reason.contains("id: no text") && reason.contains("revision"),
            "{row:#}"
        );
    }
    for direction in ["bidirectional", "from-metakocka"] {
        let result = site.sync("Alfa", direction);
        assert_eq!((&result["created"], &result["failed"]), (&0.into(), &0.into()), "{result:#}");
    }
    let gone = sql::execute(&site.store(), "DELETE FROM contacts WHERE company = 'Tri'");
    assert_eq!(gone, bad.len() as u64);
    let result = site.sync("Alfa", "to-metakocka");
    assert_eq!(result["quarantined"], 0, "{result:#}");
    assert_eq!(site.export("Alfa").len(), 2);
}

/// A spoiled row of the plugin's own: the run stops and says which, or goes on without harm; nothing is made twice.
#[test]
fn a_spoiled_row_of_the_plugin_never_becomes_a_duplicate() {
    for (table, set) in [
        ("metakocka_contact_mappings", "base_snapshot = '{\"a\":\"\\ud800\"}'"),
        ("metakocka_contact_mappings", "base_snapshot = '{'"),
        ("metakocka_contact_mappings", "sync_error = x'00'"),
        ("metakocka_contact_mappings", "mk_hash = CAST(x'ff' AS TEXT)"),
        ("metakocka_checkpoints", "body = x'7b7d'"),
        ("metakocka_checkpoints", "body = '{'"),
        ("metakocka_checkpoints", "body = '[1, 1]'"),
        ("metakocka_checkpoints", "body = '{\"x\": 1}'"),
        ("metakocka_checkpoints", "body = 'nope'"),
        ("metakocka_checkpoints", "body = '{\"pushed\": 99999999, \"noted\": 0}'"),
    ] {
        let (erp, site) = (Erp::with(3, 1), site());
        site.tenant("Alfa", &erp);
        let _ = site.sync("Alfa", "from-metakocka");
        let one = format!("rowid = (SELECT min(rowid) FROM {table})");
        let which = if table.ends_with("mappings") { one.as_str() } else { "true" };
        let _ = sql::execute(&site.store(), &format!("UPDATE {table} SET {set} WHERE {which}"));
        for direction in ["from-metakocka", "to-metakocka"] {
            let ran = site.try_sync("Alfa", direction);
            let result = ran.json();
            println!("{table} {set} {direction}: exit {} {}", ran.code, result["stopped"]["message"]);
            if table.ends_with("checkpoints") {
                assert_eq!(result["stopped"]["code"], "unreadable-ledger", "{set}: a default: {ran}");
            }
            assert_eq!((&result["created"], &result["deactivated"]), (&0.into(), &0.into()), "{set}: {ran}");
        }
        assert_eq!(site.export("Alfa").len(), 3, "{set}");
        assert!(erp.writes_since(0).is_empty(), "{set}");
        let ran = site.run(&["links", "--tenant", "Alfa", "--json"]).exits(0);
        assert_eq!(ran.json().as_array().unwrap().len(), 3, "{set}: {ran}");
    }
}

/// At the CRM's own door: the line is named, and nothing is stored.
#[test]
fn what_nobody_could_read_again_is_refused_by_its_line() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let import = ["crm", "import", "--tenant", "Alfa", "--collection", "contacts", "bad.jsonl"];
    for bad in [
        &br#"{"id":"x\u0000y"}"#[..],
        br#"{"id":"x\u001by"}"#,
        br#"{"id":"x\u0085y"}"#,
        br#"{"id":"\ud800"}"#,
        br#"{"id":"x","company":"\ud800"}"#,
        br#"{"id":"x","mine":{"deep":["\udc00"]}}"#,
        br#"{"id":"x","company":"a\u0000b"}"#,
        b"{\"id\":\"x\",\"company\":\"\xff\"}",
    ] {
        let lines = [b"{\"id\":\"good\"}\n", bad, b"\n"].concat();
        std::fs::write(site.path("bad.jsonl"), lines).unwrap();
        let ran = site.run(&import).exits(1);
        assert!(ran.err.contains("line 2: "), "{}: {ran}", String::from_utf8_lossy(bad));
        assert!(site.export("Alfa").is_empty(), "{ran}");
    }
}

/// What no column is made for comes back as it was written, however large or deep; what other programs could not read is
/// refused by its line.
#[test]
fn custom_fields_come_back_unchanged() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let values = [
        "123456789012345678901234567890".to_owned(),
        "1e999".to_owned(),
        "0.10".to_owned(),
        r#"{"b":[1.50,null,"\u010d"],"a":{}}"#.to_owned(),
        nested(100),
    ];
    let import = ["crm", "import", "--tenant", "Alfa", "--collection", "contacts"];
    for value in &values {
        let line = format!(r#"{{"id":"a","mine":{value}}}"#);
        let _ = site.run_with_input(&import, &line).exits(0);
        let ran = site.run(&["crm", "export", "--tenant", "Alfa", "--collection", "contacts"]).exits(0);
        assert!(ran.out.contains(&format!(r#""mine":{value}"#)), "{value}: {ran}");
    }
    let lines = format!("{{\"id\":\"good\"}}\n{{\"id\":\"deep\",\"mine\":{}}}\n", nested(101));
    let ran = site.run_with_input(&import, &lines).exits(1);
    assert!(ran.err.contains("line 2: `mine` is nested deeper than 100"), "{ran}");
    // By plain SQL it concerns itself only.
    site.import("Alfa", &[json!({ "id": "b" })]);
    for depth in [400, 2_000] {
        let set = format!(
            r#"PRAGMA ignore_check_constraints = ON; UPDATE contacts SET custom = '{{"mine":{}}}' WHERE id = 'a'"#,
            nested(depth)
        );
        let _ = sql::execute(&site.store(), &set);
        let ran = site.run(&["crm", "export", "--tenant", "Alfa", "--collection", "contacts"]).exits(0);
        assert_eq!(ran.out.lines().count(), 2, "{depth}");
        let result = site.try_sync("Alfa", "bidirectional").json();
        assert!(result.get("stopped").is_none(), "{depth}: {result:#}");
    }
}

/// What somebody has set and this build does not know has no default.
#[test]
fn a_setting_nobody_understands_stops_the_run() {
    let (erp, site) = (Erp::with(2, 1), site());
    let tenant = site.tenant("Alfa", &erp);
    site.import("Alfa", &proof::records::contacts(1));
    for (key, value) in [
        ("contacts.direction", "\"sideways\""),
        ("contacts.direction", "5"),
        ("contacts.policy", "\"coin\""),
        ("contacts.policy.email", "\"\""),
        ("contacts.rename", "\"maybe\""),
        ("create.settle-seconds", "-5"),
        ("create.settle-seconds", "\"x\""),
        ("limits.http-calls", "0"),
        ("contacts.default-country", "\"Narnia\""),
    ] {
        let set = format!(
            "INSERT INTO metakocka_settings (tenant_id, key, revision, modified_at, value) VALUES ('{tenant}', '{key}', 1, '2026-11-23T08:30:00.000Z', '{value}')"
        );
        assert_eq!(sql::execute(&site.store(), &set), 1);
        let ran = site.run(&["sync", "--tenant", "Alfa", "--json"]).exits(1);
        assert!(format!("{}{}", ran.out, ran.err).contains(key), "{key} {value}: {ran}");
        assert_eq!((erp.writes_since(0).len(), site.links("Alfa").len()), (0, 0), "{key} {value}");
        site.set("Alfa", key, "default");
    }
    let _ = site.sync("Alfa", "bidirectional");
    assert_eq!(site.links("Alfa").len(), 3);
}
