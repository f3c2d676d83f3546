//! Rows that plain SQL has spoiled: bytes where text belongs, JSON that is none, half characters.
//!
//! Such a row concerns itself only. It is handed over under its id, its body saying which column is to blame and why.

use std::borrow::Cow;

use serde_json::json;

use crate::json_text::has_half_character;
use crate::store::UNREADABLE;
use crate::store::catalog::Shape;
use crate::store::limits::LONGEST_ID;

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

/// Whether this id can name a row in a question: SQLite's JSON ends a text at U+0000, and no question holds a longer one.
pub(super) fn names_a_row(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && !id.contains([NO_TEXT, '\0'])
}

/// What a row whose id names nothing is called when it has to be spoken of.
pub(super) fn stand_in(id: &str) -> String {
    let visible: String = id.chars().map(|c| if c == NO_TEXT { '\u{fffd}' } else { c }).collect();
    let visible: String = visible.escape_debug().take(100).collect();
    format!("$id:{visible}")
}

/// Its body.
pub(super) fn without_id(revision: u64) -> Vec<u8> {
    let why = format!(
        "id: no text of 1 to {LONGEST_ID} bytes without U+0000, so nobody can ask for it; the row has revision {revision}: give \
         it another id or delete it"
    );
    json!({ UNREADABLE: why }).to_string().into_bytes()
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
