//! What a run did, counted where it happens.

use super::merge::Side;
use crate::metakocka::outcome::{CallError, Treatment};
use crate::model::{CrmId, MkId, Time};

/// How many failures are named; the rest is counted.
const MAX_ERRORS: usize = 100;
/// How many items are named; the rest is counted.
const MAX_ITEMS: usize = 10_000;

/// Why a run or a call ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: String,
    /// For people: what to do next.
    pub message: String,
}

/// What kind of trouble a record is in, for whoever has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing is wrong with the record: Metakocka could not be asked.
    Connection,
    /// The record, or the settings for it, have to change.
    Record,
    /// A person has to decide.
    Review,
}

impl Class {
    /// As logs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Record => "record",
            Self::Review => "review",
        }
    }

    /// What to do, without anything about the record.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Connection => "nothing is wrong with the record: run again once Metakocka answers",
            Self::Record => "read the reason in `quarantine list`, put the record right and sync again",
            Self::Review => "decide it: see `quarantine list` and `conflicts list`",
        }
    }
}

impl From<&CallError> for Class {
    fn from(error: &CallError) -> Self {
        match error.treatment() {
            Treatment::StopRun | Treatment::TryLater => Self::Connection,
            Treatment::Quarantine => Self::Record,
        }
    }
}

/// One record that failed, or that a person has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// CRM id, else Metakocka id.
    pub id: String,
    /// What is wrong and what to do.
    pub error: String,
    /// For programs.
    pub code: String,
    /// What kind of trouble it is.
    pub class: Class,
    /// The contact.
    pub crm_id: Option<CrmId>,
    /// The partner.
    pub metakocka_id: Option<MkId>,
}

impl RecordError {
    /// About a contact, a partner, or both.
    #[must_use]
    pub fn of(ids: (Option<&CrmId>, Option<&MkId>), error: String, code: &str, class: Class) -> Self {
        let id = match ids {
            (Some(id), _) => &id.0,
            (None, Some(id)) => &id.0,
            (None, None) => "unknown",
        };
        Self {
            id: id.to_owned(),
            error,
            code: code.to_owned(),
            class,
            crm_id: ids.0.cloned(),
            metakocka_id: ids.1.cloned(),
        }
    }

    /// The side whose record it is.
    #[must_use]
    pub const fn side(&self) -> Side {
        if self.crm_id.is_some() { Side::Crm } else { Side::Metakocka }
    }
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract documents every word, once")]
pub enum Happened {
    Created,
    Updated,
    Linked,
    Deactivated,
    Failed,
    Parked,
}

/// One thing a run did, or could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportItem {
    /// What happened.
    pub action: Happened,
    /// Where.
    pub side: Side,
    /// The contact.
    pub crm_id: Option<CrmId>,
    /// The partner.
    pub metakocka_id: Option<MkId>,
}

/// The result of a run. `wit/sync.wit` says what each number means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract documents every number, once")]
pub struct Report {
    pub stopped: Option<Failure>,
    pub crm_created: u64,
    pub crm_updated: u64,
    pub crm_deactivated: u64,
    pub metakocka_created: u64,
    pub metakocka_updated: u64,
    pub linked: u64,
    pub unchanged: u64,
    pub held: u64,
    pub waiting: u64,
    pub waiting_until: Option<Time>,
    pub parked: u64,
    pub quarantined: u64,
    pub failed: u64,
    pub conflicts: u64,
    pub taken: u64,
    pub seen: u64,
    pub errors: Vec<RecordError>,
    pub items: Vec<ReportItem>,
    pub items_left_out: u64,
    pub calls_made: u64,
    pub calls_least: u64,
    pub plan_hash: Option<String>,
}

impl Report {
    /// Whether nothing failed and the run went to its end.
    #[must_use]
    pub const fn success(&self) -> bool {
        self.failed == 0 && self.stopped.is_none()
    }

    /// Counts a record that failed.
    pub fn fail(&mut self, error: RecordError) {
        self.failed += 1;
        if error.crm_id.is_some() || error.metakocka_id.is_some() {
            self.note(Happened::Failed, error.side(), error.crm_id.as_ref(), error.metakocka_id.as_ref());
        }
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    /// Names what happened to a record.
    pub fn note(
        &mut self,
        action: Happened,
        side: Side,
        crm_id: Option<&CrmId>,
        metakocka_id: Option<&MkId>,
    ) {
        if self.items.len() < MAX_ITEMS {
            self.items.push(ReportItem {
                action,
                side,
                crm_id: crm_id.cloned(),
                metakocka_id: metakocka_id.cloned(),
            });
        } else {
            self.items_left_out += 1;
        }
    }
}
