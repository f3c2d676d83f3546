//! A rule as it is posted, read and checked.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// What every rule may say, whatever its fault: whom it strikes, and when.
pub(super) const RULE_MEMBERS: [&str; 11] = [
    "match",
    "fault",
    "probability",
    "nth",
    "every",
    "times",
    "limit",
    "after",
    "counts",
    "body_contains",
    "seed",
];

/// A rule as it is posted. Which of the options mean something, the catalogue says per fault.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Script {
    /// Name of an endpoint, or `*`.
    #[serde(rename = "match")]
    pub(super) target: String,
    pub(super) fault: String,
    /// How likely it strikes; 0 to 1.
    pub(super) probability: Option<f64>,
    /// Strikes exactly the nth matching request.
    pub(super) nth: Option<u64>,
    /// Strikes every nth matching request.
    pub(super) every: Option<u64>,
    /// Strikes at most so often.
    #[serde(alias = "limit")]
    pub(super) times: Option<u64>,
    /// Sleeps until so many calls have passed.
    pub(super) after: Option<u64>,
    /// Which calls `after` counts.
    #[serde(default)]
    pub(super) counts: Counts,
    /// Only requests whose body holds this text.
    pub(super) body_contains: Option<String>,
    /// Seed of `probability`; the same seed strikes the same requests.
    pub(super) seed: Option<u64>,
    delay_ms: Option<u64>,
    status: Option<u16>,
    retry_after: Option<Value>,
    opr_code: Option<Value>,
    #[serde(alias = "text", alias = "opr_desc_app")]
    opr_desc: Option<String>,
    opr_code_app: Option<Value>,
    address: Option<String>,
    committed: Option<bool>,
    fields: Option<Map<String, Value>>,
    rows: Option<usize>,
    form: Option<String>,
    pieces: Option<usize>,
    mk_id: Option<Value>,
    field: Option<String>,
    value: Option<Value>,
    scope: Option<Scope>,
    count: Option<Count>,
    of: Option<Side>,
    members: Option<Vec<String>>,
}

/// Which calls `after` counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Counts {
    /// Every call the rule matches.
    #[default]
    All,
    /// Of those only the ones that change something.
    Writes,
}

/// What a partner is left out of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Answers to `get_partner` without a key.
    #[default]
    Lists,
    /// Every answer; updates of it are refused.
    Everything,
}

/// What `partner_list_count` says when a partner is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Count {
    /// The partners that are sent.
    #[default]
    Sent,
    /// The hidden ones too.
    All,
}

/// Whose members are dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    #[default]
    Request,
    Answer,
}

/// The partner a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom<'a> {
    /// The one with this id.
    Id(&'a str),
    /// Those with this value in a field of this name, their own or one of a row's.
    Field(&'a str, &'a str),
}

impl Script {
    /// Refuses values nothing can be made of.
    pub(super) fn check(&self, names_a_partner: bool) -> Result<(), String> {
        let wrong = |why: &str| Err(why.to_owned());
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return wrong("probability is a number from 0 to 1");
        }
        if self.nth == Some(0) || self.every == Some(0) {
            return wrong("nth and every count from 1");
        }
        let schedules = [self.probability.is_some(), self.nth.is_some(), self.every.is_some()];
        if schedules.into_iter().filter(|given| *given).count() > 1 {
            return wrong("give one of probability, nth and every");
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return wrong("status is a number from 200 to 599");
        }
        match self.fault.as_str() {
            "echo-secret" if !matches!(self.form("both"), "raw" | "escaped" | "both") => {
                return wrong("form is raw, escaped or both");
            }
            "unreadable-element" if crate::distort::Unreadable::named(self.form("no-mk-id")).is_none() => {
                return wrong("form is no-mk-id, text, null, object-name, half-surrogate or bad-utf-8");
            }
            "drop-members" if self.members().is_empty() => {
                return wrong("members is a list of names, with at least one");
            }
            "hide" if self.whom().is_none() => return wrong("name a partner: mk_id, or field and value"),
            _ => {}
        }
        let (mk_id, field, value) = (self.mk_id.is_some(), self.field.is_some(), self.value.is_some());
        if names_a_partner && (field != value || (mk_id && field)) {
            return wrong("a partner is named by mk_id, or by field and value");
        }
        if self.mk_id.as_ref().or(self.value.as_ref()).is_some_and(|value| !value.is_string()) {
            return wrong("mk_id and value are texts");
        }
        Ok(())
    }

    pub(crate) fn delay(&self, default_ms: u64) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(default_ms))
    }

    pub(crate) fn status(&self, default: u16) -> u16 {
        self.status.unwrap_or(default)
    }

    pub(crate) fn retry_after(&self) -> Option<String> {
        self.retry_after.as_ref().map(plain)
    }

    pub(crate) fn opr_code(&self, default: &str) -> String {
        self.opr_code.as_ref().map_or_else(|| default.to_owned(), plain)
    }

    pub(crate) fn opr_code_app(&self) -> String {
        self.opr_code_app.as_ref().map_or_else(|| "1001".to_owned(), plain)
    }

    /// The text of an error: `opr_desc`, `opr_desc_app` and `text` are one option.
    pub(crate) fn text(&self) -> Option<&str> {
        self.opr_desc.as_deref()
    }

    pub(crate) fn address(&self) -> &str {
        self.address.as_deref().unwrap_or("203.0.113.7")
    }

    pub(crate) fn committed(&self, default: bool) -> bool {
        self.committed.unwrap_or(default)
    }

    pub(crate) fn fields(&self) -> Option<&Map<String, Value>> {
        self.fields.as_ref()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.unwrap_or(1)
    }

    pub(crate) fn form<'a>(&'a self, default: &'a str) -> &'a str {
        self.form.as_deref().unwrap_or(default)
    }

    pub(crate) fn pieces(&self) -> usize {
        self.pieces.unwrap_or(8).max(1)
    }

    pub(crate) fn value(&self) -> &str {
        self.value.as_ref().and_then(Value::as_str).unwrap_or("0")
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope.unwrap_or_default()
    }

    pub(crate) fn count(&self) -> Count {
        self.count.unwrap_or_default()
    }

    pub(crate) fn side(&self) -> Side {
        self.of.unwrap_or_default()
    }

    pub(crate) fn members(&self) -> &[String] {
        self.members.as_deref().unwrap_or_default()
    }

    /// The partner the rule names.
    pub(crate) fn whom(&self) -> Option<Whom<'_>> {
        if let Some(id) = self.mk_id.as_ref().and_then(Value::as_str) {
            return Some(Whom::Id(id));
        }
        Some(Whom::Field(self.field.as_deref()?, self.value.as_ref().and_then(Value::as_str)?))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
