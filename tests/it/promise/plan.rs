//! A plan holds as long as what it replaces is still there.

use metakocka_sync::sync::request::{Direction, Mode, RunRequest};
use serde_json::json;

use super::{SECOND, codes, in_step, partner_of, stored};
use crate::sim::powers::Fate;
use crate::sim::{World, alone, request};

#[test]
fn an_edit_of_the_planned_field_makes_the_item_stale() {
    alone(async {
        let world = World::new().await;
        in_step(&world, [2, 4]).await;
        let id = partner_of(&world, SECOND).await;
        world.edit_row(&id, "partner_delivery_address_list", json!({ "street": "Nova 1" }));
        let with = |mode| RunRequest { mode, ..request(Direction::FromMetakocka) };
        let _ = world.run_as(&with(Mode::Plan("plan".to_owned())), Fate::default()).await;
        world.edit_contact(SECOND, json!({ "street": "Medtem 5" })).await;
        let (report, _) = world.run_as(&with(Mode::ApplyPlan("plan".to_owned())), Fate::default()).await;
        let report = report.unwrap();
        assert_eq!(codes(&report), ["plan-stale"], "{report:?}");
        assert!(!report.success() && report.crm_updated == 0, "{report:?}");
        assert_eq!(stored(&world, SECOND).await["street"], "Medtem 5", "the edit is kept");
    });
}
