//! What an answer means, and what to do about it: one table.

use std::fmt;

use super::words::{clean, network_address};

/// Why Metakocka refused. The code alone never identifies the cause (`opr_code` 2 covers a dozen, and single endpoints use 5
/// differently), so code and stable parts of the text decide together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such record.
    NotFound,
    /// A value that is not in a closed list.
    InvalidChoice,
    /// Our request is wrong.
    BadRequest,
    /// An internal error: proves nothing about a write.
    Internal,
    /// Company and key do not belong together.
    WrongKey,
    /// The company does not accept calls from this network address.
    AddressNotAllowed,
    /// Too many calls in a period.
    Quota,
    /// Anything else: the text is for a person.
    Business,
}

impl RefusalKind {
    /// Reads code and text (the vendor's table of system errors: 1 internal, 2 the record, 3 key, 4 address, 5 quota,
    /// 6 application).
    #[must_use]
    pub fn of(code: &str, text: &str) -> Self {
        let text = text.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        let code = code.trim();
        // With these codes the text speaks of a record and may quote anything.
        let of_record = matches!(code, "2" | "6");
        if code == "2" && has(&["no partner with such properties"]) {
            Self::NotFound
        } else if code == "3" || !of_record && has(&["secret_key", "secret key"]) {
            Self::WrongKey
        } else if code == "4" || !of_record && has(&["is not allowed for company_id"]) {
            Self::AddressNotAllowed
        } else if code == "5" && !has(&["invent"]) || !of_record && has(&["quote exceed", "quota exceed"]) {
            // `import_inventory` says with 5 that an inventory is there already.
            Self::Quota
        } else if has(&["valid values :", "supported tax values are"]) {
            Self::InvalidChoice
        } else if has(&["not valid date", "is require for", "must be set", "must be valid number"]) {
            Self::BadRequest
        } else if has(&["internal server error", "notranja napaka"]) {
            Self::Internal
        } else {
            Self::Business
        }
    }

    /// Whether it is about the connection, not about a record: the next call would be refused too.
    #[must_use]
    pub const fn is_of_connection(self) -> bool {
        matches!(self, Self::WrongKey | Self::AddressNotAllowed | Self::Quota)
    }
}

/// A business refusal: HTTP 200 with an `opr_code` that is not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// The vendor's code, as text.
    pub code: String,
    /// The vendor's words, cleaned, for a person.
    pub text: String,
}

impl Refusal {
    /// The refusal with this code and these words. `app_code` is the number that comes with an application error.
    #[must_use]
    pub fn new(code: &str, app_code: Option<&str>, text: &str) -> Self {
        let kind = RefusalKind::of(code, text);
        let text = match network_address(text) {
            Some(address) if kind == RefusalKind::AddressNotAllowed => {
                format!("IP address {address} is not allowed for this company")
            }
            _ => clean(text),
        };
        let text = match app_code.map(clean).filter(|app| !app.is_empty()) {
            Some(app) => format!("{text} (opr_code_app {app})"),
            None => text,
        };
        Self { kind, code: clean(code), text }
    }

    /// Whether a write answered like this may have been carried out all the same: `opr_code` 1 stands for internal
    /// errors of every kind and proves nothing.
    #[must_use]
    pub fn proves_nothing(&self) -> bool {
        self.kind == RefusalKind::Internal || self.code == "1" && !self.kind.is_of_connection()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metakocka refused (opr_code {}): {}", self.code, self.text)
    }
}

/// Why a call gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The connection or the installation is in trouble; trying again later can help.
    #[error("Metakocka cannot be reached at present ({0}); run again later")]
    Unavailable(String),
    /// It can be reached again after a while that is longer than a run waits.
    #[error("Metakocka cannot be reached at present ({reason}); run again {}", after(*.retry_after_ms))]
    Later {
        /// Why.
        reason: String,
        /// How long, milliseconds from now.
        retry_after_ms: u64,
    },
    /// Calls are used up for a period.
    #[error("Metakocka's quota of calls is used up ({text}); nothing is lost: run again {}", after(*.retry_after_ms))]
    Quota {
        /// The vendor's words.
        text: String,
        /// How long to wait, milliseconds from now.
        retry_after_ms: u64,
    },
    /// Something was answered that cannot be read.
    #[error(
        "Metakocka answered something that cannot be understood ({0}); run again later, and if it stays so, check the base \
         URL of the connection"
    )]
    Unreadable(String),
    /// A record was answered that cannot be read: that one waits, its neighbours go on.
    #[error("Metakocka answered a record that cannot be read ({0}): mend it there")]
    Record(String),
    /// Wrong address, no connection, or a rule of the operator: a person has to change something.
    #[error("{0}")]
    Configuration(String),
    /// Metakocka understood and said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The run's own limit of calls.
    #[error("this run has made all the calls it may make; run again to go on")]
    OutOfBudget,
}

/// A wait in words, rounded up.
fn after(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1_000);
    if seconds < 120 {
        format!("after {seconds} seconds")
    } else {
        format!("after {} minutes", seconds.div_ceil(60))
    }
}

