//! What is about the connection is not about a record: a wrong key, an address that is not allowed, a used-up quota, an
//! internal error, an answer that says nothing, an open breaker.

use std::cell::Cell;
use std::rc::Rc;

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use serde_json::{Value, json};

use super::powers::{Fate, Said};
use super::{World, alone, company};

/// The vendor's words (table of system errors).
const CONNECTION: [(&str, &str, &str, &str); 3] = [
    ("5", "Quote exceeds", "quota", "run again after 15 minutes"),
    ("4", "IP address '203.0.113.7' is not allowed for company_id = 12", "configuration", "203.0.113.7"),
    ("3", "Invalid value for secret_key and company_id", "configuration", "check company_id and secret key"),
];

fn refusal(code: &str, text: &str) -> String {
    json!({ "opr_code": code, "opr_desc": text }).to_string()
}

/// After so many requests of this path every request is refused.
fn refuse_after(world: &World, path: &'static str, most: usize, code: &'static str, text: &'static str) {
    let left = Cell::new(most);
    world.say(move |asked, _| {
        if left.get() == 0 {
            return Said::Instead(200, None, refusal(code, text));
        }
        if asked.ends_with(path) {
            left.set(left.get() - 1);
        }
        Said::ByErp
    });
}

#[test]
fn creates_refused_at_the_door_are_sent_later() {
    for (code, text, word, advice) in CONNECTION {
        alone(async {
            let world = World::new().await;
            for number in 1..=120 {
                world.put_contact(&proof::records::contact(number)).await;
            }
            refuse_after(&world, "add_partner", 5, code, text);
            let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
            let report = report.unwrap();
            let after_the_first = world.sent.borrow().len() - 50 - 5;
            println!(
                "{code}: sent {}, then {after_the_first}: {:?}",
                world.sent("add_partner"),
                report.stopped
            );
            assert!(world.sent("add_partner") <= 8 && after_the_first <= 4, "{:?}", world.sent.borrow());
            let stopped = report.stopped.unwrap();
            assert_eq!(stopped.code, word);
            assert!(stopped.message.contains(advice), "{}", stopped.message);
            assert!(world.entries(Collection::Quarantine).await.is_empty());
            assert_eq!(world.pauses.borrow().len(), usize::from(code == "5"));
            assert_eq!(report.calls_made as usize, world.sent.borrow().len());

            world.say_nothing();
            world.to_rest(Direction::ToMetakocka).await.unwrap();
            assert_eq!(world.partners().len(), 120);
            assert_eq!(world.ledger().await.duplicates, 0);
            assert_eq!(world.links().await.len(), 120);
        });
    }
}

#[test]
fn updates_refused_at_the_door_are_sent_later() {
    for (code, text, word, _) in CONNECTION {
        alone(async {
            let world = World::new().await;
            for number in 1..=60 {
                let _ = world.make_partner(company(number));
            }
            world.to_rest(Direction::Bidirectional).await.unwrap();
            let contacts: Vec<String> = world.links().await.into_keys().collect();
            for (number, id) in contacts.iter().enumerate() {
                world.edit_contact(id, json!({ "phone": format!("01 700 {number:04}") })).await;
            }
            world.sent.borrow_mut().clear();
            refuse_after(&world, "update_partner", 5, code, text);
            let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
            assert_eq!(report.unwrap().stopped.unwrap().code, word);
            assert!(world.sent("update_partner") <= 8, "{}", world.sent("update_partner"));
            assert!(world.entries(Collection::Quarantine).await.is_empty());

            world.say_nothing();
            world.to_rest(Direction::ToMetakocka).await.unwrap();
            let phones: Vec<String> = world
                .partners()
                .iter()
                .filter_map(|partner| partner["partner_contact_list"][0]["phone"].as_str().map(str::to_owned))
                .filter(|phone| phone.starts_with("01 700"))
                .collect();
            assert_eq!(phones.len(), 60);
        });
    }
}

