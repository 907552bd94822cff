//! What the accepted commits of a group have written so far. Storage does not have it yet, but the next commit of the
//! group comes after it and is judged by it.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};

use fountain_lsm::{KeyRange, ReadTier, Seq};

use crate::error::Result;
use crate::kv::{Batch, KvValue, OrderedKv};

/// Batches of accepted commits, in order, and the newest operation on each of their keys.
pub(crate) struct Pending {
    batches: Vec<Batch>,
    /// Where the newest operation on a key is; unused while nothing in the group looks.
    newest: Option<BTreeMap<Box<[u8]>, Place>>,
    /// The newest sequence in storage; the batches get the ones after it.
    base: Seq,
}

/// A value, where it is.
pub(crate) enum Found<'a> {
    /// Of an accepted commit.
    Pending(&'a [u8]),
    /// In storage.
    Stored(KvValue),
}

impl Deref for Found<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Pending(value) => value,
            Self::Stored(value) => value,
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    batch: usize,
    op: usize,
}

impl Pending {
    /// Nothing yet, on storage whose newest sequence is `base`. Without `indexed` it does not know what
    /// it holds, and nothing may be asked.
    pub fn new(base: Seq, indexed: bool) -> Self {
        Self { batches: Vec::new(), newest: indexed.then(BTreeMap::new), base }
    }

    /// Number of accepted commits.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// The sequence of the newest accepted commit, or the newest in storage.
    pub fn newest_sequence(&self) -> Seq {
        self.base.checked_add(self.batches.len() as u64).unwrap_or(Seq::MAX)
    }

    /// Accepts a commit.
    pub fn push(&mut self, batch: Batch) {
        if let Some(newest) = &mut self.newest {
            for (op, (key, _)) in batch.ops().enumerate() {
                newest.insert(Box::from(key), Place { batch: self.batches.len(), op });
            }
        }
        self.batches.push(batch);
    }

    /// The sequence of the commit that put the record under a storage key there, after everything accepted so far.
    pub fn sequence_of(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<Seq>> {
        match self.newest.as_ref().and_then(|newest| newest.get(key)) {
            Some(&place) => Ok(self.value(place).map(|_| self.seq(place))),
            None => Ok(kv.get_with_seq(key, None, ReadTier::Disk)?.map(|(seq, _)| seq)),
        }
    }

    /// The record under a storage key and the sequence of the commit that put it there, after everything accepted so far.
    pub fn record_of(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<(Seq, Found<'_>)>> {
        match self.newest.as_ref().and_then(|newest| newest.get(key)) {
            Some(&place) => Ok(self.value(place).map(|value| (self.seq(place), Found::Pending(value)))),
            None => {
                let found = kv.get_with_seq(key, None, ReadTier::Disk)?;
                Ok(found.map(|(seq, value)| (seq, Found::Stored(value))))
            }
        }
    }

    /// The value of a storage key after everything accepted so far.
    pub fn get(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<Found<'_>>> {
        match self.newest.as_ref().and_then(|newest| newest.get(key)) {
            Some(&place) => Ok(self.value(place).map(Found::Pending)),
            None => Ok(kv.get(key, None, ReadTier::Disk)?.map(Found::Stored)),
        }
    }

    /// Whether an accepted commit has written this storage key.
    pub fn writes(&self, key: &[u8]) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.contains_key(key))
    }

    /// Whether an accepted commit has written a storage key in `range`.
    pub fn writes_in(&self, range: &KeyRange) -> bool {
        self.newest.as_ref().is_some_and(|newest| {
            let mut from =
                newest.range::<[u8], _>((Bound::Included(range.start.as_slice()), Bound::Unbounded));
            from.next().is_some_and(|(key, _)| range.contains(key))
        })
    }

    /// The batches, in order.
    pub fn into_batches(self) -> Vec<Batch> {
        self.batches
    }

    fn value(&self, place: Place) -> Option<&[u8]> {
        self.batches.get(place.batch)?.op(place.op)?.1
    }

    fn seq(&self, place: Place) -> Seq {
        self.base.checked_add(place.batch as u64 + 1).unwrap_or(Seq::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryKv;
    use fountain_lsm::Durability;

    fn batch(ops: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in ops {
            batch.push(b"", key.as_bytes(), value.map(str::as_bytes));
        }
        batch
    }

    fn found(pending: &Pending, kv: &MemoryKv, key: &str) -> Option<u64> {
        pending.sequence_of(kv, key.as_bytes()).unwrap().map(Seq::get)
    }

    #[test]
    fn the_group_comes_before_storage_and_its_last_operation_counts() {
        let kv = MemoryKv::default();
        kv.commit_many(&[batch(&[("a", Some("old")), ("b", Some("old"))])], Durability::Disk).unwrap();
        let mut pending = Pending::new(kv.visible(), true);
        pending.push(batch(&[("a", Some("x")), ("a", Some("y")), ("c", Some("z"))]));
        pending.push(batch(&[("c", None)]));
        assert_eq!(found(&pending, &kv, "a"), Some(2));
        assert_eq!(found(&pending, &kv, "b"), Some(1));
        assert_eq!(found(&pending, &kv, "c"), None);
        assert_eq!((pending.newest_sequence().get(), pending.len()), (3, 2));
        let range = |start: &str, end: &str| KeyRange { start: start.into(), end: Some(end.into()) };
        assert!(pending.writes_in(&range("b", "d")) && !pending.writes_in(&range("b", "c")));
        assert!(pending.writes(b"c") && !pending.writes(b"b"));
    }
}
