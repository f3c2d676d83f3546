//! Does a plugin that runs wild end its own run only, with an error that names the limit?

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_harness::capability::clock::RealClock;
use host_harness::capability::http::{AllowedHosts, Connection, Http, Transport, TransportOptions};
use host_harness::capability::logging::{Logging, Silence};
use host_harness::plugin::{
    COMPONENT, Direction, Engine, EngineOptions, Kind, Limits, Mode, Outcome, Plugin, Powers, Report,
    RunError, RunRequest, Selection, runtime,
};
use host_harness::seal::{Keys, Secret};
use host_harness::store::{Access, Store, StoreUrl, Tenant};
use proof::erp::Erp;
use proof::sql;

use crate::site;

const LOOP: &str = env!("ENDLESS_LOOP_WASM");
const MEMORY: &str = env!("ENDLESS_MEMORY_WASM");
const QUIET: &str = env!("QUIET_WASM");

#[test]
fn on_the_command_line_the_error_names_the_limit() {
    let (erp, site) = (Erp::with(20, 1), site());
    let id = site.tenant("Alfa", &erp);
    site.set("Alfa", "limits.guest-cpu-seconds", "1");
    site.set("Alfa", "limits.guest-memory-mib", "16");
    let tables = ["metakocka_sync_runs", "metakocka_integration_logs", "metakocka_credentials"];
    let before = sql::everything_of(&site.store(), &id, &tables);
    for (guest, code, name) in
        [(LOOP, "cpu-limit", "limits.guest-cpu-seconds"), (MEMORY, "memory-limit", "limits.guest-memory-mib")]
    {
        let ran = site.run(&["sync", "--tenant", "Alfa", "--plugin", guest, "--json"]).exits(1);
        let result = ran.json();
        assert_eq!((&result["success"], &result["stopped"]["code"]), (&false.into(), &code.into()), "{ran}");
        let why = result["stopped"]["message"].as_str().unwrap();
        assert!(why.contains(name), "{why}");
        println!("{why} (peak of the guest {} MiB)", result["guest_peak_mib"]);
        assert!(result["guest_peak_mib"].as_f64().unwrap() <= 16.0, "{ran}");
        let ran = site.run(&["sync", "--tenant", "Alfa", "--plugin", guest]).exits(1);
        assert!(ran.out.contains(name), "{ran}");
        assert_eq!(sql::everything_of(&site.store(), &id, &tables), before, "its run changed nothing");
    }
    assert!(erp.writes_since(0).is_empty());
    // The tenant is none the worse for it, and a guest that behaves is run.
    let quiet = site.json(&["sync", "--tenant", "Alfa", "--plugin", QUIET]);
    assert_eq!((&quiet["success"], &quiet["seen"]), (&true.into(), &10.into()), "{quiet:#}");
    site.set("Alfa", "limits.guest-cpu-seconds", "default");
    site.set("Alfa", "limits.guest-memory-mib", "default");
    assert_eq!(site.sync("Alfa", "from-metakocka")["created"], 20);
}

#[test]
fn the_other_limits_name_themselves_too() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    site.import("Alfa", &proof::records::contacts(10));
    for (key, value, guest, code) in [
        ("limits.run-seconds", "1", Some(LOOP), "time-limit"),
        ("limits.host-calls", "5", Some(QUIET), "call-limit"),
        ("limits.http-calls", "4", None, "out-of-budget"),
    ] {
        site.set("Alfa", key, value);
        let plugin = guest.map_or(vec![], |guest| vec!["--plugin", guest]);
        let args =
            [&["sync", "--tenant", "Alfa", "--direction", "to-metakocka", "--json"][..], &plugin].concat();
        let ran = site.run(&args).exits(1);
        assert_eq!(ran.json()["stopped"]["code"], code, "{ran}");
        println!("{}", ran.json()["stopped"]["message"]);
        site.set("Alfa", key, "default");
    }
    // What the budget cut short is done by the next run, and not twice.
    site.set("Alfa", "create.settle-seconds", "0");
    for _ in 0..3 {
        let _ = site.try_sync("Alfa", "to-metakocka");
    }
    assert_eq!((erp.partners().len(), erp.duplicates()), (10, 0));
}

