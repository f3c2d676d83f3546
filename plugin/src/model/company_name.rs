//! Names of companies: legal forms, and the words that tell one company from another.

use super::spelling::folded;

/// Legal forms as letters in a row, recognised with dots, blanks or neither, in any case, anywhere but as the first
/// word: Slovenian, and those of the countries our users trade with.
const FORMS: &[&str] = &[
    "doo",
    "dno",
    "kdd",
    "jdoo",
    "zoo",
    "zbo",
    "sop",
    "gmbh",
    "mbh",
    "ltd",
    "limited",
    "llc",
    "llp",
    "plc",
    "inc",
    "incorporated",
    "corp",
    "corporation",
    "srl",
    "srls",
    "snc",
    "sas",
    "sarl",
    "sro",
    "spolsro",
    "vos",
    "kft",
    "zrt",
    "nyrt",
    "spzoo",
    "aps",
    "oyj",
    "uab",
    "sia",
    "eood",
    "ood",
    "ead",
    "gesmbh",
    "gesbr",
    "ohg",
    "doel",
    "pty",
    "bvba",
    "sprl",
    "lda",
    "ltda",
];
/// Forms of two letters, or that are words too: without dots only in capitals, and at the end.
const SHORT: &[&str] = &[
    "ag", "kg", "og", "eu", "ug", "ev", "se", "sa", "spa", "sl", "slu", "nv", "bv", "ab", "as", "oy", "ou",
    "bt", "ad", "co", "gbr", "kgaa",
];
/// Slovenian forms of two letters: people write them in any case.
const SHORT_AT_HOME: &[&str] = &["sp", "dd", "kd"];
/// Forms written out.
const WORDS: &[&[&str]] = &[
    &["samostojni", "podjetnik"],
    &["druzba", "z", "omejeno", "odgovornostjo"],
    &["delniska", "druzba"],
    &["komanditna", "druzba"],
    &["druzba", "z", "neomejeno", "odgovornostjo"],
    &["gesellschaft", "mit", "beschrankter", "haftung"],
    &["aktiengesellschaft"],
    &["societa", "per", "azioni"],
];
/// Words that say nothing.
const CONNECTIVES: &[&str] =
    &["in", "and", "und", "the", "za", "of", "pri", "von", "der", "die", "das", "di", "de", "la"];
/// Words that many companies have in their names: two names that share no other word have nothing in common, unless
/// there is nothing else.
const COMMON: &[&str] = &[
    "podjetje",
    "firma",
    "company",
    "druzba",
    "trgovina",
    "trgovsko",
    "storitve",
    "storitveno",
    "proizvodnja",
    "proizvodno",
    "zastopanje",
    "posredovanje",
    "svetovanje",
    "inzeniring",
    "gradbenistvo",
    "prevozi",
    "transport",
    "turizem",
    "gostinstvo",
    "servis",
    "studio",
    "group",
    "skupina",
    "holding",
    "international",
    "slovenija",
    "slovenia",
    "zavod",
    "drustvo",
    "zadruga",
    "ljubljana",
    "maribor",
    "trade",
    "trading",
    "services",
    "samostojni",
    "podjetnik",
    "sin",
    "sinovi",
];

/// A word of a name: folded, with what was around it.
struct Word<'a> {
    text: String,
    written: &'a str,
    /// A dot follows at once.
    dotted: bool,
    /// Nothing, a comma, a semicolon or a bracket follows: here a name ends.
    last: bool,
}

fn words(name: &str) -> Vec<Word<'_>> {
    let is_part = |c: char| {
        c.is_alphanumeric() || super::spelling::is_invisible(c) || matches!(u32::from(c), 0x300..=0x36F)
    };
    let mut words = Vec::new();
    let mut rest = name;
    while let Some(start) = rest.find(is_part) {
        let from = rest.get(start..).unwrap_or_default();
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (written, after) = from.split_at(end);
        let text = folded(written);
        let next = after.trim_start_matches(['.', ' ']).chars().next();
        if !text.is_empty() {
            words.push(Word {
                text,
                written,
                dotted: after.starts_with('.'),
                last: next
                    .is_none_or(|c| matches!(c, ',' | ';' | '(' | ')' | '/' | '|' | '-' | '–' | '&' | '"')),
            });
        }
        rest = after;
    }
    words
}

