//! A partner as Metakocka writes it (`get_partner.md`). Nothing outside this folder knows these names.
//!
//! All values are strings, but numbers and booleans are read too; empty fields are missing; a list of one may come
//! as a bare object; unknown members are ignored here and live on in the ERP, because updates name only what changes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value};

/// A partner. Fields have the vendor's names, misspellings included.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PartnerWire<'a> {
    /// Internal id.
    #[serde(borrow, default)]
    pub mk_id: Text<'a>,
    /// Visible number; may be missing.
    #[serde(borrow, default)]
    pub count_code: Text<'a>,
    /// Name.
    #[serde(borrow, default)]
    pub customer: Text<'a>,
    /// Company or sole trader.
    #[serde(borrow, default)]
    pub business_entity: Text<'a>,
    /// Registered for VAT.
    #[serde(borrow, default)]
    pub taxpayer: Text<'a>,
    /// Tax number.
    #[serde(borrow, default)]
    pub tax_id_number: Text<'a>,
    /// Registration number.
    #[serde(borrow, default)]
    pub registration_number: Text<'a>,
    /// Contact persons.
    #[serde(borrow, default)]
    pub partner_contact_list: OneOrMany<ContactRow<'a>>,
    /// Addresses; the billing address is the one of type `Račun`.
    #[serde(borrow, default)]
    pub partner_delivery_address_list: OneOrMany<AddressRow<'a>>,
}

/// A contact person of a partner.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ContactRow<'a> {
    /// Internal id of the row.
    #[serde(borrow, default)]
    pub mk_id: Text<'a>,
    /// Name.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// E-mail.
    #[serde(borrow, default)]
    pub email: Text<'a>,
    /// Land line.
    #[serde(borrow, default)]
    pub phone: Text<'a>,
    /// Mobile.
    #[serde(borrow, default)]
    pub gsm: Text<'a>,
}

/// An address of a partner.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AddressRow<'a> {
    /// Internal id of the row.
    #[serde(borrow, default)]
    pub mk_id: Text<'a>,
    /// `Račun`, `Dobava` or `Poslovna enota`.
    #[serde(borrow, default)]
    pub address_type: Text<'a>,
    /// Street and number.
    #[serde(borrow, default)]
    pub street: Text<'a>,
    /// Post code.
    #[serde(borrow, default)]
    pub post_number: Text<'a>,
    /// Town.
    #[serde(borrow, default)]
    pub city: Text<'a>,
    /// Province.
    #[serde(borrow, default)]
    pub province: Text<'a>,
    /// The same, in the spelling some answers use.
    #[serde(borrow, default)]
    pub provice: Text<'a>,
    /// Country, by a localized name.
    #[serde(borrow, default)]
    pub country: Text<'a>,
}

/// A value that should be text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text, trimmed; `None` when blank.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        let text = self.0.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Whether it says `true`; `None` when it says nothing.
    #[must_use]
    pub fn flag(&self) -> Option<bool> {
        self.value().map(|text| text.eq_ignore_ascii_case("true"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(if flag { "true" } else { "false" })))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A list that may come as one bare object, or not at all.
#[derive(Debug, Clone)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or one object")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(OneOrMany(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(value::MapAccessDeserializer::new(map)).map(|item| OneOrMany(vec![item]))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(OneOrMany::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::default())
            }
        }
        deserializer.deserialize_any(ListVisitor(std::marker::PhantomData))
    }
}
