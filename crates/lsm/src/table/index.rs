//! The index of a section: which data block may hold a version. See `docs/format.md`, section 5.3.
//!
//! The root stays in memory while the table is open. It names the data blocks themselves, or, when that would take too
//! much memory, leaves of so many data blocks each as the footer says, which are read through the cache like data. Either
//! way data blocks have numbers, from 0 in the order of entries.
//!
//! What always holds: separators ascend and every entry names a block of a possible size. Both are checked when a root
//! or a leaf is read; [`check_layout`] checks that blocks leave no gap.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::block::{Block, Entry};
use super::envelope::Handle;
use super::reader::Table;
use super::version_order;
use crate::error::{Error, Result};
use crate::format::varint;
use crate::key::common_prefix;
use crate::limits::MAX_BLOCK_BYTES;
use crate::marks::{Mark, hit};
use crate::types::{ReadTier, Seq};

/// One of the two sorted sequences of entries in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// The newest version of each key in the table.
    Current,
    /// All older versions.
    History,
}

/// A block, or all the data blocks of a leaf, as the index entry describes it.
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

    /// A target that is all of `bytes`, in a table with this base.
    #[inline]
    fn decode(mut bytes: &[u8], base: Seq) -> Option<Self> {
        let handle = Handle::take(&mut bytes)?;
        let least = base.checked_add(varint::take(&mut bytes)?)?;
        let greatest = base.checked_add(varint::take(&mut bytes)?)?;
        (bytes.is_empty() && least <= greatest).then_some(Self { handle, least, greatest })
    }
}

/// Where a search in an index ended.
#[derive(Default)]
pub(crate) struct IndexPlace {
    /// The leaf and its number, if the index has any.
    leaf: Option<(u32, Arc<Block>)>,
    /// The entry in the leaf or the root.
    slot: Option<u32>,
}

/// A section's index.
pub(crate) struct Index {
    root: Block,
    /// Data blocks named by each leaf but the last, if the root names leaves.
    leaf_blocks: Option<NonZeroU16>,
    /// Number of data blocks.
    len: usize,
}

impl Index {
    /// The index with this root, over `len` data blocks. `leaf_blocks` of them are named by each leaf, if there are any.
    pub(crate) fn new(root: Block, leaf_blocks: Option<NonZeroU16>, len: u64) -> Result<Self> {
        let expected = leaf_blocks.map_or(len, |each| len.div_ceil(u64::from(each.get())));
        check_entries(&root, expected)?;
        Ok(Self { root, leaf_blocks, len: len as usize })
    }

    /// Number of data blocks, at least 1.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the root names leaves.
    #[inline]
    pub(crate) fn has_leaves(&self) -> bool {
        self.leaf_blocks.is_some()
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.root.memory_bytes()
    }

    /// Data block `position`. A leaf that `tier` does not allow to read is [`Error::WouldBlock`].
    #[inline]
    pub(crate) fn target(&self, table: &Table, position: usize, tier: ReadTier) -> Result<Target> {
        if let Some(each) = self.leaf_blocks {
            let each = usize::from(each.get());
            let leaf = self.leaf(table, position / each, tier)?;
            return target_at(&leaf, position % each);
        }
        target_at(&self.root, position)
    }

    /// Number of the only data block that can hold the first version at or after `(key, seq)`, unless that is the
    /// first one of the block behind; the number of blocks if there is none.
    #[inline]
    pub(crate) fn lower_bound(&self, table: &Table, key: &[u8], seq: Seq, tier: ReadTier) -> Result<usize> {
        let at = self.root.lower_restart(key, seq)?;
        let Some(each) = self.leaf_blocks else { return Ok(at as usize) };
        if at == self.root.restarts() {
            return Ok(self.len);
        }
        let leaf = self.leaf(table, at as usize, tier)?;
        Ok(at as usize * usize::from(each.get()) + leaf.lower_restart(key, seq)? as usize)
    }

    /// About how many data blocks come before the first one that can hold `key`, by what is in memory.
    pub(crate) fn blocks_before(&self, table: &Table, key: &[u8]) -> Result<usize> {
        let at = self.root.lower_restart(key, Seq::MAX)?;
        let Some(each) = self.leaf_blocks else { return Ok(at as usize) };
        if at == self.root.restarts() {
            return Ok(self.len);
        }
        let (first, each) = (at as usize * usize::from(each.get()), usize::from(each.get()));
        let within = match self.leaf_in_memory(table, at as usize)? {
            Some(leaf) => leaf.lower_restart(key, Seq::MAX)? as usize,
            None => each / 2,
        };
        Ok((first + within).min(self.len))
    }

