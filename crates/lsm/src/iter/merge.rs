//! Several sorted sources walked as one, in version order.
//!
//! The sources are kept in the order of their positions. A step moves the first one and compares it with the second:
//! that one comparison is all while the same source stays first, which is the common case. If it does not, a binary
//! search finds its new place; few sources make this cheaper than a heap, whose every exchange needs two comparisons.
//! A source that has been first for a while is asked whether its block ends before the second one begins; then it needs no
//! comparison up to that end.
//! The merge goes one way only; a walk in the other direction is another seek.

use std::cmp::Ordering;

use super::Source;
use crate::error::Result;
use crate::limits::STEPS_BEFORE_LOOK_AHEAD;
use crate::memtable::version_order;
use crate::planted::{self, Bug};
use crate::range::Direction;
use crate::types::{Kind, Seq, Trailer};

/// See the module. No two sources hold the same version.
pub(crate) struct MergeCursor {
    sources: Vec<Source>,
    /// The valid sources, by the order of their positions in the direction.
    order: Vec<u32>,
    direction: Direction,
    /// Steps in a row after which the first source stayed first.
    streak: u32,
    /// The first source stays first up to the end of its block.
    is_far_ahead: bool,
}

impl MergeCursor {
    /// A merge that goes in `direction`; seek before use.
    pub(crate) fn new(sources: Vec<Source>, direction: Direction) -> Self {
        let order = Vec::with_capacity(sources.len());
        Self { sources, order, direction, streak: 0, is_far_ahead: false }
    }

    /// Forward only: to the first version at or after (`key`, `trailer`).
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Forward);
        for source in &mut self.sources {
            source.seek(key, trailer)?;
        }
        self.arrange();
        Ok(())
    }

    /// Reverse only: to the last version of a user key less than `key`, or of all.
    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Reverse);
        for source in &mut self.sources {
            source.seek_before(key)?;
        }
        self.arrange();
        Ok(())
    }

    /// To the next version in the direction. Does nothing at the end.
    pub(crate) fn advance(&mut self) -> Result<()> {
        let direction = self.direction;
        self.move_first(|source| match direction {
            Direction::Forward => source.next(),
            Direction::Reverse => source.prev(),
        })
    }

    /// Forward only: as [`Self::advance`], from a version whose key has a newer one that the reader may see.
    pub(crate) fn advance_from_superseded(&mut self) -> Result<()> {
        debug_assert_eq!(self.direction, Direction::Forward);
        self.move_first(Source::next_from_superseded)
    }

    /// Moves the first source with `step` and puts it where it then belongs.
    #[inline]
    fn move_first(&mut self, step: impl FnOnce(&mut Source) -> Result<()>) -> Result<()> {
        let Some(&first) = self.order.first() else { return Ok(()) };
        let source = &mut self.sources[first as usize];
        step(source)?;
        if self.is_far_ahead && source.is_in_block() {
            return Ok(());
        }
        self.is_far_ahead = false;
        if !source.valid() {
            self.order.remove(0);
            self.streak = 0;
        } else if let Some(&second) = self.order.get(1) {
            if self.comes_before(first, second) {
                self.stay_first(first, second);
            } else {
                let behind = self.order[2..].partition_point(|&other| self.comes_before(other, first));
                self.order[..behind + 2].rotate_left(1);
                self.streak = 0;
            }
        }
        Ok(())
    }

    /// The first source came before the second once more.
    #[inline]
    fn stay_first(&mut self, first: u32, second: u32) {
        if self.direction == Direction::Reverse {
            return;
        }
        self.streak += 1;
        if self.streak < STEPS_BEFORE_LOOK_AHEAD {
            return;
        }
        if let Ok([first, second]) = self.sources.get_disjoint_mut([first as usize, second as usize]) {
            self.is_far_ahead = first.block_ends_before(second.key());
        }
        if !self.is_far_ahead {
            self.streak = 0;
        }
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

    /// Leaves behind versions whose sequences are less than `before`, up to the key `edge`: forward, keys less than it, in
    /// reverse all others. Not all of them, but where they fill blocks, blocks that are not looked at.
    pub(crate) fn skip_older(&mut self, edge: &[u8], before: Seq) -> Result<()> {
        for source in &mut self.sources {
            source.skip_older(edge, before, self.direction)?;
        }
        self.arrange();
        Ok(())
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        !self.order.is_empty()
    }

    /// User key at the position; empty when not [`Self::valid`].
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.first().map_or(&[], Source::key)
    }

    /// Trailer at the position.
    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.first().map_or(Trailer::new(Seq::ZERO, Kind::Put), Source::trailer)
    }

    /// Value at the position; empty when not [`Self::valid`].
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.first().map_or(&[], Source::value)
    }

    /// The source at the position, if it is [`Self::valid`].
    #[inline]
    pub(crate) fn first(&self) -> Option<&Source> {
        self.order.first().map(|&first| &self.sources[first as usize])
    }

    /// Puts the sources in order after a seek.
    fn arrange(&mut self) {
        self.order.clear();
        (self.streak, self.is_far_ahead) = (0, false);
        for source in 0..self.sources.len() as u32 {
            if self.sources[source as usize].valid() {
                let place = self.order.partition_point(|&other| self.comes_before(other, source));
                self.order.insert(place, source);
            }
        }
    }

    #[inline]
    fn comes_before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.sources[a as usize], &self.sources[b as usize]);
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
