//! Creating partners: never twice, never lost.
//!
//! Metakocka has no idempotency keys and creates duplicates happily. So: look up; put the intent on record; send once;
//! read back; store link and base. A window of intents shares one commit before its first send, its outcomes one after.
//! Whatever is not certain is looked for before anything is sent again.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::apply::{self, Settled, Verdict};
use super::context::{Group, IN_FLIGHT, Run, Stop, TROUBLE, WINDOW};
use super::link::claimants;
use super::merge::{Rules, Side, Versions, merge};
use super::plan::{Action, Item, PlannedField};
use super::push::fingerprint;
use super::reconcile::{reconcile, reconcile_unclear};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{
    Intent, IntentState, KeyKind, LINKS, Link, LinkState, LinkStatus, Quarantined, Seen, Severity, name_key,
};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment, WriteOutcome};
use crate::metakocka::partner::{add_body, emails};
use crate::model::{CrmId, Field, Fields, MkId, email_key, tax_key};
use crate::ports::{Category, Level, Write};

/// An empty look-up counts when it comes after the settling time; so many are needed before another send.
const MISSES: u32 = 2;
/// So often one run looks after updates without a known outcome.
const UPDATE_TRIES: u32 = 2;

/// A contact that has no partner yet.
struct Candidate {
    contact: Contact,
    fields: Fields,
    intent: Intent,
}

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
async fn windows(run: &Run<'_>, mut queue: Vec<Candidate>) -> Result<(), Stop> {
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

/// What a look-up says about a create.
enum Look {
    /// No such partner.
    Absent {
        /// Partners of the same name, for records without a real key.
        before: Vec<MkId>,
    },
    /// Exactly one, and nobody's.
    Free(Box<Read>),
    /// A person has to look.
    Review { code: &'static str, reason: String },
    /// No answer that counts.
    Inconclusive(CallError),
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

/// Asks Metakocka for each candidate's key and checks the answer exactly.
async fn look_up(run: &Run<'_>, window: &[Candidate]) -> Result<Vec<Look>, Stop> {
    let keys = window.iter().map(|candidate| lookup_key(&candidate.intent, &candidate.fields)).collect();
    let answers = run.ask(keys).await;
    let mut hits = Vec::new();
    for (candidate, answer) in window.iter().zip(answers) {
        hits.push(answer.map(|found| {
            let (exact, others): (Vec<Read>, Vec<Read>) =
                found.into_iter().partition(|read| is_hit(&candidate.intent, read));
            (exact, others.into_iter().map(|read| read.partner.id).collect::<Vec<_>>())
        }));
    }
    let ids: BTreeSet<String> = hits
        .iter()
        .flatten()
        .flat_map(|(exact, _)| exact.iter().map(|read| read.partner.id.0.clone()))
        .collect();
    let linked = linked(run, ids).await?;
    Ok(window.iter().zip(hits).map(|(candidate, hits)| judge(candidate, hits, &linked)).collect())
}

fn lookup_key(intent: &Intent, fields: &Fields) -> PartnerKey {
    match intent.key_kind {
        KeyKind::Tax => PartnerKey::Tax(intent.key.clone()),
        KeyKind::Email => PartnerKey::Email(intent.key.clone()),
        KeyKind::Name => PartnerKey::Name(
            fields.get(Field::Company).or(fields.get(Field::FullName)).unwrap_or_default().to_owned(),
        ),
    }
}

/// Matching in Metakocka is by part of the value; a hit has exactly the key.
fn is_hit(intent: &Intent, read: &Read) -> bool {
    match intent.key_kind {
        KeyKind::Tax => {
            read.partner.fields.get(Field::TaxNumber).and_then(tax_key).as_deref()
                == Some(intent.key.as_str())
        }
        KeyKind::Email => emails(&read.bytes)
            .iter()
            .any(|address| email_key(address).as_deref() == Some(intent.key.as_str())),
        KeyKind::Name => name_key(&read.partner.fields) == intent.key,
    }
}

/// A partner that was there before belongs to the one contact that has its key: when another contact without a link has
/// it too, a person has to say whose it is.
async fn only_one_claims(
    run: &Run<'_>,
    window: &[Candidate],
    mut looks: Vec<Look>,
) -> Result<Vec<Look>, Stop> {
    let mut keys = Vec::new();
    for (position, (candidate, look)) in window.iter().zip(&looks).enumerate() {
        if matches!(look, Look::Free(_)) && candidate.intent.attempts == 0 {
            keys.push((position, candidate.intent.key_kind, candidate.intent.key.clone()));
        }
    }
    let claims = claimants(run, keys).await?;
    for (position, (candidate, look)) in window.iter().zip(&mut looks).enumerate() {
        let others: Vec<&str> = claims
            .get(&position)
            .into_iter()
            .flatten()
            .filter(|contact| contact.id != candidate.contact.id)
            .map(|contact| contact.id.0.as_str())
            .collect();
        if let (Look::Free(read), false) = (&*look, others.is_empty()) {
            *look = Look::Review {
                code: "ambiguous-match",
                reason: format!(
                    "partner {} could be this contact or {}: they share its tax number or e-mail; make the right one \
                     differ or remove the others, then retry",
                    read.partner.id,
                    others.join(", ")
                ),
            };
        }
    }
    Ok(looks)
}

/// Which of these partners have a link, and whose.
async fn linked(run: &Run<'_>, ids: BTreeSet<String>) -> Result<BTreeMap<MkId, Link>, Stop> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = run.powers.storage.find_many(LINKS, "metakocka_id", ids.into_iter().collect(), 1).await?;
    Ok(found
        .iter()
        .filter_map(|(_, entry)| Link::read(entry))
        .map(|link| (link.partner.clone(), link))
        .collect())
}

fn judge(
    candidate: &Candidate,
    hits: Result<(Vec<Read>, Vec<MkId>), CallError>,
    linked: &BTreeMap<MkId, Link>,
) -> Look {
    let (mut exact, others) = match hits {
        Ok(hits) => hits,
        Err(error) => return Look::Inconclusive(error),
    };
    let intent = &candidate.intent;
    if intent.key_kind == KeyKind::Name {
        if let (Some(hit), 0) = (exact.first(), intent.attempts) {
            return Look::Review {
                code: "possible-duplicate",
                reason: format!(
                    "Metakocka already has a partner with this name and address ({}); without a tax number or e-mail nobody \
                     can tell whether it is the same: add one of them here and there",
                    hit.partner.id
                ),
            };
        }
        exact.retain(|read| {
            !linked.contains_key(&read.partner.id) && !intent.before.contains(&read.partner.id)
        });
    }
    let key = match intent.key_kind {
        KeyKind::Tax => "tax number",
        KeyKind::Email => "e-mail",
        KeyKind::Name => "name and address",
    };
    match (exact.len(), exact.pop()) {
        (0, _) => {
            let mut before = others;
            before.truncate(1_000);
            Look::Absent { before: if intent.key_kind == KeyKind::Name { before } else { Vec::new() } }
        }
        (1, Some(hit)) => match linked.get(&hit.partner.id) {
            None => Look::Free(Box::new(hit)),
            Some(link) => Look::Review {
                code: "partner-already-linked",
                reason: format!(
                    "the partner with this {key} ({}) belongs to contact {}: merge the two contacts or give this one \
                     another {key}",
                    hit.partner.id, link.contact
                ),
            },
        },
        (several, Some(hit))
            if !linked.contains_key(&hit.partner.id)
                && exact.iter().all(|read| linked.contains_key(&read.partner.id)) =>
        {
            Look::Review {
                code: "ambiguous-match",
                reason: format!(
                    "{} partners in Metakocka have this {key}, and all but one ({}) belong to other contacts: nobody can \
                     tell whether that one is this contact",
                    several, hit.partner.id
                ),
            }
        }
        (several, _) if exact.iter().all(|read| linked.contains_key(&read.partner.id)) => Look::Review {
            code: "partner-already-linked",
            reason: format!(
                "the {several} partners with this {key} belong to other contacts: merge the contacts or give this one \
                 another {key}"
            ),
        },
        (several, _) => Look::Review {
            code: "ambiguous-match",
            reason: format!(
                "{several} partners in Metakocka have this {key}: remove the surplus ones there, then sync again"
            ),
        },
    }
}

/// Links a contact with the partner that was found for it. Says whether fields still have to travel.
fn adopt(run: &Run<'_>, contact: &Contact, intent: &Intent, read: &Read) -> (Vec<Write>, bool) {
    let mut link = apply::new_link(run, contact, &read.partner);
    let crm = contact.fields(None);
    let merged = merge(
        Versions {
            base: &link.base,
            crm: &crm,
            metakocka: &read.partner.fields,
            crm_modified: contact.modified,
            metakocka_seen: run.now(),
        },
        Rules { direction: run.request.direction, policies: &run.settings.policies, decisions: &[] },
    );
    let pushes = !merged.to_metakocka.is_empty();
    link.base = merged.base.clone();
    link.status = apply::status(&merged, pushes);
    {
        let mut report = run.report();
        report.conflicts += merged.contested;
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
    let settled = Settled {
        contact,
        link,
        to_crm: &merged.to_crm,
        parked: &merged.parked,
        held: &merged.held,
        known_conflicts: &[],
        revive: false,
    };
    let mut writes = apply::settled(run, settled, None);
    writes.push(intent.done());
    writes.push(Seen::forget(&read.partner.id));
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::metakocka_entry(&read.partner.id)));
        writes.push(Quarantined::release(Quarantined::crm_entry(&contact.id)));
    }
    (writes, pushes)
}

fn review(run: &Run<'_>, candidate: &Candidate, code: &'static str, reason: String) -> Vec<Write> {
    let severity = Severity::NeedsReview;
    vec![candidate.intent.done(), give_up(run, &candidate.contact, &candidate.fields, severity, code, reason)]
}

fn give_up(
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
            match run.client.add_partner(&add_body(&candidate.fields)).await {
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

fn unconditional(mut write: Write) -> Write {
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
        base: crate::ledger::Base::default(),
        raw_hash: read.map(|read| read.partner.raw_hash),
        first_seen: Some(run.now()),
    };
    for field in Field::ALL {
        let crm = candidate.fields.get(field);
        link.base.agree(field, crm, read.map_or(crm, |read| read.partner.fields.get(field)));
    }
    {
        let mut report = run.report();
        report.metakocka_created += 1;
        report.calls_least += 3;
    }
    run.settled(&candidate.contact.id);
    let settled = Settled {
        contact: &candidate.contact,
        link,
        to_crm: &[],
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
