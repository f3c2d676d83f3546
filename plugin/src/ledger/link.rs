//! Links: this contact is that partner.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Base;
use super::base::Agreed;
use super::unreadable::{Unreadable, body};
use crate::crm::Names;
use crate::metakocka::partner::{Partner, Rest};
use crate::model::{CrmId, MkId, RawHash, Time};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; an entry's id is the contact's.
pub const LINKS: &str = "links";

/// What people are told about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    /// Both sides agree.
    Synced,
    /// The CRM holds edits that the direction keeps from travelling.
    Pending,
    /// The last write was refused.
    Error,
    /// A person has to decide.
    NeedsReview,
}

/// Whether both records of a link exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// They do.
    Live,
    /// The partner is gone from Metakocka; the contact is inactive.
    ErpGone,
    /// The contact was deleted in the CRM; the partner is left alone.
    CrmGone,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The contact.
    pub contact: CrmId,
    /// Revision of the stored link; `None` for a new one.
    pub revision: Option<u64>,
    /// The partner.
    pub partner: MkId,
    /// The partner's visible number.
    pub code: Option<String>,
    /// For people.
    pub status: LinkStatus,
    /// Whether both sides exist.
    pub state: LinkState,
    /// Last agreed values.
    pub base: Base,
    /// Hash of the partner's bytes when it was last looked at.
    pub raw_hash: Option<RawHash>,
    /// When these bytes were first seen: the ERP has no change time.
    pub first_seen: Option<Time>,
    /// What the partner holds beside the mapped fields, as of these bytes.
    pub rest: Option<Rest>,
    /// Why the last write failed; the next one that succeeds clears it.
    pub error: Option<String>,
    /// When the pair was last in step.
    pub last_synced: Option<String>,
    /// When the CRM had last written the contact, at that time.
    pub crm_modified: Option<String>,
    /// Fingerprint of the mapped fields as the CRM held them, at that time.
    pub crm_hash: Option<String>,
}

/// The column for what is kept and never used.
#[derive(Serialize, Deserialize)]
struct Metadata<R> {
    metakocka: R,
}

#[derive(Deserialize)]
struct Row {
    metakocka_id: String,
    #[serde(default)]
    metakocka_code: Option<String>,
    #[serde(default = "synced")]
    sync_status: LinkStatus,
    #[serde(default = "live")]
    state: LinkState,
    #[serde(default)]
    base: Base,
    #[serde(default)]
    raw_hash: Option<String>,
    #[serde(default)]
    mk_modified_at: Option<String>,
    #[serde(default)]
    sync_error: Option<String>,
    #[serde(default)]
    last_synced_at: Option<String>,
    #[serde(default)]
    crm_modified_at: Option<String>,
    #[serde(default)]
    crm_hash: Option<String>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Written<'a, B> {
    metakocka_id: &'a MkId,
    #[serde(skip_serializing_if = "Option::is_none")]
    metakocka_code: Option<&'a str>,
    sync_status: LinkStatus,
    state: LinkState,
    base: &'a B,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_hash: Option<RawHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mk_modified_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_synced_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crm_modified_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crm_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<&'a Rest>>,
}

const fn synced() -> LinkStatus {
    LinkStatus::Synced
}

const fn live() -> LinkState {
    LinkState::Live
}

impl Link {
    /// A link between two records that were strangers so far, nothing being agreed on; with the partner as it was read, where
    /// it was.
    #[must_use]
    pub fn new(contact: CrmId, partner: MkId, read: Option<&Partner>, now: Time) -> Self {
        Self {
            contact,
            revision: None,
            partner,
            code: read.and_then(|read| read.code.clone()),
            status: LinkStatus::Synced,
            state: LinkState::Live,
            base: Base::default(),
            raw_hash: read.map(|read| read.raw_hash),
            first_seen: Some(now),
            rest: read.and_then(|read| read.rest.clone()),
            error: None,
            last_synced: None,
            crm_modified: None,
            crm_hash: None,
        }
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        let row: Row = body(LINKS, entry)?;
        Ok(Self {
            contact: CrmId(entry.id.clone()),
            revision: Some(entry.revision),
            partner: MkId(row.metakocka_id),
            code: row.metakocka_code,
            status: row.sync_status,
            state: row.state,
            base: row.base,
            raw_hash: row.raw_hash.as_deref().and_then(RawHash::parse),
            first_seen: row.mk_modified_at.as_deref().and_then(crate::model::parse_time),
            // Nothing depends on it, so whatever else stands there does not matter.
            rest: row.metadata.and_then(|raw| {
                serde_json::from_str(raw.get()).ok().map(|metadata: Metadata<Rest>| metadata.metakocka)
            }),
            error: row.sync_error,
            last_synced: row.last_synced_at,
            crm_modified: row.crm_modified_at,
            crm_hash: row.crm_hash,
        })
    }

