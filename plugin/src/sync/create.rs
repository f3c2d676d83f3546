//! Creating partners: never twice, never lost.
//!
//! Metakocka has no idempotency keys and creates duplicates happily. So: look up; claim (the intent is on record, and there
//! was neither a link nor another intent); send once; read back; store link and base. A window of claims shares one commit
//! before its first send, its outcomes one after. Whatever is not certain is looked for before anything is sent again.
//!
//! Another run of the tenant may be at work at the same time. Of two claims for one contact one is refused. When others have
//! written between look-up and claim, the claims are looked up once more: whoever claims later sees the claim, the partner
//! or the link of the other. A claim holds for a part of the settling time only, so a run that was paused sends nothing that
//! another one has meanwhile taken for lost.

use futures_util::{StreamExt, stream};

use super::adopt::{Adoption, Linked};
use super::apply::{self, Settled, Verdict};
use super::context::{Group, IN_FLIGHT, RACES, Run, Stop, TROUBLE, WINDOW};
use super::effect::Effect;
use super::identity::{Bond, Identity};
use super::link::{links_of, links_with};
use super::listed::read_list;
use super::look::{Candidate, Look, add_new, is_hit, judge, look_up, lookup_keys, only_one_claims};
use super::merge::{Replacement, Side};
use super::plan::{Action, Item, PlannedField};
use super::reconcile::reconcile;
use super::report::{Class, RecordError};
use super::unclear::{keep_open, refresh};
use super::unreadable::Contacts;
use crate::crm::Contact;
use crate::ledger::{Intent, IntentState, Link, OUTBOX, Quarantined, Severity};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment, WriteOutcome};
use crate::metakocka::partner::add_body;
use crate::model::{ById, CrmId, Field, Fields, IdSet, MkId};
use crate::ports::{Category, Change, Level, Write};

/// So often claims may run out in one run before their records are left to the next one.
const MOST_EXPIRED: usize = 10;

/// Creates or finds the partners of these contacts.
///
/// # Errors
///
/// When the run has to stop.
pub async fn create(run: &Run<'_>, contacts: Vec<Contact>) -> Result<(), Stop> {
    if contacts.is_empty() {
        return Ok(());
    }
    read_list(run, &contacts).await?;
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
    let mut expired = 0;
    while !queue.is_empty() {
        let blocked: IdSet<String> = run
            .pending
            .borrow()
            .iter()
            .filter(|intent| matches!(intent.state, IntentState::Open | IntentState::Unknown))
            .map(Intent::match_key)
            .collect();
        let mut keys = IdSet::default();
        let (mut window, mut rest, mut postponed) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in queue {
            let key = candidate.intent.match_key();
            if blocked.contains(&key) {
                postponed.push(candidate);
            } else if window.len() < WINDOW && keys.insert(key) {
                window.push(candidate);
            } else {
                rest.push(candidate);
            }
        }
        postpone(run, postponed).await?;
        let unsent = create_window(run, window).await?;
        expired += usize::from(!unsent.is_empty());
        if expired > MOST_EXPIRED {
            postpone(run, unsent).await?;
        } else {
            rest.extend(unsent);
        }
        queue = rest;
        run.gate.flush(run.powers).await?;
        run.powers.log.progress("contacts to partners: creates", total - queue.len() as u64, Some(total));
    }
    Ok(())
}

/// Puts creates on record as decided and certainly not sent.
async fn postpone(run: &Run<'_>, candidates: Vec<Candidate>) -> Result<(), Stop> {
    if run.gate.is_dry() {
        return Ok(());
    }
    let open = candidates.into_iter().map(|candidate| {
        let mut intent = candidate.intent;
        let write = if intent.state == IntentState::Planned && intent.revision.is_some() {
            None
        } else {
            intent.state = IntentState::Planned;
            Some(intent.write())
        };
        (intent, write)
    });
    keep_open(run, open.collect()).await
}

