//! A company's partners from a number: the same number gives the same partners, everywhere and for ever.
//!
//! What holds for every seed, because readers of this API disagree on what to make of it otherwise: when any
//! contact has a phone, the first one has; when none has a phone and any has a mobile phone, the first one
//! has; there is at most one billing address.

mod names;

use crate::object::{Node, Object};
use crate::partner::{ADDRESS_ORDER, ADDRESSES, BILLING, CONTACT_ORDER, CONTACTS, PARTNER_ORDER, Partner};
use crate::register::{Origin, Register, sprinkle_unknown_keys};
use bytes::Bytes;
use names::{ABROAD, DEPARTMENTS, FIRST_NAMES, Land, SLOVENIA, STREETS, SURNAMES, TRADES, WORDS};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::collections::HashSet;

/// Fills an empty register with `count` partners, on demand with some that have no address at all.
pub(crate) fn register(seed: u64, count: usize, addressless: bool) -> Register {
    let mut register = Register::default();
    let mut world = World {
        dice: ChaCha8Rng::seed_from_u64(seed),
        taxes: HashSet::new(),
        emails: HashSet::new(),
        known_taxes: Vec::new(),
        known_emails: Vec::new(),
        addressless,
    };
    for _ in 0..count {
        let mut partner = world.partner(&mut register);
        sprinkle_unknown_keys(&mut partner, seed);
        let discounts = world.chance(2).then(|| world.discounts());
        register.insert(&partner, discounts, Origin::Seed);
    }
    register
}

struct World {
    dice: ChaCha8Rng,
    taxes: HashSet<String>,
    emails: HashSet<String>,
    /// What a duplicate is taken from.
    known_taxes: Vec<String>,
    known_emails: Vec<String>,
    addressless: bool,
}

