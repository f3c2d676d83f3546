mod faults;
mod switches;

use super::*;
use serde_json::json;

const SECRET: &str = "the-key";

/// A company in which a partner can be as short as its test.
fn sandbox(partners: usize) -> Sandbox {
    let mut switches = Switches::default();
    switches.set_pair("address-members=optional").unwrap();
    sandbox_with(partners, switches)
}

fn sandbox_with(partners: usize, switches: Switches) -> Sandbox {
    Sandbox::new(Settings {
        company_id: "16".into(),
        secret_key: SECRET.into(),
        seed: 5,
        partners,
        latency: Duration::ZERO,
        switches,
    })
}

fn call(name: &str, mut body: Value) -> Call {
    body["company_id"] = json!(16);
    body["secret_key"] = json!(SECRET);
    let path = format!("{}v1/{name}", endpoint::ROOT);
    Call { post: true, path, body: body.to_string().into(), in_flight: 1 }
}

/// The status and the text of an answer; 0 and nothing when the connection was dropped.
async fn raw(sandbox: &Sandbox, call: Call) -> (u16, String) {
    match sandbox.exchange(call).await {
        Plan::Drop => (0, String::new()),
        Plan::Answer(reply) => {
            (reply.status, String::from_utf8_lossy(&reply.body.read(reply.sent)).into_owned())
        }
    }
}

