//! A run, from its request to its report.

use super::context::{Run, Stop};
use super::link::{links_of, links_with};
use super::pull::{is_stand_in, pull, pull_some};
use super::push::{keep_checkpoint, note, process, push};
use super::reconcile::reconcile;
use super::report::{Class, Failure, RecordError, Report};
use super::request::{RunRequest, Selection};
use super::unclear::{recover, resolve, send_planned};
use super::unreadable::{Contacts, give_up};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{CONFLICTS, Conflict, LINKS, QUARANTINE, Quarantined, Severity};
use crate::model::{CrmId, IdSet, MkId};
use crate::ports::{Category, Level, Pages, Powers};

/// How long a run waits for creates that will soon be certain, milliseconds in all. With the default settling time it
/// never waits: the report says until when, and the next run goes on.
const PATIENCE_MS: u64 = 30_000;
/// What one round of waiting costs at least.
const LEAST_ROUND_MS: u64 = 1_000;

/// One pass over the contacts.
///
/// # Errors
///
/// Only when the run could not even begin; whatever happens later is part of the report.
pub async fn run(powers: Powers<'_>, request: &RunRequest) -> Result<Report, Failure> {
    let run = Run::begin(powers, request).await.map_err(|stop| stop.failure())?;
    let ended = stages(&run).await;
    let counted = count_leftovers(&run).await;
    let closed = run.gate.close(powers).await.map_err(Stop::from);
    let mut report = std::mem::take(&mut *run.report());
    report.calls_made = run.client.calls();
    if let Err(stop) = ended.and(counted).and(closed) {
        let failure = stop.failure();
        powers.log.log(Level::Error, Category::Sync, &failure.message, &[("code", &failure.code)]);
        report.stopped = Some(failure);
    }
    let stale = run.gate.stale();
    if stale > 0 {
        let text = format!("{stale} planned items no longer hold and were left alone: make a new plan");
        report.fail(RecordError {
            id: "plan".to_owned(),
            ..RecordError::of((None, None), text, "plan-stale", Class::Record)
        });
    }
    report.plan_hash = run.gate.hash();
    Ok(report)
}

async fn stages(run: &Run<'_>) -> Result<(), Stop> {
    let direction = run.request.direction;
    let scanned = run.checkpoint.borrow().scanned;
    recover(run).await?;
    super::release::release(run).await?;
    if !run.gate.is_dry() {
        resolve(run, true).await?;
    } else if direction.writes_metakocka() {
        send_planned(run).await?;
    }
    match &run.request.selection {
        Selection::Ids(ids) => selected(run, ids).await?,
        Selection::Everything => {
            let retries = asked_again(run).await?;
            reconcile(run, decided(run).await?).await?;
            if direction.writes_crm() {
                super::reconsider::reconsider(run).await?;
            }
            if !direction.writes_metakocka() {
                note(run).await?;
            }
            if direction.writes_crm() {
                run.forget_seen(retries.partners).await?;
                let edited = pull(run).await?;
                reconcile(run, edited).await?;
            }
            if direction.writes_metakocka() {
                process(run, retries.contacts, true).await?;
                push(run).await?;
            }
        }
    }
    if !run.gate.is_dry() {
        wait_for_the_unclear(run).await?;
        let first_scan = run.checkpoint.borrow().scanned != scanned;
        let everything = run.request.selection == Selection::Everything;
        if run.gate.is_open() && everything && (wrote(run) || first_scan) {
            keep_checkpoint(run).await?;
        }
    }
    Ok(())
}

fn wrote(run: &Run<'_>) -> bool {
    let report = run.report();
    report.crm_created + report.crm_updated + report.crm_deactivated + report.linked > 0
}

