//! Does a command whose output cannot be written say so, and does one whose reader has gone end quietly?

use std::fs::File;
use std::process::{Command, Stdio};

use proof::erp::Erp;
use proof::site::{Ran, Site};

use crate::site;

/// Every command. `{n}` is another number each time, `{connect}` the connection's arguments.
const COMMANDS: &[&str] = &[
    "--help",
    "--version",
    "help crm import",
    "sync --help",
    "tenant add T{n}",
    "tenant list",
    "connect --tenant Alfa {connect}",
    "test-connection --tenant Alfa",
    "settings get --tenant Alfa contacts.direction",
    "settings set --tenant Alfa contacts.direction bidirectional",
    "settings list --tenant Alfa",
    "crm import --tenant Alfa --collection contacts one.jsonl",
    "crm export --tenant Alfa --collection contacts",
    "crm delete --tenant Alfa --collection contacts --ids one",
    "plan --tenant Alfa",
    "sync --tenant Alfa",
    "unsynced --tenant Alfa",
    "links --tenant Alfa",
    "history --tenant Alfa",
    "runs --tenant Alfa",
    "conflicts list --tenant Alfa",
    "quarantine list --tenant Alfa",
    "quarantine retry --tenant Alfa",
    "component --out built.wasm",
    "sandbox",
    "demo --partners 60",
];

fn never_panics(ran: &Ran) {
    assert!(!ran.err.contains("panicked") && ran.code != 101, "{ran}");
}

fn prepared() -> (Erp, Site) {
    let (erp, site) = (Erp::with(12, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    std::fs::write(site.path("one.jsonl"), "{\"id\":\"one\",\"company\":\"Ena d.o.o.\"}\n").unwrap();
    (erp, site)
}

/// Runs all commands, as text and as JSON, with this standard output.
fn all(stdout: impl Fn() -> Stdio, judge: impl Fn(&Ran)) {
    let (erp, site) = prepared();
    let at = erp.running();
    let connect = format!("--base-url {} --company-id {}", at.base_url, at.company_id);
    let mut number = 0;
    for command in COMMANDS {
        // `help` takes no options.
        for json in [false, true].into_iter().filter(|json| !(*json && command.starts_with("help "))) {
            if command.contains("delete") {
                site.import("Alfa", &[serde_json::json!({ "id": "one", "company": "Ena d.o.o." })]);
            }
            number += 1;
            let typed = command.replace("{n}", &number.to_string()).replace("{connect}", &connect);
            let mut args: Vec<&str> = typed.split(' ').collect();
            if json {
                args.push("--json");
            }
            let mut command: Command = site.command(&args);
            command.env("HARNESS_SECRET_KEY", &at.secret_key).stdout(stdout());
            let ran = site.finish(command, None);
            never_panics(&ran);
            judge(&ran);
        }
    }
    println!("{number} commands");
}

#[test]
fn a_full_disk_fails_every_command_and_is_named() {
    all(
        || File::options().write(true).open("/dev/full").unwrap().into(),
        |ran| {
            assert_eq!(ran.code, 1, "{ran}");
            assert!(ran.err.contains("could not be written"), "{ran}");
        },
    );
}

#[test]
fn a_reader_that_is_gone_ends_every_command_quietly() {
    all(
        || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer.into()
        },
        |ran| {
            assert_eq!(ran.code, 0, "{ran}");
            // A run may warn, `unsynced` may note; of the output there is nothing to say.
            assert!(!ran.err.contains("written") && !ran.err.contains("error"), "{ran}");
        },
    );
}

/// The exit code of a run that failed is not lost with its reader.
#[test]
fn a_gone_reader_does_not_make_a_failure_a_success() {
    let site = site();
    for (args, code) in [(&["links", "--tenant", "Nobody"][..], 2), (&["frobnicate"], 2)] {
        for json in [false, true] {
            let args = if json { [args, &["--json"]].concat() } else { args.to_vec() };
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = site.command(&args);
            command.stdout(writer);
            let ran = site.finish(command, None);
            never_panics(&ran);
            assert_eq!(ran.code, code, "{ran}");
        }
    }
}

/// Where nothing can be said at all, the exit code still speaks.
#[test]
fn standard_error_that_cannot_be_written_is_no_crash() {
    let site = site();
    for args in [&["links", "--tenant", "Nobody"][..], &["frobnicate"], &[]] {
        let mut command = site.command(args);
        command.env("HARNESS_LOG", "debug");
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
        assert_eq!(site.finish(command, None).code, 2, "{args:?}");
    }
}

/// A reader that leaves in the middle of many rows.
#[test]
fn head_reads_one_line_and_leaves() {
    use std::io::{BufRead as _, BufReader};
    let (erp, site) = (Erp::with(3_000, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    for args in [
        &["links", "--tenant", "Alfa"][..],
        &["links", "--tenant", "Alfa", "--json"],
        &["crm", "export", "--tenant", "Alfa", "--collection", "contacts"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = site.command(args);
        command.stdout(writer);
        let child = command.spawn().unwrap();
        // The command's own end of the pipe must be the only one.
        drop(command);
        let mut line = String::new();
        BufReader::with_capacity(64, reader).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
    }
}

#[test]
fn a_wrong_argument_is_one_document() {
    let site = site();
    for args in
        [&["sync"][..], &["sync", "--tenant"], &["nonsense"], &["links", "--tenant", "A", "--limit", "x"]]
    {
        let ran = site.run(&[args, &["--json"]].concat()).exits(2);
        assert_eq!(ran.json()["success"], false, "{ran}");
        assert!(!ran.json()["error"].as_str().unwrap().is_empty() && !ran.err.is_empty(), "{ran}");
        let ran = site.run(args).exits(2);
        assert!(ran.out.is_empty() && ran.err.contains("error"), "{ran}");
    }
}

/// Text of others never moves the cursor of whoever reads a table.
#[test]
fn tables_hold_no_escapes() {
    let site = site();
    let _ = site.run(&["tenant", "add", "Alfa \u{1b}[2J\u{202e}"]);
    let ran = site.run(&["tenant", "list"]).exits(0);
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'), "{ran}");
}
