//! Reconciling: linked pairs whose CRM side was edited. A fresh read, one merge, one patch, one commit.

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::apply::{self, Settled, Verdict};
use super::context::{Group, IN_FLIGHT, RACES, Run, Stop, TROUBLE, WINDOW};
use super::effect::Effect;
use super::merge::{Merged, Side, Versions};
use super::pull::pair_item;
use super::rename;
use super::unclear::keep_open;
use super::unreadable::Contacts;
use crate::crm::Contact;
use crate::ledger::{
    CONFLICTS, Conflict, Decision, Intent, IntentState, Link, LinkState, LinkStatus, OUTBOX, Quarantined,
    Severity,
};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment, WriteOutcome};
use crate::metakocka::partner::{Problem, appends, update_body};
use crate::model::{ById, CrmId, Field, IdSet, Time, same};
use crate::ports::{Change, Expect, Write};

/// Conflicts stored for these contacts.
///
/// # Errors
///
/// When storage fails.
pub async fn conflicts_of(run: &Run<'_>, ids: Vec<String>) -> Result<ById<CrmId, Vec<Conflict>>, Stop> {
    let mut found: ById<CrmId, Vec<Conflict>> = ById::default();
    if run.has_conflicts.get() && !ids.is_empty() {
        for (_, entry) in run.powers.storage.find_many(CONFLICTS, "crm_id", ids, 50).await? {
            let conflict = Conflict::read(&entry)?;
            found.entry(conflict.crm_id.clone()).push(conflict);
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
            let side = match conflict.decision? {
                Decision::Metakocka => Side::Metakocka,
                Decision::Crm => Side::Crm,
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
    /// What is on record about an update that may have been carried out.
    intent: Option<Intent>,
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

/// In-doubt updates by contact.
type InDoubt = ById<CrmId, Intent>;

/// Brings these linked contacts and their partners in step.
///
/// # Errors
///
/// When the run has to stop.
pub async fn reconcile(run: &Run<'_>, ids: Vec<CrmId>) -> Result<(), Stop> {
    pass(run, ids, InDoubt::default()).await?;
    let again = run.once_more.take();
    pass(run, again.into_ids().collect(), InDoubt::default()).await
}

/// The same for records whose last update may have been carried out: finding it there counts as the update, and its intent
/// goes with the outcome.
///
/// # Errors
///
/// When the run has to stop.
pub async fn reconcile_in_doubt(run: &Run<'_>, intents: Vec<Intent>) -> Result<(), Stop> {
    let ids = intents.iter().map(|intent| intent.contact.clone()).collect();
    let in_doubt = intents.into_iter().map(|intent| (intent.contact.clone(), intent)).collect();
    pass(run, ids, in_doubt).await
}

async fn pass(run: &Run<'_>, ids: Vec<CrmId>, mut in_doubt: InDoubt) -> Result<(), Stop> {
    let unsettled: IdSet<CrmId> = run
        .pending
        .borrow()
        .iter()
        .filter(|intent| intent.is_update())
        .map(|intent| intent.contact.clone())
        .collect();
    // What a dry run has decided once would only be decided again.
    let ids: IdSet<CrmId> =
        ids.into_iter().filter(|id| !unsettled.contains(id) && !run.is_planned(id)).collect();
    let mut ids: Vec<CrmId> = ids.into_ids().collect();
    let total = ids.len() as u64;
    let mut ended = Ok(());
    for _ in 0..RACES {
        let mut overtaken = Vec::new();
        for (number, window) in ids.chunks(WINDOW).enumerate() {
            ended = reconcile_window(run, window, &mut in_doubt, &mut overtaken).await;
            let done = (number * WINDOW + window.len()) as u64;
            run.powers.log.progress("contacts to partners: updates", done, Some(total));
            run.gate.flush(run.powers).await?;
            if ended.is_err() {
                break;
            }
        }
        ids = overtaken;
        if ids.is_empty() || ended.is_err() {
            break;
        }
    }
    for id in &ids {
        run.taken(id);
    }
    // What could not be looked at stays on record and in mind.
    run.pending.borrow_mut().extend(in_doubt.into_values());
    ended
}

async fn reconcile_window(
    run: &Run<'_>,
    ids: &[CrmId],
    in_doubt: &mut InDoubt,
    overtaken: &mut Vec<CrmId>,
) -> Result<(), Stop> {
    let Window { pairs, mut groups, mut stop } = read_pairs(run, ids, in_doubt).await?;
    let open = announce(run, pairs, overtaken).await?;
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
    let given_up = groups.len();
    let mut in_mind = Vec::new();
    for (position, (pair, sent)) in open.iter().zip(&results).enumerate() {
        let (mut writes, mut effect) = outcome(run, pair, sent);
        if matches!(sent, Sent::Unknown(_) | Sent::Withheld(_)) {
            // Still to be found out.
        } else {
            run.settled(&pair.contact.id);
        }
        match sent {
            Sent::Unknown(reason) => {
                let intent = unknown(run, pair, reason);
                writes.push(intent.write());
                in_mind.push((given_up + position, writes.len() - 1, intent));
            }
            // An update seen carried out by an earlier run counts where its intent goes.
            Sent::Nothing if pair.intent.is_some() => effect.metakocka_updated += 1,
            _ => {}
        }
        if !matches!(sent, Sent::Unknown(_)) {
            writes.extend(pair.intent.as_ref().map(Intent::done));
        }
        if let Sent::Withheld(error) = sent {
            stop = stop.or(Some(Stop::Call(error.clone())));
        }
        groups.push(Group { record: given_up + position, writes, effect });
    }
    let stored = run.store(groups).await?;
    for (record, write, mut intent) in in_mind {
        if !stored.is_lost(record) {
            intent.revision = stored.revision(record, write);
            if intent.revision.is_none() {
                intent.revision = stored_revision(run, &intent.contact).await?;
            }
            run.pending.borrow_mut().push(intent);
        }
    }
    let lost: Vec<usize> = stored.lost().iter().filter_map(|record| record.checked_sub(given_up)).collect();
    settle_lost(run, &open, &results, lost).await?;
    stop.map_or(Ok(()), Err)
}

/// The revision the intent of this contact has in the outbox.
async fn stored_revision(run: &Run<'_>, contact: &CrmId) -> Result<Option<u64>, Stop> {
    let found = run.powers.storage.get_many(OUTBOX, vec![contact.0.clone()]).await?;
    Ok(found.first().map(|entry| entry.revision))
}

/// The intent of an update whose outcome is not known.
fn unknown(run: &Run<'_>, pair: &Pair, reason: &str) -> Intent {
    run.powers.log.log(
        crate::ports::Level::Info,
        crate::ports::Category::Api,
        "the outcome of an update is not known",
        &[("crm_id", &pair.contact.id.0), ("error", reason)],
    );
    let (now, until) = (run.now(), run.now().plus(run.settings.settle()));
    let intent = Intent::update(pair.contact.id.clone(), IntentState::UpdateUnknown, now, until);
    Intent { revision: pair.intent.as_ref().and_then(|intent| intent.revision), ..intent }
}

/// Puts on record what must be there before an update is sent, provided that nobody has touched the link since it was read:
/// the values Metakocka is about to lose, and, for an update that adds a row, its intent, because repeated it would add the
/// row again. Pairs that lost are to be decided again.
async fn announce(
    run: &Run<'_>,
    mut pairs: Vec<Pair>,
    overtaken: &mut Vec<CrmId>,
) -> Result<Vec<Pair>, Stop> {
    let settle = run.now().plus(run.settings.settle());
    let mut groups = Vec::new();
    for (record, pair) in pairs.iter_mut().enumerate() {
        let Some(body) = &pair.body else { continue };
        let mut writes = vec![pair.link.untouched()];
        if appends(body) {
            let revision = pair.intent.as_ref().and_then(|intent| intent.revision);
            let intent = Intent::update(pair.contact.id.clone(), IntentState::UpdateOpen, run.now(), settle);
            let intent = Intent { revision, ..intent };
            writes.push(intent.write());
            pair.intent = Some(intent);
        }
        writes.extend(history(run, pair).into_iter().map(|(_, write)| write));
        groups.push(Group::silent(record, writes));
    }
    let stored = run.store(groups).await?;
    let mut open = Vec::new();
    for (record, mut pair) in pairs.into_iter().enumerate() {
        if stored.is_lost(record) {
            overtaken.push(pair.contact.id);
            continue;
        }
        if let (Some(intent), Some(body)) = (&mut pair.intent, &pair.body)
            && appends(body)
        {
            intent.revision = stored.revision(record, 1);
        }
        open.push(pair);
    }
    Ok(open)
}

/// What reading a window gave.
#[derive(Default)]
struct Window {
    pairs: Vec<Pair>,
    /// What is to be stored without any send.
    groups: Vec<Group>,
    stop: Option<Stop>,
}

/// Reads links, contacts and fresh partners of a window and merges them. Takes the intents it decides about out of
/// `in_doubt`.
async fn read_pairs(run: &Run<'_>, ids: &[CrmId], in_doubt: &mut InDoubt) -> Result<Window, Stop> {
    let texts: Vec<String> = ids.iter().map(|id| id.0.clone()).collect();
    let links = run.links_of(texts.clone()).await?.into_values();
    let links: Vec<Link> = links.filter(|link| link.state == LinkState::Live).collect();
    let (mut contacts, unreadable) = Contacts::told_apart(run, texts.clone()).await?;
    let mut conflicts = conflicts_of(run, texts).await?;
    let looks = run.ask(links.iter().map(|link| PartnerKey::Id(link.partner.clone())).collect()).await;
    let first_time: IdSet<CrmId> = links
        .iter()
        .map(|link| link.contact.clone())
        .filter(|id| run.counted.borrow_mut().insert(id.clone()))
        .collect();
    run.report().calls_least += first_time.len() as u64;
    let mut window = Window::default();
    let mut trouble = 0;
    let looked_at: IdSet<CrmId> = links.iter().map(|link| link.contact.clone()).collect();
    for (link, look) in links.into_iter().zip(looks) {
        let Some(contact) = contacts.remove(&link.contact) else { continue };
        let known = conflicts.remove(&link.contact).unwrap_or_default();
        trouble = if look.is_err() { trouble + 1 } else { 0 };
        match look {
            Ok(found) => {
                let intent = in_doubt.remove(&contact.id);
                let fresh = found.into_iter().find(|read| read.partner.id == link.partner);
                let decided = decide(run, contact, link, known, fresh, intent, &first_time);
                match decided {
                    Decided::Pair(pair) => window.pairs.push(*pair),
                    Decided::GivenUp(writes, effect) => {
                        window.groups.push(Group { record: window.groups.len(), writes, effect });
                    }
                    Decided::Nothing => {}
                }
            }
            Err(error) if error.treatment() == Treatment::StopRun => {
                window.stop = window.stop.or(Some(error.into()));
            }
            Err(error) => {
                // Nothing is known about the record, so it is looked at again in the next run.
                run.trouble(&contact.id, &error);
                if !run.gate.is_dry() {
                    let link = Link { status: LinkStatus::Pending, ..link };
                    let writes = vec![link.write(&run.now().text())];
                    window.groups.push(Group::silent(window.groups.len(), writes));
                }
                if trouble >= TROUBLE {
                    window.stop = window.stop.or(Some(error.into()));
                }
            }
        }
    }
    // Intents of records without a live link or without a contact are over.
    for id in ids.iter().filter(|id| !unreadable.contains(id)) {
        if !looked_at.contains(id)
            && let Some(intent) = in_doubt.remove(id)
        {
            window.groups.push(Group::silent(window.groups.len(), vec![intent.done()]));
        }
    }
    Ok(window)
}

/// What is to be done with a pair.
enum Decided {
    Pair(Box<Pair>),
    GivenUp(Vec<Write>, Effect),
    Nothing,
}

/// Merges a pair and makes the body of its update.
fn decide(
    run: &Run<'_>,
    contact: Contact,
    link: Link,
    conflicts: Vec<Conflict>,
    fresh: Option<Read>,
    intent: Option<Intent>,
    first_time: &IdSet<CrmId>,
) -> Decided {
    let Some(fresh) = fresh else {
        let reason = "the linked partner is not in Metakocka any more; a full sync from Metakocka decides whether this \
                      contact becomes inactive";
        return give_up(run, &contact, &link, intent.as_ref(), reason.to_owned(), "partner-missing");
    };
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
        Err(Problem { reason, .. }) => {
            return give_up(run, &contact, &link, intent.as_ref(), reason, "validation");
        }
    };
    if let Some(forecast) = run.gate.forecast() {
        forecast.will_change(&fresh.partner, &merged.to_metakocka);
    }
    if (merged.writes() || merged.asks())
        && !run.follows_up(&contact.id)
        && !run.gate.admits(|| pair_item(&contact, &link.partner, &merged, merged.writes()))
        || run.gate.is_dry()
    {
        run.pending.borrow_mut().extend(intent);
        return Decided::Nothing;
    }
    run.report().calls_least += u64::from(body.is_some() && first_time.contains(&contact.id));
    Decided::Pair(Box::new(Pair { contact, link, conflicts, fresh, merged, body, deferred, intent }))
}

fn merge_pair(run: &Run<'_>, contact: &Contact, link: &Link, fresh: &Read, conflicts: &[Conflict]) -> Merged {
    let versions = Versions {
        base: &link.base,
        crm: &contact.fields(Some(&link.base)),
        metakocka: &fresh.partner.fields,
        crm_modified: run.modified(contact),
        metakocka_seen: first_seen(run, link, fresh),
    };
    merge_linked(run, versions, conflicts)
}

/// Merges a linked pair; another company's name waits for a person, unless the settings send it.
fn merge_linked(run: &Run<'_>, versions: Versions<'_>, conflicts: &[Conflict]) -> Merged {
    let decisions = decisions(conflicts);
    let mut merged = run.merge(versions, &decisions);
    if !run.settings.send_renames {
        rename::ask(&mut merged, &decisions);
    }
    merged
}

fn first_seen(run: &Run<'_>, link: &Link, fresh: &Read) -> Time {
    if link.raw_hash == Some(fresh.partner.raw_hash) {
        link.first_seen.unwrap_or(run.began)
    } else {
        run.now()
    }
}

/// The writes that follow from how a pair's update ended, and what they count for.
fn outcome(run: &Run<'_>, pair: &Pair, sent: &Sent) -> (Vec<Write>, Effect) {
    let parked = !pair.merged.parked.is_empty();
    let effect = Effect { conflicts: pair.merged.contested, parked, ..Effect::default() };
    let mut effect = effect.about(&pair.contact.id, &pair.link.partner);
    let crm_updated = Effect::crm_updated(!pair.merged.to_crm.is_empty());
    let writes = match sent {
        Sent::Done(after) => return after_update(run, pair, after, effect),
        Sent::Nothing => {
            let status = apply::status(&pair.merged, false);
            let mut writes = without_update(run, pair, status, None);
            effect.join(crm_updated);
            writes.extend(cleared(run, pair, &mut effect));
            writes.extend(renamed(run, pair, &mut effect));
            if run.has_quarantine.get() && pair.merged.cleared.is_empty() && !pair.merged.renamed {
                writes.push(Quarantined::release(Quarantined::crm_entry(&pair.contact.id)));
            }
            writes
        }
        Sent::Refused(reason) => {
            let mut writes = without_update(run, pair, LinkStatus::Error, Some(reason.clone()));
            effect.join(crm_updated);
            writes.extend(no_history(run, pair, |_| true));
            writes.push(refused(run, pair, reason.clone(), "refused", &mut effect));
            writes
        }
        // The intent in the outbox brings the record back.
        Sent::Unknown(_) if pair.merged.to_crm.is_empty() => Vec::new(),
        Sent::Unknown(_) => {
            effect.join(crm_updated);
            without_update(run, pair, LinkStatus::Pending, pair.link.error.clone())
        }
        Sent::Withheld(_) => {
            let mut writes = without_update(run, pair, LinkStatus::Pending, pair.link.error.clone());
            effect.join(crm_updated);
            writes.extend(no_history(run, pair, |_| true));
            writes
        }
    };
    (writes, effect)
}

/// What may be stored although Metakocka was not told: everything but the fields it was to be told.
fn without_update(run: &Run<'_>, pair: &Pair, status: LinkStatus, error: Option<String>) -> Vec<Write> {
    let link = Link {
        code: pair.fresh.partner.code.clone(),
        status,
        base: pair.merged.base.clone(),
        raw_hash: Some(pair.fresh.partner.raw_hash),
        first_seen: Some(first_seen(run, &pair.link, &pair.fresh)),
        rest: pair.fresh.partner.rest.clone(),
        error,
        ..pair.link.clone()
    };
    let settled = Settled {
        contact: &pair.contact,
        link,
        to_crm: &pair.merged.to_crm,
        parked: &pair.merged.parked,
        unsent: &pair.merged.unsent(),
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
            // Whatever is there: a second try writes the same entry under the same id.
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
fn after_update(run: &Run<'_>, pair: &Pair, after: &Read, mut effect: Effect) -> (Vec<Write>, Effect) {
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
    let versions = Versions {
        base: &link.base,
        crm: &crm,
        metakocka: &after.partner.fields,
        crm_modified: run.modified(&pair.contact),
        metakocka_seen: run.now(),
    };
    let again = merge_linked(run, versions, &pair.conflicts);
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
        run.follow_up(&pair.contact.id);
    }
    let status = if ignored.is_empty() { apply::status(&again, leftover) } else { LinkStatus::Error };
    let error = (!ignored.is_empty())
        .then(|| format!("Metakocka accepted the update but did not store: {}", ignored.join(", ")));
    // What was sent and ignored, all of it, was no update.
    let sent = pair.merged.to_metakocka.len() - pair.deferred.len();
    effect.metakocka_updated += u64::from(ignored.len() < sent);
    effect.crm_updated += u64::from(!to_crm.is_empty());
    let settled = Settled {
        contact: &pair.contact,
        link: Link {
            code: after.partner.code.clone(),
            status,
            base: again.base.clone(),
            raw_hash: Some(after.partner.raw_hash),
            first_seen: Some(run.now()),
            rest: after.partner.rest.clone(),
            error: error.clone(),
            ..link
        },
        to_crm: &to_crm,
        parked: &again.parked,
        unsent: &again.unsent(),
        known_conflicts: &pair.conflicts,
        revive: false,
    };
    let mut writes = apply::settled(run, settled, Some(&pair.link));
    writes.extend(cleared(run, pair, &mut effect));
    writes.extend(renamed(run, pair, &mut effect));
    if let Some(reason) = error {
        writes.extend(no_history(run, pair, |field| ignored.contains(&field.name())));
        writes.push(refused(run, pair, reason, "not-taken", &mut effect));
    } else if run.has_quarantine.get() && pair.merged.cleared.is_empty() && !pair.merged.renamed {
        writes.push(Quarantined::release(Quarantined::crm_entry(&pair.contact.id)));
    }
    (writes, effect)
}

/// A field emptied in the CRM cannot be sent: a person is told, once.
fn cleared(run: &Run<'_>, pair: &Pair, effect: &mut Effect) -> Option<Write> {
    if pair.merged.cleared.is_empty() {
        return None;
    }
    let names: Vec<&str> = pair.merged.cleared.iter().map(|field| field.name()).collect();
    let reason = format!(
        "emptied in the CRM, but Metakocka's API cannot empty a partner's field: clear {} there by hand",
        names.join(", ")
    );
    let verdict = Verdict::of_pair(&pair.contact, &pair.link, reason, "cleared-field", Severity::NeedsReview);
    Some(apply::quarantine(run, verdict, effect))
}

/// Another company stands in the contact: a person is told, once, how to decide.
fn renamed(run: &Run<'_>, pair: &Pair, effect: &mut Effect) -> Option<Write> {
    let known = |conflict: &Conflict| conflict.field == Field::Company.name();
    if !pair.merged.renamed || !pair.merged.cleared.is_empty() || pair.conflicts.iter().any(known) {
        return None;
    }
    let reason = "the CRM has another company name for this contact while the tax number stays: decide with `conflicts resolve` \
                  whether the partner is renamed (crm) or the contact gets its name back (metakocka); if it is another \
                  company, make a new contact for it";
    let verdict = Verdict::of_pair(
        &pair.contact,
        &pair.link,
        reason.to_owned(),
        "company-changed",
        Severity::NeedsReview,
    );
    Some(apply::quarantine(run, verdict, effect))
}

fn refused(run: &Run<'_>, pair: &Pair, reason: String, code: &str, effect: &mut Effect) -> Write {
    let verdict = Verdict::of_pair(&pair.contact, &pair.link, reason, code, Severity::Quarantined);
    apply::quarantine(run, verdict, effect)
}

/// A pair that cannot go on is given up with its reason.
fn give_up(
    run: &Run<'_>,
    contact: &Contact,
    link: &Link,
    intent: Option<&Intent>,
    reason: String,
    code: &str,
) -> Decided {
    let verdict = Verdict::of_pair(contact, link, reason.clone(), code, Severity::Quarantined);
    let Some((write, effect)) = verdict.admitted(run) else {
        run.pending.borrow_mut().extend(intent.cloned());
        return Decided::Nothing;
    };
    let link = Link { status: LinkStatus::Error, error: Some(reason), ..link.clone() };
    let mut writes = vec![link.write(&run.now().text()), write];
    writes.extend(intent.map(Intent::done));
    Decided::GivenUp(writes, effect)
}

/// Somebody wrote the contact or the link while the partner was being updated. Where the link is as it was, Metakocka's part
/// is stored, and the contact is looked at again in the next run, because its change is newer than every watermark. Where
/// it is not, another run has brought the pair in step. Either way the intent says what is known now.
async fn settle_lost(run: &Run<'_>, open: &[Pair], results: &[Sent], lost: Vec<usize>) -> Result<(), Stop> {
    let pairs: Vec<(&Pair, &Sent)> =
        lost.into_iter().filter_map(|record| open.get(record).zip(results.get(record))).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = pairs.iter().map(|(pair, _)| pair.contact.id.0.clone()).collect();
    let intents: ById<String, u64> = run
        .powers
        .storage
        .get_many(OUTBOX, ids)
        .await?
        .into_iter()
        .map(|entry| (entry.id, entry.revision))
        .collect();
    let mut groups = Vec::new();
    for (record, (pair, sent)) in pairs.iter().enumerate() {
        groups.push(Group {
            record,
            writes: vec![link_after_loss(pair, sent).write(&run.now().text())],
            effect: Effect {
                metakocka_updated: u64::from(matches!(sent, Sent::Done(_))),
                ..Effect::default()
            }
            .about(&pair.contact.id, &pair.link.partner),
        });
    }
    let stored = run.store(groups).await?;
    let mut open = Vec::new();
    let mut over = Vec::new();
    for (record, (pair, sent)) in pairs.into_iter().enumerate() {
        if stored.is_lost(record) {
            run.taken(&pair.contact.id);
        }
        let revision = intents.get(&pair.contact.id.0).copied();
        if let Sent::Unknown(reason) = sent {
            let intent = Intent { revision, ..unknown(run, pair, reason) };
            let write = intent.write();
            open.push((intent, Some(write)));
        } else if let (Some(intent), Some(_)) = (&pair.intent, revision) {
            let intent = Intent { revision, ..intent.clone() };
            over.push(Group::silent(over.len(), vec![intent.done()]));
        }
    }
    keep_open(run, open).await?;
    // A lost race here means that another run has settled it.
    let _others = run.store(over).await?;
    Ok(())
}

/// The link of a pair whose contact was written meanwhile: what Metakocka was told is agreed on, the rest is open.
fn link_after_loss(pair: &Pair, sent: &Sent) -> Link {
    let mut link = Link { status: LinkStatus::Pending, ..pair.link.clone() };
    if let Sent::Done(after) = sent {
        let told = pair.merged.to_metakocka.iter().filter(|change| !pair.deferred.contains(&change.field));
        for change in told {
            link.base.agree(change.field, change.new.as_deref(), after.partner.fields.get(change.field));
        }
        // Fields Metakocka changed itself are not in the base yet: without a hash the next pull looks at them.
        link.raw_hash = None;
        link.code.clone_from(&after.partner.code);
    }
    link
}
