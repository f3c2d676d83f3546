//! Reconciling: linked pairs whose CRM side was edited. A fresh read, one merge, one patch, one commit.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::apply::{self, Settled, Verdict};
use super::context::{Group, IN_FLIGHT, Run, Stop, TROUBLE, WINDOW};
use super::merge::{Merged, Rules, Side, Versions, merge};
use super::pull::{contacts, update_item};
use super::push::fingerprint;
use crate::crm::Contact;
use crate::ledger::{
    CONFLICTS, Conflict, Intent, IntentState, LINKS, Link, LinkState, LinkStatus, Quarantined, Severity,
};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment, WriteOutcome};
use crate::metakocka::partner::{Problem, appends, update_body};
use crate::model::{CrmId, Field, Time, same};
use crate::ports::{Change, Expect, Write};

/// Conflicts stored for these contacts.
///
/// # Errors
///
/// When storage fails.
pub async fn conflicts_of(run: &Run<'_>, ids: Vec<String>) -> Result<BTreeMap<CrmId, Vec<Conflict>>, Stop> {
    let mut found: BTreeMap<CrmId, Vec<Conflict>> = BTreeMap::new();
    if run.has_conflicts.get() && !ids.is_empty() {
        for (_, entry) in run.powers.storage.find_many(CONFLICTS, "crm_id", ids, 50).await? {
            if let Some(conflict) = Conflict::read(&entry) {
                found.entry(conflict.crm_id.clone()).or_default().push(conflict);
            }
        }
    }
    Ok(found)
}

/// What people have decided.
#[must_use]
pub fn decisions(conflicts: &[Conflict]) -> Vec<(Field, Side)> {
    conflicts
        .iter()
        .filter_map(|conflict| {
            let side = match conflict.decision.as_deref()? {
                "metakocka" => Side::Metakocka,
                "crm" => Side::Crm,
                _ => return None,
            };
            Some((Field::named(&conflict.field)?, side))
        })
        .collect()
}

/// One pair on its way through a window.
struct Pair {
    contact: Contact,
    link: Link,
    conflicts: Vec<Conflict>,
    fresh: Read,
    merged: Merged,
    body: Option<Value>,
    /// Fields that can only be sent once this update has made room for them.
    deferred: Vec<Field>,
}

/// How the write of a pair ended.
enum Sent {
    /// There was nothing to send.
    Nothing,
    Done(Box<Read>),
    Refused(String),
    Unknown(String),
    /// It never left.
    Withheld(CallError),
}

/// Brings these linked contacts and their partners in step.
///
/// # Errors
///
/// When the run has to stop.
pub async fn reconcile(run: &Run<'_>, ids: Vec<CrmId>) -> Result<(), Stop> {
    pass(run, ids, false).await?;
    let again = run.once_more.take();
    pass(run, again.into_iter().collect(), false).await
}

/// The same for records whose last update may have been carried out: finding it there counts as the update.
///
/// # Errors
///
/// When the run has to stop.
pub async fn reconcile_unclear(run: &Run<'_>, ids: Vec<CrmId>) -> Result<(), Stop> {
    pass(run, ids, true).await
}

async fn pass(run: &Run<'_>, ids: Vec<CrmId>, unclear: bool) -> Result<(), Stop> {
    let unsettled: BTreeSet<CrmId> = run
        .pending
        .borrow()
        .iter()
        .filter(|intent| intent.is_update())
        .map(|intent| intent.contact.clone())
        .collect();
    // What a dry run has decided once would only be decided again.
    let planned = |id: &CrmId| run.gate.is_dry() && run.counted.borrow().contains(id);
    let ids: BTreeSet<CrmId> = ids.into_iter().filter(|id| !unsettled.contains(id) && !planned(id)).collect();
    let ids: Vec<CrmId> = ids.into_iter().collect();
    let mut done = 0;
    for window in ids.chunks(WINDOW) {
        reconcile_window(run, window, unclear).await?;
        done += window.len() as u64;
        run.powers.log.progress("contacts to partners: updates", done, Some(ids.len() as u64));
        run.gate.flush(run.powers).await?;
    }
    Ok(())
}

