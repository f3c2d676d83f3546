//! What all stages of one run share.

use std::cell::{Cell, RefCell, RefMut};

use futures_util::{StreamExt, stream};

use super::effect::Effect;
use super::listed::Listed;
use super::merge::{Merged, Rules, Side, Versions, merge};
use super::plan::Gate;
use super::report::{Class, Failure, RecordError, Report};
use super::request::{Direction, RunRequest};
use super::settings::{Settings, SettingsError};
use crate::ledger::{Checkpoint, Intent, Link, LinkState, Unreadable};
use crate::metakocka::client::{Client, PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment};
use crate::model::{ById, CrmId, Field, IdMaker, IdSet, Time};
use crate::ports::{Category, Change, Commit, Expect, Level, Powers, StorageError, Write};

/// The kind this build keeps in step.
pub const KIND: &str = "contacts";
/// Windows of creates and updates share their commits.
pub const WINDOW: usize = 50;
/// Calls in flight: the ERP serialises scans and asks for no more than two in all.
pub const IN_FLIGHT: usize = 2;
/// This many look-ups in a row without an answer that counts end the run.
pub const TROUBLE: u32 = 5;
/// How often a record that loses a race is looked at again.
pub const RACES: usize = 5;
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
    /// A setting nobody understands.
    #[error("{0}")]
    Settings(#[from] SettingsError),
    /// A row of the plugin's own.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
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
            Self::Storage(_) | Self::Settings(SettingsError::Storage(_)) => "storage",
            Self::Settings(SettingsError::Unknown { .. }) => "unknown-setting",
            Self::MassDeactivation { .. } => "mass-deactivation",
            Self::Unreadable(_) => "unreadable-ledger",
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
    /// What they count for once they are stored.
    pub effect: Effect,
}

impl Group {
    /// Writes that count for nothing.
    #[must_use]
    pub fn silent(record: usize, writes: Vec<Write>) -> Self {
        Self { record, writes, effect: Effect::default() }
    }
}

/// How storing groups ended.
#[must_use = "of a record that lost its race nothing is stored"]
#[derive(Debug, Default)]
pub struct Stored {
    lost: Vec<usize>,
    /// By record, in the order of its writes.
    revisions: Vec<Vec<Option<u64>>>,
}

impl Stored {
    /// Records of which nothing is stored, somebody else having been faster.
    #[must_use]
    pub fn lost(&self) -> &[usize] {
        &self.lost
    }

    /// Whether this record lost its race.
    #[must_use]
    pub fn is_lost(&self, record: usize) -> bool {
        self.lost.contains(&record)
    }