async fn ask(sandbox: &Sandbox, name: &str, body: Value) -> Value {
    let (status, text) = raw(sandbox, call(name, body)).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn get(sandbox: &Sandbox, key: &str, value: &str) -> Value {
    ask(sandbox, "get_partner", json!({ key: value })).await
}

fn state_partners(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.state()["partners"].as_array().unwrap().clone()
}

fn without_discounts(mut partner: Value) -> Value {
    partner.as_object_mut().unwrap().remove("discounts");
    partner
}

#[tokio::test]
async fn no_key_and_an_empty_name_answer_everybody_in_order_of_creation() {
    let sandbox = sandbox(50);
    let (_, all) = raw(&sandbox, call("get_partner", json!({}))).await;
    assert!(
        all.starts_with(r#"{"partner_list_count":"50","partner_list":[{"mk_id":"400070000001","#),
        "{all:.80}"
    );
    assert_eq!(raw(&sandbox, call("get_partner", json!({"partner_name": ""}))).await.1, all);
    // Not honoured without a switch.
    assert_eq!(raw(&sandbox, call("get_partner", json!({"limit": 5, "offset": 10}))).await.1, all);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all.get("opr_code"), None);
    assert_eq!(all.get("opr_time_ms"), None);
    let ids: Vec<_> =
        all["partner_list"].as_array().unwrap().iter().map(|p| p["mk_id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.len() == 50);
    let shown: Vec<_> = state_partners(&sandbox).into_iter().map(without_discounts).collect();
    assert_eq!(all["partner_list"], json!(shown));
}

#[tokio::test]
async fn a_partner_has_the_same_bytes_in_every_answer() {
    let sandbox = sandbox(300);
    let (_, scan) = raw(&sandbox, call("get_partner", json!({}))).await;
    for partner in state_partners(&sandbox) {
        let id = &partner["mk_id"];
        let own = |text: &str| {
            let from = text.find(&format!(r#"{{"mk_id":{id},"business_entity""#)).unwrap();
            let end = text[from..].find(r#",{"mk_id":"40007"#).unwrap_or(text.len() - from - "]}".len());
            text[from..from + end].to_owned()
        };
        let in_scan = own(&scan);
        let (_, single) = raw(&sandbox, call("get_partner", json!({"partner_id": id}))).await;
        assert_eq!(own(&single), in_scan);
        let (_, updated) = raw(&sandbox, call("update_partner", json!({"partner": {"mk_id": id}}))).await;
        assert_eq!(own(&updated), in_scan);
    }
}

#[tokio::test]
async fn keys_match_parts_and_ids_match_exactly() {
    let sandbox = sandbox(0);
    let partner = json!({
        "customer": "Čebelarstvo Žnidaršič s.p.", "tax_id_number": "SI12345678",
        "partner_contact": {"email": "Info@Med.example", "phone": "01 234 56 78"}
    });
    let added = ask(&sandbox, "add_partner", json!({ "partner": partner })).await;
    for (key, value, hit) in [
        ("partner_name", "čebelarstvo ž", true),
        ("partner_name", "znidarsic", false),
        ("partner_tax_number", "2345", true),
        ("partner_tax_number", "si12345678", true),
        ("partner_tax_number", "SI 12345678", false),
        ("partner_email", "info@med", true),
        ("partner_phone_number", "234 56", true),
        ("partner_id", "400070000001", true),
        ("partner_id", "40007000000", false),
        ("partner_id", "0400070000001", false),
        ("partner_id", "no number", false),
    ] {
        let answer = get(&sandbox, key, value).await;
        if hit {
            assert_eq!(answer["partner_list"][0]["mk_id"], added["mk_id"], "{key} {value}");
        } else {
            let miss =
                json!({"opr_code": "2", "opr_desc": "No partner with such properties.", "opr_time_ms": "2"});
            assert_eq!(answer, miss, "{key} {value}");
        }
    }
}

#[tokio::test]
async fn the_same_body_twice_is_two_partners_and_one_duplicate() {
    let sandbox = sandbox(0);
    let body = json!({"partner": {"customer": "Alfa", "tax_id_number": "SI12345678", "street": "Pot 1"}});
    let first = ask(&sandbox, "add_partner", body.clone()).await;
    assert_eq!(
        first,
        json!({"mk_id": "400070000001", "mk_address_id_list": [{"mk_id": "400070000002", "street": "Pot 1"}]})
    );
    assert_eq!(sandbox.state()["duplicates"]["partners"], 0);
    ask(&sandbox, "add_partner", body).await;
    assert_eq!(sandbox.state()["duplicates"], json!({"partners": 1, "products": 0, "documents": 0}));
    assert_eq!(get(&sandbox, "partner_tax_number", "12345678").await["partner_list_count"], "2");
}

#[tokio::test]
async fn added_partners_carry_unknown_keys_too() {
    let sandbox = sandbox(0);
    for _ in 0..60 {
        ask(&sandbox, "add_partner", json!({"partner": {"customer": "Alfa"}})).await;
    }
    let known = ["mk_id", "count_code", "customer"];
    let odd = state_partners(&sandbox)
        .iter()
        .filter(|partner| partner.as_object().unwrap().keys().any(|key| !known.contains(&key.as_str())))
        .count();
    assert!((5..55).contains(&odd), "{odd} of 60");
}

#[tokio::test]
async fn a_refused_update_changes_nothing() {
    let sandbox = sandbox(3);
    let before = sandbox.state();
    for (partner, text) in [
        (json!({"customer": "X"}), "Paramether mk_id must be set"),
        (json!({"mk_id": "1", "customer": "X"}), "Partner with mk_id '1' does not exist."),
        (json!({"count_code": "99", "customer": "X"}), "Partner with count_code '99' does not exist."),
        (
            json!({"mk_id": "400070000001", "customer": "X", "partner_contact_list": [{"name": "A"}]}),
            "Paramether mk_address_id must be set",
        ),
        (
            json!({"mk_id": "400070000001", "customer": "X", "partner_delivery_address_list": [{"mk_id": "7"}]}),
            "Address with mk_id '7' does not exist.",
        ),
    ] {
        let answer = ask(&sandbox, "update_partner", json!({ "partner": partner })).await;
        assert_eq!(answer["opr_desc"], text);
        assert_eq!(answer["opr_code"], "2");
    }
    assert_eq!(sandbox.state(), before);
}

#[tokio::test]
async fn a_wrong_key_is_a_business_error_that_does_not_repeat_it() {
    let sandbox = sandbox(1);
    for (company, secret) in
        [(json!("16"), json!("guess")), (json!(17), json!(SECRET)), (json!(16), json!(null))]
    {
        let body = json!({"company_id": company, "secret_key": secret}).to_string();
        let path = format!("{}v1/get_partner", endpoint::ROOT);
        let (status, text) = raw(&sandbox, Call { post: true, path, body: body.into(), in_flight: 1 }).await;
        assert_eq!(status, 200);
        assert!(
            text.starts_with(r#"{"opr_code":"3","opr_desc":"Invalid value for secret_key and company_id""#)
                && !text.contains("guess")
                && !text.contains(SECRET),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_wrong_path_is_a_page() {
    let sandbox = sandbox(1);
    for (post, path) in [
        (true, "/rest/eshop/v1/json/get_partner"),
        (false, "/rest/eshop/v1/get_partner"),
        (true, "/rest/eshop/v1/partner_search"),
    ] {
        let call = Call { post, path: path.into(), body: Bytes::new(), in_flight: 1 };
        let (status, text) = raw(&sandbox, call).await;
        assert!(status == 404 && text.starts_with('<'), "{path}: {status} {text}");
    }
}

#[tokio::test]
async fn discounts_come_on_request_and_in_the_state() {
    let sandbox = sandbox(400);
    let discounted = state_partners(&sandbox).into_iter().find(|p| p.get("discounts").is_some()).unwrap();
    let id = discounted["mk_id"].clone();
    let plain = ask(&sandbox, "get_partner", json!({"partner_id": id})).await;
    let full = ask(&sandbox, "get_partner", json!({"partner_id": id, "show_partner_discount": true})).await;
    assert_eq!(full["partner_list"][0], discounted);
    assert_eq!(plain["partner_list"][0], without_discounts(discounted));
}

#[test]
fn edits_are_what_a_person_does() {
    let sandbox = sandbox(1);
    let created = sandbox
        .edit(&json!({"op": "create", "kind": "partner", "fields": {
            "customer": "Alfa", "partner_contact_list": [{"name": "Ana"}], "street": "Pot 1", "country": "AT"}}))
        .unwrap();
    assert_eq!(
        created["partner_contact_list"][0]["mk_address_id"],
        created["partner_delivery_address_list"][0]["mk_id"]
    );
    assert_eq!(created["partner_delivery_address_list"][0]["country"], "Avstrija");
    let id = &created["mk_id"];
    let updated = sandbox
        .edit(&json!({"op": "update", "kind": "partner", "mk_id": id, "fields": {"buyer": true}}))
        .unwrap();
    assert_eq!(updated["buyer"], "true");
    assert!(state_partners(&sandbox).contains(&updated));
    let deleted = sandbox.edit(&json!({"op": "delete", "kind": "partner", "mk_id": id})).unwrap();
    assert_eq!(deleted, json!({"deleted": id}));
    assert_eq!(state_partners(&sandbox).len(), 1);
}

#[test]
fn a_refused_edit_says_why_and_changes_nothing() {
    let sandbox = sandbox(1);
    let before = sandbox.state();
    let id = "400070000001";
    for (edit, why) in [
        (json!({"op": "update", "kind": "partner", "mk_id": id, "fields": {"name": "X"}}), "no field `name`"),
        (json!({"op": "update", "kind": "partner", "mk_id": id, "fields": {"customer": ""}}), "needs a name"),
        (
            json!({"op": "update", "kind": "partner", "mk_id": id, "fields": {"buyer": "da"}}),
            "\"true\" or \"false\"",
        ),
        (json!({"op": "update", "kind": "partner", "mk_id": id}), "fields is missing"),
        (json!({"op": "update", "kind": "partner", "mk_id": "5", "fields": {}}), "no partner with mk_id 5"),
        (
            json!({"op": "update", "kind": "partner", "mk_id": id,
                "fields": {"partner_contact_list": [{"mk_id": "5"}]}}),
            "no row with mk_id 5",
        ),
        (json!({"op": "delete", "kind": "product", "mk_id": id}), "not in this build"),
        (json!({"op": "merge", "kind": "partner"}), "create, update or delete"),
        (json!({"op": "create", "kind": "partner", "mk_id": "1", "fields": {"customer": "A"}}), "given out"),
        (json!({"kind": "partner"}), "missing field `op`"),
    ] {
        let error = sandbox.edit(&edit).unwrap_err().to_string();
        assert!(error.contains(why), "{edit}: {error}");
    }
    assert_eq!(sandbox.state(), before);
}

#[tokio::test]
async fn ids_of_one_create_are_neighbours_in_the_order_of_the_sample() {
    let sandbox = sandbox(0);
    let body = json!({"partner": {"customer": "Alfa", "street": "Pot 1", "partner_contact": {"name": "Ana"},
        "partner_delivery_address": {"street": "Pot 2"}}});
    assert_eq!(
        ask(&sandbox, "add_partner", body).await,
        json!({"mk_id": "400070000001", "mk_contact_id": "400070000004", "mk_address_id_list": [
            {"mk_id": "400070000002", "street": "Pot 1"}, {"mk_id": "400070000003", "street": "Pot 2"}]})
    );
}

#[tokio::test]
async fn answers_have_the_keys_of_the_samples_in_their_order() {
    let sandbox = sandbox(0);
    let body = json!({"partner": {"business_entity": "true", "taxpayer": "true", "foreign_county": "false",
        "buyer": "true", "supplier": "false", "tax_id_number": "SI12345678", "customer": "Alfa", "street": "Pot 1",
        "partner_contact": {"name": "Ana", "phone": "01", "fax": "02", "gsm": "03", "email": "a@x.example"}}});
    ask(&sandbox, "add_partner", body).await;
    let (_, text) = raw(&sandbox, call("get_partner", json!({"partner_tax_number": "1234"}))).await;
    let mut at = 0;
    for key in [
        "partner_list_count",
        "partner_list",
        "mk_id",
        "business_entity",
        "taxpayer",
        "foreign_county",
        "buyer",
        "supplier",
        "tax_id_number",
        "customer",
        "count_code",
        "partner_contact_list",
        "mk_id",
        "mk_address_id",
        "contact_address",
        "name",
        "phone",
        "fax",
        "gsm",
        "email",
        "partner_delivery_address_list",
        "mk_id",
        "address_type",
        "street",
        "language",
    ] {
        let found =
            text[at..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} after {}", &text[..at]));
        at += found + 1;
    }
    sandbox.set_switches(&json!({"partner-call-times": "present"})).unwrap();
    let timed = ask(&sandbox, "get_partner", json!({})).await;
    assert!(timed["opr_time_ms"].is_string() && timed["opr_time_no_lock_ms"].is_string(), "{timed}");
    let made = ask(&sandbox, "add_partner", json!({"partner": {"customer": "Beta"}})).await;
    assert!(made["opr_time_ms"].is_string(), "{made}");
    let scan = ask(&sandbox, "get_partner", json!({})).await;
    assert_eq!((&scan["partner_list_count"], scan["opr_time_ms"].is_string()), (&json!("2"), true));
    sandbox.set_switches(&json!({"partner-call-times": "absent"})).unwrap();
    assert_eq!(
        ask(&sandbox, "get_partner", json!({})).await.get("opr_time_ms"),
        None,
        "not the scan of before"
    );
}

#[tokio::test]
async fn the_list_of_warehouses_repeats_nothing_of_the_request() {
    let sandbox = sandbox(0);
    let call = Call {
        path: format!("{}v1/json/warehouse_list", endpoint::ROOT),
        ..call("", json!({"offset": 1, "limit": 2}))
    };
    let answer: Value = serde_json::from_str(&raw(&sandbox, call).await.1).unwrap();
    let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "doc_type",
            "opr_code",
            "opr_time_ms",
            "opr_time_no_lock_ms",
            "warehouse_list",
            "warehouse_list_count"
        ]
    );
}

/// Two partners of the API, and whether the second is one too many.
#[tokio::test]
async fn duplicates_are_found_in_every_spelling() {
    let taxed = |tax: &str, country: &str| json!({"tax_id_number": tax, "country": country});
    let mailed = |email: &str| json!({"partner_contact": {"email": email}});
    for (first, second, duplicate) in [
        (taxed("SI12345678", "SI"), taxed("SI\u{202f}1234\u{2011}5678", "SI"), true),
        (taxed("12345678Z", "ES"), taxed("ES12345678Z", "ES"), true),
        (taxed("EL123456789", "GR"), taxed("GR123456789", "GR"), true),
        (taxed("123456789", "DE"), taxed("123456789", "GR"), false),
        (taxed("0", "SI"), taxed("0", "SI"), true),
        (mailed("ana@x.example; bojan@x.example"), mailed("Bojan@X.example"), true),
        (mailed("\u{200b}ana@x.example"), mailed("Ana <ana@x.example>"), true),
        (mailed("bojan@x.example"), mailed("ana@x.example; bojan@x.example"), true),
        (mailed("ana@x.example"), mailed("bojan@x.example"), false),
        (
            json!({"tax_id_number": "N/A", "street": "Pot 1"}),
            json!({"tax_id_number": "N/A", "street": "Pot 2"}),
            false,
        ),
    ] {
        let sandbox = sandbox(0);
        for fields in [&first, &second] {
            let mut partner = fields.clone();
            partner["customer"] = json!("Alfa");
            ask(&sandbox, "add_partner", json!({ "partner": partner })).await;
        }
        assert_eq!(sandbox.state()["duplicates"]["partners"], u32::from(duplicate), "{first} {second}");
    }
}
