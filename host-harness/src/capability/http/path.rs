//! Which paths a guest may name.
//!
//! An alphabet, not a list of bad things: nothing in it can leave the base address, name another host, or be
//! decoded into something else.

/// Longest path.
const LONGEST: usize = 200;

/// Whether the path is `[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*`.
pub fn is_plain(path: &str) -> bool {
    path.len() <= LONGEST
        && path.split('/').all(|segment| {
            !segment.is_empty()
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_between_single_slashes_pass() {
        for good in ["v1/get_partner", "a", "A-Z_0", "v1/json/product_list"] {
            assert!(is_plain(good), "{good}");
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in [
            "",
            "/",
            "/v1",
            "v1/",
            "v1//x",
            "..",
            "v1/../x",
            ".",
            "http://evil.example/x",
            "//evil.example",
            "\\\\evil",
            "@evil.example",
            "v1?x=1",
            "v1#x",
            "v1%2f..",
            "v1/%2e%2e",
            "..;/x",
            "v1 x",
            "v1\r\nHost: x",
            "v1\0",
            "v1/č",
            "v1/\u{2215}x",
            "v1:80",
            &long,
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
