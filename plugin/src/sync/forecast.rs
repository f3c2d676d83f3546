//! What the plan under way has decided: a dry run changes nothing, yet each of its stages has to see the world as the stages
//! before would have left it. Which records stand in the plan, which pairs it links, which partners it makes or changes and
//! by what keys they would be found, which company names come and go. Normal runs have no forecast: they read what is stored.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::context::{Run, Stop};
use super::identity::Identity;
use super::link::{links_of, links_with};
use super::look::add_new;
use super::merge::{Replacement, Side};
use super::plan::{Action, Item};
use super::same_company::name_hash;
use super::unreadable::Contacts;
use crate::ledger::{Link, Seen, name_key};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::partner::{Partner, emails};
use crate::model::{ById, CrmId, Field, Fields, IdSet, MkId, RawHash};

/// Two records that will be one pair; the side that does not exist yet has no id.
#[derive(Debug, Clone)]
struct Pair {
    contact: Option<CrmId>,
    partner: Option<MkId>,
}

impl Pair {
    fn contact(&self) -> CrmId {
        let partner = || self.partner.as_ref().map_or("", |id| &id.0);
        self.contact.clone().unwrap_or_else(|| CrmId(format!("about to be made from {}", partner())))
    }

    fn partner(&self) -> MkId {
        let contact = || self.contact.as_ref().map_or("", |id| &id.0);
        self.partner.clone().unwrap_or_else(|| about_to_be_made(contact()))
    }
}

/// What the plan says of a record: something is done to it.
const DONE: u32 = 1;
/// A person has to look at it, unless something is done to it after all.
const REVIEWED: u32 = 2;

/// Stands for the id of a partner nobody has made yet.
fn about_to_be_made(contact: &str) -> MkId {
    MkId(format!("about to be made for {contact}"))
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Records of the plan, as hashes, and what is said of each.
    records: RefCell<BTreeMap<u64, u32>>,
    pairs: RefCell<Vec<Pair>>,
    /// Positions in `pairs` by the hash of either record.
    paired: RefCell<BTreeMap<u64, u32>>,
    /// Links that go on with a partner that is back.
    back: RefCell<ById<CrmId, Link>>,
    /// Partners that will have other keys than now: those to be made, and those to be changed.
    rekeyed: RefCell<Vec<Pair>>,
    /// The hashes of their keys, each with the position of a holder.
    keys: RefCell<BTreeMap<u64, u32>>,
    /// Positions in `rekeyed`, each with the position of another holder of the same key.
    holders: RefCell<Vec<(u32, Option<u32>)>>,
    /// What partners are told.
    told: RefCell<ById<MkId, Vec<Replacement>>>,
    /// Company names that come into the CRM and that go.
    names: RefCell<[Vec<u64>; 2]>,
    /// Contacts whose partner the plan takes for gone.
    gone: RefCell<IdSet<CrmId>>,
    /// Partners without a link that are to be looked at as if nobody had seen them.
    news: RefCell<IdSet<MkId>>,
}

fn hash(kind: &str, text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{kind} {text}").as_bytes())
}

fn contact_hash(id: &CrmId) -> u64 {
    hash("contact", &id.0)
}

fn partner_hash(id: &MkId) -> u64 {
    hash("partner", &id.0)
}

/// The records an item is about.
fn records_of(item: &Item) -> Vec<u64> {
    let contact = item.crm_id.iter().map(|id| hash("contact", id));
    contact.chain(item.metakocka_id.iter().map(|id| hash("partner", id))).collect()
}

/// Every key a partner with these fields is found by.
fn keys_of(fields: &Fields) -> Vec<u64> {
    let identity = Identity::of(fields);
    let tax = identity.tax.iter().map(|key| hash("tax", key.as_str()));
    let emails = identity.emails.iter().map(|key| hash("email", key.as_str()));
    tax.chain(emails).chain([hash("name", &name_key(fields))]).collect()
}

impl Forecast {
    /// Takes an item into account. Says whether it belongs in the plan: a record stands there once, and the first word
    /// about it counts. Only a review gives way to what is done afterwards.
    pub fn decide(&self, item: &Item) -> bool {
        if !self.stands(item) {
            return false;
        }
        let word = if item.action == Action::Review { REVIEWED } else { DONE };
        for record in records_of(item) {
            let before = self.records.borrow_mut().insert(record, word);
            if word == REVIEWED && before.is_some() {
                return false;
            }
        }
        if matches!(item.action, Action::CreateContact | Action::CreatePartner | Action::Link) {
            self.pair(item.crm_id.clone().map(CrmId), item.metakocka_id.clone().map(MkId));
        }
        if item.action == Action::Deactivate {
            self.gone.borrow_mut().extend(item.crm_id.clone().map(CrmId));
        }
        for field in &item.fields {
            if (field.side, field.field) == (Side::Crm.name(), Field::Company.name()) {
                self.name(field.old.as_deref(), field.new.as_deref());
            }
        }
        true
    }

