//! What the tests share: a Metakocka of their own, a scratch harness, people's records, and readers of both sides that
//! know nothing of the code they check.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails, also in its helpers"
)]

pub mod console;
pub mod erp;
pub mod reading;
pub mod records;
pub mod site;
pub mod sql;

use std::time::{Duration, Instant};

/// Longest wait for something that must happen. Not a measure of speed: a broken test ends by it, a good one never
/// meets it.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `happened` says so by looking again and again at what can be observed.
///
/// # Panics
/// When it does not happen before the deadline.
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < DEADLINE, "waited for ever: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A seed for chance: `PROOF_SEED` when it is set, else the given one. It is printed, so that a failure can be
/// repeated.
#[must_use]
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("PROOF_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("PROOF_SEED={seed}");
    seed
}
