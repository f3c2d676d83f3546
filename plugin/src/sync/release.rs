//! Records an earlier build gave up although only the connection had been refused: they go back to work.

use super::context::{Group, Run, Stop};
use super::link::links_of;
use super::unreadable::Contacts;
use crate::crm::Contact;
use crate::ledger::{Intent, Link, LinkState, LinkStatus, QUARANTINE, Quarantined};
use crate::metakocka::outcome::RefusalKind;
use crate::model::CrmId;
use crate::ports::{Pages, Write};

/// Rows looked at together.
const PAGE: u32 = 500;

/// Whether this row was written for a wrong key, a network address that is not allowed, a used-up quota or an internal
/// error.
fn is_of_connection(row: &Quarantined) -> bool {
    row.code == "refused"
        && row
            .reason
            .split_once("(opr_code ")
            .and_then(|(_, rest)| rest.split_once("): "))
            .map(|(code, text)| RefusalKind::of(code, text))
            .is_some_and(|kind| kind.is_of_connection() || kind == RefusalKind::Internal)
}

/// Takes such rows out of quarantine. A create is on record as planned again, an update as pending, in the commit that
/// removes the row.
///
/// # Errors
///
/// When storage fails.
pub async fn release(run: &Run<'_>) -> Result<(), Stop> {
    if run.gate.is_dry() || !run.has_quarantine.get() {
        return Ok(());
    }
    let mut pages = Pages::of(run.powers.storage, QUARANTINE, &[], PAGE);
    while let Some(page) = pages.next().await? {
        let mut rows = Vec::new();
        for entry in &page {
            let row = Quarantined::read(entry)?;
            if is_of_connection(&row) {
                rows.push((entry.id.clone(), entry.revision, row));
            }
        }
        if !rows.is_empty() {
            release_rows(run, rows).await?;
        }
    }
    Ok(())
}

async fn release_rows(run: &Run<'_>, rows: Vec<(String, u64, Quarantined)>) -> Result<(), Stop> {
    let ids: Vec<String> =
        rows.iter().filter_map(|(_, _, row)| row.crm_id.as_ref().map(|id| id.0.clone())).collect();
    let links = links_of(run.powers.storage, ids.clone()).await?;
    let contacts = Contacts::load(run.powers, ids).await?.by_id(run).await?;
    let mut groups = Vec::new();
    let mut planned = Vec::new();
    for (record, (entry, revision, row)) in rows.into_iter().enumerate() {
        let mut writes =
            vec![Write { expect: crate::ports::Expect::Revision(revision), ..Quarantined::release(entry) }];
        let link = row.crm_id.as_ref().and_then(|id| links.get(id));
        match (link, row.crm_id.as_ref().and_then(|id| contacts.get(id))) {
            (Some(link), _) if link.state == LinkState::Live => {
                let pending = Link { status: LinkStatus::Pending, ..link.clone() };
                writes.push(pending.write(&run.now().text()));
            }
            (None, Some(contact)) if contact.active && !is_waiting(run, &contact.id) => {
                let intent = intent(run, contact);
                writes.push(intent.write());
                planned.push((record, intent));
            }
            _ => {}
        }
        groups.push(Group::silent(record, writes));
    }
    let stored = run.store(groups).await?;
    for (record, mut intent) in planned {
        // A lost race here means that another run, or a person, has been at it: the next run looks again.
        if !stored.is_lost(record) {
            intent.revision = stored.revision(record, 1);
            run.pending.borrow_mut().push(intent);
        }
    }
    Ok(())
}

fn is_waiting(run: &Run<'_>, id: &CrmId) -> bool {
    run.pending.borrow().iter().any(|intent| intent.contact == *id)
}

fn intent(run: &Run<'_>, contact: &Contact) -> Intent {
    Intent::new(contact.id.clone(), &contact.fields(None), run.now())
}
