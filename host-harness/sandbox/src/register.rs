//! The partners of the company: kept as the bytes that are answered, with the indexes the calls need.

use crate::body::Body;
use crate::object::{Node, Object};
use crate::partner::{Numbers, Partner};
use crate::search::Index;
use crate::switches::{Switch, Switches};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Who made a record, or who last changed its natural keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was there from the start.
    Seed,
    /// A vendor call did it.
    Api,
    /// A person did it, through the edit door.
    Edit,
}

/// Which text of a partner a search looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Tax,
    Email,
    Phone,
}

#[derive(Debug)]
struct Record {
    id: u64,
    bytes: Bytes,
    /// The value of `discounts`, which is answered on request only.
    discounts: Option<Bytes>,
    created_by: Origin,
    natural_keys: Vec<String>,
    keyed_by: Origin,
    /// When the natural keys became what they are; later ones are the surplus of earlier ones.
    keyed_at: u64,
}

/// All partners, in creation order. A slot is a place in that order and is never used again.
#[derive(Debug, Default)]
pub(crate) struct Register {
    pub(crate) numbers: Numbers,
    slots: Vec<Option<Record>>,
    by_id: HashMap<u64, u32>,
    by_count_code: HashMap<String, u32>,
    names: Index,
    taxes: Index,
    emails: Index,
    phones: Index,
    changes: u64,
    scan: Option<Arc<Body>>,
}

impl Register {
    /// Appends a partner that has its ids already; answers its slot.
    pub(crate) fn insert(&mut self, partner: &Partner, discounts: Option<Bytes>, by: Origin) -> u32 {
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.changes += 1;
        self.scan = None;
        let id = partner.0.text("mk_id").and_then(|id| id.parse().ok()).unwrap_or_default();
        self.slots.push(Some(Record {
            id,
            bytes: partner.0.to_json().into(),
            discounts,
            created_by: by,
            natural_keys: partner.natural_keys(),
            keyed_by: by,
            keyed_at: self.changes,
        }));
        self.by_id.insert(id, slot);
        if let Some(code) = partner.0.text("count_code") {
            self.by_count_code.entry(code.to_owned()).or_insert(slot);
        }
        self.index(slot, partner);
        slot
    }

