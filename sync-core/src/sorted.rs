//! An ordered map and an ordered set that add little to what a browser downloads.
//!
//! Every pair of types that a tree is used with brings its own balancing code into the WebAssembly module, some 6 KB each.
//! Here entries lie in order in short chunks: a look-up is two binary searches, a change moves the entries of one chunk,
//! and a hundred thousand entries can be taken off the front one by one.

use alloc::vec;
use alloc::vec::Vec;
use core::slice;

/// Entries of a chunk; one that would have more is split into halves.
const CHUNK_LEN_MAX: usize = 64;

/// Entries in the order of their keys, one for each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    /// Each has an entry, and less than the next.
    chunks: Vec<Vec<(K, V)>>,
}

/// Where an entry is: in which chunk, at which place.
type Place = (usize, usize);

impl<K: Ord, V> SortedMap<K, V> {
    /// An empty one.
    pub const fn new() -> SortedMap<K, V> {
        SortedMap { chunks: vec![] }
    }
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The place of a key; `Err`: the place in an existing chunk where it belongs, if there is any chunk.
    fn find(&self, key: &K) -> Result<Place, Place> {
        let chunk = self.chunks.partition_point(|chunk| chunk[0].0 <= *key).saturating_sub(1);
        let Some(entries) = self.chunks.get(chunk) else { return Err((0, 0)) };
        match entries.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (chunk, at) = self.find(key).ok()?;
        Some(&self.chunks[chunk][at].1)
    }
    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, at) = self.find(key).ok()?;
        Some(&mut self.chunks[chunk][at].1)
    }
    /// Whether the key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }
    /// The first entry.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }
    /// The last entry.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.chunks.last()?.last().map(|(key, value)| (key, value))
    }

    /// Gives the key a value; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((chunk, at)) => Some(core::mem::replace(&mut self.chunks[chunk][at].1, value)),
            Err(place) => {
                self.insert_at(place, (key, value));
                None
            }
        }
    }
    /// The value of a key, which gets this one if it has none.
    pub fn get_or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        let (chunk, at) = match self.find(&key) {
            Ok(place) => place,
            Err(place) => self.insert_at(place, (key, value())),
        };
        &mut self.chunks[chunk][at].1
    }
    fn insert_at(&mut self, (chunk, at): Place, entry: (K, V)) -> Place {
        let Some(entries) = self.chunks.get_mut(chunk) else {
            self.chunks.push(vec![entry]);
            return (chunk, at);
        };
        entries.insert(at, entry);
        if entries.len() <= CHUNK_LEN_MAX {
            return (chunk, at);
        }
        let half = entries.len() / 2;
        let rest = entries.split_off(half);
        self.chunks.insert(chunk + 1, rest);
        if at < half { (chunk, at) } else { (chunk + 1, at - half) }
    }
    /// Takes a key's entry out; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.find(key).ok()?;
        Some(self.remove_at(place).1)
    }
    /// Takes the first entry out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.remove_at((0, 0)))
    }
    fn remove_at(&mut self, (chunk, at): Place) -> (K, V) {
        let entry = self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        }
        entry
    }
    /// Keeps the entries of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.chunks.retain_mut(|entries| {
            entries.retain(|(key, value)| keep(key, value));
            !entries.is_empty()
        });
    }
    /// Takes all entries out.
    pub fn clear(&mut self) {
        self.chunks.clear();
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { entries: [].iter(), chunks: self.chunks.iter() }
    }
    /// The entries from this key on, in order.
    pub fn iter_from(&self, key: &K) -> Iter<'_, K, V> {
        let (Ok((chunk, at)) | Err((chunk, at))) = self.find(key);
        let mut chunks = self.chunks[chunk..].iter();
        let entries = chunks.next().map_or(&[][..], |entries| &entries[at..]);
        Iter { entries: entries.iter(), chunks }
    }
    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
    /// All values in the order of their keys, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }
    /// All entries in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.chunks.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }
    /// All entries in order, taken out.
    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.chunks.into_iter().flatten()
    }
    /// All values in the order of their keys, taken out.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.into_entries().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Default for SortedMap<K, V> {
    fn default() -> SortedMap<K, V> {
        SortedMap::new()
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

/// Entries in order.
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    /// What is left of the chunk that was begun, and the chunks behind it.
    entries: slice::Iter<'a, (K, V)>,
    chunks: slice::Iter<'a, Vec<(K, V)>>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            self.entries = self.chunks.next()?.iter();
        }
    }
}

