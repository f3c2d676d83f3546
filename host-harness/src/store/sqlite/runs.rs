//! Runs and the integration's log.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::time;
use super::{Sqlite, StoreError};
use crate::store::{LogQuery, LogRecord, Run, Tenant};

impl Sqlite {
    pub async fn start_run(&self, run: &Run) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO metakocka_sync_runs (tenant_id, id, kind, direction, mode, started_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(run.tenant_id.to_string())
        .bind(run.id.to_string())
        .bind(&run.kind)
        .bind(&run.direction)
        .bind(&run.mode)
        .bind(time::text(run.started_at))
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    pub async fn finish_run(
        &self,
        run: &Run,
        finished_at: DateTime<Utc>,
        success: bool,
        result: &Value,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "UPDATE metakocka_sync_runs SET finished_at = ?3, success = ?4, result = ?5
             WHERE tenant_id = ?1 AND id = ?2 AND finished_at IS NULL",
        )
        .bind(run.tenant_id.to_string())
        .bind(run.id.to_string())
        .bind(time::text(finished_at))
        .bind(success)
        .bind(result.to_string())
        .execute(self.writer()?)
        .await?;
        if done.rows_affected() == 0 { Err(StoreError::NoRun(run.id)) } else { Ok(()) }
    }

    pub async fn runs(
        &self,
        tenant: &Tenant,
        kind: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, kind, direction, mode, started_at, finished_at, success, result FROM metakocka_sync_runs
             WHERE tenant_id = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY id DESC LIMIT ?3",
        )
        .bind(tenant.id.to_string())
        .bind(kind)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| run(tenant, row)).collect()
    }

    pub async fn append_logs(&self, tenant: &Tenant, records: &[LogRecord]) -> Result<(), StoreError> {
        let row = |record: &LogRecord| {
            json!([
                Uuid::now_v7(),
                time::text(record.timestamp),
                record.level,
                record.category,
                record.operation,
                record.entity_type,
                record.entity_id,
                record.entity_name,
                record.metakocka_id,
                record.status,
                record.message,
                record.error_id,
                record.error_code,
                record.error_type,
                // As texts: SQL takes them as they are.
                record.context.as_ref().map(Value::to_string),
                (!record.tags.is_empty()).then(|| json!(record.tags).to_string()),
                record.duration_ms,
                (record.level == "error").then_some("new"),
            ])
        };
        let rows: Vec<_> = records.iter().map(row).collect();
        sqlx::query(
            "INSERT INTO metakocka_integration_logs (
                tenant_id, id, timestamp, level, category, operation, entity_type, entity_id, entity_name,
                metakocka_id, status, message, error_id, error_code, error_type, context, tags, duration_ms,
                error_status, user_id, organization_id, created_at, updated_at)
             SELECT ?1, v->>0, v->>1, v->>2, v->>3, v->>4, v->>5, v->>6, v->>7, v->>8, v->>9, v->>10, v->>11,
                    v->>12, v->>13, v->>14, v->>15, v->>16, v->>17, ?3, ?4, ?5, ?5
             FROM (SELECT value AS v FROM jsonb_each(?2) LIMIT -1)",
        )
        .bind(tenant.id.to_string())
        .bind(Value::Array(rows).to_string())
        .bind(tenant.user_id.map(|id| id.to_string()))
        .bind(tenant.organization_id.map(|id| id.to_string()))
        .bind(time::text(time::now()))
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    pub async fn logs(&self, tenant: &Tenant, query: &LogQuery) -> Result<Vec<LogRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT timestamp, level, category, operation, entity_type, entity_id, metakocka_id, status, message,
                    error_code, error_type, context
             FROM metakocka_integration_logs
             WHERE tenant_id = ?1 AND level IN (SELECT value FROM json_each(?3))
               AND (?2 IS NULL OR CASE WHEN json_valid(context) THEN context ->> '$.run_id' END = ?2)
             ORDER BY id DESC LIMIT ?4",
        )
        .bind(tenant.id.to_string())
        .bind(query.run.map(|run| run.to_string()))
        .bind(json!(query.levels).to_string())
        .bind(query.limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(log_record).collect()
    }
}

/// A line of the log. One that others have spoiled is shown as well as it can be: it is there to be read.
fn log_record(row: &SqliteRow) -> Result<LogRecord, StoreError> {
    let text = |at: usize| -> Result<Option<String>, StoreError> {
        let bytes = row.try_get_unchecked::<Option<&[u8]>, _>(at)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    Ok(LogRecord {
        timestamp: time::parse(&text(0)?.unwrap_or_default()),
        level: text(1)?.unwrap_or_default(),
        category: text(2)?.unwrap_or_default(),
        operation: text(3)?,
        entity_type: text(4)?,
        entity_id: text(5)?,
        metakocka_id: text(6)?,
        status: text(7)?,
        message: text(8)?.unwrap_or_default(),
        error_code: text(9)?,
        error_type: text(10)?,
        context: text(11)?.and_then(|text| serde_json::from_str(&text).ok()),
        ..LogRecord::default()
    })
}

fn run(tenant: &Tenant, row: &SqliteRow) -> Result<Run, StoreError> {
    let unreadable = || StoreError::Unreadable("metakocka_sync_runs");
    let result = row.try_get::<Option<&str>, _>(7)?.map(serde_json::from_str).transpose();
    Ok(Run {
        id: Uuid::parse_str(row.try_get(0)?).map_err(|_| unreadable())?,
        tenant_id: tenant.id,
        kind: row.try_get(1)?,
        direction: row.try_get(2)?,
        mode: row.try_get(3)?,
        started_at: time::parse(row.try_get(4)?),
        finished_at: row.try_get::<Option<&str>, _>(5)?.map(time::parse),
        success: row.try_get(6)?,
        result: result.map_err(|_| unreadable())?,
    })
}
