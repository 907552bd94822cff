//! What the accepted commits of a group have written so far. Storage does not have it yet, but the next commit of the
//! group comes after it and is judged by it.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};

use fountain_lsm::{KeyRange, ReadTier, Seq};

use crate::error::Result;
use crate::kv::{Batch, KvValue, OrderedKv};

/// Batches of accepted commits, in order, and the newest operation on each of their keys. Nobody looks at the last one of a
/// group, most often the only one, so keys are noted when the next one is about to be judged.
pub(crate) struct Pending {
    batches: Vec<Batch>,
    /// Where the newest operation on a key is, of the first `noted` batches.
    newest: BTreeMap<Box<[u8]>, Place>,
    noted: usize,
    /// Ranges that were deleted, each by the batch at this place.
    ranges: Vec<(usize, KeyRange)>,
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

/// What became of a storage key.
#[derive(Clone, Copy)]
enum Written {
    /// Nothing.
    Not,
    /// It was deleted with its range.
    Deleted,
    /// This is the last operation on it.
    At(Place),
}

/// Whether two ranges share keys.
pub(crate) fn overlap(one: &KeyRange, other: &KeyRange) -> bool {
    let begins_before_end =
        |one: &KeyRange, other: &KeyRange| other.end.as_ref().is_none_or(|end| one.start < *end);
    begins_before_end(one, other) && begins_before_end(other, one)
}

impl Pending {
    /// Nothing yet, on storage whose newest sequence is `base`.
    pub fn new(base: Seq) -> Self {
        Self { batches: Vec::new(), newest: BTreeMap::new(), noted: 0, ranges: Vec::new(), base }
    }

    /// Number of accepted commits.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// The sequence of the newest accepted commit, or the newest in storage.
    pub fn newest_sequence(&self) -> Seq {
        self.base.checked_add(self.batches.len() as u64).unwrap_or(Seq::MAX)
    }

    /// Notes what the accepted commits have written. To be called after a commit was accepted and before anything is asked.
    pub fn note(&mut self) {
        for (place, batch) in self.batches.iter().enumerate().skip(self.noted) {
            for (op, (key, _)) in batch.ops().enumerate() {
                let place = Place { batch: place, op };
                match self.newest.get_mut(key) {
                    Some(newest) => *newest = place,
                    None => drop(self.newest.insert(Box::from(key), place)),
                }
            }
        }
        self.noted = self.batches.len();
    }

    /// Accepts a commit.
    pub fn push(&mut self, batch: Batch) {
        let place = self.batches.len();
        self.ranges.extend(batch.ranges().iter().map(|range| (place, range.clone())));
        self.batches.push(batch);
    }

