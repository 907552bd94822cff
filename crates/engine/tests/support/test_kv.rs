//! Storage whose commits the tests control.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fountain_engine::{
    Batch, Direction, Durability, Error, ErrorCode, KeyRange, KvCursor, KvPin, KvValue, KvVersions, MemoryKv,
    OrderedKv, RangeEstimate, ReadTier, RecoveryReport, Result, Retention, Seq, SeqRange, StorageMetrics,
};

/// Storage in memory that can be told to fail or to panic, and counts what was asked of it.
#[derive(Default)]
pub struct TestKv {
    /// Where the data is.
    pub kv: MemoryKv,
    /// Commits fail.
    pub fails: AtomicBool,
    /// Commits fail that delete a key which begins like this; none if empty.
    pub fails_deleting: Mutex<Vec<u8>>,
    /// Keys that begin like this cannot be read one by one; none if empty.
    pub unreadable: Mutex<Vec<u8>>,
    /// No sequence can be kept readable for a range.
    pub unpinnable: AtomicBool,
    /// What happens when a commit is there for reads, but the store has not noted it yet; once.
    pub on_visible: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What happens before a key is read by itself; once.
    pub on_get: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Keys that were asked for by themselves.
    pub single_reads: AtomicUsize,
    /// Most bytes that were committed at once.
    pub largest_group: AtomicUsize,
    /// Operations and deleted ranges that were committed.
    pub operations: AtomicUsize,
    /// Walks over records that were begun.
    pub walks: AtomicUsize,
    /// Keys that were asked for with others.
    pub keys_read: AtomicUsize,
    /// The call that panics, by its name here; none if empty.
    pub panics_in: Mutex<&'static str>,
    /// Whether merging goes on until it is told to stop.
    pub merges_on: AtomicBool,
    /// Whether it does so.
    pub merging: AtomicBool,
    /// Groups of commits that had to be synced.
    pub durable_groups: AtomicUsize,
}

impl TestKv {
    fn trip(&self, call: &str) {
        // Not under the lock, which the panic would poison.
        let panics_in = *self.panics_in.lock().unwrap();
        assert!(panics_in != call, "told to panic");
    }

    fn check_readable(&self, key: &[u8]) -> Result<()> {
        let unreadable = self.unreadable.lock().unwrap();
        if unreadable.is_empty() || !key.starts_with(&unreadable) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Corrupt, "told to be damaged"))
    }

    fn deletes_what_it_must_not(&self, batches: &[Batch]) -> bool {
        let start = self.fails_deleting.lock().unwrap();
        let mut ops = batches.iter().flat_map(Batch::ops);
        !start.is_empty() && ops.any(|(key, value)| value.is_none() && key.starts_with(&start))
    }
}

impl OrderedKv for TestKv {
    fn commit_many(&self, batches: &[Batch], durability: Durability) -> Result<SeqRange> {
        self.trip("commit_many");
        let operations = batches.iter().map(|batch| batch.len() + batch.ranges().len()).sum();
        self.operations.fetch_add(operations, Ordering::SeqCst);
        self.largest_group.fetch_max(batches.iter().map(Batch::size_bytes).sum(), Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) || self.deletes_what_it_must_not(batches) {
            return Err(Error::new(ErrorCode::DiskFull, "told to fail"));
        }
        self.durable_groups.fetch_add(usize::from(durability == Durability::Disk), Ordering::SeqCst);
        let committed = self.kv.commit_many(batches, durability);
        let told = self.on_visible.lock().unwrap().take();
        if let Some(told) = told {
            told();
        }
        committed
    }
    fn get(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<KvValue>> {
        self.trip("get");
        self.single_reads.fetch_add(1, Ordering::SeqCst);
        let told = self.on_get.lock().unwrap().take();
        if let Some(told) = told {
            told();
        }
        self.check_readable(key)?;
        self.kv.get(key, at, tier)
    }
    fn get_with_seq(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<(Seq, KvValue)>> {
        self.trip("get_with_seq");
        self.check_readable(key)?;
        self.kv.get_with_seq(key, at, tier)
    }
    fn get_many(&self, keys: &[Vec<u8>], at: Option<Seq>, tier: ReadTier) -> Result<Vec<Option<KvValue>>> {
        self.trip("get_many");
        self.keys_read.fetch_add(keys.len(), Ordering::SeqCst);
        self.kv.get_many(keys, at, tier)
    }
    fn cursor(
        &self,
        range: KeyRange,
        at: Seq,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>> {
        self.walks.fetch_add(1, Ordering::SeqCst);
        self.trip("cursor");
        self.kv.cursor(range, at, direction, tier)
    }
    fn versions(&self, key: &[u8], at: Seq) -> Result<Box<dyn KvVersions>> {
        self.trip("versions");
        self.kv.versions(key, at)
    }
    fn changes(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        self.trip("changes");
        self.kv.changes(range, whole, after, upto)
    }
    fn differences(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        self.trip("differences");
        self.kv.differences(range, whole, after, upto)
    }
    fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        self.kv.estimate(range)
    }
    fn seq_at(&self, millis: u64) -> Option<Seq> {
        self.kv.seq_at(millis)
    }
    fn visible(&self) -> Seq {
        self.trip("visible");
        self.kv.visible()
    }
    fn pin(&self, at: Option<Seq>) -> Result<Box<dyn KvPin>> {
        self.trip("pin");
        self.kv.pin(at)
    }
    fn pin_over(&self, range: &KeyRange, at: Seq) -> Result<Box<dyn KvPin>> {
        self.trip("pin_over");
        if self.unpinnable.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorCode::Io, "told to keep nothing"));
        }
        self.kv.pin_over(range, at)
    }
    fn set_retention(&self, rules: &[(KeyRange, Retention)]) {
        self.kv.set_retention(rules);
    }
    fn flush(&self) -> Result<()> {
        self.trip("flush");
        self.kv.flush()
    }
    fn compact(&self) -> Result<()> {
        self.trip("compact");
        if self.merges_on.load(Ordering::SeqCst) {
            self.merging.store(true, Ordering::SeqCst);
            while self.merges_on.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            return Err(Error::new(ErrorCode::Closed, "told to stop"));
        }
        self.kv.compact()
    }
    fn stop_compacting(&self) {
        self.merges_on.store(false, Ordering::SeqCst);
    }
    fn poison(&self, cause: &str) {
        self.kv.poison(cause);
    }
    fn metrics(&self) -> StorageMetrics {
        self.kv.metrics()
    }
    fn recovery(&self) -> &RecoveryReport {
        self.kv.recovery()
    }
    fn identity(&self) -> [u8; 16] {
        self.kv.identity()
    }
    fn path(&self) -> &Path {
        self.kv.path()
    }
    fn close(&self) -> Result<()> {
        self.trip("close");
        self.kv.close()
    }
}
