//! A plan applies to itself: planned and then applied in an untouched world it does everything it says, once per record,
//! nothing of it is stale, and the end is that of a normal run.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;
use host_harness::store::{Change, Collection};
use metakocka_sync::sync::merge::Side;
use metakocka_sync::sync::report::{Happened, Report};
use metakocka_sync::sync::request::{Direction, Mode, RunRequest, Selection};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::convergence::Story;
use super::powers::Fate;
use super::{World, alone, company, request};

const FROM: Direction = Direction::FromMetakocka;
const TO: Direction = Direction::ToMetakocka;
const BOTH: Direction = Direction::Bidirectional;
/// Random worlds.
const SEEDS: u64 = 100;
const ROUNDS: usize = 3;
const EDITS: usize = 10;

/// How often the plan says or the run does each thing.
type Tally = BTreeMap<&'static str, usize>;

async fn items_of(world: &World) -> Vec<Value> {
    let mut items = Vec::new();
    for (_, body) in world.entries(Collection::Plans).await {
        for text in body["items"].as_array().unwrap() {
            items.push(serde_json::from_str(text.as_str().unwrap()).unwrap());
        }
    }
    items
}

fn says(items: &[Value]) -> Tally {
    let mut tally = Tally::new();
    for item in items {
        let action = ACTIONS.into_iter().find(|action| item["action"] == *action).unwrap();
        *tally.entry(action).or_default() += 1;
    }
    tally
}

/// What may be done to a record, the more telling thing first.
const ACTIONS: [&str; 7] =
    ["create-contact", "create-partner", "link", "deactivate", "update", "quarantine", "review"];

/// What a run did, each record once: what was done to it in the end, not what was said on the way.
fn did(report: &Report) -> Tally {
    // What was asked for by an id and is not there was never planned.
    let answers: Vec<&String> = report
        .errors
        .iter()
        .filter(|error| ["not-found", "not-linked"].contains(&error.code.as_str()))
        .map(|error| &error.id)
        .collect();
    let mut done: Vec<(usize, Vec<&String>)> = Vec::new();
    for item in &report.items {
        let action = match (item.action, item.side) {
            (Happened::Created, Side::Crm) => "create-contact",
            (Happened::Created, Side::Metakocka) => "create-partner",
            (Happened::Linked, _) => "link",
            (Happened::Deactivated, _) => "deactivate",
            (Happened::Updated, _) => "update",
            (Happened::Failed, _) => "quarantine",
            (Happened::Parked, _) => "review",
        };
        let contact = item.crm_id.iter().map(|id| &id.0);
        let records: Vec<&String> = contact.chain(item.metakocka_id.iter().map(|id| &id.0)).collect();
        if action != "quarantine" || !answers.contains(&records[0]) {
            done.push((ACTIONS.iter().position(|known| *known == action).unwrap(), records));
        }
    }
    done.sort();
    let (mut told, mut tally) = (Vec::new(), Tally::new());
    for (rank, records) in done {
        if !records.iter().any(|record| told.contains(record)) {
            *tally.entry(ACTIONS[rank]).or_default() += 1;
        }
        told.extend(records);
    }
    tally
}

/// Records that stand in the plan more than once.
fn twice(items: &[Value]) -> Vec<String> {
    let mut ids: Vec<&str> = items
        .iter()
        .flat_map(|item| [&item["crm_id"], &item["metakocka_id"]])
        .filter_map(Value::as_str)
        .collect();
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned()).collect()
}

