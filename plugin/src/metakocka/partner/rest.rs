//! What a partner holds beside the mapped fields: further persons and addresses, payment days, language, discounts, flags.
//!
//! It is kept word for word, for people to read in the CRM, and never goes back: no body that is sent is made from it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{OneOrMany, PartnerWire, Text};

/// Members that are mapped, or name the partner.
const MAPPED: [&str; 6] =
    ["mk_id", "count_code", "customer", "business_entity", "tax_id_number", "registration_number"];
const PERSONS: &str = "partner_contact_list";
const ADDRESSES: &str = "partner_delivery_address_list";
/// Mapped members of a contact person.
const PERSON: [&str; 7] = ["mk_id", "mk_address_id", "contact_address", "name", "email", "phone", "gsm"];
/// The same where a mobile number stands beside the mapped one.
const PERSON_OF_TWO_NUMBERS: [&str; 6] =
    ["mk_id", "mk_address_id", "contact_address", "name", "email", "phone"];
/// Mapped members of an address.
const ADDRESS: [&str; 8] =
    ["mk_id", "address_type", "street", "post_number", "city", "province", "provice", "country"];
/// More than this is not kept, in bytes: a row of the store stays a row.
const MAX_BYTES: usize = 64 * 1024;
/// Deeper values are not kept: storage would not take them.
const MAX_DEPTH: usize = 32;
/// Names what is not kept.
const LEFT_OUT: &str = "left_out";

/// A JSON object, word for word.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rest(Box<RawValue>);

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Rest {}

impl Rest {
    /// What is left of a partner when the mapped fields are taken; `None` when that is nothing. What is too large, too
    /// deep or no text is named and left out.
    #[must_use]
    pub fn of(bytes: &[u8], wire: &PartnerWire<'_>) -> Option<Self> {
        let mut text = String::with_capacity(bytes.len() / 2);
        text.push('{');
        let mut left_out = Vec::new();
        match serde_json::from_slice::<Members<'_>>(bytes) {
            Ok(Members(members)) => {
                for (name, value) in members {
                    let Some(value) = unmapped(&name.0, value.get(), wire) else { continue };
                    if text.len() + name.0.len() + value.len() > MAX_BYTES || !is_storable(&value) {
                        left_out.push(name.0.chars().take(100).collect::<String>());
                        continue;
                    }
                    put(&mut text, &name.0, &value);
                }
            }
            Err(_) => left_out.push("everything: some of it is not good text".to_owned()),
        }
        if !left_out.is_empty() {
            left_out.truncate(100);
            put(&mut text, LEFT_OUT, &serde_json::to_string(&left_out).unwrap_or_default());
        }
        text.push('}');
        if text == "{}" { None } else { RawValue::from_string(text).ok().map(Self) }
    }
}

fn put(text: &mut String, name: &str, value: &str) {
    if text.len() > 1 {
        text.push(',');
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        text.push('"');
        text.push_str(name);
        text.push('"');
    } else {
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
    }
    text.push(':');
    text.push_str(value);
}

