//! Push: what the CRM has changed since the watermark, carried to Metakocka.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{self, Verdict};
use super::context::{Group, KIND, Run, Stop};
use super::create::create;
use super::merge::Side;
use super::plan::{Action, Item};
use super::reconcile::{conflicts_of, reconcile};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{
    Conflict, LINKS, Link, LinkState, LinkStatus, QUARANTINE, Quarantined, SEEN, Seen, Severity,
};
use crate::metakocka::partner::validate;
use crate::model::{CrmId, Field, Fields, MkId, email_key, same, tax_key};
use crate::ports::Entry;

/// Changes read at once.
const PAGE: u32 = 2_000;
/// Links with held edits that are looked at in one run.
const PENDING: u32 = 10_000;

/// Fingerprint of the mapped fields: the same record is not tried again by itself.
#[must_use]
pub fn fingerprint(fields: &Fields) -> String {
    let mut text = String::new();
    for (field, value) in fields.present() {
        text.push_str(field.name());
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

/// Whether the CRM has edited a linked contact since the base. A value that is parked and waits for a person is no news.
fn edited(contact: &Contact, link: &Link, conflicts: &[Conflict]) -> bool {
    let fields = contact.fields(Some(&link.base));
    Field::ALL.into_iter().any(|field| {
        let value = fields.get(field);
        !same(field, link.base.crm(field), value)
            && !conflicts
                .iter()
                .any(|conflict| conflict.field == field.name() && conflict.crm.as_deref() == value)
    })
}

/// Carries every change of the CRM since the watermark.
///
/// # Errors
///
/// When the run has to stop.
pub async fn push(run: &Run<'_>) -> Result<(), Stop> {
    let held =
        run.powers.storage.find_many(LINKS, "sync_status", vec!["pending".to_owned()], PENDING).await?;
    let held: Vec<CrmId> = held.into_iter().map(|(_, entry)| CrmId(entry.id)).collect();
    reconcile(run, held).await?;
    let mut moved = false;
    loop {
        let after = run.checkpoint.borrow().pushed;
        let page = run.powers.storage.changes(COLLECTION, after, PAGE).await?;
        if page.entries.is_empty() {
            run.checkpoint.borrow_mut().pushed = page.next;
            break;
        }
        moved = true;
        // From here on our own writes may follow; the stored watermark moves only after the page is done.
        run.checkpoint.borrow_mut().pushed = page.next;
        let (contacts, gone) = split(page.entries);
        forget_deleted(run, gone).await?;
        process(run, contacts, false).await?;
        keep_checkpoint(run).await?;
    }
    if moved {
        keep_checkpoint(run).await?;
    }
    Ok(())
}

/// Stores the watermarks of a normal run.
///
/// # Errors
///
/// When storage fails.
pub async fn keep_checkpoint(run: &Run<'_>) -> Result<(), Stop> {
    if run.gate.is_open() {
        let write = run.checkpoint.borrow().write(KIND);
        run.put(vec![write]).await?;
    }
    Ok(())
}

fn split(entries: Vec<Entry>) -> (Vec<Contact>, Vec<String>) {
    let (mut contacts, mut gone) = (Vec::new(), Vec::new());
    for entry in entries {
        match Contact::read(&entry) {
            Ok(Some(contact)) => contacts.push(contact),
            _ => gone.push(entry.id),
        }
    }
    (contacts, gone)
}

/// Contacts deleted in the CRM: the link remembers it, the partner is left alone.
async fn forget_deleted(run: &Run<'_>, ids: Vec<String>) -> Result<(), Stop> {
    if ids.is_empty() || run.gate.is_dry() {
        return Ok(());
    }
    let at = run.now().text();
    let links = run.powers.storage.get_many(LINKS, ids.clone()).await?;
    let mut groups: Vec<Group> = Vec::new();
    for (record, link) in links.iter().filter_map(Link::read).enumerate() {
        if link.state == LinkState::Live {
            let gone = Link { state: LinkState::CrmGone, ..link };
            groups.push(Group { record, writes: vec![gone.write(&at)] });
        }
    }
    run.store(groups).await?;
    if run.has_quarantine.get() {
        let releases = ids.into_iter().map(|id| Quarantined::release(Quarantined::crm_entry(&CrmId(id))));
        run.put(releases.collect()).await?;
    }
    Ok(())
}

/// Sorts contacts into edits of linked ones and creates, and carries both. `again` means that somebody asked for
/// these records: what was given up before is tried again.
///
/// # Errors
///
/// When the run has to stop.
pub async fn process(run: &Run<'_>, contacts: Vec<Contact>, again: bool) -> Result<(), Stop> {
    let ids: Vec<String> = contacts.iter().map(|contact| contact.id.0.clone()).collect();
    let links: BTreeMap<String, Link> = run
        .powers
        .storage
        .get_many(LINKS, ids.clone())
        .await?
        .iter()
        .filter_map(|entry| Link::read(entry).map(|link| (entry.id.clone(), link)))
        .collect();
    let given_up = given_up(run, &ids).await?;
    let conflicts = conflicts_of(run, ids).await?;
    let waiting: BTreeSet<CrmId> = run.pending.borrow().iter().map(|intent| intent.contact.clone()).collect();
    let mut updates = Vec::new();
    let mut creates = Vec::new();
    let mut writes = Vec::new();
    for contact in contacts {
        match links.get(&contact.id.0) {
            Some(link) => match link.state {
                LinkState::Live if again || edited(&contact, link, parked(&conflicts, &contact)) => {
                    updates.push(contact.id.clone())
                }
                LinkState::Live | LinkState::ErpGone => {}
                LinkState::CrmGone => {
                    // Deleted and made again under the same id.
                    let live = Link { state: LinkState::Live, ..link.clone() };
                    if !run.gate.is_dry() {
                        run.put(vec![live.write(&run.now().text())]).await?;
                    }
                    updates.push(contact.id.clone());
                }
            },
            None if waiting.contains(&contact.id) || !contact.active => {}
            None => {
                let fields = contact.fields(None);
                let hash = fingerprint(&fields);
                let before = given_up.get(&contact.id);
                if !again && before.is_some_and(|before| before.record_hash == hash && !before.retry) {
                    continue;
                }
                let problems = validate(&fields);
                if problems.is_empty() {
                    creates.push(contact);
                } else {
                    let reason = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    let item = || Item {
                        action: Action::Quarantine,
                        crm_id: Some(contact.id.0.clone()),
                        metakocka_id: None,
                        fields: Vec::new(),
                        reason: Some(reason.clone()),
                    };
                    if run.gate.admits(item) {
                        writes.push(apply::quarantine(
                            run,
                            Verdict {
                                side: Side::Crm,
                                crm_id: Some(&contact.id),
                                metakocka_id: None,
                                reason: reason.clone(),
                                code: "validation",
                                severity: Severity::Quarantined,
                                record_hash: hash,
                                attempts: before.map_or(0, |before| before.attempts),
                            },
                        ));
                    }
                }
            }
        }
    }
    run.put(writes).await?;
    run.gate.flush(run.powers).await?;
    reconcile(run, updates).await?;
    create(run, creates).await
}

fn parked<'c>(conflicts: &'c BTreeMap<CrmId, Vec<Conflict>>, contact: &Contact) -> &'c [Conflict] {
    conflicts.get(&contact.id).map(Vec::as_slice).unwrap_or_default()
}

