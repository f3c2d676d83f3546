//! What the plugin says, bounded and made harmless before anybody reads it.
//!
//! Lines go to a terminal or a log viewer, and a guest may say anything: control characters are escaped, long
//! lines are cut, a flood ends in one counted line, and the connection's secret is covered.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::http::Redactor;
use crate::plugin::HostState;
use crate::plugin::bindings::metakocka::crm_sync::logging as contract;

pub use contract::{Category, Level};

/// One line.
#[derive(Debug, Clone)]
pub struct LogRecord {
    /// When it was said.
    pub timestamp: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// What it is about.
    pub category: Category,
    /// The sentence.
    pub message: String,
    /// Named values.
    pub fields: Vec<(String, String)>,
}

/// Where lines and progress go. Must not wait.
pub trait LogSink: Send + Sync {
    /// Takes a line.
    fn record(&self, record: LogRecord);

    /// Takes how far the run is; `total` is absent when it is not known.
    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let _ = (stage, done, total);
    }
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl LogSink for Silence {
    fn record(&self, _record: LogRecord) {}
}

/// How much a run may say.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Bytes of one line, its fields included.
    pub line_bytes: usize,
    /// Lines of a run; as many again for errors alone, which chatter does not push out.
    pub lines: u64,
    /// Bytes of all lines of a run.
    pub bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { line_bytes: 8 * 1024, lines: 2_000, bytes: 1024 * 1024 }
    }
}

/// The power to say something, for one run.
pub struct Logging {
    sink: Arc<dyn LogSink>,
    redactor: Redactor,
    limits: LogLimits,
    lines: u64,
    bytes: u64,
    dropped: u64,
    last_error: Option<String>,
}

impl Logging {
    /// Sends lines to this sink, without the redactor's secret.
    pub fn new(sink: Arc<dyn LogSink>, redactor: Redactor) -> Self {
        Self {
            sink,
            redactor,
            limits: LogLimits::default(),
            lines: 0,
            bytes: 0,
            dropped: 0,
            last_error: None,
        }
    }

    /// Changes how much may be said.
    pub fn limit(&mut self, limits: LogLimits) {
        self.limits = limits;
    }

    /// The last line of level error: a guest's panic hook speaks through it.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Takes a line.
    pub fn log(
        &mut self,
        timestamp: DateTime<Utc>,
        level: Level,
        category: Category,
        message: &str,
        fields: &[(String, String)],
    ) {
        let share = if level == Level::Error { 2 } else { 1 };
        let full = self.lines >= self.limits.lines.saturating_mul(share)
            || self.bytes >= self.limits.bytes.saturating_mul(share);
        if full && level != Level::Error {
            self.dropped += 1;
            return;
        }
        // Half of the line is the fields': which record it is about must not be cut off by a long sentence.
        let half = self.limits.line_bytes / 2;
        let mut line = Line { left: half, cut: false, redactor: &self.redactor };
        let mut message = line.clean(message);
        line.left += self.limits.line_bytes - half;
        let mut clean = Vec::new();
        for (name, value) in fields {
            if line.left == 0 {
                line.cut = true;
                break;
            }
            clean.push((line.clean(name), line.clean(value)));
        }
        if line.cut {
            message.push_str(" [cut]");
        }
        let size = self.limits.line_bytes - line.left;
        if level == Level::Error {
            self.last_error = Some(message.clone());
        }
        if full {
            self.dropped += 1;
            return;
        }
        self.lines += 1;
        self.bytes += size as u64;
        self.sink.record(LogRecord { timestamp, level, category, message, fields: clean });
    }

    /// Takes how far the run is.
    pub fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let mut line = Line { left: 100, cut: false, redactor: &self.redactor };
        self.sink.progress(&line.clean(stage), done, total);
    }

    /// Says how many lines were dropped, if any were. Called once, when the run is over.
    pub fn finish(&mut self, timestamp: DateTime<Utc>) {
        if self.dropped > 0 {
            self.sink.record(LogRecord {
                timestamp,
                level: Level::Warning,
                category: Category::General,
                message: format!("{} more lines were dropped: the run said too much", self.dropped),
                fields: Vec::new(),
            });
            self.dropped = 0;
        }
    }
}

/// The room that is left in a line.
struct Line<'a> {
    left: usize,
    cut: bool,
    redactor: &'a Redactor,
}

impl Line<'_> {
    /// The text without the secret, with nothing that a terminal or a log file would obey, as far as it fits.
    fn clean(&mut self, text: &str) -> String {
        // The secret may be at the cut: a little more is looked at than can be kept.
        let window = text.floor_char_boundary(self.left + self.redactor.longest());
        let covered = self.redactor.text(text.get(..window).unwrap_or_default());
        let mut clean = String::with_capacity(covered.len().min(self.left));
        for character in covered.chars() {
            let before = clean.len();
            if is_harmless(character) {
                clean.push(character);
            } else {
                // Writing to a String cannot fail.
                let _ = write!(clean, "{}", character.escape_default());
            }
            if clean.len() > self.left {
                clean.truncate(before);
                self.cut = true;
                break;
            }
        }
        self.cut |= window < text.len();
        self.left -= clean.len();
        clean
    }
}

/// Not a control character, and none of those that turn the direction of text around.
pub(crate) fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Longest text of a run's result.
const LONGEST_TEXT: usize = 4 * 1024;

