//! Removes the connection's secret from everything that comes back.
//!
//! The secret is found as it is and in every JSON spelling of it (`\"`, `\/`, `\u0041`, any mix). Each byte of
//! such a spelling becomes an asterisk, so lengths stay true. Plain occurrences are found with a vectorised
//! search; spelled ones hold a backslash, so only the surroundings of backslashes are looked at, and of those
//! only the ones that begin an escape of a character the secret has.

use std::fmt;
use std::sync::Arc;

use memchr::memmem;
use zeroize::Zeroizing;

/// Removes one secret. Cloning is cheap. The default one has no secret and changes nothing.
#[derive(Clone, Default)]
pub struct Redactor {
    pattern: Option<Arc<Pattern>>,
}

struct Pattern {
    secret: Zeroizing<Vec<u8>>,
    finder: memmem::Finder<'static>,
    /// Whether an escape of a character that begins with this byte can matter.
    in_secret: [bool; 256],
}

/// A byte of the secret takes at most this many bytes in JSON (`\u00XX`).
const WIDEST: usize = 6;

impl Redactor {
    /// For this secret.
    pub fn new(secret: &str) -> Self {
        if secret.is_empty() {
            return Self::default();
        }
        let mut in_secret = [false; 256];
        for (byte, known) in (0_u8..=255).zip(&mut in_secret) {
            *known = secret.as_bytes().contains(&byte);
        }
        let finder = memmem::Finder::new(secret.as_bytes()).into_owned();
        let secret = Zeroizing::new(secret.as_bytes().to_vec());
        Self { pattern: Some(Arc::new(Pattern { secret, finder, in_secret })) }
    }

    /// The longest spelling of the secret: an occurrence that is not complete within this many bytes is none.
    pub fn longest(&self) -> usize {
        self.pattern.as_ref().map_or(0, |pattern| pattern.secret.len() * WIDEST)
    }

    /// Covers every spelling of the secret in the bytes.
    pub fn bytes(&self, bytes: &mut [u8]) {
        let Some(pattern) = &self.pattern else { return };
        let mut found: Vec<(usize, usize)> =
            pattern.finder.find_iter(bytes).map(|start| (start, pattern.secret.len())).collect();
        found.extend(memchr::memchr_iter(b'\\', bytes).filter_map(|at| pattern.around(bytes, at)));
        for (start, length) in found {
            if let Some(spelling) = bytes.get_mut(start..start + length) {
                spelling.fill(b'*');
            }
        }
    }

    /// The text without the secret.
    pub fn text(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.bytes(&mut bytes);
        // Whole characters were replaced by asterisks, so it is still text.
        String::from_utf8(bytes)
            .unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
    }
}

impl Pattern {
    /// The spelling whose first escape is at `at`, as start and length.
    fn around(&self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let (first, _) = unescape(bytes.get(at..)?)?;
        if !self.in_secret.get(usize::from(*first.bytes().first()?)).copied().unwrap_or(false) {
            return None;
        }
        (0..self.secret.len()).find_map(|plain| {
            let start = at.checked_sub(plain)?;
            let (head, tail) = self.secret.split_at_checked(plain)?;
            if bytes.get(start..at)? != head || !tail.starts_with(first.bytes()) {
                return None;
            }
            let length = spelled(bytes.get(at..)?, tail)?;
            Some((start, plain + length))
        })
    }
}

/// How many of the bytes spell the whole wanted text.
fn spelled(bytes: &[u8], mut wanted: &[u8]) -> Option<usize> {
    let mut used = 0;
    while let Some(next) = wanted.first() {
        let rest = bytes.get(used..)?;
        if let Some((character, length)) = unescape(rest)
            && let Some(after) = wanted.strip_prefix(character.bytes())
        {
            wanted = after;
            used += length;
        } else if rest.first() == Some(next) {
            wanted = wanted.get(1..)?;
            used += 1;
        } else {
            return None;
        }
    }
    Some(used)
}

/// A character as UTF-8.
struct Character {
    buffer: [u8; 4],
    length: usize,
}

impl Character {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl From<char> for Character {
    fn from(character: char) -> Self {
        let mut buffer = [0; 4];
        let length = character.encode_utf8(&mut buffer).len();
        Self { buffer, length }
    }
}

/// The character of the JSON escape the bytes begin with, and the length of the escape.
fn unescape(bytes: &[u8]) -> Option<(Character, usize)> {
    let unit = |at: usize| {
        let text = std::str::from_utf8(bytes.get(at..at + 6)?.strip_prefix(b"\\u")?).ok()?;
        if text.starts_with('+') { None } else { u16::from_str_radix(text, 16).ok() }
    };
    if *bytes.first()? != b'\\' {
        return None;
    }
    let character = match *bytes.get(1)? {
        plain @ (b'"' | b'\\' | b'/') => char::from(plain),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(0)?;
            if let Some(character) = char::from_u32(first.into()) {
                return Some((character.into(), 6));
            }
            let pair = char::decode_utf16([first, unit(6)?]).next()?.ok()?;
            return Some((pair.into(), 12));
        }
        _ => return None,
    };
    Some((character.into(), 2))
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redactor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_is_covered_and_lengths_stay() {
        let secret = "a/\"č😀z";
        for spelling in [
            "a/\"č😀z",
            "a\\/\\\"č😀z",
            "\\u0061\\u002F\\u0022\\u010D\\ud83d\\ude00\\u007a",
            "a/\\\"\\u010d😀z",
            "a\\u002f\"č\\uD83D\\uDE00z",
        ] {
            let text = Redactor::new(secret).text(&format!("<{spelling}|{spelling}>"));
            let stars = "*".repeat(spelling.len());
            assert_eq!(text, format!("<{stars}|{stars}>"), "{spelling}");
        }
    }

    #[test]
    fn other_text_stays() {
        let redactor = Redactor::new("abcd");
        for text in ["abc", "abc\\u0065", "\\u006", "\\", "ab\\ncd", "\\u+061bcd", "", "\\ud83d"] {
            assert_eq!(redactor.text(text), text);
        }
        assert_eq!(Redactor::default().text("anything"), "anything");
    }

    #[test]
    fn a_run_of_backslashes_hides_nothing() {
        let redactor = Redactor::new("\\\\x");
        assert_eq!(redactor.text("\\\\\\\\x"), "*****");
        assert_eq!(redactor.text("[\\\\x]"), "[***]");
    }

    /// Any JSON spelling of a text, one choice per character.
    fn spell(secret: &str, choices: &[u8]) -> String {
        let mut spelling = String::new();
        for (character, choice) in secret.chars().zip(choices.iter().cycle()) {
            match choice % 3 {
                1 if matches!(character, '"' | '\\' | '/') => spelling.extend(['\\', character]),
                2 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        spelling.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => spelling.push(character),
            }
        }
        spelling
    }

    proptest! {
        #[test]
        fn no_spelling_gets_through(
            secret in "[a-c/\"é😀]{1,12}",
            choices in proptest::collection::vec(any::<u8>(), 1..16),
            before in "[a-c/é ]{0,9}",
            after in "[a-c/é ]{0,9}",
        ) {
            let spelling = spell(&secret, &choices);
            let text = format!("{before}{spelling}{after}");
            let covered = Redactor::new(&secret).text(&text);
            prop_assert_eq!(covered.len(), text.len());
            let span = covered.as_bytes().get(before.len()..before.len() + spelling.len()).unwrap();
            // An earlier, overlapping occurrence may have taken part of it; no whole spelling is left.
            prop_assert!(span.contains(&b'*'), "{}", covered);
            prop_assert!(!covered.contains(&spelling));
        }
    }
}
