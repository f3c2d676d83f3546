//! Two runs of one tenant at the same time, on one storage, in both directions. Whoever makes which host call when:
//! nothing is made twice, nothing is lost, and no run reports what the other one did.

use futures_util::future::join;
use host_harness::store::Collection;
use metakocka_sync::sync::report::Report;
use metakocka_sync::sync::request::{Direction, RunRequest};
use proof::records::contact;
use serde_json::{Value, json};

use super::powers::Fate;
use super::turns::{Schedule, Turns};
use super::{Counts, Ledger, World, alone, company, request};

const BOTH: Direction = Direction::Bidirectional;
/// Fewer calls than this, and every pair of positions is tried; else every second one.
const EVERY_PAIR: u64 = 45;
/// Random schedules of a scenario.
const SEEDS: u64 = 60;

struct Scenario {
    name: &'static str,
    prepare: for<'w> fn(&'w World) -> futures_util::future::LocalBoxFuture<'w, ()>,
    faults: fn() -> Value,
}

macro_rules! prepare {
    (|$world:ident| $body:block) => {
        |$world| Box::pin(async move { $body })
    };
}

fn none() -> Value {
    json!([])
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "creates on both sides",
        prepare: prepare!(|world| {
            for number in 1..=3 {
                world.put_contact(&contact(number)).await;
            }
            for number in 1..=2 {
                let _ = world.make_partner(company(number));
            }
        }),
        faults: none,
    },
    Scenario {
        name: "creates whose answers are lost",
        prepare: prepare!(|world| {
            for number in 1..=2 {
                world.put_contact(&contact(number)).await;
            }
        }),
        faults: || json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 1 }]),
    },
    Scenario {
        name: "creates that never arrive",
        prepare: prepare!(|world| {
            for number in 1..=2 {
                world.put_contact(&contact(number)).await;
            }
        }),
        faults: || json!([{ "match": "add_partner", "fault": "drop-before", "nth": 1 }]),
    },
    Scenario {
        name: "updates on both sides",
        prepare: prepare!(|world| {
            for number in [1, 2, 4] {
                world.put_contact(&contact(number)).await;
            }
            let mut nobody = contact(6);
            for column in ["email", "phone", "firstname", "lastname"] {
                nobody[column] = Value::Null;
            }
            world.put_contact(&nobody).await;
            world.to_rest(BOTH).await.unwrap();
            world.edit_contact("company-00002", json!({ "phone": "01 777 77 77" })).await;
            // Sent twice, this one adds its row twice.
            world
                .edit_contact(
                    "company-00006",
                    json!({ "email": "nov@zaga.example", "full_name": "Ana Nova" }),
                )
                .await;
            let partner = world.links().await["company-00004"].0.clone();
            world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": "Nova 1" }));
        }),
        faults: none,
    },
];

/// How two runs and those after them ended.
struct End {
    reports: [Report; 2],
    counts: [Counts; 2],
    after: Vec<Report>,
    ledger: Ledger,
    contacts: usize,
    partners: usize,
}

async fn side_by_side(world: &World, schedule: Schedule) -> Result<End, String> {
    let turns = Turns::new(schedule);
    let one = async |number: usize, name: &str| {
        let seat = turns.seat(number);
        let request = RunRequest { run_id: name.to_owned(), ..request(BOTH) };
        let ended = world.run_as(&request, Fate { seat: Some(seat.clone()), ..Fate::default() }).await;
        seat.leave();
        ended
    };
    let ((first, counts_1), (second, counts_2)) = join(one(0, "one"), one(1, "two")).await;
    let reports = [first.unwrap(), second.unwrap()];
    if let Some(until) = reports.iter().filter_map(|report| report.waiting_until).max() {
        world.clock.set(world.clock.get().max(until.0));
    }
    let after = world.rest(BOTH).await?;
    Ok(End {
        reports,
        counts: [counts_1, counts_2],
        after,
        ledger: world.ledger().await,
        contacts: world.entries(Collection::Contacts).await.len(),
        partners: world.partners().len(),
    })
}