/// Creates that will be certain within the run's patience are waited for.
async fn wait_for_the_unclear(run: &Run<'_>) -> Result<(), Stop> {
    let mut patience = PATIENCE_MS;
    loop {
        let next = run
            .pending
            .borrow()
            .iter()
            .filter(|intent| intent.state != crate::ledger::IntentState::Planned)
            .map(|intent| intent.until)
            .min();
        let Some(next) = next else { return Ok(()) };
        let wait = next.0.saturating_sub(run.now().0);
        if wait > patience || patience == 0 {
            return Ok(());
        }
        // Every round costs some patience, so the loop ends.
        patience = patience.saturating_sub(wait.max(LEAST_ROUND_MS));
        if wait > 0 {
            run.powers.log.progress("waiting for unclear writes to settle", 0, None);
            run.powers.clock.sleep(wait).await;
        }
        resolve(run, false).await?;
    }
}

/// Records somebody wants to see tried again.
struct Retries {
    contacts: Vec<Contact>,
    partners: Vec<MkId>,
}

async fn asked_again(run: &Run<'_>) -> Result<Retries, Stop> {
    let mut retries = Retries { contacts: Vec::new(), partners: Vec::new() };
    if !run.has_quarantine.get() {
        return Ok(retries);
    }
    let found = run.powers.storage.find_many(QUARANTINE, "retry", vec!["true".to_owned()], 2_000).await?;
    let mut ids = Vec::new();
    let mut nameless = Vec::new();
    for row in Quarantined::read_all(found.iter().map(|(_, entry)| entry))? {
        match (row.crm_id, row.metakocka_id) {
            (Some(id), _) => ids.push(id.0),
            // Nobody can ask for it: the scan that follows reads its element anew, and gives it up anew if need be.
            (None, Some(id)) if is_stand_in(&id) => nameless.push(id),
            (None, Some(id)) => retries.partners.push(id),
            (None, None) => {}
        }
    }
    if run.request.direction.writes_crm() && !nameless.is_empty() {
        if !run.gate.is_dry() {
            let rows = nameless.iter().map(|id| Quarantined::release(Quarantined::metakocka_entry(id)));
            run.put_any(rows.collect()).await?;
        }
        run.forget_seen(nameless).await?;
    }
    if run.request.direction.writes_metakocka() && !ids.is_empty() {
        let contacts = Contacts::load(run.powers, ids).await?;
        give_up(run, contacts.unreadable).await?;
        retries.contacts = contacts.readable;
    }
    Ok(retries)
}

/// Contacts with a conflict somebody has decided.
async fn decided(run: &Run<'_>) -> Result<Vec<CrmId>, Stop> {
    if !run.has_conflicts.get() {
        return Ok(Vec::new());
    }
    let keys = vec!["metakocka".to_owned(), "crm".to_owned()];
    let found = run.powers.storage.find_many(CONFLICTS, "decision", keys, 2_000).await?;
    let mut ids = IdSet::default();
    for (_, entry) in &found {
        ids.insert(Conflict::read(entry)?.crm_id);
    }
    Ok(ids.into_ids().collect())
}

