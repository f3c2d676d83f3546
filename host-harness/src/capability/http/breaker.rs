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
    /// The other side has asked for a pause until then; no answer ends it sooner.
    paused: Option<Instant>,
}

/// What is worth keeping of a breaker: times are counted from the moment it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerState {
    /// Failures in a row; those that opened it while it is open.
    pub failures: u32,
    /// How much longer it stays open; `None` while it is closed.
    pub open_for: Option<Duration>,
    /// How long it rests, or rested last.
    pub rest: Duration,
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
        Self { rules, state: State::Closed { failures: 0 }, paused: None }
    }

    /// What the next process should know.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { failures } => {
                BreakerState { failures, open_for: None, rest: self.rules.first_rest }
            }
            State::Open { until, rest } => BreakerState {
                failures: self.rules.failures,
                open_for: Some(until.saturating_duration_since(now)),
                rest,
            },
            // Whoever comes next may try, as the probe does.
            State::Probing { rest } => {
                BreakerState { failures: self.rules.failures, open_for: Some(Duration::ZERO), rest }
            }
        }
    }

    /// Takes over what another process has kept, unless this one knows something itself.
    pub fn restore(&mut self, now: Instant, kept: BreakerState) {
        if self.state == (State::Closed { failures: 0 }) {
            let most = self.rules.longest_rest;
            self.state = match kept.open_for {
                None => State::Closed { failures: kept.failures.min(self.rules.failures.saturating_sub(1)) },
                Some(left) => State::Open { until: now + left.min(most), rest: kept.rest.min(most) },
            };
        }
    }

    /// The other side asked for a pause. It holds for this process: whoever starts a new run may ask again.
    pub fn pause(&mut self, now: Instant, pause: Duration) {
        let until = now + pause.min(self.rules.longest_rest);
        self.paused = Some(self.paused.map_or(until, |known| known.max(until)));
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// No; try again after this time.
    pub fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        if let Some(until) = self.paused.filter(|until| now < *until) {
            return Err(until.duration_since(now));
        }
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
    fn the_next_process_goes_on_where_this_one_ended() {
        let now = Instant::now();
        let second = |seconds: u64| now + Duration::from_secs(seconds);
        let mut first = Breaker::new(BreakerRules::default());
        for _ in 0..3 {
            first.failed(now, Admission::Ordinary);
        }
        let mut next = Breaker::new(BreakerRules::default());
        next.restore(now, first.state(now));
        next.failed(now, Admission::Ordinary);
        assert_eq!(next.admit(now), PASS.map_err(Duration::from_secs), "four failures in two processes");
        next.failed(now, Admission::Ordinary);
        assert_eq!(next.admit(now), Err(Duration::from_secs(60)), "the fifth");
        let mut third = Breaker::new(BreakerRules::default());
        third.restore(second(20), next.state(second(20)));
        assert_eq!(third.admit(second(20)), Err(Duration::from_secs(40)));
        assert_eq!(third.admit(second(60)), Ok(Admission::Probe));
        third.failed(second(60), Admission::Probe);
        assert_eq!(
            third.admit(second(60)),
            Err(Duration::from_secs(120)),
            "the rest doubles across processes"
        );
        third.restore(second(61), BreakerState { failures: 0, open_for: None, rest: Duration::ZERO });
        assert!(third.admit(second(61)).is_err(), "what is known here counts");
    }

    #[test]
    fn a_pause_holds_whatever_is_answered_meanwhile() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerRules::default());
        breaker.pause(now, Duration::from_secs(30));
        breaker.answered();
        assert_eq!(breaker.admit(now), Err(Duration::from_secs(30)));
        assert!(breaker.admit(now + Duration::from_secs(30)).is_ok());
        breaker.pause(now, Duration::from_secs(1_000_000));
        assert_eq!(breaker.admit(now), Err(Duration::from_secs(900)), "bounded");
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