    /// The revision a write of a stored record was given; `None` when it has none or cannot be told.
    #[must_use]
    pub fn revision(&self, record: usize, write: usize) -> Option<u64> {
        self.revisions.get(record)?.get(write).copied().flatten()
    }
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
    pub counted: RefCell<IdSet<CrmId>>,
    /// Records nothing could be found out about so far: they fail unless a later look in the same run succeeds.
    pub troubled: RefCell<ById<CrmId, RecordError>>,
    /// Records to be looked at once more in this run, their update having gone only half the way.
    pub once_more: RefCell<IdSet<CrmId>>,
    /// How often in-doubt updates were looked at; they are not sent in a loop.
    pub updates_settled: Cell<u32>,
    /// Contacts without a link this run has found the partner of: they stay candidates for whoever shares a key with them.
    matched: RefCell<IdSet<CrmId>>,
    /// Contacts an item of the stored plan was carried out for.
    admitted: RefCell<IdSet<CrmId>>,
    /// Whether this run has gone through the whole list of partners: what has no contact is in `seen`.
    pub has_scanned: Cell<bool>,
    /// What the list holds for the contacts about to be created.
    pub listed: RefCell<Listed>,
    /// Commits of others met so far: as long as it stays the same, what was read is still so.
    foreign: Cell<u64>,
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
        let newest = storage.changes(crate::crm::COLLECTION, u64::MAX >> 2, 1).await?.next;
        let mut checkpoint = checkpoint
            .first()
            .map(|entry| Checkpoint::read_behind(entry, newest))
            .transpose()?
            .unwrap_or_default();
        // A watermark with no change behind it moves up to the present, so that our own writes can follow it.
        for watermark in [&mut checkpoint.pushed, &mut checkpoint.noted] {
            let page = storage.changes(crate::crm::COLLECTION, *watermark, 1).await?;
            if page.entries.is_empty() {
                *watermark = page.next;
            }
        }
        let empty = storage.scan(crate::crm::COLLECTION, None, &["status"], 1).await?.is_empty();
        let client = Client::new(powers, settings.retry);
        // Some link will do: what it holds tells whether "none" is believed.
        for entry in storage.scan(crate::ledger::LINKS, None, &[], 1).await? {
            // One that cannot be read stops the run where it is needed.
            if let Ok(link) = Link::read(&entry)
                && link.state == LinkState::Live
            {
                client.knows(link.partner);
            }
        }
        Ok(Self {
            powers,
            request,
            client,
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
            matched: RefCell::default(),
            admitted: RefCell::default(),
            has_scanned: Cell::default(),
            listed: RefCell::default(),
            foreign: Cell::new(0),
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

    /// Merges two records by the rules of this run and what people have decided.
    #[must_use]
    pub fn merge(&self, versions: Versions<'_>, decisions: &[(Field, Side)]) -> Merged {
        let rules = Rules { direction: self.request.direction, policies: &self.settings.policies, decisions };
        merge(versions, rules)
    }

    /// A new time-ordered id.
    pub fn new_id(&self) -> String {
        self.ids.borrow_mut().next(self.powers.clock.now())
    }

    /// Notes that nothing could be found out about a record.
    pub fn trouble(&self, id: &CrmId, error: &CallError) {
        let failure = RecordError::of((Some(id), None), error.to_string(), error.code(), Class::from(error));
        self.troubled.borrow_mut().insert(id.clone(), failure);
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

    /// Stores the writes of many records, as few commits as the limits allow, and counts those that are stored. Of records
    /// that lose a race nothing is stored and nothing is counted.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn store(&self, groups: Vec<Group>) -> Result<Stored, StorageError> {
        let mut stored = Stored::default();
        let mut chunk: Vec<Group> = Vec::new();
        let (mut writes, mut bytes) = (0, 0);
        for group in groups {
            let size: usize = group.writes.iter().map(write_size).sum();
            if writes + group.writes.len() > MAX_WRITES || bytes + size > MAX_BYTES {
                self.store_chunk(std::mem::take(&mut chunk), &mut stored).await?;
                (writes, bytes) = (0, 0);
            }
            writes += group.writes.len();
            bytes += size;
            chunk.push(group);
        }
        self.store_chunk(chunk, &mut stored).await?;
        Ok(stored)
    }

    async fn store_chunk(&self, mut chunk: Vec<Group>, stored: &mut Stored) -> Result<(), StorageError> {
        loop {
            let owners: Vec<usize> = chunk
                .iter()
                .flat_map(|group| std::iter::repeat_n(group.record, group.writes.len()))
                .collect();
            // A copy, because after a lost race the others are stored again.
            let writes: Vec<Write> = chunk.iter().flat_map(|group| group.writes.iter().cloned()).collect();
            if writes.is_empty() {
                break;
            }
            match self.powers.storage.commit(writes).await? {
                Commit::Done { before, last } => {
                    self.follow(before, last);
                    number(&chunk, before, stored);
                    break;
                }
                Commit::Lost(positions) => {
                    let losers: Vec<usize> =
                        positions.iter().filter_map(|position| owners.get(*position).copied()).collect();
                    if losers.is_empty() {
                        return Err(StorageError::Invalid("a lost race names no write".to_owned()));
                    }
                    self.foreign.set(self.foreign.get() + 1);
                    chunk.retain(|group| !losers.contains(&group.record));
                    stored.lost.extend(losers);
                }
            }
        }
        for group in &chunk {
            self.count(&group.effect);
        }
        Ok(())
    }

    /// Stores writes that hold whatever is there; each says where it is made why it may.
    ///
    /// # Errors
    ///
    /// When storage fails, or when a write does expect something: its outcome would be lost here.
    pub async fn put_any(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        if writes.iter().any(|write| write.expect != Expect::Any) {
            return Err(StorageError::Invalid("a conditional write needs its outcome looked at".to_owned()));
        }
        let groups = writes.into_iter().enumerate().map(|(record, write)| Group::silent(record, vec![write]));
        let stored = self.store(groups.collect()).await?;
        if stored.lost.is_empty() {
            Ok(())
        } else {
            Err(StorageError::Invalid("a write without an expectation lost a race".to_owned()))
        }
    }

    /// Counts what is stored, and logs what went wrong with it.
    fn count(&self, effect: &Effect) {
        effect.count(&mut self.report());
        if let Some(failure) = effect.failure.as_ref().or(effect.review.as_ref()) {
            self.log_trouble(failure);
        } else if effect.parked {
            let ids = (effect.crm_id.as_ref(), effect.metakocka_id.as_ref());
            self.log_trouble(&RecordError::of(ids, String::new(), "conflict", Class::Review));
        }
    }

    /// Counts a record that failed without anything being stored about it.
    pub fn fail(&self, failure: RecordError) {
        self.log_trouble(&failure);
        self.report().fail(failure);
    }

    /// One line for each record in trouble: where it is and what to do, nothing of what it says.
    fn log_trouble(&self, failure: &RecordError) {
        let (level, message) = match failure.class {
            Class::Review => (Level::Warning, "a record waits for a person's decision"),
            Class::Connection | Class::Record => (Level::Error, "a record could not be synchronised"),
        };
        let operation = match (self.request.direction, failure.side()) {
            (Direction::FromMetakocka, _) | (Direction::Bidirectional, Side::Metakocka) => {
                "sync_from_metakocka"
            }
            (Direction::ToMetakocka, _) | (Direction::Bidirectional, Side::Crm) => "sync_to_metakocka",
        };
        let mut fields = Vec::new();
        if let Some(id) = &failure.crm_id {
            fields.push(("crm_id", id.0.as_str()));
        }
        if let Some(id) = &failure.metakocka_id {
            fields.push(("metakocka_id", id.0.as_str()));
        }
        fields.extend([
            ("code", failure.code.as_str()),
            ("class", failure.class.name()),
            ("advice", failure.class.advice()),
            ("operation", operation),
        ]);
        self.powers.log.log(level, Category::Sync, message, &fields);
    }

    /// How many commits of others this run has met. What was read while it did not change is still true.
    #[must_use]
    pub fn foreign_commits(&self) -> u64 {
        self.foreign.get()
    }

    fn follow(&self, before: u64, last: u64) {
        if self.revision.get() != before {
            self.crm_was_empty.set(false);
            self.foreign.set(self.foreign.get() + 1);
        }
        self.revision.set(last);
        self.checkpoint.borrow_mut().follow(before, last);
    }

    /// Lets what follows from an item of the stored plan pass with it: the plan shows the values with the link, and each
    /// record once.
    pub fn follow_up(&self, id: &CrmId) {
        if self.gate.is_stored() {
            self.admitted.borrow_mut().insert(id.clone());
        }
    }

    /// Whether what is to be done to this contact follows from an item of the stored plan that was carried out.
    #[must_use]
    pub fn follows_up(&self, id: &CrmId) -> bool {
        self.admitted.borrow().contains(id)
    }

    /// Remembers that this run has found the partner of a contact.
    pub fn match_now(&self, id: &CrmId) {
        self.matched.borrow_mut().insert(id.clone());
    }

    /// Whether this run has found the partner of a contact.
    #[must_use]
    pub fn is_matched(&self, id: &CrmId) -> bool {
        self.matched.borrow().contains(id)
    }

    /// Says that another run of this tenant has taken or settled a record: this one leaves it to it.
    pub fn taken(&self, id: &CrmId) {
        self.settled(id);
        self.report().taken += 1;
        self.powers.log.log(
            Level::Info,
            Category::Sync,
            "another run of this tenant is at work on this record: it is left to that one",
            &[("crm_id", &id.0)],
        );
    }
}

/// Tells which revision each write was given (`wit/storage.wit`, `revisions`): checks get none, and behind a delete that
/// may have found nothing the numbers cannot be told.
fn number(chunk: &[Group], before: u64, stored: &mut Stored) {
    let mut next = Some(before);
    for group in chunk {
        let revisions = group.writes.iter().map(|write| {
            let takes = match (&write.change, write.expect) {
                (Change::Check, _) | (Change::Delete, Expect::Absent) => return None,
                (Change::Delete, Expect::Any) => None,
                _ => next.map(|revision| revision + 1),
            };
            next = takes;
            takes
        });
        let revisions = revisions.collect();
        if stored.revisions.len() <= group.record {
            stored.revisions.resize_with(group.record + 1, Vec::new);
        }
        if let Some(slot) = stored.revisions.get_mut(group.record) {
            *slot = revisions;
        }
    }
}

fn write_size(write: &Write) -> usize {
    write.id.len()
        + match &write.change {
            Change::Put(body) | Change::Merge(body) => body.len(),
            Change::Delete | Change::Check => 0,
        }
}
