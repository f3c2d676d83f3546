//! Creating partners: never twice, never lost.
//!
//! Metakocka has no idempotency keys and creates duplicates happily. So: look up; put the intent on record; send once;
//! read back; store link and base. A window of intents shares one commit before its first send, its outcomes one after.
//! Whatever is not certain is looked for before anything is sent again.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use super::apply::{self, Settled, Verdict};
use super::context::{Group, IN_FLIGHT, Run, Stop, TROUBLE, WINDOW};
use super::look::{Candidate, Look, is_hit, judge, linked, look_up, lookup_key, only_one_claims};
use super::merge::{Replacement, Rules, Side, Versions, merge};
use super::plan::{Action, Item, PlannedField};
use super::push::fingerprint;
use super::reconcile::reconcile;
use crate::crm::Contact;
use crate::ledger::{Base, Intent, IntentState, KeyKind, Link, LinkState, LinkStatus, Quarantined, Severity};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment, WriteOutcome};
use crate::metakocka::partner::add_body;
use crate::model::{Field, Fields, MkId};
use crate::ports::{Category, Level, Write};

/// Creates or finds the partners of these contacts.
///
/// # Errors
///
/// When the run has to stop.
pub async fn create(run: &Run<'_>, contacts: Vec<Contact>) -> Result<(), Stop> {
    let candidates = contacts.into_iter().map(|contact| {
        let fields = contact.fields(None);
        let intent = Intent::new(contact.id.clone(), &fields, run.now());
        Candidate { contact, fields, intent }
    });
    windows(run, candidates.collect()).await
}

/// Windows never hold two records with one key: the second would not find what the first is creating. Neither is
/// anything sent whose key belongs to a write without a known outcome.
pub(super) async fn windows(run: &Run<'_>, mut queue: Vec<Candidate>) -> Result<(), Stop> {
    let total = queue.len() as u64;
    while !queue.is_empty() {
        let blocked: BTreeSet<(KeyKind, String)> = run
            .pending
            .borrow()
            .iter()
            .filter(|intent| matches!(intent.state, IntentState::Open | IntentState::Unknown))
            .map(|intent| (intent.key_kind, intent.key.clone()))
            .collect();
        let mut keys = BTreeSet::new();
        let (mut window, mut rest, mut postponed) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in queue {
            let key = (candidate.intent.key_kind, candidate.intent.key.clone());
            if blocked.contains(&key) {
                postponed.push(candidate);
            } else if window.len() < WINDOW && keys.insert(key) {
                window.push(candidate);
            } else {
                rest.push(candidate);
            }
        }
        postpone(run, postponed).await?;
        queue = rest;
        create_window(run, window).await?;
        run.gate.flush(run.powers).await?;
        run.powers.log.progress("contacts to partners: creates", total - queue.len() as u64, Some(total));
    }
    Ok(())
}

/// Puts creates on record that have to wait for another one of the same key.
async fn postpone(run: &Run<'_>, candidates: Vec<Candidate>) -> Result<(), Stop> {
    if run.gate.is_dry() {
        return Ok(());
    }
    let mut writes = Vec::new();
    for mut candidate in candidates {
        if candidate.intent.revision.is_none() {
            candidate.intent.state = IntentState::Planned;
            let mut write = candidate.intent.write();
            write.expect = crate::ports::Expect::Any;
            writes.push(write);
            candidate.intent.revision = Some(0);
        }
        run.pending.borrow_mut().retain(|intent| intent.contact != candidate.contact.id);
        run.pending.borrow_mut().push(candidate.intent);
    }
    run.put(writes).await?;
    Ok(())
}