    /// Reads entries.
    ///
    /// # Errors
    ///
    /// At the first that is damaged or of a newer build.
    pub fn read_all<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Result<Vec<Self>, Unreadable> {
        entries.into_iter().map(Self::read).collect()
    }

    /// The partner of an entry that holds at least `metakocka_id`.
    #[must_use]
    pub fn partner_of(entry: &Entry) -> Option<MkId> {
        #[derive(Deserialize)]
        struct Partner {
            metakocka_id: MkId,
        }
        serde_json::from_slice(&entry.body).ok().map(|row: Partner| row.metakocka_id)
    }

    /// The check that a contact has no link.
    #[must_use]
    pub fn none(contact: &CrmId) -> Write {
        Write { collection: LINKS, id: contact.0.clone(), expect: Expect::Absent, change: Change::Check }
    }

    /// The check that nobody has touched this link since it was read.
    #[must_use]
    pub fn untouched(&self) -> Write {
        Write { collection: LINKS, id: self.contact.0.clone(), expect: self.expect(), change: Change::Check }
    }

    fn expect(&self) -> Expect {
        self.revision.map_or(Expect::Absent, Expect::Revision)
    }

    /// Whether both sides say the same.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.status == LinkStatus::Synced && self.state == LinkState::Live
    }

    /// The write that stores it, provided that nobody else touched it. Only a pair in step is synced now, and without error.
    #[must_use]
    pub fn write(&self, now: &str) -> Write {
        let first_seen = self.first_seen.map(Time::text);
        let in_step = self.is_in_step();
        let crm_hash = if in_step { Some(self.base.crm_fingerprint()) } else { self.crm_hash.clone() };
        let row = Written {
            metakocka_id: &self.partner,
            metakocka_code: self.code.as_deref(),
            sync_status: self.status,
            state: self.state,
            base: &self.base,
            raw_hash: self.raw_hash,
            mk_modified_at: first_seen.as_deref(),
            sync_error: self.error.as_deref().filter(|_| !in_step),
            last_synced_at: if in_step { Some(now) } else { self.last_synced.as_deref() },
            crm_modified_at: self.crm_modified.as_deref(),
            crm_hash: crm_hash.as_deref(),
            metadata: self.rest.as_ref().map(|rest| Metadata { metakocka: rest }),
        };
        put(&self.contact.0, self.expect(), &row)
    }

    /// The write of the link between a partner and the contact just made from it.
    #[must_use]
    pub fn first(contact: &str, partner: &Partner, names: &Names, now: &str) -> Write {
        let row = Written {
            metakocka_id: &partner.id,
            metakocka_code: partner.code.as_deref(),
            sync_status: LinkStatus::Synced,
            state: LinkState::Live,
            base: &Agreed { fields: &partner.fields, names },
            raw_hash: Some(partner.raw_hash),
            mk_modified_at: Some(now),
            sync_error: None,
            last_synced_at: Some(now),
            crm_modified_at: Some(now),
            crm_hash: Some(&partner.fields.fingerprint()),
            metadata: partner.rest.as_ref().map(|rest| Metadata { metakocka: rest }),
        };
        put(contact, Expect::Absent, &row)
    }
}

fn put(contact: &str, expect: Expect, row: &impl Serialize) -> Write {
    let body = serde_json::to_vec(row).unwrap_or_default();
    Write { collection: LINKS, id: contact.to_owned(), expect, change: Change::Put(body) }
}
