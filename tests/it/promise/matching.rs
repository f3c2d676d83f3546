//! Which record is which: near misses on every key. Each is refused or asked about, never guessed.

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Value, json};

use super::{FIRST, codes, in_step, partner_of, quarantine};
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
