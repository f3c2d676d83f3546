//! The proof, from outside. One module per question; `tests/README.md` says which is which.

// The lints are relaxed inside of `cfg(test)` only, which an integration test has to say for itself.
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bad_rows;
#[cfg(test)]
mod both_sides;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod disappearance;
#[cfg(test)]
mod first_import;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod link_columns;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod lost_answers;
#[cfg(test)]
mod output;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod promise;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod push;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod told;

/// The program these tests run, and where they may keep things.
#[cfg(test)]
const BUILD: proof::site::Build = proof::site::Build {
    binary: env!("CARGO_BIN_EXE_harness-under-test"),
    scratch: env!("CARGO_TARGET_TMPDIR"),
};

/// A scratch installation.
#[cfg(test)]
fn site() -> proof::site::Site {
    proof::site::Site::new(BUILD)
}
