//! What a transaction has written.
//!
//! A read that takes more than one step, or that begins later than it was asked for, keeps the writes as they are then, and
//! there may be many of those at a time. So writes lie in layers, of which later ones count before earlier ones. A layer that
//! a read keeps is never changed: what is written next begins a new one. Each layer has more than twice as many keys as the
//! next one, or the two are made one, so there are few, and each write is copied few times, however many reads keep it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange};

use crate::condition::Condition;

/// Writes by their storage keys.
type Layer = BTreeMap<Arc<[u8]>, Write>;

/// The last write on each storage key. A copy shares what it has with the original.
#[derive(Clone, Default)]
pub(crate) struct Writes {
    /// From the first and largest to the last.
    layers: Vec<Arc<Layer>>,
    keys: usize,
}

/// The last write on a storage key.
#[derive(Clone)]
pub(crate) struct Write {
    /// `None` for a delete.
    pub value: Option<Arc<[u8]>>,
    /// What must be true of the record as it was before the transaction.
    pub(super) condition: Option<Condition>,
}

impl Writes {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The write on a key.
    pub fn get(&self, key: &[u8]) -> Option<&Write> {
        self.layers.iter().rev().find_map(|layer| layer.get(key))
    }

    /// Writes a key.
    pub(super) fn insert(&mut self, key: &[u8], write: Write) {
        self.keys += usize::from(self.get(key).is_none());
        if self.layers.last_mut().is_none_or(|last| Arc::get_mut(last).is_none()) {
            self.merge_layers();
            self.layers.push(Arc::default());
        }
        if let Some(last) = self.layers.last_mut() {
            Arc::make_mut(last).insert(Arc::from(key), write);
        }
    }

    /// Makes one of neighbours of which the later one is not much smaller.
    fn merge_layers(&mut self) {
        let mut at = self.layers.len();
        while let Some([earlier, later]) = at.checked_sub(2).and_then(|first| self.layers.get_mut(first..at))
        {
            if earlier.len() <= 2 * later.len() {
                let over = later.iter().map(|(key, write)| (Arc::clone(key), write.clone()));
                Arc::make_mut(earlier).extend(over);
                self.layers.remove(at - 1);
            }
            at -= 1;
        }
    }

    /// All writes, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Write)> {
        Merged { layers: self.layers.iter().map(|layer| layer.range::<[u8], _>(..).peekable()).collect() }
    }

    /// The writes on keys in a range, in order.
    pub fn within(&self, range: &KeyRange) -> impl Iterator<Item = (&[u8], &Write)> {
        let start = Bound::Included(range.start.as_slice());
        let layers =
            self.layers.iter().map(|layer| layer.range::<[u8], _>((start, Bound::Unbounded)).peekable());
        Merged { layers: layers.collect() }.take_while(|(key, _)| range.contains(key))
    }

    /// The write on the first key behind `after`, or of all, within a range and in a direction.
    pub fn behind(
        &self,
        after: Option<&[u8]>,
        range: &KeyRange,
        direction: Direction,
    ) -> Option<(&[u8], &Write)> {
        if range.is_empty() {
            return None;
        }
        let start = Bound::Included(range.start.as_slice());
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        // Of equal keys `min_by` takes the first and `max_by` the last: both that of the last layer, which counts.
        let found = match direction {
            Direction::Forward => {
                let bounds = (after.map_or(start, Bound::Excluded), end);
                let layers = self.layers.iter().rev();
                let firsts = layers.filter_map(|layer| layer.range::<[u8], _>(bounds).next());
                firsts.min_by(|one, other| one.0.cmp(other.0))
            }
            Direction::Reverse => {
                let bounds = (start, after.map_or(end, Bound::Excluded));
                let lasts = self.layers.iter().filter_map(|layer| layer.range::<[u8], _>(bounds).next_back());
                lasts.max_by(|one, other| one.0.cmp(other.0))
            }
        };
        found.map(|(key, write)| (&**key, write))
    }
}

