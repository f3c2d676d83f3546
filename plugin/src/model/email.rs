//! E-mail addresses in a field, and the one spelling of each.

use unicode_normalization::UnicodeNormalization;

use super::spelling::is_invisible;

/// The texts in a field that may be addresses: blanks, commas, semicolons, brackets and quotes are around them.
pub(super) fn addresses(value: &str) -> Vec<String> {
    let visible: String =
        value.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_invisible(*c)).collect();
    visible
        .split(|c: char| {
            c.is_whitespace()
                || matches!(c, ',' | ';' | '<' | '>' | '(' | ')' | '[' | ']' | '"' | '|' | '，' | '；')
        })
        // A slash may stand in an address, but not between two.
        .flat_map(|part| if part.matches('@').count() > 1 { part.split('/') } else { part.split('\0') })
        .map(|part| without_scheme(part).trim_matches(['.', ':', '\'']).to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Without what stands before an address in a link or a list (`mailto:`, `E-mail:`), which no address holds.
fn without_scheme(part: &str) -> &str {
    part.rsplit_once(':').map_or(part, |(_, address)| if address.contains('@') { address } else { part })
}

/// The key of one address: NFC, lower case, the domain in its ASCII form; `None` when mail could not be sent to it.
pub(super) fn key(address: &str) -> Option<String> {
    let address: String = address.chars().map(|c| if c == '＠' { '@' } else { c }).collect();
    let (local, domain) = address.split_once('@')?;
    if local.is_empty() || domain.contains('@') {
        return None;
    }
    let local: String = lower(local);
    let domain: String = lower(&domain.nfkc().collect::<String>()).replace(['。', '．', '｡'], ".");
    let labels: Vec<String> = domain.split('.').map(ascii_label).collect::<Option<_>>()?;
    let last = labels.last().filter(|_| labels.len() > 1)?;
    let real = last.len() > 1 && !last.bytes().all(|byte| byte.is_ascii_digit());
    real.then(|| format!("{local}@{}", labels.join(".")))
}

/// Lower case letter by letter (no rule for the end of a word), composed.
fn lower(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// A label of a domain in ASCII (RFC 5890: `xn--` and its Punycode).
fn ascii_label(label: &str) -> Option<String> {
    if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
        return None;
    }
    if label.is_ascii() {
        return label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            .then(|| label.to_owned());
    }
    if label.chars().any(|c| !c.is_alphanumeric() && c != '-' && !matches!(u32::from(c), 0x300..=0x36F)) {
        return None;
    }
    punycode(label).map(|code| format!("xn--{code}"))
}

/// Punycode of a label (RFC 3492, 6.3).
fn punycode(label: &str) -> Option<String> {
    const BASE: u32 = 36;
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    let total = u32::try_from(label.chars().count()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (128_u32, 0_u32, 72_u32, basic);
    while handled < total {
        let next = label.chars().map(u32::from).filter(|code| *code >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for code in label.chars().map(u32::from) {
            if code < n {
                delta = delta.checked_add(1)?;
            } else if code == n {
                let mut rest = delta;
                let mut k = BASE;
                loop {
                    let limit = k.saturating_sub(bias).clamp(1, 26);
                    if rest < limit {
                        break;
                    }
                    out.push(digit(limit + (rest - limit) % (BASE - limit)));
                    rest = (rest - limit) / (BASE - limit);
                    k += BASE;
                }
                out.push(digit(rest));
                bias = adapted(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(out)
}

fn adapted(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

fn digit(value: u32) -> char {
    let code = if value < 26 { u32::from('a') + value } else { u32::from('0') + value - 26 };
    char::from_u32(code).unwrap_or('a')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3492, 7.1 (B, C, E, I, L) and names of today.
    #[test]
    fn punycode_of_the_standard() {
        for (label, expected) in [
            ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
            ("他們爲什麽不說中文", "ihqwctvzc91f659drss3x8bo0yb"),
            ("למההםפשוטלאמדבריםעברית", "4dbcagdahymbxekheh6e0a7fei0b"),
            ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"),
            ("bücher", "bcher-kva"),
            ("münchen", "mnchen-3ya"),
        ] {
            assert_eq!(punycode(label).as_deref(), Some(expected), "{label}");
        }
    }
}
