//! What a run did, counted where it happens.

use crate::model::Time;

/// How many failures are named; the rest is counted.
const MAX_ERRORS: usize = 100;

/// Why a run or a call ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: String,
    /// For people: what to do next.
    pub message: String,
}

/// One record that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// CRM id, else Metakocka id.
    pub id: String,
    /// What is wrong and what to do.
    pub error: String,
    /// For programs.
    pub code: String,
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
    pub fn fail(&mut self, id: &str, error: String, code: &str) {
        self.failed += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(RecordError { id: id.to_owned(), error, code: code.to_owned() });
        }
    }
}
