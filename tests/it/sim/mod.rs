//! The brain alone, natively, with every power in our hands: time is virtual, and any host call can be its last.
//!
//! The ERP is the sandbox over its real sockets, in the same thread as the brain; storage is the store in memory, which
//! keeps the promises of the real one. So what is left out is the component's edge, which the other modules go through.

mod books;
mod companies;
mod connection;
pub(crate) mod convergence;
mod crash;
mod interleaved;
mod plans;
pub(crate) mod powers;
mod recovery;
mod spellings;
mod told;
pub(crate) mod turns;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use host_harness::store::memory::Memory;
use host_harness::store::{Change, Collection, CommitOutcome, Entry, Expectation, Storage, Write};
use metakocka_sandbox::{Options, Running, Sandbox};
use metakocka_sync::sync::report::Report;
use metakocka_sync::sync::request::{Direction, Mode, RunRequest, Selection};
use metakocka_sync::sync::run::run;
use powers::{Fate, Powers, Said, Script, Wire};
use proof::reading::columns_of;
use serde_json::{Map, Value, json};

/// What one run did to the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Host calls.
    pub(crate) calls: u64,
    /// Requests to the ERP.
    pub(crate) requests: u64,
    /// Requests that change the ERP.
    pub(crate) erp_writes: u64,
    /// Requests that create a partner.
    pub(crate) creates: u64,
    /// Commits with something in them.
    pub(crate) commits: u64,
}

/// A request that left, and when.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Virtual time, milliseconds.
    pub(crate) at: u64,
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

/// What left for the ERP, in order.
type Journal = Rc<RefCell<Vec<Request>>>;

/// An ERP, a store, a clock.
pub(crate) struct World {
    erp: Rc<Running>,
    pub(crate) wire: Arc<Wire>,
    room: Arc<dyn Storage>,
    pub(crate) clock: Rc<Cell<u64>>,
    seeds: Rc<Cell<u64>>,
    /// What is said instead of, or after, what the ERP says.
    script: Script,
    /// Paths of the requests the ERP was sent, or that were answered in its place.
    sent: Rc<RefCell<Vec<&'static str>>>,
    /// Pauses the plugin asked the host for.
    pauses: Rc<RefCell<Vec<u64>>>,
    pub(crate) journal: Journal,
    pub(crate) log: Rc<RefCell<Vec<powers::Line>>>,
}

/// Keys no page of the vendor's names. Which records have them depends on their numbers, so on the order of the creates.
const STRANGE: [&str; 5] =
    ["partner_type_id", "e_invoice_supported", "rating_group", "salutation_id", "changed_by"];

