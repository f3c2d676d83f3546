//! What a request may put into a record: fields, their kinds and lengths.

use super::{ADDRESS_ORDER, BILLING};
use crate::country;
use crate::object::Object;
use crate::refusal::Refusal;
use crate::switches::{Switch, Switches};
use serde_json::{Map, Value};

const ADDRESS_TYPES: [&str; 3] = [BILLING, "Dobava", "Poslovna enota"];
const ADDRESS_TYPES_TEXT: &str = "Račun,Dobava,Poslovna enota";

/// What a request may put into a field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    Text(usize),
    Country(usize),
    AddressType,
}

/// A field of a request: its name there, its name in the record, what it takes.
pub(super) type Field = (&'static str, &'static str, Kind);

pub(super) const PARTNER_FIELDS: [Field; 8] = [
    ("business_entity", "business_entity", Kind::Bool),
    ("taxpayer", "taxpayer", Kind::Bool),
    ("foreign_county", "foreign_county", Kind::Bool),
    ("buyer", "buyer", Kind::Bool),
    ("supplier", "supplier", Kind::Bool),
    ("tax_id_number", "tax_id_number", Kind::Text(50)),
    ("registration_number", "registration_number", Kind::Text(50)),
    ("customer", "customer", Kind::Text(100)),
];

/// The billing address, which a request writes at its top and with `place` where the record says `city`.
pub(super) const TOP_ADDRESS_FIELDS: [Field; 5] = [
    ("street", "street", Kind::Text(150)),
    ("post_number", "post_number", Kind::Text(20)),
    ("place", "city", Kind::Text(100)),
    ("province", "province", Kind::Text(50)),
    ("country", "country", Kind::Country(50)),
];

/// Without these, the page says, a partner cannot be declared.
pub(super) const REQUIRED_ADDRESS: [&str; 4] = ["street", "post_number", "place", "country"];

pub(super) const ADDRESS_FIELDS: [Field; 6] = [
    ("address_type", "address_type", Kind::AddressType),
    ("street", "street", Kind::Text(150)),
    ("post_number", "post_number", Kind::Text(20)),
    ("city", "city", Kind::Text(100)),
    ("province", "province", Kind::Text(50)),
    ("country", "country", Kind::Country(50)),
];

/// The vendor's table calls the name `contact`, its samples `name`; both are taken.
pub(super) const CONTACT_FIELDS: [Field; 6] = [
    ("contact", "name", Kind::Text(255)),
    ("name", "name", Kind::Text(255)),
    ("email", "email", Kind::Text(255)),
    ("gsm", "gsm", Kind::Text(255)),
    ("phone", "phone", Kind::Text(255)),
    ("fax", "fax", Kind::Text(255)),
];

/// Some addresses answer `provice` instead of `province`; a change must not give them both.
pub(super) fn set_row_text(row: &mut Object, key: &str, text: String) {
    let key = if key == "province" && row.has("provice") { "provice" } else { key };
    row.set_text(key, text, &ADDRESS_ORDER);
}

/// Puts the sent fields into a record; absent, null and empty ones leave it as it is.
pub(super) fn fill(
    into: &mut Object,
    sent: &Map<String, Value>,
    fields: &[Field],
    order: &[&str],
    switches: &Switches,
) -> Result<(), Refusal> {
    change(into, sent, fields, order, switches, false)
}

/// As [`fill`], or with `cleared` an empty text takes its key away.
pub(super) fn change(
    into: &mut Object,
    sent: &Map<String, Value>,
    fields: &[Field],
    order: &[&str],
    switches: &Switches,
    cleared: bool,
) -> Result<(), Refusal> {
    let cut = switches.turned(Switch::OverLong);
    for (name, key, kind) in fields {
        let value = sent.get(*name);
        let text = match kind {
            Kind::Bool => boolean(name, value)?,
            Kind::Text(max) => limited(name, value, *max, cut)?,
            Kind::Country(max) => {
                limited(name, value, *max, cut)?.map(|name| country::localized(&name).to_owned())
            }
            Kind::AddressType => plain(name, value)?.map(address_type).transpose()?,
        };
        let empty = cleared && value.and_then(Value::as_str) == Some("");
        let Some(text) = text.or(empty.then(String::new)) else { continue };
        let key = if *key == "province" && into.has("provice") { "provice" } else { key };
        into.set_text(key, text, order);
    }
    Ok(())
}

fn address_type(text: String) -> Result<String, Refusal> {
    if ADDRESS_TYPES.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(Refusal::InvalidChoice { field: "address_type".into(), value: text, valid: ADDRESS_TYPES_TEXT })
    }
}

pub(super) fn boolean(name: &str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    match plain(name, value)? {
        Some(text) if !matches!(text.as_str(), "true" | "false") => {
            Err(Refusal::InvalidChoice { field: name.into(), value: text, valid: "true,false" })
        }
        other => Ok(other),
    }
}

fn limited(name: &str, value: Option<&Value>, max: usize, cut: bool) -> Result<Option<String>, Refusal> {
    match plain(name, value)? {
        Some(text) if cut => Ok(Some(text.chars().take(max).collect())),
        Some(text) if text.chars().count() > max => Err(Refusal::TooLong { field: name.into(), max }),
        other => Ok(other),
    }
}

/// A plain value as text; absent, null and empty are the same to the vendor.
pub(crate) fn plain(name: &str, value: Option<&Value>) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Bool(_) | Value::Number(_)) => Ok(value.map(Value::to_string)),
        Some(Value::Array(_) | Value::Object(_)) => {
            Err(Refusal::InvalidChoice { field: name.into(), value: "object".into(), valid: "text" })
        }
    }
}

pub(super) fn nested<'a>(
    sent: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match sent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(row)) => Ok(Some(row)),
        Some(_) => {
            Err(Refusal::InvalidChoice { field: name.into(), value: "list".into(), valid: "one object" })
        }
    }
}

/// The rows of a list; one row may stand without its list.
pub(super) fn row_list<'a>(
    sent: &'a Map<String, Value>,
    name: &str,
) -> Result<Vec<&'a Map<String, Value>>, Refusal> {
    let wrong =
        || Refusal::InvalidChoice { field: name.into(), value: "text".into(), valid: "list of objects" };
    match sent.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(row)) => Ok(vec![row]),
        Some(Value::Array(rows)) => {
            rows.iter().map(|row| row.as_object().ok_or_else(wrong)).collect::<Result<_, _>>()
        }
        Some(_) => Err(wrong()),
    }
}
