//! What a store must say of its health, worked out from what its calls have answered.
//!
//! A refused commit shows until a commit reaches the log, or perhaps until anything else has succeeded. A flush or compaction
//! that failed may show until one succeeds: of some calls it is not known which of the two failed, or whether it was either.
//! Nothing else shows: reads that fail change nothing, and without a failure the store is healthy.

use std::collections::BTreeSet;

use fountain_lsm::{Db, Durability, Error, Health};

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A commit.
    Commit(Durability),
    /// Every memtable to a table.
    Flush,
    /// Everything into one sorted run.
    Compact,
    /// One piece of either, a checkpoint, or an ingest.
    Some,
}

/// [`Health::code`] of a store without space.
pub const DISK_FULL: u64 = 2;
/// [`Health::code`] of a store in which something else fails.
pub const DEGRADED: u64 = 1;

/// What has failed and has not succeeded since.
#[derive(Clone, Debug, Default)]
pub struct Failing {
    /// A commit was refused; how that shows.
    refused: Option<u64>,
    /// The same where something that may have written to the log has succeeded since.
    perhaps_refused: Option<u64>,
    /// How flushes, and how compactions, may show.
    flush: BTreeSet<u64>,
    compaction: BTreeSet<u64>,
}

impl Failing {
    /// Takes note of what a call answered that did not poison the store. What went wrong `meanwhile`, by how it shows, may
    /// have met a flush or compaction that the call came by: a commit for which there is no room does some.
    pub fn note(&mut self, work: Work, error: Option<&Error>, meanwhile: Option<u64>) {
        // The caller's own mistake is nothing that fails.
        if matches!(error, Some(Error::Unsorted { .. })) {
            return;
        }
        let shows = error.map(|error| match error {
            Error::DiskFull { .. } => DISK_FULL,
            _ => DEGRADED,
        });
        self.flush.extend(meanwhile);
        self.compaction.extend(meanwhile);
        match (work, shows) {
            (Work::Commit(_), Some(shows)) => self.refused = Some(shows),
            (Work::Commit(durability), None) if durability > Durability::Memory => {
                (self.refused, self.perhaps_refused) = (None, None);
            }
            (work, None) => {
                self.perhaps_refused = self.refused.take().or(self.perhaps_refused);
                if matches!(work, Work::Flush | Work::Compact) {
                    self.flush.clear();
                }
                if work == Work::Compact {
                    self.compaction.clear();
                }
            }
            (Work::Flush, Some(shows)) => self.flush.extend([shows]),
            (Work::Compact | Work::Some, Some(shows)) => {
                self.flush.extend([shows]);
                self.compaction.extend([shows]);
            }
        }
    }

    /// Whether the store says what it must.
    ///
    /// # Errors
    /// What it says, and what has failed.
    pub fn check(&self, db: &Db, is_poisoned: bool) -> Result<(), String> {
        let health = db.health();
        let shown = health.code();
        let may_show = |code: u64| {
            self.flush.contains(&code)
                || self.compaction.contains(&code)
                || self.perhaps_refused == Some(code)
        };
        let is_right = match (&health, self.refused) {
            (Health::Poisoned { .. }, _) => is_poisoned,
            _ if is_poisoned => false,
            (_, Some(DISK_FULL)) => shown == DISK_FULL,
            (_, Some(other)) => shown == other || (shown == DISK_FULL && may_show(DISK_FULL)),
            (Health::Healthy, None) => true,
            (_, None) => may_show(shown),
        };
        if is_right && db.metrics().health == shown {
            return Ok(());
        }
        Err(format!("its health is {health:?}; poisoned: {is_poisoned}, failing: {self:?}"))
    }
}
