//! Pull: every partner of the company, compared with what is known, changed ones carried into the CRM.
//!
//! The answer is gone through twice. The survey only finds out: is it whole, which elements have bytes that were not
//! seen before, which linked partners are missing. Only then is the first write made. The second pass parses the
//! changed elements, a page at a time.

use super::adopt::Adoption;
use super::apply::{self, Settled, Verdict};
use super::context::{Group, RACES, Run, Stop};
use super::effect::Effect;
use super::identity::Identity;
use super::index::{Index, Met};
use super::link::{Matched, match_contacts};
use super::merge::{Merged, Side, Versions};
use super::plan::{Action, Item, PlannedField};
use super::push::{edited, gone_reason};
use super::reconcile::{conflicts_of, decisions};
use super::report::{Class, RecordError};
use super::request::Selection;
use super::unreadable::Contacts;
use crate::crm::Contact;
use crate::ledger::{LINKS, Link, LinkState, LinkStatus, Quarantined, SEEN, Seen, Severity};
use crate::metakocka::client::{PARTNER_LIST, PartnerKey, SCAN_PIECE, announced, protocol, transport};
use crate::metakocka::elements::ListReader;
use crate::metakocka::outcome::{CallError, Treatment};
use crate::metakocka::partner::{Partner, Problem};
use crate::model::{ById, CrmId, Field, IdSet, MkId, RawHash};
use crate::ports::{Category, Level, Pages, Response, Write};

/// Partners handled together: two writes each fit one commit.
const PAGE: usize = 1_000;
/// Fewer missing partners than this never trip the brake.
const BRAKE_LEAST: u64 = 5;

/// What the survey found.
#[derive(Default)]
struct Survey {
    count: u64,
    announced: Option<u64>,
    unchanged: u64,
    changed: u64,
    /// Partners that were in the list before.
    again: u64,
    /// One bit per element: its bytes are new.
    is_changed: Vec<u64>,
}

/// A partner, or why it cannot be read.
type Element = Result<Partner, (RawHash, Problem)>;

/// Carries what changed in Metakocka into the CRM. Returns the contacts whose own edits must now travel the other way.
///
/// # Errors
///
/// When the run has to stop.
pub async fn pull(run: &Run<'_>) -> Result<Vec<CrmId>, Stop> {
    let index = Index::load(run.powers, run.gate.forecast()).await?;
    run.report().calls_least += 1;
    let (response, survey) =
        run.client.scan_partners(async |response| survey(run, response, &index).await).await?;
    let complete = survey.announced.is_none_or(|announced| announced == survey.count);
    if !complete {
        run.powers.log.log(
            Level::Warning,
            Category::Api,
            "Metakocka announced another number of partners than it sent: nobody is deactivated in this run",
            &[],
        );
    }
    // What other runs were creating when the list was read is in the outbox now, or has its link.
    super::unclear::refresh(run).await?;
    if survey.again > 0 {
        said_twice(run, survey.again);
    }
    let missing = index.missing();
    if missing >= BRAKE_LEAST && missing * 10 > index.live() && !run.request.allow_mass_deactivation {
        return Err(Stop::MassDeactivation { missing, linked: index.live() });
    }
    {
        let mut report = run.report();
        report.seen += survey.count - survey.again;
        report.unchanged += survey.unchanged;
    }
    let to_push =
        if survey.changed > 0 { second_pass(run, &response, &survey, &index).await? } else { Vec::new() };
    if complete && missing > 0 {
        deactivate_missing(run, &index).await?;
    }
    if complete && index.unlinked_missing() > 0 && !run.gate.is_dry() {
        forget_vanished(run, &index).await?;
    }
    run.has_scanned.set(true);
    if complete {
        let began = run.began.0;
        run.checkpoint.borrow_mut().scanned.get_or_insert(began);
    }
    Ok(to_push)
}

