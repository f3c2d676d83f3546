//! Text for people, one JSON document for programs.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints the one document of a `--json` command.
pub(crate) fn print_json(value: &Value) {
    println!("{value:#}");
}

/// Prints rows as a table, or says that there are none.
pub(crate) fn print_table(header: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        println!("{none}");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    println!("{table}");
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
