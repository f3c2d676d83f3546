//! Two hundred companies on each side, sharing accountants' addresses: who is who? Each value tells which company it is
//! of, so a value of one in another's record can be seen.

use std::collections::{BTreeMap, BTreeSet};

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{World, alone};

const SEEDS: u64 = 3;
const EACH: usize = 200;
/// So many of them stand on both sides.
const BOTH: usize = 120;
const ACCOUNTANTS: usize = 40;
/// Shared by a family's companies; the trade tells them apart.
const FAMILIES: [&str; 8] =
    ["Novak", "Horvat", "Kovačič", "Krajnc", "Zupančič", "Potočnik", "Mlakar", "Žagar"];
const TRADES: [&str; 8] =
    ["Gradnje", "Transport", "Mizarstvo", "Elektro", "Kovinarstvo", "Kmetija", "Servis", "Lesarstvo"];
const FORMS: [&str; 5] = [" d.o.o.", ", d. o. o.", " s.p.", " d.d.", ""];

/// A company as it really is.
struct Company {
    number: usize,
    name: String,
    tax: Option<String>,
    registration: Option<String>,
    /// Its own address, or its accountant's.
    email: String,
}

impl Company {
    fn new(number: usize, dice: &mut StdRng) -> Self {
        // Every second one belongs to a family that has several; each pair of family and trade exists once.
        let name = if number.is_multiple_of(2) {
            let pair = number / 2;
            match (FAMILIES.get(pair / TRADES.len()), TRADES[pair % TRADES.len()]) {
                (Some(family), trade) => format!("{trade} {family}"),
                (None, trade) => format!("{trade} {}", word(number)),
            }
        } else {
            word(number)
        };
        Self {
            number,
            name,
            tax: dice.random_bool(0.6).then(|| format!("{}", 10_000_000 + number * 7_919)),
            registration: dice.random_bool(0.3).then(|| format!("{}", 5_000_000 + number)),
            email: if dice.random_bool(0.7) {
                // Half of them go where their neighbours by number go, so families share one.
                let any = dice.random_range(0..ACCOUNTANTS);
                let accountant =
                    if dice.random_bool(0.5) { number / TRADES.len() / 2 % ACCOUNTANTS } else { any };
                format!("racuni@knjigovodstvo-{accountant}.example")
            } else {
                format!("info@podjetje-{number}.example")
            },
        }
    }

    fn called(&self, dice: &mut StdRng) -> String {
        let form = FORMS.choose(dice).unwrap();
        let name = if dice.random_bool(0.2) { self.name.to_uppercase() } else { self.name.clone() };
        format!("{name}{form}")
    }

    /// As a side writes it, if it knows it.
    fn number(value: Option<&String>, prefix: &str, dice: &mut StdRng) -> Option<String> {
        let value = value.filter(|_| dice.random_bool(0.7))?;
        Some(match dice.random_range(0..3) {
            0 => value.clone(),
            1 => format!("{prefix}{value}"),
            _ => format!("{prefix} {} {}", &value[..4], &value[4..]).trim().to_owned(),
        })
    }

    fn contact(&self, dice: &mut StdRng) -> Value {
        json!({ "id": format!("crm-{:03}", self.number), "company": self.called(dice),
            "full_name": format!("Oseba {}", word(self.number)), "email": self.email, "phone": self.phone(),
            "street": self.street(), "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija",
            "tax_number": Self::number(self.tax.as_ref(), "SI", dice),
            "registration_number": Self::number(self.registration.as_ref(), "", dice) })
    }

    fn partner(&self, dice: &mut StdRng) -> Value {
        json!({ "customer": self.called(dice), "business_entity": "true", "buyer": "true",
            "tax_id_number": Self::number(self.tax.as_ref(), "SI", dice),
            "registration_number": Self::number(self.registration.as_ref(), "", dice),
            "partner_contact_list": [{ "name": format!("Oseba {}", word(self.number)), "email": self.email,
                "phone": self.phone() }],
            "partner_delivery_address_list": [{ "address_type": "Račun", "street": self.street(),
                "post_number": "1000", "city": "Ljubljana", "country": "Slovenija" }] })
    }

    fn phone(&self) -> String {
        format!("01 555 {:04}", self.number)
    }

    fn street(&self) -> String {
        format!("Ulica {} 1", word(self.number))
    }
}

/// A word no other number has.
fn word(number: usize) -> String {
    let syllables = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu"];
    let mut rest = number + 1_000;
    let mut word = String::from("X");
    while rest > 0 {
        word.push_str(syllables[rest % 10]);
        rest /= 10;
    }
    word
}