/// The first pass.
async fn survey(run: &Run<'_>, response: &Response, index: &Index) -> Result<Survey, CallError> {
    index.forget_meetings();
    let mut found = Survey::default();
    let nothing_known = index.is_empty();
    let visit = |element: &[u8]| {
        let position = found.count;
        found.count += 1;
        if position.is_multiple_of(64) {
            found.is_changed.push(0);
        }
        match if nothing_known { None } else { index.meet_bytes(RawHash::of(element)) } {
            Some(Met::Linked) => found.unchanged += 1,
            Some(Met::Unlinked) => {}
            Some(Met::Again) => found.again += 1,
            None => {
                // Also one that cannot be read is there, when its id can.
                let id = || match Partner::read(element) {
                    Ok(partner) => Some(partner.id),
                    Err(problem) => problem.id,
                };
                if !nothing_known && id().is_some_and(|id| index.meet_id(&id)) {
                    found.again += 1;
                    return;
                }
                found.changed += 1;
                if let Some(word) = found.is_changed.last_mut() {
                    *word |= 1 << (position % 64);
                }
            }
        }
    };
    let envelope = run.client.each_partner(response, visit).await?;
    found.announced = announced(&envelope);
    run.powers.log.progress("reading partners", found.count, Some(found.count));
    Ok(found)
}

/// The second pass: changed elements, page by page.
async fn second_pass(
    run: &Run<'_>,
    response: &Response,
    survey: &Survey,
    index: &Index,
) -> Result<Vec<CrmId>, Stop> {
    response.body.rewind();
    let mut reader = ListReader::new(PARTNER_LIST);
    let mut page: Vec<Element> = Vec::new();
    let mut to_push = Vec::new();
    let (mut position, mut done) = (0_u64, 0_u64);
    while done + (page.len() as u64) < survey.changed {
        let piece = response.body.read(SCAN_PIECE).await.map_err(|error| transport(&error))?;
        if piece.is_empty() {
            break;
        }
        reader.feed(&piece);
        while let Some(element) = reader.next_element().map_err(protocol)? {
            let word = usize::try_from(position / 64).ok().and_then(|word| survey.is_changed.get(word));
            if word.is_some_and(|word| word & (1 << (position % 64)) != 0) {
                page.push(Partner::read(element).map_err(|problem| (RawHash::of(element), problem)));
            }
            position += 1;
            if page.len() == PAGE {
                done += page.len() as u64;
                to_push.extend(carry(run, std::mem::take(&mut page), index).await?);
                run.powers.log.progress("partners to contacts", done, Some(survey.changed));
            }
        }
    }
    done += page.len() as u64;
    to_push.extend(carry(run, page, index).await?);
    run.powers.log.progress("partners to contacts", done, Some(survey.changed));
    Ok(to_push)
}

/// Carries a page of partners into the CRM; records that lose a race are looked at again.
///
/// # Errors
///
/// When the run has to stop.
pub async fn carry(run: &Run<'_>, mut page: Vec<Element>, index: &Index) -> Result<Vec<CrmId>, Stop> {
    let mut to_push = Vec::new();
    for round in 0..RACES {
        if page.is_empty() {
            break;
        }
        page = carry_once(run, page, index, round, &mut to_push).await?;
    }
    for element in &page {
        let id = element.as_ref().ok().map(|partner| &partner.id);
        let reason = "the record kept changing while it was synchronised; run again".to_owned();
        run.fail(RecordError::of((None, id), reason, "busy", Class::Connection));
    }
    run.gate.flush(run.powers).await?;
    Ok(to_push)
}

/// What to do about one element of a page.
#[derive(Default)]
struct Outcome {
    writes: Vec<Write>,
    effect: Effect,
    /// The contact whose own edits travel to Metakocka afterwards.
    pushes: Option<CrmId>,
    /// The contact whose intent to create a partner is settled by this.
    settles: Option<CrmId>,
}

