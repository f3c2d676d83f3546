//! Pull: every partner of the company, compared with what is known, changed ones carried into the CRM.
//!
//! The answer is gone through twice. The survey only finds out: is it whole, which elements have bytes that were not
//! seen before, which linked partners are missing. Only then is the first write made. The second pass parses the
//! changed elements, a page at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{self, Settled, Verdict};
use super::context::{Group, Run, Stop};
use super::index::Index;
use super::link::{Matched, match_contacts};
use super::merge::{Rules, Side, Versions, merge};
use super::plan::{Action, Item, PlannedField};
use super::reconcile::{conflicts_of, decisions};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{Base, LINKS, Link, LinkState, Quarantined, Seen, Severity};
use crate::metakocka::client::{PARTNER_LIST, PartnerKey, protocol, transport};
use crate::metakocka::elements::ListReader;
use crate::metakocka::outcome::CallError;
use crate::metakocka::partner::{Partner, Problem};
use crate::model::{CrmId, MkId, RawHash};
use crate::ports::{Category, Level, Response};

/// Bytes asked for at once: small enough to stay in the processor's cache from the host to the splitter.
const PIECE: u32 = 256 * 1024;
/// Partners handled together: two writes each fit one commit.
const PAGE: usize = 1_000;
/// Fewer missing partners than this never trip the brake.
const BRAKE_LEAST: u64 = 5;
/// How often a record that loses a race is looked at again.
const RACES: usize = 5;

/// What the survey found.
struct Survey {
    count: u64,
    announced: Option<u64>,
    unchanged: u64,
    changed: u64,
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
    let index = Index::load(run.powers).await?;
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
    let missing = index.missing();
    if missing >= BRAKE_LEAST && missing * 10 > index.live() && !run.request.allow_mass_deactivation {
        return Err(Stop::MassDeactivation { missing, linked: index.live() });
    }
    {
        let mut report = run.report();
        report.seen += survey.count;
        report.unchanged += survey.unchanged;
    }
    let to_push =
        if survey.changed > 0 { second_pass(run, &response, &survey, &index).await? } else { Vec::new() };
    if complete && missing > 0 {
        deactivate_missing(run, &index).await?;
    }
    Ok(to_push)
}

/// The first pass.
async fn survey(run: &Run<'_>, response: &Response, index: &Index) -> Result<Survey, CallError> {
    index.forget_meetings();
    response.body.rewind();
    let mut reader = ListReader::new(PARTNER_LIST);
    let mut found = Survey { count: 0, announced: None, unchanged: 0, changed: 0, is_changed: Vec::new() };
    let nothing_known = index.is_empty();
    loop {
        let piece = response.body.read(PIECE).await.map_err(|error| transport(&error))?;
        if piece.is_empty() {
            break;
        }
        reader.feed(&piece);
        while let Some(element) = reader.next_element().map_err(protocol)? {
            let position = found.count;
            found.count += 1;
            if position.is_multiple_of(64) {
                found.is_changed.push(0);
            }
            match if nothing_known { None } else { index.meet_bytes(RawHash::of(element)) } {
                Some(true) => found.unchanged += 1,
                Some(false) => {}
                None => {
                    found.changed += 1;
                    if let Some(word) = found.is_changed.last_mut() {
                        *word |= 1 << (position % 64);
                    }
                    if !nothing_known && let Ok(partner) = Partner::read(element) {
                        index.meet_id(&partner.id);
                    }
                }
            }
        }
    }
    let envelope = reader.finish().map_err(protocol)?;
    // A company without partners answers as if nothing was found.
    run.client.must_tell(&envelope).await?;
    found.announced = envelope.text("partner_list_count").and_then(|text| text.trim().parse().ok());
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
        let piece = response.body.read(PIECE).await.map_err(|error| transport(&error))?;
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
        let id = element.as_ref().map_or("unknown", |partner| partner.id.0.as_str());
        run.report().fail(
            id,
            "the record kept changing while it was synchronised; run again".to_owned(),
            "busy",
        );
    }
    run.gate.flush(run.powers).await?;
    Ok(to_push)
}

