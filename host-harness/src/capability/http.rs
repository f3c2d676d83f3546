//! Calls to the tenant's one connection: the only way out of the house.
//!
//! A request passes, in this order: the budget, the name, the path rule, the credentials, the queue of the
//! company, the breaker, and only then a socket. Whatever comes back passes redaction before the guest sees it.
//!
//! **A request leaves at most once.** reqwest's own retries are off. hyper's pool has one repetition that cannot
//! be turned off from here: when a kept-alive connection turns out to be closed before the request was handed
//! to it, the untouched request goes to a new connection. Not a single byte was written in that case (hyper
//! gives the message back only then), so nothing can arrive twice. A connection that dies after the first byte
//! is an error with `may-have-arrived`.

mod address;
mod body;
mod breaker;
mod connection;
mod credentials;
mod gate;
mod guest;
mod path;
mod redaction;
mod spool;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use address::{AllowedHosts, AllowedHostsError};
pub use body::Body;
pub use breaker::{Breaker, BreakerRules, BreakerState};
pub use connection::{Connection, ConnectionError};
pub use gate::Gate;
pub use redaction::Redactor;
pub use transport::{Transport, TransportError, TransportOptions};

pub use crate::plugin::bindings::metakocka::crm_sync::http::{ErrorKind, HttpError, Lane, Request};

/// Calls a run may make unless its limits say otherwise.
pub const DEFAULT_CALLS: u64 = 1_000_000;
/// The longest a guest may ask to wait for one answer.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How far a scan answer has come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Number of the call, counted from 1 in the order the guest made them.
    pub call: u64,
    /// Bytes so far.
    pub received: u64,
    /// Bytes announced, when they were.
    pub total: Option<u64>,
}

/// Told about every piece of a scan answer, for progress bars. Must not wait.
pub type TransferWatcher = Arc<dyn Fn(Transfer) + Send + Sync>;

/// Keeps the breaker's state where the next process finds it.
#[async_trait::async_trait]
pub trait BreakerKeeper: Send + Sync {
    /// Keeps it. A failure to do so is for the log: it never fails a call.
    async fn keep(&self, state: BreakerState);
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// Number of the call, counted from 1 in the order the guest made them.
    pub call: u64,
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// The `Content-Type` header, without the secret.
    pub content_type: Option<String>,
    /// What was answered, without the secret.
    pub body: Body,
}

/// The power to call the connection of one tenant, for one run.
pub struct Http {
    transport: Arc<Transport>,
    bound: Option<(Connection, Arc<Gate>)>,
    budget: AtomicU64,
    watcher: Option<TransferWatcher>,
    keeper: Option<Arc<dyn BreakerKeeper>>,
    issued: AtomicU64,
    sent: AtomicU64,
}

impl Http {
    /// The power over this connection.
    pub fn new(transport: &Arc<Transport>, connection: Connection) -> Self {
        let gate = transport.gate(&connection);
        Self { bound: Some((connection, gate)), ..Self::unconnected(transport) }
    }

    /// For a tenant that has no connection: every call is answered `unknown-connection`.
    pub fn unconnected(transport: &Arc<Transport>) -> Self {
        Self {
            transport: Arc::clone(transport),
            bound: None,
            budget: AtomicU64::new(DEFAULT_CALLS),
            watcher: None,
            keeper: None,
            issued: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Changes how many calls the run may make; more are answered `out-of-budget`.
    pub fn allow(&self, calls: u64) {
        self.budget.store(calls, Ordering::Relaxed);
    }

    /// Tells somebody how scan answers come in.
    #[must_use]
    pub fn watched(mut self, watcher: TransferWatcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Takes over what is known of the breaker and keeps what changes.
    #[must_use]
    pub fn kept_by(mut self, keeper: Arc<dyn BreakerKeeper>, known: Option<BreakerState>) -> Self {
        if let (Some((_, gate)), Some(known)) = (&self.bound, known) {
            gate.restore(Instant::now(), known);
        }
        self.keeper = Some(keeper);
        self
    }

    /// The other side has asked for a pause: nobody of this process calls it for so long, fifteen minutes at most.
    pub fn hold_off(&self, connection: &str, pause: Duration) {
        if let Some((_, gate)) = self.bound.as_ref().filter(|(known, _)| known.name() == connection) {
            gate.pause(Instant::now(), pause);
        }
    }

    /// Requests that were put on the wire, or at least tried to be.
    pub fn calls(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// What removes this connection's secret from text, for everybody else who shows something to people.
    pub fn redactor(&self) -> Redactor {
        self.bound.as_ref().map(|(connection, _)| connection.redactor().clone()).unwrap_or_default()
    }

    /// Sends one request and waits for the whole answer.
    ///
    /// Dropping the future ends the exchange and frees its place.
    ///
    /// # Errors
    /// There is no complete answer; see [`ErrorKind`].
    pub async fn send(&self, request: Request) -> Result<Answer, HttpError> {
        let call = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        let budget = self.budget.load(Ordering::Relaxed);
        if call > budget {
            return Err(refused(
                ErrorKind::OutOfBudget,
                format!("this run may make {budget} calls; `limits.http-calls` changes that"),
            ));
        }
        let Some((connection, gate)) =
            self.bound.as_ref().filter(|(connection, _)| connection.name() == request.connection)
        else {
            return Err(refused(
                ErrorKind::UnknownConnection,
                format!("the tenant has no connection {:?}: connect it first", request.connection),
            ));
        };
        self.transport.check(connection).map_err(policy)?;
        let prepared = connection.prepare(&request.path, &request.body).map_err(policy)?;
        let timeout = Duration::from_millis(request.timeout_ms.into()).min(LONGEST_TIMEOUT);

        let _place = gate.enter(request.lane).await;
        let trial = gate.admit(Instant::now()).map_err(|wait| HttpError {
            retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
            ..refused(
                ErrorKind::Unavailable,
                format!(
                    "the connection failed several times in a row, or asked for a pause, and rests for another {} s",
                    wait.as_secs().max(1)
                ),
            )
        })?;
        self.sent.fetch_add(1, Ordering::Relaxed);

        let exchange =
            self.transport.exchange(connection, prepared, request.lane, call, self.watcher.as_ref());
        let outcome = match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(HttpError {
                kind: ErrorKind::TimedOut,
                message: format!("no complete answer within {} ms", timeout.as_millis()),
                may_have_arrived: true,
                retry_after_ms: None,
            }),
        };
        match &outcome {
            Ok(answer) if answer.status < 500 && answer.status != 429 => trial.answered(),
            Err(error) if !matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut) => drop(trial),
            _ => trial.failed(Instant::now()),
        }
        if let (Some(keeper), Some(news)) = (&self.keeper, gate.news(Instant::now())) {
            keeper.keep(news).await;
        }
        outcome.map_err(|error| HttpError { message: connection.redactor().text(&error.message), ..error })
    }
}

/// An error of a request that never left.
fn refused(kind: ErrorKind, message: String) -> HttpError {
    HttpError { kind, message, may_have_arrived: false, retry_after_ms: None }
}

fn policy(reason: impl std::fmt::Display) -> HttpError {
    refused(ErrorKind::RefusedByPolicy, reason.to_string())
}
