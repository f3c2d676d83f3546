//! Partners no look-up finds. A look-up asks for one key and compares part of the stored text: it misses a partner whose
//! number is kept with marks of its own, and one that has this contact's e-mail but no number. A run that has not read the
//! list of partners reads it before it creates, and remembers those that share a key with one of its contacts. The list
//! answers the first contact's look-up too, so it costs no call more.

use std::collections::BTreeSet;

use super::context::{Run, Stop};
use super::identity::Identity;
use super::link::links_with;
use crate::crm::Contact;
use crate::metakocka::client::Read;
use crate::metakocka::outcome::CallError;
use crate::metakocka::partner::Partner;
use crate::model::match_key::{EmailKey, TaxKey};
use crate::model::{CrmId, IdSet, MkId};
use crate::ports::Response;

/// Partners without a link that this run has met, and what the list holds for the contacts about to be created.
#[derive(Default)]
pub struct Listed {
    /// Partners without a link, by what they are called.
    pub partners: Vec<(MkId, Identity)>,
    /// The contact whose look-up the list has answered, and the answer: it holds for the next window only.
    pub answered: Option<(CrmId, Vec<Read>)>,
}

/// Reads the list for these contacts, where this run has not read it already.
///
/// # Errors
///
/// When the run has to stop.
pub async fn read_list(run: &Run<'_>, contacts: &[Contact]) -> Result<(), Stop> {
    // A scan has met every partner, and keeps those that have no contact.
    if run.has_scanned.get() {
        return Ok(());
    }
    let mut wanted = Wanted::default();
    for contact in contacts {
        wanted.add(&contact.id, &Identity::of(&contact.fields(None)));
    }
    let Some((first, _)) = &wanted.first else { return Ok(()) };
    let first = first.clone();
    let (_, List { partners, same, whole }) =
        run.client.scan_partners(async |response| list(run, response, &wanted).await).await?;
    if !whole {
        run.report().calls_least += 1;
    }
    let ids: IdSet<String> = partners.iter().map(|(id, _)| id.0.clone()).collect();
    let linked = links_with(run.powers.storage, ids.texts()).await?;
    let free = partners.into_iter().filter(|(id, _)| !linked.contains(id));
    let mut listed = run.listed.borrow_mut();
    listed.partners.extend(free);
    listed.answered = whole.then_some((first, same));
    Ok(())
}

/// The keys of the contacts about to be created.
#[derive(Default)]
struct Wanted {
    tax: BTreeSet<TaxKey>,
    emails: BTreeSet<EmailKey>,
    /// The first that can be asked for.
    first: Option<(CrmId, Identity)>,
}

impl Wanted {
    fn add(&mut self, contact: &CrmId, identity: &Identity) {
        self.tax.extend(identity.tax.clone());
        self.emails.extend(identity.emails.iter().cloned());
        if self.first.is_none() && (identity.tax.is_some() || !identity.emails.is_empty()) {
            self.first = Some((contact.clone(), identity.clone()));
        }
    }

    fn has_a_key_of(&self, partner: &Identity) -> bool {
        partner.tax.as_ref().is_some_and(|key| self.tax.contains(key))
            || partner.emails.iter().any(|key| self.emails.contains(key))
    }
}

/// What the list of partners holds.
#[derive(Default)]
struct List {
    partners: Vec<(MkId, Identity)>,
    /// Those that share a key with the first contact.
    same: Vec<Read>,
    /// Every element could be read: only then `same` is an answer.
    whole: bool,
}

async fn list(run: &Run<'_>, response: &Response, wanted: &Wanted) -> Result<List, CallError> {
    let mut list = List { whole: true, ..List::default() };
    let visit = |element: &[u8]| {
        // One that cannot be read is the next scan's business.
        let Ok(partner) = Partner::read(element) else {
            list.whole = false;
            return;
        };
        let identity = Identity::of_element(&partner, element);
        if !wanted.has_a_key_of(&identity) {
            return;
        }
        let answers = wanted.first.as_ref().is_some_and(|(_, first)| first.shares_a_key(&identity));
        list.partners.push((partner.id.clone(), identity));
        if answers {
            list.same.push(Read { partner, bytes: element.to_vec() });
        }
    };
    run.client.each_partner(response, visit).await?;
    Ok(list)
}
