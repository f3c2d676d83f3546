//! Countries: one table of codes and names for both sides.
//!
//! Names are Slovenian, English and German (Unicode CLDR), what the ERP shows, and what people write. Codes are ISO
//! 3166 (two letters, three letters, number), `XK` for Kosovo, and `XI` for Northern Ireland, which the ERP keeps apart.

use super::spelling::folded;

/// One line per country: ISO-2, ISO-3, number, the name shown, and all names as [`letters`] leaves them.
const TABLE: &str = include_str!("countries.tsv");

/// The home country of the ERP's users.
pub const HOME: &str = "SI";

/// Words some put before a country's name.
const TITLES: [&str; 6] = ["republika", "republicof", "republik", "kraljevina", "kingdomof", "the"];

/// The same, shortened to a word of its own.
const ABBREVIATED: [&str; 3] = ["r", "rep", "republ"];

struct Row {
    code: &'static str,
    long: &'static str,
    number: &'static str,
    shown: &'static str,
    names: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().filter_map(|line| {
        let mut parts = line.split('\t');
        Some(Row {
            code: parts.next()?,
            long: parts.next()?,
            number: parts.next()?,
            shown: parts.next()?,
            names: parts.next()?,
        })
    })
}

fn letters(text: &str) -> String {
    folded(text).replace(' ', "")
}

/// The ISO code of a country by any spelling of it; `None` for what no country is called.
#[must_use]
pub fn code(name: &str) -> Option<&'static str> {
    one(name).or_else(|| parts(name))
}

/// The country of a text that is one name, with or without a title before it.
fn one(name: &str) -> Option<&'static str> {
    let words = folded(name);
    let name = words.replace(' ', "");
    if name.is_empty() {
        return None;
    }
    let titled = || {
        // Longer than a code: "republik" before an "a" is no Austria.
        let rest = |title| name.strip_prefix(title).filter(|rest| rest.len() > 3);
        TITLES.into_iter().find_map(|title| named(rest(title)?))
    };
    let abbreviated = || {
        let (title, rest) = words.split_once(' ')?;
        ABBREVIATED.contains(&title).then(|| named(&rest.replace(' ', "")))?
    };
    named(&name).or_else(titled).or_else(abbreviated)
}

/// The country of a text that says it more than once, in parts: `SI - Slovenija`, `Österreich (AT)`, `Slovenia, Republic
/// of`. All parts name the same one, or are a title.
fn parts(name: &str) -> Option<&'static str> {
    let mut country = None;
    for part in name.split([',', '(', ')', '/', '-', '–', '|', ':']) {
        let bare = letters(part);
        if bare.is_empty() || TITLES.contains(&bare.as_str()) {
            continue;
        }
        let named = one(part)?;
        if country.is_some_and(|before| before != named) {
            return None;
        }
        country = Some(named);
    }
    country
}

fn named(name: &str) -> Option<&'static str> {
    let is_code = |code: &str| name.eq_ignore_ascii_case(code);
    rows()
        .find(|row| {
            is_code(row.code)
                || is_code(row.long)
                || (row.number == name && name.len() == 3)
                || row.names.split('|').any(|known| known == name)
        })
        .map(|row| row.code)
}

/// Whether a partner of this country is foreign: only a country that is known and not ours makes it so.
#[must_use]
pub fn is_foreign(name: Option<&str>) -> bool {
    name.and_then(code).is_some_and(|code| code != HOME)
}

/// The country whose name is nearest to a spelling that none has: code and name, when it is near enough to mean it.
#[must_use]
pub fn nearest(name: &str) -> Option<(&'static str, &'static str)> {
    let wanted: Vec<char> = letters(name).chars().collect();
    let most = wanted.len() / 3;
    let mut best: Option<(usize, &'static str, &'static str)> = None;
    for row in rows() {
        for known in row.names.split('|') {
            let distance = distance(&wanted, &known.chars().collect::<Vec<_>>());
            if distance <= most && most > 0 && best.is_none_or(|(least, ..)| distance < least) {
                best = Some((distance, row.code, row.shown));
            }
        }
    }
    best.map(|(_, code, name)| (code, name))
}

