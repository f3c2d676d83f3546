use crate::client::{call, control, partners, rules, short_partners};
use metakocka_sandbox::{Options, Running, start};
use serde_json::{Value, json};

async fn running(partners: usize) -> Running {
    start(Options { partners, switches: short_partners(), ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn the_state_has_every_kind() {
    let running = running(2).await;
    let state = control(&running, "GET", "/state", json!(null)).await.json();
    assert_eq!(state["partners"].as_array().unwrap().len(), 2);
    let warehouses = call(&running, "v1/json/warehouse_list", json!({})).await.json();
    assert_eq!(state["warehouses"], warehouses["warehouse_list"]);
    for kind in ["products", "stock", "documents"] {
        assert_eq!(state[kind], json!([]), "{kind}");
    }
    assert_eq!(state["duplicates"], json!({"partners": 0, "products": 0, "documents": 0}));
}

#[tokio::test]
async fn every_request_is_written_down_without_credentials() {
    let running = running(200).await;
    call(&running, "v1/add_partner", json!({"partner": {"customer": running.secret_key}})).await;
    call(&running, "v1/get_partner", json!({})).await;
    call(&running, "v1/nowhere", json!({})).await;
    rules(&running, json!([{"match": "*", "fault": "drop-before"}])).await;
    call(&running, "v1/get_partner", json!({"partner_id": "1"})).await;
    let answer = control(&running, "GET", "/requests?since=0", json!(null)).await;
    assert!(!answer.text().contains(&running.secret_key), "{}", answer.text());
    let log = answer.json();
    let shown: Vec<Value> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            json!([
                entry["n"],
                entry["path"],
                entry["status"],
                entry["write"],
                entry["in_flight"],
                entry["request"]
            ])
        })
        .collect();
    assert_eq!(
        json!(shown),
        json!([
            [1, "/rest/eshop/v1/add_partner", 200, true, 1, {"partner": {"customer": "[removed]"}}],
            [2, "/rest/eshop/v1/get_partner", 200, false, 1, {}],
            [3, "/rest/eshop/v1/nowhere", 404, false, 1, {}],
            [4, "/rest/eshop/v1/get_partner", 0, false, 1, {"partner_id": "1"}],
        ])
    );
    let made = running.sandbox().state()["partners"][200]["mk_id"].clone();
    assert_eq!(log[0]["response"]["mk_id"], made);
    assert!(log[1]["response"]["length"].as_u64().unwrap() > 64 * 1024);
    assert_eq!(log[1]["response"]["sha256"].as_str().unwrap().len(), 64);
    assert!(log[2]["response"].as_str().unwrap().starts_with('<'));
    assert_eq!(log[3]["response"], json!(null));
    let later = control(&running, "GET", "/requests?since=3", json!(null)).await.json();
    assert_eq!(later.as_array().unwrap().len(), 1);
    assert_eq!(control(&running, "GET", "/requests?since=x", json!(null)).await.status, 400);
}

#[tokio::test]
async fn edits_over_http() {
    let running = running(1).await;
    let post = async |edit: Value| control(&running, "POST", "/edit", edit).await;
    let made = post(json!({"op": "create", "kind": "partner", "fields": {"customer": "Alfa"}})).await;
    assert_eq!((made.status, &made.json()["customer"]), (200, &json!("Alfa")));
    let gone = post(json!({"op": "delete", "kind": "partner", "mk_id": made.json()["mk_id"]})).await;
    assert_eq!(gone.json(), json!({"deleted": made.json()["mk_id"]}));
    let again = post(json!({"op": "delete", "kind": "partner", "mk_id": made.json()["mk_id"]})).await;
    assert_eq!(again.status, 404);
    let product = post(json!({"op": "delete", "kind": "product", "mk_id": "1"})).await;
    assert_eq!(product.status, 400);
    assert!(product.json()["error"].as_str().unwrap().contains("not in this build"));
}

#[tokio::test]
async fn faults_explain_themselves_and_refuse_nonsense() {
    let running = running(1).await;
    let meanings = control(&running, "GET", "/faults", json!(null)).await.json();
    for name in [
        "commit-then-drop",
        "late-commit",
        "drop-before",
        "html-page",
        "http-500",
        "http-502",
        "http-503",
        "http-429",
        "opr-1-after-commit",
        "opr-1-without-commit",
        "truncated-json",
        "slow-bytes",
        "bad-credentials",
        "quota-exceeded",
        "address-not-allowed",
        "internal-error",
        "application-error",
        "hide",
        "drop-members",
        "empty-object",
        "no-list",
        "byte-order-mark",
        "bad-mk-id",
        "repeat",
        "unreadable-element",
    ] {
        assert!(meanings[name].as_str().is_some_and(|meaning| meaning.len() > 20), "{name}");
    }
    let refused = control(&running, "POST", "/faults", json!([{"match": "*", "fault": "http-501"}])).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["faults"].as_array().unwrap().len(), meanings.as_object().unwrap().len());
}

#[tokio::test]
async fn switches_are_shown_set_and_refused() {
    let running = running(1).await;
    let shown = control(&running, "GET", "/switches", json!(null)).await.json();
    let row = |name: &str, shown: &Value| {
        shown.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    };
    let members = row("address-members", &shown);
    assert_eq!((&members["value"], &members["default"]), (&json!("optional"), &json!("required")));
    assert_eq!(members["values"], json!(["required", "optional"]));
    assert!(members["meaning"].as_str().unwrap().len() > 20);
    let set = control(
        &running,
        "POST",
        "/switches",
        json!({"address-members": "required", "trailing-slash": "accepted"}),
    )
    .await;
    assert_eq!((set.status, &row("address-members", &set.json())["value"]), (200, &json!("required")));
    let refused = call(&running, "v1/add_partner", json!({"partner": {"customer": "Alfa"}})).await.json();
    assert_eq!(refused["opr_desc"], "Value is require for street");
    assert_eq!(call(&running, "v1/get_partner/", json!({})).await.json()["partner_list_count"], "1");
    assert_eq!(call(&running, "v1//get_partner", json!({})).await.status, 404);
    for (posted, why) in [
        (json!({"trailing-slash": "maybe"}), "takes not-found or accepted, not `maybe`"),
        (json!({"slashes": "accepted"}), "there is no switch `slashes`"),
        (json!([]), "names and texts"),
    ] {
        let answer = control(&running, "POST", "/switches", posted).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].as_str().unwrap().contains(why), "{}", answer.text());
    }
    assert_eq!(control(&running, "GET", "/switches", json!(null)).await.json(), set.json());
}

#[tokio::test]
async fn a_reset_is_back_to_the_seed() {
    let running = running(4).await;
    let before = control(&running, "GET", "/state", json!(null)).await.json();
    call(&running, "v1/add_partner", json!({"partner": {"customer": "Alfa"}})).await;
    rules(&running, json!([{"match": "*", "fault": "http-500"}])).await;
    assert_eq!(partners(&running).await, 5);
    control(&running, "POST", "/reset", json!(null)).await;
    let mut after = control(&running, "GET", "/state", json!(null)).await.json();
    after["in_flight_max"] = before["in_flight_max"].clone();
    assert_eq!(after, before);
    assert_eq!(control(&running, "GET", "/requests", json!(null)).await.json(), json!([]));
    assert_eq!(call(&running, "v1/get_partner", json!({})).await.status, 200);
}

#[tokio::test]
async fn unknown_doors_say_which_there_are() {
    let running = running(0).await;
    let answer = control(&running, "GET", "/stats", json!(null)).await;
    assert!(answer.status == 404 && answer.text().contains("/state"), "{answer:?}");
}
