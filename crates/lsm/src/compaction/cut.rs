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
