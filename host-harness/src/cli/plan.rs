//! `plan`: what a sync would do, stored so that exactly that can be carried out later.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::session::{Session, transport};
use super::sync::{Direction, Kind, Task, bars, direction, run_tenant};
use super::{Failure, Global, Outcome, output};
use crate::plugin::Mode;
use crate::store::{Access, Collection, Tenant};

/// Makes a plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Name or id of the tenant
    #[arg(long)]
    tenant: String,
    /// What to keep in step
    #[arg(long, default_value = "contacts")]
    kind: Kind,
    /// Which way; default: the setting contacts.direction
    #[arg(long)]
    direction: Option<Direction>,
    /// Only these records, by CRM id or Metakocka id
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    ids: Option<Vec<String>>,
    /// Also write the plan to this file, for `sync --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Plan {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Write).await?;
        let tenant = session.tenant(&self.tenant).await?;
        let plan_id = Uuid::now_v7().to_string();
        let task = Task {
            kind: self.kind,
            mode: Mode::Plan,
            plan_id: plan_id.clone(),
            wait: global.patience(),
            ..Task::apply(self.direction, self.ids.clone())
        };
        let plugin = session.plugin(None, None)?;
        let way = direction(&session.store, &tenant, &task).await?;
        let result =
            run_tenant(&session.store, &plugin, &transport()?, &bars(global), &tenant, &task).await?;
        let items = stored_items(&session, &tenant, &plan_id).await?;
        session.store.close().await;
        let document = json!({
            "plan_id": plan_id,
            "tenant": tenant.name,
            "kind": self.kind.name(),
            "direction": way.name(),
            "items": items,
            "calls": result.get("calls"),
            "success": result.get("success"),
            "stopped": result.get("stopped"),
        });
        if let Some(file) = &self.out {
            std::fs::write(file, format!("{document:#}\n"))
                .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", file.display())))?;
        }
        if global.json {
            output::print_json(&document);
        } else if result.get("stopped").is_none() {
            show(&items, &tenant.name, self.out.as_deref());
        }
        match result.get("success") {
            Some(Value::Bool(true)) => Ok(()),
            _ if global.json => Err(Failure::Reported),
            _ => Err(Failure::failed(
                result
                    .pointer("/stopped/message")
                    .and_then(Value::as_str)
                    .unwrap_or("the plan could not be completed"),
            )),
        }
    }
}

fn show(items: &[Value], tenant: &str, file: Option<&Path>) {
    const MOST: usize = 50;
    let text =
        |item: &Value, member: &str| item.get(member).and_then(Value::as_str).unwrap_or("-").to_owned();
    let rows: Vec<Vec<String>> = items
        .iter()
        .take(MOST)
        .map(|item| {
            let fields: Vec<String> = item
                .get("fields")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|field| {
                    let old = text(field, "old");
                    format!(
                        "{} {}: {} -> {}",
                        text(field, "side"),
                        text(field, "field"),
                        old,
                        text(field, "new")
                    )
                })
                .collect();
            let what = if fields.is_empty() { text(item, "reason") } else { fields.join("\n") };
            vec![text(item, "action"), text(item, "crm_id"), text(item, "metakocka_id"), what]
        })
        .collect();
    output::print_table(&["action", "crm_id", "metakocka_id", "what"], &rows, "There is nothing to do.");
    if items.len() > MOST {
        output::print_line(format_args!(
            "... and {} more; --json or --out FILE shows all",
            items.len() - MOST
        ));
    }
    if let Some(file) = file {
        output::print_line(format_args!(
            "Carry it out with: host-harness sync --tenant {tenant} --plan {}",
            file.display()
        ));
    }
}

async fn stored_items(session: &Session, tenant: &Tenant, plan_id: &str) -> Result<Vec<Value>, Failure> {
    let storage = session.store.storage(tenant).await?;
    let prefix = format!("{plan_id}/");
    let mut after = Some(prefix.clone());
    let mut items = Vec::new();
    loop {
        let page = storage.scan(Collection::Plans, after.as_deref(), &[], 1_000).await?;
        for entry in &page {
            if !entry.id.starts_with(&prefix) {
                return Ok(items);
            }
            let body: Value = serde_json::from_slice(&entry.body).map_err(Failure::failed)?;
            for item in body.get("items").and_then(Value::as_array).into_iter().flatten() {
                if let Some(text) = item.as_str() {
                    items.push(serde_json::from_str(text).map_err(Failure::failed)?);
                }
            }
        }
        match page.last() {
            Some(last) => after = Some(last.id.clone()),
            None => return Ok(items),
        }
    }
}

/// Makes a task carry out the plan in this file, after checking that it is the stored one.
pub(crate) async fn prepare(
    session: &Session,
    tenant: &Tenant,
    file: &Path,
    task: &mut Task,
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    let document: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is no plan: {error}", file.display())))?;
    let plan_id = document.get("plan_id").and_then(Value::as_str).filter(|id| id.parse::<Uuid>().is_ok());
    let (Some(plan_id), Some(items)) = (plan_id, document.get("items").and_then(Value::as_array)) else {
        return Err(Failure::usage(format!(
            "{} is no plan: make one with `host-harness plan --out`",
            file.display()
        )));
    };
    if document.get("tenant").and_then(Value::as_str) != Some(tenant.name.as_str()) {
        return Err(Failure::usage(format!("{} is a plan of another tenant", file.display())));
    }
    let stored = stored_items(session, tenant, plan_id).await?;
    if stored != *items {
        return Err(Failure::usage(format!(
            "{} is not the plan that was stored under its id: it was edited or made for another store; make a new one",
            file.display()
        )));
    }
    let planned = document.get("direction").and_then(Value::as_str);
    if let (Some(given), Some(planned)) = (task.direction, planned)
        && given.name() != planned
    {
        return Err(Failure::usage(format!(
            "{} was planned for {planned}: leave --direction out",
            file.display()
        )));
    }
    task.mode = Mode::ApplyPlan;
    plan_id.clone_into(&mut task.plan_id);
    task.direction = planned.and_then(|text| clap::ValueEnum::from_str(text, true).ok());
    Ok(())
}
