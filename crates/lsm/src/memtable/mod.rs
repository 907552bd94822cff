//! The newest versions, in memory and in order, until they are flushed to a table.
//!
//! One writer at a time inserts; any number of readers search and walk at the same moment without locks. Nothing is
//! ever changed or removed once inserted, so what a reader has seen stays where it is until the memtable is dropped.

mod approach;
mod arena;
mod cursor;
mod deleted;
mod estimate;
mod heads;
mod insert;
mod node;
mod record;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
mod tree;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use crate::batch::OpKind;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::types::{FileNumber, Kind, Seq, Trailer};
use approach::TOGETHER;
pub(crate) use cursor::MemtableCursor;
use deleted::DeletedRanges;
use insert::Inserter;
use tree::Tree;

/// Key and sequence order of versions: user keys ascending, versions of one key newest first.
pub(crate) fn version_order(a: (&[u8], Trailer), b: (&[u8], Trailer)) -> std::cmp::Ordering {
    a.0.cmp(b.0).then(b.1.raw().cmp(&a.1.raw()))
}

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) seq: Seq,
    /// `None` for a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// An ordered multi-version map in memory.
pub(crate) struct Memtable {
    tree: Tree,
    /// Replaced at each deletion of a range.
    tombstones: ArcSwap<DeletedRanges>,
    /// Whether there are any; cheaper to ask.
    has_tombstones: AtomicBool,
    /// Bytes that they count for.
    tombstone_bytes: AtomicUsize,
    /// Held by whoever inserts; readers never touch it.
    inserter: Mutex<Inserter>,
    /// The first WAL segment that holds commits of this memtable.
    first_segment: FileNumber,
    last_commit: OnceLock<Seq>,
}

impl Memtable {
    /// An empty memtable whose first commit will be in WAL segment `first_segment`.
    pub(crate) fn new(first_segment: FileNumber) -> Self {
        let (tree, inserter) = Tree::new();
        Self {
            tree,
            tombstones: ArcSwap::default(),
            has_tombstones: AtomicBool::new(false),
            tombstone_bytes: AtomicUsize::new(0),
            inserter: Mutex::new(inserter),
            first_segment,
            last_commit: OnceLock::new(),
        }
    }

    pub(crate) fn first_segment(&self) -> FileNumber {
        self.first_segment
    }

    /// Says that no commit after `last` will come into this memtable.
    pub(crate) fn seal(&self, last: Seq) {
        let _ = self.last_commit.set(last);
    }

    /// The last commit before the memtable was sealed. It may have changed nothing and so have left no version here.
    pub(crate) fn last_commit(&self) -> Option<Seq> {
        self.last_commit.get().copied()
    }

    /// The right to insert, for one writer at a time.
    pub(crate) fn writer(&self) -> MemtableWriter<'_> {
        let inserter = self.inserter.lock().unwrap_or_else(PoisonError::into_inner);
        MemtableWriter { memtable: self, inserter }
    }

    /// The newest version of `key` at or before `at`.
    pub(crate) fn get(&self, key: &[u8], at: Seq) -> Option<Found<'_>> {
        let entry = self.tree.seek(key, Trailer::new(at, Kind::Delete))?.entry();
        if entry.key() != key {
            return None;
        }
        let trailer = entry.trailer();
        Some(Found { seq: trailer.seq(), value: (trailer.kind() == Kind::Put).then(|| entry.value()) })
    }

    /// Asks the processor for what reads and writes of these keys will look at. They are faster then; nothing else changes.
    pub(crate) fn approach<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.tree.approach(keys);
    }

    /// The newest deletion of a range with `key` in it, at or before `at`; [`Seq::ZERO`] if there is none.
    pub(crate) fn range_deleted(&self, key: &[u8], at: Seq) -> Seq {
        if self.has_tombstones.load(Ordering::Acquire) {
            self.tombstones.load().newest_covering(key, at)
        } else {
            Seq::ZERO
        }
    }

    /// Bytes of keys, values, nodes and deleted ranges.
    pub(crate) fn size_bytes(&self) -> usize {
        self.tree.size_bytes() + self.tombstone_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tree.is_empty() && !self.has_tombstones.load(Ordering::Acquire)
    }

    /// The ranges deleted here.
    pub(crate) fn tombstones(&self) -> Arc<DeletedRanges> {
        self.tombstones.load_full()
    }
}

/// See [`Memtable::writer`].
pub(crate) struct MemtableWriter<'a> {
    memtable: &'a Memtable,
    inserter: MutexGuard<'a, Inserter>,
}

