//! Updates that were ignored or refused count as what they are, and one that adds a row adds it once.

use host_harness::store::{Change, Collection};
use metakocka_sync::sync::report::Report;
use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Value, json};

use super::{FIRST, codes, in_step, partner, partner_of, quarantine, stored};
use crate::sim::powers::{Fate, Moment};
use crate::sim::{World, alone, company};

const BOTH: Direction = Direction::Bidirectional;

/// One edit that goes wrong over there.
async fn update(fault: &Value) -> (World, Report) {
    let world = World::new().await;
    in_step(&world, [2]).await;
    world.edit_contact(FIRST, json!({ "registration_number": "1234567000" })).await;
    world.sandbox().faults(fault).unwrap();
    let report = world.sync(Direction::ToMetakocka).await;
    (world, report)
}

#[test]
fn an_update_metakocka_ignored_is_not_taken() {
    alone(async {
        let fault = json!([{ "match": "update_partner", "fault": "drop-members", "members": ["registration_number"] }]);
        let (world, report) = update(&fault).await;
        assert_eq!((codes(&report), report.failed), (vec!["not-taken"], 1), "{report:?}");
        assert!(!report.success());
        assert_eq!(quarantine(&world).await[0]["code"], "not-taken");
        // Neither side believes that it is done: when Metakocka takes it, an edit of the contact carries it over.
        world.sandbox().faults(&json!([])).unwrap();
        world.edit_contact(FIRST, json!({ "city": "Kranj" })).await;
        world.to_rest(BOTH).await.unwrap();
        let id = partner_of(&world, FIRST).await;
        assert_eq!(partner(&world, &id)["registration_number"], "1234567000");
        assert_eq!(stored(&world, FIRST).await["registration_number"], "1234567000");
    });
}

#[test]
fn an_update_metakocka_refused_is_given_up_with_its_reason() {
    alone(async {
        let fault = json!([{ "match": "update_partner", "fault": "opr-1-without-commit", "opr_code": "2",
            "text": "Registration number is not valid." }]);
        let (world, report) = update(&fault).await;
        assert_eq!(
            (codes(&report), report.failed, report.metakocka_updated),
            (vec!["refused"], 1, 0),
            "{report:?}"
        );
        assert!(!report.success());
        let rows = quarantine(&world).await;
        assert_eq!(rows[0]["code"], "refused");
        assert!(rows[0]["reason"].as_str().unwrap().contains("Registration number is not valid"), "{rows:?}");
        assert_eq!(stored(&world, FIRST).await["registration_number"], "1234567000", "the edit stays");
    });
}

/// The run is killed wherever you like, its update still on the way: it arrives after the next run has looked.
#[test]
fn an_update_that_adds_a_row_and_arrives_late_adds_it_once() {
    async fn edited(world: &World) {
        let mut bare = company(7);
        bare.as_object_mut().unwrap().remove("partner_contact_list");
        let _ = world.make_partner(bare);
        world.to_rest(BOTH).await.unwrap();
        let id = world.links().await.into_keys().next().unwrap();
        world.edit_contact(&id, json!({ "phone": "01 777 77 77" })).await;
    }
    alone(async {
        let first = World::new().await;
        edited(&first).await;
        let (_, counts) = first.run(BOTH, Fate::default()).await;
        let mut late = 0;
        for call in 1..=counts.calls {
            for moment in [Moment::Before, Moment::Unanswered, Moment::After] {
                let world = first.fresh();
                edited(&world).await;
                let (_, counts) = world.run(BOTH, Fate { late: Some(1), ..Fate::killed(call, moment) }).await;
                late += counts.erp_writes;
                let _ = world.sync(BOTH).await;
                world.wire.deliver().await;
                world.to_rest(BOTH).await.unwrap();
                let partners = world.partners();
                let rows = partners[0]["partner_contact_list"].as_array().unwrap();
                assert_eq!(rows.len(), 1, "call {call}, {moment:?}: {rows:?}");
                assert_eq!(rows[0]["phone"], "01 777 77 77", "call {call}, {moment:?}");
            }
        }
        println!("{} points, the update was on its way at {late} of them", counts.calls * 3);
        assert!(late > 0);
    });
}

/// What a run says about its calls is what Metakocka saw, also when answers were lost.
#[test]
fn calls_are_counted_as_metakocka_sees_them() {
    alone(async {
        let world = World::new().await;
        for number in 1..=3 {
            world.put_contact(&contact(number)).await;
        }
        let lost = json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 2 }]);
        world.sandbox().faults(&lost).unwrap();
        let fate = Fate { latency_ms: 1, ..Fate::default() };
        let report = world.run(Direction::ToMetakocka, fate).await.0.unwrap();
        assert_eq!(report.calls_made, world.sandbox().requests(0).len() as u64, "{report:?}");
        assert_eq!(
            (report.metakocka_created, report.calls_least),
            (3, 9),
            "three calls a create: {report:?}"
        );
    });
}

