//! Whether a transaction may commit: nothing that it depends on was written since the moment it read.

use fountain_lsm::{KeyRange, Seq};

use super::reads::ReadSet;
use super::registry::Transactions;
use super::state::Claim;
use super::window::Window;
use crate::commit::Pending;
use crate::error::{Error, ErrorCode, ErrorDetails, Result};
use crate::kv::Batch;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};

/// Says in the details of an error what a storage key is.
pub(crate) type NameKey<'a> = dyn Fn(&[u8], &mut ErrorDetails) + 'a;

/// What was written since a transaction began: noted commits, and accepted ones of the group at hand.
struct Since<'a> {
    window: &'a Window,
    pending: &'a Pending,
    snapshot: Seq,
}

impl Transactions {
    /// Judges a transaction that wants to write `batch` after `pending`.
    pub(crate) fn validate(
        &self,
        claim: &Claim,
        batch: &Batch,
        pending: &Pending,
        name_key: &NameKey<'_>,
    ) -> Result<()> {
        let state = claim.state();
        self.with_window(|window| {
            let since = Since { window, pending, snapshot: state.snapshot() };
            since.check_known()?;
            for (item, (key, _)) in batch.ops().enumerate() {
                if let Some(found) = since.changed(key).filter(|_| !planted::active(Bug::WritesNotValidated))
                {
                    hit(Mark::WriteRefused);
                    return Err(since.conflict("a record that it writes", found).with(|details| {
                        details.item = Some(item as u64);
                    }));
                }
            }
            state.with_reads(|reads| since.check_reads(reads, name_key))
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

    fn check_reads(&self, reads: &ReadSet, name_key: &NameKey<'_>) -> Result<()> {
        let mut keys = reads.keys().filter_map(|key| Some((key, self.changed(key)?)));
        if let Some((key, found)) = keys.next().filter(|_| !planted::active(Bug::ReadsNotValidated)) {
            hit(Mark::ReadRefused);
            return Err(self
                .conflict("a record that it has read", found)
                .with(|details| name_key(key, details)));
        }
        for range in reads.ranges() {
            if let Some((key, found)) =
                self.changed_in(&range).filter(|_| !planted::active(Bug::RangesNotValidated))
            {
                hit(Mark::RangeRefused);
                let conflict = self.conflict("a range that it has read", found);
                return Err(conflict.with(|details| name_key(key, details)));
            }
        }
        Ok(())
    }

    /// The last commit that changed a storage key since.
    fn changed(&self, key: &[u8]) -> Option<Seq> {
        self.pending.changed(key).or_else(|| self.window.changed(key, self.snapshot))
    }

    /// A storage key in a range that was changed since, and a commit that did it.
    fn changed_in(&self, range: &KeyRange) -> Option<(&[u8], Seq)> {
        self.pending.changed_in(range).or_else(|| self.window.changed_in(range, self.snapshot))
    }

    fn conflict(&self, what: &str, found: Seq) -> Error {
        let message = format!(
            "{what} was changed by commit {found}, after sequence {}, which the transaction reads",
            self.snapshot
        );
        Error::new(ErrorCode::Conflict, message).with(|details| {
            details.requested = Some(self.snapshot.get());
            details.found = Some(found.get());
        })
    }
}
