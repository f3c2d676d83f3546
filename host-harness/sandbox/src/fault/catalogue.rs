//! Every fault: its name, when it is asked, the options it has and what it means.

use super::script::RULE_MEMBERS;
use serde_json::{Map, Value, json};

/// What can go wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    CommitThenDrop,
    LateCommit,
    SlowCommit,
    DropBefore,
    HtmlPage,
    HtmlPageAfterCommit,
    Html404,
    Http500,
    Http502,
    Http503,
    Http429,
    Http502AfterCommit,
    Opr1AfterCommit,
    Opr1WithoutCommit,
    InternalError,
    ApplicationError,
    QuotaExceeded,
    AddressNotAllowed,
    BadCredentials,
    TruncatedJson,
    CutBody,
    EmptyObject,
    NoList,
    EchoSecret,
    BadMkId,
    ByteOrderMark,
    CountMismatch,
    Hide,
    Repeat,
    UnreadableElement,
    DropMembers,
    SlowBytes,
    Delay,
    Slovenian,
    OffsetHonoured,
    AddressHonoured,
    SingleObject,
    UiEditBetween,
    UiDeleteBetween,
}

/// When a rule is asked and whether it can share a request with other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Decides how the request ends; the first one that strikes wins.
    Ending,
    /// Changes how the request is answered, together with any other.
    Manner,
    /// Strikes after a `get_partner` that answered exactly one partner, and counts only those.
    AfterRead,
}

/// A fault as it can be asked for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    pub(super) nature: Nature,
    /// Rule members that mean something to this fault; any other is refused.
    pub(super) options: &'static [&'static str],
    meaning: &'static str,
}

const fn ending(
    name: &'static str,
    fault: Fault,
    options: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry { name, fault, nature: Nature::Ending, options, meaning }
}

const fn manner(
    name: &'static str,
    fault: Fault,
    options: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry { name, fault, nature: Nature::Manner, options, meaning }
}

const fn after_read(
    name: &'static str,
    fault: Fault,
    options: &'static [&'static str],
    meaning: &'static str,
) -> Entry {
    Entry { name, fault, nature: Nature::AfterRead, options, meaning }
}

/// Which partner a fault of `get_partner` is about.
const WHOM: [&str; 3] = ["mk_id", "field", "value"];

