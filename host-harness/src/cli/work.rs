//! What a run shares with other processes: its lease on tenant and ERP company, taken before it, renewed while it works, let
//! go after it; and the breaker of the company.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Failure, settings};
use crate::capability::http::{BreakerKeeper, BreakerState};
use crate::store::lease::{Lease, LeaseRequest, Leased};
use crate::store::process::Process;
use crate::store::{BreakerRecord, Run, Store, Tenant};

/// First and longest pause between two tries to get a lease somebody else has.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A lease that is being renewed.
pub(crate) struct Work {
    lease: Lease,
    store: Store,
    renewing: JoinHandle<()>,
}

impl Work {
    /// Takes the lease. Waits for another process as long as `wait`, and for another run of this process as long as it takes:
    /// two tenants of one company go one after the other.
    pub(crate) async fn begin(
        store: &Store,
        tenant: &Tenant,
        company: String,
        run: &Run,
        kind: String,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let length = settings::lease_length(store, tenant).await?;
        let process = Process::this();
        let request = LeaseRequest { tenant: tenant.id, company, run: run.id, kind, process };
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let lease = loop {
            match store.lease(&request, now(), length).await? {
                Leased::Taken(lease) => break lease,
                Leased::Held(holder) => {
                    if holder.process != request.process && began.elapsed() >= wait {
                        return Err(Failure::Held(format!(
                            "{holder}: run again later, or with --wait SECONDS to wait for its end"
                        )));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        let renewing = tokio::spawn(renew(store.clone(), lease.clone(), length));
        Ok(Self { lease, store: store.clone(), renewing })
    }

    /// What the run's commits depend on.
    pub(crate) const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether it is still this run's.
    pub(crate) async fn is_held(&self) -> Result<bool, Failure> {
        let length = settings::SHORTEST_LEASE;
        Ok(self.store.renew(&self.lease, now(), length).await?)
    }

    /// Lets it go.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        Ok(self.store.release(&self.lease).await?)
    }
}

impl Drop for Work {
    /// Not let go, it ends by time.
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

fn now() -> chrono::DateTime<chrono::Utc> {
    std::time::SystemTime::now().into()
}

/// Renews until it is let go or overtaken. A store that is busy is asked again: the commits check anyway.
async fn renew(store: Store, lease: Lease, length: Duration) {
    loop {
        sleep(length / 3).await;
        match store.renew(&lease, now(), length).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!("this run was overtaken by another one: it stores nothing any more");
                return;
            }
            Err(error) => tracing::warn!(%error, "the run's lease could not be renewed"),
        }
    }
}

/// The breaker of a company in the store.
pub(crate) struct StoredBreaker {
    store: Store,
    company: String,
}

impl StoredBreaker {
    /// The keeper, and what it knows.
    pub(crate) async fn of(store: &Store, company: String) -> Result<(Self, Option<BreakerState>), Failure> {
        let known = store.breaker(&company).await?.map(|record| BreakerState {
            failures: record.failures,
            open_for: record.open_until.map(|until| (until - now()).to_std().unwrap_or_default()),
            rest: record.rest,
        });
        Ok((Self { store: store.clone(), company }, known))
    }
}

#[async_trait::async_trait]
impl BreakerKeeper for StoredBreaker {
    async fn keep(&self, state: BreakerState) {
        let record = BreakerRecord {
            failures: state.failures,
            open_until: state.open_for.map(|left| {
                now() + chrono::Duration::from_std(left).unwrap_or_else(|_| chrono::Duration::zero())
            }),
            rest: state.rest,
        };
        if let Err(error) = self.store.keep_breaker(&self.company, &record).await {
            tracing::warn!(%error, "the state of the connection's breaker could not be kept");
        }
    }
}
