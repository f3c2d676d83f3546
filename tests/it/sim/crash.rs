//! The brain is killed at every host call of a run, at three moments of it. Whatever is left, new runs must end where the
//! uninterrupted run ends: nothing twice, nothing lost, nothing left to do.

use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Value, json};

use super::powers::{Fate, Moment};
use super::{World, alone, company};

pub(super) const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Unanswered, Moment::After];

/// A story up to the run that is killed.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) direction: Direction,
    pub(super) prepare: for<'w> fn(&'w World) -> futures_util::future::LocalBoxFuture<'w, ()>,
    /// Fault rules of the run that is killed and of those after it.
    pub(super) faults: fn() -> Value,
}

macro_rules! prepare {
    (|$world:ident| $body:block) => {
        |$world| Box::pin(async move { $body })
    };
}

fn none() -> Value {
    json!([])
}

/// The partner a contact is linked with.
async fn partner_of(world: &World, contact: &str) -> String {
    world.links().await[contact].0.clone()
}

/// Four contacts in step with their partners.
async fn in_step(world: &World) {
    for number in 1..=4 {
        world.put_contact(&contact(number)).await;
    }
    world.to_rest(Direction::Bidirectional).await.unwrap();
}

const FIRST: &str = "company-00002";
const SECOND: &str = "company-00004";
const PERSON: &str = "person-00001";

