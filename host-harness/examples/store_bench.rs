//! What the store costs: `cargo run --release -p host-harness --example store_bench [RECORDS]`.
//!
//! Contacts and links at 2 000 writes a commit, the scan of an unchanged run, and commits of a push, with CPU and
//! memory as the system counts them.

use std::time::Instant;

use host_harness::seal::{Keys, Secret};
use host_harness::store::{Access, Change, Collection, Expectation, Store, StoreUrl, Write};
use uuid::Uuid;

fn put(collection: Collection, id: &str, body: String) -> Write {
    Write { collection, id: id.into(), expect: Expectation::Absent, change: Change::Put(body.into_bytes()) }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|f| f.parse().unwrap_or(0.0))
        .collect();
    fields.iter().skip(11).take(2).sum::<f64>() / 100.0
}

fn status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

struct Phase(&'static str, Instant, f64);

impl Phase {
    fn begin(name: &'static str) -> Self {
        Self(name, Instant::now(), cpu())
    }

    fn end(self) {
        let (wall, cpu) = (self.1.elapsed().as_secs_f64(), cpu() - self.2);
        println!(
            "{:<28} wall {wall:.2} s  cpu {cpu:.2} s  rss {} peak {} KiB",
            self.0,
            status("VmRSS"),
            status("VmHWM")
        );
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records: usize = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let folder = std::env::temp_dir().join(format!("store-bench-{}", std::process::id()));
    let store =
        Store::open(&StoreUrl::file(folder.join("bench.db")), Access::Write, Keys::from_bytes([7; 32]))
            .await?;
    let tenant = store.add_tenant("bench", None, None).await?;
    store.connect(&tenant, "https://erp.example/", "1", &Secret::new("secret")).await?;
    let room = store.storage(&tenant).await?;

    let mut ids = Vec::new();
    let phase = Phase::begin("import: pairs");
    let mut made = 0.0;
    while ids.len() < records {
        let begun = cpu();
        let mut writes = Vec::new();
        for at in ids.len()..(ids.len() + 1_000).min(records) {
            let id = Uuid::now_v7().to_string();
            let random = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writes.push(put(Collection::Contacts, &id, format!(
                r#"{{"firstname":"Ana {at}","lastname":"Novak","email":"a{random:x}@example.si","phone":"+38640{at:06}","company":"Podjetje {at} d.o.o.","status":"active","street":"Dunajska cesta {at}","postal_code":"1000","city":"Ljubljana","country":"Slovenia","tax_number":"SI{:08}","custom":{{"mk_buyer":true,"mk_note":"Lorem ipsum dolor sit amet {at}"}}}}"#,
                random % 100_000_000)));
            writes.push(put(Collection::Links, &id, format!(
                r#"{{"metakocka_id":"{}","metakocka_code":"{at}","raw_hash":"{random:016x}","crm_hash":"{random:016x}","last_synced_at":"2026-11-23T04:00:00.000Z","base":{{"name":"Podjetje {at} d.o.o.","email":"a{random:x}@example.si","phone":"+38640{at:06}","street":"Dunajska cesta {at}","postal_code":"1000","city":"Ljubljana","country":"Slovenia","tax":"{:08}"}}}}"#,
                1_600_000_000_000_u64 + at as u64, random % 100_000_000)));
            ids.push(id);
        }
        made += cpu() - begun;
        room.commit(writes).await?;
    }
    phase.end();
    println!("  of it making the bodies: {made:.2} s");

    let hash = ["raw_hash".to_owned(), "metakocka_id".to_owned()];
    for (name, collection, members) in [
        ("scan: links, 1 member", Collection::Links, hash.get(..1)),
        ("scan: links, 2 members", Collection::Links, hash.get(..2)),
        ("scan: links whole", Collection::Links, Some(&[][..])),
        ("scan: contacts whole", Collection::Contacts, Some(&[][..])),
    ] {
        let phase = Phase::begin(name);
        let (mut after, mut count) = (None::<String>, 0);
        loop {
            let page = room.scan(collection, after.as_deref(), members.unwrap_or_default(), 10_000).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            count += page.len();
        }
        assert_eq!(count, ids.len());
        phase.end();
    }

    let phase = Phase::begin("find: all by partner id");
    let keys: Vec<String> =
        (0..ids.len()).map(|at| (1_600_000_000_000_u64 + at as u64).to_string()).collect();
    for keys in keys.chunks(1_000) {
        room.find_many(Collection::Links, "metakocka_id", keys, 2).await?;
    }
    phase.end();

    let phase = Phase::begin("changes: all");
    let mut after = 0;
    loop {
        let page = room.changes(Collection::Contacts, after, 2_000).await?;
        after = page.next;
        if page.entries.is_empty() {
            break;
        }
    }
    phase.end();

    let phase = Phase::begin("update: all contacts");
    for ids in ids.chunks(2_000) {
        let merge = |id: &String| Write {
            collection: Collection::Contacts,
            id: id.clone(),
            expect: Expectation::Any,
            change: Change::Merge(br#"{"phone":"+386 1 000"}"#.to_vec()),
        };
        room.commit(ids.iter().map(merge).collect()).await?;
    }
    phase.end();

    let phase = Phase::begin("push: 20 000 in windows of 50");
    for window in 0..(20_000.min(records) / 50) {
        let ids: Vec<_> = (0..50).map(|at| format!("p{:08}", window * 50 + at)).collect();
        let intent = |id: &String| {
            put(Collection::Outbox, id, r#"{"state":"sent","key_kind":"tax","key":"12345678","since":"2026-11-23T04:00:00.000Z","fields":{"name":"Podjetje"}}"#.into())
        };
        room.commit(ids.iter().map(intent).collect()).await?;
        let link = |id: &String| {
            put(
                Collection::Links,
                id,
                format!(r#"{{"metakocka_id":"{id}","raw_hash":"00","base":{{"name":"Podjetje"}}}}"#),
            )
        };
        let done = |id: &String| Write {
            collection: Collection::Outbox,
            id: id.clone(),
            expect: Expectation::Any,
            change: Change::Delete,
        };
        room.commit(ids.iter().map(link).chain(ids.iter().map(done)).collect()).await?;
    }
    phase.end();

    let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |meta| meta.len() / 1024);
    println!("file {} KiB, wal {} KiB", size("bench.db"), size("bench.db-wal"));
    drop(room);
    store.close().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
