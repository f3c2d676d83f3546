//! What only the SQLite store promises: its file, its lock, and other programs' SQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::seal::{Keys, Secret};
use crate::store::promises::{House, keep_all};
use crate::store::{
    Access, Change, Collection, CommitOutcome, Entry, Expectation, LogRecord, Run, Storage, StorageError,
    Store, StoreError, StoreUrl, Tenant, Write,
};

/// A store in a folder of its own.
struct Site {
    folder: TempDir,
    store: Store,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, Access::Write).await.unwrap();
        Self { folder, store }
    }

    async fn tenant(&self, name: &str) -> (Tenant, Arc<dyn Storage>) {
        let tenant = self.store.add_tenant(name, None, None).await.unwrap();
        self.store.connect(&tenant, "https://erp/", "1", &Secret::new("hush-hush")).await.unwrap();
        let room = self.store.storage(&tenant).await.unwrap();
        (tenant, room)
    }

    /// Another program at the same file.
    async fn foreign(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.folder.path().join("crm.db")).connect().await.unwrap()
    }

    /// Everything the store's files hold.
    fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

async fn open(folder: &TempDir, access: Access) -> Result<Store, StoreError> {
    Store::open(&StoreUrl::file(folder.path().join("crm.db")), access, Keys::from_bytes([7; 32])).await
}

async fn run(sql: &str, on: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(on).await.map(|done| done.rows_affected())
}

fn put(collection: Collection, id: &str, body: &str) -> Write {
    Write { collection, id: id.into(), expect: Expectation::Any, change: Change::Put(body.into()) }
}

/// `id revision deleted` of each change.
async fn changes(room: &dyn Storage, after: u64) -> Vec<String> {
    let page = room.changes(Collection::Contacts, after, 100).await.unwrap();
    let shown = |entry: &Entry| {
        format!("{} {}{}", entry.id, entry.revision, if entry.deleted { " gone" } else { "" })
    };
    page.entries.iter().map(shown).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[async_trait]
impl House for Site {
    async fn room(&self, tenant: &str) -> Result<Arc<dyn Storage>, String> {
        Ok(self.tenant(tenant).await.1)
    }
}

#[tokio::test]
async fn keeps_all_promises() {
    keep_all(&Site::new().await).await.unwrap();
}

#[tokio::test]
async fn plain_sql_is_a_change_like_any_other() {
    let site = Site::new().await;
    let (tenant, room) = site.tenant("t").await;
    let (id, mut crm) = (tenant.id, site.foreign().await);
    let insert = |columns: &str, values: &str| {
        format!("INSERT INTO contacts (tenant_id, {columns}) VALUES ('{id}', {values})")
    };

    run(
        &insert("id, firstname, lastname, email, tax_number", "'a', 'Ana', 'Novak', 'ANA@x.si', 'SI-12 3'"),
        &mut crm,
    )
    .await
    .unwrap();
    run(&insert("id", "'b'"), &mut crm).await.unwrap();
    run(&insert("id", "'c'"), &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 0).await, ["a 1", "b 2", "c 3"]);
    let entry = room.get_many(Collection::Contacts, &["a".into()]).await.unwrap().remove(0);
    let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
    assert_eq!((&body["full_name"], &body["status"]), (&"Ana Novak".into(), &"active".into()));
    assert!(body["createdat"].is_string() && body["updatedat"].is_string());
    for (index, key) in [("email", "ana@X.si"), ("tax_number", "123")] {
        let found = room.find_many(Collection::Contacts, index, &[key.into()], 9).await.unwrap();
        assert_eq!(found.len(), 1, "{index}");
    }
    let owner = sqlx::query("SELECT user_id FROM contacts WHERE id = 'a'").fetch_one(&mut crm).await.unwrap();
    assert_eq!(owner.get::<String, _>(0), tenant.user_id.unwrap().to_string());

    run("UPDATE contacts SET phone = '1', updatedat = '2020-01-01T00:00:00Z' WHERE id = 'a'", &mut crm)
        .await
        .unwrap();
    assert_eq!(changes(&*room, 3).await, ["a 4"]);
    let entry = room.get_many(Collection::Contacts, &["a".into()]).await.unwrap().remove(0);
    assert_eq!(entry.modified_at.to_rfc3339(), "2020-01-01T00:00:00+00:00", "the writer's own time stays");
    run("UPDATE contacts SET phone = '2' WHERE id = 'a'", &mut crm).await.unwrap();
    let entry = room.get_many(Collection::Contacts, &["a".into()]).await.unwrap().remove(0);
    assert!(entry.modified_at.to_rfc3339().as_str() > "2026", "a writer without a time gets ours");

    run("UPDATE contacts SET city = 'L'", &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 5).await, ["a 6", "b 7", "c 8"], "each row has a number of its own");
    run("DELETE FROM contacts WHERE id IN ('a', 'b')", &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 8).await, ["a 9 gone", "b 10 gone"]);
    run(&insert("id", "'a'"), &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 8).await, ["b 10 gone", "a 11"], "a record that is back has no tombstone");
    // A row copied back from a backup, old revision and all.
    run(&insert("id, revision, updatedat", "'b', 2, '2020-01-01T00:00:00.000Z'"), &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 10).await, ["a 11", "b 12"]);

    // Ours and theirs take turns without a gap.
    let ours = room.commit(vec![put(Collection::Contacts, "d", "{}")]).await.unwrap();
    assert_eq!(ours, CommitOutcome::Committed { before: 12, last: 13 });
    run("UPDATE contacts SET city = 'M' WHERE id = 'd'", &mut crm).await.unwrap();
    run(
        "INSERT OR REPLACE INTO contacts (tenant_id, id) SELECT tenant_id, id FROM contacts WHERE id = 'c'",
        &mut crm,
    )
    .await
    .unwrap();
    assert_eq!(changes(&*room, 13).await, ["d 14", "c 15"]);
    let stale = Write { expect: Expectation::Revision(13), ..put(Collection::Contacts, "d", "{}") };
    assert!(matches!(room.commit(vec![stale]).await.unwrap(), CommitOutcome::Lost(_)));
}

