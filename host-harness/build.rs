//! Builds the plugin's component, so that one command from a clone gives a binary that holds it.
//!
//! Cargo cannot yet depend on an artifact of another target, so a second cargo runs inside this one. It gets a
//! target folder of its own: in the same one the two would wait for each other's lock for ever.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of the component.
const TARGET: &str = "wasm32-wasip2";
/// Cargo's profile for it.
const PROFILE: &str = "plugin-wasm";
/// Set to 1, the user's toolchain is left alone.
const OPT_OUT: &str = "HARNESS_NO_RUSTUP";
/// A finished component to take instead of building one.
const PREBUILT: &str = "PLUGIN_WASM";

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
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?)
        .parent()
        .ok_or("the crate lies in no workspace")?
        .to_path_buf();
    for part in ["plugin/src", "plugin/Cargo.toml", "wit", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    for name in [PREBUILT, OPT_OUT] {
        println!("cargo::rerun-if-env-changed={name}");
    }

    let component = match env::var_os(PREBUILT).filter(|path| !path.is_empty()) {
        Some(path) => {
            let path = PathBuf::from(path).canonicalize().map_err(|error| format!("{PREBUILT}: {error}"))?;
            println!("cargo::rerun-if-changed={}", path.display());
            path
        }
        None => {
            need_target()?;
            build(&root)?
        }
    };
    if !component.is_file() {
        return Err(format!("{} was not built", component.display()).into());
    }
    println!("cargo::rustc-env={PREBUILT}={}", component.display());
    Ok(())
}

/// Makes sure that the standard library for the target is there.
fn need_target() -> Result<(), Box<dyn Error>> {
    let command = format!("rustup target add {TARGET}");
    if has_target()? {
        return Ok(());
    }
    if env::var_os(OPT_OUT).is_some_and(|value| value == "1") {
        return Err(format!("the target {TARGET} is missing and {OPT_OUT}=1 is set; type: {command}").into());
    }
    // In the workspace, so that the toolchain its file names is the one that gets the target.
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if !added.is_ok_and(|status| status.success()) || !has_target()? {
        return Err(format!("the target {TARGET} is missing and could not be added; type: {command}").into());
    }
    Ok(())
}

fn has_target() -> Result<bool, Box<dyn Error>> {
    let output =
        Command::new(variable("RUSTC")?).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

/// Runs the inner cargo.
fn build(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target_folder = target_folder()?.join("plugin");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--package", "metakocka-sync", "--lib"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(&target_folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OUTER.contains(&text.as_ref())
            || text.starts_with("CARGO_CFG_")
            || text.starts_with("CARGO_FEATURE_")
        {
            cargo.env_remove(&name);
        }
    }
    // Panic messages hold source paths; those of the machine that built the component are nobody's business.
    let mut flags = remaps(root)?;
    // A scan hashes every byte it reads, four times faster with vectors. Every engine that knows asynchronous components
    // knows them.
    flags.push("-Ctarget-feature=+simd128".to_owned());
    // Inlining at the usual measure makes the component a tenth larger, over what it may have.
    flags.push("-Cllvm-args=-inline-threshold=40".to_owned());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if !cargo.status()?.success() {
        return Err("the plugin did not build; its errors are above".into());
    }
    Ok(target_folder.join(TARGET).join(PROFILE).join("metakocka_sync.wasm"))
}

/// Short names for the folders that appear in panic messages, the more special ones last: the last match wins.
fn remaps(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut folders = Vec::new();
    let home = env::var_os("HOME").map(PathBuf::from);
    if let Some(home) = &home {
        folders.push((home.clone(), "/home"));
    }
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or(home.map(|home| home.join(".cargo")));
    if let Some(cargo_home) = cargo_home {
        folders.push((cargo_home, "/cargo"));
    }
    let sysroot = Command::new(variable("RUSTC")?).args(["--print", "sysroot"]).output()?;
    folders.push((PathBuf::from(String::from_utf8(sysroot.stdout)?.trim()), "/rust"));
    folders.push((target_folder()?, "/target"));
    folders.push((root.to_path_buf(), "/source"));
    Ok(folders.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// The outer build's target folder: `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn target_folder() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let folder = out.ancestors().nth(4).ok_or("OUT_DIR is not where cargo puts it")?;
    Ok(folder.to_path_buf())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
