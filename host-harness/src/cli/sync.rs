//! `sync`: one run per tenant, all at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde_json::{Value, json};

use super::conflicts::Take;
use super::progress::Progress;
use super::result::{Cost, broken, describe, kept, result};
use super::session::{Session, transport};
use super::work::{StoredBreaker, Work};
use super::{Failure, Global, Outcome, measure, output, settings};
use crate::capability::clock::RealClock;
use crate::capability::http::{Connection, Http, Transport};
use crate::capability::logging::{self, Logging};
use crate::plugin::{self, Mode, Plugin, Powers, RunError, RunRequest, Selection};
use crate::store::{Access, Run, Store, StoreError, Tenant};

/// What is kept in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// CRM contacts and Metakocka partners
    Contacts,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
        }
    }
}

/// Which way changes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    /// Metakocka is read, the CRM is written
    FromMetakocka,
    /// The CRM is read, Metakocka is written
    ToMetakocka,
    /// Both
    Bidirectional,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FromMetakocka => "from-metakocka",
            Self::ToMetakocka => "to-metakocka",
            Self::Bidirectional => "bidirectional",
        }
    }

    /// Whether a run of this direction writes this side.
    pub(crate) const fn writes(self, side: Take) -> bool {
        !matches!((self, side), (Self::FromMetakocka, Take::Crm) | (Self::ToMetakocka, Take::Metakocka))
    }

    /// The direction that includes all of these.
    pub(crate) fn all_of(directions: &[Self]) -> Option<Self> {
        let (first, rest) = directions.split_first()?;
        Some(if rest.iter().all(|other| other == first) { *first } else { Self::Bidirectional })
    }

    const fn contract(self) -> plugin::Direction {
        match self {
            Self::FromMetakocka => plugin::Direction::FromMetakocka,
            Self::ToMetakocka => plugin::Direction::ToMetakocka,
            Self::Bidirectional => plugin::Direction::Bidirectional,
        }
    }
}

/// Runs a sync.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Name or id of a tenant; give it again for more, they run at once
    #[arg(long, required = true)]
    tenant: Vec<String>,
    /// What to keep in step
    #[arg(long, default_value = "contacts")]
    kind: Kind,
    /// Which way; default: the setting contacts.direction
    #[arg(long)]
    direction: Option<Direction>,
    /// Only these records, by CRM id or Metakocka id
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    ids: Option<Vec<String>>,
    /// Carry out this plan and nothing else
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Let more than a tenth of the linked contacts become inactive
    #[arg(long)]
    allow_mass_deactivation: bool,
    /// Run another build of the plugin
    #[arg(long, value_name = "FILE.wasm")]
    plugin: Option<PathBuf>,
    /// Write the plugin's memory to this file when it has ended
    #[arg(long, value_name = "FILE")]
    dump_guest_memory: Option<PathBuf>,
}

/// What one run is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    pub(crate) direction: Option<Direction>,
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) mode: Mode,
    pub(crate) plan_id: String,
    pub(crate) allow_mass_deactivation: bool,
    /// How long to wait for somebody else who is at work on the tenant.
    pub(crate) wait: Duration,
}

impl Task {
    /// A plain run over everything or some records.
    pub(crate) fn apply(direction: Option<Direction>, ids: Option<Vec<String>>) -> Self {
        Self {
            kind: Kind::Contacts,
            direction,
            ids,
            mode: Mode::Apply,
            plan_id: String::new(),
            allow_mass_deactivation: false,
            wait: Duration::ZERO,
        }
    }
}

impl Sync {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        if self.ids.as_ref().is_some_and(|ids| ids.iter().any(|id| id.trim().is_empty())) {
            return Err(Failure::usage("--ids holds an empty id"));
        }
        let session = Session::open(global, Access::Write).await?;
        let mut tenants = Vec::new();
        for name in &self.tenant {
            let tenant = session.tenant(name).await?;
            if tenants.iter().any(|known: &Tenant| known.id == tenant.id) {
                return Err(Failure::usage(format!("tenant {} is named twice", tenant.name)));
            }
            tenants.push(tenant);
        }
        let mut task = Task {
            kind: self.kind,
            allow_mass_deactivation: self.allow_mass_deactivation,
            wait: global.patience(),
            ..Task::apply(self.direction, self.ids.clone())
        };
        if let Some(file) = &self.plan {
            let [tenant] = tenants.as_slice() else {
                return Err(Failure::usage("--plan is for one tenant"));
            };
            super::plan::prepare(&session, tenant, file, &mut task).await?;
        }
        let plugin = session.plugin(self.plugin.as_deref(), self.dump_guest_memory.as_deref())?;
        let transport = transport()?;
        let bars = bars(global);
        let runs = tenants
            .iter()
            .map(|tenant| run_tenant(&session.store, &plugin, &transport, &bars, tenant, &task));
        let results = futures_util::future::join_all(runs).await;
        session.store.close().await;
        let mut documents = Vec::new();
        let (mut success, mut held) = (true, None);
        for (tenant, result) in tenants.iter().zip(results) {
            let mut result = match result {
                // One tenant that is in other hands says nothing about the others.
                Err(Failure::Held(message)) if tenants.len() > 1 => {
                    let document = json!({ "success": false, "error": message });
                    held = Some(format!("{}: {message}", tenant.name));
                    document
                }
                result => result?,
            };
            success &= result.get("success") == Some(&Value::Bool(true));
            if !global.json {
                output::print_line(format_args!("{}", describe(&tenant.name, &result)));
            }
            if tenants.len() > 1
                && let Some(members) = result.as_object_mut()
            {
                members.insert("tenant".to_owned(), json!(tenant.name));
            }
            documents.push(result);
        }
        if global.json {
            match documents.as_slice() {
                [one] => output::print_json(one),
                several => output::print_json(&json!(several)),
            }
        }
        match held {
            Some(message) if !global.json => Err(Failure::Held(message)),
            Some(_) => Err(Failure::HeldAndReported),
            None if success => Ok(()),
            None => Err(Failure::Reported),
        }
    }
}

