//! A tenant's room in the database: reading.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteArguments, SqliteExecutor, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Sqlite as Engine};

use super::super::time;
use super::{Sqlite, StoreError, sql, storage_error};
use crate::seal::TenantKey;
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

    /// The entries of the first column.
    pub(super) async fn entries(
        &self,
        shape: &Shape,
        query: Query,
        on: impl SqliteExecutor<'_>,
    ) -> Result<Vec<Entry>, StorageError> {
        let mut rows = query.fetch(on);
        let mut entries = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(storage_error)? {
            entries.push(self.entry(shape, &row)?);
        }
        Ok(entries)
    }

    pub(super) fn entry(&self, shape: &Shape, row: &SqliteRow) -> Result<Entry, StorageError> {
        let unreadable = || StorageError::Unavailable(StoreError::Unreadable(shape.table).to_string());
        let text: &str = row.try_get(0).map_err(|_| unreadable())?;
        let (id, revision, modified, body): (Cow<'_, str>, u64, Option<&str>, Option<&RawValue>) =
            serde_json::from_str(text).map_err(|_| unreadable())?;
        let body = body.map(|body| body.get().as_bytes().to_vec());
        Ok(Entry {
            id: id.into_owned(),
            revision,
            modified_at: time::parse(modified.unwrap_or_default()),
            deleted: body.is_none(),
            body: match body {
                Some(body) if shape.seals() => self.unseal(shape, &body)?,
                body => body.unwrap_or_default(),
            },
        })
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
        let query = self.query(&sql::of(collection)?.get).bind(array(ids.iter().map(String::as_str)));
        self.entries(collection.shape(), query, &self.sqlite.readers).await
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
        let mut rows = self.query(find).bind(keys).bind(limit).fetch(&self.sqlite.readers);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(storage_error)? {
            let key: i64 = row.try_get(1).map_err(storage_error)?;
            found.push(Found {
                key: usize::try_from(key).unwrap_or_default(),
                entry: self.entry(shape, &row)?,
            });
        }
        Ok(found)
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
        let query = if members.is_empty() {
            self.query(&sql::of(collection)?.scan)
        } else {
            let scan = AssertSqlSafe(sql::scan(shape, members)?);
            sqlx::query(scan).bind(self.tenant_id.clone()).bind(self.company)
        };
        self.entries(shape, query.bind(after).bind(limit), &self.sqlite.readers).await
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
        let query = self.query(&sql::CONTACT_CHANGES).bind(after).bind(limit);
        let entries = self.entries(collection.shape(), query, &self.sqlite.readers).await?;
        let next = entries.last().map_or(u64::try_from(newest).unwrap_or_default(), |entry| entry.revision);
        Ok(ChangePage { entries, next })
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<CommitOutcome, StorageError> {
        self.commit_all(&writes).await
    }
}
