//! A company that only fails is left in peace, also by the next process.

use proof::erp::Erp;
use serde_json::json;

use crate::site;

#[test]
fn an_open_breaker_outlives_its_process_and_is_not_asked() {
    let (erp, site) = (Erp::with(3, 1), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "retry.max-retries", "0");
    erp.faults(json!([{ "match": "*", "fault": "http-429" }]));
    for run in 1..=5 {
        let ran = site.try_sync("Alfa", "from-metakocka").exits(1).json();
        assert_eq!((&ran["calls"]["made"], erp.newest()), (&json!(1), run), "{ran:#}");
    }
    erp.faults(json!([]));
    let ran = site.try_sync("Alfa", "from-metakocka").exits(1).json();
    assert_eq!((&ran["calls"]["made"], erp.newest()), (&json!(0), 5), "the sixth is not sent: {ran:#}");
    let message = ran["stopped"]["message"].as_str().unwrap();
    assert!(message.contains("rests") && message.contains("run again"), "{message}");
    // A person's own test of the connection asks all the same, and another company is not concerned.
    let _ = site.run(&["test-connection", "--tenant", "Alfa"]).exits(0);
    let other = Erp::with(2, 2);
    site.tenant("Beta", &other);
    let _ = site.sync("Beta", "from-metakocka");
}
