//! How commits reach storage: one queue, one thread, everything that waits as one group.
//!
//! A durable commit costs a sync of the log, which takes as long for one commit as for a thousand. So commits wait
//! in a queue while the thread is at work, and the thread takes all that wait at once: one write, one sync, then
//! every caller gets its answer.

mod group;
mod queue;
mod thread;

use fountain_lsm::{Durability, SeqRange};

use crate::error::Result;
use crate::write_set::WriteSet;

pub(crate) use group::Committer;
pub(crate) use thread::CommitThread;

/// Called once with the sequences of the commits of one submission, or with the reason why none of them happened.
pub type Done = Box<dyn FnOnce(Result<SeqRange>) + Send>;

/// Commits that one caller submitted together.
pub(crate) struct Submission {
    pub commits: Vec<WriteSet>,
    pub durability: Durability,
    pub done: Done,
}

impl Submission {
    /// Bytes of all keys and documents.
    fn size_bytes(&self) -> usize {
        self.commits.iter().map(WriteSet::size_bytes).sum()
    }
}
