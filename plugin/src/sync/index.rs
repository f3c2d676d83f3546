//! The index of a running scan: which partners are known, by hash and by id, in 28 bytes a link.

use std::cell::Cell;

use serde::Deserialize;

use super::context::Stop;
use crate::ledger::{LINKS, LinkState, SEEN, body};
use crate::model::{MkId, RawHash};
use crate::ports::Powers;

const PAGE: u32 = 10_000;

/// Hash (two halves) and id of a record.
type Known = [u64; 3];

/// What storage knows of Metakocka's partners when a scan begins.
#[derive(Default)]
pub struct Index {
    /// Live links: their partners are expected in a complete list. Sorted by hash.
    links: Vec<Known>,
    /// Positions in `links`, sorted by id.
    by_id: Vec<u32>,
    /// One bit per link: met in this scan.
    met: Vec<Cell<u64>>,
    /// Known, but not expected: partners without a link and partners whose contact or themselves are gone. Sorted by hash.
    others: Vec<Known>,
}

#[derive(Deserialize)]
struct LinkRow<'a> {
    metakocka_id: &'a str,
    #[serde(default)]
    raw_hash: Option<&'a str>,
    #[serde(default)]
    state: Option<LinkState>,
}

#[derive(Deserialize)]
struct SeenRow<'a> {
    #[serde(default)]
    raw_hash: Option<&'a str>,
}

fn known(id: &str, hash: Option<&str>) -> Known {
    let hash = hash.and_then(RawHash::parse).map_or(0, |hash| hash.0);
    [(hash >> 64) as u64, hash as u64, MkId(id.to_owned()).key()]
}

impl Index {
    /// Reads ids and hashes, nothing else.
    ///
    /// # Errors
    ///
    /// When storage fails, or a row cannot be read: not knowing a link would double its contact.
    pub async fn load(powers: Powers<'_>) -> Result<Self, Stop> {
        let mut index = Self::default();
        let expected = powers.storage.count(LINKS).await?;
        // Exactly as large as needed: growing by doubling would hold the old and the new list at once.
        index.links.reserve_exact(usize::try_from(expected).unwrap_or(0));
        let mut after = None;
        loop {
            let page =
                powers.storage.scan(LINKS, after, &["metakocka_id", "raw_hash", "state"], PAGE).await?;
            for entry in &page {
                let row: LinkRow<'_> = body(LINKS, entry)?;
                let item = known(row.metakocka_id, row.raw_hash);
                match row.state {
                    None | Some(LinkState::Live) => index.links.push(item),
                    Some(LinkState::CrmGone) => index.others.push(item),
                    // Should it come back, it is news.
                    Some(LinkState::ErpGone) => {}
                }
            }
            match page.last() {
                Some(last) => after = Some(last.id.clone()),
                None => break,
            }
        }
        let mut after = None;
        loop {
            let page = powers.storage.scan(SEEN, after, &["raw_hash"], PAGE).await?;
            for entry in &page {
                let row: SeenRow<'_> = body(SEEN, entry)?;
                index.others.push(known(&entry.id, row.raw_hash));
            }
            match page.last() {
                Some(last) => after = Some(last.id.clone()),
                None => break,
            }
        }
        index.sort();
        Ok(index)
    }

    fn sort(&mut self) {
        self.links.sort_unstable();
        self.others.sort_unstable();
        let links = &self.links;
        let mut by_id: Vec<u32> = (0..u32::try_from(links.len()).unwrap_or(u32::MAX)).collect();
        by_id.sort_unstable_by_key(|position| links.get(*position as usize).map_or(0, |item| item[2]));
        self.by_id = by_id;
        self.met = vec![Cell::new(0); self.links.len().div_ceil(64)];
    }

    /// Starts over.
    pub fn forget_meetings(&self) {
        for word in &self.met {
            word.set(0);
        }
    }

    /// Live links.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.links.len() as u64
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.others.is_empty()
    }

    /// Whether any partner without a link is known.
    #[must_use]
    pub fn knows_strangers(&self) -> bool {
        !self.others.is_empty()
    }

    /// Whether a record with these bytes is known; it counts as met. `Some(true)` is a live link.
    pub fn meet_bytes(&self, hash: RawHash) -> Option<bool> {
        let halves = [(hash.0 >> 64) as u64, hash.0 as u64];
        let find = |list: &[Known]| {
            let position = list.partition_point(|item| [item[0], item[1]] < halves);
            list.get(position).filter(|item| [item[0], item[1]] == halves).map(|_| position)
        };
        if let Some(position) = find(&self.links) {
            self.mark(position);
            return Some(true);
        }
        find(&self.others).map(|_| false)
    }

    /// Notes that the partner with this id is there, with other bytes than before.
    pub fn meet_id(&self, id: &MkId) {
        let key = id.key();
        let id_at = |position: &u32| self.links.get(*position as usize).map_or(0, |item| item[2]);
        let start = self.by_id.partition_point(|position| id_at(position) < key);
        if let Some(position) = self.by_id.get(start).copied().filter(|position| id_at(position) == key) {
            self.mark(position as usize);
        }
    }

    fn mark(&self, position: usize) {
        if let Some(word) = self.met.get(position / 64) {
            word.set(word.get() | (1 << (position % 64)));
        }
    }

    fn is_met(&self, position: usize) -> bool {
        self.met.get(position / 64).is_some_and(|word| word.get() & (1 << (position % 64)) != 0)
    }

    /// How many live links were not met.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.live() - self.met.iter().map(|word| u64::from(word.get().count_ones())).sum::<u64>()
    }

    /// Whether this partner has a live link that was not met.
    #[must_use]
    pub fn is_missing(&self, id: &MkId) -> bool {
        let key = id.key();
        let id_at = |position: &u32| self.links.get(*position as usize).map_or(0, |item| item[2]);
        let start = self.by_id.partition_point(|position| id_at(position) < key);
        self.by_id
            .get(start)
            .is_some_and(|position| id_at(position) == key && !self.is_met(*position as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MkId {
        MkId(text.to_owned())
    }

    #[test]
    fn who_was_met() {
        let hashes: Vec<RawHash> = ["a", "b", "c"].iter().map(|text| RawHash::of(text.as_bytes())).collect();
        let mut index = Index::default();
        for (number, hash) in hashes.iter().enumerate() {
            index.links.push(known(&format!("40{number}"), Some(&hash.to_string())));
        }
        index.others.push(known("500", Some(&RawHash::of(b"x").to_string())));
        index.sort();
        assert_eq!((index.live(), index.missing()), (3, 3));
        assert_eq!(index.meet_bytes(hashes[1]), Some(true));
        assert_eq!(index.meet_bytes(RawHash::of(b"x")), Some(false));
        assert_eq!(index.meet_bytes(RawHash::of(b"new")), None);
        index.meet_id(&id("402"));
        index.meet_id(&id("unknown"));
        assert_eq!(index.missing(), 1);
        assert!(index.is_missing(&id("400")));
        assert!(
            !index.is_missing(&id("401")) && !index.is_missing(&id("402")) && !index.is_missing(&id("500"))
        );
        index.forget_meetings();
        assert_eq!(index.missing(), 3);
    }
}
