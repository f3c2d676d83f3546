//! The store in one SQLite file. Only this folder knows its SQL.
//!
//! WAL with `synchronous=FULL`: a commit that was answered survives the machine. Any number of processes write and read;
//! who works on which tenant is what leases say. A lock file only keeps two from bringing the schema up to date at once.

mod breakers;
mod commit;
mod connections;
mod file;
mod leases;
mod lock;
mod room;
mod runs;
mod settings;
mod spoiled;
mod sql;
mod tenants;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};

use self::lock::Lock;
pub(crate) use self::room::Room;
use super::{Access, StorageError, StoreError};
use crate::seal::Keys;

/// The steps of the schema, in the binary.
static STEPS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long to wait for another program's transaction.
const BUSY: Duration = Duration::from_secs(10);
/// How long to wait for our own writer: other tenants' commits are short, but there may be many.
const TURN: Duration = Duration::from_secs(60);

/// An open database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: PathBuf,
    /// One connection: SQLite has one writer, and waiting in line here is fairer than polling its lock.
    writer: Option<SqlitePool>,
    readers: SqlitePool,
    keys: Keys,
}

impl Sqlite {
    pub async fn open(path: &Path, access: Access, keys: Keys) -> Result<Self, StoreError> {
        match access {
            Access::Write => create_private(path)?,
            Access::Read if path.exists() => {}
            Access::Read => return Err(StoreError::Missing { path: path.to_owned() }),
        }
        let path = &file::resolved(path)?;
        let writer = match access {
            Access::Write => Some(up_to_date(path).await?),
            Access::Read => {
                file::check(path)?;
                None
            }
        };
        let readers = readers(path);
        let sqlite = Self { path: path.to_owned(), writer, readers, keys };
        if access == Access::Read {
            sqlite.check_steps().await?;
        }
        sqlite.check_master_key().await?;
        Ok(sqlite)
    }

    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }

    fn writer(&self) -> Result<&SqlitePool, StoreError> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)
    }

    /// A reader changes nothing, so it needs exactly the steps it knows.
    async fn check_steps(&self) -> Result<(), StoreError> {
        let applied = sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&self.readers)
            .await
            .map_err(|error| match code(&error) {
                // No such table, not a database.
                Some(1 | 26) => StoreError::Foreign { path: self.path.clone() },
                _ => error.into(),
            })?;
        let applied = applied.iter().map(|row| row.try_get::<i64, _>(0)).collect::<Result<Vec<_>, _>>()?;
        if let Some(version) = applied.iter().find(|version| !STEPS.version_exists(**version)) {
            return Err(newer(&self.path, *version));
        }
        if applied.len() < STEPS.iter().count() {
            return Err(StoreError::Older { path: self.path.clone() });
        }
        Ok(())
    }

    /// Two master keys in one store would lock each other out: better said at once than at the first secret.
    async fn check_master_key(&self) -> Result<(), StoreError> {
        let stored = sqlx::query("SELECT master FROM tenant_keys WHERE master <> ?1 LIMIT 1")
            .bind(self.keys.fingerprint())
            .fetch_optional(&self.readers)
            .await?;
        match stored {
            None => Ok(()),
            Some(row) => Err(StoreError::WrongMasterKey {
                stored: row.try_get(0)?,
                given: self.keys.fingerprint().to_owned(),
            }),
        }
    }
}

/// Opens a database for writing, made if need be and with all steps of the schema.
async fn up_to_date(path: &Path) -> Result<SqlitePool, StoreError> {
    let _lock = Lock::take(path)?;
    let name = file::check(path)?;
    let writer = writer(path).await?;
    STEPS.run(&writer).await.map_err(|error| step_error(path, error))?;
    if name == file::Name::New {
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", file::fingerprint(path))))
            .execute(&writer)
            .await?;
        // Into the file itself: whoever comes by another name reads it there.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&writer).await?;
    }
    Ok(writer)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // Rows on their way through a statement with triggers are kilobytes: not worth a file.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .test_before_acquire(false)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
}

async fn writer(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", "-16384")
        // 32 MiB between checkpoints: pages that many commits touch are copied back once.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("journal_size_limit", "67108864");
    pool().max_connections(1).connect_with(options).await.map_err(|error| match code(&error) {
        Some(26) => StoreError::Foreign { path: path.to_owned() },
        _ => error.into(),
    })
}

fn readers(path: &Path) -> SqlitePool {
    let options = options(path).read_only(true).pragma("cache_size", "-4096");
    pool().max_connections(2).connect_lazy_with(options)
}

/// Makes the file so that only its owner reads it: it holds a whole CRM. SQLite gives its side files the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::File { path: path.to_owned(), cause };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(failed)
}

fn newer(path: &Path, version: i64) -> StoreError {
    let known = STEPS.iter().map(|step| step.version).max().unwrap_or_default();
    StoreError::Newer { path: path.to_owned(), version, known }
}

fn step_error(path: &Path, error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => newer(path, version),
        MigrateError::VersionMismatch(version) => StoreError::Diverged { path: path.to_owned(), version },
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Engine(other.to_string()),
    }
}

/// SQLite's result code.
fn extended_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The same without its finer part.
fn code(error: &sqlx::Error) -> Option<u32> {
    extended_code(error).map(|code| code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match code(&error) {
            Some(5 | 6) => Self::Busy,
            Some(8) => Self::ReadOnly,
            Some(13) => Self::Full,
            _ if matches!(error, sqlx::Error::PoolTimedOut) => Self::Busy,
            // SQLite's messages name tables and columns, never values.
            _ => match error.as_database_error() {
                Some(error) => Self::Engine(error.message().to_owned()),
                None => Self::Engine(error.to_string()),
            },
        }
    }
}

/// An error of a collection's statement, by whose business it is.
fn storage_error(error: sqlx::Error) -> StorageError {
    let message = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
    if code(&error) == Some(19) || message.contains("JSON") {
        StorageError::Invalid(format!("the store refuses the entry: {message}"))
    } else {
        StorageError::Unavailable(StoreError::from(error).to_string())
    }
}
