//! What can be told of a JSON text without decoding it.

/// Whether an escape of this JSON text is one half of a surrogate pair without the other.
#[must_use]
pub(crate) fn has_half_character(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = rest.get(at..).unwrap_or_default();
        rest = escape.get(2..).unwrap_or_default();
        match code_unit(escape) {
            Some(0xd800..=0xdbff) => {
                let low = escape.get(6..).unwrap_or_default();
                if !matches!(code_unit(low), Some(0xdc00..=0xdfff)) {
                    return true;
                }
                rest = low.get(6..).unwrap_or_default();
            }
            Some(0xdc00..=0xdfff) => return true,
            _ => {}
        }
    }
    false
}

/// The UTF-16 code unit of an escape at the start of the text.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// How deep objects and lists of a JSON text stand in each other.
#[must_use]
pub(crate) fn depth(json: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths() {
        for (json, deep) in [
            ("7", 0),
            ("\"[[[\"", 0),
            (r#""\"[[""#, 0),
            (r#"["\\",[]]"#, 2),
            (r#"{"a":[{"b":[]}],"c":[]}"#, 4),
            ("[][][]", 1),
        ] {
            assert_eq!(depth(json), deep, "{json}");
        }
    }
}
