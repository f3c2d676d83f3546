//! Writes whose outcome is not known: found at the start of a run, looked for, and settled one way or the other.

use super::context::{Group, Run, Stop, WINDOW};
use super::create::{adopt, give_up, review, windows};
use super::effect::Effect;
use super::look::{Candidate, Look, look_up};
use super::reconcile::{reconcile, reconcile_in_doubt};
use super::unreadable::Contacts;
use crate::ledger::{Intent, IntentState, KeyKind, LINKS, OUTBOX, Severity};
use crate::metakocka::outcome::Treatment;
use crate::model::{CrmId, IdSet};
use crate::ports::{Pages, Write};

/// An empty look-up counts when it comes after the settling time; so many are needed before another send.
const MISSES: u32 = 2;

/// So often one run looks after updates without a known outcome.
const UPDATE_TRIES: u32 = 2;

/// Everything in the outbox.
async fn outbox(run: &Run<'_>) -> Result<Vec<Intent>, Stop> {
    let mut intents = Vec::new();
    let mut pages = Pages::of(run.powers.storage, OUTBOX, &[], 2_000);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            intents.push(Intent::read(entry)?);
        }
    }
    Ok(intents)
}

/// Loads what earlier runs left open. A write found in the middle may have been sent up to this moment, so its settling
/// time starts now. Should another run of this tenant still be at work on it, that run sees that it was overtaken.
///
/// # Errors
///
/// When storage fails or an intent cannot be read.
pub async fn recover(run: &Run<'_>) -> Result<(), Stop> {
    let mut pending = outbox(run).await?;
    let mut groups = Vec::new();
    for (record, intent) in pending.iter_mut().enumerate() {
        let state = match intent.state {
            IntentState::Open => IntentState::Unknown,
            IntentState::UpdateOpen => IntentState::UpdateUnknown,
            _ => continue,
        };
        intent.state = state;
        intent.since = run.began;
        intent.until = run.now().plus(run.settings.settle());
        intent.misses = 0;
        groups.push(Group::silent(record, vec![intent.write()]));
    }
    if !run.gate.is_dry() {
        let stored = run.store(groups).await?;
        if stored.lost().is_empty() {
            for (record, intent) in pending.iter_mut().enumerate() {
                intent.revision = stored.revision(record, 0).or(intent.revision);
            }
        } else {
            // Another run has moved on with some of them: what it says counts.
            pending = outbox(run).await?;
        }
    }
    *run.pending.borrow_mut() = pending;
    Ok(())
}

/// Learns what other runs have put on record since: their creates are not to be doubled.
///
/// # Errors
///
/// When storage fails or an intent cannot be read.
pub async fn refresh(run: &Run<'_>) -> Result<(), Stop> {
    let fresh = outbox(run).await?;
    if !run.gate.is_dry() {
        *run.pending.borrow_mut() = fresh;
    }
    Ok(())
}

/// Looks for everything whose outcome is not known; what is certain now is stored, and what may be sent is sent.
///
/// # Errors
///
/// When the run has to stop.
pub async fn resolve(run: &Run<'_>, first_look: bool) -> Result<(), Stop> {
    let now = run.now();
    let (due, rest): (Vec<Intent>, Vec<Intent>) = run.pending.take().into_iter().partition(|intent| {
        matches!(intent.state, IntentState::Unknown) && (first_look || now >= intent.until)
    });
    *run.pending.borrow_mut() = rest;
    for window in due.chunks(WINDOW) {
        resolve_window(run, window.to_vec()).await?;
    }
    settle_updates(run, now).await?;
    if run.request.direction.writes_metakocka() {
        send_planned(run).await?;
    }
    Ok(())
}

/// What a look has shown about an in-doubt create.
enum Settled {
    /// Found, or for a person: over once the writes are stored.
    Over(Group, Option<CrmId>),
    /// Still open, with the write that says how far it has come.
    Open(Intent, Option<Write>),
}

async fn resolve_window(run: &Run<'_>, intents: Vec<Intent>) -> Result<(), Stop> {
    let candidates = still_wanted(run, intents).await?;
    let looks = look_up(run, &candidates).await?;
    let mut groups = Vec::new();
    let mut followed: Vec<(Intent, Option<CrmId>)> = Vec::new();
    let mut open = Vec::new();
    let mut stop = None;
    for (record, (candidate, look)) in candidates.into_iter().zip(looks).enumerate() {
        let intent = candidate.intent.clone();
        if let Look::Inconclusive(error) = &look
            && error.treatment() == Treatment::StopRun
        {
            stop = stop.or(Some(Stop::Call(error.clone())));
        }
        match settle(run, record, candidate, look) {
            Settled::Over(group, pushes) => {
                groups.push(group);
                followed.push((intent, pushes));
            }
            Settled::Open(intent, write) => open.push((intent, write)),
        }
    }
    let records: Vec<usize> = groups.iter().map(|group| group.record).collect();
    let stored = run.store(groups).await?;
    let mut adopted = Vec::new();
    for (record, (intent, pushes)) in records.into_iter().zip(followed) {
        if stored.is_lost(record) {
            run.taken(&intent.contact);
        } else {
            adopted.extend(pushes);
        }
    }
    keep_open(run, open).await?;
    if let Some(stop) = stop {
        return Err(stop);
    }
    reconcile(run, adopted).await
}

