//! `unsynced`, `links`, `history`, `runs`: what is stored about a tenant, as rows.

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};

use super::result::side;
use super::session::{Session, transport};
use super::sync::Kind;
use super::{Failure, Global, Outcome, output};
use crate::capability::clock::RealClock;
use crate::capability::http::Http;
use crate::capability::logging::{Logging, Silence};
use crate::plugin::{Kind as ContractKind, Limits, Powers};
use crate::store::{Access, Collection, Entry, Storage};

/// Whose, and of what kind.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Name or id of the tenant
    #[arg(long)]
    tenant: String,
    /// The kind
    #[arg(long, default_value = "contacts")]
    kind: Kind,
}

/// Records without a partner on the other side.
#[derive(Debug, Args)]
pub(crate) struct Unsynced {
    #[command(flatten)]
    of: Of,
}

/// Which record is which.
#[derive(Debug, Args)]
pub(crate) struct Links {
    #[command(flatten)]
    of: Of,
}

/// Values that were overwritten.
#[derive(Debug, Args)]
pub(crate) struct History {
    #[command(flatten)]
    of: Of,
}

/// Past runs.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(flatten)]
    of: Of,
    /// How many, newest first
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// All entries of a collection: id and body.
pub(crate) async fn entries(
    storage: &dyn Storage,
    collection: Collection,
) -> Result<Vec<(String, Map<String, Value>)>, Failure> {
    let read = |entry: Entry| Ok((entry.id, serde_json::from_slice(&entry.body).map_err(Failure::failed)?));
    all(storage, collection).await?.into_iter().map(read).collect()
}

/// The same with their revisions.
pub(crate) async fn all(storage: &dyn Storage, collection: Collection) -> Result<Vec<Entry>, Failure> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = storage.scan(collection, after.as_deref(), &[], 1_000).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(last.id.clone());
        rows.extend(page);
    }
}

fn show(global: &Global, rows: Vec<Value>, members: &[&str], none: &str) {
    if global.json {
        output::print_json(&Value::Array(rows));
    } else {
        output::print_rows(&rows, members, none);
    }
}

impl Links {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&self.of.tenant).await?;
        let storage = session.store.storage(&tenant).await?;
        let rows = entries(&*storage, Collection::Links)
            .await?
            .into_iter()
            .map(|(id, body)| {
                let member = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
                json!({
                    "kind": self.of.kind.name(),
                    "crm_id": id,
                    "metakocka_id": member("metakocka_id"),
                    "metakocka_code": member("metakocka_code"),
                    "status": body.get("sync_status").cloned().unwrap_or_else(|| json!("synced")),
                    "state": body.get("state").cloned().unwrap_or_else(|| json!("live")),
                    "sync_error": member("sync_error"),
                    "last_synced_at": member("last_synced_at"),
                    "crm_modified_at": member("crm_modified_at"),
                    "crm_hash": member("crm_hash"),
                    "metadata": member("metadata"),
                })
            })
            .collect();
        show(
            global,
            rows,
            &["crm_id", "metakocka_id", "metakocka_code", "status", "state", "last_synced_at"],
            "There are no links yet.",
        );
        Ok(())
    }
}

impl History {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&self.of.tenant).await?;
        let storage = session.store.storage(&tenant).await?;
        let rows = entries(&*storage, Collection::History)
            .await?
            .into_iter()
            .map(|(id, mut body)| {
                body.insert("id".to_owned(), json!(id));
                body.insert("status".to_owned(), json!("overwritten"));
                Value::Object(body)
            })
            .collect();
        show(
            global,
            rows,
            &["at", "crm_id", "metakocka_id", "side", "field", "old", "new", "reason"],
            "Nothing has been overwritten yet.",
        );
        Ok(())
    }
}

impl Runs {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&self.of.tenant).await?;
        let rows = session
            .store
            .runs(&tenant, Some(self.of.kind.name()), self.limit)
            .await?
            .into_iter()
            .map(|run| {
                let result = run.result.unwrap_or(Value::Null);
                let number = |path: &str| result.pointer(path).cloned().unwrap_or(Value::Null);
                json!({
                    "run_id": run.id,
                    "kind": run.kind,
                    "direction": run.direction,
                    "mode": run.mode,
                    "started_at": run.started_at,
                    "finished_at": run.finished_at,
                    "status": match run.success {
                        Some(true) => "ok",
                        Some(false) => "failed",
                        None => "unfinished",
                    },
                    "created": number("/created"),
                    "updated": number("/updated"),
                    "failed": number("/failed"),
                    "calls": number("/calls/made"),
                    "result": result,
                })
            })
            .collect();
        show(
            global,
            rows,
            &["started_at", "run_id", "direction", "mode", "status", "created", "updated", "failed", "calls"],
            "There was no run yet.",
        );
        Ok(())
    }
}

impl Unsynced {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&self.of.tenant).await?;
        let plugin = session.plugin(None, None)?;
        let transport = transport()?;
        let mut rows = Vec::new();
        let mut after = None;
        let mut total = 0;
        let never_scanned = loop {
            // What is stored answers this: no connection is lent.
            let http = Arc::new(Http::unconnected(&transport));
            let powers = Powers {
                logging: Logging::new(Arc::new(Silence), http.redactor()),
                http,
                storage: session.store.storage(&tenant).await?,
                clock: Arc::new(RealClock::default()),
            };
            let Kind::Contacts = self.of.kind;
            let page = plugin
                .unsynced(powers, Limits::default(), ContractKind::Contacts, after, 1_000)
                .await
                .result
                .map_err(Failure::failed)?;
            total = page.total.unwrap_or(total);
            rows.extend(page.rows.into_iter().map(|row| {
                json!({
                    "kind": self.of.kind.name(),
                    "side": side(row.side),
                    "crm_id": row.crm_id,
                    "metakocka_id": row.metakocka_id,
                    "status": row.status,
                    "reason": row.reason,
                    "code": row.code,
                    "name": row.name,
                    "email": row.email,
                    "phone": row.phone,
                })
            }));
            after = page.next;
            if after.is_none() {
                break page.never_scanned;
            }
        };
        show(
            global,
            rows,
            &["side", "crm_id", "metakocka_id", "code", "name", "email", "phone", "status", "reason"],
            if never_scanned {
                "No contact without a partner."
            } else {
                "Every known record has its counterpart."
            },
        );
        let mut notes = Vec::new();
        if total > 0 {
            notes.push(format!("{total} without a counterpart"));
        }
        if never_scanned {
            notes.push(
                "Metakocka's partners were never read, so those without a contact are not known: run \
                 `sync --direction from-metakocka`, or `plan` to see first what it would do"
                    .to_owned(),
            );
        }
        // With --json, standard output is the rows and nothing else.
        for note in notes {
            if global.json {
                output::print_error(note);
            } else {
                output::print_line(note);
            }
        }
        Ok(())
    }
}