async fn given_up(run: &Run<'_>, ids: &[String]) -> Result<BTreeMap<CrmId, Quarantined>, Stop> {
    if !run.has_quarantine.get() || ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let entries = ids.iter().map(|id| Quarantined::crm_entry(&CrmId(id.clone()))).collect();
    let found = run.powers.storage.get_many(QUARANTINE, entries).await?;
    Ok(found
        .iter()
        .filter_map(Quarantined::read)
        .filter_map(|row| row.crm_id.clone().map(|id| (id, row)))
        .collect())
}

/// Notes what the CRM changed while the direction holds its edits back: linked contacts become `pending`, and
/// partners that had no match are looked at again when a contact with their key appears.
///
/// # Errors
///
/// When the run has to stop.
pub async fn note(run: &Run<'_>) -> Result<(), Stop> {
    let mut moved = false;
    loop {
        let after = run.checkpoint.borrow().noted;
        let page = run.powers.storage.changes(COLLECTION, after, PAGE).await?;
        run.checkpoint.borrow_mut().noted = page.next;
        if page.entries.is_empty() {
            break;
        }
        moved = true;
        let (contacts, gone) = split(page.entries);
        forget_deleted(run, gone).await?;
        let ids: Vec<String> = contacts.iter().map(|contact| contact.id.0.clone()).collect();
        let conflicts = conflicts_of(run, ids.clone()).await?;
        let links: BTreeMap<CrmId, Link> = run
            .powers
            .storage
            .get_many(LINKS, ids)
            .await?
            .iter()
            .filter_map(Link::read)
            .map(|link| (link.contact.clone(), link))
            .collect();
        let mut groups = Vec::new();
        let mut strangers = Vec::new();
        for (record, contact) in contacts.iter().enumerate() {
            match links.get(&contact.id) {
                Some(link) if link.state == LinkState::Live => {
                    let is = edited(contact, link, parked(&conflicts, contact));
                    let next = match link.status {
                        LinkStatus::Synced if is => LinkStatus::Pending,
                        LinkStatus::Pending if !is => LinkStatus::Synced,
                        _ => continue,
                    };
                    let link = Link { status: next, ..link.clone() };
                    groups.push(Group { record, writes: vec![link.write(&run.now().text())] });
                }
                Some(_) => {}
                None => strangers.push(contact),
            }
        }
        if !run.gate.is_dry() {
            run.store(groups).await?;
        }
        forget_strangers(run, &strangers).await?;
    }
    if moved {
        keep_checkpoint(run).await?;
    }
    Ok(())
}

/// Partners without a link that share a key with one of these contacts are forgotten, so that the next scan matches
/// them again.
async fn forget_strangers(run: &Run<'_>, contacts: &[&Contact]) -> Result<(), Stop> {
    if contacts.is_empty() || run.powers.storage.count(SEEN).await? == 0 {
        return Ok(());
    }
    let mut found = Vec::new();
    let keys = |field, key: fn(&str) -> Option<String>| -> Vec<String> {
        contacts.iter().filter_map(|contact| contact.fields(None).get(field).and_then(key)).collect()
    };
    for (index, keys) in
        [("tax_key", keys(Field::TaxNumber, tax_key)), ("email_key", keys(Field::Email, email_key))]
    {
        if !keys.is_empty() {
            let partners = run.powers.storage.find_many(SEEN, index, keys, 20).await?;
            found.extend(partners.into_iter().map(|(_, entry)| MkId(entry.id)));
        }
    }
    if !run.gate.is_dry() {
        run.put(found.iter().map(Seen::forget).collect()).await?;
    }
    Ok(())
}