/// A walk over several layers in the order of keys.
struct Merged<'a> {
    layers: Vec<Peekable<btree_map::Range<'a, Arc<[u8]>, Write>>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a [u8], &'a Write);

    fn next(&mut self) -> Option<Self::Item> {
        let keys = self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key));
        let least = keys.min()?;
        let mut found = None;
        for layer in &mut self.layers {
            // The last layer that has it counts.
            found = layer.next_if(|(key, _)| key.cmp(&least) == Ordering::Equal).or(found);
        }
        found.map(|(key, write)| (&**key, write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn write(value: u8) -> Write {
        Write { value: Some(Arc::from([value])), condition: None }
    }

    /// Keys with the first bytes of what was written.
    fn shown<'a>(writes: impl Iterator<Item = (&'a [u8], &'a Write)>) -> Vec<(u8, u8)> {
        let first = |bytes: &[u8]| bytes.first().copied().unwrap_or_default();
        writes.map(|(key, write)| (first(key), first(write.value.as_deref().unwrap_or_default()))).collect()
    }

    fn walked(writes: &Writes, range: &KeyRange, direction: Direction) -> Vec<(u8, u8)> {
        let (mut found, mut after) = (Vec::new(), None);
        while let Some((key, write)) = writes.behind(after.as_deref(), range, direction) {
            found.extend(shown([(key, write)].into_iter()));
            after = Some(key.to_vec());
        }
        found
    }

    proptest! {
        #[test]
        fn writes_equal_a_map_and_what_was_kept_of_them_stays_as_it_was(
            steps in proptest::collection::vec((0..20u8, 0..3u8), 0..120),
            start in 0..20u8,
            end in 0..25u8,
        ) {
            let (mut writes, mut model) = (Arc::new(Writes::default()), BTreeMap::new());
            let mut kept = Vec::new();
            let range = KeyRange { start: vec![start], end: (end < 20).then(|| vec![end]) };
            for (number, (key, keep)) in steps.into_iter().enumerate() {
                Arc::make_mut(&mut writes).insert(&[key], write(number as u8));
                model.insert(key, number as u8);
                match keep {
                    0 => kept.push((Arc::clone(&writes), model.clone())),
                    1 => drop(kept.pop()),
                    _ => {}
                }
            }
            kept.push((writes, model));
            for (writes, model) in kept {
                let all: Vec<_> = model.iter().map(|(key, value)| (*key, *value)).collect();
                let inside: Vec<_> = all.iter().filter(|(key, _)| range.contains(&[*key])).copied().collect();
                prop_assert_eq!(shown(writes.iter()), all);
                prop_assert_eq!((writes.len(), writes.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(shown(writes.within(&range)), inside.clone());
                prop_assert_eq!(walked(&writes, &range, Direction::Forward), inside.clone());
                prop_assert!(walked(&writes, &range, Direction::Reverse).into_iter().rev().eq(inside));
                for key in 0..20 {
                    let found = writes.get(&[key]).and_then(|write| write.value.as_deref()?.first());
                    prop_assert_eq!(found, model.get(&key));
                }
            }
        }
    }

    #[test]
    fn reads_that_keep_the_writes_before_each_of_many_take_memory_for_a_few_copies_of_each() {
        const COUNT: usize = 4096;
        let mut writes = Arc::new(Writes::default());
        let mut kept = Vec::new();
        for number in 0..COUNT {
            kept.push(Arc::clone(&writes));
            Arc::make_mut(&mut writes).insert(&(number as u64).to_be_bytes(), write(0));
        }
        let layers = kept.iter().flat_map(|kept| &kept.layers);
        let layers: HashMap<_, usize> = layers.map(|layer| (Arc::as_ptr(layer), layer.len())).collect();
        let copies: usize = layers.values().sum();
        assert!(copies < COUNT * 14, "{copies} copies of {COUNT} writes");
        assert!(kept.iter().all(|kept| kept.layers.len() <= 13));
    }
}
