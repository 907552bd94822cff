//! What is committed together: requests, and the groups that share a write and a sync.
//!
//! A commit of one batch by a lone writer is a group of one and needs no list on the heap.

use std::sync::Arc;

use super::SeqRange;
use super::inner::locked;
use crate::batch::WriteBatch;
use crate::error::{Error, Result};
use crate::memtable::Memtable;
use crate::sync::{Condvar, Mutex, PoisonError};
use crate::timeline::Stamp;
use crate::types::{Durability, Seq};
use crate::wal::WalWriter;

/// What one call commits, each batch under a sequence of its own. Not empty.
pub(super) enum Batches {
    One(WriteBatch),
    Many(Vec<WriteBatch>),
}

impl Batches {
    pub(super) fn as_slice(&self) -> &[WriteBatch] {
        match self {
            Self::One(batch) => std::slice::from_ref(batch),
            Self::Many(batches) => batches,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.as_slice().iter().map(WriteBatch::size_bytes).sum()
    }
}

/// What one call asks for.
pub(super) struct Request {
    pub(super) batches: Batches,
    pub(super) durability: Durability,
    /// Where its owner waits; a lone writer leads at once and has none.
    pub(super) slot: Option<Arc<Slot>>,
}

impl Request {
    pub(super) fn is_durable(&self) -> bool {
        self.durability == Durability::Disk
    }

    pub(super) fn bytes(&self) -> usize {
        self.batches.bytes()
    }
}

/// Requests that are carried through together, in the order of their sequences.
pub(super) struct Group {
    /// That of the leader.
    pub(super) first: Option<Request>,
    pub(super) others: Vec<Request>,
}

impl Group {
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> + Clone {
        self.first.iter().chain(&self.others)
    }

    fn batches(&self) -> impl Iterator<Item = &WriteBatch> + Clone {
        self.requests().flat_map(|request| request.batches.as_slice())
    }

    pub(super) fn bytes(&self) -> usize {
        self.requests().map(Request::bytes).sum()
    }

    /// Whether anybody waits for the disk.
    pub(super) fn is_durable(&self) -> bool {
        self.requests().any(Request::is_durable)
    }

    /// Whether nobody waits for the operating system either.
    pub(super) fn is_in_memory(&self) -> bool {
        self.requests().all(|request| request.durability == Durability::Memory)
    }

    /// Encodes all batches behind the commit `before`; returns the last sequence given out.
    pub(super) fn encode(&self, wal: &mut WalWriter, before: Seq, mut stamp: Option<Stamp>) -> Result<Seq> {
        let count = self.requests().map(|request| request.batches.as_slice().len() as u64).sum();
        let Some(last) = before.checked_add(count) else {
            let limit = Seq::MAX.get() as usize;
            return Err(Error::TooLarge { what: "number of commits", size: limit, limit });
        };
        for (seq, batch) in sequences_after(before).zip(self.batches()) {
            wal.encode(batch, seq, stamp.take());
        }
        Ok(last)
    }

    /// Inserts all batches into the memtable, as they were encoded.
    pub(super) fn insert(&self, memtable: &Memtable, before: Seq) {
        let batches = sequences_after(before).zip(self.batches());
        memtable.writer().apply_all(batches.flat_map(|(seq, batch)| batch.ops().map(move |op| (seq, op))));
    }

    /// Tells those who wait what became of their requests; returns what the leader is to tell its caller.
    pub(super) fn answer(&self, before: Seq, outcome: &Result<()>) -> Result<SeqRange> {
        let mut last = before;
        let mut answer = |request: &Request| {
            let first = later(last, 1);
            last = later(last, request.batches.as_slice().len() as u64);
            outcome.clone().map(|()| SeqRange { first, last })
        };
        let own = self.first.as_ref().map(&mut answer);
        for request in &self.others {
            let answer = answer(request);
            if let Some(slot) = &request.slot {
                slot.finish(answer);
            }
        }
        own.unwrap_or_else(|| outcome.clone().map(|()| SeqRange { first: before, last: before }))
    }
}

/// The sequences that follow `before`.
fn sequences_after(before: Seq) -> impl Iterator<Item = Seq> + Clone {
    (1..).map(move |count| later(before, count))
}

/// The sequence `count` commits later; [`Group::encode`] makes sure that there is one.
fn later(seq: Seq, count: u64) -> Seq {
    seq.checked_add(count).unwrap_or(Seq::MAX)
}

/// Where a waiting thread learns what became of its request.
pub(super) struct Slot {
    state: Mutex<SlotState>,
    changed: Condvar,
}

enum SlotState {
    /// Nothing is decided, and the owner does not sleep.
    Open,
    /// The owner sleeps until something is.
    Waiting,
    Lead,
    Done(Result<SeqRange>),
}

impl Slot {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(SlotState::Open), changed: Condvar::new() }
    }

    /// Waits for the outcome; `None` means that the waiting thread must lead.
    pub(super) fn wait(&self) -> Option<Result<SeqRange>> {
        let mut state = locked(&self.state);
        loop {
            match std::mem::replace(&mut *state, SlotState::Open) {
                SlotState::Done(result) => return Some(result),
                SlotState::Lead => return None,
                SlotState::Open | SlotState::Waiting => {
                    *state = SlotState::Waiting;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Lets the owner lead.
    pub(super) fn lead(&self) {
        self.set(SlotState::Lead);
    }

    fn finish(&self, result: Result<SeqRange>) {
        self.set(SlotState::Done(result));
    }

    fn set(&self, next: SlotState) {
        let before = std::mem::replace(&mut *locked(&self.state), next);
        // A wake-up is a system call even if nobody sleeps, and a lone writer never sleeps here.
        if matches!(before, SlotState::Waiting) {
            self.changed.notify_one();
        }
    }
}
