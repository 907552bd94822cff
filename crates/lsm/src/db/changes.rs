//! What some commits changed: the versions that they made, by key.

use std::sync::Arc;

use crate::error::Result;
use crate::iter::MergeCursor;
use crate::metrics::Counters;
use crate::range::KeyRange;
use crate::types::{Kind, Seq, Trailer};

/// The versions in a range of keys that commits after one sequence and up to another have made: by key, and for each key
/// from the newest to the oldest. Deletions of keys are versions; deletions of ranges are not shown. It pins the tables and
/// memtables that it reads from.
pub struct Changes {
    merge: MergeCursor,
    range: KeyRange,
    after: Seq,
    upto: Seq,
    shown: Shown,
    started: bool,
    /// The key of the last version shown, where only one of each key is.
    last: Option<Vec<u8>>,
    /// Where to record how long the first step takes.
    timed: Option<Arc<Counters>>,
}

/// Which of the versions that were made in between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Every one.
    All,
    /// The newest of each key.
    Newest,
}

impl Changes {
    pub(super) fn new(merge: MergeCursor, range: KeyRange, between: (Seq, Seq), shown: Shown) -> Self {
        let (after, upto) = between;
        Self { merge, range, after, upto, shown, started: false, last: None, timed: None }
    }

    /// Records in `counters` how long the first step takes.
    pub(super) fn timed_in(mut self, counters: &Arc<Counters>) -> Self {
        self.timed = Some(Arc::clone(counters));
        self
    }

    /// Moves to the first or the next version; false at the end.
    ///
    /// # Errors
    /// As [`crate::Cursor::next`]; the walk is then over.
    #[expect(
        clippy::should_implement_trait,
        reason = "a step can fail and lends its version until the next one"
    )]
    pub fn next(&mut self) -> Result<bool> {
        let Some(counters) = self.timed.take() else { return self.step() };
        let _timer = counters.latencies.changes.time();
        self.step()
    }

    fn step(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            if self.range.is_empty() || self.after >= self.upto {
                return Ok(false);
            }
            self.merge.seek(&self.range.start, Trailer::new(Seq::MAX, Kind::Delete))?;
        } else if self.merge.valid() {
            self.merge.advance()?;
        }
        while self.merge.valid() {
            if self.range.end.as_ref().is_some_and(|end| self.merge.key() >= end.as_slice()) {
                return Ok(false);
            }
            let seq = self.merge.trailer().seq();
            if seq > self.after && seq <= self.upto && self.last.as_deref() != Some(self.merge.key()) {
                self.pass_key();
                return Ok(true);
            }
            self.merge.advance()?;
        }
        Ok(false)
    }

    /// What is left of the key at the position is not shown, if only its newest version is.
    fn pass_key(&mut self) {
        if self.shown == Shown::Newest {
            let last = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(self.merge.key());
        }
    }

    /// Key of the version at the position.
    pub fn key(&self) -> &[u8] {
        self.merge.key()
    }

    /// Sequence of the commit that made it.
    pub fn seq(&self) -> Seq {
        self.merge.trailer().seq()
    }

    /// Its value; `None` if it is a deletion.
    pub fn value(&self) -> Option<&[u8]> {
        (self.merge.trailer().kind() == Kind::Put).then(|| self.merge.value())
    }
}
