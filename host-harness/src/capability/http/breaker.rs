//! Stops calling a side that only fails, and lets one call through later to see.

use std::time::{Duration, Instant};

/// When the breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerRules {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open the first time.
    pub first_rest: Duration,
    /// How long at most; each failed probe doubles the rest.
    pub longest_rest: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self { failures: 5, first_rest: Duration::from_secs(60), longest_rest: Duration::from_secs(15 * 60) }
    }
}

/// A circuit breaker. It has no clock: now is an argument.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, rest: Duration },
    Probing { rest: Duration },
}

/// What an admitted call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// One of many.
    Ordinary,
    /// The one call that decides whether the breaker closes.
    Probe,
}

/// How long others wait while a probe is under way.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

impl Breaker {
    /// A closed breaker.
    pub fn new(rules: BreakerRules) -> Self {
        Self { rules, state: State::Closed { failures: 0 } }
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// No; try again after this time.
    pub fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Admission::Ordinary),
            State::Open { until, .. } if now < until => Err(until.duration_since(now)),
            State::Open { rest, .. } => {
                self.state = State::Probing { rest };
                Ok(Admission::Probe)
            }
            State::Probing { .. } => Err(PROBE_PATIENCE),
        }
    }

    /// A complete answer came: the other side is alive.
    pub fn answered(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// A call failed in a way that trying again could mend.
    pub fn failed(&mut self, now: Instant, admission: Admission) {
        self.state = match (self.state, admission) {
            (State::Closed { failures }, _) if failures + 1 < self.rules.failures => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, _) => {
                let rest = self.rules.first_rest;
                State::Open { until: now + rest, rest }
            }
            (State::Probing { rest }, Admission::Probe) => {
                let rest = (rest * 2).min(self.rules.longest_rest);
                State::Open { until: now + rest, rest }
            }
            // Calls that left before it opened tell nothing new.
            (state, _) => state,
        };
    }

    /// A call ended without telling anything about the other side, for example because its run ended.
    pub fn abandoned(&mut self, now: Instant, admission: Admission) {
        if let (State::Probing { rest }, Admission::Probe) = (self.state, admission) {
            self.state = State::Open { until: now, rest };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens (at which second), and what `admit` says at that second afterwards: `Ok` or seconds to wait.
    enum Event {
        Fail,
        Answer,
        Abandon,
        Nothing,
    }
    use Event::{Abandon, Answer, Fail, Nothing};

    fn check(rows: &[(u64, Event, Result<Admission, u64>)]) {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        let mut admission = Admission::Ordinary;
        for (row, (second, event, expected)) in rows.iter().enumerate() {
            let now = start + Duration::from_secs(*second);
            match event {
                Fail => breaker.failed(now, admission),
                Answer => breaker.answered(),
                Abandon => breaker.abandoned(now, admission),
                Nothing => {}
            }
            let admitted = breaker.admit(now);
            admission = admitted.unwrap_or(admission);
            assert_eq!(admitted.map_err(|wait| wait.as_secs()), *expected, "row {row}");
        }
    }

    const PASS: Result<Admission, u64> = Ok(Admission::Ordinary);
    const PROBE: Result<Admission, u64> = Ok(Admission::Probe);

    #[test]
    fn five_failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        check(&[
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, Err(60)),
            (59, Nothing, Err(1)),
        ]);
        check(&[
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Answer, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
        ]);
    }

    #[test]
    fn one_probe_decides_and_each_failed_one_doubles_the_rest() {
        let mut rows =
            vec![(0, Fail, PASS), (0, Fail, PASS), (0, Fail, PASS), (0, Fail, PASS), (0, Fail, Err(60))];
        let mut second = 60;
        for rest in [120, 240, 480, 900, 900] {
            rows.push((second, Nothing, PROBE));
            rows.push((second, Nothing, Err(1)));
            rows.push((second, Fail, Err(rest)));
            second += rest;
        }
        rows.push((second, Nothing, PROBE));
        rows.push((second, Answer, PASS));
        rows.push((second, Fail, PASS));
        check(&rows);
    }

    #[test]
    fn an_abandoned_probe_lets_the_next_one_through() {
        check(&[
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, PASS),
            (0, Fail, Err(60)),
            (60, Nothing, PROBE),
            (61, Nothing, Err(1)),
            (62, Abandon, PROBE),
        ]);
    }
}
