//! Puts a long answer on disk before the guest sees any of it.
//!
//! The file has no name (nobody can open it, and it is gone when the process is, however it ends). One buffer
//! is all the memory an answer takes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::Redactor;

/// Written at once: large enough that the calls cost nothing beside the copying.
const BUFFER: usize = 256 * 1024;

/// An answer on its way to disk.
pub struct Spool {
    file: File,
    buffer: Vec<u8>,
    redactor: Redactor,
    written: u64,
}

impl Spool {
    /// An empty one, in this folder or the system's place for temporary files.
    pub async fn create(folder: Option<&Path>, redactor: Redactor) -> io::Result<Self> {
        let folder = folder.map(Path::to_path_buf);
        let file = blocking(move || match folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        })
        .await?;
        let buffer = Vec::with_capacity(BUFFER + redactor.longest());
        Ok(Self { file, buffer, redactor, written: 0 })
    }

    /// Adds a piece.
    pub async fn push(mut self, mut piece: &[u8]) -> io::Result<Self> {
        let capacity = BUFFER + self.redactor.longest();
        while !piece.is_empty() {
            let room = capacity.saturating_sub(self.buffer.len()).min(piece.len());
            let (now, later) = piece.split_at_checked(room).unwrap_or((piece, &[]));
            self.buffer.extend_from_slice(now);
            piece = later;
            if self.buffer.len() >= capacity {
                // An occurrence that is still incomplete begins within the last `longest` bytes: they stay.
                self = self.write(BUFFER).await?;
            }
        }
        Ok(self)
    }

    /// Writes the rest. Returns the file and its length.
    pub async fn finish(mut self) -> io::Result<(File, u64)> {
        let rest = self.buffer.len();
        self = self.write(rest).await?;
        Ok((self.file, self.written))
    }

    async fn write(mut self, count: usize) -> io::Result<Self> {
        blocking(move || {
            self.redactor.bytes(&mut self.buffer);
            self.file.write_all(self.buffer.get(..count).unwrap_or_default())?;
            self.buffer.drain(..count.min(self.buffer.len()));
            self.written += count as u64;
            Ok(self)
        })
        .await
    }
}

/// Runs file work where it may wait.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Seek};

    fn through(secret: &str, pieces: &[&[u8]]) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut spool = Spool::create(None, Redactor::new(secret)).await.unwrap();
            for piece in pieces {
                spool = spool.push(piece).await.unwrap();
            }
            let (mut file, length) = spool.finish().await.unwrap();
            let mut content = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut content).unwrap();
            assert_eq!(content.len() as u64, length);
            content
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn an_occurrence_across_any_border_is_covered(
            offset in 0_usize..80,
            cut in 0_usize..120,
            spelled in any::<bool>(),
            second in any::<bool>(),
        ) {
            let secret = "key/1234567";
            let spelling = if spelled { "key\\/\\u0031234567" } else { secret };
            // Around the place where the first buffer ends.
            let start = (if second { 2 } else { 1 }) * BUFFER - 40 + offset;
            let mut content = vec![b'.'; start];
            content.extend_from_slice(spelling.as_bytes());
            content.extend_from_slice(&[b'.'; 100]);
            let cut = (start - 50 + cut).min(content.len());
            let (one, two) = content.split_at(cut);
            let mut expected = content.clone();
            expected[start..start + spelling.len()].fill(b'*');
            prop_assert!(through(secret, &[one, two]) == expected);
        }
    }

    /// Not by chance: every place of the secret around the border where a buffer is written, in both spellings.
    #[test]
    fn at_every_position_around_the_border_the_secret_is_covered() {
        let secret = "key/1234567";
        let longest = Redactor::new(secret).longest();
        for spelling in [secret, "key\\/\\u0031234567"] {
            for start in BUFFER - longest - 1..=BUFFER + longest + 1 {
                let mut content = vec![b'.'; start];
                content.extend_from_slice(spelling.as_bytes());
                content.resize(BUFFER + 3 * longest, b'.');
                let mut expected = content.clone();
                expected[start..start + spelling.len()].fill(b'*');
                assert!(through(secret, &[&content]) == expected, "{spelling} at {start}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_without_a_secret_to_look_for() {
        let content: Vec<u8> = (0..BUFFER * 2 + 17).map(|n| (n % 251) as u8).collect();
        assert!(through("", &[&content]) == content);
        assert!(through("secret", &[b"", &content[..5], &content[5..]]) == content);
        assert!(through("secret", &[]).is_empty());
    }
}