    /// Puts a changed partner in the place of the one in `slot`.
    pub(crate) fn replace(&mut self, slot: u32, partner: &Partner, by: Origin) {
        let before = self.partner(slot);
        let Some(record) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return };
        let bytes = partner.0.to_json();
        if record.bytes == bytes {
            return;
        }
        self.changes += 1;
        self.scan = None;
        record.bytes = bytes.into();
        let keys = partner.natural_keys();
        if record.natural_keys != keys {
            record.natural_keys = keys;
            record.keyed_by = by;
            record.keyed_at = self.changes;
        }
        let old_code = before.as_ref().and_then(|partner| partner.0.text("count_code"));
        let new_code = partner.0.text("count_code");
        if old_code != new_code {
            self.forget_count_code(old_code, slot);
            if let Some(code) = new_code {
                self.by_count_code.insert(code.to_owned(), slot);
            }
        }
        self.index(slot, partner);
    }

    /// Takes a partner away; answers whether it was there.
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let before = self.partner(slot);
        let Some(record) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return false };
        self.changes += 1;
        self.scan = None;
        self.by_id.remove(&record.id);
        self.forget_count_code(before.as_ref().and_then(|partner| partner.0.text("count_code")), slot);
        self.index(slot, &Partner(Object::default()));
        true
    }

    fn forget_count_code(&mut self, code: Option<&str>, slot: u32) {
        if let Some(code) = code
            && self.by_count_code.get(code) == Some(&slot)
        {
            self.by_count_code.remove(code);
        }
    }

    fn index(&mut self, slot: u32, partner: &Partner) {
        let texts = partner.search_texts();
        self.names.set(slot, &texts.name);
        self.taxes.set(slot, &texts.tax);
        self.emails.set(slot, &texts.email);
        self.phones.set(slot, &texts.phone);
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    /// The partner in a slot, to work on.
    pub(crate) fn partner(&self, slot: u32) -> Option<Partner> {
        serde_json::from_slice(&self.record(slot)?.bytes).ok().map(Partner)
    }

    /// The partner's bytes, the same in every answer until it changes.
    pub(crate) fn bytes(&self, slot: u32) -> Option<Bytes> {
        Some(self.record(slot)?.bytes.clone())
    }

    /// The partner's bytes with its discounts.
    pub(crate) fn bytes_with_discounts(&self, slot: u32) -> Option<Bytes> {
        let record = self.record(slot)?;
        let Some(discounts) = &record.discounts else { return Some(record.bytes.clone()) };
        let open = record.bytes.strip_suffix(b"}").unwrap_or_default();
        Some([open, br#","discounts":"#, discounts, b"}"].concat().into())
    }

    /// The bytes of these partners, with their discounts or without.
    pub(crate) fn rows(&self, slots: &[u32], discounts: bool) -> Vec<Bytes> {
        let row = |slot: &u32| if discounts { self.bytes_with_discounts(*slot) } else { self.bytes(*slot) };
        slots.iter().filter_map(row).collect()
    }

    /// Where the partner with this id is.
    pub(crate) fn by_id(&self, id: &str) -> Option<u32> {
        let number: u64 = id.parse().ok()?;
        self.by_id.get(&number).copied().filter(|_| number.to_string() == id)
    }

    /// Where the partner with this running number is.
    pub(crate) fn by_count_code(&self, code: &str) -> Option<u32> {
        self.by_count_code.get(code).copied()
    }

    /// Where the partners are whose text holds `query`, in creation order.
    pub(crate) fn search(&self, key: Key, query: &str, switches: &Switches) -> Vec<u32> {
        let only =
            |kept: fn(char) -> bool| move |text: &str| text.chars().filter(|sign| kept(*sign)).collect();
        match key {
            Key::Tax if switches.turned(Switch::TaxSearch) => {
                self.taxes.find_folded(query, only(char::is_alphanumeric))
            }
            Key::Phone if switches.turned(Switch::PhoneSearch) => {
                self.phones.find_folded(query, only(|sign| sign.is_ascii_digit()))
            }
            Key::Name => self.names.find(query),
            Key::Tax => self.taxes.find(query),
            Key::Email => self.emails.find(query),
            Key::Phone => self.phones.find(query),
        }
    }

    /// Every taken slot, in creation order.
    pub(crate) fn slots(&self) -> Vec<u32> {
        (0..).zip(&self.slots).filter(|(_, record)| record.is_some()).map(|(slot, _)| slot).collect()
    }

    /// How many partners there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The full scan as last made; forgotten with the next change.
    pub(crate) fn cached_scan(&mut self, make: impl FnOnce(&Self) -> Arc<Body>) -> Arc<Body> {
        if let Some(scan) = &self.scan {
            return scan.clone();
        }
        let scan = make(self);
        self.scan = Some(scan.clone());
        scan
    }

    /// Makes the next full scan anew although no partner changed.
    pub(crate) fn forget_scan(&mut self) {
        self.scan = None;
    }

    /// How many partners made through the API are one too many: an earlier partner of the seed or of the API
    /// shares a natural key, and no person made it so.
    pub(crate) fn duplicates(&self) -> usize {
        let mut first: HashMap<&str, u64> = HashMap::new();
        let records = || self.slots.iter().flatten().filter(|record| record.created_by != Origin::Edit);
        for record in records() {
            for key in &record.natural_keys {
                let earliest = first.entry(key).or_insert(record.keyed_at);
                *earliest = record.keyed_at.min(*earliest);
            }
        }
        records()
            .filter(|record| record.created_by == Origin::Api && record.keyed_by == Origin::Api)
            .filter(|record| {
                let earlier = |key: &String| first.get(&**key).is_some_and(|at| *at < record.keyed_at);
                record.natural_keys.iter().any(earlier)
            })
            .count()
    }
}

/// Keys the documentation does not name, as the real service sprinkles them: which ones depends on the
/// partner's id alone, so that a record always carries the same.
pub(crate) fn sprinkle_unknown_keys(partner: &mut Partner, seed: u64) {
    let id = partner.0.text("mk_id").and_then(|id| id.parse::<u64>().ok()).unwrap_or_default();
    // A multiplicative hash is all the chance this needs.
    let dice = (id ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let one_in = |chance: u64| dice.is_multiple_of(chance);
    let order = &crate::partner::PARTNER_ORDER;
    if one_in(5) {
        partner.0.set_text("partner_type_id", (3 + dice % 4).to_string(), order);
    }
    if one_in(7) {
        partner.0.set_text("e_invoice_supported", if one_in(2) { "true" } else { "false" }, order);
    }
    if one_in(11) {
        let mut nested = Object::default();
        nested.set_text("code", format!("R{}", dice % 9), &[]);
        nested.set_text("label", "Redna stranka", &[]);
        partner.0.set("rating_group", Node::Nested(nested), order);
    }
    if one_in(13) {
        for row in partner.0.rows_mut(crate::partner::CONTACTS).into_iter().flatten() {
            row.set_text("salutation_id", (dice % 3 + 1).to_string(), &crate::partner::CONTACT_ORDER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn partner(numbers: &mut Numbers, fields: Value) -> Partner {
        let mut switches = Switches::default();
        switches.set_pair("address-members=optional").unwrap();
        Partner::added(fields.as_object().unwrap(), numbers, &switches).unwrap()
    }

    #[test]
    fn duplicates_are_the_surplus_of_the_api_only() {
        let taxed = |tax: &str| json!({"customer": "A", "tax_id_number": tax});
        let mut register = Register::default();
        let mut add = |fields: Value, by| {
            let mut numbers = std::mem::take(&mut register.numbers);
            let partner = partner(&mut numbers, fields);
            register.numbers = numbers;
            (register.insert(&partner, None, by), register.duplicates())
        };
        for (fields, by, duplicates, why) in [
            (taxed("10000018"), Origin::Seed, 0, "the first"),
            (taxed("10000018"), Origin::Seed, 0, "the seed has duplicates of its own"),
            (taxed("20000028"), Origin::Api, 0, "a new one"),
            (taxed("SI20000028"), Origin::Edit, 0, "a person may make duplicates"),
            (taxed("SI 2000.0028"), Origin::Api, 1, "second of the API"),
            (taxed("10000018"), Origin::Api, 2, "the seed had it"),
            (json!({"customer": "A"}), Origin::Api, 2, "no tax number is another key"),
        ] {
            assert_eq!(add(fields, by).1, duplicates, "{why}");
        }
    }

    #[test]
    fn an_edit_that_makes_two_alike_is_no_duplicate_of_the_api() {
        let mut register = Register::default();
        let mut numbers = Numbers::default();
        let seeded = partner(&mut numbers, json!({"customer": "A", "tax_id_number": "10000018"}));
        let mut made = partner(&mut numbers, json!({"customer": "A", "tax_id_number": "20000028"}));
        register.insert(&seeded, None, Origin::Seed);
        let slot = register.insert(&made, None, Origin::Api);
        made.0.set_text("tax_id_number", "10000018", &[]);
        register.replace(slot, &made, Origin::Edit);
        assert_eq!(register.duplicates(), 0);
        made.0.set_text("tax_id_number", "30000038", &[]);
        register.replace(slot, &made, Origin::Api);
        made.0.set_text("tax_id_number", "10000018", &[]);
        register.replace(slot, &made, Origin::Api);
        assert_eq!(register.duplicates(), 1);
    }

    #[test]
    fn what_is_removed_is_found_no_more() {
        let mut register = Register::default();
        let mut numbers = Numbers::default();
        let first = partner(&mut numbers, json!({"customer": "Alfa", "tax_id_number": "12345678"}));
        let slot = register.insert(&first, None, Origin::Seed);
        assert_eq!(register.search(Key::Tax, "3456", &Switches::default()), [slot]);
        assert!(register.remove(slot));
        assert!(!register.remove(slot));
        assert_eq!(register.search(Key::Tax, "3456", &Switches::default()), Vec::<u32>::new());
        assert_eq!((register.by_id("400070000001"), register.by_count_code("1")), (None, None));
    }
}
