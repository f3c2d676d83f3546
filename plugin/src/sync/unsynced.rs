//! Records without a partner on the other side, from what is stored.

use super::context::Stop;
use super::merge::Side;
use super::report::Failure;
use crate::crm::COLLECTION;
use crate::ledger::{LINKS, OUTBOX, QUARANTINE, Quarantined, SEEN, Seen, Severity};
use crate::model::{ById, CrmId, IdSet, MkId};
use crate::ports::Powers;

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
}

/// A page of rows and where to go on.
pub type UnsyncedPage = (Vec<UnsyncedRow>, Option<String>);

/// One page: contacts first, then partners met in scans.
///
/// # Errors
///
/// When storage fails.
pub async fn unsynced(
    powers: Powers<'_>,
    after: Option<String>,
    limit: u32,
) -> Result<UnsyncedPage, Failure> {
    let limit = limit.clamp(1, 1_000);
    let page = match after.as_deref().and_then(|after| after.strip_prefix("metakocka:")) {
        Some(after) => {
            partners(powers, Some(after.to_owned()).filter(|after| !after.is_empty()), limit).await
        }
        None => {
            let after = after.as_deref().and_then(|after| after.strip_prefix("crm:")).map(str::to_owned);
            contacts(powers, after, limit).await
        }
    };
    page.map_err(|stop| stop.failure())
}

async fn contacts(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<UnsyncedPage, Stop> {
    let storage = powers.storage;
    let page = storage.scan(COLLECTION, after, &["status"], limit).await?;
    let Some(last) = page.last() else { return Ok((Vec::new(), Some("metakocka:".to_owned()))) };
    let next = format!("crm:{}", last.id);
    let ids: Vec<String> = page.iter().map(|entry| entry.id.clone()).collect();
    let linked: IdSet<String> =
        storage.get_many(LINKS, ids.clone()).await?.into_iter().map(|entry| entry.id).collect();
    let waiting: IdSet<String> =
        storage.get_many(OUTBOX, ids.clone()).await?.into_iter().map(|entry| entry.id).collect();
    let given_up = ids.iter().map(|id| Quarantined::crm_entry(&CrmId(id.clone()))).collect();
    let given_up: ById<String, Quarantined> =
        Quarantined::read_all(&storage.get_many(QUARANTINE, given_up).await?)?
            .into_iter()
            .filter_map(|row| row.crm_id.clone().map(|id| (id.0, row)))
            .collect();
    let rows = ids
        .into_iter()
        .filter(|id| !linked.contains(id))
        .map(|id| {
            let (status, reason) = match given_up.get(&id) {
                Some(row) => (word(row.status), Some(row.reason.clone())),
                None if waiting.contains(&id) => {
                    ("pending", Some("its create is not confirmed yet".to_owned()))
                }
                None => ("not_synced", None),
            };
            UnsyncedRow { side: Side::Crm, crm_id: Some(id), metakocka_id: None, status, reason }
        })
        .collect();
    Ok((rows, Some(next)))
}

async fn partners(powers: Powers<'_>, after: Option<String>, limit: u32) -> Result<UnsyncedPage, Stop> {
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
