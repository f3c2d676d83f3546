//! Tenants and their keys.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::time;
use super::{Sqlite, StoreError, extended_code};
use crate::seal::TenantKey;
use crate::store::Tenant;

/// `key_no` of a tenant's first data key.
const FIRST_KEY: u32 = 1;

impl Sqlite {
    pub async fn add_tenant(
        &self,
        name: &str,
        organization_id: Option<Uuid>,
        user_id: Option<Uuid>,
    ) -> Result<Tenant, StoreError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(StoreError::NoName);
        }
        let id = Uuid::now_v7();
        // Rows always have an owner: a tenant without either is a user of its own.
        let user_id = user_id.or(organization_id.is_none().then_some(id));
        let tenant = Tenant { id, name: name.to_owned(), organization_id, user_id, created_at: time::now() };
        let (_, wrapped) = self.keys.new_tenant_key(&id.to_string(), FIRST_KEY)?;

        let mut tx = self.writer()?.begin_with("BEGIN IMMEDIATE").await?;
        let created_at = time::text(tenant.created_at);
        sqlx::query(
            "INSERT INTO tenants (id, name, organization_id, user_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(organization_id.map(|id| id.to_string()))
        .bind(user_id.map(|id| id.to_string()))
        .bind(&created_at)
        .execute(&mut *tx)
        .await
        .map_err(taken)?;
        sqlx::query("INSERT INTO tenant_revisions (tenant_id, revision, open_from) VALUES (?1, 0, 1)")
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO tenant_keys (tenant_id, key_no, wrapped, master, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(id.to_string())
        .bind(FIRST_KEY)
        .bind(wrapped)
        .bind(self.keys.fingerprint())
        .bind(&created_at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        // As it will be read again.
        Ok(Tenant { created_at: time::parse(&created_at), ..tenant })
    }

    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows =
            sqlx::query("SELECT id, name, organization_id, user_id, created_at FROM tenants ORDER BY name")
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(tenant).collect()
    }

    pub async fn tenant(&self, name_or_id: &str) -> Result<Tenant, StoreError> {
        // A name comes first, should somebody have named a tenant like another one's id.
        let row = sqlx::query(
            "SELECT id, name, organization_id, user_id, created_at FROM tenants
             WHERE name = ?1 OR id = ?2 ORDER BY name = ?1 DESC LIMIT 1",
        )
        .bind(name_or_id.trim())
        .bind(name_or_id.trim().to_ascii_lowercase())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(tenant).unwrap_or_else(|| Err(StoreError::NoTenant(name_or_id.to_owned())))
    }

    /// The tenant's newest data key.
    pub(super) async fn tenant_key(&self, tenant: &Tenant) -> Result<TenantKey, StoreError> {
        let row = sqlx::query(
            "SELECT key_no, wrapped FROM tenant_keys WHERE tenant_id = ?1 ORDER BY key_no DESC LIMIT 1",
        )
        .bind(tenant.id.to_string())
        .fetch_optional(&self.readers)
        .await?
        .ok_or_else(|| StoreError::NoTenant(tenant.name.clone()))?;
        let key = self.keys.tenant_key(&tenant.id.to_string(), row.try_get(0)?, row.try_get(1)?)?;
        Ok(key)
    }
}

fn taken(error: sqlx::Error) -> StoreError {
    let message = error.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
    match extended_code(&error) {
        // UNIQUE, PRIMARY KEY.
        Some(2067 | 1555) => StoreError::TenantTaken {
            what: if message.contains("organization_id") {
                "organization"
            } else if message.contains("user_id") {
                "user"
            } else {
                "name"
            },
        },
        _ => error.into(),
    }
}

fn tenant(row: &SqliteRow) -> Result<Tenant, StoreError> {
    let uuid = |text: String| Uuid::parse_str(&text).map_err(|_| StoreError::Unreadable("tenants"));
    Ok(Tenant {
        id: uuid(row.try_get(0)?)?,
        name: row.try_get(1)?,
        organization_id: row.try_get::<Option<String>, _>(2)?.map(uuid).transpose()?,
        user_id: row.try_get::<Option<String>, _>(3)?.map(uuid).transpose()?,
        created_at: time::parse(row.try_get(4)?),
    })
}
