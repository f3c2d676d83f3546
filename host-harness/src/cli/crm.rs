//! `crm import|export|delete`: the CRM's own door to its records, as JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::session::Session;
use super::{Failure, Global, Outcome, output};
use crate::json_text::{depth, has_half_character};
use crate::store::{Access, Change, Collection, CommitOutcome, Expectation, Storage, UNREADABLE, Write};

/// Records of the CRM.
#[derive(Debug, Subcommand)]
pub(crate) enum Crm {
    /// Stores records from JSON lines: all of them, or none when a line is bad
    Import {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// The collection
        #[arg(long)]
        collection: CrmCollection,
        /// Store the good lines although others are bad
        #[arg(long)]
        keep_good: bool,
        /// File to read; default: standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Prints records as JSON lines, in id order
    Export {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// The collection
        #[arg(long)]
        collection: CrmCollection,
    },
    /// Deletes records
    Delete {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// The collection
        #[arg(long)]
        collection: CrmCollection,
        /// Their ids
        #[arg(long, value_delimiter = ',', required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Collections the CRM owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CrmCollection {
    /// Companies and persons
    Contacts,
}

impl CrmCollection {
    const fn collection(self) -> Collection {
        match self {
            Self::Contacts => Collection::Contacts,
        }
    }
}

/// Columns of a contact that hold text.
const TEXT: [&str; 19] = [
    "firstname",
    "lastname",
    "full_name",
    "email",
    "phone",
    "company",
    "position",
    "notes",
    "personalitytype",
    "personalitynotes",
    "status",
    "street",
    "postal_code",
    "city",
    "province",
    "country",
    "tax_number",
    "registration_number",
    "website",
];
/// Columns that hold a time.
const TIMES: [&str; 3] = ["createdat", "updatedat", "lastcontact"];
/// Columns the host stamps from the tenant.
const STAMPED: [&str; 4] = ["tenant_id", "user_id", "organization_id", "revision"];
/// What an export shows of the contact's link; an import takes no notice of it.
const SHOWN: &str = "metakocka";
/// Where the body of an entry keeps custom fields.
const CUSTOM: &str = "custom";

/// What is wrong with a line.
#[derive(Debug)]
struct BadLine {
    number: usize,
    reason: String,
}

/// One record: its id and its entry's body.
type Record = (String, String);

/// Members as they were written: numbers of any size and fields of any depth come back unchanged.
type Members = BTreeMap<String, Box<RawValue>>;

/// Fields nested deeper than this are a mistake, and more than other programs read.
const DEEPEST: usize = 100;

/// A record larger than this is a mistake.
const LARGEST: usize = 1024 * 1024;

/// Reads one line. Known columns are checked; every other member is a custom field and kept as it is.
fn record(line: &str) -> Result<Record, String> {
    if line.len() > LARGEST {
        return Err(format!("larger than {} MiB", LARGEST / 1024 / 1024));
    }
    let members: Members = serde_json::from_str(line).map_err(|error| match line.starts_with('{') {
        true => format!("not JSON: {error}"),
        false => "not a JSON object".to_owned(),
    })?;
    if has_half_character(line) {
        return Err("not JSON: half a character (a lone surrogate such as \\ud800)".to_owned());
    }
    let plain = |value: &RawValue| serde_json::from_str::<Value>(value.get()).unwrap_or_default();
    let id = match members.get("id").map(|id| plain(id)) {
        Some(Value::String(id)) if id.chars().any(char::is_control) => {
            return Err("`id` holds a control character".to_owned());
        }
        Some(Value::String(id)) if !id.trim().is_empty() && id.len() <= 200 => id,
        Some(Value::String(_)) => return Err("`id` is blank or longer than 200 bytes".to_owned()),
        Some(_) => return Err("`id` must be text".to_owned()),
        None => return Err("`id` is missing".to_owned()),
    };
    let mut body = BTreeMap::new();
    let mut custom = Members::new();
    for (name, value) in members {
        if name == "id" || name == SHOWN || value.get() == "null" {
            continue;
        }
        if STAMPED.contains(&name.as_str()) {
            return Err(format!("`{name}` is stamped from the tenant: leave it out"));
        } else if TEXT.contains(&name.as_str()) {
            let Value::String(text) = plain(&value) else { return Err(format!("`{name}` must be text")) };
            // The database would end the text there, without a word.
            if text.contains('\0') {
                return Err(format!("`{name}` holds the character U+0000"));
            }
            if name == "status" && !["active", "inactive"].contains(&text.as_str()) {
                return Err("`status` must be active or inactive".to_owned());
            }
            // An empty string is no value: as a key it would make strangers the same.
            if !text.trim().is_empty() {
                body.insert(name, value);
            }
        } else if TIMES.contains(&name.as_str()) {
            let time =
                plain(&value).as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
            let Some(time) = time else {
                return Err(format!("`{name}` must be a time such as 2026-11-23T08:30:00Z"));
            };
            let utc = time.with_timezone(&chrono::Utc).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            body.insert(name, raw(&utc)?);
        } else if depth(value.get()) > DEEPEST {
            return Err(format!("`{name}` is nested deeper than {DEEPEST}"));
        } else {
            custom.insert(name, value);
        }
    }
    if !custom.is_empty() {
        body.insert(CUSTOM.to_owned(), raw(&custom)?);
    }
    Ok((id, serde_json::to_string(&body).map_err(|error| error.to_string())?))
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, String> {
    serde_json::value::to_raw_value(value).map_err(|error| error.to_string())
}

/// What the links of these contacts say of their partners, for people who read: contact id to value.
async fn shown(storage: &dyn Storage, ids: &[String]) -> Result<BTreeMap<String, Value>, Failure> {
    let mut shown = BTreeMap::new();
    for link in storage.get_many(Collection::Links, ids).await? {
        // What a link is worth that cannot be read, `links` says.
        let Ok(mut body) = serde_json::from_slice::<Value>(&link.body) else { continue };
        if let Some(value) = body.pointer_mut(&format!("/metadata/{SHOWN}")) {
            shown.insert(link.id, value.take());
        }
    }
    Ok(shown)
}

/// A stored entry as a line: columns and custom fields side by side, absent ones left out.
fn line(id: &str, body: &[u8]) -> Result<Members, String> {
    let mut body: Members = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let custom = body.remove(CUSTOM);
    let mut line = Members::from([("id".to_owned(), raw(&id)?)]);
    line.extend(body.into_iter().filter(|(_, value)| value.get() != "null"));
    if let Some(custom) = custom {
        let mut custom: Members = serde_json::from_str(custom.get()).map_err(|_| "custom: no object")?;
        custom.remove(SHOWN);
        line.extend(custom);
    }
    Ok(line)
}

fn read_lines(input: impl BufRead) -> Result<(Vec<Record>, Vec<BadLine>), Failure> {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let mut ids = BTreeSet::new();
    for (index, text) in input.split(b'\n').enumerate() {
        let number = index + 1;
        let text = text.map_err(|error| Failure::failed(format!("the input cannot be read: {error}")))?;
        let Ok(text) = std::str::from_utf8(&text) else {
            bad.push(BadLine { number, reason: "not UTF-8".to_owned() });
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        match record(text.trim()) {
            Ok((id, _)) if !ids.insert(id.clone()) => {
                bad.push(BadLine { number, reason: "its `id` stands in an earlier line".to_owned() });
            }
            Ok(record) => records.push(record),
            Err(reason) => bad.push(BadLine { number, reason }),
        }
    }
    Ok((records, bad))
}

pub(crate) async fn commit(storage: &dyn Storage, writes: Vec<Write>) -> Result<(), Failure> {
    match storage.commit(writes).await? {
        CommitOutcome::Committed { .. } => Ok(()),
        CommitOutcome::Lost(_) => Err(Failure::failed("another writer was faster: run the command again")),
    }
}

impl Crm {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Import { tenant, collection, keep_good, file } => {
                import(global, &tenant, collection, keep_good, file).await
            }
            Self::Export { tenant, collection } => export(global, &tenant, collection).await,
            Self::Delete { tenant, collection, ids } => delete(global, &tenant, collection, ids).await,
        }
    }
}

async fn import(
    global: &Global,
    tenant: &str,
    collection: CrmCollection,
    keep_good: bool,
    file: Option<PathBuf>,
) -> Outcome {
    let session = Session::open(global, Access::Write).await?;
    let tenant = session.tenant(tenant).await?;
    let (records, bad) = match &file {
        Some(path) if path.as_os_str() != "-" => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
            read_lines(BufReader::new(file))?
        }
        _ => read_lines(std::io::stdin().lock())?,
    };
    let imported = if bad.is_empty() || keep_good { records.len() } else { 0 };
    // One transaction: a crash in the middle leaves nothing behind.
    if imported > 0 {
        let writes: Vec<Write> = records
            .into_iter()
            .map(|(id, body)| Write {
                collection: collection.collection(),
                id,
                expect: Expectation::Any,
                change: Change::Put(body.into_bytes()),
            })
            .collect();
        session.store.import(&tenant, &writes).await?;
    }
    session.store.close().await;
    let errors: Vec<Value> =
        bad.iter().map(|bad| json!({ "line": bad.number, "error": bad.reason })).collect();
    if global.json {
        output::print_json(&json!({ "success": bad.is_empty(), "imported": imported, "errors": errors }));
    } else {
        output::print_line(format_args!("{imported} records imported into {}", tenant.name));
    }
    if bad.is_empty() {
        return Ok(());
    }
    for bad in bad.iter().take(20) {
        output::print_error(format_args!("line {}: {}", bad.number, bad.reason));
    }
    if global.json {
        return Err(Failure::Reported);
    }
    Err(Failure::failed(if keep_good {
        format!("{} lines are bad and were left out", bad.len())
    } else {
        format!(
            "{} lines are bad, so nothing was stored: mend them, or keep the good ones with --keep-good",
            bad.len()
        )
    }))
}

async fn export(global: &Global, tenant: &str, collection: CrmCollection) -> Outcome {
    let session = Session::open(global, Access::Read).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let mut after: Option<String> = None;
    let mut unreadable = Vec::new();
    let mut met = 0;
    loop {
        let page = storage.scan(collection.collection(), after.as_deref(), &[], 1_000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        met += page.len() as u64;
        let ids: Vec<String> = page.iter().map(|entry| entry.id.clone()).collect();
        let mut shown = shown(&*storage, &ids).await?;
        let mut lines = String::new();
        for entry in &page {
            let line = line(&entry.id, &entry.body).and_then(|line| match line.get(UNREADABLE) {
                Some(why) => Err(serde_json::from_str(why.get()).unwrap_or_default()),
                None => Ok(line),
            });
            let mut line = match line {
                Ok(line) => line,
                Err(why) => {
                    unreadable.push(format!("{} ({why})", entry.id));
                    continue;
                }
            };
            if let Some(value) = shown.remove(&entry.id) {
                line.insert(SHOWN.to_owned(), raw(&value).map_err(Failure::failed)?);
            }
            lines.push_str(&serde_json::to_string(&line).map_err(Failure::failed)?);
            lines.push('\n');
        }
        output::print(&lines);
        if !output::is_open() {
            break;
        }
    }
    if storage.count(collection.collection()).await? > met {
        unreadable.extend(nameless(&*storage, collection.collection()).await?);
    }
    if unreadable.is_empty() {
        return Ok(());
    }
    // Standard output holds the records, so that a document about them would only be in their way.
    output::print_error(format_args!(
        "error: {} records cannot be read and were left out; mend these rows or delete them: {}",
        unreadable.len(),
        unreadable.join(", ")
    ));
    Err(Failure::Reported)
}

/// Records whose id no question can hold: plain SQL has put bytes or a zero character there. Only the changes show them.
async fn nameless(storage: &dyn Storage, collection: Collection) -> Result<Vec<String>, Failure> {
    let (mut nameless, mut after) = (Vec::new(), 0);
    loop {
        let page = storage.changes(collection, after, 2_000).await?;
        if page.entries.is_empty() {
            return Ok(nameless);
        }
        after = page.next;
        for entry in page.entries.iter().filter(|entry| !entry.deleted) {
            let line = line(&entry.id, &entry.body);
            let why =
                line.ok().and_then(|line| serde_json::from_str::<String>(line.get(UNREADABLE)?.get()).ok());
            nameless
                .extend(why.filter(|why| why.starts_with("id: ")).map(|why| format!("{} ({why})", entry.id)));
        }
    }
}

async fn delete(global: &Global, tenant: &str, collection: CrmCollection, ids: Vec<String>) -> Outcome {
    let session = Session::open(global, Access::Write).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let collection = collection.collection();
    let found = storage.get_many(collection, &ids).await?;
    let missing: Vec<&str> =
        ids.iter().filter(|id| !found.iter().any(|entry| entry.id == **id)).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(Failure::usage(format!(
            "there is no record {}: nothing was deleted",
            missing.join(", ")
        )));
    }
    let writes: Vec<Write> = found
        .iter()
        .map(|entry| Write {
            collection,
            id: entry.id.clone(),
            expect: Expectation::Revision(entry.revision),
            change: Change::Delete,
        })
        .collect();
    let count = writes.len();
    commit(&*storage, writes).await?;
    session.store.close().await;
    if global.json {
        output::print_json(&json!({ "success": true, "deleted": count }));
    } else {
        output::print_line(format_args!(
            "{count} records deleted from {}; their partners in Metakocka are left alone",
            tenant.name
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_good_and_bad() {
        for (text, good) in [
            (r#"{"id":"a","company":"Alfa","loyalty":7}"#, true),
            (r#"{"id":"a","email":""}"#, true),
            (r#"{"id":"a","createdat":"2026-01-01T10:00:00+02:00"}"#, true),
            (r#"{"company":"Alfa"}"#, false),
            (r#"{"id":7}"#, false),
            (r#"{"id":" "}"#, false),
            (r#"{"id":"a","phone":41}"#, false),
            (r#"{"id":"a","status":"gone"}"#, false),
            (r#"{"id":"a","createdat":"yesterday"}"#, false),
            (r#"{"id":"a","user_id":"x"}"#, false),
            (r#"{"id":"a","metakocka":{"code":"7"}}"#, true),
            (r#"{"id":"a\u0000"}"#, false),
            (r#"{"id":"a\u001b"}"#, false),
            (r#"{"id":"a\u0085"}"#, false),
            (r#"{"id":"\ud800"}"#, false),
            (r#"{"id":"a","company":"\ud800"}"#, false),
            (r#"{"id":"a","company":"Alfa\u0000"}"#, false),
            (r#"{"id":"a","mine":{"deep":["\udc00"]}}"#, false),
            (r#"{"id":"a","\ud800":1}"#, false),
            (r#"{"id":"a","company":"\ud83d\ude00"}"#, true),
            (r#"["a"]"#, false),
            (r#"{"id":"a""#, false),
        ] {
            assert_eq!(record(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn custom_fields_come_back_unchanged() {
        let text = r#"{"id":"a","company":"Alfa","loyalty":{"points":7},"vip":true}"#;
        let (id, body) = record(text).unwrap();
        let again = line(&id, body.as_bytes()).unwrap();
        let again = serde_json::to_string(&again).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&again).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn bad_lines_are_numbered() {
        let input = "{\"id\":\"a\"}\n\nnope\n{\"id\":\"a\"}\n{\"id\":\"b\"}\n";
        let (records, bad) = read_lines(input.as_bytes()).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(bad.iter().map(|bad| bad.number).collect::<Vec<_>>(), [3, 4]);
    }
}
