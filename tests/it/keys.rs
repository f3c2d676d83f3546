//! One table of spellings, `tests/cases/match_keys.tsv`, on every keeper of keys: what the plugin calls one key, storage must
//! find and the sandbox's detector of duplicates must count as one. (The plugin's own run of the table is beside its code.)

use std::collections::BTreeMap;

use host_harness::store::memory::Memory;
use host_harness::store::{Change, Collection, Expectation, Write};
use metakocka_sandbox::keys;
use metakocka_sync::model::{Field, Fields};
use metakocka_sync::sync::identity::Identity;
use serde_json::json;

struct Row {
    line: usize,
    kind: &'static str,
    value: String,
    country: Option<&'static str>,
    /// The keys it has; none for `-`.
    keys: Vec<&'static str>,
}

fn unescape(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap();
        out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        out.push_str(rest);
    }
    out
}

fn table() -> Vec<Row> {
    include_str!("../cases/match_keys.tsv")
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#') && !line.is_empty())
        .map(|(number, line)| {
            let [kind, value, country, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("line {}: not four columns", number + 1);
            };
            Row {
                line: number + 1,
                kind,
                value: unescape(value),
                country: Some(country).filter(|country| *country != "-"),
                keys: expected.split_whitespace().filter(|key| *key != "-").collect(),
            }
        })
        .collect()
}

fn identity(row: &Row) -> Identity {
    let mut fields = Fields::default();
    fields.set(Field::Country, row.country);
    fields.set(if row.kind == "tax" { Field::TaxNumber } else { Field::Email }, Some(&row.value));
    Identity::of(&fields)
}

/// By plain letters or as marked: whoever shares a key is among the candidates.
#[tokio::test]
async fn storage_finds_every_spelling_of_a_key() {
    let rows = table();
    let room = Memory::new().room("keys");
    let wanted: Vec<&Row> = rows.iter().filter(|row| row.kind != "registration").collect();
    let writes = wanted.iter().map(|row| {
        let member = if row.kind == "tax" { "tax_number" } else { "email" };
        let body = json!({ member: row.value, "country": row.country });
        Write {
            collection: Collection::Contacts,
            id: format!("line-{:03}", row.line),
            expect: Expectation::Absent,
            change: Change::Put(body.to_string().into()),
        }
    });
    room.commit(writes.collect()).await.unwrap();
    let found = async |index: &str, keys: Vec<String>| -> Vec<String> {
        let found = room.find_many(Collection::Contacts, index, &keys, 1_000).await.unwrap();
        found.into_iter().map(|found| found.entry.id).collect()
    };
    let marked = found("marked", vec!["true".to_owned()]).await;
    let mut missed = Vec::new();
    for one in wanted.iter().filter(|row| !row.keys.is_empty()) {
        let identity = identity(one);
        let (index, forms) = match one.kind {
            "tax" => ("tax_number", identity.tax_forms()),
            _ => ("email", identity.email_forms()),
        };
        let direct = found(index, forms).await;
        for other in wanted.iter().filter(|other| other.kind == one.kind) {
            let shares = one.keys.iter().any(|key| other.keys.contains(key));
            let id = format!("line-{:03}", other.line);
            if shares && !direct.contains(&id) && !marked.contains(&id) {
                missed
                    .push(format!("line {} does not find line {} ({:?})", one.line, other.line, other.value));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// A row's line, and the keys the sandbox gives it.
type Counted = (usize, Vec<String>);

/// Its keys have another form, so what must agree is which rows share one.
#[test]
fn the_sandbox_counts_the_same_spellings_as_one() {
    let mut by_key: BTreeMap<(&str, &str), Vec<Counted>> = BTreeMap::new();
    let mut wrong = Vec::new();
    // The ERP shows no country by three letters.
    let shown = |row: &&Row| row.country.is_none_or(|country| country.len() != 3);
    for row in table().iter().filter(|row| row.kind != "registration").filter(shown) {
        let keys = match row.kind {
            "tax" => keys::tax_key(&row.value, row.country.unwrap_or_default()).into_iter().collect(),
            _ => keys::email_keys(&row.value),
        };
        if keys.is_empty() != row.keys.is_empty() {
            wrong.push(format!(
                "line {}: {:?} has the keys {keys:?}, not {:?}",
                row.line, row.value, row.keys
            ));
        }
        for key in &row.keys {
            by_key.entry((row.kind, key)).or_default().push((row.line, keys.clone()));
        }
    }
    for ((kind, key), rows) in &by_key {
        let (first, shared) = &rows[0];
        for (line, keys) in rows {
            if !keys.iter().any(|key| shared.contains(key)) {
                wrong.push(format!(
                    "{kind} {key}: line {line} {keys:?} and line {first} {shared:?} share none"
                ));
            }
        }
    }
    println!("{} keys", by_key.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
