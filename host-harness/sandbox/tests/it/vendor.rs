use crate::client::{Client, call, short_partners};
use metakocka_sandbox::{Options, start};
use serde_json::{Value, json};

#[tokio::test]
async fn the_announcement_is_all_a_client_needs() {
    let running = start(Options { partners: 3, ..Options::default() }).await.unwrap();
    let announced: Value = serde_json::from_str(&running.announcement()).unwrap();
    let keys: Vec<_> = announced.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["base_url", "company_id", "control_url", "secret_key"]);
    let base = announced["base_url"].as_str().unwrap();
    assert!(base.ends_with("/rest/eshop/"), "{base}");
    let body =
        json!({"company_id": announced["company_id"], "secret_key": announced["secret_key"]}).to_string();
    let answer = Client::to(base).await.send("POST", "/rest/eshop/v1/json/warehouse_list", &body).await;
    assert_eq!(answer.json()["opr_code"], "0");
    running.stop().await;
}

#[tokio::test]
async fn a_partner_goes_in_and_comes_back_over_one_connection() {
    let running =
        start(Options { partners: 0, switches: short_partners(), ..Options::default() }).await.unwrap();
    let mut client = Client::to(&running.base_url).await;
    let added = client
        .call(&running, "v1/add_partner", json!({"partner": {"customer": "Žito d.d.", "buyer": "true"}}))
        .await;
    assert!(added.head.contains("content-type: application/json"), "{}", added.head);
    let id = added.json()["mk_id"].clone();
    let read = client.call(&running, "v1/get_partner", json!({"partner_name": "ŽITO"})).await.json();
    assert_eq!(read["partner_list"][0]["mk_id"], id, "found by a part of its name in other letters");
    assert_eq!(read["partner_list"][0]["count_code"], "1");
    let wrong = client.call(&running, "v1/json/get_partner", json!({})).await;
    assert!(wrong.status == 404 && wrong.head.contains("content-type: text/html"), "{wrong:?}");
}

#[tokio::test]
async fn a_full_scan_is_complete_and_announces_its_length() {
    let running = start(Options { partners: 3_000, ..Options::default() }).await.unwrap();
    let answer = call(&running, "v1/get_partner", json!({})).await;
    assert!(answer.whole() && answer.announced > 1_500_000, "{} bytes", answer.announced);
    let scan = answer.json();
    assert_eq!(scan["partner_list"].as_array().unwrap().len(), 3_000);
    assert_eq!(
        scan["partner_list"],
        running.sandbox().state()["partners"]
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .map(|mut partner| {
                partner.as_object_mut().unwrap().remove("discounts");
                partner
            })
            .collect::<Value>()
    );
}

#[tokio::test]
async fn two_companies_in_one_process_are_strangers() {
    let first = start(Options { seed: 1, partners: 5, ..Options::default() }).await.unwrap();
    let second = start(Options { seed: 2, partners: 7, ..Options::default() }).await.unwrap();
    assert_eq!(call(&second, "v1/get_partner", json!({})).await.json()["partner_list_count"], "7");
    let body = json!({"company_id": first.company_id, "secret_key": first.secret_key}).to_string();
    let answer = Client::to(&second.base_url).await.send("POST", "/rest/eshop/v1/get_partner", &body).await;
    assert_eq!(answer.json()["opr_code"], "3");
    assert_eq!(answer.json()["opr_desc"], "Invalid value for secret_key and company_id");
    first.stop().await;
    assert_eq!(call(&second, "v1/get_partner", json!({})).await.json()["partner_list_count"], "7");
}

#[test]
fn the_keepers_of_keys_can_be_asked_from_outside() {
    use metakocka_sandbox::keys::{email_keys, tax_key};
    assert_eq!(tax_key("EL 123456789", "Grčija"), tax_key("123456789", "GR"));
    assert_eq!(tax_key("ni podatka", ""), None);
    assert_eq!(email_keys("Ana <ANA@x.example>; bojan@x.example"), ["ana@x.example", "bojan@x.example"]);
}
