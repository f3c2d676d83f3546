//! A store in memory, with the promises of the real one. For tests and simulations.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::catalog::{Body, Shape, is_marked};
use super::record::Record;
use super::{
    Change, ChangePage, Collection, CommitOutcome, Entry, Expectation, Found, LostRace, MAX_ITEMS, MAX_SCAN,
    Storage, StorageError, Write, limits, time,
};

/// Many tenants' rooms. Clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tenants: Arc<Mutex<HashMap<String, Tenant>>>,
}

/// What one tenant has.
#[derive(Debug, Clone, Default)]
struct Tenant {
    revision: u64,
    entries: BTreeMap<(Collection, String), Kept>,
}

/// An entry; a tombstone has no record.
#[derive(Debug, Clone)]
struct Kept {
    revision: u64,
    modified_at: DateTime<Utc>,
    record: Option<Record<'static>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The room of a tenant, made on first use. Every tenant has one company.
    pub fn room(&self, tenant: &str) -> Arc<dyn Storage> {
        Arc::new(Room { memory: self.clone(), tenant: tenant.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Tenant>> {
        // A commit changes the map in one step at its end, so a panic elsewhere left nothing half-done.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Room {
    memory: Memory,
    tenant: String,
}

impl Room {
    /// What the tenant has now.
    fn read<T>(&self, read: impl FnOnce(&Tenant) -> T) -> T {
        read(self.memory.lock().entry(self.tenant.clone()).or_default())
    }
}

impl Tenant {
    fn live(&self, collection: Collection, id: &str) -> Option<&Kept> {
        self.entries.get(&(collection, id.to_owned())).filter(|kept| kept.record.is_some())
    }

    /// All of a collection, tombstones included, in id order.
    fn all(&self, collection: Collection) -> impl Iterator<Item = (&str, &Kept)> {
        let from = (collection, String::new());
        let all = self.entries.range(from..).take_while(move |((other, _), _)| *other == collection);
        all.map(|((_, id), kept)| (id.as_str(), kept))
    }

    fn entry(
        &self,
        collection: Collection,
        id: &str,
        only: &[String],
    ) -> Result<Option<Entry>, StorageError> {
        self.live(collection, id).map(|kept| kept.entry(collection.shape(), id, only)).transpose()
    }

    /// The id of the link that holds this partner.
    fn holder(&self, partner: &str) -> Option<&str> {
        let members = Collection::Links.shape().members();
        let mut links = self.all(Collection::Links);
        let holds = |kept: &Kept| {
            kept.record.as_ref().and_then(|record| record.get(members, "metakocka_id")) == Some(partner)
        };
        links.find(|(_, kept)| holds(kept)).map(|(id, _)| id)
    }

    /// Applies the writes to this copy, or answers the lost races.
    fn apply(&mut self, writes: &[Write]) -> Result<Vec<LostRace>, StorageError> {
        let now = time::parse(&time::text(time::now()));
        let mut lost = Vec::new();
        for (at, write) in writes.iter().enumerate() {
            let found = self.live(write.collection, &write.id).map(|kept| kept.revision);
            let merge = matches!(write.change, Change::Merge(_));
            let holds = match write.expect {
                Expectation::Absent => found.is_none() && !merge,
                Expectation::Revision(revision) => found == Some(revision),
                Expectation::Any => found.is_some() || !merge,
            };
            if !holds {
                lost.push(LostRace { write: at, current: self.entry(write.collection, &write.id, &[])? });
            }
        }
        if !lost.is_empty() {
            return Ok(lost);
        }
        let old = self.clone();
        for write in writes {
            let key = (write.collection, write.id.clone());
            let there = old.live(write.collection, &write.id);
            let record = match &write.change {
                Change::Check => continue,
                Change::Delete if there.is_none() => continue,
                Change::Delete => None,
                Change::Put(body) => Some(Record::put(write.collection, body)?.into_owned()),
                Change::Merge(patch) => {
                    let current = old.entry(write.collection, &write.id, &[])?.unwrap_or_else(empty);
                    let mut record = Record::merge(write.collection, &current.body, patch)?.into_owned();
                    record.set(write.collection.shape().members(), "updatedat", None);
                    Some(record)
                }
            };
            self.revision += 1;
            if record.is_none() && !write.collection.is_crm() {
                self.entries.remove(&key);
                continue;
            }
            let mut kept = Kept { revision: self.revision, modified_at: now, record };
            if write.collection == Collection::Contacts {
                kept.stamp(there);
            }
            self.entries.insert(key, kept);
        }
        self.unique(&old, writes)
    }

    /// No partner has two links.
    fn unique(&self, old: &Self, writes: &[Write]) -> Result<Vec<LostRace>, StorageError> {
        let members = Collection::Links.shape().members();
        let mut holders: HashMap<&str, &str> = HashMap::new();
        let mut contested = Vec::new();
        for (id, kept) in self.all(Collection::Links) {
            let Some(partner) = kept.record.as_ref().and_then(|record| record.get(members, "metakocka_id"))
            else {
                continue;
            };
            if let Some(other) = holders.insert(partner, id) {
                contested.push((other, id, partner));
            }
        }
        let mut lost = Vec::new();
        for (one, two, partner) in contested {
            let position = |id: &str| {
                writes.iter().position(|write| {
                    write.collection == Collection::Links && write.id == id && write.change != Change::Check
                })
            };
            match (position(one), position(two)) {
                (Some(_), Some(_)) => {
                    return Err(StorageError::Invalid("a commit links the same partner twice".to_owned()));
                }
                (Some(write), None) | (None, Some(write)) => {
                    let current = old.holder(partner).map(|id| old.entry(Collection::Links, id, &[]));
                    lost.push(LostRace { write, current: current.transpose()?.flatten() });
                }
                (None, None) => {}
            }
        }
        lost.sort_by_key(|race| race.write);
        Ok(lost)
    }
}

fn empty() -> Entry {
    Entry {
        id: String::new(),
        revision: 0,
        modified_at: DateTime::UNIX_EPOCH,
        deleted: false,
        body: b"{}".to_vec(),
    }
}

impl Kept {
    fn entry(&self, shape: &Shape, id: &str, only: &[String]) -> Result<Entry, StorageError> {
        let body = self.record.as_ref().map(|record| record.to_body(shape, only)).transpose()?;
        Ok(Entry {
            id: id.to_owned(),
            revision: self.revision,
            modified_at: self.modified_at,
            deleted: body.is_none(),
            body: body.unwrap_or_default(),
        })
    }

    /// A contact's own times: created once, updated now unless the body brings news.
    fn stamp(&mut self, there: Option<&Self>) {
        let members = Collection::Contacts.shape().members();
        let now = format!("\"{}\"", time::text(self.modified_at));
        let Some(record) = &mut self.record else { return };
        let old = |name| there.and_then(|kept| kept.record.as_ref()?.get(members, name));
        let created = old("createdat").or(record.get(members, "createdat")).unwrap_or(&now).to_owned();
        let updated = record.get(members, "updatedat").filter(|new| Some(*new) != old("updatedat"));
        let updated = updated.unwrap_or(&now).to_owned();
        self.modified_at = time::parse(updated.trim_matches('"'));
        record.set(members, "createdat", Some(created.into()));
        record.set(members, "updatedat", Some(updated.into()));
    }
}

#[async_trait]
impl Storage for Room {
    async fn get_many(&self, collection: Collection, ids: &[String]) -> Result<Vec<Entry>, StorageError> {
        limits::items("ids", ids.len())?;
        let mut ids: Vec<_> = ids.iter().collect();
        ids.sort();
        ids.dedup();
        self.read(|tenant| {
            ids.iter().filter_map(|id| tenant.entry(collection, id, &[]).transpose()).collect()
        })
    }

    async fn find_many(
        &self,
        collection: Collection,
        index: &str,
        keys: &[String],
        limit: u32,
    ) -> Result<Vec<Found>, StorageError> {
        limits::items("keys", keys.len())?;
        let shape = collection.shape();
        let (_, index) = limits::index(shape, index)?;
        self.read(|tenant| {
            let text = |kept: &Kept, member| {
                let held = kept.record.as_ref()?.get(shape.members(), member)?;
                serde_json::from_str::<String>(held).ok()
            };
            let held = |kept: &Kept| {
                if index.name == "marked" {
                    let marked =
                        is_marked(text(kept, "email").as_deref(), text(kept, "tax_number").as_deref());
                    return marked.then(|| "true".to_owned());
                }
                let held = kept.record.as_ref()?.get(shape.members(), index.member)?;
                let held = serde_json::from_str::<String>(held).unwrap_or_else(|_| held.to_owned());
                index.normal(&held)
            };
            let mut found = Vec::new();
            for (key, wanted) in keys.iter().enumerate() {
                let Some(wanted) = index.normal(wanted) else { continue };
                let holders = tenant.all(collection).filter(|(_, kept)| held(kept).as_ref() == Some(&wanted));
                for (id, kept) in holders.take(limit as usize) {
                    found.push(Found { key, entry: kept.entry(shape, id, &[])? });
                }
            }
            Ok(found)
        })
    }

    async fn scan(
        &self,
        collection: Collection,
        after: Option<&str>,
        members: &[String],
        limit: u32,
    ) -> Result<Vec<Entry>, StorageError> {
        limits::at_most("a scan", limit, MAX_SCAN)?;
        let shape = collection.shape();
        if let (Body::Members(_), Some(name)) =
            (&shape.body, members.iter().find(|name| shape.member(name).is_none()))
        {
            return Err(StorageError::Invalid(format!("an entry of {} has no member {name:?}", shape.name)));
        }
        self.read(|tenant| {
            let live = tenant.all(collection).filter(|(_, kept)| kept.record.is_some());
            let page = live.filter(|(id, _)| after.is_none_or(|after| *id > after)).take(limit as usize);
            page.map(|(id, kept)| kept.entry(shape, id, members)).collect()
        })
    }

    async fn count(&self, collection: Collection) -> Result<u64, StorageError> {
        Ok(self
            .read(|tenant| tenant.all(collection).filter(|(_, kept)| kept.record.is_some()).count() as u64))
    }

    async fn changes(
        &self,
        collection: Collection,
        after: u64,
        limit: u32,
    ) -> Result<ChangePage, StorageError> {
        limits::at_most("a page of changes", limit, MAX_ITEMS as u32)?;
        limits::has_changes(collection)?;
        self.read(|tenant| {
            let mut changed: Vec<_> =
                tenant.all(collection).filter(|(_, kept)| kept.revision > after).collect();
            changed.sort_by_key(|(_, kept)| kept.revision);
            changed.truncate(limit as usize);
            let next = changed.last().map_or(tenant.revision, |(_, kept)| kept.revision);
            let entries = changed.into_iter().map(|(id, kept)| kept.entry(collection.shape(), id, &[]));
            Ok(ChangePage { entries: entries.collect::<Result<_, _>>()?, next })
        })
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<CommitOutcome, StorageError> {
        limits::writes(&writes)?;
        for (at, write) in writes.iter().enumerate() {
            match &write.change {
                Change::Put(body) => Record::put(write.collection, body).map(drop),
                Change::Merge(patch) => Record::check_patch(write.collection, patch),
                Change::Delete | Change::Check => Ok(()),
            }
            .map_err(|error| limits::named(at, write, error))?;
        }
        let mut tenants = self.memory.lock();
        let tenant = tenants.entry(self.tenant.clone()).or_default();
        let mut next = tenant.clone();
        let lost = next.apply(&writes)?;
        if !lost.is_empty() {
            return Ok(CommitOutcome::Lost(lost));
        }
        let (before, last) = (tenant.revision, next.revision);
        *tenant = next;
        Ok(CommitOutcome::Committed { before, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::promises::{House, keep_all};

    #[async_trait]
    impl House for Memory {
        async fn room(&self, tenant: &str) -> Result<Arc<dyn Storage>, String> {
            Ok(Memory::room(self, tenant))
        }
    }

    #[tokio::test]
    async fn keeps_all_promises() {
        keep_all(&Memory::new()).await.unwrap();
    }
}
