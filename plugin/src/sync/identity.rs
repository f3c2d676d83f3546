//! Who a record says it is, and whether two records can be the same. Pure.

use crate::metakocka::client::Read;
use crate::metakocka::partner::{Partner, emails};
use crate::model::company_name::names_agree;
use crate::model::match_key::{EmailKey, RegistrationKey, TaxKey, email_keys, registration_key, tax_key};
use crate::model::{Field, Fields};

/// What a record can be told by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its tax number.
    pub tax: Option<TaxKey>,
    /// Its registration number.
    pub registration: Option<RegistrationKey>,
    /// Its e-mail addresses.
    pub emails: Vec<EmailKey>,
    company: Option<String>,
    person: Option<String>,
}

/// How two records relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// The same tax number: the same party.
    TaxNumber,
    /// They share an e-mail address, and nothing speaks against it.
    Email,
    /// They share an e-mail address, but their names have nothing in common: an accountant's address, or a new name.
    EmailOtherName,
    /// Different tax or registration numbers: never the same, whatever else agrees.
    Contradiction,
    /// Nothing in common.
    Nothing,
}

impl Identity {
    /// Of a record's fields.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let country = fields.get(Field::Country);
        Self {
            tax: fields.get(Field::TaxNumber).and_then(|number| tax_key(number, country)),
            registration: fields.get(Field::RegistrationNumber).and_then(registration_key),
            emails: fields.get(Field::Email).map(email_keys).unwrap_or_default(),
            company: fields.get(Field::Company).map(str::to_owned),
            person: fields.get(Field::FullName).map(str::to_owned),
        }
    }

    /// Of a partner met in a scan: of its persons the one that is mapped.
    #[must_use]
    pub fn of_partner(partner: &Partner) -> Self {
        Self::of(&partner.fields)
    }

    /// Of a partner that was asked for: the addresses of all its persons.
    #[must_use]
    pub fn of_read(read: &Read) -> Self {
        Self::of_element(&read.partner, &read.bytes)
    }

    /// The same of a partner whose bytes belong to somebody else.
    #[must_use]
    pub fn of_element(partner: &Partner, bytes: &[u8]) -> Self {
        let mut identity = Self::of(&partner.fields);
        for key in emails(bytes).iter().flat_map(|address| email_keys(address)) {
            if !identity.emails.contains(&key) {
                identity.emails.push(key);
            }
        }
        identity
    }

    /// Whether it has a number of its own.
    #[must_use]
    pub const fn has_number(&self) -> bool {
        self.tax.is_some() || self.registration.is_some()
    }

    /// Whether a look-up for this record would find the other one, however it is spelt.
    #[must_use]
    pub fn shares_a_key(&self, other: &Self) -> bool {
        (self.tax.is_some() && self.tax == other.tax)
            || self.emails.iter().any(|key| other.emails.contains(key))
    }

    /// How this record and another one relate.
    #[must_use]
    pub fn bond(&self, other: &Self) -> Bond {
        let differ = |a: Option<&str>, b: Option<&str>| matches!((a, b), (Some(a), Some(b)) if a != b);
        let registrations = (
            self.registration.as_ref().map(RegistrationKey::as_str),
            other.registration.as_ref().map(RegistrationKey::as_str),
        );
        let taxes = (self.tax.as_ref().map(TaxKey::as_str), other.tax.as_ref().map(TaxKey::as_str));
        if differ(taxes.0, taxes.1) || differ(registrations.0, registrations.1) {
            return Bond::Contradiction;
        }
        if taxes.0.is_some() && taxes.0 == taxes.1 {
            return Bond::TaxNumber;
        }
        if !self.emails.iter().any(|key| other.emails.contains(key)) {
            return Bond::Nothing;
        }
        let same_register = registrations.0.is_some() && registrations.0 == registrations.1;
        if same_register || self.is_called_like(other) { Bond::Email } else { Bond::EmailOtherName }
    }

    /// Whether the names agree, or one side has none. A company goes by its own name: that of its contact person may be its
    /// accountant's.
    #[must_use]
    pub fn is_called_like(&self, other: &Self) -> bool {
        names_agree(self.name(), other.name())
    }

    fn name(&self) -> Option<&str> {
        self.company.as_deref().or(self.person.as_deref())
    }

    /// The spellings of its tax number a look-up by plain letters and digits may find it under.
    #[must_use]
    pub fn tax_forms(&self) -> Vec<String> {
        let Some(tax) = &self.tax else { return Vec::new() };
        let national = tax.national();
        let mut forms = vec![tax.as_str().to_owned()];
        if national != tax.as_str() {
            forms.push(national.to_owned());
            let prefix = tax.as_str().strip_suffix(national).unwrap_or_default();
            // Austrian numbers begin with a U, which people leave out.
            if let ("AT", Some(digits)) = (prefix, national.strip_prefix('U')) {
                forms.extend([digits.to_owned(), format!("AT{digits}")]);
            }
            for (one, another) in [("EL", "GR"), ("GB", "XI")] {
                if prefix == one {
                    forms.push(format!("{another}{national}"));
                }
            }
        }
        forms
    }

    /// Its e-mail addresses as texts.
    #[must_use]
    pub fn email_forms(&self) -> Vec<String> {
        self.emails.iter().map(|key| key.as_str().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Company, person, tax number, registration number, e-mail, country.
    fn identity(record: [&str; 6]) -> Identity {
        let fields = [
            Field::Company,
            Field::FullName,
            Field::TaxNumber,
            Field::RegistrationNumber,
            Field::Email,
            Field::Country,
        ];
        let fields: Fields = fields.into_iter().zip(record.map(str::to_owned)).collect();
        Identity::of(&fields)
    }

    #[test]
    fn a_weak_key_never_beats_a_strong_one() {
        let accountant = "racuni@knjigovodstvo.example";
        let alfa = ["Alfa d.o.o.", "", "SI12345678", "", accountant, ""];
        for (other, expected) in [
            (["Alfa d.o.o.", "", "12 345 678", "", "", ""], Bond::TaxNumber),
            (["Beta d.o.o.", "", "SI12345678", "", "", ""], Bond::TaxNumber),
            (["Alfa d.o.o.", "", "SI87654321", "", accountant, ""], Bond::Contradiction),
            (["Alfa d.o.o.", "", "", "", accountant, ""], Bond::Email),
            (["ALFA, d. o. o.", "", "", "", "Racuni@Knjigovodstvo.example", ""], Bond::Email),
            (["Beta d.o.o.", "", "", "", accountant, ""], Bond::EmailOtherName),
            (["", "", "", "", accountant, ""], Bond::Email),
            (["", "Ana Kos", "", "", accountant, ""], Bond::EmailOtherName),
            (["Beta d.o.o.", "Ana Kos", "", "", accountant, ""], Bond::EmailOtherName),
            (["", "Alfa", "", "", accountant, ""], Bond::Email),
            (["Beta d.o.o.", "", "", "", "", ""], Bond::Nothing),
            (["Alfa d.o.o.", "", "", "", "", ""], Bond::Nothing),
            (["Alfa d.o.o.", "", "ni podatka", "", "", ""], Bond::Nothing),
        ] {
            assert_eq!(identity(alfa).bond(&identity(other)), expected, "{other:?}");
            assert_eq!(identity(other).bond(&identity(alfa)), expected, "{other:?} the other way round");
        }
    }

    #[test]
    fn registration_numbers_contradict_and_confirm() {
        let alfa = ["Alfa d.o.o.", "", "SI12345678", "1234567000", "a@alfa.example", ""];
        for (other, expected) in [
            (["Alfa d.o.o.", "", "SI12345678", "7654321000", "", ""], Bond::Contradiction),
            (["Beta d.o.o.", "", "", "1234567", "a@alfa.example", ""], Bond::Email),
            (["Beta d.o.o.", "", "", "7654321", "a@alfa.example", ""], Bond::Contradiction),
        ] {
            assert_eq!(identity(alfa).bond(&identity(other)), expected, "{other:?}");
        }
    }

    #[test]
    fn a_number_and_its_prefixed_form_are_one() {
        for (a, b, country) in [
            ("HR12345678901", "12345678901", "Hrvaška"),
            ("EL123456789", "GR123456789", "Grčija"),
            ("ATU12345678", "U12345678", "Avstrija"),
        ] {
            let one = identity(["", "", a, "", "", country]);
            let other = identity(["", "", b, "", "", country]);
            assert_eq!(one.bond(&other), Bond::TaxNumber, "{a} {b}");
            assert!(one.tax_forms().iter().any(|form| other.tax_forms().contains(form)), "{a} {b}");
        }
    }
}