    /// Whether data block `position` is known to hold only keys less than `key`, by what is in memory.
    pub(crate) fn ends_before(&self, table: &Table, position: usize, key: &[u8]) -> bool {
        let reaches = if let Some(each) = self.leaf_blocks {
            let each = usize::from(each.get());
            let Ok(Some(leaf)) = self.leaf_in_memory(table, position / each) else { return false };
            leaf.reaches((position % each) as u32, key, Seq::MAX)
        } else {
            self.root.reaches(position as u32, key, Seq::MAX)
        };
        matches!(reaches, Ok(false))
    }

    /// The data block of [`Self::lower_bound`].
    #[inline]
    pub(crate) fn find(&self, table: &Table, key: &[u8], seq: Seq, tier: ReadTier) -> Result<Option<Target>> {
        let at = self.root.lower_restart(key, seq)?;
        if at == self.root.restarts() {
            return Ok(None);
        }
        if !self.has_leaves() {
            return target_at(&self.root, at as usize).map(Some);
        }
        let leaf = self.leaf(table, at as usize, tier)?;
        let slot = leaf.lower_restart(key, seq)?;
        target_at(&leaf, slot as usize).map(Some)
    }

    /// As [`Self::find`], for a version that does not come before the one of the last search, whose `place` this was.
    pub(crate) fn find_onwards(
        &self,
        table: &Table,
        key: &[u8],
        seq: Seq,
        tier: ReadTier,
        place: &mut IndexPlace,
    ) -> Result<Option<Target>> {
        if self.has_leaves() {
            let number = self.root.lower_restart(key, seq)?;
            if number == self.root.restarts() {
                return Ok(None);
            }
            if place.leaf.as_ref().is_none_or(|(held, _)| *held != number) {
                *place =
                    IndexPlace { leaf: Some((number, self.leaf(table, number as usize, tier)?)), slot: None };
            }
        }
        let block = place.leaf.as_ref().map_or(&self.root, |(_, leaf)| leaf);
        let slot = match place.slot {
            Some(slot) if slot == block.restarts() || block.reaches(slot, key, seq)? => slot,
            _ => block.lower_restart(key, seq)?,
        };
        place.slot = Some(slot);
        if slot == block.restarts() && !self.has_leaves() {
            return Ok(None);
        }
        target_at(block, slot as usize).map(Some)
    }

    /// What the root names: data blocks or leaves.
    pub(crate) fn root_handles(&self) -> Result<Vec<Handle>> {
        (0..self.root.restarts() as usize).map(|slot| Ok(target_at(&self.root, slot)?.handle)).collect()
    }

    /// Reads all of the index again, past the cache. Returns its entries, after checking that leaves are what the root
    /// says about them.
    pub(crate) fn read_all(&self, table: &Table) -> Result<Vec<IndexEntry>> {
        let roots: Vec<IndexEntry> = entries(&self.root)?;
        if !self.has_leaves() {
            return Ok(roots);
        }
        let mut all = Vec::with_capacity(self.len);
        for (number, root) in roots.iter().enumerate() {
            all.extend(self.read_leaf(table, number, root)?);
        }
        Ok(all)
    }

    /// As [`Self::read_all`], going on where a leaf cannot be read: there is what the root says of it, and why.
    pub(crate) fn read_what_is_left(&self, table: &Table) -> Result<Vec<(IndexEntry, Option<Error>)>> {
        let mut all = Vec::with_capacity(self.len);
        for (number, root) in entries(&self.root)?.into_iter().enumerate() {
            if !self.has_leaves() {
                all.push((root, None));
                continue;
            }
            match self.read_leaf(table, number, &root) {
                Ok(found) => all.extend(found.into_iter().map(|entry| (entry, None))),
                Err(error) => all.push((root, Some(error))),
            }
        }
        Ok(all)
    }

    /// The entries of the leaf `number`, which the root describes so.
    fn read_leaf(&self, table: &Table, number: usize, root: &IndexEntry) -> Result<Vec<IndexEntry>> {
        let leaf = table.read_block(root.target.handle)?;
        check_entries(&leaf, self.entries_in_leaf(number))?;
        let found = entries(&leaf)?;
        let least = found.iter().map(|entry| entry.target.least).min();
        let greatest = found.iter().map(|entry| entry.target.greatest).max();
        let separator = found.last().map(|last| (&last.key, last.seq));
        if (least, greatest) != (Some(root.target.least), Some(root.target.greatest))
            || separator != Some((&root.key, root.seq))
        {
            return Err(leaf.origin().corrupt("an index leaf that is not what the root says"));
        }
        Ok(found)
    }

