//! The powers the brain needs, as traits: what `wit/` promises, in Rust words.

use futures_util::future::LocalBoxFuture;

/// All powers of one run. What is not here does not exist.
#[derive(Clone, Copy)]
pub struct Powers<'a> {
    /// Calls to the ERP.
    pub http: &'a dyn Http,
    /// The tenant's records.
    pub storage: &'a dyn Storage,
    /// Log and progress.
    pub log: &'a dyn Log,
    /// Time and chance.
    pub clock: &'a dyn Clock,
}

/// The queue a request waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A call about one record.
    Point,
    /// A call that reads a whole list.
    Scan,
}

/// One POST of a JSON object; the host adds address and credentials.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path below the connection's base address.
    pub path: &'static str,
    /// The JSON object.
    pub body: Vec<u8>,
    /// The queue.
    pub lane: Lane,
    /// Milliseconds for the whole call.
    pub timeout_ms: u32,
}

/// A complete answer, whatever its status.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The bytes.
    pub body: Box<dyn Body>,
}

/// The bytes of an answer.
pub trait Body {
    /// The next `max` bytes, fewer only at the end.
    fn read(&self, max: u32) -> LocalBoxFuture<'_, Result<Vec<u8>, HttpError>>;
    /// Starts again at the first byte.
    fn rewind(&self);
    /// The whole length.
    fn length(&self) -> u64;
}

/// Why there is no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpErrorKind {
    /// No connection of this name.
    UnknownConnection,
    /// Against a rule of the contract or the operator.
    RefusedByPolicy,
    /// Not reachable, broken off, or the breaker is open.
    Unavailable,
    /// No complete answer in time.
    TimedOut,
    /// Larger than the lane allows.
    TooLarge,
    /// The run's calls are used up.
    OutOfBudget,
}

/// No complete answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    /// The next step.
    pub kind: HttpErrorKind,
    /// One sentence without secrets.
    pub message: String,
    /// Whether the request may have been carried out.
    pub may_have_arrived: bool,
    /// When the host will try this connection again.
    pub retry_after_ms: Option<u64>,
}

/// Calls to the ERP.
pub trait Http {
    /// Sends once and waits for the whole answer.
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, HttpError>>;
    /// Asks the host to send nothing over this connection for so long, whichever run wants to: the other side has said so.
    fn hold_off(&self, milliseconds: u64);
}

/// One entry of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unique in its collection.
    pub id: String,
    /// Grows with every write.
    pub revision: u64,
    /// RFC 3339 UTC.
    pub modified_at: String,
    /// A tombstone.
    pub deleted: bool,
    /// A JSON object.
    pub body: Vec<u8>,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// This revision.
    Revision(u64),
    /// Anything.
    Any,
}

/// What to do to an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Create or replace.
    Put(Vec<u8>),
    /// Set the named members.
    Merge(Vec<u8>),
    /// Remove.
    Delete,
    /// Leave it as it is: only the expectation counts.
    Check,
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The collection's name.
    pub collection: &'static str,
    /// The entry's id.
    pub id: String,
    /// What must be true.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Commit {
    /// Stored; the tenant's revision went from `before` to `last`.
    Done {
        /// Newest revision before.
        before: u64,
        /// Newest revision after.
        last: u64,
    },
    /// Nothing is stored: these writes (by position) lost a race.
    Lost(Vec<usize>),
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangePage {
    /// Entries in revision order.
    pub entries: Vec<Entry>,
    /// Continue after this revision.
    pub next: u64,
}

/// Why storage could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A bug of this plugin.
    #[error("the plugin asked storage for something impossible: {0}")]
    Invalid(String),
    /// The operator's business.
    #[error("storage is not available: {0}")]
    Unavailable(String),
}

/// As many ids or keys one question to storage may name.
pub const MAX_KEYS: usize = 2_000;

/// All entries of a collection in id order, page by page.
pub struct Pages<'a> {
    storage: &'a dyn Storage,
    collection: &'static str,
    members: &'a [&'static str],
    size: u32,
    after: Option<String>,
}

