//! `logs list`: what runs said, record by record.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use super::session::Session;
use super::{Global, Outcome, output};
use crate::store::{Access, LogQuery, LogRecord};

/// What runs said.
#[derive(Debug, Subcommand)]
pub(crate) enum Logs {
    /// Lists lines, newest first
    List {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// Only of this run, by its id from `runs`
        #[arg(long, value_name = "RUN_ID")]
        run: Option<Uuid>,
        /// Only lines that matter at least so much
        #[arg(long)]
        level: Option<Level>,
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Something failed
    Error,
    /// Something to look at
    Warning,
    /// What happened
    Info,
    /// Everything
    Debug,
}

impl Level {
    /// This level and those that matter more.
    fn and_above(self) -> Vec<String> {
        let all = ["error", "warning", "info", "debug"];
        all.iter().take(self as usize + 1).map(|name| (*name).to_owned()).collect()
    }
}

impl Logs {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let Self::List { tenant, run, level, limit } = self;
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&tenant).await?;
        let query = LogQuery { run, levels: level.unwrap_or(Level::Debug).and_above(), limit };
        let rows: Vec<Value> = session.store.logs(&tenant, &query).await?.iter().map(row).collect();
        if global.json {
            output::print_json(&Value::Array(rows));
        } else {
            output::print_rows(
                &rows,
                &["timestamp", "level", "code", "crm_id", "metakocka_id", "message", "advice"],
                "Nothing was logged.",
            );
        }
        Ok(())
    }
}

fn row(record: &LogRecord) -> Value {
    let context = |name: &str| {
        record.context.as_ref().and_then(|context| context.get(name)).cloned().unwrap_or(Value::Null)
    };
    json!({
        "timestamp": record.timestamp,
        "level": record.level,
        "category": record.category,
        "operation": record.operation,
        "status": record.status,
        "message": record.message,
        "run_id": context("run_id"),
        "crm_id": record.entity_id,
        "metakocka_id": record.metakocka_id,
        "code": record.error_code,
        "class": record.error_type,
        "advice": context("advice"),
    })
}
