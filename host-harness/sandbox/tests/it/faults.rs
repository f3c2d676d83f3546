use crate::client::{Answer, Client, call, control, partners, rules, short_partners};
use metakocka_sandbox::{Options, Running, start};
use serde_json::json;
use std::time::{Duration, Instant};

async fn running() -> Running {
    start(Options {
        partners: 0,
        secret_key: Some("k\"ey/1".into()),
        switches: short_partners(),
        ..Options::default()
    })
    .await
    .unwrap()
}

async fn add(running: &Running) -> Answer {
    call(running, "v1/add_partner", json!({"partner": {"customer": "Alfa"}})).await
}

#[tokio::test]
async fn a_dropped_connection_ends_without_a_byte() {
    for (fault, committed) in [("commit-then-drop", 1), ("drop-before", 0)] {
        let running = running().await;
        rules(&running, json!([{"match": "add_partner", "fault": fault, "nth": 2}])).await;
        // On a connection that is in use already, too.
        let mut client = Client::to(&running.base_url).await;
        let body = json!({"partner": {"customer": "Alfa"}});
        assert!(client.call(&running, "v1/add_partner", body.clone()).await.whole());
        assert_eq!(client.call(&running, "v1/add_partner", body).await, Answer::default(), "{fault}");
        assert_eq!(partners(&running).await, 1 + committed, "{fault}");
    }
}

