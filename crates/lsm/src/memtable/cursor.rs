//! A position in a memtable that keeps the memtable alive.
#![expect(unsafe_code, reason = "keeps a position without borrowing the memtable; see the SAFETY comment")]

use std::sync::Arc;

use super::Memtable;
use super::record::Entry;
use super::tree::{Place, RawPlace};
use crate::types::{Kind, Seq, Trailer};

/// Walks a memtable in either direction. Entries inserted meanwhile may or may not be met.
pub(crate) struct MemtableCursor {
    memtable: Arc<Memtable>,
    at: Option<RawPlace>,
}

impl MemtableCursor {
    pub(crate) fn new(memtable: Arc<Memtable>) -> Self {
        Self { memtable, at: None }
    }

    pub(crate) fn valid(&self) -> bool {
        self.at.is_some()
    }

    /// Moves to the first version at or after (`key`, `trailer`).
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) {
        self.at = self.memtable.tree.seek(key, trailer).map(Place::into_raw);
    }

    /// Moves to the last version whose user key is less than `key`; without a key, to the last of all.
    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) {
        // The first place a version of `key` could have is that of its greatest sequence.
        let target = key.map(|key| (key, Trailer::new(Seq::MAX, Kind::Delete)));
        self.at = self.memtable.tree.seek_before(target).map(Place::into_raw);
    }

    pub(crate) fn next(&mut self) {
        self.at = self.place().and_then(Place::next).map(Place::into_raw);
    }

    pub(crate) fn prev(&mut self) {
        self.at = self.place().and_then(|place| place.prev(&self.memtable.tree)).map(Place::into_raw);
    }

    /// Key at the position; empty when not [`Self::valid`].
    pub(crate) fn key(&self) -> &[u8] {
        self.entry().map_or(&[], Entry::key)
    }

    /// Trailer at the position.
    pub(crate) fn trailer(&self) -> Trailer {
        self.entry().map_or(Trailer::new(Seq::ZERO, Kind::Put), Entry::trailer)
    }

    /// Value at the position; empty when not [`Self::valid`].
    pub(crate) fn value(&self) -> &[u8] {
        self.entry().map_or(&[], Entry::value)
    }

    fn entry(&self) -> Option<Entry<'_>> {
        self.place().map(Place::entry)
    }

    fn place(&self) -> Option<Place<'_>> {
        // SAFETY: `at` only ever comes from this memtable's tree, which the `Arc` keeps alive.
        self.at.map(|at| unsafe { at.of(&self.memtable.tree) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileNumber;

    #[test]
    fn a_cursor_walks_both_ways_and_outlives_other_handles() {
        let memtable = Arc::new(Memtable::new(FileNumber(1)));
        let mut writer = memtable.writer();
        for (key, seq) in [(b"a", 1), (b"b", 2), (b"b", 3), (b"c", 4)] {
            writer.insert(key, Seq::new(seq).unwrap(), Kind::Put, key);
        }
        drop(writer);
        let mut cursor = MemtableCursor::new(memtable);
        let place = |cursor: &MemtableCursor| (cursor.key().to_vec(), cursor.trailer().seq().get());
        cursor.seek(b"b", Trailer::new(Seq::MAX, Kind::Delete));
        assert_eq!(place(&cursor), (b"b".to_vec(), 3));
        cursor.next();
        assert_eq!(place(&cursor), (b"b".to_vec(), 2));
        cursor.next();
        assert_eq!(place(&cursor), (b"c".to_vec(), 4));
        cursor.next();
        assert!(!cursor.valid());
        cursor.seek_before(Some(b"c"));
        assert_eq!(place(&cursor), (b"b".to_vec(), 2));
        cursor.prev();
        assert_eq!(place(&cursor), (b"b".to_vec(), 3));
        cursor.seek_before(None);
        assert_eq!(place(&cursor), (b"c".to_vec(), 4));
        cursor.seek_before(Some(b"a"));
        assert!(!cursor.valid());
    }
}