/// A process with a store, as the harness has it, without its command line.
struct House {
    store: Store,
    transport: Arc<Transport>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::file(folder.path().join("house.db"));
        let store = Store::open(&url, Access::Write, Keys::from_bytes([5; 32])).await.unwrap();
        let allowed_hosts = AllowedHosts::parse("127.0.0.1").unwrap();
        let transport = Transport::new(TransportOptions { allowed_hosts, ..Default::default() }).unwrap();
        Self { store, transport, _folder: folder }
    }

    async fn tenant(&self, name: &str, erp: &Erp) -> Tenant {
        let tenant = self.store.add_tenant(name, None, None).await.unwrap();
        let at = erp.running();
        let secret = Secret::new(at.secret_key.clone());
        self.store.connect(&tenant, &at.base_url, &at.company_id, &secret).await.unwrap();
        tenant
    }

    async fn run(&self, plugin: &Plugin, tenant: &Tenant, limits: Limits) -> Outcome<Report> {
        let known = self.store.connection(tenant).await.unwrap().unwrap();
        let connection = Connection::new(&known.base_url, &known.company_id, known.secret.expose()).unwrap();
        let http = Arc::new(Http::new(&self.transport, connection));
        let powers = Powers {
            logging: Logging::new(Arc::new(Silence), http.redactor()),
            http,
            storage: self.store.storage(tenant).await.unwrap(),
            clock: Arc::new(RealClock::default()),
        };
        let request = RunRequest {
            run_id: tenant.name.clone(),
            kind: Kind::Contacts,
            direction: Direction::FromMetakocka,
            selection: Selection::Everything,
            mode: Mode::Apply,
            plan_id: String::new(),
            allow_mass_deactivation: false,
        };
        plugin.run(powers, limits, request).await
    }
}

/// Two loopers on two threads: a host that is not fair would let the good tenant wait for their whole budgets.
#[test]
fn a_good_tenant_finishes_beside_two_loopers_in_one_process() {
    const PARTNERS: usize = 2_000;
    let (good, bad) = (Erp::with(PARTNERS, 7), Erp::with(1, 1));
    let runtime = runtime().unwrap();
    runtime.block_on(async {
        let house = Arc::new(House::new().await);
        let engine = Engine::new(EngineOptions::default()).unwrap();
        let plugin = engine.load(COMPONENT).unwrap();
        let looping = engine.load(&std::fs::read(LOOP).unwrap()).unwrap();

        let alone = house.tenant("Alone", &good).await;
        let start = Instant::now();
        let outcome = house.run(&plugin, &alone, Limits::default()).await;
        let took_alone = start.elapsed();
        assert_eq!(outcome.result.unwrap().crm_created, PARTNERS as u64);

        // Their budget is longer than the good tenant can possibly need, so that they are there all the time.
        let budget = Limits { guest_cpu_seconds: 3_600, ..Limits::default() };
        let mut loopers = Vec::new();
        for name in ["First looper", "Second looper"] {
            let tenant = house.tenant(name, &bad).await;
            let (house, looping) = (Arc::clone(&house), looping.clone());
            loopers.push(tokio::spawn(async move { house.run(&looping, &tenant, budget).await }));
        }
        let beside = house.tenant("Beside", &good).await;
        let start = Instant::now();
        let outcome = house.run(&plugin, &beside, Limits::default()).await;
        let took = start.elapsed();
        let report = outcome.result.unwrap();
        assert!(report.success);
        assert_eq!(report.crm_created, PARTNERS as u64);
        assert!(loopers.iter().all(|looper| !looper.is_finished()), "the loopers were there all the time");
        let slower = took.as_secs_f64() / took_alone.as_secs_f64();
        println!(
            "{PARTNERS} partners: alone {took_alone:?}, beside two loopers {took:?}, {slower:.1} times as long; its guest computed {:?}",
            outcome.guest_cpu
        );
        for looper in loopers {
            looper.abort();
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// A looper and a hoarder that reach their limits take nobody with them.
#[test]
fn guests_that_hit_their_limits_end_alone() {
    let (good, bad) = (Erp::with(300, 7), Erp::with(1, 1));
    let runtime = runtime().unwrap();
    runtime.block_on(async {
        let house = House::new().await;
        let engine = Engine::new(EngineOptions::default()).unwrap();
        let load = |file: &str| engine.load(&std::fs::read(file).unwrap()).unwrap();
        let (plugin, looping, hoarding) = (engine.load(COMPONENT).unwrap(), load(LOOP), load(MEMORY));
        let (a, b, c) = (
            house.tenant("Looper", &bad).await,
            house.tenant("Hoarder", &bad).await,
            house.tenant("Good", &good).await,
        );
        let tight = Limits { guest_cpu_seconds: 1, guest_memory_mib: 24, ..Limits::default() };
        let (looped, hoarded, fine) = tokio::join!(
            house.run(&looping, &a, tight),
            house.run(&hoarding, &b, tight),
            house.run(&plugin, &c, Limits::default()),
        );
        assert!(matches!(looped.result, Err(RunError::CpuLimit { seconds: 1 })), "{:?}", looped.result);
        assert!(
            matches!(hoarded.result, Err(RunError::MemoryLimit { limit_mib: 24 })),
            "{:?}",
            hoarded.result
        );
        assert!(hoarded.guest_peak_bytes <= 24 << 20, "{}", hoarded.guest_peak_bytes);
        assert_eq!(fine.result.unwrap().crm_created, 300);
    });
}
