//! What a record's writes count for, once they are stored.

use super::merge::Side;
use super::report::{Happened, RecordError, Report};
use crate::model::{CrmId, MkId};

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
    /// Fields of it wait for a person.
    pub parked: bool,
    /// The contact.
    pub crm_id: Option<CrmId>,
    /// The partner.
    pub metakocka_id: Option<MkId>,
    /// The record failed.
    pub failure: Option<RecordError>,
    /// A person has to decide about the record.
    pub review: Option<RecordError>,
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

    /// Says which records it is about.
    #[must_use]
    pub fn about(self, contact: &CrmId, partner: &MkId) -> Self {
        Self { crm_id: Some(contact.clone()), metakocka_id: Some(partner.clone()), ..self }
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
        self.parked |= other.parked;
        self.crm_id = other.crm_id.or(self.crm_id.take());
        self.metakocka_id = other.metakocka_id.or(self.metakocka_id.take());
        self.failure = other.failure.or(self.failure.take());
        self.review = other.review.or(self.review.take());
    }

    /// Adds it to the report.
    pub fn count(&self, report: &mut Report) {
        report.crm_created += self.crm_created;
        report.crm_updated += self.crm_updated;
        report.crm_deactivated += self.crm_deactivated;
        report.metakocka_created += self.metakocka_created;
        report.metakocka_updated += self.metakocka_updated;
        report.linked += self.linked;
        report.unchanged += self.unchanged;
        report.conflicts += self.conflicts;
        report.calls_least += self.calls_least;
        let (contact, partner) = (self.crm_id.as_ref(), self.metakocka_id.as_ref());
        for (count, action, side) in [
            (self.crm_created, Happened::Created, Side::Crm),
            (self.crm_updated, Happened::Updated, Side::Crm),
            (self.crm_deactivated, Happened::Deactivated, Side::Crm),
            (self.metakocka_created, Happened::Created, Side::Metakocka),
            (self.metakocka_updated, Happened::Updated, Side::Metakocka),
            (self.linked, Happened::Linked, Side::Metakocka),
        ] {
            if count > 0 {
                report.note(action, side, contact, partner);
            }
        }
        if let Some(failure) = &self.failure {
            report.fail(failure.clone());
        } else if let Some(review) = &self.review {
            report.note(
                Happened::Parked,
                review.side(),
                review.crm_id.as_ref(),
                review.metakocka_id.as_ref(),
            );
        } else if self.parked {
            report.note(Happened::Parked, Side::Crm, contact, partner);
        }
    }
}
