//! `quarantine list|retry`

use clap::Subcommand;
use serde_json::{Value, json};

use super::crm::commit;
use super::records::{all, entries};
use super::result::describe;
use super::session::{Session, transport};
use super::sync::{Direction, Kind, Task, bars, direction_at, run_tenant};
use super::{Failure, Global, Outcome, output};
use crate::store::{Access, Change, Collection, Expectation, Write};

/// Records given up or to be looked at.
#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Lists them with their reasons
    List {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
    },
    /// Tries them again, all or some
    Retry {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// Ids from the list; default: all
        #[arg(long, value_delimiter = ',')]
        id: Vec<String>,
        /// Which way the records may travel; default: as in the runs that gave them up
        #[arg(long)]
        direction: Option<Direction>,
    },
}

impl Quarantine {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::List { tenant } => list(global, &tenant).await,
            Self::Retry { tenant, id, direction } => retry(global, &tenant, &id, direction).await,
        }
    }
}

async fn list(global: &Global, tenant: &str) -> Outcome {
    let session = Session::open(global, Access::Read).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let rows: Vec<Value> = entries(&*storage, Collection::Quarantine)
        .await?
        .into_iter()
        .map(|(id, body)| {
            let member = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
            json!({
                "id": id,
                "kind": member("kind"),
                "side": member("side"),
                "crm_id": member("crm_id"),
                "metakocka_id": member("metakocka_id"),
                "status": member("status"),
                "reason": member("reason"),
                "code": member("code"),
                "attempts": member("attempts"),
                "since": member("since"),
            })
        })
        .collect();
    if global.json {
        output::print_json(&Value::Array(rows));
    } else {
        output::print_rows(
            &rows,
            &["id", "status", "code", "reason", "attempts", "since"],
            "Quarantine is empty.",
        );
    }
    Ok(())
}

async fn retry(global: &Global, tenant: &str, ids: &[String], direction: Option<Direction>) -> Outcome {
    let session = Session::open(global, Access::Write).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let entries = all(&*storage, Collection::Quarantine).await?;
    let mut rows = Vec::new();
    for entry in &entries {
        let body: serde_json::Map<String, Value> =
            serde_json::from_slice(&entry.body).map_err(Failure::failed)?;
        rows.push((entry, body));
    }
    let unknown: Vec<&str> =
        ids.iter().filter(|id| !rows.iter().any(|(known, _)| known.id == **id)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(Failure::usage(format!(
            "not in quarantine: {}; `host-harness quarantine list` shows what is",
            unknown.join(", ")
        )));
    }
    let chosen: Vec<_> = rows.iter().filter(|(entry, _)| ids.is_empty() || ids.contains(&entry.id)).collect();
    let text = |body: &serde_json::Map<String, Value>, name: &str| {
        body.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let mut selected = Vec::new();
    let mut marks = Vec::new();
    for (entry, body) in &chosen {
        selected.extend(text(body, "crm_id").or_else(|| text(body, "metakocka_id")));
        marks.push(Write {
            collection: Collection::Quarantine,
            id: entry.id.clone(),
            // A record that a run has settled meanwhile needs no retry.
            expect: Expectation::Revision(entry.revision),
            change: Change::Merge(json!({ "retry": true }).to_string().into_bytes()),
        });
    }
    if selected.is_empty() {
        if global.json {
            output::print_json(&json!({ "success": true, "retried": 0 }));
        } else {
            output::print_line(format_args!("Quarantine is empty."));
        }
        return Ok(());
    }
    for page in marks.chunks(1_000) {
        commit(&*storage, page.to_vec()).await?;
    }
    let plugin = session.plugin(None, None)?;
    let mut found_by = Vec::new();
    for (_, body) in &chosen {
        let since = text(body, "since").unwrap_or_default();
        found_by.extend(direction_at(&session.store, &tenant, Kind::Contacts, &since).await?);
    }
    let task = Task {
        wait: global.patience(),
        ..Task::apply(direction.or_else(|| Direction::all_of(&found_by)), Some(selected.clone()))
    };
    let result = run_tenant(&session.store, &plugin, &transport()?, &bars(global), &tenant, &task).await?;
    session.store.close().await;
    let success = result.get("success") == Some(&Value::Bool(true));
    if global.json {
        output::print_json(&json!({ "success": success, "retried": selected.len(), "sync": result }));
    } else {
        output::print_line(format_args!("{}", describe(&tenant.name, &result)));
    }
    if success { Ok(()) } else { Err(Failure::Reported) }
}