/// Runs normally in one world, then plans and applies in another that is the same.
async fn compared(
    normal: &World,
    planned: impl AsyncFnOnce() -> World,
    request: &RunRequest,
) -> Result<(Report, Vec<Value>), String> {
    let (wanted, _) = normal.run_as(request, Fate::default()).await;
    let (wanted, goal) = (wanted.unwrap(), normal.ledger().await);
    let planned = planned().await;
    let untouched = planned.ledger().await;
    let mode = |mode| RunRequest { mode, ..request.clone() };
    let _ = planned.run_as(&mode(Mode::Plan("plan".to_owned())), Fate::default()).await;
    if planned.ledger().await != untouched {
        return Err("the plan changed something".to_owned());
    }
    let items = items_of(&planned).await;
    planned.clock.set(planned.clock.get() + 60_000);
    let (report, _) = planned.run_as(&mode(Mode::ApplyPlan("plan".to_owned())), Fate::default()).await;
    let (report, end) = (report.unwrap(), planned.ledger().await);
    let mut wrong = Vec::new();
    let stale: Vec<&String> =
        report.errors.iter().filter(|e| e.code == "plan-stale").map(|e| &e.error).collect();
    if !stale.is_empty() {
        wrong.push(format!("{stale:?}"));
    }
    if report.success() != wanted.success() {
        wrong.push(format!("success {}, of a normal run {}", report.success(), wanted.success()));
    }
    let again = twice(&items);
    if !again.is_empty() {
        wrong.push(format!("more than once in the plan: {again:?}"));
    }
    if says(&items) != did(&report) {
        wrong.push(format!("the plan says {:?}, applying it did {:?}", says(&items), did(&report)));
    }
    if did(&report) != did(&wanted) {
        wrong.push(format!("applying did {:?}, a normal run {:?}", did(&report), did(&wanted)));
    }
    if !end.same_records(&goal) {
        wrong.push(format!("another end than a normal run's: {}", end.difference(&goal)));
    }
    if wrong.is_empty() {
        return Ok((report, items));
    }
    let items: Vec<String> = items.iter().map(Value::to_string).collect();
    Err(format!("{}\n  plan {}\n  errors {:?}", wrong.join("\n  "), items.join("\n       "), report.errors))
}

/// A world to plan in.
struct Case {
    name: &'static str,
    directions: &'static [Direction],
    prepare: for<'w> fn(&'w World, Direction) -> LocalBoxFuture<'w, ()>,
    /// What the plan says, where it is worth saying.
    says: &'static [(&'static str, usize)],
}

macro_rules! case {
    ($name:literal, $directions:expr, $says:expr, |$world:ident, $direction:ident| $body:block) => {
        Case {
            name: $name,
            directions: &$directions,
            says: &$says,
            prepare: |$world, $direction| {
                Box::pin(async move {
                    let _ = $direction;
                    $body
                })
            },
        }
    };
}

/// The one contact that was linked first, and its partner.
async fn pair(world: &World) -> (String, String) {
    let partner = world.partners()[0]["mk_id"].as_str().unwrap().to_owned();
    let contact = world.links().await.into_iter().find(|(_, link)| link.0 == partner).unwrap().0;
    (contact, partner)
}

/// So many partners and their contacts, in step.
async fn in_step(world: &World, partners: usize) -> (String, String) {
    for number in 1..=partners {
        let _ = world.make_partner(company(number));
    }
    world.to_rest(BOTH).await.unwrap();
    pair(world).await
}

fn delete(world: &World, mk_id: &str) {
    world.sandbox().edit(&json!({ "op": "delete", "kind": "partner", "mk_id": mk_id })).unwrap();
}

/// The first company, entered once more by a person.
fn anew(tax_number: &str, street: &str) -> Value {
    let mut fields = company(1);
    fields["tax_id_number"] = json!(tax_number);
    fields["partner_delivery_address_list"][0]["street"] = json!(street);
    fields
}

fn contact(id: &str, more: Value) -> Value {
    let mut contact = json!({ "id": id, "street": "Vzorčna 1", "postal_code": "1000", "city": "Ljubljana",
        "country": "Slovenija", "status": "active" });
    contact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    contact
}

/// Contacts of different companies, each with this value of a column.
async fn newcomers(world: &World, column: &str, rows: &[(&str, &str)]) {
    for (id, value) in rows {
        let more = json!({ "company": format!("Podjetje {id} d.o.o."), column: value });
        world.put_contact(&contact(id, more)).await;
    }
}

