//! What a record's writes count for, once they are stored.

use super::report::{RecordError, Report};

/// Counts that belong to one group of writes. They are added after the commit, so a lost race counts nothing and the run
/// that stored the record is the one that reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the report, documented by the contract")]
pub struct Effect {
    pub crm_created: u64,
    pub crm_updated: u64,
    pub crm_deactivated: u64,
    pub metakocka_created: u64,
    pub metakocka_updated: u64,
    pub linked: u64,
    pub unchanged: u64,
    pub conflicts: u64,
    pub calls_least: u64,
    /// The record failed.
    pub failure: Option<RecordError>,
}

impl Effect {
    /// A record made in the CRM.
    #[must_use]
    pub fn crm_created() -> Self {
        Self { crm_created: 1, ..Self::default() }
    }

    /// A record changed in the CRM, if it was.
    #[must_use]
    pub fn crm_updated(updated: bool) -> Self {
        Self { crm_updated: u64::from(updated), ..Self::default() }
    }

    /// A record that needed nothing.
    #[must_use]
    pub fn unchanged() -> Self {
        Self { unchanged: 1, ..Self::default() }
    }

    /// Adds another one to it.
    pub fn join(&mut self, other: Self) {
        self.crm_created += other.crm_created;
        self.crm_updated += other.crm_updated;
        self.crm_deactivated += other.crm_deactivated;
        self.metakocka_created += other.metakocka_created;
        self.metakocka_updated += other.metakocka_updated;
        self.linked += other.linked;
        self.unchanged += other.unchanged;
        self.conflicts += other.conflicts;
        self.calls_least += other.calls_least;
        self.failure = other.failure.or(self.failure.take());
    }

    /// Adds it to the report.
    pub fn count(self, report: &mut Report) {
        report.crm_created += self.crm_created;
        report.crm_updated += self.crm_updated;
        report.crm_deactivated += self.crm_deactivated;
        report.metakocka_created += self.metakocka_created;
        report.metakocka_updated += self.metakocka_updated;
        report.linked += self.linked;
        report.unchanged += self.unchanged;
        report.conflicts += self.conflicts;
        report.calls_least += self.calls_least;
        if let Some(failure) = self.failure {
            report.fail(&failure.id, failure.error, &failure.code);
        }
    }
}
