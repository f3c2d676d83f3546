//! What the host keeps about a tenant. None of it is visible to the plugin.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::seal::Secret;

/// One customer of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// UUID v7.
    pub id: Uuid,
    /// Unique; what people call it.
    pub name: String,
    /// The organisation it is, if it is one.
    pub organization_id: Option<Uuid>,
    /// The user it is, or who acts for the organisation; stamped on rows.
    pub user_id: Option<Uuid>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A tenant's connection to its company in the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Where the ERP is, normalised by whoever connected.
    pub base_url: String,
    /// The company's number.
    pub company_id: String,
    /// The API key.
    pub secret: Secret,
    /// When the connection was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When a sync last ended.
    pub last_sync_at: Option<DateTime<Utc>>,
    /// How: `not_synced` before the first.
    pub sync_status: String,
    /// What went wrong.
    pub sync_error: Option<String>,
}

/// The circuit breaker of an ERP company, as it is kept between processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRecord {
    /// Failures in a row so far.
    pub failures: u32,
    /// Until when nobody calls; `None` while it is closed.
    pub open_until: Option<DateTime<Utc>>,
    /// How long it last rested: the next rest is twice as long.
    pub rest: Duration,
}

/// One pass over one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// UUID v7.
    pub id: Uuid,
    /// Whose.
    pub tenant_id: Uuid,
    /// `contacts`, …
    pub kind: String,
    /// `from-metakocka`, `to-metakocka` or `bidirectional`.
    pub direction: String,
    /// `plan` or `apply`.
    pub mode: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while under way, and for ever when its process was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether it ended without failures.
    pub success: Option<bool>,
    /// Its report.
    pub result: Option<serde_json::Value>,
}

impl Run {
    /// A run that begins now.
    pub fn begin(tenant: &Tenant, kind: &str, direction: &str, mode: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            tenant_id: tenant.id,
            kind: kind.to_owned(),
            direction: direction.to_owned(),
            mode: mode.to_owned(),
            started_at: super::time::now(),
            finished_at: None,
            success: None,
            result: None,
        }
    }
}

/// One line of the integration's log.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LogRecord {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// `error`, `warning`, `info` or `debug`.
    pub level: String,
    /// `sync`, `api`, `auth`, `mapping`, `general` or `cache`.
    pub category: String,
    /// `sync_to_metakocka`, …
    pub operation: Option<String>,
    /// `contact`, …
    pub entity_type: Option<String>,
    /// The record's id in the CRM.
    pub entity_id: Option<String>,
    /// What people call the record.
    pub entity_name: Option<String>,
    /// The record's id in the ERP.
    pub metakocka_id: Option<String>,
    /// `success`, `error` or `warning`.
    pub status: Option<String>,
    /// The sentence.
    pub message: String,
    /// Names one failure across log and report.
    pub error_id: Option<String>,
    /// `HTTP_500`, …
    pub error_code: Option<String>,
    /// `network`, …
    pub error_type: Option<String>,
    /// Structured fields, cleaned of secrets by the writer; of a run's line `run_id` and `advice` among them.
    pub context: Option<serde_json::Value>,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// How long it took.
    pub duration_ms: Option<u64>,
}

/// Which lines of the log are wanted, newest first.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Of this run only.
    pub run: Option<Uuid>,
    /// Of these levels.
    pub levels: Vec<String>,
    /// How many at most.
    pub limit: u32,
}
