//! Which record is which: near misses on every key. Each is refused or asked about, never guessed.

use host_harness::store::{Change, Collection};
use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Value, json};

use super::{FIRST, codes, in_step, partner, partner_of, quarantine, stored};
use crate::sim::powers::Said;
use crate::sim::{World, alone, company};

const TO: Direction = Direction::ToMetakocka;

/// A company over there with this tax number and these persons' addresses.
fn with_keys(tax: Option<&str>, emails: &[&str]) -> Value {
    let mut partner = company(1);
    partner["customer"] = contact(2)["company"].clone();
    partner["tax_id_number"] = json!(tax);
    let persons = emails.iter().map(|email| json!({ "name": "Živa Šušteršič 2", "email": email }));
    partner["partner_contact_list"] = persons.collect();
    partner
}

/// The second contact of the records, with these keys.
fn contact_with(tax: Option<&str>, email: Option<&str>) -> Value {
    let mut contact = contact(2);
    contact["tax_number"] = json!(tax);
    contact["email"] = json!(email);
    contact["registration_number"] = Value::Null;
    contact
}

/// Metakocka finds by part of a value, so its answers hold partners that only look alike.
#[test]
fn a_near_miss_is_another_partner_and_another_spelling_is_the_same_one() {
    let tax = |number| contact_with(Some(number), None);
    let mail = |address| contact_with(None, Some(address));
    let rows = [
        ("a longer number", tax("SI1234567"), with_keys(Some("SI12345678"), &[]), false),
        ("the same number", tax("SI12345678"), with_keys(Some("SI12345678"), &[]), true),
        ("without its country over there", tax("SI12345678"), with_keys(Some("12345678"), &[]), true),
        ("without its country here", tax("12345678"), with_keys(Some("SI12345678"), &[]), true),
        ("a longer address", mail("na@zaga.example"), with_keys(None, &["ana@zaga.example"]), false),
        ("the same address", mail("na@zaga.example"), with_keys(None, &["na@zaga.example"]), true),
        ("in other letters", mail("Na@Zaga.example"), with_keys(None, &["na@zaga.example"]), true),
        (
            "of the second person",
            mail("na@zaga.example"),
            with_keys(None, &["x@zaga.example", "na@zaga.example"]),
            true,
        ),
    ];
    alone(async {
        for (what, contact, partner, same) in rows {
            let world = World::new().await;
            let there = world.make_partner(partner);
            world.put_contact(&contact).await;
            world.to_rest(TO).await.unwrap();
            let linked = partner_of(&world, FIRST).await;
            assert_eq!(linked == there, same, "{what}");
            assert_eq!(world.partners().len(), if same { 1 } else { 2 }, "{what}");
        }
    });
}

/// A contact that has its partner is no candidate for a second one.
#[test]
fn two_partners_that_share_an_address_become_two_contacts() {
    alone(async {
        let world = World::new().await;
        in_step(&world, [2]).await;
        let email = contact(2)["email"].as_str().unwrap().to_owned();
        let other = world.make_partner(with_keys(None, &[&email]));
        let report = world.sync(Direction::FromMetakocka).await;
        assert_eq!((report.crm_created, report.linked, report.failed), (1, 0, 0), "{report:?}");
        let links = world.links().await;
        assert_eq!(links.len(), 2);
        assert_ne!(links[FIRST].0, other);
    });
}

/// Two contacts claim one partner: a person has to say whose it is, and neither is made anew.
#[test]
fn a_partner_two_contacts_claim_is_nobodys() {
    alone(async {
        let world = World::new().await;
        let _ = world.make_partner(with_keys(Some("SI12345678"), &[]));
        for id in ["one", "two"] {
            let mut claimant = contact_with(Some("SI12345678"), None);
            claimant["id"] = json!(id);
            world.put_contact(&claimant).await;
        }
        let report = world.sync(TO).await;
        assert_eq!((report.linked, report.metakocka_created, report.parked), (0, 0, 2), "{report:?}");
        assert!(world.links().await.is_empty());
        assert!(quarantine(&world).await.iter().all(|row| row["code"] == "ambiguous-match"));
        assert_eq!(world.partners().len(), 1);
    });
}

