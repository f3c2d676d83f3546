//! Records without a partner on the other side, from what is stored.

use super::context::{KIND, Stop};
use super::link::links_of;
use super::merge::Side;
use super::report::Failure;
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{
    CHECKPOINTS, Checkpoint, LINKS, Link, LinkState, OUTBOX, QUARANTINE, Quarantined, SEEN, Seen, Severity,
    Shown,
};
use crate::model::{ById, CrmId, IdSet, MkId};
use crate::ports::{Entry, Pages, Powers};

/// What a contact is recognised by.
const SHOWN: [&str; 7] = ["company", "full_name", "firstname", "lastname", "email", "phone", "status"];
/// What is read of links to tell their state.
const STATE: [&str; 3] = ["metakocka_id", "metakocka_code", "state"];

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsyncedRow {
    /// Where it is.
    pub side: Side,
    /// Its CRM id.
    pub crm_id: Option<String>,
    /// Its Metakocka id.
    pub metakocka_id: Option<String>,
    /// `not_synced`, `pending`, `needs_review` or `error`.
    pub status: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// What people recognise it by.
    pub shown: Shown,
}

/// A page of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnsyncedPage {
    /// The rows.
    pub rows: Vec<UnsyncedRow>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
    /// On the first page: how many rows there are in all.
    pub total: Option<u64>,
    /// No complete list of partners was ever read.
    pub never_scanned: bool,
}

/// Where a page begins: contacts come first, then partners whose contact was deleted, then partners met in scans.
enum Place {
    Contacts(Option<String>),
    Abandoned(Option<String>),
    Seen(Option<String>),
}

impl Place {
    fn read(after: Option<String>) -> Self {
        let Some(after) = after else { return Self::Contacts(None) };
        let behind = |id: &str| (!id.is_empty()).then(|| id.to_owned());
        match after.split_once(':') {
            Some(("links", id)) => Self::Abandoned(behind(id)),
            Some(("metakocka", id)) => Self::Seen(behind(id)),
            Some((_, id)) => Self::Contacts(behind(id)),
            None => Self::Contacts(None),
        }
    }
}

/// Rows and where to go on.
type Rows = (Vec<UnsyncedRow>, Option<String>);

/// One page.
///
/// # Errors
///
/// When storage fails.
pub async fn unsynced(
    powers: Powers<'_>,
    after: Option<String>,
    limit: u32,
) -> Result<UnsyncedPage, Failure> {
    page(powers, after, limit.clamp(1, 1_000)).await.map_err(|stop| stop.failure())
}

