//! What a decision writes to storage. Nothing is decided here.

use super::context::{Group, KIND, Run};
use super::effect::Effect;
use super::merge::{Merged, Parked, Replacement, Side};
use super::plan::{Action, Item};
use super::report::{Class, RecordError};
use crate::crm::{COLLECTION, Contact, Names, NewContact, deactivation, update};
use crate::ledger::{Base, Conflict, Link, LinkState, LinkStatus, Overwritten, Quarantined, Seen, Severity};
use crate::metakocka::partner::Partner;
use crate::model::{CrmId, Field, Fields, MkId, same};
use crate::ports::{Change, Expect, Write};

/// A linked pair after everything that could be sent was sent.
pub struct Settled<'a> {
    /// The contact as it was read.
    pub contact: &'a Contact,
    /// The link, with the base that is now true.
    pub link: Link,
    /// What the CRM is to be told.
    pub to_crm: &'a [Replacement],
    /// Fields that wait for a person.
    pub parked: &'a [Parked],
    /// Fields whose value has not reached Metakocka: the direction holds them back, or they were not sent or not taken.
    pub unsent: &'a [Field],
    /// Conflicts stored so far for this contact.
    pub known_conflicts: &'a [Conflict],
    /// The partner came back, so the contact is active again.
    pub revive: bool,
}

/// The status people see.
#[must_use]
pub fn status(merged: &Merged, open_writes: bool) -> LinkStatus {
    if !merged.parked.is_empty() {
        LinkStatus::NeedsReview
    } else if open_writes || !merged.held.is_empty() {
        LinkStatus::Pending
    } else {
        LinkStatus::Synced
    }
}

/// The writes of a settled pair: contact, link, history, conflicts.
#[must_use]
pub fn settled(run: &Run<'_>, mut settled: Settled<'_>, before: Option<&Link>) -> Vec<Write> {
    let mut writes = Vec::new();
    let at = run.now().text();
    let names = new_names(&settled);
    if !settled.to_crm.is_empty() || settled.revive {
        let changes: Vec<(Field, Option<String>)> =
            settled.to_crm.iter().map(|change| (change.field, change.new.clone())).collect();
        writes.push(Write {
            collection: COLLECTION,
            id: settled.contact.id.0.clone(),
            expect: Expect::Revision(settled.contact.revision),
            change: Change::Merge(update(&changes, names.as_ref(), settled.revive)),
        });
    }
    remember_names(&mut settled.link.base, settled.contact, settled.to_crm, names);
    if settled.link.is_in_step() {
        settled.link.error = None;
    }
    let unchanged = before.is_some_and(|before| {
        before.base == settled.link.base
            && before.raw_hash == settled.link.raw_hash
            && before.status == settled.link.status
            && before.state == settled.link.state
            && before.code == settled.link.code
            && before.error == settled.link.error
            && before.rest == settled.link.rest
    });
    if !unchanged {
        if settled.link.is_in_step() {
            let written = !settled.to_crm.is_empty() || settled.revive;
            let modified = if written { at.clone() } else { settled.contact.modified.text() };
            settled.link.crm_modified = Some(modified);
        }
        writes.push(settled.link.write(&at));
    }
    for change in settled.to_crm.iter().filter(|change| change.old.is_some()) {
        let ids = (&settled.contact.id, &settled.link.partner);
        writes.push(overwritten(run, ids, Side::Crm, change, &at, run.new_id()));
    }
    let conflicts = conflicts(&settled, &at);
    if !conflicts.is_empty() {
        run.has_conflicts.set(true);
    }
    writes.extend(conflicts);
    writes
}

/// The write that keeps an overwritten value.
#[must_use]
pub fn overwritten(
    run: &Run<'_>,
    (contact, partner): (&CrmId, &MkId),
    side: Side,
    change: &Replacement,
    at: &str,
    id: String,
) -> Write {
    Overwritten {
        kind: KIND,
        crm_id: &contact.0,
        metakocka_id: &partner.0,
        side: side.name(),
        field: change.field.name(),
        old: change.old.as_deref(),
        new: change.new.as_deref(),
        reason: change.reason,
        run_id: &run.request.run_id,
        at,
    }
    .write(id)
}

