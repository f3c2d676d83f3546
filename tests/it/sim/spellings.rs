//! A lost answer over a key that is spelt oddly: what was sent is found again, however either side writes it.

use host_harness::store::Collection;
use metakocka_sync::sync::request::Direction;
use serde_json::{Value, json};

use super::{World, alone};

/// How people and programs write the tax number 12345678.
const TAX: [&str; 8] = [
    "SI 1234-5678",
    "SI\u{202f}1234\u{2011}5678",
    "12'345'678",
    "12.345.678",
    "\u{feff}SI12345678",
    "si-12345678",
    "SI\u{ff11}\u{ff12}\u{ff13}45678",
    "ID za DDV: SI12345678",
];
/// How they write the address ana@alfa.example.
const EMAIL: [&str; 6] = [
    "ANA@Alfa.Example",
    "ana@alfa.example\u{200b}",
    "Ana Kos <ana@alfa.example>",
    "ana@alfa.example; bojan@alfa.example",
    "mailto:ana@alfa.example",
    " ana@alfa.example ",
];

/// A company with this key, in both shapes.
fn company(key: Key, spelt: &str) -> (Value, Value) {
    let (tax, email) = match key {
        Key::Tax => (Some(spelt), None),
        Key::Email => (None, Some(spelt)),
    };
    let contact = json!({ "id": "alfa", "company": "Alfa d.o.o.", "full_name": "Ana Kos", "firstname": "Ana",
        "lastname": "Kos", "email": email, "tax_number": tax, "street": "Pot 1", "postal_code": "1000",
        "city": "Ljubljana", "country": "Slovenija" });
    let partner = json!({ "customer": "Alfa d.o.o.", "business_entity": "true", "buyer": "true", "tax_id_number": tax,
        "partner_contact_list": [{ "name": "Ana Kos", "email": email }],
        "partner_delivery_address_list": [{ "address_type": "Račun", "street": "Pot 1", "post_number": "1000",
            "city": "Ljubljana", "country": "Slovenija" }] });
    (contact, partner)
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Tax,
    Email,
}

/// Where the company stands before the first run, and which sides spell it oddly.
#[derive(Debug, Clone, Copy)]
enum Stands {
    InTheCrm,
    InMetakocka,
    OnBothOddHere,
    OnBothOddThere,
}

/// One story; what is wrong at its end.
async fn ends(
    start: &World,
    (key, spelt): (Key, &str),
    fault: &str,
    stands: Stands,
    direction: Direction,
) -> Option<String> {
    let world = start.fresh();
    let plain = match key {
        Key::Tax => "SI12345678",
        Key::Email => "ana@alfa.example",
    };
    let (odd, plain) = (company(key, spelt), company(key, plain));
    let (contact, partner) = match stands {
        Stands::InTheCrm => (Some(odd.0), None),
        Stands::InMetakocka => (None, Some(odd.1)),
        Stands::OnBothOddHere => (Some(odd.0), Some(plain.1)),
        Stands::OnBothOddThere => (Some(plain.0), Some(odd.1)),
    };
    if let Some(contact) = &contact {
        world.put_contact(contact).await;
    }
    if let Some(partner) = partner {
        let _ = world.make_partner(partner);
    }
    let lose =
        ["add_partner", "update_partner"].map(|path| json!({ "match": path, "fault": fault, "nth": 1 }));
    world.sandbox().faults(&json!(lose)).unwrap();
    let mut wrong = Vec::new();
    wrong.extend(world.to_rest(direction).await.err());
    world.sandbox().faults(&json!([])).unwrap();
    wrong.extend(world.to_rest(Direction::Bidirectional).await.err());
    let ends = (
        world.entries(Collection::Contacts).await.len(),
        world.partners().len(),
        world.links().await.len(),
        world.entries(Collection::Quarantine).await.len(),
        world.entries(Collection::Outbox).await.len(),
        world.sandbox().state()["duplicates"]["partners"].as_u64().unwrap(),
    );
    if ends != (1, 1, 1, 0, 0, 0) {
        wrong.push(format!("contacts, partners, links, quarantined, outbox, duplicates {ends:?}"));
    }
    (!wrong.is_empty()).then(|| format!("{spelt:?} {fault} {stands:?} {direction:?}: {}", wrong.join("; ")))
}

#[test]
fn a_lost_answer_never_doubles_an_oddly_spelt_company() {
    let spellings =
        TAX.map(|spelt| (Key::Tax, spelt)).into_iter().chain(EMAIL.map(|spelt| (Key::Email, spelt)));
    alone(async {
        let start = World::new().await;
        let (mut stories, mut lost, mut wrong) = (0, 0, Vec::new());
        for spelling in spellings {
            for fault in ["commit-then-drop", "truncated-json", "opr-1-after-commit"] {
                for stands in
                    [Stands::InTheCrm, Stands::InMetakocka, Stands::OnBothOddHere, Stands::OnBothOddThere]
                {
                    for direction in
                        [Direction::FromMetakocka, Direction::ToMetakocka, Direction::Bidirectional]
                    {
                        stories += 1;
                        wrong.extend(ends(&start, spelling, fault, stands, direction).await);
                        let answered = |request: &Value| {
                            request["status"] == 200 && request["response"]["opr_code"] == "0"
                        };
                        let requests = start.sandbox().requests(0);
                        lost += requests
                            .iter()
                            .filter(|request| request["write"] == true && !answered(request))
                            .count();
                    }
                }
            }
        }
        println!("{stories} stories, {lost} writes without a good answer, {} went wrong", wrong.len());
        assert!(lost > 0, "no answer was lost, so nothing is proved");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
