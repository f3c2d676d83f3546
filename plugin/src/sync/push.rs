//! Push: what the CRM has changed since the watermark, carried to Metakocka.

use super::apply::Verdict;
use super::context::{Group, KIND, RACES, Run, Stop};
use super::create::create;
use super::reconcile::{conflicts_of, reconcile};
use super::same_company::same_company;
use super::unreadable::{Contacts, give_up, quarantined, readable_again};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{
    CHECKPOINTS, Checkpoint, Conflict, LINKS, Link, LinkState, LinkStatus, Quarantined, Severity,
};
use crate::metakocka::partner::validate;
use crate::model::{ById, CrmId, Field, Fields, IdSet, same};

/// Changes read at once.
const PAGE: u32 = 2_000;
/// Links with held edits that are looked at in one run.
const PENDING: u32 = 10_000;

/// Whether the CRM has edited a linked contact since the base. A value that is parked and waits for a person is no news.
pub(super) fn edited(contact: &Contact, link: &Link, conflicts: &[Conflict]) -> bool {
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
        let page = Contacts::of(&page.entries);
        forget_deleted(run, page.deleted).await?;
        give_up(run, page.unreadable).await?;
        readable_again(run, &page.readable).await?;
        process(run, page.readable, false).await?;
        keep_checkpoint(run).await?;
    }
    if moved {
        keep_checkpoint(run).await?;
    }
    Ok(())
}

/// Stores the watermarks of a normal run. Where another run has stored its own, each is as far as either has come: both say
/// that all changes before it are dealt with.
///
/// # Errors
///
/// When storage fails.
pub async fn keep_checkpoint(run: &Run<'_>) -> Result<(), Stop> {
    if !run.gate.is_open() {
        return Ok(());
    }
    for _ in 0..RACES {
        let write = run.checkpoint.borrow().write(KIND);
        let stored = run.store(vec![Group::silent(0, vec![write])]).await?;
        if !stored.is_lost(0) {
            run.checkpoint.borrow_mut().revision = stored.revision(0, 0);
            return Ok(());
        }
        let found = run.powers.storage.get_many(CHECKPOINTS, vec![KIND.to_owned()]).await?;
        let found = found.first().map(Checkpoint::read).transpose()?.unwrap_or_default();
        let mut checkpoint = run.checkpoint.borrow_mut();
        *checkpoint = checkpoint.joined(found);
    }
    // Other runs keep moving it: what this one leaves out is only looked at again.
    Ok(())
}

/// Contacts deleted in the CRM: the link remembers it, the partner is left alone.
async fn forget_deleted(run: &Run<'_>, ids: Vec<CrmId>) -> Result<(), Stop> {
    if ids.is_empty() || run.gate.is_dry() {
        return Ok(());
    }
    let at = run.now().text();
    let mut wanted: Vec<String> = ids.iter().map(|id| id.0.clone()).collect();
    for _ in 0..RACES {
        let links = Link::read_all(&run.powers.storage.get_many(LINKS, wanted).await?)?;
        let live: Vec<Link> = links.into_iter().filter(|link| link.state == LinkState::Live).collect();
        let gone = live.iter().map(|link| Link { state: LinkState::CrmGone, ..link.clone() }.write(&at));
        let groups = gone.enumerate().map(|(record, write)| Group::silent(record, vec![write])).collect();
        let stored = run.store(groups).await?;
        wanted = stored
            .lost()
            .iter()
            .filter_map(|record| live.get(*record))
            .map(|link| link.contact.0.clone())
            .collect();
        if wanted.is_empty() {
            break;
        }
    }
    if run.has_quarantine.get() {
        let releases = ids.iter().map(|id| Quarantined::release(Quarantined::crm_entry(id)));
        run.put_any(releases.collect()).await?;
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
    let links = run.links_of(ids.clone()).await?;
    let given_up = quarantined(run, &ids).await?;
    let conflicts = conflicts_of(run, ids).await?;
    let waiting: IdSet<CrmId> = run.pending.borrow().iter().map(|intent| intent.contact.clone()).collect();
    let mut updates = Vec::new();
    let mut creates = Vec::new();
    let unlinked: Vec<&Contact> =
        contacts.iter().filter(|contact| contact.active && !links.contains(&contact.id)).collect();
    let shared = same_company(run, &unlinked).await?;
    let mut groups = Vec::new();
    for contact in contacts.into_iter().filter(|contact| !run.is_planned(&contact.id)) {
        match links.get(&contact.id) {
            Some(link) => match link.state {
                // A failed update whose edit was taken back is over as well.
                LinkState::Live
                    if again
                        || link.status == LinkStatus::Error
                        || edited(&contact, link, parked(&conflicts, &contact)) =>
                {
                    updates.push(contact.id.clone())
                }
                LinkState::Live => {}
                LinkState::ErpGone => {
                    groups.extend(partner_gone(run, &contact, link, given_up.get(&contact.id), groups.len()))
                }
                LinkState::CrmGone => {
                    // Deleted and made again under the same id.
                    let live = Link { state: LinkState::Live, status: LinkStatus::Pending, ..link.clone() };
                    if !run.gate.is_dry() {
                        groups.push(Group::silent(groups.len(), vec![live.write(&run.now().text())]));
                    }
                    updates.push(contact.id.clone());
                }
            },
            None if waiting.contains(&contact.id) || !contact.active => {}
            None => {
                let fields = contact.fields(None);
                let before = given_up.get(&contact.id);
                let is_same =
                    |before: &Quarantined| before.record_hash == fields.fingerprint() && !before.retry;
                if !again && before.is_some_and(is_same) {
                    continue;
                }
                let problems = validate(&fields);
                if problems.is_empty() && shared.contains(&contact.id) {
                    groups.extend(ask_whose(&contact, &fields).group(run, groups.len()));
                } else if problems.is_empty() {
                    creates.push(contact);
                } else {
                    let reason = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    let attempts = before.map_or(0, |before| before.attempts);
                    let verdict = Verdict::of_contact(
                        &contact.id,
                        &fields,
                        reason,
                        "validation",
                        Severity::Quarantined,
                    );
                    groups.extend(Verdict { attempts, ..verdict }.group(run, groups.len()));
                }
            }
        }
    }
    // A link that lost its race was written by another run, which has seen the contact too; the pair is read anew below.
    let _read_anew = run.store(groups).await?;
    run.gate.flush(run.powers).await?;
    reconcile(run, updates).await?;
    create(run, creates).await
}

fn parked<'c>(conflicts: &'c ById<CrmId, Vec<Conflict>>, contact: &Contact) -> &'c [Conflict] {
    conflicts.get(&contact.id).map(Vec::as_slice).unwrap_or_default()
}

