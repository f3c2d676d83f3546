//! Contacts the plugin cannot read. They are given up with their reason, once for each version of their bytes, and never
//! count as gone: a record nobody understands is still there.

use super::apply::{self, Verdict};
use super::context::{Group, Run, Stop};
use super::effect::Effect;
use super::merge::Side;
use super::plan::{Action, Item};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{LINKS, Link, QUARANTINE, Quarantined, Severity};
use crate::model::{ById, CrmId, MkId};
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
        let mut contacts = Self::default();
        for page in ids.chunks(2_000) {
            let found = Self::of(&powers.storage.get_many(COLLECTION, page.to_vec()).await?);
            contacts.readable.extend(found.readable);
            contacts.unreadable.extend(found.unreadable);
        }
        Ok(contacts)
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
        let links: ById<CrmId, MkId> = Link::read_all(&run.powers.storage.get_many(LINKS, ids).await?)?
            .into_iter()
            .map(|link| (link.contact, link.partner))
            .collect();
        let mut groups = Vec::new();
        for (record, contact) in page.iter().enumerate() {
            let known = known.get(&contact.id);
            if known.is_some_and(|row| row.code == CODE && row.record_hash == contact.hash && !row.retry) {
                continue;
            }
            let partner = links.get(&contact.id);
            let item = || Item {
                action: Action::Quarantine,
                crm_id: Some(contact.id.0.clone()),
                metakocka_id: partner.map(|id| id.0.clone()),
                fields: Vec::new(),
                reason: Some(contact.reason.clone()),
            };
            if run.gate.admits(item) {
                let mut effect = Effect::default();
                let verdict = Verdict {
                    side: Side::Crm,
                    crm_id: Some(&contact.id),
                    metakocka_id: partner,
                    reason: contact.reason.clone(),
                    code: CODE,
                    severity: Severity::Quarantined,
                    record_hash: contact.hash.clone(),
                    attempts: known.map_or(0, |row| row.attempts),
                };
                let writes = vec![apply::quarantine(run, verdict, &mut effect)];
                groups.push(Group { record, writes, effect });
            }
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