/// What a group of writes will have done once it is stored.
enum Effect {
    Created,
    Linked { updated: bool },
    Updated,
    Revived,
    Nothing,
    Noted,
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
    let contacts = contacts(run, contact_ids.clone()).await?;
    let conflicts = conflicts_of(run, contact_ids).await?;
    let strangers: Vec<&Partner> =
        page.iter().flatten().filter(|partner| !links.contains_key(&partner.id)).collect();
    let mut matches = match_contacts(run, &strangers).await?.into_iter();

    let mut groups = Vec::new();
    let mut effects: BTreeMap<usize, Effect> = BTreeMap::new();
    let mut on_success: Vec<(usize, CrmId)> = Vec::new();
    for (record, element) in page.iter().enumerate() {
        let partner = match element {
            Ok(partner) => partner,
            Err((hash, problem)) => {
                groups.push(Group { record, writes: unreadable(run, *hash, problem) });
                effects.insert(record, Effect::Noted);
                continue;
            }
        };
        let (writes, effect) = match links.get(&partner.id) {
            Some(link) => {
                let known = conflicts.get(&link.contact).map(Vec::as_slice).unwrap_or_default();
                match contacts.get(&link.contact) {
                    Some(contact) if link.state != LinkState::CrmGone => {
                        let outcome = linked(run, contact, link, partner, known);
                        if outcome.pushes {
                            to_push.push(contact.id.clone());
                        }
                        (outcome.writes, outcome.effect)
                    }
                    _ => (crm_gone(run, link, partner), Effect::Noted),
                }
            }
            None => match matches.next().unwrap_or(Matched::None) {
                Matched::None => create(run, partner, index.knows_strangers()),
                Matched::One(contact) => {
                    let outcome = adopt(run, &contact, partner);
                    if outcome.pushes {
                        on_success.push((record, contact.id.clone()));
                    }
                    (outcome.writes, outcome.effect)
                }
                Matched::Several(ids) => (several(run, partner, &ids), Effect::Noted),
            },
        };
        effects.insert(record, effect);
        groups.push(Group { record, writes });
    }
    let lost: BTreeSet<usize> = run.store(groups).await?.into_iter().collect();
    to_push.extend(on_success.into_iter().filter(|(record, _)| !lost.contains(record)).map(|(_, id)| id));
    {
        let mut report = run.report();
        for effect in effects.iter().filter(|(record, _)| !lost.contains(record)).map(|(_, effect)| effect) {
            match effect {
                Effect::Created => report.crm_created += 1,
                Effect::Linked { updated } => {
                    report.linked += 1;
                    report.crm_updated += u64::from(*updated);
                }
                Effect::Updated | Effect::Revived => report.crm_updated += 1,
                Effect::Nothing => report.unchanged += 1,
                Effect::Noted => {}
            }
        }
    }
    Ok(page
        .into_iter()
        .enumerate()
        .filter(|(record, _)| lost.contains(record))
        .map(|(_, element)| element)
        .collect())
}

/// Links of the page's partners. When nothing was linked at the start, nothing of the first try can be, and the unique
/// partner id of a link answers with a lost race should that be wrong.
async fn known_links(
    run: &Run<'_>,
    page: &[Element],
    index: &Index,
    round: usize,
) -> Result<BTreeMap<MkId, Link>, Stop> {
    if round == 0 && index.is_empty() && run.gate.is_open() && run.crm_was_empty.get() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = page.iter().flatten().map(|partner| partner.id.0.clone()).collect();
    let found = run.powers.storage.find_many(LINKS, "metakocka_id", ids, 1).await?;
    Ok(found
        .iter()
        .filter_map(|(_, entry)| Link::read(entry))
        .map(|link| (link.partner.clone(), link))
        .collect())
}

/// Contacts by id.
///
/// # Errors
///
/// When storage fails.
pub async fn contacts(run: &Run<'_>, ids: Vec<String>) -> Result<BTreeMap<CrmId, Contact>, Stop> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = run.powers.storage.get_many(COLLECTION, ids).await?;
    Ok(found
        .iter()
        .filter_map(|entry| Contact::read(entry).ok().flatten())
        .map(|contact| (contact.id.clone(), contact))
        .collect())
}

