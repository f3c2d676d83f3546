//! The outbox: creates decided and stored before they are sent, until their outcome is known.

use serde::{Deserialize, Serialize};

use super::unreadable::{Unreadable, body};
use crate::model::match_key::{email_keys, name_address_key, tax_key};
use crate::model::{CrmId, Field, Fields, MkId, Time, parse_time};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; an entry's id is the contact's.
pub const OUTBOX: &str = "outbox";

/// How far an intent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentState {
    /// Decided; certainly not sent.
    Planned,
    /// It may have been sent: found in this state at the start of a run it is as unclear as a lost answer.
    Open,
    /// A write was sent and its outcome is not known.
    Unknown,
    /// An update that adds a row may have been sent: repeated, it would add the row again.
    UpdateOpen,
    /// An update was sent and its outcome is not known: nothing more is sent for this record until it has settled.
    UpdateUnknown,
}

/// By what a partner can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// Tax number.
    Tax,
    /// E-mail.
    Email,
    /// Name and address: no identity, only good enough to recognise our own unclear create.
    Name,
}

/// One write that is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The contact.
    pub contact: CrmId,
    /// Revision of the stored intent; `None` for a new one.
    pub revision: Option<u64>,
    /// How far it has come.
    pub state: IntentState,
    /// What the partner can be asked for by.
    pub key_kind: KeyKind,
    /// The key.
    pub key: String,
    /// The value the key was made of, as it is sent: Metakocka may keep it with its marks.
    pub sent: Option<String>,
    /// Since when the outcome is unknown (in state `Unknown`, else when it was written).
    pub since: Time,
    /// Not before this moment may the next look decide anything.
    pub until: Time,
    /// Empty look-ups after the settling time.
    pub misses: u32,
    /// Times sent.
    pub attempts: u32,
    /// For a key of name and address: partners of that name that existed before the send.
    pub before: Vec<MkId>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    state: IntentState,
    key_kind: KeyKind,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<String>,
    since: String,
    until: String,
    #[serde(default)]
    misses: u32,
    #[serde(default)]
    attempts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<MkId>,
}

impl Intent {
    /// The intent to create a partner from these fields.
    #[must_use]
    pub fn new(contact: CrmId, fields: &Fields, now: Time) -> Self {
        let (key_kind, key, sent) = key_of(fields);
        Self {
            contact,
            revision: None,
            state: IntentState::Planned,
            key_kind,
            key,
            sent,
            since: now,
            until: now,
            misses: 0,
            attempts: 0,
            before: Vec::new(),
        }
    }

    /// The note that an update is under way.
    #[must_use]
    pub fn update(contact: CrmId, state: IntentState, now: Time, until: Time) -> Self {
        Self {
            state,
            until,
            key_kind: KeyKind::Name,
            key: String::new(),
            sent: None,
            ..Self::new(contact, &Fields::default(), now)
        }
    }

    /// Its key with its kind, in one text.
    #[must_use]
    pub fn match_key(&self) -> String {
        format!("{:?} {}", self.key_kind, self.key)
    }

    /// Whether it is about an update, not a create.
    #[must_use]
    pub const fn is_update(&self) -> bool {
        matches!(self.state, IntentState::UpdateOpen | IntentState::UpdateUnknown)
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build: an intent whose state is unknown may have been sent.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        let row: Row = body(OUTBOX, entry)?;
        let time = |text: &str| {
            parse_time(text).ok_or_else(|| Unreadable::new(OUTBOX, entry, "a time that is none"))
        };
        Ok(Self {
            contact: CrmId(entry.id.clone()),
            revision: Some(entry.revision),
            state: row.state,
            key_kind: row.key_kind,
            key: row.key,
            sent: row.sent,
            since: time(&row.since)?,
            until: time(&row.until)?,
            misses: row.misses,
            attempts: row.attempts,
            before: row.before,
        })
    }

    fn expect(&self) -> Expect {
        self.revision.map_or(Expect::Absent, Expect::Revision)
    }

    /// The write that stores it, provided that no other run has touched it.
    #[must_use]
    pub fn write(&self) -> Write {
        let row = Row {
            state: self.state,
            key_kind: self.key_kind,
            key: self.key.clone(),
            sent: self.sent.clone(),
            since: self.since.text(),
            until: self.until.text(),
            misses: self.misses,
            attempts: self.attempts,
            before: self.before.clone(),
        };
        Write {
            collection: OUTBOX,
            id: self.contact.0.clone(),
            expect: self.expect(),
            change: Change::Put(serde_json::to_vec(&row).unwrap_or_default()),
        }
    }

    /// The write that removes it, its outcome being known; of one that was never stored, the check that no other run has
    /// one for this record.
    #[must_use]
    pub fn done(&self) -> Write {
        let change = if self.revision.is_some() { Change::Delete } else { Change::Check };
        Write { collection: OUTBOX, id: self.contact.0.clone(), expect: self.expect(), change }
    }
}

/// The strongest key of a record, and the value it was made of: tax number, else e-mail, else name and address.
fn key_of(fields: &Fields) -> (KeyKind, String, Option<String>) {
    let sent = |field| fields.get(field).map(str::to_owned);
    let tax = fields.get(Field::TaxNumber).and_then(|number| tax_key(number, fields.get(Field::Country)));
    if let Some(key) = tax {
        return (KeyKind::Tax, key.into(), sent(Field::TaxNumber));
    }
    if let Some(key) = fields.get(Field::Email).and_then(|value| email_keys(value).into_iter().next()) {
        return (KeyKind::Email, key.into(), sent(Field::Email));
    }
    (KeyKind::Name, name_key(fields), None)
}

/// Name, street and post code in one; see [`crate::model::match_key::name_address_key`].
#[must_use]
pub fn name_key(fields: &Fields) -> String {
    name_address_key(fields)
}
