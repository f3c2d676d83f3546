//! Everything one run can reach. Read the fields, and you know what a guest can do.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use wasmtime::component::ResourceTable;

use super::error::RunError;
use super::limits::{HANDLES, Limits, MemoryKeeper};
use super::meter::Meter;
use crate::capability::clock::Clock;
use crate::capability::http::Http;
use crate::capability::logging::Logging;
use crate::store::Storage;

/// What a run is lent, already bound to one tenant.
pub struct Powers {
    /// Calls to the tenant's connection. Keep a clone to read the number of calls afterwards.
    pub http: Arc<Http>,
    /// The tenant's records.
    pub storage: Arc<dyn Storage>,
    /// What it may say.
    pub logging: Logging,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
}

/// The state of one run.
pub struct HostState {
    powers: Powers,
    resources: ResourceTable,
    meter: Arc<Meter>,
    calls_left: u64,
    limits: Limits,
    pub(super) memory: MemoryKeeper,
    /// The limit that a host call hit.
    pub(super) hit: Option<RunError>,
}

impl HostState {
    pub(super) fn new(mut powers: Powers, limits: Limits, meter: Arc<Meter>) -> Self {
        powers.http.allow(limits.http_calls);
        powers.logging.limit(limits.log);
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(HANDLES);
        let memory = MemoryKeeper::new(&limits);
        Self { powers, resources, meter, calls_left: limits.host_calls, limits, memory, hit: None }
    }

    /// Counts one call of an import.
    pub(crate) fn count_call(&mut self) -> wasmtime::Result<()> {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                Ok(())
            }
            None => {
                let error = RunError::CallLimit { limit: self.limits.host_calls };
                self.hit = Some(error.clone());
                Err(wasmtime::Error::new(error))
            }
        }
    }

    pub(crate) fn http(&self) -> Arc<Http> {
        Arc::clone(&self.powers.http)
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.powers.storage)
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.powers.clock)
    }

    pub(crate) fn logging(&mut self) -> &mut Logging {
        &mut self.powers.logging
    }

    pub(crate) fn resources(&mut self) -> &mut ResourceTable {
        &mut self.resources
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The run's own time, for its log lines.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        i64::try_from(self.powers.clock.now())
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default()
    }
}

impl super::bindings::metakocka::crm_sync::types::Host for HostState {}
