//! Linking a contact with a partner that was there before, or that a lost create of ours has made.

use super::apply;
use super::context::Run;
use super::effect::Effect;
use super::merge::{Merged, Versions};
use super::plan::{Action, Item};
use super::pull::update_item;
use crate::crm::Contact;
use crate::ledger::{Base, Intent};
use crate::metakocka::partner::Partner;
use crate::model::CrmId;
use crate::ports::Write;

/// Two records found to be one, and what follows for their fields.
pub struct Adoption<'a> {
    contact: &'a Contact,
    partner: &'a Partner,
    merged: Merged,
}

/// What linking two records writes.
pub struct Linked {
    /// The writes, in one group.
    pub writes: Vec<Write>,
    /// What they count for.
    pub effect: Effect,
    /// The contact, when fields of it still have to travel to Metakocka.
    pub pushes: Option<CrmId>,
}

impl<'a> Adoption<'a> {
    /// Merges the two, nothing being agreed on so far.
    #[must_use]
    pub fn of(run: &Run<'_>, contact: &'a Contact, partner: &'a Partner) -> Self {
        let base = Base::default();
        let crm = contact.fields(None);
        let versions = Versions {
            base: &base,
            crm: &crm,
            metakocka: &partner.fields,
            crm_modified: run.modified(contact),
            metakocka_seen: run.now(),
        };
        let merged = run.merge(versions, &[]);
        Self { contact, partner, merged }
    }

    /// Whether the two may be linked: a dry run only shows the link, and every value that travels because of it.
    #[must_use]
    pub fn admitted(&self, run: &Run<'_>) -> bool {
        if let Some(forecast) = run.gate.forecast() {
            forecast.will_change(self.partner, &self.merged.to_metakocka);
        }
        run.gate.admits(|| self.item())
    }

    fn item(&self) -> Item {
        Item {
            action: Action::Link,
            ..update_item(self.contact, &self.partner.id, &self.merged.to_crm, &self.merged.to_metakocka)
        }
    }

    /// The writes, the record's intent among them. A create that was sent and is found now was made by us; anything else
    /// was there before.
    #[must_use]
    pub fn link(self, run: &Run<'_>, intent: Option<&Intent>) -> Linked {
        let ours = intent.is_some_and(|intent| intent.attempts > 0);
        let effect = Effect {
            metakocka_created: u64::from(ours),
            linked: u64::from(!ours),
            conflicts: self.merged.contested,
            parked: !self.merged.parked.is_empty(),
            ..Effect::crm_updated(!self.merged.to_crm.is_empty())
        };
        let effect = effect.about(&self.contact.id, &self.partner.id);
        run.settled(&self.contact.id);
        run.follow_up(&self.contact.id);
        let (mut writes, pushes) = apply::adopted(run, self.contact, self.partner, &self.merged);
        writes.extend(intent.map(Intent::done));
        Linked { writes, effect, pushes: pushes.then(|| self.contact.id.clone()) }
    }
}