/// Stores new and changed conflicts and removes those that are none any more.
fn conflicts(settled: &Settled<'_>, at: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    for parked in settled.parked {
        let known = settled.known_conflicts.iter().find(|known| known.field == parked.field.name());
        let conflict = Conflict {
            kind: KIND.to_owned(),
            crm_id: settled.contact.id.clone(),
            metakocka_id: settled.link.partner.clone(),
            field: parked.field.name().to_owned(),
            base: parked.base.clone(),
            crm: parked.crm.clone(),
            metakocka: parked.metakocka.clone(),
            since: known.map_or_else(|| at.to_owned(), |known| known.since.clone()),
            decision: None,
            revision: known.and_then(|known| known.revision),
        };
        if known != Some(&conflict) {
            writes.push(conflict.write());
        }
    }
    for known in settled.known_conflicts {
        // A decision that was not carried out stays until it is.
        if let Some(field) = Field::named(&known.field)
            && !settled.parked.iter().any(|parked| parked.field == field)
            && !(known.decision.is_some() && settled.unsent.contains(&field))
        {
            writes.push(known.settled());
        }
    }
    writes
}

/// First and last name that go with a new full name. A business's contact person is split again; a person's names only
/// when they still are what splitting the old full name gave, for people may have put them right since.
fn new_names(settled: &Settled<'_>) -> Option<Names> {
    let written = settled.to_crm.iter().find(|change| change.field == Field::FullName)?;
    let full = written.new.as_deref()?;
    let business = settled.link.base.crm(Field::Company).is_some();
    let old = written.old.as_deref().map(Names::split).unwrap_or_default();
    (business || settled.contact.names == old).then(|| Names::split(full))
}

/// The three name columns belong to the base as soon as the name they mean is agreed on.
fn remember_names(base: &mut Base, contact: &Contact, to_crm: &[Replacement], names: Option<Names>) {
    let written = to_crm.iter().find(|change| change.field == Field::FullName);
    let meant = contact.fields(Some(base));
    if let Some(written) = written {
        base.full_name.clone_from(&written.new);
        base.names = names.unwrap_or_else(|| contact.names.clone());
    } else if same(Field::FullName, base.crm(Field::FullName), meant.get(Field::FullName)) {
        base.full_name = contact.stored_full_name().map(str::to_owned);
        base.names = contact.names.clone();
    }
}

/// A new contact made from a partner, and its link: its id and the writes.
#[must_use]
pub fn create_contact(run: &Run<'_>, partner: &Partner, was_seen: bool) -> (CrmId, Vec<Write>) {
    let id = run.new_id();
    let contact_id = CrmId(id.clone());
    let names = partner.fields.get(Field::FullName).map(Names::split).unwrap_or_default();
    let body = serde_json::to_vec(&NewContact { fields: &partner.fields, names: &names }).unwrap_or_default();
    let link = Link::first(&id, partner, &names, &run.began_text);
    let contact = Write { collection: COLLECTION, id, expect: Expect::Absent, change: Change::Put(body) };
    let mut writes = vec![contact, link];
    writes.extend(was_seen.then(|| Seen::forget(&partner.id)));
    (contact_id, writes)
}

/// The writes that link a contact with the partner that was found to be it. Says whether fields still have to travel to
/// Metakocka.
#[must_use]
pub fn adopted(run: &Run<'_>, contact: &Contact, partner: &Partner, merged: &Merged) -> (Vec<Write>, bool) {
    let pushes = !merged.to_metakocka.is_empty();
    let new = Link::new(contact.id.clone(), partner.id.clone(), Some(partner), run.now());
    let link = Link { status: status(merged, pushes), base: merged.base.clone(), ..new };
    let pair = Settled {
        contact,
        link,
        to_crm: &merged.to_crm,
        parked: &merged.parked,
        unsent: &[],
        known_conflicts: &[],
        revive: false,
    };
    let mut writes = settled(run, pair, None);
    writes.push(Seen::forget(&partner.id));
    if run.has_quarantine.get() {
        writes.push(Quarantined::release(Quarantined::metakocka_entry(&partner.id)));
        writes.push(Quarantined::release(Quarantined::crm_entry(&contact.id)));
    }
    (writes, pushes)
}

