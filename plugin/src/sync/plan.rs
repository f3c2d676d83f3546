//! Plans: the decided list, item by item.
//!
//! Every decision passes the gate. In a normal run it is open. In a dry run it records the items, in pages, each record
//! once, and lets none through; what it has recorded, the stages that follow see (`forecast`). When a stored plan is
//! applied, decisions are made again from what is true now, and only those the plan holds pass: the same thing, done to the
//! same records, with the same values, for the same cause.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::forecast::Forecast;
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
    /// Why, for programs, where it is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, for people: the last member. It may name what is not there yet, so two items that differ in nothing else are
    /// the same.
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
    Record(Box<Recorder>),
    /// What the stored plan holds: digests, and how often each may pass.
    Only(RefCell<BTreeMap<u64, u32>>),
}

/// Writes a plan down.
pub struct Recorder {
    plan: String,
    pending: RefCell<Vec<String>>,
    /// They come last: what is done to a record takes their place.
    reviews: RefCell<Vec<Item>>,
    number: Cell<u64>,
    hash: Cell<u64>,
    forecast: Forecast,
}

impl Gate {
    /// A gate that records under this plan id.
    #[must_use]
    pub fn record(plan: &str) -> Self {
        Self::Record(Box::new(Recorder {
            plan: plan.to_owned(),
            pending: RefCell::default(),
            reviews: RefCell::default(),
            number: Cell::new(0),
            hash: Cell::new(0),
            forecast: Forecast::default(),
        }))
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

    /// What the plan under way has decided; only a dry run has it.
    #[must_use]
    pub fn forecast(&self) -> Option<&Forecast> {
        match self {
            Self::Record(recorder) => Some(&recorder.forecast),
            Self::Open | Self::Only(_) => None,
        }
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
                let item = item();
                if recorder.forecast.decide(&item) {
                    if item.action == Action::Review {
                        recorder.reviews.borrow_mut().push(item);
                    } else {
                        recorder.put(&item);
                    }
                }
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
        for page in recorder.pending.take().chunks(PAGE) {
            recorder.keep(powers, page).await?;
        }
        Ok(())
    }

    /// Stores the rest of a plan. One that says nothing is a plan too, and can be carried out.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn close(&self, powers: Powers<'_>) -> Result<(), StorageError> {
        let Self::Record(recorder) = self else { return Ok(()) };
        for item in recorder.reviews.take().iter().filter(|item| recorder.forecast.stands(item)) {
            recorder.put(item);
        }
        self.flush(powers).await?;
        if recorder.number.get() == 0 { recorder.keep(powers, &[]).await } else { Ok(()) }
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

impl Recorder {
    fn put(&self, item: &Item) {
        let text = item.text();
        self.hash.set(self.hash.get().rotate_left(5) ^ digest(&text));
        self.pending.borrow_mut().push(text);
    }

    async fn keep(&self, powers: Powers<'_>, page: &[String]) -> Result<(), StorageError> {
        let number = self.number.get();
        self.number.set(number + 1);
        let body = serde_json::json!({ "items": page }).to_string().into_bytes();
        let id = format!("{}/{number:010}", self.plan);
        // Whatever is there: the plan's id was made for this run alone, so nobody else writes under it.
        let write = Write { collection: PLANS, id, expect: Expect::Any, change: Change::Put(body) };
        powers.storage.commit(vec![write]).await?;
        Ok(())
    }
}

/// The fingerprint of an item: all of it but the sentence for people.
fn digest(text: &str) -> u64 {
    // Its last member; within a value the quotes would be escaped.
    let (essence, _reason) = text.rsplit_once(",\"reason\":").unwrap_or((text, ""));
    xxhash_rust::xxh3::xxh3_64(essence.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_an_item_makes_no_difference() {
        let item = |code: &str, reason: Option<&str>| Item {
            action: Action::Review,
            crm_id: Some("d5".to_owned()),
            metakocka_id: None,
            fields: Vec::new(),
            code: Some(code.to_owned()),
            reason: reason.map(str::to_owned),
        };
        let digest = |item: Item| digest(&item.text());
        let one = digest(item("partner-already-linked", Some("partner 4001 belongs to d4")));
        for reason in [None, Some("another"), Some("quoted \",\"reason\":\"x\" inside")] {
            assert_eq!(digest(item("partner-already-linked", reason)), one, "{reason:?}");
        }
        assert_ne!(digest(item("ambiguous-match", Some("partner 4001 belongs to d4"))), one);
        assert_ne!(digest(item("a,\"reason\":1", None)), digest(item("a", None)));
    }
}
