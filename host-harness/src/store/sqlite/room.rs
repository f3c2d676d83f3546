//! A tenant's room in the database: reading.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Sqlite as Engine, SqliteConnection};

use super::super::time;
use super::{Sqlite, StoreError, extended_code, spoiled, sql, storage_error};
use crate::seal::TenantKey;
use crate::store::UNREADABLE;
use crate::store::catalog::{Kind, Shape};
use crate::store::lease::Lease;
use crate::store::{
    ChangePage, Collection, CommitOutcome, Entry, Found, MAX_ITEMS, MAX_SCAN, Storage, StorageError, Tenant,
    Write, limits,
};

/// One tenant, bound to one company.
#[derive(Debug)]
pub(crate) struct Room {
    pub(super) sqlite: Arc<Sqlite>,
    pub(super) tenant: Tenant,
    pub(super) tenant_id: String,
    /// 0 when the tenant is not connected.
    pub(super) company: i64,
    pub(super) key: TenantKey,
    /// What a run's commits depend on; `None` for a single short command.
    pub(super) lease: Option<Lease>,
}

/// A question for entries.
pub(super) struct Question {
    shape: &'static Shape,
    sql: Cow<'static, str>,
    /// The expression of the bodies in it.
    body: String,
    /// Rows whose id names nothing are handed over under a stand-in; else they are left out.
    stand_ins: bool,
    binds: Vec<Bind>,
}

/// A parameter after the tenant and the company.
enum Bind {
    Text(String),
    Number(i64),
}

impl Question {
    pub(super) fn text(mut self, text: String) -> Self {
        self.binds.push(Bind::Text(text));
        self
    }

    /// Wants stand-ins for rows whose id names nothing. Only where nothing is asked for by the ids that come back.
    fn with_stand_ins(mut self) -> Self {
        self.stand_ins = true;
        self
    }

    pub(super) fn number(mut self, number: impl Into<i64>) -> Self {
        self.binds.push(Bind::Number(number.into()));
        self
    }
}

/// Why rows were not read.
enum RowsError {
    /// One of them is not what its columns promise.
    Spoiled,
    Storage(StorageError),
}

impl RowsError {
    /// SQLite names what it cannot turn into JSON with its most general code.
    fn of(error: sqlx::Error) -> Self {
        match extended_code(&error) {
            Some(1) => Self::Spoiled,
            _ => Self::Storage(storage_error(error)),
        }
    }

    fn storage(self, shape: &Shape) -> StorageError {
        match self {
            Self::Spoiled => StorageError::Unavailable(StoreError::Unreadable(shape.table).to_string()),
            Self::Storage(error) => error,
        }
    }
}

pub(super) type Query = sqlx::query::Query<'static, Engine, SqliteArguments>;

impl Room {
    pub async fn open(sqlite: &Arc<Sqlite>, tenant: &Tenant) -> Result<Self, StoreError> {
        Ok(Self {
            sqlite: Arc::clone(sqlite),
            tenant: tenant.clone(),
            tenant_id: tenant.id.to_string(),
            company: sqlite.company(tenant).await?,
            key: sqlite.tenant_key(tenant).await?,
            lease: None,
        })
    }

    /// The same for a run: each of its commits happens only while the lease is its own.
    pub fn leased(self, lease: Lease) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// A statement for this room.
    pub(super) fn query(&self, sql: &'static str) -> Query {
        sqlx::query(sql).bind(self.tenant_id.clone()).bind(self.company)
    }

    /// A question whose whole bodies are wanted.
    pub(super) fn ask(&self, shape: &'static Shape, sql: &'static str) -> Question {
        Question { shape, sql: sql.into(), body: sql::whole(shape), stand_ins: false, binds: Vec::new() }
    }

