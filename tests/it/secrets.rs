//! Does the secret key appear anywhere it should not?

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::find;
use metakocka_sandbox::Options;
use proof::erp::Erp;
use proof::records::contacts;
use serde_json::json;

use crate::site;

/// Letters that change when they are escaped, between others that do not.
const SECRET: &str = r#"canary-9f31"ž\/+key-e07c"#;
/// A part of it that no escaping changes.
const PART: &str = "canary-9f31";
const OTHER_PART: &str = "key-e07c";

/// Every spelling somebody could have written it in.
fn spellings() -> Vec<Vec<u8>> {
    let raw = SECRET.as_bytes();
    let json = json!(SECRET).to_string();
    let escaped: String = SECRET
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' { c.to_string() } else { format!("\\u{:04x}", c as u32) }
        })
        .collect();
    let url: String = raw
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(*byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let mut all = vec![
        raw.to_vec(),
        json.trim_matches('"').as_bytes().to_vec(),
        escaped.into_bytes(),
        url.into_bytes(),
        hex::encode(raw).into_bytes(),
        PART.as_bytes().to_vec(),
        OTHER_PART.as_bytes().to_vec(),
    ];
    // In base64 a text looks different at each of three positions; what is left after cutting the edges does not.
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            let shifted = [&vec![b'x'; shift][..], raw].concat();
            let text = engine.encode(shifted);
            all.push(text.as_bytes()[4..text.len() - 4].to_vec());
        }
    }
    all
}

fn holds_secret(bytes: &[u8]) -> Option<String> {
    spellings()
        .iter()
        .find(|spelling| find(bytes, spelling).is_some())
        .map(|spelling| String::from_utf8_lossy(spelling).into_owned())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for spelling in spellings() {
        let text = [b"before ".to_vec(), spelling, b" after".to_vec()].concat();
        assert!(holds_secret(&text).is_some(), "{}", String::from_utf8_lossy(&text));
    }
    assert!(holds_secret(STANDARD.encode(format!("{{\"secret_key\":\"{SECRET}\"}}")).as_bytes()).is_some());
    assert_eq!(holds_secret(b"nothing of it, not even canary or key"), None);
}

#[test]
fn the_secret_is_nowhere() {
    let erp = Erp::start(Options { partners: 30, secret_key: Some(SECRET.to_owned()), ..Options::default() });
    let site = site();
    site.tenant("Alfa", &erp);
    site.set("Alfa", "retry.base-delay-ms", "1");
    site.set("Alfa", "create.settle-seconds", "0");
    site.import("Alfa", &contacts(6));
    let mut said: Vec<(String, String)> = Vec::new();
    let mut run = |what: &str, args: &[&str]| {
        let mut command = site.command(args);
        command.env("HARNESS_LOG", "trace").env("RUST_BACKTRACE", "1");
        let ran = site.finish(command, None);
        if args[0] == "sync" {
            assert!(
                ran.err.contains("TRACE"),
                "{what}: logs are not at trace level, so nothing is proved
{ran}"
            );
        }
        said.push((what.to_owned(), format!("{ran}")));
        ran.code
    };
    let dump = site.path("memory.bin");
    let dump = dump.to_str().unwrap();
    let sync = ["sync", "--tenant", "Alfa", "--direction", "bidirectional", "--json"];
    // The component is compiled anew for dumps. The compiler knows no secret, and would trace for a minute.
    let _ = site.run(&["sync", "--tenant", "Alfa", "--ids", "nobody", "--dump-guest-memory", dump]);
    assert_eq!(run("good run", &[&sync[..], &["--dump-guest-memory", dump]].concat()), 0);
    let memory = std::fs::read(dump).unwrap();
    assert!(find(&memory, b"Kova").is_some(), "the dump holds what the guest worked on");
    assert_eq!(holds_secret(&memory), None, "guest memory");
    assert_eq!(run("test-connection", &["test-connection", "--tenant", "Alfa"]), 0);

    // The vendor repeats the key in its error texts, raw and escaped.
    for (name, rule) in [
        ("scan", json!([{ "match": "get_partner", "fault": "echo-secret", "times": 5 }])),
        ("create", json!([{ "match": "add_partner", "fault": "echo-secret", "times": 5 }])),
        ("update", json!([{ "match": "update_partner", "fault": "echo-secret", "times": 5 }])),
        ("wrong key", json!([{ "match": "*", "fault": "bad-credentials" }])),
        ("dropped", json!([{ "match": "add_partner", "fault": "commit-then-drop", "times": 2 }])),
    ] {
        site.import("Alfa", &contacts(12).split_off(6));
        let touched =
            "UPDATE contacts SET phone = '01 55' || (abs(random()) % 100000) WHERE id LIKE 'company%'";
        let _ = proof::sql::execute(&site.store(), touched);
        erp.faults(rule);
        let _ = run(name, &[&sync[..], &["--dump-guest-memory", dump]].concat());
        assert_eq!(holds_secret(&std::fs::read(dump).unwrap()), None, "guest memory after {name}");
    }
    let _ = run("echoed at test-connection", &["test-connection", "--tenant", "Alfa"]);
    let _ = run("links", &["links", "--tenant", "Alfa", "--json"]);
    let _ = run("runs", &["runs", "--tenant", "Alfa", "--json"]);
    let _ = run("quarantine", &["quarantine", "list", "--tenant", "Alfa", "--json"]);
    let _ = run("history", &["history", "--tenant", "Alfa", "--json"]);
    let _ = run("settings", &["settings", "list", "--tenant", "Alfa", "--json"]);
    let echoed = erp
        .sandbox()
        .requests(0)
        .iter()
        .filter(|request| request["response"].to_string().contains("secret"))
        .count();
    println!("{} outputs at trace level, {} answers that spoke of the secret", said.len(), echoed);

    for (what, text) in &said {
        assert_eq!(holds_secret(text.as_bytes()), None, "output of {what}:\n{text}");
    }
    let requests = serde_json::Value::from(erp.sandbox().requests(0)).to_string();
    assert_eq!(holds_secret(requests.as_bytes()), None, "/requests");
    // Everything on disk: store, write-ahead log, keys, compiled components, dumps.
    let mut all = Vec::new();
    files(&site.path(""), &mut all);
    let store = std::fs::read(site.store()).unwrap();
    assert!(find(&store, erp.running().company_id.as_bytes()).is_some(), "the store holds the connection");
    for file in all {
        assert_eq!(holds_secret(&std::fs::read(&file).unwrap()), None, "{}", file.display());
    }
}

/// Arguments are seen by everybody on the machine, so there is none that takes a secret.
#[test]
fn no_argument_takes_a_secret() {
    let site = site();
    let help = site.run(&["connect", "--help"]).exits(0).out;
    assert!(help.contains("--secret-file"), "{help}");
    for attempt in ["--secret", "--secret-key", "--key"] {
        let _ = site
            .run(&[
                "connect",
                "--tenant",
                "A",
                "--base-url",
                "http://x/",
                "--company-id",
                "1",
                attempt,
                SECRET,
            ])
            .exits(2);
    }
}