/// How a write ended.
#[derive(Debug, Clone)]
pub enum WriteOutcome {
    /// Carried out; this is the answer.
    Done(Vec<u8>),
    /// Certainly not carried out: Metakocka said no.
    Refused(Refusal),
    /// Certainly not carried out: it never left, or the connection was refused before anything was looked at.
    NotSent(CallError),
    /// Nobody knows: look before doing anything else.
    Unknown(String),
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// End the run: the next call would fail too.
    StopRun,
    /// Give this record up with its reason; go on with the others.
    Quarantine,
    /// Leave this record for the next run; several in a row end the run.
    TryLater,
}

/// The pause after a used-up quota when nobody says how long: the vendor does not publish its period.
pub const QUOTA_PAUSE_MS: u64 = 15 * 60 * 1_000;

impl CallError {
    /// A refusal as the error of a call that names no record: what it says is about connection, key or rights.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::Quota => Self::Quota { text: refusal.to_string(), retry_after_ms: QUOTA_PAUSE_MS },
            RefusalKind::AddressNotAllowed => Self::Configuration(format!(
                "{refusal} - allow this address for the company in Metakocka's settings, then run again"
            )),
            _ if refusal.proves_nothing() => {
                Self::Refused(Refusal { kind: RefusalKind::Internal, ..refusal })
            }
            _ => {
                Self::Configuration(format!("{refusal} - check company_id and secret key and connect again"))
            }
        }
    }

    /// The table from kind of error to treatment.
    #[must_use]
    pub const fn treatment(&self) -> Treatment {
        match self {
            Self::Unavailable(_)
            | Self::Later { .. }
            | Self::Quota { .. }
            | Self::Unreadable(_)
            | Self::Configuration(_)
            | Self::OutOfBudget => Treatment::StopRun,
            Self::Record(_) => Treatment::TryLater,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Internal => Treatment::TryLater,
                RefusalKind::WrongKey | RefusalKind::AddressNotAllowed | RefusalKind::Quota => {
                    Treatment::StopRun
                }
                RefusalKind::NotFound
                | RefusalKind::InvalidChoice
                | RefusalKind::BadRequest
                | RefusalKind::Business => Treatment::Quarantine,
            },
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Later { .. } => "unavailable",
            Self::Quota { .. } => "quota",
            Self::Unreadable(_) => "unreadable-answer",
            Self::Record(_) => "unreadable",
            Self::Configuration(_) => "configuration",
            Self::Refused(_) => "refused",
            Self::OutOfBudget => "out-of-budget",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_text_decide() {
        let rows = [
            ("2", "No partner with such properties.", RefusalKind::NotFound),
            ("2", "NO PARTNER WITH SUCH PROPERTIES", RefusalKind::NotFound),
            ("6", "No partner with such properties.", RefusalKind::Business),
            ("2", "Paramether 'x' has invalid value : Y. Valid values : a,b", RefusalKind::InvalidChoice),
            ("2", "Value is require for doc_date", RefusalKind::BadRequest),
            ("6", "Profit center 'X' doesn't exist.", RefusalKind::Business),
            ("1", "Internal server error.", RefusalKind::Internal),
            ("1", "Unknown internal server error", RefusalKind::Internal),
            ("1", "Notranja napaka strežnika.", RefusalKind::Internal),
            ("3", "Invalid value for secret_key and company_id", RefusalKind::WrongKey),
            ("3", "Napačen ključ", RefusalKind::WrongKey),
            ("1", "Company or secret key is not valid.", RefusalKind::WrongKey),
            (
                "4",
                "IP address '203.0.113.7' is not allowed for company_id = 12",
                RefusalKind::AddressNotAllowed,
            ),
            ("5", "Quote exceeds", RefusalKind::Quota),
            ("5", "Za ta artikel in datum je inventura že vnešena", RefusalKind::Business),
            ("2", "'Quote exceeds' must be valid number", RefusalKind::BadRequest),
            ("6", "Secret key d.o.o. že obstaja", RefusalKind::Business),
        ];
        for (code, text, expected) in rows {
            assert_eq!(RefusalKind::of(code, text), expected, "{code} {text}");
        }
    }

    #[test]
    fn advice_fits_the_code() {
        let rows = [
            (
                "3",
                "Invalid value for secret_key and company_id",
                "configuration",
                "check company_id and secret key",
            ),
            (
                "4",
                "IP address '203.0.113.7' is not allowed for company_id = 12",
                "configuration",
                "203.0.113.7",
            ),
            ("5", "Quote exceeds", "quota", "run again after 15 minutes"),
            ("1", "Nekaj je šlo narobe", "refused", "Nekaj je šlo narobe"),
        ];
        for (code, text, word, part) in rows {
            let error = CallError::refused(Refusal::new(code, None, text));
            assert_eq!(error.code(), word, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn what_proves_nothing() {
        for (code, text, expected) in [
            ("1", "Nekaj je šlo narobe", true),
            ("6", "Internal server error", true),
            ("1", "Company or secret key is not valid.", false),
            ("2", "Value is require for doc_date", false),
            ("6", "že obstaja", false),
        ] {
            assert_eq!(Refusal::new(code, None, text).proves_nothing(), expected, "{code} {text}");
        }
    }
}