    fn leaf(&self, table: &Table, number: usize, tier: ReadTier) -> Result<Arc<Block>> {
        hit(Mark::IndexLeaf);
        let handle = target_at(&self.root, number)?.handle;
        table.block(handle, tier, |leaf| check_entries(leaf, self.entries_in_leaf(number)))
    }

    /// A leaf for who goes without it where it is not in memory: that is no miss.
    fn leaf_in_memory(&self, table: &Table, number: usize) -> Result<Option<Arc<Block>>> {
        Ok(table.in_memory(target_at(&self.root, number)?.handle))
    }

    fn entries_in_leaf(&self, number: usize) -> u64 {
        let each = self.leaf_blocks.map_or(self.len, |each| usize::from(each.get()));
        self.len.saturating_sub(number * each).min(each) as u64
    }
}

/// A decoded entry of an index block.
pub(crate) struct IndexEntry {
    pub(crate) key: Box<[u8]>,
    pub(crate) seq: Seq,
    pub(crate) target: Target,
}

fn entries(block: &Block) -> Result<Vec<IndexEntry>> {
    let entry = |slot: u32| {
        let entry = block.restart_entry(slot)?;
        let (key, seq) = key_of(block, &entry);
        Ok(IndexEntry { key: key.into(), seq, target: target_at(block, slot as usize)? })
    };
    (0..block.restarts()).map(entry).collect()
}

#[inline]
fn target_at(block: &Block, slot: usize) -> Result<Target> {
    let entry = block.restart_entry(slot as u32)?;
    Target::decode(block.value(&entry), block.base())
        .ok_or_else(|| block.bad_entry(block.restart(slot as u32)))
}

fn key_of<'a>(block: &'a Block, entry: &Entry) -> (&'a [u8], Seq) {
    (block.suffix(entry), entry.trailer.seq())
}

/// Whether a block that begins at `offset` can be one of an index: every entry is a restart and names what lies before
/// it. Data blocks of more than one entry never can.
pub(crate) fn may_be_index(block: &Block, offset: u64) -> bool {
    offset > 0
        && (0..block.restarts()).all(|slot| {
            let is_restart =
                block.restart_entry(slot).is_ok_and(|entry| entry.end() == block.restart(slot + 1));
            let end = target_at(block, slot as usize).ok().and_then(|target| target.handle.end());
            is_restart && end.is_some_and(|end| end <= offset)
        })
}

/// Checks a block of an index, which should have `expected` entries.
fn check_entries(block: &Block, expected: u64) -> Result<()> {
    let corrupt = |slot: u32, what: &str| Err(block.origin().corrupt(format!("index entry {slot} {what}")));
    if u64::from(block.restarts()) != expected {
        let found = block.restarts();
        return Err(block.origin().corrupt(format!("index of {found} entries; expected {expected}")));
    }
    let mut before: Option<Entry> = None;
    for slot in 0..block.restarts() {
        let entry = block.restart_entry(slot)?;
        if entry.end() != block.restart(slot + 1) {
            return corrupt(slot, "is not followed by a restart");
        }
        if before.is_some_and(|before| version_order(key_of(block, &before), key_of(block, &entry)).is_ge()) {
            return corrupt(slot, "is out of order");
        }
        if target_at(block, slot as usize)?.handle.size as usize > MAX_BLOCK_BYTES {
            return corrupt(slot, "names a block of an impossible size");
        }
        before = Some(entry);
    }
    Ok(())
}

/// Checks that blocks, those of each index in its order, together follow one another from `start` to `end`; or what is
/// wrong.
pub(crate) fn check_layout(indexes: &[Vec<Handle>], start: u64, end: u64) -> std::result::Result<(), String> {
    if indexes.iter().any(|handles| !handles.is_sorted_by_key(|handle| handle.offset)) {
        return Err("the blocks of an index are out of order".to_owned());
    }
    let mut handles = indexes.concat();
    handles.sort_unstable_by_key(|handle| handle.offset);
    let mut next_offset = start;
    for handle in &handles {
        if handle.offset != next_offset {
            return Err(format!("block at offset {}; expected {next_offset}", handle.offset));
        }
        next_offset = handle.end().unwrap_or(u64::MAX);
    }
    if next_offset == end {
        return Ok(());
    }
    Err(format!("the blocks end at offset {next_offset}; expected {end}"))
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
        assert_eq!(Target::decode(&bytes, Seq::ZERO), Some(target));
        assert_eq!(Target::decode(&bytes, old), None, "beyond the greatest sequence");
        for cut in 0..bytes.len() {
            assert_eq!(Target::decode(&bytes[..cut], Seq::ZERO), None, "cut to {cut}");
        }
        bytes.clear();
        Target { least: new, greatest: old, ..target }.encode(&mut bytes);
        assert_eq!(Target::decode(&bytes, Seq::ZERO), None);
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
