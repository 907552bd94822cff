//! Several sorted sources walked as one, in version order.
//!
//! A binary heap of sources with the next version on top, and the second one remembered. A step moves the top source
//! and compares it with the second: that one comparison is all while the same source stays on top, which is the
//! common case. The heap goes one way only; a walk in the other direction is another seek.

use std::cmp::Ordering;

use super::Source;
use crate::error::Result;
use crate::memtable::version_order;
use crate::planted::{self, Bug};
use crate::range::Direction;
use crate::types::{Kind, Seq, Trailer};

/// See the module. No two sources hold the same version.
pub(crate) struct MergeCursor {
    /// The valid sources come first and form a heap; behind them lie those that have ended.
    sources: Vec<Source>,
    live: usize,
    /// The source that comes second: one of the top's children.
    second: usize,
    direction: Direction,
}

impl MergeCursor {
    /// A merge that goes in `direction`; seek before use.
    pub(crate) fn new(sources: Vec<Source>, direction: Direction) -> Self {
        Self { sources, live: 0, second: 0, direction }
    }

    /// Forward only: to the first version at or after (`key`, `trailer`).
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Forward);
        for source in &mut self.sources {
            source.seek(key, trailer)?;
        }
        self.build();
        Ok(())
    }

    /// Reverse only: to the last version of a user key less than `key`, or of all.
    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Reverse);
        for source in &mut self.sources {
            source.seek_before(key)?;
        }
        self.build();
        Ok(())
    }

    /// To the next version in the direction. Does nothing at the end.
    pub(crate) fn advance(&mut self) -> Result<()> {
        if self.live == 0 {
            return Ok(());
        }
        let top = &mut self.sources[0];
        match self.direction {
            Direction::Forward => top.next()?,
            Direction::Reverse => top.prev()?,
        }
        if top.valid() {
            if self.live == 1 || self.comes_before(0, self.second) {
                return Ok(());
            }
        } else {
            self.live -= 1;
            self.sources.swap(0, self.live);
        }
        self.sift_down(0);
        self.find_second();
        Ok(())
    }

    /// Reverse only: the newest version of `key` at or before `at`, if there is one, given to `take`; then to the
    /// last version of a smaller key. For keys with so many versions that walking them costs more than seeking.
    pub(crate) fn jump_over(&mut self, key: &[u8], at: Seq, take: impl FnOnce(Trailer, &[u8])) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Reverse);
        let mut newest: Option<&Source> = None;
        for source in &mut self.sources {
            source.seek(key, Trailer::new(at, Kind::Delete))?;
            let source = &*source;
            let is_newer = newest.is_none_or(|newest| newest.trailer().seq() < source.trailer().seq());
            if source.valid() && source.key() == key && is_newer {
                newest = Some(source);
            }
        }
        if let Some(source) = newest {
            take(source.trailer(), source.value());
        }
        self.seek_before(Some(key))
    }

    pub(crate) fn valid(&self) -> bool {
        self.live > 0
    }

    /// User key at the position; empty when not [`Self::valid`].
    pub(crate) fn key(&self) -> &[u8] {
        self.top().map_or(&[], Source::key)
    }

    /// Trailer at the position.
    pub(crate) fn trailer(&self) -> Trailer {
        self.top().map_or(Trailer::new(Seq::ZERO, Kind::Put), Source::trailer)
    }

    /// Value at the position; empty when not [`Self::valid`].
    pub(crate) fn value(&self) -> &[u8] {
        self.top().map_or(&[], Source::value)
    }

    fn top(&self) -> Option<&Source> {
        self.sources[..self.live].first()
    }

    fn build(&mut self) {
        self.live = 0;
        for index in 0..self.sources.len() {
            if self.sources[index].valid() {
                self.sources.swap(index, self.live);
                self.live += 1;
            }
        }
        for index in (0..self.live / 2).rev() {
            self.sift_down(index);
        }
        self.find_second();
    }

    fn find_second(&mut self) {
        self.second = if self.live > 2 && self.comes_before(2, 1) { 2 } else { 1 };
    }

    fn sift_down(&mut self, mut index: usize) {
        loop {
            let left = 2 * index + 1;
            if left >= self.live {
                return;
            }
            let right = left + 1;
            let child = if right < self.live && self.comes_before(right, left) { right } else { left };
            if !self.comes_before(child, index) {
                return;
            }
            self.sources.swap(child, index);
            index = child;
        }
    }

    fn comes_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.sources[a], &self.sources[b]);
        let order = if planted::active(Bug::MergeIgnoresSequence) {
            a.key().cmp(b.key())
        } else {
            version_order((a.key(), a.trailer()), (b.key(), b.trailer()))
        };
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Reverse => order == Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::{Memtable, MemtableCursor};
    use crate::types::FileNumber;
    use std::sync::Arc;

    fn merge(direction: Direction) -> MergeCursor {
        let sources = (0..5u64).map(|source| {
            let memtable = Arc::new(Memtable::new(FileNumber(1)));
            for step in 0..40u64 {
                let seq = Seq::new(step * 5 + source + 1).unwrap();
                let key = [(step * (source + 3) % 17) as u8];
                memtable.writer().insert(&key, seq, Kind::Put, &[source as u8]);
            }
            Source::Memtable(MemtableCursor::new(memtable))
        });
        let empty = Source::Memtable(MemtableCursor::new(Arc::new(Memtable::new(FileNumber(2)))));
        MergeCursor::new(sources.chain([empty]).collect(), direction)
    }

    fn collect(mut merge: MergeCursor) -> Vec<(Vec<u8>, u64)> {
        let mut versions = Vec::new();
        while merge.valid() {
            versions.push((merge.key().to_vec(), merge.trailer().seq().get()));
            merge.advance().unwrap();
        }
        merge.advance().unwrap();
        versions
    }

    #[test]
    fn all_versions_come_in_order_and_in_reverse_in_the_opposite_order() {
        let mut forward = merge(Direction::Forward);
        forward.seek(b"", Trailer::new(Seq::MAX, Kind::Delete)).unwrap();
        let forward = collect(forward);
        assert_eq!(forward.len(), 200);
        assert!(forward.windows(2).all(|w| w[0].0 < w[1].0 || (w[0].0 == w[1].0 && w[0].1 > w[1].1)));
        let mut reverse = merge(Direction::Reverse);
        reverse.seek_before(None).unwrap();
        let mut reverse = collect(reverse);
        reverse.reverse();
        assert_eq!(reverse, forward);
    }
}
