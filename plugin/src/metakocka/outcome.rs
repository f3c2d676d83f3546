//! What an answer means, and what to do about it: one table.

use std::fmt;

/// Why Metakocka refused. The code never identifies the cause (`opr_code` 2 covers a dozen), so stable parts of the
/// text decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such record.
    NotFound,
    /// A value that is not in a closed list.
    InvalidChoice,
    /// Our request is wrong.
    BadRequest,
    /// "Internal server error": proves nothing about a write.
    Internal,
    /// Anything else: the text is for a person.
    Business,
}

impl RefusalKind {
    /// Reads the text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        if has(&["No partner with such properties"]) {
            Self::NotFound
        } else if has(&["Valid values :", "Supported tax values are"]) {
            Self::InvalidChoice
        } else if has(&["Not valid date", "is require for", "must be set", "must be valid number"]) {
            Self::BadRequest
        } else if has(&["Internal server error", "Notranja napaka"]) {
            Self::Internal
        } else {
            Self::Business
        }
    }
}

impl Refusal {
    /// Whether a write answered like this may have been carried out all the same: `opr_code` 1 stands for internal
    /// errors of every kind and proves nothing.
    #[must_use]
    pub fn proves_nothing(&self) -> bool {
        self.kind == RefusalKind::Internal || self.code.trim() == "1"
    }
}

/// A business refusal: HTTP 200 with an `opr_code` that is not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// The vendor's code, as text.
    pub code: String,
    /// The vendor's words, for a person.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Metakocka refused (opr_code {}): {}",
            self.code,
            self.text.chars().take(300).collect::<String>()
        )
    }
}

/// Why a call gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The connection or the installation is in trouble; trying again later can help.
    #[error("Metakocka cannot be reached at present ({0}); run again later")]
    Unavailable(String),
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

/// How a write ended.
#[derive(Debug, Clone)]
pub enum WriteOutcome {
    /// Carried out; this is the answer.
    Done(Vec<u8>),
    /// Certainly not carried out: Metakocka said no.
    Refused(Refusal),
    /// Certainly not carried out: it never left.
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

impl CallError {
    /// The table from kind of error to treatment.
    #[must_use]
    pub const fn treatment(&self) -> Treatment {
        match self {
            Self::Unavailable(_) | Self::Configuration(_) | Self::OutOfBudget => Treatment::StopRun,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Internal => Treatment::TryLater,
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
            Self::Unavailable(_) => "unavailable",
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
    fn texts_decide_not_codes() {
        let rows = [
            ("No partner with such properties.", RefusalKind::NotFound),
            ("Paramether 'x' has invalid value : Y. Valid values : a,b", RefusalKind::InvalidChoice),
            ("Value is require for doc_date", RefusalKind::BadRequest),
            ("Profit center 'X' doesn't exist.", RefusalKind::Business),
            ("Internal server error.", RefusalKind::Internal),
            ("Company or secret key is not valid.", RefusalKind::Business),
            ("Notranja napaka strežnika.", RefusalKind::Internal),
        ];
        for (text, expected) in rows {
            assert_eq!(RefusalKind::of(text), expected, "{text}");
        }
    }
}
