//! A position in a block that moves both ways.
//!
//! Entries can only be decoded forwards, so a step back needs the entries since the restart before it. They are decoded
//! once per restart interval and kept, so that a scan in reverse costs the same per entry as one forwards.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::block::{Block, Entry, Place};
use super::version_order;
use crate::error::{Error, Result};
use crate::limits::RESTART_INTERVAL;
use crate::types::{Kind, Seq, Trailer};

/// A cursor over one block at a time. After an error it is not valid until it is positioned anew.
pub(crate) struct BlockCursor {
    block: Arc<Block>,
    /// The current entry and its position; `None` before the first, behind the last and after an error.
    current: Option<(Place, Entry)>,
    /// Key of the current entry; while stepping back, the keys of its whole restart interval.
    keys: Vec<u8>,
    /// Where in `keys` that of the current entry is.
    key: Range<usize>,
    /// Entries before the current one in its restart interval, while stepping back.
    behind: Vec<Behind>,
}

struct Behind {
    at: Place,
    entry: Entry,
    key: Range<usize>,
}

impl BlockCursor {
    /// A cursor over `block` that is not positioned yet.
    pub(crate) fn new(block: Arc<Block>) -> Self {
        Self { block, current: None, keys: Vec::new(), key: 0..0, behind: Vec::new() }
    }

    /// Turns to another block, keeping the memory.
    pub(crate) fn reset(&mut self, block: Arc<Block>) {
        self.block = block;
        self.current = None;
        self.behind.clear();
    }

    /// Makes the cursor invalid.
    pub(crate) fn leave(&mut self) {
        self.current = None;
    }

