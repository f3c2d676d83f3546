//! The vendor's words, made fit for people: what an answer says about itself goes into reasons, reports and logs, and
//! it may hold control characters, statements of the vendor's database, or addresses of others.

use std::net::IpAddr;

/// Longest text that is kept, in characters.
const MAX_CHARS: usize = 300;

/// From the first of these on, a text speaks of the vendor's insides: a start and what must follow it somewhere.
const INSIDES: [(&str, &str); 9] = [
    ("select ", " from "),
    ("insert into ", ""),
    ("delete from ", ""),
    ("update ", " set "),
    ("sqlexception", ""),
    ("sqlstate", ""),
    ("ora-0", ""),
    ("jdbc:", ""),
    ("java.", ""),
];

/// One line without control, escape and invisible characters, without database statements, without e-mail and network
/// addresses, and not longer than a person reads.
#[must_use]
pub fn clean(text: &str) -> String {
    let line = one_line(text);
    let lower = line.to_ascii_lowercase();
    let inside = INSIDES
        .into_iter()
        .filter_map(|(start, then)| {
            let at = lower.find(start)?;
            lower.get(at + start.len()..)?.contains(then).then_some(at)
        })
        .min();
    let told = inside.and_then(|at| line.get(..at)).unwrap_or(&line);
    let mut words: Vec<String> = told.split_whitespace().map(without_addresses).collect();
    words.extend(inside.map(|_| "[details of the server left out]".to_owned()));
    words.join(" ").chars().take(MAX_CHARS).collect()
}

/// The first network address a text names.
#[must_use]
pub fn network_address(text: &str) -> Option<IpAddr> {
    text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
        .find_map(|word| word.trim_matches(['.', ':']).parse().ok())
}

/// Blanks for control characters; terminal escapes and characters nobody sees (direction marks, zero-width) vanish.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(4 * MAX_CHARS));
    let mut chars = text.chars().take(8 * MAX_CHARS).peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' | '\u{9b}' => {
                if c == '\u{1b}' && chars.next_if_eq(&'[').is_none() {
                    continue;
                }
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
    line
}

fn without_addresses(word: &str) -> String {
    if word.contains("://") {
        return "[address]".to_owned();
    }
    let part_of_mail = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '@');
    let mut out = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(part_of_mail) {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c| !part_of_mail(c)).unwrap_or(tail.len());
        let (run, after) = tail.split_at(end);
        out.push_str(before);
        let bare = run.trim_end_matches('.');
        if bare.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty()) {
            out.push_str("[e-mail]");
        } else if bare.parse::<IpAddr>().is_ok() {
            out.push_str("[address]");
        } else {
            out.push_str(run);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_a_person_may_see() {
        let rows = [
            ("Value is require for doc_date", "Value is require for doc_date"),
            (
                "Paramether 'x' has invalid value : Y. Valid values : a,b",
                "Paramether 'x' has invalid value : Y. Valid values : a,b",
            ),
            ("Ni\r\nmogoče\tšraniti\u{0}", "Ni mogoče šraniti"),
            ("\u{1b}[31mred\u{1b}[0m and \u{202e}turned\u{200b}", "red and turned"),
            ("known: ana@alfa.example, <bor@beta.example>.", "known: [e-mail], <[e-mail]>."),
            ("from 10.0.0.7: refused by https://db.internal:8443/x", "from [address]: refused by [address]"),
            (
                "Error: SELECT * FROM partner WHERE email='ana@alfa.example'",
                "Error: [details of the server left out]",
            ),
            (
                "failed org.x; INSERT INTO partner VALUES (1)",
                "failed org.x; [details of the server left out]",
            ),
            ("Please select a value", "Please select a value"),
            ("Zapis update ni uspel", "Zapis update ni uspel"),
            ("ORA-00942: table missing", "[details of the server left out]"),
            ("version 1.2.3 is 100 % @ home", "version 1.2.3 is 100 % @ home"),
        ];
        for (text, expected) in rows {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        assert_eq!(clean(&"č".repeat(1_000)).chars().count(), MAX_CHARS);
    }

    #[test]
    fn the_address_to_allow() {
        let text = "IP address '203.0.113.7' is not allowed for company_id = 12";
        assert_eq!(network_address(text), Some(IpAddr::from([203, 0, 113, 7])));
        assert_eq!(network_address("IP address '2001:db8::1' is not allowed"), "2001:db8::1".parse().ok());
        assert_eq!(network_address("not allowed for company_id = 12"), None);
    }
}