    /// Whether nothing else is done to the records of this item.
    #[must_use]
    pub fn stands(&self, item: &Item) -> bool {
        let known = self.records.borrow();
        !records_of(item).iter().any(|record| known.get(record) == Some(&DONE))
    }

    /// Whether the plan holds an item about this contact.
    #[must_use]
    pub fn is_decided(&self, contact: &CrmId) -> bool {
        self.records.borrow().contains_key(&contact_hash(contact))
    }

    /// These two will be linked, whether or not the plan says so.
    pub fn pair(&self, contact: Option<CrmId>, partner: Option<MkId>) {
        let pair = Pair { contact, partner };
        let mut pairs = self.pairs.borrow_mut();
        let Ok(position) = u32::try_from(pairs.len()) else { return };
        let hashes = [contact_hash(&pair.contact()), partner_hash(&pair.partner())];
        self.paired.borrow_mut().extend(hashes.map(|hash| (hash, position)));
        pairs.push(pair);
    }

    /// Whether the plan takes this contact's partner for gone.
    #[must_use]
    pub fn is_gone(&self, contact: &CrmId) -> bool {
        self.gone.borrow().contains(contact)
    }

    /// Whether this partner will have a contact.
    #[must_use]
    pub fn is_paired(&self, partner: &MkId) -> bool {
        self.paired.borrow().contains_key(&partner_hash(partner))
    }

    /// This link goes on with a partner that is back.
    pub fn comes_back(&self, link: Link) {
        self.back.borrow_mut().insert(link.contact.clone(), link);
    }

    /// Whether the contact's link goes on with a partner that is back.
    #[must_use]
    pub fn is_back(&self, contact: &CrmId) -> bool {
        self.back.borrow().contains(contact)
    }

    /// A partner will be made for this contact; whoever looks for one of its keys finds it.
    pub fn will_be_found(&self, contact: &CrmId, fields: &Fields) {
        self.rekey(Pair { contact: Some(contact.clone()), partner: None }, fields);
    }

    /// A partner will be told this; whoever looks for one of the keys it then has finds it, and nobody by those it had.
    pub fn will_change(&self, partner: &Partner, changes: &[Replacement]) {
        if changes.is_empty() {
            return;
        }
        let mut fields = partner.fields.clone();
        for change in changes {
            fields.set(change.field, change.new.as_deref());
        }
        self.rekey(Pair { contact: None, partner: Some(partner.id.clone()) }, &fields);
        self.told.borrow_mut().insert(partner.id.clone(), changes.to_vec());
    }

    fn rekey(&self, record: Pair, fields: &Fields) {
        let mut rekeyed = self.rekeyed.borrow_mut();
        let Ok(position) = u32::try_from(rekeyed.len()) else { return };
        let mut holders = self.holders.borrow_mut();
        for key in keys_of(fields) {
            let Ok(last) = u32::try_from(holders.len()) else { return };
            let other = self.keys.borrow_mut().insert(key, last);
            holders.push((position, other));
        }
        rekeyed.push(record);
    }

    /// Records whose partner will share a key with these fields.
    fn found_by(&self, fields: &Fields) -> (IdSet<String>, IdSet<MkId>) {
        let (keys, holders, rekeyed) = (self.keys.borrow(), self.holders.borrow(), self.rekeyed.borrow());
        let (mut contacts, mut partners) = (IdSet::default(), IdSet::default());
        for key in keys_of(fields) {
            let mut next = keys.get(&key).copied();
            while let Some((position, other)) = next.and_then(|at| holders.get(at as usize)) {
                if let Some(record) = rekeyed.get(*position as usize) {
                    contacts.extend(record.contact.iter().map(|id| id.0.clone()));
                    partners.extend(record.partner.clone());
                }
                next = *other;
            }
        }
        (contacts, partners)
    }

    /// A partner as it will be.
    fn as_told(&self, mut read: Read) -> Read {
        let told = self.told.borrow();
        let Some(changes) = told.get(&read.partner.id) else { return read };
        let mut persons = emails(&read.bytes);
        for change in changes {
            read.partner.fields.set(change.field, change.new.as_deref());
            if change.field == Field::Email {
                persons.retain(|email| Some(email.as_str()) != change.old.as_deref());
            }
        }
        let persons: Vec<_> =
            persons.into_iter().map(|email| serde_json::json!({ "email": email })).collect();
        read.bytes = serde_json::json!({ "partner_contact_list": persons }).to_string().into_bytes();
        read
    }

    /// A company name goes from the CRM's active contacts, and another one comes.
    pub fn name(&self, old: Option<&str>, new: Option<&str>) {
        let [come, go] = &mut *self.names.borrow_mut();
        come.extend(new.map(name_hash));
        go.extend(old.map(name_hash));
    }

