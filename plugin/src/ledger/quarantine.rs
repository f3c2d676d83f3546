//! Quarantine: records given up with their reason, and records a person has to look at.

use serde::{Deserialize, Serialize};

use super::unreadable::{Unreadable, body};
use crate::model::{CrmId, MkId};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; an entry's id is `side.record`.
pub const QUARANTINE: &str = "quarantine";

/// What kind of attention a record needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Given up: its data or the settings have to change.
    Quarantined,
    /// Not failed, but only a person can decide.
    NeedsReview,
}

/// One such record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Always `contacts`.
    pub kind: String,
    /// The side the record is on.
    pub side: String,
    /// The contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crm_id: Option<CrmId>,
    /// The partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metakocka_id: Option<MkId>,
    /// For a person: what is wrong and what to do.
    pub reason: String,
    /// For programs.
    pub code: String,
    /// Given up, or to be decided.
    pub status: Severity,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    pub since: String,
    /// Fingerprint of the record that failed: the same record is not tried again by itself.
    pub record_hash: String,
    /// Somebody asked for another try.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

impl Quarantined {
    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        body(QUARANTINE, entry)
    }

    /// Reads entries.
    ///
    /// # Errors
    ///
    /// At the first that is damaged or of a newer build.
    pub fn read_all<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Result<Vec<Self>, Unreadable> {
        entries.into_iter().map(Self::read).collect()
    }

    /// The entry's id for a contact.
    #[must_use]
    pub fn crm_entry(id: &CrmId) -> String {
        format!("crm.{id}")
    }

    /// The entry's id for a partner.
    #[must_use]
    pub fn metakocka_entry(id: &MkId) -> String {
        format!("metakocka.{id}")
    }

    /// The write that stores it, whatever is there: the newest verdict about a record is the one that counts, and a retry
    /// asked for meanwhile is answered by the try that led to it.
    #[must_use]
    pub fn write(&self) -> Write {
        let id = match (&self.crm_id, &self.metakocka_id) {
            (Some(id), _) if self.side == "crm" => Self::crm_entry(id),
            (_, Some(id)) => Self::metakocka_entry(id),
            (Some(id), None) => Self::crm_entry(id),
            (None, None) => "metakocka.unreadable".to_owned(),
        };
        Write {
            collection: QUARANTINE,
            id,
            expect: Expect::Any,
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The write that releases a record, whatever is there: it has just been read, written or found gone.
    #[must_use]
    pub fn release(entry: String) -> Write {
        Write { collection: QUARANTINE, id: entry, expect: Expect::Any, change: Change::Delete }
    }
}
