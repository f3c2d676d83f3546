//! The index of a running scan: which partners are known, by hash and by id, in 28 bytes a link.

use std::cell::Cell;

use serde::Deserialize;

use super::context::Stop;
use super::forecast::Forecast;
use crate::ledger::{LINKS, LinkState, SEEN, body};
use crate::model::{MkId, RawHash};
use crate::ports::{Pages, Powers};

const PAGE: u32 = 10_000;

/// Hash (two halves) and id of a record.
type Known = [u64; 3];

/// Records in the order of their hashes, each with a bit that says it was met.
#[derive(Default)]
struct Shelf {
    /// Sorted by hash.
    records: Vec<Known>,
    /// Positions in `records`, sorted by id.
    by_id: Vec<u32>,
    /// One bit per record.
    met: Vec<Cell<u64>>,
}

impl Shelf {
    fn sort(&mut self) {
        self.records.sort_unstable();
        let records = &self.records;
        let mut by_id: Vec<u32> = (0..u32::try_from(records.len()).unwrap_or(u32::MAX)).collect();
        by_id.sort_unstable_by_key(|position| records.get(*position as usize).map_or(0, |item| item[2]));
        self.by_id = by_id;
        self.met = vec![Cell::new(0); self.records.len().div_ceil(64)];
    }

    fn with_hash(&self, hash: RawHash) -> Option<usize> {
        let halves = [(hash.0 >> 64) as u64, hash.0 as u64];
        let position = self.records.partition_point(|item| [item[0], item[1]] < halves);
        self.records.get(position).filter(|item| [item[0], item[1]] == halves).map(|_| position)
    }

    fn id_at(&self, position: usize) -> Option<u64> {
        self.records.get(position).map(|item| item[2])
    }

    fn with_id(&self, id: &MkId) -> Option<usize> {
        self.with_key(id.key())
    }

    fn with_key(&self, key: u64) -> Option<usize> {
        let id_at = |position: &u32| self.records.get(*position as usize).map_or(0, |item| item[2]);
        let start = self.by_id.partition_point(|position| id_at(position) < key);
        let position = self.by_id.get(start).filter(|position| id_at(position) == key)?;
        Some(*position as usize)
    }

    /// Marks a record; says whether it was marked before.
    fn mark(&self, position: usize) -> bool {
        let Some(word) = self.met.get(position / 64) else { return false };
        let bit = 1 << (position % 64);
        word.replace(word.get() | bit) & bit != 0
    }

    fn is_met(&self, position: usize) -> bool {
        self.met.get(position / 64).is_some_and(|word| word.get() & (1 << (position % 64)) != 0)
    }

    fn count_met(&self) -> u64 {
        self.met.iter().map(|word| u64::from(word.get().count_ones())).sum()
    }

    fn forget_meetings(&self) {
        for word in &self.met {
            word.set(0);
        }
    }
}

/// How an element of the list is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// A live link, as it was.
    Linked,
    /// No live link, as it was.
    Unlinked,
    /// The partner was in the list already.
    Again,
}

/// What storage knows of Metakocka's partners when a scan begins.
#[derive(Default)]
pub struct Index {
    /// Live links: their partners are expected in a complete list.
    links: Shelf,
    /// Partners without a link.
    seen: Shelf,
    /// Partners whose contact is gone: known, neither expected nor new.
    left_alone: Shelf,
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
    /// Reads ids and hashes, nothing else. What the plan under way looks at anew is not known.
    ///
    /// # Errors
    ///
    /// When storage fails, or a row cannot be read: not knowing a link would double its contact.
    pub async fn load(powers: Powers<'_>, forecast: Option<&Forecast>) -> Result<Self, Stop> {
        let mut index = Self::default();
        let expected = powers.storage.count(LINKS).await?;
        // Exactly as large as needed: growing by doubling would hold the old and the new list at once.
        index.links.records.reserve_exact(usize::try_from(expected).unwrap_or(0));
        let mut links = Pages::of(powers.storage, LINKS, &["metakocka_id", "raw_hash", "state"], PAGE);
        while let Some(page) = links.next().await? {
            for entry in &page {
                let row: LinkRow<'_> = body(LINKS, entry)?;
                let item = known(row.metakocka_id, row.raw_hash);
                match row.state {
                    None | Some(LinkState::Live) => index.links.records.push(item),
                    Some(LinkState::CrmGone) => index.left_alone.records.push(item),
                    // Should it come back, it is news.
                    Some(LinkState::ErpGone) => {}
                }
            }
        }
        let mut seen = Pages::of(powers.storage, SEEN, &["raw_hash"], PAGE);
        while let Some(page) = seen.next().await? {
            for entry in &page {
                let row: SeenRow<'_> = body(SEEN, entry)?;
                if forecast.is_some_and(|forecast| forecast.is_news(&MkId(entry.id.clone()))) {
                    continue;
                }
                index.seen.records.push(known(&entry.id, row.raw_hash));
            }
        }
        index.sort();
        Ok(index)
    }

