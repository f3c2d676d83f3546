//! Case-insensitive substring search over one field of many records, without reading all of them.

use memchr::memmem;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Three bytes in a number.
type Gram = u32;

/// Grams come from our own texts and nobody picks them to collide, so hashing them can be cheap.
#[derive(Debug, Default)]
struct GramHasher(u64);

impl Hasher for GramHasher {
    fn write_u32(&mut self, gram: u32) {
        self.0 = u64::from(gram).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn finish(&self) -> u64 {
        // The table looks at the low bits, the product is good in the high ones.
        self.0.rotate_left(26)
    }
}

/// For every three bytes, which slots hold them. A query's rarest grams give few candidates, which are then
/// compared for real; a query too short for a gram reads every text.
#[derive(Debug, Default)]
pub(crate) struct Index {
    texts: Vec<Box<str>>,
    postings: HashMap<Gram, Vec<u32>, BuildHasherDefault<GramHasher>>,
}

/// More lists than this no longer shrink the candidates enough to pay for walking them.
const LISTS_TO_INTERSECT: usize = 4;

impl Index {
    /// Makes `text` what the slot holds, instead of what it held. An empty text is never found.
    pub(crate) fn set(&mut self, slot: u32, text: &str) {
        let text = text.to_lowercase();
        let at = slot as usize;
        if self.texts.len() <= at {
            self.texts.resize(at + 1, Box::default());
        }
        let Some(held) = self.texts.get_mut(at) else { return };
        if **held == *text {
            return;
        }
        let (old, new) = (grams(held), grams(&text));
        *held = text.into_boxed_str();
        for gram in old.iter().filter(|gram| new.binary_search(gram).is_err()) {
            if let Some(list) = self.postings.get_mut(gram)
                && let Ok(found) = list.binary_search(&slot)
            {
                list.remove(found);
            }
        }
        for gram in new.iter().filter(|gram| old.binary_search(gram).is_err()) {
            let list = self.postings.entry(*gram).or_default();
            // Slots only grow, so a new record is a push; only a changed one has to find its place.
            if list.last().is_none_or(|last| *last < slot) {
                list.push(slot);
            } else if let Err(place) = list.binary_search(&slot) {
                list.insert(place, slot);
            }
        }
    }

    /// The slots whose text holds `query`, in slot order.
    pub(crate) fn find(&self, query: &str) -> Vec<u32> {
        let query = query.to_lowercase();
        let finder = memmem::Finder::new(query.as_bytes());
        let holds = |slot: &u32| {
            self.texts
                .get(*slot as usize)
                .is_some_and(|text| !text.is_empty() && finder.find(text.as_bytes()).is_some())
        };
        let wanted = grams(&query);
        if wanted.is_empty() {
            return (0..u32::try_from(self.texts.len()).unwrap_or(u32::MAX)).filter(holds).collect();
        }
        let mut lists = Vec::with_capacity(wanted.len());
        for gram in &wanted {
            match self.postings.get(gram) {
                Some(list) => lists.push(list),
                None => return Vec::new(),
            }
        }
        lists.sort_by_key(|list| list.len());
        let Some((rarest, others)) = lists.split_first() else { return Vec::new() };
        rarest
            .iter()
            .filter(|slot| {
                others.iter().take(LISTS_TO_INTERSECT - 1).all(|list| list.binary_search(slot).is_ok())
            })
            .filter(|slot| holds(slot))
            .copied()
            .collect()
    }
}

impl Index {
    /// The slots of which a line holds `query` once `fold` has gone over both; reads every text.
    pub(crate) fn find_folded(&self, query: &str, fold: impl Fn(&str) -> String) -> Vec<u32> {
        let query = fold(&query.to_lowercase());
        let holds = |text: &str| !query.is_empty() && text.lines().any(|line| fold(line).contains(&query));
        (0..).zip(&self.texts).filter(|(_, text)| holds(text)).map(|(slot, _)| slot).collect()
    }
}

/// The distinct grams of a text, sorted.
fn grams(text: &str) -> Vec<Gram> {
    let mut grams: Vec<Gram> =
        text.as_bytes().array_windows().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c])).collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[&str]) -> Index {
        let mut index = Index::default();
        for (slot, text) in (0..).zip(texts) {
            index.set(slot, text);
        }
        index
    }

    #[test]
    fn finds_what_reading_every_text_would_find() {
        let texts = [
            "Čebelarstvo Žnidaršič s.p.",
            "NOVAK JANEZ",
            "Janez Novak",
            "Nova KBM d.d.",
            "",
            "ab",
            "abcd bcde",
        ];
        let index = index(&texts);
        for query in
            ["novak", "JANEZ", "žni", "čebelarstvo ž", "a", "ab", "k j", "d.d", "xyz", "novakk", "abcde"]
        {
            let expected: Vec<u32> = (0..)
                .zip(&texts)
                .filter(|(_, text)| text.to_lowercase().contains(&query.to_lowercase()))
                .map(|(slot, _)| slot)
                .collect();
            assert_eq!(index.find(query), expected, "{query}");
        }
    }

    #[test]
    fn a_changed_text_is_found_by_its_new_value_only() {
        let mut index = index(&["first@a.example", "second@a.example", "third@a.example"]);
        index.set(1, "moved@b.example");
        assert_eq!(index.find("second"), Vec::<u32>::new());
        assert_eq!(index.find("moved@b"), [1]);
        assert_eq!(index.find("@a.example"), [0, 2]);
        index.set(1, "back@a.example");
        assert_eq!(index.find("@a.example"), [0, 1, 2]);
    }
}
