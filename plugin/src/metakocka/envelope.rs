//! The members around an answer's data: `opr_code` and its texts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::outcome::Refusal;

/// Top-level members of an answer, without its list.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    members: BTreeMap<String, Value>,
    has_list: bool,
}

impl Envelope {
    /// Keeps a member.
    pub fn insert(&mut self, key: String, value: Value) {
        self.members.insert(key, value);
    }

    /// Reads an answer that is an object. A byte order mark is noise, not content.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        serde_json::from_slice(body).ok().map(|members| Self { members, has_list: false })
    }

    /// Notes that the list was there, be it empty.
    pub const fn found_list(&mut self) {
        self.has_list = true;
    }

    /// Whether the list was there. An answer without list and without refusal says nothing about any record.
    #[must_use]
    pub const fn has_list(&self) -> bool {
        self.has_list
    }

    /// A member as text, also when it was sent as a number or a boolean.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        match self.members.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// The refusal this answer is, if it is one: `opr_code` present and not zero. Success of the partner calls
    /// carries no `opr_code` at all (`get_partner.md`, `add_partner.md`, `update_partner.md`). Text and number of an
    /// application error (6) come as `opr_desc_app` and `opr_code_app`.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let code = self.text("opr_code").filter(|code| code.trim() != "0")?;
        let text = ["opr_desc_app", "opr_desc", "error_desc"]
            .into_iter()
            .find_map(|key| self.text(key).filter(|text| !text.trim().is_empty()))
            .unwrap_or_else(|| "no text".to_owned());
        Some(Refusal::new(&code, self.text("opr_code_app").as_deref(), &text))
    }
}
