//! Reading ahead: several data blocks of a section with one system call.

use super::envelope::Handle;
use super::index::Index;
use super::reader::Table;
use super::tail::read_exact;
use crate::error::Result;
use crate::limits::{FIRST_READ_AHEAD_BYTES, MAX_READ_AHEAD_BYTES, MISSES_BEFORE_READ_AHEAD};
use crate::marks::{Mark, hit};
use crate::types::ReadTier;

/// A stretch of the file in memory, and the steps that lead to the next one.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// Reads from the disk in a row, each for the block behind what the one before read or used.
    reads: u32,
    /// The block behind the last one that came from the disk.
    next: usize,
}

impl Window {
    /// The stored form of block `position` at `handle`, if it was read ahead.
    pub(super) fn stored(&mut self, position: usize, handle: Handle) -> Option<&[u8]> {
        let at = usize::try_from(handle.offset.checked_sub(self.start)?).ok()?;
        let stored = self.bytes.get(at..)?.get(..handle.stored_bytes())?;
        self.next = position + 1;
        Some(stored)
    }

    /// Notes that a block was found in memory.
    pub(super) fn interrupt(&mut self) {
        self.reads = 0;
    }

    /// Notes that block `position` has to be read; returns how many bytes to read for it and those behind it, 0 for
    /// no more than it.
    pub(super) fn read_ahead(&mut self, position: usize) -> usize {
        self.reads = if position == self.next { self.reads.saturating_add(1) } else { 1 };
        self.next = position + 1;
        match self.reads.checked_sub(MISSES_BEFORE_READ_AHEAD + 1) {
            Some(doublings) => MAX_READ_AHEAD_BYTES.min(FIRST_READ_AHEAD_BYTES << doublings.min(8)),
            None => 0,
        }
    }

    /// Reads block `position` of `index`, and those behind it as far as they lie within `most` bytes and at least half
    /// of what is read belongs to the section.
    pub(super) fn fill(&mut self, table: &Table, index: &Index, position: usize, most: usize) -> Result<()> {
        hit(Mark::ReadAhead);
        let handle = |position| Ok(index.target(table, position, ReadTier::Disk)?.handle);
        let first = handle(position)?;
        let span = span(first, (position + 1..index.len()).map(handle), most)?;
        self.start = first.offset;
        self.bytes.resize(span, 0);
        let read = read_exact(table.file.as_ref(), &table.path, self.start, &mut self.bytes);
        read.inspect_err(|_| self.bytes.clear())
    }
}

/// Bytes to read for block `first` and those that `follow` it.
fn span(first: Handle, follow: impl Iterator<Item = Result<Handle>>, most: usize) -> Result<usize> {
    let (mut span, mut wanted) = (first.stored_bytes(), first.stored_bytes());
    for next in follow {
        let next = next?;
        wanted += next.stored_bytes();
        // In an index that is wrong a later block may lie anywhere.
        let before = next.offset.checked_sub(first.offset).and_then(|before| usize::try_from(before).ok());
        match before.and_then(|before| before.checked_add(next.stored_bytes())) {
            Some(reach) if reach <= most && reach <= wanted * 2 => span = span.max(reach),
            _ => break,
        }
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_ends_before_a_block_that_lies_too_far_away_or_in_front() {
        let handle = |offset: u64| Handle { offset, size: 100 };
        let step = handle(0).stored_bytes() as u64;
        let span_of = |next: u64, most| {
            let follow = [handle(50_000 + step), handle(next)];
            span(handle(50_000), follow.into_iter().map(Ok), most).unwrap() as u64
        };
        assert_eq!(span_of(50_000 + 2 * step, 10_000), 3 * step);
        assert_eq!(span_of(50_000 + 2 * step, 250), 2 * step);
        for next in [0, 49_999, 50_000 + 9 * step, u64::MAX, u64::MAX - step] {
            assert_eq!(span_of(next, 10_000), 2 * step, "{next}");
        }
    }
}