/// Every text of a document, bounded, without what a terminal or a log viewer would obey. Line ends become spaces.
pub(crate) fn harmless_document(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            let end = text.floor_char_boundary(LONGEST_TEXT);
            if end < text.len() || !text.chars().all(is_harmless) {
                let kept = text.get(..end).unwrap_or_default().chars();
                let mut clean: String = kept.map(|sign| if is_harmless(sign) { sign } else { ' ' }).collect();
                if end < text.len() {
                    clean.push_str(" [cut]");
                }
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(harmless_document),
        Value::Object(members) => members.values_mut().for_each(harmless_document),
        _ => {}
    }
}

impl contract::Host for HostState {
    fn log(
        &mut self,
        level: Level,
        category: Category,
        message: String,
        fields: Vec<contract::Field>,
    ) -> wasmtime::Result<()> {
        self.count_call()?;
        let now = self.now();
        let fields: Vec<_> = fields.into_iter().map(|field| (field.name, field.value)).collect();
        self.logging().log(now, level, category, &message, &fields);
        Ok(())
    }

    fn progress(&mut self, stage: String, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        self.count_call()?;
        self.logging().progress(&stage, done, total);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<LogRecord>>);

    impl LogSink for Kept {
        fn record(&self, record: LogRecord) {
            self.0.lock().unwrap().push(record);
        }
    }

    type Said<'a> = (Level, &'a str, &'a [(&'a str, &'a str)]);

    fn say(lines: &[Said<'_>]) -> (Vec<LogRecord>, Option<String>) {
        let kept = Arc::new(Kept::default());
        let mut logging = Logging::new(kept.clone(), Redactor::new("s3cr3t-key"));
        for (level, message, fields) in lines {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            logging.log(std::time::SystemTime::now().into(), *level, Category::General, message, &fields);
        }
        logging.finish(std::time::SystemTime::now().into());
        let last = logging.last_error().map(str::to_owned);
        (std::mem::take(&mut *kept.0.lock().unwrap()), last)
    }

    #[test]
    fn a_document_holds_nothing_a_terminal_obeys_and_ends() {
        let mut document =
            serde_json::json!({ "a": ["x\u{1b}[2Jy\nz\u{202e}"], "b": { "c": "č".repeat(9_000), "n": 7 } });
        harmless_document(&mut document);
        assert_eq!(document["a"][0], "x [2Jy z ");
        assert_eq!(document["b"]["c"].as_str().unwrap().len(), 4 * 1024 + " [cut]".len());
        assert_eq!(document["b"]["n"], 7);
    }

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        for bad in ["\u{0}", "\u{9b}", "\u{7f}", "\u{61c}", "\u{200b}", "\u{2028}", "\u{2066}", "\u{feff}"] {
            let (records, _) = say(&[(Level::Info, bad, &[(bad, bad)])]);
            let said = format!("{}{}{}", records[0].message, records[0].fields[0].0, records[0].fields[0].1);
            assert!(said.is_ascii() && !said.contains(char::is_control), "{said:?}");
        }
        let (records, _) = say(&[(Level::Info, "\u{1b}[2Ja\r\nb\u{202e}č", &[("k\n", "v\u{7}")])]);
        assert_eq!(records[0].message, "\\u{1b}[2Ja\\r\\nb\\u{202e}č");
        assert_eq!(records[0].fields, [("k\\n".to_string(), "v\\u{7}".to_string())]);
    }

    #[test]
    fn the_secret_is_covered_also_at_the_cut() {
        let (records, _) = say(&[(Level::Info, "key s3cr3t-key", &[("x", "s3cr3t\\u002dkey")])]);
        assert_eq!(records[0].message, "key **********");
        assert_eq!(records[0].fields[0].1, "***************");
        let long = format!("{}s3cr3t-key", "x".repeat(4 * 1024 - 4));
        let (records, _) = say(&[(Level::Info, &long, &[])]);
        assert!(records[0].message.ends_with("x**** [cut]"), "{}", &records[0].message[4_000..]);
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let long = "č".repeat(1024 * 1024);
        let (records, _) = say(&[(Level::Info, &long, &[("name", "value")])]);
        assert_eq!(records[0].message.len(), 4 * 1024 + " [cut]".len());
        assert_eq!(
            records[0].fields,
            [("name".to_owned(), "value".to_owned())],
            "which record it is about is kept"
        );
        let (records, _) = say(&[(Level::Info, &long, &[("name", &long), ("other", &long)])]);
        let size: usize = records[0].fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(size <= 4 * 1024, "{size}");
    }

    #[test]
    fn a_flood_ends_in_one_counted_line_and_the_last_error_is_still_known() {
        let mut lines: Vec<Said<'_>> = vec![(Level::Info, "x", &[]); 5_000];
        lines.push((Level::Error, "the end", &[]));
        let (records, last) = say(&lines);
        assert_eq!(records.len(), 2_002, "the error is not pushed out by chatter");
        assert!(records[2_001].message.starts_with("3000 more lines"), "{}", records[2_001].message);
        let (records, _) = say(&vec![(Level::Error, "x", &[] as &[_]); 5_000]);
        assert_eq!(records.len(), 4_001, "errors end too");
        assert_eq!(last.as_deref(), Some("the end"));
        let wide = "x".repeat(8 * 1024);
        let (records, _) = say(&vec![(Level::Info, wide.as_str(), &[] as &[_]); 400]);
        assert_eq!(records.len(), 257, "1 MiB of lines and the counted one");
    }
}
