//! Where one output table ends and the next begins.
//!
//! A table ends when it is large enough; a little earlier where a table of the level below the target ends, so that
//! later compactions of it meet fewer tables; and much earlier when it already lies over too much of that level,
//! which would make moving it further down too dear. It never ends between two versions of one key.

use std::sync::Arc;

use crate::limits::MAX_GRANDPARENT_OVERLAP;
use crate::marks::{Mark, hit};
use crate::table::Table;

/// Follows the keys of a compaction.
pub(super) struct Cutter {
    /// Tables of the level below the target, in key order.
    grandparents: Vec<Arc<Table>>,
    /// The first of them that does not end before the last key.
    next: usize,
    /// Bytes of those that the current output lies over.
    overlapped: u64,
    table_bytes: u64,
}

impl Cutter {
    pub(super) fn new(grandparents: Vec<Arc<Table>>, table_bytes: u64) -> Self {
        Self { grandparents, next: 0, overlapped: 0, table_bytes }
    }

    /// Whether the output of `written` bytes should end before `key`, the first of another user key.
    pub(super) fn ends_before(&mut self, key: &[u8], written: u64) -> bool {
        let crossed = self.cross(key);
        let full = written >= self.table_bytes || (crossed && written >= self.table_bytes / 2);
        let dear = crossed && self.overlapped >= self.table_bytes * MAX_GRANDPARENT_OVERLAP;
        let ends = (full || dear) && written > 0;
        if ends {
            if !full {
                hit(Mark::CutForGrandparents);
            }
            self.overlapped = 0;
        }
        ends
    }

    /// Moves past the grandparents that end before `key`; whether there were any.
    fn cross(&mut self, key: &[u8]) -> bool {
        let before = self.next;
        while let Some(table) = self.grandparents.get(self.next)
            && table.meta().ends_before(key)
        {
            self.overlapped += table.meta().size;
            self.next += 1;
        }
        self.next > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BlockCache;
    use crate::fs::RealFs;
    use crate::table::{Compression, TableWriter};
    use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

    const TABLE_BYTES: u64 = 1000;

    /// Tables of the level below the target: one for each key, with so many bytes.
    fn cutter(below: &[(&str, u64)]) -> Cutter {
        let dir = tempfile::tempdir().unwrap();
        let store = StoreId([3; 16]);
        let table = |(number, &(key, size)): (usize, &(&str, u64))| {
            let (path, number) = (dir.path().join(key), FileNumber(number as u64 + 1));
            let mut writer =
                TableWriter::create(&RealFs, path.clone(), store, number, Compression::None).unwrap();
            writer.add(key.as_bytes(), Trailer::new(Seq::new(1).unwrap(), Kind::Put), b"").unwrap();
            let meta = writer.finish().unwrap();
            let cache = Arc::new(BlockCache::new(0));
            let real = Table::open(&RealFs, path, store, meta.clone(), cache).unwrap();
            let tombstones = real.range_tombstones().clone();
            Arc::new(real.described_as(crate::table::TableMeta { size, ..meta }, 0, tombstones))
        };
        Cutter::new(below.iter().enumerate().map(table).collect(), TABLE_BYTES)
    }

    /// The keys before which an output ends, when each key adds `step` bytes to it.
    fn cuts<'a>(cutter: &mut Cutter, keys: &[&'a str], step: u64) -> Vec<&'a str> {
        let (mut written, mut cuts) = (0, Vec::new());
        for &key in keys {
            if cutter.ends_before(key.as_bytes(), written) {
                cuts.push(key);
                written = 0;
            }
            written += step;
        }
        cuts
    }

    #[test]
    fn with_nothing_below_an_output_ends_when_it_is_large_enough() {
        assert_eq!(cuts(&mut cutter(&[]), &["a", "b", "c", "d", "e", "f"], 500), ["c", "e"]);
        assert_eq!(cuts(&mut cutter(&[]), &["a", "b", "c"], 1000), ["b", "c"]);
    }

    #[test]
    fn an_output_that_is_half_full_ends_where_a_table_below_does() {
        // At "d" 600 bytes are written and "c" ended; at "c" only 400 were, when "b" did.
        let found = cuts(&mut cutter(&[("b", 10), ("c", 10)]), &["a", "b", "c", "d", "e"], 200);
        assert_eq!(found, ["d"]);
        assert!(cuts(&mut cutter(&[("x", 10)]), &["a", "b", "c", "d", "e"], 200).is_empty());
    }

    #[test]
    fn an_output_over_too_many_bytes_of_the_level_below_ends_however_small_it_is() {
        let keys = ["a", "b", "c", "d", "e", "f", "g"];
        let limit = TABLE_BYTES * MAX_GRANDPARENT_OVERLAP;
        let below = [("a", limit / 2), ("b", limit / 2), ("c", limit - 1), ("d", 1), ("e", 1), ("f", 1)];
        // "a" and "b" together reach the limit; then "c" and "d"; "e" and "f" do not.
        assert_eq!(cuts(&mut cutter(&below), &keys, 1), ["c", "e"]);
        let less = [("a", limit / 2), ("b", limit / 2 - 1)];
        assert!(cuts(&mut cutter(&less), &keys, 1).is_empty());
    }

    #[test]
    fn nothing_ends_before_it_has_begun() {
        let limit = TABLE_BYTES * MAX_GRANDPARENT_OVERLAP;
        let mut cutter = cutter(&[("a", limit)]);
        assert!(!cutter.ends_before(b"b", 0));
    }
}
