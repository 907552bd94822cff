//! The index of a table in memory: which data block may hold a version. See `docs/format.md`, section 5.3.
//!
//! A search compares eight-byte heads of the separators, which lie close together, and looks at whole separators only
//! among equal heads. The heads leave out what all separators begin with, such as a keyspace.
//!
//! What always holds: separators ascend, and the data blocks follow one another from the start of the file to the
//! filter. Both are checked when the index is made.

use std::cmp::Ordering;

use super::block::{Block, Entry};
use super::block_builder::common_prefix;
use super::envelope::Handle;
use super::version_order;
use crate::error::{Error, Result};
use crate::limits::MAX_BLOCK_BYTES;
use crate::types::Seq;

const HEAD_BYTES: usize = 8;

/// A checked index.
pub(crate) struct Index {
    block: Block,
    /// Bytes that all separators begin with.
    common: u32,
    /// Per data block, what follows the common bytes of its separator, big-endian and filled up with zeros.
    heads: Box<[u64]>,
}

impl Index {
    /// The index in `block`, for data blocks that end at `data_end`.
    pub(crate) fn new(block: Block, data_end: u64) -> Result<Self> {
        let count = block.restarts();
        let (first, last) = (block.restart_entry(0)?, block.restart_entry(count - 1)?);
        let common = common_prefix(block.suffix(&first), block.suffix(&last));
        let mut index = Self { block, common: common as u32, heads: Box::default() };
        index.heads = index.check(data_end)?;
        Ok(index)
    }

    /// Number of data blocks, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.block.memory_bytes() + self.heads.len() * HEAD_BYTES
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
        let common = self.common as usize;
        let (mut low, mut high) = (0, self.heads.len());
        if common > 0 {
            let entry = self.block.restart_entry(0)?;
            let shared = &self.block.suffix(&entry)[..common];
            match key[..key.len().min(common)].cmp(shared) {
                Ordering::Less => return Ok(0),
                Ordering::Greater => return Ok(high),
                Ordering::Equal => {}
            }
        }
        let head = head_of(&key[common..]);
        low = first_not(&self.heads, low, high, |found| found < head);
        high = first_not(&self.heads, low, high, |found| found == head);
        while low < high {
            let middle = low + (high - low) / 2;
            if version_order(self.separator(middle)?, (key, seq)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn key_of(&self, entry: &Entry) -> (&[u8], Seq) {
        (self.block.suffix(entry), entry.trailer.seq())
    }

    /// Checks all of the index; returns the heads.
    fn check(&self, data_end: u64) -> Result<Box<[u64]>> {
        let count = self.block.restarts() as usize;
        let mut heads = Vec::with_capacity(count);
        let mut before: Option<Entry> = None;
        let mut next_offset = 0;
        for index in 0..count {
            let entry = self.block.restart_entry(index as u32)?;
            let expected_end = match index + 1 {
                end if end == count => self.block.entries_end(),
                next => self.block.restart(next as u32),
            };
            if entry.end != expected_end {
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
            heads.push(head_of(self.block.suffix(&entry).get(self.common as usize..).unwrap_or_default()));
            before = Some(entry);
        }
        if next_offset != data_end {
            return Err(self.corrupt(count - 1, "does not end where the filter begins"));
        }
        Ok(heads.into())
    }

    #[cold]
    fn corrupt(&self, index: usize, what: &str) -> Error {
        self.block.origin().corrupt(format!("index entry {index} {what}"))
    }
}

/// The first bytes as a number that sorts like them.
#[inline]
fn head_of(key: &[u8]) -> u64 {
    if let Some(head) = key.first_chunk() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; HEAD_BYTES];
    head[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(head)
}

/// First position from `low` up to `high` where `before` no longer holds.
#[inline]
fn first_not(heads: &[u64], mut low: usize, mut high: usize, before: impl Fn(u64) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if before(heads[middle]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
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

        #[test]
        fn heads_sort_like_keys(
            a in prop::collection::vec(any::<u8>(), 0..12),
            b in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            if head_of(&a) != head_of(&b) {
                prop_assert_eq!(head_of(&a).cmp(&head_of(&b)), a.cmp(&b));
            }
        }
    }
}
