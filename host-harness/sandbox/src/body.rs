//! What an answer consists of: pieces that are shared with the register, so that a full scan copies nothing
//! until it is sent.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// A body made of a head, comma-separated rows and a tail.
#[derive(Debug, Default)]
pub(crate) struct Body {
    head: Bytes,
    rows: Vec<Bytes>,
    tail: Bytes,
    length: usize,
    digest: OnceLock<String>,
}

/// How far a reader of a body has come.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cursor {
    part: usize,
    offset: usize,
}

impl Body {
    /// A body of one piece.
    pub(crate) fn whole(text: impl Into<Bytes>) -> Arc<Self> {
        Self::list(text, Vec::new(), Bytes::new())
    }

    /// A body with rows in the middle.
    pub(crate) fn list(head: impl Into<Bytes>, rows: Vec<Bytes>, tail: impl Into<Bytes>) -> Arc<Self> {
        let (head, tail) = (head.into(), tail.into());
        let commas = rows.len().saturating_sub(1);
        let length = head.len() + rows.iter().map(Bytes::len).sum::<usize>() + commas + tail.len();
        Arc::new(Self { head, rows, tail, length, digest: OnceLock::new() })
    }

    /// The same body after this text.
    pub(crate) fn after(&self, text: &[u8]) -> Arc<Self> {
        Self::list([text, &self.head].concat(), self.rows.clone(), self.tail.clone())
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The next piece, of about `size` bytes; `None` at the end.
    pub(crate) fn next(&self, cursor: &mut Cursor, size: usize) -> Option<Bytes> {
        let mut piece = BytesMut::new();
        while piece.len() < size {
            let Some(part) = self.part(cursor.part) else { break };
            let rest = part.slice(cursor.offset.min(part.len())..);
            if rest.is_empty() {
                *cursor = Cursor { part: cursor.part + 1, offset: 0 };
                continue;
            }
            let take = rest.len().min(size - piece.len());
            cursor.offset += take;
            // A body of one piece is handed on as it is.
            if piece.is_empty() && take == self.length {
                return Some(rest);
            }
            if piece.is_empty() {
                piece.reserve(size.min(self.length));
            }
            piece.put(rest.slice(..take));
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    fn part(&self, at: usize) -> Option<Bytes> {
        let rows = 2 * self.rows.len();
        match at {
            0 => Some(self.head.clone()),
            // Rows stand at the odd places, commas between them.
            at if at < rows && at % 2 == 1 => self.rows.get(at / 2).cloned(),
            at if at < rows => Some(Bytes::from_static(b",")),
            at if at == rows.max(1) => Some(self.tail.clone()),
            _ => None,
        }
    }

    /// The first `limit` bytes in one piece.
    pub(crate) fn read(&self, limit: usize) -> Bytes {
        self.next(&mut Cursor::default(), limit.max(1)).unwrap_or_default()
    }

    /// SHA-256 in hex, worked out on first demand.
    pub(crate) fn digest(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut hasher = Sha256::new();
            for part in (0..).map_while(|at| self.part(at)) {
                hasher.update(&part);
            }
            hex::encode(hasher.finalize())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_size_make_the_same_body() {
        let rows = ["one", "two", "three"].map(Bytes::from_static_str).to_vec();
        for (body, text) in [
            (Body::list("[", rows, "]"), "[one,two,three]"),
            (Body::list("[", vec![], "]"), "[]"),
            (Body::whole("alone"), "alone"),
            (Body::whole(""), ""),
        ] {
            assert_eq!(body.len(), text.len());
            assert_eq!(body.digest(), hex::encode(Sha256::digest(text)));
            for size in 1..20 {
                let mut cursor = Cursor::default();
                let mut read = Vec::new();
                while let Some(piece) = body.next(&mut cursor, size) {
                    assert!(piece.len() <= size);
                    read.extend_from_slice(&piece);
                }
                assert_eq!(String::from_utf8(read).unwrap(), text, "pieces of {size}");
            }
        }
    }

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }
}