    /// Whether the cursor is at an entry.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.current.is_some()
    }

    /// The user key; of no meaning unless valid, like the two below.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.keys.get(self.key.clone()).unwrap_or_default()
    }

    /// Sequence and kind.
    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.current.map_or(Trailer::new(Seq::ZERO, Kind::Put), |(_, entry)| entry.trailer)
    }

    /// The value.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(_, entry)| self.block.value(entry))
    }

    /// Whether the current entry is a restart.
    pub(crate) fn at_restart(&self) -> bool {
        self.current.is_some_and(|(at, _)| self.block.restart(self.restart_before(at.head + 1)) == at)
    }

    /// Moves to the first entry.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.restart_at(0)
    }

    /// Moves to the last entry.
    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.behind.clear();
        self.back_from(self.block.end())
    }

    /// Moves to the first entry at or after `(key, sequence of trailer)`.
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.current = None;
        let target = (key, trailer.seq());
        let restart = self.block.lower_restart(key, trailer.seq())?.saturating_sub(1);
        self.restart_at(restart)?;
        while self.valid() && version_order((self.key(), self.trailer().seq()), target) == Ordering::Less {
            self.next()?;
        }
        Ok(())
    }

    /// Moves to the first entry whose user key is not before `key`; gives how many are. As restarts are [`RESTART_INTERVAL`]
    /// entries apart, it looks at no more than that.
    pub(crate) fn rank(&mut self, key: &[u8]) -> Result<usize> {
        self.current = None;
        let restart = self.block.lower_restart(key, Seq::MAX)?.saturating_sub(1);
        self.restart_at(restart)?;
        let mut before = restart as usize * RESTART_INTERVAL;
        while self.valid() && self.key() < key {
            self.next()?;
            before += 1;
        }
        Ok(before)
    }

    /// How many entries the block has. Moves behind the last.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let restart = self.block.restarts() - 1;
        self.restart_at(restart)?;
        let mut count = restart as usize * RESTART_INTERVAL;
        while self.valid() {
            self.next()?;
            count += 1;
        }
        Ok(count)
    }

    /// Moves to the last entry whose user key is before `key`.
    pub(crate) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.seek(key, Trailer::new(Seq::MAX, Kind::Put))?;
        if self.valid() { self.prev() } else { self.seek_last() }
    }

    /// Moves to the next entry, or to none behind the last.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        self.behind.clear();
        match self.current.take() {
            Some((_, entry)) if entry.end() != self.block.end() => self.step_to(entry.end()),
            _ => Ok(()),
        }
    }

    /// Moves to the entry before, or to none before the first.
    pub(crate) fn prev(&mut self) -> Result<()> {
        match self.current.take() {
            Some((at, _)) => self.back_from(at),
            None => Ok(()),
        }
    }

    fn restart_at(&mut self, restart: u32) -> Result<()> {
        self.behind.clear();
        self.current = None;
        self.key = 0..0;
        self.step_to(self.block.restart(restart))
    }

    /// Moves to the entry at `at`, whose predecessor's key is the current one.
    #[inline]
    fn step_to(&mut self, at: Place) -> Result<()> {
        self.current = None;
        let entry = self.block.entry(at)?;
        let shared = entry.shared as usize;
        if shared > self.key.len() {
            return Err(self.block.bad_entry(at));
        }
        if self.key.start > 0 {
            self.keys.copy_within(self.key.start..self.key.start + shared, 0);
        }
        self.keys.truncate(shared);
        self.keys.extend_from_slice(self.block.suffix(&entry));
        self.key = 0..self.keys.len();
        self.current = Some((at, entry));
        Ok(())
    }

    /// Moves to the entry that ends at `end`, or to none if that is the start of the block.
    fn back_from(&mut self, end: Place) -> Result<()> {
        if self.behind.is_empty() && end.head > 0 {
            self.load_behind(end)?;
        }
        self.current = self.behind.pop().map(|behind| {
            self.key = behind.key;
            (behind.at, behind.entry)
        });
        Ok(())
    }

    /// Decodes the restart interval that leads up to `end`.
    fn load_behind(&mut self, end: Place) -> Result<()> {
        self.current = None;
        self.keys.clear();
        let mut at = self.block.restart(self.restart_before(end.head));
        let mut before = 0..0;
        while at.head < end.head && self.behind.len() < RESTART_INTERVAL {
            let entry = self.block.entry(at)?;
            let shared = entry.shared as usize;
            if shared > before.len() {
                return Err(self.damaged(at));
            }
            let start = self.keys.len();
            self.keys.extend_from_within(before.start..before.start + shared);
            self.keys.extend_from_slice(self.block.suffix(&entry));
            before = start..self.keys.len();
            self.behind.push(Behind { at, entry, key: before.clone() });
            if entry.end() == end {
                return Ok(());
            }
            at = entry.end();
        }
        Err(self.damaged(end))
    }

    /// Forgets the position; the error for an entry at `at` that does not fit its restart interval.
    #[cold]
    fn damaged(&mut self, at: Place) -> Error {
        self.current = None;
        self.behind.clear();
        self.block
            .origin()
            .corrupt(format!("entry at byte {} of the block does not fit its restart interval", at.head))
    }

    /// Last restart whose head is before `end`, which is not 0.
    fn restart_before(&self, end: u32) -> u32 {
        let (mut low, mut high) = (0, self.block.restarts());
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.block.restart(middle).head < end {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::block::Origin;
    use super::super::block_builder::BlockBuilder;
    use super::*;

    proptest! {
        #[test]
        fn ranks_and_counts_are_those_of_a_walk(
            keys in prop::collection::btree_map(prop::collection::vec(0..4u8, 1..4), 1..4u64, 1..60),
            wanted in prop::collection::vec(0..5u8, 0..4),
        ) {
            let mut builder = BlockBuilder::new(RESTART_INTERVAL);
            let versions = keys.iter().flat_map(|(key, &newest)| (1..=newest).rev().map(move |seq| (key, seq)));
            let versions: Vec<_> = versions.collect();
            for &(key, seq) in &versions {
                builder.add(key, Trailer::new(Seq::new(seq).unwrap(), Kind::Put), b"value");
            }
            let origin = Origin { path: Arc::from(Path::new("table")), offset: 0 };
            let mut cursor = BlockCursor::new(Arc::new(Block::new(builder.finish().to_vec(), origin).unwrap()));
            let before = versions.iter().filter(|(key, _)| **key < wanted).count();
            prop_assert_eq!(cursor.rank(&wanted).unwrap(), before);
            let found = cursor.valid().then(|| cursor.key());
            prop_assert_eq!(found, versions.get(before).map(|(key, _)| &key[..]), "where it is then");
            prop_assert_eq!(cursor.count().unwrap(), versions.len());
        }
    }
}
