//! Linking: which CRM record is this partner. Matching comes before creating, and never guesses.

use super::context::{Run, Stop};
use super::index::Index;
use super::unreadable::{Contacts, UnreadableContact, give_up};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{KeyKind, LINKS, Link, LinkState, OUTBOX, name_key};
use crate::metakocka::client::PartnerKey;
use crate::metakocka::partner::Partner;
use crate::model::{ById, CrmId, Field, IdSet, email_key, tax_key};
use crate::ports::Entry;

/// More contacts than this under one key are not looked through.
const CANDIDATES: u32 = 50;

/// What matching found for a partner without a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Matched {
    /// No contact without a link fits: a new one is made.
    None,
    /// Exactly one.
    One(Box<Contact>),
    /// A contact whose partner is gone from Metakocka and which has this partner's tax number: it was entered anew.
    Returned(Box<(Contact, Link)>),
    /// More than one: a person has to say which.
    Several(Vec<CrmId>),
    /// A contact that may be it cannot be looked at now: unreadable, or another run is creating its partner. The partner
    /// waits for the next run.
    Wait,
}

/// Matches partners with the contacts that have no link: by tax number, else by e-mail.
///
/// # Errors
///
/// When storage fails.
pub async fn match_contacts(
    run: &Run<'_>,
    partners: &[&Partner],
    index: &Index,
) -> Result<Vec<Matched>, Stop> {
    if run.crm_was_empty.get() {
        return Ok(vec![Matched::None; partners.len()]);
    }
    let mut by_tax = candidates(run, partners, "tax_number", |partner| {
        partner.fields.get(Field::TaxNumber).and_then(tax_key)
    })
    .await?;
    let by_email =
        candidates(run, partners, "email", |partner| partner.fields.get(Field::Email).and_then(email_key))
            .await?;
    really_gone(run, &mut by_tax, index).await?;
    let own = own_creates(run, partners).await?;
    let busy = busy(run, [&by_tax, &by_email]).await?;
    let mut taken: IdSet<CrmId> = IdSet::default();
    let mut matches = Vec::with_capacity(partners.len());
    for position in 0..partners.len() {
        let free = |found: &[Claims]| -> Option<Claims> {
            let mut claims = found.get(position)?.clone();
            claims.contacts.retain(|contact| !taken.contains(&contact.id));
            (!claims.is_empty()).then_some(claims)
        };
        let found = [&by_tax[..], &by_email, &own].into_iter().find_map(free).unwrap_or_default();
        let returned = by_tax.get(position).map(|claims| claims.gone.as_slice()).unwrap_or_default();
        let waits =
            !found.unreadable.is_empty() || found.contacts.iter().any(|contact| busy.contains(&contact.id));
        matches.push(match (found.contacts.as_slice(), returned) {
            _ if waits => Matched::Wait,
            ([], []) => Matched::None,
            ([], [pair]) if taken.insert(pair.0.id.clone()) => Matched::Returned(Box::new(pair.clone())),
            ([contact], []) => {
                taken.insert(contact.id.clone());
                Matched::One(Box::new(contact.clone()))
            }
            (several, returned) => Matched::Several(
                several
                    .iter()
                    .chain(returned.iter().map(|(contact, _)| contact))
                    .map(|contact| contact.id.clone())
                    .collect(),
            ),
        });
    }
    let unreadable = [by_tax, by_email].into_iter().flatten().flat_map(|claims| claims.unreadable);
    give_up(run, unreadable.collect()).await?;
    Ok(matches)
}

/// Keeps of the linked candidates those whose partner is gone: known to be, or missing from the list under way and missed by
/// a direct look-up too.
async fn really_gone(run: &Run<'_>, found: &mut [Claims], index: &Index) -> Result<(), Stop> {
    for claims in found {
        let mut gone = Vec::new();
        for (contact, link) in std::mem::take(&mut claims.gone) {
            if link.state == LinkState::ErpGone {
                gone.push((contact, link));
            } else if index.is_missing(&link.partner) {
                run.report().calls_least += 1;
                if run.client.partners(&PartnerKey::Id(link.partner.clone())).await?.is_empty() {
                    gone.push((contact, link));
                }
            }
        }
        claims.gone = gone;
    }
    Ok(())
}

/// Candidates whose create another run has in hand: what it makes or finds is its business until it is done.
async fn busy(run: &Run<'_>, found: [&[Claims]; 2]) -> Result<IdSet<CrmId>, Stop> {
    let ids: IdSet<String> = found
        .into_iter()
        .flatten()
        .flat_map(|claims| &claims.contacts)
        .map(|contact| contact.id.0.clone())
        .collect();
    let ours: IdSet<String> = run.pending.borrow().iter().map(|intent| intent.contact.0.clone()).collect();
    let mut busy = IdSet::default();
    let asked: Vec<String> = ids.into_ids().filter(|id| !ours.contains(id)).collect();
    for page in asked.chunks(2_000) {
        let entries = run.powers.storage.get_many(OUTBOX, page.to_vec()).await?;
        busy.extend(entries.into_iter().map(|entry| CrmId(entry.id)));
    }
    Ok(busy)
}

