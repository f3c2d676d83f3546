use super::*;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// With a partner as short as its test.
fn lenient() -> Switches {
    let mut switches = Switches::default();
    switches.set_pair("address-members=optional").unwrap();
    switches
}

fn shown(partner: &Partner) -> Value {
    serde_json::from_slice(&partner.0.to_json()).unwrap()
}

fn alfa(numbers: &mut Numbers) -> Partner {
    Partner::added(
        &map(json!({
            "customer": "Alfa d.o.o.", "buyer": true, "tax_id_number": "SI00000001",
            "street": "Vzorčna 1", "post_number": 1000, "place": "Ljubljana", "country": "SI",
            "partner_contact": {"name": "Ana Vzorec", "email": "ana@alfa.example"},
            "partner_delivery_address": {"street": "Skladiščna 5", "city": "Celje"}
        })),
        numbers,
        &Switches::default(),
    )
    .unwrap()
}

#[test]
fn an_added_partner_has_the_shape_of_the_read_side() {
    assert_eq!(
        shown(&alfa(&mut Numbers::default())),
        json!({
            "mk_id": "400070000001", "count_code": "1", "customer": "Alfa d.o.o.", "buyer": "true",
            "tax_id_number": "SI00000001",
            "partner_contact_list": [{
                "mk_id": "400070000004", "mk_address_id": "400070000002", "contact_address": "Vzorčna 1",
                "name": "Ana Vzorec", "email": "ana@alfa.example"
            }],
            "partner_delivery_address_list": [
                {"mk_id": "400070000002", "address_type": "Račun", "street": "Vzorčna 1",
                 "post_number": "1000", "city": "Ljubljana", "country": "Slovenija", "language": "Slovenski"},
                {"mk_id": "400070000003", "address_type": "Dobava", "street": "Skladiščna 5",
                 "city": "Celje", "language": "Slovenski"}
            ]
        })
    );
}

#[test]
fn what_the_vendor_refuses() {
    let long = "x".repeat(101);
    let cases = [
        (json!({"street": "a"}), "Value is require for customer"),
        (
            json!({"customer": "a", "buyer": "yes"}),
            "Paramether 'buyer' has invalid value : yes. Valid values : true,false",
        ),
        (
            json!({"customer": long}),
            "Paramether 'customer' has invalid value : too long. Maximum length : 100",
        ),
        (
            json!({"customer": "a", "partner_delivery_address": {"address_type": "Doma"}}),
            "Paramether 'address_type' has invalid value : Doma. Valid values : Račun,Dobava,Poslovna enota",
        ),
    ];
    for (sent, text) in cases {
        let refusal = Partner::added(&map(sent.clone()), &mut Numbers::default(), &lenient()).unwrap_err();
        assert_eq!(refusal.text(false), text, "{sent}");
    }
}

#[test]
fn an_update_changes_what_was_sent_and_nothing_else() {
    let mut numbers = Numbers::default();
    let before = alfa(&mut numbers);
    let cases = [
        ("nothing sent", json!({}), json!({})),
        ("empty is ignored", json!({"customer": "", "tax_id_number": null}), json!({})),
        ("the top-level address is ignored", json!({"street": "Nova 9", "place": "Kranj"}), json!({})),
        ("a plain field", json!({"customer": "Beta"}), json!({"/customer": "Beta"})),
        (
            "a row by its id",
            json!({"partner_delivery_address_list": [{"mk_id": "400070000002", "street": "Nova 9"}]}),
            json!({"/partner_delivery_address_list/0/street": "Nova 9",
                "/partner_contact_list/0/contact_address": "Nova 9"}),
        ),
        (
            "one row without its list",
            json!({"partner_contact_list": {"mk_id": "400070000004", "email": "b@alfa.example", "name": ""}}),
            json!({"/partner_contact_list/0/email": "b@alfa.example"}),
        ),
    ];
    for (case, sent, changes) in cases {
        let mut partner = before.clone();
        partner.update(&map(sent), &mut numbers, &Switches::default(), false).unwrap();
        let mut expected = shown(&before);
        for (pointer, value) in changes.as_object().unwrap() {
            *expected.pointer_mut(pointer).unwrap() = value.clone();
        }
        assert_eq!(shown(&partner), expected, "{case}");
    }
}