/// A refusal nobody knows says nothing about whether a partner is there.
#[test]
fn an_unknown_refusal_of_a_look_up_is_not_none() {
    alone(async {
        for code in ["7", "3", "9"] {
            let world = World::new().await;
            in_step(&world, [1]).await;
            world.put_contact(&contact(2)).await;
            let refusal = json!([{ "match": "get_partner", "fault": "opr-1-without-commit", "opr_code": code,
                "text": "Nekaj novega." }]);
            world.sandbox().faults(&refusal).unwrap();
            let report = world.sync(TO).await;
            assert_eq!(report.metakocka_created, 0, "{code}: {report:?}");
            assert!(report.stopped.is_some(), "{code}: {:?}", codes(&report));
            assert_eq!(world.partners().len(), 1, "{code}");
            assert!(quarantine(&world).await.is_empty(), "{code}: nothing is wrong with the record");
        }
    });
}

/// Two spellings of one key are two questions, and a partner that answers both of them is one partner.
#[test]
fn a_partner_found_twice_is_found_once() {
    alone(async {
        let world = World::new().await;
        // Its address holds one of the two, so it stands between the answers.
        let _ = world.make_partner(with_keys(None, &["fibo@zaga.example"]));
        world.put_contact(&contact_with(None, Some("ana@zaga.example; bo@zaga.example"))).await;
        let lost = json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 1 }]);
        world.sandbox().faults(&lost).unwrap();
        let report = world.sync(TO).await;
        assert_eq!((report.metakocka_created, report.parked, report.failed), (1, 0, 0), "{report:?}");
        assert!(quarantine(&world).await.is_empty());
        assert_eq!(world.partners().len(), 2);
    });
}

/// An address an accountant lends to many is told by the name, in either direction; without a name that fits it asks.
#[test]
fn of_many_with_one_address_the_name_tells_which() {
    let office = "racuni@knjigovodstvo.example";
    let named = |id: &str, company: &str| {
        let mut contact = contact_with(None, Some(office));
        contact["id"] = json!(id);
        contact["company"] = json!(company);
        contact
    };
    let partner = |company: &str| {
        let mut partner = with_keys(None, &[office]);
        partner["customer"] = json!(company);
        partner
    };
    alone(async {
        for direction in [TO, Direction::FromMetakocka, Direction::Bidirectional] {
            let world = World::new().await;
            let alfa = world.make_partner(partner("ALFA d. o. o."));
            let _ = world.make_partner(partner("Delta d.o.o."));
            for (id, company) in [("a", "Alfa d.o.o."), ("b", "Beta d.o.o."), ("g", "Gama d.o.o.")] {
                world.put_contact(&named(id, company)).await;
            }
            world.to_rest(direction).await.unwrap();
            let links = world.links().await;
            assert_eq!(links.len(), 1, "{direction:?}: {links:?}");
            assert_eq!(partner_of(&world, "a").await, alfa, "{direction:?}");
            assert_eq!((world.partners().len(), world.entries(Collection::Contacts).await.len()), (2, 3));
            assert!(!quarantine(&world).await.is_empty(), "{direction:?}: nobody is asked");
        }
    });
}

fn number(contact: &mut Value, tax: &str, registration: &str) {
    contact["tax_number"] = json!(tax);
    contact["registration_number"] = json!(registration);
}

