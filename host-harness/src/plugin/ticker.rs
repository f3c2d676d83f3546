//! The clock hand that lets the host take its thread back from a guest that does not return.
//!
//! One thread raises the engine's epoch every millisecond, but only while some guest has its turn: it parks soon
//! after the last one, so a process that waits for the network or does nothing is not woken a thousand times a
//! second.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

/// One tick.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without a turn before the thread parks.
const PATIENCE: u32 = 20;

/// Who has a turn, and the thread that ticks meanwhile.
#[derive(Debug)]
pub struct Ticker {
    busy: AtomicUsize,
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A turn of a guest; the ticker is awake while it lives.
pub struct Busy<'a>(&'a Ticker);

impl Ticker {
    /// Ticks this engine, as long as somebody holds the ticker.
    pub fn start(engine: &wasmtime::Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Self::without_engine();
        let (weak, engine) = (Arc::downgrade(&ticker), engine.weak());
        let thread = std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || run(&weak, || engine.upgrade().map(|engine| engine.increment_epoch())))?;
        // A new ticker has no thread yet.
        let _ = ticker.thread.set(thread.thread().clone());
        Ok(ticker)
    }

    /// Ticks nothing.
    pub fn without_engine() -> Arc<Self> {
        Arc::new(Self { busy: AtomicUsize::new(0), parked: AtomicBool::new(false), thread: OnceLock::new() })
    }

    /// Begins a turn.
    pub fn busy(&self) -> Busy<'_> {
        // Sequential consistency: either the thread sees that somebody is busy before it parks, or it is seen parked.
        self.busy.fetch_add(1, Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) {
            self.wake();
        }
        Busy(self)
    }

    fn wake(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// Ticks until the ticker or the engine is gone.
fn run(ticker: &Weak<Ticker>, tick: impl Fn() -> Option<()>) {
    let mut quiet = 0;
    loop {
        std::thread::sleep(TICK);
        if tick().is_none() {
            return;
        }
        let Some(awake) = ticker.upgrade() else { return };
        if awake.busy.load(Ordering::SeqCst) > 0 {
            quiet = 0;
            continue;
        }
        quiet += 1;
        if quiet < PATIENCE {
            continue;
        }
        quiet = 0;
        awake.parked.store(true, Ordering::SeqCst);
        if awake.busy.load(Ordering::SeqCst) > 0 {
            awake.parked.store(false, Ordering::SeqCst);
            continue;
        }
        // Without holding the ticker, or it could never be dropped. A wake-up for nothing only costs one tick.
        drop(awake);
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_parks_when_nobody_has_a_turn_and_wakes_for_the_next() {
        let ticker = Ticker::without_engine();
        let (ticks, seen) = std::sync::mpsc::channel();
        let weak = Arc::downgrade(&ticker);
        let thread = std::thread::spawn(move || run(&weak, || ticks.send(()).ok()));
        let _ = ticker.thread.set(thread.thread().clone());
        while !ticker.parked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        while seen.try_recv().is_ok() {}
        let turn = ticker.busy();
        for _ in 0..3 {
            seen.recv_timeout(Duration::from_secs(10)).expect("it ticks during a turn");
        }
        drop(turn);
        drop(ticker);
        thread.join().expect("it ends with its ticker");
    }
}