    /// The entries that answer a question.
    pub(super) async fn entries(
        &self,
        question: &Question,
        on: &mut SqliteConnection,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.answers(question, on).await?.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The same from a reader's connection.
    async fn read(&self, question: &Question) -> Result<Vec<(usize, Entry)>, StorageError> {
        let mut reader = self.sqlite.readers.acquire().await.map_err(storage_error)?;
        self.answers(question, &mut reader).await
    }

    /// Entries, each with the number in the second column. One spoiled row can fail a whole statement: then it is asked again,
    /// carefully.
    async fn answers(
        &self,
        question: &Question,
        on: &mut SqliteConnection,
    ) -> Result<Vec<(usize, Entry)>, StorageError> {
        let statement = match &question.sql {
            Cow::Borrowed(sql) => sqlx::query(*sql),
            Cow::Owned(sql) => sqlx::query(AssertSqlSafe(sql.clone())),
        };
        match self.answers_of(question, statement, on).await {
            Ok(rows) => Ok(rows),
            Err(RowsError::Spoiled) => {
                let careful = sql::careful(question.shape, &question.sql, &question.body);
                let rows = self.answers_of(question, sqlx::query(AssertSqlSafe(careful)), on).await;
                rows.map_err(|error| error.storage(question.shape))
            }
            Err(error) => Err(error.storage(question.shape)),
        }
    }

    async fn answers_of(
        &self,
        question: &Question,
        statement: Query,
        on: &mut SqliteConnection,
    ) -> Result<Vec<(usize, Entry)>, RowsError> {
        let mut query = statement.bind(self.tenant_id.clone()).bind(self.company);
        for bind in &question.binds {
            query = match bind {
                Bind::Text(text) => query.bind(text.clone()),
                Bind::Number(number) => query.bind(*number),
            };
        }
        let mut rows = query.fetch(on);
        let mut answers = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(RowsError::of)? {
            let number: i64 = if row.len() > 1 { row.try_get(1).map_err(RowsError::of)? } else { 0 };
            if let Some(entry) = self.entry(question, &row)? {
                answers.push((usize::try_from(number).unwrap_or_default(), entry));
            }
        }
        Ok(answers)
    }

    /// The entry of a row, unless no question could ever name it.
    fn entry(&self, question: &Question, row: &SqliteRow) -> Result<Option<Entry>, RowsError> {
        let shape = question.shape;
        let bytes: &[u8] = row.try_get_unchecked(0).map_err(RowsError::of)?;
        let text = spoiled::marked(bytes);
        let (id, revision, modified, body): (Cow<'_, str>, u64, Option<Cow<'_, str>>, Option<&RawValue>) =
            serde_json::from_str(&text).map_err(|_| RowsError::Spoiled)?;
        let deleted = body.is_none();
        if !spoiled::names_a_row(&id) {
            return Ok(question.stand_ins.then(|| Entry {
                id: spoiled::stand_in(&id),
                revision,
                modified_at: time::parse(&modified.unwrap_or_default()),
                deleted,
                body: if deleted { Vec::new() } else { spoiled::without_id(revision) },
            }));
        }
        let body = match body.map(RawValue::get) {
            None => Vec::new(),
            Some(body) => match spoiled::instead(shape, body) {
                Some(instead) => instead,
                None if shape.seals() && !body.starts_with(&format!("{{\"{UNREADABLE}\"")) => {
                    self.unseal(shape, body.as_bytes()).map_err(RowsError::Storage)?
                }
                None => body.as_bytes().to_vec(),
            },
        };
        Ok(Some(Entry {
            id: id.into_owned(),
            revision,
            modified_at: time::parse(&modified.unwrap_or_default()),
            deleted,
            body,
        }))
    }

    fn unseal(&self, shape: &Shape, body: &[u8]) -> Result<Vec<u8>, StorageError> {
        let unreadable = || StorageError::Unavailable(StoreError::Unreadable(shape.table).to_string());
        let mut members: BTreeMap<&str, Box<RawValue>> =
            serde_json::from_slice(body).map_err(|_| unreadable())?;
        for member in shape.members().iter().filter(|member| member.kind == Kind::Sealed) {
            let Some(sealed) = members.get_mut(member.name) else { continue };
            let text: String = serde_json::from_str(sealed.get()).map_err(|_| unreadable())?;
            let opened = self
                .key
                .open(&place(shape, member.column), &text)
                .map_err(|error| StorageError::Unavailable(error.to_string()))?;
            let opened = String::from_utf8(opened.to_vec()).map_err(|_| unreadable())?;
            *sealed = RawValue::from_string(opened).map_err(|_| unreadable())?;
        }
        serde_json::to_vec(&members).map_err(|_| unreadable())
    }
}

/// What a sealed value is bound to.
pub(super) fn place(shape: &Shape, column: &str) -> String {
    format!("{}.{column}", shape.table)
}

/// Texts as a JSON array, for `json_each`.
pub(super) fn array<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(texts).to_string()
}

