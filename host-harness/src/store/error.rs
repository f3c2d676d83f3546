//! What an operator reads when the store cannot be used.

use std::path::PathBuf;

use super::StorageError;
use crate::seal::{KeyError, MASTER_KEY, MASTER_KEY_FILE};

/// Why a store could not be opened or used. Each text says what to do and holds no record and no secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the store is not understood.
    #[error(
        "{given:?} is no address of a store: give sqlite:PATH, for example sqlite:/var/lib/harness/crm.db"
    )]
    Url {
        /// What was given, without a password.
        given: String,
    },
    /// The address is right, but this build lacks the engine.
    #[error("PostgreSQL is not in this build of host-harness: give sqlite:PATH")]
    NotInThisBuild,
    /// A reading command found nothing to read.
    #[error("there is no store at {}: check --store or HARNESS_STORE, or make one with `host-harness tenant add NAME`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file, but not ours.
    #[error("{} is no store of host-harness: check --store or HARNESS_STORE", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer host-harness has written it.
    #[error("the store {} was written by a newer host-harness (it has step {version}, this build knows {known}): use that version, or restore a backup made before the upgrade", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The step this build does not know.
        version: i64,
        /// The newest step it knows.
        known: i64,
    },
    /// An older host-harness has written it, and a reading command does not change it.
    #[error("the store {} is of an older host-harness: run any writing command once (for example `host-harness sync`) to bring it up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// A step of the schema is not the one this build has.
    #[error("step {version} of the schema of {} differs from the one in this build: the store was made by another line of host-harness; use that one", path.display())]
    Diverged {
        /// The file.
        path: PathBuf,
        /// The step.
        version: i64,
    },
    /// The file has several names, and this is not the one the store was made with.
    #[error(
        "{} is a second name (a hard link) of a store: by it the database's journal is not seen and the data would be damaged. Use the name the store was made with, or a symbolic link to it",
        path.display()
    )]
    SecondName {
        /// The file.
        path: PathBuf,
    },
    /// The run was overtaken.
    #[error(
        "this run was paused for longer than its lease (`limits.lease-seconds`) and another one has taken its place: nothing more of it is stored. Run again"
    )]
    Overtaken,
    /// Another process brings the store up to date.
    #[error("{} is being made or brought up to date by {holder}: wait for it to end or stop it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// Process id and command.
        holder: String,
    },
    /// The system refuses a file.
    #[error("{} cannot be used: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A write through a store opened for reading.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// Another program holds the write lock of the database for too long.
    #[error("the store is busy: another program holds its write lock; end its transaction and try again")]
    Busy,
    /// No room.
    #[error("the disk of the store is full: make room and run again, nothing half-done was stored")]
    Full,
    /// The database engine failed otherwise.
    #[error("the store failed: {0}")]
    Engine(String),
    /// No such tenant.
    #[error("there is no tenant {0:?}: `host-harness tenant list` shows all, `tenant add` makes one")]
    NoTenant(String),
    /// The name or its owner is taken.
    #[error("there is already a tenant with this {what}: `host-harness tenant list` shows all")]
    TenantTaken {
        /// `name`, `organization` or `user`.
        what: &'static str,
    },
    /// An empty name.
    #[error("a tenant needs a name")]
    NoName,
    /// The tenant is bound to another company.
    #[error(
        "tenant {tenant:?} is bound to company {company} at {installation} by {links} links or unfinished creates: connect that one again, or add another tenant for the new company"
    )]
    OtherCompany {
        /// The tenant's name.
        tenant: String,
        /// How many entries are bound.
        links: i64,
        /// The company they belong to.
        company: String,
        /// Where that is.
        installation: String,
    },
    /// No connection yet.
    #[error(
        "tenant {0:?} is not connected: run `host-harness connect --tenant NAME --base-url URL --company-id ID`"
    )]
    NotConnected(String),
    /// No such run.
    #[error("there is no run {0}")]
    NoRun(uuid::Uuid),
    /// The data were sealed with another master key.
    #[error(
        "the store was sealed with master key {stored}, but the one given is {given}: check {MASTER_KEY} and {MASTER_KEY_FILE}, or the master.key of the data folder it was made with"
    )]
    WrongMasterKey {
        /// Fingerprint of the key that was used.
        stored: String,
        /// Fingerprint of the key at hand.
        given: String,
    },
    /// A key is of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Stored content that cannot be read.
    #[error("the store holds something unreadable in {0}: restore it from a backup")]
    Unreadable(&'static str),
    /// An entry could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
