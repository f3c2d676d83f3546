//! Partners no look-up finds. A look-up compares part of the stored text, so a partner whose tax number or e-mail is kept with
//! marks of its own is missed by it. A run that only writes to Metakocka never reads the list. Where its own records show that
//! such spellings are in use - numbers of other countries, numbers with marks, several addresses in a field - it does so
//! once, before its first create, and remembers those partners by their keys. Plain numbers at home cost no call more.

use super::context::{Run, Stop};
use super::push::keep_checkpoint;
use crate::crm::Contact;
use crate::ledger::{LINKS, Seen};
use crate::metakocka::outcome::CallError;
use crate::metakocka::partner::Partner;
use crate::model::match_key::{email_keys, email_lookup_forms, lookup_forms, tax_key};
use crate::model::{Field, Fields};
use crate::ports::{Response, Write};

const PAGE: usize = 1_000;

/// Reads the list once for a company, where these records ask for it.
///
/// # Errors
///
/// When the run has to stop.
pub async fn learn(run: &Run<'_>, contacts: &[Contact]) -> Result<(), Stop> {
    let known = run.checkpoint.borrow().spellings || run.request.direction.writes_crm() || run.gate.is_dry();
    if known || !contacts.iter().any(|contact| is_spelt_freely(&contact.fields(None))) {
        return Ok(());
    }
    run.report().calls_least += 1;
    let (_, odd) = run.client.scan_partners(async |response| odd(run, response).await).await?;
    for page in odd.chunks(PAGE) {
        remember(run, page).await?;
    }
    run.checkpoint.borrow_mut().spellings = true;
    keep_checkpoint(run).await
}

/// Keeps those without a link; partners with one are found by it.
async fn remember(run: &Run<'_>, page: &[Partner]) -> Result<(), Stop> {
    let ids: Vec<String> = page.iter().map(|partner| partner.id.0.clone()).collect();
    let linked = run.powers.storage.find_many(LINKS, "metakocka_id", ids, 1).await?;
    let is_linked = |position: usize| linked.iter().any(|(key, _)| *key == position);
    let free = page.iter().enumerate().filter(|(position, _)| !is_linked(*position));
    let writes: Vec<Write> = free
        // Without a hash: a scan that comes later has never looked at them.
        .map(|(_, partner)| {
            Seen { raw_hash: String::new(), ..Seen::of(partner, "other-spelling") }.write(&partner.id)
        })
        .collect();
    run.put_any(writes).await?;
    Ok(())
}

/// The partners of the list that a look-up would miss.
async fn odd(run: &Run<'_>, response: &Response) -> Result<Vec<Partner>, CallError> {
    let mut odd = Vec::new();
    // One that cannot be read is the next scan's business.
    let visit = |element: &[u8]| odd.extend(Partner::read(element).ok().filter(is_odd));
    run.client.each_partner(response, visit).await?;
    Ok(odd)
}

/// Whether a record's own keys may be spelt in more than one way.
fn is_spelt_freely(fields: &Fields) -> bool {
    let country = fields.get(Field::Country);
    let tax = fields.get(Field::TaxNumber).is_some_and(|number| {
        let abroad = tax_key(number, country).is_some_and(|key| key.national() != key.as_str());
        abroad || lookup_forms(number, country).len() > 1
    });
    tax || fields.get(Field::Email).is_some_and(|value| email_lookup_forms(value).len() > 1)
}

fn is_odd(partner: &Partner) -> bool {
    let country = partner.fields.get(Field::Country);
    let tax = partner.fields.get(Field::TaxNumber).is_some_and(|stored| {
        tax_key(stored, country).is_some_and(|key| !stored.to_ascii_uppercase().contains(key.national()))
    });
    let email = partner.fields.get(Field::Email).is_some_and(|stored| {
        email_keys(stored).iter().any(|key| !stored.to_ascii_lowercase().contains(key.as_str()))
    });
    tax || email
}
