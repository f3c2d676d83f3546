//! What the plugin remembers between runs: one file per collection of its own.

mod base;
mod checkpoint;
mod conflict;
mod history;
mod link;
mod outbox;
mod quarantine;
mod seen;
mod unreadable;

pub use base::Base;
pub use checkpoint::CHECKPOINTS;
pub use checkpoint::Checkpoint;
pub use conflict::CONFLICTS;
pub use conflict::{Conflict, Decision};
pub use history::{HISTORY, Overwritten};
pub use link::{LINKS, Link, LinkState, LinkStatus};
pub use outbox::{Intent, IntentState, KeyKind, OUTBOX, name_key};
pub use quarantine::{QUARANTINE, Quarantined, Severity};
pub use seen::{SEEN, Seen, Shown};
pub use unreadable::{Unreadable, body};
