//! What a store did since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

use fountain_lsm::Metrics as StorageMetrics;

/// Counters of a store, from its opening on.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Records put by commits that succeeded.
    pub puts: u64,
    /// Deletes by commits that succeeded, of records that existed or not.
    pub deletes: u64,
    /// Records deleted because they had expired, beside those.
    pub expired: u64,
    /// Expired records that the last sweep had to leave, because they could not be read or deleted; nobody sees them all the
    /// same. Where the list of what expires cannot be read itself, that counts as one.
    pub unswept: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Groups in which they reached storage.
    pub commit_groups: u64,
    /// Commits refused by a condition of theirs or a conflict of their transaction.
    pub refusals: u64,
    /// Transactions begun.
    pub transactions: u64,
    /// Single reads answered, by a record or by none.
    pub gets: u64,
    /// Pages of scans answered.
    pub scans: u64,
    /// Pages, counts and lists of values of queries answered.
    pub queries: u64,
    /// Pages of records read through an index.
    pub index_reads: u64,
    /// Bytes of submitted commits that are waiting.
    pub queued_bytes: u64,
    /// What storage counted.
    pub storage: StorageMetrics,
}

/// The live counters. Relaxed: each is exact, but they are not read at one moment.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub puts: Counter,
    pub deletes: Counter,
    pub expired: Counter,
    pub unswept: Counter,
    pub commits: Counter,
    pub commit_groups: Counter,
    pub refusals: Counter,
    pub transactions: Counter,
    pub gets: Counter,
    pub scans: Counter,
    pub queries: Counter,
    pub index_reads: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// For what is no count of events, but how it is now.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