/// Letters to add, drop or replace (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *slot;
            left = replaced.min(left + 1).min(*slot + 1);
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn spellings() {
        for (name, expected) in [
            ("SVN", "SI"),
            ("slo", "SI"),
            ("Republika Slovenija", "SI"),
            ("Republic of Slovenia", "SI"),
            ("Slowenien", "SI"),
            ("705", "SI"),
            ("SLOVENIJA ", "SI"),
            ("Sl\u{200b}ovenija", "SI"),
            ("si", "SI"),
            ("Republik Slowenien", "SI"),
            ("Österreich", "AT"),
            ("OESTERREICH", "AT"),
            ("Avstrija", "AT"),
            ("Hrvaska", "HR"),
            ("Republika Hrvatska", "HR"),
            ("040", "AT"),
            ("Slovensko", "SK"),
            ("Češka republika", "CZ"),
            ("Grčija", "GR"),
            ("EL", "GR"),
            ("Velika Britanija", "GB"),
            ("United Kingdom - Northern Ireland", "XI"),
            ("XI", "XI"),
            ("ZDA", "US"),
            ("U.S.A.", "US"),
            ("Kosovo", "XK"),
            ("Severna Makedonija", "MK"),
            ("Bosna in Hercegovina", "BA"),
            ("Japonska", "JP"),
            ("Republic of Korea", "KR"),
            ("Republic of Ireland", "IE"),
            ("Türkei", "TR"),
            ("NZL", "NZ"),
            ("Republika Srbija", "RS"),
            ("R Slovenija", "SI"),
            ("R. Slovenija", "SI"),
            ("Rep. Slovenija", "SI"),
            ("SI - Slovenija", "SI"),
            ("SI-Slovenija", "SI"),
            ("Словенија", "SI"),
            ("Slovenia, Republic of", "SI"),
            ("AT - Österreich", "AT"),
            ("Österreich (AT)", "AT"),
            ("RH", "HR"),
            ("Nemčija / Germany", "DE"),
        ] {
            assert_eq!(code(name), Some(expected), "{name}");
        }
        for name in [
            "",
            " ",
            "SI - Avstrija",
            "Atlantida (SI)",
            "- -",
            "r",
            "Rep.",
            "Atlantida",
            "Slov",
            "Republika Srbska",
            "70",
            "ZZ",
            "neznano",
            "-",
            "republika",
        ] {
            assert_eq!(code(name), None, "{name}");
        }
    }

    #[test]
    fn foreign_is_known_and_not_home() {
        assert!(is_foreign(Some("Avstrija")) && is_foreign(Some("HRV")) && is_foreign(Some("XI")));
        assert!(!is_foreign(None) && !is_foreign(Some("Slowenien")) && !is_foreign(Some("Atlantida")));
    }

    #[test]
    fn suggestions() {
        for (name, expected) in [
            ("Slovenja", Some("SI")),
            ("Hrvatsak", Some("HR")),
            ("Nemcja", Some("DE")),
            ("Atlantida", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name).map(|(code, _)| code), expected, "{name}");
        }
        let kitten: Vec<char> = "kitten".chars().collect();
        let sitting: Vec<char> = "sitting".chars().collect();
        assert_eq!(distance(&kitten, &sitting), 3);
        assert_eq!((distance(&kitten, &[]), distance(&[], &kitten)), (6, 6));
    }

    #[test]
    fn no_spelling_means_two_countries() {
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        for row in rows() {
            assert_eq!(row.code.len(), 2);
            assert!(row.names.split('|').all(|name| letters(name) == name), "{}", row.names);
            for name in [row.code, row.long, row.number, row.shown].into_iter().chain(row.names.split('|')) {
                let folded = letters(name);
                if !folded.is_empty() {
                    let other = known.insert(folded, row.code);
                    assert!(other.is_none() || other == Some(row.code), "{name}: {} and {other:?}", row.code);
                    assert_eq!(code(name), Some(row.code), "{name}");
                }
            }
        }
        assert_eq!(rows().count(), 251);
    }
}
