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

/// An id that no question can name is left out and said; the others do not notice.
#[test]
fn an_id_that_is_no_text_hides_nobody() {
    let (erp, site) = (Erp::with(0, 1), site());
    let tenant = site.tenant("Alfa", &erp);
    let contact = |id: &str, company: &str| json!({ "id": id, "company": company, "street": "Vzorčna 5", "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija" });
    site.import("Alfa", &[contact("a", "Ena d.o.o."), contact("z", "Dve d.o.o.")]);
    for bad in ["'m' || char(0) || 'x'", "CAST(x'6dff' AS TEXT)", "x'6d'"] {
        let insert =
            format!("INSERT INTO contacts (tenant_id, id, company) VALUES ('{tenant}', {bad}, 'Tri')");
        assert_eq!(sql::execute(&site.store(), &insert), 1);
    }
    let ids: Vec<_> = site.export("Alfa").iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, ["a", "z"]);
    let result = site.sync("Alfa", "to-metakocka");
    assert_eq!(result["metakocka"]["created"], 2, "{result:#}");
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
