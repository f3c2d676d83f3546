//! Forms of tax numbers by country (European Commission, VIES: structure of VAT numbers; for countries outside the
//! Union, what their tax offices print on invoices).

/// Prefix, ISO code of the country, and the forms of the number after the prefix: `9` a digit, `A` a letter, `*`
/// either. Numbers of both lengths between two forms are listed one by one.
const FORMS: &[(&str, &str, &[&str])] = &[
    ("SI", "SI", &["99999999"]),
    ("HR", "HR", &["99999999999"]),
    ("AT", "AT", &["U99999999"]),
    ("IT", "IT", &["99999999999"]),
    ("HU", "HU", &["99999999", "99999999999"]),
    ("DE", "DE", &["999999999"]),
    ("BE", "BE", &["9999999999"]),
    ("BG", "BG", &["999999999", "9999999999"]),
    ("CY", "CY", &["99999999A"]),
    ("CZ", "CZ", &["99999999", "999999999", "9999999999"]),
    ("DK", "DK", &["99999999"]),
    ("EE", "EE", &["999999999"]),
    ("EL", "GR", &["999999999"]),
    ("ES", "ES", &["A9999999*", "99999999A"]),
    ("FI", "FI", &["99999999"]),
    ("FR", "FR", &["**999999999"]),
    ("IE", "IE", &["9*99999A", "9999999AA"]),
    ("LT", "LT", &["999999999", "999999999999"]),
    ("LU", "LU", &["99999999"]),
    ("LV", "LV", &["99999999999"]),
    ("MT", "MT", &["99999999"]),
    ("NL", "NL", &["999999999B99"]),
    ("PL", "PL", &["9999999999"]),
    ("PT", "PT", &["999999999"]),
    ("RO", "RO", &["99", "999", "9999", "99999", "999999", "9999999", "99999999", "999999999", "9999999999"]),
    ("SE", "SE", &["999999999999"]),
    ("SK", "SK", &["9999999999"]),
    ("GB", "GB", &["999999999", "999999999999", "GD999", "HA999"]),
    ("CHE", "CH", &["999999999"]),
    ("NO", "NO", &["999999999"]),
    ("RS", "RS", &["999999999"]),
    ("BA", "BA", &["999999999999", "9999999999999"]),
    ("ME", "ME", &["99999999"]),
    ("MK", "MK", &["9999999999999"]),
    ("IS", "IS", &["99999", "999999"]),
    ("LI", "LI", &["99999"]),
];

/// Other prefixes of the same number, longest first: Greece by its ISO code, Northern Ireland for a British number, Switzerland
/// without its E, Macedonia by the tax office's two letters (which are the ISO ones).
const ALIASES: [(&str, &str); 4] = [("GR", "EL"), ("XI", "GB"), ("CHE", "CHE"), ("CH", "CHE")];

/// Countries that number their taxable persons in another one's register.
const GUESTS: [(&str, &str); 3] = [("XI", "GB"), ("IM", "GB"), ("MC", "FR")];

/// What some write before a number.
const LABELS: [&str; 16] = [
    "IDZADDV",
    "IDDDV",
    "DDV",
    "DAVCNASTEVILKA",
    "DAVČNAŠTEVILKA",
    "DAVČNAŠT",
    "DAVCNAST",
    "DŠ",
    "OIB",
    "PIB",
    "VATNO",
    "VATID",
    "VAT",
    "USTIDNR",
    "USTID",
    "UID",
];

/// What some countries put behind it.
const ENDINGS: [&str; 7] = ["MWST", "TVA", "IVA", "MVA", "DDV", "NIZAVEZANEC", "ZAVEZANEC"];

type Form = (&'static str, &'static str, &'static [&'static str]);

fn form(prefix: &str) -> Option<&'static Form> {
    FORMS.iter().find(|(known, ..)| *known == prefix)
}

/// The number without a label in front and without the word for the tax behind it, both of letters only.
pub(super) fn without_label(text: &str) -> &str {
    let text = ENDINGS.into_iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(text);
    LABELS.into_iter().find_map(|label| text.strip_prefix(label)).unwrap_or(text)
}

