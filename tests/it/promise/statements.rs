//! Every statement of the store, one after the other, for a tenant whose ids are those of its neighbour: the neighbour's
//! rows stay what they were. And a new company of a tenant sees nothing of the old one.

use std::sync::Arc;

use host_harness::seal::{Keys, Secret};
use host_harness::store::{
    Access, Change, Collection, Expectation, LogRecord, Run, Storage, Store, StoreUrl, Tenant, Write,
};
use proof::sql::everything_of;
use serde_json::json;

/// A body of each collection, and a patch of it.
const BODIES: [(Collection, &str, &str); 10] = [
    (
        Collection::Contacts,
        r#"{"company":"A","email":"a@a.example","tax_number":"SI12345678"}"#,
        r#"{"phone":"1"}"#,
    ),
    (Collection::Links, r#"{"metakocka_id":"400","sync_status":"pending"}"#, r#"{"sync_status":"synced"}"#),
    (
        Collection::Seen,
        r#"{"raw_hash":"1","tax_key":"1","email_key":"a@a.example","reason":"x"}"#,
        r#"{"reason":"y"}"#,
    ),
    (Collection::Outbox, r#"{"state":"open"}"#, r#"{"state":"unknown"}"#),
    (Collection::Checkpoints, r#"{"pushed":1}"#, r#"{"pushed":2}"#),
    (Collection::Plans, r#"{"items":[]}"#, r#"{"items":["x"]}"#),
    (
        Collection::Conflicts,
        r#"{"kind":"contacts","crm_id":"a","metakocka_id":"400","field":"phone","since":"2026-01-01T00:00:00.000Z","decision":"crm"}"#,
        r#"{"decision":"metakocka"}"#,
    ),
    (
        Collection::History,
        r#"{"kind":"contacts","crm_id":"a","metakocka_id":"400","side":"crm","field":"phone","reason":"edit","run_id":"r","at":"2026-01-01T00:00:00.000Z"}"#,
        r#"{"old":"1"}"#,
    ),
    (
        Collection::Quarantine,
        r#"{"kind":"contacts","side":"crm","crm_id":"a","reason":"x","code":"x","status":"quarantined","attempts":1,"since":"2026-01-01T00:00:00.000Z","record_hash":"1","retry":true}"#,
        r#"{"attempts":2}"#,
    ),
    (Collection::Settings, r#"{"value":1}"#, r#"{"value":2}"#),
];

/// What can be looked up, with a key that both tenants have.
const INDEXES: [(Collection, &str, &str); 12] = [
    (Collection::Contacts, "email", "a@a.example"),
    (Collection::Contacts, "tax_number", "SI12345678"),
    (Collection::Links, "metakocka_id", "400"),
    (Collection::Links, "sync_status", "pending"),
    (Collection::Seen, "tax_key", "1"),
    (Collection::Seen, "email_key", "a@a.example"),
    (Collection::Conflicts, "crm_id", "a"),
    (Collection::Conflicts, "decision", "crm"),
    (Collection::Quarantine, "retry", "true"),
    (Collection::Links, "metakocka_id", "401"),
    (Collection::Contacts, "email", "b@b.example"),
    (Collection::Contacts, "tax_number", "SI87654321"),
];

struct House {
    _folder: tempfile::TempDir,
    file: std::path::PathBuf,
    store: Store,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        let store =
            Store::open(&StoreUrl::file(&file), Access::Write, Keys::from_bytes([9; 32])).await.unwrap();
        Self { _folder: folder, file, store }
    }

    async fn connect(&self, tenant: &Tenant, company: &str) -> Arc<dyn Storage> {
        self.store.connect(tenant, "https://erp.example/", company, &Secret::new("secret")).await.unwrap();
        self.store.storage(tenant).await.unwrap()
    }

    async fn tenant(&self, name: &str) -> (Tenant, Arc<dyn Storage>) {
        let tenant = self.store.add_tenant(name, None, None).await.unwrap();
        let room = self.connect(&tenant, "1").await;
        (tenant, room)
    }

    /// Every row of a tenant, whatever the table.
    fn rows(&self, tenant: &Tenant) -> Vec<String> {
        // The dump has a runtime of its own.
        let (file, id) = (self.file.clone(), tenant.id.to_string());
        std::thread::spawn(move || everything_of(&file, &id, &[])).join().unwrap()
    }
}

async fn write(room: &Arc<dyn Storage>, collection: Collection, id: &str, change: Change) {
    let write = Write { collection, id: id.to_owned(), expect: Expectation::Any, change };
    let _ = room.commit(vec![write]).await.unwrap();
}

/// Fills every collection, with ids that every tenant uses.
async fn fill(room: &Arc<dyn Storage>) {
    for (collection, body, _) in BODIES {
        write(room, collection, "a", Change::Put(body.into())).await;
    }
    write(room, Collection::Links, "b", Change::Put(r#"{"metakocka_id":"401"}"#.into())).await;
    let other = r#"{"email":"b@b.example","tax_number":"SI87654321"}"#;
    write(room, Collection::Contacts, "b", Change::Put(other.into())).await;
    // A tombstone too.
    write(room, Collection::Contacts, "gone", Change::Put("{}".into())).await;
    write(room, Collection::Contacts, "gone", Change::Delete).await;
}

/// What a room answers to every question.
async fn answers(room: &Arc<dyn Storage>) -> Vec<String> {
    let mut told = Vec::new();
    let ids: Vec<String> = ["a", "b", "gone"].map(str::to_owned).into();
    for (collection, ..) in BODIES {
        told.push(format!("{collection:?} {:?}", room.get_many(collection, &ids).await.unwrap()));
        told.push(format!("{:?}", room.scan(collection, None, &[], 10).await.unwrap()));
        told.push(format!("{}", room.count(collection).await.unwrap()));
    }
    for (collection, index, key) in INDEXES {
        told.push(format!("{:?}", room.find_many(collection, index, &[key.to_owned()], 5).await.unwrap()));
    }
    told.push(format!("{:?}", room.changes(Collection::Contacts, 0, 10).await.unwrap()));
    told
}

fn log_line() -> LogRecord {
    LogRecord {
        timestamp: std::time::SystemTime::now().into(),
        level: "error".to_owned(),
        category: "sync".to_owned(),
        operation: None,
        entity_type: None,
        entity_id: Some("a".to_owned()),
        entity_name: None,
        metakocka_id: None,
        status: None,
        message: "x".to_owned(),
        error_id: None,
        error_code: None,
        error_type: None,
        context: None,
        tags: Vec::new(),
        duration_ms: None,
    }
}

#[tokio::test]
async fn no_statement_touches_a_neighbour_with_the_same_ids() {
    let house = House::new().await;
    let (a, room) = house.tenant("Alfa").await;
    let (b, other) = house.tenant("Beta").await;
    fill(&room).await;
    fill(&other).await;
    // The neighbour has a run of the same id as well, and a log.
    let run = Run::begin(&a, "contacts", "bidirectional", "apply");
    let theirs = Run { tenant_id: b.id, ..run.clone() };
    house.store.start_run(&run).await.unwrap();
    house.store.start_run(&theirs).await.unwrap();
    house.store.append_logs(&b, &[log_line()]).await.unwrap();
    let (rows, said) = (house.rows(&b), answers(&other).await);
    assert!(rows.len() > 15, "{rows:#?}");
    let same = async |what: &str| {
        assert_eq!(house.rows(&b), rows, "{what} has touched a neighbour's rows");
        assert_eq!(answers(&other).await, said, "{what} has changed what a neighbour is told");
    };

    let _ = answers(&room).await;
    same("reading").await;
    for (collection, _, patch) in BODIES {
        write(&room, collection, "a", Change::Merge(patch.into())).await;
        same(&format!("a merge in {collection:?}")).await;
    }
    // Two links change places: each steps aside for the other.
    let link = |id: &str, partner: &str| Write {
        collection: Collection::Links,
        id: id.to_owned(),
        expect: Expectation::Any,
        change: Change::Put(json!({ "metakocka_id": partner }).to_string().into()),
    };
    let _ = room.commit(vec![link("a", "401"), link("b", "400")]).await.unwrap();
    assert_eq!(
        room.find_many(Collection::Links, "metakocka_id", &["400".to_owned()], 5).await.unwrap()[0].entry.id,
        "b"
    );
    same("two links that change places").await;
    for (collection, body, _) in BODIES {
        for id in ["a", "b"] {
            write(&room, collection, id, Change::Delete).await;
            same(&format!("a delete in {collection:?}")).await;
        }
        assert_eq!(room.count(collection).await.unwrap(), 0, "{collection:?}");
        write(&room, collection, "a", Change::Put(body.into())).await;
        same(&format!("a put in {collection:?}")).await;
    }
    // A tombstone makes way for a contact that is made again.
    write(&room, Collection::Contacts, "gone", Change::Put("{}".into())).await;
    same("a contact made again").await;
    house.store.set_setting(&a, "contacts.policy", &json!("crm")).await.unwrap();
    house.store.unset_setting(&a, "contacts.policy").await.unwrap();
    let _ = house.store.settings(&a).await.unwrap();
    same("settings").await;
    house.store.append_logs(&a, &[log_line()]).await.unwrap();
    same("a log").await;
    house.store.finish_run(&run, std::time::SystemTime::now().into(), true, &json!({})).await.unwrap();
    same("a run's end").await;
    assert_eq!(house.store.runs(&a, None, 10).await.unwrap().len(), 1);
    house.store.connection_used(&a).await.unwrap();
    house.store.connection_synced(&a, "error", Some("x")).await.unwrap();
    house.store.connect(&a, "https://erp.example/", "1", &Secret::new("another")).await.unwrap();
    assert_eq!(house.store.connection(&b).await.unwrap().unwrap().secret.expose(), "secret");
    same("the connection").await;
}

#[tokio::test]
async fn a_new_company_sees_nothing_of_the_old_one() {
    let house = House::new().await;
    let (tenant, room) = house.tenant("Alfa").await;
    fill(&room).await;
    let ours: Vec<String> = house.rows(&tenant);
    // Nothing binds the tenant any more: links gone, nothing in doubt.
    for id in ["a", "b"] {
        write(&room, Collection::Links, id, Change::Delete).await;
    }
    write(&room, Collection::Outbox, "a", Change::Put(r#"{"state":"planned"}"#.into())).await;
    let second = house.connect(&tenant, "2").await;
    for (collection, body, _) in BODIES {
        // The CRM, its past and the settings are the tenant's, whatever its company; links would keep it there.
        let shared = [Collection::Contacts, Collection::History, Collection::Settings, Collection::Links];
        if shared.contains(&collection) {
            continue;
        }
        assert_eq!(second.count(collection).await.unwrap(), 0, "{collection:?}");
        assert!(second.scan(collection, None, &[], 10).await.unwrap().is_empty(), "{collection:?}");
        assert!(second.get_many(collection, &["a".to_owned()]).await.unwrap().is_empty(), "{collection:?}");
        write(&second, collection, "a", Change::Put(body.into())).await;
        write(&second, collection, "a", Change::Delete).await;
        assert_eq!(room.count(collection).await.unwrap(), 1, "{collection:?}: the old company's row");
    }
    for (collection, index, key) in INDEXES {
        if collection != Collection::Contacts {
            let found = second.find_many(collection, index, &[key.to_owned()], 5).await.unwrap();
            assert!(found.is_empty(), "{collection:?} by {index}");
        }
    }
    assert!(ours.len() > 10);
}
