//! The open transactions of a store, and what was written since the oldest began.
//!
//! A transaction enters under the same lock under which the commit thread notes what it has committed, and notes come
//! after the commits became visible. So a commit is either seen by a transaction or noted for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fountain_lsm::{Seq, SeqRange};

use super::window::Window;
use crate::error::{Error, Result};
use crate::kv::{Batch, KvPin, OrderedKv};
use crate::limits::MAX_TRANSACTIONS;
use crate::sync::lock;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    state: Mutex<Registered>,
}

#[derive(Debug, Default)]
pub(super) struct Registered {
    /// How many transactions read at a sequence.
    active: BTreeMap<Seq, usize>,
    /// How many transactions there are.
    open: usize,
    pub(super) window: Window,
}

/// Keeps a transaction's sequence readable, and what is written after it noted.
pub(super) struct Registration {
    transactions: Arc<Transactions>,
    pin: Box<dyn KvPin>,
}

impl Transactions {
    /// Enters a transaction at the newest sequence.
    pub(super) fn enter(self: &Arc<Self>, kv: &dyn OrderedKv) -> Result<Registration> {
        let mut state = lock(&self.state);
        if state.open == MAX_TRANSACTIONS {
            return Err(Error::too_many("open transactions", MAX_TRANSACTIONS + 1, MAX_TRANSACTIONS));
        }
        let pin = kv.pin(None)?;
        state.open += 1;
        *state.active.entry(pin.seq()).or_default() += 1;
        Ok(Registration { transactions: Arc::clone(self), pin })
    }

    /// Takes note of commits that have become visible, while there are transactions that may have to know.
    pub(crate) fn note_commits(&self, batches: &[Batch], range: SeqRange) {
        let mut state = lock(&self.state);
        if state.active.is_empty() {
            state.window.forget_upto(range.last);
            return;
        }
        for (batch, number) in batches.iter().zip(range.first.get()..) {
            if let Some(seq) = Seq::new(number) {
                state.window.push(seq, batch);
            }
        }
    }

    /// Runs `judge` on what was written.
    pub(super) fn with_window<R>(&self, judge: impl FnOnce(&Window) -> R) -> R {
        judge(&lock(&self.state).window)
    }

    fn leave(&self, at: Seq) {
        let mut state = lock(&self.state);
        state.open = state.open.saturating_sub(1);
        if let Some(count) = state.active.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                state.active.remove(&at);
            }
        }
        let needed = state.active.first_key_value().map(|(&seq, _)| seq);
        let last = state.window.last();
        state.window.forget_upto(needed.unwrap_or(last));
    }
}

impl Registration {
    /// The sequence.
    pub fn seq(&self) -> Seq {
        self.pin.seq()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.transactions.leave(self.pin.seq());
    }
}
