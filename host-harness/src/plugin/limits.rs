//! What a run may use up.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::error::RunError;
use crate::capability::http::DEFAULT_CALLS;
use crate::capability::logging::LogLimits;

/// What a run may use up. Each limit has its own error, which names it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory of the guest (`limits.guest-memory-mib`).
    pub guest_memory_mib: u64,
    /// Time the guest may compute, waiting not counted (`limits.guest-cpu-seconds`).
    pub guest_cpu_seconds: u64,
    /// Time of the whole run, waiting included (`limits.run-seconds`).
    pub run_seconds: u64,
    /// Calls of imports (`limits.host-calls`).
    pub host_calls: u64,
    /// Calls to the ERP (`limits.http-calls`).
    pub http_calls: u64,
    /// What may be logged.
    pub log: LogLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            guest_memory_mib: 64,
            guest_cpu_seconds: 30,
            run_seconds: 30 * 60,
            host_calls: 20_000_000,
            http_calls: DEFAULT_CALLS,
            log: LogLimits::default(),
        }
    }
}

impl Limits {
    pub(super) fn run(&self) -> Duration {
        Duration::from_secs(self.run_seconds)
    }
}

/// Bytes a guest may hand over in one call: a full commit with its frame.
pub const CALL_BYTES: usize = 24 * 1024 * 1024;
/// Handles a guest may hold at once: many times the calls it keeps under way.
pub const HANDLES: usize = 1_000;
/// Elements of one table; a Rust guest's table holds its function pointers.
const TABLE_ELEMENTS: usize = 20_000;
/// Core instances, tables and memories of one component: it is made of the guest and a few adapters.
const PARTS: usize = 32;

/// Keeps the guest's memory and tables within their limits and knows the largest it had.
#[derive(Debug)]
pub struct MemoryKeeper {
    limit_mib: u64,
    current: u64,
    /// The most the guest had at one time.
    pub peak: u64,
    /// The limit that was hit.
    pub hit: Option<RunError>,
}

impl MemoryKeeper {
    pub fn new(limits: &Limits) -> Self {
        Self { limit_mib: limits.guest_memory_mib, current: 0, peak: 0, hit: None }
    }
}

impl ResourceLimiter for MemoryKeeper {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The limit holds for all memories of the component together.
        let total = self.current + (desired.saturating_sub(current)) as u64;
        if total > self.limit_mib.saturating_mul(1024 * 1024) {
            let error = RunError::MemoryLimit { limit_mib: self.limit_mib };
            self.hit = Some(error.clone());
            // An error instead of "no": a guest that is told "no" aborts, and nobody could tell why.
            return Err(wasmtime::Error::new(error));
        }
        self.current = total;
        self.peak = self.peak.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}
