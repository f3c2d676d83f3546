//! Sets and maps by id. One tree of texts serves all of them: each kind of tree, and each sort behind a `collect` into one,
//! would be kilobytes of code of its own in the component.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::{CrmId, MkId};

/// A key that is a text.
pub trait Id: From<String> + Into<String> + AsRef<str> {}

impl Id for String {}
impl Id for CrmId {}
impl Id for MkId {}

/// Values by id, in the order of the ids.
#[derive(Debug, Clone)]
pub struct ById<K, V> {
    positions: BTreeMap<String, usize>,
    values: Vec<Option<V>>,
    key: PhantomData<K>,
}

impl<K, V> Default for ById<K, V> {
    fn default() -> Self {
        Self { positions: BTreeMap::new(), values: Vec::new(), key: PhantomData }
    }
}

impl<K: Id, V> ById<K, V> {
    /// Sets the value of an id.
    pub fn insert(&mut self, id: K, value: V) {
        let next = self.values.len();
        let position = place(&mut self.positions, id.into(), next);
        if position == next {
            self.values.push(Some(value));
        } else if let Some(slot) = self.values.get_mut(position) {
            *slot = Some(value);
        }
    }

    /// The value of an id.
    #[must_use]
    pub fn get(&self, id: &K) -> Option<&V> {
        self.values.get(*self.positions.get(id.as_ref())?)?.as_ref()
    }

    /// The value of an id, a new one where there is none.
    pub fn entry(&mut self, id: K) -> &mut V
    where
        V: Default,
    {
        let next = self.values.len();
        let position = place(&mut self.positions, id.into(), next);
        if position == next {
            self.values.push(None);
        }
        let at = position.min(self.values.len().saturating_sub(1));
        #[expect(clippy::indexing_slicing, reason = "the place was made above")]
        self.values[at].get_or_insert_default()
    }

    /// Takes the value of an id out.
    pub fn remove(&mut self, id: &K) -> Option<V> {
        self.values.get_mut(self.positions.remove(id.as_ref())?)?.take()
    }

    /// Whether the id has a value.
    #[must_use]
    pub fn contains(&self, id: &K) -> bool {
        self.positions.contains_key(id.as_ref())
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.positions.keys().map(String::as_str)
    }

    /// The values, in the order of their ids.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.positions.values().filter_map(|position| self.values.get(*position)?.as_ref())
    }

    /// The values, in the order of their ids.
    pub fn into_values(mut self) -> impl Iterator<Item = V> {
        self.positions.into_values().filter_map(move |position| self.values.get_mut(position)?.take())
    }
}

impl<K: Id, V> FromIterator<(K, V)> for ById<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut map = Self::default();
        for (id, value) in pairs {
            map.insert(id, value);
        }
        map
    }
}

fn place(positions: &mut BTreeMap<String, usize>, id: String, next: usize) -> usize {
    *positions.entry(id).or_insert(next)
}

/// A set of ids, in order.
#[derive(Debug, Clone)]
pub struct IdSet<K> {
    ids: BTreeMap<String, usize>,
    key: PhantomData<K>,
}

impl<K> Default for IdSet<K> {
    fn default() -> Self {
        Self { ids: BTreeMap::new(), key: PhantomData }
    }
}

impl<K: Id> IdSet<K> {
    /// Adds an id; says whether it is new.
    pub fn insert(&mut self, id: K) -> bool {
        self.ids.insert(id.into(), 0).is_none()
    }

    /// Whether the id is in.
    #[must_use]
    pub fn contains(&self, id: &K) -> bool {
        self.ids.contains_key(id.as_ref())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The ids, in order.
    pub fn into_ids(self) -> impl Iterator<Item = K> {
        self.ids.into_keys().map(K::from)
    }

    /// The ids as texts, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.ids.keys().cloned().collect()
    }

    /// Adds many.
    pub fn extend(&mut self, ids: impl IntoIterator<Item = K>) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl<K: Id> FromIterator<K> for IdSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(ids: I) -> Self {
        let mut set = Self::default();
        set.extend(ids);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_id() {
        let id = |text: &str| CrmId(text.to_owned());
        let mut map: ById<CrmId, u32> = [(id("b"), 1), (id("a"), 2), (id("b"), 3)].into_iter().collect();
        assert_eq!((map.get(&id("b")), map.get(&id("c"))), (Some(&3), None));
        *map.entry(id("c")) += 5;
        *map.entry(id("c")) += 1;
        assert_eq!(map.remove(&id("a")), Some(2));
        assert!(!map.contains(&id("a")) && map.remove(&id("a")).is_none());
        map.insert(id("a"), 9);
        assert_eq!(map.ids().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(map.into_values().collect::<Vec<_>>(), [9, 3, 6]);
    }

    #[test]
    fn ids_once() {
        let mut set: IdSet<String> = ["b".to_owned(), "a".to_owned()].into_iter().collect();
        assert!(!set.insert("a".to_owned()) && set.insert("c".to_owned()));
        assert_eq!(set.texts(), ["a", "b", "c"]);
    }
}