    /// Brings the hashes of the CRM's company names up to the plan.
    pub fn rename(&self, names: &mut Vec<u64>) {
        let [come, go] = &*self.names.borrow();
        names.extend(come);
        names.sort_unstable();
        for name in go {
            if let Ok(position) = names.binary_search(name) {
                names.remove(position);
            }
        }
    }

    /// Whether this partner is to be looked at as if nobody had seen it.
    #[must_use]
    pub fn is_news(&self, partner: &MkId) -> bool {
        self.news.borrow().contains(partner)
    }

    fn link_of(&self, contact: &CrmId, run: &Run<'_>) -> Option<Link> {
        let back = self.back.borrow().get(contact).cloned();
        back.or_else(|| self.paired_link(contact_hash(contact), run))
    }

    fn link_with(&self, partner: &MkId, run: &Run<'_>) -> Option<Link> {
        let back = self.back.borrow().values().find(|link| link.partner == *partner).cloned();
        back.or_else(|| self.paired_link(partner_hash(partner), run))
    }

    fn paired_link(&self, record: u64, run: &Run<'_>) -> Option<Link> {
        let position = *self.paired.borrow().get(&record)?;
        let pair = self.pairs.borrow().get(position as usize)?.clone();
        Some(Link::new(pair.contact(), pair.partner(), None, run.began))
    }
}

impl Run<'_> {
    /// The links of these contacts, those the plan under way makes included.
    ///
    /// # Errors
    ///
    /// When storage fails or a link cannot be read.
    pub async fn links_of(&self, contacts: Vec<String>) -> Result<ById<CrmId, Link>, Stop> {
        let Some(forecast) = self.gate.forecast() else {
            return links_of(self.powers.storage, contacts).await;
        };
        let mut links = links_of(self.powers.storage, contacts.clone()).await?;
        for id in contacts.into_iter().map(CrmId) {
            if let Some(link) = forecast.link_of(&id, self) {
                links.insert(id, link);
            }
        }
        Ok(links)
    }

    /// The links with these partners, those the plan under way makes included.
    ///
    /// # Errors
    ///
    /// When storage fails or a link cannot be read.
    pub async fn links_with(&self, partners: Vec<String>) -> Result<ById<MkId, Link>, Stop> {
        let Some(forecast) = self.gate.forecast() else {
            return links_with(self.powers.storage, partners).await;
        };
        let mut links = links_with(self.powers.storage, partners.clone()).await?;
        for id in partners.into_iter().map(MkId) {
            if let Some(link) = forecast.link_with(&id, self) {
                links.insert(id, link);
            } else if links.get(&id).is_some_and(|link| forecast.is_back(&link.contact)) {
                // Its contact goes on with another partner.
                links.remove(&id);
            }
        }
        Ok(links)
    }

    /// What a look-up for these fields would find in Metakocka, had the plan under way been carried out so far.
    ///
    /// # Errors
    ///
    /// When storage fails or the connection is broken.
    pub async fn foreseen(&self, fields: &Fields, found: Vec<Read>) -> Result<Vec<Read>, Stop> {
        let Some(forecast) = self.gate.forecast() else { return Ok(found) };
        let mut found: Vec<Read> = found.into_iter().map(|read| forecast.as_told(read)).collect();
        let (contacts, partners) = forecast.found_by(fields);
        add_new(&mut found, self.to_be_made(contacts).await?);
        for answer in self.ask(partners.into_ids().map(PartnerKey::Id).collect()).await {
            add_new(&mut found, answer?.into_iter().map(|read| forecast.as_told(read)).collect());
        }
        Ok(found)
    }

    /// The partners that will be made for these contacts.
    async fn to_be_made(&self, contacts: IdSet<String>) -> Result<Vec<Read>, Stop> {
        if contacts.is_empty() {
            return Ok(Vec::new());
        }
        let contacts = Contacts::load(self.powers, contacts.texts()).await?.readable;
        let as_partner = |contact: crate::crm::Contact| Partner {
            id: about_to_be_made(&contact.id.0),
            code: None,
            raw_hash: RawHash(0),
            fields: contact.fields(None),
            rest: None,
        };
        Ok(contacts
            .into_iter()
            .map(|contact| Read { partner: as_partner(contact), bytes: Vec::new() })
            .collect())
    }

    /// Forgets partners without a link, so that they are news to the scan that follows.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn forget_seen(&self, partners: Vec<MkId>) -> Result<(), Stop> {
        match self.gate.forecast() {
            Some(forecast) => forecast.news.borrow_mut().extend(partners),
            None => self.put_any(partners.iter().map(Seen::forget).collect()).await?,
        }
        Ok(())
    }

    /// Whether the plan under way has decided about a contact already.
    #[must_use]
    pub fn is_planned(&self, id: &CrmId) -> bool {
        self.gate.forecast().is_some_and(|forecast| forecast.is_decided(id))
    }
}
