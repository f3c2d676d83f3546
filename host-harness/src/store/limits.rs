//! What a call may ask for. Refused alike by everything that keeps entries.

use std::collections::HashSet;

use super::catalog::{Index, Shape};
use super::{Change, Collection, MAX_COMMIT_BYTES, MAX_ITEMS, StorageError, Write};

/// Longest id, bytes.
pub(crate) const LONGEST_ID: usize = 512;

pub(crate) fn items(what: &str, count: usize) -> Result<(), StorageError> {
    if count > MAX_ITEMS {
        return Err(StorageError::Invalid(format!("{count} {what} in one call; at most {MAX_ITEMS} may be")));
    }
    Ok(())
}

pub(crate) fn at_most(what: &str, limit: u32, most: u32) -> Result<(), StorageError> {
    // A page of nothing would look like the end.
    if limit == 0 || limit > most {
        return Err(StorageError::Invalid(format!("{what} of {limit} entries; 1 to {most} may be")));
    }
    Ok(())
}

pub(crate) fn has_changes(collection: Collection) -> Result<(), StorageError> {
    if collection.is_crm() {
        return Ok(());
    }
    Err(StorageError::Invalid(format!(
        "{} is no collection of the CRM: it has no changes",
        collection.name()
    )))
}

/// The index and its position in the shape.
pub(crate) fn index(shape: &Shape, name: &str) -> Result<(usize, &'static Index), StorageError> {
    let at = shape.indexes.iter().position(|index| index.name == name);
    at.and_then(|at| Some((at, shape.indexes.get(at)?))).ok_or_else(|| no_index(shape, name))
}

pub(crate) fn no_index(shape: &Shape, name: &str) -> StorageError {
    StorageError::Invalid(format!("{} cannot be looked up by {name:?}", shape.name))
}

/// Which write of a commit was refused.
pub(crate) fn named(at: usize, write: &Write, error: StorageError) -> StorageError {
    match error {
        StorageError::Invalid(why) => StorageError::Invalid(format!("write {at} ({}): {why}", write.id)),
        error => error,
    }
}

/// A commit's size, and that no entry is written twice.
pub(crate) fn writes(writes: &[Write]) -> Result<(), StorageError> {
    items("writes", writes.len())?;
    let bytes: usize = writes
        .iter()
        .map(|write| match &write.change {
            Change::Put(body) | Change::Merge(body) => body.len(),
            Change::Delete | Change::Check => 0,
        })
        .sum();
    if bytes > MAX_COMMIT_BYTES {
        return Err(StorageError::Invalid(format!(
            "{bytes} bytes of bodies in one commit; at most {MAX_COMMIT_BYTES} may be"
        )));
    }
    let mut met = HashSet::with_capacity(writes.len());
    for write in writes {
        if write.id.is_empty() || write.id.len() > LONGEST_ID || write.id.contains('\0') {
            return Err(StorageError::Invalid(format!("an id is a text of 1 to {LONGEST_ID} bytes")));
        }
        if !met.insert((write.collection, &write.id)) {
            let name = write.collection.name();
            return Err(StorageError::Invalid(format!("a commit writes the same entry of {name} twice")));
        }
    }
    Ok(())
}