#[test]
fn rows_without_an_id_are_appended_every_time() {
    let mut numbers = Numbers::default();
    let mut partner = alfa(&mut numbers);
    let sent = map(json!({
        "partner_delivery_address_list": [{"address_type": "Poslovna enota", "street": "Tretja 3"}],
        "partner_contact_list": [{"mk_address_id": "400070000003", "name": "Bor"}]
    }));
    partner.update(&sent, &mut numbers, &Switches::default(), false).unwrap();
    partner.update(&sent, &mut numbers, &Switches::default(), false).unwrap();
    assert_eq!(partner.0.rows(ADDRESSES).len(), 4);
    assert_eq!(partner.0.rows(CONTACTS).len(), 3);
    assert_eq!(partner.0.rows(CONTACTS)[2].text("contact_address"), Some("Skladiščna 5"));
    let homeless = map(json!({"partner_contact_list": [{"name": "Bor"}]}));
    let refusal = partner.update(&homeless, &mut numbers, &Switches::default(), false).unwrap_err();
    assert_eq!(refusal, Refusal::MustBeSet("mk_address_id"));
}

#[test]
fn a_person_can_clear_a_field_and_replace_a_list() {
    let mut numbers = Numbers::default();
    let mut partner = alfa(&mut numbers);
    let fields = map(json!({
        "tax_id_number": null, "buyer": "", "street": "Nova 9",
        "partner_contact_list": [{"name": "Bor"}, {"mk_id": "400070000004", "name": "Ana"}]
    }));
    partner.edit(&fields, &mut numbers).unwrap();
    let shown = shown(&partner);
    assert_eq!(shown.get("tax_id_number"), None);
    assert_eq!(shown.get("buyer"), None);
    assert_eq!(
        shown["partner_contact_list"],
        json!([
            {"mk_id": "400070000005", "mk_address_id": "400070000002", "contact_address": "Nova 9", "name": "Bor"},
            {"mk_id": "400070000004", "mk_address_id": "400070000002", "contact_address": "Nova 9", "name": "Ana"}
        ])
    );
}

#[test]
fn a_misspelt_province_stays_the_only_one() {
    let mut numbers = Numbers::default();
    let mut partner = alfa(&mut numbers);
    let row = &mut partner.0.rows_mut(ADDRESSES).unwrap()[0];
    row.set_text("provice", "Gorenjska", &ADDRESS_ORDER);
    let sent = json!({"partner_delivery_address_list": {"mk_id": "400070000002", "province": "Podravska"}});
    partner.update(&map(sent), &mut numbers, &Switches::default(), false).unwrap();
    let row = &partner.0.rows(ADDRESSES)[0];
    assert_eq!((row.text("provice"), row.text("province")), (Some("Podravska"), None));
}

#[test]
fn the_strongest_keys_present_are_the_keys() {
    for (fields, keys) in [
        (json!({"customer": "A", "tax_id_number": "si 1234-5678"}), &["tax:SI12345678"][..]),
        (json!({"customer": "A", "tax_id_number": "HR12345678901"}), &["tax:HR12345678901"]),
        (json!({"customer": "A", "tax_id_number": "123456789", "country": "DE"}), &["tax:DE123456789"]),
        (json!({"customer": "A", "tax_id_number": "12345678", "foreign_county": "true"}), &["tax:12345678"]),
        (
            json!({"customer": "A", "tax_id_number": "ni podatka", "partner_contact": {"email": "Ana@X.example"}}),
            &["email:ana@x.example"],
        ),
        (
            json!({"customer": "A", "partner_contact": {"email": "a@x.example, b@x.example"}}),
            &["email:a@x.example", "email:b@x.example"],
        ),
        (
            json!({"customer": "Ana  Novak", "street": "Ulica 1", "post_number": "1000"}),
            &["name:ana novak|ulica 1|1000"],
        ),
    ] {
        let partner = Partner::added(&map(fields), &mut Numbers::default(), &lenient()).unwrap();
        assert_eq!(partner.natural_keys(), keys);
    }
}
