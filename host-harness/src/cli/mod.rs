//! The command line: one file per command.
//!
//! Exit 0: done. 1: the run had failures or stopped. 2: usage or configuration. 3: somebody else is at work on this tenant. With `--json` exactly one JSON document
//! goes to standard output; logs and progress go to standard error.

mod bench;
mod component;
mod conflicts;
mod connect;
mod crm;
mod demo;
mod logs;
mod measure;
mod output;
mod plan;
mod progress;
mod quarantine;
mod records;
mod result;
mod sandbox;
mod session;
mod settings;
mod sync;
mod tenant;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Keeps a CRM and the Metakocka ERP in step, both ways, for many tenants.
#[derive(Debug, Parser)]
#[command(name = "host-harness", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The store, as `sqlite:PATH`; default: a file in the user's data folder
    #[arg(long, global = true, env = "HARNESS_STORE", value_name = "URL")]
    store: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Wait so many seconds for somebody else who is at work on the tenant, instead of ending with exit code 3
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

impl Global {
    /// How long to wait for somebody else at work.
    pub(crate) const fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A story in steps: a sandbox Metakocka, two tenants, edits on both sides, a lost answer
    Demo(demo::Demo),
    /// Runs a local Metakocka that behaves like the real one
    Sandbox(sandbox::Sandbox),
    /// Adds or lists tenants
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Connects a tenant to its Metakocka company
    Connect(connect::Connect),
    /// Asks Metakocka whether address and credentials work
    TestConnection(connect::TestConnection),
    /// Reads and changes a tenant's settings
    #[command(subcommand)]
    Settings(settings::Settings),
    /// Brings CRM records in and out, as JSON lines
    #[command(subcommand)]
    Crm(crm::Crm),
    /// Shows what a sync would do, and changes nothing
    Plan(plan::Plan),
    /// Keeps the two sides in step
    Sync(sync::Sync),
    /// Records without a partner on the other side
    Unsynced(records::Unsynced),
    /// Which CRM record is which Metakocka record
    Links(records::Links),
    /// Values that were overwritten
    History(records::History),
    /// Past runs
    Runs(records::Runs),
    /// What runs said, record by record
    #[command(subcommand)]
    Logs(logs::Logs),
    /// Fields both sides changed, waiting for a decision
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    /// Records given up or to be looked at, with the reason
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// Measures runs in processes of their own
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Writes the built component, for other hosts
    Component(component::Component),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Usage or configuration: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The work itself failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Somebody else is at work on the tenant: exit code 3.
    #[error("{0}")]
    Held(String),
    /// The same, already printed: exit code 3.
    #[error("somebody else is at work")]
    HeldAndReported,
    /// The work failed and its result is already printed: exit code 1.
    #[error("failed")]
    Reported,
}

impl Failure {
    pub(crate) fn usage(reason: impl std::fmt::Display) -> Self {
        Self::Usage(reason.to_string())
    }

    pub(crate) fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

/// What every command answers with.
pub(crate) type Outcome = Result<(), Failure>;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    start_logging();
    let runtime = match crate::plugin::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::print_error(format_args!("error: the system gives no threads: {error}"));
            return ExitCode::from(2);
        }
    };
    let json = cli.global.json;
    let outcome = runtime.block_on(dispatch(cli));
    // Nothing that is still under way matters any more, and waiting for it would only delay the answer.
    runtime.shutdown_background();
    let (code, message) = match outcome {
        Ok(()) => (0, None),
        Err(Failure::Reported) => (1, None),
        Err(Failure::HeldAndReported) => (3, None),
        Err(Failure::Failed(message)) => (1, Some(message)),
        Err(Failure::Usage(message)) => (2, Some(message)),
        Err(Failure::Held(message)) => (3, Some(message)),
    };
    end(code, message.as_deref(), json)
}

/// Says why a command did not do its work, and ends the output.
fn end(code: u8, message: Option<&str>, json: bool) -> ExitCode {
    if let Some(message) = message {
        if json {
            output::print_json(&serde_json::json!({ "success": false, "error": message }));
        }
        output::print_error(format_args!("error: {message}"));
    }
    match output::finish() {
        Ok(()) => ExitCode::from(code),
        Err(message) => {
            output::print_error(format_args!("error: {message}"));
            ExitCode::from(code.max(1))
        }
    }
}

/// What the argument parser answers: help and version are output like any other, a wrong argument is one document with
/// `--json` like any other refusal.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let json = std::env::args_os().any(|argument| argument == "--json");
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&error.render().to_string());
            end(0, None, json)
        }
        _ if json => {
            let text = error.render().to_string();
            let message = text.trim().trim_start_matches("error: ").to_owned();
            end(2, Some(&message), json)
        }
        _ => {
            output::print_error(error.render().to_string().trim_end());
            end(2, None, json)
        }
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.command {
        Command::Demo(command) => command.run(global).await,
        Command::Sandbox(command) => command.run().await,
        Command::Tenant(command) => command.run(global).await,
        Command::Connect(command) => command.run(global).await,
        Command::TestConnection(command) => command.run(global).await,
        Command::Settings(command) => command.run(global).await,
        Command::Crm(command) => command.run(global).await,
        Command::Plan(command) => command.run(global).await,
        Command::Sync(command) => command.run(global).await,
        Command::Unsynced(command) => command.run(global).await,
        Command::Links(command) => command.run(global).await,
        Command::History(command) => command.run(global).await,
        Command::Runs(command) => command.run(global).await,
        Command::Logs(command) => command.run(global).await,
        Command::Conflicts(command) => command.run(global).await,
        Command::Quarantine(command) => command.run(global).await,
        Command::Bench(command) => command.run(global).await,
        Command::Component(command) => command.run(global),
    }
}

fn start_logging() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_env("HARNESS_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // They would go past `output`, and panic where standard error cannot be written.
        .log_internal_errors(false)
        .init();
}