/// Sets a contact inactive because its partner is gone; everything else of both stays.
#[must_use]
pub fn deactivate(run: &Run<'_>, contact: &Contact, link: &Link) -> Vec<Write> {
    let mut gone = Link { state: LinkState::ErpGone, ..link.clone() };
    gone.base.deactivated = contact.active;
    let mut writes = vec![gone.write(&run.now().text())];
    if contact.active {
        writes.push(Write {
            collection: COLLECTION,
            id: contact.id.0.clone(),
            expect: Expect::Revision(contact.revision),
            change: Change::Merge(deactivation()),
        });
    }
    writes
}

/// A record that is given up or needs a person.
pub struct Verdict<'a> {
    /// The side the record is on.
    pub side: Side,
    /// The contact.
    pub crm_id: Option<&'a CrmId>,
    /// The partner.
    pub metakocka_id: Option<&'a MkId>,
    /// For a person.
    pub reason: String,
    /// For programs.
    pub code: &'a str,
    /// Given up or to be decided.
    pub severity: Severity,
    /// Fingerprint of the record.
    pub record_hash: String,
    /// Times tried before.
    pub attempts: u32,
}

impl<'a> Verdict<'a> {
    /// About a contact without a link.
    #[must_use]
    pub fn of_contact(
        contact: &'a CrmId,
        fields: &Fields,
        reason: String,
        code: &'a str,
        severity: Severity,
    ) -> Self {
        Self {
            side: Side::Crm,
            crm_id: Some(contact),
            metakocka_id: None,
            reason,
            code,
            severity,
            record_hash: fields.fingerprint(),
            attempts: 0,
        }
    }

    /// About a contact that has a link.
    #[must_use]
    pub fn of_pair(
        contact: &'a Contact,
        link: &'a Link,
        reason: String,
        code: &'a str,
        severity: Severity,
    ) -> Self {
        let fields = contact.fields(Some(&link.base));
        Self {
            metakocka_id: Some(&link.partner),
            ..Self::of_contact(&contact.id, &fields, reason, code, severity)
        }
    }

    /// As a plan shows it.
    fn item(&self) -> Item {
        Item {
            action: match self.severity {
                Severity::Quarantined => Action::Quarantine,
                Severity::NeedsReview => Action::Review,
            },
            crm_id: self.crm_id.map(|id| id.0.clone()),
            metakocka_id: self.metakocka_id.map(|id| id.0.clone()),
            fields: Vec::new(),
            code: Some(self.code.to_owned()),
            reason: Some(self.reason.clone()),
        }
    }

    /// What it writes and counts, if the run may: a dry run only shows it. Of a stored plan it passes with the item it
    /// follows from.
    #[must_use]
    pub fn admitted(self, run: &Run<'_>) -> Option<(Write, Effect)> {
        let follows = self.crm_id.is_some_and(|id| run.follows_up(id));
        if !follows && !run.gate.admits(|| self.item()) {
            return None;
        }
        let mut effect = Effect::default();
        let write = quarantine(run, self, &mut effect);
        Some((write, effect))
    }

    /// The same as the only write of a record.
    #[must_use]
    pub fn group(self, run: &Run<'_>, record: usize) -> Option<Group> {
        self.admitted(run).map(|(write, effect)| Group { record, writes: vec![write], effect })
    }
}

/// The write that puts a record into quarantine; given up, the record counts as failed in `effect`, because that must
/// never go unseen.
#[must_use]
pub fn quarantine(run: &Run<'_>, verdict: Verdict<'_>, effect: &mut Effect) -> Write {
    run.has_quarantine.set(true);
    let ids = (verdict.crm_id, verdict.metakocka_id);
    let said = |class| Some(Box::new(RecordError::of(ids, verdict.reason.clone(), verdict.code, class)));
    match verdict.severity {
        Severity::Quarantined => effect.failure = said(Class::Record),
        Severity::NeedsReview => effect.review = said(Class::Review),
    }
    Quarantined {
        kind: KIND.to_owned(),
        side: verdict.side.name().to_owned(),
        crm_id: verdict.crm_id.cloned(),
        metakocka_id: verdict.metakocka_id.cloned(),
        reason: verdict.reason,
        code: verdict.code.to_owned(),
        status: verdict.severity,
        attempts: verdict.attempts + 1,
        since: run.now().text(),
        record_hash: verdict.record_hash,
        retry: false,
    }
    .write()
}