impl<'a> Pages<'a> {
    /// Pages of at most `size` entries, of whose bodies only these members are wanted; all of them, where none is named.
    #[must_use]
    pub fn of(
        storage: &'a dyn Storage,
        collection: &'static str,
        members: &'a [&'static str],
        size: u32,
    ) -> Self {
        Self { storage, collection, members, size, after: None }
    }

    /// The next page; `None` behind the last one. What is written or deleted meanwhile moves no other entry.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, StorageError> {
        let page = self.storage.scan(self.collection, self.after.clone(), self.members, self.size).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id.clone());
        Ok(Some(page))
    }
}

/// The tenant's records. See `wit/storage.wit` for the promises.
pub trait Storage {
    /// The entries of these ids that exist; at most [`MAX_KEYS`] ids.
    fn get_page<'a>(
        &'a self,
        collection: &'static str,
        ids: Vec<String>,
    ) -> LocalBoxFuture<'a, Result<Vec<Entry>, StorageError>>;
    /// Entries by an indexed member: (position of the key, entry); at most [`MAX_KEYS`] keys.
    fn find_page<'a>(
        &'a self,
        collection: &'static str,
        index: &'static str,
        keys: Vec<String>,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Vec<(usize, Entry)>, StorageError>>;
    /// The entries of these ids that exist, however many they are.
    fn get_many<'a>(
        &'a self,
        collection: &'static str,
        ids: Vec<String>,
    ) -> LocalBoxFuture<'a, Result<Vec<Entry>, StorageError>> {
        if ids.len() <= MAX_KEYS {
            return self.get_page(collection, ids);
        }
        Box::pin(async move {
            let mut found = Vec::new();
            for page in ids.chunks(MAX_KEYS) {
                found.extend(self.get_page(collection, page.to_vec()).await?);
            }
            Ok(found)
        })
    }
    /// Entries by an indexed member, however many keys there are: (position of the key, entry).
    fn find_many<'a>(
        &'a self,
        collection: &'static str,
        index: &'static str,
        keys: Vec<String>,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Vec<(usize, Entry)>, StorageError>> {
        if keys.len() <= MAX_KEYS {
            return self.find_page(collection, index, keys, limit);
        }
        Box::pin(async move {
            let mut found = Vec::new();
            for (number, page) in keys.chunks(MAX_KEYS).enumerate() {
                let entries = self.find_page(collection, index, page.to_vec(), limit).await?;
                found.extend(entries.into_iter().map(|(key, entry)| (number * MAX_KEYS + key, entry)));
            }
            Ok(found)
        })
    }
    /// Entries in id order.
    fn scan<'a>(
        &'a self,
        collection: &'static str,
        after: Option<String>,
        members: &'a [&'static str],
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Vec<Entry>, StorageError>>;
    /// How many entries there are.
    fn count<'a>(&'a self, collection: &'static str) -> LocalBoxFuture<'a, Result<u64, StorageError>>;
    /// Entries written or deleted after a revision.
    fn changes<'a>(
        &'a self,
        collection: &'static str,
        after: u64,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<ChangePage, StorageError>>;
    /// All writes or none.
    fn commit(&self, writes: Vec<Write>) -> LocalBoxFuture<'_, Result<Commit, StorageError>>;
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Something failed.
    Error,
}

/// What a log line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The run.
    Sync,
    /// Calls.
    Api,
    /// Credentials.
    Auth,
    /// Translation and validation.
    Mapping,
}

/// Log and progress. Record contents do not belong here.
pub trait Log {
    /// Writes one line.
    fn log(&self, level: Level, category: Category, message: &str, fields: &[(&str, &str)]);
    /// Says how far the run is.
    fn progress(&self, stage: &str, done: u64, total: Option<u64>);
}

/// Time and chance.
pub trait Clock {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> u64;
    /// Waits.
    fn sleep(&self, milliseconds: u64) -> LocalBoxFuture<'_, ()>;
    /// A new seed.
    fn random_seed(&self) -> u64;
}