async fn carry_once(
    run: &Run<'_>,
    page: Vec<Element>,
    index: &Index,
    round: usize,
    to_push: &mut Vec<CrmId>,
) -> Result<Vec<Element>, Stop> {
    let links = known_links(run, &page, index, round).await?;
    let contact_ids: Vec<String> = links.values().map(|link| link.contact.0.clone()).collect();
    let (contacts, unreadable) = Contacts::told_apart(run, contact_ids.clone()).await?;
    let conflicts = conflicts_of(run, contact_ids).await?;
    let page = once_each(run, page);
    let strangers: Vec<&Partner> =
        page.iter().flatten().filter(|partner| !links.contains(&partner.id)).collect();
    let mut matches = match_contacts(run, &strangers, index).await?.into_iter();

    let mut groups = Vec::new();
    let mut followed = Vec::new();
    for (record, element) in page.iter().enumerate() {
        let outcome = match element {
            Err((hash, problem)) => self::unreadable(run, *hash, problem),
            Ok(partner) => match links.get(&partner.id) {
                // Nobody can tell what the contact says: it is given up above, and the partner waits with it.
                Some(link) if unreadable.contains(&link.contact) => Outcome::default(),
                Some(link) => match contacts.get(&link.contact) {
                    Some(contact) if link.state != LinkState::CrmGone => {
                        let known = conflicts.get(&link.contact).map(Vec::as_slice).unwrap_or_default();
                        linked(run, contact, link, partner, known)
                    }
                    _ => crm_gone(run, link, partner),
                },
                None => match matches.next().unwrap_or(Matched::None) {
                    Matched::None => {
                        // Single records are asked for without an index.
                        let by_id = run.request.selection != Selection::Everything;
                        create(run, partner, index.knows_unlinked() || by_id)
                    }
                    Matched::One(contact) => adopt(run, &contact, partner),
                    Matched::Returned(pair) => {
                        // The partner was entered anew: the contact's link goes on with it.
                        let (contact, link) = *pair;
                        let link = Link { partner: partner.id.clone(), state: LinkState::ErpGone, ..link };
                        linked(run, &contact, &link, partner, &[])
                    }
                    Matched::Review { code, reason } => review(run, partner, code, &reason),
                    Matched::Wait => Outcome::default(),
                },
            },
        };
        groups.push(Group { record, writes: outcome.writes, effect: outcome.effect });
        followed.push((outcome.pushes, outcome.settles));
    }
    let stored = run.store(groups).await?;
    for (record, (pushes, settles)) in followed.into_iter().enumerate() {
        if !stored.is_lost(record) {
            to_push.extend(pushes);
            if let Some(contact) = settles {
                run.pending.borrow_mut().retain(|intent| intent.contact != contact);
            }
        }
    }
    Ok(page
        .into_iter()
        .enumerate()
        .filter(|(record, _)| stored.is_lost(*record))
        .map(|(_, element)| element)
        .collect())
}

/// Each partner of a page once: the first element of it counts.
fn once_each(run: &Run<'_>, page: Vec<Element>) -> Vec<Element> {
    let mut known = IdSet::default();
    let before = page.len();
    let page: Vec<Element> = page
        .into_iter()
        .filter(|element| element.as_ref().map_or(true, |partner| known.insert(partner.id.clone())))
        .collect();
    let again = (before - page.len()) as u64;
    if again > 0 {
        run.report().seen -= again;
        said_twice(run, again);
    }
    page
}

fn said_twice(run: &Run<'_>, again: u64) {
    run.powers.log.log(
        Level::Warning,
        Category::Api,
        "Metakocka listed partners more than once: each counts once",
        &[("again", &again.to_string())],
    );
}

