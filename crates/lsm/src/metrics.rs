//! Counters of what storage did, always on: relaxed atomics that cost a nanosecond.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::latency::{Latencies, Recorders, to_f64};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Live counters, shared by all parts of a store.
        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* pub(crate) latencies: Recorders }

        /// What storage did since the store was opened, and what it holds now.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
            /// Block reads answered from the cache.
            pub cache_hits: u64,
            /// Block reads that went to the disk.
            pub cache_misses: u64,
            /// Blocks that were offered to the cache after a miss.
            pub cache_inserts: u64,
            /// Blocks that had to leave the cache, those too large to be kept included.
            pub cache_evictions: u64,
            /// Bytes of blocks in the cache.
            pub cache_bytes: u64,
            /// Bytes of indexes and filters of open tables.
            pub table_memory_bytes: u64,
            /// Bytes of keys and values in memtables, sealed ones included.
            pub memtable_bytes: u64,
            /// Memtables waiting to be flushed.
            pub sealed_memtables: u64,
            /// Snapshots that are open.
            pub open_snapshots: u64,
            /// Microseconds for which a sequence has been pinned by snapshots, the longest of them; 0 if none is.
            pub longest_snapshot_micros: u64,
            /// Tables per level.
            pub level_tables: Vec<u64>,
            /// Bytes per level.
            pub level_bytes: Vec<u64>,
            /// Bytes of all tables.
            pub table_bytes: u64,
            /// Versions in all tables, tombstones included.
            pub table_entries: u64,
            /// Tombstones in all tables.
            pub table_tombstones: u64,
            /// Log segments that are not yet deleted.
            pub live_wal_segments: u64,
            /// [`crate::Health::code`] now.
            pub health: u64,
            /// How long the stages take.
            pub latencies: Latencies,
        }

        impl Counters {
            /// Copies the counters into `metrics`.
            pub(crate) fn fill(&self, metrics: &mut Metrics) {
                $(metrics.$name = self.$name.get();)*
                metrics.latencies = self.latencies.summary();
            }
        }
    };
}

counters! {
    /// Commits made.
    commits,
    /// Bytes of keys and values in commits.
    commit_bytes,
    /// Groups of commits written to the log with one system call.
    commit_groups,
    /// Bytes appended to the log, without the zeros that are written ahead of its end: of small durable commits about as
    /// much again.
    wal_bytes,
    /// Times a log segment was synced.
    wal_syncs,
    /// Log segments created.
    wal_segments,
    /// Memtables written as tables.
    flushes,
    /// Bytes of tables written by flushes.
    flush_bytes,
    /// Compactions done, trivial moves included.
    compactions,
    /// Bytes of tables read by compactions.
    compaction_read_bytes,
    /// Bytes of tables written by compactions.
    compaction_write_bytes,
    /// Bulk ingests done.
    ingests,
    /// Bytes of tables written by bulk ingests.
    ingest_bytes,
    /// Versions dropped because nothing needs them any more.
    versions_dropped,
    /// Manifest edits installed.
    manifest_edits,
    /// Flushes that failed. They are tried again.
    failed_flushes,
    /// Compactions that failed. They are tried again.
    failed_compactions,
    /// Files that nobody needs and that could not be deleted. The next open tries again.
    failed_removals,
    /// Commits that were refused for want of space.
    refused_commits,
    /// Times a writer was slowed a little so that compaction keeps up.
    write_slowdowns,
    /// Times a writer had to wait for a flush or a compaction.
    write_stalls,
    /// Microseconds writers waited for flushes and compactions.
    write_stall_micros,
}

impl Metrics {
    /// Bytes of tables written by flushes and compactions for each byte that was committed; 0 before the first commit.
    /// The log comes on top of it, with [`Metrics::wal_bytes`]. Bulk ingests count on neither side.
    pub fn write_amplification(&self) -> f64 {
        if self.commit_bytes == 0 {
            return 0.0;
        }
        to_f64(self.flush_bytes + self.compaction_write_bytes) / to_f64(self.commit_bytes)
    }
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
