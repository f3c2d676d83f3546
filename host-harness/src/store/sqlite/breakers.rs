//! Circuit breakers between processes.

use std::time::Duration;

use sqlx::Row;

use super::super::time;
use super::{Sqlite, StoreError};
use crate::store::BreakerRecord;

impl Sqlite {
    pub async fn breaker(&self, company: &str) -> Result<Option<BreakerRecord>, StoreError> {
        let row = sqlx::query("SELECT failures, open_until, rest_ms FROM breakers WHERE company = ?1")
            .bind(company)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(BreakerRecord {
            failures: row.try_get(0)?,
            open_until: row.try_get::<Option<&str>, _>(1)?.map(time::parse),
            rest: Duration::from_millis(u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default()),
        }))
    }

    pub async fn keep_breaker(&self, company: &str, record: &BreakerRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO breakers (company, failures, open_until, rest_ms, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (company) DO UPDATE SET failures = excluded.failures, open_until = excluded.open_until,
                rest_ms = excluded.rest_ms, changed_at = excluded.changed_at",
        )
        .bind(company)
        .bind(record.failures)
        .bind(record.open_until.map(time::text))
        .bind(i64::try_from(record.rest.as_millis()).unwrap_or(i64::MAX))
        .bind(time::text(time::now()))
        .execute(self.writer()?)
        .await?;
        Ok(())
    }
}
