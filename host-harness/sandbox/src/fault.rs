//! Scripted trouble: rules that say which request goes wrong, how and how often.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What can go wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    CommitThenDrop,
    LateCommit,
    SlowCommit,
    DropBefore,
    HtmlPage,
    HtmlPageAfterCommit,
    Html404,
    Http500,
    Http502,
    Http503,
    Http429,
    Http502AfterCommit,
    Opr1AfterCommit,
    Opr1WithoutCommit,
    TruncatedJson,
    CutBody,
    BadCredentials,
    EchoSecret,
    CountMismatch,
    SlowBytes,
    Delay,
    Slovenian,
    OffsetHonoured,
    AddressHonoured,
    SingleObject,
    UiEditBetween,
    UiDeleteBetween,
}

/// When a rule is asked and whether it can share a request with other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// Decides how the request ends; the first one that strikes wins.
    Ending,
    /// Changes how the request is answered, together with any other.
    Manner,
    /// Strikes after a `get_partner` that answered exactly one partner, and counts only those.
    AfterRead,
}

/// Every fault: its name, its nature and what it means.
const CATALOGUE: [(&str, Fault, Nature, &str); 27] = [
    (
        "commit-then-drop",
        Fault::CommitThenDrop,
        Nature::Ending,
        "the write is committed, then the connection closes without a byte of an answer",
    ),
    (
        "late-commit",
        Fault::LateCommit,
        Nature::Ending,
        "the connection closes at once without an answer; the write is committed delay_ms later (default 2000)",
    ),
    (
        "slow-commit",
        Fault::SlowCommit,
        Nature::Ending,
        "nothing happens for delay_ms (default 2000), then the request is carried out and answered",
    ),
    (
        "drop-before",
        Fault::DropBefore,
        Nature::Ending,
        "the connection closes without an answer and nothing is committed",
    ),
    (
        "html-page",
        Fault::HtmlPage,
        Nature::Ending,
        "an HTML page instead of JSON, nothing committed; option status (default 200)",
    ),
    (
        "html-page-after-commit",
        Fault::HtmlPageAfterCommit,
        Nature::Ending,
        "the write is committed, the answer is an HTML page; option status (default 200)",
    ),
    ("html-404", Fault::Html404, Nature::Ending, "the HTML 404 page of a wrong path, nothing committed"),
    ("http-500", Fault::Http500, Nature::Ending, "HTTP 500 with an HTML page, nothing committed"),
    ("http-502", Fault::Http502, Nature::Ending, "HTTP 502 with an HTML page, nothing committed"),
    (
        "http-503",
        Fault::Http503,
        Nature::Ending,
        "HTTP 503 with an HTML page, nothing committed; option retry_after",
    ),
    (
        "http-429",
        Fault::Http429,
        Nature::Ending,
        "HTTP 429 with an HTML page, nothing committed; option retry_after (seconds or a date)",
    ),
    (
        "http-502-after-commit",
        Fault::Http502AfterCommit,
        Nature::Ending,
        "the write is committed, the answer is HTTP 502 with an HTML page",
    ),
    (
        "opr-1-after-commit",
        Fault::Opr1AfterCommit,
        Nature::Ending,
        "the write is committed, the answer is opr_code 1; options opr_code, opr_desc",
    ),
    (
        "opr-1-without-commit",
        Fault::Opr1WithoutCommit,
        Nature::Ending,
        "opr_code 1 and nothing committed; options opr_code, opr_desc",
    ),
    (
        "truncated-json",
        Fault::TruncatedJson,
        Nature::Ending,
        "the first part of the true answer, complete as HTTP and cut as JSON; writes are committed",
    ),
    (
        "cut-body",
        Fault::CutBody,
        Nature::Ending,
        "the true answer's length is announced, the connection closes in the middle; writes are committed",
    ),
    (
        "bad-credentials",
        Fault::BadCredentials,
        Nature::Ending,
        "the answer to a wrong key, nothing committed; options status (default 200), opr_code, opr_desc",
    ),
    (
        "echo-secret",
        Fault::EchoSecret,
        Nature::Ending,
        "opr_code 1 whose text repeats the request's secret_key, nothing committed; option form: raw, escaped or both (default)",
    ),
    (
        "count-mismatch",
        Fault::CountMismatch,
        Nature::Manner,
        "get_partner leaves out the last rows but announces them in partner_list_count; option rows (default 1)",
    ),
    (
        "slow-bytes",
        Fault::SlowBytes,
        Nature::Manner,
        "the answer comes in pieces with delay_ms (default 100) before each; option pieces (default 8)",
    ),
    (
        "delay",
        Fault::Delay,
        Nature::Manner,
        "the write is committed at once, the answer comes delay_ms later (default 1000)",
    ),
    ("slovenian", Fault::Slovenian, Nature::Manner, "error texts in Slovenian"),
    (
        "offset-honoured",
        Fault::OffsetHonoured,
        Nature::Manner,
        "get_partner honours limit and offset; without it they are ignored",
    ),
    (
        "address-honoured",
        Fault::AddressHonoured,
        Nature::Manner,
        "update_partner applies the top-level address; without it that is ignored",
    ),
    (
        "single-object",
        Fault::SingleObject,
        Nature::Manner,
        "a partner_list of one is an object instead of a list",
    ),
    (
        "ui-edit-between",
        Fault::UiEditBetween,
        Nature::AfterRead,
        "a person changes the partner right after a get_partner that answered just this one; option fields",
    ),
    (
        "ui-delete-between",
        Fault::UiDeleteBetween,
        Nature::AfterRead,
        "a person deletes the partner right after a get_partner that answered just this one",
    ),
];

