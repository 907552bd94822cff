//! A store: the parts below put together.
//!
//! `preview` looks at a store that is not open, `open` finds or makes one and recovers it, `commit` writes, `read` reads,
//! `flush` and `compact` move data downwards, `background` does that on threads, `close` ends it. `ingest` takes sorted
//! records in bulk and `placement` finds their levels. `checkpoint` copies a store while it works; `obsolete` deletes files that nobody
//! needs; `scrub` checks all that are there. `time` knows when commits were made, `estimate` about how many records there are.
//! `health` says what does not work and what follows from that. `inner` holds what the parts share.
//!
//! Locks, in the order in which they may be taken: ingest lock, checkpoint lock, compaction lock, commit lock (`log`),
//! flush lock, manifest, swap of the current state. No lock that a reader needs is held during a sync, and none that the next
//! group of commits needs, but for the beginning of a log segment (`docs/engine.md` 4.2).

mod background;
mod changes;
mod checkpoint;
mod close;
mod commit;
mod compact;
mod directory;
mod estimate;
mod flush;
mod group;
mod health;
mod ingest;
mod inner;
mod obsolete;
mod open;
mod panic;
mod placement;
mod pressure;
mod preview;
mod progress;
mod read;
mod recover;
mod replayed;
mod rotation;
mod scrub;
mod time;
mod turn;

use std::path::Path;
use std::sync::Arc;

use crate::batch::WriteBatch;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::latency::Latencies;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::range::{Direction, KeyRange};
use crate::retention::Retention;
use crate::snapshot::Snapshot;
use crate::timeline::SeqAt;
use crate::types::{Durability, ReadTier, Seq};
use crate::value::Value;
pub use background::Job;
pub use changes::Changes;
pub use checkpoint::CheckpointInfo;
pub use estimate::RangeEstimate;
pub(crate) use flush::Place;
use group::Batches;
pub use health::Health;
use inner::Inner;
use open::Check;
pub(crate) use open::random_store_id;
pub(crate) use preview::Found;
pub use preview::Preview;
pub use progress::{CompactionStatus, LevelStatus, RunningCompaction, RunningFlush};
pub use read::{Cursor, Newest, Versions};
pub use recover::{Discarded, RecoveryReport};
pub(crate) use recover::{Portions, Recoverer};
pub use scrub::ScrubReport;

/// An open store. Shared by reference or in an [`Arc`]; every method may be called from any thread.
///
/// Dropping it without [`Db::close`] loses nothing that was acknowledged at its level, but leaves work to the next open.
pub struct Db {
    inner: Arc<Inner>,
    threads: background::Threads,
}

/// Consecutive sequences, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The first.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

