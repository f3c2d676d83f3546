//! Merging is algebra: base, CRM and Metakocka in, what travels where out. No clock, no I/O.

use super::request::Direction;
use crate::ledger::Base;
use crate::model::{Field, Fields, Time, same};

/// One of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The ERP.
    Metakocka,
    /// The CRM.
    Crm,
}

impl Side {
    /// The word people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metakocka => "metakocka",
            Self::Crm => "crm",
        }
    }
}

/// How a contested field is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Metakocka's value counts.
    Metakocka,
    /// The CRM's value counts.
    Crm,
    /// The newer one counts; Metakocka has no change time, so the moment its change was first seen stands for it.
    Newest,
    /// A person decides.
    Manual,
}

impl Policy {
    /// The policy with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "metakocka" => Some(Self::Metakocka),
            "crm" => Some(Self::Crm),
            "newest" => Some(Self::Newest),
            "manual" => Some(Self::Manual),
            _ => None,
        }
    }
}

/// The policies of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// For all fields without their own.
    pub kind: Option<Policy>,
    /// Per field.
    pub fields: Vec<(Field, Policy)>,
}

impl Policies {
    /// The policy of a field. Without a setting the written side of a one-way direction follows the other, and in
    /// both ways the newer value counts.
    #[must_use]
    pub fn of(&self, field: Field, direction: Direction) -> Policy {
        self.fields
            .iter()
            .find(|(known, _)| *known == field)
            .map(|(_, policy)| *policy)
            .or(self.kind)
            .unwrap_or(match direction {
                Direction::FromMetakocka => Policy::Metakocka,
                Direction::ToMetakocka => Policy::Crm,
                Direction::Bidirectional => Policy::Newest,
            })
    }
}

/// What happened to a field since the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Same,
    /// Only Metakocka changed it.
    MetakockaChanged,
    /// Only the CRM changed it.
    CrmChanged,
    /// Both changed it to the same value.
    Agree,
    /// Both changed it, differently.
    Contested,
}

/// Compares three values: two comparisons against each side's part of the base, one between the sides.
#[must_use]
pub fn verdict(
    field: Field,
    base: (Option<&str>, Option<&str>),
    crm: Option<&str>,
    metakocka: Option<&str>,
) -> Verdict {
    let crm_changed = !same(field, base.0, crm);
    let metakocka_changed = !same(field, base.1, metakocka);
    match (metakocka_changed, crm_changed) {
        (false, false) => Verdict::Same,
        _ if same(field, crm, metakocka) => Verdict::Agree,
        (true, false) => Verdict::MetakockaChanged,
        (false, true) => Verdict::CrmChanged,
        (true, true) => Verdict::Contested,
    }
}

/// What a merge looks at.
#[derive(Debug, Clone, Copy)]
pub struct Versions<'a> {
    /// Last agreement; `None` for two records that have just been linked.
    pub base: &'a Base,
    /// The CRM's fields.
    pub crm: &'a Fields,
    /// Metakocka's fields.
    pub metakocka: &'a Fields,
    /// When the CRM last wrote the contact.
    pub crm_modified: Time,
    /// When Metakocka's present version was first seen.
    pub metakocka_seen: Time,
}

/// The rules a merge follows.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Which side may be written.
    pub direction: Direction,
    /// Who wins.
    pub policies: &'a Policies,
    /// What people have decided for single fields.
    pub decisions: &'a [(Field, Side)],
}

/// A value that is about to replace another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The field.
    pub field: Field,
    /// What stands there.
    pub old: Option<String>,
    /// What will stand there.
    pub new: Option<String>,
    /// Why, for the history.
    pub reason: &'static str,
}

/// A field that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The field.
    pub field: Field,
    /// Last agreed value.
    pub base: Option<String>,
    /// The CRM's value.
    pub crm: Option<String>,
    /// Metakocka's value.
    pub metakocka: Option<String>,
}

/// What a merge decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// To be written to the CRM.
    pub to_crm: Vec<Replacement>,
    /// To be written to Metakocka; never clears.
    pub to_metakocka: Vec<Replacement>,
    /// Contested fields that wait for a person.
    pub parked: Vec<Parked>,
    /// Contested fields in all, settled ones included.
    pub contested: u64,
    /// Fields whose CRM edit the direction keeps from travelling.
    pub held: Vec<Field>,
    /// Another company stands in the CRM: a person is asked (see `rename`).
    pub renamed: bool,
    /// Fields emptied in the CRM: Metakocka offers no way to clear a field.
    pub cleared: Vec<Field>,
    /// The base once `to_crm` is written and nothing yet is to Metakocka.
    pub base: Base,
}

