//! Writes whose outcome is not known: found at the start of a run, looked for, and settled one way or the other.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Group, Run, Stop, WINDOW};
use super::create::{adopt, give_up, review, unconditional, windows};
use super::look::{Candidate, Look, look_up};
use super::reconcile::{reconcile, reconcile_unclear};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{Intent, IntentState, KeyKind, LINKS, Severity};
use crate::metakocka::outcome::Treatment;
use crate::model::CrmId;

/// An empty look-up counts when it comes after the settling time; so many are needed before another send.
const MISSES: u32 = 2;

/// So often one run looks after updates without a known outcome.
const UPDATE_TRIES: u32 = 2;

/// Loads what earlier runs left open. A create found in the middle may have been sent up to this moment, so its
/// settling time starts now.
///
/// # Errors
///
/// When storage fails.
pub async fn recover(run: &Run<'_>) -> Result<(), Stop> {
    let mut after = None;
    let mut pending = Vec::new();
    let mut writes = Vec::new();
    loop {
        let page = run.powers.storage.scan(crate::ledger::OUTBOX, after, &[], 2_000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for mut intent in page.iter().filter_map(Intent::read) {
            let unclear = match intent.state {
                IntentState::Open => Some(IntentState::Unknown),
                IntentState::UpdateOpen => Some(IntentState::UpdateUnknown),
                _ => None,
            };
            if let Some(state) = unclear {
                intent.state = state;
                intent.since = run.began;
                intent.until = run.now().plus(run.settings.settle());
                intent.misses = 0;
                writes.push(unconditional(intent.write()));
            }
            pending.push(intent);
        }
    }
    *run.pending.borrow_mut() = pending;
    if !run.gate.is_dry() {
        run.put(writes).await?;
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

async fn resolve_window(run: &Run<'_>, intents: Vec<Intent>) -> Result<(), Stop> {
    let ids = intents.iter().map(|intent| intent.contact.0.clone()).collect();
    let contacts: BTreeMap<CrmId, Contact> = super::pull::contacts(run, ids).await?;
    let mut candidates = Vec::new();
    let mut orphans = Vec::new();
    for intent in intents {
        match contacts.get(&intent.contact) {
            Some(contact) => {
                candidates.push(Candidate { contact: contact.clone(), fields: contact.fields(None), intent })
            }
            // Deleted in the CRM meanwhile: a partner that was made is left alone, like every other one.
            None => orphans.push(intent.done()),
        }
    }
    run.put(orphans).await?;
    let looks = look_up(run, &candidates).await?;
    let mut groups = Vec::new();
    let mut adopted = Vec::new();
    let mut still_open = Vec::new();
    let mut stop = None;
    for (record, (candidate, look)) in candidates.into_iter().zip(looks).enumerate() {
        match look {
            Look::Free(read) => {
                let (writes, pushes) = adopt(run, &candidate.contact, &candidate.intent, &read);
                adopted.extend(pushes.then(|| candidate.contact.id.clone()));
                groups.push(Group { record, writes });
            }
            Look::Review { code, reason } => {
                groups.push(Group { record, writes: review(run, &candidate, code, reason) });
            }
            Look::Absent { .. } => {
                let Candidate { contact, fields, mut intent } = candidate;
                let writes = if run.now() < intent.until {
                    Vec::new()
                } else if intent.misses + 1 < MISSES {
                    intent.misses += 1;
                    intent.until = run.now().plus(run.settings.between_looks());
                    vec![unconditional(intent.write())]
                } else if intent.key_kind == KeyKind::Name {
                    let reason = "the create was sent and its outcome is unknown; without a tax number or e-mail it is \
                                  never sent twice: look in Metakocka, then link or retry it"
                        .to_owned();
                    groups.push(Group {
                        record,
                        writes: vec![
                            intent.done(),
                            give_up(run, &contact, &fields, Severity::Quarantined, "outcome-unknown", reason),
                        ],
                    });
                    continue;
                } else {
                    intent.state = IntentState::Planned;
                    intent.misses = 0;
                    vec![unconditional(intent.write())]
                };
                intent.revision = Some(0);
                still_open.push(intent);
                groups.push(Group { record, writes });
            }
            Look::Inconclusive(error) => {
                if error.treatment() == Treatment::StopRun {
                    stop = stop.or(Some(Stop::Call(error)));
                }
                still_open.push(candidate.intent);
            }
        }
    }
    run.store(groups).await?;
    run.pending.borrow_mut().extend(still_open);
    if let Some(stop) = stop {
        return Err(stop);
    }
    reconcile(run, adopted).await
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
    run.put(due.iter().map(Intent::done).collect()).await?;
    reconcile_unclear(run, due.into_iter().map(|intent| intent.contact).collect()).await
}

/// Sends what is on record as decided and not sent.
async fn send_planned(run: &Run<'_>) -> Result<(), Stop> {
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
        let linked: BTreeSet<String> = run
            .powers
            .storage
            .get_many(LINKS, ids.clone())
            .await?
            .into_iter()
            .map(|entry| entry.id)
            .collect();
        let found = run.powers.storage.get_many(COLLECTION, ids).await?;
        let contacts: BTreeMap<CrmId, Contact> = found
            .iter()
            .filter_map(|entry| Contact::read(entry).ok().flatten())
            .map(|contact| (contact.id.clone(), contact))
            .collect();
        for intent in window {
            match contacts.get(&intent.contact) {
                Some(contact) if !linked.contains(&intent.contact.0) => {
                    let fields = contact.fields(None);
                    // The contact may have been edited since: its key is what it says now.
                    let fresh = Intent::new(contact.id.clone(), &fields, run.now());
                    let intent = Intent {
                        revision: intent.revision.or(Some(0)),
                        attempts: intent.attempts,
                        before: intent.before.clone(),
                        ..fresh
                    };
                    queue.push(Candidate { contact: contact.clone(), fields, intent });
                }
                _ => obsolete.push(intent.done()),
            }
        }
    }
    run.put(obsolete).await?;
    windows(run, queue).await
}
