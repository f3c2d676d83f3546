//! The runs that clean up after a crash are killed too, and requests arrive late. Still everything ends as if nothing had
//! happened.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::World;
use super::alone;
use super::crash::{MOMENTS, SCENARIOS, Scenario};
use super::powers::{Fate, Kill, Moment};

/// Up to so many calls a run, every call of the first run is paired with every call of the second one.
const SMALL: u64 = 35;
/// Points of a scenario beyond these, by dice.
const SAMPLED: usize = 60;

/// What happens between two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Nothing: the second run begins at once.
    Nothing,
    /// Time enough for every write to settle.
    Settling,
}

/// One story: how the first run ended, and how the one after it.
struct Point {
    first: Fate,
    between: Between,
    second: Kill,
}

async fn told(scenario: &Scenario, point: &Point, from: &World) -> Result<Option<World>, String> {
    let world = from.fresh();
    (scenario.prepare)(&world).await;
    world.sandbox().faults(&(scenario.faults)()).unwrap();
    let (report, _) = world.run(scenario.direction, point.first.clone()).await;
    if point.between == Between::Settling {
        world.wire.deliver().await;
        // Of a run that was killed nothing is known but that its last write has settled by then.
        let until = report.and_then(|report| report.waiting_until).map_or(0, |until| until.0);
        world.clock.set(until.max(world.clock.get() + 200_000));
    }
    let (report, _) =
        world.run(scenario.direction, Fate { kill: Some(point.second), ..Fate::default() }).await;
    if report.is_some() {
        // It made fewer calls than that.
        return Ok(None);
    }
    world.wire.deliver().await;
    world.to_rest(scenario.direction).await?;
    Ok(Some(world))
}

/// Every kill of the second run after a first one that came to its end, every pair of kills where they are few, and a sample
/// of everything else.
async fn recovering(scenario: &Scenario) -> Result<usize, String> {
    let first = World::new().await;
    (scenario.prepare)(&first).await;
    first.sandbox().faults(&(scenario.faults)()).unwrap();
    let (report, counts) = first.run(scenario.direction, Fate::default()).await;
    if let Some(until) = report.unwrap().waiting_until {
        first.clock.set(until.0);
    }
    let (_, second) = first.run(scenario.direction, Fate::default()).await;
    first.to_rest(scenario.direction).await.map_err(|why| format!("uninterrupted: {why}"))?;
    let wanted = first.ledger().await;

    let seed = proof::seed(7);
    let mut dice = StdRng::seed_from_u64(seed);
    let mut points = Vec::new();
    for call in 1..=second.calls {
        for moment in MOMENTS {
            let second = Kill { call, moment };
            points.push(Point { first: Fate::default(), between: Between::Settling, second });
        }
    }
    if counts.calls <= SMALL {
        for (call, then) in
            (1..=counts.calls).flat_map(|call| (1..=counts.calls).map(move |then| (call, then)))
        {
            points.push(Point {
                first: Fate::killed(call, Moment::Unanswered),
                between: if (call + then).is_multiple_of(2) { Between::Nothing } else { Between::Settling },
                second: Kill { call: then, moment: Moment::Unanswered },
            });
        }
    }
    for _ in 0..SAMPLED {
        let kill = |dice: &mut StdRng, most: u64| Kill {
            call: dice.random_range(1..=most),
            moment: *MOMENTS.choose(dice).unwrap(),
        };
        let late = (counts.erp_writes > 0 && dice.random_bool(0.5))
            .then(|| dice.random_range(1..=counts.erp_writes));
        let killed = kill(&mut dice, counts.calls);
        points.push(Point {
            first: Fate { kill: Some(killed), late, ..Fate::default() },
            between: *[Between::Nothing, Between::Settling].choose(&mut dice).unwrap(),
            second: kill(&mut dice, counts.calls),
        });
    }
    let (mut covered, mut wrong) = (0, Vec::new());
    for point in &points {
        let shown = || {
            format!("{:?} {:?}, {:?}, {:?}", point.first.kill, point.first.late, point.between, point.second)
        };
        match told(scenario, point, &first).await {
            Ok(None) => {}
            Ok(Some(world)) => {
                covered += 1;
                let got = world.ledger().await;
                if !got.same_records(&wanted) {
                    wrong.push(format!("{}: {}", shown(), got.difference(&wanted)));
                }
            }
            Err(why) => wrong.push(format!("{}: {why}", shown())),
        }
    }
    println!("{}: {covered} points, seed {seed}, {} wrong", scenario.name, wrong.len());
    if wrong.is_empty() {
        return Ok(covered);
    }
    let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    Err(format!("{}: {} of {covered} points went wrong (seed {seed})\n{shown}", scenario.name, wrong.len()))
}

fn every_third(from: usize) {
    let mut covered = 0;
    let mut wrong = Vec::new();
    for scenario in SCENARIOS.iter().skip(from).step_by(3) {
        match alone(recovering(scenario)) {
            Ok(points) => covered += points,
            Err(why) => wrong.push(why),
        }
    }
    println!("{covered} points covered");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(covered > 0);
}

#[test]
fn recovering_runs_are_killed_too_first_third() {
    every_third(0);
}

#[test]
fn recovering_runs_are_killed_too_second_third() {
    every_third(1);
}

#[test]
fn recovering_runs_are_killed_too_last_third() {
    every_third(2);
}
