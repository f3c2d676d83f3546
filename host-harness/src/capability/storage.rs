//! The tenant's records, as the guest may reach them.
//!
//! The room is bound to its tenant before it comes here; this file only translates words and keeps the
//! contract's limits, so that no store has to trust a guest.

use chrono::SecondsFormat;
use wasmtime::component::{Accessor, HasSelf};

use crate::plugin::HostState;
use crate::plugin::bindings::metakocka::crm_sync::storage as contract;
use crate::store::{self, Collection, MAX_COMMIT_BYTES, MAX_ITEMS, MAX_SCAN};
use contract::StorageError;

/// Most entries `changes` returns at once.
const MAX_CHANGES: u32 = 2_000;

/// A collection by the name the contract gives it.
fn collection(name: &str) -> Result<Collection, StorageError> {
    Ok(match name {
        "contacts" => Collection::Contacts,
        "links" => Collection::Links,
        "seen" => Collection::Seen,
        "outbox" => Collection::Outbox,
        "checkpoints" => Collection::Checkpoints,
        "plans" => Collection::Plans,
        "conflicts" => Collection::Conflicts,
        "history" => Collection::History,
        "quarantine" => Collection::Quarantine,
        "settings" => Collection::Settings,
        other => return Err(invalid(format!("there is no collection {other:?}"))),
    })
}

fn invalid(reason: impl Into<String>) -> StorageError {
    StorageError::Invalid(reason.into())
}

/// Refuses more than a limit.
fn at_most(what: &str, count: usize, limit: usize) -> Result<(), StorageError> {
    if count > limit {
        return Err(invalid(format!("{count} {what} in one call; at most {limit} are allowed")));
    }
    Ok(())
}

fn write(write: contract::Write) -> Result<store::Write, StorageError> {
    let collection = collection(&write.collection)?;
    if collection == Collection::Settings {
        return Err(invalid("settings are read-only for the plugin"));
    }
    Ok(store::Write {
        collection,
        id: write.id,
        expect: match write.expect {
            contract::Expectation::Absent => store::Expectation::Absent,
            contract::Expectation::Revision(revision) => store::Expectation::Revision(revision),
            contract::Expectation::Any => store::Expectation::Any,
        },
        change: match write.change {
            contract::Change::Put(body) => store::Change::Put(body),
            contract::Change::Merge(body) => store::Change::Merge(body),
            contract::Change::Delete => store::Change::Delete,
            contract::Change::Check => store::Change::Check,
        },
    })
}

fn writes(writes: Vec<contract::Write>) -> Result<Vec<store::Write>, StorageError> {
    at_most("writes", writes.len(), MAX_ITEMS)?;
    let bytes = writes.iter().map(|write| match &write.change {
        contract::Change::Put(body) | contract::Change::Merge(body) => body.len(),
        contract::Change::Delete | contract::Change::Check => 0,
    });
    at_most("bytes of bodies", bytes.sum(), MAX_COMMIT_BYTES)?;
    writes.into_iter().map(write).collect()
}

fn entry(entry: store::Entry) -> contract::Entry {
    contract::Entry {
        id: entry.id,
        revision: entry.revision,
        modified_at: entry.modified_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        deleted: entry.deleted,
        body: entry.body,
    }
}

fn outcome(outcome: store::CommitOutcome) -> contract::CommitOutcome {
    match outcome {
        store::CommitOutcome::Committed { before, last } => {
            contract::CommitOutcome::Committed(contract::Revisions { before, last })
        }
        store::CommitOutcome::Lost(races) => contract::CommitOutcome::Lost(
            races
                .into_iter()
                .map(|race| contract::LostRace {
                    write: position(race.write),
                    current: race.current.map(entry),
                })
                .collect(),
        ),
    }
}

/// Positions are below [`MAX_ITEMS`].
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Whose fault it is decides who reads about it: the plugin's author, or the operator.
fn error(error: store::StorageError) -> StorageError {
    match error {
        store::StorageError::Invalid(reason) => StorageError::Invalid(reason),
        store::StorageError::Unavailable(reason) => {
            tracing::error!(%reason, "the store does not answer");
            StorageError::Unavailable(reason)
        }
    }
}

