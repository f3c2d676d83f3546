//! What all stages of one run share.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::plan::Gate;
use super::report::{Failure, Report};
use super::request::RunRequest;
use super::settings::Settings;
use crate::ledger::{Checkpoint, Intent};
use crate::metakocka::client::{Client, PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment};
use crate::model::{CrmId, IdMaker, Time};
use crate::ports::{Commit, Powers, StorageError, Write};

/// The kind this build keeps in step.
pub const KIND: &str = "contacts";
/// Windows of creates and updates share their commits.
pub const WINDOW: usize = 50;
/// Calls in flight: the ERP serialises scans and asks for no more than two in all.
pub const IN_FLIGHT: usize = 2;
/// This many look-ups in a row without an answer that counts end the run.
pub const TROUBLE: u32 = 5;
const MAX_WRITES: usize = 2_000;
const MAX_BYTES: usize = 6 * 1024 * 1024;

/// Why a run ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The connection or the configuration.
    #[error("{0}")]
    Call(#[from] CallError),
    /// Storage.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// Too many links would lose their partner.
    #[error(
        "{missing} of {linked} linked partners are missing from Metakocka's complete list, more than a tenth: nothing was \
         changed. If they really are gone, run again with --allow-mass-deactivation"
    )]
    MassDeactivation {
        /// Links whose partner is missing.
        missing: u64,
        /// Links in all.
        linked: u64,
    },
    /// The plan to apply does not exist.
    #[error("there is no stored plan {0}: make one with `host-harness plan`")]
    NoSuchPlan(String),
}

impl Stop {
    /// For the report.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let code = match self {
            Self::Call(error) => error.code(),
            Self::Storage(_) => "storage",
            Self::MassDeactivation { .. } => "mass-deactivation",
            Self::NoSuchPlan(_) => "no-such-plan",
        };
        Failure { code: code.to_owned(), message: self.to_string() }
    }
}

/// The writes of one record: they are stored together or not at all.
#[derive(Debug)]
pub struct Group {
    /// Position of the record in its page.
    pub record: usize,
    /// Its writes.
    pub writes: Vec<Write>,
}

/// One run.
pub struct Run<'a> {
    /// The powers.
    pub powers: Powers<'a>,
    /// What was asked for.
    pub request: &'a RunRequest,
    /// The tenant's settings.
    pub settings: Settings,
    /// Metakocka.
    pub client: Client<'a>,
    /// What passes.
    pub gate: Gate,
    /// When the run began.
    pub began: Time,
    /// The same as text: a first import writes it a hundred thousand times.
    pub began_text: String,
    ids: RefCell<IdMaker>,
    report: RefCell<Report>,
    /// The watermarks.
    pub checkpoint: RefCell<Checkpoint>,
    /// Creates and updates without a known outcome.
    pub pending: RefCell<Vec<Intent>>,
    /// The newest revision known; tells whether others write at the same time.
    revision: Cell<u64>,
    /// No contact existed when the run began and nobody but us has written since.
    pub crm_was_empty: Cell<bool>,
    /// Records whose least calls are counted, so that looking at one again does not count again.
    pub counted: RefCell<BTreeSet<CrmId>>,
    /// Records nothing could be found out about so far: they fail unless a later look in the same run succeeds.
    pub troubled: RefCell<BTreeMap<CrmId, (String, &'static str)>>,
    /// Records to be looked at once more in this run, their update having gone only half the way.
    pub once_more: RefCell<BTreeSet<CrmId>>,
    /// How often unclear updates were sent again; they are not sent in a loop.
    pub updates_settled: Cell<u32>,
    /// Whether any conflict is stored.
    pub has_conflicts: Cell<bool>,
    /// Whether anything is in quarantine.
    pub has_quarantine: Cell<bool>,
}

