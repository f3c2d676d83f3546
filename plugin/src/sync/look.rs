//! Looking a create up: does Metakocka have this partner, and whose is it. Answers are checked exactly here, because
//! matching over there is by part of the value.

use super::context::{Run, Stop};
use super::identity::{Bond, Identity};
use super::link::{claimants, holders};
use crate::crm::Contact;
use crate::ledger::{Intent, KeyKind, Link, SEEN, name_key};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::{CallError, Treatment};
use crate::model::match_key::{TaxKey, email_lookup_forms, lookup_forms};
use crate::model::{ById, Field, Fields, IdSet, MkId};

/// A contact that has no partner yet.
pub(super) struct Candidate {
    /// The contact.
    pub(super) contact: Contact,
    /// Its fields.
    pub(super) fields: Fields,
    /// What is on record about its create.
    pub(super) intent: Intent,
}

/// What a look-up says about a create.
pub(super) enum Look {
    /// No such partner.
    Absent {
        /// Partners of the same name, for records without a real key.
        before: Vec<MkId>,
    },
    /// Exactly one, and nobody's.
    Free(Box<Read>),
    /// Another run has linked this very contact meanwhile.
    Taken,
    /// A person has to look.
    Review { code: &'static str, reason: String },
    /// No answer that counts.
    Inconclusive(CallError),
}

/// Asks Metakocka for each candidate's key, in every spelling it may be found under, and checks the answers exactly.
/// Partners known from a scan count too: their keys may be spelt in a way no look-up finds.
pub(super) async fn look_up(run: &Run<'_>, window: &[Candidate]) -> Result<Vec<Look>, Stop> {
    let mut hits = Vec::with_capacity(window.len());
    for (candidate, found) in window.iter().zip(ask_all(run, window).await) {
        let found = match found {
            Ok(found) => Ok(run.foreseen(&candidate.fields, found).await?),
            Err(error) => Err(error),
        };
        hits.push(found.map(|found| {
            let (exact, others): (Vec<Read>, Vec<Read>) =
                found.into_iter().partition(|read| is_hit(candidate, read));
            (exact, others.into_iter().map(|read| read.partner.id).collect::<Vec<_>>())
        }));
    }
    seen_before(run, window, &mut hits).await?;
    let ids: IdSet<String> = hits
        .iter()
        .flatten()
        .flat_map(|(exact, _)| exact.iter().map(|read| read.partner.id.0.clone()))
        .collect();
    let linked = run.links_with(ids.texts()).await?;
    let looks = window.iter().zip(hits).map(|(candidate, hits)| judge(candidate, hits, &linked));
    held_by_others(run, window, looks.collect()).await
}

/// What no look-up has found may be there all the same, as the partner of a contact with the same number, or with the same
/// address and name.
async fn held_by_others(
    run: &Run<'_>,
    window: &[Candidate],
    mut looks: Vec<Look>,
) -> Result<Vec<Look>, Stop> {
    let wanted = window.iter().zip(&looks).map(|(candidate, look)| match look {
        Look::Absent { .. } if candidate.intent.attempts == 0 => Identity::of(&candidate.fields),
        _ => Identity::default(),
    });
    let holders = holders(run, &wanted.collect::<Vec<_>>()).await?;
    for ((candidate, look), holder) in window.iter().zip(&mut looks).zip(holders) {
        if let Some(link) = holder.filter(|link| link.contact != candidate.contact.id) {
            *look = Look::Review {
                code: "partner-already-linked",
                reason: format!(
                    "contact {} has the same tax number, or the same e-mail and name, and is partner {} already: merge the two \
                     contacts or tell them apart by number or name",
                    link.contact, link.partner
                ),
            };
        }
    }
    Ok(looks)
}

/// The answers to all look-ups of each candidate, each partner once.
async fn ask_all(run: &Run<'_>, window: &[Candidate]) -> Vec<Result<Vec<Read>, CallError>> {
    let mut answered = run.listed.borrow_mut().answered.take();
    let knows = |candidate: &Candidate| {
        candidate.intent.attempts == 0
            && answered.as_ref().is_some_and(|(contact, _)| *contact == candidate.contact.id)
    };
    let known = window.iter().position(knows);
    let questions = window.iter().enumerate().map(|(position, candidate)| {
        if known == Some(position) { Vec::new() } else { lookup_keys(&candidate.intent, &candidate.fields) }
    });
    let keys: Vec<Vec<PartnerKey>> = questions.collect();
    let mut answers = run.ask(keys.iter().flatten().cloned().collect()).await.into_iter();
    let mut all = Vec::with_capacity(window.len());
    for (position, keys) in keys.iter().enumerate() {
        let from_list = answered.take_if(|_| known == Some(position)).map(|(_, same)| same);
        let mut found: Result<Vec<Read>, CallError> = Ok(from_list.unwrap_or_default());
        for answer in answers.by_ref().take(keys.len()) {
            found = found.and_then(|mut found| {
                add_new(&mut found, answer?);
                Ok(found)
            });
        }
        all.push(found);
    }
    all
}

/// Adds what is not among the found ones already: two spellings of a key may find one partner.
pub(super) fn add_new(found: &mut Vec<Read>, more: Vec<Read>) {
    for read in more {
        if found.iter().all(|known| known.partner.id != read.partner.id) {
            found.push(read);
        }
    }
}

/// What Metakocka was or would be sent, as look-ups: the value with its marks, and the bare form.
pub(super) fn lookup_keys(intent: &Intent, fields: &Fields) -> Vec<PartnerKey> {
    let sent = intent.sent.as_deref().unwrap_or(&intent.key);
    let or_key = |forms: Vec<String>| if forms.is_empty() { vec![intent.key.clone()] } else { forms };
    match intent.key_kind {
        KeyKind::Tax => {
            let forms = lookup_forms(sent, fields.get(Field::Country));
            or_key(forms).into_iter().map(PartnerKey::Tax).collect()
        }
        KeyKind::Email => or_key(email_lookup_forms(sent)).into_iter().map(PartnerKey::Email).collect(),
        KeyKind::Name => vec![PartnerKey::Name(
            fields.get(Field::Company).or(fields.get(Field::FullName)).unwrap_or_default().to_owned(),
        )],
    }
}

/// Matching in Metakocka is by part of the value; a hit has exactly the key, and nothing that contradicts it.
pub(super) fn is_hit(candidate: &Candidate, read: &Read) -> bool {
    let intent = &candidate.intent;
    let found = Identity::of_read(read);
    match intent.key_kind {
        KeyKind::Tax => found.tax.as_ref().map(TaxKey::as_str) == Some(intent.key.as_str()),
        KeyKind::Email => {
            let own = Identity::of(&candidate.fields);
            let shared =
                found.emails.iter().any(|key| key.as_str() == intent.key || own.emails.contains(key));
            shared && own.bond(&found) != Bond::Contradiction
        }
        KeyKind::Name => name_key(&read.partner.fields) == intent.key,
    }
}

/// What the answers to one lookup hold: the partners read, and the ids of rows that could not be read.
type Hits = Result<(Vec<Read>, Vec<MkId>), CallError>;

/// Adds partners that scans have met: one without a tax number whose e-mail a contact with one has, for example, or one whose
/// number is spelt with other marks.
async fn seen_before(run: &Run<'_>, window: &[Candidate], hits: &mut [Hits]) -> Result<(), Stop> {
    let absent: Vec<(usize, Identity)> = window
        .iter()
        .zip(&*hits)
        .enumerate()
        .filter(|(_, (candidate, hits))| {
            candidate.intent.attempts == 0 && hits.as_ref().is_ok_and(|(exact, _)| exact.is_empty())
        })
        .map(|(position, (candidate, _))| (position, Identity::of(&candidate.fields)))
        .collect();
    let finds = |other: &Identity| absent.iter().any(|(_, identity)| may_be_one(identity.bond(other)));
    let mut ids: IdSet<MkId> = IdSet::default();
    ids.extend(
        run.listed.borrow().partners.iter().filter(|(_, other)| finds(other)).map(|(id, _)| id.clone()),
    );
    if absent.is_empty() || (ids.is_empty() && run.powers.storage.count(SEEN).await? == 0) {
        return Ok(());
    }
    let tax: Vec<String> =
        absent.iter().filter_map(|(_, identity)| identity.tax.clone().map(String::from)).collect();
    let emails: Vec<String> = absent.iter().flat_map(|(_, identity)| identity.email_forms()).collect();
    for (index, keys) in [("tax_key", tax), ("email_key", emails)] {
        let found = run.powers.storage.find_many(SEEN, index, keys, 20).await?;
        ids.extend(found.into_iter().map(|(_, entry)| MkId(entry.id)));
    }
    // One that gets its link is no longer among them.
    let is_paired = |id: &MkId| run.gate.forecast().is_some_and(|forecast| forecast.is_paired(id));
    let ids: Vec<MkId> = ids.into_ids().filter(|id| !is_paired(id)).collect();
    run.report().calls_least += ids.len() as u64;
    let mut known = Vec::new();
    for (id, answer) in ids.iter().zip(run.ask(ids.iter().cloned().map(PartnerKey::Id).collect()).await) {
        match answer {
            Ok(found) => known.extend(found.into_iter().filter(|read| read.partner.id == *id)),
            Err(error) if error.treatment() == Treatment::StopRun => return Err(Stop::Call(error)),
            Err(_) => {}
        }
    }
    for (position, identity) in absent {
        let bound = known.iter().filter(|read| may_be_one(identity.bond(&Identity::of_read(read))));
        if let Some(Ok((exact, _))) = hits.get_mut(position) {
            exact.extend(bound.cloned());
        }
    }
    Ok(())
}

const fn may_be_one(bond: Bond) -> bool {
    matches!(bond, Bond::TaxNumber | Bond::Email | Bond::EmailOtherName)
}

/// A partner that was there before belongs to the one contact that has its key: when another contact without a link has
/// it too, a person has to say whose it is.
pub(super) async fn only_one_claims(
    run: &Run<'_>,
    window: &[Candidate],
    mut looks: Vec<Look>,
) -> Result<Vec<Look>, Stop> {
    let found: Vec<Option<Identity>> = window
        .iter()
        .zip(&looks)
        .map(|(candidate, look)| match look {
            Look::Free(read) if candidate.intent.attempts == 0 => Some(Identity::of_read(read)),
            _ => None,
        })
        .collect();
    let claims = claimants(run, &found).await?;
    for ((candidate, look), claims) in window.iter().zip(&mut looks).zip(claims) {
        let others: Vec<&str> =
            claims.iter().filter(|id| **id != candidate.contact.id).map(|id| id.0.as_str()).collect();
        if let (Look::Free(read), false) = (&*look, others.is_empty()) {
            *look = Look::Review {
                code: "ambiguous-match",
                reason: format!(
                    "partner {} could be this contact or {}: they share its tax number or e-mail; make the right one \
                     differ or remove the others, then retry",
                    read.partner.id,
                    others.join(", ")
                ),
            };
        }
    }
    Ok(looks)
}

pub(super) fn judge(
    candidate: &Candidate,
    hits: Result<(Vec<Read>, Vec<MkId>), CallError>,
    linked: &ById<MkId, Link>,
) -> Look {
    let (mut exact, others) = match hits {
        Ok(hits) => hits,
        Err(error) => return Look::Inconclusive(error),
    };
    if exact.len() > 1 {
        told_by_name(candidate, &mut exact);
    }
    let intent = &candidate.intent;
    if intent.key_kind == KeyKind::Name {
        if let (Some(hit), 0) = (exact.first(), intent.attempts) {
            return Look::Review {
                code: "possible-duplicate",
                reason: format!(
                    "Metakocka already has a partner with this name and address ({}); without a tax number or e-mail nobody \
                     can tell whether it is the same: add one of them here and there",
                    hit.partner.id
                ),
            };
        }
        exact.retain(|read| !linked.contains(&read.partner.id) && !intent.before.contains(&read.partner.id));
    }
    let key = match intent.key_kind {
        KeyKind::Tax => "tax number",
        KeyKind::Email => "e-mail",
        KeyKind::Name => "name and address",
    };
    let own = |read: &Read| linked.get(&read.partner.id).is_some_and(|link| link.contact == intent.contact);
    if exact.iter().any(own) {
        return Look::Taken;
    }
    match (exact.len(), exact.pop()) {
        (0, _) => {
            let mut before = others;
            before.truncate(1_000);
            Look::Absent { before: if intent.key_kind == KeyKind::Name { before } else { Vec::new() } }
        }
        (1, Some(hit)) => match linked.get(&hit.partner.id) {
            None => unless_doubtful(candidate, hit),
            Some(link) => Look::Review {
                code: "partner-already-linked",
                reason: format!(
                    "the partner with this {key} ({}) belongs to contact {}: merge the two contacts or give this one \
                     another {key}",
                    hit.partner.id, link.contact
                ),
            },
        },
        (several, Some(hit))
            if !linked.contains(&hit.partner.id)
                && exact.iter().all(|read| linked.contains(&read.partner.id)) =>
        {
            Look::Review {
                code: "ambiguous-match",
                reason: format!(
                    "{} partners in Metakocka have this {key}, and all but one ({}) belong to other contacts: nobody can \
                     tell whether that one is this contact",
                    several, hit.partner.id
                ),
            }
        }
        (several, _) if exact.iter().all(|read| linked.contains(&read.partner.id)) => Look::Review {
            code: "partner-already-linked",
            reason: format!(
                "the {several} partners with this {key} belong to other contacts: merge the contacts or give this one \
                 another {key}"
            ),
        },
        (several, _) => Look::Review {
            code: "ambiguous-match",
            reason: format!(
                "{several} partners in Metakocka have this {key}: remove the surplus ones there, then retry it (`quarantine retry`)"
            ),
        },
    }
}

/// An address many share is told by the name: where one hit is called like the contact, those of other names are none.
fn told_by_name(candidate: &Candidate, hits: &mut Vec<Read>) {
    let own = Identity::of(&candidate.fields);
    let bonds: Vec<Bond> = hits.iter().map(|read| own.bond(&Identity::of_read(read))).collect();
    if bonds.contains(&Bond::Email) {
        let mut bonds = bonds.into_iter();
        hits.retain(|_| bonds.next() != Some(Bond::EmailOtherName));
    }
}

/// A single partner nobody has, unless something speaks against its being this contact.
fn unless_doubtful(candidate: &Candidate, hit: Read) -> Look {
    let code_and_why = match Identity::of(&candidate.fields).bond(&Identity::of_read(&hit)) {
        Bond::EmailOtherName => Some((
            "same-email-other-name",
            "has this contact's e-mail address, but another name: give both the same tax number or name if they are one, or one \
             of them another address, then retry",
        )),
        Bond::Contradiction => Some((
            "contradicting-numbers",
            "has this contact's tax number, but another registration number: put the wrong one right, then retry",
        )),
        _ => None,
    };
    match code_and_why {
        Some((code, why)) => Look::Review { code, reason: format!("partner {} {why}", hit.partner.id) },
        None => Look::Free(Box::new(hit)),
    }
}
