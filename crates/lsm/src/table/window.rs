//! Reading ahead: several data blocks of a section with one system call, on the way that a walk goes.

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
    /// Reads from the disk in a row, each for the block beside what the one before read or used, on one side.
    reads: u32,
    /// The last block that came from the disk.
    last: usize,
    /// Whether the reads in a row go towards the beginning.
    backwards: bool,
}

impl Window {
    /// The stored form of block `position` at `handle`, if it was read ahead.
    pub(super) fn stored(&mut self, position: usize, handle: Handle) -> Option<&[u8]> {
        let at = usize::try_from(handle.offset.checked_sub(self.start)?).ok()?;
        let stored = self.bytes.get(at..)?.get(..handle.stored_bytes())?;
        self.last = position;
        Some(stored)
    }

    /// Notes that a block was found in memory.
    pub(super) fn interrupt(&mut self) {
        self.reads = 0;
    }

    /// Notes that block `position` has to be read; returns how many bytes to read for it and those beside it, 0 for
    /// no more than it.
    pub(super) fn read_ahead(&mut self, position: usize) -> usize {
        let (forwards, backwards) = (position == self.last + 1, position + 1 == self.last);
        let goes_on = if self.backwards { backwards } else { forwards };
        self.reads = if goes_on { self.reads.saturating_add(1) } else { 1 };
        if !goes_on {
            // Two blocks tell the way.
            (self.backwards, self.reads) = (backwards, if backwards { 2 } else { 1 });
        }
        self.last = position;
        match self.reads.checked_sub(MISSES_BEFORE_READ_AHEAD + 1) {
            Some(doublings) => MAX_READ_AHEAD_BYTES.min(FIRST_READ_AHEAD_BYTES << doublings.min(8)),
            None => 0,
        }
    }

    /// Reads block `position` of `index`, and those beside it on the way as far as they lie within `most` bytes and at least
    /// half of what is read belongs to the section.
    pub(super) fn fill(&mut self, table: &Table, index: &Index, position: usize, most: usize) -> Result<()> {
        hit(Mark::ReadAhead);
        let handle = |position| Ok(index.target(table, position, ReadTier::Disk)?.handle);
        let first = handle(position)?;
        let (start, span) = if self.backwards {
            span_back(first, (0..position).rev().map(handle), most)?
        } else {
            (first.offset, span(first, (position + 1..index.len()).map(handle), most)?)
        };
        self.start = start;
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

/// Where to begin and how many bytes to read for block `last` and those before it, which `come` from there on.
fn span_back(last: Handle, come: impl Iterator<Item = Result<Handle>>, most: usize) -> Result<(u64, usize)> {
    let (mut start, mut span, mut wanted) = (last.offset, last.stored_bytes(), last.stored_bytes());
    for before in come {
        let before = before?;
        wanted += before.stored_bytes();
        // In an index that is wrong an earlier block may lie anywhere.
        let between = start.checked_sub(before.offset).and_then(|between| usize::try_from(between).ok());
        match between.and_then(|between| between.checked_add(span)) {
            Some(reach) if between >= Some(before.stored_bytes()) && reach <= most && reach <= wanted * 2 => {
                (start, span) = (before.offset, reach);
            }
            _ => break,
        }
    }
    Ok((start, span))
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

    #[test]
    fn what_is_read_backwards_begins_behind_a_block_that_lies_too_far_away_or_behind() {
        let handle = |offset: u64| Handle { offset, size: 100 };
        let step = handle(0).stored_bytes() as u64;
        let span_of = |next: u64, most| {
            let come = [handle(50_000 - step), handle(next)];
            let (start, span) = span_back(handle(50_000), come.into_iter().map(Ok), most).unwrap();
            assert_eq!(start + span as u64, 50_000 + step);
            span as u64
        };
        assert_eq!(span_of(50_000 - 2 * step, 10_000), 3 * step);
        assert_eq!(span_of(50_000 - 2 * step, 250), 2 * step);
        for next in [0, 50_000 - step, 50_001, 50_000 - 9 * step, u64::MAX] {
            assert_eq!(span_of(next, 10_000), 2 * step, "{next}");
        }
    }
}
