//! The harness under test: what `host-harness/src/main.rs` is, built with this package so that it is always there.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_harness::cli::main()
}
