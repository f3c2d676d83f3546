//! A body taken apart: checked against its shape, merged, completed.
//!
//! Members stay the JSON text they came as; nothing is decoded that need not be.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json_text::has_half_character;

use super::catalog::{Body, Kind, Member, Shape};
use super::{Collection, StorageError};

/// The JSON text of a value.
pub(crate) type Json<'a> = Cow<'a, str>;

/// A body, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record<'a> {
    Free(Json<'a>),
    /// In the order of the shape's members; absent and null are `None`.
    Members(Vec<Option<Json<'a>>>),
}

impl<'a> Record<'a> {
    /// The whole body of a put.
    pub fn put(collection: Collection, body: &'a [u8]) -> Result<Self, StorageError> {
        let shape = collection.shape();
        is_text(shape, body)?;
        match shape.body {
            Body::Free => object(shape, body).map(Self::Free),
            Body::Members(members) => {
                let values = values(shape, members, body)?.into_iter();
                let values = values.map(|value| value.filter(|value| *value != "null").map(Cow::Borrowed));
                Self::complete(collection, members, values.collect())
            }
        }
    }

    /// The body `current` with the members of `patch` set; null clears.
    pub fn merge(collection: Collection, current: &'a [u8], patch: &'a [u8]) -> Result<Self, StorageError> {
        let shape = collection.shape();
        match shape.body {
            Body::Free => {
                let mut all = members_of(shape, current)?;
                for (name, value) in members_of(shape, patch)? {
                    if value.get() == "null" {
                        all.remove(&name);
                    } else {
                        all.insert(name, value);
                    }
                }
                let all = serde_json::to_string(&all).map_err(|_| not_an_object(shape))?;
                Ok(Self::Free(Cow::Owned(all)))
            }
            Body::Members(members) => {
                let current = values(shape, members, current)?;
                let patch = values(shape, members, patch)?;
                let merged = current.into_iter().zip(patch).map(|(old, new)| new.or(old));
                let merged = merged.map(|value| value.filter(|value| *value != "null").map(Cow::Borrowed));
                Self::complete(collection, members, merged.collect())
            }
        }
    }

    /// Whether `patch` can be merged into anything: checked before it is known into what.
    pub fn check_patch(collection: Collection, patch: &[u8]) -> Result<(), StorageError> {
        let shape = collection.shape();
        is_text(shape, patch)?;
        match shape.body {
            Body::Free => object(shape, patch).map(drop),
            Body::Members(members) => values(shape, members, patch).map(drop),
        }
    }

    /// Checks what must be there and fills what follows from the rest.
    fn complete(
        collection: Collection,
        members: &'static [Member],
        values: Vec<Option<Json<'a>>>,
    ) -> Result<Self, StorageError> {
        let mut record = Self::Members(values);
        match collection {
            Collection::Contacts => {
                record.default(members, "status", "\"active\"");
                if record.get(members, "full_name").is_none()
                    && let Some(name) = full_name(
                        record.get(members, "firstname").unwrap_or_default(),
                        record.get(members, "lastname").unwrap_or_default(),
                    )
                {
                    record.set(members, "full_name", Some(Cow::Owned(name)));
                }
                if record.get(members, "custom") == Some("{}") {
                    record.set(members, "custom", None);
                }
                for name in ["firstname", "lastname"] {
                    if record.get(members, name) == Some("\"\"") {
                        record.set(members, name, None);
                    }
                }
            }
            Collection::Links => {
                record.default(members, "sync_status", "\"synced\"");
                record.default(members, "state", "\"live\"");
            }
            _ => {}
        }
        let missing = members.iter().find(|member| {
            member.kind == Kind::Required && matches!(record.get(members, member.name), None | Some("\"\""))
        });
        match missing {
            Some(member) => Err(StorageError::Invalid(format!(
                "an entry of {} needs the member {}",
                collection.name(),
                member.name
            ))),
            None => Ok(record),
        }
    }

    /// The JSON text of a member.
    pub fn get(&self, members: &[Member], name: &str) -> Option<&str> {
        let Self::Members(values) = self else { return None };
        let at = members.iter().position(|member| member.name == name)?;
        values.get(at)?.as_deref()
    }

    /// Sets a member.
    pub fn set(&mut self, members: &[Member], name: &str, value: Option<Json<'a>>) {
        if let Self::Members(values) = self
            && let Some(at) = members.iter().position(|member| member.name == name)
            && let Some(slot) = values.get_mut(at)
        {
            *slot = value;
        }
    }

    fn default(&mut self, members: &[Member], name: &str, value: &'static str) {
        if self.get(members, name).is_none() {
            self.set(members, name, Some(Cow::Borrowed(value)));
        }
    }

    /// As one JSON object, holding only the members named (all when none is).
    pub fn to_body(&self, shape: &Shape, only: &[String]) -> Result<Vec<u8>, StorageError> {
        match self {
            Self::Free(body) if only.is_empty() => Ok(body.as_bytes().to_vec()),
            Self::Free(body) => {
                let mut all = members_of(shape, body.as_bytes())?;
                all.retain(|name, value| only.contains(name) && value.get() != "null");
                serde_json::to_vec(&all).map_err(|_| not_an_object(shape))
            }
            Self::Members(values) => {
                let wanted = shape.members().iter().zip(values).filter_map(|(member, value)| {
                    let wanted = only.is_empty() || only.iter().any(|name| name == member.name);
                    value.as_deref().filter(|_| wanted).map(|value| format!("\"{}\":{value}", member.name))
                });
                Ok(format!("{{{}}}", wanted.collect::<Vec<_>>().join(",")).into_bytes())
            }
        }
    }

    /// The same, owning its texts.
    pub fn into_owned(self) -> Record<'static> {
        match self {
            Self::Free(body) => Record::Free(Cow::Owned(body.into_owned())),
            Self::Members(values) => Record::Members(
                values.into_iter().map(|value| value.map(|value| Cow::Owned(value.into_owned()))).collect(),
            ),
        }
    }
}

