//! Runs hostile and well-behaved guests through the whole engine.
//!
//! The guests are components of this workspace; they are built once for this test binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, also in its helpers")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use host_harness::capability::clock::{RealClock, VirtualClock};
use host_harness::capability::http::{Http, Redactor, Transport, TransportOptions};
use host_harness::capability::logging::{LogRecord, LogSink, Logging};
use host_harness::plugin::{
    Direction, Engine, EngineOptions, Kind, Limits, Mode, Outcome, Plugin, Powers, Report, RunError,
    RunRequest, Selection, runtime,
};
use host_harness::store::{
    ChangePage, Collection, CommitOutcome, Entry, Found, Storage, StorageError, Write,
};

/// A store without anything in it, which these guests do not ask.
struct Nothing;

fn nothing<T>() -> Result<T, StorageError> {
    Err(StorageError::Unavailable("this test has no store".into()))
}

#[async_trait::async_trait]
impl Storage for Nothing {
    async fn get_many(&self, _: Collection, _: &[String]) -> Result<Vec<Entry>, StorageError> {
        nothing()
    }
    async fn find_many(
        &self,
        _: Collection,
        _: &str,
        _: &[String],
        _: u32,
    ) -> Result<Vec<Found>, StorageError> {
        nothing()
    }
    async fn scan(
        &self,
        _: Collection,
        _: Option<&str>,
        _: &[String],
        _: u32,
    ) -> Result<Vec<Entry>, StorageError> {
        nothing()
    }
    async fn count(&self, _: Collection) -> Result<u64, StorageError> {
        nothing()
    }
    async fn changes(&self, _: Collection, _: u64, _: u32) -> Result<ChangePage, StorageError> {
        nothing()
    }
    async fn commit(&self, _: Vec<Write>) -> Result<CommitOutcome, StorageError> {
        nothing()
    }
}

#[derive(Default)]
struct Kept {
    records: Mutex<Vec<LogRecord>>,
    progress: Mutex<Vec<(String, u64, Option<u64>)>>,
}

impl LogSink for Kept {
    fn record(&self, record: LogRecord) {
        self.records.lock().unwrap().push(record);
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        self.progress.lock().unwrap().push((stage.into(), done, total));
    }
}

/// The guest's component.
fn guest(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
        // Beside the outer target folder's profiles, because the outer cargo holds the lock of those.
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("guests");
        let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(root)
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"])
            .args(["-p", "endless-loop", "-p", "endless-memory", "-p", "quiet", "--target-dir"])
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(built.success(), "the guests did not build");
        target.join("wasm32-wasip2/release")
    });
    std::fs::read(folder.join(name)).unwrap()
}

fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions::default()).unwrap()).clone()
}

fn load(name: &str) -> Plugin {
    engine().load(&guest(name)).unwrap()
}

fn powers() -> Powers {
    powers_with(Arc::new(Kept::default()))
}

fn powers_with(sink: Arc<Kept>) -> Powers {
    let transport = Transport::new(TransportOptions::default()).unwrap();
    Powers {
        http: Arc::new(Http::unconnected(&transport)),
        storage: Arc::new(Nothing),
        logging: Logging::new(sink, Redactor::default()),
        clock: Arc::new(RealClock::default()),
    }
}

fn request() -> RunRequest {
    RunRequest {
        run_id: "test".into(),
        kind: Kind::Contacts,
        direction: Direction::FromMetakocka,
        selection: Selection::Everything,
        mode: Mode::Apply,
        plan_id: String::new(),
        allow_mass_deactivation: false,
    }
}

fn run(plugin: &Plugin, limits: Limits) -> Outcome<Report> {
    runtime().unwrap().block_on(plugin.run(powers(), limits, request()))
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    let outcome = run(&load("endless_loop.wasm"), Limits { guest_cpu_seconds: 1, ..Limits::default() });
    assert!(matches!(outcome.result, Err(RunError::CpuLimit { seconds: 1 })), "{:?}", outcome.result);
    let text = outcome.result.unwrap_err().to_string();
    assert!(text.contains("limits.guest-cpu-seconds"), "{text}");
    assert!(outcome.guest_cpu >= Duration::from_secs(1), "{:?}", outcome.guest_cpu);
    assert!(outcome.guest_cpu < Duration::from_secs(2), "{:?}", outcome.guest_cpu);
}

#[test]
fn endless_memory_ends_at_the_memory_limit() {
    let outcome = run(&load("endless_memory.wasm"), Limits { guest_memory_mib: 16, ..Limits::default() });
    assert!(matches!(outcome.result, Err(RunError::MemoryLimit { limit_mib: 16 })), "{:?}", outcome.result);
    let text = outcome.result.unwrap_err().to_string();
    assert!(text.contains("16 MiB") && text.contains("limits.guest-memory-mib"), "{text}");
    assert!(outcome.guest_peak_bytes > 12 << 20, "{}", outcome.guest_peak_bytes);
    assert!(outcome.guest_peak_bytes <= 16 << 20, "{}", outcome.guest_peak_bytes);
}

