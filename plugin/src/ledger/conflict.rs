//! Fields that wait for a person's decision.

use serde::{Deserialize, Serialize};

use super::unreadable::{Unreadable, body};
use crate::model::{CrmId, MkId};
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
    /// The side whose value counts, once somebody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Revision of the stored row; `None` for a new one.
    #[serde(skip)]
    pub revision: Option<u64>,
}

/// What a person has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Metakocka's value counts.
    Metakocka,
    /// The CRM's value counts.
    Crm,
}

impl Conflict {
    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build; an unknown decision is no missing one.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        Ok(Self { revision: Some(entry.revision), ..body(CONFLICTS, entry)? })
    }

    fn expect(&self) -> Expect {
        self.revision.map_or(Expect::Absent, Expect::Revision)
    }

    fn id(&self) -> String {
        format!("{}.{}", self.crm_id, self.field)
    }

    /// The write that stores it, provided that nobody has decided meanwhile.
    #[must_use]
    pub fn write(&self) -> Write {
        Write {
            collection: CONFLICTS,
            id: self.id(),
            expect: self.expect(),
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The write that removes it, it being settled.
    #[must_use]
    pub fn settled(&self) -> Write {
        Write { collection: CONFLICTS, id: self.id(), expect: self.expect(), change: Change::Delete }
    }
}