impl Merged {
    /// Whether any record has to be written.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.to_crm.is_empty() || !self.to_metakocka.is_empty()
    }

    /// Whether a person has to say something.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.parked.is_empty() || !self.cleared.is_empty()
    }

    /// Fields whose value of the CRM has not reached Metakocka, as long as nothing more is sent.
    #[must_use]
    pub fn unsent(&self) -> Vec<Field> {
        self.held.iter().copied().chain(self.to_metakocka.iter().map(|change| change.field)).collect()
    }
}

/// Merges field by field.
#[must_use]
pub fn merge(versions: Versions<'_>, rules: Rules<'_>) -> Merged {
    let mut merged = Merged { base: versions.base.clone(), ..Merged::default() };
    for field in Field::ALL {
        let crm = versions.crm.get(field);
        let metakocka = versions.metakocka.get(field);
        let base = (versions.base.crm(field), versions.base.metakocka(field));
        match verdict(field, base, crm, metakocka) {
            Verdict::Same => {}
            Verdict::Agree => merged.base.agree(field, crm, metakocka),
            Verdict::MetakockaChanged => {
                merged.take_metakocka(field, crm, metakocka, rules, "changed in Metakocka")
            }
            Verdict::CrmChanged => merged.take_crm(field, crm, metakocka, rules, "changed in the CRM"),
            Verdict::Contested => {
                merged.contested += 1;
                merged.settle(field, versions, rules);
            }
        }
    }
    merged
}

impl Merged {
    fn settle(&mut self, field: Field, versions: Versions<'_>, rules: Rules<'_>) {
        let crm = versions.crm.get(field);
        let metakocka = versions.metakocka.get(field);
        let decided = rules.decisions.iter().find(|(known, _)| *known == field).map(|(_, side)| *side);
        let (winner, reason) = match (decided, rules.policies.of(field, rules.direction)) {
            (Some(side), _) => (side, "conflict: decided by a person"),
            (None, Policy::Metakocka) => (Side::Metakocka, "conflict: policy metakocka"),
            (None, Policy::Crm) => (Side::Crm, "conflict: policy crm"),
            (None, Policy::Newest) if versions.crm_modified > versions.metakocka_seen => (
                Side::Crm,
                "conflict: policy newest, the CRM's edit is later than the moment Metakocka's was first seen",
            ),
            (None, Policy::Newest) => (
                Side::Metakocka,
                "conflict: policy newest, Metakocka's edit was first seen after the CRM's (it has no change time)",
            ),
            (None, Policy::Manual) => {
                self.parked.push(Parked {
                    field,
                    base: versions.base.crm(field).map(str::to_owned),
                    crm: crm.map(str::to_owned),
                    metakocka: metakocka.map(str::to_owned),
                });
                return;
            }
        };
        // A cleared field cannot be sent, so it cannot win against a value.
        if winner == Side::Crm && crm.is_some() {
            self.take_crm(field, crm, metakocka, rules, reason);
        } else {
            self.take_metakocka(field, crm, metakocka, rules, reason);
        }
    }

    fn take_metakocka(
        &mut self,
        field: Field,
        crm: Option<&str>,
        metakocka: Option<&str>,
        rules: Rules<'_>,
        reason: &'static str,
    ) {
        if rules.direction.writes_crm() {
            self.base.agree(field, metakocka, metakocka);
            self.to_crm.push(Replacement {
                field,
                old: crm.map(str::to_owned),
                new: metakocka.map(str::to_owned),
                reason,
            });
        }
    }