/// One window of creates. Answers the candidates whose claim ran out before they were sent.
async fn create_window(run: &Run<'_>, window: Vec<Candidate>) -> Result<Vec<Candidate>, Stop> {
    let others = run.foreign_commits();
    let (absent, mut adopted) = look_and_link(run, window).await?;
    let mut claimed = claim(run, absent).await?;
    if run.foreign_commits() != others {
        let (confirmed, more) = confirm(run, claimed).await?;
        claimed = confirmed;
        adopted.extend(more);
    }
    let unsent = send(run, claimed).await?;
    reconcile(run, adopted).await?;
    Ok(unsent)
}

/// Looks a window up: what exists is linked or goes to a person. Answers the candidates to create, and the contacts that
/// were linked and whose fields still have to travel.
async fn look_and_link(run: &Run<'_>, window: Vec<Candidate>) -> Result<(Vec<Candidate>, Vec<CrmId>), Stop> {
    let looks = look_up(run, &window).await?;
    let looks = only_one_claims(run, &window, looks).await?;
    if run.gate.is_dry() {
        run.report().calls_least += window.len() as u64;
    }
    let mut absent = Vec::new();
    let mut groups = Vec::new();
    let mut followed = Vec::new();
    let mut later = Vec::new();
    let mut taken = Vec::new();
    let mut trouble = 0;
    let mut stop = None;
    for (mut candidate, look) in window.into_iter().zip(looks) {
        let inconclusive = matches!(look, Look::Inconclusive(_));
        trouble = if inconclusive { trouble + 1 } else { 0 };
        match look {
            Look::Absent { before } => {
                if run.gate.admits(|| create_item(&candidate)) {
                    candidate.intent.before = before;
                    absent.push(candidate);
                } else if let Some(forecast) = run.gate.forecast() {
                    forecast.will_be_found(&candidate.contact.id, &candidate.fields);
                }
            }
            Look::Free(read) => {
                if Adoption::of(run, &candidate.contact, &read.partner).admitted(run) {
                    let linked = adopt(run, &candidate.contact, &candidate.intent, &read);
                    groups.push(Group { record: groups.len(), writes: linked.writes, effect: linked.effect });
                    followed.push((candidate.contact.id, linked.pushes));
                }
            }
            Look::Taken => taken.push(candidate),
            Look::Review { code, reason } => {
                run.report().calls_least += u64::from(!run.gate.is_dry());
                let item = || Item {
                    action: Action::Review,
                    code: Some(code.to_owned()),
                    reason: Some(reason.clone()),
                    ..create_item(&candidate)
                };
                if run.gate.admits(item) {
                    let (writes, effect) = review(run, &candidate, code, reason.clone());
                    groups.push(Group { record: groups.len(), writes, effect });
                    followed.push((candidate.contact.id, None));
                }
            }
            Look::Inconclusive(error) => {
                let of_connection = error.treatment() == Treatment::StopRun;
                if !of_connection {
                    run.trouble(&candidate.contact.id, &error);
                }
                if of_connection || trouble >= TROUBLE {
                    stop = stop.or(Some(Stop::Call(error)));
                }
                later.push(candidate);
            }
        }
    }
    let stored = run.store(groups).await?;
    let mut adopted = Vec::new();
    for (record, (id, pushes)) in followed.into_iter().enumerate() {
        if stored.is_lost(record) {
            run.taken(&id);
        } else {
            adopted.extend(pushes);
        }
    }
    leave(run, taken).await?;
    if let Some(stop) = stop {
        // What was not on record before need not be now: the watermark stays where it is, so the next run meets them again.
        // What was claimed is on record, and certainly not sent.
        let claimed = absent.into_iter().chain(later).filter(|candidate| candidate.intent.revision.is_some());
        postpone(run, claimed.collect()).await?;
        return Err(stop);
    }
    postpone(run, later).await?;
    Ok((absent, adopted))
}