/// Links of the page's partners. When nothing was linked at the start, nothing of the first try can be, and the unique
/// partner id of a link answers with a lost race should that be wrong.
async fn known_links(
    run: &Run<'_>,
    page: &[Element],
    index: &Index,
    round: usize,
) -> Result<ById<MkId, Link>, Stop> {
    if round == 0 && index.is_empty() && run.gate.is_open() && run.crm_was_empty.get() {
        return Ok(ById::default());
    }
    let ids: Vec<String> = page.iter().flatten().map(|partner| partner.id.0.clone()).collect();
    run.links_with(ids).await
}

/// A linked partner whose bytes are new.
fn linked(
    run: &Run<'_>,
    contact: &Contact,
    link: &Link,
    partner: &Partner,
    known: &[crate::ledger::Conflict],
) -> Outcome {
    let same_bytes = link.raw_hash == Some(partner.raw_hash);
    let seen = if same_bytes { link.first_seen.unwrap_or(run.began) } else { run.began };
    let crm = contact.fields(Some(&link.base));
    let versions = Versions {
        base: &link.base,
        crm: &crm,
        metakocka: &partner.fields,
        crm_modified: run.modified(contact),
        metakocka_seen: seen,
    };
    let merged = run.merge(versions, &decisions(known));
    let back = link.state == LinkState::ErpGone;
    let revive = back && !contact.active && link.base.deactivated;
    if let (true, Some(forecast)) = (back, run.gate.forecast()) {
        forecast.comes_back(Link { state: LinkState::Live, ..link.clone() });
        forecast.name(None, crm.get(Field::Company).filter(|_| revive));
    }
    if !merged.to_metakocka.is_empty() || !merged.cleared.is_empty() {
        // The fresh read before the update decides again, for both sides at once.
        let pushes = Some(contact.id.clone());
        let writes = if back && !run.gate.is_dry() {
            came_back(run, contact, link, partner, revive)
        } else {
            Vec::new()
        };
        let effect = Effect::crm_updated(revive).about(&contact.id, &partner.id);
        return Outcome { writes, effect, pushes, ..Outcome::default() };
    }
    let update = !merged.to_crm.is_empty() || revive;
    if (update || merged.asks()) && !run.gate.admits(|| pair_item(contact, &partner.id, &merged, update))
        || run.gate.is_dry()
    {
        let effect = if update { Effect::default() } else { Effect::unchanged() };
        return Outcome { effect, ..Outcome::default() };
    }
    let mut next = Link {
        code: partner.code.clone(),
        status: apply::status(&merged, false),
        state: LinkState::Live,
        base: merged.base.clone(),
        raw_hash: Some(partner.raw_hash),
        first_seen: Some(seen),
        rest: partner.rest.clone(),
        ..link.clone()
    };
    next.base.deactivated = false;
    let settled = Settled {
        contact,
        link: next,
        to_crm: &merged.to_crm,
        parked: &merged.parked,
        unsent: &merged.unsent(),
        known_conflicts: known,
        revive,
    };
    let mut effect = if update { Effect::crm_updated(true) } else { Effect::unchanged() };
    effect.conflicts += merged.contested;
    effect.parked = !merged.parked.is_empty();
    let effect = effect.about(&contact.id, &partner.id);
    let mut writes = apply::settled(run, settled, Some(link));
    writes.extend(read_again(run, contact, partner, back));
    Outcome { writes, effect, ..Outcome::default() }
}

/// A partner came back whose contact was edited meanwhile: the link lives again, and the contact with it where we had set it
/// inactive. Its edits travel afterwards.
fn came_back(run: &Run<'_>, contact: &Contact, link: &Link, partner: &Partner, revive: bool) -> Vec<Write> {
    let mut live = Link { state: LinkState::Live, status: LinkStatus::Pending, ..link.clone() };
    live.base.deactivated = false;
    let settled =
        Settled { contact, link: live, to_crm: &[], parked: &[], unsent: &[], known_conflicts: &[], revive };
    let mut writes = apply::settled(run, settled, Some(link));
    writes.extend(read_again(run, contact, partner, true));
    writes
}