impl World {
    /// True in `percent` of a hundred cases.
    fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_ratio(percent, 100)
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.dice.random_range(0..limit.max(1))
    }

    fn one<T: Copy + Default>(&mut self, of: &[T]) -> T {
        let at = self.below(u32::try_from(of.len()).unwrap_or(u32::MAX));
        of.get(at as usize).copied().unwrap_or_default()
    }

    fn partner(&mut self, register: &mut Register) -> Partner {
        let foreign = self.chance(12);
        let land = if foreign { ABROAD.get(self.below(5) as usize).unwrap_or(&SLOVENIA) } else { &SLOVENIA };
        let company = self.chance(70);
        let trader = company && !foreign && self.chance(20);
        let (first, last) = (self.one(&FIRST_NAMES), self.one(&SURNAMES));
        let (word, trade) = (self.one(&WORDS), self.one(&TRADES));
        let (name, domain) = match (company, trader) {
            (true, true) => {
                (format!("{}, {first} {last} s.p.", capitalized(trade)), format!("{trade}-{last}"))
            }
            (true, false) => {
                let form = self.one(land.company_forms);
                match self.below(3) {
                    0 => (format!("{word} {trade} {form}"), format!("{word}-{trade}")),
                    1 => (format!("{} {trade}, {form}", word.to_uppercase()), format!("{word}{trade}")),
                    _ => (format!("{last} {trade} {form}"), format!("{last}-{trade}")),
                }
            }
            // Persons are typed in both ways: as one says it, and surname first in capitals.
            (false, _) if self.chance(40) => (format!("{last} {first}").to_uppercase(), "posta".to_owned()),
            (false, _) => (format!("{first} {last}"), "posta".to_owned()),
        };

        let mut partner = Object::default();
        let order = &PARTNER_ORDER;
        partner.set_text("mk_id", register.numbers.id(), order);
        partner.set_text("business_entity", company.to_string(), order);
        partner.set_text("foreign_county", foreign.to_string(), order);
        partner.set_text("customer", name, order);
        let taxpayer = company && self.chance(85);
        if !self.chance(6) {
            partner.set_text("taxpayer", taxpayer.to_string(), order);
        }
        if !self.chance(5) {
            partner.set_text("buyer", self.chance(92).to_string(), order);
        }
        if !self.chance(8) {
            partner.set_text("supplier", self.chance(22).to_string(), order);
        }
        let count_code = register.numbers.count_code();
        let dated = self.chance(8);
        if !self.chance(9) {
            // Some companies number their partners anew every year.
            let count_code = if dated { format!("{count_code}/2026") } else { count_code };
            partner.set_text("count_code", count_code, order);
        }
        // About 45 in a hundred in all: live companies know the tax number of fewer than half of their partners.
        let taxed = self.chance(if company { 60 } else { 10 });
        if taxed {
            let tax = self.tax(land, taxpayer);
            partner.set_text("tax_id_number", tax, order);
        }
        if company && !foreign && !self.chance(15) {
            partner.set_text(
                "registration_number",
                format!("{:07}000", 1_000_000 + self.below(8_999_999)),
                order,
            );
        }

        let bare = self.chance(4) && self.addressless;
        let addresses = if bare { Vec::new() } else { self.addresses(land, company, register) };
        if !self.chance(6) {
            // Without a tax number an e-mail is missing more often too: the hardest ones to recognise.
            let no_email = self.chance(if taxed { 8 } else { 25 });
            let (person, domain) = ((first, last), (!no_email).then_some(&*domain));
            let contacts = self.contacts(land, company, person, domain, &addresses, register);
            partner.set(CONTACTS, Node::Rows(contacts), order);
        }
        partner.set(ADDRESSES, Node::Rows(addresses), order);
        Partner(partner)
    }

    fn addresses(&mut self, land: &Land, company: bool, register: &mut Register) -> Vec<Object> {
        let extra = match (company, self.below(100)) {
            (true, 0..=63) | (false, 0..=91) => 0,
            (true, 64..=91) | (false, _) => 1,
            _ => 2,
        };
        let mut types = vec![BILLING];
        for _ in 0..extra {
            types.push(if self.chance(60) { "Dobava" } else { "Poslovna enota" });
        }
        if extra > 0 && self.chance(9) {
            types.rotate_left(1);
        }
        if self.chance(3) {
            types.retain(|kind| *kind != BILLING);
            if types.is_empty() {
                types.push("Poslovna enota");
            }
        }
        types.into_iter().map(|kind| self.address(kind, land, register)).collect()
    }

    fn address(&mut self, kind: &str, land: &Land, register: &mut Register) -> Object {
        let order = &ADDRESS_ORDER;
        let mut address = Object::default();
        address.set_text("mk_id", register.numbers.id(), order);
        address.set_text("address_type", kind, order);
        let (post, town) = self.one(land.towns);
        let letter = if self.chance(8) { self.one(&["a", "b", "c"]) } else { "" };
        address.set_text("street", format!("{} {}{letter}", self.one(&STREETS), 1 + self.below(180)), order);
        if !self.chance(2) {
            address.set_text("post_number", post, order);
        }
        address.set_text("city", if self.chance(6) { town.to_uppercase() } else { town.to_owned() }, order);
        if self.chance(5) {
            let key = if self.chance(30) { "provice" } else { "province" };
            address.set_text(
                key,
                self.one(&["Osrednjeslovenska", "Podravska", "Gorenjska", "Štajerska"]),
                order,
            );
        }
        // Blank is common at home, where everybody knows.
        if land.foreign || !self.chance(15) {
            address.set_text("country", land.name, order);
        }
        if self.chance(35) {
            address.set_text("payment_due_days", self.one(&["8", "15", "30", "30", "45", "60"]), order);
        }
        address.set_text("language", land.language, order);
        if self.chance(30) {
            address.set_text("currency_id", "65", order);
            address.set_text("currency", "EUR", order);
        }
        address
    }

    fn contacts(
        &mut self,
        land: &Land,
        company: bool,
        (first, last): (&'static str, &'static str),
        domain: Option<&str>,
        addresses: &[Object],
        register: &mut Register,
    ) -> Vec<Object> {
        let order = &CONTACT_ORDER;
        let count = match (company, self.below(100)) {
            (true, 0..=61) | (false, 0..=95) => 1,
            (true, 62..=91) | (false, _) => 2,
            _ => 3,
        };
        let (phones, mobiles) = (company && self.chance(75), self.chance(70));
        // In a few partners only a later contact has the e-mail.
        let email_from = usize::from(count > 1 && self.chance(7));
        let mut rows = Vec::with_capacity(count);
        for at in 0..count {
            let (first, last) =
                if at == 0 { (first, last) } else { (self.one(&FIRST_NAMES), self.one(&SURNAMES)) };
            let mut contact = Object::default();
            contact.set_text("mk_id", register.numbers.id(), order);
            let home = addresses.get(self.below(u32::try_from(addresses.len()).unwrap_or(0)) as usize);
            if let Some(home) = home {
                contact.set_text("mk_address_id", home.text("mk_id").unwrap_or_default(), order);
                contact.set_text("contact_address", home.text("street").unwrap_or_default(), order);
            }
            if !self.chance(5) {
                contact.set_text("name", format!("{first} {last}"), order);
            }
            if let Some(domain) = domain
                && at >= email_from
                && (at == email_from || self.chance(70))
            {
                let email = self.email(company, first, last, domain);
                contact.set_text("email", email, order);
            }
            if phones && (at == 0 || self.chance(50)) {
                let phone = self.phone(land);
                contact.set_text("phone", phone, order);
            }
            if mobiles && (at == 0 || self.chance(60)) {
                let mobile = self.mobile(land);
                contact.set_text("gsm", mobile, order);
            }
            if phones && at == 0 && self.chance(12) {
                let fax = self.phone(land);
                contact.set_text("fax", fax, order);
            }
            rows.push(contact);
        }
        rows
    }

    /// An e-mail nobody else has, except for the about two in a hundred that somebody else does have.
    fn email(&mut self, company: bool, first: &str, last: &str, domain: &str) -> String {
        if !self.known_emails.is_empty() && self.chance(2) {
            let at = self.below(u32::try_from(self.known_emails.len()).unwrap_or(u32::MAX));
            return self.known_emails.get(at as usize).cloned().unwrap_or_default();
        }
        let local = if company && self.chance(35) {
            self.one(&DEPARTMENTS).to_owned()
        } else {
            format!("{}.{}", slug(first), slug(last))
        };
        let domain = slug(domain);
        let mut email = format!("{local}@{domain}.example");
        while !self.emails.insert(email.clone()) {
            let number = self.below(900_000);
            email = if company {
                format!("{local}@{domain}-{number}.example")
            } else {
                format!("{local}{number}@{domain}.example")
            };
        }
        self.known_emails.push(email.clone());
        email
    }

    /// A tax number nobody else has, except for the about two in a hundred that somebody else does have.
    fn tax(&mut self, land: &Land, taxpayer: bool) -> String {
        if !self.known_taxes.is_empty() && self.chance(2) {
            let at = self.below(u32::try_from(self.known_taxes.len()).unwrap_or(u32::MAX));
            return self.known_taxes.get(at as usize).cloned().unwrap_or_default();
        }
        loop {
            let digits = |world: &mut Self, count: usize| -> String {
                (0..count).map(|_| char::from(b'0' + u8::try_from(world.below(10)).unwrap_or(0))).collect()
            };
            let number = match land.dial {
                "386" => slovenian_tax_number(1_000_000 + self.below(9_000_000)),
                "385" => format!("HR{}", digits(self, 11)),
                "43" => format!("ATU{}", digits(self, 8)),
                "49" => format!("DE{}", digits(self, 9)),
                "39" => format!("IT{}", digits(self, 11)),
                _ => format!("HU{}", digits(self, 8)),
            };
            if !self.taxes.insert(number.clone()) {
                continue;
            }
            let prefixed = !land.foreign && taxpayer && !self.chance(20);
            let number = if prefixed { format!("SI{number}") } else { number };
            self.known_taxes.push(number.clone());
            return number;
        }
    }

    fn phone(&mut self, land: &Land) -> String {
        let (area, a, b, c) =
            (self.one(&[1, 2, 3, 4, 5, 7]), self.below(1000), self.below(100), self.below(100));
        match (land.foreign, self.below(3)) {
            (true, _) => format!("+{} {area} {a:03} {b:02}{c:02}", land.dial),
            (false, 0) => format!("+386 {area} {a:03} {b:02} {c:02}"),
            (false, 1) => format!("0{area}/{a:03}-{b:02}-{c:02}"),
            (false, _) => format!("0{area} {a:03} {b:02} {c:02}"),
        }
    }

    fn mobile(&mut self, land: &Land) -> String {
        let (net, a, b) =
            (self.one(&["31", "40", "41", "51", "70", "68"]), self.below(1000), self.below(1000));
        match (land.foreign, self.below(3)) {
            (true, _) => format!("+{} {net} {a:03} {b:03}", land.dial),
            (false, 0) => format!("+386 {net} {a:03} {b:03}"),
            (false, 1) => format!("0{net}{a:03}{b:03}"),
            (false, _) => format!("0{net} {a:03} {b:03}"),
        }
    }

    /// Rows as on the vendor's page: `categories` is a text when there is one and a list when there are more.
    fn discounts(&mut self) -> Bytes {
        let (percent, override_existing) = (2 + self.below(28), self.chance(50));
        let categories = if self.chance(50) { r#""Oprema""# } else { r#"["Oprema","Storitve"]"# };
        format!(
            r#"[{{"categories":{categories},"discount_percent":"{percent}.00","override_existing":"{override_existing}"}}]"#
        )
        .into()
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A name as it stands in an e-mail address.
fn slug(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .map(|letter| match letter {
            'č' | 'ć' => 'c',
            'š' => 's',
            'ž' => 'z',
            other => other,
        })
        .collect()
}

/// Seven digits with their check digit; numbers whose check digit does not exist are not given out.
fn slovenian_tax_number(seven: u32) -> String {
    let digits = seven.to_string();
    let sum: u32 =
        digits.bytes().zip((2..=8).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    match 11 - sum % 11 {
        11 => slovenian_tax_number(seven - 1),
        10 => format!("{digits}0"),
        check => format!("{digits}{check}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn partners(seed: u64, count: usize) -> Vec<Partner> {
        let register = register(seed, count, false);
        register.slots().into_iter().filter_map(|slot| register.partner(slot)).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_company() {
        let bytes =
            |seed| partners(seed, 200).iter().flat_map(|partner| partner.0.to_json()).collect::<Vec<_>>();
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn readings_of_phones_and_addresses_agree() {
        for Partner(partner) in partners(3, 5_000) {
            let contacts = partner.rows(CONTACTS);
            let first_has = |key: &str| contacts.first().is_some_and(|row| row.has(key));
            let any_has = |key: &str| contacts.iter().any(|row| row.has(key));
            assert!(first_has("phone") || !any_has("phone"), "{partner:?}");
            assert!(any_has("phone") || first_has("gsm") || !any_has("gsm"), "{partner:?}");
            let billing =
                partner.rows(ADDRESSES).iter().filter(|row| row.text("address_type") == Some(BILLING));
            assert!(billing.count() <= 1, "{partner:?}");
            let text = String::from_utf8(partner.to_json()).unwrap();
            assert!(!text.contains("\" ") && !text.contains(" \"") && !text.contains("\"\""), "{text}");
        }
    }

    #[test]
    fn every_oddity_is_there_in_its_measure() {
        let partners = partners(1, 10_000);
        let share = |what: &str, range: std::ops::RangeInclusive<f64>, has: &dyn Fn(&Object) -> bool| {
            let found = partners.iter().filter(|partner| has(&partner.0)).count() as f64 / 100.0;
            assert!(range.contains(&found), "{what}: {found} %");
        };
        let first_billing = |partner: &Object| {
            partner.rows(ADDRESSES).iter().position(|row| row.text("address_type") == Some(BILLING))
        };
        share("foreign", 10.0..=14.0, &|p| p.text("foreign_county") == Some("true"));
        share("without contacts", 4.0..=8.0, &|p| p.rows(CONTACTS).is_empty());
        share("without addresses", 0.0..=0.0, &|p| p.rows(ADDRESSES).is_empty());
        share("with a tax number", 43.0..=47.0, &|p| p.has("tax_id_number"));
        let mailed = |p: &Object| p.rows(CONTACTS).iter().any(|row| row.has("email"));
        share("neither tax number nor e-mail", 14.0..=18.5, &|p| !p.has("tax_id_number") && !mailed(p));
        share("codes with a year", 6.0..=9.0, &|p| {
            p.text("count_code").is_some_and(|code| code.ends_with("/2026"))
        });
        share("without count_code", 7.0..=11.0, &|p| !p.has("count_code"));
        share("no billing address", 1.5..=5.0, &|p| {
            !p.rows(ADDRESSES).is_empty() && first_billing(p).is_none()
        });
        share("billing address not first", 1.5..=6.0, &|p| first_billing(p).is_some_and(|at| at > 0));
        share("misspelt province", 0.5..=4.0, &|p| p.rows(ADDRESSES).iter().any(|row| row.has("provice")));
        share("e-mail in a later contact only", 1.0..=5.0, &|p| {
            let rows = p.rows(CONTACTS);
            rows.iter().any(|row| row.has("email")) && rows.first().is_some_and(|row| !row.has("email"))
        });
        let mut keys: HashMap<&str, u32> = HashMap::new();
        for tax in partners.iter().filter_map(|partner| partner.0.text("tax_id_number")) {
            *keys.entry(tax).or_default() += 1;
        }
        let repeated = keys.values().map(|count| count - 1).sum::<u32>();
        assert!((80..250).contains(&repeated), "{repeated} repeated tax numbers");
        let size = partners.iter().map(|partner| partner.0.to_json().len()).sum::<usize>() / partners.len();
        assert!((700..760).contains(&size), "{size} bytes on average");
    }

    #[test]
    fn tax_numbers_have_their_check_digit() {
        for (seven, number) in [(1_504_655, "15046550"), (8_000_000, "80000002")] {
            let digits: u32 = number.bytes().zip((2..=8).rev()).map(|(d, w)| u32::from(d - b'0') * w).sum();
            let check = (11 - digits % 11) % 10;
            assert_eq!(slovenian_tax_number(seven), format!("{seven}{check}"));
        }
    }
}
