//! Progress bars on a terminal, and the plugin's log lines on their way to the store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::capability::http::Transfer;
use crate::capability::logging::{Category, Level, LogRecord, LogSink};
use crate::store::LogRecord as StoredRecord;

/// The bar of one run. Off the terminal nothing is drawn.
pub(crate) struct Progress {
    bar: ProgressBar,
    tenant: String,
    records: Mutex<Vec<StoredRecord>>,
}

impl Progress {
    /// A bar among others.
    pub(crate) fn new(bars: &MultiProgress, tenant: &str) -> Self {
        let bar = bars.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{prefix}: {msg} {wide_bar} {human_pos}/{human_len}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(tenant.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, tenant: tenant.to_owned(), records: Mutex::default() }
    }

    /// A scan answer is coming in.
    pub(crate) fn transfer(&self, transfer: Transfer) {
        self.bar.set_message("downloading (bytes)");
        if let Some(total) = transfer.total {
            self.bar.set_length(total);
        }
        self.bar.set_position(transfer.received);
    }

    /// Ends the bar and hands over the log.
    pub(crate) fn finish(&self) -> Vec<StoredRecord> {
        self.bar.finish_and_clear();
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogSink for Progress {
    fn record(&self, record: LogRecord) {
        let fields =
            record.fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let tenant = self.tenant.as_str();
        match record.level {
            Level::Debug => tracing::debug!(tenant, "{} {fields}", record.message),
            Level::Info => tracing::info!(tenant, "{} {fields}", record.message),
            Level::Warning => tracing::warn!(tenant, "{} {fields}", record.message),
            // The result says it too, and says what to do.
            Level::Error => tracing::info!(tenant, "{} {fields}", record.message),
        }
        let field = |name: &str| {
            record.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let context: serde_json::Map<String, serde_json::Value> =
            record.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let stored = StoredRecord {
            timestamp: record.timestamp,
            level: match record.level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warning => "warning",
                Level::Error => "error",
            }
            .to_owned(),
            category: match record.category {
                Category::Sync => "sync",
                Category::Api => "api",
                Category::Auth => "auth",
                Category::Mapping => "mapping",
                Category::General => "general",
            }
            .to_owned(),
            entity_id: field("crm_id"),
            metakocka_id: field("metakocka_id"),
            error_code: field("code"),
            message: record.message,
            context: (!context.is_empty()).then(|| context.into()),
            ..StoredRecord::default()
        };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(stored);
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        self.bar.set_message(stage.to_owned());
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }
}