/// Contacts without a link that have a key.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Those that can be read.
    pub contacts: Vec<Contact>,
    /// Those that cannot.
    pub unreadable: Vec<UnreadableContact>,
    /// Those with a link whose partner may be gone.
    gone: Vec<(Contact, Link)>,
}

impl Claims {
    fn is_empty(&self) -> bool {
        self.contacts.is_empty() && self.unreadable.is_empty()
    }

    /// The ids of all of them.
    pub fn ids(&self) -> impl Iterator<Item = &CrmId> {
        self.contacts
            .iter()
            .map(|contact| &contact.id)
            .chain(self.unreadable.iter().map(|contact| &contact.id))
    }
}

/// Contacts without a link that have these keys, by the number that comes with each key.
///
/// # Errors
///
/// When storage fails.
pub async fn claimants(run: &Run<'_>, keys: Vec<(usize, KeyKind, String)>) -> Result<Vec<Claims>, Stop> {
    let mut claims: Vec<Claims> = Vec::new();
    for (kind, index) in [(KeyKind::Tax, "tax_number"), (KeyKind::Email, "email")] {
        let keyed: Vec<(usize, String)> = keys
            .iter()
            .filter(|(_, known, _)| *known == kind)
            .map(|(number, _, key)| (*number, key.clone()))
            .collect();
        for (position, found) in with_keys(run, index, keyed).await?.into_iter().enumerate() {
            if !found.is_empty() {
                *at(&mut claims, position) = found;
            }
        }
    }
    Ok(claims)
}

/// Unlinked contacts under each partner's key.
async fn candidates(
    run: &Run<'_>,
    partners: &[&Partner],
    index: &'static str,
    key_of: impl Fn(&Partner) -> Option<String>,
) -> Result<Vec<Claims>, Stop> {
    let keyed: Vec<(usize, String)> = partners
        .iter()
        .enumerate()
        .filter_map(|(position, partner)| Some((position, key_of(partner)?)))
        .collect();
    with_keys(run, index, keyed).await
}

async fn with_keys(
    run: &Run<'_>,
    index: &'static str,
    keyed: Vec<(usize, String)>,
) -> Result<Vec<Claims>, Stop> {
    if keyed.is_empty() {
        return Ok(Vec::new());
    }
    let keys = keyed.iter().map(|(_, key)| key.clone()).collect();
    let found = run.powers.storage.find_many(COLLECTION, index, keys, CANDIDATES).await?;
    let found: Vec<(usize, Entry)> = found
        .into_iter()
        .filter_map(|(key, entry)| keyed.get(key).map(|(position, _)| (*position, entry)))
        .collect();
    unlinked(run, found).await
}

/// The place of a position, made where there is none yet.
fn at(claims: &mut Vec<Claims>, position: usize) -> &mut Claims {
    if claims.len() <= position {
        claims.resize_with(position + 1, Claims::default);
    }
    #[expect(clippy::indexing_slicing, reason = "the place was made above")]
    &mut claims[position]
}

async fn unlinked(run: &Run<'_>, found: Vec<(usize, Entry)>) -> Result<Vec<Claims>, Stop> {
    let ids: IdSet<String> = found.iter().map(|(_, entry)| entry.id.clone()).collect();
    let mut linked: ById<String, Link> = ById::default();
    let ids = ids.texts();
    for page in ids.chunks(2_000) {
        let links = Link::read_all(&run.powers.storage.get_many(LINKS, page.to_vec()).await?)?;
        for link in links {
            linked.insert(link.contact.0.clone(), link);
        }
    }
    let mut free: Vec<Claims> = Vec::new();
    for (position, entry) in found {
        let link = linked.get(&entry.id);
        let claims = at(&mut free, position);
        let contacts = Contacts::of(&[entry]);
        match link {
            None => {
                claims.contacts.extend(contacts.readable);
                claims.unreadable.extend(contacts.unreadable);
            }
            Some(link) if link.state != LinkState::CrmGone => {
                claims.gone.extend(contacts.readable.into_iter().map(|contact| (contact, link.clone())));
            }
            Some(_) => {}
        }
    }
    Ok(free)
}

/// Partners that are our own in-doubt creates of contacts without a tax number or e-mail: same name and address, and not
/// there before the send.
async fn own_creates(run: &Run<'_>, partners: &[&Partner]) -> Result<Vec<Claims>, Stop> {
    let mut pairs: Vec<(usize, String)> = Vec::new();
    {
        let pending = run.pending.borrow();
        let named: Vec<_> =
            pending.iter().filter(|intent| !intent.is_update() && intent.key_kind == KeyKind::Name).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        for (position, partner) in partners.iter().enumerate() {
            let key = name_key(&partner.fields);
            for intent in &named {
                if intent.attempts > 0 && intent.key == key && !intent.before.contains(&partner.id) {
                    pairs.push((position, intent.contact.0.clone()));
                }
            }
        }
    }
    let ids = pairs.iter().map(|(_, id)| id.clone()).collect();
    let contacts = run.powers.storage.get_many(COLLECTION, ids).await?;
    let found = pairs
        .into_iter()
        .filter_map(|(position, id)| {
            contacts.iter().find(|entry| entry.id == id).map(|entry| (position, entry.clone()))
        })
        .collect();
    unlinked(run, found).await
}
