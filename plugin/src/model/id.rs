//! Ids that cannot be swapped by mistake.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Id of a CRM record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CrmId(pub String);

/// Metakocka's internal id of a record (`mk_id`): a digit string, kept as text and never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MkId(pub String);

impl From<String> for CrmId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<CrmId> for String {
    fn from(id: CrmId) -> Self {
        id.0
    }
}

impl AsRef<str> for CrmId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<String> for MkId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<MkId> for String {
    fn from(id: MkId) -> Self {
        id.0
    }
}

impl AsRef<str> for MkId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CrmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MkId {
    /// The id in this text; `None` for what no record has: nothing, zero, a sign, anything but digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits && text.bytes().any(|byte| byte != b'0')).then(|| Self(text.to_owned()))
    }

    /// A number that stands for the id in the index of a running scan.
    #[must_use]
    pub fn key(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }
}

/// xxh3-128 of a record's bytes as the ERP sent them: equal means nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawHash(pub u128);

impl RawHash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes))
    }

    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() == 32 { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl Serialize for RawHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 32];
        let nibbles = self.0.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (slot, nibble) in text.iter_mut().zip(nibbles) {
            *slot = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        }
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Display for RawHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Makes time-ordered ids (UUID v7) from the host's clock and one seed.
pub struct IdMaker {
    random: u64,
    last_ms: u64,
    counter: u16,
}

impl IdMaker {
    /// A maker whose ids depend on this seed and the times given.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: seed, last_ms: 0, counter: 0 }
    }

    /// SplitMix64: enough for ids and jitter, and the same on every machine.
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next id; later calls give larger ids, also within one millisecond.
    pub fn next(&mut self, now_ms: u64) -> String {
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            self.counter = 0;
        } else if self.counter == 0x0fff {
            self.last_ms += 1;
            self.counter = 0;
        } else {
            self.counter += 1;
        }
        let high = (self.last_ms << 16) | 0x7000 | u64::from(self.counter);
        let low = (self.random() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_no_record_has() {
        for text in ["", "0", "000", "-5", "abc", "1 2", "1.0", "١٢"] {
            assert_eq!(MkId::parse(text), None, "{text}");
        }
        for text in ["1", "400070000101", "007", "99999999999999999999999"] {
            assert_eq!(MkId::parse(text).map(|id| id.0).as_deref(), Some(text));
        }
    }

    #[test]
    fn ids_grow_within_and_across_milliseconds() {
        let mut maker = IdMaker::new(7);
        let mut last = String::new();
        for now in [5_u64, 5, 5, 4, 6, 6] {
            for _ in 0..5_000 {
                let id = maker.next(1_700_000_000_000 + now);
                assert!(id > last, "{id} after {last}");
                assert_eq!(id.len(), 36);
                assert_eq!(id.as_bytes()[14], b'7');
                last = id;
            }
        }
    }

    #[test]
    fn raw_hash_survives_text() {
        let hash = RawHash::of(b"{}");
        assert_eq!(RawHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{hash}\""));
        assert_eq!(RawHash::parse("12"), None);
    }
}