/// What is wrong with an end, given what was there before.
fn wrong(end: &End, before: (usize, usize), alone: &Ledger) -> Vec<String> {
    let mut wrong = Vec::new();
    let sum = |count: fn(&Report) -> u64| end.reports.iter().chain(&end.after).map(count).sum::<u64>();
    let mut same = |what: &str, reported: u64, made: usize| {
        if reported != made as u64 {
            wrong.push(format!("{what}: the runs report {reported}, {made} were made"));
        }
    };
    same("contacts", sum(|report| report.crm_created), end.contacts - before.0);
    same("partners", sum(|report| report.metakocka_created), end.partners - before.1);
    for (report, counts) in end.reports.iter().zip(&end.counts) {
        if report.metakocka_updated > counts.erp_writes - counts.creates {
            wrong.push(format!("{} updates reported, {counts:?} sent", report.metakocka_updated));
        }
    }
    if !end.ledger.same_records(alone) {
        wrong.push(end.ledger.difference(alone));
    }
    wrong
}

/// One scenario under every schedule of a list.
async fn under(scenario: &Scenario, first: &World, schedule: Schedule, alone: &Ledger) -> Option<String> {
    let world = first.fresh();
    (scenario.prepare)(&world).await;
    world.sandbox().faults(&(scenario.faults)()).unwrap();
    let before = (world.entries(Collection::Contacts).await.len(), world.partners().len());
    let shown = format!("{schedule:?}");
    match side_by_side(&world, schedule).await {
        Ok(end) => {
            let wrong = wrong(&end, before, alone);
            (!wrong.is_empty()).then(|| format!("{shown}: {}", wrong.join("; ")))
        }
        Err(why) => Some(format!("{shown}: {why}")),
    }
}

/// Every position of one change of turns, pairs of two changes, and the dice.
fn schedules(calls: u64) -> Vec<Schedule> {
    let mut schedules: Vec<Schedule> = (1..=calls).map(|call| Schedule::at(&[(0, call)])).collect();
    let step = usize::try_from(calls / EVERY_PAIR).unwrap() + 1;
    for call in (1..=calls).step_by(step) {
        schedules.extend((1..=calls).step_by(step).map(|other| Schedule::at(&[(0, call), (1, other)])));
    }
    let seed = proof::seed(1);
    schedules.extend((seed..seed + SEEDS).map(Schedule::Dice));
    schedules
}

async fn every_schedule(scenario: &Scenario) -> Result<usize, String> {
    let first = World::new().await;
    (scenario.prepare)(&first).await;
    first.sandbox().faults(&(scenario.faults)()).unwrap();
    let (report, counts) = first.run(BOTH, Fate::default()).await;
    if let Some(until) = report.unwrap().waiting_until {
        first.clock.set(until.0);
    }
    first.to_rest(BOTH).await?;
    let alone = first.ledger().await;
    let schedules = schedules(counts.calls);
    let count = schedules.len();
    let mut wrong = Vec::new();
    for schedule in schedules {
        wrong.extend(under(scenario, &first, schedule, &alone).await);
    }
    let doubled =
        wrong.iter().filter(|why| why.contains("duplicates") && !why.contains("duplicates 0")).count();
    println!(
        "{}: {} calls a run, {count} schedules, {} wrong, {doubled} of them with duplicates",
        scenario.name,
        counts.calls,
        wrong.len()
    );
    if wrong.is_empty() {
        return Ok(count);
    }
    let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    Err(format!("{}: {} of {count} schedules went wrong\n{shown}", scenario.name, wrong.len()))
}

fn interleaved(name: &str) {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
    if let Err(why) = alone(every_schedule(scenario)) {
        panic!("{why}");
    }
}

#[test]
fn two_runs_at_once_create_once() {
    interleaved("creates on both sides");
}

#[test]
fn two_runs_at_once_create_once_though_answers_are_lost() {
    interleaved("creates whose answers are lost");
}

#[test]
fn two_runs_at_once_create_once_though_requests_are_lost() {
    interleaved("creates that never arrive");
}

#[test]
fn two_runs_at_once_update_once() {
    interleaved("updates on both sides");
}
