//! Records given up: tried again when they were mended or somebody asks, and not otherwise.

use host_harness::store::{Change, Collection};
use metakocka_sync::sync::request::{Direction, RunRequest, Selection};
use serde_json::{Value, json};

use super::{partner_of, quarantine, stored};
use crate::sim::powers::Fate;
use crate::sim::{World, alone, company, request};

const TO: Direction = Direction::ToMetakocka;
const FROM: Direction = Direction::FromMetakocka;

#[test]
fn an_edit_of_something_else_is_no_reason_to_try_again() {
    alone(async {
        let world = World::new().await;
        world.put_contact(&json!({ "id": "bad", "company": "Brez naslova" })).await;
        assert_eq!(world.sync(TO).await.failed, 1);
        for note in ["prva", "druga"] {
            world.edit_contact("bad", json!({ "notes": note })).await;
            let report = world.sync(TO).await;
            assert_eq!((report.failed, report.quarantined), (0, 1), "{report:?}");
        }
        let rows = quarantine(&world).await;
        assert_eq!((rows.len(), &rows[0]["attempts"]), (1, &json!(1)), "{rows:?}");
        // What was wrong is mended in part: that is another try.
        world.edit_contact("bad", json!({ "street": "Pot 1" })).await;
        assert_eq!(world.sync(TO).await.failed, 1);
        assert_eq!(quarantine(&world).await[0]["attempts"], 2);
    });
}

/// A partner whose tax number two contacts have.
async fn ambiguous(world: &World) -> String {
    let partner = world.make_partner(company(1));
    for id in ["one", "two"] {
        let body =
            json!({ "id": id, "company": "Podjetje 1 d.o.o.", "tax_number": company(1)["tax_id_number"] });
        world.put_contact(&body).await;
    }
    let report = world.sync(FROM).await;
    assert_eq!((report.linked, report.crm_created, report.parked), (0, 0, 1), "{report:?}");
    partner
}

#[test]
fn a_retry_of_a_partner_is_not_forgotten_while_metakocka_is_down() {
    alone(async {
        let world = World::new().await;
        world.set("retry.max-retries", json!(0)).await;
        let partner = ambiguous(&world).await;
        world.write(Collection::Contacts, "two", Change::Delete).await;
        let row = world.entries(Collection::Quarantine).await.swap_remove(0).0.id;
        world
            .write(Collection::Quarantine, &row, Change::Merge(json!({ "retry": true }).to_string().into()))
            .await;
        world.sandbox().faults(&json!([{ "match": "*", "fault": "http-500" }])).unwrap();
        assert!(world.sync(FROM).await.stopped.is_some());
        world.sandbox().faults(&json!([])).unwrap();
        let report = world.sync(FROM).await;
        assert_eq!((report.linked, report.crm_created), (1, 0), "{report:?}");
        assert_eq!(partner_of(&world, "one").await, partner);
        assert!(quarantine(&world).await.is_empty());
    });
}

#[test]
fn a_partner_without_a_contact_is_looked_at_again_when_one_with_its_key_appears() {
    alone(async {
        let world = World::new().await;
        let partner = ambiguous(&world).await;
        for id in ["one", "two"] {
            world.write(Collection::Contacts, id, Change::Delete).await;
        }
        let third = json!({ "id": "third", "company": "Podjetje 1 d.o.o.", "tax_number": company(1)["tax_id_number"] });
        world.put_contact(&third).await;
        let _ = world.sync(FROM).await;
        assert_eq!(partner_of(&world, "third").await, partner);
        assert!(quarantine(&world).await.is_empty());
        assert_ne!(stored(&world, "third").await, Value::Null);
    });
}

/// An element whose id nobody can read is looked at again when somebody asks for it, and goes when it can be read.
#[test]
fn an_element_without_an_id_is_released_after_a_retry() {
    alone(async {
        for mended in [false, true] {
            let world = World::of(3).await;
            let broken = json!([{ "match": "get_partner", "fault": "unreadable-element" }]);
            world.sandbox().faults(&broken).unwrap();
            let _ = world.sync(Direction::FromMetakocka).await;
            let rows = world.entries(Collection::Quarantine).await;
            assert_eq!(rows.len(), 1, "{rows:?}");
            if mended {
                world.sandbox().faults(&json!([])).unwrap();
            }
            let retry = json!({ "retry": true }).to_string();
            world.write(Collection::Quarantine, &rows[0].0.id, Change::Merge(retry.into())).await;
            let id = rows[0].1["metakocka_id"].as_str().unwrap().to_owned();
            let by_id =
                RunRequest { selection: Selection::Ids(vec![id]), ..request(Direction::FromMetakocka) };
            let report = world.run_as(&by_id, Fate::default()).await.0.unwrap();
            assert_eq!(report.failed, 0, "{report:?}");
            world.sandbox().faults(&json!([])).unwrap();
            for _ in 0..2 {
                let _ = world.sync(Direction::FromMetakocka).await;
            }
            assert!(quarantine(&world).await.is_empty(), "mended before: {mended}");
            assert_eq!(world.links().await.len(), 3);
        }
    });
}
