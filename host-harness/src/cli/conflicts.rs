//! `conflicts list|resolve`

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::crm::commit;
use super::records::entries;
use super::result::describe;
use super::session::{Session, transport};
use super::sync::{Direction, Kind, Task, bars, direction_at, run_tenant};
use super::{Failure, Global, Outcome, output};
use crate::store::{Access, Change, Collection, Expectation, Write};

/// Fields that wait for a decision.
#[derive(Debug, Subcommand)]
pub(crate) enum Conflicts {
    /// Lists them
    List {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
    },
    /// Decides one and carries the decision out
    Resolve {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// Its id, from the list
        #[arg(long)]
        id: String,
        /// Whose value counts
        #[arg(long)]
        take: Take,
        /// Which way the record may travel; default: as in the run that found the conflict
        #[arg(long)]
        direction: Option<Direction>,
    },
}

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Take {
    /// Metakocka's value
    Metakocka,
    /// The CRM's value
    Crm,
}

impl Conflicts {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::List { tenant } => list(global, &tenant).await,
            Self::Resolve { tenant, id, take, direction } => {
                resolve(global, &tenant, &id, take, direction).await
            }
        }
    }
}

async fn list(global: &Global, tenant: &str) -> Outcome {
    let session = Session::open(global, Access::Read).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let rows: Vec<Value> = entries(&*storage, Collection::Conflicts)
        .await?
        .into_iter()
        .map(|(id, body)| {
            let member = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
            let mut row = json!({
                "id": id,
                "kind": member("kind"),
                "crm_id": member("crm_id"),
                "metakocka_id": member("metakocka_id"),
                "field": member("field"),
                "base": member("base"),
                "crm": member("crm"),
                "metakocka": member("metakocka"),
                "since": member("since"),
            });
            if let (Some(decision), Some(row)) = (body.get("decision"), row.as_object_mut()) {
                row.insert("decision".to_owned(), decision.clone());
            }
            row
        })
        .collect();
    if global.json {
        output::print_json(&Value::Array(rows));
    } else {
        output::print_rows(
            &rows,
            &["id", "field", "base", "crm", "metakocka", "since"],
            "There are no conflicts.",
        );
    }
    Ok(())
}

async fn resolve(
    global: &Global,
    tenant: &str,
    id: &str,
    take: Take,
    direction: Option<Direction>,
) -> Outcome {
    let session = Session::open(global, Access::Write).await?;
    let tenant = session.tenant(tenant).await?;
    let storage = session.store.storage(&tenant).await?;
    let found = storage.get_many(Collection::Conflicts, &[id.to_owned()]).await?;
    let Some(entry) = found.first() else {
        return Err(Failure::usage(format!(
            "there is no conflict {id}: `host-harness conflicts list` shows all"
        )));
    };
    let body: Value = serde_json::from_slice(&entry.body).map_err(Failure::failed)?;
    let crm_id = body.get("crm_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let side = match take {
        Take::Metakocka => "metakocka",
        Take::Crm => "crm",
    };
    let write = Write {
        collection: Collection::Conflicts,
        id: id.to_owned(),
        expect: Expectation::Revision(entry.revision),
        change: Change::Merge(json!({ "decision": side }).to_string().into_bytes()),
    };
    commit(&*storage, vec![write]).await?;
    let plugin = session.plugin(None, None)?;
    let since = body.get("since").and_then(Value::as_str).unwrap_or_default();
    let found_by = direction_at(&session.store, &tenant, Kind::Contacts, since).await?;
    let task = Task { wait: global.patience(), ..Task::apply(direction.or(found_by), Some(vec![crm_id])) };
    let may_write = super::sync::direction(&session.store, &tenant, &task).await?.writes(take);
    let result = run_tenant(&session.store, &plugin, &transport()?, &bars(global), &tenant, &task).await?;
    let open = !storage.get_many(Collection::Conflicts, &[id.to_owned()]).await?.is_empty();
    session.store.close().await;
    let success = result.get("success") == Some(&Value::Bool(true));
    if global.json {
        output::print_json(
            &json!({ "id": id, "take": side, "settled": !open, "success": success && !open, "sync": result }),
        );
    } else {
        output::print_line(format_args!("{}", describe(&tenant.name, &result)));
        if !open {
            output::print_line(format_args!("Conflict {id} is settled: {side} counts."));
        }
    }
    if open {
        let message = if may_write {
            "the decision is stored but not carried out yet; the next sync does it"
        } else {
            "the decision is stored but not carried out yet; the next sync that may write that side does it (give \
             --direction, or see the setting contacts.direction)"
        };
        return if global.json { Err(Failure::Reported) } else { Err(Failure::failed(message)) };
    }
    if success { Ok(()) } else { Err(Failure::Reported) }
}