#[tokio::test]
async fn plain_sql_that_would_break_the_books_is_refused() {
    let site = Site::new().await;
    let (tenant, room) = site.tenant("t").await;
    let (other, _) = site.tenant("u").await;
    let mut crm = site.foreign().await;
    room.commit(vec![put(Collection::Contacts, "a", "{}")]).await.unwrap();
    for sql in [
        "UPDATE contacts SET id = 'b'".to_owned(),
        format!("UPDATE contacts SET tenant_id = '{}'", other.id),
        format!("INSERT INTO contacts (tenant_id, id) VALUES ('{}', 'x')", Uuid::now_v7()),
        format!("INSERT INTO contacts (tenant_id, id, custom) VALUES ('{}', 'x', 'no json')", tenant.id),
        format!("INSERT INTO contacts (tenant_id) VALUES ('{}')", tenant.id),
    ] {
        assert!(run(&sql, &mut crm).await.is_err(), "{sql}");
    }
    run("UPDATE contacts SET id = id, tenant_id = tenant_id, phone = '1'", &mut crm).await.unwrap();
    assert_eq!(changes(&*room, 0).await, ["a 2"]);
}

#[tokio::test]
async fn nothing_of_ours_looks_foreign() {
    let site = Site::new().await;
    let (_, room) = site.tenant("t").await;
    let all = |body: &str| ["a", "b", "c"].map(|id| put(Collection::Contacts, id, body)).to_vec();
    for last in [3, 6] {
        room.commit(all("{}")).await.unwrap();
        assert_eq!(
            room.changes(Collection::Contacts, 0, 9).await.unwrap().entries.last().unwrap().revision,
            last
        );
    }
    let delete = Write { change: Change::Delete, ..put(Collection::Contacts, "b", "") };
    room.commit(vec![put(Collection::Contacts, "d", "{}"), delete]).await.unwrap();
    assert_eq!(changes(&*room, 0).await, ["a 4", "c 6", "d 7", "b 8 gone"]);
    let next = room.commit(all("{}")).await.unwrap();
    assert_eq!(next, CommitOutcome::Committed { before: 8, last: 11 });
}