async fn create_window(run: &Run<'_>, window: Vec<Candidate>) -> Result<(), Stop> {
    let looks = look_up(run, &window).await?;
    let looks = only_one_claims(run, &window, looks).await?;
    if run.gate.is_dry() {
        run.report().calls_least += window.len() as u64;
    }
    let mut to_send = Vec::new();
    let mut adopted = Vec::new();
    let mut groups = Vec::new();
    let mut later = Vec::new();
    let mut trouble = 0;
    let mut stop = None;
    for (record, (mut candidate, look)) in window.into_iter().zip(looks).enumerate() {
        match look {
            Look::Absent { before } => {
                trouble = 0;
                if !run.gate.admits(|| create_item(&candidate)) {
                    continue;
                }
                candidate.intent.before = before;
                to_send.push(candidate);
            }
            Look::Free(read) => {
                trouble = 0;
                let item = || Item {
                    action: Action::Link,
                    metakocka_id: Some(read.partner.id.0.clone()),
                    fields: Vec::new(),
                    ..create_item(&candidate)
                };
                if run.gate.admits(item) {
                    let (writes, pushes) = adopt(run, &candidate.contact, &candidate.intent, &read);
                    groups.push(Group { record, writes });
                    if pushes {
                        adopted.push(candidate.contact.id.clone());
                    }
                }
            }
            Look::Review { code, reason } => {
                trouble = 0;
                run.report().calls_least += u64::from(!run.gate.is_dry());
                let item = || Item {
                    action: Action::Review,
                    reason: Some(reason.clone()),
                    ..create_item(&candidate)
                };
                if run.gate.admits(item) {
                    groups.push(Group { record, writes: review(run, &candidate, code, reason.clone()) });
                }
            }
            Look::Inconclusive(error) => {
                trouble += 1;
                let ends = error.treatment() == Treatment::StopRun || trouble >= TROUBLE;
                run.trouble(&candidate.contact.id, &error);
                if ends {
                    stop = stop.or(Some(Stop::Call(error)));
                }
                later.push(candidate);
            }
        }
    }
    run.store(groups).await?;
    if let Some(stop) = stop {
        // What was not on record before need not be now: the watermark stays where it is, so the next run meets them again.
        return Err(stop);
    }
    postpone(run, later).await?;
    send(run, to_send).await?;
    reconcile(run, adopted).await
}

fn create_item(candidate: &Candidate) -> Item {
    Item {
        action: Action::CreatePartner,
        crm_id: Some(candidate.contact.id.0.clone()),
        metakocka_id: None,
        fields: candidate
            .fields
            .present()
            .map(|(field, value)| PlannedField {
                side: Side::Metakocka.name(),
                field: field.name(),
                old: None,
                new: Some(value.to_owned()),
            })
            .collect(),
        reason: None,
    }
}

/// Links a contact with the partner that was found for it. Says whether fields still have to travel.
pub(super) fn adopt(run: &Run<'_>, contact: &Contact, intent: &Intent, read: &Read) -> (Vec<Write>, bool) {
    let base = Base::default();
    let crm = contact.fields(None);
    let merged = merge(
        Versions {
            base: &base,
            crm: &crm,
            metakocka: &read.partner.fields,
            crm_modified: run.modified(contact),
            metakocka_seen: run.now(),
        },
        Rules { direction: run.request.direction, policies: &run.settings.policies, decisions: &[] },
    );
    {
        let mut report = run.report();
        report.crm_updated += u64::from(!merged.to_crm.is_empty());
        if intent.attempts > 0 {
            // Our own create, whose answer was lost. What an earlier run has sent takes one look now.
            report.metakocka_created += 1;
            report.calls_least += if intent.since > run.began { 3 } else { 1 };
        } else {
            report.calls_least += 1;
            report.linked += 1;
        }
    }
    run.settled(&contact.id);
    let (mut writes, pushes) = apply::adopted(run, contact, &read.partner, &merged);
    writes.push(intent.done());
    (writes, pushes)
}

pub(super) fn review(run: &Run<'_>, candidate: &Candidate, code: &'static str, reason: String) -> Vec<Write> {
    let severity = Severity::NeedsReview;
    vec![candidate.intent.done(), give_up(run, &candidate.contact, &candidate.fields, severity, code, reason)]
}

pub(super) fn give_up(
    run: &Run<'_>,
    contact: &Contact,
    fields: &Fields,
    severity: Severity,
    code: &str,
    reason: String,
) -> Write {
    apply::quarantine(
        run,
        Verdict {
            side: Side::Crm,
            crm_id: Some(&contact.id),
            metakocka_id: None,
            reason,
            code,
            severity,
            record_hash: fingerprint(fields),
            attempts: 0,
        },
    )
}