async fn retry(world: &World, code: &str) {
    for (entry, body) in world.entries(Collection::Quarantine).await {
        if body["code"] == code {
            let retry = Change::Merge(json!({ "retry": true }).to_string().into());
            world.write(Collection::Quarantine, &entry.id, retry).await;
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case!("a: one field edited on both sides", [FROM, TO, BOTH], [("update", 1)], |world, _direction| {
            let (contact, partner) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "street": "CRM 9" })).await;
            world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
        }),
        case!("a: two fields, one on each side", [FROM, TO, BOTH], [("update", 1)], |world, _direction| {
            let (contact, partner) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "phone": "041 222 333" })).await;
            world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
        }),
        case!(
            "a: one field edited on both sides, the CRM wins",
            [BOTH],
            [("update", 1)],
            |world, _direction| {
                world.set("contacts.policy", json!("crm")).await;
                let (contact, partner) = in_step(world, 1).await;
                world.edit_contact(&contact, json!({ "street": "CRM 9" })).await;
                world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
            }
        ),
        case!(
            "b: two new contacts with one tax number",
            [TO, BOTH],
            [("create-partner", 1), ("review", 1)],
            |world, _direction| {
                newcomers(world, "tax_number", &[("d4", "SI44444445"), ("d5", "44444445")]).await;
            }
        ),
        case!(
            "b: three new contacts with one tax number, and one of its own",
            [TO, BOTH],
            [("create-partner", 2), ("review", 2)],
            |world, _direction| {
                newcomers(
                    world,
                    "tax_number",
                    &[("d4", "SI44444445"), ("d5", "44444445"), ("d6", "SI 44444445"), ("d7", "SI55555555")],
                )
                .await;
            }
        ),
        case!(
            "b: two new contacts with one e-mail",
            [TO, BOTH],
            [("create-partner", 1), ("review", 1)],
            |world, _direction| {
                newcomers(world, "email", &[("d4", "x@x.example"), ("d5", "X@x.example")]).await;
            }
        ),
        case!(
            "b: one e-mail, two registration numbers",
            [TO, BOTH],
            [("create-partner", 2)],
            |world, _direction| {
                for (id, number) in [("d4", "1234567000"), ("d5", "7654321000")] {
                    let more = json!({ "company": format!("Podjetje {id} d.o.o."), "email": "x@x.example",
                        "registration_number": number });
                    world.put_contact(&contact(id, more)).await;
                }
            }
        ),
        case!(
            "b: two persons of one name and address",
            [TO, BOTH],
            [("create-partner", 1), ("review", 1)],
            |world, _direction| {
                for id in ["twin1", "twin2"] {
                    let more = json!({ "firstname": "Ana", "lastname": "Kos" });
                    world.put_contact(&contact(id, more)).await;
                }
            }
        ),
        case!("c: partner deleted and entered anew", [FROM, TO, BOTH], [], |world, _direction| {
            let (_, partner) = in_step(world, 13).await;
            delete(world, &partner);
            let _ = world.make_partner(anew("SI 5000 0001", "Nova 1"));
        }),
        case!("c: partner deleted and entered anew as it was", [FROM, TO, BOTH], [], |world, _direction| {
            let (_, partner) = in_step(world, 13).await;
            delete(world, &partner);
            let _ = world.make_partner(company(1));
        }),
        case!(
            "d: the only partner deleted and entered anew, contact edited",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                let (contact, partner) = in_step(world, 1).await;
                delete(world, &partner);
                let _ = world.make_partner(anew("SI 5000 0001", "Nova 1"));
                world.edit_contact(&contact, json!({ "phone": "041 777 777" })).await;
            }
        ),
        case!(
            "d: deleted in one run, entered anew and edited before the next",
            [FROM, BOTH],
            [("update", 1)],
            |world, _direction| {
                let (contact, partner) = in_step(world, 13).await;
                delete(world, &partner);
                world.to_rest(BOTH).await.unwrap();
                let _ = world.make_partner(anew("SI50000001", "Nova 1"));
                world.edit_contact(&contact, json!({ "phone": "041 777 777" })).await;
            }
        ),
        case!("e: partner deleted, contact edited", [FROM, TO, BOTH], [], |world, _direction| {
            let (contact, partner) = in_step(world, 13).await;
            delete(world, &partner);
            world.edit_contact(&contact, json!({ "phone": "041 777 777" })).await;
        }),
        case!("e: partner deleted", [FROM, BOTH], [("deactivate", 1)], |world, _direction| {
            let (_, partner) = in_step(world, 13).await;
            delete(world, &partner);
        }),
        case!(
            "e: partner deleted in one run, contact edited before the next",
            [FROM, TO, BOTH],
            [("review", 1)],
            |world, _direction| {
                let (contact, partner) = in_step(world, 13).await;
                delete(world, &partner);
                world.to_rest(BOTH).await.unwrap();
                world.edit_contact(&contact, json!({ "phone": "041 777 777" })).await;
            }
        ),
        case!(
            "f: a partner and a contact of one name, without keys",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                let mut fields = company(1);
                fields["customer"] = json!("Brez kljuca");
                for member in ["tax_id_number", "partner_contact_list"] {
                    fields.as_object_mut().unwrap().remove(member);
                }
                let _ = world.make_partner(fields);
                world.put_contact(&contact("c1", json!({ "company": "Brez kljuca" }))).await;
            }
        ),
        case!(
            "f: a partner gone and a new contact of its company's name, without keys",
            [TO, BOTH],
            [],
            |world, _direction| {
                let (_, partner) = in_step(world, 13).await;
                delete(world, &partner);
                world.put_contact(&contact("c1", json!({ "company": "Podjetje 1 d.o.o." }))).await;
            }
        ),
        case!(
            "a partner becomes a contact whose second person's e-mail another contact has",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                let mut fields = company(1);
                fields["partner_contact_list"] = json!([
                    { "name": "Prva Oseba", "email": "prva@podjetje.example" },
                    { "name": "Druga Oseba", "email": "druga@podjetje.example" },
                ]);
                let _ = world.make_partner(fields);
                let more = json!({ "company": "Podjetje 1 d.o.o.", "email": "druga@podjetje.example" });
                world.put_contact(&contact("c1", more)).await;
            }
        ),
        case!(
            "two contacts, each with its partner, that share an e-mail",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                for number in [1, 2] {
                    let mut fields = company(number);
                    fields["customer"] = json!(format!("Podjetje Skupno {number} d.o.o."));
                    fields["partner_contact_list"] = json!([{ "email": "skupni@podjetje.example" }]);
                    if number == 2 {
                        fields.as_object_mut().unwrap().remove("tax_id_number");
                    }
                    let _ = world.make_partner(fields);
                    let mut more = json!({ "company": format!("Podjetje Skupno {number} d.o.o."),
                        "email": "skupni@podjetje.example" });
                    if number == 1 {
                        more["tax_number"] = json!("50000001");
                    }
                    world.put_contact(&contact(&format!("c{number}"), more)).await;
                }
            }
        ),
        case!("an oddly spelt partner two contacts could be", [FROM, TO, BOTH], [], |world, _direction| {
            let mut fields = company(1);
            fields["tax_id_number"] = json!("SI 5000-0001");
            let _ = world.make_partner(fields);
            for id in ["c1", "c2"] {
                let more = json!({ "company": format!("Podjetje {id} d.o.o."), "tax_number": "SI50000001" });
                world.put_contact(&contact(id, more)).await;
            }
        }),
        case!(
            "an ambiguous partner, the contacts told apart since",
            [FROM, BOTH],
            [],
            |world, _direction| {
                let _ = world.make_partner(company(1));
                for id in ["c1", "c2"] {
                    let more =
                        json!({ "company": format!("Podjetje {id} d.o.o."), "tax_number": "SI50000001" });
                    world.put_contact(&contact(id, more)).await;
                }
                world.to_rest(BOTH).await.unwrap();
                world.edit_contact("c2", json!({ "tax_number": "SI60000002" })).await;
            }
        ),
        case!("an ambiguous partner that is to be tried again", [FROM, BOTH], [], |world, _direction| {
            let _ = world.make_partner(company(1));
            for id in ["c1", "c2"] {
                let more = json!({ "company": format!("Podjetje {id} d.o.o."), "tax_number": "SI50000001" });
                world.put_contact(&contact(id, more)).await;
            }
            world.to_rest(BOTH).await.unwrap();
            world.write(Collection::Contacts, "c2", Change::Delete).await;
            retry(world, "ambiguous-match").await;
        }),
        case!("a company renamed and a phone edited", [FROM, TO, BOTH], [], |world, _direction| {
            let (contact, _) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "company": "Beta d.o.o.", "phone": "041 777 777" })).await;
        }),
        case!("an e-mail emptied and a phone edited", [FROM, TO, BOTH], [], |world, _direction| {
            let (contact, _) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "email": null, "phone": "041 777 777" })).await;
        }),
        case!("a company renamed", [TO, BOTH], [("review", 1)], |world, _direction| {
            let (contact, _) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "company": "Beta d.o.o." })).await;
        }),
        case!("an e-mail emptied", [TO, BOTH], [("review", 1)], |world, _direction| {
            let (contact, _) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "email": null })).await;
        }),
        case!(
            "one field edited on both sides, a person decides",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                world.set("contacts.policy", json!("manual")).await;
                let (contact, partner) = in_step(world, 1).await;
                world.edit_contact(&contact, json!({ "street": "CRM 9" })).await;
                world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
            }
        ),
        case!(
            "a partner that a gone one's contact and a new one could be",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                let (_, partner) = in_step(world, 13).await;
                delete(world, &partner);
                let _ = world.make_partner(anew("SI 5000-0001", "Nova 1"));
                let more = json!({ "company": "Podjetje 1 d.o.o.", "tax_number": "50000001" });
                world.put_contact(&contact("c1", more)).await;
            }
        ),
        case!("a key that an edit frees, and one that an edit takes", [TO, BOTH], [], |world, _direction| {
            let (id, _) = in_step(world, 1).await;
            world.edit_contact(&id, json!({ "email": "nov@podjetje.example" })).await;
            for (id, email) in [("c1", "p1@podjetje.example"), ("c2", "nov@podjetje.example")] {
                let more = json!({ "company": format!("Podjetje {id} d.o.o."), "email": email });
                world.put_contact(&contact(id, more)).await;
            }
        }),
        case!("a create whose answer was lost", [FROM, TO, BOTH], [], |world, _direction| {
            for number in [2, 4] {
                world.put_contact(&proof::records::contact(number)).await;
            }
            let rules = json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 1 },
                { "match": "get_partner", "fault": "drop-before", "nth": 4 }]);
            world.sandbox().faults(&rules).unwrap();
            let _ = world.run(TO, Fate::default()).await;
            world.sandbox().faults(&json!([])).unwrap();
        }),
        case!("a conflict that was decided", [BOTH], [("update", 1)], |world, _direction| {
            world.set("contacts.policy", json!("manual")).await;
            let (contact, partner) = in_step(world, 1).await;
            world.edit_contact(&contact, json!({ "street": "CRM 9" })).await;
            world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
            world.to_rest(BOTH).await.unwrap();
            for (entry, _) in world.entries(Collection::Conflicts).await {
                let decision = Change::Merge(json!({ "decision": "metakocka" }).to_string().into());
                world.write(Collection::Conflicts, &entry.id, decision).await;
            }
        }),
        case!(
            "a conflict that was decided, and another edit of the partner",
            [BOTH],
            [("update", 1)],
            |world, _direction| {
                world.set("contacts.policy", json!("manual")).await;
                let (contact, partner) = in_step(world, 1).await;
                world.edit_contact(&contact, json!({ "street": "CRM 9" })).await;
                world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "ERP 7" }));
                world.to_rest(BOTH).await.unwrap();
                for (entry, _) in world.entries(Collection::Conflicts).await {
                    let decision = Change::Merge(json!({ "decision": "metakocka" }).to_string().into());
                    world.write(Collection::Conflicts, &entry.id, decision).await;
                }
                world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 800 0001" }));
            }
        ),
        case!(
            "a linked contact and an unlinked one nobody can send",
            [FROM, TO, BOTH],
            [],
            |world, _direction| {
                let (contact, _) = in_step(world, 1).await;
                world.edit_contact(&contact, json!({ "phone": "041 777 777" })).await;
                world
                    .put_contact(
                        &json!({ "id": "bad", "company": "Brez naslova d.o.o.", "status": "active" }),
                    )
                    .await;
            }
        ),
        case!(
            "a refused contact that is to be tried again",
            [TO, BOTH],
            [("create-partner", 1)],
            |world, _direction| {
                world
                    .put_contact(
                        &json!({ "id": "bad", "company": "Brez naslova d.o.o.", "status": "active" }),
                    )
                    .await;
                world.to_rest(BOTH).await.unwrap();
                world.put_contact(&contact("bad", json!({ "company": "Z naslovom d.o.o." }))).await;
                retry(world, "validation").await;
            }
        ),
        case!("a contact deleted whose partner was edited", [FROM, TO, BOTH], [], |world, _direction| {
            let (contact, partner) = in_step(world, 2).await;
            world.write(Collection::Contacts, &contact, Change::Delete).await;
            world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 800 0001" }));
        }),
        case!("links, creates and updates side by side", [FROM, TO, BOTH], [], |world, _direction| {
            let (id, partner) = in_step(world, 2).await;
            world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 800 0001" }));
            world.edit_contact(&id, json!({ "city": "Kranj" })).await;
            let _ = world.make_partner(company(7));
            let _ = world.make_partner(company(8));
            let more = json!({ "company": "Podjetje 7 d.o.o.", "tax_number": "50000007", "phone": "041 1" });
            world.put_contact(&contact("c7", more)).await;
            for number in 11..=13 {
                world.put_contact(&proof::records::contact(number)).await;
            }
        }),
    ]
}

