//! Leases in the database. The statements say nothing that PostgreSQL would not understand.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Row as _, SqliteConnection};

use super::super::time;
use super::{Sqlite, StoreError};
use crate::store::lease::{Holder, Lease, LeaseRequest, Leased, Row, is_free, until};
use crate::store::process::Process;

const TENANT: &str = "tenant";
const COMPANY: &str = "company";

impl Sqlite {
    /// Takes tenant and company in one transaction, or says who has one of them.
    pub async fn lease(
        &self,
        request: &LeaseRequest,
        now: DateTime<Utc>,
        length: Duration,
    ) -> Result<Leased, StoreError> {
        let tenant = request.tenant.to_string();
        let mut tx = self.writer()?.begin_with("BEGIN IMMEDIATE").await?;
        let tenant_row = row(&mut tx, TENANT, &tenant).await?;
        let company_row = row(&mut tx, COMPANY, &request.company).await?;
        // The tenant first: what is said about it is more than may be said about another one.
        for (held, is_tenant) in [(&tenant_row, true), (&company_row, false)] {
            if let Some(row) = held.as_ref().filter(|row| !is_free(Some(row), now)) {
                return Ok(Leased::Held(Holder {
                    process: row.process.clone(),
                    kind: row.kind.clone(),
                    since: row.since,
                    until: row.until,
                    elsewhere: !is_tenant,
                }));
            }
        }
        let mut fences = Vec::new();
        for (scope, name, held) in [(TENANT, &tenant, tenant_row), (COMPANY, &request.company, company_row)] {
            let fence = held.map_or(1, |row| row.fence + 1);
            sqlx::query(
                "INSERT INTO leases (scope, name, fence, owner, kind, since, until, machine, process, started)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (scope, name) DO UPDATE SET fence = excluded.fence, owner = excluded.owner,
                    kind = excluded.kind, since = excluded.since, until = excluded.until,
                    machine = excluded.machine, process = excluded.process, started = excluded.started",
            )
            .bind(scope)
            .bind(name)
            .bind(fence)
            .bind(request.run.to_string())
            .bind(&request.kind)
            .bind(time::text(now))
            .bind(time::text(until(now, length)))
            .bind(&request.process.machine)
            .bind(request.process.id)
            .bind(&request.process.started)
            .execute(&mut *tx)
            .await?;
            fences.push(fence);
        }
        tx.commit().await?;
        let (tenant_fence, company_fence) = match fences.as_slice() {
            [tenant, company] => (*tenant, *company),
            _ => (0, 0),
        };
        Ok(Leased::Taken(Lease { request: request.clone(), tenant_fence, company_fence }))
    }

    /// Holds it longer; `false` when it was overtaken.
    pub async fn renew(
        &self,
        lease: &Lease,
        now: DateTime<Utc>,
        length: Duration,
    ) -> Result<bool, StoreError> {
        let mut tx = self.writer()?.begin_with("BEGIN IMMEDIATE").await?;
        if !is_ours(&mut tx, lease).await? {
            return Ok(false);
        }
        let owner = lease.request.run.to_string();
        sqlx::query("UPDATE leases SET until = ?2 WHERE owner = ?1")
            .bind(owner)
            .bind(time::text(until(now, length)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Lets it go. Of one that was overtaken nothing is left to let go.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        sqlx::query("UPDATE leases SET owner = '' WHERE owner = ?1")
            .bind(lease.request.run.to_string())
            .execute(self.writer()?)
            .await?;
        Ok(())
    }
}

async fn row(tx: &mut SqliteConnection, scope: &str, name: &str) -> Result<Option<Row>, StoreError> {
    let found = sqlx::query(
        "SELECT fence, owner, kind, since, until, machine, process, started FROM leases
         WHERE scope = ?1 AND name = ?2",
    )
    .bind(scope)
    .bind(name)
    .fetch_optional(tx)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Row {
        fence: found.try_get(0)?,
        owner: found.try_get(1)?,
        kind: found.try_get(2)?,
        since: time::parse(found.try_get(3)?),
        until: time::parse(found.try_get(4)?),
        process: Process { machine: found.try_get(5)?, id: found.try_get(6)?, started: found.try_get(7)? },
    }))
}

/// Whether both rows are still this lease's: asked inside the transaction that depends on it.
pub(super) async fn is_ours(tx: &mut SqliteConnection, lease: &Lease) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT count(*) FROM leases
         WHERE owner = ?1 AND (scope = 'tenant' AND name = ?2 AND fence = ?3
                               OR scope = 'company' AND name = ?4 AND fence = ?5)",
    )
    .bind(lease.request.run.to_string())
    .bind(lease.request.tenant.to_string())
    .bind(lease.tenant_fence)
    .bind(&lease.request.company)
    .bind(lease.company_fence)
    .fetch_one(tx)
    .await?;
    Ok(row.try_get::<i64, _>(0)? == 2)
}
