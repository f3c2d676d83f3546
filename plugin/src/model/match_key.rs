//! Match keys: what two spellings of one tax number, e-mail address, registration number or name share. Made here and
//! nowhere else; whoever keeps a key agrees with the table `tests/cases/match_keys.tsv`.
//!
//! A key is for comparing. It is never stored in place of a value, and a value without a key is kept as it is.

use super::email::{addresses, key as address_key};
use super::spelling::{bare, folded};
use super::vat;
use super::{Field, Fields, country};

/// A tax number as a key: `12345678` for a Slovenian one, else with its country's prefix (`ATU12345678`). Without prefix
/// and without country it counts as written at home.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaxKey(String);

/// An e-mail address as a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailKey(String);

/// A registration number as a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationKey(String);

macro_rules! text_of {
    ($($key:ty),*) => {$(
        impl $key {
            /// The key as text, for storing and comparing.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<$key> for String {
            fn from(key: $key) -> Self {
                key.0
            }
        }
    )*};
}
text_of!(TaxKey, EmailKey, RegistrationKey);

impl TaxKey {
    /// The number without its country's prefix: what both spellings of it contain. Different countries may give the
    /// same one, so it finds candidates and decides nothing.
    #[must_use]
    pub fn national(&self) -> &str {
        vat::split(&self.0).map_or(self.0.as_str(), |(_, rest)| rest)
    }
}

/// The key of a tax number, written with or without the prefix of its country; `None` for what stands in for a number
/// (`0`, `N/A`, `ni podatka`, `NI ZAVEZANEC`, one digit over and over and no prefix, shorter than the country's shortest).
/// A prefix says that a number is meant: behind it only zeros stand in for one.
#[must_use]
pub fn tax_key(value: &str, country: Option<&str>) -> Option<TaxKey> {
    let text = bare(value);
    let text = vat::without_label(&text);
    let country = country.and_then(country::code).unwrap_or(country::HOME);
    let (prefix, national) = vat::read(text, country);
    if is_stand_in(text) || is_nothing(&national) || national.chars().count() < vat::shortest(prefix) {
        return None;
    }
    Some(TaxKey(match prefix {
        None | Some(country::HOME) => national,
        Some(prefix) => format!("{prefix}{national}"),
    }))
}

/// Whether it is the number of a taxable person: a country's prefix before a number of that country's form (European
/// Commission, VIES: structure of VAT numbers). Check digits are left to the tax office: a number they reject may still
/// stand on every invoice, and the answer only fills the ERP's `taxpayer` flag.
#[must_use]
pub fn is_vat_number(value: &str) -> bool {
    let text = bare(value);
    vat::split(vat::without_label(&text)).is_some_and(|(_, national)| !is_nothing(national))
}

/// The key of a registration number: without marks; a Slovenian one of ten digits whose last three say "head office"
/// (`000`) is the one of seven (Business Register of Slovenia).
#[must_use]
pub fn registration_key(value: &str) -> Option<RegistrationKey> {
    let text = bare(value);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let text = match text.strip_suffix("000") {
        Some(short) if digits && short.len() == 7 => short,
        _ => &text,
    };
    (!is_stand_in(text) && text.len() >= 5).then(|| RegistrationKey(text.to_owned()))
}

