//! Rows that plain SQL has spoiled: bytes where text belongs, JSON that is none, half characters.
//!
//! Such a row concerns itself only. It is handed over under its id, its body saying which column is to blame and why.

use std::borrow::Cow;

use serde_json::json;

use crate::store::UNREADABLE;
use crate::store::catalog::Shape;
use crate::store::record::has_half_character;

/// Stands for bytes that are no text; a noncharacter, which no text holds.
const NO_TEXT: char = '\u{10ffff}';

/// The bytes as text, what is none of it marked.
pub(super) fn marked(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut marked = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        marked.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            marked.push(NO_TEXT);
        }
    }
    Cow::Owned(marked)
}

/// Whether this id can name a row in a question: SQLite's JSON ends a text at U+0000.
pub(super) fn names_a_row(id: &str) -> bool {
    !id.contains([NO_TEXT, '\0'])
}

/// What to hand over instead of this body, when it is none.
pub(super) fn instead(shape: &Shape, body: &str) -> Option<Vec<u8>> {
    let why = |text: &str| {
        if text.contains(NO_TEXT) {
            Some("bytes that are no text")
        } else {
            has_half_character(text).then_some("half a character")
        }
    };
    let reason = why(body)?;
    let members: Result<std::collections::BTreeMap<Cow<'_, str>, &serde_json::value::RawValue>, _> =
        serde_json::from_str(body);
    let column = members.ok().and_then(|members| {
        let (name, value) = members.iter().find_map(|(name, value)| Some((name, why(value.get())?)))?;
        let column = shape.member(name).map_or("body", |member| member.column);
        Some(format!("{column}: {value}"))
    });
    Some(json!({ UNREADABLE: column.unwrap_or_else(|| format!("body: {reason}")) }).to_string().into_bytes())
}
