//! A create without a known outcome: nothing is sent again before it has settled and two looks, ten seconds apart, have
//! missed it; nor is anything sent meanwhile that could be the same partner.

use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::json;

use crate::sim::{Request, World, alone};

const TO: Direction = Direction::ToMetakocka;
/// Write timeout and half a minute, milliseconds.
const SETTLED: u64 = 150_000;
/// So long a run waits for what will soon be certain.
const PATIENCE: u64 = 30_000;

fn creates(world: &World) -> Vec<Request> {
    world.journal.borrow().iter().filter(|request| request.path.ends_with("add_partner")).cloned().collect()
}

/// One contact whose create never arrived.
async fn in_doubt() -> World {
    let world = World::new().await;
    world.put_contact(&contact(2)).await;
    world.sandbox().faults(&json!([{ "match": "add_partner", "fault": "drop-before", "times": 1 }])).unwrap();
    let report = world.sync(TO).await;
    assert_eq!((report.waiting, creates(&world).len()), (1, 1), "{report:?}");
    world
}

#[test]
fn nothing_is_sent_again_before_it_has_settled_and_was_missed_twice() {
    alone(async {
        let world = in_doubt().await;
        let sent = creates(&world)[0].at;
        for elapsed in [1, 10_000, 100_000, SETTLED - PATIENCE - 1] {
            world.clock.set(sent + elapsed);
            let report = world.sync(TO).await;
            assert_eq!((creates(&world).len(), report.waiting), (1, 1), "after {elapsed} ms: {report:?}");
            assert!(report.waiting_until.unwrap().0 >= sent + SETTLED, "{report:?}");
            assert!(world.clock.get() < sent + SETTLED, "a run does not sit through the whole time");
        }
        world.clock.set(sent + SETTLED - 1);
        world.journal.borrow_mut().clear();
        let reports = world.rest(TO).await.unwrap();
        let again = creates(&world);
        let looks: Vec<u64> = world
            .journal
            .borrow()
            .iter()
            .filter(|request| request.body.get("partner_tax_number").is_some())
            .map(|request| request.at)
            // What is looked for earlier may be found, but missing it means nothing.
            .filter(|at| *at >= sent + SETTLED)
            .collect();
        println!(
            "sent at {sent}, looked at {looks:?}, sent again at {:?}",
            again.iter().map(|one| one.at).collect::<Vec<_>>()
        );
        assert_eq!(again.len(), 1);
        assert!(again[0].at >= looks[0] + 10_000, "two looks lie ten seconds apart");
        assert!(looks.iter().filter(|look| **look <= again[0].at).count() >= 2, "{looks:?}");
        assert_eq!(reports.iter().map(|report| report.metakocka_created).sum::<u64>(), 1);
        assert_eq!(world.partners().len(), 1);
    });
}

#[test]
fn a_contact_with_the_key_of_a_create_in_doubt_waits_for_it() {
    alone(async {
        let world = in_doubt().await;
        let mut twin = contact(2);
        twin["id"] = json!("twin");
        world.put_contact(&twin).await;
        let sent = creates(&world)[0].at;
        for elapsed in [1, 60_000, SETTLED - PATIENCE - 1] {
            world.clock.set(sent + elapsed);
            let report = world.sync(TO).await;
            assert_eq!((creates(&world).len(), report.waiting), (1, 2), "after {elapsed} ms: {report:?}");
        }
        world.clock.set(sent + SETTLED);
        world.to_rest(TO).await.unwrap();
        assert_eq!(world.partners().len(), 1);
        assert_eq!(world.links().await.len(), 1);
    });
}
