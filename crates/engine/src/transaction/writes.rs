//! What a transaction has written. A read that takes more than one step keeps the writes as they are when it begins:
//! what the transaction writes meanwhile changes a copy.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange};

use crate::condition::Condition;

/// The last write on each storage key.
#[derive(Clone, Default)]
pub(crate) struct Writes(BTreeMap<Vec<u8>, Write>);

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
        self.0.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The write on a key.
    pub fn get(&self, key: &[u8]) -> Option<&Write> {
        self.0.get(key)
    }

    /// Writes a key.
    pub(super) fn insert(&mut self, key: &[u8], write: Write) {
        self.0.insert(key.to_vec(), write);
    }

    /// All writes, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Write)> {
        self.0.iter().map(|(key, write)| (key.as_slice(), write))
    }

    /// The writes on keys in a range, in order.
    pub fn within(&self, range: &KeyRange) -> impl Iterator<Item = (&[u8], &Write)> {
        let from = self.0.range::<[u8], _>((Bound::Included(range.start.as_slice()), Bound::Unbounded));
        from.take_while(|(key, _)| range.contains(key)).map(|(key, write)| (key.as_slice(), write))
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
        let found = match direction {
            Direction::Forward => self.0.range::<[u8], _>((after.map_or(start, Bound::Excluded), end)).next(),
            Direction::Reverse => {
                self.0.range::<[u8], _>((start, after.map_or(end, Bound::Excluded))).next_back()
            }
        };
        found.map(|(key, write)| (key.as_slice(), write))
    }
}