async fn tried(first: &World, case: &Case, direction: Direction, by_ids: bool) -> Result<(), String> {
    // Both worlds have one ERP: the normal run ends before the other begins.
    let normal = first.fresh();
    (case.prepare)(&normal, direction).await;
    let mut asked = request(direction);
    if by_ids {
        let mut ids: Vec<String> =
            normal.entries(Collection::Contacts).await.into_iter().map(|(entry, _)| entry.id).collect();
        ids.extend(normal.partners().iter().map(|known| known["mk_id"].as_str().unwrap().to_owned()));
        asked.selection = Selection::Ids(ids);
    }
    let planned = async || {
        let planned = first.fresh();
        (case.prepare)(&planned, direction).await;
        planned
    };
    let (_, items) = compared(&normal, planned, &asked).await?;
    let wanted: Tally = case.says.iter().copied().collect();
    if !case.says.is_empty() && !by_ids && says(&items) != wanted {
        return Err(format!("the plan says {:?} instead of {wanted:?}", says(&items)));
    }
    Ok(())
}

#[test]
fn a_plan_applies_to_itself() {
    alone(async {
        let world = World::new().await;
        let mut wrong = Vec::new();
        let mut tries = 0;
        for case in cases() {
            for direction in case.directions {
                for by_ids in [false, true] {
                    tries += 1;
                    if let Err(why) = tried(&world, &case, *direction, by_ids).await {
                        let which = if by_ids { ", by ids" } else { "" };
                        wrong.push(format!("{}, {direction:?}{which}: {why}", case.name));
                    }
                }
            }
        }
        println!("{tries} plans, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{} of {tries} plans went wrong\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// One more edit, of the kinds that make records depend on each other.
async fn meet(story: &mut Story, world: &World) {
    let number = story.next();
    let partners = world.partners();
    let Some(partner) = partners.choose(&mut story.dice).cloned() else { return };
    let mk_id = partner["mk_id"].as_str().unwrap().to_owned();
    let tax = partner.get("tax_id_number").and_then(Value::as_str).unwrap_or("SI50009999").to_owned();
    let company = json!({ "company": format!("Srečno {number} d.o.o.") });
    let new = |more: Value| {
        let mut contact = contact(&format!("met-{number:05}"), company.clone());
        contact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        contact
    };
    match story.dice.random_range(0..9) {
        0 => world.put_contact(&new(json!({ "tax_number": tax.trim_start_matches("SI") }))).await,
        1 => world.put_contact(&new(json!({ "tax_number": "SI70000007" }))).await,
        2 => world.put_contact(&new(json!({ "email": "skupni@racunovodstvo.example" }))).await,
        3 => {
            let email = partner["partner_contact_list"][0]["email"].clone();
            let name = partner["customer"].clone();
            world.put_contact(&new(json!({ "email": email, "company": name }))).await;
        }
        4 | 5 => {
            let mut fields = super::company(1_000 + number);
            fields["tax_id_number"] = json!(tax.replacen("SI", "SI ", 1));
            delete(world, &mk_id);
            let _ = world.make_partner(fields);
        }
        6 => delete(world, &mk_id),
        7 => {
            let mut fields = super::company(1_000 + number);
            for member in ["tax_id_number", "partner_contact_list"] {
                fields.as_object_mut().unwrap().remove(member);
            }
            let _ = world.make_partner(fields.clone());
            world.put_contact(&new(json!({ "company": fields["customer"] }))).await;
        }
        _ => {
            let links = world.links().await;
            if let Some((id, _)) = links.into_iter().find(|(_, link)| link.0 == mk_id && link.1 == "live") {
                let street = format!("Obojestranska {number}");
                world.edit_contact(&id, json!({ "street": street })).await;
                let street = format!("Druga stran {number}");
                world.edit_row(&mk_id, "partner_delivery_address_list", json!({ "street": street }));
            }
        }
    }
}

/// A random world, so far; the seed says which.
async fn lived(first: &World, seed: u64) -> (World, Direction) {
    let mut story = Story::of(seed);
    let world = first.fresh();
    let policy = *["metakocka", "crm", "newest"].choose(&mut story.dice).unwrap();
    world.set("contacts.policy", json!(policy)).await;
    let direction = *[FROM, TO, BOTH, BOTH].choose(&mut story.dice).unwrap();
    for _ in 0..6 {
        let number = story.next();
        world.put_contact(&proof::records::contact(number)).await;
        let _ = world.make_partner(company(1_000 + number));
    }
    let _ = world.rest(BOTH).await;
    let rounds = story.dice.random_range(1..=ROUNDS);
    for round in 1..=rounds {
        for _ in 0..EDITS {
            if story.dice.random_bool(0.5) {
                story.edit(&world).await;
            } else {
                meet(&mut story, &world).await;
            }
        }
        if round < rounds {
            let _ = world.run(direction, Fate::default()).await;
        }
        world.clock.set(world.clock.get() + story.dice.random_range(0..200_000));
    }
    (world, direction)
}

#[test]
fn plans_of_random_worlds_apply_to_themselves() {
    let first = proof::seed(1);
    let last = if std::env::var_os("PROOF_SEED").is_some() { first } else { first + SEEDS - 1 };
    let mut wrong = Vec::new();
    let mut tally = Tally::new();
    alone(async {
        let world = World::new().await;
        for seed in first..=last {
            let (normal, direction) = lived(&world, seed).await;
            let planned = async || lived(&world, seed).await.0;
            let mut asked = request(direction);
            asked.allow_mass_deactivation = true;
            match compared(&normal, planned, &asked).await {
                Ok((_, items)) => {
                    for (action, count) in says(&items) {
                        *tally.entry(action).or_default() += count;
                    }
                }
                Err(why) => wrong.push(format!("PROOF_SEED={seed}, {direction:?}: {why}")),
            }
        }
    });
    println!("{} random worlds, {} wrong; planned {tally:?}", last - first + 1, wrong.len());
    assert!(wrong.is_empty(), "{} worlds went wrong\n{}", wrong.len(), wrong.join("\n"));
}
