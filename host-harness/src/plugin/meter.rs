//! How long a guest really computes.
//!
//! Waiting costs a tenant nothing, and neither does the host's work for it: the thread's own CPU clock is read
//! when the run's future begins and ends a turn, and the turns of host functions are taken off again. A guest
//! that never returns is caught by the epoch callback, which reads the same clock in the middle of a turn.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::error::RunError;
use super::ticker::Ticker;

/// The meter of one run. Only the thread that polls the run writes to it, so relaxed ordering is enough.
#[derive(Debug)]
pub struct Meter {
    /// Nanoseconds of complete turns.
    used: AtomicU64,
    /// The thread's clock when the turn under way began, minus what the host has used since.
    turn: AtomicU64,
    limit_seconds: u64,
}

impl Meter {
    pub fn new(limit_seconds: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), turn: AtomicU64::new(0), limit_seconds })
    }

    /// What the guest has used in complete turns.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// What the guest has used in the turn under way. Only for the thread that polls the run.
    pub fn this_turn(&self) -> Duration {
        Duration::from_nanos(thread_time().saturating_sub(self.turn.load(Ordering::Relaxed)))
    }

    /// Whether the budget is used up, the given part of a turn included.
    pub fn check(&self, this_turn: Duration) -> Result<(), RunError> {
        if self.used() + this_turn > Duration::from_secs(self.limit_seconds) {
            return Err(RunError::CpuLimit { seconds: self.limit_seconds });
        }
        Ok(())
    }

    /// Runs the guest's future under the meter, and with the ticker awake while it has its turn.
    pub async fn guest<F: Future>(&self, ticker: &Arc<Ticker>, future: F) -> Result<F::Output, RunError> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let _busy = ticker.busy();
            self.turn.store(thread_time(), Ordering::Relaxed);
            let polled = future.as_mut().poll(context);
            let turn = self.this_turn();
            self.used.fetch_add(u64::try_from(turn.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            match polled {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                // Many short turns add up too, and the epoch callback may never meet one of them.
                Poll::Pending => match self.check(Duration::ZERO) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
            }
        })
        .await
    }

    /// Runs a host function's future without counting its turns as the guest's.
    pub async fn outside<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let before = thread_time();
            let polled = future.as_mut().poll(context);
            self.turn.fetch_add(thread_time().saturating_sub(before), Ordering::Relaxed);
            polled
        })
        .await
    }
}

/// Nanoseconds this thread has computed since it began.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let start = thread_time();
        while Duration::from_nanos(thread_time() - start) < time {
            std::hint::black_box(0);
        }
    }

    #[tokio::test]
    async fn computing_counts_and_the_hosts_work_does_not() {
        let meter = Meter::new(1);
        let ticker = Ticker::without_engine();
        let inner = Arc::clone(&meter);
        let run = async {
            compute(Duration::from_millis(20));
            tokio::task::yield_now().await;
            inner.outside(async { compute(Duration::from_millis(200)) }).await;
            compute(Duration::from_millis(20));
        };
        meter.guest(&ticker, run).await.unwrap();
        let used = meter.used();
        assert!(used >= Duration::from_millis(40) && used < Duration::from_millis(120), "{used:?}");
    }

    #[tokio::test]
    async fn many_short_turns_add_up() {
        let meter = Meter::new(0);
        let ticker = Ticker::without_engine();
        let run = async {
            loop {
                compute(Duration::from_micros(10));
                tokio::task::yield_now().await;
            }
        };
        let error: Result<(), _> = meter.guest(&ticker, run).await;
        assert!(matches!(error, Err(RunError::CpuLimit { seconds: 0 })), "{error:?}");
    }
}
