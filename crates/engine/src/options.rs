//! How a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fountain_lsm::fs::Fs;
use fountain_lsm::{Clock, Options, Retention};

use crate::error::{Error, Result};
use crate::limits::{MAX_READ_THREADS, SWEEP_PAUSE};

/// Options of [`crate::Store::open`].
#[derive(Clone)]
pub struct StoreOptions {
    /// Create the store if there is none. Default: true.
    pub create_if_missing: bool,
    /// Bytes of table blocks kept in memory. Default: 64 MiB.
    pub cache_bytes: usize,
    /// Bytes of keys and documents after which memory is written out as a table. Default: 32 MiB.
    pub memtable_bytes: usize,
    /// Bytes after which a log segment is followed by a new one. Default: 64 MiB.
    pub wal_segment_bytes: u64,
    /// Which old versions are kept, where a collection has no retention of its own. Default: all.
    pub retention: Retention,
    /// Whether [`crate::Store::tier_at_once`] reaches to what the operating system has in its memory, beside the store's own.
    /// Default: true.
    pub page_cache_reads: bool,
    /// Threads for reads that go to the disk, 1 to [`MAX_READ_THREADS`]. Default: 2.
    pub read_threads: usize,
    /// How often what has expired is deleted; `None`: only by [`crate::Store::sweep_expired`]. Default: every second.
    pub sweep_every: Option<Duration>,
    /// The file system. Default: the operating system's.
    pub fs: Arc<dyn Fs>,
    /// Tells the time of day: when commits were made, what has expired, how old transactions are. Default: the operating
    /// system's.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let storage = Options::default();
        Self {
            create_if_missing: storage.create_if_missing,
            cache_bytes: storage.cache_bytes,
            memtable_bytes: storage.memtable_bytes,
            wal_segment_bytes: storage.wal_segment_bytes,
            retention: storage.retention,
            page_cache_reads: true,
            read_threads: 2,
            sweep_every: Some(SWEEP_PAUSE),
            fs: storage.fs,
            clock: storage.clock,
        }
    }
}

impl StoreOptions {
    /// Refuses what no store can be opened with.
    pub(crate) fn check(&self) -> Result<()> {
        if (1..=MAX_READ_THREADS).contains(&self.read_threads) {
            return Ok(());
        }
        Err(Error::argument(format!(
            "read_threads is {}, expected 1 to {MAX_READ_THREADS}",
            self.read_threads
        )))
    }

    /// The options of the storage below. It keeps everything until the catalog has said what it need not.
    pub(crate) fn storage(&self) -> Options {
        Options {
            create_if_missing: self.create_if_missing,
            cache_bytes: self.cache_bytes,
            memtable_bytes: self.memtable_bytes,
            wal_segment_bytes: self.wal_segment_bytes,
            retention: Retention::Unbounded,
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            ..Options::default()
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("create_if_missing", &self.create_if_missing)
            .field("cache_bytes", &self.cache_bytes)
            .field("memtable_bytes", &self.memtable_bytes)
            .field("wal_segment_bytes", &self.wal_segment_bytes)
            .field("retention", &self.retention)
            .field("page_cache_reads", &self.page_cache_reads)
            .field("read_threads", &self.read_threads)
            .field("sweep_every", &self.sweep_every)
            .finish_non_exhaustive()
    }
}
