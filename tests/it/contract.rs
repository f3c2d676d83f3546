//! Is the list of powers the component asks for exactly the one that was agreed on, and is the component small?

use host_harness::plugin::{COMPONENT, imports};

/// The powers, and what Rust's standard library drags in for the target; the host answers the latter with traps. A new
/// line here is a new power: it needs a reason in `ARCHITECTURE.md`, not only a new line.
const IMPORTS: &str = "\
metakocka:crm-sync/clock@0.1.0
metakocka:crm-sync/http@0.1.0
metakocka:crm-sync/logging@0.1.0
metakocka:crm-sync/storage@0.1.0
metakocka:crm-sync/types@0.1.0
wasi:cli/environment@0.2.6
wasi:cli/exit@0.2.6
wasi:cli/stderr@0.2.6
wasi:cli/stdin@0.2.6
wasi:cli/stdout@0.2.6
wasi:cli/terminal-input@0.2.6
wasi:cli/terminal-output@0.2.6
wasi:cli/terminal-stderr@0.2.6
wasi:cli/terminal-stdin@0.2.6
wasi:cli/terminal-stdout@0.2.6
wasi:io/error@0.2.6
wasi:io/poll@0.2.6
wasi:io/streams@0.2.6
";

/// Megabytes are paid for at every start and download.
const MOST_BYTES: usize = 1_310_720;

#[test]
fn the_component_asks_for_these_powers_and_no_other() {
    let mut names = imports(COMPONENT).unwrap();
    names.sort();
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    assert_eq!(text, IMPORTS, "the imports are\n{text}");
}

#[test]
fn the_component_is_small() {
    println!("the component has {} bytes", COMPONENT.len());
    assert!(COMPONENT.len() < MOST_BYTES, "{} bytes", COMPONENT.len());
}

/// What is written for other hosts is the very same component.
#[test]
fn the_written_component_is_the_built_one() {
    let site = crate::site();
    let _ = site.run(&["component", "--out", "plugin.wasm"]).exits(0);
    assert_eq!(std::fs::read(site.path("plugin.wasm")).unwrap(), COMPONENT);
}

/// Its panic messages name nobody's folders.
#[test]
fn the_component_knows_no_machine() {
    for folder in [env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR")] {
        assert!(memchr::memmem::find(COMPONENT, folder.as_bytes()).is_none(), "{folder}");
    }
}
