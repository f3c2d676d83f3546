//! Plans: the decided list, item by item.
//!
//! Every decision passes the gate. In a normal run it is open. In a dry run it records the items, in pages, and lets
//! none through. When a stored plan is applied, decisions are made again from what is true now, and only those the plan
//! holds word for word pass.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::merge::{Replacement, Side};
use crate::ports::{Change, Expect, Powers, StorageError, Write};

/// The collection plans live in; an entry's id is `plan/number`.
const PLANS: &str = "plans";
const PAGE: usize = 500;

/// What an item does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A contact is made from a partner.
    CreateContact,
    /// A partner is made from a contact.
    CreatePartner,
    /// Two existing records are linked.
    Link,
    /// Fields travel between linked records.
    Update,
    /// A contact is set inactive because its partner is gone.
    Deactivate,
    /// A person has to look.
    Review,
    /// A record is given up with a reason.
    Quarantine,
}

/// One value that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedField {
    /// The side that is written.
    pub side: &'static str,
    /// The field's name.
    pub field: &'static str,
    /// What stands there.
    pub old: Option<String>,
    /// What will stand there.
    pub new: Option<String>,
}

impl PlannedField {
    /// As a merge decided it.
    #[must_use]
    pub fn of(side: Side, replacement: &Replacement) -> Self {
        Self {
            side: side.name(),
            field: replacement.field.name(),
            old: replacement.old.clone(),
            new: replacement.new.clone(),
        }
    }
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it does.
    pub action: Action,
    /// The contact, when it exists already.
    pub crm_id: Option<String>,
    /// The partner, when it exists already.
    pub metakocka_id: Option<String>,
    /// The values.
    pub fields: Vec<PlannedField>,
    /// Why, where it is not plain.
    pub reason: Option<String>,
}

impl Item {
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Decides what passes.
pub enum Gate {
    /// Everything.
    Open,
    /// Nothing; items are kept.
    Record(Recorder),
    /// What the stored plan holds: digests, and how often each may pass.
    Only(RefCell<BTreeMap<u64, u32>>),
}

/// Writes a plan down.
pub struct Recorder {
    plan: String,
    pending: RefCell<Vec<String>>,
    number: Cell<u64>,
    hash: Cell<u64>,
}

impl Gate {
    /// A gate that records under this plan id.
    #[must_use]
    pub fn record(plan: &str) -> Self {
        Self::Record(Recorder {
            plan: plan.to_owned(),
            pending: RefCell::new(Vec::new()),
            number: Cell::new(0),
            hash: Cell::new(0),
        })
    }

    /// A gate for a stored plan; `None` when there is no such plan.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn stored(powers: Powers<'_>, plan: &str) -> Result<Option<Self>, StorageError> {
        let prefix = format!("{plan}/");
        let mut after = Some(prefix.clone());
        let mut digests = BTreeMap::new();
        let mut found = false;
        loop {
            let page = powers.storage.scan(PLANS, after.clone(), &[], 1_000).await?;
            for entry in &page {
                if !entry.id.starts_with(&prefix) {
                    return Ok(found.then(|| Self::Only(RefCell::new(digests))));
                }
                found = true;
                let items = serde_json::from_slice::<Value>(&entry.body).ok();
                let items = items.as_ref().and_then(|body| body.get("items")).and_then(Value::as_array);
                for item in items.into_iter().flatten() {
                    if let Some(text) = item.as_str() {
                        *digests.entry(digest(text)).or_insert(0) += 1;
                    }
                }
            }
            match page.last() {
                Some(last) => after = Some(last.id.clone()),
                None => return Ok(found.then(|| Self::Only(RefCell::new(digests)))),
            }
        }
    }

    /// Whether this is a dry run.
    #[must_use]
    pub const fn is_dry(&self) -> bool {
        matches!(self, Self::Record(_))
    }

    /// Whether a stored plan is carried out.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self, Self::Only(_))
    }

    /// Whether the run is a normal one.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Whether an item may be carried out. The item is only made when somebody wants to see it.
    pub fn admits(&self, item: impl FnOnce() -> Item) -> bool {
        match self {
            Self::Open => true,
            Self::Record(recorder) => {
                let text = item().text();
                recorder.hash.set(recorder.hash.get().rotate_left(5) ^ digest(&text));
                recorder.pending.borrow_mut().push(text);
                false
            }
            Self::Only(digests) => {
                let key = digest(&item().text());
                let mut digests = digests.borrow_mut();
                match digests.get_mut(&key) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        true
                    }
                    _ => false,
                }
            }
        }
    }

    /// Items of the stored plan that did not come up again.
    #[must_use]
    pub fn stale(&self) -> u64 {
        match self {
            Self::Only(digests) => digests.borrow().values().map(|left| u64::from(*left)).sum(),
            _ => 0,
        }
    }

    /// Stores what is pending; call it after each page.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn flush(&self, powers: Powers<'_>) -> Result<(), StorageError> {
        let Self::Record(recorder) = self else { return Ok(()) };
        let items = recorder.pending.take();
        for page in items.chunks(PAGE) {
            let number = recorder.number.get();
            recorder.number.set(number + 1);
            let body = serde_json::json!({ "items": page }).to_string().into_bytes();
            let id = format!("{}/{number:010}", recorder.plan);
            // Whatever is there: the plan's id was made for this run alone, so nobody else writes under it.
            let write = Write { collection: PLANS, id, expect: Expect::Any, change: Change::Put(body) };
            powers.storage.commit(vec![write]).await?;
        }
        Ok(())
    }

    /// The fingerprint of what was recorded.
    #[must_use]
    pub fn hash(&self) -> Option<String> {
        match self {
            Self::Record(recorder) => Some(format!("{:016x}", recorder.hash.get())),
            _ => None,
        }
    }
}

fn digest(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}
