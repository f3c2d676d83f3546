//! Whether "none" means none. Zero matches are a refusal with `opr_code` 2, and so is a key that is malformed or a right that
//! is missing (`get_partner.md`, table of system errors). The vendor's English words are known; any other text counts only
//! after the same kind of question has found a partner that is known to be there.

use std::cell::RefCell;

use super::client::{Client, PartnerKey, Read, says_nothing};
use super::envelope::Envelope;
use super::outcome::{CallError, RefusalKind};
use super::partner::{Partner, emails};
use crate::model::{Field, MkId};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Everything,
    Id,
    Tax,
    Email,
    Name,
}

/// What is known about the other side's way to say "none".
#[derive(Default)]
pub(super) struct Absence {
    /// A partner that is linked, so that it should be there.
    known: RefCell<Option<MkId>>,
    /// Kinds of questions that find what is there.
    tried: RefCell<Vec<Kind>>,
}

impl Absence {
    /// Names a partner that should be there.
    pub(super) fn knows(&self, id: MkId) {
        self.known.replace(Some(id));
    }
}

/// Whether an answer to `get_partner` tells which partners there are; `asked` is the key, `None` for all of them. It does
/// when it holds the list, be it empty, or when it says that there is none.
///
/// # Errors
///
/// When it tells nothing.
pub(super) async fn must_tell(
    client: &Client<'_>,
    envelope: &Envelope,
    asked: Option<&PartnerKey>,
) -> Result<(), CallError> {
    match envelope.refusal() {
        None if envelope.has_list() => Ok(()),
        None => Err(says_nothing()),
        Some(refusal) if refusal.kind == RefusalKind::NotFound => Ok(()),
        Some(refusal) if refusal.kind == RefusalKind::Business && refusal.code == "2" => {
            Box::pin(means_none(client, asked)).await
        }
        // A look-up names nothing that could be wrong with a record: the next one would be refused too.
        Some(refusal) => Err(CallError::refused(refusal)),
    }
}

async fn means_none(client: &Client<'_>, asked: Option<&PartnerKey>) -> Result<(), CallError> {
    let kind = match asked {
        None => Kind::Everything,
        Some(PartnerKey::Id(_)) => Kind::Id,
        Some(PartnerKey::Tax(_)) => Kind::Tax,
        Some(PartnerKey::Email(_)) => Kind::Email,
        Some(PartnerKey::Name(_)) => Kind::Name,
    };
    if client.absence.tried.borrow().contains(&kind) {
        return Ok(());
    }
    let linked = client.absence.known.borrow().clone();
    let found = match (kind, linked) {
        // Nothing is linked: an empty company, if address, key and rights are good.
        (Kind::Everything, None) => client.probe().await.map(|_| true)?,
        // A partner is linked, so "none at all" is not believed.
        (Kind::Everything, Some(_)) => false,
        (_, linked) => finds_what_is_there(client, kind, asked, linked).await?,
    };
    if !found {
        return Err(says_nothing());
    }
    client.absence.tried.borrow_mut().push(kind);
    Ok(())
}

/// Whether this kind of question finds a partner that is there: the linked one, else one of the list. Where nobody has such a
/// key, there is nothing to be found.
async fn finds_what_is_there(
    client: &Client<'_>,
    kind: Kind,
    asked: Option<&PartnerKey>,
    linked: Option<MkId>,
) -> Result<bool, CallError> {
    let of_linked = match linked {
        Some(id) => {
            client.asked_plainly(&PartnerKey::Id(id)).await?.iter().find_map(|read| key(kind, read, asked))
        }
        None => None,
    };
    let example = match of_linked {
        Some(example) => Some(example),
        None => client.first_of_list(|read| key(kind, read, asked)).await?,
    };
    let Some((id, question)) = example else { return Ok(true) };
    Ok(client.asked_plainly(&question).await?.iter().any(|read| read.partner.id == id))
}

/// A question of this kind for a partner, unless it is the one that was asked.
fn key(kind: Kind, read: &Read, asked: Option<&PartnerKey>) -> Option<(MkId, PartnerKey)> {
    let Partner { id, fields, .. } = &read.partner;
    let text = |field| fields.get(field).map(str::to_owned);
    let key = match kind {
        Kind::Everything => None,
        Kind::Id => Some(PartnerKey::Id(id.clone())),
        Kind::Tax => text(Field::TaxNumber).map(PartnerKey::Tax),
        Kind::Email => emails(&read.bytes).into_iter().next().map(PartnerKey::Email),
        Kind::Name => text(Field::Company).or_else(|| text(Field::FullName)).map(PartnerKey::Name),
    }?;
    (Some(&key) != asked).then(|| (id.clone(), key))
}
