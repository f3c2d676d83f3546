//! Contacts the plugin cannot read. They are given up with their reason, once for each version of their bytes, and never
//! count as gone: a record nobody understands is still there.

use super::apply::Verdict;
use super::context::{Run, Stop};
use super::link::links_of;
use super::merge::Side;
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{QUARANTINE, Quarantined, Severity};
use crate::model::{ById, CrmId, IdSet};
use crate::ports::{Entry, Powers, StorageError};

/// The code in quarantine.
const CODE: &str = "unreadable";

/// A contact that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableContact {
    /// Its id.
    pub id: CrmId,
    /// What is wrong, without contents.
    pub reason: String,
    /// Fingerprint of its bytes.
    hash: String,
}

/// Entries of the contacts' collection, told apart.
#[derive(Debug, Default)]
pub struct Contacts {
    /// Those that can be read.
    pub readable: Vec<Contact>,
    /// Those that cannot.
    pub unreadable: Vec<UnreadableContact>,
    /// Tombstones.
    pub deleted: Vec<CrmId>,
}

impl Contacts {
    /// Tells entries apart.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut contacts = Self::default();
        for entry in entries {
            match Contact::read(entry) {
                Ok(Some(contact)) => contacts.readable.push(contact),
                Ok(None) => contacts.deleted.push(CrmId(entry.id.clone())),
                Err(reason) => contacts.unreadable.push(UnreadableContact {
                    id: CrmId(entry.id.clone()),
                    reason,
                    hash: format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&entry.body)),
                }),
            }
        }
        contacts
    }

    /// The contacts of these ids, as many as there may be.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn load(powers: Powers<'_>, ids: Vec<String>) -> Result<Self, StorageError> {
        Ok(Self::of(&powers.storage.get_many(COLLECTION, ids).await?))
    }

    /// The contacts of these ids that can be read, and which of the ids cannot: those are given up.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn told_apart(
        run: &Run<'_>,
        ids: Vec<String>,
    ) -> Result<(ById<CrmId, Contact>, IdSet<CrmId>), Stop> {
        let contacts = Self::load(run.powers, ids).await?;
        let unreadable = contacts.unreadable.iter().map(|contact| contact.id.clone()).collect();
        Ok((contacts.by_id(run).await?, unreadable))
    }

    /// The readable ones by id; the others are given up.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn by_id(self, run: &Run<'_>) -> Result<ById<CrmId, Contact>, Stop> {
        give_up(run, self.unreadable).await?;
        Ok(self.readable.into_iter().map(|contact| (contact.id.clone(), contact)).collect())
    }
}

/// Puts contacts that cannot be read into quarantine, unless they are there already as they are.
///
/// # Errors
///
/// When storage fails.
pub async fn give_up(run: &Run<'_>, unreadable: Vec<UnreadableContact>) -> Result<(), Stop> {
    for page in unreadable.chunks(500) {
        let ids: Vec<String> = page.iter().map(|contact| contact.id.0.clone()).collect();
        let known = quarantined(run, &ids).await?;
        let links = links_of(run.powers.storage, ids).await?;
        let mut groups = Vec::new();
        for (record, contact) in page.iter().enumerate() {
            let known = known.get(&contact.id);
            if known.is_some_and(|row| row.code == CODE && row.record_hash == contact.hash && !row.retry) {
                continue;
            }
            let verdict = Verdict {
                side: Side::Crm,
                crm_id: Some(&contact.id),
                metakocka_id: links.get(&contact.id).map(|link| &link.partner),
                reason: contact.reason.clone(),
                code: CODE,
                severity: Severity::Quarantined,
                record_hash: contact.hash.clone(),
                attempts: known.map_or(0, |row| row.attempts),
            };
            groups.extend(verdict.group(run, record));
        }
        // Written whatever is there: see `Quarantined::write`.
        let _nothing_lost = run.store(groups).await?;
        run.gate.flush(run.powers).await?;
    }
    Ok(())
}

/// Releases contacts that can be read again.
///
/// # Errors
///
/// When storage fails.
pub async fn readable_again(run: &Run<'_>, contacts: &[Contact]) -> Result<(), Stop> {
    if run.gate.is_dry() {
        return Ok(());
    }
    let ids: Vec<String> = contacts.iter().map(|contact| contact.id.0.clone()).collect();
    let known = quarantined(run, &ids).await?;
    let releases = known.values().filter(|row| row.code == CODE).filter_map(|row| row.crm_id.as_ref());
    run.put_any(releases.map(|id| Quarantined::release(Quarantined::crm_entry(id))).collect()).await?;
    Ok(())
}

/// Which of these contacts are in quarantine.
///
/// # Errors
///
/// When storage fails.
pub async fn quarantined(run: &Run<'_>, ids: &[String]) -> Result<ById<CrmId, Quarantined>, Stop> {
    if !run.has_quarantine.get() || ids.is_empty() {
        return Ok(ById::default());
    }
    let entries = ids.iter().map(|id| Quarantined::crm_entry(&CrmId(id.clone()))).collect();
    let found = Quarantined::read_all(&run.powers.storage.get_many(QUARANTINE, entries).await?)?;
    Ok(found.into_iter().filter_map(|row| row.crm_id.clone().map(|id| (id, row))).collect())
}
