//! The compiled component on disk, so that only the first run compiles.
//!
//! Compiled code is run as it is: whoever can write to the file can do whatever the process can. So it lies in
//! a folder of its owner, carries a MAC under the master key, and exactly the bytes that were checked are loaded.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

/// A MAC under a key only the harness has.
pub type Mac = Arc<dyn Fn(&[u8]) -> [u8; 32] + Send + Sync>;

/// Where compiled components are kept, and how their files are sealed.
#[derive(Clone)]
pub struct CacheFolder {
    folder: PathBuf,
    mac: Mac,
}

const MAC_BYTES: usize = 32;

impl CacheFolder {
    /// Keeps compiled components in this folder, which is made with mode 0700 when it is missing.
    pub fn new(folder: impl Into<PathBuf>, mac: Mac) -> Self {
        Self { folder: folder.into(), mac }
    }

    /// The compiled form of this component, if it is there and genuine.
    pub(super) fn load(&self, engine: &wasmtime::Engine, wasm: &[u8]) -> Option<Component> {
        let name = file_name(engine, wasm);
        let bytes = fs::read(self.folder.join(&name)).ok()?;
        let (seal, compiled) = bytes.split_at_checked(MAC_BYTES)?;
        if !same(seal, &self.seal(&name, compiled)) {
            tracing::warn!(file = %name, "the compiled plugin was changed on disk; it is compiled again");
            return None;
        }
        match deserialize(engine, compiled) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %name, %error, "the compiled plugin does not load; it is compiled again");
                None
            }
        }
    }

    /// Keeps the compiled form of this component.
    pub(super) fn store(
        &self,
        engine: &wasmtime::Engine,
        wasm: &[u8],
        component: &Component,
    ) -> io::Result<()> {
        let name = file_name(engine, wasm);
        let compiled = component.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mode = fs::metadata(&self.folder)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?;
        }
        // Two processes may do this at once: each writes a file of its own, and the last rename wins.
        let draft =
            self.folder.join(format!("{name}.{}.{:x}", std::process::id(), getrandom::u32().unwrap_or(0)));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(&self.seal(&name, &compiled))?;
            file.write_all(&compiled)?;
            fs::rename(&draft, self.folder.join(&name))
        })();
        if written.is_err() {
            // The draft is of no use to anybody, and the first error is the one to report.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// The MAC covers the name too, so a genuine file under another name is not genuine.
    fn seal(&self, name: &str, compiled: &[u8]) -> [u8; MAC_BYTES] {
        let mut hash = Sha256::new();
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(compiled);
        (self.mac)(&hash.finalize())
    }
}

/// Named by what was compiled and for which engine.
fn file_name(engine: &wasmtime::Engine, wasm: &[u8]) -> String {
    let mut compatibility = Digester(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let hash = |digest: &[u8]| hex::encode(digest.get(..16).unwrap_or(digest));
    format!("{}-{}.cwasm", hash(&Sha256::digest(wasm)), hash(&compatibility.0.finalize()))
}

/// A hasher with the same result in every process and every version of the standard library's own one.
struct Digester(Sha256);

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Compares without telling by its time where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[expect(
    unsafe_code,
    reason = "loading compiled code is only sound for bytes that wasmtime made; the MAC says so"
)]
fn deserialize(engine: &wasmtime::Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: these very bytes carried a valid MAC, so this program wrote them from `Component::serialize`.
    unsafe { Component::deserialize(engine, compiled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component there is.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn cache(folder: &tempfile::TempDir, key: u8) -> CacheFolder {
        let mac = move |bytes: &[u8]| {
            let mut keyed = vec![key];
            keyed.extend(bytes);
            Sha256::digest(&keyed).into()
        };
        CacheFolder::new(folder.path().join("compiled"), Arc::new(mac))
    }

    #[test]
    fn only_genuine_files_are_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let engine = wasmtime::Engine::default();
        let ours = cache(&folder, 1);
        assert!(ours.load(&engine, EMPTY).is_none(), "nothing is there yet");
        ours.store(&engine, EMPTY, &Component::new(&engine, EMPTY).unwrap()).unwrap();
        assert!(ours.load(&engine, EMPTY).is_some());
        assert!(cache(&folder, 2).load(&engine, EMPTY).is_none(), "another key");

        let files: Vec<_> =
            fs::read_dir(folder.path().join("compiled")).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 1, "no drafts are left: {files:?}");
        let path = files[0].path();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("compiled"))), (0o600, 0o700));

        let genuine = fs::read(&path).unwrap();
        for at in [0, MAC_BYTES, genuine.len() / 2, genuine.len() - 1] {
            let mut changed = genuine.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(ours.load(&engine, EMPTY).is_none(), "byte {at} was changed");
        }
        fs::write(&path, &genuine[..10]).unwrap();
        assert!(ours.load(&engine, EMPTY).is_none(), "cut");
        fs::write(&path, &genuine).unwrap();
        assert!(ours.load(&engine, EMPTY).is_some());
    }

    #[test]
    fn another_engine_has_another_file() {
        let other = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        assert_ne!(file_name(&wasmtime::Engine::default(), EMPTY), file_name(&other, EMPTY));
    }
}
