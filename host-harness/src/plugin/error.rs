//! Why a component does not load, or a run does not end well. Every text says what to do next.

use std::time::Duration;

use super::Failure;

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not a component at all.
    #[error("this is not a WebAssembly component: {0}; build the plugin for wasm32-wasip2")]
    NotAComponent(String),
    /// It wants a power that does not exist here.
    #[error(
        "the component imports {0:?}, a power this host does not lend; remove what needs it from the plugin (for example files, sockets, or a HashMap, which wants randomness)"
    )]
    UnknownImport(String),
    /// It was built against another version of the contract.
    #[error(
        "the component speaks {found}, this host speaks {expected}: rebuild the plugin against this repository's wit/, or use the host it was built for"
    )]
    Version {
        /// What the component names.
        found: String,
        /// What this host offers.
        expected: String,
    },
    /// It does not fit the contract though the version is the same.
    #[error(
        "the component does not fit the contract {expected}: {reason}; rebuild the plugin against this repository's wit/"
    )]
    Contract {
        /// What this host offers.
        expected: String,
        /// What does not fit.
        reason: String,
    },
    /// The runtime could not be set up.
    #[error("the WebAssembly runtime could not be set up: {0}")]
    Runtime(String),
}

/// Why a run gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The guest wanted more memory.
    #[error(
        "the plugin wanted more than {limit_mib} MiB of memory; `limits.guest-memory-mib` changes the limit"
    )]
    MemoryLimit {
        /// The limit.
        limit_mib: u64,
    },
    /// The guest computed for too long.
    #[error("the plugin computed for more than {seconds} s; `limits.guest-cpu-seconds` changes the limit")]
    CpuLimit {
        /// The limit.
        seconds: u64,
    },
    /// The run took too long, waiting included.
    #[error("the run took longer than {} s; `limits.run-seconds` changes the limit", limit.as_secs())]
    WallLimit {
        /// The limit.
        limit: Duration,
    },
    /// The guest called the host too often.
    #[error("the plugin called the host more than {limit} times; `limits.host-calls` changes the limit")]
    CallLimit {
        /// The limit.
        limit: u64,
    },
    /// The guest broke down.
    #[error("the plugin broke down: {0}; this is a bug in the plugin, other runs are not affected")]
    Trapped(String),
    /// The component could not be started.
    #[error("the plugin could not be started: {0}")]
    Start(String),
    /// The guest itself says that it cannot.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Failure),
    /// The host stopped or failed while the run was under way.
    #[error("the run was ended by the host: {0}")]
    Ended(String),
}