    /// The sequence of the commit that put the record under a storage key there, after everything accepted so far.
    pub fn sequence_of(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<Seq>> {
        match self.written(key) {
            Written::Deleted => Ok(None),
            Written::At(place) => Ok(self.value(place).map(|_| self.seq(place))),
            Written::Not => Ok(kv.get_with_seq(key, None, ReadTier::Disk)?.map(|(seq, _)| seq)),
        }
    }

    /// The record under a storage key and the sequence of the commit that put it there, after everything accepted so far.
    pub fn record_of(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<(Seq, Found<'_>)>> {
        match self.written(key) {
            Written::Deleted => Ok(None),
            Written::At(place) => Ok(self.value(place).map(|value| (self.seq(place), Found::Pending(value)))),
            Written::Not => {
                let found = kv.get_with_seq(key, None, ReadTier::Disk)?;
                Ok(found.map(|(seq, value)| (seq, Found::Stored(value))))
            }
        }
    }

    /// The value of a storage key after everything accepted so far.
    pub fn get(&self, kv: &dyn OrderedKv, key: &[u8]) -> Result<Option<Found<'_>>> {
        match self.written(key) {
            Written::Deleted => Ok(None),
            Written::At(place) => Ok(self.value(place).map(Found::Pending)),
            Written::Not => Ok(kv.get(key, None, ReadTier::Disk)?.map(Found::Stored)),
        }
    }

    /// The last accepted commit that has written this storage key.
    pub fn changed(&self, key: &[u8]) -> Option<Seq> {
        debug_assert_eq!(self.noted, self.batches.len());
        let written = self.newest.get(key).map(|place| place.batch);
        let deleted =
            self.ranges.iter().rev().find(|(_, range)| range.contains(key)).map(|(batch, _)| *batch);
        written.max(deleted).map(|batch| self.seq_of(batch))
    }

    /// A storage key in `range`, or the beginning of a range with keys of it, that an accepted commit has written, and the
    /// last one that did.
    pub fn changed_in(&self, range: &KeyRange) -> Option<(&[u8], Seq)> {
        let deleted = self.ranges.iter().rev().find(|(_, deleted)| overlap(deleted, range));
        if let Some((batch, deleted)) = deleted {
            return Some((&deleted.start, self.seq_of(*batch)));
        }
        debug_assert_eq!(self.noted, self.batches.len());
        let from = (Bound::Included(range.start.as_slice()), Bound::Unbounded);
        let (key, place) = self.newest.range::<[u8], _>(from).next()?;
        range.contains(key).then(|| (&**key, self.seq(*place)))
    }

    /// What the group did last to a storage key. In a batch ranges are deleted before the operations.
    fn written(&self, key: &[u8]) -> Written {
        debug_assert_eq!(self.noted, self.batches.len());
        let place = self.newest.get(key).copied();
        let deleted = self.ranges.iter().rev().find(|(_, range)| range.contains(key));
        match (place, deleted) {
            (Some(place), Some((batch, _))) if place.batch < *batch => Written::Deleted,
            (Some(place), _) => Written::At(place),
            (None, Some(_)) => Written::Deleted,
            (None, None) => Written::Not,
        }
    }

    /// The batches, in order.
    pub fn into_batches(self) -> Vec<Batch> {
        self.batches
    }

    fn value(&self, place: Place) -> Option<&[u8]> {
        self.batches.get(place.batch)?.op(place.op)?.1
    }

    fn seq(&self, place: Place) -> Seq {
        self.seq_of(place.batch)
    }

    /// The sequence that an accepted commit will have.
    fn seq_of(&self, batch: usize) -> Seq {
        self.base.checked_add(batch as u64 + 1).unwrap_or(Seq::MAX)
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
        let mut pending = Pending::new(kv.visible());
        pending.push(batch(&[("a", Some("x")), ("a", Some("y")), ("c", Some("z"))]));
        pending.push(batch(&[("c", None)]));
        pending.note();
        assert_eq!(found(&pending, &kv, "a"), Some(2));
        assert_eq!(found(&pending, &kv, "b"), Some(1));
        assert_eq!(found(&pending, &kv, "c"), None);
        assert_eq!((pending.newest_sequence().get(), pending.len()), (3, 2));
        let range = |start: &str, end: &str| KeyRange { start: start.into(), end: Some(end.into()) };
        let at = |seq: u64| Seq::new(seq);
        assert_eq!(pending.changed_in(&range("b", "d")), at(3).map(|seq| (&b"c"[..], seq)));
        assert_eq!(pending.changed_in(&range("b", "c")), None);
        assert_eq!(
            (pending.changed(b"c"), pending.changed(b"a"), pending.changed(b"b")),
            (at(3), at(2), None)
        );

        let mut dropping = batch(&[("bb", Some("after"))]);
        dropping.delete_range(range("b", "c"));
        pending.push(dropping);
        pending.note();
        assert_eq!((found(&pending, &kv, "b"), found(&pending, &kv, "bb")), (None, Some(4)));
        assert_eq!(
            (pending.changed(b"b"), pending.changed(b"bc"), pending.changed(b"d")),
            (at(4), at(4), None)
        );
        assert_eq!(pending.changed_in(&range("0", "b0")), at(4).map(|seq| (&b"b"[..], seq)));
        assert_eq!(pending.changed_in(&range("d", "e")), None);
        assert!(pending.get(&kv, b"b").unwrap().is_none());
    }
}
