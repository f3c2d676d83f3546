//! Runs the console sessions of a Markdown page again.
//!
//! The format, as people write it anyway:
//!
//! ~~~text
//! ```console
//! $ host-harness sandbox --partners 200 --seed 7 > sandbox.json &
//! $ host-harness tenant add Alfa
//! Added tenant Alfa (0193e0a1-0000-7000-8000-000000000000)
//! $ host-harness connect --tenant Alfa --base-url BASE_URL --company-id COMPANY_ID
//! ...
//! ```
//! ~~~
//!
//! All blocks of a page are one session, in order. `$ host-harness ARGS` and `$ cargo run --release -- ARGS` are run; what
//! follows, up to the next `$`, must be what they print to both outputs, standard output first. A line `...` stands for
//! any number of lines, also none. `sandbox` is started in this process: `BASE_URL` and `COMPANY_ID` then stand for its own,
//! `HARNESS_SECRET_KEY` is set, and its first line goes to the file after `>`, if there is one. `echo 'TEXT' > FILE` writes
//! a file, `echo 'TEXT' | host-harness ARGS` gives it to a command. Other `$` lines are refused, because nobody would notice
//! that they are not true any more.
//!
//! What changes from run to run is compared by its shape: ids (UUID), times (RFC 3339), ports of 127.0.0.1, and numbers
//! before ` ms`, ` s` and ` MiB`. An id learned from an answer replaces the page's one in the commands after it.

use std::collections::HashMap;

use metakocka_sandbox::Options;

use crate::erp::Erp;
use crate::site::Site;

/// One command of a session, and what it should print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line of the page it stands in.
    pub line: usize,
    /// What follows the `$`.
    pub command: String,
    /// The lines it prints.
    pub output: Vec<String>,
}

/// The commands of all ```` ```console ```` blocks of a page.
#[must_use]
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (line, text) in (1..).zip(page.lines()) {
        if text.trim_start().starts_with("```") {
            inside = !inside && text.trim() == "```console";
        } else if inside {
            match text.strip_prefix("$ ") {
                Some(command) => {
                    steps.push(Step { line, command: command.trim().to_owned(), output: Vec::new() });
                }
                None => {
                    if let Some(step) = steps.last_mut() {
                        step.output.push(text.to_owned());
                    }
                }
            }
        }
    }
    steps
}

/// Runs a page's session in a scratch installation; says how many commands that were.
///
/// # Errors
/// Which command did not do what the page says, and what it did instead; or that there is no session.
pub fn replay(page: &str, site: &Site) -> Result<usize, String> {
    let steps = steps(page);
    if steps.is_empty() {
        return Err("the page has no ```console block with a `$ host-harness` command".to_owned());
    }
    let mut session = Session { site, erp: Vec::new(), known: HashMap::new() };
    for step in &steps {
        session.run(step).map_err(|why| format!("line {}: $ {}\n{why}", step.line, step.command))?;
    }
    Ok(steps.len())
}

struct Session<'s> {
    site: &'s Site,
    erp: Vec<Erp>,
    /// An id of the page to the real one.
    known: HashMap<String, String>,
}

