//! Connections: which company of which installation a tenant belongs to, and the secret.

use sqlx::Row;
use uuid::Uuid;

use super::super::time;
use super::{Sqlite, StoreError};
use crate::seal::{KeyError, Secret};
use crate::store::{Connection, Tenant};

/// The column a secret is sealed for.
const SEALED: &str = "metakocka_credentials.secret_key";

impl Sqlite {
    pub async fn connect(
        &self,
        tenant: &Tenant,
        installation: &str,
        company_id: &str,
        secret: &Secret,
    ) -> Result<(), StoreError> {
        let sealed = self.tenant_key(tenant).await?.seal(SEALED, secret.expose().as_bytes())?;
        let tenant_id = tenant.id.to_string();
        let now = time::text(time::now());
        let mut tx = self.writer()?.begin_with("BEGIN IMMEDIATE").await?;

        // An unfinished create may yet turn out to be a partner over there: it binds like a link. What is
        // only planned was certainly not sent, and another company starts over with it.
        let bound = sqlx::query(
            "SELECT c.installation, c.company_id,
                    (SELECT count(*) FROM metakocka_contact_mappings
                     WHERE tenant_id = c.tenant_id AND company = c.no) +
                    (SELECT count(*) FROM metakocka_outbox
                     WHERE tenant_id = c.tenant_id AND company = c.no AND state IS NOT 'planned') AS bound
             FROM metakocka_companies c
             WHERE c.tenant_id = ?1 AND NOT (c.installation = ?2 AND c.company_id = ?3)
             ORDER BY bound DESC LIMIT 1",
        )
        .bind(&tenant_id)
        .bind(installation)
        .bind(company_id)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(row) = bound {
            let links: i64 = row.try_get(2)?;
            if links > 0 {
                return Err(StoreError::OtherCompany {
                    tenant: tenant.name.clone(),
                    links,
                    company: row.try_get(1)?,
                    installation: row.try_get(0)?,
                });
            }
        }
        sqlx::query(
            "INSERT INTO metakocka_companies (tenant_id, installation, company_id) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )
        .bind(&tenant_id)
        .bind(installation)
        .bind(company_id)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO metakocka_credentials (tenant_id, id, user_id, organization_id, company, company_id,
                                                secret_key, api_endpoint, created_at, updated_at)
             SELECT ?1, ?4, ?5, ?6, no, company_id, ?7, installation, ?8, ?8 FROM metakocka_companies
             WHERE tenant_id = ?1 AND installation = ?2 AND company_id = ?3
             ON CONFLICT (tenant_id) DO UPDATE SET
                -- How the last sync ended says nothing about another company.
                last_used_at = iif(company = excluded.company, last_used_at, NULL),
                last_sync_at = iif(company = excluded.company, last_sync_at, NULL),
                sync_status = iif(company = excluded.company, sync_status, 'not_synced'),
                sync_error = iif(company = excluded.company, sync_error, NULL),
                company = excluded.company, company_id = excluded.company_id, api_endpoint = excluded.api_endpoint,
                secret_key = excluded.secret_key, is_active = 1, updated_at = excluded.updated_at",
        )
        .bind(&tenant_id)
        .bind(installation)
        .bind(company_id)
        .bind(Uuid::now_v7().to_string())
        .bind(tenant.user_id.map(|id| id.to_string()))
        .bind(tenant.organization_id.map(|id| id.to_string()))
        .bind(sealed)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn connection(&self, tenant: &Tenant) -> Result<Option<Connection>, StoreError> {
        let row = sqlx::query(
            "SELECT api_endpoint, company_id, secret_key, last_used_at, last_sync_at, sync_status, sync_error
             FROM metakocka_credentials WHERE tenant_id = ?1 AND is_active",
        )
        .bind(tenant.id.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let secret = self.tenant_key(tenant).await?.open(SEALED, row.try_get(2)?)?;
        let secret = std::str::from_utf8(&secret).map_err(|_| KeyError::DoesNotOpen)?;
        let time = |at| Ok::<_, sqlx::Error>(row.try_get::<Option<&str>, usize>(at)?.map(time::parse));
        Ok(Some(Connection {
            base_url: row.try_get(0)?,
            company_id: row.try_get(1)?,
            secret: Secret::new(secret),
            last_used_at: time(3)?,
            last_sync_at: time(4)?,
            sync_status: row.try_get(5)?,
            sync_error: row.try_get(6)?,
        }))
    }

    pub async fn connection_used(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let done = sqlx::query("UPDATE metakocka_credentials SET last_used_at = ?2 WHERE tenant_id = ?1")
            .bind(tenant.id.to_string())
            .bind(time::text(time::now()))
            .execute(self.writer()?)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::NotConnected(tenant.name.clone())) } else { Ok(()) }
    }

    pub async fn connection_synced(
        &self,
        tenant: &Tenant,
        status: &str,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE metakocka_credentials SET last_used_at = ?2, last_sync_at = ?2, sync_status = ?3, sync_error = ?4
             WHERE tenant_id = ?1",
        )
        .bind(tenant.id.to_string())
        .bind(time::text(time::now()))
        .bind(status)
        .bind(error)
        .execute(self.writer()?)
        .await?;
        if done.rows_affected() == 0 { Err(StoreError::NotConnected(tenant.name.clone())) } else { Ok(()) }
    }

    /// The number of the tenant's company; 0 without a connection.
    pub(super) async fn company(&self, tenant: &Tenant) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT company FROM metakocka_credentials WHERE tenant_id = ?1 AND is_active")
            .bind(tenant.id.to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }
}
