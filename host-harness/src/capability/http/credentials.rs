//! Puts the credentials where Metakocka wants them: inside the JSON body, as top-level members.
//!
//! The guest's bytes are kept as they are, in their order; the members are spliced in behind the opening brace.

use std::borrow::Cow;
use std::fmt;

use serde_json::de::Deserializer;

/// Members only the host may set.
const RESERVED: [&str; 2] = ["secret_key", "company_id"];
/// The largest body a guest may send, exclusive.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// Why a body was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefusal {
    /// As large as the limit, or larger.
    #[error("the request body has {0} bytes; less than {LARGEST_BODY} are allowed: send it in parts")]
    TooLarge(usize),
    /// Anything but one JSON object.
    #[error("the request body is not a JSON object: {0}")]
    NotAnObject(String),
    /// It holds what only the host may set.
    #[error("the request body holds {0:?}, which only the host may set: remove it")]
    Reserved(String),
}

/// The members as text, ready to be put behind an opening brace: `"secret_key":"…","company_id":"…"`.
pub fn members(company_id: &str, secret: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!("\"secret_key\":{},\"company_id\":{}", quoted(secret), quoted(company_id))
}

/// The body with the members in it.
///
/// # Errors
/// The body breaks a rule; nothing of the members is in the error.
pub fn splice(body: &[u8], members: &str) -> Result<Vec<u8>, BodyRefusal> {
    if body.len() >= LARGEST_BODY {
        return Err(BodyRefusal::TooLarge(body.len()));
    }
    // As a whole, because a parser that skips values does not look inside their strings.
    let text = std::str::from_utf8(body).map_err(|error| BodyRefusal::NotAnObject(error.to_string()))?;
    let is_empty = inspect(text)?;
    let Some((before, after)) = text.split_once('{') else {
        return Err(BodyRefusal::NotAnObject("it does not begin with a brace".into()));
    };
    let comma = if is_empty { "" } else { "," };
    let mut spliced = Vec::with_capacity(text.len() + members.len() + 2);
    for part in [before, "{", members, comma, after] {
        spliced.extend_from_slice(part.as_bytes());
    }
    Ok(spliced)
}

/// Whether the object has no members, once it is sure that it is one and holds nothing reserved.
fn inspect(text: &str) -> Result<bool, BodyRefusal> {
    let mut parser = Deserializer::from_str(text);
    let mut reserved = None;
    let object = serde::de::Deserializer::deserialize_map(&mut parser, TopLevel { reserved: &mut reserved })
        .and_then(|is_empty| parser.end().map(|()| is_empty));
    match (reserved, object) {
        (Some(name), _) => Err(BodyRefusal::Reserved(name)),
        (None, Ok(is_empty)) => Ok(is_empty),
        (None, Err(error)) => Err(BodyRefusal::NotAnObject(error.to_string())),
    }
}

/// Looks at the names of the top level only. The parser unescapes them, so another spelling is no other name.
struct TopLevel<'a> {
    reserved: &'a mut Option<String>,
}

impl<'de> serde::de::Visitor<'de> for TopLevel<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut is_empty = true;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            is_empty = false;
            if RESERVED.contains(&name.as_ref()) {
                *self.reserved = Some(name.into_owned());
            }
            map.next_value::<serde::de::IgnoredAny>()?;
        }
        Ok(is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spliced(body: &str) -> Result<String, BodyRefusal> {
        splice(body.as_bytes(), &members("16", "s\"x")).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn members_come_first_and_the_rest_keeps_its_bytes() {
        assert_eq!(spliced("{}").unwrap(), r#"{"secret_key":"s\"x","company_id":"16"}"#);
        assert_eq!(
            spliced(" { \"b\" : 1.50, \"a\":[ ] } ").unwrap(),
            r#" {"secret_key":"s\"x","company_id":"16", "b" : 1.50, "a":[ ] } "#
        );
        assert_eq!(spliced("{ \n }").unwrap(), "{\"secret_key\":\"s\\\"x\",\"company_id\":\"16\" \n }");
    }

    #[test]
    fn reserved_members_are_refused_in_every_spelling() {
        for body in [
            r#"{"secret_key":"x"}"#,
            r#"{"a":1,"company_id":2}"#,
            r#"{"secret\u005fkey":"x"}"#,
            r#"{"\u0073ecret_key":"x"}"#,
            r#"{"a":{},"c\u006Fmpany_id":null}"#,
        ] {
            assert!(matches!(spliced(body), Err(BodyRefusal::Reserved(_))), "{body}");
        }
        // Below the top level the words are ordinary: a partner may have a field of that name.
        assert!(spliced(r#"{"a":{"secret_key":1}}"#).is_ok());
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for body in
            ["", "[]", "1", "\"{\"", "{", "{}{}", "{} x", "{\"a\"}", "{\"a\":1,}", "null", "\u{feff}{}"]
        {
            assert!(matches!(spliced(body), Err(BodyRefusal::NotAnObject(_))), "{body:?}");
        }
        assert!(matches!(splice(b"{\"a\":\"\xff\"}", ""), Err(BodyRefusal::NotAnObject(_))));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(LARGEST_BODY));
        assert!(matches!(spliced(&large), Err(BodyRefusal::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn what_arrives_is_what_was_meant(keys in proptest::collection::btree_map("[a-z]{1,6}", any::<i32>(), 0..8)) {
            let body = serde_json::to_string(&keys).unwrap();
            let sent: serde_json::Value = serde_json::from_str(&spliced(&body).unwrap()).unwrap();
            let mut expected = serde_json::to_value(&keys).unwrap();
            expected["secret_key"] = "s\"x".into();
            expected["company_id"] = "16".into();
            prop_assert_eq!(sent, expected);
        }
    }
}
