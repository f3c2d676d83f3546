//! What tells two partners apart, for the count of duplicates: tax number, e-mail, name with address.
//!
//! The sandbox shares no code with whom it judges; [`tax_key`] and [`email_keys`] are public so that one table of
//! spellings can be run against every keeper of keys.

use crate::country;
use unicode_normalization::UnicodeNormalization;

/// A country's two letters in a tax number, and the shortest number that is one.
struct Numbering {
    /// As the key writes them.
    prefix: &'static str,
    /// As they are written too.
    also: &'static [&'static str],
    /// Letters and digits without the prefix.
    shortest: usize,
    /// How many letters a number may begin with.
    letters: usize,
}

const fn digits(prefix: &'static str, shortest: usize) -> Numbering {
    Numbering { prefix, also: &[], shortest, letters: 0 }
}

const fn letters(prefix: &'static str, shortest: usize, letters: usize) -> Numbering {
    Numbering { prefix, also: &[], shortest, letters }
}

/// Shortest lengths by the tables of the EU's VIES and of the countries' tax offices; company and VAT number
/// count alike, because people type either.
const NUMBERINGS: [Numbering; 44] = [
    digits("SI", 8),
    digits("HR", 11),
    letters("AT", 8, 1),
    digits("DE", 9),
    digits("IT", 11),
    digits("HU", 8),
    letters("FR", 9, 2),
    letters("ES", 9, 1),
    digits("PT", 9),
    digits("NL", 9),
    digits("BE", 9),
    digits("LU", 8),
    digits("IE", 8),
    digits("DK", 8),
    digits("SE", 10),
    digits("FI", 8),
    digits("NO", 9),
    digits("IS", 5),
    letters("CH", 9, 1),
    digits("LI", 5),
    digits("CZ", 8),
    digits("SK", 8),
    digits("PL", 10),
    digits("RO", 2),
    digits("BG", 9),
    Numbering { prefix: "GR", also: &["EL"], shortest: 9, letters: 0 },
    letters("CY", 9, 1),
    digits("MT", 8),
    digits("EE", 8),
    digits("LV", 11),
    digits("LT", 9),
    digits("BA", 12),
    digits("RS", 8),
    digits("ME", 8),
    digits("MK", 13),
    letters("AL", 10, 1),
    digits("XK", 8),
    digits("TR", 10),
    digits("UA", 8),
    Numbering { prefix: "GB", also: &["XI"], shortest: 5, letters: 2 },
    // Great Britain's numbers are the ones of Northern Ireland too, where they trade with the EU under XI.
    Numbering { prefix: "XI", also: &["GB"], shortest: 5, letters: 2 },
    digits("US", 9),
    digits("CA", 9),
    digits("AU", 9),
];

/// A country nobody knows has no shortest number; this many letters and digits say something all the same.
const SHORTEST_ANYWHERE: usize = 5;

impl Numbering {
    fn of(code: &str) -> Option<&'static Self> {
        NUMBERINGS.iter().find(|numbering| numbering.prefix == code)
    }

    /// The number without this country's prefix.
    fn stripped<'a>(&self, number: &'a str) -> Option<&'a str> {
        let prefixes = std::iter::once(&self.prefix).chain(self.also);
        let bare = prefixes.copied().find_map(|prefix| number.strip_prefix(prefix))?;
        let leading = bare.chars().take_while(|letter| letter.is_alphabetic()).count();
        (leading <= self.letters && bare.chars().any(char::is_numeric)).then_some(bare)
    }

    /// Whether a number without a prefix can be of this country.
    fn fits(&self, bare: &str) -> bool {
        let leading = bare.chars().take_while(|letter| letter.is_alphabetic()).count();
        leading <= self.letters && bare.chars().count() >= self.shortest
    }

    fn key(&self, bare: &str) -> Option<String> {
        // Austrian VAT numbers all begin with a U, which people leave out.
        let bare = match self.prefix {
            "AT" => bare.strip_prefix('U').unwrap_or(bare),
            // The Swiss E stands for the register of companies.
            "CH" => bare.strip_prefix('E').unwrap_or(bare),
            _ => bare,
        };
        let prefix = if self.prefix == "XI" { "GB" } else { self.prefix };
        (bare.chars().count() >= self.shortest && bare.chars().any(|sign| sign != '0'))
            .then(|| format!("{prefix}{bare}"))
    }
}