/// A contact with a number may be a partner without one: the same address and name make them one, in every direction, and
/// whether or not a scan comes before.
#[test]
fn a_partner_without_a_number_is_found_by_address_and_name() {
    alone(async {
        for direction in [TO, Direction::FromMetakocka, Direction::Bidirectional] {
            let world = World::new().await;
            let there = world.make_partner(with_keys(None, &["info@beta.example"]));
            world.put_contact(&contact_with(Some("SI98765432"), Some("info@beta.example"))).await;
            world.to_rest(direction).await.unwrap();
            assert_eq!(partner_of(&world, FIRST).await, there, "{direction:?}");
            assert_eq!(world.partners().len(), 1, "{direction:?}");
        }
    });
}

/// The same tax number and another registration number: one of them is wrong, and a person is asked, in every direction.
#[test]
fn contradicting_numbers_are_asked_about() {
    alone(async {
        for direction in [TO, Direction::FromMetakocka, Direction::Bidirectional] {
            let world = World::new().await;
            let mut partner = with_keys(Some("SI12345671"), &["a@beta.example"]);
            partner["registration_number"] = json!("1234567000");
            let _ = world.make_partner(partner);
            let mut contact = contact_with(None, Some("b@beta.example"));
            number(&mut contact, "SI12345671", "7654321000");
            world.put_contact(&contact).await;
            world.to_rest(direction).await.unwrap();
            let contacts = world.entries(Collection::Contacts).await;
            assert_eq!(
                (world.links().await.len(), world.partners().len(), contacts.len()),
                (0, 1, 1),
                "{direction:?}"
            );
            let rows = quarantine(&world).await;
            assert!(rows.iter().any(|row| row["code"] == "contradicting-numbers"), "{direction:?}: {rows:?}");
            // Put right, they are one.
            number(&mut contact, "SI12345671", "1234567");
            world.put_contact(&contact).await;
            for row in world.entries(Collection::Quarantine).await {
                let retry = json!({ "retry": true }).to_string();
                world.write(Collection::Quarantine, &row.0.id, Change::Merge(retry.into())).await;
            }
            world.to_rest(direction).await.unwrap();
            assert_eq!((world.links().await.len(), quarantine(&world).await.len()), (1, 0), "{direction:?}");
        }
    });
}

/// A company goes by its own name: the name of its contact person may be its accountant's, who is a customer too.
#[test]
fn a_company_is_not_its_contact_person() {
    let office = "r4@knj.example";
    alone(async {
        for direction in [TO, Direction::FromMetakocka, Direction::Bidirectional] {
            let world = World::new().await;
            let mut accountant = with_keys(Some("SI11000005"), &[office]);
            accountant["business_entity"] = json!("false");
            accountant["customer"] = json!("Ana Knjiga");
            accountant["partner_contact_list"][0]["name"] = json!("Ana Knjiga");
            let there = world.make_partner(accountant);
            let mut company = contact_with(None, Some(office));
            for (column, value) in
                [("company", "Gamaplast d.o.o."), ("firstname", "Ana"), ("lastname", "Knjiga")]
            {
                company[column] = json!(value);
            }
            world.put_contact(&company).await;
            world.to_rest(direction).await.unwrap();
            let links = world.links().await;
            assert!(links.get(FIRST).is_none_or(|(partner, _)| *partner != there), "{direction:?}");
            assert_eq!(partner(&world, &there)["customer"], "Ana Knjiga", "{direction:?}");
            assert_eq!(stored(&world, FIRST).await["tax_number"], Value::Null, "{direction:?}");
            assert!(!quarantine(&world).await.is_empty(), "{direction:?}: nobody is asked");
        }
    });
}

