//! Canonical forms: for comparing only, never stored in a record.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::Field;

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
    match field {
        Field::Phone => Cow::Owned(phone(&text)),
        Field::Email => Cow::Owned(text.to_ascii_lowercase()),
        Field::TaxNumber => {
            Cow::Owned(text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_uppercase())
        }
        Field::Country => match country_code(&text) {
            Some(code) => Cow::Borrowed(code),
            None => text,
        },
        _ => text,
    }
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

/// E.164 where the number allows it; a leading single zero is a Slovenian number.
fn phone(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() || text.chars().any(char::is_alphabetic) {
        return text.to_owned();
    }
    if text.trim_start().starts_with('+') {
        // "+386 (0)41 …" is a common way to write both forms at once.
        let national = digits.strip_prefix("3860").map(|rest| format!("386{rest}"));
        format!("+{}", national.unwrap_or(digits))
    } else if let Some(rest) = digits.strip_prefix("00") {
        format!("+{rest}")
    } else if let Some(rest) = digits.strip_prefix('0') {
        format!("+386{rest}")
    } else {
        digits
    }
}

/// Whether a number belongs to a Slovenian mobile network, which the ERP keeps in a field of its own (`gsm`).
#[must_use]
pub fn is_mobile(number: &str) -> bool {
    const MOBILE: [&str; 12] = ["30", "31", "40", "41", "51", "64", "65", "68", "69", "70", "71", "20"];
    phone(number)
        .strip_prefix("+386")
        .is_some_and(|rest| MOBILE.iter().any(|prefix| rest.starts_with(prefix)))
}

/// A tax number as a key: letters and digits in upper case, without the Slovenian country prefix, which people
/// write or leave out.
#[must_use]
pub fn tax_key(value: &str) -> Option<String> {
    let text: String =
        value.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_uppercase();
    let text = text.strip_prefix("SI").map(str::to_owned).unwrap_or(text);
    (!text.is_empty()).then_some(text)
}

/// An e-mail address as a key; only ASCII letters lose their case, as in storage's index.
#[must_use]
pub fn email_key(value: &str) -> Option<String> {
    let text = value.trim().to_ascii_lowercase();
    (text.contains('@') && text.len() > 2).then_some(text)
}

/// ISO code of the countries our users trade with, by the names Metakocka shows (Slovenian or English).
fn country_code(name: &str) -> Option<&'static str> {
    const COUNTRIES: [(&str, &[&str]); 34] = [
        ("SI", &["slovenija", "slovenia"]),
        ("HR", &["hrvaška", "croatia", "hrvatska"]),
        ("AT", &["avstrija", "austria", "österreich"]),
        ("IT", &["italija", "italy", "italia"]),
        ("HU", &["madžarska", "hungary"]),
        ("DE", &["nemčija", "germany", "deutschland"]),
        ("FR", &["francija", "france"]),
        ("ES", &["španija", "spain"]),
        ("PT", &["portugalska", "portugal"]),
        ("NL", &["nizozemska", "netherlands"]),
        ("BE", &["belgija", "belgium"]),
        ("LU", &["luksemburg", "luxembourg"]),
        ("DK", &["danska", "denmark"]),
        ("SE", &["švedska", "sweden"]),
        ("FI", &["finska", "finland"]),
        ("IE", &["irska", "ireland"]),
        ("PL", &["poljska", "poland"]),
        ("CZ", &["češka", "czech republic", "czechia"]),
        ("SK", &["slovaška", "slovakia"]),
        ("RO", &["romunija", "romania"]),
        ("BG", &["bolgarija", "bulgaria"]),
        ("GR", &["grčija", "greece"]),
        ("CY", &["ciper", "cyprus"]),
        ("MT", &["malta"]),
        ("EE", &["estonija", "estonia"]),
        ("LV", &["latvija", "latvia"]),
        ("LT", &["litva", "lithuania"]),
        ("GB", &["velika britanija", "united kingdom", "great britain"]),
        ("CH", &["švica", "switzerland"]),
        ("NO", &["norveška", "norway"]),
        ("RS", &["srbija", "serbia"]),
        ("BA", &["bosna in hercegovina", "bosnia and herzegovina"]),
        ("ME", &["črna gora", "montenegro"]),
        ("MK", &["severna makedonija", "north macedonia"]),
    ];
    let lower = name.to_lowercase();
    COUNTRIES
        .into_iter()
        .find(|(code, names)| code.eq_ignore_ascii_case(name) || names.contains(&lower.as_str()))
        .map(|(code, _)| code)
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
        assert!(is_mobile("041 123 456") && is_mobile("+38631123456"));
        assert!(!is_mobile("01 123 45 67") && !is_mobile("+43 664 123"));
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