/// What was said about a partner that could not be read, or about a contact whose partner was gone, is over.
fn read_again(run: &Run<'_>, contact: &Contact, partner: &Partner, back: bool) -> Vec<Write> {
    if !run.has_quarantine.get() {
        return Vec::new();
    }
    let mut writes =
        vec![Seen::forget(&partner.id), Quarantined::release(Quarantined::metakocka_entry(&partner.id))];
    if back {
        writes.push(Quarantined::release(Quarantined::crm_entry(&contact.id)));
    }
    writes
}

/// Links a partner with the contact that was there before.
fn adopt(run: &Run<'_>, contact: &Contact, partner: &Partner) -> Outcome {
    let adoption = Adoption::of(run, contact, partner);
    if let Some(forecast) = run.gate.forecast()
        && run.pending.borrow().iter().any(|intent| intent.contact == contact.id && intent.attempts > 0)
    {
        // Our own create, whose answer was lost: a run settles it before it decides anything, so no plan says it.
        forecast.pair(Some(contact.id.clone()), Some(partner.id.clone()));
        return Outcome::default();
    }
    if !adoption.admitted(run) {
        return Outcome::default();
    }
    let pending = run.pending.borrow();
    let intent = pending.iter().find(|intent| intent.contact == contact.id);
    let linked = adoption.link(run, intent);
    Outcome {
        writes: linked.writes,
        effect: linked.effect,
        pushes: linked.pushes,
        settles: intent.map(|_| contact.id.clone()),
    }
}

fn create(run: &Run<'_>, partner: &Partner, may_be_seen: bool) -> Outcome {
    let item = || Item {
        action: Action::CreateContact,
        crm_id: None,
        metakocka_id: Some(partner.id.0.clone()),
        fields: partner
            .fields
            .present()
            .map(|(field, value)| PlannedField {
                side: Side::Crm.name(),
                field: field.name(),
                old: None,
                new: Some(value.to_owned()),
            })
            .collect(),
        code: None,
        reason: None,
    };
    if !run.gate.admits(item) {
        return Outcome::default();
    }
    let (contact, mut writes) = apply::create_contact(run, partner, may_be_seen);
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::metakocka_entry(&partner.id)));
    }
    let effect = Effect::crm_created().about(&contact, &partner.id);
    Outcome { writes, effect, ..Outcome::default() }
}

/// A person has to say which contact this partner is, or whether it is one.
fn review(run: &Run<'_>, partner: &Partner, code: &'static str, reason: &str) -> Outcome {
    let verdict = Verdict {
        side: Side::Metakocka,
        crm_id: None,
        metakocka_id: Some(&partner.id),
        reason: reason.to_owned(),
        code,
        severity: Severity::NeedsReview,
        record_hash: partner.raw_hash.to_string(),
        attempts: 0,
    };
    if !run.gate.is_open() {
        // A run keeps it among the partners it has seen, where look-ups find it however it is spelt; a plan, and one that is
        // carried out and does without the review because the partner gets its link after all, keeps it in mind.
        let known = (partner.id.clone(), Identity::of_partner(partner));
        run.listed.borrow_mut().partners.push(known);
    }
    left_alone(run, verdict, || Seen::of(partner, code).write(&partner.id))
}

/// What an element is called whose id nobody can read.
fn stand_in(hash: RawHash) -> MkId {
    MkId(format!("{STAND_IN}{hash}"))
}

const STAND_IN: &str = "unreadable-";

/// Whether this is no id of Metakocka's, but what an element is called that has none.
#[must_use]
pub fn is_stand_in(id: &MkId) -> bool {
    id.0.starts_with(STAND_IN)
}

/// An element that is no partner.
fn unreadable(run: &Run<'_>, hash: RawHash, problem: &Problem) -> Outcome {
    let id = problem.id.clone().unwrap_or_else(|| stand_in(hash));
    let verdict = Verdict {
        side: Side::Metakocka,
        crm_id: None,
        metakocka_id: Some(&id),
        reason: problem.to_string(),
        code: "unreadable",
        severity: Severity::Quarantined,
        record_hash: hash.to_string(),
        attempts: 0,
    };
    left_alone(run, verdict, || Seen::unreadable(hash).write(&id))
}