/// How a send ended.
enum Sent {
    Created(MkId),
    Refused(String),
    Unknown(String),
    /// It never left.
    Withheld(CallError),
    /// Not even tried, the connection being broken.
    Kept,
}

/// Puts the intents on record, sends each once, reads back, stores the outcomes.
async fn send(run: &Run<'_>, mut window: Vec<Candidate>) -> Result<(), Stop> {
    if window.is_empty() {
        return Ok(());
    }
    for candidate in &mut window {
        candidate.intent.state = IntentState::Open;
        candidate.intent.since = run.now();
        candidate.intent.attempts += 1;
        candidate.intent.misses = 0;
    }
    run.put(window.iter().map(|candidate| unconditional(candidate.intent.write())).collect()).await?;

    let broken = std::cell::Cell::new(false);
    let broken = &broken;
    let sends: Vec<Sent> = stream::iter(&window)
        .map(|candidate| async move {
            if broken.get() {
                return Sent::Kept;
            }
            match run.client.add_partner(&add_body(&candidate.fields, run.settings.home())).await {
                Ok(id) => Sent::Created(id),
                Err(WriteOutcome::Refused(refusal)) => Sent::Refused(refusal.to_string()),
                Err(WriteOutcome::NotSent(error)) => {
                    broken.set(true);
                    Sent::Withheld(error)
                }
                Err(WriteOutcome::Unknown(reason)) => Sent::Unknown(reason),
                Err(WriteOutcome::Done(_)) => Sent::Unknown("the answer holds no mk_id".to_owned()),
            }
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await;

    // Reading back: a created one by its id; an unclear or refused one by its key.
    let mut stop: Option<Stop> = None;
    let reads: Vec<Option<Result<Vec<Read>, CallError>>> = stream::iter(window.iter().zip(&sends))
        .map(|(candidate, sent)| async move {
            let key = match sent {
                Sent::Created(id) => PartnerKey::Id(id.clone()),
                Sent::Unknown(_) | Sent::Refused(_) => lookup_key(&candidate.intent, &candidate.fields),
                Sent::Withheld(_) | Sent::Kept => return None,
            };
            Some(run.client.partners(&key).await)
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await;
    let mut settled = Vec::new();
    for ((candidate, sent), read) in window.into_iter().zip(sends).zip(reads) {
        let found = match read {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                if error.treatment() == Treatment::StopRun {
                    stop = stop.or(Some(Stop::Call(error)));
                }
                Vec::new()
            }
            None => Vec::new(),
        };
        if let Sent::Withheld(error) = &sent {
            stop = stop.or(Some(Stop::Call(error.clone())));
        }
        settled.push((candidate, sent, found));
    }
    store_outcomes(run, settled).await?;
    stop.map_or(Ok(()), Err)
}

pub(super) fn unconditional(mut write: Write) -> Write {
    write.expect = crate::ports::Expect::Any;
    write
}

async fn store_outcomes(run: &Run<'_>, settled: Vec<(Candidate, Sent, Vec<Read>)>) -> Result<(), Stop> {
    let ids: BTreeSet<String> =
        settled.iter().flat_map(|(_, _, found)| found.iter().map(|read| read.partner.id.0.clone())).collect();
    let linked = linked(run, ids).await?;
    let mut groups = Vec::new();
    let mut still_open = Vec::new();
    let mut adopted = Vec::new();
    for (record, (candidate, sent, found)) in settled.into_iter().enumerate() {
        run.pending.borrow_mut().retain(|intent| intent.contact != candidate.contact.id);
        let writes = match sent {
            Sent::Created(id) => {
                let read = found.into_iter().find(|read| read.partner.id == id);
                created(run, &candidate, id, read.as_ref())
            }
            Sent::Refused(reason) => {
                // A refusal proves nothing was stored, and the look-up that followed is the second opinion.
                let hits: Vec<Read> =
                    found.into_iter().filter(|read| is_hit(&candidate.intent, read)).collect();
                match judge(&candidate, Ok((hits, Vec::new())), &linked) {
                    Look::Free(read) => {
                        let (writes, pushes) = adopt(run, &candidate.contact, &candidate.intent, &read);
                        adopted.extend(pushes.then(|| candidate.contact.id.clone()));
                        writes
                    }
                    _ => vec![
                        candidate.intent.done(),
                        give_up(
                            run,
                            &candidate.contact,
                            &candidate.fields,
                            Severity::Quarantined,
                            "refused",
                            reason,
                        ),
                    ],
                }
            }
            Sent::Unknown(reason) => {
                run.powers.log.log(
                    Level::Info,
                    Category::Api,
                    "the outcome of a create is not known: it is looked for before anything is sent again",
                    &[("crm_id", &candidate.contact.id.0), ("error", &reason)],
                );
                let hits: Vec<Read> =
                    found.into_iter().filter(|read| is_hit(&candidate.intent, read)).collect();
                match judge(&candidate, Ok((hits, Vec::new())), &linked) {
                    Look::Free(read) => {
                        let (writes, pushes) = adopt(run, &candidate.contact, &candidate.intent, &read);
                        adopted.extend(pushes.then(|| candidate.contact.id.clone()));
                        writes
                    }
                    Look::Review { code, reason } => review(run, &candidate, code, reason),
                    Look::Absent { .. } | Look::Inconclusive(_) => {
                        let mut intent = candidate.intent;
                        intent.state = IntentState::Unknown;
                        intent.since = run.now();
                        intent.until = intent.since.plus(run.settings.settle());
                        let write = unconditional(intent.write());
                        intent.revision = Some(0);
                        still_open.push(intent);
                        vec![write]
                    }
                }
            }
            Sent::Withheld(_) | Sent::Kept => {
                let mut intent = candidate.intent;
                intent.state = IntentState::Planned;
                intent.attempts = intent.attempts.saturating_sub(1);
                let write = unconditional(intent.write());
                intent.revision = Some(0);
                still_open.push(intent);
                vec![write]
            }
        };
        groups.push(Group { record, writes });
    }
    run.store(groups).await?;
    run.pending.borrow_mut().extend(still_open);
    reconcile(run, adopted).await
}

/// A create that was answered: link and base, as Metakocka really stored it.
fn created(run: &Run<'_>, candidate: &Candidate, id: MkId, read: Option<&Read>) -> Vec<Write> {
    let mut link = Link {
        contact: candidate.contact.id.clone(),
        revision: None,
        partner: id,
        code: read.and_then(|read| read.partner.code.clone()),
        status: LinkStatus::Synced,
        state: LinkState::Live,
        base: Base::default(),
        raw_hash: read.map(|read| read.partner.raw_hash),
        first_seen: Some(run.now()),
    };
    let mut to_crm = Vec::new();
    for field in Field::ALL {
        let crm = candidate.fields.get(field);
        let stored = read.map_or(crm, |read| read.partner.fields.get(field));
        if crm.is_none() && stored.is_some() && run.request.direction.writes_crm() {
            // What Metakocka has and the contact has not, its country above all, is Metakocka's news, as it would be to
            // a contact that is linked with a partner it found.
            link.base.agree(field, stored, stored);
            let new = stored.map(str::to_owned);
            to_crm.push(Replacement { field, old: None, new, reason: "filled in by Metakocka" });
        } else {
            link.base.agree(field, crm, stored);
        }
    }
    {
        let mut report = run.report();
        report.metakocka_created += 1;
        report.crm_updated += u64::from(!to_crm.is_empty());
        report.calls_least += 3;
    }
    run.settled(&candidate.contact.id);
    let settled = Settled {
        contact: &candidate.contact,
        link,
        to_crm: &to_crm,
        parked: &[],
        held: &[],
        known_conflicts: &[],
        revive: false,
    };
    let mut writes = apply::settled(run, settled, None);
    writes.push(candidate.intent.done());
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::crm_entry(&candidate.contact.id)));
    }
    writes
}
