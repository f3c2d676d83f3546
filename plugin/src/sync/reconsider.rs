//! Partners several contacts could be: when the CRM has changed since, the next scan decides about them again.

use super::context::{Run, Stop};
use super::merge::Side;
use crate::crm::COLLECTION;
use crate::ledger::{QUARANTINE, Quarantined};
use crate::model::MkId;
use crate::ports::Pages;

const PAGE: u32 = 2_000;

/// Forgets such partners, so that they are news to the scan that follows. Not only the contacts that shared their key
/// count: after an edit or a deletion nobody can tell any more which key a contact had.
///
/// # Errors
///
/// When storage fails.
pub async fn reconsider(run: &Run<'_>) -> Result<(), Stop> {
    if !run.has_quarantine.get() {
        return Ok(());
    }
    let after = {
        let checkpoint = run.checkpoint.borrow();
        if run.request.direction.writes_metakocka() { checkpoint.pushed } else { checkpoint.noted }
    };
    if run.powers.storage.changes(COLLECTION, after, 1).await?.entries.is_empty() {
        return Ok(());
    }
    let mut ambiguous: Vec<MkId> = Vec::new();
    let mut pages = Pages::of(run.powers.storage, QUARANTINE, &[], PAGE);
    while let Some(page) = pages.next().await? {
        ambiguous.extend(
            Quarantined::read_all(&page)?
                .into_iter()
                .filter(|row| {
                    row.side == Side::Metakocka.name()
                        && ["ambiguous-match", "same-email-other-name", "contradicting-numbers"]
                            .contains(&row.code.as_str())
                })
                .filter_map(|row| row.metakocka_id),
        );
    }
    run.forget_seen(ambiguous).await
}