/// The keys of the addresses in an e-mail field, which may hold several, names around them, or none.
#[must_use]
pub fn email_keys(value: &str) -> Vec<EmailKey> {
    let mut keys: Vec<EmailKey> = Vec::new();
    for key in addresses(value).iter().filter_map(|address| address_key(address)).map(EmailKey) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Name, street and post code in one. No identity: it only recognises our own create whose answer was lost.
#[must_use]
pub fn name_address_key(fields: &Fields) -> String {
    let fold =
        |value: Option<&str>| value.map(|value| folded(&value.replace("&amp;", "&"))).unwrap_or_default();
    format!(
        "{}|{}|{}",
        fold(fields.get(Field::Company).or(fields.get(Field::FullName))),
        fold(fields.get(Field::Street)),
        fold(fields.get(Field::PostalCode))
    )
}

/// What to ask the ERP for so that a partner with this tax number is found. Its look-up is loose (`get_partner.md` shows
/// one key per call and no rule); assumed is that a part of the stored text finds it, nothing more. So the bare number
/// finds every spelling without marks inside, and the value as it is typed here finds our own send of it, marks
/// included. A form that contains another one is not asked for: one call, where the value has no marks.
#[must_use]
pub fn lookup_forms(value: &str, country: Option<&str>) -> Vec<String> {
    let sent = value.trim().to_owned();
    match tax_key(value, country) {
        Some(key) => least(vec![key.national().to_owned(), sent]),
        None => Vec::new(),
    }
}

/// What to ask the ERP for so that a partner with an address of this field is found; as [`lookup_forms`]. Capitals
/// count as marks only outside ASCII.
#[must_use]
pub fn email_lookup_forms(value: &str) -> Vec<String> {
    let mut forms: Vec<String> = email_keys(value).into_iter().map(String::from).collect();
    if !forms.is_empty() {
        let sent = value.trim();
        let lower = sent.to_ascii_lowercase();
        let covered = forms.iter().any(|form| lower.contains(form.as_str()));
        if !covered {
            forms.push(sent.to_owned());
        }
    }
    forms
}

/// Leaves out what a shorter form finds too.
fn least(forms: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for form in &forms {
        let shorter = forms.iter().any(|other| other != form && form.contains(other.as_str()));
        if !shorter && !kept.contains(form) {
            kept.push(form.clone());
        }
    }
    kept
}

/// Whether there is nothing behind a prefix but zeros.
fn is_nothing(national: &str) -> bool {
    national.bytes().all(|byte| byte == b'0')
}

/// Whether it only stands in for a number: no digit, one digit over and over, or a word. No number of the table in
/// `vat` has more than five letters in a row.
fn is_stand_in(text: &str) -> bool {
    let mut digits = text.chars().filter(char::is_ascii_digit);
    let Some(first) = digits.next() else { return true };
    let word = text.split(|c: char| !c.is_alphabetic()).any(|run| run.chars().count() > 5);
    word || (text.chars().all(|c| c.is_ascii_digit()) && digits.all(|digit| digit == first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `\u{…}` as in Rust.
    fn unescape(text: &str) -> String {
        let mut parts = text.split("\\u{");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (code, rest) = part.split_once('}').unwrap();
            out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
            out.push_str(rest);
        }
        out
    }

    #[test]
    fn the_shared_table() {
        let table = include_str!("../../../tests/cases/match_keys.tsv");
        let mut rows = 0;
        let mut wrong = Vec::new();
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let [kind, value, country, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("not four columns: {line}");
            };
            let value = unescape(value);
            let country = Some(country).filter(|country| *country != "-");
            let keys: Vec<String> = match kind {
                "tax" => tax_key(&value, country).into_iter().map(String::from).collect(),
                "email" => email_keys(&value).into_iter().map(String::from).collect(),
                "registration" => registration_key(&value).into_iter().map(String::from).collect(),
                other => panic!("{other}"),
            };
            let got = if keys.is_empty() { "-".to_owned() } else { keys.join(" ") };
            if got != expected {
                wrong.push(format!("{line}\n   got {got}"));
            }
            rows += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(rows >= 60, "{rows} rows");
    }

    #[test]
    fn vat_numbers() {
        for value in [
            "SI12345678",
            "si 1234-5678",
            "ATU12345678",
            "EL123456789",
            "GR 123456789",
            "XI123456789",
            "ESB12345674",
            "NL123456789B01",
            "HR12345678901",
            "ＳＩ１２３４５６７８",
            "CHE-123.456.789 MWST",
        ] {
            assert!(is_vat_number(value), "{value}");
        }
        for value in [
            "12345678",
            "NI PODATKA",
            "NI ZAVEZANEC",
            "SI1234567",
            "SI123456789",
            "AT12345678",
            "SI00000000",
            "SI",
            "",
            "DE12345678",
            "ne vem 12345678",
            "HR1234567890",
            "ZZ12345678",
        ] {
            assert!(!is_vat_number(value), "{value}");
        }
    }

    #[test]
    fn what_a_lookup_asks_for() {
        for (value, country, expected) in [
            ("12345678", None, vec!["12345678"]),
            ("SI12345678", None, vec!["12345678"]),
            ("SI 1234-5678", None, vec!["12345678", "SI 1234-5678"]),
            ("1234\u{2011}5678", None, vec!["12345678", "1234\u{2011}5678"]),
            ("ES12345678Z", Some("Španija"), vec!["12345678Z"]),
            ("12345678", Some("Avstrija"), vec!["12345678"]),
            ("0", None, vec![]),
        ] {
            assert_eq!(lookup_forms(value, country), expected, "{value}");
        }
        for (value, expected) in [
            ("Ana@Alfa.example", vec!["ana@alfa.example"]),
            ("ana@alfa.example; bojan@alfa.example", vec!["ana@alfa.example", "bojan@alfa.example"]),
            ("ana@češnja.example", vec!["ana@xn--enja-zya42d.example", "ana@češnja.example"]),
            ("an\u{200b}a@alfa.example", vec!["ana@alfa.example", "an\u{200b}a@alfa.example"]),
            ("n/a", vec![]),
        ] {
            assert_eq!(email_lookup_forms(value).len(), expected.len(), "{value}");
            assert_eq!(
                email_lookup_forms(value).last().map(String::as_str),
                expected.last().copied(),
                "{value}"
            );
        }
    }

    #[test]
    fn name_and_address() {
        let key = |name: &str, street: &str| {
            name_address_key(
                &[(Field::Company, name.to_owned()), (Field::Street, street.to_owned())]
                    .into_iter()
                    .collect(),
            )
        };
        assert_eq!(key("Kos &amp; sin d.o.o.", "Vzorčna 1"), key("KOS & SIN d.o.o.", "vzorčna  1"));
        assert_eq!(key("Alfa\u{200b}", "Vzorčna ulica 1a"), key("Alfa", "Vzorčna ulica 1a"));
        assert_ne!(key("Alfa", "Vzorčna 1"), key("Alfa", "Vzorčna 11"));
        assert_ne!(key("Alfa", ""), key("Beta", ""));
    }

    proptest! {
        #[test]
        fn marks_never_matter(number in "[1-9][0-9]{7}", marks in proptest::collection::vec("[ .,'/\u{a0}\u{202f}\u{2011}\u{200b}-]{0,2}", 8)) {
            prop_assume!(!is_stand_in(&number));
            let spelt: String = number.chars().zip(&marks).map(|(digit, mark)| format!("{digit}{mark}")).collect();
            for value in [spelt.clone(), format!("SI {spelt}"), format!("si{spelt}")] {
                prop_assert_eq!(tax_key(&value, Some("Slovenija")).map(String::from), Some(number.clone()));
                prop_assert_eq!(tax_key(&value, None).map(String::from), Some(number.clone()));
            }
        }

        #[test]
        fn a_key_is_its_own_key(text in "\\PC{0,20}", country in "(SI|AT|GR|ES|GB|HR|JP)?") {
            // One digit over and over names somebody only behind a prefix, which the key of a number at home has not.
            if let Some(key) = tax_key(&text, Some(&country)).filter(|key| !is_stand_in(key.as_str())) {
                let again = tax_key(key.as_str(), Some(&country));
                prop_assert_eq!(again.as_ref().map(TaxKey::as_str), Some(key.as_str()));
            }
            for key in email_keys(&text) {
                prop_assert_eq!(email_keys(key.as_str()), vec![key.clone()]);
            }
        }

        #[test]
        fn prefixed_and_bare_are_one(digits in "[1-8][0-9]{8}9[0-9]{2}", pick in 0_usize..8) {
            let (country, prefix, length) =
                [("Nemčija", "DE", 9), ("Hrvaška", "HR", 11), ("Italija", "IT", 11), ("Grčija", "EL", 9), ("Madžarska", "HU", 8),
                 ("XI", "XI", 9), ("Velika Britanija", "GB", 9), ("Švedska", "SE", 12)][pick];
            let number = &digits[..length];
            prop_assume!(!is_stand_in(number));
            prop_assert_eq!(tax_key(number, Some(country)), tax_key(&format!("{prefix} {number}"), None));
        }
    }
}
