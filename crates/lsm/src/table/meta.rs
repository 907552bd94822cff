//! What the manifest knows about a table, enough to decide whether a read or a compaction needs it.

use crate::types::{FileNumber, Seq};

/// Description of one finished table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableMeta {
    /// The table's file.
    pub(crate) number: FileNumber,
    /// What is added to every sequence in the file; zero unless it was ingested. See `docs/format.md`, section 4.
    pub(crate) base: Seq,
    /// Bytes in the file.
    pub(crate) size: u64,
    /// Versions in the table, tombstones included.
    pub(crate) entries: u64,
    /// Versions that are deletes.
    pub(crate) tombstones: u64,
    /// Versions that are not the newest of their key here: what the table holds for history alone.
    pub(crate) superseded: u64,
    /// Oldest commit with a version or a range tombstone here.
    pub(crate) least_seq: Seq,
    /// Newest commit with a version or a range tombstone here.
    pub(crate) greatest_seq: Seq,
    /// First user key, or where the first range tombstone begins.
    pub(crate) smallest: Box<[u8]>,
    /// Last user key, or where the last range tombstone ends.
    pub(crate) largest: Box<[u8]>,
    /// Whether `largest` is the end of a range tombstone and so not in the table itself.
    pub(crate) largest_exclusive: bool,
}

impl TableMeta {
    /// The table, written with sequence 0 throughout, as the commit `seq`.
    pub(crate) fn based_on(self, seq: Seq) -> Self {
        Self { base: seq, least_seq: seq, greatest_seq: seq, ..self }
    }

    /// Whether a read at `at` finds nothing in the table, neither versions nor deletions, because all are newer.
    #[inline]
    pub(crate) fn is_newer_than(&self, at: Seq) -> bool {
        self.least_seq > at
    }

    /// Whether the table may hold a key from `smallest` to `largest`, both included.
    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        *self.smallest <= *largest && !self.ends_before(smallest)
    }

    /// Whether `key` and all greater keys lie behind the table.
    pub(crate) fn ends_before(&self, key: &[u8]) -> bool {
        if self.largest_exclusive { *self.largest <= *key } else { *self.largest < *key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_when_they_share_a_key() {
        let meta = TableMeta {
            number: FileNumber(1),
            base: Seq::ZERO,
            size: 0,
            entries: 2,
            tombstones: 0,
            superseded: 0,
            least_seq: Seq::ZERO,
            greatest_seq: Seq::ZERO,
            smallest: Box::from(&b"d"[..]),
            largest: Box::from(&b"m"[..]),
            largest_exclusive: false,
        };
        assert!(meta.overlaps(b"a", b"d"));
        assert!(meta.overlaps(b"m", b"z"));
        assert!(meta.overlaps(b"a", b"z"));
        assert!(meta.overlaps(b"e", b"e"));
        assert!(!meta.overlaps(b"a", b"c\xFF"));
        assert!(!meta.overlaps(b"m\0", b"z"));
        assert!(!meta.ends_before(b"m") && meta.ends_before(b"m\0"));

        let exclusive = TableMeta { largest_exclusive: true, ..meta };
        assert!(exclusive.overlaps(b"l\xFF", b"z"));
        assert!(!exclusive.overlaps(b"m", b"z"));
        assert!(!exclusive.ends_before(b"l\xFF") && exclusive.ends_before(b"m"));
    }
}
