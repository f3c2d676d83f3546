//! Fields that wait for a person's decision.

use serde::{Deserialize, Serialize};

use crate::model::{CrmId, Field, MkId};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; an entry's id is `contact.field`.
pub const CONFLICTS: &str = "conflicts";

/// One contested field of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Always `contacts`.
    pub kind: String,
    /// The contact.
    pub crm_id: CrmId,
    /// The partner.
    pub metakocka_id: MkId,
    /// The field's name.
    pub field: String,
    /// The last agreed value.
    #[serde(default)]
    pub base: Option<String>,
    /// The CRM's value.
    #[serde(default)]
    pub crm: Option<String>,
    /// Metakocka's value.
    #[serde(default)]
    pub metakocka: Option<String>,
    /// When it was first seen.
    pub since: String,
    /// `metakocka` or `crm`, once somebody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

impl Conflict {
    /// Reads an entry.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        serde_json::from_slice(&entry.body).ok()
    }

    /// The entry's id.
    #[must_use]
    pub fn id(crm: &CrmId, field: Field) -> String {
        format!("{crm}.{field}")
    }

    /// The write that stores it.
    #[must_use]
    pub fn write(&self) -> Write {
        Write {
            collection: CONFLICTS,
            id: format!("{}.{}", self.crm_id, self.field),
            expect: Expect::Any,
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The write that removes a settled one.
    #[must_use]
    pub fn settled(crm: &CrmId, field: Field) -> Write {
        Write { collection: CONFLICTS, id: Self::id(crm, field), expect: Expect::Any, change: Change::Delete }
    }
}