/// Prefix (in its one spelling) and national part of a number with a prefix, when the rest has the form of that country.
pub(super) fn split(text: &str) -> Option<(&'static str, &str)> {
    prefixes().find_map(|(written, prefix)| {
        let rest = text.strip_prefix(written)?;
        form(prefix)?.2.iter().any(|pattern| fits(rest, pattern)).then_some((prefix, rest))
    })
}

fn prefixes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALIASES.into_iter().chain(FORMS.iter().map(|(prefix, ..)| (*prefix, *prefix)))
}

/// The prefix a country's numbers carry.
fn prefix_of(country: &str) -> Option<&'static str> {
    let register = GUESTS.into_iter().find(|(guest, _)| *guest == country).map_or(country, |(_, host)| host);
    FORMS.iter().find(|(_, code, _)| *code == register).map(|(prefix, ..)| *prefix)
}

/// Reads a bare number of a record of this country (an ISO code). A prefix whose form fits wins over the country;
/// then a number of the country's form; then the country's own prefix before anything; else it is taken as it is.
pub(super) fn read(text: &str, country: &'static str) -> (Option<&'static str>, String) {
    let own = prefix_of(country);
    // A national number may begin like another country's prefix, so the form of one's own country comes first.
    if let Some((_, _, patterns)) = own.and_then(form)
        && patterns.iter().any(|pattern| fits(text, pattern))
    {
        return (own, text.to_owned());
    }
    if let Some((prefix, rest)) = split(text) {
        return (Some(prefix), rest.to_owned());
    }
    // Austrians drop the U.
    if own == Some("AT") {
        let rest = text.strip_prefix("AT").unwrap_or(text);
        if fits(rest, "99999999") {
            return (own, format!("U{rest}"));
        }
    }
    if let Some(own) = own {
        let rest = prefixes().find_map(|(written, prefix)| {
            text.strip_prefix(written).filter(|rest| prefix == own && !rest.is_empty())
        });
        if let Some(rest) = rest {
            return (Some(own), rest.to_owned());
        }
        return if own == super::country::HOME && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            (None, text.to_owned())
        } else {
            (Some(own), text.to_owned())
        };
    }
    (None, text.strip_prefix(country).unwrap_or(text).to_owned())
}

/// The shortest number of a prefix; of an unknown one, the shortest anybody gives.
pub(super) fn shortest(prefix: Option<&str>) -> usize {
    prefix
        .and_then(form)
        .and_then(|(_, _, patterns)| patterns.iter().map(|pattern| pattern.len()).min())
        .unwrap_or(5)
}

fn fits(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, sign)| match sign {
            b'9' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'*' => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            exact => byte == exact,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_split_only_before_their_form() {
        for (text, expected) in [
            ("SI12345678", Some(("SI", "12345678"))),
            ("GR123456789", Some(("EL", "123456789"))),
            ("XI123456789", Some(("GB", "123456789"))),
            ("CH123456789", Some(("CHE", "123456789"))),
            ("ATU12345678", Some(("AT", "U12345678"))),
            ("NL123456789B01", Some(("NL", "123456789B01"))),
            ("SI1234567", None),
            ("NIPODATKA", None),
            ("12345678", None),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn a_country_says_what_no_prefix_says() {
        for (text, country, expected) in [
            ("12345678Z", "ES", (Some("ES"), "12345678Z")),
            ("12345678", "AT", (Some("AT"), "U12345678")),
            ("AT12345678", "AT", (Some("AT"), "U12345678")),
            ("SI12345678", "AT", (Some("SI"), "12345678")),
            ("SE123456789", "FR", (Some("FR"), "SE123456789")),
            ("12345678", "HU", (Some("HU"), "12345678")),
            ("123456789", "IM", (Some("GB"), "123456789")),
            ("12345678Z", "SI", (None, "12345678Z")),
            ("1234567890123", "JP", (None, "1234567890123")),
        ] {
            let (prefix, rest) = read(text, country);
            assert_eq!((prefix, rest.as_str()), expected, "{text} {country}");
        }
    }
}
