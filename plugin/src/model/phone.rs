//! Phone numbers, for comparing.

/// What may stand between a number and its extension.
const EXTENSIONS: [&str; 9] = ["interna", "int", "extension", "ext", "lokal", "lok", "kl", "dw", "x"];

/// Digits that a number has at least; fewer behind another number are its extension.
const SHORTEST: usize = 6;

/// E.164 where the number allows it; a leading single zero is a Slovenian number. Several numbers, or a number and its
/// extension, are all of them: `+38611234567;12` is no other number's form.
pub(super) fn canonical(text: &str) -> String {
    if text.chars().any(|c| c.is_numeric() && !c.is_ascii_digit()) {
        return text.to_owned();
    }
    let Some(parts) = parts(text) else { return text.to_owned() };
    match parts.as_slice() {
        [] => text.to_owned(),
        [one] => number(one),
        several => {
            let forms: Vec<String> = several
                .iter()
                .map(|part| {
                    let digits = digits(part);
                    if digits.len() < SHORTEST { digits } else { number(part) }
                })
                .collect();
            forms.join(";")
        }
    }
}

/// Whether a number belongs to a Slovenian mobile network, which the ERP keeps in a field of its own (`gsm`).
#[must_use]
pub fn is_mobile(text: &str) -> bool {
    const MOBILE: [&str; 12] = ["30", "31", "40", "41", "51", "64", "65", "68", "69", "70", "71", "20"];
    canonical(text)
        .strip_prefix("+386")
        .is_some_and(|rest| MOBILE.iter().any(|prefix| rest.starts_with(prefix)))
}

/// The numbers in a text; `None` when it holds words.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let so_far = parts.last().map_or(0, |part| digits(part).len());
        let extension = (so_far >= SHORTEST)
            .then(|| {
                let lower = rest.to_lowercase();
                EXTENSIONS.into_iter().find(|word| {
                    lower.strip_prefix(word).is_some_and(|after| !after.starts_with(char::is_alphabetic))
                })
            })
            .flatten();
        let step = match (c, extension) {
            (_, Some(word)) => word.len(),
            _ if c.is_alphabetic() => return None,
            _ => c.len_utf8(),
        };
        let next_begins = match c {
            _ if extension.is_some() => true,
            ',' | ';' | '#' | '|' | '\n' => true,
            '/' | '\\' => so_far >= SHORTEST,
            _ => false,
        };
        if next_begins {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            if c == '+' && so_far >= SHORTEST {
                parts.push("+".to_owned());
            } else {
                part.push(c);
            }
        }
        rest = rest.get(step..).unwrap_or_default();
    }
    parts.retain(|part| !digits(part).is_empty());
    Some(parts)
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn number(text: &str) -> String {
    let digits = digits(text);
    if text.trim_start().starts_with('+') {
        // "+386 (0)41 …" is a common way to write both forms at once.
        let national = digits.strip_prefix("3860").map(|rest| format!("386{rest}"));
        format!("+{}", national.unwrap_or(digits))
    } else if let Some(rest) = digits.strip_prefix("00") {
        format!("+{rest}")
    } else if let Some(rest) = digits.strip_prefix('0') {
        // More than a Slovenian number has: something was appended, and where it begins its marks say.
        if rest.len() > 8 {
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        } else {
            format!("+386{rest}")
        }
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number() {
        for (a, b) in [
            ("041 123 456", "+386 41 123456"),
            ("+386 (0)41 123 456", "041/123-456"),
            ("0038641123456", "041123456"),
            ("(01) 123-45-67", "01 123 45 67"),
            ("+43 664 123", "0043664123"),
            ("01 123 45 67 int. 12", "01/123-45-67, 12"),
            ("041 123 456 / 051 111 222", "+38641123456; 051/111-222"),
            ("01 123 45 67 x12", "011234567 ext. 12"),
        ] {
            assert_eq!(canonical(a), canonical(b), "{a} / {b}");
        }
    }

    #[test]
    fn another_number() {
        for (a, b) in [
            ("01 123 45 67", "041 123 456"),
            ("01 123 45 6 / 12", "01 123 45 612"),
            ("01 123 45, 67", "01 123 45 67"),
            ("041 123 456, 051 111 222", "041 123 456"),
            ("01 123 45 67 int. 12", "01 123 45 67"),
            ("01 123 4567-12", "01 123 45-6712"),
            ("041 123 456 ali 051 111 222", "041 123 456"),
            ("041 123 456 051 111 222", "041 123 456"),
            ("041 123 45٦", "041 123 45"),
            ("041 123 456;051 111 222", "051 111 222;041 123 456"),
        ] {
            assert_ne!(canonical(a), canonical(b), "{a} / {b}");
        }
        assert!(is_mobile("041 123 456") && is_mobile("+38631123456"));
        assert!(!is_mobile("01 123 45 67") && !is_mobile("+43 664 123"));
    }
}