/// Several contacts carry this company's name and this one has no number: a person says what it is.
fn ask_whose<'c>(contact: &'c Contact, fields: &Fields) -> Verdict<'c> {
    let reason = "another contact has this company's name, and this one has no tax or registration number to tell whose \
                  partner it is: give it the number of its company, merge the contacts, or set contacts.same-company to \
                  separate for a partner of its own";
    Verdict::of_contact(&contact.id, fields, reason.to_owned(), "same-company", Severity::NeedsReview)
}

/// A person works on a contact whose partner is gone: the edit cannot travel, and that is said, once for each edit.
fn partner_gone(
    run: &Run<'_>,
    contact: &Contact,
    link: &Link,
    before: Option<&Quarantined>,
    record: usize,
) -> Option<Group> {
    const CODE: &str = "partner-gone";
    // Who sets it active again after us decides from here on: it is not ours any more to set it back.
    let mut mine = None;
    if contact.active && link.base.deactivated && !run.gate.is_dry() {
        let mut link = link.clone();
        link.base.deactivated = false;
        mine = Some(link.write(&run.now().text()));
    }
    let verdict = Verdict::of_pair(contact, link, gone_reason(link), CODE, Severity::NeedsReview);
    let said = before.is_some_and(|before| before.code == CODE && before.record_hash == verdict.record_hash);
    if said || !contact.active && !edited(contact, link, &[]) {
        return mine.map(|write| Group::silent(record, vec![write]));
    }
    let (write, effect) = verdict.admitted(run)?;
    Some(Group { record, writes: mine.into_iter().chain([write]).collect(), effect })
}

/// Why an edit of a contact whose partner is gone stays where it is.
pub(super) fn gone_reason(link: &Link) -> String {
    format!(
        "partner {} of this contact is gone from Metakocka, so what is edited here cannot travel: enter the partner there \
         again with the same tax number, or make a new contact",
        link.partner
    )
}

/// Notes what the CRM changed while the direction holds its edits back: linked contacts become `pending`. Partners that had
/// no match have been forgotten before ([`super::reconsider`]).
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
        let page = Contacts::of(&page.entries);
        forget_deleted(run, page.deleted).await?;
        give_up(run, page.unreadable).await?;
        readable_again(run, &page.readable).await?;
        let contacts = page.readable;
        let ids: Vec<String> = contacts.iter().map(|contact| contact.id.0.clone()).collect();
        let conflicts = conflicts_of(run, ids.clone()).await?;
        let given_up = quarantined(run, &ids).await?;
        let links = run.links_of(ids).await?;
        let mut groups = Vec::new();
        for (record, contact) in contacts.iter().enumerate() {
            match links.get(&contact.id) {
                Some(link) if link.state == LinkState::Live => {
                    let is = edited(contact, link, parked(&conflicts, contact));
                    let next = match link.status {
                        LinkStatus::Synced if is => LinkStatus::Pending,
                        LinkStatus::Pending if !is => LinkStatus::Synced,
                        _ => continue,
                    };
                    let mut link = Link { status: next, ..link.clone() };
                    if link.is_in_step() {
                        link.crm_modified = Some(contact.modified.text());
                    }
                    groups.push(Group::silent(record, vec![link.write(&run.now().text())]));
                }
                Some(link) if link.state == LinkState::ErpGone => {
                    groups.extend(partner_gone(run, contact, link, given_up.get(&contact.id), record));
                }
                Some(_) | None => {}
            }
        }
        if !run.gate.is_dry() {
            // A link that lost its race was merged by another run just now: its status is newer than ours.
            let _newer = run.store(groups).await?;
        }
    }
    if moved {
        keep_checkpoint(run).await?;
    }
    Ok(())
}
