//! Leases: who is at work on a tenant and on an ERP company, in the store itself.
//!
//! A run takes both in one commit, renews them while it works, and every commit of it checks that they are still its own:
//! a process that was paused and overtaken stores nothing any more. A lease ends by being let go, by time, or at once when
//! its process is seen to be gone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::process::Process;

/// What a run asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The tenant.
    pub tenant: Uuid,
    /// The ERP company: its installation and its number.
    pub company: String,
    /// The run: owner of the lease.
    pub run: Uuid,
    /// What it does, for whoever has to wait: `sync contacts`, …
    pub kind: String,
    /// The process it runs in.
    pub process: Process,
}

/// A lease that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What was asked for.
    pub request: LeaseRequest,
    /// Fence of the tenant's row.
    pub tenant_fence: i64,
    /// Fence of the company's row.
    pub company_fence: i64,
}

/// Who holds what somebody else wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub process: Process,
    /// What it does.
    pub kind: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when, unless it renews.
    pub until: DateTime<Utc>,
    /// Whether it works on another tenant of the same company: then nothing else is said about it.
    pub elsewhere: bool,
}

/// How asking for a lease ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// Taken.
    Taken(Lease),
    /// Somebody else is at work.
    Held(Holder),
}

/// One row, as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub fence: i64,
    pub owner: String,
    pub kind: String,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub process: Process,
}

/// Whether a row can be taken: it is let go, over, or its process is gone.
pub(crate) fn is_free(row: Option<&Row>, now: DateTime<Utc>) -> bool {
    row.is_none_or(|row| row.owner.is_empty() || row.until <= now || row.process.is_gone())
}

/// The end of a lease taken or renewed now.
pub(crate) fn until(now: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    now + chrono::Duration::from_std(length).unwrap_or_else(|_| chrono::Duration::seconds(30))
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = super::time::text(self.since);
        if self.elsewhere {
            write!(f, "another tenant of the same Metakocka company is being synchronised since {since}")
        } else {
            write!(f, "process {} is at work on this tenant ({}) since {since}", self.process.id, self.kind)
        }
    }
}
