//! Text for people, one JSON document for programs: the one way to standard output.
//!
//! What cannot be written is remembered and decides the exit code at the end ([`finish`]): a reader that has seen enough and
//! closed its pipe is no failure, a full disk is one.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Mutex;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Why nothing more is written.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Width of tables that go into a file or another program.
const PIPED_WIDTH: u16 = 160;

fn failed() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    FAILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes text as it is; once something could not be written, nothing more is tried.
pub(crate) fn print(text: &str) {
    let mut failed = failed();
    if failed.is_none() {
        *failed = io::stdout().lock().write_all(text.as_bytes()).err();
    }
}

/// Writes a line for people.
pub(crate) fn print_line(text: impl std::fmt::Display) {
    print(&format!("{}\n", shown(&text.to_string())));
}

/// Writes what is still held back, for a reader that waits for it.
pub(crate) fn flush() {
    let mut failed = failed();
    if failed.is_none() {
        *failed = io::stdout().lock().flush().err();
    }
}

/// Whether anybody still reads.
pub(crate) fn is_open() -> bool {
    failed().is_none()
}

/// Writes a line to standard error, if anybody reads it.
pub(crate) fn print_error(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(&text.to_string()));
}

/// Asks on standard error, without ending the line.
pub(crate) fn ask(text: &str) {
    let mut error = io::stderr().lock();
    let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
}

/// Ends the output.
///
/// # Errors
/// When something could not be written, and the reader had not simply closed its end.
pub(crate) fn finish() -> Result<(), String> {
    flush();
    match failed().as_ref() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "the output could not be written ({error}): what was printed is not complete; make room or print to another place"
        )),
        _ => Ok(()),
    }
}

/// Prints the one document of a `--json` command.
pub(crate) fn print_json(value: &Value) {
    print(&format!("{value:#}\n"));
}

/// Prints rows as a table, or says that there are none.
pub(crate) fn print_table(header: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        print_line(none);
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(PIPED_WIDTH);
    }
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| shown(cell)));
    }
    print_line(table);
}

/// A text without what would move a terminal's cursor or turn its reading direction.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(
            |sign| {
                if !crate::capability::logging::is_harmless(sign) && sign != '\n' { '\u{fffd}' } else { sign }
            },
        )
        .collect()
}

/// A JSON array of objects as a table of these members.
pub(crate) fn print_rows(rows: &[Value], members: &[&str], none: &str) {
    let text = |row: &Value, member: &str| match row.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| members.iter().map(|member| text(row, member)).collect()).collect();
    print_table(members, &rows, none);
}
