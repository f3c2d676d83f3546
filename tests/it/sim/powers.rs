//! The four capabilities, over the world of a simulation.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, pending};
use host_harness::store::{self, Collection};
use metakocka_sandbox::Running;
use metakocka_sync::ports::{self, HttpError, HttpErrorKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::turns::Seat;
use super::{Counts, Journal, Request, Shared, World};

/// When in a host call the brain is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call has done nothing yet.
    Before,
    /// It has done what it does, and nobody hears of it.
    Unanswered,
    /// Its answer is heard, and no call comes after it.
    After,
}

/// The brain's last call, counted from 1.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    pub call: u64,
    pub moment: Moment,
}

/// What happens to one run. Nothing, by default.
#[derive(Default, Clone)]
pub struct Fate {
    /// Its last call.
    pub kill: Option<Kill>,
    /// Somebody else writes to storage right before one of its commits.
    pub race: Option<Race>,
    /// The request (counted from 1 among those that change the ERP) whose line breaks at once and that arrives later: when
    /// [`Wire::deliver`] is called.
    pub late: Option<u64>,
    /// Its place where two runs take turns.
    pub seat: Option<Seat>,
    /// Virtual milliseconds a request takes.
    pub latency_ms: u64,
}

impl Fate {
    pub fn killed(call: u64, moment: Moment) -> Self {
        Self { kill: Some(Kill { call, moment }), ..Self::default() }
    }
}

/// A foreign write, right before a commit (counted from 1 among those with something in them).
#[derive(Debug, Clone)]
pub struct Race {
    pub commit: u64,
    pub writes: Vec<store::Write>,
}

/// What every capability of one run shares.
#[derive(Clone)]
struct Host {
    counts: Shared,
    fate: Fate,
    journal: Journal,
    now: Rc<Cell<u64>>,
    dead: Rc<Cell<bool>>,
    killed: Rc<Notify>,
}

impl Host {
    /// One host call.
    async fn call<T>(&self, effect: impl Future<Output = T>) -> T {
        if self.dead.get() {
            return pending().await;
        }
        if let Some(seat) = &self.fate.seat {
            seat.turn().await;
        }
        self.counts.borrow_mut().calls += 1;
        let number = self.counts.borrow().calls;
        let moment = self.fate.kill.filter(|kill| kill.call == number).map(|kill| kill.moment);
        if moment == Some(Moment::Before) {
            self.die();
            return pending().await;
        }
        let answer = effect.await;
        if moment.is_some() {
            self.die();
        }
        if moment == Some(Moment::Unanswered) || (self.dead.get() && moment.is_none()) {
            return pending().await;
        }
        answer
    }

    fn die(&self) {
        self.dead.set(true);
        self.killed.notify_one();
    }
}

/// What a request is answered.
pub enum Said {
    /// What the ERP says.
    ByErp,
    /// This, and the ERP hears nothing: status, `Retry-After` in milliseconds, body.
    Instead(u16, Option<u64>, String),
    /// The ERP carries it out, and this is heard.
    After(String),
    /// The host holds it back for so long.
    HeldBack(u64),
}

/// Decides by path and body.
pub type Script = Rc<RefCell<Option<Box<dyn FnMut(&str, &Value) -> Said>>>>;

/// Everything one run is lent.
pub struct Powers {
    host: Host,
    http: Http,
    storage: Storage,
    log: Log,
    clock: Clock,
}

impl Powers {
    pub fn new(world: &World, fate: Fate) -> Self {
        let host = Host {
            counts: Rc::default(),
            fate,
            journal: Rc::clone(&world.journal),
            now: Rc::clone(&world.clock),
            dead: Rc::default(),
            killed: Rc::new(Notify::new()),
        };
        Self {
            http: Http {
                host: host.clone(),
                wire: Arc::clone(&world.wire),
                script: Rc::clone(&world.script),
                sent: Rc::clone(&world.sent),
                pauses: Rc::clone(&world.pauses),
            },
            storage: Storage { host: host.clone(), room: Arc::clone(&world.room) },
            log: Log { lines: Rc::clone(&world.log) },
            clock: Clock { host: host.clone(), now: Rc::clone(&world.clock), seeds: Rc::clone(&world.seeds) },
            host,
        }
    }

