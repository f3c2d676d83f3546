//! The doorway of one company: how many calls at once, how fast, and whether at all.
//!
//! Shared by every run of the process that calls the same company, because the company counts them together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Lane;
use super::breaker::{Admission, Breaker, BreakerRules, BreakerState};

/// Calls to one company at the same time.
const PLACES: usize = 2;
/// Of them scans: the ERP runs searches of a company one after another anyway.
const SCAN_PLACES: usize = 1;

/// The doorway of one company.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    /// The breaker as the store has it.
    kept: Mutex<BreakerState>,
    pace: Option<Mutex<Pace>>,
}

/// A place in the doorway, free again when dropped.
#[derive(Debug)]
pub struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

/// A call the breaker has let through. Dropped without a word, it counts as abandoned.
#[derive(Debug)]
pub struct Trial<'a> {
    breaker: &'a Mutex<Breaker>,
    admission: Option<Admission>,
}

impl Gate {
    pub(super) fn new(rules: BreakerRules, requests_per_second: Option<u32>) -> Self {
        let breaker = Breaker::new(rules);
        Self {
            kept: Mutex::new(breaker.state(Instant::now())),
            places: Arc::new(Semaphore::new(PLACES)),
            scans: Arc::new(Semaphore::new(SCAN_PLACES)),
            breaker: Mutex::new(breaker),
            pace: requests_per_second.map(|rate| Mutex::new(Pace::new(rate))),
        }
    }

    /// Waits for a place, first come first served.
    pub async fn enter(&self, lane: Lane) -> Place {
        // The scan's own queue comes first: a waiting scan must not hold a place that a point call could use.
        // Neither semaphore is ever closed, so a permit always comes.
        let scan = match lane {
            Lane::Scan => Arc::clone(&self.scans).acquire_owned().await.ok(),
            Lane::Point => None,
        };
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        if let Some(pace) = &self.pace {
            let wait = lock(pace).take(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        Place { _permits: [scan, place] }
    }

    /// What another process should know of the breaker, when it has changed since it was last kept.
    pub(super) fn news(&self, now: Instant) -> Option<BreakerState> {
        let state = lock(&self.breaker).state(now);
        let mut kept = lock(&self.kept);
        // How much longer it is open changes by itself.
        let same = (kept.failures, kept.open_for.is_some(), kept.rest)
            == (state.failures, state.open_for.is_some(), state.rest);
        *kept = state;
        (!same).then_some(state)
    }

    /// Takes over what another process has kept.
    pub fn restore(&self, now: Instant, state: BreakerState) {
        lock(&self.breaker).restore(now, state);
        *lock(&self.kept) = lock(&self.breaker).state(now);
    }

    /// The other side asked for a pause.
    pub fn pause(&self, now: Instant, pause: Duration) {
        lock(&self.breaker).pause(now, pause);
    }

    /// Asks the breaker.
    ///
    /// # Errors
    /// It is open; try again after this time.
    pub fn admit(&self, now: Instant) -> Result<Trial<'_>, Duration> {
        let admission = lock(&self.breaker).admit(now)?;
        Ok(Trial { breaker: &self.breaker, admission: Some(admission) })
    }
}

impl Trial<'_> {
    /// A complete answer came: the other side is alive.
    pub fn answered(mut self) {
        if self.admission.take().is_some() {
            lock(self.breaker).answered();
        }
    }

    /// The call failed in a way that trying again could mend.
    pub fn failed(mut self, now: Instant) {
        if let Some(admission) = self.admission.take() {
            lock(self.breaker).failed(now, admission);
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            lock(self.breaker).abandoned(Instant::now(), admission);
        }
    }
}

/// Nothing can panic while these locks are held, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spreads calls over time: a second's worth may go at once, then one per interval.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    burst: Duration,
    next: Option<Instant>,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), burst: Duration::from_secs(1), next: None }
    }

    /// Books the next slot and says how long to wait for it.
    fn take(&mut self, now: Instant) -> Duration {
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let slot = self.next.map_or(earliest, |next| next.max(earliest));
        self.next = Some(slot + self.interval);
        slot.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn gate() -> Gate {
        Gate::new(BreakerRules::default(), None)
    }

    #[test]
    fn two_places_of_which_one_for_scans() {
        let gate = gate();
        let scan = gate.enter(Lane::Scan).now_or_never().expect("an empty gate has room");
        assert!(gate.enter(Lane::Scan).now_or_never().is_none(), "a second scan waits");
        let point = gate.enter(Lane::Point).now_or_never().expect("a waiting scan holds no place");
        assert!(gate.enter(Lane::Point).now_or_never().is_none(), "both places are taken");
        drop(scan);
        let second = gate.enter(Lane::Point).now_or_never().expect("a freed place can be taken");
        assert!(gate.enter(Lane::Scan).now_or_never().is_none(), "scans need a place too");
        drop((point, second));
        assert!(gate.enter(Lane::Scan).now_or_never().is_some());
    }

    #[test]
    fn a_trial_that_is_dropped_frees_the_probe() {
        let rules = BreakerRules { failures: 1, first_rest: Duration::ZERO, ..BreakerRules::default() };
        let gate = Gate::new(rules, None);
        gate.admit(Instant::now()).unwrap().failed(Instant::now());
        let probe = gate.admit(Instant::now()).unwrap();
        assert!(gate.admit(Instant::now()).is_err(), "one probe at a time");
        drop(probe);
        gate.admit(Instant::now()).unwrap().answered();
    }

    #[test]
    fn the_pace_allows_a_second_at_once_and_then_spreads() {
        let mut pace = Pace::new(10);
        let now = Instant::now() + Duration::from_secs(10);
        let waits: Vec<u128> = (0..13).map(|_| pace.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
    }
}