/// More runs than this to rest is no rest.
const MOST_RUNS: u32 = 8;

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(0).await
    }

    /// A company of so many partners.
    pub(crate) async fn of(partners: usize) -> Self {
        let erp = metakocka_sandbox::start(Options { partners, ..Options::default() }).await.unwrap();
        let wire = Arc::new(Wire::to(&erp));
        Self::around(Rc::new(erp), wire)
    }

    fn around(erp: Rc<Running>, wire: Arc<Wire>) -> Self {
        erp.sandbox().reset();
        wire.forget();
        Self {
            erp,
            wire,
            room: Memory::new().room("tenant"),
            clock: Rc::new(Cell::new(1_790_000_000_000)),
            seeds: Rc::default(),
            script: Script::default(),
            sent: Rc::default(),
            pauses: Rc::default(),
            journal: Rc::default(),
            log: Rc::default(),
        }
    }

    /// From now on this decides what every request is answered.
    pub(crate) fn say(&self, script: impl FnMut(&str, &Value) -> Said + 'static) {
        *self.script.borrow_mut() = Some(Box::new(script));
    }

    /// The ERP answers itself again.
    pub(crate) fn say_nothing(&self) {
        *self.script.borrow_mut() = None;
    }

    fn sent(&self, path: &str) -> usize {
        self.sent.borrow().iter().filter(|sent| sent.ends_with(path)).count()
    }

    /// A new world with the same sockets: the company is back at its seed, the store is empty.
    pub(crate) fn fresh(&self) -> Self {
        Self::around(Rc::clone(&self.erp), Arc::clone(&self.wire))
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.erp.sandbox()
    }

    pub(crate) fn partners(&self) -> Vec<Value> {
        self.sandbox().state()["partners"].as_array().unwrap().clone()
    }

    /// A person makes a partner.
    pub(crate) fn make_partner(&self, fields: Value) -> String {
        let made =
            self.sandbox().edit(&json!({ "op": "create", "kind": "partner", "fields": fields })).unwrap();
        made["mk_id"].as_str().unwrap().to_owned()
    }

    /// A person edits a partner.
    pub(crate) fn edit_partner(&self, mk_id: &str, fields: Value) {
        self.sandbox()
            .edit(&json!({ "op": "update", "kind": "partner", "mk_id": mk_id, "fields": fields }))
            .unwrap();
    }

    /// A person edits members of the first row of a list.
    pub(crate) fn edit_row(&self, mk_id: &str, list: &str, members: Value) {
        let partner = self.partners().into_iter().find(|partner| partner["mk_id"] == mk_id).unwrap();
        let mut rows = partner[list].as_array().cloned().unwrap_or_else(|| vec![json!({})]);
        rows[0].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.edit_partner(mk_id, json!({ list: rows }));
    }

    pub(crate) async fn write(&self, collection: Collection, id: &str, change: Change) {
        let write = Write { collection, id: id.to_owned(), expect: Expectation::Any, change };
        let outcome = self.room.commit(vec![write]).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    }

    /// The CRM makes or replaces a contact.
    pub(crate) async fn put_contact(&self, contact: &Value) {
        let mut body = contact.clone();
        let id = body.as_object_mut().unwrap().remove("id").unwrap();
        self.write(Collection::Contacts, id.as_str().unwrap(), Change::Put(body.to_string().into())).await;
    }

    /// The CRM edits members of a contact.
    pub(crate) async fn edit_contact(&self, id: &str, members: Value) {
        self.write(Collection::Contacts, id, Change::Merge(members.to_string().into())).await;
    }

    pub(crate) async fn set(&self, key: &str, value: Value) {
        let body = json!({ "value": value }).to_string();
        self.write(Collection::Settings, key, Change::Put(body.into())).await;
    }

    pub(crate) async fn entries(&self, collection: Collection) -> Vec<(Entry, Map<String, Value>)> {
        let entries = self.room.scan(collection, None, &[], 10_000).await.unwrap();
        entries
            .into_iter()
            .map(|entry| {
                let body = serde_json::from_slice(&entry.body).unwrap();
                (entry, body)
            })
            .collect()
    }

    /// Contact id to partner id and state.
    pub(crate) async fn links(&self) -> BTreeMap<String, (String, String)> {
        let text = |body: &Map<String, Value>, member: &str, default: &str| {
            body.get(member).and_then(Value::as_str).unwrap_or(default).to_owned()
        };
        self.entries(Collection::Links)
            .await
            .into_iter()
            .map(|(entry, body)| (entry.id, (text(&body, "metakocka_id", ""), text(&body, "state", "live"))))
            .collect()
    }

    /// One run. `None` when it was killed.
    pub(crate) async fn run(&self, direction: Direction, fate: Fate) -> (Option<Report>, Counts) {
        self.run_as(&request(direction), fate).await
    }

    /// A run nothing happens to.
    pub(crate) async fn sync(&self, direction: Direction) -> Report {
        self.run(direction, Fate::default()).await.0.unwrap()
    }

    /// One run, as asked for. `None` when it was killed.
    pub(crate) async fn run_as(&self, request: &RunRequest, fate: Fate) -> (Option<Report>, Counts) {
        let powers = Powers::new(self, fate);
        let report = tokio::select! {
            biased;
            report = run(powers.lend(), request) => Some(report.unwrap()),
            () = powers.killed() => None,
        };
        let counts = powers.counts();
        drop(powers);
        if let Some(report) = &report {
            told::items_are_the_counts(report);
        }
        // Requests that had left arrive, whatever became of their sender.
        self.wire.all_arrived().await;
        (report, counts)
    }

    /// Runs until a run has nothing to do: the runs it took, that one included.
    pub(crate) async fn to_rest(&self, direction: Direction) -> Result<u32, String> {
        self.rest(direction).await.map(|reports| u32::try_from(reports.len()).unwrap())
    }

    /// The same; what the runs reported.
    pub(crate) async fn rest(&self, direction: Direction) -> Result<Vec<Report>, String> {
        let mut last = String::new();
        let mut reports = Vec::new();
        for _ in 1..=MOST_RUNS {
            let (report, counts) = self.run(direction, Fate::default()).await;
            let report = report.unwrap();
            let (until, stopped) = (report.waiting_until, report.stopped.is_some());
            last = format!("{counts:?} {report:?}");
            reports.push(report);
            if let Some(until) = until {
                // No request is on its way for longer than writes take to settle.
                self.wire.deliver().await;
                self.clock.set(self.clock.get().max(until.0));
            } else if counts.erp_writes + counts.commits == 0 && !stopped {
                return Ok(reports);
            }
        }
        Err(format!("no rest after {MOST_RUNS} runs: {last}"))
    }

    /// Everything both sides hold, without what is different in every run: ids made on the way, and times.
    pub(crate) async fn ledger(&self) -> Ledger {
        let partners: BTreeMap<String, Value> = self
            .partners()
            .into_iter()
            .map(|partner| (partner["mk_id"].as_str().unwrap().to_owned(), partner))
            .collect();
        let contacts: BTreeMap<String, Map<String, Value>> = self
            .entries(Collection::Contacts)
            .await
            .into_iter()
            .map(|(entry, body)| (entry.id, body))
            .collect();
        let nameless = |id: &str| id.len() == 36;
        let name = |id: &str| {
            // Two contacts that differ in nothing but their ids: either may be the one that gets the partner.
            let id = if id.starts_with("twin") { "twin" } else { id };
            let body = Value::Object(contacts.get(id).cloned().unwrap_or_default());
            if nameless(id) { format!("{:?}", columns_of(&body)) } else { id.to_owned() }
        };
        let mut lines = Vec::new();
        for partner in partners.values() {
            lines.push(format!("partner {}", without_ids(partner.clone())));
        }
        for (id, body) in &contacts {
            let mut body = body.clone();
            for time in ["createdat", "updatedat"] {
                body.remove(time);
            }
            lines.push(format!("contact {} {}", name(id), Value::Object(body)));
        }
        for (entry, body) in self.entries(Collection::Links).await {
            let partner = body.get("metakocka_id").and_then(Value::as_str).unwrap();
            lines.push(format!(
                "link {} -> {} {:?} {:?}",
                name(&entry.id),
                partners
                    .get(partner)
                    .map_or_else(|| "gone".to_owned(), |partner| without_ids(partner.clone()).to_string()),
                body.get("sync_status"),
                body.get("state"),
            ));
        }
        for (collection, members) in [
            (Collection::Conflicts, &["field", "base", "crm", "metakocka", "decision"][..]),
            (Collection::Quarantine, &["side", "code", "status", "retry"]),
            (Collection::History, &["side", "field", "old", "new", "reason"]),
        ] {
            for (_, body) in self.entries(collection).await {
                let told: Vec<String> =
                    members.iter().map(|member| format!("{member} {:?}", body.get(*member))).collect();
                let contact = body.get("crm_id").and_then(Value::as_str).map(name);
                lines.push(format!("{} {contact:?} {}", collection.name(), told.join(", ")));
            }
        }
        lines.sort();
        let (history, lines) = lines.into_iter().partition(|line| line.starts_with("history"));
        Ledger {
            lines,
            history,
            duplicates: self.sandbox().state()["duplicates"]["partners"].as_u64().unwrap(),
            outbox: self.entries(Collection::Outbox).await.len(),
        }
    }
}