/// What of a member is mapped nowhere; `None` when nothing is. Of a list of one row the mapped members are left out, because they
/// stand in the contact; a longer list is kept whole, for nobody could tell its rows apart.
fn unmapped<'v>(name: &str, value: &'v str, wire: &PartnerWire<'_>) -> Option<Cow<'v, str>> {
    let says_nothing = |value: &str| matches!(value, "\"\"" | "null" | "[]" | "{}");
    let left_of_row = |known: &[&str]| {
        let Ok(OneOrMany(rows)) = serde_json::from_str::<OneOrMany<Members<'_>>>(value) else {
            return Some(Cow::Borrowed(value));
        };
        let mut left = String::from("{");
        let members = rows.iter().flat_map(|row| &row.0);
        for (name, value) in members.filter(|(name, _)| !known.contains(&&*name.0)) {
            if !says_nothing(value.get()) {
                put(&mut left, &name.0, value.get());
            }
        }
        left.push('}');
        (left != "{}").then(|| Cow::Owned(format!("[{left}]")))
    };
    match name {
        PERSONS if wire.partner_contact_list.0.len() <= 1 => {
            // Of two numbers the landline is mapped.
            let both =
                |row: &super::wire::ContactRow<'_>| row.phone.value().is_some() && row.gsm.value().is_some();
            let two = wire.partner_contact_list.0.iter().any(both);
            left_of_row(if two { &PERSON_OF_TWO_NUMBERS } else { &PERSON })
        }
        ADDRESSES if wire.partner_delivery_address_list.0.len() <= 1 => left_of_row(&ADDRESS),
        _ if MAPPED.contains(&name) || says_nothing(value) => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// Whether storage takes a value: not too deep, and all its text is text.
fn is_storable(value: &str) -> bool {
    if !value.bytes().any(|byte| matches!(byte, b'{' | b'[' | b'\\')) {
        return true;
    }
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in value.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    // Half a character pair can only stand there escaped.
    deepest <= MAX_DEPTH && (!value.contains("\\u") || serde_json::from_str::<Value>(value).is_ok())
}

/// The members of an object, unread.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Partner;

    fn rest(members: &str) -> Option<String> {
        let bytes = format!(r#"{{"mk_id":"7","count_code":"1","customer":"Alfa"{members}}}"#);
        Partner::read(bytes.as_bytes()).unwrap().rest.map(|rest| rest.0.get().to_owned())
    }

    #[test]
    fn what_is_not_mapped_is_kept_word_for_word() {
        let two = r#"[{"mk_id":"71","name":"Ana"},{"mk_id":"72","name":"Bojan"}]"#;
        let number = r#"[{"mk_id":"71","phone":"01 1","gsm":"041 1"}]"#;
        let gln = r#"[{"address_type":"Račun","street":"C 1","gln":"383"}]"#;
        for (members, expected) in [
            (String::new(), None),
            (r#","buyer":"","note":null,"discounts":[]"#.to_owned(), None),
            (r#","partner_contact_list":{"mk_id":"71","name":"Ana","gsm":"041 1"}"#.to_owned(), None),
            (
                r#","partner_delivery_address_list":[{"address_type":"Račun","city":"Kranj"}]"#.to_owned(),
                None,
            ),
            (
                r#","payment_due_days": 30 ,"buyer":"true","taxpayer":"false""#.to_owned(),
                Some(r#"{"payment_due_days":30,"buyer":"true","taxpayer":"false"}"#.to_owned()),
            ),
            (
                format!(r#","partner_contact_list":{two}"#),
                Some(format!(r#"{{"partner_contact_list":{two}}}"#)),
            ),
            (
                format!(r#","partner_contact_list":{number}"#),
                Some(r#"{"partner_contact_list":[{"gsm":"041 1"}]}"#.to_owned()),
            ),
            (
                format!(r#","partner_delivery_address_list":{gln}"#),
                Some(r#"{"partner_delivery_address_list":[{"gln":"383"}]}"#.to_owned()),
            ),
        ] {
            assert_eq!(rest(&members), expected, "{members}");
        }
    }

    #[test]
    fn what_storage_would_not_take_is_named_and_left_out() {
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        let large = format!("\"{}\"", "a".repeat(70_000));
        for value in [&deep, &large, r#""half \ud83d""#] {
            let members = format!(r#","strange":{value},"language":"sl""#);
            assert_eq!(
                rest(&members).as_deref(),
                Some(r#"{"language":"sl","left_out":["strange"]}"#),
                "{:.40}",
                value
            );
        }
        assert_eq!(
            rest(r#","note":"\u010d \"[[[ {","language":"sl""#).as_deref(),
            Some(r#"{"note":"\u010d \"[[[ {","language":"sl"}"#)
        );
    }

    #[test]
    fn bytes_that_are_no_text_do_not_cost_the_partner() {
        let partner = Partner::read(b"{\"mk_id\":\"7\",\"customer\":\"Alfa\",\"note\":\"\xff\"}").unwrap();
        assert!(partner.rest.unwrap().0.get().contains("left_out"));
    }
}
