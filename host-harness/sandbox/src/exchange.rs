//! From a request to its answer: the one place where calls, faults, the register and the journal meet.

mod company;
mod edit;
mod partners;

use crate::answer::Reply;
use crate::answer::WAREHOUSES;
use crate::body::Body;
use crate::endpoint::{self, Endpoint};
use crate::fault::{self, Fault, Faults};
use crate::journal::Secret;
use crate::switches::{SwitchError, Switches};
use bytes::Bytes;
use company::Company;
use edit::Edit;
use serde::Deserialize;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A company at work, without a socket: tests in the same process look into it and change it through this.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    secret: Secret,
    company: Mutex<Company>,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

/// What does not change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) company_id: String,
    pub(crate) secret_key: String,
    pub(crate) seed: u64,
    pub(crate) partners: usize,
    pub(crate) latency: Duration,
    /// As they are at the start.
    pub(crate) switches: Switches,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) post: bool,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) in_flight: usize,
}

impl Call {
    /// Whether it changes something when it is carried out.
    fn writes(&self, switches: &Switches) -> bool {
        self.post && Endpoint::at(&self.path, switches).is_some_and(Endpoint::writes)
    }
}

/// How a request ends.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The connection closes without a byte.
    Drop,
    /// An answer.
    Answer(Reply),
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The edit makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// There is no such record.
    #[error("there is no {kind} with mk_id {mk_id}")]
    NotFound {
        /// What was looked for.
        kind: String,
        /// The id that is not there.
        mk_id: String,
    },
}

/// Why fault rules were refused; the rules before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl Sandbox {
    pub(crate) fn new(settings: Settings) -> Self {
        let company = Mutex::new(Company::new(settings.clone(), settings.switches));
        let (in_flight, in_flight_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let secret = Secret::new(&settings.secret_key);
        Self(Arc::new(Shared { settings, secret, company, in_flight, in_flight_max }))
    }

    /// The whole state as `GET /state` shows it.
    #[must_use]
    pub fn state(&self) -> Value {
        let body = self.state_body();
        serde_json::from_slice(&body.read(body.len())).unwrap_or_default()
    }

    /// The requests after number `since` as `GET /requests` shows them.
    #[must_use]
    pub fn requests(&self, since: u64) -> Vec<Value> {
        let entries = self.company().journal.since(since);
        entries.iter().map(|entry| entry.to_json(&self.0.secret)).collect()
    }

    /// A person's edit as `POST /edit` takes it; answers the record as it is then.
    ///
    /// # Errors
    /// [`EditError`] when the edit makes no sense or its record does not exist; nothing has changed then.
    pub fn edit(&self, posted: &Value) -> Result<Value, EditError> {
        let edit = Edit::deserialize(posted).map_err(|error| EditError::Malformed(error.to_string()))?;
        self.company().edit(edit)
    }

    /// Puts these rules in force instead of the ones before, as `POST /faults` does; answers how many.
    ///
    /// # Errors
    /// [`FaultError`] when a rule cannot be understood; the rules before stay in force.
    pub fn faults(&self, posted: &Value) -> Result<usize, FaultError> {
        let faults = Faults::parse(posted, &endpoint::names(), self.0.settings.seed).map_err(FaultError)?;
        let count = faults.len();
        self.company().faults = faults;
        Ok(count)
    }

    /// Every fault with its meaning, as `GET /faults` shows them.
    #[must_use]
    pub fn fault_meanings() -> Value {
        fault::meanings()
    }

    /// The most vendor requests that were in flight at once.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.0.in_flight_max.load(Ordering::Relaxed)
    }

    /// How the unsettled points are taken now, as `GET /switches` shows them.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.company().switches
    }

    /// Takes unsettled points otherwise, as `POST /switches` does; answers all of them.
    ///
    /// # Errors
    /// [`SwitchError`] when one cannot be set; none is then.
    pub fn set_switches(&self, posted: &Value) -> Result<Switches, SwitchError> {
        let mut company = self.company();
        company.switches.set_all(posted)?;
        company.register.forget_scan();
        Ok(company.switches)
    }

    /// Back to the seed: partners, numbers, rules and the log of requests are as after the start. Switches stay as they
    /// are.
    pub fn reset(&self) {
        let mut fresh = Company::new(self.0.settings.clone(), self.switches());
        let mut company = self.company();
        fresh.epoch = company.epoch + 1;
        let before = std::mem::replace(&mut *company, fresh);
        drop(company);
        // Giving back a large company takes a while, in which nobody should have to wait.
        drop(before);
        self.0.in_flight_max.store(self.0.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn state_body(&self) -> Arc<Body> {
        let company = self.company();
        let rows: Vec<Bytes> = company
            .register
            .slots()
            .into_iter()
            .filter_map(|slot| company.register.bytes_with_discounts(slot))
            .collect();
        let duplicates = company.register.duplicates();
        drop(company);
        let in_flight_max = self.in_flight_max();
        let tail = format!(
            r#"],"products":[],"warehouses":{WAREHOUSES},"stock":[],"documents":[],"duplicates":{{"partners":{duplicates},"products":0,"documents":0}},"in_flight_max":{in_flight_max}}}"#
        );
        Body::list(r#"{"partners":["#, rows, tail)
    }

    /// The requests after number `since`, ready to be sent.
    pub(crate) fn requests_json(&self, since: u64) -> Vec<u8> {
        let entries = self.company().journal.since(since);
        let mut json = vec![b'['];
        for entry in &entries {
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend(entry.to_json(&self.0.secret).to_string().into_bytes());
        }
        json.push(b']');
        json
    }

    /// Counts a request in; it counts out when the guard goes.
    pub(crate) fn arrive(&self) -> (usize, InFlight) {
        let now = self.0.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.in_flight_max.fetch_max(now, Ordering::Relaxed);
        (now, InFlight(self.clone()))
    }

    /// Carries a request out. Runs to its end also when nobody waits for the answer any more.
    pub(crate) async fn exchange(&self, call: Call) -> Plan {
        if !self.0.settings.latency.is_zero() {
            tokio::time::sleep(self.0.settings.latency).await;
        }
        let (verdict, epoch) = {
            let mut company = self.company();
            let writes = call.writes(&company.switches);
            let verdict = company.faults.on_arrival(endpoint::name_of(&call.path), writes, &call.body);
            (verdict, company.epoch)
        };
        match &verdict.ending {
            Some((Fault::LateCommit, script)) => {
                self.company().note(&call, 0, None);
                let (late, delay) = (self.clone(), script.delay(2000));
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let mut company = late.company();
                    if company.epoch == epoch {
                        // The caller is gone: whatever is answered, nobody reads it.
                        let _ = company.carry_out(&call, &verdict);
                    }
                });
                Plan::Drop
            }
            Some((Fault::SlowCommit, script)) => {
                tokio::time::sleep(script.delay(2000)).await;
                self.company().conclude(&call, &verdict)
            }
            _ => self.company().conclude(&call, &verdict),
        }
    }

    fn company(&self) -> MutexGuard<'_, Company> {
        // A panic while it was held cannot have left a partner half written: records are replaced whole.
        self.0.company.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub(crate) struct InFlight(Sandbox);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