/// First and last name as one, from and to JSON text: joining needs no decoding.
fn full_name(first: &str, last: &str) -> Option<String> {
    let name = format!("{} {}", inner(first).trim(), inner(last).trim());
    let name = name.trim();
    (!name.is_empty()).then(|| format!("\"{name}\""))
}

/// What stands between the quotes of a JSON text.
fn inner(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn not_an_object(shape: &Shape) -> StorageError {
    StorageError::Invalid(format!("the body of an entry of {} is not a JSON object", shape.name))
}

/// Whether every text of the body is one: what is stored otherwise nobody can read again.
fn is_text(shape: &Shape, body: &[u8]) -> Result<(), StorageError> {
    let problem = match std::str::from_utf8(body) {
        Err(_) => "is not UTF-8",
        Ok(json) if has_half_character(json) => "holds half a character (a lone surrogate such as \\ud800)",
        Ok(_) => return Ok(()),
    };
    Err(StorageError::Invalid(format!("the body of an entry of {} {problem}", shape.name)))
}

/// The body as JSON text, if it is an object.
fn object<'a>(shape: &Shape, body: &'a [u8]) -> Result<Json<'a>, StorageError> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|_| not_an_object(shape))?;
    if raw.get().starts_with('{') { Ok(Cow::Borrowed(raw.get())) } else { Err(not_an_object(shape)) }
}

/// All members of a body of any shape.
fn members_of(shape: &Shape, body: &[u8]) -> Result<BTreeMap<String, Box<RawValue>>, StorageError> {
    serde_json::from_slice(body).map_err(|_| not_an_object(shape))
}

/// The JSON texts of the members in their order; null is `Some("null")`.
fn values<'a>(
    shape: &Shape,
    members: &'static [Member],
    body: &'a [u8],
) -> Result<Vec<Option<&'a str>>, StorageError> {
    let reader = Reader { members, problem: Cell::new(None) };
    let mut json = serde_json::Deserializer::from_slice(body);
    let values = json.deserialize_map(&reader).and_then(|values| json.end().map(|()| values));
    values.map_err(|_| match reader.problem.take() {
        Some(Problem::Unknown(name)) => {
            StorageError::Invalid(format!("an entry of {} has no member {name:?}", shape.name))
        }
        Some(Problem::Kind(member)) => StorageError::Invalid(format!(
            "the member {} of an entry of {} holds something else than {}",
            member.name,
            shape.name,
            member.kind.wanted()
        )),
        None => not_an_object(shape),
    })
}

impl Kind {
    fn wanted(self) -> String {
        match self {
            Self::Text | Self::Required | Self::Blankable => "a text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Number => "a whole number".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Json | Self::Sealed => "JSON".to_owned(),
        }
    }

    /// Whether this JSON text may be the member's value; null always may.
    fn allows(self, json: &str) -> bool {
        if json == "null" {
            return true;
        }
        match self {
            Self::Text | Self::Required | Self::Blankable => json.starts_with('"'),
            Self::Word(words) => words.contains(&inner(json)),
            Self::Flag => matches!(json, "true" | "false"),
            Self::Number => json.parse::<i64>().is_ok(),
            Self::Object => json.starts_with('{'),
            Self::Json | Self::Sealed => true,
        }
    }
}

/// Why a body was refused. Kept beside the parser, whose own messages may quote values.
enum Problem {
    Unknown(String),
    Kind(&'static Member),
}

/// Reads an object into the order of the members.
struct Reader {
    members: &'static [Member],
    problem: Cell<Option<Problem>>,
}

impl<'de> Visitor<'de> for &Reader {
    type Value = Vec<Option<&'de str>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let refused = || serde::de::Error::custom("refused");
        let mut values = vec![None; self.members.len()];
        // Bodies mostly come in the order of the members: look there first.
        let mut expected = 0;
        while let Some(at) = map.next_key_seed(Name { reader: self, expected })? {
            let (Some(at), Some((slot, member))) =
                (at, at.and_then(|at| values.get_mut(at).zip(self.members.get(at))))
            else {
                map.next_value::<IgnoredAny>()?;
                return Err(refused());
            };
            let value: &RawValue = map.next_value()?;
            if !member.kind.allows(value.get()) {
                self.problem.set(Some(Problem::Kind(member)));
                return Err(refused());
            }
            *slot = Some(value.get());
            expected = at + 1;
        }
        Ok(values)
    }
}

/// Finds the position of a member by its name.
struct Name<'r> {
    reader: &'r Reader,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let members = self.reader.members;
        if members.get(self.expected).is_some_and(|member| member.name == name) {
            return Ok(Some(self.expected));
        }
        let at = members.iter().position(|member| member.name == name);
        if at.is_none() {
            self.reader.problem.set(Some(Problem::Unknown(name.to_owned())));
        }
        Ok(at)
    }
}