/// Bars on a terminal, nothing elsewhere.
pub(crate) fn bars(global: &Global) -> MultiProgress {
    let target = if global.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    MultiProgress::with_draw_target(target)
}

/// One run of one tenant, from its request to its stored result.
pub(crate) async fn run_tenant(
    store: &Store,
    plugin: &Plugin,
    transport: &Arc<Transport>,
    bars: &MultiProgress,
    tenant: &Tenant,
    task: &Task,
) -> Result<Value, Failure> {
    let stored = store
        .connection(tenant)
        .await?
        .ok_or_else(|| Failure::from(StoreError::NotConnected(tenant.name.clone())))?;
    let connection = Connection::new(&stored.base_url, &stored.company_id, stored.secret.expose())
        .map_err(Failure::usage)?;
    settings::check(store, tenant).await?;
    let direction = direction(store, tenant, task).await?;
    let limits = settings::limits(store, tenant).await?;
    let run = Run::begin(
        tenant,
        task.kind.name(),
        direction.name(),
        match task.mode {
            Mode::Plan => "plan",
            Mode::Apply | Mode::ApplyPlan => "apply",
        },
    );
    let company = format!("{} {}", stored.base_url, stored.company_id);
    let kind = format!("{} {}", run.mode, run.kind);
    let work = Work::begin(store, tenant, company.clone(), &run, kind, task.wait).await?;
    let breaker = StoredBreaker::of(store, company).await?;
    store.start_run(&run).await?;
    let progress = Arc::new(Progress::new(bars, &tenant.name, &run.id.to_string()));
    let watcher = Arc::clone(&progress);
    let http = Arc::new(
        Http::new(transport, connection)
            .watched(Arc::new(move |transfer| watcher.transfer(transfer)))
            .kept_by(Arc::new(breaker.0), breaker.1),
    );
    let powers = Powers {
        logging: Logging::new(Arc::clone(&progress) as _, http.redactor()),
        http: Arc::clone(&http),
        storage: store.leased_storage(tenant, work.lease()).await?,
        clock: Arc::new(RealClock::default()),
    };
    let request = RunRequest {
        run_id: run.id.to_string(),
        kind: plugin::Kind::Contacts,
        direction: direction.contract(),
        selection: task.ids.clone().map_or(Selection::Everything, Selection::Ids),
        mode: task.mode,
        plan_id: task.plan_id.clone(),
        allow_mass_deactivation: task.allow_mass_deactivation,
    };
    let (began, cpu) = (Instant::now(), measure::cpu());
    let outcome = plugin.run(powers, limits, request).await;
    let cost = Cost {
        duration: began.elapsed(),
        cpu: measure::cpu().saturating_sub(cpu),
        guest_peak_bytes: outcome.guest_peak_bytes,
    };
    let id = run.id.to_string();
    let mut document = match &outcome.result {
        Ok(report) => result(&id, report, cost),
        Err(error) => broken(&id, code(error), &http.redactor().text(&error.to_string()), cost),
    };
    // A guest says what others have told it.
    logging::harmless_document(&mut document);
    if let Some(Err(reason)) = &outcome.dump {
        tracing::warn!("the plugin's memory could not be written: {reason}");
    }
    let success = document.get("success") == Some(&Value::Bool(true));
    store.append_logs(tenant, &progress.finish()).await?;
    store.finish_run(&run, std::time::SystemTime::now().into(), success, &kept(&document)).await?;
    let problem = document.pointer("/stopped/message").and_then(Value::as_str);
    // How the connection is doing is for whoever holds it to say.
    if work.is_held().await? {
        store.connection_synced(tenant, if success { "synced" } else { "error" }, problem).await?;
    }
    work.end().await?;
    Ok(document)
}

/// The direction a task has, or the tenant's setting.
pub(crate) async fn direction(store: &Store, tenant: &Tenant, task: &Task) -> Result<Direction, Failure> {
    if let Some(direction) = task.direction {
        return Ok(direction);
    }
    let key = format!("{}.direction", task.kind.name());
    Ok(settings::text(store, tenant, &key)
        .await?
        .and_then(|text| Direction::from_str(&text, false).ok())
        .unwrap_or(Direction::FromMetakocka))
}

/// The direction of the run that was under way at this moment: what it left for a person is carried on the same way.
pub(crate) async fn direction_at(
    store: &Store,
    tenant: &Tenant,
    kind: Kind,
    moment: &str,
) -> Result<Option<Direction>, Failure> {
    let Ok(moment) = chrono::DateTime::parse_from_rfc3339(moment) else { return Ok(None) };
    let runs = store.runs(tenant, Some(kind.name()), 10_000).await?;
    Ok(runs
        .iter()
        .find(|run| run.started_at <= moment && run.finished_at.is_none_or(|finished| moment <= finished))
        .and_then(|run| Direction::from_str(&run.direction, false).ok()))
}

/// A stable word for programs.
fn code(error: &RunError) -> &str {
    match error {
        RunError::MemoryLimit { .. } => "memory-limit",
        RunError::CpuLimit { .. } => "cpu-limit",
        RunError::WallLimit { .. } => "time-limit",
        RunError::CallLimit { .. } => "call-limit",
        RunError::Trapped(_) => "plugin-broke-down",
        RunError::Start(_) => "plugin-not-started",
        RunError::Refused(failure) => &failure.code,
        RunError::Ended(_) => "ended",
    }
}