/// Members in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<K>(SortedMap<K, ()>);

impl<K: Ord> SortedSet<K> {
    /// An empty one.
    pub const fn new() -> SortedSet<K> {
        SortedSet(SortedMap::new())
    }
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether it is a member.
    pub fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }
    /// The first member.
    pub fn first(&self) -> Option<&K> {
        self.iter().next()
    }
    /// Makes it a member; whether it was none.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }
    /// Makes it no member; whether it was one.
    pub fn remove(&mut self, key: &K) -> bool {
        self.0.remove(key).is_some()
    }
    /// Takes the first member out.
    pub fn pop_first(&mut self) -> Option<K> {
        self.0.pop_first().map(|(key, ())| key)
    }
    /// Takes all members out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
    /// All members in order.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
    /// All members in order, taken out.
    pub fn into_members(self) -> impl Iterator<Item = K> {
        self.0.into_entries().map(|(key, ())| key)
    }
}

impl<K: Ord> Default for SortedSet<K> {
    fn default() -> SortedSet<K> {
        SortedSet::new()
    }
}

impl<K: Ord> Extend<K> for SortedSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K: Ord> FromIterator<K> for SortedSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> SortedSet<K> {
        let mut set = SortedSet::new();
        set.extend(keys);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Random;
    use std::collections::BTreeMap;

    fn check(map: &SortedMap<u64, u64>, tree: &BTreeMap<u64, u64>, from: u64) {
        assert!(map.iter().eq(tree.iter()));
        assert!(map.iter_from(&from).eq(tree.range(from..)), "from {from}");
        assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
        assert_eq!((map.first(), map.last()), (tree.first_key_value(), tree.last_key_value()));
        assert!(map.chunks.iter().all(|chunk| (1..=CHUNK_LEN_MAX).contains(&chunk.len())));
    }

    #[test]
    fn a_map_behaves_like_a_tree() {
        let mut random = Random::new([7; 32]);
        for keys in [3, 100, 3000] {
            let (mut map, mut tree) = (SortedMap::new(), BTreeMap::new());
            for round in 0..6000 {
                let (key, value) = (random.below(keys), random.below(1000));
                match random.below(8) {
                    0..=3 => assert_eq!(map.insert(key, value), tree.insert(key, value)),
                    4 => assert_eq!(map.remove(&key), tree.remove(&key)),
                    5 => assert_eq!(map.pop_first(), tree.pop_first()),
                    6 => assert_eq!(map.get_or_insert_with(key, || value), tree.entry(key).or_insert(value)),
                    _ => assert_eq!(map.get_mut(&key), tree.get_mut(&key)),
                }
                assert_eq!((map.get(&key), map.contains_key(&key)), (tree.get(&key), tree.contains_key(&key)));
                if round % 100 == 0 {
                    check(&map, &tree, key);
                }
            }
            let odd = |_: &u64, value: &u64| value % 2 == 1;
            map.retain(odd);
            tree.retain(|key, value| odd(key, value));
            map.values_mut().chain(tree.values_mut()).for_each(|value| *value += 1);
            check(&map, &tree, 0);
            assert!(map.into_entries().eq(tree));
        }
    }

    #[test]
    fn many_are_appended_and_taken_off_the_front_quickly() {
        let mut map: SortedMap<u64, [u64; 8]> = SortedMap::new();
        map.extend((0..200_000).map(|n| (n, [n; 8])));
        // Moving all that is left for each of them would be 10^10 entries.
        for n in 0..200_000 {
            assert_eq!(map.remove(&n), Some([n; 8]));
        }
        assert!(map.is_empty());
    }

    #[test]
    fn a_set_holds_each_member_once_in_order() {
        let mut set: SortedSet<u8> = [5, 1, 5, 3].into_iter().collect();
        assert!(!set.insert(1) && set.insert(2) && set.remove(&3) && !set.remove(&4));
        assert!(set.contains(&5) && !set.contains(&3));
        assert_eq!((set.len(), set.iter().count()), (3, 3));
        assert_eq!(set.pop_first(), Some(1));
        assert!(set.clone().into_members().eq([2, 5]));
        set.clear();
        assert!(set.is_empty());
    }
}
