//! A tenant's room in the database: writing.
//!
//! One transaction: take the numbers, look at what is there, then one statement for each collection and kind of
//! change, never one for each row.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use super::super::time;
use super::leases::is_ours;
use super::room::{Room, array, place};
use super::{StoreError, extended_code, sql, storage_error};
use crate::store::catalog::Kind;
use crate::store::record::Record;
use crate::store::{
    Change, Collection, CommitOutcome, Entry, Expectation, LostRace, StorageError, UNREADABLE, Write, limits,
};

/// Records of an import that one statement stores.
const IMPORT_PAGE: usize = 500;

/// A write on its way into the store.
struct Task<'w> {
    /// Its position in the commit.
    at: usize,
    id: &'w str,
    expect: Expectation,
    step: Step<'w>,
    /// The revision of the entry that is there.
    found: Option<u64>,
    /// The number it gets.
    revision: u64,
}

enum Step<'w> {
    Store(Record<'w>),
    /// To be merged into what is there.
    Merge(&'w [u8]),
    Delete,
    /// Nothing: only what the write expects counts.
    Check,
}

type Tasks<'w> = BTreeMap<Collection, Vec<Task<'w>>>;

impl Room {
    pub(super) async fn commit_all(&self, writes: &[Write]) -> Result<CommitOutcome, StorageError> {
        limits::writes(writes)?;
        let writer = self.sqlite.writer().map_err(unavailable)?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(storage_error)?;
        if let Some(lease) = &self.lease
            && !is_ours(&mut tx, lease).await.map_err(storage_error)?
        {
            return Err(unavailable(StoreError::Overtaken));
        }
        let outcome = self.write_all(writes, &mut tx).await?;
        match outcome {
            CommitOutcome::Committed { .. } => tx.commit().await.map_err(storage_error)?,
            CommitOutcome::Lost(_) => tx.rollback().await.map_err(storage_error)?,
        }
        Ok(outcome)
    }

    /// Stores all of these or none, however many they are: for the CRM's own door, which knows no pages.
    pub async fn import_all(&self, writes: &[Write]) -> Result<(), StorageError> {
        let writer = self.sqlite.writer().map_err(unavailable)?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(storage_error)?;
        for page in writes.chunks(IMPORT_PAGE) {
            if let CommitOutcome::Lost(_) = self.write_all(page, &mut tx).await? {
                tx.rollback().await.map_err(storage_error)?;
                return Err(StorageError::Unavailable(
                    "another writer was faster: run the command again".into(),
                ));
            }
        }
        tx.commit().await.map_err(storage_error)
    }

    /// Everything a commit does inside its transaction. After a lost race the transaction must be rolled back.
    async fn write_all(
        &self,
        writes: &[Write],
        tx: &mut SqliteConnection,
    ) -> Result<CommitOutcome, StorageError> {
        let mut tasks = self.tasks(writes)?;
        let now = time::text(time::now());
        let before = self.take_numbers(writes.len(), tx).await?;
        let mut lost = Vec::new();
        for (collection, tasks) in &mut tasks {
            lost.extend(self.look(*collection, tasks, tx).await?);
        }
        if !lost.is_empty() {
            lost.sort_by_key(|race| race.write);
            return Ok(CommitOutcome::Lost(lost));
        }
        let last = number(&mut tasks, before);
        // All deletes before all puts: what an entry gives up, another may take in the same commit.
        for (collection, tasks) in &tasks {
            self.delete(*collection, tasks, &now, tx).await?;
        }
        for (collection, tasks) in &tasks {
            let lost = self.store(*collection, tasks, &now, tx).await?;
            if !lost.is_empty() {
                return Ok(CommitOutcome::Lost(lost));
            }
        }
        self.close_numbers(last, tx).await?;
        Ok(CommitOutcome::Committed { before, last })
    }

    /// Checks the bodies and sorts the writes by collection, before anything is locked.
    fn tasks<'w>(&self, writes: &'w [Write]) -> Result<Tasks<'w>, StorageError> {
        let mut tasks = Tasks::new();
        for (at, write) in writes.iter().enumerate() {
            if write.collection.shape().company && self.company == 0 {
                return Err(unavailable(StoreError::NotConnected(self.tenant.name.clone())));
            }
            let step = match &write.change {
                Change::Put(body) => Step::Store(
                    Record::put(write.collection, body).map_err(|error| limits::named(at, write, error))?,
                ),
                Change::Merge(patch) => {
                    Record::check_patch(write.collection, patch)
                        .map_err(|error| limits::named(at, write, error))?;
                    Step::Merge(patch)
                }
                Change::Delete => Step::Delete,
                Change::Check => Step::Check,
            };
            let task = Task { at, id: &write.id, expect: write.expect, step, found: None, revision: 0 };
            tasks.entry(write.collection).or_default().push(task);
        }
        Ok(tasks)
    }

    /// Opens a span of the counter, wide enough for every write. Answers the newest revision before it.
    async fn take_numbers(&self, count: usize, tx: &mut SqliteConnection) -> Result<u64, StorageError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let row = sqlx::query(
            "UPDATE tenant_revisions SET open_from = revision + 1, revision = revision + ?2 WHERE tenant_id = ?1
             RETURNING revision",
        )
        .bind(self.tenant_id.clone())
        .bind(count)
        .fetch_one(tx)
        .await;
        let last: i64 = row.and_then(|row| row.try_get(0)).map_err(storage_error)?;
        Ok(u64::try_from(last - count).unwrap_or_default())
    }

    /// Closes the span: from here on every number is somebody else's.
    async fn close_numbers(&self, last: u64, tx: &mut SqliteConnection) -> Result<(), StorageError> {
        sqlx::query("UPDATE tenant_revisions SET revision = ?2, open_from = ?2 + 1 WHERE tenant_id = ?1")
            .bind(self.tenant_id.clone())
            .bind(i64::try_from(last).unwrap_or(i64::MAX))
            .execute(tx)
            .await
            .map_err(storage_error)?;
        Ok(())
    }

    /// Notes what is there, merges into it, and answers the expectations that do not hold.
    async fn look(
        &self,
        collection: Collection,
        tasks: &mut [Task<'_>],
        tx: &mut SqliteConnection,
    ) -> Result<Vec<LostRace>, StorageError> {
        let ids = array(tasks.iter().map(|task| task.id));
        let rows = self.query(&sql::of(collection)?.look).bind(ids).fetch_all(&mut *tx).await;
        let mut found = HashMap::new();
        for row in rows.map_err(storage_error)? {
            let id: String = row.try_get(0).map_err(storage_error)?;
            let revision: i64 = row.try_get(1).map_err(storage_error)?;
            found.insert(id, u64::try_from(revision).unwrap_or_default());
        }
        for task in &mut *tasks {
            task.found = found.get(task.id).copied();
        }
        let wanted = tasks.iter().filter(|task| !task.holds() || matches!(task.step, Step::Merge(_)));
        let wanted = array(wanted.filter(|task| task.found.is_some()).map(|task| task.id));
        let mut current = HashMap::new();
        if wanted != "[]" {
            let question = self.ask(collection.shape(), &sql::of(collection)?.get).text(wanted);
            let entries = self.entries(&question, tx).await?;
            current.extend(entries.into_iter().map(|entry| (entry.id.clone(), entry)));
        }
        let mut lost = Vec::new();
        for task in tasks {
            if !task.holds() {
                lost.push(LostRace { write: task.at, current: current.remove(task.id) });
            } else if let Step::Merge(patch) = &task.step
                && let Some(entry) = current.get(task.id)
            {
                task.step = Step::Store(merged(collection, entry, patch)?);
            }
        }
        Ok(lost)
    }

    async fn delete(
        &self,
        collection: Collection,
        tasks: &[Task<'_>],
        now: &str,
        tx: &mut SqliteConnection,
    ) -> Result<(), StorageError> {
        let gone = tasks.iter().filter(|task| task.deletes());
        let ids = array(gone.clone().map(|task| task.id));
        if ids == "[]" {
            return Ok(());
        }
        if collection.is_crm() {
            // First, so that the table's trigger knows the delete for ours.
            let rows = gone.map(|task| serde_json::json!([task.id, task.revision]));
            self.query(
                "INSERT INTO crm_tombstones (tenant_id, collection, id, revision, deleted_at)
                 SELECT ?1, 'contacts', value->>0, value->>1, ?4 FROM json_each(?3) WHERE ?2 >= 0
                 ON CONFLICT (tenant_id, collection, id)
                 DO UPDATE SET revision = excluded.revision, deleted_at = excluded.deleted_at",
            )
            .bind(serde_json::Value::from_iter(rows).to_string())
            .bind(now.to_owned())
            .execute(&mut *tx)
            .await
            .map_err(storage_error)?;
        }
        let query = self.query(&sql::of(collection)?.delete).bind(ids);
        query.execute(tx).await.map_err(storage_error)?;
        Ok(())
    }

    /// Writes the rows; answers the writes that want a unique key somebody else holds.
    async fn store(
        &self,
        collection: Collection,
        tasks: &[Task<'_>],
        now: &str,
        tx: &mut SqliteConnection,
    ) -> Result<Vec<LostRace>, StorageError> {
        if collection.is_crm() {
            let reborn =
                tasks.iter().filter(|task| matches!(task.step, Step::Store(_)) && task.found.is_none());
            let reborn = array(reborn.map(|task| task.id));
            if reborn != "[]" {
                self.query(
                    "DELETE FROM crm_tombstones WHERE tenant_id = ?1 AND ?2 >= 0 AND collection = 'contacts'
                     AND id IN (SELECT value FROM json_each(?3))",
                )
                .bind(reborn)
                .execute(&mut *tx)
                .await
                .map_err(storage_error)?;
            }
        }
        let rows = self.rows(collection, tasks)?;
        if rows == "[]" {
            return Ok(Vec::new());
        }
        match self.put(collection, rows, now, tx).await {
            Ok(()) => Ok(Vec::new()),
            // UNIQUE: asking beforehand would cost every commit what only a lost race needs.
            Err(error) if extended_code(&error) == Some(2067) && collection == Collection::Links => {
                let lost = self.holders(tasks, tx).await?;
                if lost.is_empty() {
                    // The holders are entries of this commit that let go: only the order was in the way.
                    self.step_aside(tasks, tx).await?;
                    let rows = self.rows(collection, tasks)?;
                    self.put(collection, rows, now, tx).await.map_err(storage_error)?;
                }
                Ok(lost)
            }
            Err(error) => Err(storage_error(error)),
        }
    }

    async fn put(
        &self,
        collection: Collection,
        rows: String,
        now: &str,
        tx: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let Ok(statements) = sql::of(collection) else { return Ok(()) };
        let query = self.query(&statements.put).bind(rows).bind(now.to_owned());
        let query = query
            .bind(self.tenant.user_id.map(|id| id.to_string()))
            .bind(self.tenant.organization_id.map(|id| id.to_string()));
        query.execute(tx).await.map(drop)
    }

    /// The rows of the put statement. Members stay the JSON text they came as.
    fn rows(&self, collection: Collection, tasks: &[Task<'_>]) -> Result<String, StorageError> {
        let shape = collection.shape();
        let mut rows = String::with_capacity(tasks.iter().map(Task::size).sum());
        rows.push('[');
        for task in tasks {
            let Step::Store(record) = &task.step else { continue };
            if rows.len() > 1 {
                rows.push(',');
            }
            rows.push('[');
            rows.push_str(&json_text(task.id));
            rows.push(',');
            rows.push_str(&task.revision.to_string());
            match record {
                Record::Free(body) => {
                    rows.push(',');
                    rows.push_str(body);
                }
                Record::Members(values) => {
                    for (member, value) in shape.members().iter().zip(values) {
                        rows.push(',');
                        match value {
                            None => rows.push_str("null"),
                            Some(value) if member.kind == Kind::Sealed => {
                                let sealed = self.key.seal(&place(shape, member.column), value.as_bytes());
                                let sealed = sealed.map_err(|error| unavailable(error.into()))?;
                                rows.push_str(&json_text(&sealed));
                            }
                            Some(value) => rows.push_str(value),
                        }
                    }
                }
            }
            if collection == Collection::Links {
                rows.push_str(&format!(",\"{}\"", Uuid::now_v7()));
            }
            rows.push(']');
        }
        rows.push(']');
        Ok(rows)
    }

    /// Entries outside of the commit that hold a unique key of it.
    async fn holders(
        &self,
        tasks: &[Task<'_>],
        tx: &mut SqliteConnection,
    ) -> Result<Vec<LostRace>, StorageError> {
        let shape = Collection::Links.shape();
        let mut wanted = HashMap::new();
        for task in tasks {
            let Some(key) = task.partner() else { continue };
            if wanted.insert(key, task.at).is_some() {
                return Err(twice());
            }
        }
        let (at, _) = limits::index(shape, "metakocka_id")?;
        let find = sql::of(Collection::Links)?
            .find
            .get(at)
            .ok_or_else(|| limits::no_index(shape, "metakocka_id"))?;
        let question = self.ask(shape, find).text(array(wanted.keys().map(String::as_str))).number(1);
        let holders = self.entries(&question, tx).await?;
        let mut lost = Vec::new();
        for holder in holders {
            if tasks.iter().any(|task| task.id == holder.id && matches!(task.step, Step::Store(_))) {
                continue;
            }
            let held = Record::put(Collection::Links, &holder.body)?;
            let held = held.get(shape.members(), "metakocka_id").and_then(plain).unwrap_or_default();
            if let Some(at) = wanted.get(&held) {
                lost.push(LostRace { write: *at, current: Some(holder) });
            }
        }
        lost.sort_by_key(|race| race.write);
        Ok(lost)
    }

    /// Gives links that are about to be written a key nobody wants.
    async fn step_aside(&self, tasks: &[Task<'_>], tx: &mut SqliteConnection) -> Result<(), StorageError> {
        let ids = array(tasks.iter().filter(|task| task.found.is_some()).map(|task| task.id));
        self.query(
            "UPDATE metakocka_contact_mappings SET metakocka_id = char(9) || contact_id
             WHERE tenant_id = ?1 AND company = ?2 AND contact_id IN (SELECT value FROM json_each(?3))",
        )
        .bind(ids)
        .execute(tx)
        .await
        .map_err(storage_error)?;
        Ok(())
    }
}

impl Task<'_> {
    /// Whether the entry is what the write expects.
    fn holds(&self) -> bool {
        let merge = matches!(self.step, Step::Merge(_));
        match (self.expect, self.found) {
            (Expectation::Absent, found) => found.is_none() && !merge,
            (Expectation::Revision(revision), found) => found == Some(revision),
            (Expectation::Any, found) => found.is_some() || !merge,
        }
    }

    /// About how many bytes its row takes.
    fn size(&self) -> usize {
        let body = match &self.step {
            Step::Store(Record::Free(body)) => body.len(),
            Step::Store(Record::Members(values)) => {
                values.iter().flatten().map(|value| value.len() + 5).sum()
            }
            _ => 0,
        };
        body + 128
    }

    /// Whether the write removes something.
    fn deletes(&self) -> bool {
        matches!(self.step, Step::Delete) && self.found.is_some()
    }

    /// The partner a link is written for.
    fn partner(&self) -> Option<String> {
        let Step::Store(record) = &self.step else { return None };
        record.get(Collection::Links.shape().members(), "metakocka_id").and_then(plain)
    }
}

/// What the entry becomes.
fn merged(collection: Collection, entry: &Entry, patch: &[u8]) -> Result<Record<'static>, StorageError> {
    if entry.body.starts_with(format!("{{\"{UNREADABLE}\"").as_bytes()) {
        return Err(StorageError::Unavailable(format!(
            "the entry {} of {} cannot be read ({}): mend that row, or delete it",
            entry.id,
            collection.name(),
            String::from_utf8_lossy(&entry.body),
        )));
    }
    let mut record = Record::merge(collection, &entry.body, patch)?;
    // A change of members is a change now, whatever the body says; the put fills the time in.
    record.set(collection.shape().members(), "updatedat", None);
    Ok(record.into_owned())
}

/// Gives each write its number, in the order of the commit. Checks and deleting nothing get none.
fn number(tasks: &mut Tasks<'_>, before: u64) -> u64 {
    let mut all: Vec<&mut Task<'_>> = tasks.values_mut().flatten().collect();
    all.sort_by_key(|task| task.at);
    let mut last = before;
    for task in all {
        if !matches!(task.step, Step::Delete | Step::Check) || task.deletes() {
            last += 1;
            task.revision = last;
        }
    }
    last
}

pub(crate) fn twice() -> StorageError {
    StorageError::Invalid("a commit links the same partner twice".to_owned())
}

/// The text a JSON text stands for.
fn plain(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

fn json_text(text: &str) -> Cow<'_, str> {
    Cow::Owned(serde_json::Value::from(text).to_string())
}

fn unavailable(error: StoreError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}
