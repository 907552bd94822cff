//! The submissions that wait for the commit thread, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::Submission;
use crate::limits::GROUP_BYTES;
use crate::sync::{lock, wait_while};

/// Whether the queue still takes and waits for submissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Accepting,
    /// Takes none any more; those that wait are still committed.
    Refusing,
    /// When none waits any more, the thread ends.
    Ending,
}

/// Submissions in the order in which they came.
#[derive(Default)]
pub(super) struct CommitQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
    /// Bytes of submissions that are not committed yet, those being committed included.
    bytes: AtomicUsize,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Submission>,
    phase: Phase,
}

impl CommitQueue {
    /// Queues a submission, or gives it back if the queue takes none any more.
    pub fn push(&self, submission: Submission) -> Result<(), Submission> {
        let size = submission.size_bytes();
        let mut state = lock(&self.state);
        if state.phase != Phase::Accepting {
            return Err(submission);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        state.waiting.push_back(submission);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Everything that waits, up to [`GROUP_BYTES`] but at least one submission. Waits until there is one; `None`
    /// when there will be none.
    pub fn next_group(&self) -> Option<Vec<Submission>> {
        let state = lock(&self.state);
        let mut state = wait_while(&self.changed, state, |state| {
            state.waiting.is_empty() && state.phase != Phase::Ending
        });
        let mut group = vec![state.waiting.pop_front()?];
        let mut size = group[0].size_bytes();
        while let Some(next) = state.waiting.front() {
            size += next.size_bytes();
            if size > GROUP_BYTES {
                break;
            }
            group.extend(state.waiting.pop_front());
        }
        Some(group)
    }

    /// Bytes of a group are no longer waiting.
    pub fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of submissions that are not committed yet.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes no more submissions.
    pub fn refuse(&self) {
        self.enter(Phase::Refusing);
    }

    /// Lets the thread end once nothing waits.
    pub fn end(&self) {
        self.enter(Phase::Ending);
    }

    fn enter(&self, phase: Phase) {
        lock(&self.state).phase = phase;
        self.changed.notify_all();
    }
}
