//! Looking a create up: does Metakocka have this partner, and whose is it. Answers are checked exactly here, because
//! matching over there is by part of the value.

use super::context::{Run, Stop};
use super::link::{Claims, claimants};
use crate::crm::Contact;
use crate::ledger::{Intent, KeyKind, LINKS, Link, name_key};
use crate::metakocka::client::{PartnerKey, Read};
use crate::metakocka::outcome::CallError;
use crate::metakocka::partner::emails;
use crate::model::{ById, Field, Fields, IdSet, MkId, email_key, tax_key};

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

/// Asks Metakocka for each candidate's key and checks the answer exactly.
pub(super) async fn look_up(run: &Run<'_>, window: &[Candidate]) -> Result<Vec<Look>, Stop> {
    let keys = window.iter().map(|candidate| lookup_key(&candidate.intent, &candidate.fields)).collect();
    let answers = run.ask(keys).await;
    let mut hits = Vec::new();
    for (candidate, answer) in window.iter().zip(answers) {
        hits.push(answer.map(|found| {
            let (exact, others): (Vec<Read>, Vec<Read>) =
                found.into_iter().partition(|read| is_hit(&candidate.intent, read));
            (exact, others.into_iter().map(|read| read.partner.id).collect::<Vec<_>>())
        }));
    }
    let ids: IdSet<String> = hits
        .iter()
        .flatten()
        .flat_map(|(exact, _)| exact.iter().map(|read| read.partner.id.0.clone()))
        .collect();
    let linked = linked(run, ids).await?;
    Ok(window.iter().zip(hits).map(|(candidate, hits)| judge(candidate, hits, &linked)).collect())
}

pub(super) fn lookup_key(intent: &Intent, fields: &Fields) -> PartnerKey {
    match intent.key_kind {
        KeyKind::Tax => PartnerKey::Tax(intent.key.clone()),
        KeyKind::Email => PartnerKey::Email(intent.key.clone()),
        KeyKind::Name => PartnerKey::Name(
            fields.get(Field::Company).or(fields.get(Field::FullName)).unwrap_or_default().to_owned(),
        ),
    }
}

/// Matching in Metakocka is by part of the value; a hit has exactly the key.
pub(super) fn is_hit(intent: &Intent, read: &Read) -> bool {
    match intent.key_kind {
        KeyKind::Tax => {
            read.partner.fields.get(Field::TaxNumber).and_then(tax_key).as_deref()
                == Some(intent.key.as_str())
        }
        KeyKind::Email => emails(&read.bytes)
            .iter()
            .any(|address| email_key(address).as_deref() == Some(intent.key.as_str())),
        KeyKind::Name => name_key(&read.partner.fields) == intent.key,
    }
}

/// A partner that was there before belongs to the one contact that has its key: when another contact without a link has
/// it too, a person has to say whose it is.
pub(super) async fn only_one_claims(
    run: &Run<'_>,
    window: &[Candidate],
    mut looks: Vec<Look>,
) -> Result<Vec<Look>, Stop> {
    let mut keys = Vec::new();
    for (position, (candidate, look)) in window.iter().zip(&looks).enumerate() {
        if matches!(look, Look::Free(_)) && candidate.intent.attempts == 0 {
            keys.push((position, candidate.intent.key_kind, candidate.intent.key.clone()));
        }
    }
    let claims = claimants(run, keys).await?;
    for (position, (candidate, look)) in window.iter().zip(&mut looks).enumerate() {
        let others: Vec<&str> = claims
            .get(position)
            .into_iter()
            .flat_map(Claims::ids)
            .filter(|id| **id != candidate.contact.id)
            .map(|id| id.0.as_str())
            .collect();
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

/// Which of these partners have a link, and whose.
pub(super) async fn linked(run: &Run<'_>, ids: IdSet<String>) -> Result<ById<MkId, Link>, Stop> {
    if ids.is_empty() {
        return Ok(ById::default());
    }
    let found = run.powers.storage.find_many(LINKS, "metakocka_id", ids.texts(), 1).await?;
    let links = Link::read_all(found.iter().map(|(_, entry)| entry))?;
    Ok(links.into_iter().map(|link| (link.partner.clone(), link)).collect())
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
            None => Look::Free(Box::new(hit)),
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
