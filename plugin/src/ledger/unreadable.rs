//! Rows of the plugin's own that cannot be read.

use crate::ports::Entry;

/// A row of the plugin's own that is damaged or that a newer build has written. There is no default for it: a forgotten
/// intent would be sent twice, a forgotten link doubled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the row {id:?} of {collection} cannot be read ({reason}): it is damaged, or a newer build has written it. Run the newer \
     build, or mend or remove the row after a look at it; the run has stopped before it"
)]
pub struct Unreadable {
    /// The collection.
    pub collection: &'static str,
    /// The entry's id.
    pub id: String,
    /// What is wrong, without contents.
    pub reason: String,
}

impl Unreadable {
    /// A row that is wrong for this reason.
    #[must_use]
    pub fn new(collection: &'static str, entry: &Entry, reason: impl Into<String>) -> Self {
        Self { collection, id: entry.id.clone(), reason: reason.into() }
    }
}

/// The body of a row.
///
/// # Errors
///
/// When it does not have the form of `T`.
pub fn body<'e, T: serde::Deserialize<'e>>(
    collection: &'static str,
    entry: &'e Entry,
) -> Result<T, Unreadable> {
    // A list would pass for the members of a row in their order.
    let Some(members) = entry.body.trim_ascii_start().strip_prefix(b"{") else {
        return Err(Unreadable::new(collection, entry, "no JSON object"));
    };
    // What the host hands over for a row it cannot read itself (`storage.wit`).
    if members.trim_ascii_start().starts_with(b"\"$unreadable\"") {
        return Err(Unreadable::new(collection, entry, String::from_utf8_lossy(&entry.body)));
    }
    serde_json::from_slice(&entry.body)
        // The text of the error may hold contents; the place is enough to find it.
        .map_err(|error| {
            Unreadable::new(collection, entry, format!("unexpected at character {}", error.column()))
        })
}
