//! Partners that are missing: the borders of the brake, lists that leave somebody out, records that cannot be read, and
//! partners that come back.

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use serde_json::{Value, json};

use super::{delete, quarantine, stored};
use crate::sim::powers::Said;
use crate::sim::{World, alone};

const FROM: Direction = Direction::FromMetakocka;

async fn imported(partners: usize) -> World {
    let world = World::of(partners).await;
    world.set("retry.max-retries", json!(0)).await;
    assert_eq!(world.sync(FROM).await.crm_created, partners as u64);
    world
}

async fn inactive(world: &World) -> usize {
    let contacts = world.entries(Collection::Contacts).await;
    contacts.iter().filter(|(_, body)| body["status"] == "inactive").count()
}

/// More than a tenth *and* at least five.
#[test]
fn the_brake_has_borders() {
    alone(async {
        for (partners, missing, stops) in
            [(40, 5, true), (6, 5, true), (50, 5, false), (40, 4, false), (20, 4, false)]
        {
            let world = imported(partners).await;
            for (partner, _) in world.links().await.into_values().take(missing) {
                delete(&world, &partner);
            }
            let report = world.sync(FROM).await;
            let what = format!("{missing} of {partners}: {report:?}");
            let stopped = report.stopped.as_ref().map(|failure| failure.code.as_str());
            assert_eq!(stopped, stops.then_some("mass-deactivation"), "{what}");
            assert_eq!(inactive(&world).await, if stops { 0 } else { missing }, "{what}");
        }
    });
}

#[test]
fn a_partner_left_out_of_the_list_and_found_directly_is_not_gone() {
    alone(async {
        let world = imported(12).await;
        let hidden = world.links().await.into_values().next().unwrap().0;
        let hide = json!([{ "match": "get_partner", "fault": "hide", "mk_id": hidden }]);
        world.sandbox().faults(&hide).unwrap();
        let report = world.sync(FROM).await;
        assert_eq!((report.seen, report.crm_deactivated), (11, 0), "{report:?}");
        assert_eq!(inactive(&world).await, 0);
        assert!(world.links().await.values().all(|(_, state)| state == "live"));
    });
}

#[test]
fn a_partner_that_comes_back_is_active_again() {
    alone(async {
        let world = imported(12).await;
        let (contact, (hidden, _)) = world.links().await.into_iter().next().unwrap();
        let hide =
            json!([{ "match": "get_partner", "fault": "hide", "mk_id": hidden, "scope": "everything" }]);
        world.sandbox().faults(&hide).unwrap();
        assert_eq!(world.sync(FROM).await.crm_deactivated, 1);
        assert_eq!(stored(&world, &contact).await["status"], "inactive");
        world.sandbox().faults(&json!([])).unwrap();
        let report = world.sync(FROM).await;
        assert_eq!(report.crm_updated, 1, "{report:?}");
        assert_eq!(stored(&world, &contact).await["status"], "active");
        assert_eq!((inactive(&world).await, world.links().await.len()), (0, 12));
    });
}

#[test]
fn an_element_without_an_id_does_not_stop_its_neighbours() {
    alone(async {
        let world = World::of(10).await;
        let odd = world.partners()[4]["mk_id"].as_str().unwrap().to_owned();
        let fault = json!([{ "match": "get_partner", "fault": "unreadable-element", "mk_id": odd }]);
        world.sandbox().faults(&fault).unwrap();
        let report = world.sync(FROM).await;
        assert_eq!((report.crm_created, report.failed, report.quarantined), (9, 1, 1), "{report:?}");
        assert!(report.stopped.is_none() && !report.success());
        let rows = quarantine(&world).await;
        assert_eq!((rows.len(), &rows[0]["code"]), (1, &json!("unreadable")), "{rows:?}");
    });
}

/// What `get_partner` was asked by; nothing for the whole list.
fn asked_by(body: &Value) -> Option<&str> {
    let keys = ["partner_id", "partner_tax_number", "partner_email", "partner_name"];
    keys.into_iter().find(|key| body.get(*key).is_some())
}

/// Code 2 in words nobody knows may speak of the question, not of the partner: it counts as "none" only when the same kind of
/// question finds a partner that is there.
#[test]
fn words_nobody_knows_are_no_absence() {
    let texts = ["partner_id is too long", "Vrednost polja ni pravilna.", "Nepooblaščen dostop"];
    alone(async {
        for text in texts {
            for of_list in [false, true] {
                let world = imported(3).await;
                let gone = world.links().await.into_values().next().unwrap().0;
                let hide = json!([{ "match": "get_partner", "fault": "hide", "mk_id": gone }]);
                world.sandbox().faults(&hide).unwrap();
                let answer = json!({ "opr_code": "2", "opr_desc": text }).to_string();
                world.say(move |path, body| {
                    if path.ends_with("get_partner") && (of_list || asked_by(body).is_some()) {
                        Said::Instead(200, None, answer.clone())
                    } else {
                        Said::ByErp
                    }
                });
                let report = world.sync(FROM).await;
                assert_eq!(inactive(&world).await, 0, "{text}, list {of_list}: {report:?}");
                if of_list {
                    assert!(report.stopped.is_some(), "{text}: {report:?}");
                }
            }
            // A create: the partner is there, and the question for it is refused.
            let world = imported(2).await;
            let mut there = crate::sim::company(7);
            there["tax_id_number"] = json!("SI12345671");
            let _ = world.make_partner(there);
            world
                .put_contact(&json!({ "id": "c", "company": "Podjetje 7 d.o.o.", "tax_number": "SI12345671",
                "street": "Cesta 7", "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija" }))
                .await;
            world
                .put_contact(&json!({ "id": "d", "company": "Podjetje 8 d.o.o.", "tax_number": "SI12345689",
                "street": "Cesta 8", "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija" }))
                .await;
            let answer = json!({ "opr_code": "2", "opr_desc": text }).to_string();
            world.say(move |path, body| {
                if path.ends_with("get_partner") && asked_by(body) == Some("partner_tax_number") {
                    Said::Instead(200, None, answer.clone())
                } else {
                    Said::ByErp
                }
            });
            let report = world.sync(Direction::ToMetakocka).await;
            assert_eq!(report.metakocka_created, 0, "{text}: {report:?}");
            assert!(!report.success(), "{text}: {report:?}");
            world.say_nothing();
            world.to_rest(Direction::ToMetakocka).await.unwrap();
            assert_eq!(world.partners().len(), 4, "{text}");
        }
    });
}

