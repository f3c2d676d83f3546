//! Linking: which CRM record is this partner. Matching comes before creating, and never guesses.
//!
//! Storage finds candidates by plain spellings; what is marked as anything else is looked through here. Whether a candidate
//! is the one, [`Identity::bond`] says.

use super::context::{Run, Stop};
use super::identity::{Bond, Identity};
use super::index::Index;
use super::unreadable::{Contacts, UnreadableContact, give_up};
use crate::crm::{COLLECTION, Contact};
use crate::ledger::{KeyKind, LINKS, Link, LinkState, OUTBOX, name_key};
use crate::metakocka::client::PartnerKey;
use crate::metakocka::partner::Partner;
use crate::model::{ById, CrmId, IdSet, MkId};
use crate::ports::{Entry, Storage};

/// More contacts than this under one key are not looked through.
const CANDIDATES: u32 = 50;
/// More marked contacts than this are not looked through.
const MARKED: u32 = 10_000;

/// What matching found for a partner without a link.
#[derive(Debug, Clone, PartialEq)]
pub enum Matched {
    /// No contact without a link fits: a new one is made.
    None,
    /// Exactly one.
    One(Box<Contact>),
    /// A contact whose partner is gone from Metakocka and which has this partner's tax number: it was entered anew.
    Returned(Box<(Contact, Link)>),
    /// A person has to say which, or whether.
    Review {
        /// For programs.
        code: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A contact that may be it cannot be looked at now: unreadable, or another run is creating its partner. The partner
    /// waits for the next run.
    Wait,
}

/// A contact that may be a partner.
#[derive(Debug, Clone)]
struct Candidate {
    contact: Contact,
    identity: Identity,
    /// Its link, when it has one: its partner may be gone, or this run has just made it.
    link: Option<Link>,
}

/// Everything in storage that may be one of a page's partners.
#[derive(Debug, Default)]
struct Pool {
    candidates: Vec<Candidate>,
    unreadable: Vec<UnreadableContact>,
    /// The keys under which unreadable ones were found.
    unreadable_keys: IdSet<String>,
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
    if run.crm_was_empty.get() || partners.is_empty() {
        return Ok(vec![Matched::None; partners.len()]);
    }
    let identities: Vec<Identity> = partners.iter().map(|partner| Identity::of_partner(partner)).collect();
    let pool = pool(run, &identities).await?;
    let busy = busy(run, &pool).await?;
    let own = own_creates(run, partners).await?;
    let mut matches = Vec::with_capacity(partners.len());
    for (identity, own) in identities.iter().zip(own) {
        let matched = match choose(identity, &pool, run) {
            Choice::None => own.map_or(Matched::None, |contact| Matched::One(Box::new(contact))),
            Choice::Unreadable => Matched::Wait,
            Choice::One(contact) if busy.contains(&contact.id) => Matched::Wait,
            Choice::One(contact) => Matched::One(contact),
            Choice::Returned(pair) => match really_gone(run, &pair.1, index).await? {
                true => Matched::Returned(pair),
                false => Matched::None,
            },
            Choice::Review { code, reason } => Matched::Review { code, reason },
        };
        if let Matched::One(contact) = &matched {
            run.match_now(&contact.id);
        } else if let Matched::Returned(pair) = &matched {
            run.match_now(&pair.0.id);
        }
        matches.push(matched);
    }
    give_up(run, pool.unreadable).await?;
    Ok(matches)
}

/// What the candidates say about one partner.
enum Choice {
    None,
    One(Box<Contact>),
    Returned(Box<(Contact, Link)>),
    Unreadable,
    Review { code: &'static str, reason: String },
}

/// Chooses among all that share a key, those this run has linked already included: what was ambiguous when the run began does
/// not become certain by striking out.
fn choose(identity: &Identity, pool: &Pool, run: &Run<'_>) -> Choice {
    let bound = |bond: Bond| -> Vec<&Candidate> {
        pool.candidates.iter().filter(|candidate| identity.bond(&candidate.identity) == bond).collect()
    };
    let is_taken = |candidate: &Candidate| run.is_matched(&candidate.contact.id);
    if identity
        .tax_forms()
        .iter()
        .chain(&identity.email_forms())
        .any(|key| pool.unreadable_keys.contains(key))
    {
        return Choice::Unreadable;
    }
    let same_number = |candidate: &&Candidate| {
        candidate.link.is_none() && identity.tax.is_some() && candidate.identity.tax == identity.tax
    };
    if let Some(other) = bound(Bond::Contradiction).into_iter().find(same_number) {
        return Choice::Review {
            code: "contradicting-numbers",
            reason: format!(
                "contact {} has this partner's tax number, but another registration number: put the wrong one right",
                other.contact.id
            ),
        };
    }
    let by_tax = bound(Bond::TaxNumber);
    match by_tax.as_slice() {
        [] => {}
        [only] if is_taken(only) => return Choice::None,
        [only] => {
            return match &only.link {
                None => Choice::One(Box::new(only.contact.clone())),
                Some(link) => Choice::Returned(Box::new((only.contact.clone(), link.clone()))),
            };
        }
        several => return ambiguous(several),
    }
    let free = |found: Vec<&'_ Candidate>| -> Vec<Candidate> {
        // A live link is no candidate for a weak key, unless this run has just made it.
        found
            .into_iter()
            .filter(|candidate| candidate.link.is_none() || is_taken(candidate))
            .cloned()
            .collect()
    };
    let (called_alike, others) = (free(bound(Bond::Email)), free(bound(Bond::EmailOtherName)));
    match (called_alike.as_slice(), others.as_slice()) {
        ([], []) => Choice::None,
        // An address many share is told by the name.
        ([only], _) if is_taken(only) => Choice::None,
        ([only], _) => Choice::One(Box::new(only.contact.clone())),
        ([], [only]) if is_taken(only) => Choice::None,
        ([], [only]) => Choice::Review {
            code: "same-email-other-name",
            reason: format!(
                "contact {} has this partner's e-mail address, but another name: give both the same tax number or name if they are \
                 one, or one of them another address, then sync again",
                only.contact.id
            ),
        },
        ([], several) | (several, _) => ambiguous(&several.iter().collect::<Vec<_>>()),
    }
}

fn ambiguous(candidates: &[&Candidate]) -> Choice {
    let named: Vec<&str> =
        candidates.iter().map(|candidate| candidate.contact.id.0.as_str()).take(5).collect();
    Choice::Review {
        code: "ambiguous-match",
        reason: format!(
            "several contacts without a link share this partner's tax number or e-mail ({}): make the right one differ or \
             remove the others, then sync again",
            named.join(", ")
        ),
    }
}

/// Whether the partner of a link is gone: known to be, or missing from the list under way and missed by a direct look-up too.
async fn really_gone(run: &Run<'_>, link: &Link, index: &Index) -> Result<bool, Stop> {
    if link.state == LinkState::ErpGone {
        return Ok(true);
    }
    if !index.is_missing(&link.partner) {
        return Ok(false);
    }
    run.report().calls_least += 1;
    Ok(run.client.partners(&PartnerKey::Id(link.partner.clone())).await?.is_empty())
}

/// Candidates whose create another run has in hand: what it makes or finds is its business until it is done.
async fn busy(run: &Run<'_>, pool: &Pool) -> Result<IdSet<CrmId>, Stop> {
    let ours: IdSet<String> = run.pending.borrow().iter().map(|intent| intent.contact.0.clone()).collect();
    let asked = pool.candidates.iter().map(|candidate| candidate.contact.id.0.clone());
    let asked = asked.filter(|id| !ours.contains(id)).collect();
    Ok(run.powers.storage.get_many(OUTBOX, asked).await?.into_iter().map(|entry| CrmId(entry.id)).collect())
}

/// The contacts that share a key with one of these records, with links that may be over.
async fn pool(run: &Run<'_>, identities: &[Identity]) -> Result<Pool, Stop> {
    let tax = identities.iter().flat_map(Identity::tax_forms).collect();
    let emails = identities.iter().flat_map(Identity::email_forms).collect();
    let mut entries: ById<String, Entry> = ById::default();
    let mut pool = Pool::default();
    for (index, keys, limit) in [
        ("tax_number", tax, CANDIDATES),
        ("email", emails, CANDIDATES),
        ("marked", vec!["true".to_owned()], MARKED),
    ] {
        let keys: Vec<String> = keys;
        for (key, entry) in run.powers.storage.find_many(COLLECTION, index, keys.clone(), limit).await? {
            if Contact::read(&entry).is_err() {
                pool.unreadable_keys.extend(keys.get(key).cloned());
            }
            entries.insert(entry.id.clone(), entry);
        }
    }
    let links = run.links_of(entries.ids().map(str::to_owned).collect()).await?;
    for entry in entries.into_values() {
        let link = links.get(&CrmId(entry.id.clone())).cloned();
        let contacts = Contacts::of(&[entry]);
        if link.is_none() {
            pool.unreadable.extend(contacts.unreadable);
        }
        if link.as_ref().is_some_and(|link| link.state == LinkState::CrmGone) {
            continue;
        }
        pool.candidates.extend(contacts.readable.into_iter().map(|contact| Candidate {
            identity: Identity::of(&contact.fields(link.as_ref().map(|link| &link.base))),
            contact,
            link: link.clone(),
        }));
    }
    Ok(pool)
}

/// The links of these contacts.
///
/// # Errors
///
/// When storage fails or a link cannot be read.
pub async fn links_of(storage: &dyn Storage, contacts: Vec<String>) -> Result<ById<CrmId, Link>, Stop> {
    let links = Link::read_all(&storage.get_many(LINKS, contacts).await?)?;
    Ok(links.into_iter().map(|link| (link.contact.clone(), link)).collect())
}

/// The links with these partners.
///
/// # Errors
///
/// When storage fails or a link cannot be read.
pub async fn links_with(storage: &dyn Storage, partners: Vec<String>) -> Result<ById<MkId, Link>, Stop> {
    let found = storage.find_many(LINKS, "metakocka_id", partners, 1).await?;
    let links = Link::read_all(found.iter().map(|(_, entry)| entry))?;
    Ok(links.into_iter().map(|link| (link.partner.clone(), link)).collect())
}

/// Links of contacts that are one of these records by number, or by e-mail and name, by the position of the record. Their
/// partner may keep the number in other signs, or none, so that no look-up finds it.
///
/// # Errors
///
/// When storage fails.
pub async fn holders(run: &Run<'_>, records: &[Identity]) -> Result<Vec<Option<Link>>, Stop> {
    if records.iter().all(|record| record.tax.is_none()) {
        return Ok(vec![None; records.len()]);
    }
    let pool = pool(run, records).await?;
    let is_going = |contact: &CrmId| run.gate.forecast().is_some_and(|forecast| forecast.is_gone(contact));
    let is_live = |link: &&Link| link.state == LinkState::Live && !is_going(&link.contact);
    let holder = |record: &Identity| {
        pool.candidates.iter().find_map(|candidate| {
            // Without a number of its own a look-up has asked for the address itself.
            let same = record.tax.is_some()
                && (candidate.identity.tax == record.tax || record.bond(&candidate.identity) == Bond::Email);
            candidate.link.as_ref().filter(is_live).filter(|_| same).cloned()
        })
    };
    Ok(records.iter().map(holder).collect())
}

/// Other contacts without a link that could be one of these records, by the position of the record: a partner belongs to the
/// one contact that has its key.
///
/// # Errors
///
/// When storage fails.
pub async fn claimants(run: &Run<'_>, partners: &[Option<Identity>]) -> Result<Vec<Vec<CrmId>>, Stop> {
    let known: Vec<Identity> = partners.iter().flatten().cloned().collect();
    if known.is_empty() {
        return Ok(vec![Vec::new(); partners.len()]);
    }
    let pool = pool(run, &known).await?;
    let claims = |identity: &Identity| -> Vec<CrmId> {
        let bonds: Vec<(Bond, &CrmId)> = pool
            .candidates
            .iter()
            .filter(|candidate| candidate.link.is_none())
            .map(|candidate| (identity.bond(&candidate.identity), &candidate.contact.id))
            .collect();
        let with = |wanted: Bond| -> Vec<CrmId> {
            bonds.iter().filter(|(bond, _)| *bond == wanted).map(|(_, id)| (*id).clone()).collect()
        };
        [Bond::TaxNumber, Bond::Email, Bond::EmailOtherName]
            .into_iter()
            .map(with)
            .find(|claims| !claims.is_empty())
            .unwrap_or_default()
    };
    Ok(partners.iter().map(|identity| identity.as_ref().map(claims).unwrap_or_default()).collect())
}

/// Partners that are our own in-doubt creates of contacts without a tax number or e-mail: same name and address, and not
/// there before the send.
async fn own_creates(run: &Run<'_>, partners: &[&Partner]) -> Result<Vec<Option<Contact>>, Stop> {
    let mut wanted: Vec<Option<CrmId>> = Vec::with_capacity(partners.len());
    {
        let pending = run.pending.borrow();
        let named = || {
            pending.iter().filter(|intent| {
                !intent.is_update() && intent.key_kind == KeyKind::Name && intent.attempts > 0
            })
        };
        if named().next().is_none() {
            return Ok(vec![None; partners.len()]);
        }
        for partner in partners {
            let key = name_key(&partner.fields);
            let mut ours = named().filter(|intent| intent.key == key && !intent.before.contains(&partner.id));
            // Two of them of one name are for a person, who finds both in the outbox.
            let first = ours.next().map(|intent| intent.contact.clone());
            wanted.push(first.filter(|_| ours.next().is_none()));
        }
    }
    let ids: Vec<String> = wanted.iter().flatten().map(|id| id.0.clone()).collect();
    let linked = links_of(run.powers.storage, ids.clone()).await?;
    let contacts = Contacts::load(run.powers, ids).await?.by_id(run).await?;
    let free = |id: CrmId| (!linked.contains(&id)).then(|| contacts.get(&id).cloned()).flatten();
    Ok(wanted.into_iter().map(|id| id.and_then(free)).collect())
}
