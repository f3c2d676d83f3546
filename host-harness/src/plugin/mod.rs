//! Runs the plugin: loads the component once, gives every run an instance of its own, and ends the run when it
//! breaks a limit.

#[expect(missing_docs, reason = "generated; the documentation is in wit/")]
pub mod bindings;
mod cache;
mod dump;
mod engine;
mod error;
mod host;
mod imports;
mod instance;
mod limits;
mod meter;
mod ticker;

pub use bindings::exports::metakocka::crm_sync::sync::{
    Action, Description, Failure, Item, Mode, RecordError, Report, RunRequest, Selection, UnsyncedPage,
    UnsyncedRow,
};
pub use bindings::metakocka::crm_sync::types::{Direction, Kind, Side};
pub use cache::{CacheFolder, Mac};
pub use engine::{Engine, EngineOptions, runtime};
pub use error::{LoadError, RunError};
pub use host::{HostState, Powers};
pub use imports::imports;
pub use instance::{Outcome, Plugin};
pub use limits::Limits;

/// The plugin this binary was built with.
pub const COMPONENT: &[u8] = include_bytes!(env!("PLUGIN_WASM"));