/// The end of a story.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) lines: Vec<String>,
    history: Vec<String>,
    pub(crate) duplicates: u64,
    pub(crate) outbox: usize,
}

impl Ledger {
    /// Whether both sides ended alike, whatever history says.
    pub(crate) fn same_records(&self, other: &Self) -> bool {
        (&self.lines, self.duplicates, self.outbox) == (&other.lines, other.duplicates, other.outbox)
    }

    /// What is there and should not be, and what is missing.
    pub(crate) fn difference(&self, wanted: &Self) -> String {
        let all = |ledger: &Self| [&ledger.lines[..], &ledger.history].concat();
        let (mut more, mut less) = (all(self), Vec::new());
        for line in all(wanted) {
            match more.iter().position(|other| *other == line) {
                Some(at) => drop(more.remove(at)),
                None => less.push(line),
            }
        }
        format!(
            "duplicates {}, left in the outbox {}\n  + {}\n  - {}",
            self.duplicates,
            self.outbox,
            more.join("\n  + "),
            less.join("\n  - ")
        )
    }
}

/// A partner without the numbers Metakocka gives out, and without the keys the sandbox adds to some records.
fn without_ids(mut partner: Value) -> Value {
    match &mut partner {
        Value::Object(members) => {
            for id in ["mk_id", "mk_address_id", "count_code"].into_iter().chain(STRANGE) {
                members.remove(id);
            }
            for value in members.values_mut() {
                *value = without_ids(value.take());
            }
        }
        Value::Array(rows) => rows.iter_mut().for_each(|row| *row = without_ids(row.take())),
        _ => {}
    }
    partner
}

/// A complete company, as a person enters it in Metakocka.
pub(crate) fn company(number: usize) -> Value {
    json!({
        "customer": format!("Podjetje {number} d.o.o."), "business_entity": "true", "buyer": "true",
        "tax_id_number": format!("SI{}", 50_000_000 + number),
        "partner_contact_list": [{ "name": format!("Oseba {number}"), "email": format!("p{number}@podjetje.example"),
            "phone": format!("01 300 {number:04}") }],
        "partner_delivery_address_list": [{ "address_type": "Račun", "street": format!("Cesta {number}"),
            "post_number": "1000", "city": "Ljubljana", "country": "Slovenija" }],
    })
}

/// Runs a test on a thread that does one thing at a time.
pub(crate) fn alone<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A normal run over everything.
pub(crate) fn request(direction: Direction) -> RunRequest {
    RunRequest {
        run_id: "run".to_owned(),
        direction,
        selection: Selection::Everything,
        mode: Mode::Apply,
        allow_mass_deactivation: false,
    }
}

/// Shared counters of one run.
type Shared = Rc<RefCell<Counts>>;
