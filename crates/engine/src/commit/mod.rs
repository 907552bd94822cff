//! How commits reach storage: one queue, one thread, everything that waits as one group.
//!
//! A durable commit costs a sync of the log, which takes as long for one commit as for a thousand. So commits wait
//! in a queue while the thread is at work, and the thread takes all that wait at once: one write, one sync, then
//! every caller gets its answer.
//!
//! `queue` and `thread` are that; `group` takes a group through admission and storage, `admission` decides which commits
//! of it can happen, `pending` is what those before have written, and `outcome` makes the answers.

mod admission;
mod group;
mod outcome;
mod pending;
mod queue;
mod thread;

use fountain_lsm::{Durability, Seq};

use crate::error::{Error, ErrorCode, Result};
use crate::write_set::WriteSet;

pub(crate) use group::Committer;
pub(crate) use pending::{Pending, overlap};
pub(crate) use thread::{CommitThread, Submitter};

/// Called once with what became of the commits of one submission, or with the reason why none of them happened.
pub type Done = Box<dyn FnOnce(Result<Committed>) + Send>;

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

/// What became of commits that were submitted together. Those that happened have consecutive sequences, in their order.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Sequence of the first commit that happened; without one, the newest sequence when that was decided.
    pub first: Seq,
    /// How many happened.
    pub accepted: usize,
    /// Those that did not, in their order.
    pub refused: Vec<Refused>,
}

/// A commit that did not happen though others of its submission did: for a reason of its own, such as a condition of it or a
/// conflict of its transaction, or because storage, which takes large submissions in parts, failed when it came to this one.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its place among those submitted with it.
    pub place: usize,
    /// Why.
    pub error: Error,
}

impl Committed {
    /// Sequence of the last commit that happened; as [`Committed::first`] without one.
    pub fn last(&self) -> Seq {
        let behind = (self.accepted as u64).saturating_sub(1);
        self.first.checked_add(behind).unwrap_or(self.first)
    }

    /// The sequence of the commit at `place` among those submitted, or why it did not happen.
    ///
    /// # Errors
    /// The reason; `ERR_INTERNAL` if there was no such commit.
    pub fn sequence(&self, place: usize) -> Result<Seq> {
        let before = self.refused.partition_point(|refused| refused.place < place);
        match self.refused.get(before) {
            Some(refused) if refused.place == place => Err(refused.error.clone()),
            _ => {
                let accepted = place - before;
                let sequence = self.first.checked_add(accepted as u64).filter(|_| accepted < self.accepted);
                sequence.ok_or_else(|| Error::new(ErrorCode::Internal, "there is no such commit"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_skip_what_was_refused() {
        let refused = |place| Refused { place, error: Error::new(ErrorCode::Exists, "x") };
        let first = Seq::new(7).unwrap();
        let committed = Committed { first, accepted: 3, refused: vec![refused(1), refused(3)] };
        let sequences: Vec<_> = (0..6).map(|place| committed.sequence(place).ok().map(Seq::get)).collect();
        assert_eq!(sequences, [Some(7), None, Some(8), None, Some(9), None]);
        assert_eq!(committed.sequence(1).unwrap_err().code, ErrorCode::Exists);
        assert_eq!(committed.last().get(), 9);
    }
}
