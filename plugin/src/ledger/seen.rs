//! Partners that were met in a scan and have no link.

use serde::{Deserialize, Serialize};

use super::unreadable::{Unreadable, body};
use crate::metakocka::partner::Partner;
use crate::model::match_key::{email_keys, tax_key};
use crate::model::{Field, Fields, MkId, RawHash};
use crate::ports::{Change, Entry, Expect, Write};

/// The collection; an entry's id is the partner's.
pub const SEEN: &str = "seen";

/// One of them: enough to skip it while it stays as it is, and to find it when a contact of its key appears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Hash of its bytes.
    pub raw_hash: String,
    /// Its tax number as a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_key: Option<String>,
    /// Its e-mail as a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_key: Option<String>,
    /// Why it has no link.
    pub reason: String,
    /// Its visible number in Metakocka; this and the next three are for display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The company's name, else the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// What people recognise a record by; nothing is decided by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its visible number in Metakocka.
    pub code: Option<String>,
    /// The company's name, else the person's.
    pub name: Option<String>,
    /// E-mail.
    pub email: Option<String>,
    /// Phone.
    pub phone: Option<String>,
}

impl Shown {
    /// Out of the mapped fields.
    #[must_use]
    pub fn of(code: Option<&str>, fields: &Fields) -> Self {
        let text = |field| fields.get(field).map(str::to_owned);
        Self {
            code: code.map(str::to_owned),
            name: text(Field::Company).or_else(|| text(Field::FullName)),
            email: text(Field::Email),
            phone: text(Field::Phone),
        }
    }
}

impl Seen {
    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// When it is damaged or of a newer build.
    pub fn read(entry: &Entry) -> Result<Self, Unreadable> {
        body(SEEN, entry)
    }

    /// A partner left alone for this reason.
    #[must_use]
    pub fn of(partner: &Partner, reason: &str) -> Self {
        let Shown { code, name, email, phone } = Shown::of(partner.code.as_deref(), &partner.fields);
        Self {
            raw_hash: partner.raw_hash.to_string(),
            tax_key: partner
                .fields
                .get(Field::TaxNumber)
                .and_then(|number| tax_key(number, partner.fields.get(Field::Country)))
                .map(String::from),
            email_key: partner
                .fields
                .get(Field::Email)
                .and_then(|value| email_keys(value).into_iter().next())
                .map(String::from),
            reason: reason.to_owned(),
            code,
            name,
            email,
            phone,
        }
    }

    /// A partner that could not even be read.
    #[must_use]
    pub fn unreadable(hash: RawHash) -> Self {
        Self {
            raw_hash: hash.to_string(),
            tax_key: None,
            email_key: None,
            reason: "unreadable".to_owned(),
            code: None,
            name: None,
            email: None,
            phone: None,
        }
    }

    /// The write that stores it, whatever is there: the bytes just seen are the newest anybody knows.
    #[must_use]
    pub fn write(&self, id: &MkId) -> Write {
        Write {
            collection: SEEN,
            id: id.0.clone(),
            expect: Expect::Any,
            change: Change::Put(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The write that forgets a partner, whatever is there: what is forgotten is only looked at once more.
    #[must_use]
    pub fn forget(id: &MkId) -> Write {
        Write { collection: SEEN, id: id.0.clone(), expect: Expect::Any, change: Change::Delete }
    }
}
