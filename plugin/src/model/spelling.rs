//! What spelling adds to a value without changing its meaning: invisible characters, compatibility forms, accents.

use unicode_normalization::UnicodeNormalization;

/// Whether a character shows nothing and joins nothing anybody would miss: zero-width, direction marks, byte order
/// mark, soft hyphen, variation selectors, Hangul fillers, controls.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x202A..=0x202E | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF)
}

/// Whether there is anything to see.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Letters and digits alone, in upper case and in compatibility form (NFKC): what a number's marks leave. The tables for
/// it come with those for NFC, so they cost the component nothing.
#[must_use]
pub fn bare(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
        return text.to_owned();
    }
    text.nfkc().flat_map(char::to_uppercase).nfkc().filter(|c| c.is_alphanumeric()).collect()
}

/// Lower-case letters and digits without accents, and a blank for every run of anything else. Accents go because
/// half the data was typed without them: `č` is `c`, `đ` is `d`, `ß` is `ss`.
pub fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.nfkd().filter(|c| !is_invisible(*c) && !is_accent(*c)) {
        if !c.is_alphanumeric() {
            gap = true;
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
        }
        gap = false;
        match base_letters(c) {
            Some(letters) => out.push_str(letters),
            None => out.extend(c.to_lowercase().next()),
        }
    }
    out
}

fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36F)
}

/// Letters that Unicode does not take apart.
fn base_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'ø' | 'Ø' => "o",
        'ł' | 'Ł' => "l",
        'ı' => "i",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_forms_go() {
        for (text, expected) in [
            ("SI\u{202f}1234\u{2011}5678", "SI12345678"),
            ("１２３４５６７８", "12345678"),
            ("si⑫", "SI12"),
            ("𝟏𝟐𝟑", "123"),
            ("𝐀𝗓𝓑", "AZB"),
            ("x²₃ⓈⓘⅡ", "X23SIII"),
            ("", ""),
        ] {
            assert_eq!(bare(text), expected, "{text:?}");
        }
    }

    #[test]
    fn accents_go() {
        for (text, expected) in [
            ("  Čebelarstvo  ŽAN – Straße 5/a ", "cebelarstvo zan strasse 5 a"),
            ("C\u{30c}\u{200b}a", "ca"),
            ("Đorđe Łódź", "dorde lodz"),
            ("\u{feff}\u{200b}", ""),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
        assert!(is_blank("\u{200b}\u{feff} \u{ad}") && !is_blank("\u{200b}a"));
    }
}