async fn reconcile_window(run: &Run<'_>, ids: &[CrmId], unclear: bool) -> Result<(), Stop> {
    let pairs = read_pairs(run, ids).await?;
    let mut open: Vec<Pair> = Vec::new();
    let mut stop: Option<Stop> = None;
    for pair in pairs {
        match pair {
            Ok(pair) => open.push(pair),
            Err(error) => stop = stop.or(Some(error)),
        }
    }

    // An update that adds a row must be on record before it is sent: repeated, it would add the row again.
    let settle = run.now().plus(run.settings.settle());
    let mut notes: BTreeMap<CrmId, Intent> = BTreeMap::new();
    for pair in open.iter().filter(|pair| pair.body.as_ref().is_some_and(appends)) {
        let note = Intent::update(pair.contact.id.clone(), IntentState::UpdateOpen, run.now(), settle);
        notes.insert(pair.contact.id.clone(), note);
    }
    let mut before_sending: Vec<Write> = notes.values().map(Intent::write).collect();
    for pair in &open {
        before_sending.extend(history(run, pair).into_iter().map(|(_, write)| write));
    }
    run.put(before_sending).await?;

    let results: Vec<Sent> = stream::iter(&open)
        .map(|pair| async move {
            let Some(body) = &pair.body else { return Sent::Nothing };
            match run.client.update_partner(body).await {
                Ok(read) => Sent::Done(Box::new(read)),
                Err(WriteOutcome::Refused(refusal)) => Sent::Refused(refusal.to_string()),
                Err(WriteOutcome::NotSent(error)) => Sent::Withheld(error),
                Err(WriteOutcome::Unknown(reason)) => Sent::Unknown(reason),
                Err(WriteOutcome::Done(_)) => Sent::Nothing,
            }
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await;

    let mut groups = Vec::new();
    for (record, (pair, sent)) in open.iter().zip(&results).enumerate() {
        let mut writes = outcome(run, pair, sent);
        if unclear && matches!(sent, Sent::Nothing) {
            run.report().metakocka_updated += 1;
        }
        if !matches!(sent, Sent::Unknown(_) | Sent::Withheld(_)) {
            run.settled(&pair.contact.id);
        }
        match (sent, notes.get(&pair.contact.id)) {
            (Sent::Unknown(reason), _) => {
                let now = run.now();
                let intent = Intent::update(
                    pair.contact.id.clone(),
                    IntentState::UpdateUnknown,
                    now,
                    now.plus(run.settings.settle()),
                );
                let mut write = intent.write();
                // The note of the same contact is replaced, whatever its revision.
                write.expect = Expect::Any;
                writes.push(write);
                run.pending.borrow_mut().push(intent);
                run.powers.log.log(
                    crate::ports::Level::Info,
                    crate::ports::Category::Api,
                    "the outcome of an update is not known",
                    &[("crm_id", &pair.contact.id.0), ("error", reason)],
                );
            }
            (_, Some(note)) => writes.push(note.done()),
            (_, None) => {}
        }
        if let Sent::Withheld(error) = sent {
            stop = stop.or(Some(Stop::Call(error.clone())));
        }
        groups.push(Group { record, writes });
    }
    let lost = run.store(groups).await?;
    settle_lost(run, &open, &results, lost).await?;
    stop.map_or(Ok(()), Err)
}

/// Reads links, contacts and fresh partners of a window and merges them.
async fn read_pairs(run: &Run<'_>, ids: &[CrmId]) -> Result<Vec<Result<Pair, Stop>>, Stop> {
    let texts: Vec<String> = ids.iter().map(|id| id.0.clone()).collect();
    let links: Vec<Link> = run
        .powers
        .storage
        .get_many(LINKS, texts.clone())
        .await?
        .iter()
        .filter_map(Link::read)
        .filter(|link| link.state == LinkState::Live)
        .collect();
    let mut contacts = contacts(run, texts.clone()).await?;
    let mut conflicts = conflicts_of(run, texts).await?;
    let looks = run.ask(links.iter().map(|link| PartnerKey::Id(link.partner.clone())).collect()).await;
    let first_time: BTreeSet<CrmId> = links
        .iter()
        .map(|link| link.contact.clone())
        .filter(|id| run.counted.borrow_mut().insert(id.clone()))
        .collect();
    run.report().calls_least += first_time.len() as u64;
    let mut pairs = Vec::new();
    let mut trouble = 0;
    for (link, look) in links.into_iter().zip(looks) {
        let Some(contact) = contacts.remove(&link.contact) else { continue };
        let known = conflicts.remove(&link.contact).unwrap_or_default();
        match look {
            Ok(found) => {
                trouble = 0;
                match found.into_iter().find(|read| read.partner.id == link.partner) {
                    Some(fresh) => {
                        pairs.extend(decide(run, contact, link, known, fresh, &first_time).await?.map(Ok))
                    }
                    None => {
                        let reason = "the linked partner is not in Metakocka any more; a full sync from Metakocka decides whether \
                                  this contact becomes inactive"
                        .to_owned();
                        give_up(run, &contact, &link, reason, "partner-missing").await?;
                    }
                }
            }
            Err(error) if error.treatment() == Treatment::StopRun => pairs.push(Err(error.into())),
            Err(error) => {
                // Nothing is known about the record, so it is looked at again in the next run.
                run.trouble(&contact.id, &error);
                if !run.gate.is_dry() {
                    let link = Link { status: LinkStatus::Pending, ..link };
                    run.put(vec![link.write(&run.now().text())]).await?;
                }
                trouble += 1;
                if trouble >= TROUBLE {
                    pairs.push(Err(error.into()));
                }
            }
        }
    }
    Ok(pairs)
}

/// Merges a pair and makes the body of its update; `None` when the gate keeps it back or it is given up.
async fn decide(
    run: &Run<'_>,
    contact: Contact,
    link: Link,
    conflicts: Vec<Conflict>,
    fresh: Read,
    first_time: &BTreeSet<CrmId>,
) -> Result<Option<Pair>, Stop> {
    let merged = merge_pair(run, &contact, &link, &fresh, &conflicts);
    let changes: Vec<(Field, String)> = merged
        .to_metakocka
        .iter()
        .filter_map(|change| change.new.clone().map(|value| (change.field, value)))
        .collect();
    let update = if changes.is_empty() { Ok(None) } else { update_body(&fresh.bytes, &changes).map(Some) };
    let (body, deferred) = match update {
        Ok(None) => (None, Vec::new()),
        Ok(Some(update)) => (Some(update.body), update.deferred),
        Err(Problem(reason)) => {
            give_up(run, &contact, &link, reason, "validation").await?;
            return Ok(None);
        }
    };
    if merged.writes()
        && !run.gate.admits(|| update_item(&contact, &link.partner, &merged.to_crm, &merged.to_metakocka))
        || run.gate.is_dry()
    {
        return Ok(None);
    }
    let mut report = run.report();
    report.conflicts += merged.contested;
    report.calls_least += u64::from(body.is_some() && first_time.contains(&contact.id));
    drop(report);
    Ok(Some(Pair { contact, link, conflicts, fresh, merged, body, deferred }))
}

fn merge_pair(run: &Run<'_>, contact: &Contact, link: &Link, fresh: &Read, conflicts: &[Conflict]) -> Merged {
    let crm = contact.fields(Some(&link.base));
    merge(
        Versions {
            base: &link.base,
            crm: &crm,
            metakocka: &fresh.partner.fields,
            crm_modified: run.modified(contact),
            metakocka_seen: first_seen(run, link, fresh),
        },
        Rules {
            direction: run.request.direction,
            policies: &run.settings.policies,
            decisions: &decisions(conflicts),
        },
    )
}

fn first_seen(run: &Run<'_>, link: &Link, fresh: &Read) -> Time {
    if link.raw_hash == Some(fresh.partner.raw_hash) {
        link.first_seen.unwrap_or(run.began)
    } else {
        run.now()
    }
}

/// The writes that follow from how a pair's update ended.
fn outcome(run: &Run<'_>, pair: &Pair, sent: &Sent) -> Vec<Write> {
    match sent {
        Sent::Done(after) => after_update(run, pair, after),
        Sent::Nothing => {
            let status = apply::status(&pair.merged, false);
            let mut writes = without_update(run, pair, status);
            writes.extend(cleared(run, pair));
            if run.has_quarantine.get() && pair.merged.cleared.is_empty() {
                writes.push(Quarantined::release(Quarantined::crm_entry(&pair.contact.id)));
            }
            writes
        }
        Sent::Refused(reason) => {
            let mut writes = without_update(run, pair, LinkStatus::Error);
            writes.extend(no_history(run, pair, |_| true));
            writes.push(refused(run, pair, reason.clone(), "refused"));
            writes
        }
        // The note in the outbox brings the record back.
        Sent::Unknown(_) if pair.merged.to_crm.is_empty() => Vec::new(),
        Sent::Unknown(_) => without_update(run, pair, LinkStatus::Pending),
        Sent::Withheld(_) => {
            let mut writes = without_update(run, pair, LinkStatus::Pending);
            writes.extend(no_history(run, pair, |_| true));
            writes
        }
    }
}

/// What may be stored although Metakocka was not told: everything but the fields it was to be told.
fn without_update(run: &Run<'_>, pair: &Pair, status: LinkStatus) -> Vec<Write> {
    let link = Link {
        code: pair.fresh.partner.code.clone(),
        status,
        base: pair.merged.base.clone(),
        raw_hash: Some(pair.fresh.partner.raw_hash),
        first_seen: Some(first_seen(run, &pair.link, &pair.fresh)),
        ..pair.link.clone()
    };
    run.report().crm_updated += u64::from(!pair.merged.to_crm.is_empty());
    let settled = Settled {
        contact: &pair.contact,
        link,
        to_crm: &pair.merged.to_crm,
        parked: &pair.merged.parked,
        held: &pair.merged.held,
        known_conflicts: &pair.conflicts,
        revive: false,
    };
    apply::settled(run, settled, Some(&pair.link))
}

/// What Metakocka is about to lose, under ids that a second try gives again. It is on record before the update is sent:
/// after a crash nobody could tell any more what stood there.
fn history(run: &Run<'_>, pair: &Pair) -> Vec<(Field, Write)> {
    let changes = pair.merged.to_metakocka.iter().filter(|change| {
        pair.body.is_some() && change.old.is_some() && !pair.deferred.contains(&change.field)
    });
    let at = run.now().text();
    changes
        .map(|change| {
            let revision = pair.link.revision.unwrap_or_default();
            let id = format!("{}.{revision:012}.{}", pair.contact.id, change.field);
            let ids = (&pair.contact.id, &pair.link.partner);
            let mut write = apply::overwritten(run, ids, Side::Metakocka, change, &at, id);
            write.expect = Expect::Any;
            (change.field, write)
        })
        .collect()
}

/// Takes back what [`history`] has put on record for these fields, Metakocka having refused or ignored them.
fn no_history(run: &Run<'_>, pair: &Pair, fields: impl Fn(Field) -> bool) -> Vec<Write> {
    history(run, pair)
        .into_iter()
        .filter(|(field, _)| fields(*field))
        .map(|(_, write)| Write { expect: Expect::Any, change: Change::Delete, ..write })
        .collect()
}

/// The update was carried out: the base now holds what Metakocka really stored.
fn after_update(run: &Run<'_>, pair: &Pair, after: &Read) -> Vec<Write> {
    let mut base = pair.merged.base.clone();
    let mut ignored: Vec<&str> = Vec::new();
    for change in pair.merged.to_metakocka.iter().filter(|change| !pair.deferred.contains(&change.field)) {
        let stored = after.partner.fields.get(change.field);
        let untouched = same(change.field, stored, pair.fresh.partner.fields.get(change.field))
            && !same(change.field, stored, change.new.as_deref());
        if untouched {
            ignored.push(change.field.name());
        } else {
            base.agree(change.field, change.new.as_deref(), stored);
        }
    }
    // Somebody may have edited other fields between the read and the write: what is there now is merged once more.
    let link = Link { base, ..pair.link.clone() };
    let mut crm = pair.contact.fields(Some(&pair.link.base));
    for change in &pair.merged.to_crm {
        crm.set(change.field, change.new.as_deref());
    }
    let again = merge(
        Versions {
            base: &link.base,
            crm: &crm,
            metakocka: &after.partner.fields,
            crm_modified: run.modified(&pair.contact),
            metakocka_seen: run.now(),
        },
        Rules {
            direction: run.request.direction,
            policies: &run.settings.policies,
            decisions: &decisions(&pair.conflicts),
        },
    );
    let mut to_crm = pair.merged.to_crm.clone();
    for change in &again.to_crm {
        match to_crm.iter_mut().find(|known| known.field == change.field) {
            Some(known) => known.new.clone_from(&change.new),
            None => to_crm.push(change.clone()),
        }
    }
    let leftover = again.to_metakocka.iter().any(|change| !ignored.contains(&change.field.name()));
    if !pair.deferred.is_empty() {
        run.once_more.borrow_mut().insert(pair.contact.id.clone());
    }
    let status = if ignored.is_empty() { apply::status(&again, leftover) } else { LinkStatus::Error };
    {
        let mut report = run.report();
        // What was sent and ignored, all of it, was no update.
        let sent = pair.merged.to_metakocka.len() - pair.deferred.len();
        report.metakocka_updated += u64::from(ignored.len() < sent);
        report.crm_updated += u64::from(!to_crm.is_empty());
    }
    let settled = Settled {
        contact: &pair.contact,
        link: Link {
            code: after.partner.code.clone(),
            status,
            base: again.base.clone(),
            raw_hash: Some(after.partner.raw_hash),
            first_seen: Some(run.now()),
            ..link
        },
        to_crm: &to_crm,
        parked: &again.parked,
        held: &again.held,
        known_conflicts: &pair.conflicts,
        revive: false,
    };
    let mut writes = apply::settled(run, settled, Some(&pair.link));
    writes.extend(cleared(run, pair));
    if !ignored.is_empty() {
        writes.extend(no_history(run, pair, |field| ignored.contains(&field.name())));
        let reason = format!("Metakocka accepted the update but did not store: {}", ignored.join(", "));
        writes.push(refused(run, pair, reason, "not-taken"));
    } else if run.has_quarantine.get() && pair.merged.cleared.is_empty() {
        writes.push(Quarantined::release(Quarantined::crm_entry(&pair.contact.id)));
    }
    writes
}

/// A field emptied in the CRM cannot be sent: a person is told, once.
fn cleared(run: &Run<'_>, pair: &Pair) -> Option<Write> {
    if pair.merged.cleared.is_empty() {
        return None;
    }
    let names: Vec<&str> = pair.merged.cleared.iter().map(|field| field.name()).collect();
    Some(apply::quarantine(
        run,
        Verdict {
            side: Side::Crm,
            crm_id: Some(&pair.contact.id),
            metakocka_id: Some(&pair.link.partner),
            reason: format!(
                "emptied in the CRM, but Metakocka's API cannot empty a partner's field: clear {} there by hand",
                names.join(", ")
            ),
            code: "cleared-field",
            severity: Severity::NeedsReview,
            record_hash: fingerprint(&pair.contact.fields(Some(&pair.link.base))),
            attempts: 0,
        },
    ))
}

fn refused(run: &Run<'_>, pair: &Pair, reason: String, code: &str) -> Write {
    apply::quarantine(
        run,
        Verdict {
            side: Side::Crm,
            crm_id: Some(&pair.contact.id),
            metakocka_id: Some(&pair.link.partner),
            reason,
            code,
            severity: Severity::Quarantined,
            record_hash: fingerprint(&pair.contact.fields(Some(&pair.link.base))),
            attempts: 0,
        },
    )
}

/// A pair that cannot go on is given up with its reason.
async fn give_up(
    run: &Run<'_>,
    contact: &Contact,
    link: &Link,
    reason: String,
    code: &str,
) -> Result<(), Stop> {
    let item = || super::plan::Item {
        action: super::plan::Action::Quarantine,
        reason: Some(reason.clone()),
        ..update_item(contact, &link.partner, &[], &[])
    };
    if !run.gate.admits(item) {
        return Ok(());
    }
    let link = Link { status: LinkStatus::Error, ..link.clone() };
    let write = apply::quarantine(
        run,
        Verdict {
            side: Side::Crm,
            crm_id: Some(&contact.id),
            metakocka_id: Some(&link.partner),
            reason: reason.clone(),
            code,
            severity: Severity::Quarantined,
            record_hash: fingerprint(&contact.fields(Some(&link.base))),
            attempts: 0,
        },
    );
    run.put(vec![link.write(&run.now().text()), write]).await?;
    Ok(())
}

/// The CRM edited a contact while its partner was being updated: Metakocka's part is stored, and the contact is
/// looked at again in the next run, because its change is newer than every watermark.
async fn settle_lost(run: &Run<'_>, open: &[Pair], results: &[Sent], lost: Vec<usize>) -> Result<(), Stop> {
    let mut groups = Vec::new();
    for record in lost {
        let (Some(pair), Some(sent)) = (open.get(record), results.get(record)) else { continue };
        let mut base = pair.link.base.clone();
        let (mut raw_hash, mut code) = (pair.link.raw_hash, pair.link.code.clone());
        if let Sent::Done(after) = sent {
            for change in
                pair.merged.to_metakocka.iter().filter(|change| !pair.deferred.contains(&change.field))
            {
                base.agree(change.field, change.new.as_deref(), after.partner.fields.get(change.field));
            }
            // Fields Metakocka changed itself are not in the base yet: without a hash the next pull looks at them.
            raw_hash = None;
            code.clone_from(&after.partner.code);
        }
        let link = Link { base, raw_hash, code, status: LinkStatus::Pending, ..pair.link.clone() };
        let mut writes = vec![link.write(&run.now().text())];
        let now = run.now();
        let note =
            |state| Intent::update(pair.contact.id.clone(), state, now, now.plus(run.settings.settle()));
        match sent {
            Sent::Unknown(_) => {
                let mut write = note(IntentState::UpdateUnknown).write();
                write.expect = Expect::Any;
                writes.push(write);
            }
            Sent::Done(_) if pair.body.as_ref().is_some_and(appends) => {
                writes.push(note(IntentState::UpdateOpen).done());
            }
            _ => {}
        }
        groups.push(Group { record, writes });
    }
    run.store(groups).await?;
    Ok(())
}