impl Session<'_> {
    fn run(&mut self, step: &Step) -> Result<(), String> {
        let words = words(&step.command)?;
        let bare: Vec<&str> = words.iter().map(String::as_str).collect();
        let (args, input) = match bare.as_slice() {
            ["echo", text, ">", file] => {
                return std::fs::write(self.site.path(file), format!("{text}\n"))
                    .map_err(|error| format!("{file}: {error}"));
            }
            ["echo", text, "|", "host-harness", args @ ..] => (args, Some(format!("{text}\n"))),
            ["host-harness", args @ ..] | ["cargo", "run", "--release", "--", args @ ..] => (args, None),
            _ => return Err("this runner does not know such a command".to_owned()),
        };
        if args.first() == Some(&"sandbox") {
            return self.sandbox(args);
        }
        let args: Vec<String> = args.iter().map(|word| self.filled_in(word)).collect::<Result<_, _>>()?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.site.command(&args);
        if let Some(erp) = self.erp.last() {
            command.env("HARNESS_SECRET_KEY", &erp.running().secret_key);
        }
        let ran = self.site.finish(command, input.as_deref());
        let printed = format!("{}{}", ran.out, ran.err);
        let printed: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = step.output.iter().map(String::as_str).collect();
        self.known = matches(&expected, &printed, &self.known).ok_or_else(|| {
            format!(
                "the page says\n{}\nit printed (exit code {})\n{}",
                step.output.join("\n"),
                ran.code,
                printed.join("\n")
            )
        })?;
        Ok(())
    }

    fn sandbox(&mut self, args: &[&str]) -> Result<(), String> {
        let number = |name: &str, default: u64| match args.iter().position(|arg| *arg == name) {
            Some(at) => {
                args.get(at + 1).and_then(|text| text.parse().ok()).ok_or(format!("{name} has no number"))
            }
            None => Ok(default),
        };
        let partners = usize::try_from(number("--partners", 0)?).map_err(|error| error.to_string())?;
        let erp = Erp::start(Options { partners, seed: number("--seed", 1)?, ..Options::default() });
        if let Some(file) = args.iter().position(|arg| *arg == ">").and_then(|at| args.get(at + 1)) {
            std::fs::write(self.site.path(file), format!("{}\n", erp.running().announcement()))
                .map_err(|error| format!("{file}: {error}"))?;
        }
        self.erp.push(erp);
        Ok(())
    }

    fn filled_in(&self, word: &str) -> Result<String, String> {
        let at = self.erp.last().map(Erp::running);
        let missing = || "no sandbox was started before".to_owned();
        Ok(match word.trim_start_matches('$') {
            "BASE_URL" => at.ok_or_else(missing)?.base_url.clone(),
            "COMPANY_ID" => at.ok_or_else(missing)?.company_id.clone(),
            _ => pieces(word)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Id(id) => self.known.get(&id).cloned().unwrap_or(id),
                    Piece::Volatile(text) | Piece::Text(text) => text,
                })
                .collect(),
        })
    }
}

/// Splits a command as a shell does: blanks, and both kinds of quotes.
fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if quote.is_some() { Err("a quote stays open".to_owned()) } else { Ok(words) }
}

/// Whether the printed lines are the expected ones; answers the ids known then.
fn matches(
    expected: &[&str],
    printed: &[&str],
    known: &HashMap<String, String>,
) -> Option<HashMap<String, String>> {
    let Some((first, rest)) = expected.split_first() else {
        return printed.iter().all(|line| line.trim().is_empty()).then(|| known.clone());
    };
    if first.trim() == "..." {
        return (0..=printed.len()).find_map(|skipped| matches(rest, &printed[skipped..], known));
    }
    let (line, others) = printed.split_first()?;
    let known = same_line(first, line, known)?;
    matches(rest, others, &known)
}

