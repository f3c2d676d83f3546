//! The bytes of an answer, read in exact pieces.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::spool;

/// Most bytes of one piece.
pub const LARGEST_PIECE: u32 = 1024 * 1024;

/// The bytes of an answer. They are complete and without the secret before anybody reads them.
#[derive(Debug)]
pub struct Body {
    source: Source,
    position: u64,
    length: u64,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Bytes),
    File(Arc<File>),
}

/// A piece that was asked for and not read yet, so that two reads at once get two pieces, in the order asked.
#[derive(Debug)]
pub struct Piece {
    source: Source,
    from: u64,
    count: usize,
}

impl Body {
    pub(super) fn in_memory(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len() as u64, source: Source::Memory(bytes.into()), position: 0 }
    }

    pub(super) fn on_disk(file: File, length: u64) -> Self {
        Self { source: Source::File(Arc::new(file)), position: 0, length }
    }

    /// The whole length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Starts again at the first byte.
    pub fn rewind(&mut self) {
        self.position = 0;
    }

    /// Takes the next piece: `max` bytes, at most 1 MiB, fewer only at the end.
    pub fn take(&mut self, max: u32) -> Piece {
        let count = u64::from(max.min(LARGEST_PIECE)).min(self.length - self.position);
        let piece = Piece { source: self.source.clone(), from: self.position, count: count as usize };
        self.position += count;
        piece
    }
}

impl Piece {
    /// Reads it.
    ///
    /// # Errors
    /// The disk does not give back what was put on it.
    pub async fn read(self) -> io::Result<Vec<u8>> {
        let Self { source, from, count } = self;
        match source {
            Source::Memory(bytes) => {
                let from = from as usize;
                Ok(bytes.get(from..from + count).unwrap_or_default().to_vec())
            }
            Source::File(file) => {
                spool::blocking(move || {
                    let mut piece = vec![0; count];
                    file.read_exact_at(&mut piece, from)?;
                    Ok(piece)
                })
                .await
            }
        }
    }
}