impl MemtableWriter<'_> {
    /// Adds what an operation of commit `seq` does.
    pub(crate) fn apply(&mut self, kind: OpKind, key: &[u8], seq: Seq, value: &[u8]) {
        match kind {
            OpKind::Put => self.insert(key, seq, Kind::Put, value),
            OpKind::Delete => self.insert(key, seq, Kind::Delete, value),
            OpKind::DeleteRange => {
                let tombstones = self.memtable.tombstones.load().with(key, value, seq);
                self.memtable.tombstone_bytes.store(tombstones.counted_bytes(), Ordering::Relaxed);
                self.memtable.tombstones.store(Arc::new(tombstones));
                self.memtable.has_tombstones.store(true, Ordering::Release);
            }
        }
    }

    /// Adds what several operations do, each of the commit with its sequence.
    pub(crate) fn apply_all<'b>(
        &mut self,
        operations: impl Iterator<Item = (Seq, (OpKind, &'b [u8], &'b [u8]))> + Clone,
    ) {
        let (mut ahead, mut asked) = (operations.clone().map(|(_, (_, key, _))| key), 0);
        for (seq, (kind, key, value)) in operations {
            if asked == 0 {
                asked = TOGETHER;
                let next = ahead.by_ref().take(TOGETHER);
                if self.inserter.comes_last(key) {
                    next.for_each(drop);
                } else {
                    self.memtable.tree.approach(next);
                }
            }
            asked -= 1;
            self.apply(kind, key, seq, value);
        }
    }

    /// Adds a version. The pair of key and sequence must be new.
    pub(crate) fn insert(&mut self, key: &[u8], seq: Seq, kind: Kind, value: &[u8]) {
        self.memtable.tree.insert(&mut self.inserter, key, Trailer::new(seq, kind), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    #[test]
    fn a_read_sees_the_newest_version_at_or_before_its_sequence() {
        let memtable = Memtable::new(FileNumber(1));
        assert!(memtable.is_empty());
        let mut writer = memtable.writer();
        writer.insert(b"k", seq(3), Kind::Put, b"three");
        writer.insert(b"k", seq(5), Kind::Delete, b"");
        writer.insert(b"k", seq(9), Kind::Put, b"nine");
        writer.insert(b"kk", seq(4), Kind::Put, b"other");
        let at = |number| memtable.get(b"k", seq(number));
        assert_eq!(at(2), None);
        let put = |number, value| Some(Found { seq: seq(number), value: Some(value) });
        assert_eq!(at(3), put(3, &b"three"[..]));
        assert_eq!(at(4), put(3, &b"three"[..]));
        assert_eq!(at(5), Some(Found { seq: seq(5), value: None }));
        assert_eq!(at(100), put(9, &b"nine"[..]));
        assert_eq!(memtable.get(b"j", seq(100)), None);
        assert_eq!(memtable.get(b"l", seq(100)), None);
        assert!(!memtable.is_empty() && memtable.size_bytes() > 0);
    }

    /// Keys that share beginnings of many lengths, in an order that splits leaves everywhere.
    fn scattered(count: u32) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(move |number| {
            let spread = number.wrapping_mul(2_654_435_761) % count;
            match spread % 4 {
                0 => format!("user/{:06x}", spread / 4).into_bytes(),
                1 => [&b"n"[..], &f64::from(spread).to_bits().to_be_bytes()].concat(),
                2 => [vec![b'z'; (spread % 97) as usize], spread.to_be_bytes().to_vec()].concat(),
                _ => vec![b'0' + (spread / 4 % 7) as u8; (spread / 28 % 3000) as usize + 1],
            }
        })
    }

    #[test]
    fn operations_that_are_placed_together_are_each_found_as_alone() {
        let (memtable, mut model) = (Memtable::new(FileNumber(1)), std::collections::BTreeMap::new());
        let keys: Vec<_> = scattered(60_000).collect();
        let groups = keys.chunks(100).chain(keys[..3000].chunks(7));
        for (at, group) in (1..).zip(groups) {
            let operations =
                group.iter().map(|key| (seq(at), (OpKind::Put, &**key, &key[..key.len().min(4)])));
            let new = operations.clone().filter(|(seq, (_, key, _))| model.insert(*key, *seq) != Some(*seq));
            let new: Vec<_> = new.collect();
            memtable.writer().apply_all(new.into_iter());
        }
        for (key, newest) in &model {
            let found = memtable.get(key, Seq::MAX).unwrap();
            assert_eq!((found.seq, found.value), (*newest, Some(&key[..key.len().min(4)])));
        }
        let mut at = memtable.tree.seek(b"", Trailer::new(Seq::MAX, Kind::Delete));
        let mut walked = Vec::new();
        while let Some(place) = at {
            walked.push(place.entry().key());
            at = place.next();
        }
        walked.dedup();
        assert!(walked.iter().eq(model.keys()));
    }

    #[test]
    fn a_deleted_range_is_seen_from_its_sequence_on() {
        let memtable = Memtable::new(FileNumber(1));
        memtable.writer().apply(OpKind::DeleteRange, b"b", seq(5), b"d");
        assert!(!memtable.is_empty());
        let deleted = |key: &[u8], at| memtable.range_deleted(key, seq(at)).get();
        assert_eq!(
            [deleted(b"b", 4), deleted(b"b", 5), deleted(b"c\xFF", 9), deleted(b"d", 9)],
            [0, 5, 5, 0]
        );
    }
}