    fn sort(&mut self) {
        for shelf in [&mut self.links, &mut self.seen, &mut self.left_alone] {
            shelf.sort();
        }
    }

    /// Starts over.
    pub fn forget_meetings(&self) {
        for shelf in [&self.links, &self.seen, &self.left_alone] {
            shelf.forget_meetings();
        }
    }

    /// Live links.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.links.records.len() as u64
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.links, &self.seen, &self.left_alone].into_iter().all(|shelf| shelf.records.is_empty())
    }

    /// Whether any partner without a link is known.
    #[must_use]
    pub fn knows_unlinked(&self) -> bool {
        !self.seen.records.is_empty()
    }

    /// Whether a record with these bytes is known; it counts as met.
    pub fn meet_bytes(&self, hash: RawHash) -> Option<Met> {
        for (shelf, met) in
            [(&self.links, Met::Linked), (&self.seen, Met::Unlinked), (&self.left_alone, Met::Unlinked)]
        {
            if let Some(position) = shelf.with_hash(hash) {
                // A linked partner that cannot be read is known by its bytes here, and it is there.
                if met == Met::Unlinked
                    && let Some(linked) = shelf.id_at(position).and_then(|key| self.links.with_key(key))
                {
                    self.links.mark(linked);
                }
                return Some(if shelf.mark(position) { Met::Again } else { met });
            }
        }
        None
    }

    /// The partner with this id is there, with other bytes than before. Says whether it was in the list already.
    pub fn meet_id(&self, id: &MkId) -> bool {
        [&self.links, &self.seen, &self.left_alone]
            .into_iter()
            .find_map(|shelf| shelf.with_id(id).map(|position| shelf.mark(position)))
            .unwrap_or(false)
    }

    /// How many live links were not met.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.live() - self.links.count_met()
    }

    /// Whether this partner has a live link that was not met.
    #[must_use]
    pub fn is_missing(&self, id: &MkId) -> bool {
        self.links.with_id(id).is_some_and(|position| !self.links.is_met(position))
    }

    /// How many partners without a link were not met.
    #[must_use]
    pub fn unlinked_missing(&self) -> u64 {
        self.seen.records.len() as u64 - self.seen.count_met()
    }

    /// Whether this partner without a link was not met.
    #[must_use]
    pub fn is_unlinked_missing(&self, id: &MkId) -> bool {
        self.seen.with_id(id).is_some_and(|position| !self.seen.is_met(position))
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
            index.links.records.push(known(&format!("40{number}"), Some(&hash.to_string())));
        }
        index.seen.records.push(known("500", Some(&RawHash::of(b"x").to_string())));
        index.seen.records.push(known("600", Some(&RawHash::of(b"y").to_string())));
        index.sort();
        assert_eq!((index.live(), index.missing()), (3, 3));
        assert_eq!(index.meet_bytes(hashes[1]), Some(Met::Linked));
        assert_eq!(index.meet_bytes(hashes[1]), Some(Met::Again));
        assert_eq!(index.meet_bytes(RawHash::of(b"x")), Some(Met::Unlinked));
        assert_eq!(index.meet_bytes(RawHash::of(b"new")), None);
        assert!(!index.meet_id(&id("402")) && index.meet_id(&id("402")) && index.meet_id(&id("401")));
        assert!(!index.meet_id(&id("unknown")) && !index.meet_id(&id("unknown")));
        assert_eq!(index.unlinked_missing(), 1);
        assert!(index.is_unlinked_missing(&id("600")) && !index.is_unlinked_missing(&id("500")));
        assert_eq!(index.missing(), 1);
        assert!(index.is_missing(&id("400")));
        assert!(
            !index.is_missing(&id("401")) && !index.is_missing(&id("402")) && !index.is_missing(&id("500"))
        );
        index.forget_meetings();
        assert_eq!(index.missing(), 3);
    }
}
