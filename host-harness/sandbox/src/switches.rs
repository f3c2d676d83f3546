//! What nobody has settled about the real service, or what differs between companies: named choices.

use serde_json::{Map, Value, json};

/// A point that is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    LimitAndOffset,
    TopLevelAddress,
    PartnerListOfOne,
    Language,
    AddressMembers,
    PartnerCallTimes,
    AddresslessPartners,
    TrailingSlash,
    DoubledSlash,
    PhoneSearch,
    TaxSearch,
    SingularContact,
    OverLong,
    EmptyValues,
}

/// A switch as it can be set.
struct Known {
    switch: Switch,
    name: &'static str,
    /// The first one is the default. `METAKOCKA.md` has the reason for it.
    values: &'static [&'static str],
    meaning: &'static str,
}

const fn known(
    switch: Switch,
    name: &'static str,
    values: &'static [&'static str],
    meaning: &'static str,
) -> Known {
    Known { switch, name, values, meaning }
}

const COUNT: usize = 14;

/// In the order of [`Switch`].
const SWITCHES: [Known; COUNT] = [
    known(
        Switch::LimitAndOffset,
        "limit-and-offset",
        &["ignored", "honoured"],
        "limit and offset of get_partner",
    ),
    known(
        Switch::TopLevelAddress,
        "top-level-address",
        &["ignored", "honoured"],
        "street, post_number, place, province and country at the top of an update_partner",
    ),
    known(Switch::PartnerListOfOne, "partner-list-of-one", &["list", "object"], "a partner_list of one"),
    known(Switch::Language, "language", &["english", "slovenian"], "the language of error texts"),
    known(
        Switch::AddressMembers,
        "address-members",
        &["required", "optional"],
        "street, post_number, place and country of an add_partner; required: refused with opr_code 2 when one is missing",
    ),
    known(
        Switch::PartnerCallTimes,
        "partner-call-times",
        &["absent", "present"],
        "opr_time_ms in the answers of partner calls that went well",
    ),
    known(
        Switch::AddresslessPartners,
        "addressless-partners",
        &["absent", "present"],
        "partners of the seed without any address; counts from the next reset on",
    ),
    known(
        Switch::TrailingSlash,
        "trailing-slash",
        &["not-found", "accepted"],
        "a path with a slash at its end",
    ),
    known(
        Switch::DoubledSlash,
        "doubled-slash",
        &["not-found", "accepted"],
        "a path with two slashes in a row",
    ),
    known(
        Switch::PhoneSearch,
        "phone-search",
        &["as-stored", "digits"],
        "what partner_phone_number is compared by: the text with its blanks and marks, or its digits",
    ),
    known(
        Switch::TaxSearch,
        "tax-search",
        &["as-stored", "letters-and-digits"],
        "what partner_tax_number is compared by: the text with its blanks and marks, or its letters and digits",
    ),
    known(
        Switch::SingularContact,
        "singular-contact",
        &["refused", "honoured", "ignored"],
        "partner_contact instead of partner_contact_list in an update_partner; honoured: it changes the first contact",
    ),
    known(Switch::OverLong, "over-long", &["refused", "cut"], "values longer than their column"),
    known(Switch::EmptyValues, "empty-values", &["ignored", "cleared"], "empty texts in an update_partner"),
];

/// How every unsettled point is taken. The default is what we believe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// The place of the chosen value among the switch's values.
    chosen: [u8; COUNT],
}

/// Why a switch was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// There is no such switch.
    #[error("there is no switch `{name}`; there are {}", names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The switch does not take this value.
    #[error("switch `{name}` takes {}, not `{value}`", .values.join(" or "))]
    Value {
        /// The switch.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// What it takes, the default first.
        values: &'static [&'static str],
    },
    /// What was posted is no choice at all.
    #[error("expected {0}")]
    Malformed(&'static str),
}