#[async_trait]
impl Storage for Room {
    async fn get_many(&self, collection: Collection, ids: &[String]) -> Result<Vec<Entry>, StorageError> {
        limits::items("ids", ids.len())?;
        let question = self.ask(collection.shape(), &sql::of(collection)?.get);
        let question = question.text(array(ids.iter().map(String::as_str)));
        Ok(self.read(&question).await?.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn find_many(
        &self,
        collection: Collection,
        index: &str,
        keys: &[String],
        limit: u32,
    ) -> Result<Vec<Found>, StorageError> {
        limits::items("keys", keys.len())?;
        let shape = collection.shape();
        let (at, index) = limits::index(shape, index)?;
        // A key that matches nothing stays as null: positions must not move.
        let keys: Vec<_> = keys.iter().map(|key| index.normal(key)).collect();
        let keys = serde_json::Value::from_iter(keys).to_string();
        let find = sql::of(collection)?.find.get(at).ok_or_else(|| limits::no_index(shape, index.name))?;
        let question = self.ask(shape, find).text(keys).number(limit);
        Ok(self.read(&question).await?.into_iter().map(|(key, entry)| Found { key, entry }).collect())
    }

    async fn scan(
        &self,
        collection: Collection,
        after: Option<&str>,
        members: &[String],
        limit: u32,
    ) -> Result<Vec<Entry>, StorageError> {
        limits::at_most("a scan", limit, MAX_SCAN)?;
        let shape = collection.shape();
        // Ids are never empty, so all of them come after the empty one.
        let after = after.unwrap_or_default().to_owned();
        let question = if members.is_empty() {
            self.ask(shape, &sql::of(collection)?.scan)
        } else {
            let body = sql::body(shape, members)?;
            Question {
                shape,
                sql: sql::scan_of(shape, &body).into(),
                body,
                stand_ins: false,
                binds: Vec::new(),
            }
        };
        let rows = self.read(&question.text(after).number(limit)).await?;
        Ok(rows.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn count(&self, collection: Collection) -> Result<u64, StorageError> {
        let row = self.query(&sql::of(collection)?.count).fetch_one(&self.sqlite.readers).await;
        let count: i64 = row.and_then(|row| row.try_get(0)).map_err(storage_error)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn changes(
        &self,
        collection: Collection,
        after: u64,
        limit: u32,
    ) -> Result<ChangePage, StorageError> {
        limits::at_most("a page of changes", limit, MAX_ITEMS as u32)?;
        limits::has_changes(collection)?;
        // The counter first: what is committed between the two statements is in the page or comes later.
        let newest = sqlx::query("SELECT revision FROM tenant_revisions WHERE tenant_id = ?1")
            .bind(self.tenant_id.clone())
            .fetch_one(&self.sqlite.readers)
            .await;
        let newest: i64 = newest.and_then(|row| row.try_get(0)).map_err(storage_error)?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let question = self.ask(collection.shape(), &sql::CONTACT_CHANGES).with_stand_ins();
        let question = question.number(after).number(limit);
        let entries: Vec<Entry> = self.read(&question).await?.into_iter().map(|(_, entry)| entry).collect();
        let next = entries.last().map_or(u64::try_from(newest).unwrap_or_default(), |entry| entry.revision);
        Ok(ChangePage { entries, next })
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<CommitOutcome, StorageError> {
        self.commit_all(&writes).await
    }
}
