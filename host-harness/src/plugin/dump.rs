//! A copy of the guest's memory, to prove what is not in it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use wasmtime::Store;

/// Writes all linear memories of the store's instances, one after the other. Returns the number of bytes.
///
/// The engine must have been made for it; without debug support instances do not show their memories.
pub fn write<T: 'static>(store: &mut Store<T>, path: &Path) -> io::Result<u64> {
    let instances = store.debug_all_instances();
    if instances.is_empty() {
        return Err(io::Error::other(
            "no instance to look at: it did not start, or the engine was made without memory dumps",
        ));
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut written = 0;
    let mut seen = Vec::new();
    for instance in instances {
        for index in 0.. {
            let Some(memory) = instance.debug_memory(&mut *store, index) else { break };
            let data = memory.data(&*store);
            // Adapters import the guest's memory: the same one shows up in several instances.
            if data.is_empty() || seen.contains(&data.as_ptr()) {
                continue;
            }
            seen.push(data.as_ptr());
            file.write_all(data)?;
            written += data.len() as u64;
        }
    }
    Ok(written)
}