/// Three persons of one customer do not become three partners, wherever the CRM keeps the company's name.
#[test]
fn contacts_of_one_company_name_ask() {
    let records = |one: Value, other: Value| {
        [("a", one), ("b", other)].map(|(id, name)| {
            let mut contact = contact_with(None, Some(&format!("{id}@x.example")));
            for column in ["company", "firstname", "lastname", "full_name"] {
                contact[column] = name.get(column).cloned().unwrap_or_default();
            }
            contact["id"] = json!(id);
            contact
        })
    };
    let company = json!({ "company": "Alfa d.o.o.", "firstname": "Ana", "lastname": "Kos" });
    let full = json!({ "full_name": "ALFA, d. o. o." });
    let split = json!({ "firstname": "Alfa", "lastname": "d.o.o." });
    alone(async {
        for (one, other) in [(&company, &full), (&full, &full), (&split, &full), (&company, &split)] {
            let world = World::new().await;
            for record in records(one.clone(), other.clone()) {
                world.put_contact(&record).await;
            }
            world.to_rest(TO).await.unwrap();
            assert_eq!(world.partners().len(), 0, "{one} {other}");
            let rows = quarantine(&world).await;
            assert!(rows.len() == 2 && rows.iter().all(|row| row["code"] == "same-company"), "{rows:?}");
        }
    });
}

/// An answer that names another company's partner is no proof: the contact's edits would go to a stranger.
#[test]
fn an_answer_with_the_id_of_another_partner_is_in_doubt() {
    alone(async {
        for (tax, name) in [(Some("SI10000017"), "Prva d.o.o."), (None, "Prva d.o.o."), (None, "Ana Kos")] {
            let world = World::new().await;
            let mut other = with_keys(tax, &[]);
            other["customer"] = json!(name);
            let other = world.make_partner(other);
            world.put_contact(&contact(2)).await;
            let (answer, erp) = (json!({ "mk_id": other, "opr_code": "0" }).to_string(), other.clone());
            world.say(
                move |path, _| {
                    if path.ends_with("add_partner") { Said::After(answer.clone()) } else { Said::ByErp }
                },
            );
            let _ = world.sync(TO).await;
            world.say_nothing();
            world.to_rest(TO).await.unwrap();
            assert_ne!(partner_of(&world, FIRST).await, erp, "{tax:?} {name}");
            assert_eq!(world.partners().len(), 2, "{tax:?} {name}");
            world.edit_contact(FIRST, json!({ "phone": "01 999 99 99" })).await;
            world.to_rest(TO).await.unwrap();
            assert!(!partner(&world, &other).to_string().contains("999 99 99"), "{tax:?} {name}");
        }
    });
}

/// Two contacts of one tax number, whose partner keeps it with marks: in one run or on different days, no second partner. Nor
/// one for a contact with a number whose partner is another contact's and has none.
#[test]
fn what_is_taken_is_not_created_again_however_it_is_spelt() {
    let named = |id: &str, tax: Option<&str>, email: &str| {
        let mut contact = contact_with(tax, Some(email));
        contact["id"] = json!(id);
        contact
    };
    let pairs = [
        (Some("SI 4444-4445"), Some("44444445"), "b@x.example"),
        (Some("44.444.445"), Some("SI44444445"), "b@x.example"),
        (Some("SI44444445"), Some("SI 44444445"), "b@x.example"),
        (None, Some("SI44444445"), "a@x.example"),
    ];
    alone(async {
        for direction in [TO, Direction::Bidirectional] {
            for (one, other, email) in pairs {
                for later in [false, true] {
                    let world = World::new().await;
                    world.set("contacts.same-company", json!("separate")).await;
                    world.put_contact(&named("a", one, "a@x.example")).await;
                    if later || one.is_none() {
                        world.to_rest(direction).await.unwrap();
                    }
                    world.put_contact(&named("b", other, email)).await;
                    world.to_rest(direction).await.unwrap();
                    let what = format!("{direction:?} {one:?} {other:?}, on different days: {later}");
                    assert_eq!((world.partners().len(), world.links().await.len()), (1, 1), "{what}");
                    let rows = quarantine(&world).await;
                    assert!(
                        rows.iter().any(|row| row["crm_id"] == "b" || row["crm_id"] == "a"),
                        "{what}: {rows:?}"
                    );
                }
            }
        }
    });
}
