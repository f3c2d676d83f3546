//! What faults make of requests and answers: members that go missing, rows nobody can read, a mark in front.

use crate::object::{Node, Object};
use bytes::Bytes;

/// How a partner in a list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It has no `mk_id`.
    NoMkId,
    /// A text stands in its place.
    Text,
    /// `null` stands in its place.
    Null,
    /// Its name is an object.
    ObjectName,
    /// Its name ends in half a surrogate pair, which no text can hold.
    HalfSurrogate,
    /// Its name ends in a byte that is not UTF-8.
    BadUtf8,
}

impl Unreadable {
    /// The form of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "no-mk-id" => Self::NoMkId,
            "text" => Self::Text,
            "null" => Self::Null,
            "object-name" => Self::ObjectName,
            "half-surrogate" => Self::HalfSurrogate,
            "bad-utf-8" => Self::BadUtf8,
            _ => return None,
        })
    }

    /// The row in this form.
    pub(crate) fn row(self, row: &[u8]) -> Bytes {
        let Ok(mut partner) = serde_json::from_slice::<Object>(row) else {
            return Bytes::copy_from_slice(row);
        };
        let name = partner.text("customer").unwrap_or_default().to_owned();
        // A letter no name holds, to be replaced in the bytes by what JSON or UTF-8 forbid.
        const MARK: char = '\u{E000}';
        let end: &[u8] = match self {
            Self::Text => return Bytes::from_static(b"\"partner\""),
            Self::Null => return Bytes::from_static(b"null"),
            Self::NoMkId => {
                partner.remove("mk_id");
                return partner.to_json().into();
            }
            Self::ObjectName => {
                let mut nested = Object::default();
                nested.set_text("name", name, &[]);
                partner.set("customer", Node::Nested(nested), &[]);
                return partner.to_json().into();
            }
            Self::HalfSurrogate => b"\\ud83d",
            Self::BadUtf8 => b"\xff",
        };
        partner.set_text("customer", format!("{name}{MARK}"), &[]);
        let json = partner.to_json();
        let mark = MARK.to_string();
        let Some(at) = memchr::memmem::find(&json, mark.as_bytes()) else { return json.into() };
        let (before, after) = json.split_at(at);
        [before, end, after.get(mark.len()..).unwrap_or_default()].concat().into()
    }
}

/// A JSON text without these members; one that is not JSON stays as it is.
pub(crate) fn without_members(json: &Bytes, members: &[String]) -> Bytes {
    let Ok(mut node) = serde_json::from_slice::<Node>(json) else { return json.clone() };
    for member in members {
        if member.contains('.') {
            drop_at(&mut node, &member.split('.').collect::<Vec<_>>());
        } else {
            drop_anywhere(&mut node, member);
        }
    }
    serde_json::to_vec(&node).map_or_else(|_| json.clone(), Bytes::from)
}

/// Takes the member away wherever one of this name stands.
fn drop_anywhere(node: &mut Node, member: &str) {
    if let Node::Nested(object) = node {
        object.remove(member);
    }
    node.each_inside(&mut |inside| drop_anywhere(inside, member));
}

/// Takes the member at the end of a path away; a list on the way means each of its elements.
fn drop_at(node: &mut Node, path: &[&str]) {
    match (node, path) {
        (Node::Nested(object), [last]) => object.remove(last),
        (Node::Nested(object), [first, rest @ ..]) => {
            if let Some(inside) = object.get_mut(first) {
                drop_at(inside, rest);
            }
        }
        (node, path) => node.each_inside(&mut |inside| drop_at(inside, path)),
    }
}

/// A create's answer that names another id.
pub(crate) fn with_mk_id(json: &Bytes, mk_id: &str) -> Bytes {
    let Ok(mut object) = serde_json::from_slice::<Object>(json) else { return json.clone() };
    if !object.has("mk_id") {
        return json.clone();
    }
    object.set_text("mk_id", mk_id, &["mk_id"]);
    object.to_json().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_go_by_name_anywhere_and_by_path_from_the_top() {
        let json = r#"{"name":"a","partner":{"street":"b","name":"c","rows":[{"name":"d","street":"e"}]},"list":["x"]}"#;
        for (members, left) in [
            (vec!["name"], r#"{"partner":{"street":"b","rows":[{"street":"e"}]},"list":["x"]}"#),
            (
                vec!["partner.name"],
                r#"{"name":"a","partner":{"street":"b","rows":[{"name":"d","street":"e"}]},"list":["x"]}"#,
            ),
            (
                vec!["partner.rows.street", "list"],
                r#"{"name":"a","partner":{"street":"b","name":"c","rows":[{"name":"d"}]}}"#,
            ),
            (vec!["nowhere", "name.x"], json),
        ] {
            let members: Vec<String> = members.into_iter().map(str::to_owned).collect();
            let found = without_members(&Bytes::from_static(json.as_bytes()), &members);
            assert_eq!(String::from_utf8(found.to_vec()).unwrap(), left, "{members:?}");
        }
        assert_eq!(without_members(&Bytes::from_static(b"<html>"), &["a".to_owned()]), "<html>");
    }

    #[test]
    fn each_form_is_unreadable_in_its_own_way() {
        let row = r#"{"mk_id":"7","customer":"Čeb"}"#.as_bytes();
        for (name, bytes) in [
            ("no-mk-id", r#"{"customer":"Čeb"}"#.as_bytes().to_vec()),
            ("text", b"\"partner\"".to_vec()),
            ("null", b"null".to_vec()),
            ("object-name", r#"{"mk_id":"7","customer":{"name":"Čeb"}}"#.as_bytes().to_vec()),
            ("half-surrogate", r#"{"mk_id":"7","customer":"Čeb\ud83d"}"#.as_bytes().to_vec()),
            ("bad-utf-8", [r#"{"mk_id":"7","customer":"Čeb"#.as_bytes(), b"\xff\"}"].concat()),
        ] {
            assert_eq!(Unreadable::named(name).unwrap().row(row).to_vec(), bytes, "{name}");
        }
    }
}