    pub fn lend(&self) -> ports::Powers<'_> {
        ports::Powers { http: &self.http, storage: &self.storage, log: &self.log, clock: &self.clock }
    }

    pub async fn killed(&self) {
        self.host.killed.notified().await;
    }

    pub fn counts(&self) -> Counts {
        *self.host.counts.borrow()
    }
}

/// Connections to the sandbox. A request on its way arrives, whatever becomes of its sender.
pub struct Wire {
    host: String,
    root: String,
    company_id: String,
    secret_key: String,
    idle: Mutex<Vec<TcpStream>>,
    under_way: AtomicU64,
    /// Requests that have left and not yet arrived.
    late: Mutex<Vec<(&'static str, Vec<u8>)>>,
}

/// An answer as it came.
struct Heard {
    status: u16,
    retry_after_ms: Option<u64>,
    body: Vec<u8>,
}

impl Wire {
    pub fn to(erp: &Running) -> Self {
        let (host, root) = erp.base_url.trim_start_matches("http://").split_once('/').unwrap();
        Self {
            host: host.to_owned(),
            root: format!("/{root}"),
            company_id: erp.company_id.clone(),
            secret_key: erp.secret_key.clone(),
            idle: Mutex::default(),
            under_way: AtomicU64::new(0),
            late: Mutex::default(),
        }
    }

    /// What was late arrives now; nobody hears the answers.
    pub async fn deliver(self: &Arc<Self>) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for (path, body) in late {
            let _ = Arc::clone(self).send(path, &body).await;
        }
    }

    /// What was late is forgotten, for a new world.
    pub fn forget(&self) {
        self.late.lock().unwrap().clear();
    }

    pub async fn all_arrived(&self) {
        while self.under_way.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// The answer; nothing when the line breaks.
    async fn send(self: Arc<Self>, path: &'static str, body: &[u8]) -> Option<Heard> {
        let mut request: Value = serde_json::from_slice(body).unwrap();
        request["company_id"] = json!(self.company_id);
        request["secret_key"] = json!(self.secret_key);
        let body = request.to_string();
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.root,
            self.host,
            body.len()
        );
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let wire = Arc::clone(&self);
        let answer = tokio::spawn(async move {
            let answer = wire.exchange(&[head.as_bytes(), body.as_bytes()].concat()).await;
            wire.under_way.fetch_sub(1, Ordering::Relaxed);
            answer
        });
        answer.await.unwrap()
    }

    async fn exchange(&self, request: &[u8]) -> Option<Heard> {
        let kept = self.idle.lock().unwrap().pop();
        let mut stream = match kept {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.host).await.unwrap();
                stream.set_nodelay(true).unwrap();
                stream
            }
        };
        stream.write_all(request).await.ok()?;
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return None;
            }
        };
        let mut body = read.split_off(head);
        let head = String::from_utf8(read).unwrap().to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
        let retry_after_ms = head
            .lines()
            .find_map(|line| line.strip_prefix("retry-after: "))
            .and_then(|seconds| seconds.trim().parse::<u64>().ok())
            .map(|seconds| seconds * 1_000);
        while body.len() < length {
            if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        self.idle.lock().unwrap().push(stream);
        Some(Heard { status, retry_after_ms, body })
    }
}

struct Http {
    host: Host,
    wire: Arc<Wire>,
    script: Script,
    sent: Rc<RefCell<Vec<&'static str>>>,
    pauses: Rc<RefCell<Vec<u64>>>,
}

