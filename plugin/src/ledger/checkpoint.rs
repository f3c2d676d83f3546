//! Where the next run continues.

use serde::{Deserialize, Serialize};

use crate::ports::{Change, Entry, Expect, Write};

/// The collection; the entry's id is the kind.
pub const CHECKPOINTS: &str = "checkpoints";

/// The watermarks of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// All CRM changes up to this revision have been carried to Metakocka, or need not be.
    #[serde(default)]
    pub pushed: u64,
    /// All CRM changes up to this revision have been noted while the direction held them back.
    #[serde(default)]
    pub noted: u64,
}

impl Checkpoint {
    /// Reads the entry.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        serde_json::from_slice(&entry.body).ok()
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

    /// The write that stores it.
    #[must_use]
    pub fn write(&self, kind: &str) -> Write {
        Write {
            collection: CHECKPOINTS,
            id: kind.to_owned(),
            expect: Expect::Any,
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }
}
