//! A vendor record as it travels: keys in the vendor's order, values that are text, rows or a nested record.
//!
//! The order is kept because an unchanged partner must have the same bytes in every answer.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// A record of the vendor: an ordered list of keys, empty ones absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Object(Vec<(String, Node)>);

/// One value of a record. The vendor writes numbers and booleans as text too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A plain value.
    Text(String),
    /// A list of rows.
    Rows(Vec<Object>),
    /// A nested record.
    Nested(Object),
    /// A list that does not hold records only.
    List(Vec<Node>),
}

impl Node {
    /// Every value directly inside of this one.
    pub(crate) fn each_inside(&mut self, visit: &mut impl FnMut(&mut Node)) {
        match self {
            Node::Text(_) => {}
            Node::Nested(Object(entries)) => entries.iter_mut().for_each(|(_, node)| visit(node)),
            Node::List(nodes) => nodes.iter_mut().for_each(visit),
            Node::Rows(rows) => {
                for row in rows {
                    let mut node = Node::Nested(std::mem::take(row));
                    visit(&mut node);
                    if let Node::Nested(object) = node {
                        *row = object;
                    }
                }
            }
        }
    }
}

impl Object {
    /// The plain value under `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The rows under `key`; none when the key is absent.
    pub(crate) fn rows(&self, key: &str) -> &[Object] {
        match self.get(key) {
            Some(Node::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// The rows under `key`, to change them in place.
    pub(crate) fn rows_mut(&mut self, key: &str) -> Option<&mut Vec<Object>> {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, Node::Rows(rows))) => Some(rows),
            _ => None,
        }
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The value under `key`, to change it in place.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Whether a plain value under `key` is this text, here or in a record inside.
    pub(crate) fn says(&self, key: &str, text: &str) -> bool {
        self.0.iter().any(|(name, node)| match node {
            Node::Text(found) => name == key && found == text,
            Node::Rows(rows) => rows.iter().any(|row| row.says(key, text)),
            Node::Nested(object) => object.says(key, text),
            Node::List(_) => false,
        })
    }

    /// Whether there is a value under `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value at the place `order` gives its key; keys `order` does not know stand between the known
    /// plain values and the lists, which come last. An empty text or list removes the key.
    pub(crate) fn set(&mut self, key: &str, node: Node, order: &[&str]) {
        let empty = match &node {
            Node::Text(text) => text.is_empty(),
            Node::Rows(rows) => rows.is_empty(),
            Node::Nested(Object(entries)) => entries.is_empty(),
            Node::List(nodes) => nodes.is_empty(),
        };
        if empty {
            return self.remove(key);
        }
        if let Some((_, old)) = self.0.iter_mut().find(|(name, _)| name == key) {
            *old = node;
            return;
        }
        let rank = rank(key, order);
        let at = self.0.iter().position(|(name, _)| self::rank(name, order) > rank).unwrap_or(self.0.len());
        self.0.insert(at, (key.to_owned(), node));
    }

    /// Puts a plain value; see [`Object::set`].
    pub(crate) fn set_text(&mut self, key: &str, text: impl Into<String>, order: &[&str]) {
        self.set(key, Node::Text(text.into()), order);
    }

    /// Takes the key away.
    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// The record's JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Text keys and text values only: there is nothing in here that serde_json could refuse.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn rank(key: &str, order: &[&str]) -> usize {
    let list = key.ends_with("_list");
    match order.iter().position(|known| *known == key) {
        Some(at) if list => 200 + at,
        Some(at) => at,
        None if list => 300,
        None => 100,
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, node) in &self.0 {
            map.serialize_entry(key, node)?;
        }
        map.end()
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Text(text) => serializer.serialize_str(text),
            Node::Rows(rows) => rows.serialize(serializer),
            Node::Nested(object) => object.serialize(serializer),
            Node::List(nodes) => nodes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            Node::Nested(object) => Ok(object),
            _ => Err(de::Error::custom("expected a JSON object")),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plain value, a list of records or a record")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Text(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        let mut rows = Vec::with_capacity(nodes.len());
        if nodes.iter().any(|node| !matches!(node, Node::Nested(_))) {
            return Ok(Node::List(nodes));
        }
        for node in nodes {
            if let Node::Nested(row) = node {
                rows.push(row);
            }
        }
        Ok(Node::Rows(rows))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Nested(Object(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_writing_keeps_every_byte() {
        let json = r#"{"mk_id":"1","zulu":{"b":"2","a":"1"},"partner_contact_list":[{"name":"Č"}]}"#;
        let object: Object = serde_json::from_str(json).unwrap();
        assert_eq!(String::from_utf8(object.to_json()).unwrap(), json);
    }

    #[test]
    fn a_new_key_takes_its_place_in_the_order() {
        let order = ["mk_id", "customer", "a_list"];
        let mut object = Object::default();
        object.set("a_list", Node::Rows(vec![Object::default()]), &order);
        object.set_text("unknown", "x", &order);
        object.set_text("customer", "Alfa", &order);
        object.set_text("mk_id", "1", &order);
        assert_eq!(
            String::from_utf8(object.to_json()).unwrap(),
            r#"{"mk_id":"1","customer":"Alfa","unknown":"x","a_list":[{}]}"#
        );
    }

    #[test]
    fn an_empty_value_is_an_absent_key() {
        let mut object = Object::default();
        object.set_text("customer", "Alfa", &[]);
        object.set_text("customer", "", &[]);
        assert_eq!(object, Object::default());
    }
}