impl ports::Http for Http {
    fn send(&self, request: ports::Request) -> LocalBoxFuture<'_, Result<ports::Response, HttpError>> {
        self.host
            .call(async move {
                let broken = || HttpError {
                    kind: HttpErrorKind::Unavailable,
                    message: "the connection broke".to_owned(),
                    may_have_arrived: true,
                    retry_after_ms: None,
                };
                let document: Value = serde_json::from_slice(&request.body).unwrap();
                let said = self
                    .script
                    .borrow_mut()
                    .as_mut()
                    .map_or(Said::ByErp, |script| script(request.path, &document));
                if let Said::HeldBack(wait) = said {
                    return Err(HttpError {
                        message: "the circuit breaker is open".to_owned(),
                        may_have_arrived: false,
                        retry_after_ms: Some(wait),
                        ..broken()
                    });
                }
                self.sent.borrow_mut().push(request.path);
                let writes =
                    request.path.ends_with("add_partner") || request.path.ends_with("update_partner");
                self.host.now.set(self.host.now.get() + self.host.fate.latency_ms);
                self.host.counts.borrow_mut().requests += 1;
                self.host.counts.borrow_mut().creates += u64::from(request.path.ends_with("add_partner"));
                self.host.journal.borrow_mut().push(Request {
                    at: self.host.now.get(),
                    path: request.path,
                    body: document,
                });
                if writes {
                    self.host.counts.borrow_mut().erp_writes += 1;
                    if self.host.fate.late == Some(self.host.counts.borrow().erp_writes) {
                        self.wire.late.lock().unwrap().push((request.path, request.body));
                        return Err(broken());
                    }
                }
                let (status, retry_after_ms, bytes) = match said {
                    Said::Instead(status, wait, text) => (status, wait, text.into_bytes()),
                    said => {
                        let answer = Arc::clone(&self.wire).send(request.path, &request.body).await;
                        let heard = answer.ok_or_else(broken)?;
                        match said {
                            Said::After(text) => (heard.status, heard.retry_after_ms, text.into_bytes()),
                            _ => (heard.status, heard.retry_after_ms, heard.body),
                        }
                    }
                };
                let body = Body { host: self.host.clone(), bytes, at: Cell::new(0) };
                Ok(ports::Response { status, retry_after_ms, body: Box::new(body) })
            })
            .boxed_local()
    }

    fn hold_off(&self, milliseconds: u64) {
        self.pauses.borrow_mut().push(milliseconds);
    }
}

struct Body {
    host: Host,
    bytes: Vec<u8>,
    at: Cell<usize>,
}

impl ports::Body for Body {
    fn read(&self, max: u32) -> LocalBoxFuture<'_, Result<Vec<u8>, HttpError>> {
        self.host
            .call(async move {
                let from = self.at.get();
                let to = self.bytes.len().min(from + max as usize);
                self.at.set(to);
                Ok(self.bytes[from..to].to_vec())
            })
            .boxed_local()
    }

    fn rewind(&self) {
        self.at.set(0);
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
}

struct Storage {
    host: Host,
    room: Arc<dyn store::Storage>,
}

fn collection(name: &str) -> Collection {
    Collection::ALL.into_iter().find(|collection| collection.name() == name).unwrap()
}

fn entry(entry: store::Entry) -> ports::Entry {
    ports::Entry {
        id: entry.id,
        revision: entry.revision,
        modified_at: entry.modified_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        deleted: entry.deleted,
        body: entry.body,
    }
}

fn trouble(error: store::StorageError) -> ports::StorageError {
    match error {
        store::StorageError::Invalid(text) => ports::StorageError::Invalid(text),
        store::StorageError::Unavailable(text) => ports::StorageError::Unavailable(text),
    }
}

type Answer<'a, T> = LocalBoxFuture<'a, Result<T, ports::StorageError>>;

impl ports::Storage for Storage {
    fn get_page<'a>(&'a self, name: &'static str, ids: Vec<String>) -> Answer<'a, Vec<ports::Entry>> {
        self.host
            .call(async move {
                let found = self.room.get_many(collection(name), &ids).await.map_err(trouble)?;
                Ok(found.into_iter().map(entry).collect())
            })
            .boxed_local()
    }