/// Single records, by CRM id or Metakocka id.
async fn selected(run: &Run<'_>, ids: &[String]) -> Result<(), Stop> {
    let storage = run.powers.storage;
    let direction = run.request.direction;
    let mut contacts: Vec<Contact> = Vec::new();
    let mut partners: IdSet<MkId> = IdSet::default();
    for page in ids.chunks(1_000) {
        let found = storage.get_many(COLLECTION, page.to_vec()).await?;
        let others: Vec<String> =
            page.iter().filter(|id| !found.iter().any(|entry| entry.id == **id)).cloned().collect();
        let linked = storage.find_many(LINKS, "metakocka_id", others.clone(), 1).await?;
        let of_linked: Vec<String> = linked.iter().map(|(_, entry)| entry.id.clone()).collect();
        for found in [found, storage.get_many(COLLECTION, of_linked).await?] {
            let found = Contacts::of(&found);
            give_up(run, found.unreadable).await?;
            contacts.extend(found.readable);
        }
        partners.extend(others.into_iter().map(MkId).filter(|id| !is_stand_in(id)));
    }
    if direction.writes_crm() {
        let ids = contacts.iter().map(|contact| contact.id.0.clone()).collect();
        let links = links_of(storage, ids).await?;
        if !direction.writes_metakocka() {
            for contact in contacts.iter().filter(|contact| !links.contains(&contact.id)) {
                let reason =
                    "this contact has no partner to read from: run a full sync, or sync it to Metakocka";
                let ids = (Some(&contact.id), None);
                run.fail(RecordError::of(ids, reason.to_owned(), "not-linked", Class::Record));
            }
        }
        partners.extend(links.into_values().map(|link| link.partner));
        let edited = pull_some(run, partners.into_ids().collect()).await?;
        reconcile(run, edited).await?;
    } else {
        let known = links_with(storage, partners.texts()).await?;
        for id in partners.into_ids().filter(|id| !known.contains(id)) {
            let reason = "no contact has this id".to_owned();
            run.fail(RecordError::of((None, Some(&id)), reason, "not-found", Class::Record));
        }
    }
    if direction.writes_metakocka() {
        // Read again: the pull may have changed them.
        let ids = contacts.iter().map(|contact| contact.id.0.clone()).collect();
        let fresh = Contacts::load(run.powers, ids).await?.by_id(run).await?;
        let links = run.links_of(fresh.ids().map(str::to_owned).collect()).await?;
        let (linked, unlinked): (Vec<Contact>, Vec<Contact>) =
            fresh.into_values().partition(|contact| links.contains(&contact.id));
        process(run, linked, false).await?;
        process(run, unlinked, true).await?;
    }
    Ok(())
}

/// Counts what is left for later: held, waiting, parked, quarantined.
async fn count_leftovers(run: &Run<'_>) -> Result<(), Stop> {
    let storage = run.powers.storage;
    let held = pending_links(run).await?;
    let mut parked: IdSet<String> = IdSet::default();
    let mut quarantined = 0;
    if run.has_conflicts.get() || storage.count(CONFLICTS).await? > 0 {
        let mut pages = Pages::of(storage, CONFLICTS, &["crm_id"], 10_000);
        while let Some(page) = pages.next().await? {
            parked.extend(page.iter().filter_map(|entry| {
                let body: serde_json::Value = serde_json::from_slice(&entry.body).ok()?;
                Some(body.get("crm_id")?.as_str()?.to_owned())
            }));
        }
    }
    if run.has_quarantine.get() {
        let mut pages = Pages::of(storage, QUARANTINE, &[], 2_000);
        while let Some(page) = pages.next().await? {
            for row in Quarantined::read_all(&page)? {
                match row.status {
                    Severity::Quarantined => quarantined += 1,
                    Severity::NeedsReview => {
                        let id = row.crm_id.map(|id| id.0).or(row.metakocka_id.map(|id| id.0));
                        parked.extend(id);
                    }
                }
            }
        }
    }
    for failure in run.troubled.take().into_values() {
        run.fail(failure);
    }
    let pending = run.pending.borrow();
    let mut report = run.report();
    report.held = if run.request.direction.writes_metakocka() { 0 } else { held };
    report.parked = parked.len() as u64;
    report.quarantined = quarantined;
    report.waiting = pending.len() as u64;
    report.waiting_until = pending.iter().map(|intent| intent.until).max();
    Ok(())
}

/// Links with CRM edits held back. Usually few; when they are many, only their status is read.
async fn pending_links(run: &Run<'_>) -> Result<u64, Stop> {
    const FEW: u32 = 2_000;
    let storage = run.powers.storage;
    let few = storage.find_many(LINKS, "sync_status", vec!["pending".to_owned()], FEW).await?;
    if few.len() < FEW as usize {
        return Ok(few.len() as u64);
    }
    let mut pending = 0;
    let mut pages = Pages::of(storage, LINKS, &["sync_status"], 10_000);
    while let Some(page) = pages.next().await? {
        pending += page
            .iter()
            .filter(|entry| entry.body.windows(PENDING.len()).any(|window| window == PENDING))
            .count() as u64;
    }
    Ok(pending)
}

/// How a pending link's status stands in its body.
const PENDING: &[u8] = b"\"pending\"";
