//! One process at a time makes a database or brings it up to date.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

/// A schema is brought up to date in well under this time.
const TRIES: u32 = 600;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The right to change a database's schema. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "holding the file open holds the lock")] File);

impl Lock {
    /// Takes the lock, waiting for a while, or says who has it.
    ///
    /// The file stays when the lock goes: removing it would let two processes lock two files of one name.
    pub fn take(database: &Path) -> Result<Self, StoreError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let failed = |cause| StoreError::File { path: path.clone(), cause };
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let mut tries = 0;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                TryLockError::WouldBlock => {
                    let mut holder = String::new();
                    let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                    let holder = if known { holder.trim().to_owned() } else { "another process".to_owned() };
                    return Err(StoreError::Locked { path: database.to_owned(), holder });
                }
                TryLockError::Error(cause) => return Err(failed(cause)),
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "process {} ({})", std::process::id(), command()).map_err(failed)?;
        Ok(Self(file))
    }
}

/// How this process was started; secrets are never arguments.
fn command() -> String {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
    let words = program.into_iter().chain(args).collect::<Vec<_>>().join(" ");
    words.chars().filter(|letter| !letter.is_control()).take(200).collect()
}
