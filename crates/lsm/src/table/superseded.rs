//! Which blocks of newest versions hold nothing that a reader of the present can see.
//!
//! When several sorted runs hold a version of the same keys, a scan has to step past the version in each older run,
//! though only the newest is shown. A scan that has stepped past every version of a block notes so, and those that come
//! later do not look at the block.
//!
//! What always holds: whoever reads at the noted sequence or later sees none of the block's versions. Each had a newer
//! one of its key by then, wherever that lies. That is a fact about what was committed, which no flush, no compaction and
//! no later commit changes, so a note is never taken back. It lives as long as the table is open.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::Seq;

/// The notes of one table.
#[derive(Default)]
pub(super) struct Superseded {
    /// For each block the sequence from which on nothing in it can be seen; 0 where nothing is known. Made with the first
    /// note: most tables never have one.
    since: OnceLock<Box<[AtomicU64]>>,
}

impl Superseded {
    /// Whether nothing in block `position` can be seen at `at`. Where that is not known, it is `false`.
    #[inline]
    pub(super) fn is_known(&self, position: usize, at: Seq) -> bool {
        let since = self.since.get().and_then(|since| since.get(position));
        let since = since.map_or(0, |since| since.load(Ordering::Relaxed));
        since != 0 && since <= at.get()
    }

    /// Notes that nothing in block `position`, of `blocks`, can be seen at `at`. The bytes that this has taken, if it is the
    /// first note.
    pub(super) fn note(&self, position: usize, blocks: usize, at: Seq) -> usize {
        let mut taken = 0;
        let since = self.since.get_or_init(|| {
            let none: Box<[AtomicU64]> = (0..blocks).map(|_| AtomicU64::new(0)).collect();
            taken = size_of_val(&*none);
            none
        });
        if let Some(since) = since.get(position) {
            // Two scans at once may leave the later of their sequences: less is known then, and nothing wrong.
            let known = since.load(Ordering::Relaxed);
            if known == 0 || at.get() < known {
                since.store(at.get(), Ordering::Relaxed);
            }
        }
        taken
    }

    /// Bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.since.get().map_or(0, |since| size_of_val(&**since))
    }
}