impl contract::Host for HostState {}

/// Counts the call, then runs the body with the room bound to `$room`, its time not counted as the guest's.
macro_rules! in_room {
    ($accessor:ident, |$room:ident| $body:block) => {{
        let ($room, meter) = $accessor.with(|mut access| {
            let state = access.get();
            state.count_call()?;
            wasmtime::error::Ok((state.storage(), state.meter()))
        })?;
        let answer: Result<_, StorageError> = meter.outside(async move { $body }).await;
        Ok(answer)
    }};
}

impl<T: Send> contract::HostWithStore<T> for HasSelf<HostState> {
    async fn get_many(
        accessor: &Accessor<T, Self>,
        name: String,
        ids: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<contract::Entry>, StorageError>> {
        in_room!(accessor, |room| {
            at_most("ids", ids.len(), MAX_ITEMS)?;
            let found = room.get_many(collection(&name)?, &ids).await.map_err(error)?;
            Ok(found.into_iter().map(entry).collect())
        })
    }

    async fn find_many(
        accessor: &Accessor<T, Self>,
        name: String,
        index: String,
        keys: Vec<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<contract::Found>, StorageError>> {
        in_room!(accessor, |room| {
            at_most("keys", keys.len(), MAX_ITEMS)?;
            let found = room.find_many(collection(&name)?, &index, &keys, limit).await.map_err(error)?;
            Ok(found
                .into_iter()
                .map(|found| contract::Found { key: position(found.key), entry: entry(found.entry) })
                .collect())
        })
    }

    async fn scan(
        accessor: &Accessor<T, Self>,
        name: String,
        after: Option<String>,
        members: Vec<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<contract::Entry>, StorageError>> {
        in_room!(accessor, |room| {
            at_most("entries", limit as usize, MAX_SCAN as usize)?;
            let found =
                room.scan(collection(&name)?, after.as_deref(), &members, limit).await.map_err(error)?;
            Ok(found.into_iter().map(entry).collect())
        })
    }

    async fn count(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<u64, StorageError>> {
        in_room!(accessor, |room| { room.count(collection(&name)?).await.map_err(error) })
    }

    async fn changes(
        accessor: &Accessor<T, Self>,
        name: String,
        after: u64,
        limit: u32,
    ) -> wasmtime::Result<Result<contract::ChangePage, StorageError>> {
        in_room!(accessor, |room| {
            at_most("entries", limit as usize, MAX_CHANGES as usize)?;
            let page = room.changes(collection(&name)?, after, limit).await.map_err(error)?;
            Ok(contract::ChangePage {
                entries: page.entries.into_iter().map(entry).collect(),
                next: page.next,
            })
        })
    }

    async fn commit(
        accessor: &Accessor<T, Self>,
        changes: Vec<contract::Write>,
    ) -> wasmtime::Result<Result<contract::CommitOutcome, StorageError>> {
        in_room!(accessor, |room| { room.commit(writes(changes)?).await.map_err(error).map(outcome) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(collection: &str, bytes: usize) -> contract::Write {
        contract::Write {
            collection: collection.into(),
            id: "a".into(),
            expect: contract::Expectation::Any,
            change: contract::Change::Put(vec![b' '; bytes]),
        }
    }

    #[test]
    fn what_the_contract_forbids_never_reaches_a_store() {
        for (refused, word) in [
            (vec![put("settings", 1)], "read-only"),
            (vec![put("tenants", 1)], "tenants"),
            (vec![put("../links", 1)], "../links"),
            (vec![put("links", 1); MAX_ITEMS + 1], "writes"),
            (vec![put("links", MAX_COMMIT_BYTES), put("links", 1)], "bytes"),
        ] {
            match writes(refused) {
                Err(StorageError::Invalid(reason)) => assert!(reason.contains(word), "{reason}"),
                other => panic!("{word}: {other:?}"),
            }
        }
        assert_eq!(writes(vec![put("links", 1); MAX_ITEMS]).unwrap().len(), MAX_ITEMS);
    }
}