/// The log is for operators: record contents do not belong there, whatever went wrong.
#[test]
fn no_record_content_is_in_a_log_line() {
    const CONTENT: [&str; 5] = ["Čebelarska", "Cesta 8", "zaga.example", "Šušteršič", "1234567000"];
    alone(async {
        let faults =
            ["opr-1-without-commit", "commit-then-drop", "drop-before", "http-503", "truncated-json"];
        for fault in faults {
            let world = World::new().await;
            in_step(&world, [2, 4]).await;
            world.edit_contact(FIRST, json!({ "registration_number": "1234567000" })).await;
            world.put_contact(&contact(6)).await;
            let _ = world.make_partner(company(8));
            world.sandbox().faults(&json!([{ "match": "*", "fault": fault, "every": 2 }])).unwrap();
            let _ = world.sync(BOTH).await;
            let _ = world.sync(BOTH).await;
            let lines = world.log.borrow();
            assert!(!lines.is_empty(), "{fault}");
            for line in lines.iter().map(ToString::to_string) {
                assert!(!CONTENT.iter().any(|content| line.contains(content)), "{fault}: {line}");
            }
        }
    });
}

/// A person's decision stays until it is carried out, however its update ends.
#[test]
fn a_decision_outlives_an_update_that_did_not_arrive() {
    let refusal = |code: &str, text: &str| json!([{ "match": "update_partner", "fault": "opr-1-without-commit", "opr_code": code, "text": text }]);
    let faults = [
        json!([{ "match": "update_partner", "fault": "quota-exceeded" }]),
        json!([{ "match": "update_partner", "fault": "bad-credentials" }]),
        json!([{ "match": "update_partner", "fault": "address-not-allowed" }]),
        json!([{ "match": "update_partner", "fault": "internal-error" }]),
        json!([{ "match": "update_partner", "fault": "drop-before" }]),
        json!([{ "match": "update_partner", "fault": "drop-members", "members": ["partner_delivery_address_list"] }]),
        json!([{ "match": "get_partner", "fault": "quota-exceeded" }]),
        refusal("2", "Street is not valid."),
    ];
    for (number, fault) in faults.iter().enumerate() {
        alone(async {
            let world = World::new().await;
            world.set("contacts.policy", json!("manual")).await;
            in_step(&world, [2]).await;
            let id = partner_of(&world, FIRST).await;
            world.edit_contact(FIRST, json!({ "street": "Naša pot 1" })).await;
            world.edit_row(&id, "partner_delivery_address_list", json!({ "street": "Njihova pot 2" }));
            let _ = world.to_rest(BOTH).await.unwrap();
            let conflicts = world.entries(Collection::Conflicts).await;
            let [(conflict, _)] = &conflicts[..] else { panic!("{fault}: {conflicts:?}") };
            let decided = json!({ "decision": "crm" }).to_string();
            world.write(Collection::Conflicts, &conflict.id, Change::Merge(decided.into())).await;
            world.sandbox().faults(fault).unwrap();
            let report = world.sync(BOTH).await;
            let left = world.entries(Collection::Conflicts).await;
            assert!(
                left.iter().all(|(_, row)| row["decision"] == "crm") && left.len() == 1,
                "{fault}: {left:?} {report:?}"
            );
            world.sandbox().faults(&json!([])).unwrap();
            world.wire.deliver().await;
            world.clock.set(world.clock.get() + 1_000_000);
            if number == faults.len() - 1 || fault[0]["fault"] == "drop-members" {
                // Given up with its reason: a person says that it may be tried again.
                for (row, _) in world.entries(Collection::Quarantine).await {
                    let retry = json!({ "retry": true }).to_string();
                    world.write(Collection::Quarantine, &row.id, Change::Merge(retry.into())).await;
                }
            }
            world.to_rest(BOTH).await.unwrap();
            let street = |record: &Value, list: &str| record[list][0]["street"].clone();
            assert_eq!(
                street(&partner(&world, &id), "partner_delivery_address_list"),
                "Naša pot 1",
                "{fault}"
            );
            assert_eq!(stored(&world, FIRST).await["street"], "Naša pot 1", "{fault}");
            assert!(world.entries(Collection::Conflicts).await.is_empty(), "{fault}");
        });
    }
}