/// A rule as it is posted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Name of an endpoint, or `*`.
    #[serde(rename = "match")]
    target: String,
    fault: String,
    /// How likely it strikes; 0 to 1.
    probability: Option<f64>,
    /// Strikes exactly the nth matching request.
    nth: Option<u64>,
    /// Strikes every nth matching request.
    every: Option<u64>,
    /// Strikes at most so often.
    #[serde(alias = "limit")]
    times: Option<u64>,
    /// Only requests whose body holds this text.
    body_contains: Option<String>,
    /// Seed of `probability`; the same seed strikes the same requests.
    seed: Option<u64>,
    delay_ms: Option<u64>,
    status: Option<u16>,
    retry_after: Option<Value>,
    opr_code: Option<Value>,
    opr_desc: Option<String>,
    fields: Option<Map<String, Value>>,
    rows: Option<usize>,
    form: Option<String>,
    pieces: Option<usize>,
}

impl Script {
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

    pub(crate) fn opr_desc(&self) -> Option<&str> {
        self.opr_desc.as_deref()
    }

    pub(crate) fn fields(&self) -> Option<&Map<String, Value>> {
        self.fields.as_ref()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.unwrap_or(1)
    }

    pub(crate) fn form(&self) -> &str {
        self.form.as_deref().unwrap_or("both")
    }

