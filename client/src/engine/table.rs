// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who waits for which completion.

/// Names an entry of a [`Table`], for ever: no two entries of a table have the same.
///
/// It travels to the kernel and back as the `user_data` of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) const fn to_user_data(self) -> u64 {
        (self.generation as u64) << u32::BITS | self.index as u64
    }

    pub(crate) const fn from_user_data(user_data: u64) -> Self {
        Self {
            index: user_data as u32,
            generation: (user_data >> u32::BITS) as u32,
        }
    }
}

/// A place of the table: each entry that it holds has a generation of its own.
#[derive(Debug)]
struct Place<T> {
    generation: u32,
    entry: Option<T>,
}

/// Entries by [`Key`].
///
/// # Invariants
///
/// - `free` holds the index of each place without an entry whose generations are not used up, and
///   no other.
/// - `len` is the number of entries.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, entry: T) -> Key {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.entry = Some(entry);
            return Key {
                index,
                generation: place.generation,
            };
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2^32 calls in flight");
        self.places.push(Place {
            generation: 0,
            entry: Some(entry),
        });
        Key {
            index,
            generation: 0,
        }
    }

    /// The entry of this key, if it is still there.
    #[cfg(test)]
    fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        match place.generation == key.generation {
            true => place.entry.as_ref(),
            false => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        match place.generation == key.generation {
            true => place.entry.as_mut(),
            false => None,
        }
    }

    /// Takes the entry of this key out, if it is still there.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let entry = place.entry.take()?;
        self.len -= 1;
        // A place that would begin its generations again is left alone from now on.
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(key.index);
        }
        Some(entry)
    }

    /// The keys of all entries.
    fn keys(&self) -> Vec<Key> {
        let taken = (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| place.entry.is_some());
        taken
            .map(|(index, place)| Key {
                index,
                generation: place.generation,
            })
            .collect()
    }

    /// Something of each entry.
    pub(crate) fn values<V>(&self, value: impl Fn(&T) -> V) -> Vec<V> {
        let entries = self.places.iter().filter_map(|place| place.entry.as_ref());
        entries.map(value).collect()
    }

    /// Takes all entries out.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let keys = self.keys().into_iter();
        keys.filter_map(|key| self.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_survives_its_way_through_the_kernel() {
        for (index, generation) in [(0, 0), (1, 0), (0, 1), (u32::MAX, 7), (7, u32::MAX)] {
            let key = Key { index, generation };
            assert_eq!(Key::from_user_data(key.to_user_data()), key);
        }
    }

    #[test]
    fn a_late_key_does_not_reach_the_next_entry_of_its_place() {
        let mut table = Table::new();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_eq!(first.index, second.index, "the place is used again");
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"second"));
    }

    #[test]
    fn a_place_whose_generations_are_used_up_is_not_used_again() {
        let mut table = Table::new();
        let key = table.insert(1);
        table.places[0].generation = u32::MAX;
        let last = Key {
            generation: u32::MAX,
            ..key
        };
        assert_eq!(table.remove(last), Some(1));
        assert_eq!(table.insert(2).index, 1);
        assert_eq!(table.get(last), None);
        assert_eq!(table.len(), 1);
    }

    proptest! {
        /// Against a map that never uses a key twice.
        #[test]
        fn it_is_a_map_whose_keys_are_never_used_again(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut table = Table::new();
            let mut model: HashMap<Key, usize> = HashMap::new();
            let mut keys: Vec<Key> = Vec::new();
            for (number, (inserts, which)) in steps.into_iter().enumerate() {
                if inserts || keys.is_empty() {
                    let key = table.insert(number);
                    prop_assert!(!keys.contains(&key));
                    keys.push(key);
                    model.insert(key, number);
                } else {
                    let key = *which.get(&keys);
                    prop_assert_eq!(table.remove(key), model.remove(&key));
                }
                prop_assert_eq!(table.len(), model.len());
                for key in &keys {
                    prop_assert_eq!(table.get(*key), model.get(key));
                }
            }
            let mut rest = table.drain();
            rest.sort_unstable();
            let mut expected: Vec<usize> = model.into_values().collect();
            expected.sort_unstable();
            prop_assert_eq!(rest, expected);
            prop_assert_eq!(table.len(), 0);
        }
    }
}