/// The intents whose contact is still there. One whose contact was deleted is over: a partner that was made is left alone,
/// like every other one. One whose contact cannot be read waits.
async fn still_wanted(run: &Run<'_>, intents: Vec<Intent>) -> Result<Vec<Candidate>, Stop> {
    let ids = intents.iter().map(|intent| intent.contact.0.clone()).collect();
    let (contacts, unreadable) = Contacts::told_apart(run, ids).await?;
    let mut candidates = Vec::new();
    let mut orphans = Vec::new();
    for intent in intents {
        match contacts.get(&intent.contact) {
            Some(contact) => {
                candidates.push(Candidate { contact: contact.clone(), fields: contact.fields(None), intent })
            }
            None if unreadable.contains(&intent.contact) => run.pending.borrow_mut().push(intent),
            None => orphans.push(Group::silent(orphans.len(), vec![intent.done()])),
        }
    }
    // A lost race here means that another run has settled it.
    let _others = run.store(orphans).await?;
    Ok(candidates)
}

fn settle(run: &Run<'_>, record: usize, candidate: Candidate, look: Look) -> Settled {
    match look {
        Look::Free(read) => {
            let linked = adopt(run, &candidate.contact, &candidate.intent, &read);
            Settled::Over(Group { record, writes: linked.writes, effect: linked.effect }, linked.pushes)
        }
        Look::Taken => Settled::Over(Group::silent(record, vec![candidate.intent.done()]), None),
        Look::Review { code, reason } => {
            let (writes, effect) = review(run, &candidate, code, reason);
            Settled::Over(Group { record, writes, effect }, None)
        }
        Look::Inconclusive(_) => Settled::Open(candidate.intent, None),
        Look::Absent { .. } => {
            let Candidate { contact, fields, mut intent } = candidate;
            if run.now() < intent.until {
                return Settled::Open(intent, None);
            }
            if intent.misses + 1 < MISSES {
                intent.misses += 1;
                intent.until = run.now().plus(run.settings.between_looks());
            } else if intent.key_kind == KeyKind::Name {
                let reason =
                    "the create was sent and its outcome is unknown; without a tax number or e-mail it is \
                              never sent twice: look in Metakocka, then link or retry it"
                        .to_owned();
                let mut effect = Effect::default();
                let severity = Severity::Quarantined;
                let given_up =
                    give_up(run, &contact, &fields, severity, "outcome-unknown", reason, &mut effect);
                return Settled::Over(Group { record, writes: vec![intent.done(), given_up], effect }, None);
            } else {
                intent.state = IntentState::Planned;
                intent.misses = 0;
            }
            let write = intent.write();
            Settled::Open(intent, Some(write))
        }
    }
}

/// Stores how far open intents have come and keeps them for the rest of the run.
pub(super) async fn keep_open(run: &Run<'_>, open: Vec<(Intent, Option<Write>)>) -> Result<(), Stop> {
    let groups = open
        .iter()
        .enumerate()
        .filter_map(|(record, (_, write))| write.clone().map(|write| Group::silent(record, vec![write])));
    let stored = run.store(groups.collect()).await?;
    for (record, (mut intent, _)) in open.into_iter().enumerate() {
        if stored.is_lost(record) {
            run.taken(&intent.contact);
        } else {
            intent.revision = stored.revision(record, 0).or(intent.revision);
            let mut pending = run.pending.borrow_mut();
            pending.retain(|known| known.contact != intent.contact);
            pending.push(intent);
        }
    }
    Ok(())
}

/// Updates without a known outcome are merged again once they have settled.
async fn settle_updates(run: &Run<'_>, now: crate::model::Time) -> Result<(), Stop> {
    if run.updates_settled.replace(run.updates_settled.get() + 1) >= UPDATE_TRIES {
        return Ok(());
    }
    let (due, rest): (Vec<Intent>, Vec<Intent>) = run
        .pending
        .take()
        .into_iter()
        .partition(|intent| intent.state == IntentState::UpdateUnknown && now >= intent.until);
    *run.pending.borrow_mut() = rest;
    // Each intent goes when the outcome of the new look is stored, never before: an edit whose update was lost would not
    // travel any more.
    reconcile_in_doubt(run, due).await
}

/// Sends what is on record as decided and not sent.
///
/// # Errors
///
/// When the run has to stop.
pub async fn send_planned(run: &Run<'_>) -> Result<(), Stop> {
    let (planned, rest): (Vec<Intent>, Vec<Intent>) =
        run.pending.take().into_iter().partition(|intent| intent.state == IntentState::Planned);
    *run.pending.borrow_mut() = rest;
    if planned.is_empty() {
        return Ok(());
    }
    let mut queue = Vec::new();
    let mut obsolete = Vec::new();
    for window in planned.chunks(1_000) {
        let ids: Vec<String> = window.iter().map(|intent| intent.contact.0.clone()).collect();
        let linked: IdSet<String> = run
            .powers
            .storage
            .get_many(LINKS, ids.clone())
            .await?
            .into_iter()
            .map(|entry| entry.id)
            .collect();
        let (contacts, unreadable) = Contacts::told_apart(run, ids).await?;
        for intent in window {
            match contacts.get(&intent.contact) {
                Some(contact) if !linked.contains(&intent.contact.0) => {
                    let fields = contact.fields(None);
                    // The contact may have been edited since: its key is what it says now.
                    let fresh = Intent::new(contact.id.clone(), &fields, run.now());
                    let intent = Intent {
                        revision: intent.revision,
                        attempts: intent.attempts,
                        before: intent.before.clone(),
                        ..fresh
                    };
                    queue.push(Candidate { contact: contact.clone(), fields, intent });
                }
                None if unreadable.contains(&intent.contact) => run.pending.borrow_mut().push(intent.clone()),
                _ => obsolete.push(Group::silent(obsolete.len(), vec![intent.done()])),
            }
        }
    }
    if !run.gate.is_dry() {
        // A lost race here means that another run is at work on it.
        let _others = run.store(obsolete).await?;
    }
    windows(run, queue).await
}
