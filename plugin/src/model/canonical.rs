//! Canonical forms: for comparing only, never stored in a record.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{Field, country, match_key, phone};

/// Whether two values of a field mean the same.
#[must_use]
pub fn same(field: Field, a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b || canonical(field, a) == canonical(field, b),
        _ => false,
    }
}

/// The form two spellings of one value share.
#[must_use]
pub fn canonical(field: Field, value: &str) -> Cow<'_, str> {
    let text = composed(value.trim());
    // Some clients of the ERP send its texts as HTML.
    let text = if text.contains("&amp;") { Cow::Owned(unescaped(&text)) } else { text };
    match field {
        Field::Phone => Cow::Owned(phone::canonical(&text)),
        Field::Email => Cow::Owned(text.to_ascii_lowercase()),
        Field::TaxNumber => {
            Cow::Owned(text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_uppercase())
        }
        Field::Country => match country::code(&text) {
            Some(code) => Cow::Borrowed(code),
            None => text,
        },
        _ => text,
    }
}

/// `&amp;` is `&`, however often it was escaped.
fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    while text.contains("&amp;") {
        text = text.replace("&amp;", "&");
    }
    text
}

/// NFC, and runs of blanks as one blank.
fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains("  ") {
        return Cow::Borrowed(text);
    }
    let text: Cow<'_, str> =
        if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) };
    if text.contains("  ") { Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")) } else { text }
}

/// A tax number's key where no country is known; see [`match_key::tax_key`].
#[must_use]
pub fn tax_key(value: &str) -> Option<String> {
    match_key::tax_key(value, None).map(String::from)
}

/// The first key of an e-mail field; see [`match_key::email_keys`].
#[must_use]
pub fn email_key(value: &str) -> Option<String> {
    match_key::email_keys(value).into_iter().next().map(String::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_value() {
        let rows = [
            (Field::Phone, "041 123 456", "+386 41 123456", true),
            (Field::Phone, "+386 (0)41 123 456", "041/123-456", true),
            (Field::Phone, "0038641123456", "041123456", true),
            (Field::Phone, "01 123 45 67", "041 123 456", false),
            (Field::Phone, "klic po 12h", "KLIC PO 12H", false),
            (Field::Email, "Ana@Alfa.example", "ana@alfa.example", true),
            (Field::TaxNumber, "SI 12345678", "si12345678", true),
            (Field::TaxNumber, "SI12345678", "12345678", false),
            (Field::Country, "Slovenija", "SI", true),
            (Field::Country, "Avstrija", "Austria", true),
            (Field::Country, "Atlantida", "Slovenija", false),
            (Field::City, "S\u{030c}entjur", "\u{0160}entjur", true),
            (Field::Street, "Vzorčna  1", "Vzorčna 1", true),
            (Field::Company, "Alfa d.o.o.", "ALFA d.o.o.", false),
            (Field::Company, "Kos &amp; sin", "Kos & sin", true),
            (Field::Company, "Kos &amp;amp; sin", "Kos & sin", true),
            (Field::Street, "A&amp;B 1", "A&B 1", true),
            (Field::Company, "Kos &lt; sin", "Kos & sin", false),
            (Field::Phone, "01 123 45 67 / 12", "01 123 45 6712", false),
            (Field::Country, "SVN", "Republic of Slovenia", true),
        ];
        for (field, a, b, expected) in rows {
            assert_eq!(same(field, Some(a), Some(b)), expected, "{field}: {a:?} and {b:?}");
        }
    }

    #[test]
    fn keys() {
        assert_eq!(tax_key("SI 1234-5678").as_deref(), Some("12345678"));
        assert_eq!(tax_key("HR12345678901").as_deref(), Some("HR12345678901"));
        assert_eq!(tax_key(" - "), None);
        assert_eq!(email_key(" Ana@Alfa.si ").as_deref(), Some("ana@alfa.si"));
        assert_eq!(email_key("ana"), None);
    }

    proptest! {
        #[test]
        fn canonical_of_canonical_is_itself(text in "\\PC{0,24}", index in 0..Field::ALL.len()) {
            let field = Field::ALL[index];
            let once = canonical(field, &text).into_owned();
            let twice = canonical(field, &once).into_owned();
            prop_assert_eq!(&twice, &once);
        }
    }
}