/// Leaves contacts to the run that has linked them.
async fn leave(run: &Run<'_>, candidates: Vec<Candidate>) -> Result<(), Stop> {
    let intents = candidates.iter().filter(|candidate| candidate.intent.revision.is_some());
    let groups =
        intents.enumerate().map(|(record, candidate)| Group::silent(record, vec![candidate.intent.done()]));
    // A lost race here means that the other run has removed the intent too.
    let _others = run.store(groups.collect()).await?;
    for candidate in candidates {
        run.taken(&candidate.contact.id);
    }
    Ok(())
}

/// Claims candidates for this run: each intent is on record, provided that nobody else has one and that there is no link.
async fn claim(run: &Run<'_>, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Stop> {
    let mut groups = Vec::new();
    for (record, candidate) in candidates.iter_mut().enumerate() {
        let intent = &mut candidate.intent;
        intent.state = IntentState::Open;
        intent.since = run.now();
        // It counts as sent from here on, because nobody can tell after a crash.
        intent.attempts += 1;
        intent.misses = 0;
        groups.push(Group::silent(record, vec![Link::none(&candidate.contact.id), intent.write()]));
    }
    let stored = run.store(groups).await?;
    let mut claimed = Vec::new();
    for (record, mut candidate) in candidates.into_iter().enumerate() {
        if stored.is_lost(record) {
            run.taken(&candidate.contact.id);
        } else {
            candidate.intent.revision = stored.revision(record, 1);
            claimed.push(candidate);
        }
    }
    Ok(claimed)
}

/// Looks claims up once more, others having written since the first look. Of two claims with one key the older is carried
/// out; the younger waits.
async fn confirm(run: &Run<'_>, claimed: Vec<Candidate>) -> Result<(Vec<Candidate>, Vec<CrmId>), Stop> {
    if claimed.is_empty() {
        return Ok((claimed, Vec::new()));
    }
    refresh(run).await?;
    let ours: IdSet<CrmId> = claimed.iter().map(|candidate| candidate.contact.id.clone()).collect();
    run.pending.borrow_mut().retain(|intent| !ours.contains(&intent.contact));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for mut candidate in claimed {
        let intent = &candidate.intent;
        let older = run.pending.borrow().iter().any(|other| {
            other.match_key() == intent.match_key()
                && (other.state == IntentState::Unknown
                    || other.state == IntentState::Open && other.revision < intent.revision)
        });
        // Not sent so far.
        candidate.intent.attempts = candidate.intent.attempts.saturating_sub(1);
        if older { second.push(candidate) } else { first.push(candidate) }
    }
    postpone(run, second).await?;
    let (mut absent, adopted) = look_and_link(run, first).await?;
    for candidate in &mut absent {
        candidate.intent.attempts += 1;
    }
    Ok((absent, adopted))
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
        code: None,
        reason: None,
    }
}

/// Links a contact with the partner that was found for it.
pub(super) fn adopt(run: &Run<'_>, contact: &Contact, intent: &Intent, read: &Read) -> Linked {
    let mut linked = Adoption::of(run, contact, &read.partner).link(run, Some(intent));
    // What an earlier run has sent takes one look now.
    let sent_now = intent.attempts > 0 && intent.since > run.began;
    linked.effect.calls_least = if sent_now { 3 } else { 1 };
    linked
}

pub(super) fn review(
    run: &Run<'_>,
    candidate: &Candidate,
    code: &'static str,
    reason: String,
) -> (Vec<Write>, Effect) {
    let mut effect = Effect::default();
    let severity = Severity::NeedsReview;
    let given_up = give_up(run, &candidate.contact, &candidate.fields, severity, code, reason, &mut effect);
    (vec![candidate.intent.done(), given_up], effect)
}

pub(super) fn give_up(
    run: &Run<'_>,
    contact: &Contact,
    fields: &Fields,
    severity: Severity,
    code: &str,
    reason: String,
    effect: &mut Effect,
) -> Write {
    let verdict = Verdict::of_contact(&contact.id, fields, reason, code, severity);
    apply::quarantine(run, verdict, effect)
}

