//! What a reader at one sequence sees of a stream of versions: for each key the newest version at or before the
//! sequence, unless that is a tombstone or hidden by the deletion of a range.

use super::MergeCursor;
use crate::error::Result;
use crate::limits::STEPS_BEFORE_SEEK;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::{Direction, KeyRange};
use crate::tombstones::RangeTombstones;
use crate::types::{Kind, Seq, Trailer};

/// A walk over the visible records of a range, in one direction.
pub(crate) struct VisibleCursor {
    merge: MergeCursor,
    range: KeyRange,
    at: Seq,
    direction: Direction,
    /// Deleted ranges of all sources.
    tombstones: RangeTombstones,
    state: State,
    /// Keys that were passed and not shown, while there are deleted ranges.
    passed: usize,
    /// The record at the position. Forward, the value stays in the merge's top source.
    key: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unplaced,
    OnRecord,
    Ended,
}

impl VisibleCursor {
    /// `merge` must go in `direction`.
    pub(crate) fn new(
        merge: MergeCursor,
        tombstones: RangeTombstones,
        range: KeyRange,
        at: Seq,
        direction: Direction,
    ) -> Self {
        let (key, value) = (Vec::new(), Vec::new());
        Self { merge, range, at, direction, tombstones, state: State::Unplaced, passed: 0, key, value }
    }

    /// Moves to the next record in the direction; false at the end, and ever after.
    pub(crate) fn next(&mut self) -> Result<bool> {
        let found = match self.direction {
            Direction::Forward => self.next_forward(),
            Direction::Reverse => self.next_reverse(),
        };
        // After an error the position means nothing, so the walk is over.
        self.state = if matches!(found, Ok(true)) { State::OnRecord } else { State::Ended };
        found
    }

    /// Key of the record at the position.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Value of the record at the position.
    pub(crate) fn value(&self) -> &[u8] {
        match (self.state, self.direction) {
            (State::OnRecord, Direction::Forward) => self.merge.value(),
            (State::OnRecord, Direction::Reverse) => &self.value,
            _ => &[],
        }
    }

    fn next_forward(&mut self) -> Result<bool> {
        match self.state {
            State::Ended => return Ok(false),
            State::Unplaced => {
                if self.range.is_empty() {
                    return Ok(false);
                }
                self.merge.seek(&self.range.start, Trailer::new(self.at, Kind::Delete))?;
            }
            State::OnRecord => self.skip_key()?,
        }
        while let Some(first) = self.merge.first() {
            let (key, mut trailer) = (first.key(), first.trailer());
            if self.range.end.as_ref().is_some_and(|end| !is_before(key, end)) {
                return Ok(false);
            }
            replace(&mut self.key, key);
            if trailer.seq() > self.at {
                if !self.skip_newer()? {
                    continue;
                }
                trailer = self.merge.trailer();
            }
            if self.shows(trailer) {
                return Ok(true);
            }
            self.skip_key()?;
            self.skip_deleted()?;
        }
        Ok(false)
    }

    /// After a key was passed and not shown: when that happens often, and a deleted range is the reason, what is older than
    /// the deletion is left behind up to the end of the range. Newer versions among it stay.
    fn skip_deleted(&mut self) -> Result<()> {
        if self.tombstones.is_empty() {
            return Ok(());
        }
        self.passed += 1;
        if !self.passed.is_multiple_of(STEPS_BEFORE_SEEK) {
            return Ok(());
        }
        let Some(fragment) = self.tombstones.fragment_over(&self.key) else { return Ok(()) };
        let Some(&deleted) = fragment.seqs.iter().find(|seq| **seq <= self.at) else { return Ok(()) };
        let edge = match self.direction {
            Direction::Forward => &fragment.end,
            Direction::Reverse => &fragment.start,
        };
        self.merge.skip_older(edge, deleted)
    }

    /// Whether the newest version of the current key that the reader may see is a record.
    #[inline]
    fn shows(&self, trailer: Trailer) -> bool {
        trailer.kind() == Kind::Put && (self.tombstones.is_empty() || self.hidden_before() <= trailer.seq())
    }

