//! One instance for one run of one tenant, dropped afterwards whatever happened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use wasmtime::component::Accessor;
use wasmtime::{Store, Trap, UpdateDeadline};

use super::bindings::PluginPre;
use super::bindings::exports::metakocka::crm_sync::sync::Guest;
use super::error::RunError;
use super::host::{HostState, Powers};
use super::limits::{CALL_BYTES, HANDLES, Limits};
use super::meter::Meter;
use super::ticker::{TICK, Ticker};
use super::{Description, Failure, Kind, Report, RunRequest, UnsyncedPage, dump};

/// A component, ready to run for any tenant. Cloning is cheap.
#[derive(Clone)]
pub struct Plugin {
    ready: PluginPre<HostState>,
    ticker: Arc<Ticker>,
    dump_to: Option<PathBuf>,
}

/// How a call ended, and what it took.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What came of it.
    pub result: Result<T, RunError>,
    /// The most memory the guest had at one time.
    pub guest_peak_bytes: u64,
    /// How long the guest computed.
    pub guest_cpu: Duration,
    /// Bytes of the guest's memory that were dumped, when that was asked for, or why they were not.
    pub dump: Option<Result<u64, String>>,
}

impl Plugin {
    pub(super) fn new(ready: PluginPre<HostState>, ticker: Arc<Ticker>) -> Self {
        Self { ready, ticker, dump_to: None }
    }

    /// Writes the guest's memory to this file at the end of every call, however it ended. The engine must have
    /// been made with `memory_dumps`.
    #[must_use]
    pub fn dumping_memory_to(mut self, path: &Path) -> Self {
        self.dump_to = Some(path.to_path_buf());
        self
    }

    /// One pass over a kind.
    pub async fn run(&self, powers: Powers, limits: Limits, request: RunRequest) -> Outcome<Report> {
        self.call(powers, limits, |guest, accessor| guest.call_run(accessor, request).boxed()).await
    }

    /// Whether address and credentials work.
    pub async fn test_connection(&self, powers: Powers, limits: Limits) -> Outcome<String> {
        self.call(powers, limits, |guest, accessor| guest.call_test_connection(accessor).boxed()).await
    }

    /// Records without a partner, a page at a time.
    pub async fn unsynced(
        &self,
        powers: Powers,
        limits: Limits,
        kind: Kind,
        after: Option<String>,
        limit: u32,
    ) -> Outcome<UnsyncedPage> {
        self.call(powers, limits, move |guest, accessor| {
            guest.call_unsynced(accessor, kind, after, limit).boxed()
        })
        .await
    }

    /// What this build is.
    pub async fn describe(&self, powers: Powers, limits: Limits) -> Outcome<Description> {
        self.call(powers, limits, |guest, accessor| {
            let describe = guest.func_describe();
            async move { describe.call_concurrent(accessor, ()).await.map(|(description,)| Ok(description)) }
                .boxed()
        })
        .await
    }

    /// Calls one export on a task of its own, so that callers who wait for several tenants in one future still
    /// get them run side by side. Dropping the future ends the run.
    async fn call<T, F>(&self, powers: Powers, limits: Limits, export: F) -> Outcome<T>
    where
        T: Send + 'static,
        F: Export<T>,
    {
        let plugin = self.clone();
        let task = tokio::spawn(async move { plugin.call_here(powers, limits, export).await });
        let _abort = AbortOnDrop(task.abort_handle());
        task.await.unwrap_or_else(|error| Outcome {
            result: Err(RunError::Ended(error.to_string())),
            guest_peak_bytes: 0,
            guest_cpu: Duration::ZERO,
            dump: None,
        })
    }

    /// Calls one export on an instance of its own.
    async fn call_here<T: Send + 'static, F: Export<T>>(
        self,
        powers: Powers,
        limits: Limits,
        export: F,
    ) -> Outcome<T> {
        let meter = Meter::new(limits.guest_cpu_seconds);
        let mut store = Store::new(self.ready.engine(), HostState::new(powers, limits, Arc::clone(&meter)));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(CALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(1);
        let watch = Arc::clone(&meter);
        store.epoch_deadline_callback(move |_| tick(&watch));

        // The deadline is around everything: inside of the store's own loop it would not be looked at.
        let whole = meter.guest(&self.ticker, Self::on_instance(&self.ready, &mut store, export));
        let result = match tokio::time::timeout(limits.run(), whole).await {
            Err(_elapsed) => Err(RunError::WallLimit { limit: limits.run() }),
            Ok(Err(limit)) => Err(limit),
            Ok(Ok(Err(error))) => Err(explain(&error, store.data_mut())),
            Ok(Ok(Ok(Err(failure)))) => Err(RunError::Refused(failure)),
            Ok(Ok(Ok(Ok(value)))) => Ok(value),
        };

        let dump = self.dump_to.as_deref().map(|path| {
            dump::write(&mut store, path).map_err(|error| format!("{}: {error}", path.display()))
        });
        let state = store.data_mut();
        let now = state.now();
        state.logging().finish(now);
        Outcome { result, guest_peak_bytes: state.memory.peak, guest_cpu: meter.used(), dump }
        // The store goes here, and with it every call that is still under way.
    }

    async fn on_instance<T, F: Export<T>>(
        ready: &PluginPre<HostState>,
        store: &mut Store<HostState>,
        export: F,
    ) -> wasmtime::Result<Result<T, Failure>> {
        let plugin = ready.instantiate_async(&mut *store).await?;
        let guest = plugin.metakocka_crm_sync_sync();
        store.run_concurrent(async |accessor| export(guest, accessor).await).await?
    }
}

/// The call of one export.
trait Export<T>:
    for<'a> FnOnce(&'a Guest, &'a Accessor<HostState>) -> BoxFuture<'a, wasmtime::Result<Result<T, Failure>>>
    + Send
    + 'static
{
}

impl<T, F> Export<T> for F where
    F: for<'a> FnOnce(
            &'a Guest,
            &'a Accessor<HostState>,
        ) -> BoxFuture<'a, wasmtime::Result<Result<T, Failure>>>
        + Send
        + 'static
{
}

/// A tick met the guest computing.
///
/// Ticks that passed while it waited meet it too, at once when it wakes up, so a tick is no measure of time: a
/// guest that has just got its turn keeps it.
fn tick(meter: &Meter) -> wasmtime::Result<UpdateDeadline> {
    let turn = meter.this_turn();
    meter.check(turn).map_err(wasmtime::Error::new)?;
    Ok(if turn < TICK / 2 { UpdateDeadline::Continue(1) } else { UpdateDeadline::Yield(1) })
}

/// What a broken run died of: a limit, or itself.
fn explain(error: &wasmtime::Error, state: &mut HostState) -> RunError {
    if let Some(limit) = state.memory.hit.take().or(state.hit.take()) {
        return limit;
    }
    if let Some(limit) = error.downcast_ref::<RunError>() {
        return limit.clone();
    }
    tracing::debug!(?error, "a run broke down");
    let cause = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    // A guest's panic hook speaks through the log, because a trap itself has no words.
    RunError::Trapped(match state.logging().last_error() {
        Some(words) => format!("{words} ({cause})"),
        None => cause,
    })
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