struct Outcome {
    writes: Vec<crate::ports::Write>,
    effect: Effect,
    pushes: bool,
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
    let merged = merge(
        Versions {
            base: &link.base,
            crm: &crm,
            metakocka: &partner.fields,
            crm_modified: run.modified(contact),
            metakocka_seen: seen,
        },
        Rules {
            direction: run.request.direction,
            policies: &run.settings.policies,
            decisions: &decisions(known),
        },
    );
    if !merged.to_metakocka.is_empty() || !merged.cleared.is_empty() {
        // The fresh read before the update decides again, for both sides at once.
        return Outcome { writes: Vec::new(), effect: Effect::Noted, pushes: true };
    }
    let revive = link.state == LinkState::ErpGone && !contact.active;
    let update = !merged.to_crm.is_empty() || revive;
    if update && !run.gate.admits(|| update_item(contact, &partner.id, &merged.to_crm, &[]))
        || run.gate.is_dry()
    {
        return Outcome {
            writes: Vec::new(),
            effect: if update { Effect::Noted } else { Effect::Nothing },
            pushes: false,
        };
    }
    run.report().conflicts += merged.contested;
    let next = Link {
        code: partner.code.clone(),
        status: apply::status(&merged, false),
        state: LinkState::Live,
        base: merged.base.clone(),
        raw_hash: Some(partner.raw_hash),
        first_seen: Some(seen),
        ..link.clone()
    };
    let settled = Settled {
        contact,
        link: next,
        to_crm: &merged.to_crm,
        parked: &merged.parked,
        held: &merged.held,
        known_conflicts: known,
        revive,
    };
    let effect = if revive {
        Effect::Revived
    } else if update {
        Effect::Updated
    } else {
        Effect::Nothing
    };
    Outcome { writes: apply::settled(run, settled, Some(link)), effect, pushes: false }
}

/// Links a partner with the contact that was there before.
fn adopt(run: &Run<'_>, contact: &Contact, partner: &Partner) -> Outcome {
    let base = Base::default();
    let crm = contact.fields(None);
    let merged = merge(
        Versions {
            base: &base,
            crm: &crm,
            metakocka: &partner.fields,
            crm_modified: run.modified(contact),
            metakocka_seen: run.began,
        },
        Rules { direction: run.request.direction, policies: &run.settings.policies, decisions: &[] },
    );
    let item = || Item {
        action: Action::Link,
        ..update_item(contact, &partner.id, &merged.to_crm, &merged.to_metakocka)
    };
    if !run.gate.admits(item) {
        return Outcome { writes: Vec::new(), effect: Effect::Noted, pushes: false };
    }
    let (mut writes, pushes) = apply::adopted(run, contact, partner, &merged);
    if run.pending.borrow().iter().any(|intent| intent.contact == contact.id) {
        let mut pending = run.pending.borrow_mut();
        pending.retain(|intent| {
            let found = intent.contact == contact.id;
            if found {
                writes.push(intent.done());
            }
            !found
        });
    }
    Outcome { writes, effect: Effect::Linked { updated: !merged.to_crm.is_empty() }, pushes }
}

fn create(run: &Run<'_>, partner: &Partner, may_be_seen: bool) -> (Vec<crate::ports::Write>, Effect) {
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
        reason: None,
    };
    if !run.gate.admits(item) {
        return (Vec::new(), Effect::Noted);
    }
    let mut writes = apply::create_contact(run, partner, may_be_seen);
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::metakocka_entry(&partner.id)));
    }
    (writes, Effect::Created)
}

/// More than one contact could be this partner.
fn several(run: &Run<'_>, partner: &Partner, ids: &[CrmId]) -> Vec<crate::ports::Write> {
    let named = ids.iter().map(|id| id.0.as_str()).take(5).collect::<Vec<_>>().join(", ");
    let reason = format!(
        "several contacts without a link share this partner's tax number or e-mail ({named}): make the right one differ or \
         remove the others, then sync again"
    );
    let item = || Item {
        action: Action::Review,
        crm_id: None,
        metakocka_id: Some(partner.id.0.clone()),
        fields: Vec::new(),
        reason: Some(reason.clone()),
    };
    if !run.gate.admits(item) {
        return Vec::new();
    }
    vec![
        Seen::of(partner, "ambiguous-match").write(&partner.id),
        apply::quarantine(
            run,
            Verdict {
                side: Side::Metakocka,
                crm_id: None,
                metakocka_id: Some(&partner.id),
                reason: reason.clone(),
                code: "ambiguous-match",
                severity: Severity::NeedsReview,
                record_hash: partner.raw_hash.to_string(),
                attempts: 0,
            },
        ),
    ]
}

