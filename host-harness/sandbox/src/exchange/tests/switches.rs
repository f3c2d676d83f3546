//! Every switch, both ways round.

use super::*;

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
