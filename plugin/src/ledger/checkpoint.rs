//! Where the next run continues.

use serde::{Deserialize, Serialize};

use super::unreadable::{Unreadable, body};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; the entry's id is the kind.
pub const CHECKPOINTS: &str = "checkpoints";

/// The watermarks of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// All CRM changes up to this revision have been carried to Metakocka, or need not be.
    pub pushed: u64,
    /// All CRM changes up to this revision have been noted while the direction held them back.
    pub noted: u64,
    /// When a complete list of partners was read for the first time, milliseconds since 1970; before, nothing is known of
    /// partners without a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned: Option<u64>,
    /// Revision of the stored row; `None` for a new one.
    #[serde(skip)]
    pub revision: Option<u64>,
}

impl Checkpoint {
    /// Reads the entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        Ok(Self { revision: Some(entry.revision), ..body(CHECKPOINTS, entry)? })
    }

    /// The same at the start of a run, when the CRM's newest change is known.
    ///
    /// # Errors
    ///
    /// Also when a watermark is ahead of that change: the ones that come next would never be seen.
    pub fn read_behind(entry: &Entry, newest: u64) -> Result<Self, Unreadable> {
        let checkpoint = Self::read(entry)?;
        if checkpoint.pushed.max(checkpoint.noted) > newest {
            return Err(Unreadable::new(CHECKPOINTS, entry, "a watermark ahead of every change"));
        }
        Ok(checkpoint)
    }

    /// Takes over what another run has done: each watermark is as far as either run has come.
    #[must_use]
    pub fn joined(self, stored: Self) -> Self {
        Self {
            pushed: self.pushed.max(stored.pushed),
            noted: self.noted.max(stored.noted),
            scanned: stored.scanned.or(self.scanned),
            revision: stored.revision,
        }
    }

    /// A commit of ours used the revisions after `before` up to `last`. When a watermark stood exactly at `before`,
    /// nobody else wrote in between, so it may move with us: our own writes need not be read back as changes.
    pub const fn follow(&mut self, before: u64, last: u64) {
        if self.pushed == before {
            self.pushed = last;
        }
        if self.noted == before {
            self.noted = last;
        }
    }

    /// The write that stores it, provided that no other run has moved it.
    #[must_use]
    pub fn write(&self, kind: &str) -> Write {
        Write {
            collection: CHECKPOINTS,
            id: kind.to_owned(),
            expect: self.revision.map_or(Expect::Absent, Expect::Revision),
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}
