//! Whether a transaction may commit: nothing that it depends on was written since the moment it read.

use fountain_lsm::{KeyRange, Seq};

use super::reads::ReadSet;
use super::registry::Transactions;
use super::state::Claim;
use super::window::Window;
use crate::commit::Pending;
use crate::error::{Error, ErrorCode, Result};
use crate::kv::Batch;
use crate::planted::{self, Bug};

/// What was written since a transaction began: noted commits, and accepted ones of the group at hand.
struct Since<'a> {
    window: &'a Window,
    pending: &'a Pending,
    snapshot: Seq,
}

impl Transactions {
    /// Judges a transaction that wants to write `batch` after `pending`.
    pub(crate) fn validate(&self, claim: &Claim, batch: &Batch, pending: &Pending) -> Result<()> {
        let state = claim.state();
        self.with_window(|window| {
            let since = Since { window, pending, snapshot: state.snapshot() };
            since.check_known()?;
            for (item, (key, _)) in batch.ops().enumerate() {
                if since.changed(key) && !planted::active(Bug::WritesNotValidated) {
                    return Err(since.conflict("a record that it writes").with(|details| {
                        details.item = Some(item as u64);
                    }));
                }
            }
            state.with_reads(|reads| since.check_reads(reads))
        })
    }
}

impl Since<'_> {
    fn check_known(&self) -> Result<()> {
        if self.snapshot >= self.window.floor() {
            return Ok(());
        }
        let message = format!(
            "more was written since sequence {}, which the transaction reads, than is remembered",
            self.snapshot
        );
        Err(Error::new(ErrorCode::TransactionTooOld, message))
    }

    fn check_reads(&self, reads: &ReadSet) -> Result<()> {
        if reads.keys().any(|key| self.changed(key)) && !planted::active(Bug::ReadsNotValidated) {
            return Err(self.conflict("a record that it has read"));
        }
        if reads.ranges().any(|range| self.changed_in(&range)) && !planted::active(Bug::RangesNotValidated) {
            return Err(self.conflict("a range that it has read"));
        }
        Ok(())
    }

    fn changed(&self, key: &[u8]) -> bool {
        self.pending.writes(key) || self.window.changed(key, self.snapshot).is_some()
    }

    fn changed_in(&self, range: &KeyRange) -> bool {
        self.pending.writes_in(range) || self.window.changed_in(range, self.snapshot).is_some()
    }

    fn conflict(&self, what: &str) -> Error {
        let message =
            format!("{what} was changed after sequence {}, which the transaction reads", self.snapshot);
        Error::new(ErrorCode::Conflict, message).with(|details| details.requested = Some(self.snapshot.get()))
    }
}
