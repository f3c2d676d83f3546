//! What every fault does to a call.

use super::*;

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

#[test]
fn refused_rules_leave_the_old_ones_in_force() {
    let sandbox = sandbox(0);
    sandbox.faults(&json!([{"match": "*", "fault": "http-500"}])).unwrap();
    assert!(sandbox.faults(&json!([{"match": "*", "fault": "http-599"}])).is_err());
    assert_eq!(sandbox.company().faults.len(), 1);
}
