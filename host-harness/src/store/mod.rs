//! What storage promises, whatever keeps it.
//!
//! [`Storage`] is the room of one tenant (bound to one Metakocka company): entries of collections, exactly as
//! `wit/storage.wit` describes them. The guest and the command line go through the same door.

mod catalog;
mod error;
mod house;
pub mod lease;
mod limits;
pub mod memory;
pub mod process;
#[cfg(any(test, feature = "test-kit"))]
pub mod promises;
mod record;
pub mod sqlite;
mod tenant;
mod time;
mod url;

use chrono::{DateTime, Utc};

pub use error::StoreError;
pub use house::Store;
pub use tenant::{BreakerRecord, Connection, LogQuery, LogRecord, Run, Tenant};
pub use url::{Access, StoreUrl};

/// The one member of a body that could not be read: which column is to blame, and why.
pub(crate) const UNREADABLE: &str = "$unreadable";

/// A collection of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// The CRM's contacts.
    Contacts,
    /// Which contact is which partner, with the merge base.
    Links,
    /// Partners met in the ERP that have no link.
    Seen,
    /// Creates decided and not yet confirmed.
    Outbox,
    /// Where the next run continues.
    Checkpoints,
    /// Stored plans, item by item.
    Plans,
    /// Fields that wait for a person's decision.
    Conflicts,
    /// Values that were overwritten.
    History,
    /// Records given up or to be looked at, with the reason.
    Quarantine,
    /// The tenant's settings; the guest may only read them.
    Settings,
}

/// One entry of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unique in its collection.
    pub id: String,
    /// Grows with every write of the tenant.
    pub revision: u64,
    /// When the entry was last written.
    pub modified_at: DateTime<Utc>,
    /// A tombstone; only [`Storage::changes`] returns these.
    pub deleted: bool,
    /// A JSON object, empty for a tombstone.
    pub body: Vec<u8>,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing under this id.
    Absent,
    /// The entry with exactly this revision.
    Revision(u64),
    /// Whatever is there.
    Any,
}

/// What to do to an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Create it, or replace the whole of it.
    Put(Vec<u8>),
    /// Set the named members of an existing entry; null clears one. Of an absent entry: a lost race.
    Merge(Vec<u8>),
    /// Remove it; removing nothing is no error.
    Delete,
    /// Leave it as it is: only the expectation counts.
    Check,
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The collection.
    pub collection: Collection,
    /// The entry's id.
    pub id: String,
    /// What must be true for the commit to happen.
    pub expect: Expectation,
    /// What to do.
    pub change: Change,
}

/// A write whose expectation did not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct LostRace {
    /// Position of the write in the commit.
    pub write: usize,
    /// What is there instead.
    pub current: Option<Entry>,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq)]
pub enum CommitOutcome {
    /// Everything is stored durably. The revisions used are `before + 1 ..= last`, in the order of the writes.
    Committed {
        /// The tenant's newest revision just before.
        before: u64,
        /// The tenant's newest revision now.
        last: u64,
    },
    /// Nothing is stored: these expectations failed.
    Lost(Vec<LostRace>),
}

/// An entry found by a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Position of the key in the question.
    pub key: usize,
    /// The entry.
    pub entry: Entry,
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangePage {
    /// Entries in revision order, tombstones included.
    pub entries: Vec<Entry>,
    /// Continue after this revision; the tenant's newest one when `entries` is empty.
    pub next: u64,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The caller's fault: no such collection, index or member, malformed JSON, a limit.
    #[error("{0}")]
    Invalid(String),
    /// The operator's business: the store is busy, full or gone.
    #[error("{0}")]
    Unavailable(String),
}

/// Most ids, keys or writes in one call.
pub const MAX_ITEMS: usize = 2_000;
/// Most entries a scan returns at once.
pub const MAX_SCAN: u32 = 10_000;
/// Most bytes of bodies in one commit.
pub const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// The room of one tenant. See `wit/storage.wit` for the promises.
#[async_trait::async_trait]
pub trait Storage: Send + Sync {
    /// The entries of these ids that exist.
    async fn get_many(&self, collection: Collection, ids: &[String]) -> Result<Vec<Entry>, StorageError>;
    /// All entries whose indexed member equals one of the keys, at most `limit` per key.
    async fn find_many(
        &self,
        collection: Collection,
        index: &str,
        keys: &[String],
        limit: u32,
    ) -> Result<Vec<Found>, StorageError>;
    /// Entries in id order after `after`; `members` names what the bodies hold, all when empty.
    async fn scan(
        &self,
        collection: Collection,
        after: Option<&str>,
        members: &[String],
        limit: u32,
    ) -> Result<Vec<Entry>, StorageError>;
    /// How many entries there are.
    async fn count(&self, collection: Collection) -> Result<u64, StorageError>;
    /// Entries of a CRM collection written or deleted after this revision, oldest first.
    async fn changes(
        &self,
        collection: Collection,
        after: u64,
        limit: u32,
    ) -> Result<ChangePage, StorageError>;
    /// Stores all writes or none.
    async fn commit(&self, writes: Vec<Write>) -> Result<CommitOutcome, StorageError>;
}
