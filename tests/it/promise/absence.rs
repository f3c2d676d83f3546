//! Partners that are missing: the borders of the brake, lists that leave somebody out, records that cannot be read, and
//! partners that come back.

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use serde_json::json;

use super::{delete, quarantine, stored};
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