    fn find_page<'a>(
        &'a self,
        name: &'static str,
        index: &'static str,
        keys: Vec<String>,
        limit: u32,
    ) -> Answer<'a, Vec<(usize, ports::Entry)>> {
        self.host
            .call(async move {
                let found =
                    self.room.find_many(collection(name), index, &keys, limit).await.map_err(trouble)?;
                Ok(found.into_iter().map(|found| (found.key, entry(found.entry))).collect())
            })
            .boxed_local()
    }

    fn scan<'a>(
        &'a self,
        name: &'static str,
        after: Option<String>,
        members: &'a [&'static str],
        limit: u32,
    ) -> Answer<'a, Vec<ports::Entry>> {
        self.host
            .call(async move {
                let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
                let page = self
                    .room
                    .scan(collection(name), after.as_deref(), &members, limit)
                    .await
                    .map_err(trouble)?;
                Ok(page.into_iter().map(entry).collect())
            })
            .boxed_local()
    }

    fn count<'a>(&'a self, name: &'static str) -> Answer<'a, u64> {
        self.host.call(async move { self.room.count(collection(name)).await.map_err(trouble) }).boxed_local()
    }

    fn changes<'a>(&'a self, name: &'static str, after: u64, limit: u32) -> Answer<'a, ports::ChangePage> {
        self.host
            .call(async move {
                let page = self.room.changes(collection(name), after, limit).await.map_err(trouble)?;
                Ok(ports::ChangePage {
                    entries: page.entries.into_iter().map(entry).collect(),
                    next: page.next,
                })
            })
            .boxed_local()
    }

    fn commit(&self, writes: Vec<ports::Write>) -> Answer<'_, ports::Commit> {
        self.host
            .call(async move {
                self.host.counts.borrow_mut().commits += u64::from(!writes.is_empty());
                let number = self.host.counts.borrow().commits;
                if let Some(race) = self.host.fate.race.as_ref().filter(|race| race.commit == number) {
                    let outcome = self.room.commit(race.writes.clone()).await.map_err(trouble)?;
                    assert!(matches!(outcome, store::CommitOutcome::Committed { .. }), "{outcome:?}");
                }
                let writes = writes
                    .into_iter()
                    .map(|write| store::Write {
                        collection: collection(write.collection),
                        id: write.id,
                        expect: match write.expect {
                            ports::Expect::Absent => store::Expectation::Absent,
                            ports::Expect::Revision(revision) => store::Expectation::Revision(revision),
                            ports::Expect::Any => store::Expectation::Any,
                        },
                        change: match write.change {
                            ports::Change::Put(body) => store::Change::Put(body),
                            ports::Change::Merge(body) => store::Change::Merge(body),
                            ports::Change::Delete => store::Change::Delete,
                            ports::Change::Check => store::Change::Check,
                        },
                    })
                    .collect();
                Ok(match self.room.commit(writes).await.map_err(trouble)? {
                    store::CommitOutcome::Committed { before, last } => ports::Commit::Done { before, last },
                    store::CommitOutcome::Lost(lost) => {
                        ports::Commit::Lost(lost.into_iter().map(|race| race.write).collect())
                    }
                })
            })
            .boxed_local()
    }
}

/// What the plugin logged.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    level: ports::Level,
    message: String,
    pub(crate) fields: BTreeMap<String, String>,
}

impl std::fmt::Display for Line {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:?} {} {:?}", self.level, self.message, self.fields)
    }
}

/// Keeps every line, for whoever wants to see what was said.
struct Log {
    lines: Rc<RefCell<Vec<Line>>>,
}

impl ports::Log for Log {
    fn log(&self, level: ports::Level, _: ports::Category, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.lines.borrow_mut().push(Line { level, message: message.to_owned(), fields });
    }

    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}
}

struct Clock {
    host: Host,
    now: Rc<Cell<u64>>,
    seeds: Rc<Cell<u64>>,
}

impl ports::Clock for Clock {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn sleep(&self, milliseconds: u64) -> LocalBoxFuture<'_, ()> {
        self.host.call(async move { self.now.set(self.now.get() + milliseconds) }).boxed_local()
    }

    fn random_seed(&self) -> u64 {
        self.seeds.set(self.seeds.get() + 1);
        self.seeds.get()
    }
}
