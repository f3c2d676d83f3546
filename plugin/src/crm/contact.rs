//! A contact of the CRM.

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ledger::Base;
use crate::model::{CrmId, Field, Fields, Time, parse_time};
use crate::ports::Entry;

/// The collection contacts live in.
pub const COLLECTION: &str = "contacts";

/// First and last name, as the CRM keeps them beside the full name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// First name.
    pub first: String,
    /// Last name.
    pub last: String,
}

impl Names {
    /// Splits a full name for a new contact: the first word, then the rest.
    #[must_use]
    pub fn split(full: &str) -> Self {
        let (first, last) = full.trim().split_once(char::is_whitespace).unwrap_or((full.trim(), ""));
        Self { first: first.to_owned(), last: last.trim().to_owned() }
    }

    /// Both in one.
    #[must_use]
    pub fn joined(&self) -> Option<String> {
        let text = format!("{} {}", self.first.trim(), self.last.trim());
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// A contact, as far as the synchronisation looks at it. Everything else of the record stays where it is, because
/// writes name only the members they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its id.
    pub id: CrmId,
    /// Its revision when it was read.
    pub revision: u64,
    /// When the CRM last wrote it.
    pub modified: Time,
    /// Not deactivated.
    pub active: bool,
    /// First and last name.
    pub names: Names,
    /// The mapped fields, as stored.
    stored: Fields,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    firstname: Option<String>,
    #[serde(default)]
    lastname: Option<String>,
    #[serde(default)]
    full_name: Option<String>,
    #[serde(default)]
    company: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    #[serde(default)]
    street: Option<String>,
    #[serde(default)]
    postal_code: Option<String>,
    #[serde(default)]
    city: Option<String>,
    #[serde(default)]
    province: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    tax_number: Option<String>,
    #[serde(default)]
    registration_number: Option<String>,
    #[serde(default)]
    status: Option<String>,
    /// Why the host cannot read the row (`wit/storage.wit`).
    #[serde(default, rename = "$unreadable")]
    unreadable: Option<String>,
}

/// Says what keeps a body from being a contact, by member and kind, never by value.
fn fault(body: &[u8]) -> String {
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return "it is not a JSON object of good text".to_owned();
    };
    let kind = |value: &Value| match value {
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "a list",
        _ => "an object",
    };
    members
        .iter()
        .filter(|(name, _)| {
            Field::named(name).is_some() || ["firstname", "lastname", "status"].contains(&name.as_str())
        })
        .find(|(_, value)| !matches!(value, Value::String(_) | Value::Null))
        .map_or_else(
            || "its members are not those of a contact".to_owned(),
            |(name, value)| format!("{name} is {}, not a text", kind(value)),
        )
}

impl Contact {
    /// Reads an entry of the collection; `None` for a tombstone.
    ///
    /// # Errors
    ///
    /// A sentence when the entry is not a contact.
    pub fn read(entry: &Entry) -> Result<Option<Self>, String> {
        if entry.deleted {
            return Ok(None);
        }
        let unreadable = |fault: &str| {
            format!(
                "this contact cannot be read from the CRM: {fault}. Mend it there; it and its partner stay as they are"
            )
        };
        let row: Row = serde_json::from_slice(&entry.body).map_err(|_| unreadable(&fault(&entry.body)))?;
        if let Some(reason) = &row.unreadable {
            return Err(unreadable(reason));
        }
        let mut stored = Fields::default();
        for (field, value) in [
            (Field::Company, &row.company),
            (Field::FullName, &row.full_name),
            (Field::Email, &row.email),
            (Field::Phone, &row.phone),
            (Field::Street, &row.street),
            (Field::PostalCode, &row.postal_code),
            (Field::City, &row.city),
            (Field::Province, &row.province),
            (Field::Country, &row.country),
            (Field::TaxNumber, &row.tax_number),
            (Field::RegistrationNumber, &row.registration_number),
        ] {
            stored.set(field, value.as_deref());
        }
        Ok(Some(Self {
            id: CrmId(entry.id.clone()),
            revision: entry.revision,
            modified: parse_time(&entry.modified_at).unwrap_or(Time(0)),
            active: row.status.as_deref() != Some("inactive"),
            names: Names { first: row.firstname.unwrap_or_default(), last: row.lastname.unwrap_or_default() },
            stored,
        }))
    }