/// The key of a tax number, `None` for one that names nobody.
///
/// Unicode NFKC, letters and digits only, upper case, always with the country's two letters: the ones it is written
/// with, else those of `country` (a name or an ISO code as partners carry it; empty means at home, in Slovenia).
/// EL is GR, XI is GB. Without a digit, with one sign only and no prefix, with zeros only, or shorter than the country's
/// shortest number it is a placeholder.
#[must_use]
pub fn tax_key(value: &str, country: &str) -> Option<String> {
    let number: String =
        value.nfkc().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_uppercase).collect();
    let number = without_words(&number);
    let word = number.split(|sign: char| !sign.is_alphabetic()).any(|run| run.chars().count() > 5);
    if !number.chars().any(char::is_numeric) || one_sign_only(number) || word {
        return None;
    }
    let code = if country.trim().is_empty() { Some("SI") } else { country::code(country) };
    let home = code.and_then(Numbering::of);
    if let Some(home) = home {
        if let Some(bare) = home.stripped(number) {
            return home.key(bare);
        }
        // French numbers may begin with two letters that are another country's prefix.
        if home.letters > 0 && home.fits(number) {
            return home.key(number);
        }
    }
    let abroad = NUMBERINGS.iter().find_map(|numbering| Some((numbering, numbering.stripped(number)?)));
    match (abroad, home) {
        (Some((land, bare)), _) => land.key(bare),
        (None, Some(home)) => home.key(number),
        (None, None) => (number.chars().count() >= SHORTEST_ANYWHERE).then(|| number.to_owned()),
    }
}

/// What people write beside a number, in front of it or behind it.
fn without_words(number: &str) -> &str {
    const BEFORE: [&str; 13] = [
        "IDZADDV",
        "DAVČNAŠTEVILKA",
        "DAVČNAŠT",
        "DAVCNASTEVILKA",
        "DAVCNAST",
        "OIB",
        "PIB",
        "VATNO",
        "VATID",
        "USTIDNR",
        "DDV",
        "VAT",
        "UID",
    ];
    const BEHIND: [&str; 8] = ["NIZAVEZANEC", "ZAVEZANEC", "MWST", "TVA", "IVA", "DDV", "PDV", "VAT"];
    let number = BEHIND.into_iter().find_map(|word| number.strip_suffix(word)).unwrap_or(number);
    BEFORE.into_iter().find_map(|word| number.strip_prefix(word)).unwrap_or(number)
}

fn one_sign_only(text: &str) -> bool {
    let mut signs = text.chars();
    signs.next().is_none_or(|first| signs.all(|sign| sign == first))
}

