//! What is printed arrives, or the exit code says that it did not.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use proof::erp::Erp;
use proof::site::Site;
use serde_json::json;

use crate::site;

fn installation() -> (Erp, Site) {
    let (erp, site) = (Erp::with(30, 1), site());
    site.tenant("Alfa", &erp);
    let _ = site.sync("Alfa", "from-metakocka");
    site.import("Alfa", &[json!({ "id": "one", "company": "Ena d.o.o." })]);
    (erp, site)
}

/// Every command that prints, with what it needs.
const COMMANDS: [&[&str]; 18] = [
    &["--help"],
    &["--version"],
    &["sync", "--help"],
    &["tenant", "list"],
    &["settings", "list", "--tenant", "Alfa"],
    &["settings", "get", "--tenant", "Alfa", "contacts.direction"],
    &["settings", "set", "--tenant", "Alfa", "retry.max-retries", "3"],
    &["test-connection", "--tenant", "Alfa"],
    &["crm", "export", "--tenant", "Alfa", "--collection", "contacts"],
    &["unsynced", "--tenant", "Alfa", "--kind", "contacts"],
    &["links", "--tenant", "Alfa"],
    &["history", "--tenant", "Alfa"],
    &["runs", "--tenant", "Alfa"],
    &["conflicts", "list", "--tenant", "Alfa"],
    &["quarantine", "list", "--tenant", "Alfa"],
    &["plan", "--tenant", "Alfa"],
    &["sync", "--tenant", "Alfa"],
    &["component", "--out", "plugin.wasm"],
];

#[test]
fn a_full_disk_is_no_success() {
    let (_erp, site) = installation();
    for args in COMMANDS {
        for json in [false, true] {
            let mut args = args.to_vec();
            args.extend(json.then_some("--json"));
            let mut command = site.command(&args);
            command.stdout(Stdio::from(File::options().write(true).open("/dev/full").unwrap()));
            let ran = command.output().unwrap();
            let err = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(1), "{args:?}: {err}");
            assert!(err.contains("could not be written") && !err.contains("panicked"), "{args:?}: {err}");
        }
    }
}

/// `links | head -1`: whoever has seen enough closes the pipe, and nothing is wrong.
#[test]
fn a_closed_pipe_ends_quietly() {
    let (_erp, site) = installation();
    for args in COMMANDS {
        let mut child = site.command(args).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!((ended.code(), err.as_str()), (Some(0), ""), "{args:?}");
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