const CATALOGUE: [Entry; 39] = [
    ending(
        "commit-then-drop",
        Fault::CommitThenDrop,
        &[],
        "the write is committed, then the connection closes without a byte of an answer",
    ),
    ending(
        "late-commit",
        Fault::LateCommit,
        &["delay_ms"],
        "the connection closes at once without an answer; the write is committed delay_ms later (default 2000)",
    ),
    ending(
        "slow-commit",
        Fault::SlowCommit,
        &["delay_ms"],
        "nothing happens for delay_ms (default 2000), then the request is carried out and answered",
    ),
    ending(
        "drop-before",
        Fault::DropBefore,
        &[],
        "the connection closes without an answer and nothing is committed",
    ),
    ending(
        "html-page",
        Fault::HtmlPage,
        &["status", "retry_after"],
        "an HTML page instead of JSON, nothing committed; options status (default 200), retry_after",
    ),
    ending(
        "html-page-after-commit",
        Fault::HtmlPageAfterCommit,
        &["status"],
        "the write is committed, the answer is an HTML page; option status (default 200)",
    ),
    ending("html-404", Fault::Html404, &[], "the HTML 404 page of a wrong path, nothing committed"),
    ending(
        "http-500",
        Fault::Http500,
        &["retry_after"],
        "HTTP 500 with an HTML page, nothing committed; option retry_after (seconds or a date)",
    ),
    ending(
        "http-502",
        Fault::Http502,
        &["retry_after"],
        "HTTP 502 with an HTML page, nothing committed; option retry_after (seconds or a date)",
    ),
    ending(
        "http-503",
        Fault::Http503,
        &["retry_after"],
        "HTTP 503 with an HTML page, nothing committed; option retry_after (seconds or a date)",
    ),
    ending(
        "http-429",
        Fault::Http429,
        &["retry_after"],
        "HTTP 429 with an HTML page, nothing committed; option retry_after (seconds or a date)",
    ),
    ending(
        "http-502-after-commit",
        Fault::Http502AfterCommit,
        &[],
        "the write is committed, the answer is HTTP 502 with an HTML page",
    ),
    ending(
        "opr-1-after-commit",
        Fault::Opr1AfterCommit,
        &["opr_code", "opr_desc", "text"],
        "the write is committed, the answer is opr_code 1; options opr_code, text or opr_desc (default `Internal server error.`)",
    ),
    ending(
        "opr-1-without-commit",
        Fault::Opr1WithoutCommit,
        &["opr_code", "opr_desc", "text"],
        "opr_code 1 and nothing committed; options opr_code, text or opr_desc (default `Internal server error.`)",
    ),
    ending(
        "internal-error",
        Fault::InternalError,
        &["committed", "opr_desc", "text"],
        "opr_code 1 in the documented words, `Unknown internal server error`; options committed (default false), text or opr_desc",
    ),
    ending(
        "application-error",
        Fault::ApplicationError,
        &["opr_code", "opr_code_app", "opr_desc_app", "text"],
        "opr_code 6 with the number in opr_code_app (default 1001) and the text in opr_desc_app (option text too), nothing committed",
    ),
    ending(
        "quota-exceeded",
        Fault::QuotaExceeded,
        &["opr_code", "opr_desc", "text"],
        "opr_code 5, `Quote exceeds`, nothing committed; with the rule member after the first calls pass",
    ),
    ending(
        "address-not-allowed",
        Fault::AddressNotAllowed,
        &["address", "opr_code", "opr_desc", "text"],
        "opr_code 4, `IP address 'X' is not allowed for company_id = N`, nothing committed; option address (default 203.0.113.7)",
    ),
    ending(
        "bad-credentials",
        Fault::BadCredentials,
        &["status", "opr_code", "opr_desc", "text"],
        "the answer to a wrong key, opr_code 3, nothing committed; options status (default 200), opr_code, text or opr_desc",
    ),
    ending(
        "truncated-json",
        Fault::TruncatedJson,
        &[],
        "the first part of the true answer, complete as HTTP and cut as JSON; writes are committed",
    ),
    ending(
        "cut-body",
        Fault::CutBody,
        &[],
        "the true answer's length is announced, the connection closes in the middle; writes are committed",
    ),
    ending(
        "empty-object",
        Fault::EmptyObject,
        &["committed"],
        "HTTP 200 with `{}`; option committed (default false)",
    ),
    ending(
        "no-list",
        Fault::NoList,
        &["committed"],
        "HTTP 200 with an object that has neither a list nor an id nor an opr_code; option committed (default false)",
    ),
    ending(
        "echo-secret",
        Fault::EchoSecret,
        &["form"],
        "opr_code 1 whose text repeats the request's secret_key, nothing committed; option form: raw, escaped or both (default)",
    ),
    ending(
        "bad-mk-id",
        Fault::BadMkId,
        &["value", "committed"],
        "the answer of a create names an impossible mk_id; options value (default \"0\"), committed (default true)",
    ),
    manner("byte-order-mark", Fault::ByteOrderMark, &[], "a UTF-8 byte order mark stands before the answer"),
    manner(
        "count-mismatch",
        Fault::CountMismatch,
        &["rows"],
        "get_partner leaves out the last rows but announces them in partner_list_count; option rows (default 1)",
    ),
    manner(
        "hide",
        Fault::Hide,
        &["mk_id", "field", "value", "scope", "count"],
        "a partner is left out, named by mk_id or by field and value; options scope: lists (default, answers to get_partner without a key) or everything (every search and partner_id too, and updates refuse it), count: sent (default) or all",
    ),
    manner(
        "repeat",
        Fault::Repeat,
        &["mk_id", "field", "value", "fields"],
        "a partner stands twice in the answer of get_partner, the last time at the end (default the first one); option fields changes the second one",
    ),
    manner(
        "unreadable-element",
        Fault::UnreadableElement,
        &["mk_id", "field", "value", "form"],
        "a partner in the answer of get_partner cannot be read (default the first one); option form: no-mk-id (default), text, null, object-name, half-surrogate or bad-utf-8",
    ),
    manner(
        "drop-members",
        Fault::DropMembers,
        &["of", "members"],
        "members of a request count as not sent, or of an answer are left out; options of: request (default) or answer, members: a name means it anywhere, a path with dots from the top",
    ),
    manner(
        "slow-bytes",
        Fault::SlowBytes,
        &["delay_ms", "pieces"],
        "the answer comes in pieces with delay_ms (default 100) before each; option pieces (default 8)",
    ),
    manner(
        "delay",
        Fault::Delay,
        &["delay_ms"],
        "the write is committed at once, the answer comes delay_ms later (default 1000)",
    ),
    manner("slovenian", Fault::Slovenian, &[], "error texts in Slovenian"),
    manner(
        "offset-honoured",
        Fault::OffsetHonoured,
        &[],
        "get_partner honours limit and offset; without it the switch limit-and-offset decides",
    ),
    manner(
        "address-honoured",
        Fault::AddressHonoured,
        &[],
        "update_partner applies the top-level address; without it the switch top-level-address decides",
    ),
    manner("single-object", Fault::SingleObject, &[], "a partner_list of one is an object instead of a list"),
    after_read(
        "ui-edit-between",
        Fault::UiEditBetween,
        &["fields"],
        "a person changes the partner right after a get_partner that answered just this one; option fields",
    ),
    after_read(
        "ui-delete-between",
        Fault::UiDeleteBetween,
        &[],
        "a person deletes the partner right after a get_partner that answered just this one",
    ),
];

/// The fault of this name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// Refuses members of a rule that neither every rule nor this fault has.
    pub(super) fn check_options(&self, posted: &Map<String, Value>) -> Result<(), String> {
        let known = |name: &str| RULE_MEMBERS.contains(&name) || self.options.contains(&name);
        let Some(stranger) = posted.keys().find(|name| !known(name)) else { return Ok(()) };
        let own = if self.options.is_empty() {
            "it has none of its own".to_owned()
        } else {
            format!("its own are {}", self.options.join(", "))
        };
        let every = RULE_MEMBERS.join(", ");
        Err(format!("fault `{}` has no option `{stranger}`: {own}, and every rule has {every}", self.name))
    }

    /// Whether the fault can be told which partner it is about.
    pub(super) fn names_a_partner(&self) -> bool {
        WHOM.iter().all(|option| self.options.contains(option)) && self.nature == Nature::Manner
    }
}

/// Every fault name.
pub(crate) fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|entry| entry.name).collect()
}

/// Every fault name with its meaning.
pub(crate) fn meanings() -> Value {
    CATALOGUE.iter().map(|entry| (entry.name.to_owned(), json!(entry.meaning))).collect::<Map<_, _>>().into()
}