/// A partner that gets no link for now: it is known from here on, and people are told why.
fn left_alone(run: &Run<'_>, verdict: Verdict<'_>, seen: impl FnOnce() -> Write) -> Outcome {
    verdict.admitted(run).map_or_else(Outcome::default, |(write, effect)| Outcome {
        writes: vec![seen(), write],
        effect,
        ..Outcome::default()
    })
}

/// The contact of this partner was deleted in the CRM: that stays so, and the partner is left alone.
fn crm_gone(run: &Run<'_>, link: &Link, partner: &Partner) -> Outcome {
    if run.gate.is_dry() || (link.state == LinkState::CrmGone && link.raw_hash == Some(partner.raw_hash)) {
        return Outcome::default();
    }
    let next = Link {
        state: LinkState::CrmGone,
        raw_hash: Some(partner.raw_hash),
        rest: partner.rest.clone(),
        ..link.clone()
    };
    Outcome { writes: vec![next.write(&run.began_text)], ..Outcome::default() }
}

/// What a merge has decided about a pair, as a plan shows it.
#[must_use]
pub fn pair_item(contact: &Contact, partner: &MkId, merged: &Merged, update: bool) -> Item {
    let item = update_item(contact, partner, &merged.to_crm, &merged.to_metakocka);
    if update {
        return item;
    }
    let names = |fields: Vec<Field>| fields.into_iter().map(Field::name).collect::<Vec<_>>().join(", ");
    let (code, reason) = if merged.cleared.is_empty() {
        let fields = merged.parked.iter().map(|parked| parked.field).collect();
        ("conflict", format!("a person has to say which value counts: {}", names(fields)))
    } else {
        let reason = "emptied in the CRM, which Metakocka's API cannot follow";
        ("cleared-field", format!("{reason}: {}", names(merged.cleared.clone())))
    };
    Item { action: Action::Review, code: Some(code.to_owned()), reason: Some(reason), ..item }
}

/// An update as a plan shows it.
#[must_use]
pub fn update_item(
    contact: &Contact,
    partner: &MkId,
    to_crm: &[super::merge::Replacement],
    to_metakocka: &[super::merge::Replacement],
) -> Item {
    let mut fields: Vec<PlannedField> =
        to_crm.iter().map(|change| PlannedField::of(Side::Crm, change)).collect();
    fields.extend(to_metakocka.iter().map(|change| PlannedField::of(Side::Metakocka, change)));
    Item {
        action: Action::Update,
        crm_id: Some(contact.id.0.clone()),
        metakocka_id: Some(partner.0.clone()),
        fields,
        code: None,
        reason: None,
    }
}

/// Linked partners the complete list does not hold: gone only if a direct look-up misses them too.
async fn deactivate_missing(run: &Run<'_>, index: &Index) -> Result<(), Stop> {
    let mut pages = Pages::of(run.powers.storage, LINKS, &["metakocka_id"], 10_000);
    while let Some(page) = pages.next().await? {
        let missing: Vec<String> = page
            .iter()
            .filter(|entry| Link::partner_of(entry).is_some_and(|id| index.is_missing(&id)))
            .map(|entry| entry.id.clone())
            .collect();
        for ids in missing.chunks(500) {
            deactivate(run, ids.to_vec()).await?;
        }
    }
    Ok(())
}

