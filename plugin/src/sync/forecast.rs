//! What the plan under way has decided: a dry run changes nothing, yet each of its stages has to see the world as the stages
//! before would have left it. Which records stand in the plan, which pairs it links, which partners it makes and by what
//! keys they would be found, which company names come and go. Normal runs have no forecast: they read what is stored.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::context::{Run, Stop};
use super::identity::Identity;
use super::link::{links_of, links_with};
use super::merge::Side;
use super::plan::{Action, Item};
use super::same_company::name_hash;
use super::unreadable::Contacts;
use crate::ledger::{Link, Seen, name_key};
use crate::metakocka::client::Read;
use crate::metakocka::partner::Partner;
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

/// Stands for the id of a partner nobody has made yet.
fn about_to_be_made(contact: &str) -> MkId {
    MkId(format!("about to be made for {contact}"))
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Records the plan holds an item about, as hashes: eight bytes each.
    decided: RefCell<BTreeSet<u64>>,
    pairs: RefCell<Vec<Pair>>,
    /// Positions in `pairs` by the hash of either record.
    paired: RefCell<BTreeMap<u64, u32>>,
    /// Links that go on with a partner that is back.
    back: RefCell<ById<CrmId, Link>>,
    /// Contacts a partner is made for, and the hashes of the keys it would be found by.
    makers: RefCell<Vec<String>>,
    made_keys: RefCell<BTreeSet<(u64, u32)>>,
    /// Company names that come into the CRM and that go.
    names: RefCell<[Vec<u64>; 2]>,
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

/// Every key a partner with these fields is found by.
fn keys_of(fields: &Fields) -> Vec<u64> {
    let identity = Identity::of(fields);
    let tax = identity.tax.iter().map(|key| hash("tax", key.as_str()));
    let emails = identity.emails.iter().map(|key| hash("email", key.as_str()));
    tax.chain(emails).chain([hash("name", &name_key(fields))]).collect()
}

impl Forecast {
    /// Takes an item into account. Says whether it belongs in the plan: a record stands there once, and the first word
    /// about it counts.
    pub fn decide(&self, item: &Item) -> bool {
        let contact = item.crm_id.clone().map(CrmId);
        let partner = item.metakocka_id.clone().map(MkId);
        let hashes: Vec<u64> =
            contact.iter().map(contact_hash).chain(partner.iter().map(partner_hash)).collect();
        {
            let mut decided = self.decided.borrow_mut();
            if hashes.iter().any(|hash| decided.contains(hash)) {
                return false;
            }
            decided.extend(hashes);
        }
        if matches!(item.action, Action::CreateContact | Action::CreatePartner | Action::Link) {
            self.pair(contact, partner);
        }
        for field in &item.fields {
            if (field.side, field.field) == (Side::Crm.name(), Field::Company.name()) {
                self.name(field.old.as_deref(), field.new.as_deref());
            }
        }
        true
    }

    /// Whether the plan holds an item about this contact.
    #[must_use]
    pub fn is_decided(&self, contact: &CrmId) -> bool {
        self.decided.borrow().contains(&contact_hash(contact))
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
        let mut makers = self.makers.borrow_mut();
        let Ok(position) = u32::try_from(makers.len()) else { return };
        self.made_keys.borrow_mut().extend(keys_of(fields).into_iter().map(|key| (key, position)));
        makers.push(contact.0.clone());
    }

    /// Contacts whose partner-to-be shares a key with these fields.
    fn makers_of(&self, fields: &Fields) -> IdSet<String> {
        let (keys, makers) = (self.made_keys.borrow(), self.makers.borrow());
        let mut found = IdSet::default();
        for key in keys_of(fields) {
            let positions = keys.range((key, 0)..=(key, u32::MAX)).map(|(_, position)| *position as usize);
            found.extend(positions.filter_map(|position| makers.get(position).cloned()));
        }
        found
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

    /// Partners a look-up for these fields would find in Metakocka by now, had the plan under way been carried out.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn foreseen_partners(&self, fields: &Fields) -> Result<Vec<Read>, Stop> {
        let makers = self.gate.forecast().map(|forecast| forecast.makers_of(fields)).unwrap_or_default();
        if makers.is_empty() {
            return Ok(Vec::new());
        }
        let contacts = Contacts::load(self.powers, makers.texts()).await?.readable;
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