#[tokio::test]
async fn several_processes_write_and_read() {
    let site = Site::new().await;
    let (tenant, room) = site.tenant("t").await;
    let other = open(&site.folder, Access::Write).await.unwrap();
    let there = other.storage(&other.tenant("t").await.unwrap()).await.unwrap();
    there.commit(vec![put(Collection::Contacts, "other", "{}")]).await.unwrap();
    drop(there);
    other.close().await;

    let reader = open(&site.folder, Access::Read).await.unwrap();
    let reading = reader.storage(&reader.tenant("t").await.unwrap()).await.unwrap();
    room.commit(vec![put(Collection::Contacts, "a", "{}")]).await.unwrap();
    assert_eq!(reading.count(Collection::Contacts).await.unwrap(), 2, "a commit is seen beside the writer");
    let write = reading.commit(vec![put(Collection::Contacts, "b", "{}")]).await;
    assert!(matches!(write, Err(StorageError::Unavailable(_))), "{write:?}");
    assert!(matches!(reader.add_tenant("x", None, None).await, Err(StoreError::ReadOnly)));
    drop((reader, reading, room));

    site.store.close().await;
    let reader = open(&site.folder, Access::Read).await.unwrap();
    assert_eq!(reader.tenants().await.unwrap(), [tenant], "without any writer");
    open(&site.folder, Access::Write).await.unwrap();
}

mod leases {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::store::lease::{Lease, LeaseRequest, Leased};
    use crate::store::process::Process;

    const LENGTH: Duration = Duration::from_secs(30);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn request(tenant: Uuid, company: &str) -> LeaseRequest {
        LeaseRequest {
            tenant,
            company: company.to_owned(),
            run: Uuid::now_v7(),
            kind: "apply contacts".to_owned(),
            process: Process::this(),
        }
    }

    async fn take(site: &Site, request: &LeaseRequest, second: i64) -> Result<Lease, String> {
        match site.store.lease(request, at(second), LENGTH).await.unwrap() {
            Leased::Taken(lease) => Ok(lease),
            Leased::Held(holder) => Err(holder.to_string()),
        }
    }

    #[tokio::test]
    async fn one_of_two_gets_it_and_both_rows_or_none() {
        let site = Site::new().await;
        let (tenant, _) = site.tenant("t").await;
        let (other, _) = site.tenant("u").await;
        let first = take(&site, &request(tenant.id, "one"), 0).await.unwrap();
        let held = take(&site, &request(tenant.id, "two"), 1).await.unwrap_err();
        assert!(held.contains(&format!("process {}", std::process::id())), "{held}");
        let held = take(&site, &request(other.id, "one"), 1).await.unwrap_err();
        assert!(held.contains("another tenant"), "{held}");
        // What was refused has taken nothing of the two.
        take(&site, &request(other.id, "two"), 1).await.unwrap();
        assert!(site.store.renew(&first, at(20), LENGTH).await.unwrap());
        assert!(take(&site, &request(tenant.id, "one"), 49).await.is_err(), "renewed until 50");
        site.store.release(&first).await.unwrap();
        let next = take(&site, &request(tenant.id, "one"), 49).await.unwrap();
        assert!(next.tenant_fence > first.tenant_fence && next.company_fence > first.company_fence);
    }

    #[tokio::test]
    async fn whoever_was_overtaken_stores_nothing() {
        let site = Site::new().await;
        let (tenant, _) = site.tenant("t").await;
        let first = take(&site, &request(tenant.id, "one"), 0).await.unwrap();
        let room = site.store.leased_storage(&tenant, &first).await.unwrap();
        room.commit(vec![put(Collection::Contacts, "a", "{}")]).await.unwrap();
        let second = take(&site, &request(tenant.id, "one"), 30).await.unwrap();
        let late = room.commit(vec![put(Collection::Contacts, "b", "{}")]).await;
        assert!(
            matches!(&late, Err(StorageError::Unavailable(text)) if text.contains("overtaken") || text.contains("another one")),
            "{late:?}"
        );
        assert_eq!(room.count(Collection::Contacts).await.unwrap(), 1);
        assert!(!site.store.renew(&first, at(31), LENGTH).await.unwrap());
        // Letting go of what is not its own changes nothing.
        site.store.release(&first).await.unwrap();
        let room = site.store.leased_storage(&tenant, &second).await.unwrap();
        room.commit(vec![put(Collection::Contacts, "c", "{}")]).await.unwrap();
        // One row that is overtaken is enough: another tenant took the company only.
        let (other, _) = site.tenant("u").await;
        take(&site, &request(other.id, "one"), 61).await.unwrap();
        assert!(room.commit(vec![put(Collection::Contacts, "d", "{}")]).await.is_err());
    }