/// In a language nobody knows "none" means none as soon as the same kind of question finds what is there.
#[test]
fn none_in_another_language_is_learnt() {
    alone(async {
        for linked in [0, 2] {
            let world = imported(linked).await;
            for number in 1..=4 {
                world.put_contact(&proof::records::contact(number)).await;
            }
            world.sandbox().faults(&json!([{ "match": "*", "fault": "slovenian" }])).unwrap();
            world.to_rest(Direction::ToMetakocka).await.unwrap();
            assert_eq!(world.partners().len(), linked + 4);
        }
    });
}

/// A list that announces partners and holds none tells nothing, whatever it was asked for.
#[test]
fn an_empty_list_that_announces_somebody_is_no_absence() {
    alone(async {
        let world = imported(3).await;
        let empty = r#"{"partner_list_count":"3","partner_list":[]}"#;
        for of_list in [true, false] {
            world.say(move |path, body| {
                if path.ends_with("get_partner") && (of_list || asked_by(body).is_some()) {
                    Said::Instead(200, None, empty.to_owned())
                } else {
                    Said::ByErp
                }
            });
            world.put_contact(&proof::records::contact(2)).await;
            for direction in [FROM, Direction::ToMetakocka] {
                let report = world.sync(direction).await;
                assert!(!report.success() || (direction == FROM && !of_list), "{direction:?}: {report:?}");
            }
            assert_eq!(inactive(&world).await, 0);
            // Where the list itself is whole it says that nobody is there, and only the reading back tells nothing.
            assert_eq!(world.partners().len(), if of_list { 3 } else { 4 });
        }
        world.say_nothing();
        world.to_rest(Direction::Bidirectional).await.unwrap();
        assert_eq!((world.partners().len(), world.links().await.len()), (4, 4));
    });
}

/// Missing from the list, and the question for it is answered with an error: nobody knows, and that is said.
#[test]
fn a_missing_partner_nobody_can_ask_for_is_said() {
    alone(async {
        for answer in [
            json!({ "opr_code": "1", "opr_desc": "Internal server error" }),
            json!({ "opr_code": "6", "opr_desc_app": "Nekaj" }),
        ] {
            let world = imported(3).await;
            let gone = world.links().await.into_values().next().unwrap().0;
            delete(&world, &gone);
            let answer = answer.to_string();
            world.say(move |path, body| {
                if path.ends_with("get_partner") && asked_by(body).is_some() {
                    Said::Instead(200, None, answer.clone())
                } else {
                    Said::ByErp
                }
            });
            let report = world.sync(FROM).await;
            assert_eq!(inactive(&world).await, 0, "{report:?}");
            assert!(!report.success(), "{report:?}");
            world.say_nothing();
            assert!(world.sync(FROM).await.success());
            assert_eq!(inactive(&world).await, 1);
        }
    });
}

/// We set a contact inactive, a person sets it active, and later inactive: that is the person's, and stays.
#[test]
fn a_persons_deactivation_is_not_undone() {
    alone(async {
        for direction in [FROM, Direction::Bidirectional] {
            for entered_anew in [false, true] {
                let world = World::new().await;
                world.set("retry.max-retries", json!(0)).await;
                let partner = crate::sim::company(1);
                let first = world.make_partner(partner.clone());
                for number in 2..=12 {
                    let _ = world.make_partner(crate::sim::company(number));
                }
                let _ = world.sync(direction).await;
                let links = world.links().await;
                let contact = links.iter().find(|(_, (partner, _))| *partner == first).unwrap().0.clone();
                let hide = json!([{ "match": "get_partner", "fault": "hide", "mk_id": first, "scope": "everything" }]);
                world.sandbox().faults(&hide).unwrap();
                if entered_anew {
                    delete(&world, &first);
                }
                let _ = world.sync(direction).await;
                assert_eq!(stored(&world, &contact).await["status"], "inactive");
                for status in ["active", "inactive"] {
                    world.edit_contact(&contact, json!({ "status": status })).await;
                    let _ = world.sync(direction).await;
                }
                world.sandbox().faults(&json!([])).unwrap();
                if entered_anew {
                    let _ = world.make_partner(partner);
                }
                for _ in 0..2 {
                    let _ = world.sync(direction).await;
                }
                let status = stored(&world, &contact).await["status"].clone();
                assert_eq!(status, "inactive", "{direction:?}, entered anew {entered_anew}");
            }
        }
    });
}
