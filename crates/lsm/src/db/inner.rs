//! What the parts of an open store share.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::RecoveryReport;
use super::commit::{CommitQueue, Log, Publisher};
use super::health::HealthState;
use super::obsolete::Obsolete;
use super::pressure::Throttle;
use super::progress::Progress;
use super::turn::Turn;
use crate::cache::BlockCache;
use crate::error::Result;
use crate::files::StorePaths;
use crate::fs::Lock;
use crate::limits::LEVELS;
use crate::manifest::{ManifestLog, Version};
use crate::memtable::Memtable;
use crate::metrics::{Counters, Metrics};
use crate::options::Options;
use crate::range::KeyRange;
use crate::retention::{Floors, Retention, RetentionRules};
use crate::snapshot::SnapshotRegistry;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::table::{Table, TableMeta};
use crate::timeline::Timekeeper;
use crate::types::{FileNumber, Seq, StoreId};

/// Where all data is at one moment. Immutable but for the active memtable; readers take one and use it to the end.
#[derive(Clone)]
pub(super) struct Current {
    /// Takes the commits.
    pub(super) active: Arc<Memtable>,
    /// Full memtables that wait for the flush, newest first.
    pub(super) sealed: Vec<Arc<Memtable>>,
    pub(super) version: Arc<Version>,
    /// Below these sequences, versions may be missing from the tables.
    pub(super) floors: Arc<Floors>,
}

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) paths: StorePaths,
    pub(super) store: StoreId,
    pub(super) recovery: RecoveryReport,
    pub(super) counters: Arc<Counters>,
    pub(super) cache: Arc<BlockCache>,
    pub(super) snapshots: Arc<SnapshotRegistry>,
    /// As they were given. What they mean now is for [`Inner::rules_now`] to say.
    pub(super) rules: ArcSwap<RetentionRules>,
    pub(super) timekeeper: Mutex<Timekeeper>,
    pub(super) current: ArcSwap<Current>,
    /// Held while `current` is replaced; never during I/O.
    pub(super) swap: Mutex<()>,
    pub(super) manifest: Mutex<ManifestLog>,
    pub(super) queue: CommitQueue,
    /// The commit lock: whoever holds it appends to the log and inserts into the active memtable.
    pub(super) log: Mutex<Log>,
    pub(super) publisher: Publisher,
    pub(super) visible: AtomicU64,
    pub(super) next_file: AtomicU64,
    /// WAL segments that are not yet deleted, ascending.
    pub(super) segments: Mutex<Vec<FileNumber>>,
    pub(super) health: HealthState,
    /// No commit is appended and no read begun any more.
    pub(super) closing: AtomicBool,
    /// The outcome of `close`, once it is over.
    pub(super) closed: Mutex<Option<Result<()>>>,
    pub(super) progress: Progress,
    /// See [`crate::compaction::Picker::debt_bytes`]; as of the last change of the tables.
    pub(super) debt: AtomicU64,
    pub(super) throttle: Throttle,
    /// Held by a bulk ingest from the first file that it writes to its end.
    pub(super) ingesting: Turn,
    /// Memtable or segment are full, and the log thread is asked to change them.
    pub(super) rotation_wanted: AtomicBool,
    pub(super) checkpointing: Mutex<()>,
    pub(super) obsolete: Obsolete,
    /// Held while a log segment is made ready outside of the commit lock; true when none may be any more.
    pub(super) rotating_ahead: Mutex<bool>,
    pub(super) flushing: Mutex<()>,
    pub(super) compacting: Turn,
    /// Ends a compaction under way.
    pub(super) cancel: AtomicBool,
    /// Ends a compaction or ingest that was asked for, and those that are asked for later.
    pub(super) cancel_asked: AtomicBool,
    pub(super) work: Mutex<Work>,
    /// Signalled when there may be something to flush or compact, and when that is done.
    pub(super) work_changed: Condvar,
    pub(super) lock: Mutex<Option<Box<dyn Lock>>>,
}

/// What background threads and waiting writers tell each other.
#[derive(Default)]
pub(super) struct Work {
    pub(super) stop: bool,
    /// Counts changes, so that a thread which looked before a change does not sleep through it.
    pub(super) epoch: u64,
}

/// Takes a mutex whose data is valid after every statement, so that a panic elsewhere does not spread.
pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(super) fn visible(&self) -> Seq {
        Seq::new(self.visible.load(Ordering::Acquire)).unwrap_or(Seq::MAX)
    }

    /// A file number that no file has had.
    pub(super) fn take_file_number(&self) -> FileNumber {
        FileNumber(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// The number from which on no file exists yet, for the manifest.
    pub(super) fn next_file_number(&self) -> FileNumber {
        FileNumber(self.next_file.load(Ordering::Relaxed))
    }

    /// Not while floors are announced: what is decided after this follows the new rules.
    pub(super) fn set_retentions(&self, changes: &[(KeyRange, Retention)]) {
        self.snapshots.between_announcements(|| {
            let mut rules = RetentionRules::clone(&self.rules.load());
            for (range, retention) in changes {
                rules.set(range, *retention);
            }
            self.rules.store(Arc::new(rules));
        });
        self.signal_work();
    }

    /// Replaces the current state by what `change` makes of it.
    pub(super) fn swap_current(&self, change: impl FnOnce(&Current) -> Current) {
        let _swap = locked(&self.swap);
        let next = Arc::new(change(&self.current.load()));
        let before = self.current.swap(Arc::clone(&next));
        if !Arc::ptr_eq(&before.version, &next.version) {
            before.version.end_rows();
        }
    }

    pub(super) fn open_table(&self, meta: TableMeta) -> Result<Arc<Table>> {
        let path = self.paths.table(meta.number);
        let cache = Arc::clone(&self.cache);
        Table::open(self.options.fs.as_ref(), path, self.store, meta, cache).map(Arc::new)
    }

    /// Wakes everybody who waits for a change of work.
    pub(super) fn signal_work(&self) {
        locked(&self.work).epoch += 1;
        self.work_changed.notify_all();
    }

    pub(super) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        self.counters.fill(&mut metrics);
        let cache = self.cache.stats();
        (metrics.cache_hits, metrics.cache_misses) = (cache.hits, cache.misses);
        (metrics.cache_inserts, metrics.cache_evictions) = (cache.inserts, cache.evictions);
        metrics.cache_bytes = cache.bytes;
        let current = self.current.load();
        let tables = current.version.tables();
        metrics.table_memory_bytes = tables.map(|(_, table)| table.memory_bytes() as u64).sum();
        let memtables = current.sealed.iter().chain([&current.active]);
        metrics.memtable_bytes = memtables.map(|memtable| memtable.size_bytes() as u64).sum();
        metrics.sealed_memtables = current.sealed.len() as u64;
        metrics.open_snapshots = self.snapshots.open() as u64;
        let longest = self.snapshots.longest().unwrap_or_default();
        metrics.longest_snapshot_micros = longest.as_micros().try_into().unwrap_or(u64::MAX);
        for (_, table) in current.version.tables() {
            let meta = table.meta();
            metrics.table_bytes += meta.size;
            metrics.table_entries += meta.entries;
            metrics.table_tombstones += meta.tombstones;
        }
        metrics.health = self.health().code();
        metrics.live_wal_segments = locked(&self.segments).len() as u64;
        metrics.level_tables = (0..LEVELS).map(|level| current.version.level(level).len() as u64).collect();
        metrics.level_bytes = (0..LEVELS).map(|level| current.version.level_bytes(level)).collect();
        metrics
    }
}