/// How many words from the first of these on are a legal form; 0 when none is.
fn form_at(words: &[Word<'_>], first_of_name: bool) -> usize {
    for spelt in WORDS {
        if words.len() >= spelt.len() && words.iter().zip(*spelt).all(|(word, part)| word.text == **part) {
            return spelt.len();
        }
    }
    let Some(head) = words.first() else { return 0 };
    // One word, or letter by letter ("d. o. o.", "S.p.A.", "Sp. z o.o."), the longest reading first.
    let letters = words.iter().take_while(|word| word.text.len() == 1).count();
    let spelt =
        if head.text == "spol" || (head.text == "sp" && words.get(1).is_some_and(|word| word.text == "z")) {
            1 + words.iter().skip(1).take_while(|word| word.text.len() == 1).count()
        } else {
            letters
        };
    for length in (2..=spelt.min(5)).rev() {
        let parts = words.get(..length).unwrap_or_default();
        let joined: String = parts.iter().map(|word| word.text.as_str()).collect();
        let (Some(second), Some(end)) = (parts.get(1), parts.last()) else { continue };
        let long = FORMS.contains(&joined.as_str()) || joined == "spa";
        let short = SHORT.contains(&joined.as_str()) || SHORT_AT_HOME.contains(&joined.as_str());
        let marked = head.dotted || second.dotted || length > 2;
        if long || (short && !first_of_name && (marked || end.last)) {
            return length;
        }
    }
    if first_of_name && words.len() == 1 {
        return usize::from(FORMS.contains(&head.text.as_str()) && head.text.len() <= 4);
    }
    let capitals = head.written.chars().all(|c| c.is_ascii_uppercase());
    let mixed = matches!(head.written, "SpA" | "eU" | "eV" | "Co" | "KGaA" | "GbR");
    let short =
        SHORT.contains(&head.text.as_str()) && (capitals || mixed) && (head.last || head.text == "co");
    let home = SHORT_AT_HOME.contains(&head.text.as_str()) && head.last;
    usize::from(!first_of_name && (FORMS.contains(&head.text.as_str()) || short || home))
        .max(usize::from(first_of_name && head.text == "doo"))
}

/// Words that are no part of a legal form, and whether there was one.
fn split(name: &str) -> (Vec<String>, bool) {
    let name = name.replace("&amp;", "&");
    let words = words(&name);
    let mut kept = Vec::new();
    let mut any = false;
    let mut at = 0;
    while let Some(rest) = words.get(at..).filter(|rest| !rest.is_empty()) {
        match form_at(rest, at == 0) {
            0 => {
                kept.extend(rest.first().map(|word| word.text.clone()));
                at += 1;
            }
            length => {
                any = true;
                at += length;
            }
        }
    }
    (kept, any)
}

/// Whether a name has a legal form, so that it is a company's.
#[must_use]
pub fn has_legal_form(name: &str) -> bool {
    split(name).1
}

/// What two spellings of one company's name share: letters and digits in order, without legal forms.
#[must_use]
pub fn company_key(name: &str) -> String {
    split(name).0.concat()
}

/// The words, letters and numbers of a name, without legal forms and connectives; where nothing is left, those too.
fn telling_words(name: &str) -> Vec<String> {
    let (words, _) = split(name);
    let telling: Vec<String> =
        words.iter().filter(|word| !CONNECTIVES.contains(&word.as_str())).cloned().collect();
    if telling.iter().any(|word| is_word(word)) { telling } else { words }
}

/// Those of the telling words that few names have; where nothing is left, all of them.
fn significant_words(telling: &[String]) -> Vec<&str> {
    let rare = |word: &&str| is_word(word) && !COMMON.contains(word);
    let words: Vec<&str> = telling.iter().map(String::as_str).collect();
    if words.iter().any(rare) {
        words.into_iter().filter(|word| rare(word) || is_number(word)).collect()
    } else {
        words
    }
}

/// Whether two names may be one company's or person's: they read the same without blanks, or one side has none, or they
/// share a significant word and at most one of them has words, letters or numbers that the other lacks. So `Alfa` may be
/// `Alfa Gradnje`, and `J. Novak` `Janez Novak`, but `Alfa Gradnje` is not `Alfa Transport`, nor is `Studio 1` `Studio 2`
/// or `A. Kos` `B. Kos`: they share an owner, and often an accountant's address.
#[must_use]
pub fn names_agree(a: Option<&str>, b: Option<&str>) -> bool {
    let whole = |name: Option<&str>| name.map(company_key).unwrap_or_default();
    if whole(a) == whole(b) {
        return true;
    }
    let telling = |name: Option<&str>| name.map(telling_words).unwrap_or_default();
    let (a, b) = (telling(a), telling(b));
    if a.is_empty() || b.is_empty() {
        return true;
    }
    let theirs = significant_words(&b);
    let share = significant_words(&a).iter().any(|word| !is_number(word) && theirs.contains(word));
    let lacks = |one: &[String], other: &[String]| {
        one.iter().any(|word| !other.iter().any(|another| word == another || is_initial(word, another)))
    };
    share && !(lacks(&a, &b) && lacks(&b, &a))
}

/// Whether one of them is the other's first letter, and no more.
fn is_initial(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    is_word(long) && short.chars().count() == 1 && long.starts_with(short)
}

/// Longer than a letter, and no number.
fn is_word(text: &str) -> bool {
    text.chars().count() > 1 && !is_number(text)
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_forms() {
        for name in [
            "Alfa d.o.o.",
            "Alfa d. o. o.",
            "ALFA D.O.O",
            "Alfa doo",
            "Alfa, d.o.o., Ljubljana",
            "Alfa d.o.o",
            "Alfa DOO",
            "Ana Kos s.p.",
            "Ana Kos, s. p.",
            "ANA KOS SP",
            "Ana Kos sp",
            "Frizerstvo Ana, Ana Kos s.p., Kranj",
            "Beta d.d.",
            "Beta, d. d.",
            "Gama d.n.o.",
            "Delta k.d.",
            "Alpha GmbH",
            "Alpha GMBH & Co. KG",
            "Alpha AG",
            "Alpha Ltd.",
            "Alpha LLC",
            "Alpha s.r.o.",
            "Alpha spol. s r.o.",
            "Alpha S.p.A.",
            "Alpha SPA",
            "Alpha S.r.l.",
            "Alpha SRL",
            "Alpha S.A.",
            "Alpha B.V.",
            "Alpha Kft.",
            "Alpha Sp. z o.o.",
            "Alpha Inc",
            "Alpha e.U.",
            "Alpha j.d.o.o.",
            "Ana Kos, samostojni podjetnik",
            "d.o.o. Alfa",
            "Alfa d\u{200b}.o.o.",
        ] {
            assert!(has_legal_form(name), "{name}");
        }
        for name in [
            "Ana Kos",
            "Terme Spa",
            "Dooley",
            "Ana Maria Sá",
            "As Novak",
            "Sp",
            "Agata Ag",
            "Marko Sel",
            "Alfa",
            "",
            "D. Novak",
            "Co Ana",
            "Kadunc",
            "Se ne ve",
            "Incognito",
            "Limitova",
        ] {
            assert!(!has_legal_form(name), "{name}");
        }
    }

    #[test]
    fn words_that_count() {
        for (name, expected) in [
            ("Alfa d.o.o.", vec!["alfa"]),
            ("ALFA TRGOVINA d. o. o.", vec!["alfa"]),
            ("Žagar &amp; sinovi s.p.", vec!["zagar"]),
            ("Trgovina d.o.o.", vec!["trgovina"]),
            ("Firma 7", vec!["firma", "7"]),
            ("H&M GmbH", vec!["h", "m"]),
            ("d.o.o.", vec![]),
        ] {
            assert_eq!(significant_words(&telling_words(name)), expected, "{name}");
        }
    }

    #[test]
    fn agreement() {
        for (a, b) in [
            ("Alfa d.o.o.", "ALFA, d. o. o."),
            ("Čebelarstvo Kos", "Cebelarstvo KOS s.p."),
            ("Kos &amp; Novak", "Kos & Novak"),
            ("Alfa Trade d.o.o.", "AlfaTrade"),
            ("H&M", "h &amp; m"),
            ("Alfa d.o.o.", "d.o.o."),
            ("Ana Kos", "Kos Ana"),
            ("Trgovina", "trgovina d.o.o."),
            ("Studio 1", "STUDIO 1 d.o.o."),
            ("Alfa", "Alfa Gradnje d.o.o."),
            ("Alfa, podjetje za trgovino, d.o.o.", "ALFA TRGOVINO"),
            ("Ana Kos", "Frizerstvo Ana, Ana Kos s.p."),
            ("J. Novak", "Janez Novak"),
            ("Novak J. s.p.", "Mizarstvo Janez Novak"),
            ("C&A Moda", "C & A Moda Ljubljana"),
        ] {
            assert!(names_agree(Some(a), Some(b)), "{a} / {b}");
            assert!(names_agree(Some(b), Some(a)), "{b} / {a}");
        }
        for (a, b) in [
            ("Alfa d.o.o.", "Beta d.o.o."),
            ("Trgovina Alfa", "Trgovina Beta"),
            ("Firma 0", "Firma 1"),
            ("Alpha GmbH", "Alfa GmbH"),
            ("Studio 1", "Studio 2"),
            ("Ana Kos s.p.", "Bojan Novak s.p."),
            ("Alfa in partner", "Beta in drugi"),
            ("Alfa Gradnje d.o.o.", "Alfa Transport d.o.o."),
            ("Kmetija Novak", "Kmetija Horvat"),
            ("Ana Novak", "Janez Novak"),
            ("Novak Lesarstvo s.p.", "Novak Kovinarstvo s.p."),
            ("H&M", "H&K"),
            ("A. Kos s.p.", "B. Kos s.p."),
            ("J. Zupan", "Miha Zupan"),
            ("C & A Moda", "H & A Moda"),
            ("Bar Sonce I", "Bar Sonce V"),
            ("Kmetija Novak A", "Kmetija Novak B"),
            ("Obrt Marko", "Obrt Ivan"),
            ("Društvo upokojencev Kranj", "Društvo upokojencev Bled"),
        ] {
            assert!(!names_agree(Some(a), Some(b)), "{a} / {b}");
        }
        assert!(
            names_agree(None, Some("Alfa"))
                && names_agree(Some("\u{200b}"), Some("Alfa"))
                && names_agree(None, None)
        );
    }
}
