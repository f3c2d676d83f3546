//! Partners no look-up finds. A look-up compares part of the stored text, so a partner whose tax number or e-mail is kept with
//! marks of its own is missed by it, whatever is asked for. A run that only writes to Metakocka never scans, so before its
//! first create of a day it reads the list and remembers those partners by their keys. The list answers the first record's
//! look-up too, so it costs no call more.

use super::context::{KIND, Run, Stop};
use super::identity::Identity;
use crate::crm::Contact;
use crate::ledger::{CHECKPOINTS, LINKS, Seen, SpellingsRead};
use crate::metakocka::client::Read;
use crate::metakocka::outcome::CallError;
use crate::metakocka::partner::Partner;
use crate::model::Field;
use crate::model::match_key::{email_keys, tax_key};
use crate::ports::{Response, Write};

const PAGE: usize = 1_000;

/// What was read is believed for so long, milliseconds: people go on entering partners.
const FRESH: u64 = 24 * 60 * 60 * 1_000;

/// Reads the list once a day for a company, before something is created.
///
/// # Errors
///
/// When the run has to stop.
pub async fn learn(run: &Run<'_>, contacts: &[Contact]) -> Result<(), Stop> {
    let now = run.now().0;
    // A scan has met every partner, and keeps those that have no contact.
    let scans = run.request.direction.writes_crm();
    let is_fresh = |read: Option<u64>| read.is_some_and(|at| now.saturating_sub(at) < FRESH);
    if scans || is_fresh(run.spellings_read.get()) {
        return Ok(());
    }
    let stored = run.powers.storage.get_many(CHECKPOINTS, vec![SpellingsRead::id(KIND)]).await?;
    let stored = stored.first().map(SpellingsRead::read).transpose()?;
    run.spellings_read.set(stored.map(|read| read.at));
    if is_fresh(run.spellings_read.get()) {
        return Ok(());
    }
    let mut keys = contacts.iter().map(|contact| (&contact.id, Identity::of(&contact.fields(None))));
    let Some((first, key)) = keys.find(|(_, key)| key.can_be_found()) else { return Ok(()) };
    let (_, List { odd, same, whole }) =
        run.client.scan_partners(async |response| read_list(run, response, &key).await).await?;
    if whole {
        run.answered.replace(Some((first.clone(), same)));
    } else {
        run.report().calls_least += 1;
    }
    run.spellings_read.set(Some(now));
    if run.gate.is_dry() {
        let odd = odd.iter().map(|partner| (partner.id.clone(), Identity::of_partner(partner)));
        run.other_spellings.borrow_mut().extend(odd);
        return Ok(());
    }
    for page in odd.chunks(PAGE) {
        remember(run, page).await?;
    }
    run.put_any(vec![SpellingsRead { at: now }.write(KIND)]).await?;
    Ok(())
}

/// What the list of partners holds.
#[derive(Default)]
struct List {
    /// Partners that a look-up would miss.
    odd: Vec<Partner>,
    /// Partners that share a key with the record asked about.
    same: Vec<Read>,
    /// Every element could be read: only then `same` is an answer.
    whole: bool,
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

async fn read_list(run: &Run<'_>, response: &Response, key: &Identity) -> Result<List, CallError> {
    let mut list = List { whole: true, ..List::default() };
    let visit = |element: &[u8]| {
        // One that cannot be read is the next scan's business.
        let Ok(partner) = Partner::read(element) else {
            list.whole = false;
            return;
        };
        let read = Read { partner, bytes: element.to_vec() };
        if is_odd(&read.partner) {
            list.odd.push(read.partner.clone());
        }
        if key.shares_a_key(&Identity::of_read(&read)) {
            list.same.push(read);
        }
    };
    run.client.each_partner(response, visit).await?;
    Ok(list)
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
