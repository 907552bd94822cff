//! Which operation of a batch was the last on a key, for batches that know their operations by place.
//!
//! A table of places, hashed by the keys that the batch holds anyway: it copies no key and allocates nothing but itself.
//! What always holds: at most half of the slots are in use, and each place in the table is of another key. The hash is
//! that of the standard library's maps, seeded at random, because a batch may have a million keys that somebody else chose.

use std::hash::{BuildHasher, RandomState};

/// Slots of a table that has any.
const LEAST_SLOTS: usize = 16;

/// Places by key. Places are below `u32::MAX`, as is the number of bytes of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTable {
    /// A power of two of them, or none.
    slots: Vec<Slot>,
    used: usize,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Part of the hash of the key; enough to find the slot again in a larger table.
    hash: u32,
    /// The place and one more; 0 in a free slot.
    place: u32,
}

impl KeyTable {
    /// Makes room for so many keys.
    pub(crate) fn reserve(&mut self, keys: usize) {
        let slots = (2 * (self.used + keys)).next_power_of_two().max(LEAST_SLOTS);
        if slots > self.slots.len() {
            self.spread(slots);
        }
    }

    /// Notes that `key` is at `place` now, and returns where it was before. `key_at` is the key at a place in the table.
    pub(crate) fn insert<'k>(
        &mut self,
        key: &[u8],
        place: usize,
        key_at: impl Fn(usize) -> &'k [u8],
    ) -> Option<usize> {
        if 2 * (self.used + 1) > self.slots.len() {
            self.reserve(self.used + 1);
        }
        let hash = self.hasher.hash_one(key) as u32;
        let (mask, mut at) = (self.slots.len() - 1, hash as usize);
        loop {
            let slot = &mut self.slots[at & mask];
            let new = Slot { hash, place: place as u32 + 1 };
            if slot.place == 0 {
                *slot = new;
                self.used += 1;
                return None;
            }
            let before = slot.place as usize - 1;
            if slot.hash == hash && key_at(before) == key {
                *slot = new;
                return Some(before);
            }
            at += 1;
        }
    }

    /// Moves everything into a table of so many slots, a power of two that is large enough.
    fn spread(&mut self, slots: usize) {
        let before = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in before.into_iter().filter(|slot| slot.place != 0) {
            let mut at = slot.hash as usize;
            while self.slots[at & (slots - 1)].place != 0 {
                at += 1;
            }
            self.slots[at & (slots - 1)] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_key_is_where_it_was_put_last_however_the_table_grows() {
        let keys: Vec<Vec<u8>> = (0..20_000u32)
            .map(|number| (number.wrapping_mul(7919) % 3000).to_string().into_bytes())
            .collect();
        for reserved in [0, 10, 5000] {
            let (mut table, mut model) = (KeyTable::default(), HashMap::new());
            table.reserve(reserved);
            for (place, key) in keys.iter().enumerate() {
                let before = table.insert(key, place, |at| &keys[at]);
                assert_eq!(before, model.insert(key.clone(), place));
            }
            assert!(table.used == 3000 && table.slots.len() >= 2 * table.used);
        }
    }
}
