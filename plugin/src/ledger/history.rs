//! History: every value that was overwritten.

use serde::Serialize;

use crate::ports::{Change, Expect, Write};

/// The collection.
pub const HISTORY: &str = "history";

/// One overwritten value.
#[derive(Debug, Clone, Serialize)]
pub struct Overwritten<'a> {
    /// Always `contacts`.
    pub kind: &'a str,
    /// The contact.
    pub crm_id: &'a str,
    /// The partner.
    pub metakocka_id: &'a str,
    /// The side that was overwritten: `crm` or `metakocka`.
    pub side: &'a str,
    /// The field's name.
    pub field: &'a str,
    /// What stood there.
    pub old: Option<&'a str>,
    /// What stands there now.
    pub new: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// The run.
    pub run_id: &'a str,
    /// When.
    pub at: &'a str,
}

impl Overwritten<'_> {
    /// The write that keeps it under a new id.
    #[must_use]
    pub fn write(&self, id: String) -> Write {
        Write {
            collection: HISTORY,
            id,
            expect: Expect::Absent,
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}