    pub(crate) fn pieces(&self) -> usize {
        self.pieces.unwrap_or(8).max(1)
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A rule at work.
#[derive(Debug)]
struct Rule {
    fault: Fault,
    nature: Nature,
    script: Arc<Script>,
    dice: ChaCha8Rng,
    matched: u64,
    struck: u64,
}

impl Rule {
    /// Whether the rule strikes this request, which it counts either way.
    fn strikes(&mut self, endpoint: &str, body: &[u8]) -> bool {
        let script = &self.script;
        let matches = (script.target == "*" || script.target == endpoint)
            && script
                .body_contains
                .as_ref()
                .is_none_or(|text| memchr::memmem::find(body, text.as_bytes()).is_some());
        if !matches {
            return false;
        }
        self.matched += 1;
        let due = match (script.probability, script.nth, script.every) {
            (Some(probability), ..) => self.dice.random_bool(probability),
            (_, Some(nth), _) => self.matched == nth,
            (.., Some(every)) => self.matched.is_multiple_of(every),
            _ => true,
        };
        let strikes = due && script.times.is_none_or(|times| self.struck < times);
        self.struck += u64::from(strikes);
        strikes
    }
}

/// What the rules decided about one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How it ends, when not as it should.
    pub(crate) ending: Option<(Fault, Arc<Script>)>,
    manners: Vec<(Fault, Arc<Script>)>,
}

impl Verdict {
    /// The rule that asks for this manner.
    pub(crate) fn manner(&self, fault: Fault) -> Option<&Script> {
        self.manners.iter().find(|(found, _)| *found == fault).map(|(_, script)| &**script)
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.manner(fault).is_some()
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Reads rules as they are posted.
    ///
    /// # Errors
    /// What is wrong with the first bad rule; nothing is in force then.
    pub(crate) fn parse(posted: &Value, endpoints: &[&str], seed: u64) -> Result<Self, String> {
        let Value::Array(list) = posted else { return Err("expected a JSON list of rules".to_owned()) };
        let mut rules = Vec::with_capacity(list.len());
        for (number, posted) in (1..).zip(list) {
            let rule = parse_rule(posted, endpoints, seed.wrapping_add(number));
            rules.push(rule.map_err(|why| format!("rule {number}: {why}"))?);
        }
        Ok(Self { rules })
    }

    /// How many rules are in force.
    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// What happens to a request that has just arrived.
    pub(crate) fn on_arrival(&mut self, endpoint: &str, body: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in self.rules.iter_mut().filter(|rule| rule.nature != Nature::AfterRead) {
            if rule.strikes(endpoint, body) {
                let found = (rule.fault, rule.script.clone());
                match rule.nature {
                    Nature::Ending if verdict.ending.is_none() => verdict.ending = Some(found),
                    Nature::Ending => {}
                    _ => verdict.manners.push(found),
                }
            }
        }
        verdict
    }

    /// What a person does after a read of one partner.
    pub(crate) fn after_read(&mut self, endpoint: &str, body: &[u8]) -> Vec<(Fault, Arc<Script>)> {
        self.rules
            .iter_mut()
            .filter(|rule| rule.nature == Nature::AfterRead)
            .filter_map(|rule| rule.strikes(endpoint, body).then(|| (rule.fault, rule.script.clone())))
            .collect()
    }
}

fn parse_rule(posted: &Value, endpoints: &[&str], seed: u64) -> Result<Rule, String> {
    let script: Script = serde_json::from_value(posted.clone()).map_err(|error| error.to_string())?;
    let Some((_, fault, nature, _)) = CATALOGUE.iter().find(|(name, ..)| *name == script.fault) else {
        return Err(format!("there is no fault `{}`", script.fault));
    };
    if script.target != "*" && !endpoints.contains(&script.target.as_str()) {
        return Err(format!(
            "there is no endpoint `{}`; match takes * or one of {}",
            script.target,
            endpoints.join(", ")
        ));
    }
    if script.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        return Err("probability is a number from 0 to 1".to_owned());
    }
    if script.nth == Some(0) || script.every == Some(0) {
        return Err("nth and every count from 1".to_owned());
    }
    let schedules = [script.probability.is_some(), script.nth.is_some(), script.every.is_some()];
    if schedules.into_iter().filter(|given| *given).count() > 1 {
        return Err("give one of probability, nth and every".to_owned());
    }
    if script.status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err("status is a number from 200 to 599".to_owned());
    }
    if !matches!(script.form(), "raw" | "escaped" | "both") {
        return Err("form is raw, escaped or both".to_owned());
    }
    let dice = ChaCha8Rng::seed_from_u64(script.seed.unwrap_or(seed));
    Ok(Rule { fault: *fault, nature: *nature, script: Arc::new(script), dice, matched: 0, struck: 0 })
}

