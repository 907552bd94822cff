//! The index of a table in memory: which data block may hold a version. See `docs/format.md`, section 5.3.
//!
//! What always holds: separators ascend, and the data blocks follow one another from the start of the file to the
//! filter. Both are checked when the index is made.

use super::block::{Block, Entry};
use super::block_builder::common_prefix;
use super::envelope::Handle;
use super::version_order;
use crate::error::{Error, Result};
use crate::limits::MAX_BLOCK_BYTES;
use crate::types::Seq;

/// A checked index.
pub(crate) struct Index {
    block: Block,
}

impl Index {
    /// The index in `block`, for data blocks that end at `data_end`.
    pub(crate) fn new(block: Block, data_end: u64) -> Result<Self> {
        let index = Self { block };
        index.check(data_end)?;
        Ok(index)
    }

    /// Number of data blocks, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.block.restarts() as usize
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.block.memory_bytes()
    }

    /// Where data block `index` lies.
    #[inline]
    pub(crate) fn handle(&self, index: usize) -> Result<Handle> {
        let entry = self.block.restart_entry(index as u32)?;
        Handle::decode(self.block.value(&entry))
            .ok_or_else(|| self.block.bad_entry(self.block.restart(index as u32)))
    }

    /// Key and sequence of the separator of data block `index`.
    pub(crate) fn separator(&self, index: usize) -> Result<(&[u8], Seq)> {
        let entry = self.block.restart_entry(index as u32)?;
        Ok(self.key_of(&entry))
    }

    /// First data block that may hold a version at or after `(key, seq)`; the number of blocks if there is none.
    #[inline]
    pub(crate) fn lower_bound(&self, key: &[u8], seq: Seq) -> Result<usize> {
        Ok(self.block.lower_restart(key, seq)? as usize)
    }

    fn key_of(&self, entry: &Entry) -> (&[u8], Seq) {
        (self.block.suffix(entry), entry.trailer.seq())
    }

    /// Checks all of the index.
    fn check(&self, data_end: u64) -> Result<()> {
        let count = self.block.restarts() as usize;
        let mut before: Option<Entry> = None;
        let mut next_offset = 0;
        for index in 0..count {
            let entry = self.block.restart_entry(index as u32)?;
            if entry.end() != self.block.restart(index as u32 + 1) {
                return Err(self.corrupt(index, "is not followed by a restart"));
            }
            if before.is_some_and(|before| version_order(self.key_of(&before), self.key_of(&entry)).is_ge()) {
                return Err(self.corrupt(index, "is out of order"));
            }
            let handle = self.handle(index)?;
            if handle.offset != next_offset || handle.size as usize > MAX_BLOCK_BYTES {
                return Err(self.corrupt(index, "names a block of an impossible place or size"));
            }
            next_offset = handle.end().unwrap_or(u64::MAX);
            before = Some(entry);
        }
        if next_offset != data_end {
            return Err(self.corrupt(count - 1, "does not end where the filter begins"));
        }
        Ok(())
    }

    #[cold]
    fn corrupt(&self, index: usize, what: &str) -> Error {
        self.block.origin().corrupt(format!("index entry {index} {what}"))
    }
}

/// A key that is not before `last` and before `next`, as short as is easily found. `next` is after `last`, and they
/// are different keys.
pub(crate) fn short_separator<'a>(last: &'a [u8], next: &'a [u8]) -> &'a [u8] {
    let candidate = &next[..(common_prefix(last, next) + 1).min(next.len())];
    if candidate.len() < last.len() && candidate.len() < next.len() { candidate } else { last }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn separators_are_short_where_keys_allow() {
        assert_eq!(short_separator(b"abcdefgh", b"abxyz"), b"abx");
        assert_eq!(short_separator(b"user0041", b"user0042"), b"user0041");
        assert_eq!(short_separator(b"a", b"ab"), b"a");
        assert_eq!(short_separator(b"abc", b"b"), b"abc");
        assert_eq!(short_separator(b"", b"b"), b"");
    }

    proptest! {
        #[test]
        fn a_separator_is_not_before_the_last_key_and_before_the_next(
            a in prop::collection::vec(0..3u8, 0..6),
            b in prop::collection::vec(0..3u8, 0..6),
        ) {
            prop_assume!(a != b);
            let (last, next) = if a < b { (a, b) } else { (b, a) };
            let separator = short_separator(&last, &next);
            prop_assert!(*last <= *separator && *separator < *next);
            prop_assert!(separator.len() <= last.len());
        }
    }
}