impl Switches {
    /// Sets one switch, as `--switch name=value` does.
    ///
    /// # Errors
    /// [`SwitchError`] when there is no such switch or value; nothing has changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SwitchError> {
        let mut places = SWITCHES.iter().zip(&mut self.chosen);
        let Some((known, place)) = places.find(|(known, _)| known.name == name) else {
            return Err(SwitchError::Unknown { name: name.to_owned() });
        };
        let found = (0..).zip(known.values).find(|(_, known)| **known == value);
        let (at, _) = found.ok_or_else(|| SwitchError::Value {
            name: known.name,
            value: value.to_owned(),
            values: known.values,
        })?;
        *place = at;
        Ok(())
    }

    /// Sets one switch from `name=value`.
    ///
    /// # Errors
    /// [`SwitchError`] when that is not what it says.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), SwitchError> {
        let (name, value) = pair.split_once('=').ok_or(SwitchError::Malformed("name=value"))?;
        self.set(name, value)
    }

    /// Sets every switch of an object, or none when one cannot be set.
    ///
    /// # Errors
    /// [`SwitchError`] of the first one that cannot be set.
    pub fn set_all(&mut self, posted: &Value) -> Result<(), SwitchError> {
        const SHAPE: SwitchError = SwitchError::Malformed("an object of switch names and texts");
        let mut all = *self;
        for (name, value) in posted.as_object().ok_or(SHAPE)? {
            all.set(name, value.as_str().ok_or(SHAPE)?)?;
        }
        *self = all;
        Ok(())
    }

    /// Every switch with its value, its default, its values and what it is about.
    #[must_use]
    pub fn list(&self) -> Value {
        let row = |known: &Known| -> Map<String, Value> {
            let columns = [
                ("name", json!(known.name)),
                ("value", json!(self.value(known.switch))),
                ("default", json!(known.values.first())),
                ("values", json!(known.values)),
                ("meaning", json!(known.meaning)),
            ];
            columns.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
        };
        SWITCHES.iter().map(row).collect()
    }

    /// How a point is taken.
    pub(crate) fn value(&self, switch: Switch) -> &'static str {
        let mut places = SWITCHES.iter().zip(self.chosen);
        let found = places.find(|(known, _)| known.switch == switch);
        found.and_then(|(known, at)| known.values.get(usize::from(at)).copied()).unwrap_or_default()
    }

    /// Whether a point is taken otherwise than by default.
    pub(crate) fn turned(&self, switch: Switch) -> bool {
        self.value(switch) != Self::default().value(switch)
    }
}

/// Every switch name.
pub(crate) fn names() -> Vec<&'static str> {
    SWITCHES.iter().map(|known| known.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_takes_its_values_and_nothing_else() {
        let mut switches = Switches::default();
        assert!(!switches.turned(Switch::OverLong));
        switches.set_pair("over-long=cut").unwrap();
        assert!(switches.turned(Switch::OverLong) && !switches.turned(Switch::EmptyValues));
        let before = switches;
        for (posted, why) in [
            (json!({"over-long": "refused", "empty-values": "kept"}), "takes ignored or cleared, not `kept`"),
            (json!({"over-lng": "cut"}), "no switch `over-lng`; there are limit-and-offset"),
            (json!({"over-long": true}), "names and texts"),
            (json!(["over-long"]), "names and texts"),
        ] {
            assert!(switches.set_all(&posted).unwrap_err().to_string().contains(why), "{posted}");
            assert_eq!(switches, before, "{posted}");
        }
        switches.set_all(&json!({"over-long": "refused"})).unwrap();
        assert_eq!(switches, Switches::default());
    }

    #[test]
    fn every_switch_is_listed_and_explained_on_our_page() {
        let page = include_str!("../METAKOCKA.md");
        let listed = Switches::default().list();
        for row in listed.as_array().unwrap() {
            let default = row["default"].as_str().unwrap();
            let cell = format!("| `{}` | `{default}`", row["name"].as_str().unwrap());
            assert!(page.contains(&cell), "METAKOCKA.md has no row {cell}");
        }
        assert_eq!(listed.as_array().unwrap().len(), COUNT);
    }
}