#[test]
fn what_earlier_builds_gave_up_is_released() {
    alone(async {
        let world = World::new().await;
        let _ = world.make_partner(company(1));
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let linked = world.links().await.into_keys().next().unwrap();
        world.edit_contact(&linked, json!({ "phone": "01 700 0001" })).await;
        for number in 1..=4 {
            world.put_contact(&proof::records::contact(number)).await;
        }
        // As an earlier build left it: refused, given up, and the watermark past it.
        world.say(|path, _| {
            if path.ends_with("add_partner") || path.ends_with("update_partner") {
                Said::Instead(200, None, refusal("6", "Neznan davčni zavezanec"))
            } else {
                Said::ByErp
            }
        });
        let _ = world.run(Direction::ToMetakocka, Fate::default()).await;
        world.say_nothing();
        let rows = world.entries(Collection::Quarantine).await;
        assert_eq!(rows.len(), 5);
        for (number, (entry, mut body)) in rows.into_iter().enumerate() {
            let (code, text, ..) = CONNECTION[number % 3];
            if body["crm_id"] != "c4" && body["crm_id"] != proof::records::contact(4)["id"] {
                let reason = format!("Metakocka refused (opr_code {code}): {text}");
                body.insert("reason".to_owned(), json!(reason));
            }
            let body = Value::Object(body).to_string();
            world
                .write(Collection::Quarantine, &entry.id, host_harness::store::Change::Put(body.into()))
                .await;
        }
        let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
        let report = report.unwrap();
        assert_eq!((report.metakocka_created, report.metakocka_updated), (3, 1), "{report:?}");
        assert_eq!(world.entries(Collection::Quarantine).await.len(), 1, "what was refused stays");
        assert_eq!(world.partners().len(), 4);
    });
}

#[test]
fn an_internal_error_proves_nothing_about_an_update() {
    alone(async {
        let world = World::new().await;
        let partner = world.make_partner(company(1));
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let contact = world.links().await.into_keys().next().unwrap();
        world.edit_contact(&contact, json!({ "phone": "01 700 0001" })).await;
        let once = Cell::new(true);
        world.say(move |path, _| {
            if path.ends_with("update_partner") && once.replace(false) {
                Said::After(refusal("1", "Nekaj je šlo narobe"))
            } else {
                Said::ByErp
            }
        });
        let (report, _) = world.run(Direction::Bidirectional, Fate::default()).await;
        assert_eq!(report.unwrap().failed, 0);
        world.to_rest(Direction::Bidirectional).await.unwrap();
        assert!(world.entries(Collection::Quarantine).await.is_empty());
        assert_eq!(world.sent("update_partner"), 1, "it was carried out, so it is not sent again");
        let history = world.entries(Collection::History).await;
        assert!(history.iter().any(|(_, row)| row["old"] == "01 300 0001"), "the lost value stays on record");
        let _ = partner;
    });
}

#[test]
fn internal_errors_of_reads_are_tried_again() {
    alone(async {
        let world = World::new().await;
        world.put_contact(&proof::records::contact(1)).await;
        let failures = Cell::new(2);
        world.say(move |path, _| {
            if path.ends_with("get_partner") && failures.get() > 0 {
                failures.set(failures.get() - 1);
                return Said::Instead(200, None, refusal("1", "unknown INTERNAL server error"));
            }
            Said::ByErp
        });
        let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
        let report = report.unwrap();
        assert!(report.success() && report.metakocka_created == 1, "{report:?}");
    });
}

