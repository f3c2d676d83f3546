//! The fields of a partner that both sides keep, under their CRM names.

use std::fmt;

use super::spelling::is_blank;

/// A mapped field. The order is the order people read them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Company name; present exactly for businesses.
    Company,
    /// Name of the person, or of a business's contact person.
    FullName,
    /// E-mail.
    Email,
    /// Phone.
    Phone,
    /// Billing address: street and number.
    Street,
    /// Billing address: post code.
    PostalCode,
    /// Billing address: town.
    City,
    /// Billing address: province.
    Province,
    /// Billing address: country, as written.
    Country,
    /// Tax number.
    TaxNumber,
    /// Registration number.
    RegistrationNumber,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Company,
        Self::FullName,
        Self::Email,
        Self::Phone,
        Self::Street,
        Self::PostalCode,
        Self::City,
        Self::Province,
        Self::Country,
        Self::TaxNumber,
        Self::RegistrationNumber,
    ];

    /// The CRM column, also the name in settings, conflicts and history.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Company => "company",
            Self::FullName => "full_name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Street => "street",
            Self::PostalCode => "postal_code",
            Self::City => "city",
            Self::Province => "province",
            Self::Country => "country",
            Self::TaxNumber => "tax_number",
            Self::RegistrationNumber => "registration_number",
        }
    }

    /// The field with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Values of the mapped fields: verbatim, trimmed, never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields([Option<String>; Field::ALL.len()]);

impl Fields {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&str> {
        self.0.get(field as usize).and_then(Option::as_deref)
    }

    /// Sets a field; text in which there is nothing to see clears it.
    pub fn set(&mut self, field: Field, value: Option<&str>) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = value.map(str::trim).filter(|text| !is_blank(text)).map(str::to_owned);
        }
    }

    /// Tells whether two records say the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for (field, value) in self.present() {
            text.push_str(field.name());
            text.push('=');
            text.push_str(value);
            text.push('\n');
        }
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }

    /// The fields that have a value.
    pub fn present(&self) -> impl Iterator<Item = (Field, &str)> {
        Field::ALL.into_iter().filter_map(|field| self.get(field).map(|value| (field, value)))
    }
}

impl FromIterator<(Field, String)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Field, String)>>(items: I) -> Self {
        let mut fields = Self::default();
        for (field, value) in items {
            fields.set(field, Some(&value));
        }
        fields
    }
}
