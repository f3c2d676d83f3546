//! The vendor's ways of saying no: an `opr_code` and a text, with HTTP 200.

/// A business error. The texts are the vendor's, misspellings included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `get_partner` without a match: an error, not an empty list.
    NoPartner,
    /// A partner call whose body has no `partner`.
    PartnerMissing,
    /// A value without which the record cannot be made.
    Required(&'static str),
    /// A key without which the call does not know what to change.
    MustBeSet(&'static str),
    /// A value outside of a closed list.
    InvalidChoice { field: String, value: String, valid: &'static str },
    /// A value longer than the vendor's column. What the vendor does with one is not known; we refuse.
    TooLong { field: String, max: usize },
    /// Something named by an id or number that is not there.
    DoesNotExist { what: &'static str, by: &'static str, value: String },
    /// One record where the call takes a list of them.
    ListOnly { sent: &'static str, list: &'static str },
    /// The request could not be made sense of.
    Internal,
    /// The words the vendor's own table has for an error it cannot name.
    UnknownInternal,
    /// Wrong `company_id` or `secret_key`.
    Credentials,
    /// The caller's address is not on the company's list.
    AddressNotAllowed { address: String, company_id: String },
    /// More calls than the company may make in a while.
    Quota,
}

impl Refusal {
    /// The vendor's number, which alone never identifies the cause.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::Internal | Refusal::UnknownInternal => "1",
            Refusal::Credentials => "3",
            Refusal::AddressNotAllowed { .. } => "4",
            Refusal::Quota => "5",
            _ => "2",
        }
    }

    /// The text, in the language the company works in.
    pub(crate) fn text(&self, slovenian: bool) -> String {
        if slovenian { self.slovenian() } else { self.english() }
    }

    fn english(&self) -> String {
        match self {
            Refusal::NoPartner => "No partner with such properties.".into(),
            Refusal::PartnerMissing => "Partner data are missing".into(),
            Refusal::Required(field) => format!("Value is require for {field}"),
            Refusal::MustBeSet(field) => format!("Paramether {field} must be set"),
            Refusal::InvalidChoice { field, value, valid } => {
                format!("Paramether '{field}' has invalid value : {value}. Valid values : {valid}")
            }
            Refusal::TooLong { field, max } => {
                format!("Paramether '{field}' has invalid value : too long. Maximum length : {max}")
            }
            Refusal::DoesNotExist { what, by, value } => {
                format!("{what} with {by} '{value}' does not exist.")
            }
            Refusal::ListOnly { sent, list } => {
                format!("Paramether '{sent}' has invalid value : object. Valid values : {list}")
            }
            Refusal::Internal => "Internal server error.".into(),
            Refusal::UnknownInternal => "Unknown internal server error".into(),
            Refusal::Credentials => "Invalid value for secret_key and company_id".into(),
            Refusal::AddressNotAllowed { address, company_id } => {
                format!("IP address '{address}' is not allowed for company_id = {company_id}")
            }
            Refusal::Quota => "Quote exceeds".into(),
        }
    }

    fn slovenian(&self) -> String {
        match self {
            Refusal::NoPartner => "Partner s takšnimi lastnostmi ne obstaja.".into(),
            Refusal::PartnerMissing => "Manjkajo podatki o partnerju".into(),
            Refusal::Required(field) => format!("Vrednost je obvezna za {field}"),
            Refusal::MustBeSet(field) => format!("Parameter {field} mora biti nastavljen"),
            Refusal::InvalidChoice { field, value, valid } => {
                format!("Parameter '{field}' ima napačno vrednost : {value}. Veljavne vrednosti : {valid}")
            }
            Refusal::TooLong { field, max } => {
                format!("Parameter '{field}' ima napačno vrednost : predolgo. Največja dolžina : {max}")
            }
            Refusal::DoesNotExist { what, by, value } => format!("{what} z {by} '{value}' ne obstaja."),
            Refusal::ListOnly { sent, list } => {
                format!("Parameter '{sent}' ima napačno vrednost : object. Veljavne vrednosti : {list}")
            }
            Refusal::Internal => "Interna napaka strežnika.".into(),
            Refusal::UnknownInternal => "Neznana interna napaka strežnika".into(),
            Refusal::Credentials => "Napačna vrednost za secret_key in company_id".into(),
            Refusal::AddressNotAllowed { address, company_id } => {
                format!("IP naslov '{address}' ni dovoljen za company_id = {company_id}")
            }
            Refusal::Quota => "Kvota je presežena".into(),
        }
    }
}
