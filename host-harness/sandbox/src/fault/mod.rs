//! Scripted trouble: rules that say which request goes wrong, how and how often.

mod catalogue;
mod script;

use catalogue::Nature;
pub(crate) use catalogue::{Fault, meanings, names};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use script::Counts;
pub(crate) use script::{Count, Scope, Script, Side, Whom};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// A rule at work.
#[derive(Debug)]
struct Rule {
    fault: Fault,
    nature: Nature,
    script: Arc<Script>,
    dice: ChaCha8Rng,
    /// Calls that passed while the rule slept.
    passed: u64,
    matched: u64,
    struck: u64,
}

impl Rule {
    /// Whether the rule strikes this request, which it counts either way.
    fn strikes(&mut self, endpoint: &str, writes: bool, body: &[u8]) -> bool {
        let script = &self.script;
        let matches = (script.target == "*" || script.target == endpoint)
            && script
                .body_contains
                .as_ref()
                .is_none_or(|text| memchr::memmem::find(body, text.as_bytes()).is_some());
        if !matches {
            return false;
        }
        if script.after.is_some_and(|after| self.passed < after) {
            self.passed += u64::from(writes || script.counts == Counts::All);
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
    /// The first rule that asks for this manner.
    pub(crate) fn manner(&self, fault: Fault) -> Option<&Script> {
        self.manners(fault).next()
    }

    /// Every rule that asks for this manner.
    pub(crate) fn manners(&self, fault: Fault) -> impl Iterator<Item = &Script> {
        self.manners.iter().filter(move |(found, _)| *found == fault).map(|(_, script)| &**script)
    }

    /// Whether the rows of an answer are others than the register's.
    pub(crate) fn changes_rows(&self) -> bool {
        [Fault::CountMismatch, Fault::Hide, Fault::Repeat, Fault::UnreadableElement]
            .into_iter()
            .any(|fault| self.has(fault))
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
    pub(crate) fn on_arrival(&mut self, endpoint: &str, writes: bool, body: &[u8]) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in self.rules.iter_mut().filter(|rule| rule.nature != Nature::AfterRead) {
            if rule.strikes(endpoint, writes, body) {
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
            .filter_map(|rule| rule.strikes(endpoint, false, body).then(|| (rule.fault, rule.script.clone())))
            .collect()
    }
}

fn parse_rule(posted: &Value, endpoints: &[&str], seed: u64) -> Result<Rule, String> {
    let Some(members) = posted.as_object() else { return Err("a rule is an object".to_owned()) };
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let Some(entry) = catalogue::find(text("fault")) else {
        return Err(format!("there is no fault `{}`", text("fault")));
    };
    entry.check_options(members)?;
    let script = Script::deserialize(posted).map_err(|error| error.to_string())?;
    if script.target != "*" && !endpoints.contains(&script.target.as_str()) {
        return Err(format!(
            "there is no endpoint `{}`; match takes * or one of {}",
            script.target,
            endpoints.join(", ")
        ));
    }
    script.check(entry.names_a_partner())?;
    let dice = ChaCha8Rng::seed_from_u64(script.seed.unwrap_or(seed));
    let (fault, nature, script) = (entry.fault, entry.nature, Arc::new(script));
    Ok(Rule { fault, nature, script, dice, passed: 0, matched: 0, struck: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ENDPOINTS: [&str; 2] = ["add_partner", "get_partner"];

    fn strikes(rule: Value, requests: u64) -> Vec<u64> {
        let mut faults = Faults::parse(&json!([rule]), &ENDPOINTS, 1).unwrap();
        (1..=requests).filter(|_| faults.on_arrival("add_partner", true, b"{}").ending.is_some()).collect()
    }

    #[test]
    fn a_rule_strikes_when_it_should() {
        for (rule, expected) in [
            (json!({"match": "add_partner", "fault": "http-500"}), vec![1, 2, 3, 4, 5, 6]),
            (json!({"match": "*", "fault": "http-500", "nth": 3}), vec![3]),
            (json!({"match": "*", "fault": "http-500", "every": 2}), vec![2, 4, 6]),
            (json!({"match": "*", "fault": "http-500", "times": 2}), vec![1, 2]),
            (json!({"match": "*", "fault": "http-500", "every": 2, "limit": 1}), vec![2]),
            (json!({"match": "*", "fault": "http-500", "after": 4}), vec![5, 6]),
            (json!({"match": "*", "fault": "http-500", "after": 2, "nth": 2}), vec![4]),
            (json!({"match": "*", "fault": "http-500", "after": 0}), vec![1, 2, 3, 4, 5, 6]),
            (json!({"match": "get_partner", "fault": "http-500"}), vec![]),
            (json!({"match": "*", "fault": "http-500", "body_contains": "x"}), vec![]),
            (json!({"match": "*", "fault": "http-500", "probability": 0.0}), vec![]),
        ] {
            assert_eq!(strikes(rule.clone(), 6), expected, "{rule}");
        }
    }

    #[test]
    fn after_counts_calls_or_writes_and_then_every_call_is_struck() {
        for (counts, expected) in
            [("all", [false, false, true, true, true]), ("writes", [false, false, false, true, true])]
        {
            let rule = json!([{"match": "*", "fault": "quota-exceeded", "after": 2, "counts": counts}]);
            let mut faults = Faults::parse(&rule, &ENDPOINTS, 1).unwrap();
            let struck = [
                ("get_partner", false),
                ("add_partner", true),
                ("add_partner", true),
                ("get_partner", false),
                ("add_partner", true),
            ]
            .map(|(endpoint, writes)| faults.on_arrival(endpoint, writes, b"").ending.is_some());
            assert_eq!(struck, expected, "{counts}");
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
            (
                json!([{"match": "*", "fault": "delay", "probabilty": 1}]),
                "no option `probabilty`: its own are delay_ms",
            ),
            (json!([{"match": "*", "fault": "drop-before", "status": 503}]), "it has none of its own"),
            (json!([{"match": "*", "fault": "http-503", "delay_ms": 5}]), "its own are retry_after"),
            (json!([{"match": "*", "fault": "html-page", "status": 99}]), "from 200"),
            (json!([{"match": "*", "fault": "hide"}]), "name a partner"),
            (json!([{"match": "*", "fault": "hide", "field": "customer"}]), "name a partner"),
            (json!([{"match": "*", "fault": "hide", "mk_id": "1", "scope": "some"}]), "unknown variant"),
            (json!([{"match": "*", "fault": "repeat", "value": "x"}]), "by field and value"),
            (json!([{"match": "*", "fault": "drop-members", "members": []}]), "at least one"),
            (json!([{"match": "*", "fault": "unreadable-element", "form": "odd"}]), "form is no-mk-id"),
            (json!([{"match": "*", "fault": "bad-mk-id", "value": 0}]), "are texts"),
            (json!(["http-503"]), "a rule is an object"),
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
        let verdict = Faults::parse(&rules, &ENDPOINTS, 1).unwrap().on_arrival("add_partner", true, b"");
        assert_eq!(verdict.ending.as_ref().map(|(fault, _)| *fault), Some(Fault::Http503));
        assert!(verdict.has(Fault::Delay) && verdict.has(Fault::Slovenian) && !verdict.has(Fault::SlowBytes));
    }
}
