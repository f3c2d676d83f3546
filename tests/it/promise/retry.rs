//! Reads are tried again, when the other side says so; the breaker ends it.

use metakocka_sync::sync::request::Direction;
use proof::erp::Erp;
use serde_json::json;

use crate::sim::{World, alone};
use crate::site;

#[test]
fn a_read_is_tried_again_when_metakocka_says() {
    alone(async {
        let world = World::of(5).await;
        let busy = json!([{ "match": "get_partner", "fault": "http-503", "times": 1, "retry_after": 2 }]);
        world.sandbox().faults(&busy).unwrap();
        let report = world.sync(Direction::FromMetakocka).await;
        assert!(report.success(), "{report:?}");
        let asked: Vec<u64> = world.journal.borrow().iter().map(|request| request.at).collect();
        assert_eq!(asked.len(), 2, "once more, and not again");
        assert!(asked[1] - asked[0] >= 2_000, "{asked:?}");
        assert_eq!((report.crm_created, report.calls_made), (5, 2), "{report:?}");
    });
}

/// `HTTP 429` is an answer, but none that speaks for the other side.
#[test]
fn after_five_times_too_many_requests_the_sixth_is_not_sent() {
    let (erp, site) = (Erp::with(5, 1), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "retry.max-retries", "9");
    site.set("Alfa", "retry.base-delay-ms", "1");
    site.set("Alfa", "retry.max-delay-ms", "1");
    let before = erp.newest();
    erp.faults(json!([{ "match": "*", "fault": "http-429" }]));
    let ran = site.try_sync("Alfa", "from-metakocka").exits(1);
    assert_eq!(erp.newest() - before, 5, "{ran}");
    assert_eq!(ran.json()["created"], 0, "{ran}");
}
