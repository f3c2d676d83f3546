//! What the run says and keeps is true.

use std::cell::Cell;

use host_harness::store::{Change, Collection};
use metakocka_sync::sync::request::{Direction, RunRequest, Selection};
use serde_json::{Value, json};

use super::powers::{Fate, Said};
use super::{World, alone, company, request};

fn without_country() -> Value {
    let mut contact = proof::records::contact(1);
    contact.as_object_mut().unwrap().remove("country");
    contact
}

async fn country_of_the_contact(world: &World) -> Value {
    world.entries(Collection::Contacts).await[0].1.get("country").cloned().unwrap_or(Value::Null)
}

#[test]
fn a_create_without_country_sends_the_default() {
    for (setting, country, foreign) in
        [(None, "Slovenija", "false"), (Some("SI"), "Slovenija", "false"), (Some("HR"), "Hrvaška", "true")]
    {
        for (direction, filled) in [(Direction::ToMetakocka, false), (Direction::Bidirectional, true)] {
            alone(async {
                let world = World::new().await;
                if let Some(setting) = setting {
                    world.set("contacts.default-country", json!(setting)).await;
                }
                world.put_contact(&without_country()).await;
                let (report, _) = world.run(direction, Fate::default()).await;
                assert_eq!(report.unwrap().metakocka_created, 1);
                let partner = world.partners().remove(0);
                assert_eq!(partner["partner_delivery_address_list"][0]["country"], country);
                assert_eq!(partner["foreign_county"], foreign);
                let expected = if filled { json!(country) } else { Value::Null };
                assert_eq!(country_of_the_contact(&world).await, expected);

                let (report, counts) = world.run(direction, Fate::default()).await;
                let report = report.unwrap();
                assert_eq!((report.crm_updated, report.metakocka_updated, report.conflicts), (0, 0, 0));
                assert_eq!(counts.erp_writes, 0);
                // What one side has and the other has not was agreed on: nothing travels later.
                world.to_rest(Direction::Bidirectional).await.unwrap();
                assert_eq!(country_of_the_contact(&world).await, expected);
                assert_eq!(world.sent("update_partner"), 0);
            });
        }
    }
}

#[test]
fn an_ignored_update_is_no_update() {
    alone(async {
        let world = World::new().await;
        let _ = world.make_partner(company(1));
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let id = world.links().await.into_keys().next().unwrap();
        world.edit_contact(&id, json!({ "phone": "01 700 0001" })).await;
        let partner = world.partners().remove(0);
        world.say(move |path, _| {
            if path.ends_with("update_partner") {
                Said::Instead(200, None, json!({ "partner_list": [partner.clone()] }).to_string())
            } else {
                Said::ByErp
            }
        });
        let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
        let report = report.unwrap();
        assert_eq!((report.metakocka_updated, report.failed), (0, 1), "{report:?}");
        assert_eq!(report.errors[0].code, "not-taken");
    });
}

/// A store whose clock is ahead does not win by that.
#[test]
fn newest_does_not_believe_the_future() {
    // The CRM's edit is stamped by the store, with today's time; the run's clock is set to before or after it.
    for (clock, phone) in [(1_000_000_000_000, "01 800 0001"), (9_000_000_000_000, "01 800 0001")] {
        alone(async {
            let world = World::new().await;
            world.clock.set(clock);
            let partner = world.make_partner(company(1));
            world.to_rest(Direction::Bidirectional).await.unwrap();
            let id = world.links().await.into_keys().next().unwrap();
            world.clock.set(clock + 1_000_000);
            world.edit_contact(&id, json!({ "phone": "01 700 0001" })).await;
            world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 800 0001" }));
            let (report, _) = world.run(Direction::Bidirectional, Fate::default()).await;
            assert_eq!(report.unwrap().conflicts, 1);
            world.to_rest(Direction::Bidirectional).await.unwrap();
            assert_eq!(world.partners()[0]["partner_contact_list"][0]["phone"], phone, "clock {clock}");
        });
    }
}

#[test]
fn an_ambiguous_partner_is_decided_once_the_contacts_changed() {
    for direction in [Direction::FromMetakocka, Direction::Bidirectional] {
        for edited in [false, true] {
            alone(async {
                let world = World::new().await;
                let partner = world.make_partner(company(1));
                for id in ["a", "b", "c"] {
                    let contact = json!({ "id": id, "company": "Podjetje", "tax_number": "SI50000001",
                        "status": "active" });
                    world.put_contact(&contact).await;
                }
                let (report, _) = world.run(Direction::FromMetakocka, Fate::default()).await;
                assert_eq!(report.unwrap().parked, 1);
                for id in ["b", "c"] {
                    if edited {
                        world
                            .edit_contact(id, json!({ "tax_number": format!("SI6000000{}", id.len()) }))
                            .await;
                    } else {
                        world.write(Collection::Contacts, id, Change::Delete).await;
                    }
                }
                let (report, _) = world.run(direction, Fate::default()).await;
                let report = report.unwrap();
                let links = world.links().await;
                assert_eq!(links.get("a").map(|link| link.0.as_str()), Some(partner.as_str()), "{report:?}");
                let left = world.entries(Collection::Quarantine).await;
                assert!(!left.iter().any(|(_, row)| row["side"] == "metakocka"), "{left:?}");
            });
        }
    }
}

/// Failures with answers between them are not failures in a row.
#[test]
fn single_failures_do_not_end_the_run() {
    alone(async {
        let world = World::new().await;
        for number in 1..=20 {
            let _ = world.make_partner(company(number));
        }
        world.to_rest(Direction::Bidirectional).await.unwrap();
        for (id, (_, _)) in world.links().await {
            world.edit_contact(&id, json!({ "registration_number": "1234567000" })).await;
        }
        world.set("retry.max-retries", json!(0)).await;
        let asked = Cell::new(0);
        world.say(move |path, body| {
            if path.ends_with("get_partner") && body.get("partner_id").is_some() {
                asked.set(asked.get() + 1);
                if asked.get() % 3 == 0 {
                    return Said::Instead(
                        200,
                        None,
                        json!({ "opr_code": "1", "opr_desc": "Internal server error." }).to_string(),
                    );
                }
            }
            Said::ByErp
        });
        let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
        let report = report.unwrap();
        assert!(report.stopped.is_none(), "{report:?}");
        assert_eq!((report.metakocka_updated, report.failed), (14, 6), "{report:?}");
    });
}

#[test]
fn more_ids_than_one_question_may_name() {
    alone(async {
        let world = World::new().await;
        let mut ids = Vec::new();
        for number in 1..=2_100 {
            ids.push(world.make_partner(company(number)));
        }
        let (report, _) = world
            .run_as(
                &RunRequest { selection: Selection::Ids(ids.clone()), ..request(Direction::FromMetakocka) },
                Fate::default(),
            )
            .await;
        let report = report.unwrap();
        assert_eq!((report.crm_created, report.stopped.is_none()), (2_100, true), "{:?}", report.stopped);
        let (report, _) = world
            .run_as(
                &RunRequest { selection: Selection::Ids(ids), ..request(Direction::Bidirectional) },
                Fate::default(),
            )
            .await;
        let report = report.unwrap();
        assert_eq!((report.unchanged, report.stopped.is_none()), (2_100, true), "{:?}", report.stopped);
    });
}