/// How a send ended.
enum Sent {
    Created(MkId),
    Refused(String),
    Unknown(String),
    /// It never left: an error of the connection, or not even tried, the connection being broken or the claim too old.
    Withheld(Option<CallError>),
}

/// Sends each claim once, reads back, stores the outcomes. Answers the candidates whose claim ran out before.
async fn send(run: &Run<'_>, window: Vec<Candidate>) -> Result<Vec<Candidate>, Stop> {
    if window.is_empty() {
        return Ok(Vec::new());
    }
    let sends = send_each(run, &window).await;
    let reads = read_back(run, &window, &sends).await;
    let mut stop: Option<Stop> = None;
    let mut sent = Vec::new();
    let mut unsent = Vec::new();
    for ((candidate, outcome), read) in window.into_iter().zip(sends).zip(reads) {
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
        match outcome {
            Sent::Withheld(error) => {
                stop = stop.or(error.map(Stop::Call));
                unsent.push(unclaimed(candidate));
            }
            outcome => sent.push((candidate, outcome, found)),
        }
    }
    let adopted = store_outcomes(run, sent).await?;
    if let Some(stop) = stop {
        postpone(run, unsent).await?;
        return Err(stop);
    }
    reconcile(run, adopted).await?;
    Ok(unsent)
}

/// A claim that was not used. Its intent stays on record as it is until it is written again.
fn unclaimed(mut candidate: Candidate) -> Candidate {
    candidate.intent.attempts = candidate.intent.attempts.saturating_sub(1);
    candidate
}

