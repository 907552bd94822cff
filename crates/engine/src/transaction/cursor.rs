//! A walk over a range as a transaction sees it: storage at its moment, with its own writes over it.
//!
//! The own writes are those of one moment; what is written during a walk is not seen. When the walk ends, early or late,
//! the part of the range that was seen is noted as read. When the transaction ends, so does the walk, with an error.

use std::cmp::Ordering;
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange};

use super::state::State;
use super::writes::Writes;
use crate::error::Result;
use crate::keys;
use crate::kv::KvCursor;

/// See the module.
pub(super) struct TransactionCursor {
    state: Arc<State>,
    writes: Arc<Writes>,
    base: Box<dyn KvCursor>,
    base_at: BaseAt,
    range: KeyRange,
    direction: Direction,
    /// The key at the position; before the first step there is none.
    key: Option<Vec<u8>>,
    /// The value at the position if it is the transaction's own, else the base has it.
    own: Option<Arc<[u8]>>,
    /// Nothing more comes, and what was seen is noted.
    ended: bool,
}

/// Where the walk over storage stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BaseAt {
    /// On a record that was passed already, or before the first.
    Passed,
    /// On a record that comes behind the position.
    Ahead,
    /// Behind the last.
    Ended,
}

impl TransactionCursor {
    /// `base` walks over `range` in `direction`.
    pub fn new(
        state: Arc<State>,
        writes: Arc<Writes>,
        base: Box<dyn KvCursor>,
        range: KeyRange,
        direction: Direction,
    ) -> Self {
        let (base_at, key, own) = (BaseAt::Passed, None, None);
        Self { state, writes, base, base_at, range, direction, key, own, ended: false }
    }

    fn step(&mut self) -> Result<bool> {
        self.state.check_not_ended()?;
        loop {
            if self.base_at == BaseAt::Passed {
                self.base_at = if self.base.next()? { BaseAt::Ahead } else { BaseAt::Ended };
            }
            let own = self.writes.behind(self.key.as_deref(), &self.range, self.direction);
            let Some((key, write)) = own else { return Ok(self.take_base()) };
            match self.compare_with_base(key) {
                Ordering::Greater => return Ok(self.take_base()),
                Ordering::Equal => self.base_at = BaseAt::Passed,
                Ordering::Less => {}
            }
            self.key = Some(key.to_vec());
            if write.value.is_some() {
                self.own.clone_from(&write.value);
                return Ok(true);
            }
        }
    }

    /// Whether a key comes before, at or behind the record of the base, in the direction of the walk.
    fn compare_with_base(&self, key: &[u8]) -> Ordering {
        if self.base_at == BaseAt::Ended {
            return Ordering::Less;
        }
        let order = key.cmp(self.base.key());
        if self.direction == Direction::Forward { order } else { order.reverse() }
    }

    fn take_base(&mut self) -> bool {
        if self.base_at == BaseAt::Ended {
            return false;
        }
        self.base_at = BaseAt::Passed;
        self.own = None;
        let key = self.key.get_or_insert_default();
        key.clear();
        key.extend_from_slice(self.base.key());
        true
    }

    /// Ends the walk; of the range, what was seen up to the position counts as read.
    fn end_early(&mut self) {
        self.ended = true;
        self.own = None;
        let Some(key) = self.key.take() else { return };
        let range = std::mem::take(&mut self.range);
        self.state.note_range(match self.direction {
            Direction::Forward => KeyRange { start: range.start, end: Some(keys::after(&key)) },
            Direction::Reverse => KeyRange { start: key, end: range.end },
        });
    }
}

impl KvCursor for TransactionCursor {
    fn next(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let found = self.step();
        match found {
            Ok(true) => {}
            Ok(false) => {
                self.ended = true;
                self.own = None;
                self.state.note_range(std::mem::take(&mut self.range));
            }
            Err(_) => self.end_early(),
        }
        found
    }

    fn key(&self) -> &[u8] {
        if self.ended { &[] } else { self.key.as_deref().unwrap_or_default() }
    }

    fn value(&self) -> &[u8] {
        match &self.own {
            Some(value) => value,
            None if self.ended => &[],
            None => self.base.value(),
        }
    }
}

impl Drop for TransactionCursor {
    fn drop(&mut self) {
        if !self.ended {
            self.end_early();
        }
    }
}