/// The keys of an e-mail field, one for each address in it, in the order in which they stand.
///
/// Unicode NFC, lower case, the domain in its ASCII form; display names, brackets and what cannot be seen are off.
#[must_use]
pub fn email_keys(value: &str) -> Vec<String> {
    let visible: String = value.nfkc().filter(|sign| !is_invisible(*sign)).collect();
    // The full stop of Chinese and Japanese separates the parts of a domain as well (RFC 3490).
    let visible = visible.replace('。', ".");
    let mut keys: Vec<String> = Vec::new();
    for word in visible.split(|sign: char| sign.is_whitespace() || ",;|<>()[]\"".contains(sign)) {
        // A slash may stand in a name before the @, but not between two addresses.
        let several = word.matches('@').count() > 1;
        for address in word.split(|sign| several && sign == '/') {
            if let Some(key) = email_key(address)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
    }
    keys
}

fn email_key(address: &str) -> Option<String> {
    let address = address.trim_matches(['\'', '.', ':']).to_lowercase();
    // What stands before it in a link or a list.
    let address = address.rsplit_once(':').map_or(address.as_str(), |(_, address)| address);
    let (local, domain) = address.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() || local.contains('@') {
        return None;
    }
    let labels: Vec<&str> = domain.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    // A mail server on the internet: every part of its name says something, and the last one is no number.
    if labels.len() < 2
        || labels.iter().any(|label| label.is_empty())
        || last.chars().count() < 2
        || last.chars().all(char::is_numeric)
    {
        return None;
    }
    let local: String = local.nfc().collect();
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
    Some(format!("{local}@{domain}"))
}

/// The key of a partner that has nothing better: its name and where it is.
pub(crate) fn name_key(name: &str, street: &str, post_number: &str) -> Option<String> {
    let folded = |text: &str| {
        let visible: String = text.nfkc().filter(|sign| !is_invisible(*sign)).collect();
        visible.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let name = folded(name);
    (!name.is_empty()).then(|| format!("{name}|{}|{}", folded(street), folded(post_number)))
}

/// Signs that take no place and change no meaning: soft hyphens, zero widths, directions, variants, marks.
fn is_invisible(sign: char) -> bool {
    (sign.is_control() && !sign.is_whitespace())
        || matches!(
            u32::from(sign),
            0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
                | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
                | 0xFFF0..=0xFFFB | 0xE0000..=0xE0FFF
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_numbers_in_every_spelling_are_one_key() {
        for (country, key, spellings) in [
            (
                "Slovenija",
                "SI12345678",
                &[
                    "12345678",
                    "SI12345678",
                    "si 1234 5678",
                    "SI\u{202f}1234\u{2011}5678",
                    "12'345'678",
                    "SI-12.345.678",
                    "１２３４５６７８",
                    "\u{feff}SI12345678\u{200b}",
                    "SI/1234/5678",
                ][..],
            ),
            ("", "SI12345678", &["12345678", "SI12345678"]),
            ("Slovenia", "SI12345678", &["12345678"]),
            ("Nemčija", "SI12345678", &["SI12345678"]),
            ("Nemčija", "DE123456789", &["123456789", "DE 123 456 789", "de123456789"]),
            ("", "DE123456789", &["DE123456789"]),
            ("Grčija", "GR123456789", &["EL123456789", "GR123456789", "123456789"]),
            ("", "GR123456789", &["EL 123456789", "GR123456789"]),
            ("Severna Irska", "GB123456789", &["XI123456789", "GB123456789", "123456789"]),
            ("GB-NI", "GB123456789", &["XI 123 4567 89"]),
            ("Velika Britanija", "GB123456789", &["GB123456789", "123456789"]),
            ("Španija", "ES12345678Z", &["12345678Z", "ES12345678Z", "es-12345678-z"]),
            ("ES", "ESB12345678", &["B12345678", "ESB12345678"]),
            ("Avstrija", "AT12345678", &["ATU12345678", "U12345678", "ATU 1234 5678", "AT12345678"]),
            ("Belgija", "BE0123456789", &["BE0123.456.789", "0123456789"]),
            ("Francija", "FRAB123456789", &["FRAB123456789", "AB 123 456 789"]),
            ("Francija", "FRBE123456789", &["BE123456789", "FR BE 123456789"]),
            ("Hrvaška", "HR12345678901", &["12345678901", "HR12345678901"]),
            ("Neverland", "1234567", &["123-45-67"]),
            ("Neverland", "HR12345678901", &["HR12345678901"]),
        ] {
            for spelling in spellings {
                assert_eq!(tax_key(spelling, country).as_deref(), Some(key), "{spelling:?} in {country:?}");
            }
        }
    }

    #[test]
    fn placeholders_and_stumps_are_no_key() {
        for (country, values) in [
            (
                "",
                &[
                    "",
                    " ",
                    "-",
                    "0",
                    "00000000",
                    "11111111",
                    "SI00000000",
                    "SI 00000000",
                    "N/A",
                    "ni podatka",
                    "NI ZAVEZANEC",
                    "nezavezanec",
                    "x",
                    "1234567",
                    "SI1234567",
                    "SI",
                    "\u{200b}",
                ][..],
            ),
            ("Nemčija", &["12345678", "DE12345678", "DE000000000"]),
            ("Hrvaška", &["1234567890"]),
            ("Neverland", &["1234", "N/A"]),
        ] {
            for value in values {
                assert_eq!(tax_key(value, country), None, "{value:?} in {country:?}");
            }
        }
    }

    #[test]
    fn e_mails_are_as_many_keys_as_addresses() {
        for (value, keys) in [
            ("Ana@X.Example", &["ana@x.example"][..]),
            ("\u{200b}ana@x.example\u{feff}", &["ana@x.example"]),
            ("ana\u{ad}@x.exa\u{2060}mple", &["ana@x.example"]),
            ("ana@x.example; bojan@x.example", &["ana@x.example", "bojan@x.example"]),
            ("ana@x.example,bojan@x.example", &["ana@x.example", "bojan@x.example"]),
            ("ana@x.example / bojan@x.example", &["ana@x.example", "bojan@x.example"]),
            ("ana@x.example/bojan@x.example", &["ana@x.example", "bojan@x.example"]),
            ("ana@x.example ANA@x.example", &["ana@x.example"]),
            ("\"Novak, Ana\" <ana@x.example>", &["ana@x.example"]),
            ("Ana Novak <ana@x.example>", &["ana@x.example"]),
            ("mailto:ana@x.example", &["ana@x.example"]),
            ("ŽIGA@ČEBELA.example", &["žiga@xn--ebela-gya.example"]),
            ("z\u{30c}iga@xn--ebela-gya.example", &["žiga@xn--ebela-gya.example"]),
            ("no address", &[]),
            ("@x.example", &[]),
            ("ana@", &[]),
            ("", &[]),
        ] {
            assert_eq!(email_keys(value), keys, "{value:?}");
        }
    }

    #[test]
    fn names_are_one_key_whatever_their_blanks() {
        assert_eq!(
            name_key("Ana \u{a0} NOVAK", "Ulica 1", "1000").as_deref(),
            Some("ana novak|ulica 1|1000")
        );
        assert_eq!(name_key("\u{200b}", "Ulica 1", "1000"), None);
    }
}
