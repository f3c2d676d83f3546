//! What every store promises, each promise tested once.
//!
//! The list runs on whatever implements [`Storage`]: `for promise in PROMISES { (promise.keep)(&house).await }`.
//! A promise takes fresh tenants of its own, so the order does not matter and one house serves them all.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Change, Collection, CommitOutcome, Entry, Expectation, MAX_COMMIT_BYTES, MAX_ITEMS, MAX_SCAN, Storage,
    StorageError, Write,
};

/// Something that keeps the rooms of many tenants in one place.
#[async_trait]
pub trait House: Send + Sync {
    /// The room of a connected tenant of this name, made on first use.
    async fn room(&self, tenant: &str) -> Result<Arc<dyn Storage>, String>;
}

/// How a promise is checked: `Err` says how it was broken.
pub type Keep = for<'h> fn(&'h dyn House) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'h>>;

/// One promise.
#[derive(Clone, Copy)]
pub struct Promise {
    /// The promise in a sentence.
    pub says: &'static str,
    /// The check.
    pub keep: Keep,
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.says)
    }
}

/// Runs the whole list; the answer names every broken promise.
///
/// # Errors
/// When one is broken.
pub async fn keep_all(house: &dyn House) -> Result<(), String> {
    let mut broken = Vec::new();
    for promise in PROMISES {
        if let Err(how) = (promise.keep)(house).await {
            broken.push(format!("{}: {how}", promise.says));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

macro_rules! promises {
    ($($name:ident: $says:literal,)*) => {
        /// All of them.
        pub const PROMISES: &[Promise] =
            &[$(Promise { says: $says, keep: |house| Box::pin($name(house)) }),*];
    };
}

promises! {
    reads_what_was_written: "every collection gives back what was put into it",
    atomic: "a commit with one failed expectation changes nothing",
    expectations: "absent, revision and any hold exactly when they say; a lost race brings the current entry",
    merge: "a merge sets the named members, null clears, the rest stays; of nothing it is a lost race",
    merge_free: "a merge into a free body does the same",
    numbers: "revisions are contiguous, in the order of the writes; deleting nothing gets none",
    changes: "changes come in revision order, once, with tombstones, page by page",
    reborn: "a record created again is no tombstone any more",
    times: "a contact keeps its creation time and gets a new change time, unless the body brings one",
    defaults: "a contact is active and has a full name; a link is synced and live",
    find_contacts: "contacts are found by e-mail without case, by tax number as letters and digits without SI",
    find_others: "the other indexes find their entries, up to the limit for each key",
    scan: "a scan goes on after an id, in id order, and holds only the members asked for",
    partner_once: "a partner has one link: another is a lost race with the link that holds it",
    partner_moves: "a partner let go in a commit may be taken in the same commit",
    refused: "what the interface does not know is refused: members, indexes, JSON that is none, kinds of values",
    limits: "more than the limits is refused",
    tenants: "two tenants with the same ids never meet",
    sealed: "sealed members come back as they were",
    texts: "any text comes back as it was",
    empty: "an empty commit is a commit",
    checks: "a check changes nothing, takes no number, and loses like any other write",
}

type Kept = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Kept {
    if holds { Ok(()) } else { Err(what()) }
}

fn equal<T: PartialEq + std::fmt::Debug>(got: T, wanted: T, what: &str) -> Kept {
    ensure(got == wanted, || format!("{what}: {got:?} instead of {wanted:?}"))
}

fn write(collection: Collection, id: &str, expect: Expectation, change: Change) -> Write {
    Write { collection, id: id.to_owned(), expect, change }
}

fn put(collection: Collection, id: &str, body: &str) -> Write {
    write(collection, id, Expectation::Any, Change::Put(body.as_bytes().to_vec()))
}

fn merged(collection: Collection, id: &str, patch: &str) -> Write {
    write(collection, id, Expectation::Any, Change::Merge(patch.as_bytes().to_vec()))
}

fn delete(collection: Collection, id: &str) -> Write {
    write(collection, id, Expectation::Any, Change::Delete)
}

fn failed(error: StorageError) -> String {
    format!("failed with {error:?}")
}

/// Commits and answers `(before, last)`.
async fn commit(room: &dyn Storage, writes: Vec<Write>) -> Result<(u64, u64), String> {
    match room.commit(writes).await.map_err(failed)? {
        CommitOutcome::Committed { before, last } => Ok((before, last)),
        CommitOutcome::Lost(lost) => Err(format!("lost {lost:?}")),
    }
}

/// Commits what must be lost; answers `(position, id of the current entry)`.
async fn lose(room: &dyn Storage, writes: Vec<Write>) -> Result<Vec<(usize, Option<String>)>, String> {
    match room.commit(writes).await.map_err(failed)? {
        CommitOutcome::Committed { .. } => Err("was committed".to_owned()),
        CommitOutcome::Lost(lost) => {
            Ok(lost.into_iter().map(|race| (race.write, race.current.map(|entry| entry.id))).collect())
        }
    }
}

async fn get(room: &dyn Storage, collection: Collection, id: &str) -> Result<Option<Entry>, String> {
    let mut entries = room.get_many(collection, &[id.to_owned()]).await.map_err(failed)?;
    ensure(entries.len() <= 1, || "one id, several entries".to_owned())?;
    Ok(entries.pop())
}

async fn body(room: &dyn Storage, collection: Collection, id: &str) -> Result<Value, String> {
    let entry = get(room, collection, id).await?.ok_or_else(|| format!("{id} is not there"))?;
    json(&entry)
}

fn json(entry: &Entry) -> Result<Value, String> {
    serde_json::from_slice(&entry.body).map_err(|error| format!("a body that is no JSON: {error}"))
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn contact(id: usize) -> (String, String) {
    (format!("c{id:04}"), format!(r#"{{"firstname":"Ana","email":"a{id}@example.si"}}"#))
}

fn invalid<T: std::fmt::Debug>(answer: Result<T, StorageError>, what: &str) -> Kept {
    ensure(matches!(answer, Err(StorageError::Invalid(_))), || format!("{what} was answered with {answer:?}"))
}

async fn reads_what_was_written(house: &dyn House) -> Kept {
    let room = house.room("reads").await?;
    let bodies = [
        (
            Collection::Contacts,
            r#"{"firstname":"Ana","lastname":"Novak","full_name":"A. Novak","email":"a@b.si","phone":"1","company":"C","position":"P","notes":"N","personalitytype":"INTJ","personalitynotes":"x","status":"inactive","lastcontact":"2026-01-01T00:00:00.000Z","street":"S","postal_code":"1000","city":"L","province":"p","country":"SI","tax_number":"SI1","registration_number":"2","website":"w","createdat":"2026-01-01T00:00:00.000Z","updatedat":"2026-01-02T00:00:00.000Z","custom":{"a":[1,{"b":null}],"c":1.50}}"#,
        ),
        (
            Collection::Links,
            r#"{"metakocka_id":"77","metakocka_code":"7","sync_status":"error","sync_error":"e","state":"erp-gone","base":{"name":"x","list":[null]},"raw_hash":"r","crm_hash":"c","mk_modified_at":"m","crm_modified_at":"n","last_synced_at":"l","metadata":{"k":true}}"#,
        ),
        (
            Collection::Seen,
            r#"{"raw_hash":"r","tax_key":"t","email_key":"e","reason":"x","code":"7","name":"Žiga s.p.","email":"E@x.si","phone":"041"}"#,
        ),
        (Collection::Outbox, r#"{"state":"sent","key_kind":"tax","nested":{"deep":[1,2,{"x":"y"}]}}"#),
        (Collection::Checkpoints, r#"{"cursor":9007199254740993}"#),
        (Collection::Plans, r#"{"action":"create"}"#),
        (
            Collection::Conflicts,
            r#"{"kind":"contacts","crm_id":"c","metakocka_id":"7","field":"phone","base":"1","crm":{"x":2},"metakocka":["3"],"since":"s","decision":"crm"}"#,
        ),
        (
            Collection::History,
            r#"{"kind":"contacts","crm_id":"c","metakocka_id":"7","side":"crm","field":"phone","old":"1","new":{"x":2},"reason":"policy","run_id":"r","at":"t"}"#,
        ),
        (
            Collection::Quarantine,
            r#"{"kind":"contacts","side":"metakocka","crm_id":"c","metakocka_id":"7","reason":"bad","code":"1","status":"quarantined","attempts":3,"since":"s","record_hash":"h","retry":false,"payload":[1,"x"]}"#,
        ),
        (Collection::Settings, r#"{"value":{"a":[1]}}"#),
    ];
    let writes = bodies.iter().map(|(collection, body)| put(*collection, "x", body)).collect();
    commit(&*room, writes).await?;
    for (collection, wanted) in bodies {
        equal(body(&*room, collection, "x").await?, value(wanted), collection.name())?;
        equal(room.count(collection).await.map_err(failed)?, 1, "count")?;
    }
    Ok(())
}

async fn atomic(house: &dyn House) -> Kept {
    let room = house.room("atomic").await?;
    let (_, last) = commit(&*room, vec![put(Collection::Contacts, "a", "{}")]).await?;
    let lost = lose(
        &*room,
        vec![
            put(Collection::Contacts, "b", "{}"),
            delete(Collection::Contacts, "a"),
            put(Collection::Links, "b", r#"{"metakocka_id":"1"}"#),
            write(Collection::Contacts, "gone", Expectation::Revision(1), Change::Delete),
        ],
    )
    .await?;
    equal(lost, vec![(3, None)], "lost races")?;
    equal(room.count(Collection::Links).await.map_err(failed)?, 0, "links")?;
    let changes = room.changes(Collection::Contacts, 0, 10).await.map_err(failed)?;
    equal(
        changes.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>(),
        vec!["a".to_owned()],
        "contacts",
    )?;
    let (before, _) = commit(&*room, vec![put(Collection::Seen, "1", "{}")]).await?;
    equal(before, last, "a lost commit uses no numbers")
}

async fn expectations(house: &dyn House) -> Kept {
    let room = house.room("expectations").await?;
    let (_, first) = commit(&*room, vec![put(Collection::Contacts, "a", r#"{"phone":"1"}"#)]).await?;
    let body = || Change::Put(br#"{"phone":"2"}"#.to_vec());
    let patch = || Change::Merge(b"{}".to_vec());
    let (there, none) = (vec![(0, Some("a".to_owned()))], vec![(0, None)]);
    for (id, expect, change, lost) in [
        ("a", Expectation::Absent, body(), Some(&there)),
        ("a", Expectation::Absent, patch(), Some(&there)),
        ("a", Expectation::Absent, Change::Delete, Some(&there)),
        ("a", Expectation::Revision(first + 9), body(), Some(&there)),
        ("a", Expectation::Revision(first + 9), Change::Delete, Some(&there)),
        ("b", Expectation::Revision(first), body(), Some(&none)),
        ("b", Expectation::Any, patch(), Some(&none)),
        ("b", Expectation::Absent, patch(), Some(&none)),
        ("b", Expectation::Absent, Change::Delete, None),
        ("b", Expectation::Any, Change::Delete, None),
        ("a", Expectation::Revision(first), body(), None),
        ("a", Expectation::Any, body(), None),
        ("a", Expectation::Any, Change::Delete, None),
        ("b", Expectation::Absent, body(), None),
    ] {
        let what = format!("{id} {expect:?} {change:?}");
        let write = write(Collection::Contacts, id, expect, change);
        match lost {
            Some(lost) => {
                equal(&lose(&*room, vec![write]).await.map_err(|how| format!("{what} {how}"))?, lost, &what)?
            }
            None => drop(commit(&*room, vec![write]).await.map_err(|how| format!("{what} {how}"))?),
        }
    }
    let outcome =
        room.commit(vec![write(Collection::Contacts, "b", Expectation::Absent, Change::Delete)]).await;
    let Ok(CommitOutcome::Lost(lost)) = outcome else { return Err(format!("{outcome:?}")) };
    let current = lost.into_iter().find_map(|race| race.current).ok_or("no current entry")?;
    equal(
        current.clone(),
        get(&*room, Collection::Contacts, "b").await?.ok_or("b is gone")?,
        "the current entry",
    )?;
    equal(json(&current)?.get("phone").cloned(), Some(Value::from("2")), "its body")
}

async fn merge(house: &dyn House) -> Kept {
    let room = house.room("merge").await?;
    let first = r#"{"firstname":"Ana","phone":"1","city":"L","custom":{"a":1}}"#;
    commit(&*room, vec![put(Collection::Contacts, "a", first)]).await?;
    commit(&*room, vec![merged(Collection::Contacts, "a", r#"{"phone":"2","city":null,"custom":{"b":2}}"#)])
        .await?;
    let now = body(&*room, Collection::Contacts, "a").await?;
    let member = |name: &str| now.get(name).cloned().unwrap_or_default();
    for (name, wanted) in
        [("firstname", r#""Ana""#), ("phone", r#""2""#), ("city", "null"), ("custom", r#"{"b":2}"#)]
    {
        equal(member(name), value(wanted), name)?;
    }
    commit(
        &*room,
        vec![put(Collection::Links, "a", r#"{"metakocka_id":"1","base":{"x":1},"raw_hash":"r"}"#)],
    )
    .await?;
    commit(&*room, vec![merged(Collection::Links, "a", r#"{"sync_status":"error"}"#)]).await?;
    let link = body(&*room, Collection::Links, "a").await?;
    let wanted = r#"{"metakocka_id":"1","base":{"x":1},"raw_hash":"r","sync_status":"error","state":"live"}"#;
    equal(link, value(wanted), "link")?;
    let clear = merged(Collection::Links, "a", r#"{"metakocka_id":null}"#);
    invalid(room.commit(vec![clear]).await, "clearing a member that must be there")
}

async fn merge_free(house: &dyn House) -> Kept {
    let room = house.room("merge-free").await?;
    commit(&*room, vec![put(Collection::Outbox, "a", r#"{"state":"decided","x":1,"y":{"z":1}}"#)]).await?;
    commit(&*room, vec![merged(Collection::Outbox, "a", r#"{"state":"sent","x":null,"y":{"q":2}}"#)]).await?;
    equal(body(&*room, Collection::Outbox, "a").await?, value(r#"{"state":"sent","y":{"q":2}}"#), "body")
}

async fn numbers(house: &dyn House) -> Kept {
    let room = house.room("numbers").await?;
    let (before, last) = commit(
        &*room,
        vec![
            put(Collection::Contacts, "a", "{}"),
            put(Collection::Links, "a", r#"{"metakocka_id":"1"}"#),
            delete(Collection::Contacts, "nothing"),
            put(Collection::Contacts, "b", "{}"),
        ],
    )
    .await?;
    equal((before, last), (0, 3), "numbers")?;
    for (collection, id, wanted) in
        [(Collection::Contacts, "a", 1), (Collection::Links, "a", 2), (Collection::Contacts, "b", 3)]
    {
        let entry = get(&*room, collection, id).await?.ok_or("gone")?;
        equal(entry.revision, wanted, id)?;
    }
    equal(commit(&*room, vec![delete(Collection::Links, "a")]).await?, (3, 4), "a delete")?;
    equal(commit(&*room, vec![delete(Collection::Links, "a")]).await?, (4, 4), "a delete of nothing")
}

async fn changes(house: &dyn House) -> Kept {
    let room = house.room("changes").await?;
    let (ids, bodies): (Vec<_>, Vec<_>) = (0..5).map(contact).unzip();
    let all = ids.iter().zip(&bodies).map(|(id, body)| put(Collection::Contacts, id, body)).collect();
    commit(&*room, all).await?;
    commit(&*room, vec![delete(Collection::Contacts, "c0001")]).await?;
    commit(&*room, vec![merged(Collection::Contacts, "c0000", r#"{"phone":"2"}"#)]).await?;
    commit(&*room, vec![put(Collection::Seen, "1", "{}")]).await?;
    let mut after = 0;
    let mut met = Vec::new();
    loop {
        let page = room.changes(Collection::Contacts, after, 2).await.map_err(failed)?;
        after = page.next;
        if page.entries.is_empty() {
            break;
        }
        ensure(page.entries.len() <= 2, || "a page over its limit".to_owned())?;
        met.extend(
            page.entries
                .into_iter()
                .map(|entry| (entry.id, entry.deleted, entry.revision, entry.body.is_empty())),
        );
    }
    let wanted = [("c0002", 3), ("c0003", 4), ("c0004", 5), ("c0001", 6), ("c0000", 7)];
    let wanted = wanted.map(|(id, revision)| (id.to_owned(), id == "c0001", revision, id == "c0001"));
    equal(met, wanted.to_vec(), "changes")?;
    equal(after, 8, "the newest revision")?;
    invalid(room.changes(Collection::Links, 0, 1).await, "changes of links")
}

async fn reborn(house: &dyn House) -> Kept {
    let room = house.room("reborn").await?;
    commit(&*room, vec![put(Collection::Contacts, "a", r#"{"phone":"1"}"#)]).await?;
    commit(&*room, vec![delete(Collection::Contacts, "a")]).await?;
    equal(get(&*room, Collection::Contacts, "a").await?, None, "a deleted contact")?;
    commit(&*room, vec![write(Collection::Contacts, "a", Expectation::Absent, Change::Put(b"{}".to_vec()))])
        .await?;
    let page = room.changes(Collection::Contacts, 0, 10).await.map_err(failed)?;
    equal(
        page.entries.iter().map(|entry| (entry.revision, entry.deleted)).collect(),
        vec![(3, false)],
        "changes",
    )?;
    equal(body(&*room, Collection::Contacts, "a").await?.get("phone").cloned(), None, "an old member")
}

async fn times(house: &dyn House) -> Kept {
    let room = house.room("times").await?;
    let old = r#"{"createdat":"2020-01-01T00:00:00.000Z","updatedat":"2020-01-02T00:00:00.000Z"}"#;
    commit(&*room, vec![put(Collection::Contacts, "a", old)]).await?;
    equal(
        body(&*room, Collection::Contacts, "a").await?.get("updatedat").cloned(),
        Some("2020-01-02T00:00:00.000Z".into()),
        "a given time",
    )?;
    let given = get(&*room, Collection::Contacts, "a").await?.ok_or("gone")?.modified_at;
    equal(given.to_rfc3339(), "2020-01-02T00:00:00+00:00".to_owned(), "modified-at")?;
    let later = r#"{"createdat":"2021-01-01T00:00:00.000Z","updatedat":"2020-01-02T00:00:00.000Z"}"#;
    commit(&*room, vec![put(Collection::Contacts, "a", later)]).await?;
    let now = body(&*room, Collection::Contacts, "a").await?;
    equal(now.get("createdat").cloned(), Some("2020-01-01T00:00:00.000Z".into()), "the creation time")?;
    let time = |body: &Value| body.get("updatedat").and_then(Value::as_str).unwrap_or_default().to_owned();
    ensure(time(&now).as_str() > "2026", || format!("a stale time was kept: {}", time(&now)))?;
    commit(&*room, vec![put(Collection::Contacts, "a", old)]).await?;
    commit(&*room, vec![merged(Collection::Contacts, "a", r#"{"phone":"1"}"#)]).await?;
    let merged = body(&*room, Collection::Contacts, "a").await?;
    ensure(time(&merged).as_str() > "2026", || format!("a merge left the time at {}", time(&merged)))
}

async fn defaults(house: &dyn House) -> Kept {
    let room = house.room("defaults").await?;
    for (given, name) in [
        (r#"{"firstname":" Ana ","lastname":"Novak"}"#, Some("Ana Novak")),
        (r#"{"lastname":"Novak"}"#, Some("Novak")),
        (r#"{"firstname":"A \"x\"","lastname":""}"#, Some("A \"x\"")),
        (r#"{"firstname":"Ana","full_name":"N. A."}"#, Some("N. A.")),
        ("{}", None),
    ] {
        commit(&*room, vec![put(Collection::Contacts, "a", given)]).await?;
        let contact = body(&*room, Collection::Contacts, "a").await?;
        equal(contact.get("full_name").and_then(Value::as_str), name, given)?;
        equal(contact.get("status").cloned(), Some("active".into()), "status")?;
    }
    let contact = body(&*room, Collection::Contacts, "a").await?;
    ensure(contact.get("firstname").is_none_or(Value::is_null), || "an empty name is not absent".to_owned())?;
    commit(&*room, vec![put(Collection::Links, "a", r#"{"metakocka_id":"1"}"#)]).await?;
    let link = r#"{"metakocka_id":"1","sync_status":"synced","state":"live"}"#;
    equal(body(&*room, Collection::Links, "a").await?, value(link), "link")
}

async fn found(
    room: &dyn Storage,
    (collection, index): (Collection, &str),
    keys: &[&str],
    limit: u32,
) -> Result<Vec<(usize, String)>, String> {
    let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    let found = room.find_many(collection, index, &keys, limit).await.map_err(failed)?;
    let mut found: Vec<_> = found.into_iter().map(|found| (found.key, found.entry.id)).collect();
    found.sort();
    Ok(found)
}

fn hits(wanted: &[(usize, &str)]) -> Vec<(usize, String)> {
    wanted.iter().map(|(key, id)| (*key, (*id).to_owned())).collect()
}

async fn find_contacts(house: &dyn House) -> Kept {
    let room = house.room("find-contacts").await?;
    commit(
        &*room,
        vec![
            put(Collection::Contacts, "a", r#"{"email":" Ana@Example.SI ","tax_number":"SI 12.345-678"}"#),
            put(Collection::Contacts, "b", r#"{"email":"ana@example.si","tax_number":"12345678"}"#),
            put(Collection::Contacts, "c", r#"{"email":"","tax_number":"si-"}"#),
            put(Collection::Contacts, "d", r#"{"tax_number":"de 99x"}"#),
        ],
    )
    .await?;
    let email = (Collection::Contacts, "email");
    let tax = (Collection::Contacts, "tax_number");
    let both = hits(&[(1, "a"), (1, "b")]);
    equal(found(&*room, email, &["nobody@x.si", "ANA@example.si", "", " "], 9).await?, both, "by e-mail")?;
    let both = hits(&[(0, "a"), (0, "b"), (2, "d"), (4, "a"), (4, "b")]);
    let keys = ["si12345678", "SI", "DE99X", "", "1234 5678"];
    equal(found(&*room, tax, &keys, 9).await?, both, "by tax number")?;
    equal(found(&*room, email, &["ana@example.si"], 1).await?.len(), 1, "the limit")?;
    commit(&*room, vec![merged(Collection::Contacts, "b", r#"{"email":"new@example.si"}"#)]).await?;
    let moved = hits(&[(0, "a"), (1, "b")]);
    equal(found(&*room, email, &["ana@example.si", "new@example.si"], 9).await?, moved, "after a change")?;
    commit(&*room, vec![delete(Collection::Contacts, "a")]).await?;
    equal(found(&*room, email, &["ana@example.si"], 9).await?, vec![], "after a delete")
}

async fn find_others(house: &dyn House) -> Kept {
    let room = house.room("find-others").await?;
    commit(
        &*room,
        vec![
            put(Collection::Links, "a", r#"{"metakocka_id":"1","sync_status":"error"}"#),
            put(Collection::Links, "b", r#"{"metakocka_id":"2"}"#),
            put(Collection::Links, "c", r#"{"metakocka_id":"3","sync_status":"error"}"#),
            put(Collection::Seen, "8", r#"{"tax_key":"t","email_key":"e"}"#),
            put(Collection::Seen, "9", r#"{"tax_key":"t"}"#),
            put(Collection::Conflicts, "a.phone", r#"{"crm_id":"a","decision":"crm"}"#),
            put(Collection::Conflicts, "a.email", r#"{"crm_id":"a"}"#),
            put(Collection::Quarantine, "crm.a", r#"{"crm_id":"a","metakocka_id":"1","retry":true}"#),
            put(Collection::Quarantine, "crm.b", r#"{"crm_id":"b","retry":false}"#),
        ],
    )
    .await?;
    for (collection, index, keys, wanted) in [
        (Collection::Links, "metakocka_id", &["2", "9", "1"][..], &[(0, "b"), (2, "a")][..]),
        (Collection::Links, "sync_status", &["error", "synced"], &[(0, "a"), (0, "c")]),
        (Collection::Seen, "tax_key", &["t"], &[(0, "8"), (0, "9")]),
        (Collection::Seen, "email_key", &["e"], &[(0, "8")]),
        (Collection::Conflicts, "crm_id", &["a"], &[(0, "a.email"), (0, "a.phone")]),
        (Collection::Conflicts, "decision", &["crm"], &[(0, "a.phone")]),
        (Collection::Quarantine, "crm_id", &["b"], &[(0, "crm.b")]),
        (Collection::Quarantine, "metakocka_id", &["1"], &[(0, "crm.a")]),
        (Collection::Quarantine, "retry", &["true"], &[(0, "crm.a")]),
    ] {
        equal(found(&*room, (collection, index), keys, 9).await?, hits(wanted), index)?;
    }
    equal(found(&*room, (Collection::Links, "sync_status"), &["error"], 1).await?.len(), 1, "the limit")?;
    marked(house).await
}

/// The index of spellings the other two cannot tell.
async fn marked(house: &dyn House) -> Kept {
    let room = house.room("marked").await?;
    let mut wanted = Vec::new();
    let mut writes = Vec::new();
    for (at, (member, value, is)) in [
        ("email", "Ana@Alfa.example", false),
        ("email", " ana+b@alfa.example ", false),
        ("email", "ana@alfa.example; b@alfa.example", true),
        ("email", "Ana <ana@alfa.example>", true),
        ("email", "ana@\u{0161}ola.example", true),
        ("email", "ana\u{200b}@alfa.example", true),
        ("email", "ana b@alfa.example", true),
        ("email", "ana@alfa.example.", true),
        ("email", "ana@alfa.example/b@alfa.example", true),
        ("email", "ana@alfa.example@b", true),
        ("tax_number", "DDV 12345678", true),
        ("tax_number", "SI 1234-5678", false),
        ("tax_number", "si12345678", false),
        ("tax_number", "12'345'678", true),
        ("tax_number", "SI 1234\u{2011}5678", true),
        ("tax_number", "\u{ff11}\u{ff12}2345678", true),
        ("tax_number", "1234+5678", true),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("m{at:02}");
        writes.push(put(Collection::Contacts, &id, &format!(r#"{{"{member}":"{value}"}}"#)));
        wanted.extend(is.then_some(id));
    }
    commit(&*room, writes).await?;
    let got = found(&*room, (Collection::Contacts, "marked"), &["true"], 99).await?;
    let wanted: Vec<(usize, &str)> = wanted.iter().map(|id| (0, id.as_str())).collect();
    equal(got, hits(&wanted), "marked contacts")
}

async fn scan(house: &dyn House) -> Kept {
    let room = house.room("scan").await?;
    let (ids, bodies): (Vec<_>, Vec<_>) = (0..5).map(contact).unzip();
    let all = ids.iter().zip(&bodies).rev().map(|(id, body)| put(Collection::Contacts, id, body)).collect();
    commit(&*room, all).await?;
    commit(&*room, vec![delete(Collection::Contacts, "c0003")]).await?;
    let mut met = Vec::new();
    let mut after = None;
    loop {
        let members = ["email".to_owned(), "phone".to_owned()];
        let page = room.scan(Collection::Contacts, after.as_deref(), &members, 2).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for entry in page {
            let wanted = format!(
                r#"{{"email":"a{}@example.si"}}"#,
                entry.id.trim_start_matches(['c', '0']).parse().unwrap_or(0)
            );
            equal(json(&entry)?, value(&wanted), "the members asked for")?;
            met.push(entry.id);
        }
    }
    equal(met, ["c0000", "c0001", "c0002", "c0004"].map(str::to_owned).to_vec(), "ids")?;
    commit(&*room, vec![put(Collection::Outbox, "a", r#"{"state":"sent","big":{"x":[1]}}"#)]).await?;
    let page = room
        .scan(Collection::Outbox, None, &["big".to_owned(), "none".to_owned()], 2)
        .await
        .map_err(failed)?;
    equal(
        page.first().map(json).transpose()?,
        Some(value(r#"{"big":{"x":[1]}}"#)),
        "members of a free body",
    )?;
    let whole = room.scan(Collection::Contacts, Some("c0002"), &[], 9).await.map_err(failed)?;
    equal(whole.first().cloned(), get(&*room, Collection::Contacts, "c0004").await?, "a whole entry")
}

async fn partner_once(house: &dyn House) -> Kept {
    let room = house.room("partner-once").await?;
    commit(&*room, vec![put(Collection::Links, "a", r#"{"metakocka_id":"1"}"#)]).await?;
    let lost = lose(
        &*room,
        vec![
            put(Collection::Contacts, "b", "{}"),
            put(Collection::Links, "c", r#"{"metakocka_id":"2"}"#),
            put(Collection::Links, "b", r#"{"metakocka_id":"1"}"#),
        ],
    )
    .await?;
    equal(lost, vec![(2, Some("a".to_owned()))], "lost races")?;
    equal(room.count(Collection::Contacts).await.map_err(failed)?, 0, "contacts")?;
    let twice = ["b", "c"].map(|id| put(Collection::Links, id, r#"{"metakocka_id":"5"}"#));
    invalid(room.commit(twice.to_vec()).await, "one partner twice in a commit")
}

async fn partner_moves(house: &dyn House) -> Kept {
    let room = house.room("partner-moves").await?;
    let link =
        |id: &str, partner: &str| put(Collection::Links, id, &format!(r#"{{"metakocka_id":"{partner}"}}"#));
    commit(&*room, vec![link("a", "1"), link("b", "2"), link("c", "3")]).await?;
    commit(&*room, vec![link("d", "1"), delete(Collection::Links, "a")]).await?;
    commit(&*room, vec![link("b", "3"), link("c", "2")]).await?;
    let partners = found(&*room, (Collection::Links, "metakocka_id"), &["1", "2", "3"], 9).await?;
    equal(partners, hits(&[(0, "d"), (1, "c"), (2, "b")]), "links")
}

async fn refused(house: &dyn House) -> Kept {
    let room = house.room("refused").await?;
    for (collection, given) in [
        (Collection::Contacts, r#"{"shoe_size":"44"}"#),
        (Collection::Contacts, r#"{"user_id":"u"}"#),
        (Collection::Contacts, r#"{"phone":1}"#),
        (Collection::Contacts, r#"{"custom":[]}"#),
        (Collection::Contacts, "[]"),
        (Collection::Contacts, r#"{"phone":"1""#),
        (Collection::Contacts, r#"{"phone":"1"} x"#),
        (Collection::Contacts, ""),
        (Collection::Links, "{}"),
        (Collection::Links, r#"{"metakocka_id":""}"#),
        (Collection::Links, r#"{"metakocka_id":"1","sync_status":"fine"}"#),
        (Collection::Outbox, "[]"),
        (Collection::Outbox, r#""text""#),
        (Collection::Outbox, r#"{"a":}"#),
        (Collection::Quarantine, r#"{"attempts":"3"}"#),
        (Collection::Quarantine, r#"{"retry":"true"}"#),
        (Collection::History, r#"{"side":"both"}"#),
        (Collection::Links, r#"{"metakocka_id":"1","metadata":[]}"#),
        (Collection::Contacts, r#"{"company":"\ud800"}"#),
        (Collection::Contacts, r#"{"company":"x\udc00y"}"#),
        (Collection::Contacts, r#"{"company":"\ud83d\ud83d\ude00"}"#),
        (Collection::Contacts, r#"{"custom":{"mine":["\uD800"]}}"#),
        (Collection::Outbox, r#"{"\udfff":1}"#),
        (Collection::Outbox, r#"{"deep":[{"a":"\\\ud800"}]}"#),
        (Collection::History, r#"{"old":"\ud800"}"#),
    ] {
        invalid(room.commit(vec![put(collection, "a", given)]).await, given)?;
    }
    for given in [r#"{"x":1}"#, r#"{"phone":"\ud800"}"#] {
        invalid(room.commit(vec![merged(Collection::Contacts, "a", given)]).await, given)?;
    }
    let bytes = Change::Put(b"{\"company\":\"\xff\"}".to_vec());
    let writes =
        vec![put(Collection::Contacts, "a", "{}"), write(Collection::Contacts, "b", Expectation::Any, bytes)];
    let answer = room.commit(writes).await;
    ensure(matches!(&answer, Err(StorageError::Invalid(why)) if why.contains("write 1 (b)")), || {
        format!("bytes that are no text are not named: {answer:?}")
    })?;
    invalid(room.commit(vec![put(Collection::Contacts, "", "{}")]).await, "an empty id")?;
    let twice = vec![put(Collection::Contacts, "a", "{}"), delete(Collection::Contacts, "a")];
    invalid(room.commit(twice).await, "an entry twice")?;
    let member = ["shoe_size".to_owned()];
    invalid(room.scan(Collection::Contacts, None, &member, 1).await, "an unknown member to scan")?;
    invalid(room.find_many(Collection::Contacts, "phone", &["1".to_owned()], 1).await, "an unknown index")?;
    equal(room.count(Collection::Contacts).await.map_err(failed)?, 0, "contacts")?;
    let secret = r#"{"phone":{"hush":"hush"}}"#;
    let answer = room.commit(vec![put(Collection::Contacts, "a", secret)]).await;
    ensure(!format!("{answer:?}").contains("hush"), || format!("an error quotes the record: {answer:?}"))
}

async fn limits(house: &dyn House) -> Kept {
    let room = house.room("limits").await?;
    let ids: Vec<_> = (0..=MAX_ITEMS).map(|at| format!("{at:05}")).collect();
    invalid(room.get_many(Collection::Seen, &ids).await, "too many ids")?;
    invalid(room.find_many(Collection::Seen, "tax_key", &ids, 1).await, "too many keys")?;
    invalid(room.scan(Collection::Seen, None, &[], MAX_SCAN + 1).await, "too long a scan")?;
    invalid(room.changes(Collection::Contacts, 0, MAX_ITEMS as u32 + 1).await, "too many changes")?;
    invalid(room.changes(Collection::Contacts, 0, 0).await, "a page of no changes")?;
    let writes: Vec<_> = ids.iter().map(|id| put(Collection::Seen, id, "{}")).collect();
    invalid(room.commit(writes.clone()).await, "too many writes")?;
    let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_COMMIT_BYTES));
    invalid(room.commit(vec![put(Collection::Plans, "a", &big)]).await, "too many bytes")?;
    let most = writes.into_iter().take(MAX_ITEMS).collect();
    equal(commit(&*room, most).await?, (0, MAX_ITEMS as u64), "as many as may be")?;
    let most = ids.get(..MAX_ITEMS).unwrap_or_default();
    equal(room.get_many(Collection::Seen, most).await.map_err(failed)?.len(), MAX_ITEMS, "as many ids")
}

async fn tenants(house: &dyn House) -> Kept {
    let (one, two) = (house.room("tenant-one").await?, house.room("tenant-two").await?);
    let writes = |phone: &str| {
        vec![
            put(Collection::Contacts, "a", &format!(r#"{{"phone":"{phone}","email":"a@b.si"}}"#)),
            put(Collection::Links, "a", &format!(r#"{{"metakocka_id":"1","raw_hash":"{phone}"}}"#)),
            put(Collection::Outbox, "a", &format!(r#"{{"phone":"{phone}"}}"#)),
            put(Collection::History, "a", &format!(r#"{{"old":"{phone}"}}"#)),
        ]
    };
    equal(commit(&*one, writes("1")).await?, (0, 4), "the first tenant's numbers")?;
    equal(commit(&*two, writes("2")).await?, (0, 4), "the second tenant's numbers")?;
    commit(
        &*one,
        vec![merged(Collection::Contacts, "a", r#"{"city":"L"}"#), put(Collection::Contacts, "b", "{}")],
    )
    .await?;
    equal(body(&*two, Collection::Contacts, "a").await?.get("city").cloned(), None, "the other one's merge")?;
    equal(body(&*two, Collection::History, "a").await?, value(r#"{"old":"2"}"#), "history")?;
    let mine = found(&*two, (Collection::Contacts, "email"), &["a@b.si"], 9).await?;
    equal(mine, hits(&[(0, "a")]), "by e-mail")?;
    equal(two.count(Collection::Contacts).await.map_err(failed)?, 1, "count")?;
    equal(two.scan(Collection::Contacts, None, &[], 9).await.map_err(failed)?.len(), 1, "scan")?;
    equal(two.changes(Collection::Contacts, 0, 9).await.map_err(failed)?.entries.len(), 1, "changes")?;
    for collection in [Collection::Contacts, Collection::Links, Collection::Outbox, Collection::History] {
        commit(&*two, vec![delete(collection, "a")]).await?;
        ensure(get(&*one, collection, "a").await?.is_some(), || format!("{} crossed", collection.name()))?;
    }
    Ok(())
}

async fn sealed(house: &dyn House) -> Kept {
    let room = house.room("sealed").await?;
    let first = r#"{"field":"phone","old":{"x":["hush",null,1.50]},"new":"ž\"\\"}"#;
    commit(&*room, vec![put(Collection::History, "a", first)]).await?;
    equal(body(&*room, Collection::History, "a").await?, value(first), "history")?;
    commit(&*room, vec![merged(Collection::History, "a", r#"{"old":null,"reason":"r"}"#)]).await?;
    let wanted = r#"{"field":"phone","new":"ž\"\\","reason":"r"}"#;
    equal(body(&*room, Collection::History, "a").await?, value(wanted), "a merged entry")
}

async fn texts(house: &dyn House) -> Kept {
    let room = house.room("texts").await?;
    let odd =
        [r"'; DROP TABLE contacts; --", "ž Č 漢 🦀", "\" \\ / \n \t", "null", "{}", " x ", "\u{1}\u{7f}"];
    let whole = r#"{"company":"\ud83e\udd80 \\ud800"}"#;
    commit(&*room, vec![put(Collection::Contacts, "whole", whole)]).await?;
    let got = body(&*room, Collection::Contacts, "whole").await?;
    equal(
        got.get("company"),
        Some(&Value::from("🦀 \\ud800")),
        "a whole pair, and what only looks like half of one",
    )?;
    commit(&*room, vec![delete(Collection::Contacts, "whole")]).await?;
    for (at, text) in odd.iter().enumerate() {
        let id = format!("{at} {text}");
        let given = serde_json::json!({ "notes": text, "custom": { *text: text } });
        commit(&*room, vec![put(Collection::Contacts, &id, &given.to_string())]).await?;
        let got = body(&*room, Collection::Contacts, &id).await?;
        equal(got.get("notes"), given.get("notes"), "a text")?;
        equal(got.get("custom"), given.get("custom"), "a custom member")?;
    }
    equal(room.count(Collection::Contacts).await.map_err(failed)?, odd.len() as u64, "count")
}

async fn checks(house: &dyn House) -> Kept {
    let room = house.room("checks").await?;
    let check = |id: &str, expect| write(Collection::Links, id, expect, Change::Check);
    let link =
        |id: &str, partner: &str| put(Collection::Links, id, &format!(r#"{{"metakocka_id":"{partner}"}}"#));
    let (_, first) = commit(&*room, vec![link("a", "1")]).await?;
    let (before, last) = commit(
        &*room,
        vec![
            check("a", Expectation::Revision(first)),
            check("none", Expectation::Absent),
            link("b", "2"),
            put(Collection::Outbox, "b", "{}"),
        ],
    )
    .await?;
    equal((before, last), (first, first + 2), "numbers of a commit with two checks and two puts")?;
    let kept = get(&*room, Collection::Links, "a").await?.map(|entry| entry.revision);
    equal(kept, Some(first), "the revision of a checked entry")?;
    equal(
        lose(&*room, vec![check("a", Expectation::Absent), put(Collection::Outbox, "c", "{}")]).await?,
        vec![(0, Some("a".to_owned()))],
        "a check for nothing where something is",
    )?;
    equal(
        lose(&*room, vec![put(Collection::Outbox, "c", "{}"), check("none", Expectation::Revision(first))])
            .await?,
        vec![(1, None)],
        "a check for something where nothing is",
    )?;
    ensure(get(&*room, Collection::Outbox, "c").await?.is_none(), || {
        "a lost commit stored something".to_owned()
    })?;
    // The holder of a partner is only looked at, so the write that wants the partner is the one that loses.
    equal(
        lose(&*room, vec![check("a", Expectation::Revision(first)), link("c", "1")]).await?,
        vec![(1, Some("a".to_owned()))],
        "a partner wanted beside a check of its holder",
    )
}

async fn empty(house: &dyn House) -> Kept {
    let room = house.room("empty").await?;
    equal(commit(&*room, vec![]).await?, (0, 0), "numbers")?;
    equal(room.get_many(Collection::Contacts, &[]).await.map_err(failed)?, vec![], "get")?;
    equal(found(&*room, (Collection::Seen, "tax_key"), &[], 9).await?, vec![], "find")?;
    let page = room.changes(Collection::Contacts, 0, 9).await.map_err(failed)?;
    equal((page.entries.len(), page.next), (0, 0), "changes")
}
