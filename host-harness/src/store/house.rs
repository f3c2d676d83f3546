//! The store as the host uses it: tenants, their connections, and a room for each.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::lease::{Lease, LeaseRequest, Leased};
use super::sqlite::Sqlite;
use super::{
    Access, BreakerRecord, Connection, LogQuery, LogRecord, Run, Storage, StoreError, StoreUrl, Tenant, Write,
};
use crate::seal::{Keys, Secret};

/// An open store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
}

/// Where one engine's twin joins the other.
#[derive(Debug, Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
}

impl Store {
    /// Opens a store; for writing it is made if need be and brought up to date.
    ///
    /// # Errors
    /// When it is missing (reading), opened by a second name of its file, of another version, or sealed with
    /// another master key.
    pub async fn open(url: &StoreUrl, access: Access, keys: Keys) -> Result<Self, StoreError> {
        let engine = match url {
            StoreUrl::Sqlite(path) => Engine::Sqlite(Arc::new(Sqlite::open(path, access, keys).await?)),
        };
        Ok(Self { engine })
    }

    /// Writes everything to its place and lets go of its files. Dropping the store does the same later.
    pub async fn close(self) {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.close().await;
    }

    /// Adds a tenant: an organisation, or a user without one. With neither it is a user of its own.
    ///
    /// # Errors
    /// When the name, the organisation or the user already has a tenant.
    pub async fn add_tenant(
        &self,
        name: &str,
        organization: Option<Uuid>,
        user: Option<Uuid>,
    ) -> Result<Tenant, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.add_tenant(name, organization, user).await
    }

    /// All tenants by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.tenants().await
    }

    /// The tenant of this name or id.
    ///
    /// # Errors
    /// When there is none.
    pub async fn tenant(&self, name_or_id: &str) -> Result<Tenant, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.tenant(name_or_id).await
    }

    /// Connects a tenant to a company of the ERP. The same company again replaces the secret. `base_url` has to
    /// come in its normal form: another text is another installation.
    ///
    /// # Errors
    /// When the tenant has links or unfinished creates with another company.
    pub async fn connect(
        &self,
        tenant: &Tenant,
        base_url: &str,
        company_id: &str,
        secret: &Secret,
    ) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.connect(tenant, base_url, company_id, secret).await
    }

    /// The tenant's connection.
    ///
    /// # Errors
    /// When the secret does not open.
    pub async fn connection(&self, tenant: &Tenant) -> Result<Option<Connection>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.connection(tenant).await
    }

    /// Notes that the connection was used now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn connection_used(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.connection_used(tenant).await
    }

    /// Notes how a sync ended now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn connection_synced(
        &self,
        tenant: &Tenant,
        status: &str,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.connection_synced(tenant, status, error).await
    }

    /// A setting as it was stored.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn setting(&self, tenant: &Tenant, key: &str) -> Result<Option<Value>, StoreError> {
        let settings = self.settings(tenant).await?;
        Ok(settings.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }

    /// All stored settings by key.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settings(&self, tenant: &Tenant) -> Result<Vec<(String, Value)>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.settings(tenant).await
    }

    /// Stores a setting. Whether key and value make sense is for the caller to know.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_setting(&self, tenant: &Tenant, key: &str, value: &Value) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.set_setting(tenant, key, Some(value)).await
    }

    /// Removes a setting, so that its default holds again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unset_setting(&self, tenant: &Tenant, key: &str) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.set_setting(tenant, key, None).await
    }

    /// Notes a run that begins.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start_run(&self, run: &Run) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.start_run(run).await
    }

    /// Notes how a run ended.
    ///
    /// # Errors
    /// When there is no such run under way.
    pub async fn finish_run(
        &self,
        run: &Run,
        finished_at: DateTime<Utc>,
        success: bool,
        result: &Value,
    ) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.finish_run(run, finished_at, success, result).await
    }

    /// The newest runs of a tenant, newest first; of all kinds when none is given.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn runs(
        &self,
        tenant: &Tenant,
        kind: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.runs(tenant, kind, limit).await
    }

    /// Adds lines to the integration's log, all in one statement.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn append_logs(&self, tenant: &Tenant, records: &[LogRecord]) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.append_logs(tenant, records).await
    }

    /// Lines of the integration's log, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logs(&self, tenant: &Tenant, query: &LogQuery) -> Result<Vec<LogRecord>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.logs(tenant, query).await
    }

    /// The tenant's room, bound to the company it is connected to at this moment.
    ///
    /// Without a connection the room has the collections that belong to no company (contacts, history, settings);
    /// the others are empty and writing to them is refused. Ask again after [`connect`](Self::connect).
    ///
    /// # Errors
    /// When the tenant's key does not open.
    pub async fn storage(&self, tenant: &Tenant) -> Result<Arc<dyn Storage>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        Ok(Arc::new(super::sqlite::Room::open(sqlite, tenant).await?))
    }

    /// The room of a run: what it commits is stored only while the lease is its own.
    ///
    /// # Errors
    /// When the tenant's key does not open.
    pub async fn leased_storage(
        &self,
        tenant: &Tenant,
        lease: &Lease,
    ) -> Result<Arc<dyn Storage>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        Ok(Arc::new(super::sqlite::Room::open(sqlite, tenant).await?.leased(lease.clone())))
    }

    /// The breaker of an ERP company, if it has failed lately.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn breaker(&self, company: &str) -> Result<Option<BreakerRecord>, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.breaker(company).await
    }

    /// Keeps the breaker of an ERP company for the next process.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_breaker(&self, company: &str, record: &BreakerRecord) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.keep_breaker(company, record).await
    }

    /// Takes a tenant and its company for a run, both or none.
    ///
    /// # Errors
    /// When the store fails. That somebody else is at work is an answer.
    pub async fn lease(
        &self,
        request: &LeaseRequest,
        now: DateTime<Utc>,
        length: Duration,
    ) -> Result<Leased, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.lease(request, now, length).await
    }

    /// Holds a lease longer. `false`: it was overtaken.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn renew(
        &self,
        lease: &Lease,
        now: DateTime<Utc>,
        length: Duration,
    ) -> Result<bool, StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.renew(lease, now, length).await
    }

    /// Lets a lease go.
    ///
    /// # Errors
    /// When the store fails; the lease then ends by time.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        sqlite.release(lease).await
    }

    /// Stores all of these records or none: the CRM's own door. Unlike a commit of the plugin it has no limit on their
    /// number.
    ///
    /// # Errors
    /// When a record is no record of its collection, or the store fails.
    pub async fn import(&self, tenant: &Tenant, writes: &[Write]) -> Result<(), StoreError> {
        let Engine::Sqlite(sqlite) = &self.engine;
        Ok(super::sqlite::Room::open(sqlite, tenant).await?.import_all(writes).await?)
    }
}
