//! What a collection is made of: its table, the members of its bodies, what can be looked up.
//!
//! Everything that keeps entries (SQLite, memory, whatever comes later) reads this one list, so that they refuse
//! the same bodies and find the same entries.

use super::Collection;

/// A collection's shape.
#[derive(Debug)]
pub(crate) struct Shape {
    pub name: &'static str,
    pub table: &'static str,
    /// The column that holds the entry's id.
    pub id: &'static str,
    /// The column that says when the entry was last written.
    pub modified: &'static str,
    /// Whether entries belong to one ERP company.
    pub company: bool,
    pub body: Body,
    pub indexes: &'static [Index],
}

/// How a body is kept.
#[derive(Debug)]
pub(crate) enum Body {
    /// As it is, in a column `body`.
    Free,
    /// A column for each member; others are refused.
    Members(&'static [Member]),
}

/// A member of a body.
#[derive(Debug)]
pub(crate) struct Member {
    pub name: &'static str,
    pub column: &'static str,
    pub kind: Kind,
}

/// What a member may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Text,
    /// A text the entry cannot be without.
    Required,
    /// A text that is never null in its column: absent and empty are the same.
    Blankable,
    /// One of these words.
    Word(&'static [&'static str]),
    Flag,
    Number,
    Object,
    /// Any JSON.
    Json,
    /// Any JSON, sealed at rest.
    Sealed,
}

/// A look-up.
#[derive(Debug)]
pub(crate) struct Index {
    pub name: &'static str,
    /// The column that is compared.
    pub column: &'static str,
    /// The member that column stands for.
    pub member: &'static str,
    pub key: Key,
    /// Which rows the index covers, in SQL, and the one key it leaves out.
    pub only: Option<(&'static str, &'static str)>,
}

/// How a key is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Key {
    Exact,
    /// Trimmed, without case (ASCII).
    Email,
    /// Letters and digits, upper-case (ASCII), without a leading `SI`.
    Tax,
    /// The same with it.
    Plain,
    /// `true` or `false`.
    Flag,
}

impl Key {
    /// The compared form; `None` matches nothing. The same rules as the derived columns of the table `contacts`.
    pub fn normal(self, key: &str) -> Option<String> {
        let normal = match self {
            Self::Exact => key.to_owned(),
            Self::Email => key.trim_matches([' ', '\t', '\n', '\r']).to_ascii_lowercase(),
            Self::Tax => {
                let plain = Self::Plain.normal(key).unwrap_or_default();
                plain.strip_prefix("SI").map(str::to_owned).unwrap_or(plain)
            }
            Self::Plain => {
                const BETWEEN: [char; 12] =
                    [' ', '\t', '\n', '\r', '\u{a0}', '-', '.', ',', '/', ':', '_', '\u{2013}'];
                let plain: String = key.chars().filter(|letter| !BETWEEN.contains(letter)).collect();
                plain.to_ascii_uppercase()
            }
            Self::Flag => match key {
                "true" => "1".to_owned(),
                "false" => "0".to_owned(),
                _ => String::new(),
            },
        };
        (!normal.is_empty()).then_some(normal)
    }
}

/// Whether an e-mail or a tax number holds more than plain signs, so that their indexes cannot tell every spelling: the rule
/// of the derived column `marked` of the table `contacts`.
pub fn is_marked(email: Option<&str>, tax_number: Option<&str>) -> bool {
    let email = email.and_then(|email| Key::Email.normal(email)).unwrap_or_default();
    let tax = tax_number.and_then(|number| Key::Tax.normal(number)).unwrap_or_default();
    let letters = |run: &[u8]| run.iter().all(u8::is_ascii_uppercase);
    email.chars().any(|sign| !('!'..='~').contains(&sign) || ";,<>():\"'/|".contains(sign))
        || email.ends_with('.')
        || email.matches('@').count() > 1
        || tax.chars().any(|sign| !sign.is_ascii_digit() && !sign.is_ascii_uppercase())
        || tax_number.is_some_and(|number| {
            Key::Plain.normal(number).unwrap_or_default().as_bytes().windows(3).any(letters)
        })
}

impl Index {
    /// The compared form of a key; `None` matches nothing.
    pub fn normal(&self, key: &str) -> Option<String> {
        let covered = self.only.is_none_or(|(_, except)| key != except);
        self.key.normal(key).filter(|_| covered)
    }
}

impl Shape {
    pub fn members(&self) -> &'static [Member] {
        match self.body {
            Body::Free => &[],
            Body::Members(members) => members,
        }
    }

    pub fn member(&self, name: &str) -> Option<&'static Member> {
        self.members().iter().find(|member| member.name == name)
    }

    pub fn seals(&self) -> bool {
        self.members().iter().any(|member| member.kind == Kind::Sealed)
    }
}

impl Collection {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Contacts,
        Self::Links,
        Self::Seen,
        Self::Outbox,
        Self::Checkpoints,
        Self::Plans,
        Self::Conflicts,
        Self::History,
        Self::Quarantine,
        Self::Settings,
    ];

    /// The name in `wit/storage.wit`.
    pub fn name(self) -> &'static str {
        self.shape().name
    }

    /// The collection of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.name() == name)
    }

    /// Whether its records belong to the CRM: only these have [`changes`](super::Storage::changes).
    pub fn is_crm(self) -> bool {
        self == Self::Contacts
    }

    pub(crate) fn shape(self) -> &'static Shape {
        match self {
            Self::Contacts => &CONTACTS,
            Self::Links => &LINKS,
            Self::Seen => &SEEN,
            Self::Outbox => &OUTBOX,
            Self::Checkpoints => &CHECKPOINTS,
            Self::Plans => &PLANS,
            Self::Conflicts => &CONFLICTS,
            Self::History => &HISTORY,
            Self::Quarantine => &QUARANTINE,
            Self::Settings => &SETTINGS,
        }
    }
}

