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
    run_id: String,
    records: Mutex<Vec<StoredRecord>>,
}

impl Progress {
    /// A bar among others.
    pub(crate) fn new(bars: &MultiProgress, tenant: &str, run_id: &str) -> Self {
        let bar = bars.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{prefix}: {msg} {wide_bar} {human_pos}/{human_len}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(tenant.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, tenant: tenant.to_owned(), run_id: run_id.to_owned(), records: Mutex::default() }
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
            // A record's own trouble stands in the log table, in quarantine and in the result, and not on everybody's screen.
            Level::Warning if record.fields.iter().any(|(name, _)| name == "code") => {
                tracing::info!(tenant, "{} {fields}", record.message);
            }
            Level::Warning => tracing::warn!(tenant, "{} {fields}", record.message),
            // The result says it too, and says what to do.
            Level::Error => tracing::info!(tenant, "{} {fields}", record.message),
        }
        let stored = stored(&self.run_id, record);
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

/// A line as the log table keeps it: what has a column of its own goes there, the rest into the context.
fn stored(run_id: &str, record: LogRecord) -> StoredRecord {
    let mut row = StoredRecord {
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
        message: record.message,
        ..StoredRecord::default()
    };
    let mut context = serde_json::Map::new();
    for (name, value) in record.fields {
        match name.as_str() {
            "crm_id" => row.entity_id = Some(value),
            "metakocka_id" => row.metakocka_id = Some(value),
            "code" => row.error_code = Some(value),
            "class" => row.error_type = Some(value),
            "operation" => row.operation = Some(value),
            _ => drop(context.insert(name, value.into())),
        }
    }
    // The run is the host's to name.
    context.insert("run_id".to_owned(), run_id.into());
    row.context = Some(context.into());
    if row.entity_id.is_some() || row.metakocka_id.is_some() {
        row.entity_type = Some("contact".to_owned());
    }
    row.status = row.operation.is_some().then(|| {
        match record.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info | Level::Debug => "success",
        }
        .to_owned()
    });
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_record_fills_the_columns_and_the_host_names_the_run() {
        let fields = [
            ("crm_id", "c-1"),
            ("metakocka_id", "4000"),
            ("code", "400"),
            ("class", "refused"),
            ("operation", "metakocka_update"),
            ("advice", "mend the e-mail"),
            ("run_id", "made up"),
        ];
        let record = |level| LogRecord {
            timestamp: chrono::DateTime::UNIX_EPOCH,
            level,
            category: Category::Sync,
            message: "Metakocka refused it".to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let row = stored("run-1", record(Level::Error));
        assert_eq!(row.entity_type.as_deref(), Some("contact"));
        assert_eq!(row.entity_id.as_deref(), Some("c-1"));
        assert_eq!(row.metakocka_id.as_deref(), Some("4000"));
        assert_eq!(row.error_code.as_deref(), Some("400"));
        assert_eq!(row.error_type.as_deref(), Some("refused"));
        assert_eq!(row.operation.as_deref(), Some("metakocka_update"));
        assert_eq!(row.status.as_deref(), Some("error"));
        assert_eq!(row.context, Some(serde_json::json!({ "advice": "mend the e-mail", "run_id": "run-1" })));
        for (level, status) in [(Level::Warning, "warning"), (Level::Info, "success")] {
            assert_eq!(stored("r", record(level)).status.as_deref(), Some(status));
        }
        let plain = LogRecord { fields: Vec::new(), ..record(Level::Info) };
        let row = stored("r", plain);
        assert_eq!((row.entity_type, row.status), (None, None));
    }
}