/// Nothing but `opr_code` 2 or a list is absence.
#[test]
fn an_answer_that_says_nothing_is_not_absence() {
    for answer in
        ["{}", r#"{"partner_list_count":"0"}"#, r#"{"opr_code":"0"}"#, r#"{"partner_list":null}"#, "[]"]
    {
        alone(async {
            let world = World::new().await;
            for number in 1..=3 {
                let _ = world.make_partner(company(number));
            }
            world.to_rest(Direction::Bidirectional).await.unwrap();
            world.put_contact(&proof::records::contact(9)).await;
            world.sent.borrow_mut().clear();
            let said = answer.to_owned();
            world.say(move |path, _| {
                if path.ends_with("get_partner") {
                    Said::Instead(200, None, said.clone())
                } else {
                    Said::ByErp
                }
            });
            for direction in [Direction::FromMetakocka, Direction::ToMetakocka] {
                let (report, _) = world.run(direction, Fate::default()).await;
                let report = report.unwrap();
                let stopped = report.stopped.clone().unwrap();
                assert_eq!(stopped.code, "unreadable-answer", "{answer} {report:?}");
                assert!(!stopped.message.contains("cannot be reached"), "{}", stopped.message);
                assert_eq!((report.crm_deactivated, report.metakocka_created), (0, 0), "{answer}");
            }
            assert_eq!(world.sent("add_partner"), 0);
        });
    }
}

/// An empty list and a code 2 in words nobody knows are absence.
#[test]
fn what_is_absence() {
    for answer in [
        r#"{"partner_list":[]}"#,
        r#"{"opr_code":2,"opr_desc":"Ni zadetkov"}"#,
        "\u{feff}{\"partner_list\":[]}",
    ] {
        alone(async {
            let world = World::new().await;
            world.put_contact(&proof::records::contact(1)).await;
            let said = answer.to_owned();
            let first = Rc::new(Cell::new(true));
            world.say(move |path, _| {
                if path.ends_with("get_partner") && first.replace(false) {
                    Said::Instead(200, None, said.clone())
                } else {
                    Said::ByErp
                }
            });
            let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
            assert_eq!(report.unwrap().metakocka_created, 1, "{answer}");
        });
    }
}

#[test]
fn an_impossible_id_leaves_a_create_in_doubt() {
    for id in [json!("0"), json!(0), json!("-4"), json!("abc"), json!(""), json!(-1), Value::Null] {
        alone(async {
            let world = World::new().await;
            world.put_contact(&proof::records::contact(1)).await;
            let answer = json!({ "mk_id": id }).to_string();
            world.say(
                move |path, _| {
                    if path.ends_with("add_partner") { Said::After(answer.clone()) } else { Said::ByErp }
                },
            );
            let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
            let report = report.unwrap();
            assert!(report.success() && report.metakocka_created == 1, "{id} {report:?}");
            let links = world.links().await;
            assert_eq!(
                links.values().next().unwrap().0,
                world.partners()[0]["mk_id"].as_str().unwrap(),
                "{id}"
            );
            assert_eq!(world.sent("add_partner"), 1);
        });
    }
}

#[test]
fn a_byte_order_mark_is_read_everywhere() {
    alone(async {
        let world = World::new().await;
        world.put_contact(&proof::records::contact(1)).await;
        world.say(|path, _| {
            if path.ends_with("add_partner") {
                Said::Instead(
                    200,
                    None,
                    "\u{feff}{\"opr_code\":\"6\",\"opr_desc_app\":\"Ne\",\"opr_code_app\":77}".to_owned(),
                )
            } else {
                Said::ByErp
            }
        });
        let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
        let report = report.unwrap();
        assert_eq!(report.errors[0].code, "refused", "{report:?}");
        assert!(report.errors[0].error.contains("opr_code 6") && report.errors[0].error.contains("77"));
    });
}

/// What the host held back was no call, and a wait longer than a run's is not waited for.
#[test]
fn an_open_breaker_is_not_asked_again() {
    alone(async {
        let world = World::new().await;
        for number in 1..=10 {
            world.put_contact(&proof::records::contact(number)).await;
        }
        let asked = Rc::new(Cell::new(0));
        let counter = Rc::clone(&asked);
        world.say(move |_, _| {
            counter.set(counter.get() + 1);
            Said::HeldBack(600_000)
        });
        let began = world.clock.get();
        let (report, _) = world.run(Direction::Bidirectional, Fate::default()).await;
        let report = report.unwrap();
        assert_eq!(report.calls_made, 0);
        assert_eq!(world.clock.get(), began, "nothing was waited for");
        assert_eq!(asked.get(), 1);
        assert!(report.stopped.unwrap().message.contains("run again after 10 minutes"));
    });
}

#[test]
fn a_wish_is_followed_as_far_as_a_run_waits() {
    for (wish, made, waited) in [(2_000, 1, 2_000), (3_600_000, 0, 0)] {
        alone(async {
            let world = World::new().await;
            world.put_contact(&proof::records::contact(1)).await;
            let first = Cell::new(true);
            world.say(move |path, _| {
                if path.ends_with("get_partner") && first.replace(false) {
                    Said::Instead(503, Some(wish), String::new())
                } else {
                    Said::ByErp
                }
            });
            let began = world.clock.get();
            let (report, _) = world.run(Direction::ToMetakocka, Fate::default()).await;
            let report = report.unwrap();
            assert_eq!(report.metakocka_created, made, "{report:?}");
            assert_eq!(world.clock.get() - began, waited);
        });
    }
}