/// Every fault name.
pub(crate) fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|(name, ..)| *name).collect()
}

/// Every fault name with its meaning.
pub(crate) fn meanings() -> Value {
    CATALOGUE
        .iter()
        .map(|(name, _, _, meaning)| ((*name).to_owned(), json!(meaning)))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: [&str; 2] = ["add_partner", "get_partner"];

    fn strikes(rule: Value, requests: u64) -> Vec<u64> {
        let mut faults = Faults::parse(&json!([rule]), &ENDPOINTS, 1).unwrap();
        (1..=requests).filter(|_| faults.on_arrival("add_partner", b"{}").ending.is_some()).collect()
    }

    #[test]
    fn a_rule_strikes_when_it_should() {
        for (rule, expected) in [
            (json!({"match": "add_partner", "fault": "http-500"}), vec![1, 2, 3, 4, 5, 6]),
            (json!({"match": "*", "fault": "http-500", "nth": 3}), vec![3]),
            (json!({"match": "*", "fault": "http-500", "every": 2}), vec![2, 4, 6]),
            (json!({"match": "*", "fault": "http-500", "times": 2}), vec![1, 2]),
            (json!({"match": "*", "fault": "http-500", "every": 2, "limit": 1}), vec![2]),
            (json!({"match": "get_partner", "fault": "http-500"}), vec![]),
            (json!({"match": "*", "fault": "http-500", "body_contains": "x"}), vec![]),
            (json!({"match": "*", "fault": "http-500", "probability": 0.0}), vec![]),
        ] {
            assert_eq!(strikes(rule.clone(), 6), expected, "{rule}");
        }
    }

    #[test]
    fn chance_is_the_same_in_every_run() {
        let rule = json!({"match": "*", "fault": "http-500", "probability": 0.3});
        let struck = strikes(rule.clone(), 1000);
        assert!((250..350).contains(&struck.len()), "{}", struck.len());
        assert_eq!(strikes(rule, 1000), struck);
        assert_ne!(
            strikes(json!({"match": "*", "fault": "http-500", "probability": 0.3, "seed": 9}), 1000),
            struck
        );
    }

    #[test]
    fn bad_rules_are_refused_with_a_reason() {
        for (posted, reason) in [
            (json!({}), "list of rules"),
            (json!([{"match": "*", "fault": "nonsense"}]), "no fault `nonsense`"),
            (json!([{"match": "add_partners", "fault": "delay"}]), "no endpoint `add_partners`"),
            (json!([{"match": "*", "fault": "delay", "probabilty": 1}]), "unknown field"),
            (json!([{"match": "*", "fault": "delay", "probability": 1.5}]), "from 0 to 1"),
            (json!([{"match": "*", "fault": "delay", "nth": 1, "every": 2}]), "one of"),
            (json!([{"match": "*", "fault": "delay", "nth": 0}]), "from 1"),
        ] {
            let error = Faults::parse(&posted, &ENDPOINTS, 1).unwrap_err();
            assert!(error.contains(reason), "{posted}: {error}");
        }
    }

    #[test]
    fn one_ending_and_any_number_of_manners() {
        let rules = json!([
            {"match": "*", "fault": "delay"}, {"match": "*", "fault": "http-503"},
            {"match": "*", "fault": "http-500"}, {"match": "*", "fault": "slovenian"}
        ]);
        let verdict = Faults::parse(&rules, &ENDPOINTS, 1).unwrap().on_arrival("add_partner", b"");
        assert_eq!(verdict.ending.as_ref().map(|(fault, _)| *fault), Some(Fault::Http503));
        assert!(verdict.has(Fault::Delay) && verdict.has(Fault::Slovenian) && !verdict.has(Fault::SlowBytes));
    }
}
