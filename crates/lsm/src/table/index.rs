//! The index of a section in memory: which data block may hold a version. See `docs/format.md`, section 5.3.
//!
//! What always holds: separators ascend and every entry names a data block of a possible size. Both are checked when
//! the index is made; [`check_layout`] checks that the blocks of all sections together leave no gap.

use super::block::{Block, Entry};
use super::block_builder::common_prefix;
use super::envelope::Handle;
use super::version_order;
use crate::error::{Error, Result};
use crate::format::varint;
use crate::limits::MAX_BLOCK_BYTES;
use crate::types::Seq;

/// One of the two sorted sequences of entries in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// The newest version of each key in the table.
    Current,
    /// All older versions.
    History,
}

/// A data block as its index entry describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) handle: Handle,
    /// Oldest commit with a version in the block.
    pub(crate) least: Seq,
    /// Newest commit with a version in the block.
    pub(crate) greatest: Seq,
}

impl Target {
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        self.handle.encode(out);
        varint::put(out, self.least.get());
        varint::put(out, self.greatest.get());
    }

    /// A target that is all of `bytes`.
    #[inline]
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let handle = Handle::take(&mut bytes)?;
        let least = Seq::new(varint::take(&mut bytes)?)?;
        let greatest = Seq::new(varint::take(&mut bytes)?)?;
        (bytes.is_empty() && least <= greatest).then_some(Self { handle, least, greatest })
    }
}

/// A checked index.
pub(crate) struct Index {
    block: Block,
}

impl Index {
    /// The index in `block`.
    pub(crate) fn new(block: Block) -> Result<Self> {
        let index = Self { block };
        index.check()?;
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

    /// Data block `index`.
    #[inline]
    pub(crate) fn target(&self, index: usize) -> Result<Target> {
        let entry = self.block.restart_entry(index as u32)?;
        Target::decode(self.block.value(&entry))
            .ok_or_else(|| self.block.bad_entry(self.block.restart(index as u32)))
    }

    /// Key and sequence of the separator of data block `index`.
    pub(crate) fn separator(&self, index: usize) -> Result<(&[u8], Seq)> {
        let entry = self.block.restart_entry(index as u32)?;
        Ok(self.key_of(&entry))
    }

    /// The only data block that can hold the first version at or after `(key, seq)`, unless that is the first one of
    /// the block behind; the number of blocks if there is none.
    #[inline]
    pub(crate) fn lower_bound(&self, key: &[u8], seq: Seq) -> Result<usize> {
        Ok(self.block.lower_restart(key, seq)? as usize)
    }

    fn key_of(&self, entry: &Entry) -> (&[u8], Seq) {
        (self.block.suffix(entry), entry.trailer.seq())
    }

    fn check(&self) -> Result<()> {
        let mut before: Option<Entry> = None;
        for index in 0..self.len() {
            let entry = self.block.restart_entry(index as u32)?;
            if entry.end() != self.block.restart(index as u32 + 1) {
                return Err(self.corrupt(index, "is not followed by a restart"));
            }
            if before.is_some_and(|before| version_order(self.key_of(&before), self.key_of(&entry)).is_ge()) {
                return Err(self.corrupt(index, "is out of order"));
            }
            if self.target(index)?.handle.size as usize > MAX_BLOCK_BYTES {
                return Err(self.corrupt(index, "names a block of an impossible size"));
            }
            before = Some(entry);
        }
        Ok(())
    }

    #[cold]
    fn corrupt(&self, index: usize, what: &str) -> Error {
        self.block.origin().corrupt(format!("index entry {index} {what}"))
    }
}

/// Checks that the data blocks of all indexes together follow one another from the start of the file to `data_end`,
/// those of each index in its order. Returns how many there are, or what is wrong.
pub(crate) fn check_layout(indexes: &[&Index], data_end: u64) -> std::result::Result<u64, String> {
    let mut handles = Vec::new();
    for index in indexes {
        let start = handles.len();
        for position in 0..index.len() {
            let target = index.target(position).map_err(|error| error.to_string())?;
            handles.push(target.handle);
        }
        if !handles[start..].is_sorted_by_key(|handle| handle.offset) {
            return Err("the data blocks of an index are out of order".to_owned());
        }
    }
    handles.sort_unstable_by_key(|handle| handle.offset);
    let mut next_offset = 0;
    for handle in &handles {
        if handle.offset != next_offset {
            return Err(format!("data block at offset {}; expected {next_offset}", handle.offset));
        }
        next_offset = handle.end().unwrap_or(u64::MAX);
    }
    if next_offset != data_end {
        return Err(format!("the data blocks end at offset {next_offset}; expected {data_end}"));
    }
    Ok(handles.len() as u64)
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

    #[test]
    fn a_target_round_trips_and_one_that_contradicts_itself_is_refused() {
        let (old, new) = (Seq::new(3).unwrap(), Seq::MAX);
        let target = Target { handle: Handle { offset: 300, size: 5 }, least: old, greatest: new };
        let mut bytes = Vec::new();
        target.encode(&mut bytes);
        assert_eq!(Target::decode(&bytes), Some(target));
        for cut in 0..bytes.len() {
            assert_eq!(Target::decode(&bytes[..cut]), None, "cut to {cut}");
        }
        bytes.clear();
        Target { least: new, greatest: old, ..target }.encode(&mut bytes);
        assert_eq!(Target::decode(&bytes), None);
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