#[tokio::test]
async fn a_late_commit_lands_after_the_connection_is_gone() {
    let running = running().await;
    rules(&running, json!([{"match": "add_partner", "fault": "late-commit", "delay_ms": 300}])).await;
    assert_eq!(add(&running).await, Answer::default());
    assert_eq!(partners(&running).await, 0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while partners(&running).await == 0 {
        assert!(Instant::now() < deadline, "the commit never came");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_truncated_answer_is_whole_as_http_and_a_cut_one_is_not() {
    let running = running().await;
    let whole = add(&running).await;
    rules(&running, json!([{"match": "add_partner", "fault": "truncated-json"}])).await;
    let truncated = add(&running).await;
    assert!(truncated.whole() && truncated.announced < whole.announced, "{truncated:?}");
    assert!(serde_json::from_slice::<serde_json::Value>(&truncated.body).is_err());
    rules(&running, json!([{"match": "add_partner", "fault": "cut-body"}])).await;
    let cut = add(&running).await;
    assert_eq!((cut.status, cut.announced), (200, whole.announced));
    assert_eq!(cut.body.len(), truncated.body.len(), "what was sent arrived: {}", cut.text());
    assert_eq!(partners(&running).await, 3);
}

#[tokio::test]
async fn slow_bytes_take_their_time_and_are_all_there() {
    let running = running().await;
    rules(&running, json!([{"match": "*", "fault": "slow-bytes", "delay_ms": 20, "pieces": 5}])).await;
    let start = Instant::now();
    let answer = add(&running).await;
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(answer.json()["mk_id"].is_string());
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_its_write() {
    let running = running().await;
    rules(&running, json!([{"match": "add_partner", "fault": "slow-commit", "delay_ms": 200}])).await;
    let impatient = tokio::time::timeout(Duration::from_millis(50), add(&running)).await;
    assert!(impatient.is_err());
    let deadline = Instant::now() + Duration::from_secs(10);
    while partners(&running).await == 0 {
        assert!(Instant::now() < deadline, "the write was lost");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn statuses_and_retry_after_reach_the_wire() {
    let running = running().await;
    for (rule, status, retry_after) in [
        (json!({"match": "*", "fault": "http-429", "retry_after": 7}), 429, true),
        (json!({"match": "*", "fault": "http-503"}), 503, false),
        (json!({"match": "*", "fault": "html-page", "status": 403}), 403, false),
        (json!({"match": "*", "fault": "bad-credentials", "status": 401, "opr_code": 6}), 401, false),
    ] {
        rules(&running, json!([rule])).await;
        let answer = add(&running).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.head.contains("retry-after: 7"), retry_after, "{}", answer.head);
    }
    assert_eq!(partners(&running).await, 0);
}

#[tokio::test]
async fn an_echoed_secret_is_there_in_the_form_that_was_asked_for() {
    let running = running().await;
    for (form, raw, escaped) in [("raw", true, false), ("escaped", false, true), ("both", true, true)] {
        rules(&running, json!([{"match": "*", "fault": "echo-secret", "form": form}])).await;
        let answer = add(&running).await;
        assert_eq!(answer.text().contains(r#"k\"ey/1"#), raw, "{form}: {}", answer.text());
        assert_eq!(answer.text().contains(r"\u006b\u0022\u0065"), escaped, "{form}: {}", answer.text());
        assert!(answer.json()["opr_desc"].as_str().unwrap().contains(&running.secret_key));
    }
    let log = control(&running, "GET", "/requests", json!(null)).await;
    assert!(!log.text().contains("ey/1"), "{}", log.text());
}

#[tokio::test]
async fn requests_in_flight_are_counted() {
    let running = running().await;
    rules(&running, json!([{"match": "add_partner", "fault": "slow-commit", "delay_ms": 300, "times": 1}]))
        .await;
    let slow = add(&running);
    let quick = async {
        // The slow one is in as soon as it is counted.
        while running.sandbox().in_flight_max() == 0 {
            tokio::task::yield_now().await;
        }
        call(&running, "v1/json/warehouse_list", json!({})).await;
    };
    tokio::join!(slow, quick);
    call(&running, "v1/json/warehouse_list", json!({})).await;
    let log = control(&running, "GET", "/requests", json!(null)).await.json();
    let counts: Vec<_> =
        log.as_array().unwrap().iter().map(|entry| entry["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 1, 1], "the quick one, the slow one, the one after both");
}

#[tokio::test]
async fn one_request_after_another_never_counts_two() {
    let running = running().await;
    let mut client = Client::to(&running.base_url).await;
    for _ in 0..500 {
        client.call(&running, "v1/json/warehouse_list", json!({})).await;
    }
    assert_eq!(running.sandbox().in_flight_max(), 1);
}

#[tokio::test]
async fn a_byte_order_mark_stands_before_every_kind_of_answer() {
    let running = running().await;
    let mark = b"\xef\xbb\xbf";
    for other in [
        json!([]),
        json!([{"match": "*", "fault": "http-503"}]),
        json!([{"match": "*", "fault": "truncated-json"}]),
        json!([{"match": "*", "fault": "http-502-after-commit"}]),
    ] {
        let mut all = vec![json!({"match": "*", "fault": "byte-order-mark"})];
        all.extend(other.as_array().unwrap().iter().cloned());
        rules(&running, json!(all)).await;
        let answer = add(&running).await;
        assert!(answer.whole() && answer.body.starts_with(mark), "{other}: {answer:?}");
    }
    rules(&running, json!([])).await;
    assert!(!add(&running).await.body.starts_with(mark));
}

#[tokio::test]
async fn a_quota_is_used_up_and_comes_back() {
    let running = running().await;
    rules(&running, json!([{"match": "*", "fault": "quota-exceeded", "after": 5, "counts": "writes"}])).await;
    for _ in 0..8 {
        add(&running).await;
        call(&running, "v1/json/warehouse_list", json!({})).await;
    }
    assert_eq!(partners(&running).await, 5);
    let refused = add(&running).await.json();
    assert_eq!((&refused["opr_code"], &refused["opr_desc"]), (&json!("5"), &json!("Quote exceeds")));
    assert_eq!(call(&running, "v1/json/warehouse_list", json!({})).await.json()["opr_code"], "5");
    rules(&running, json!([])).await;
    add(&running).await;
    assert_eq!(partners(&running).await, 6);
}

#[tokio::test]
async fn options_of_another_fault_are_refused_with_its_own() {
    let running = running().await;
    for (rule, why) in [
        (
            json!({"match": "*", "fault": "hide", "mk_id": "1", "status": 500}),
            "its own are mk_id, field, value, scope, count",
        ),
        (json!({"match": "*", "fault": "quota-exceeded", "retry_after": 3}), "no option `retry_after`"),
        (json!({"match": "*", "fault": "commit-then-drop", "members": ["a"]}), "none of its own"),
    ] {
        let answer = control(&running, "POST", "/faults", json!([rule])).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains(why), "{}", answer.text());
    }
}