#[test]
fn the_wall_limit_ends_a_run_that_does_not_compute_enough_for_the_other() {
    let outcome = run(&load("endless_loop.wasm"), Limits { run_seconds: 1, ..Limits::default() });
    assert!(matches!(outcome.result, Err(RunError::WallLimit { .. })), "{:?}", outcome.result);
}

#[test]
fn the_call_limit_ends_a_run_and_names_itself() {
    let outcome = run(&load("quiet.wasm"), Limits { host_calls: 5, ..Limits::default() });
    assert!(matches!(outcome.result, Err(RunError::CallLimit { limit: 5 })), "{:?}", outcome.result);
}

#[test]
fn a_well_behaved_run_says_what_it_did() {
    let kept = Arc::new(Kept::default());
    let mut powers = powers_with(Arc::clone(&kept));
    powers.clock = Arc::new(VirtualClock::new(1_700_000_000_000, 1));
    let plugin = load("quiet.wasm");
    let outcome = runtime().unwrap().block_on(plugin.run(powers, Limits::default(), request()));
    assert_eq!(outcome.result.unwrap().seen, 10);
    assert!(outcome.guest_peak_bytes > 0 && outcome.guest_cpu > Duration::ZERO);
    assert_eq!(kept.progress.lock().unwrap().last(), Some(&("rounds".to_owned(), 10, Some(10))));
    let records = kept.records.lock().unwrap();
    assert_eq!(records.len(), 10);
    // Time passes by waiting only: five milliseconds a round.
    assert_eq!(records[9].timestamp.timestamp_millis(), 1_700_000_000_050);
}

#[test]
fn every_export_answers() {
    let plugin = load("quiet.wasm");
    runtime().unwrap().block_on(async {
        let description = plugin.describe(powers(), Limits::default()).await.result.unwrap();
        assert_eq!(description.name, "quiet");
        plugin.test_connection(powers(), Limits::default()).await.result.unwrap();
        let page = plugin.unsynced(powers(), Limits::default(), Kind::Contacts, None, 10).await;
        assert!(page.result.unwrap().rows.is_empty());
    });
}

/// Four looping tenants on two threads: without a fair host, the quiet one would wait for their budgets.
#[test]
fn a_well_behaved_tenant_finishes_beside_looping_ones() {
    let (quiet, looping) = (load("quiet.wasm"), load("endless_loop.wasm"));
    let budget = Limits { guest_cpu_seconds: 5, ..Limits::default() };
    runtime().unwrap().block_on(async {
        let loopers: Vec<_> = (0..4)
            .map(|_| {
                let looping = looping.clone();
                tokio::spawn(async move { looping.run(powers(), budget, request()).await })
            })
            .collect();
        let start = Instant::now();
        let outcome = quiet.run(powers(), Limits::default(), request()).await;
        let took = start.elapsed();
        assert_eq!(outcome.result.unwrap().seen, 10);
        assert!(loopers.iter().all(|looper| !looper.is_finished()), "the loopers were there all the time");
        println!("the quiet tenant took {took:?}, its guest {:?}", outcome.guest_cpu);
        // Alone it takes about 60 ms. The loopers have 20 s of computing to do.
        assert!(took < Duration::from_secs(3), "{took:?}");
        for looper in loopers {
            looper.abort();
        }
    });
}

#[test]
fn the_guests_memory_can_be_dumped_after_success_and_after_failure() {
    let engine = Engine::new(EngineOptions { memory_dumps: true, ..EngineOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { guest_memory_mib: 16, guest_cpu_seconds: 1, ..Limits::default() };
    for (name, ends_well) in
        [("quiet.wasm", true), ("endless_memory.wasm", false), ("endless_loop.wasm", false)]
    {
        let file = folder.path().join(name);
        let plugin = engine.load(&guest(name)).unwrap().dumping_memory_to(&file);
        let outcome = run(&plugin, limits);
        assert_eq!(outcome.result.is_ok(), ends_well, "{name}: {:?}", outcome.result);
        assert_eq!(outcome.dump, Some(Ok(outcome.guest_peak_bytes)), "{name}");
        let dumped = std::fs::read(&file).unwrap();
        assert_eq!(dumped.len() as u64, outcome.guest_peak_bytes, "{name}");
        if ends_well {
            assert!(memchr::memmem::find(&dumped, b"one round").is_some(), "its constants are there");
        }
    }
}

#[test]
fn the_built_plugin_asks_for_nothing_that_is_not_lent() {
    let imports = host_harness::plugin::imports(host_harness::plugin::COMPONENT).unwrap();
    for import in imports {
        let known = ["metakocka:crm-sync/", "wasi:io/", "wasi:cli/", "wasi:clocks/"];
        assert!(known.iter().any(|prefix| import.starts_with(prefix)), "{import}");
    }
}