/// The companies whose values stand in a record.
fn companies_in(record: &Value, all: &[Company]) -> BTreeSet<usize> {
    let letters = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
    };
    let mut texts = Vec::new();
    collect(record, &mut texts);
    let texts: BTreeSet<String> = texts.iter().map(|text| letters(text)).collect();
    let forms: BTreeSet<String> = FORMS.iter().map(|form| letters(form)).collect();
    all.iter()
        .filter(|company| {
            let name = letters(&company.name);
            let own = [
                Some(letters(&company.street())),
                Some(letters(&company.phone())),
                Some(letters(&format!("Oseba {}", word(company.number)))),
                company.tax.clone(),
                company.tax.as_ref().map(|tax| format!("si{tax}")),
                company.registration.clone(),
                Some(company.email.clone())
                    .filter(|email| !email.contains("knjigovodstvo"))
                    .map(|email| letters(&email)),
            ];
            own.iter().flatten().any(|value| texts.contains(value))
                || forms.iter().any(|form| texts.contains(&format!("{name}{form}")))
        })
        .map(|company| company.number)
        .collect()
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(rows) => rows.iter().for_each(|row| collect(row, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        _ => {}
    }
}

async fn story(seed: u64, start: &World) -> Result<(usize, usize), String> {
    let mut dice = StdRng::seed_from_u64(seed);
    let all: Vec<Company> = (0..2 * EACH - BOTH).map(|number| Company::new(number, &mut dice)).collect();
    let world = start.fresh();
    for company in &all[..EACH] {
        world.put_contact(&company.contact(&mut dice)).await;
    }
    for company in &all[EACH - BOTH..] {
        let _ = world.make_partner(company.partner(&mut dice));
    }
    world.to_rest(Direction::Bidirectional).await?;

    let mut wrong = Vec::new();
    let contacts: BTreeMap<String, Value> = world
        .entries(Collection::Contacts)
        .await
        .into_iter()
        .map(|(entry, body)| (entry.id, Value::Object(body)))
        .collect();
    let partners: BTreeMap<String, Value> = world
        .partners()
        .into_iter()
        .map(|partner| (partner["mk_id"].as_str().unwrap().to_owned(), partner))
        .collect();
    for (side, records) in [("contact", &contacts), ("partner", &partners)] {
        for (id, record) in records {
            let companies = companies_in(record, &all);
            if companies.len() != 1 {
                wrong.push(format!("{side} {id} holds values of {companies:?}: {record}"));
            }
        }
    }
    let links = world.links().await;
    for (contact, (partner, _)) in &links {
        let (ours, theirs) = (companies_in(&contacts[contact], &all), companies_in(&partners[partner], &all));
        if ours != theirs {
            wrong.push(format!(
                "contact {contact} of {ours:?} is linked with partner {partner} of {theirs:?}"
            ));
        }
    }
    let quarantine = world.entries(Collection::Quarantine).await;
    let said = |member: &str| -> BTreeSet<String> {
        quarantine
            .iter()
            .filter(|(_, row)| row["reason"].as_str().is_some_and(|reason| reason.len() > 40))
            .filter_map(|(_, row)| row.get(member)?.as_str().map(str::to_owned))
            .collect()
    };
    let (said_contacts, said_partners) = (said("crm_id"), said("metakocka_id"));
    let undecided: Vec<&String> = contacts.keys().filter(|id| !links.contains_key(*id)).collect();
    let taken: BTreeSet<&String> = links.values().map(|(partner, _)| partner).collect();
    let alone: Vec<&String> = partners.keys().filter(|id| !taken.contains(id)).collect();
    wrong.extend(
        undecided
            .iter()
            .filter(|id| !said_contacts.contains(**id))
            .map(|id| format!("nothing is said of contact {id}")),
    );
    wrong.extend(
        alone
            .iter()
            .filter(|id| !said_partners.contains(**id))
            .map(|id| format!("nothing is said of partner {id}")),
    );
    // What is the same beyond doubt is one pair: a number both sides know.
    for company in &all[EACH - BOTH..EACH] {
        let contact = format!("crm-{:03}", company.number);
        let tax = |record: &Value, member: &str| {
            let digits = record[member].as_str()?.chars().filter(char::is_ascii_digit).collect::<String>();
            Some(digits)
        };
        let there = partners.iter().filter(|(_, partner)| {
            let ours = tax(&contacts[&contact], "tax_number");
            ours.is_some() && ours == tax(partner, "tax_id_number")
        });
        let there: Vec<&String> = there.map(|(id, _)| id).collect();
        if let ([only], link) = (&there[..], links.get(&contact))
            && link.is_none_or(|(partner, _)| partner != *only)
        {
            wrong.push(format!(
                "contact {contact} and partner {only} share a tax number and are no pair: {link:?}"
            ));
        }
    }
    if wrong.is_empty() { Ok((links.len(), undecided.len() + alone.len())) } else { Err(wrong.join("\n")) }
}

#[test]
fn no_value_of_one_company_stands_in_anothers_record() {
    let first = proof::seed(1);
    let last = if std::env::var_os("PROOF_SEED").is_some() { first } else { first + SEEDS - 1 };
    let mut wrong = Vec::new();
    alone(async {
        let start = World::new().await;
        for seed in first..=last {
            match story(seed, &start).await {
                Ok((links, asked)) => {
                    println!("PROOF_SEED={seed}: {links} pairs, {asked} records ask a person")
                }
                Err(why) => wrong.push(format!("PROOF_SEED={seed}:\n{why}")),
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
