//! Time and chance, lent so that a run can be replayed.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::{Accessor, HasSelf};

use crate::plugin::HostState;
use crate::plugin::bindings::metakocka::crm_sync::clock as contract;

/// Where a run takes its time and its chance from.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64;
    /// Milliseconds of a clock that never goes back.
    fn monotonic(&self) -> u64;
    /// Waits.
    async fn sleep(&self, time: Duration);
    /// A seed, new for every call.
    fn random_seed(&self) -> u64;
}

/// The machine's time, and chance from the system.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl Default for RealClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait::async_trait]
impl Clock for RealClock {
    fn now(&self) -> u64 {
        milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn monotonic(&self) -> u64 {
        milliseconds(self.start.elapsed())
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn random_seed(&self) -> u64 {
        // A system without chance still has time, and a seed needs to be new, not secret.
        getrandom::u64().unwrap_or_else(|_| milliseconds(self.start.elapsed()) ^ self.now())
    }
}

/// Time that only passes when somebody waits, and seeds that follow from the first one.
#[derive(Debug)]
pub struct VirtualClock {
    state: Mutex<(u64, u64, u64)>,
}

impl VirtualClock {
    /// Starts at this time, in milliseconds since 1970, and with this seed.
    pub fn new(now: u64, seed: u64) -> Self {
        Self { state: Mutex::new((now, 0, seed)) }
    }

    fn with<R>(&self, look: impl FnOnce(&mut (u64, u64, u64)) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.with(|(now, _, _)| *now)
    }

    fn monotonic(&self) -> u64 {
        self.with(|(_, monotonic, _)| *monotonic)
    }

    async fn sleep(&self, time: Duration) {
        self.with(|(now, monotonic, _)| {
            *now = now.saturating_add(milliseconds(time));
            *monotonic = monotonic.saturating_add(milliseconds(time));
        });
        tokio::task::yield_now().await;
    }

    fn random_seed(&self) -> u64 {
        self.with(|(_, _, seed)| {
            // SplitMix64: neighbouring seeds give unrelated numbers.
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl contract::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.count_call()?;
        Ok(self.clock().now())
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        self.count_call()?;
        Ok(self.clock().monotonic())
    }

    fn random_seed(&mut self) -> wasmtime::Result<u64> {
        self.count_call()?;
        Ok(self.clock().random_seed())
    }
}

impl<T: Send> contract::HostWithStore<T> for HasSelf<HostState> {
    async fn sleep(accessor: &Accessor<T, Self>, time: u64) -> wasmtime::Result<()> {
        let clock = accessor.with(|mut access| {
            let state = access.get();
            state.count_call()?;
            wasmtime::error::Ok(state.clock())
        })?;
        clock.sleep(Duration::from_millis(time)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn virtual_time_passes_only_by_waiting() {
        let clock = VirtualClock::new(1_000, 7);
        clock.sleep(Duration::from_secs(5)).await;
        assert_eq!((clock.now(), clock.monotonic()), (6_000, 5_000));
        let again = VirtualClock::new(1_000, 7);
        let seeds = [clock.random_seed(), clock.random_seed()];
        assert_eq!(seeds, [again.random_seed(), again.random_seed()]);
        assert_ne!(seeds[0], seeds[1]);
    }

    #[test]
    fn real_seeds_differ() {
        let clock = RealClock::default();
        assert_ne!(clock.random_seed(), clock.random_seed());
    }
}
