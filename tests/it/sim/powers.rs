//! The four powers, over the world of a simulation.

use std::cell::Cell;
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

use super::{Counts, Shared, World};

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

/// What every power of one run shares.
#[derive(Clone)]
struct Host {
    counts: Shared,
    kill: Option<Kill>,
    dead: Rc<Cell<bool>>,
    killed: Rc<Notify>,
}

impl Host {
    /// One host call.
    async fn call<T>(&self, effect: impl Future<Output = T>) -> T {
        if self.dead.get() {
            return pending().await;
        }
        self.counts.borrow_mut().calls += 1;
        let number = self.counts.borrow().calls;
        let moment = self.kill.filter(|kill| kill.call == number).map(|kill| kill.moment);
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
pub type Script = Rc<std::cell::RefCell<Option<Box<dyn FnMut(&str, &Value) -> Said>>>>;

/// Everything one run is lent.
pub struct Powers {
    host: Host,
    http: Http,
    storage: Storage,
    log: Recorder,
    clock: Clock,
}

impl Powers {
    pub fn new(world: &World, kill: Option<Kill>) -> Self {
        let host = Host { counts: Rc::default(), kill, dead: Rc::default(), killed: Rc::new(Notify::new()) };
        Self {
            http: Http {
                host: host.clone(),
                wire: Arc::clone(&world.wire),
                script: Rc::clone(&world.script),
                sent: Rc::clone(&world.sent),
                pauses: Rc::clone(&world.pauses),
            },
            log: Recorder(Rc::clone(&world.lines)),
            storage: Storage { host: host.clone(), room: Arc::clone(&world.room) },
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
        }
    }

    pub async fn all_arrived(&self) {
        while self.under_way.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Status and body; nothing when the line breaks.
    async fn send(self: Arc<Self>, path: &'static str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
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

    async fn exchange(&self, request: &[u8]) -> Option<(u16, Vec<u8>)> {
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
        while body.len() < length {
            if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        self.idle.lock().unwrap().push(stream);
        Some((status, body))
    }
}

struct Http {
    host: Host,
    wire: Arc<Wire>,
    script: Script,
    sent: Rc<std::cell::RefCell<Vec<&'static str>>>,
    pauses: Rc<std::cell::RefCell<Vec<u64>>>,
}

impl ports::Http for Http {
    fn send(&self, request: ports::Request) -> LocalBoxFuture<'_, Result<ports::Response, HttpError>> {
        self.host
            .call(async move {
                if request.path.ends_with("add_partner") || request.path.ends_with("update_partner") {
                    self.host.counts.borrow_mut().erp_writes += 1;
                }
                let said = self.script.borrow_mut().as_mut().map_or(Said::ByErp, |script| {
                    script(request.path, &serde_json::from_slice(&request.body).unwrap())
                });
                if let Said::HeldBack(wait) = said {
                    return Err(HttpError {
                        kind: HttpErrorKind::Unavailable,
                        message: "the circuit breaker is open".to_owned(),
                        may_have_arrived: false,
                        retry_after_ms: Some(wait),
                    });
                }
                self.sent.borrow_mut().push(request.path);
                let (status, retry_after_ms, bytes) = match said {
                    Said::Instead(status, wait, text) => (status, wait, text.into_bytes()),
                    said => {
                        let answer = Arc::clone(&self.wire).send(request.path, &request.body).await;
                        let (status, bytes) = answer.ok_or_else(|| HttpError {
                            kind: HttpErrorKind::Unavailable,
                            message: "the connection broke".to_owned(),
                            may_have_arrived: true,
                            retry_after_ms: None,
                        })?;
                        match said {
                            Said::After(text) => (status, None, text.into_bytes()),
                            _ => (status, None, bytes),
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

/// Keeps what is logged.
struct Recorder(Rc<std::cell::RefCell<Vec<(String, std::collections::BTreeMap<String, String>)>>>);

impl ports::Log for Recorder {
    fn log(&self, _: ports::Level, _: ports::Category, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.0.borrow_mut().push((message.to_owned(), fields));
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