const fn text(name: &'static str) -> Member {
    Member { name, column: name, kind: Kind::Text }
}

const fn member(name: &'static str, column: &'static str, kind: Kind) -> Member {
    Member { name, column, kind }
}

const fn index(name: &'static str, column: &'static str, key: Key) -> Index {
    Index { name, column, member: name, key, only: None }
}

const SIDES: Kind = Kind::Word(&["metakocka", "crm"]);

static CONTACTS: Shape = Shape {
    name: "contacts",
    table: "contacts",
    id: "id",
    modified: "updatedat",
    company: false,
    body: Body::Members(&[
        member("firstname", "firstname", Kind::Blankable),
        member("lastname", "lastname", Kind::Blankable),
        text("full_name"),
        text("email"),
        text("phone"),
        text("company"),
        text("position"),
        text("notes"),
        text("personalitytype"),
        text("personalitynotes"),
        text("status"),
        text("lastcontact"),
        text("street"),
        text("postal_code"),
        text("city"),
        text("province"),
        text("country"),
        text("tax_number"),
        text("registration_number"),
        text("website"),
        text("createdat"),
        text("updatedat"),
        member("custom", "custom", Kind::Object),
    ]),
    indexes: &[
        index("email", "email_key", Key::Email),
        index("tax_number", "tax_key", Key::Tax),
        Index { name: "marked", column: "marked", member: "email", key: Key::Exact, only: None },
    ],
};

static LINKS: Shape = Shape {
    name: "links",
    table: "metakocka_contact_mappings",
    id: "contact_id",
    modified: "updated_at",
    company: true,
    body: Body::Members(&[
        member("metakocka_id", "metakocka_id", Kind::Required),
        text("metakocka_code"),
        member("sync_status", "sync_status", Kind::Word(&["synced", "pending", "error", "needs_review"])),
        text("sync_error"),
        member("state", "state", Kind::Word(&["live", "erp-gone", "crm-gone"])),
        member("base", "base_snapshot", Kind::Json),
        member("raw_hash", "mk_hash", Kind::Text),
        text("crm_hash"),
        text("mk_modified_at"),
        text("crm_modified_at"),
        text("last_synced_at"),
        member("metadata", "metadata", Kind::Object),
    ]),
    indexes: &[
        index("metakocka_id", "metakocka_id", Key::Exact),
        Index {
            name: "sync_status",
            column: "sync_status",
            member: "sync_status",
            key: Key::Exact,
            only: Some(("sync_status <> 'synced'", "synced")),
        },
    ],
};

static SEEN: Shape = Shape {
    name: "seen",
    table: "metakocka_seen",
    id: "metakocka_id",
    modified: "modified_at",
    company: true,
    body: Body::Members(&[
        text("raw_hash"),
        text("tax_key"),
        text("email_key"),
        text("reason"),
        text("code"),
        text("name"),
        text("email"),
        text("phone"),
    ]),
    indexes: &[index("tax_key", "tax_key", Key::Exact), index("email_key", "email_key", Key::Exact)],
};

static OUTBOX: Shape = free("outbox", "metakocka_outbox", "contact_id");
static CHECKPOINTS: Shape = free("checkpoints", "metakocka_checkpoints", "name");
static PLANS: Shape = free("plans", "metakocka_plans", "id");

const fn free(name: &'static str, table: &'static str, id: &'static str) -> Shape {
    Shape { name, table, id, modified: "modified_at", company: true, body: Body::Free, indexes: &[] }
}

static CONFLICTS: Shape = Shape {
    name: "conflicts",
    table: "metakocka_conflicts",
    id: "id",
    modified: "modified_at",
    company: true,
    body: Body::Members(&[
        text("kind"),
        text("crm_id"),
        text("metakocka_id"),
        text("field"),
        member("base", "base", Kind::Json),
        member("crm", "crm", Kind::Json),
        member("metakocka", "metakocka", Kind::Json),
        text("since"),
        text("decision"),
    ]),
    indexes: &[index("crm_id", "crm_id", Key::Exact), index("decision", "decision", Key::Exact)],
};

static HISTORY: Shape = Shape {
    name: "history",
    table: "metakocka_history",
    id: "id",
    modified: "modified_at",
    company: false,
    body: Body::Members(&[
        text("kind"),
        text("crm_id"),
        text("metakocka_id"),
        member("side", "side", SIDES),
        text("field"),
        member("old", "old", Kind::Sealed),
        member("new", "new", Kind::Sealed),
        text("reason"),
        text("run_id"),
        text("at"),
    ]),
    indexes: &[],
};

static QUARANTINE: Shape = Shape {
    name: "quarantine",
    table: "metakocka_quarantine",
    id: "id",
    modified: "modified_at",
    company: true,
    body: Body::Members(&[
        text("kind"),
        member("side", "side", SIDES),
        text("crm_id"),
        text("metakocka_id"),
        text("reason"),
        text("code"),
        member("status", "status", Kind::Word(&["quarantined", "needs_review"])),
        member("attempts", "attempts", Kind::Number),
        text("since"),
        text("record_hash"),
        member("retry", "retry", Kind::Flag),
        member("payload", "payload", Kind::Sealed),
    ]),
    indexes: &[
        index("crm_id", "crm_id", Key::Exact),
        index("metakocka_id", "metakocka_id", Key::Exact),
        index("retry", "retry", Key::Flag),
    ],
};

static SETTINGS: Shape = Shape {
    name: "settings",
    table: "metakocka_settings",
    id: "key",
    modified: "modified_at",
    company: false,
    body: Body::Members(&[member("value", "value", Kind::Json)]),
    indexes: &[],
};
