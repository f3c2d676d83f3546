//! Does what a run says reach the log, bounded and harmless, and can a person read it?

use proof::erp::Erp;
use proof::sql;
use serde_json::Value;

use crate::site;

/// Says too much, and one thing that matters.
const TALKATIVE: &str = env!("TALKATIVE_WASM");

fn is_harmless(text: &str) -> bool {
    !text
        .chars()
        .any(|sign| sign.is_control() || ('\u{2066}'..='\u{2069}').contains(&sign) || sign == '\u{202e}')
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_failed_record_is_in_the_log_with_its_run_and_nothing_a_terminal_obeys() {
    let (erp, site) = (Erp::with(1, 1), site());
    site.tenant("Alfa", &erp);
    site.tenant("Beta", &erp);
    let run = |tenant: &str| {
        let result = site.json(&["sync", "--tenant", tenant, "--plugin", TALKATIVE]);
        result["run_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (run("Alfa"), run("Alfa"));

    let rows = site.json(&["logs", "list", "--tenant", "Alfa", "--run", &second, "--level", "error"]);
    let [row] = rows.as_array().unwrap().as_slice() else { panic!("one failed record: {rows:#}") };
    for (member, value) in [
        ("level", "error"),
        ("category", "api"),
        ("run_id", second.as_str()),
        ("crm_id", "c-1"),
        ("code", "400"),
        ("class", "refused"),
        ("operation", "metakocka_update"),
        ("status", "error"),
    ] {
        assert_eq!(row[member], value, "{member}: {row:#}");
    }
    assert!(row["advice"].as_str().unwrap().starts_with("mend the e-mail"), "{row:#}");
    let message = row["message"].as_str().unwrap();
    assert!(message.starts_with("refused: ") && message.ends_with("[cut]"), "{message}");
    assert!(message.len() < 8 * 1024, "{} bytes", message.len());
    assert!(row["timestamp"].is_string(), "{row:#}");

    let rows = site.json(&["logs", "list", "--tenant", "Alfa", "--run", &first, "--limit", "100000"]);
    let count = rows.as_array().unwrap().len();
    println!("{count} lines of a run that said 3001");
    assert!(count < 3_001, "bounded");
    let bad: Vec<_> = texts(&rows).into_iter().filter(|text| !is_harmless(text)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let dropped =
        rows.as_array().unwrap().iter().find(|row| row["message"].as_str().unwrap().contains("dropped"));
    assert!(
        dropped.is_some_and(|row| row["message"].as_str().unwrap().starts_with("1000 more")),
        "{dropped:?}"
    );
    assert!(rows.as_array().unwrap().iter().all(|row| row["run_id"] == first.as_str()), "only this run");

    // In the table too, whatever reads it.
    let columns =
        "message, coalesce(entity_type, ''), coalesce(entity_id, ''), coalesce(metakocka_id, ''), context";
    let stored = sql::texts(
        &site.store(),
        &format!("SELECT concat_ws('|', {columns}) FROM metakocka_integration_logs WHERE level = 'error'"),
    );
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|text| is_harmless(text) && text.contains("|contact|c-1|4000")), "{stored:?}");

    assert_eq!(site.json(&["logs", "list", "--tenant", "Alfa", "--limit", "3"]).as_array().unwrap().len(), 3);
    assert_eq!(
        site.json(&["logs", "list", "--tenant", "Beta"]).as_array().unwrap().len(),
        0,
        "another tenant's"
    );
    let table = site.run(&["logs", "list", "--tenant", "Alfa", "--level", "warning"]).exits(0);
    assert!(table.out.contains("c-1") && is_harmless(&table.out.replace('\n', "")), "{table}");
    let none = site.run(&["logs", "list", "--tenant", "Beta"]).exits(0);
    assert!(none.out.contains("Nothing was logged."), "{none}");
    let _ = site.run(&["logs", "list", "--tenant", "Alfa", "--run", "nonsense"]).exits(2);
    let _ = site.run(&["logs", "list", "--tenant", "Alfa", "--limit", "0"]).exits(2);
}

/// A line that plain SQL has spoiled is shown as well as it can be, and keeps no other from being read.
#[test]
fn a_spoiled_line_does_not_hide_the_others() {
    let (erp, site) = (Erp::with(1, 1), site());
    site.tenant("Alfa", &erp);
    let run = site.json(&["sync", "--tenant", "Alfa", "--plugin", TALKATIVE]);
    let run = run["run_id"].as_str().unwrap();
    let spoil = "UPDATE metakocka_integration_logs SET message = CAST(x'ff41' AS TEXT), context = '{', entity_id = x'fe' \
                 WHERE level = 'warning'";
    assert_eq!(sql::execute(&site.store(), spoil), 1);
    let rows = site.json(&["logs", "list", "--tenant", "Alfa", "--level", "warning"]);
    assert_eq!(rows.as_array().unwrap().len(), 2, "{rows:#}");
    let rows = site.json(&["logs", "list", "--tenant", "Alfa", "--level", "warning", "--run", run]);
    assert_eq!(rows.as_array().unwrap().len(), 1, "the spoiled line names no run: {rows:#}");
}