    #[tokio::test]
    async fn a_process_that_is_gone_holds_nothing() {
        let site = Site::new().await;
        let (tenant, _) = site.tenant("t").await;
        let mut gone = request(tenant.id, "one");
        gone.process.started = "1".to_owned();
        take(&site, &gone, 0).await.unwrap();
        take(&site, &request(tenant.id, "one"), 1).await.unwrap();
        // Of one on another machine nobody knows.
        let (other, _) = site.tenant("u").await;
        let mut elsewhere = request(other.id, "two");
        elsewhere.process.machine = "elsewhere".to_owned();
        take(&site, &elsewhere, 0).await.unwrap();
        assert!(take(&site, &request(other.id, "two"), 29).await.is_err());
        take(&site, &request(other.id, "two"), 30).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_killed_writer_left_is_read_and_written_on() {
    let site = Site::new().await;
    let (_, room) = site.tenant("t").await;
    room.commit(vec![put(Collection::Contacts, "a", "{}")]).await.unwrap();
    // The files as a kill leaves them: the commit is in the log only, and nobody cleaned up.
    let left = tempfile::tempdir().unwrap();
    for name in ["crm.db", "crm.db-wal", "crm.db.lock"] {
        std::fs::copy(site.folder.path().join(name), left.path().join(name)).unwrap();
    }
    for access in [Access::Read, Access::Write] {
        let store = open(&left, access).await.unwrap();
        let room = store.storage(&store.tenant("t").await.unwrap()).await.unwrap();
        assert_eq!(changes(&*room, 0).await, ["a 1"], "{access:?}");
        drop(room);
        store.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(&folder, Access::Read).await.unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    assert!(!folder.path().join("crm.db").exists(), "reading makes nothing");

    std::fs::write(
        folder.path().join("crm.db"),
        "not a database, but long enough to look like one".repeat(40),
    )
    .unwrap();
    for access in [Access::Read, Access::Write] {
        let foreign = open(&folder, access).await.unwrap_err();
        assert!(matches!(foreign, StoreError::Foreign { .. }), "{access:?}: {foreign}");
    }
}

#[tokio::test]
async fn a_newer_and_an_older_store_are_refused() {
    let site = Site::new().await;
    let mut other = site.foreign().await;
    let step = "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, 1, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    run(step, &mut other).await.unwrap();
    site.store.close().await;
    for access in [Access::Read, Access::Write] {
        let refused = open(&site.folder, access).await.unwrap_err().to_string();
        assert!(refused.contains("newer host-harness") && refused.contains("9999"), "{access:?}: {refused}");
    }
    run("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) - 9994 FROM _sqlx_migrations) OR version = 9999", &mut other).await.unwrap();
    let refused = open(&site.folder, Access::Read).await.unwrap_err();
    assert!(matches!(refused, StoreError::Older { .. }), "{refused}");
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let site = Site::new().await;
    site.tenant("t").await;
    site.store.close().await;
    let url = StoreUrl::file(site.folder.path().join("crm.db"));
    for access in [Access::Read, Access::Write] {
        let refused = Store::open(&url, access, Keys::from_bytes([8; 32])).await.unwrap_err().to_string();
        assert!(refused.contains("HARNESS_MASTER_KEY"), "{refused}");
    }
}

#[tokio::test]
async fn sealed_values_cannot_be_read_in_the_file() {
    let site = Site::new().await;
    let (_, room) = site.tenant("t").await;
    room.commit(vec![
        put(Collection::History, "h", r#"{"field":"openly","old":"hush-old","new":"hush-new"}"#),
        put(Collection::Quarantine, "q", r#"{"payload":{"x":"hush-payload"}}"#),
    ])
    .await
    .unwrap();
    let bytes = site.bytes();
    assert!(holds(&bytes, "openly"), "the test looks at the right bytes");
    for text in ["hush-hush", "hush-old", "hush-new", "hush-payload"] {
        assert!(!holds(&bytes, text), "{text}");
    }
}

#[tokio::test]
async fn tenants_are_unique() {
    let site = Site::new().await;
    let (organization, user) = (Uuid::now_v7(), Uuid::now_v7());
    let one = site.store.add_tenant("one", Some(organization), Some(user)).await.unwrap();
    let two = site.store.add_tenant("two", None, Some(user)).await.unwrap();
    for (name, organization, user, what) in [
        ("one", None, None, "name"),
        ("three", Some(organization), None, "organization"),
        ("three", None, Some(user), "user"),
    ] {
        let refused = site.store.add_tenant(name, organization, user).await.unwrap_err();
        assert!(matches!(refused, StoreError::TenantTaken { what: it } if it == what), "{what}: {refused}");
    }
    assert!(matches!(site.store.add_tenant(" ", None, None).await, Err(StoreError::NoName)));
    assert_eq!(site.store.tenants().await.unwrap(), [one.clone(), two]);
    assert_eq!(site.store.tenant("one").await.unwrap(), one);
    assert_eq!(site.store.tenant(&one.id.to_string()).await.unwrap(), one);
    assert!(matches!(site.store.tenant("three").await, Err(StoreError::NoTenant(_))));
}

#[tokio::test]
async fn a_tenant_keeps_its_company() {
    let site = Site::new().await;
    let tenant = site.store.add_tenant("t", None, None).await.unwrap();
    let connect = async |url: &str, company: &str, secret: &str| {
        site.store.connect(&tenant, url, company, &Secret::new(secret)).await
    };
    assert_eq!(site.store.connection(&tenant).await.unwrap(), None);
    assert!(matches!(site.store.connection_used(&tenant).await, Err(StoreError::NotConnected(_))));

    // Contacts may come before a connection; what belongs to a company may not.
    let room = site.store.storage(&tenant).await.unwrap();
    room.commit(vec![put(Collection::Contacts, "a", "{}")]).await.unwrap();
    let refused = room.commit(vec![put(Collection::Links, "a", r#"{"metakocka_id":"1"}"#)]).await;
    assert!(
        matches!(&refused, Err(StorageError::Unavailable(why)) if why.contains("connect")),
        "{refused:?}"
    );
    assert_eq!(room.count(Collection::Links).await.unwrap(), 0);

    connect("https://erp/", "1", "first").await.unwrap();
    connect("https://erp/", "2", "other").await.unwrap();
    connect("https://erp/", "1", "second").await.unwrap();
    let connection = site.store.connection(&tenant).await.unwrap().unwrap();
    assert_eq!((connection.company_id.as_str(), connection.secret.expose()), ("1", "second"));
    assert!(!format!("{connection:?}").contains("second"));
    site.store.connection_used(&tenant).await.unwrap();
    site.store.connection_synced(&tenant, "error", Some("no luck")).await.unwrap();

    let room = site.store.storage(&tenant).await.unwrap();
    room.commit(vec![put(Collection::Links, "a", r#"{"metakocka_id":"1"}"#)]).await.unwrap();
    for (url, company) in [("https://erp/", "2"), ("https://other/", "1")] {
        let refused = connect(url, company, "x").await.unwrap_err().to_string();
        assert!(refused.contains("1 links") && refused.contains("another tenant"), "{refused}");
    }
    connect("https://erp/", "1", "third").await.unwrap();
    let connection = site.store.connection(&tenant).await.unwrap().unwrap();
    assert_eq!((connection.secret.expose(), connection.sync_status.as_str()), ("third", "error"));
    assert_eq!(connection.sync_error.as_deref(), Some("no luck"));
    assert!(connection.last_sync_at.is_some());
}

#[tokio::test]
async fn settings_runs_and_logs() {
    let site = Site::new().await;
    let (tenant, room) = site.tenant("t").await;
    let store = &site.store;
    store.set_setting(&tenant, "contacts.direction", &"bidirectional".into()).await.unwrap();
    store.set_setting(&tenant, "retry.attempts", &3.into()).await.unwrap();
    store.set_setting(&tenant, "retry.attempts", &4.into()).await.unwrap();
    store.unset_setting(&tenant, "never.set").await.unwrap();
    assert_eq!(store.setting(&tenant, "retry.attempts").await.unwrap(), Some(4.into()));
    assert_eq!(room.count(Collection::Settings).await.unwrap(), 2, "the guest sees them");
    store.unset_setting(&tenant, "retry.attempts").await.unwrap();
    let left = store.settings(&tenant).await.unwrap();
    assert_eq!(left, [("contacts.direction".to_owned(), "bidirectional".into())]);

    let first = Run::begin(&tenant, "contacts", "from-metakocka", "apply");
    let second = Run::begin(&tenant, "products", "from-metakocka", "plan");
    store.start_run(&first).await.unwrap();
    store.start_run(&second).await.unwrap();
    let result = serde_json::json!({ "created": 1 });
    store.finish_run(&first, first.started_at, true, &result).await.unwrap();
    assert!(matches!(
        store.finish_run(&first, first.started_at, true, &result).await,
        Err(StoreError::NoRun(_))
    ));
    let runs = store.runs(&tenant, None, 9).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(
        (runs[1].success, runs[1].result.clone(), runs[0].finished_at),
        (Some(true), Some(result), None)
    );
    assert_eq!(store.runs(&tenant, Some("contacts"), 9).await.unwrap().len(), 1);

    let record = LogRecord {
        level: "error".into(),
        category: "sync".into(),
        message: "it's \"broken\"".into(),
        context: Some(serde_json::json!({ "run": 1 })),
        tags: vec!["a".into()],
        duration_ms: Some(5),
        ..LogRecord::default()
    };
    store.append_logs(&tenant, &[record.clone(), record]).await.unwrap();
    store.append_logs(&tenant, &[]).await.unwrap();
    let row = sqlx::query("SELECT count(*), max(message), max(context->>'run'), max(tags), max(duration_ms), max(error_status) FROM metakocka_integration_logs")
        .fetch_one(&mut site.foreign().await).await.unwrap();
    assert_eq!(
        (row.get::<i64, _>(0), row.get::<&str, _>(1), row.get::<i64, _>(2)),
        (2, "it's \"broken\"", 1)
    );
    assert_eq!((row.get::<&str, _>(3), row.get::<i64, _>(4), row.get::<&str, _>(5)), ("[\"a\"]", 5, "new"));
}

#[tokio::test]
async fn many_tenants_write_at_once() {
    let site = Site::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for name in ["a", "b", "c", "d"] {
        let (_, room) = site.tenant(name).await;
        for part in 0..5 {
            let room = Arc::clone(&room);
            tasks.spawn(async move {
                let writes =
                    (0..20).map(|at| put(Collection::Contacts, &format!("{part}-{at}"), "{}")).collect();
                room.commit(writes).await.unwrap();
                room.scan(Collection::Contacts, None, &[], 1_000).await.unwrap().len()
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        assert!(done.unwrap() >= 20);
    }
    for name in ["a", "b", "c", "d"] {
        let room = site.store.storage(&site.store.tenant(name).await.unwrap()).await.unwrap();
        let page = room.changes(Collection::Contacts, 0, 1_000).await.unwrap();
        let revisions: Vec<_> = page.entries.iter().map(|entry| entry.revision).collect();
        assert_eq!(revisions, (1..=100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn look_ups_use_their_indexes() {
    let site = Site::new().await;
    let mut other = site.foreign().await;
    for collection in Collection::ALL {
        let statements = super::sql::of(collection).unwrap();
        let keyed = [
            &statements.get,
            &statements.look,
            &statements.scan,
            &statements.delete,
            &*super::sql::CONTACT_CHANGES,
        ];
        for sql in keyed.into_iter().chain(&statements.find) {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .bind("t")
                .bind(1)
                .bind("[]")
                .bind(1)
                .fetch_all(&mut other)
                .await;
            let plan = match plan {
                Ok(plan) => plan,
                // The statement has no fourth parameter.
                Err(_) => sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                    .bind("t")
                    .bind(1)
                    .bind("[]")
                    .fetch_all(&mut other)
                    .await
                    .unwrap(),
            };
            for row in plan {
                let step: String = row.get("detail");
                let whole = step.starts_with("SCAN")
                    && !step.contains("VIRTUAL TABLE")
                    && !step.contains("subquery")
                    && !step.contains("(");
                assert!(!whole, "{}: {step}\n{sql}", collection.name());
            }
        }
    }
}

/// What the writer's connection promises, as the database itself tells it.
#[tokio::test]
async fn commits_survive_the_machine_and_writers_wait_for_each_other() {
    let site = Site::new().await;
    let writer = super::writer(&site.folder.path().join("crm.db")).await.unwrap();
    let told = async |pragma: &str| -> String {
        let row = sqlx::query(AssertSqlSafe(format!("PRAGMA {pragma}"))).fetch_one(&writer).await.unwrap();
        row.try_get::<i64, _>(0).map_or_else(|_| row.get::<String, _>(0), |number| number.to_string())
    };
    assert_eq!(told("synchronous").await, "2", "FULL");
    assert_eq!(told("journal_mode").await, "wal");
    assert_eq!(told("busy_timeout").await, super::BUSY.as_millis().to_string());
    assert_eq!(told("foreign_keys").await, "1");
}
