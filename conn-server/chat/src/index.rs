//! Records found by a key that is part of them: the hash table holds four bytes per record, so its empty places cost little.
//!
//! Invariants: the table names exactly the places that hold a record; `last` is one of them, or `NONE`.

use alloc::vec::Vec;
use core::cell::Cell;
use core::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::conn::NONE;

/// A record that knows its key.
pub(crate) trait Keyed {
    type Key: Copy + Eq + Hash;
    fn key(&self) -> Self::Key;
}

/// Where a record is, for as long as it is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u32);

/// Records by key.
#[derive(Debug)]
pub(crate) struct Indexed<R> {
    records: Vec<R>,
    /// Places without a record.
    free: Vec<u32>,
    table: HashTable<u32>,
    /// The place that was found last: messages come in bursts, to the same.
    last: Cell<u32>,
    hasher: DefaultHashBuilder,
}

impl<R> Default for Indexed<R> {
    fn default() -> Self {
        let (records, free, table) = (Vec::new(), Vec::new(), HashTable::new());
        Self { records, free, table, last: Cell::new(NONE), hasher: DefaultHashBuilder::default() }
    }
}

impl<R: Keyed> Indexed<R> {
    /// One that holds so many records before it grows. Memory is reserved, and used as records come.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let (records, table) = (Vec::with_capacity(count), HashTable::with_capacity(count));
        Self { records, table, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Where the record of a key is.
    pub(crate) fn find(&self, key: R::Key) -> Option<Place> {
        let is_it = |at: &u32| self.records.get(*at as usize).is_some_and(|r| r.key() == key);
        let last = self.last.get();
        if is_it(&last) {
            return Some(Place(last));
        }
        let at = *self.table.find(self.hasher.hash_one(key), is_it)?;
        self.last.set(at);
        Some(Place(at))
    }

    pub(crate) fn at(&self, place: Place) -> Option<&R> {
        self.records.get(place.0 as usize)
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut R> {
        self.records.get_mut(place.0 as usize)
    }

    pub(crate) fn get(&self, key: R::Key) -> Option<&R> {
        self.at(self.find(key)?)
    }

    pub(crate) fn get_mut(&mut self, key: R::Key) -> Option<&mut R> {
        self.at_mut(self.find(key)?)
    }

    /// Takes in a record whose key is not there yet.
    pub(crate) fn insert(&mut self, record: R) -> Place {
        let key = record.key();
        debug_assert!(self.find(key).is_none(), "a key has one record");
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.records.get_mut(at as usize) {
                    *place = record;
                }
                at
            }
            None => {
                self.records.push(record);
                u32::try_from(self.records.len() - 1).expect("bounded far below 2^32 records")
            }
        };
        let Self { records, table, hasher, .. } = self;
        table.insert_unique(hasher.hash_one(key), at, |at| {
            records.get(*at as usize).map_or(0, |record| hasher.hash_one(record.key()))
        });
        Place(at)
    }

    /// Lets go of a record.
    pub(crate) fn remove(&mut self, key: R::Key) {
        let Self { records, table, hasher, free, last } = self;
        let is_it = |at: &u32| records.get(*at as usize).is_some_and(|r| r.key() == key);
        if let Ok(entry) = table.find_entry(hasher.hash_one(key), is_it) {
            free.push(entry.remove().0);
            last.set(NONE);
        }
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.free.clear();
        self.table.clear();
        self.last.set(NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Named(u64, &'static str);

    impl Keyed for Named {
        type Key = u64;
        fn key(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn records_are_found_by_key_and_their_places_used_again() {
        let mut names = Indexed::default();
        let one = names.insert(Named(1, "one"));
        let two = names.insert(Named(2, "two"));
        assert_eq!((names.find(1), names.find(2), names.find(3)), (Some(one), Some(two), None));
        assert!(names.find(1) == Some(one));
        names.remove(1);
        names.remove(1);
        assert!(names.get(1).is_none() && names.len() == 1);
        assert_eq!(names.insert(Named(3, "three")), one);
        assert_eq!(names.get(3).unwrap().1, "three");
        names.get_mut(2).unwrap().1 = "zwei";
        assert_eq!(names.at(two).unwrap().1, "zwei");
        for key in 10..1_000 {
            names.insert(Named(key, "more"));
        }
        assert_eq!(names.get(2).unwrap().1, "zwei");
        names.clear();
        assert!(names.get(2).is_none() && names.len() == 0);
    }
}