    fn take_crm(
        &mut self,
        field: Field,
        crm: Option<&str>,
        metakocka: Option<&str>,
        rules: Rules<'_>,
        reason: &'static str,
    ) {
        if !rules.direction.writes_metakocka() {
            self.held.push(field);
        } else if crm.is_none() {
            // Said once: from now on the sides agree to differ.
            self.base.agree(field, crm, metakocka);
            self.cleared.push(field);
        } else {
            self.to_metakocka.push(Replacement {
                field,
                old: metakocka.map(str::to_owned),
                new: crm.map(str::to_owned),
                reason,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crm::Names;

    const PHONE: Field = Field::Phone;

    fn fields(phone: Option<&str>) -> Fields {
        phone.map(|value| (PHONE, value.to_owned())).into_iter().collect()
    }

    fn run(
        base: Option<&str>,
        crm: Option<&str>,
        metakocka: Option<&str>,
        direction: Direction,
        policy: Option<Policy>,
    ) -> Merged {
        let base = Base::agreed(fields(base), Names::default());
        let policies = Policies { kind: policy, fields: Vec::new() };
        merge(
            Versions {
                base: &base,
                crm: &fields(crm),
                metakocka: &fields(metakocka),
                crm_modified: Time(5),
                metakocka_seen: Time(9),
            },
            Rules { direction, policies: &policies, decisions: &[] },
        )
    }

    /// What a merge did to the phone, in one word.
    fn word(merged: &Merged) -> &'static str {
        match (merged.to_crm.first(), merged.to_metakocka.first()) {
            (Some(_), _) => "crm",
            (_, Some(_)) => "metakocka",
            _ if !merged.held.is_empty() => "held",
            _ if !merged.cleared.is_empty() => "cleared",
            _ if !merged.parked.is_empty() => "parked",
            _ => "nothing",
        }
    }

    /// Reading guide: base, crm, metakocka; direction; policy; which side gets written (or why none).
    #[test]
    fn table() {
        use Direction::{Bidirectional as Both, FromMetakocka as From, ToMetakocka as To};
        let (a, b, c) = (Some("041 111 111"), Some("041 222 222"), Some("041 333 333"));
        let rows = [
            (a, a, a, Both, None, "nothing"),
            (a, a, b, Both, None, "crm"),
            (a, b, a, Both, None, "metakocka"),
            (a, b, b, Both, None, "nothing"),
            (a, b, c, Both, None, "crm"),
            (a, b, c, Both, Some(Policy::Crm), "metakocka"),
            (a, b, c, Both, Some(Policy::Manual), "parked"),
            (a, b, a, From, None, "held"),
            (a, b, c, From, None, "crm"),
            (a, a, b, To, None, "nothing"),
            (a, b, c, To, None, "metakocka"),
            (a, None, a, Both, None, "cleared"),
            (a, None, a, From, None, "held"),
            (a, a, None, Both, None, "crm"),
            (a, None, b, Both, Some(Policy::Crm), "crm"),
            (None, a, b, From, None, "crm"),
            (None, a, None, Both, None, "metakocka"),
            (Some("041 111 111"), Some("+38641111111"), Some("041/111-111"), Both, None, "nothing"),
        ];
        for (base, crm, metakocka, direction, policy, expected) in rows {
            let merged = run(base, crm, metakocka, direction, policy);
            assert_eq!(word(&merged), expected, "{base:?} {crm:?} {metakocka:?} {direction:?} {policy:?}");
        }
    }

    #[test]
    fn a_cleared_field_is_said_once() {
        let first = run(Some("1"), None, Some("1"), Direction::Bidirectional, None);
        assert_eq!(first.cleared, [PHONE]);
        let policies = Policies::default();
        let again = merge(
            Versions {
                base: &first.base,
                crm: &fields(None),
                metakocka: &fields(Some("1")),
                crm_modified: Time(5),
                metakocka_seen: Time(9),
            },
            Rules { direction: Direction::Bidirectional, policies: &policies, decisions: &[] },
        );
        assert_eq!(word(&again), "nothing");
    }

    fn value() -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            Just(None),
            Just(Some("041 1".to_owned())),
            Just(Some("041 2".to_owned())),
            Just(Some("041 3".to_owned()))
        ]
    }

    fn direction() -> impl Strategy<Value = Direction> {
        prop_oneof![
            Just(Direction::FromMetakocka),
            Just(Direction::ToMetakocka),
            Just(Direction::Bidirectional)
        ]
    }

    proptest! {
        /// Carry out what a merge decides and merge again: nothing is left to do.
        #[test]
        fn second_merge_is_quiet(base in value(), crm in value(), metakocka in value(), direction in direction(), crm_wins: bool) {
            let policy = if crm_wins { Policy::Crm } else { Policy::Metakocka };
            let first = run(base.as_deref(), crm.as_deref(), metakocka.as_deref(), direction, Some(policy));
            let mut crm = fields(crm.as_deref());
            let mut metakocka = fields(metakocka.as_deref());
            let mut after = first.base.clone();
            for write in &first.to_crm {
                crm.set(write.field, write.new.as_deref());
            }
            for write in &first.to_metakocka {
                metakocka.set(write.field, write.new.as_deref());
                after.agree(write.field, write.new.as_deref(), write.new.as_deref());
            }
            let policies = Policies { kind: Some(policy), fields: Vec::new() };
            let second = merge(
                Versions { base: &after, crm: &crm, metakocka: &metakocka, crm_modified: Time(5), metakocka_seen: Time(9) },
                Rules { direction, policies: &policies, decisions: &[] },
            );
            prop_assert!(!second.writes(), "{first:?} then {second:?}");
            if direction == Direction::Bidirectional && first.cleared.is_empty() {
                prop_assert_eq!(crm.get(PHONE), metakocka.get(PHONE));
            }
        }

        /// A side the direction does not name is never written.
        #[test]
        fn direction_is_law(base in value(), crm in value(), metakocka in value(), direction in direction(), crm_wins: bool) {
            let policy = if crm_wins { Policy::Crm } else { Policy::Metakocka };
            let merged = run(base.as_deref(), crm.as_deref(), metakocka.as_deref(), direction, Some(policy));
            prop_assert!(direction.writes_crm() || merged.to_crm.is_empty());
            prop_assert!(direction.writes_metakocka() || merged.to_metakocka.is_empty());
            prop_assert!(merged.to_metakocka.iter().all(|write| write.new.is_some()));
        }
    }
}