    /// The mapped fields as the CRM means them. Three columns hold a name: while none of them was edited since `base`, the
    /// name is the one agreed on; when only first or last name were edited, or the full name is empty, it is first
    /// and last name together; else it is the full name.
    #[must_use]
    pub fn fields(&self, base: Option<&Base>) -> Fields {
        let mut fields = self.stored.clone();
        let stored = self.stored.get(Field::FullName);
        let same_full = base.is_some_and(|base| base.full_name.as_deref() == stored);
        match base {
            Some(base) if same_full && base.names == self.names => {
                fields.set(Field::FullName, base.crm(Field::FullName));
            }
            _ if stored.is_none() || same_full => {
                if let Some(joined) = self.names.joined() {
                    fields.set(Field::FullName, Some(&joined));
                }
            }
            _ => {}
        }
        fields
    }

    /// The full name column as it is stored.
    #[must_use]
    pub fn stored_full_name(&self) -> Option<&str> {
        self.stored.get(Field::FullName)
    }
}

/// A contact made from a partner.
pub struct NewContact<'a> {
    /// The partner's fields.
    pub fields: &'a Fields,
    /// First and last name it is given.
    pub names: &'a Names,
}

impl Serialize for NewContact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.fields.present() {
            map.serialize_entry(field.name(), value)?;
        }
        map.serialize_entry("firstname", &self.names.first)?;
        map.serialize_entry("lastname", &self.names.last)?;
        map.serialize_entry("status", "active")?;
        map.end()
    }
}

/// The members to merge into a contact so that its fields become these; `None` clears a field.
#[must_use]
pub fn update(changes: &[(Field, Option<String>)], names: Option<&Names>, revive: bool) -> Vec<u8> {
    let mut body: Map<String, Value> =
        changes.iter().map(|(field, value)| (field.name().to_owned(), json!(value))).collect();
    if let Some(names) = names {
        body.insert("firstname".to_owned(), json!(names.first));
        body.insert("lastname".to_owned(), json!(names.last));
    }
    if revive {
        body.insert("status".to_owned(), json!("active"));
    }
    Value::Object(body).to_string().into_bytes()
}

/// The members that say a contact's partner is gone.
#[must_use]
pub fn deactivation() -> Vec<u8> {
    br#"{"status":"inactive"}"#.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(body: &str) -> Contact {
        let entry = Entry {
            id: "c1".to_owned(),
            revision: 1,
            modified_at: "2026-01-02T03:04:05.000Z".to_owned(),
            deleted: false,
            body: body.as_bytes().to_vec(),
        };
        Contact::read(&entry).unwrap().unwrap()
    }

    #[test]
    fn the_name_a_contact_means() {
        let mut base = Base::agreed(
            [(Field::FullName, "NOVAK ANA".to_owned())].into_iter().collect(),
            Names { first: "Ana".to_owned(), last: "Novak".to_owned() },
        );
        let rows = [
            (r#"{"firstname":"Ana","lastname":"Novak"}"#, false, Some("Ana Novak")),
            (r#"{"full_name":"NOVAK ANA","firstname":"Ana","lastname":"Novak"}"#, false, Some("NOVAK ANA")),
            (r#"{"full_name":"NOVAK ANA","firstname":"Ana","lastname":"Novak"}"#, true, Some("NOVAK ANA")),
            (r#"{"full_name":"NOVAK ANA","firstname":"Ana","lastname":"Kos"}"#, true, Some("Ana Kos")),
            (r#"{"full_name":"Ana Zupan","firstname":"Ana","lastname":"Kos"}"#, true, Some("Ana Zupan")),
            (r#"{"firstname":"Ana","lastname":"Novak"}"#, true, Some("Ana Novak")),
            (r"{}", true, None),
            (r"{}", false, None),
        ];
        for (body, linked, expected) in rows {
            let fields = contact(body).fields(linked.then_some(&base));
            assert_eq!(fields.get(Field::FullName), expected, "{body} {linked}");
        }
        // Once "Ana Kos" is agreed on, the full name column that still says otherwise is no edit.
        base.agree(Field::FullName, Some("Ana Kos"), Some("Ana Kos"));
        base.names.last = "Kos".to_owned();
        let quiet =
            contact(r#"{"full_name":"NOVAK ANA","firstname":"Ana","lastname":"Kos"}"#).fields(Some(&base));
        assert_eq!(quiet.get(Field::FullName), Some("Ana Kos"));
    }
}