    /// Versions of the current key before this sequence are hidden by the deletion of a range.
    fn hidden_before(&self) -> Seq {
        let deleted = self.tombstones.newest_covering(&self.key, self.at);
        if planted::active(Bug::RangeTombstoneHidesItsCommit) && deleted > Seq::ZERO {
            return deleted.checked_add(1).unwrap_or(deleted);
        }
        deleted
    }

    /// Moves past the versions of the current key that are newer than the reader; false if none is left.
    fn skip_newer(&mut self) -> Result<bool> {
        for _ in 0..STEPS_BEFORE_SEEK {
            self.merge.advance()?;
            if !self.is_on_key() {
                return Ok(false);
            }
            if self.merge.trailer().seq() <= self.at {
                return Ok(true);
            }
        }
        self.merge.seek(&self.key, Trailer::new(self.at, Kind::Delete))?;
        Ok(self.is_on_key())
    }

    /// Whether the merge is at a version of the current key.
    #[inline]
    fn is_on_key(&self) -> bool {
        self.merge.first().is_some_and(|first| is_same(first.key(), &self.key))
    }

    /// Moves past all versions of the current key, of which the merge is at the newest that the reader may see.
    #[inline]
    fn skip_key(&mut self) -> Result<()> {
        self.merge.advance()?;
        for _ in 1..STEPS_BEFORE_SEEK {
            if !self.is_on_key() {
                return Ok(());
            }
            self.merge.advance_from_superseded()?;
        }
        if !self.is_on_key() {
            return Ok(());
        }
        hit(Mark::SeekPastVersions);
        // No version has sequence 0, so this is past the last one.
        self.merge.seek(&self.key, Trailer::new(Seq::ZERO, Kind::Put))
    }

    /// Backwards the versions of a key come oldest first, so the visible one is known only once all are passed.
    fn next_reverse(&mut self) -> Result<bool> {
        match self.state {
            State::Ended => return Ok(false),
            State::Unplaced => {
                if self.range.is_empty() {
                    return Ok(false);
                }
                self.merge.seek_before(self.range.end.as_deref())?;
            }
            State::OnRecord => {}
        }
        while self.merge.valid() && self.merge.key() >= self.range.start.as_slice() {
            replace(&mut self.key, self.merge.key());
            if self.take_visible()? {
                return Ok(true);
            }
            self.skip_deleted()?;
        }
        Ok(false)
    }

    /// Passes all versions of `self.key`, of which the merge is at one, and keeps the value of the visible one; false if
    /// the key is not visible.
    fn take_visible(&mut self) -> Result<bool> {
        let mut visible = false;
        for _ in 0..STEPS_BEFORE_SEEK {
            let trailer = self.merge.trailer();
            if trailer.seq() <= self.at {
                visible = self.shows(trailer);
                replace(&mut self.value, self.merge.value());
            }
            self.merge.advance()?;
            if !self.is_on_key() {
                return Ok(visible);
            }
        }
        hit(Mark::JumpOverVersions);
        let value = &mut self.value;
        let mut last = None;
        self.merge.jump_over(&self.key, self.at, |trailer, newest| {
            last = Some(trailer);
            replace(value, newest);
        })?;
        Ok(last.map_or(visible, |last| self.shows(last)))
    }
}

/// Whether two keys are the same. Keys that follow one another mostly differ in their last byte, so that comes first.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.last() == b.last() && a == b
}

/// Whether a key is less than the end of a range. Most ends are those of a keyspace, which the first bytes tell apart.
#[inline]
fn is_before(key: &[u8], end: &[u8]) -> bool {
    match (key.first_chunk::<4>(), end.first_chunk::<4>()) {
        (Some(a), Some(b)) if a != b => u32::from_be_bytes(*a) < u32::from_be_bytes(*b),
        _ => key < end,
    }
}

#[inline]
fn replace(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_before_an_end_is_less_than_it(
            key in prop::collection::vec(0u8..3, 0..7),
            end in prop::collection::vec(0u8..3, 0..7),
        ) {
            prop_assert_eq!(is_before(&key, &end), key < end);
        }
    }
}
