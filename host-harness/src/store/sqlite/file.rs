//! The one name a database file is used by.
//!
//! SQLite keeps its journal beside the name a file was opened by. By a second name (a hard link) another process would not
//! see that journal, and both would damage the database. So symbolic links are followed, and of several hard links only the
//! name the store was made with is accepted: a fingerprint of it stands in the file's header (`user_version`).

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Where `user_version` stands, big-endian (`fileformat2.html`, database header).
const USER_VERSION_AT: u64 = 60;

/// The path without symbolic links. A file that does not exist yet is named by its folder's.
pub(super) fn resolved(path: &Path) -> Result<PathBuf, StoreError> {
    path.canonicalize().map_err(|cause| StoreError::File { path: path.to_owned(), cause })
}

/// The fingerprint of a name, never 0.
pub(super) fn fingerprint(path: &Path) -> i32 {
    let text = path.as_os_str().as_encoded_bytes();
    // FNV-1a: the same on every machine and in every build, and it only tells a few names apart.
    let hash =
        text.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    i32::from_ne_bytes((hash | 1).to_ne_bytes())
}

/// The fingerprint in the header; 0 for none.
fn stored(path: &Path) -> std::io::Result<i32> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(USER_VERSION_AT))?;
    let mut bytes = [0; 4];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(i32::from_be_bytes(bytes)),
        // Empty: not made yet.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

/// How a file's name relates to the one it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It is the one.
    Own,
    /// Moved or copied, or made by an earlier build: this name becomes the one.
    New,
}

/// Checks the name of a file.
///
/// # Errors
/// When the file has several names and this is not its own.
pub(super) fn check(path: &Path) -> Result<Name, StoreError> {
    let failed = |cause| StoreError::File { path: path.to_owned(), cause };
    let stored = stored(path).map_err(failed)?;
    if stored == fingerprint(path) {
        return Ok(Name::Own);
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&fs::metadata(path).map_err(failed)?) > 1 {
        return Err(StoreError::SecondName { path: path.to_owned() });
    }
    Ok(Name::New)
}