fn same_line(
    expected: &str,
    printed: &str,
    known: &HashMap<String, String>,
) -> Option<HashMap<String, String>> {
    let (expected, printed) = (pieces(expected.trim_end()), pieces(printed.trim_end()));
    if expected.len() != printed.len() {
        return None;
    }
    let mut known = known.clone();
    for pair in expected.into_iter().zip(printed) {
        match pair {
            (Piece::Text(one), Piece::Text(other)) if one == other => {}
            (Piece::Volatile(_), Piece::Volatile(_)) => {}
            (Piece::Id(shown), Piece::Id(real)) => {
                if *known.entry(shown).or_insert_with(|| real.clone()) != real {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(known)
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Id(String),
    Volatile(String),
    Text(String),
}

/// Takes a line apart into what must be the same and what may differ.
fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let boundary = text.chars().last().is_none_or(|before| !before.is_ascii_alphanumeric());
        let volatile = if boundary { volatile(rest, &text) } else { None };
        if let Some((length, id)) = volatile {
            let (found, after) = rest.split_at(length);
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(if id { Piece::Id(found.to_owned()) } else { Piece::Volatile(found.to_owned()) });
            rest = after;
        } else {
            text.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// The length of something that changes from run to run at the start of `rest`, and whether it is an id.
fn volatile(rest: &str, before: &str) -> Option<(usize, bool)> {
    let shape = |pattern: &str| {
        let found = rest.get(..pattern.len())?;
        let fits = found.chars().zip(pattern.chars()).all(|(letter, wanted)| match wanted {
            'x' => letter.is_ascii_hexdigit(),
            '0' => letter.is_ascii_digit(),
            _ => letter == wanted,
        });
        fits.then_some(pattern.len())
    };
    if let Some(length) = shape("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
        return Some((length, true));
    }
    if let Some(length) = shape("0000-00-00T00:00:00.000Z").or(shape("0000-00-00T00:00:00Z")) {
        return Some((length, false));
    }
    let length = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    let after = &rest[length..];
    let unit = [" ms", " s", " MiB"].into_iter().any(|unit| {
        after.strip_prefix(unit).is_some_and(|end| !end.starts_with(|letter: char| letter.is_alphanumeric()))
    });
    let member = ["_ms\": ", "_mib\": "].into_iter().any(|name| before.ends_with(name));
    (length > 0 && (unit || member || before.ends_with("127.0.0.1:"))).then_some((length, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Page

```sh
$ host-harness not run
```

```console
$ host-harness tenant add Alfa
Added tenant Alfa (0193e0a1-0000-7000-8000-000000000000)
$ host-harness sync --tenant Alfa
...
  calls 1, 12 ms
```
";

    #[test]
    fn a_page_is_taken_apart() {
        let steps = steps(PAGE);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].line, steps[0].command.as_str()), (8, "host-harness tenant add Alfa"));
        assert_eq!(steps[1].output, ["...", "  calls 1, 12 ms"]);
    }

    #[test]
    fn words_as_a_shell_sees_them() {
        assert_eq!(
            words(r#"echo '{"id":"a b"}' | host-harness crm"#).unwrap(),
            ["echo", r#"{"id":"a b"}"#, "|", "host-harness", "crm"]
        );
        assert_eq!(words("a ''").unwrap(), ["a", ""]);
        assert!(words("echo 'a").is_err());
    }

    #[test]
    fn what_counts_as_printed() {
        let same =
            |expected: &[&str], printed: &[&str]| matches(expected, printed, &HashMap::new()).is_some();
        for (expected, printed, fits) in [
            (&["one", "two"][..], &["one", "two"][..], true),
            (&["one"], &["one", "two"], false),
            (&["one", "two"], &["one"], false),
            (&["one", "..."], &["one", "two", "three"], true),
            (&["...", "three"], &["one", "two", "three"], true),
            (&["...", "four"], &["one", "two", "three"], false),
            (&["one", "...", "three"], &["one", "three"], true),
            (&["done in 12 ms"], &["done in 7 ms"], true),
            (&["12 made"], &["7 made"], false),
            (&["peak 3.5 MiB"], &["peak 12 MiB"], true),
            (&["  \"duration_ms\": 12,"], &["  \"duration_ms\": 1234,"], true),
            (&["http://127.0.0.1:8080/rest"], &["http://127.0.0.1:41234/rest"], true),
            (&["at 2026-11-23T08:30:00Z"], &["at 2027-01-01T00:00:00Z"], true),
            (&[], &[], true),
            (&[], &["something"], false),
        ] {
            assert_eq!(same(expected, printed), fits, "{expected:?} {printed:?}");
        }
    }

    #[test]
    fn an_id_stays_the_same_through_a_session() {
        let (a, b) = ("0193e0a1-0000-7000-8000-000000000000", "0193e0a1-0000-7000-8000-000000000001");
        let known = matches(&[a], &[b], &HashMap::new()).unwrap();
        assert!(matches(&[a], &[b], &known).is_some());
        assert!(matches(&[a], &[a], &known).is_none());
    }
}