impl Db {
    /// Opens the store in the directory `dir`, creating it if there is none, and recovers what a crash left.
    ///
    /// # Errors
    /// [`Error::Locked`] when it is open elsewhere; [`Error::Missing`], [`Error::NotAStore`], [`Error::Newer`] by
    /// what is found; [`Error::Corrupt`] when acknowledged data is damaged; [`Error::Io`], [`Error::DiskFull`].
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        Self::start(options.background, open::open::<Error>(dir, options, None)?)
    }

    /// As [`Db::open`], for a layer above that may have to refuse a store for what it holds: `check` is shown the newest
    /// state of the keys in `keys` before anything of the store is changed, the id of the process in its lock file aside. A
    /// store that is created is not shown. Reads the log twice if it is longer than a few memtables.
    ///
    /// # Errors
    /// As [`Db::open`], and what `check` refuses with.
    pub fn open_if<E: From<Error>>(
        dir: &Path,
        options: Options,
        keys: &KeyRange,
        check: impl FnOnce(&Preview) -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let background = options.background;
        let check = Check { keys, passes: Box::new(check) };
        Ok(Self::start(background, open::open(dir, options, Some(check))?)?)
    }

    fn start(background: bool, inner: Inner) -> Result<Self> {
        let inner = Arc::new(inner);
        let weak = Arc::downgrade(&inner);
        inner.snapshots.on_release(move |seq| {
            if let Some(inner) = weak.upgrade() {
                inner.note_release(seq);
            }
        });
        let threads = background::Threads::start(&inner, background)?;
        Ok(Self { inner, threads })
    }

    /// What opening found and repaired.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    /// The 16 random bytes that were drawn when the store was created. They lie in its files, and who may not read these
    /// should not learn them.
    pub fn store_id(&self) -> [u8; 16] {
        self.inner.store.0
    }

    /// Commits one batch and returns its sequence. Blocks until the commit is done at the given level and visible.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::DiskFull`], after which nothing has changed; [`Error::Poisoned`] or [`Error::Io`],
    /// after which it is open until the next open whether the commit has happened.
    pub fn commit(&self, batch: WriteBatch, durability: Durability) -> Result<Seq> {
        self.inner.commit(Batches::One(batch), durability).map(|range| range.first)
    }

    /// Commits several batches, each atomically and under its own sequence, consecutive in the given order. They
    /// share one write and one sync, also with what other threads commit at the same moment. An empty list commits
    /// nothing and gives the newest sequence.
    ///
    /// # Errors
    /// As [`Db::commit`], for all of them together.
    pub fn commit_many(&self, batches: Vec<WriteBatch>, durability: Durability) -> Result<SeqRange> {
        self.inner.commit_many(batches, durability)
    }

    /// The newest sequence whose commit is visible.
    pub fn visible(&self) -> Seq {
        self.inner.visible()
    }

    /// About what `range` has now, by some of it: of each memtable some hundred versions, of each table that has keys of the
    /// range and others a few blocks, which are read from files if they are not in the cache.
    ///
    /// The number of records is exact where a memtable has few versions and tables lie in the range as a whole, if nothing was
    /// deleted in them. Keys that were written again count once more for each table that has a version of them, until
    /// compaction merges these; where deleted keys have history, half of the deletes are taken to be the newest version
    /// of their key; records in a range that was deleted count until compaction drops them. A block that cannot be read is no
    /// error: the guess is coarser then.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Corrupt`] where an index in memory is not one.
    pub fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        self.inner.estimate(range)
    }

    /// The newest commit that had been made at a moment, by [`crate::Options::clock`]; `None` before the store was
    /// created, or before anything is known.
    ///
    /// The answer is never a commit from after that moment, as long as the clock never goes back. It may miss commits shortly before it: at best those of a
    /// second, further back those of at most a hundredth of the time since. [`SeqAt::within`] tells. A moment that the clock has
    /// not reached is answered with the newest commit, also while it is set
    /// back; the commits made then count as made when it is right again. An answer may lie below the history floor; reading
    /// there says so.
    pub fn seq_at(&self, time: Timestamp) -> Option<SeqAt> {
        self.inner.seq_at(time)
    }

    /// The oldest sequence at which anything can be read that is not pinned by a snapshot.
    pub fn history_floor(&self) -> Seq {
        self.inner.snapshots.floor()
    }

    /// The value of `key` as of the newest commit.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Corrupt`], [`Error::Io`]; [`Error::WouldBlock`] when `tier` forbids what is needed.
    pub fn get_newest(&self, key: &[u8], tier: ReadTier) -> Result<Option<Value>> {
        self.inner.get_newest(key, tier)
    }

    /// Gives `show` what [`Db::get_newest`] would return, without a copy; says whether there is anything. `show` is called at most
    /// once, and must neither read from this store nor take long: locks are held meanwhile.
    ///
    /// # Errors
    /// As [`Db::get_newest`].
    pub fn show_newest(&self, key: &[u8], tier: ReadTier, show: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.newest()?.show(key, tier, show)
    }

    /// The state that is the newest now, for several reads of one state that follow one another at once. Cheaper than a
    /// [`Snapshot`], which it is no substitute for.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn newest(&self) -> Result<Newest<'_>> {
        self.inner.newest()
    }

    /// The value of `key` as of the commit `at`.
    ///
    /// # Errors
    /// As [`Db::get_newest`]; [`Error::HistoryTruncated`] when `at` is no longer kept and not pinned by a snapshot;
    /// [`Error::FutureSequence`].
    pub fn get(&self, key: &[u8], at: Seq, tier: ReadTier) -> Result<Option<Value>> {
        self.inner.get(key, at, tier)
    }

    /// The value of `key` and the sequence of the commit that put it there, as of the commit `at` or the newest. Costs
    /// what the value alone costs.
    ///
    /// # Errors
    /// As [`Db::get`].
    pub fn get_with_seq(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<(Seq, Value)>> {
        self.inner.get_with_seq(key, at, tier)
    }

    /// The values of several keys as of the commit `at`, in the order of `keys`: one consistent state, and cheaper than
    /// as many [`Db::get`], because keys that lie close together share the work.
    ///
    /// # Errors
    /// As [`Db::get`], for all of them together.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        at: Seq,
        tier: ReadTier,
    ) -> Result<Vec<Option<Value>>> {
        self.inner.get_many(keys, at, tier)
    }

    /// Says that these keys are about to be read or written, in this order. Nothing changes, but searches for them wait for
    /// memory together now and not one after another then. Of use for some hundred keys at most, which the processor's
    /// caches can hold.
    pub fn approach<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.inner.current.load().active.approach(keys);
    }

    /// A walk over the records of `range` as of the commit `at`.
    ///
    /// # Errors
    /// As [`Db::get`]; steps of the cursor can fail like reads, too.
    pub fn cursor(&self, range: KeyRange, at: Seq, direction: Direction, tier: ReadTier) -> Result<Cursor> {
        self.inner.cursor(range, at, direction, tier)
    }

    /// What commits after `after` and up to `upto` changed in a range of keys. Tables and blocks without anything of
    /// these commits are passed over.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::FutureSequence`] for `upto`; [`Error::HistoryTruncated`] when `after` is below the
    /// history floor, because versions after it may be missing, too. That a snapshot pins it does not help: that keeps
    /// one state, not what came after it.
    pub fn changes(&self, range: KeyRange, after: Seq, upto: Seq, tier: ReadTier) -> Result<Changes> {
        let whole = [range.clone()];
        self.inner.changes(range, &whole, (after, upto), tier)
    }

    /// As [`Db::changes`], where only of the keys in `whole` everything must be kept, for who has no use for the others.
    ///
    /// # Errors
    /// As [`Db::changes`], by the history floor of `whole`.
    pub fn changes_beside(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
        tier: ReadTier,
    ) -> Result<Changes> {
        self.inner.changes(range, whole, (after, upto), tier)
    }

    /// Of the keys that commits after `after` and up to `upto` changed, the newest version at `upto`: enough to tell how
    /// the two states differ, where [`Db::changes`] has every step from the one to the other.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::FutureSequence`] for `upto`; [`Error::HistoryTruncated`] when one of the two is no
    /// longer kept and not pinned by a snapshot.
    pub fn differences(&self, range: KeyRange, after: Seq, upto: Seq, tier: ReadTier) -> Result<Changes> {
        let whole = [range.clone()];
        self.inner.differences(range, &whole, (after, upto), tier)
    }

    /// As [`Db::differences`], where only of the keys in `whole` both states must be kept, for who has no use for the others.
    ///
    /// # Errors
    /// As [`Db::differences`], by the history floor of `whole`.
    pub fn differences_beside(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
        tier: ReadTier,
    ) -> Result<Changes> {
        self.inner.differences(range, whole, (after, upto), tier)
    }

    /// The retained versions of `key` up to the commit `at`, newest first.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::FutureSequence`]; steps can fail like reads.
    pub fn versions(&self, key: &[u8], at: Seq, tier: ReadTier) -> Result<Versions> {
        self.inner.versions(key, at, tier)
    }

    /// Pins the newest visible sequence.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.snapshots.pin_newest(|| self.inner.visible())
    }

    /// Pins an earlier sequence.
    ///
    /// # Errors
    /// [`Error::HistoryTruncated`], [`Error::FutureSequence`].
    pub fn snapshot_at(&self, at: Seq) -> Result<Snapshot> {
        self.inner.snapshots.pin(at, self.inner.visible())
    }

    /// Pins an earlier sequence from which on everything is kept of the keys in a range: the states of these keys from there
    /// on, and what changed between them. Of other keys the state may be incomplete, and reading it an error.
    ///
    /// # Errors
    /// [`Error::HistoryTruncated`], also while another snapshot pins that sequence; [`Error::FutureSequence`].
    pub fn snapshot_over(&self, range: &KeyRange, at: Seq) -> Result<Snapshot> {
        self.inner.snapshots.pin_over(range, at, self.inner.visible())
    }

    /// Writes everything committed so far into tables and lets go of the log that held it.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`], [`Error::Io`], [`Error::DiskFull`]; nothing is lost by any of them.
    pub fn flush(&self) -> Result<()> {
        self.inner.or_poison("flushing", || self.inner.flush_all())
    }

    /// Flushes, then merges all tables into one sorted run, dropping what the retention does not keep.
    ///
    /// # Errors
    /// As [`Db::flush`], [`Error::Corrupt`] when a table is damaged, [`Error::Closed`] after [`Db::stop_compacting`].
    pub fn compact(&self) -> Result<()> {
        self.compact_range(&KeyRange::default())
    }

    /// Flushes, then merges the tables that hold keys of `range`, and what overlaps them, into one sorted run.
    ///
    /// # Errors
    /// As [`Db::compact`].
    pub fn compact_range(&self, range: &KeyRange) -> Result<()> {
        self.flush()?;
        self.inner.or_poison("compacting", || self.inner.compact_range(range))
    }

    /// Ends calls of [`Db::compact`], [`Db::compact_range`] and [`Db::ingest`] that are under way, and later ones, with
    /// [`Error::Closed`], for who is about to close the store and must first wait for its callers. They end soon, also those that
    /// wait for each other, for room, or for a compaction in the background, which goes on. What they have not merged stays as it
    /// was, and an ingest leaves nothing; only one that is taking effect already is a commit all the same.
    pub fn stop_compacting(&self) {
        self.inner.cancel_asked_compaction();
    }

    /// Does one piece of background work on this thread; false if there is none to do. For stores that were opened
    /// without [`Options::background`], so that their owner decides when; otherwise the store's threads do it.
    ///
    /// # Errors
    /// As [`Db::flush`] and [`Db::compact`].
    pub fn step(&self, job: Job) -> Result<bool> {
        self.inner.check_writable()?;
        self.inner.step(job)
    }

    /// What compaction is doing, and what it still has to do.
    pub fn compaction_status(&self) -> CompactionStatus {
        self.inner.compaction_status()
    }

    /// Sets which old versions of the keys in `range` are kept. Takes effect with the flushes and compactions that begin
    /// after it; it is not stored: whoever opens the store says it again. Until then [`Options::retention`] holds, so that
    /// should keep at least as much.
    pub fn set_retention(&self, range: &KeyRange, retention: Retention) {
        self.set_retentions(&[(range.clone(), retention)]);
    }

    /// As [`Db::set_retention`] for several ranges, one after another, but at once: nothing is ever dropped by a part of
    /// the changes.
    pub fn set_retentions(&self, changes: &[(KeyRange, Retention)]) {
        self.inner.set_retentions(changes);
    }

    /// Writes many records at once, straight into tables: all of them under one sequence, which is returned when they
    /// are on disk, and visible together. Much faster than commits for large amounts. The keys must ascend, without
    /// duplicates. No records at all make no commit; the newest sequence is returned.
    ///
    /// Everything else goes on meanwhile. What others commit before this returns is older, so these records hide it; only
    /// for a moment at the end do commits wait. There is one ingest at a time, others wait for it. The iterator must
    /// not ingest into this store or close it.
    ///
    /// # Errors
    /// [`Error::Unsorted`] and [`Error::TooLarge`] for a record that cannot be taken; [`Error::Closed`], also after
    /// [`Db::stop_compacting`]; [`Error::Poisoned`], [`Error::Io`], [`Error::DiskFull`]. After any of them nothing has changed, unless the store
    /// is poisoned by it: then the next open finds all of the records or none.
    pub fn ingest<K, V>(&self, records: impl IntoIterator<Item = (K, V)>) -> Result<Seq>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.inner.poison_and_go_on("ingesting", || self.inner.ingest(records))
    }

    /// Makes a copy of the store in the directory `dest`, which must not exist, while everything goes on. The copy is a
    /// store of its own, with the same id and the same history; it shares tables with this one by hard links where the
    /// file system allows, and copies them where not. Either `dest` is complete and on disk, or it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] with `AlreadyExists` when `dest` is there already; [`Error::Closed`], [`Error::Poisoned`],
    /// [`Error::Io`], [`Error::DiskFull`]. This store goes on after any of them as it would without.
    pub fn checkpoint(&self, dest: &Path) -> Result<CheckpointInfo> {
        self.inner.or_poison("making a checkpoint", || self.inner.checkpoint(dest))
    }

    /// Refuses writes from now on until the store is opened again, as after a failed sync. For a layer above that can
    /// no longer vouch for what it would write, for example after a panic of its own.
    pub fn poison(&self, cause: &str) {
        self.inner.poison(cause);
    }

    /// Whether everything works, and if not, what does not, and why.
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// What storage did since it was opened and what it holds now.
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }

    /// What [`Metrics::latencies`] says, and begins to collect anew: for measuring one stretch of work.
    pub fn reset_latencies(&self) -> Latencies {
        self.inner.counters.latencies.reset()
    }

    /// Flushes, marks the store as cleanly closed and releases it. Waits for commits in flight; later calls of
    /// anything fail with [`Error::Closed`], later calls of `close` repeat the first answer.
    ///
    /// # Errors
    /// What went wrong; the store is released all the same, and what was acknowledged is recovered at the next open.
    pub fn close(&self) -> Result<()> {
        self.inner.close(&self.threads)
    }

    /// Reads every live file again and proves it: manifest, tables with every block, log; checksums, order, counts,
    /// filters, sequences, and that levels are arranged as they must be. Goes on after a fault, and everything else
    /// goes on meanwhile.
    ///
    /// # Errors
    /// [`Error::Closed`]. What is wrong with a file, one that cannot be read included, is in the report.
    pub fn scrub(&self) -> Result<ScrubReport> {
        self.inner.scrub()
    }

    /// As [`Db::scrub`], for those who only want to know whether all is well.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with file and offset of the first fault found; [`Error::Closed`].
    pub fn verify(&self) -> Result<()> {
        self.inner.verify()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.inner.abandon(&self.threads);
    }
}
