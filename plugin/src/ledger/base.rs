//! The merge base: what both sides last agreed on.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::crm::Names;
use crate::model::{Field, Fields, same};

/// Last agreed values, as each side really stored them.
///
/// The sides can hold different spellings of one agreement - the ERP answers `Slovenija` for the `SI` it was sent - so
/// the base keeps the CRM's value of every field and, only where it differs, the ERP's beside it. A side has changed
/// a field when it differs from its own part of the base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    crm: Fields,
    metakocka: Vec<(Field, Option<String>)>,
    /// First and last name the CRM had, to see that they were edited.
    pub names: Names,
    /// The full name column the CRM had.
    pub full_name: Option<String>,
    /// The contact was set inactive by us, its partner being gone: only our own deactivation is ever undone.
    pub deactivated: bool,
}

impl Base {
    /// A base on which both sides hold the same values.
    #[must_use]
    pub fn agreed(fields: Fields, names: Names) -> Self {
        let full_name = fields.get(Field::FullName).map(str::to_owned);
        Self { crm: fields, metakocka: Vec::new(), names, full_name, deactivated: false }
    }

    /// What the CRM held.
    #[must_use]
    pub fn crm(&self, field: Field) -> Option<&str> {
        self.crm.get(field)
    }

    /// Fingerprint of what the CRM held.
    #[must_use]
    pub fn crm_fingerprint(&self) -> String {
        self.crm.fingerprint()
    }

    /// What Metakocka held.
    #[must_use]
    pub fn metakocka(&self, field: Field) -> Option<&str> {
        match self.metakocka.iter().find(|(known, _)| *known == field) {
            Some((_, value)) => value.as_deref(),
            None => self.crm.get(field),
        }
    }

    /// Notes an agreement on one field.
    pub fn agree(&mut self, field: Field, crm: Option<&str>, metakocka: Option<&str>) {
        self.crm.set(field, crm);
        self.metakocka.retain(|(known, _)| *known != field);
        if !same(field, crm, metakocka) {
            self.metakocka.push((field, metakocka.map(str::to_owned)));
            self.metakocka.sort_by_key(|(field, _)| *field);
        }
    }
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        agreed_members(&mut map, &self.crm, &self.names)?;
        if self.full_name.as_deref() != self.crm.get(Field::FullName) {
            map.serialize_entry("stored_full_name", &self.full_name)?;
        }
        if self.deactivated {
            map.serialize_entry("deactivated", &true)?;
        }
        if !self.metakocka.is_empty() {
            let sides: serde_json::Map<_, _> = self
                .metakocka
                .iter()
                .map(|(field, value)| (field.name().to_owned(), value.clone().into()))
                .collect();
            map.serialize_entry("metakocka", &sides)?;
        }
        map.end()
    }
}

/// A base on which both sides hold the same, written down without being built: the form of [`Base`].
pub struct Agreed<'a> {
    /// What both sides hold.
    pub fields: &'a Fields,
    /// First and last name in the CRM.
    pub names: &'a Names,
}

impl Serialize for Agreed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        agreed_members(&mut map, self.fields, self.names)?;
        map.end()
    }
}

fn agreed_members<M: SerializeMap>(map: &mut M, fields: &Fields, names: &Names) -> Result<(), M::Error> {
    for (field, value) in fields.present() {
        map.serialize_entry(field.name(), value)?;
    }
    for (name, value) in [("firstname", &names.first), ("lastname", &names.last)] {
        if !value.is_empty() {
            map.serialize_entry(name, value)?;
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BaseVisitor;
        impl<'de> Visitor<'de> for BaseVisitor {
            type Value = Base;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a merge base")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Base, A::Error> {
                let mut base = Base::default();
                let mut full_name = None;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "metakocka" => {
                            let sides: std::collections::BTreeMap<String, Option<String>> =
                                map.next_value()?;
                            base.metakocka = sides
                                .into_iter()
                                .filter_map(|(name, value)| Field::named(&name).map(|field| (field, value)))
                                .collect();
                            base.metakocka.sort_by_key(|(field, _)| *field);
                        }
                        "firstname" => {
                            base.names.first = map.next_value::<Option<String>>()?.unwrap_or_default()
                        }
                        "lastname" => {
                            base.names.last = map.next_value::<Option<String>>()?.unwrap_or_default()
                        }
                        "deactivated" => base.deactivated = map.next_value()?,
                        "stored_full_name" => full_name = Some(map.next_value::<Option<String>>()?),
                        name => {
                            let value: Option<String> = map.next_value()?;
                            if let Some(field) = Field::named(name) {
                                base.crm.set(field, value.as_deref());
                            }
                        }
                    }
                }
                base.full_name =
                    full_name.unwrap_or_else(|| base.crm.get(Field::FullName).map(str::to_owned));
                Ok(base)
            }
        }
        deserializer.deserialize_map(BaseVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agreed_base_is_written_as_a_built_one() {
        let fields: Fields = [(Field::Company, "Alfa".to_owned()), (Field::FullName, "Ana Kos".to_owned())]
            .into_iter()
            .collect();
        let names = Names::split("Ana Kos");
        let built = Base::agreed(fields.clone(), names.clone());
        let written = serde_json::to_string(&Agreed { fields: &fields, names: &names }).unwrap();
        assert_eq!(written, serde_json::to_string(&built).unwrap());
    }

    #[test]
    fn both_spellings_survive_storage() {
        let mut base = Base::agreed(
            [(Field::Company, "Alfa".to_owned()), (Field::FullName, "Ana Kos".to_owned())]
                .into_iter()
                .collect(),
            Names::split("Ana Kos"),
        );
        base.agree(Field::Country, Some("SI"), Some("Slovenija"));
        base.agree(Field::City, Some("Kranj"), Some("Kranj pri Ljubljani"));
        base.agree(Field::Phone, None, Some("041 1"));
        base.full_name = None;
        let text = serde_json::to_string(&base).unwrap();
        let again: Base = serde_json::from_str(&text).unwrap();
        assert_eq!(again, base, "{text}");
        assert_eq!(
            again.metakocka(Field::Country),
            Some("SI"),
            "the same country in other words is one value"
        );
        assert_eq!(again.metakocka(Field::City), Some("Kranj pri Ljubljani"));
        assert_eq!((again.crm(Field::Phone), again.metakocka(Field::Phone)), (None, Some("041 1")));
        assert_eq!(again.metakocka(Field::Company), Some("Alfa"));
    }
}