async fn page(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<UnsyncedPage, Stop> {
    let total = if after.is_none() { Some(total(powers).await?) } else { None };
    let checkpoint = powers.storage.get_many(CHECKPOINTS, vec![KIND.to_owned()]).await?;
    let checkpoint = checkpoint.first().map(Checkpoint::read).transpose()?.unwrap_or_default();
    let (rows, next) = match Place::read(after) {
        Place::Contacts(after) => contacts(powers, after, limit).await?,
        Place::Abandoned(after) => abandoned(powers, after, limit).await?,
        Place::Seen(after) => partners(powers, after, limit).await?,
    };
    Ok(UnsyncedPage { rows, next, total, never_scanned: checkpoint.scanned.is_none() })
}

/// How many rows there are, by counts: only the states of links are gone through.
async fn total(powers: Powers<'_>) -> Result<u64, Stop> {
    let storage = powers.storage;
    let (mut live, mut abandoned) = (0, 0);
    let mut pages = Pages::of(storage, LINKS, &STATE, 10_000);
    while let Some(page) = pages.next().await? {
        for link in Link::read_all(&page)? {
            match link.state {
                LinkState::Live => live += 1,
                LinkState::CrmGone => abandoned += 1,
                // Counted as the contact it has.
                LinkState::ErpGone => {}
            }
        }
    }
    Ok(storage.count(COLLECTION).await?.saturating_sub(live) + abandoned + storage.count(SEEN).await?)
}

async fn contacts(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<Rows, Stop> {
    let storage = powers.storage;
    let page = storage.scan(COLLECTION, after, &SHOWN, limit).await?;
    let Some(last) = page.last() else { return Ok((Vec::new(), Some("links:".to_owned()))) };
    let next = format!("crm:{}", last.id);
    let ids: Vec<String> = page.iter().map(|entry| entry.id.clone()).collect();
    let links = links_of(storage, ids.clone()).await?;
    let waiting: IdSet<String> =
        storage.get_many(OUTBOX, ids.clone()).await?.into_iter().map(|entry| entry.id).collect();
    let given_up = ids.iter().map(|id| Quarantined::crm_entry(&CrmId(id.clone()))).collect();
    let given_up: ById<String, Quarantined> =
        Quarantined::read_all(&storage.get_many(QUARANTINE, given_up).await?)?
            .into_iter()
            .filter_map(|row| row.crm_id.clone().map(|id| (id.0, row)))
            .collect();
    let rows = page.iter().filter_map(|entry| {
        let link = links.get(&CrmId(entry.id.clone()));
        if link.is_some_and(|link| link.state == LinkState::Live) {
            return None;
        }
        let (status, reason) = match (given_up.get(&entry.id), link) {
            (Some(row), _) => (word(row.status), Some(row.reason.clone())),
            (None, Some(link)) if link.state == LinkState::ErpGone => {
                ("not_synced", Some(format!("its partner {} is gone from Metakocka", link.partner)))
            }
            (None, Some(_)) => {
                ("pending", Some("it was deleted and made again under its id: sync again".to_owned()))
            }
            (None, None) if waiting.contains(&entry.id) => {
                ("pending", Some("its create is not confirmed yet".to_owned()))
            }
            (None, None) => ("not_synced", None),
        };
        Some(UnsyncedRow {
            side: Side::Crm,
            crm_id: Some(entry.id.clone()),
            metakocka_id: None,
            status,
            reason,
            shown: shown(entry, link),
        })
    });
    Ok((rows.collect(), Some(next)))
}

/// What a contact is recognised by; nothing, where it cannot be read.
fn shown(entry: &Entry, link: Option<&Link>) -> Shown {
    match Contact::read(entry) {
        Ok(Some(contact)) => Shown::of(link.and_then(|link| link.code.as_deref()), &contact.fields(None)),
        _ => Shown::default(),
    }
}

/// Partners whose contact was deleted in the CRM.
async fn abandoned(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<Rows, Stop> {
    let page = powers.storage.scan(LINKS, after, &STATE, limit).await?;
    let Some(last) = page.last() else { return Ok((Vec::new(), Some("metakocka:".to_owned()))) };
    let next = format!("links:{}", last.id);
    let rows = Link::read_all(&page)?.into_iter().filter(|link| link.state == LinkState::CrmGone);
    let rows = rows.map(|link| UnsyncedRow {
        side: Side::Metakocka,
        crm_id: None,
        metakocka_id: Some(link.partner.0),
        status: "not_synced",
        reason: Some("its contact was deleted in the CRM; the partner is left alone".to_owned()),
        shown: Shown { code: link.code, ..Shown::default() },
    });
    Ok((rows.collect(), Some(next)))
}

async fn partners(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<Rows, Stop> {
    let page = powers.storage.scan(SEEN, after, &[], limit).await?;
    let next = page.last().map(|last| format!("metakocka:{}", last.id));
    let reasons =
        page.iter().map(|entry| Quarantined::metakocka_entry(&MkId(entry.id.clone()))).collect::<Vec<_>>();
    let reasons: ById<String, Quarantined> =
        Quarantined::read_all(&powers.storage.get_many(QUARANTINE, reasons).await?)?
            .into_iter()
            .filter_map(|row| row.metakocka_id.clone().map(|id| (id.0, row)))
            .collect();
    let mut rows = Vec::new();
    for entry in page {
        let seen = Seen::read(&entry)?;
        let (status, reason) = match reasons.get(&entry.id) {
            Some(row) => (word(row.status), row.reason.clone()),
            None => ("not_synced", seen.reason),
        };
        rows.push(UnsyncedRow {
            side: Side::Metakocka,
            crm_id: None,
            metakocka_id: Some(entry.id),
            status,
            reason: Some(reason),
            shown: Shown { code: seen.code, name: seen.name, email: seen.email, phone: seen.phone },
        });
    }
    Ok((rows, next))
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Quarantined => "error",
        Severity::NeedsReview => "needs_review",
    }
}