pub(super) const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "first import",
        direction: Direction::FromMetakocka,
        prepare: prepare!(|world| {
            for number in 1..=5 {
                let _ = world.make_partner(company(number));
            }
            // One to be linked, and one that makes a partner ambiguous.
            for (id, tax) in [("known", "SI50000001"), ("one", "SI50000002"), ("other", "SI50000002")] {
                world.put_contact(&json!({ "id": id, "company": "Znano", "tax_number": tax })).await;
            }
        }),
        faults: none,
    },
    Scenario {
        name: "creates",
        direction: Direction::ToMetakocka,
        prepare: prepare!(|world| {
            for number in 1..=4 {
                world.put_contact(&contact(number)).await;
            }
            // The same key twice: the second one must not find what the first one is creating, nor double it.
            for id in ["twin-1", "twin-2"] {
                let mut twin = contact(6);
                twin["id"] = json!(id);
                world.put_contact(&twin).await;
            }
            world.put_contact(&json!({ "id": "incomplete", "company": "Brez naslova" })).await;
        }),
        faults: none,
    },
    Scenario {
        name: "creates whose answers are lost",
        direction: Direction::ToMetakocka,
        prepare: prepare!(|world| {
            for number in 1..=3 {
                world.put_contact(&contact(number)).await;
            }
        }),
        faults: || json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 2 }]),
    },
    Scenario {
        name: "creates that never arrive",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            for number in 1..=3 {
                world.put_contact(&contact(number)).await;
            }
        }),
        faults: || json!([{ "match": "add_partner", "fault": "drop-before", "nth": 1 }]),
    },
    Scenario {
        name: "creates that find what is there",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            for number in [2, 4] {
                let tax = contact(number)["tax_number"].clone();
                let mut partner = company(number);
                partner["tax_id_number"] = tax;
                let _ = world.make_partner(partner);
            }
            for number in 1..=4 {
                world.put_contact(&contact(number)).await;
            }
        }),
        faults: none,
    },
    Scenario {
        name: "updates of the CRM",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            in_step(world).await;
            world.edit_row(
                &partner_of(world, FIRST).await,
                "partner_delivery_address_list",
                json!({ "street": "Nova 1" }),
            );
            world.edit_row(
                &partner_of(world, PERSON).await,
                "partner_contact_list",
                json!({ "email": "nov@domac.example" }),
            );
            world
                .edit_partner(&partner_of(world, SECOND).await, json!({ "customer": "Preimenovana d.o.o." }));
        }),
        faults: none,
    },
    Scenario {
        name: "updates of Metakocka",
        direction: Direction::ToMetakocka,
        prepare: prepare!(|world| {
            in_step(world).await;
            world.edit_contact(FIRST, json!({ "phone": "01 777 77 77", "street": "Nova 1" })).await;
            world.edit_contact(SECOND, json!({ "company": "Preimenovana d.o.o." })).await;
            world.edit_contact(PERSON, json!({ "email": "nov@domac.example" })).await;
        }),
        faults: none,
    },
    Scenario {
        name: "updates of Metakocka that add rows",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            // Without a contact person over there, a phone needs a new row; sent twice, it would be two.
            let mut bare = company(7);
            bare.as_object_mut().unwrap().remove("partner_contact_list");
            let _ = world.make_partner(bare);
            world.to_rest(Direction::Bidirectional).await.unwrap();
            let id = world.links().await.into_keys().next().unwrap();
            world.edit_contact(&id, json!({ "phone": "01 777 77 77", "email": "nov@bare.example" })).await;
        }),
        faults: none,
    },
    Scenario {
        name: "updates whose answers are lost",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            let mut bare = company(7);
            bare.as_object_mut().unwrap().remove("partner_contact_list");
            let _ = world.make_partner(bare);
            world.to_rest(Direction::Bidirectional).await.unwrap();
            let id = world.links().await.into_keys().next().unwrap();
            world.edit_contact(&id, json!({ "phone": "01 777 77 77" })).await;
        }),
        faults: || json!([{ "match": "update_partner", "fault": "commit-then-drop", "nth": 1 }]),
    },
    Scenario {
        name: "updates that never arrive",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            in_step(world).await;
            world.edit_contact(FIRST, json!({ "phone": "01 777 77 77" })).await;
            world.edit_contact(SECOND, json!({ "city": "Kranj" })).await;
        }),
        faults: || json!([{ "match": "update_partner", "fault": "drop-before", "nth": 1 }]),
    },
    Scenario {
        name: "edits on both sides, one of them contested",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            world.set("contacts.policy", json!("crm")).await;
            world.set("contacts.policy.phone", json!("manual")).await;
            in_step(world).await;
            for id in [FIRST, SECOND] {
                world
                    .edit_contact(id, json!({ "phone": "01 111 11 11", "registration_number": "1234567000" }))
                    .await;
                let partner = partner_of(world, id).await;
                world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 222 22 22" }));
                world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "Nova 1" }));
            }
            // Contested too, and settled by the policy.
            world.edit_contact(FIRST, json!({ "city": "Kranj" })).await;
            world.edit_row(
                &partner_of(world, FIRST).await,
                "partner_delivery_address_list",
                json!({ "city": "Koper" }),
            );
        }),
        faults: none,
    },
    Scenario {
        name: "a decided conflict",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            world.set("contacts.policy", json!("manual")).await;
            in_step(world).await;
            for (id, _) in [(FIRST, ()), (SECOND, ())] {
                world.edit_contact(id, json!({ "phone": "01 111 11 11" })).await;
                world.edit_row(
                    &partner_of(world, id).await,
                    "partner_contact_list",
                    json!({ "phone": "01 222 22 22" }),
                );
            }
            world.to_rest(Direction::Bidirectional).await.unwrap();
            let conflicts = world.entries(host_harness::store::Collection::Conflicts).await;
            assert_eq!(conflicts.len(), 2);
            for ((conflict, _), decision) in conflicts.into_iter().zip(["crm", "metakocka"]) {
                let decided =
                    host_harness::store::Change::Merge(json!({ "decision": decision }).to_string().into());
                world.write(host_harness::store::Collection::Conflicts, &conflict.id, decided).await;
            }
        }),
        faults: none,
    },
    Scenario {
        name: "everything at once",
        direction: Direction::Bidirectional,
        prepare: prepare!(|world| {
            world.set("contacts.policy", json!("metakocka")).await;
            in_step(world).await;
            world
                .sandbox()
                .edit(&json!({ "op": "delete", "kind": "partner", "mk_id": partner_of(world, PERSON).await }))
                .unwrap();
            world.edit_contact(FIRST, json!({ "phone": "01 111 11 11" })).await;
            world.edit_row(
                &partner_of(world, FIRST).await,
                "partner_contact_list",
                json!({ "phone": "01 222 22 22" }),
            );
            world.edit_contact(SECOND, json!({ "city": "Kranj" })).await;
            world.put_contact(&contact(6)).await;
            world.put_contact(&contact(7)).await;
            let _ = world.make_partner(company(8));
        }),
        faults: none,
    },
];

/// What was covered.
struct Covered {
    points: u64,
    /// Where a value was overwritten and history does not know it.
    forgotten: Vec<String>,
}