/// Partners without a link that a complete list does not hold any more: nothing is left to say about them.
async fn forget_vanished(run: &Run<'_>, index: &Index) -> Result<(), Stop> {
    let mut pages = Pages::of(run.powers.storage, SEEN, &["raw_hash"], 2_000);
    while let Some(page) = pages.next().await? {
        let vanished =
            page.iter().map(|entry| MkId(entry.id.clone())).filter(|id| index.is_unlinked_missing(id));
        let writes = vanished
            .flat_map(|id| [Seen::forget(&id), Quarantined::release(Quarantined::metakocka_entry(&id))]);
        run.put_any(writes.collect()).await?;
    }
    Ok(())
}

async fn deactivate(run: &Run<'_>, ids: Vec<String>) -> Result<(), Stop> {
    let mut links = Link::read_all(&run.powers.storage.get_many(LINKS, ids.clone()).await?)?;
    if let Some(forecast) = run.gate.forecast() {
        links.retain(|link| !forecast.is_back(&link.contact));
    }
    let contacts = Contacts::load(run.powers, ids).await?.by_id(run).await?;
    run.report().calls_least += links.len() as u64;
    let looks = run.ask(links.iter().map(|link| PartnerKey::Id(link.partner.clone())).collect()).await;
    let mut groups = Vec::new();
    for (record, (link, look)) in links.iter().zip(looks).enumerate() {
        let Some(contact) = contacts.get(&link.contact) else { continue };
        let is_there = match look {
            Ok(found) => !found.is_empty(),
            Err(error) if error.treatment() == Treatment::StopRun => return Err(error.into()),
            // Nobody knows, and that is said: also where the answer cannot be read.
            Err(error) => {
                run.trouble(&contact.id, &error);
                continue;
            }
        };
        if is_there {
            run.powers.log.log(
                Level::Warning,
                Category::Api,
                "a partner that was missing from the list is there after all and stays as it is",
                &[("metakocka_id", &link.partner.0)],
            );
            continue;
        }
        let item = || Item {
            action: Action::Deactivate,
            reason: edited(contact, link, &[]).then(|| gone_reason(link)),
            ..update_item(contact, &link.partner, &[], &[])
        };
        if let (true, Some(forecast)) = (contact.active, run.gate.forecast()) {
            forecast.name(contact.fields(Some(&link.base)).get(Field::Company), None);
        }
        if run.gate.admits(item) {
            // What was edited meanwhile is said afterwards.
            run.follow_up(&contact.id);
            let effect = Effect { crm_deactivated: 1, ..Effect::default() }.about(&contact.id, &link.partner);
            groups.push(Group { record, writes: apply::deactivate(run, contact, link), effect });
        }
    }
    // Whoever lost was edited just now: still linked and missing, it is decided again in the next run.
    let _lost = run.store(groups).await?;
    run.gate.flush(run.powers).await?;
    Ok(())
}

/// Carries single partners, asked for by id, into the CRM. Never reads the whole list.
///
/// # Errors
///
/// When the run has to stop.
pub async fn pull_some(run: &Run<'_>, ids: Vec<MkId>) -> Result<Vec<CrmId>, Stop> {
    run.report().calls_least += ids.len() as u64;
    let looks = run.ask(ids.iter().cloned().map(PartnerKey::Id).collect()).await;
    let mut page = Vec::new();
    for (id, look) in ids.iter().zip(looks) {
        let found = match look {
            Ok(found) => found.into_iter().find(|read| read.partner.id == *id),
            Err(error) if error.treatment() == Treatment::StopRun => return Err(error.into()),
            Err(error) => {
                run.fail(RecordError::of((None, Some(id)), error.to_string(), error.code(), Class::Record));
                continue;
            }
        };
        match found {
            Some(read) => page.push(Ok(read.partner)),
            None => {
                let reason = "Metakocka has no partner with this id; a full sync decides whether its contact becomes \
                              inactive";
                run.fail(RecordError::of((None, Some(id)), reason.to_owned(), "not-found", Class::Record));
            }
        }
    }
    run.report().seen += page.len() as u64;
    // Their bytes may be known: they are looked at all the same, because somebody asked for them.
    carry(run, page, &Index::default()).await
}
