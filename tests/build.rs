//! Builds the guests of `guests/` that the limits are proved with.
//!
//! They are components, so a second cargo runs inside this one, in a target folder of its own: in the same one the two
//! would wait for each other's lock for ever.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of the guests.
const TARGET: &str = "wasm32-wasip2";
/// Every package of `guests/` that is a component.
const GUESTS: [&str; 4] = ["endless-loop", "endless-memory", "quiet", "talkative"];

/// Meant for the outer build. They would send the inner one to another target or folder, or give it flags that
/// its target does not know.
const OUTER: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here.parent().ok_or("the package lies in no workspace")?;
    for part in ["tests/guests", "wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    nothing_is_forgotten(&here)?;

    let out = PathBuf::from(variable("OUT_DIR")?);
    // `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
    let target_folder = out.ancestors().nth(4).ok_or("OUT_DIR is not where cargo puts it")?.join("guests");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(root).args(["build", "--locked", "--release", "--target", TARGET, "--target-dir"]);
    cargo.arg(&target_folder);
    for guest in GUESTS {
        cargo.args(["--package", guest]);
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OUTER.contains(&text.as_ref())
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_FEATURE_")
        {
            cargo.env_remove(&name);
        }
    }
    if !cargo.status()?.success() {
        return Err(format!(
            "the guests did not build; if their target is missing, type: rustup target add {TARGET}"
        )
        .into());
    }
    for guest in GUESTS {
        let name = guest.replace('-', "_");
        let file = target_folder.join(TARGET).join("release").join(format!("{name}.wasm"));
        if !file.is_file() {
            return Err(format!("{} was not built", file.display()).into());
        }
        println!("cargo::rustc-env={}_WASM={}", name.to_uppercase(), file.display());
    }
    Ok(())
}

/// A guest nobody runs proves nothing.
fn nothing_is_forgotten(here: &Path) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(here.join("guests"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "kit" && !GUESTS.contains(&name.as_str()) {
            return Err(format!("tests/guests/{name} is built by nothing: add it to tests/build.rs").into());
        }
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