/// Kills a scenario's run at every call.
async fn every_call(scenario: &Scenario) -> Result<Covered, String> {
    let first = World::new().await;
    (scenario.prepare)(&first).await;
    first.sandbox().faults(&(scenario.faults)()).unwrap();
    let (report, counts) = first.run(scenario.direction, Fate::default()).await;
    let report = report.unwrap();
    if let Some(until) = report.waiting_until {
        first.clock.set(until.0);
    }
    first.to_rest(scenario.direction).await.map_err(|why| format!("uninterrupted: {why}"))?;
    let wanted = first.ledger().await;
    if wanted.duplicates + wanted.outbox as u64 > 0 {
        return Err(format!("the uninterrupted run ends with {wanted:#?}"));
    }
    let mut wrong = Vec::new();
    let mut points = 0;
    let mut most_runs = 0;
    let mut forgotten = Vec::new();
    for call in 1..=counts.calls {
        for moment in MOMENTS {
            let world = first.fresh();
            (scenario.prepare)(&world).await;
            world.sandbox().faults(&(scenario.faults)()).unwrap();
            let (report, _) = world.run(scenario.direction, Fate::killed(call, moment)).await;
            // After its last call a run has nothing left to be kept from.
            if report.is_some() && !(moment == Moment::After && call == counts.calls) {
                wrong.push(format!("call {call}, {moment:?}: nobody was killed"));
            }
            points += 1;
            match world.to_rest(scenario.direction).await {
                Ok(runs) => most_runs = most_runs.max(runs),
                Err(why) => wrong.push(format!("call {call}, {moment:?}: {why}")),
            }
            let got = world.ledger().await;
            if got.history != wanted.history {
                forgotten.push(format!("call {call}, {moment:?}: {}", got.difference(&wanted)));
            }
            if !got.same_records(&wanted) {
                wrong.push(format!("call {call}, {moment:?}: {}", got.difference(&wanted)));
            }
        }
    }
    println!("{}: {} calls, {points} points, at most {most_runs} runs to rest", scenario.name, counts.calls);
    if wrong.is_empty() {
        return Ok(Covered { points, forgotten });
    }
    let shown: Vec<&String> = wrong.iter().take(3).collect();
    Err(format!("{}: {} of {points} points went wrong\n{shown:#?}", scenario.name, wrong.len())
        .replace("\\n", "\n"))
}

/// The scenarios are shared between two threads.
fn every_other(from: usize) {
    let mut points = 0;
    let mut wrong = Vec::new();
    for scenario in SCENARIOS.iter().skip(from).step_by(2) {
        match alone(every_call(scenario)) {
            Ok(covered) => points += covered.points,
            Err(why) => wrong.push(why),
        }
    }
    println!("{points} crash points covered");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn killed_at_any_host_call_everything_ends_as_if_nothing_had_happened_odd_half() {
    every_other(0);
}

#[test]
fn killed_at_any_host_call_everything_ends_as_if_nothing_had_happened_even_half() {
    every_other(1);
}

/// A value that was overwritten is in history, whenever the run that overwrote it was killed.
#[test]
fn killed_at_any_host_call_no_overwritten_value_is_forgotten() {
    for name in ["updates of the CRM", "edits on both sides, one of them contested"] {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
        let Covered { points, forgotten } = alone(every_call(scenario)).unwrap();
        assert!(
            forgotten.is_empty(),
            "{name}: history lacks something at {} of {points} points, the first is\n{}",
            forgotten.len(),
            forgotten[0]
        );
    }
}

/// Without a key there is nothing to look for: the create is sent at most once, and a person is told when it is unclear.
#[test]
fn killed_at_any_host_call_a_create_without_a_key_is_sent_at_most_once() {
    let keyless = json!({ "id": "keyless", "firstname": "Ana", "lastname": "Brez Ključa", "street": "Pot 1",
        "postal_code": "1000", "city": "Ljubljana" });
    alone(async {
        let first = World::new().await;
        first.put_contact(&keyless).await;
        let (_, counts) = first.run(Direction::ToMetakocka, Fate::default()).await;
        let (mut linked, mut given_up) = (0, 0);
        for call in 1..=counts.calls {
            for moment in MOMENTS {
                let world = first.fresh();
                world.put_contact(&keyless).await;
                let _ = world.run(Direction::ToMetakocka, Fate::killed(call, moment)).await;
                world.to_rest(Direction::ToMetakocka).await.unwrap();
                let sends = world
                    .sandbox()
                    .requests(0)
                    .into_iter()
                    .filter(|request| request["write"] == true)
                    .count();
                assert!(sends <= 1, "call {call}, {moment:?}: sent {sends} times");
                let links = world.links().await.len();
                let quarantine = world.entries(host_harness::store::Collection::Quarantine).await.len();
                assert_eq!(
                    links + quarantine,
                    1,
                    "call {call}, {moment:?}: {links} links, {quarantine} in quarantine"
                );
                assert!(links <= world.partners().len(), "call {call}, {moment:?}");
                linked += links;
                given_up += quarantine;
            }
        }
        println!("{} points: {linked} linked, {given_up} given up with a reason", counts.calls * 3);
        assert!(linked > 0);
    });
}
