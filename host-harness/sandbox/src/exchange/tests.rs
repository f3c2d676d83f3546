use super::*;

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

/// What a fault does to a create: the status answered, how the text begins, whether the partner is there.
#[tokio::test(start_paused = true)]
async fn what_each_fault_does_to_a_create() {
    let opr_1 = r#"{"opr_code":"1","opr_desc":"Internal server error.""#;
    for (fault, status, begins, committed) in [
        ("commit-then-drop", 0, "", true),
        ("drop-before", 0, "", false),
        ("slow-commit", 200, r#"{"mk_id""#, true),
        ("html-page", 200, "<html>", false),
        ("html-page-after-commit", 200, "<html>", true),
        ("html-404", 404, "<html>", false),
        ("http-500", 500, "<html>", false),
        ("http-502", 502, "<html>", false),
        ("http-503", 503, "<html>", false),
        ("http-429", 429, "<html>", false),
        ("http-502-after-commit", 502, "<html>", true),
        ("opr-1-after-commit", 200, opr_1, true),
        ("opr-1-without-commit", 200, opr_1, false),
        ("truncated-json", 200, r#"{"mk_id""#, true),
        ("cut-body", 200, r#"{"mk_id""#, true),
        (
            "bad-credentials",
            200,
            r#"{"opr_code":"3","opr_desc":"Invalid value for secret_key and company_id""#,
            false,
        ),
        ("quota-exceeded", 200, r#"{"opr_code":"5","opr_desc":"Quote exceeds""#, false),
        (
            "address-not-allowed",
            200,
            r#"{"opr_code":"4","opr_desc":"IP address '203.0.113.7' is not allowed for company_id = 16""#,
            false,
        ),
        ("internal-error", 200, r#"{"opr_code":"1","opr_desc":"Unknown internal server error""#, false),
        ("application-error", 200, r#"{"opr_code":"6","opr_code_app":"1001","opr_desc_app":""#, false),
        ("empty-object", 200, "{}", false),
        ("no-list", 200, r#"{"opr_time_ms":"3"}"#, false),
        ("bad-mk-id", 200, r#"{"mk_id":"0""#, true),
        ("byte-order-mark", 200, "\u{feff}{\"mk_id\"", true),
        (
            "echo-secret",
            200,
            r#"{"opr_code":"1","opr_desc":"Cannot read request : secret_key = the-key / \u0074"#,
            false,
        ),
        ("delay", 200, r#"{"mk_id""#, true),
        ("slow-bytes", 200, r#"{"mk_id""#, true),
        ("slovenian", 200, r#"{"mk_id""#, true),
    ] {
        let sandbox = sandbox(0);
        assert_eq!(sandbox.faults(&json!([{"match": "add_partner", "fault": fault}])), Ok(1));
        let answer = raw(&sandbox, call("add_partner", json!({"partner": {"customer": "Alfa"}}))).await;
        assert!(answer.0 == status && answer.1.starts_with(begins), "{fault}: {answer:?}");
        assert_eq!(state_partners(&sandbox).len(), usize::from(committed), "{fault}");
        assert_eq!(sandbox.requests(0)[0]["status"], status, "{fault}");
        sandbox.faults(&json!([])).unwrap();
        ask(&sandbox, "add_partner", json!({"partner": {"customer": "Beta"}})).await;
    }
}

/// What an option makes of a fault: the text of the answer, whether the partner is there.
#[tokio::test]
async fn options_change_what_a_fault_says_and_does() {
    for (mut rule, answer, committed) in [
        (
            json!({"fault": "opr-1-after-commit", "text": "Napaka 0x7"}),
            r#"{"opr_code":"1","opr_desc":"Napaka 0x7","opr_time_ms":"2"}"#,
            true,
        ),
        (
            json!({"fault": "opr-1-without-commit", "opr_desc": "?"}),
            r#"{"opr_code":"1","opr_desc":"?","opr_time_ms":"2"}"#,
            false,
        ),
        (
            json!({"fault": "internal-error", "committed": true}),
            r#"{"opr_code":"1","opr_desc":"Unknown internal server error","opr_time_ms":"2"}"#,
            true,
        ),
        (
            json!({"fault": "application-error", "opr_code_app": 77, "opr_desc_app": "Zaklenjeno"}),
            r#"{"opr_code":"6","opr_code_app":"77","opr_desc_app":"Zaklenjeno","opr_time_ms":"2"}"#,
            false,
        ),
        (
            json!({"fault": "address-not-allowed", "address": "198.51.100.9"}),
            r#"{"opr_code":"4","opr_desc":"IP address '198.51.100.9' is not allowed for company_id = 16","opr_time_ms":"2"}"#,
            false,
        ),
        (json!({"fault": "empty-object", "committed": true}), "{}", true),
        (json!({"fault": "no-list", "committed": true}), r#"{"opr_time_ms":"3"}"#, true),
        (json!({"fault": "bad-mk-id", "value": "abc", "committed": false}), r#"{"mk_id":"abc"}"#, false),
        (json!({"fault": "bad-mk-id", "value": "-5"}), r#"{"mk_id":"-5""#, true),
    ] {
        let sandbox = sandbox(0);
        rule["match"] = json!("add_partner");
        sandbox.faults(&json!([rule])).unwrap();
        let (status, text) =
            raw(&sandbox, call("add_partner", json!({"partner": {"customer": "Alfa"}}))).await;
        assert!(status == 200 && text.starts_with(answer), "{rule}: {text}");
        assert_eq!(state_partners(&sandbox).len(), usize::from(committed), "{rule}");
    }
}

#[tokio::test]
async fn a_quota_lets_the_first_calls_pass_and_then_nobody() {
    let sandbox = sandbox(2);
    sandbox
        .faults(&json!([{"match": "*", "fault": "quota-exceeded", "after": 2, "counts": "writes"}]))
        .unwrap();
    let add = json!({"partner": {"customer": "Alfa"}});
    let mut codes = Vec::new();
    for (name, body) in [
        ("get_partner", json!({})),
        ("add_partner", add.clone()),
        ("get_partner", json!({})),
        ("add_partner", add.clone()),
        ("get_partner", json!({})),
        ("add_partner", add),
    ] {
        codes.push(ask(&sandbox, name, body).await.get("opr_code").cloned());
    }
    let used_up = Some(json!("5"));
    assert_eq!(codes, [None, None, None, None, used_up.clone(), used_up]);
    sandbox.faults(&json!([])).unwrap();
    assert_eq!(ask(&sandbox, "get_partner", json!({})).await["partner_list_count"], "4");
}

#[tokio::test]
async fn a_hidden_partner_is_left_out_of_lists_or_of_everything() {
    let sandbox = sandbox(5);
    let people = state_partners(&sandbox);
    let (id, name) = (people[2]["mk_id"].clone(), people[2]["customer"].as_str().unwrap().to_owned());
    let ids = |answer: &Value| -> Vec<Value> {
        answer["partner_list"].as_array().unwrap().iter().map(|partner| partner["mk_id"].clone()).collect()
    };
    let others: Vec<Value> =
        people.iter().map(|partner| partner["mk_id"].clone()).filter(|other| *other != id).collect();
    for (whom, count, announced) in [
        (json!({"mk_id": id}), json!({}), "4"),
        (json!({"field": "customer", "value": name}), json!({}), "4"),
        (json!({"mk_id": id}), json!({"count": "all"}), "5"),
    ] {
        let rule = |scope: &str| {
            let mut rule = json!({"match": "*", "fault": "hide", "scope": scope});
            for extra in [&whom, &count] {
                rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            }
            json!([rule])
        };
        let touch = json!({"partner": {"mk_id": id}});
        sandbox.faults(&rule("lists")).unwrap();
        let list = ask(&sandbox, "get_partner", json!({})).await;
        assert_eq!((ids(&list), &list["partner_list_count"]), (others.clone(), &json!(announced)), "{whom}");
        assert_eq!(get(&sandbox, "partner_id", id.as_str().unwrap()).await["partner_list"][0]["mk_id"], id);
        assert_eq!(get(&sandbox, "partner_name", &name).await["partner_list"][0]["mk_id"], id);
        assert_eq!(ask(&sandbox, "update_partner", touch.clone()).await["partner_list"][0]["mk_id"], id);
        sandbox.faults(&rule("everything")).unwrap();
        assert_eq!(ids(&ask(&sandbox, "get_partner", json!({})).await), others, "{whom}");
        assert_eq!(get(&sandbox, "partner_id", id.as_str().unwrap()).await["opr_code"], "2");
        assert_eq!(get(&sandbox, "partner_name", &name).await["opr_code"], "2");
        assert_eq!(ask(&sandbox, "update_partner", touch).await["opr_code"], "2");
    }
    sandbox.faults(&json!([])).unwrap();
    assert_eq!(ask(&sandbox, "get_partner", json!({})).await["partner_list_count"], "5");
}

#[tokio::test]
async fn dropped_members_are_not_taken_or_not_said() {
    let sandbox = sandbox(0);
    let body = json!({"partner": {"customer": "Alfa", "tax_id_number": "1", "street": "Pot 1",
        "partner_contact": {"name": "Ana", "email": "ana@x.example"}}});
    let with = |rule: Value| sandbox.faults(&json!([rule])).unwrap();
    with(
        json!({"match": "add_partner", "fault": "drop-members", "members": ["tax_id_number", "partner.partner_contact.email"]}),
    );
    ask(&sandbox, "add_partner", body.clone()).await;
    let made = state_partners(&sandbox)[0].clone();
    assert_eq!((made.get("tax_id_number"), &made["customer"]), (None, &json!("Alfa")));
    assert_eq!(made["partner_contact_list"][0].get("email"), None);
    assert_eq!(made["partner_contact_list"][0]["name"], "Ana");
    // What was sent is what stands in the log.
    assert_eq!(sandbox.requests(0)[0]["request"]["partner"]["tax_id_number"], "1");
    with(
        json!({"match": "*", "fault": "drop-members", "of": "answer", "members": ["partner_list_count", "partner_list.customer", "street"]}),
    );
    let read = ask(&sandbox, "get_partner", json!({})).await;
    let partner = &read["partner_list"][0];
    assert_eq!((read.get("partner_list_count"), partner.get("customer")), (None, None));
    assert_eq!(partner["partner_delivery_address_list"][0].get("street"), None);
    assert_eq!(partner["partner_contact_list"][0]["contact_address"], "Pot 1");
    assert_eq!(state_partners(&sandbox)[0]["customer"], "Alfa", "only the answer lacks it");
}

#[tokio::test]
async fn lists_with_a_partner_twice_or_one_nobody_can_read() {
    let sandbox = sandbox(4);
    let people = state_partners(&sandbox);
    let id = people[1]["mk_id"].clone();
    let with = |rule: Value| sandbox.faults(&json!([rule])).unwrap();
    with(json!({"match": "get_partner", "fault": "repeat", "mk_id": id, "fields": {"customer": "Drugače"}}));
    let list = ask(&sandbox, "get_partner", json!({})).await;
    assert_eq!(list["partner_list_count"], "5");
    assert_eq!(
        (&list["partner_list"][4]["mk_id"], &list["partner_list"][4]["customer"]),
        (&id, &json!("Drugače"))
    );
    with(json!({"match": "get_partner", "fault": "unreadable-element", "mk_id": id}));
    let list = ask(&sandbox, "get_partner", json!({})).await;
    assert_eq!(
        (list["partner_list_count"].as_str(), list["partner_list"][1].get("mk_id")),
        (Some("4"), None)
    );
    assert_eq!(list["partner_list"][1]["customer"], people[1]["customer"]);
    with(
        json!({"match": "get_partner", "fault": "unreadable-element", "form": "half-surrogate", "mk_id": id}),
    );
    let (_, text) = raw(&sandbox, call("get_partner", json!({}))).await;
    assert!(text.contains(r"\ud83d") && serde_json::from_str::<Value>(&text).is_err(), "{text:.300}");
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_comes_when_the_client_is_long_gone() {
    let sandbox = sandbox(0);
    sandbox.faults(&json!([{"match": "add_partner", "fault": "late-commit", "delay_ms": 5000}])).unwrap();
    let body = json!({"partner": {"customer": "Alfa"}});
    assert_eq!(raw(&sandbox, call("add_partner", body.clone())).await, (0, String::new()));
    tokio::time::sleep(Duration::from_millis(4990)).await;
    assert_eq!(state_partners(&sandbox).len(), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(state_partners(&sandbox).len(), 1);
    raw(&sandbox, call("add_partner", body)).await;
    sandbox.reset();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(state_partners(&sandbox).len(), 0, "a commit of before the reset");
}

#[tokio::test]
async fn a_person_comes_between_a_read_and_a_write() {
    let sandbox = sandbox(2);
    sandbox
        .faults(&json!([
            {"match": "get_partner", "fault": "ui-edit-between", "fields": {"customer": "Po meri"}, "nth": 1},
            {"match": "get_partner", "fault": "ui-delete-between", "nth": 2}
        ]))
        .unwrap();
    // A scan reads nobody in particular.
    ask(&sandbox, "get_partner", json!({})).await;
    let read = get(&sandbox, "partner_id", "400070000001").await;
    assert_ne!(read["partner_list"][0]["customer"], "Po meri");
    let read = get(&sandbox, "partner_id", "400070000001").await;
    assert_eq!(read["partner_list"][0]["customer"], "Po meri");
    assert_eq!(get(&sandbox, "partner_id", "400070000001").await["opr_code"], "2");
}

#[tokio::test]
async fn manners_of_reading() {
    let sandbox = sandbox(10);
    let with = |rule: Value| sandbox.faults(&json!([rule])).unwrap();
    with(json!({"match": "*", "fault": "offset-honoured"}));
    let page = ask(&sandbox, "get_partner", json!({"offset": "8", "limit": 5})).await;
    assert_eq!(
        (&page["partner_list_count"], &page["partner_list"][0]["mk_id"]),
        (&json!("2"), &state_partners(&sandbox)[8]["mk_id"])
    );
    with(json!({"match": "*", "fault": "count-mismatch", "rows": 3}));
    let scan = ask(&sandbox, "get_partner", json!({})).await;
    assert_eq!(
        (&scan["partner_list_count"], scan["partner_list"].as_array().unwrap().len()),
        (&json!("10"), 7)
    );
    with(json!({"match": "*", "fault": "single-object"}));
    let second = state_partners(&sandbox)[1]["mk_id"].clone();
    let one = get(&sandbox, "partner_id", second.as_str().unwrap()).await;
    assert_eq!(one["partner_list"]["mk_id"], second);
    with(json!({"match": "*", "fault": "slovenian"}));
    assert_eq!(
        get(&sandbox, "partner_id", "1").await["opr_desc"],
        "Partner s takšnimi lastnostmi ne obstaja."
    );
    with(json!({"match": "*", "fault": "address-honoured"}));
    let sent = json!({"partner": {"mk_id": second, "street": "Nova 1"}});
    let updated = ask(&sandbox, "update_partner", sent).await;
    let addresses = updated["partner_list"][0]["partner_delivery_address_list"].as_array().unwrap();
    assert!(addresses.iter().any(|row| row["street"] == "Nova 1"));
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

#[test]
fn refused_rules_leave_the_old_ones_in_force() {
    let sandbox = sandbox(0);
    sandbox.faults(&json!([{"match": "*", "fault": "http-500"}])).unwrap();
    assert!(sandbox.faults(&json!([{"match": "*", "fault": "http-599"}])).is_err());
    assert_eq!(sandbox.company().faults.len(), 1);
}

#[tokio::test]
async fn a_create_without_its_address_is_refused_unless_switched_off() {
    let sandbox = sandbox_with(0, Switches::default());
    let whole = json!({"customer": "Alfa", "street": "Pot 1", "post_number": "1000", "place": "Kranj", "country": "SI"});
    for member in ["street", "post_number", "place", "country"] {
        for value in [None, Some("")] {
            let mut partner = whole.clone();
            partner.as_object_mut().unwrap().remove(member);
            if let Some(value) = value {
                partner[member] = json!(value);
            }
            let answer = ask(&sandbox, "add_partner", json!({ "partner": partner })).await;
            assert_eq!(
                (&answer["opr_code"], &answer["opr_desc"]),
                (&json!("2"), &json!(format!("Value is require for {member}")))
            );
        }
    }
    assert_eq!(state_partners(&sandbox).len(), 0);
    // Nothing that was refused used up a number.
    assert_eq!(ask(&sandbox, "add_partner", json!({ "partner": whole })).await["mk_id"], "400070000001");
    sandbox.set_switches(&json!({"address-members": "optional"})).unwrap();
    let short = ask(&sandbox, "add_partner", json!({"partner": {"customer": "Beta"}})).await;
    assert_eq!(short, json!({"mk_id": "400070000003"}));
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

#[tokio::test]
async fn searches_compare_texts_unless_switched_to_their_digits() {
    let sandbox = sandbox(0);
    let partner = json!({"customer": "Alfa", "tax_id_number": "SI 1234-5678",
        "partner_contact": {"phone": "01 234 56 78", "gsm": "041/111-222"}});
    ask(&sandbox, "add_partner", json!({ "partner": partner })).await;
    let cases = [
        ("partner_phone_number", "234 56", true, true),
        ("partner_phone_number", "012345678", false, true),
        ("partner_phone_number", "041111222", false, true),
        ("partner_phone_number", "7804", false, false),
        ("partner_tax_number", "si 1234", true, true),
        ("partner_tax_number", "1234-5678", true, true),
        ("partner_tax_number", "SI12345678", false, true),
        ("partner_tax_number", "12345678", false, true),
        ("partner_tax_number", "HR12345678", false, false),
    ];
    for (key, value, as_stored, _) in cases {
        assert_eq!(get(&sandbox, key, value).await.get("opr_code").is_none(), as_stored, "{key} {value}");
    }
    sandbox.set_switches(&json!({"phone-search": "digits", "tax-search": "letters-and-digits"})).unwrap();
    for (key, value, _, folded) in cases {
        assert_eq!(get(&sandbox, key, value).await.get("opr_code").is_none(), folded, "{key} {value}");
    }
}

#[tokio::test]
async fn updates_as_the_switches_take_them() {
    let sandbox = sandbox(0);
    let partner = json!({"customer": "Alfa", "street": "Pot 1", "tax_id_number": "SI12345678",
        "partner_contact": {"name": "Ana", "phone": "1"}});
    let id = ask(&sandbox, "add_partner", json!({ "partner": partner })).await["mk_id"].clone();
    let update = async |value: &str, fields: Value| {
        let (name, value) = value.split_once('=').unwrap();
        sandbox.set_switches(&json!({ name: value })).unwrap();
        let mut partner = fields;
        partner["mk_id"] = id.clone();
        ask(&sandbox, "update_partner", json!({ "partner": partner })).await
    };
    let singular = json!({"partner_contact": {"phone": "2"}});
    let refused = update("singular-contact=refused", singular.clone()).await;
    assert_eq!(refused["opr_code"], "2");
    let phone = |answer: &Value| answer["partner_list"][0]["partner_contact_list"][0]["phone"].clone();
    assert_eq!(phone(&update("singular-contact=ignored", singular.clone()).await), "1");
    let honoured = update("singular-contact=honoured", singular).await;
    assert_eq!(phone(&honoured), "2");
    assert_eq!(honoured["partner_list"][0]["partner_contact_list"].as_array().unwrap().len(), 1);
    let empty = json!({"tax_id_number": "", "customer": "Beta"});
    let kept = update("empty-values=ignored", empty.clone()).await;
    assert_eq!(kept["partner_list"][0]["tax_id_number"], "SI12345678");
    let cleared = update("empty-values=cleared", empty).await;
    assert_eq!(cleared["partner_list"][0].get("tax_id_number"), None);
    assert_eq!(update("empty-values=cleared", json!({"customer": ""})).await["opr_code"], "2");
    let long = json!({"customer": "x".repeat(101)});
    assert_eq!(update("over-long=refused", long.clone()).await["opr_code"], "2");
    assert_eq!(update("over-long=cut", long).await["partner_list"][0]["customer"], "x".repeat(100));
    assert_eq!(
        update("top-level-address=ignored", json!({"street": "Nova 2"})).await["partner_list"][0]["partner_delivery_address_list"]
            [0]["street"],
        "Pot 1"
    );
    assert_eq!(
        update("top-level-address=honoured", json!({"street": "Nova 2"})).await["partner_list"][0]["partner_delivery_address_list"]
            [0]["street"],
        "Nova 2"
    );
}

#[test]
fn switches_outlive_a_reset_and_addressless_partners_come_with_it() {
    let sandbox = sandbox(300);
    let addressless = || {
        state_partners(&sandbox)
            .iter()
            .filter(|partner| partner.get("partner_delivery_address_list").is_none())
            .count()
    };
    assert_eq!(addressless(), 0);
    sandbox.set_switches(&json!({"addressless-partners": "present"})).unwrap();
    assert_eq!(addressless(), 0, "the partners that are there stay");
    sandbox.reset();
    assert!((3..30).contains(&addressless()), "{}", addressless());
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