/// An element that is no partner.
fn unreadable(run: &Run<'_>, hash: RawHash, problem: &Problem) -> Vec<crate::ports::Write> {
    let id = MkId(format!("unreadable-{hash}"));
    let item = || Item {
        action: Action::Quarantine,
        crm_id: None,
        metakocka_id: Some(id.0.clone()),
        fields: Vec::new(),
        reason: Some(problem.to_string()),
    };
    if !run.gate.admits(item) {
        return Vec::new();
    }
    vec![
        Seen::unreadable(hash).write(&id),
        apply::quarantine(
            run,
            Verdict {
                side: Side::Metakocka,
                crm_id: None,
                metakocka_id: Some(&id),
                reason: problem.to_string(),
                code: "unreadable",
                severity: Severity::Quarantined,
                record_hash: hash.to_string(),
                attempts: 0,
            },
        ),
    ]
}

/// The contact of this partner was deleted in the CRM: that stays so, and the partner is left alone.
fn crm_gone(run: &Run<'_>, link: &Link, partner: &Partner) -> Vec<crate::ports::Write> {
    if run.gate.is_dry() || (link.state == LinkState::CrmGone && link.raw_hash == Some(partner.raw_hash)) {
        return Vec::new();
    }
    let next = Link { state: LinkState::CrmGone, raw_hash: Some(partner.raw_hash), ..link.clone() };
    vec![next.write(&run.began_text)]
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
        reason: None,
    }
}

/// Linked partners the complete list does not hold: gone only if a direct look-up misses them too.
async fn deactivate_missing(run: &Run<'_>, index: &Index) -> Result<(), Stop> {
    let mut after = None;
    loop {
        let page = run.powers.storage.scan(LINKS, after, &["metakocka_id"], 10_000).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let missing: Vec<String> = page
            .iter()
            .filter(|entry| {
                serde_json::from_slice::<BTreeMap<String, String>>(&entry.body)
                    .ok()
                    .and_then(|body| body.get("metakocka_id").cloned())
                    .is_some_and(|id| index.is_missing(&MkId(id)))
            })
            .map(|entry| entry.id.clone())
            .collect();
        for ids in missing.chunks(500) {
            deactivate(run, ids.to_vec()).await?;
        }
    }
}

async fn deactivate(run: &Run<'_>, ids: Vec<String>) -> Result<(), Stop> {
    let links: Vec<Link> =
        run.powers.storage.get_many(LINKS, ids.clone()).await?.iter().filter_map(Link::read).collect();
    let contacts = contacts(run, ids).await?;
    run.report().calls_least += links.len() as u64;
    let looks = run.ask(links.iter().map(|link| PartnerKey::Id(link.partner.clone())).collect()).await;
    let mut groups = Vec::new();
    for (record, (link, look)) in links.iter().zip(looks).enumerate() {
        let Some(contact) = contacts.get(&link.contact) else { continue };
        if !look?.is_empty() {
            run.powers.log.log(
                Level::Warning,
                Category::Api,
                "a partner that was missing from the list is there after all and stays as it is",
                &[("metakocka_id", &link.partner.0)],
            );
            continue;
        }
        let item = || Item { action: Action::Deactivate, ..update_item(contact, &link.partner, &[], &[]) };
        if run.gate.admits(item) {
            groups.push(Group { record, writes: apply::deactivate(run, contact, link) });
        }
    }
    let planned = groups.len();
    let lost = run.store(groups).await?;
    run.report().crm_deactivated += (planned - lost.len()) as u64;
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
        match look?.into_iter().find(|read| read.partner.id == *id) {
            Some(read) => page.push(Ok(read.partner)),
            None => run.report().fail(
                &id.0,
                "Metakocka has no partner with this id; a full sync decides whether its contact becomes inactive"
                    .to_owned(),
                "not-found",
            ),
        }
    }
    run.report().seen += page.len() as u64;
    // Their bytes may be known: they are looked at all the same, because somebody asked for them.
    carry(run, page, &Index::default()).await
}