impl<'a> Run<'a> {
    /// Reads what every stage needs.
    ///
    /// # Errors
    ///
    /// When storage fails or the plan to apply does not exist.
    pub async fn begin(powers: Powers<'a>, request: &'a RunRequest) -> Result<Self, Stop> {
        use super::request::Mode;
        let settings = Settings::read(powers).await?;
        let began = Time(powers.clock.now());
        let gate = match &request.mode {
            Mode::Apply => Gate::Open,
            Mode::Plan(id) => Gate::record(id),
            Mode::ApplyPlan(id) => {
                Gate::stored(powers, id).await?.ok_or_else(|| Stop::NoSuchPlan(id.clone()))?
            }
        };
        let storage = powers.storage;
        let checkpoint = storage.get_many(crate::ledger::CHECKPOINTS, vec![KIND.to_owned()]).await?;
        let mut checkpoint = checkpoint.first().and_then(Checkpoint::read).unwrap_or_default();
        // A watermark with no change behind it moves up to the present, so that our own writes can follow it.
        for watermark in [&mut checkpoint.pushed, &mut checkpoint.noted] {
            let page = storage.changes(crate::crm::COLLECTION, *watermark, 1).await?;
            if page.entries.is_empty() {
                *watermark = page.next;
            }
        }
        let newest = storage.changes(crate::crm::COLLECTION, u64::MAX >> 2, 1).await?.next;
        let empty = storage.scan(crate::crm::COLLECTION, None, &["status"], 1).await?.is_empty();
        Ok(Self {
            powers,
            request,
            client: Client::new(powers, settings.retry),
            settings,
            gate,
            began,
            began_text: began.text(),
            ids: RefCell::new(IdMaker::new(powers.clock.random_seed())),
            report: RefCell::default(),
            checkpoint: RefCell::new(checkpoint),
            pending: RefCell::default(),
            revision: Cell::new(newest),
            crm_was_empty: Cell::new(empty),
            updates_settled: Cell::new(0),
            counted: RefCell::default(),
            troubled: RefCell::default(),
            once_more: RefCell::default(),
            has_conflicts: Cell::new(storage.count(crate::ledger::CONFLICTS).await? > 0),
            has_quarantine: Cell::new(storage.count(crate::ledger::QUARANTINE).await? > 0),
        })
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.powers.clock.now())
    }

    /// When the CRM last wrote a contact. A moment that is still to come says nothing about what is newer, so it counts
    /// as no later than this run.
    #[must_use]
    pub fn modified(&self, contact: &crate::crm::Contact) -> Time {
        if contact.modified > self.now() { self.began } else { contact.modified }
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> String {
        self.ids.borrow_mut().next(self.powers.clock.now())
    }

    /// Notes that nothing could be found out about a record.
    pub fn trouble(&self, id: &CrmId, error: &CallError) {
        self.troubled.borrow_mut().insert(id.clone(), (error.to_string(), error.code()));
    }

    /// Notes that a record is settled after all.
    pub fn settled(&self, id: &CrmId) {
        self.troubled.borrow_mut().remove(id);
    }

    /// Asks for partners, two questions at a time, answers in the order of the questions. Once an answer says that the
    /// connection is broken, the rest is not asked.
    pub async fn ask(&self, keys: Vec<PartnerKey>) -> Vec<Result<Vec<Read>, CallError>> {
        let broken: RefCell<Option<CallError>> = RefCell::new(None);
        let (broken, client) = (&broken, &self.client);
        stream::iter(keys)
            .map(|key| async move {
                if let Some(error) = broken.borrow().clone() {
                    return Err(error);
                }
                let answer = client.partners(&key).await;
                if let Err(error) = &answer
                    && error.treatment() == Treatment::StopRun
                {
                    broken.replace(Some(error.clone()));
                }
                answer
            })
            .buffered(IN_FLIGHT)
            .collect()
            .await
    }

    /// The counts.
    pub fn report(&self) -> RefMut<'_, Report> {
        self.report.borrow_mut()
    }

    /// Stores the writes of many records, as few commits as the limits allow. Returns the records that lost a race:
    /// nothing of them is stored, everything of the others is.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn store(&self, groups: Vec<Group>) -> Result<Vec<usize>, StorageError> {
        let mut lost = Vec::new();
        let mut chunk: Vec<Group> = Vec::new();
        let (mut writes, mut bytes) = (0, 0);
        for group in groups {
            let size: usize = group.writes.iter().map(write_size).sum();
            if writes + group.writes.len() > MAX_WRITES || bytes + size > MAX_BYTES {
                self.store_chunk(std::mem::take(&mut chunk), &mut lost).await?;
                (writes, bytes) = (0, 0);
            }
            writes += group.writes.len();
            bytes += size;
            chunk.push(group);
        }
        self.store_chunk(chunk, &mut lost).await?;
        Ok(lost)
    }

    async fn store_chunk(&self, mut chunk: Vec<Group>, lost: &mut Vec<usize>) -> Result<(), StorageError> {
        while !chunk.is_empty() {
            let owners: Vec<usize> = chunk
                .iter()
                .flat_map(|group| std::iter::repeat_n(group.record, group.writes.len()))
                .collect();
            // A copy, because after a lost race the others are stored again.
            let writes: Vec<Write> = chunk.iter().flat_map(|group| group.writes.iter().cloned()).collect();
            if writes.is_empty() {
                return Ok(());
            }
            match self.powers.storage.commit(writes).await? {
                Commit::Done { before, last } => {
                    self.follow(before, last);
                    return Ok(());
                }
                Commit::Lost(positions) => {
                    let losers: Vec<usize> =
                        positions.iter().filter_map(|position| owners.get(*position).copied()).collect();
                    if losers.is_empty() {
                        return Err(StorageError::Invalid("a lost race names no write".to_owned()));
                    }
                    chunk.retain(|group| !losers.contains(&group.record));
                    lost.extend(losers);
                }
            }
        }
        Ok(())
    }

    /// Stores writes that cannot lose a race.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn put(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let groups =
            writes.into_iter().enumerate().map(|(record, write)| Group { record, writes: vec![write] });
        self.store(groups.collect()).await.map(|_| ())
    }

    fn follow(&self, before: u64, last: u64) {
        if self.revision.get() != before {
            self.crm_was_empty.set(false);
        }
        self.revision.set(last);
        self.checkpoint.borrow_mut().follow(before, last);
    }
}

fn write_size(write: &Write) -> usize {
    use crate::ports::Change;
    write.id.len()
        + match &write.change {
            Change::Put(body) | Change::Merge(body) => body.len(),
            Change::Delete => 0,
        }
}