async fn send_each(run: &Run<'_>, window: &[Candidate]) -> Vec<Sent> {
    let broken = std::cell::Cell::new(false);
    let broken = &broken;
    stream::iter(window)
        .map(|candidate| async move {
            let age = run.now().0.saturating_sub(candidate.intent.since.0);
            if broken.get() || age > run.settings.claim_holds() {
                return Sent::Withheld(None);
            }
            match run.client.add_partner(&add_body(&candidate.fields, run.settings.home())).await {
                Ok(id) => Sent::Created(id),
                Err(WriteOutcome::Refused(refusal)) => Sent::Refused(refusal.to_string()),
                Err(WriteOutcome::NotSent(error)) => {
                    broken.set(true);
                    Sent::Withheld(Some(error))
                }
                Err(WriteOutcome::Unknown(reason)) => Sent::Unknown(reason),
                Err(WriteOutcome::Done(_)) => Sent::Unknown("the answer holds no mk_id".to_owned()),
            }
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await
}

/// A created one is read by its id; an in-doubt or refused one is looked for by its key.
async fn read_back(
    run: &Run<'_>,
    window: &[Candidate],
    sends: &[Sent],
) -> Vec<Option<Result<Vec<Read>, CallError>>> {
    stream::iter(window.iter().zip(sends))
        .map(|(candidate, sent)| async move {
            let keys = match sent {
                Sent::Created(id) => vec![PartnerKey::Id(id.clone())],
                Sent::Unknown(_) | Sent::Refused(_) => lookup_keys(&candidate.intent, &candidate.fields),
                Sent::Withheld(_) => return None,
            };
            let mut found = Vec::new();
            for key in &keys {
                match run.client.partners(key).await {
                    Ok(more) => add_new(&mut found, more),
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(Ok(found))
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await
}

/// What a send has led to.
enum Outcome {
    /// Over, once the writes are stored.
    Over(Vec<Write>, Effect, Option<CrmId>),
    /// In doubt.
    Open(Intent),
}

/// Stores how sends ended. Answers the contacts that were linked and whose fields still have to travel.
async fn store_outcomes(run: &Run<'_>, sent: Vec<(Candidate, Sent, Vec<Read>)>) -> Result<Vec<CrmId>, Stop> {
    let ids: IdSet<String> =
        sent.iter().flat_map(|(_, _, found)| found.iter().map(|read| read.partner.id.0.clone())).collect();
    let linked = links_with(run.powers.storage, ids.texts()).await?;
    let mut groups = Vec::new();
    let mut followed = Vec::new();
    let mut open = Vec::new();
    for (candidate, outcome, found) in sent {
        run.pending.borrow_mut().retain(|intent| intent.contact != candidate.contact.id);
        let made = match &outcome {
            Sent::Created(id) => {
                Some((id.clone(), found.iter().find(|read| read.partner.id == *id).cloned()))
            }
            _ => None,
        };
        match judge_send(run, &candidate, outcome, found, &linked) {
            Outcome::Over(writes, effect, pushes) => {
                groups.push(Group { record: groups.len(), writes, effect });
                followed.push((candidate, made, pushes));
            }
            Outcome::Open(intent) => {
                let write = intent.write();
                open.push((intent, Some(write)));
            }
        }
    }
    let stored = run.store(groups).await?;
    let mut adopted = Vec::new();
    for (record, (candidate, made, pushes)) in followed.into_iter().enumerate() {
        match made {
            _ if !stored.is_lost(record) => adopted.extend(pushes),
            Some((id, read)) => overtaken(run, candidate, id, read).await?,
            None => run.taken(&candidate.contact.id),
        }
    }
    keep_open(run, open).await?;
    Ok(adopted)
}

fn judge_send(
    run: &Run<'_>,
    candidate: &Candidate,
    sent: Sent,
    found: Vec<Read>,
    linked: &ById<MkId, Link>,
) -> Outcome {
    let reason = match sent {
        Sent::Created(ref id) => {
            let read = found.iter().find(|read| read.partner.id == *id);
            if read.is_none_or(|read| is_what_was_sent(candidate, read)) {
                let (writes, effect) = created(run, candidate, id.clone(), read);
                return Outcome::Over(writes, effect, None);
            }
            format!("the answer names partner {id}, which is another one")
        }
        Sent::Withheld(_) => return Outcome::Open(candidate.intent.clone()),
        Sent::Refused(ref reason) | Sent::Unknown(ref reason) => reason.clone(),
    };
    // A refusal proves that nothing was stored, and the look-up that followed is the second opinion.
    let refused = matches!(sent, Sent::Refused(_));
    if !refused {
        run.powers.log.log(
            Level::Info,
            Category::Api,
            "the outcome of a create is not known: it is looked for before anything is sent again",
            &[("crm_id", &candidate.contact.id.0), ("error", &reason)],
        );
    }
    let hits: Vec<Read> = found.into_iter().filter(|read| is_hit(candidate, read)).collect();
    match judge(candidate, Ok((hits, Vec::new())), linked) {
        Look::Free(read) => {
            let linked = adopt(run, &candidate.contact, &candidate.intent, &read);
            Outcome::Over(linked.writes, linked.effect, linked.pushes)
        }
        _ if refused => {
            let mut effect = Effect::default();
            let severity = Severity::Quarantined;
            let given_up =
                give_up(run, &candidate.contact, &candidate.fields, severity, "refused", reason, &mut effect);
            Outcome::Over(vec![candidate.intent.done(), given_up], effect, None)
        }
        Look::Taken => Outcome::Over(vec![candidate.intent.done()], Effect::default(), None),
        Look::Review { code, reason } => {
            let (writes, effect) = review(run, candidate, code, reason);
            Outcome::Over(writes, effect, None)
        }
        Look::Absent { .. } | Look::Inconclusive(_) => {
            let mut intent = candidate.intent.clone();
            intent.state = IntentState::Unknown;
            intent.since = run.now();
            intent.until = intent.since.plus(run.settings.settle());
            Outcome::Open(intent)
        }
    }
}

/// Whether the partner an answer names can be the one that was sent: an id that belongs to another company would hand it
/// this contact's edits.
fn is_what_was_sent(candidate: &Candidate, read: &Read) -> bool {
    let (sent, stored) = (Identity::of(&candidate.fields), Identity::of_read(read));
    sent.bond(&stored) != Bond::Contradiction && sent.is_called_like(&stored)
}

/// Our create was carried out, but another run has written the intent or the link meanwhile. What we know is certain: the
/// link is stored unless the other run has found the same partner; anything else is for a person.
async fn overtaken(
    run: &Run<'_>,
    mut candidate: Candidate,
    id: MkId,
    read: Option<Read>,
) -> Result<(), Stop> {
    for _ in 0..RACES {
        let contact = vec![candidate.contact.id.0.clone()];
        // What Metakocka has filled in is written to the contact as it is now.
        if let Some(fresh) = Contacts::load(run.powers, contact.clone()).await?.readable.pop() {
            candidate.contact = fresh;
        }
        let own = links_of(run.powers.storage, contact.clone()).await?.remove(&candidate.contact.id);
        let holder = links_with(run.powers.storage, vec![id.0.clone()]).await?.remove(&id);
        let intent =
            run.powers.storage.get_many(OUTBOX, contact).await?.first().map(Intent::read).transpose()?;
        candidate.intent.revision = intent.and_then(|intent| intent.revision);
        let (writes, effect) = match (own, holder) {
            (Some(own), _) if own.partner == id => {
                run.taken(&candidate.contact.id);
                return Ok(());
            }
            // Stored between the two reads.
            (None, Some(holder)) if holder.contact == candidate.contact.id => {
                run.taken(&candidate.contact.id);
                return Ok(());
            }
            (None, None) => created(run, &candidate, id.clone(), read.as_ref()),
            (own, holder) => {
                let reason = match (own, holder) {
                    (Some(own), _) => format!(
                        "two runs have worked on this contact at the same time: it is linked with partner {}, and partner \
                         {id} was made for it too: remove or merge one of them in Metakocka",
                        own.partner
                    ),
                    (None, holder) => format!(
                        "the partner made for this contact ({id}) was linked with contact {} meanwhile: merge the two \
                         contacts",
                        holder.map(|link| link.contact.0).unwrap_or_default()
                    ),
                };
                let (mut writes, mut effect) = review(run, &candidate, "overtaken", reason.clone());
                // Somebody has to look, so the run has not succeeded.
                let ids = (Some(&candidate.contact.id), Some(&id));
                effect.failure = Some(Box::new(RecordError::of(ids, reason, "overtaken", Class::Review)));
                writes.retain(|write| write.change != Change::Check);
                (writes, effect)
            }
        };
        if !run.store(vec![Group { record: 0, writes, effect }]).await?.is_lost(0) {
            return Ok(());
        }
    }
    let reason = format!("partner {id} was made for this contact, which kept changing meanwhile: run again");
    let ids = (Some(&candidate.contact.id), Some(&id));
    run.fail(RecordError::of(ids, reason, "busy", Class::Connection));
    Ok(())
}

/// A create that was answered: link and base, as Metakocka really stored it.
fn created(run: &Run<'_>, candidate: &Candidate, id: MkId, read: Option<&Read>) -> (Vec<Write>, Effect) {
    let made = id.clone();
    let read = read.map(|read| &read.partner);
    let mut link = Link::new(candidate.contact.id.clone(), id, read, run.now());
    let mut to_crm = Vec::new();
    for field in Field::ALL {
        let crm = candidate.fields.get(field);
        let stored = read.map_or(crm, |read| read.fields.get(field));
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
    run.settled(&candidate.contact.id);
    let settled = Settled {
        contact: &candidate.contact,
        link,
        to_crm: &to_crm,
        parked: &[],
        unsent: &[],
        known_conflicts: &[],
        revive: false,
    };
    let mut writes = apply::settled(run, settled, None);
    writes.push(candidate.intent.done());
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::crm_entry(&candidate.contact.id)));
    }
    let effect = Effect { metakocka_created: 1, calls_least: 3, ..Effect::crm_updated(!to_crm.is_empty()) };
    (writes, effect.about(&candidate.contact.id, &made))
}
