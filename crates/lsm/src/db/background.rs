//! The threads of a store, and the waiting of writers for them.
//!
//! One thread keeps the log ready, one flushes, one compacts. They sleep until something changes, try, and after a failure try again a while
//! later; a writer that has to wait for room while they fail again and again gets the reason instead of waiting for
//! ever, for example when the disk is full.
//!
//! What a thread does between two looks is one [`Job`]. [`crate::Db::step`] does one on the calling thread, so a
//! simulation that opens the store without threads decides what happens when. Nothing that reaches the disk depends on
//! the time: clocks only measure, and pace writers and threads.

use std::sync::Arc;
use std::time::Instant;

use super::inner::{Current, Inner, locked};
use crate::error::{Error, Result};
use crate::limits::{LEVEL0_STOP, MAX_SEALED_MEMTABLES};
use crate::marks::{Mark, hit};
use crate::planted;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Mutex, PoisonError};
use crate::types::Seq;

/// The running threads; empty when the store works without them.
pub(super) struct Threads {
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(super) fn start(inner: &Arc<Inner>, background: bool) -> Result<Self> {
        let threads = Self { running: Mutex::new(Vec::new()) };
        if background {
            threads.spawn(inner, "fountain-log", Inner::run_log)?;
            threads.spawn(inner, "fountain-flush", Inner::run_flushes)?;
            threads.spawn(inner, "fountain-compact", Inner::run_compactions)?;
        }
        Ok(threads)
    }

    fn spawn(&self, inner: &Arc<Inner>, name: &str, body: fn(&Inner)) -> Result<()> {
        let (shared, inherit) = (Arc::clone(inner), planted::inherited());
        let spawned = Builder::new().name(name.to_owned()).spawn(move || {
            inherit();
            body(&shared);
        });
        let handle = spawned.map_err(|e| {
            self.stop(inner);
            Error::system("start a thread for", inner.paths.root(), e)
        })?;
        locked(&self.running).push(handle);
        Ok(())
    }

    /// Stops the threads and waits for them. Fine when they are stopped already.
    pub(super) fn stop(&self, inner: &Inner) {
        inner.cancel_compaction();
        locked(&inner.work).stop = true;
        inner.signal_work();
        for thread in locked(&self.running).drain(..) {
            // A thread that panicked has nothing left to wait for; its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// A kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Begin the next log segment or memtable if one is full. Then write the oldest full memtable as a table.
    Flush,
    /// Carry out the most urgent compaction.
    Compact,
}

impl Inner {
    fn run_flushes(&self) {
        self.run_steps(Job::Flush);
    }

    fn run_compactions(&self) {
        self.run_steps(Job::Compact);
    }

    /// Does one piece of work; false if there is none.
    pub(super) fn step(&self, job: Job) -> Result<bool> {
        match job {
            Job::Flush => self.or_poison("flushing", || self.flush_step()),
            Job::Compact => self.or_poison("compacting", || self.compact_once(&self.cancel)),
        }
    }

    fn run_log(&self) {
        while let Some(epoch) = self.work_epoch() {
            // An error that matters has poisoned the store, and any other a commit meets, too.
            let _ = self.or_poison("making the log ready", || self.tend_log());
            self.sleep_until_work(epoch);
        }
    }

    /// A sequence was let go of that nobody holds any more. What the newest one sees is not garbage without a holder either,
    /// so reads that hold it for a moment, as most do, wake nobody.
    pub(super) fn note_release(&self, seq: Seq) {
        if seq < self.visible() {
            self.signal_work();
        }
    }

    /// The number of changes of work so far; `None` when the threads are to stop.
    fn work_epoch(&self) -> Option<u64> {
        let work = locked(&self.work);
        (!work.stop).then_some(work.epoch)
    }

    fn run_steps(&self, job: Job) {
        while let Some(epoch) = self.work_epoch() {
            match self.step(job) {
                Ok(true) => {}
                // Neither closing nor poisoning is ever undone: only the order to stop can follow.
                Ok(false) | Err(Error::Closed | Error::Poisoned { .. }) => self.sleep_until_work(epoch),
                Err(_) => self.sleep_after_failure(job),
            }
        }
    }

    /// Sleeps until something has changed since `epoch`, or until it is time to see what has become too old.
    fn sleep_until_work(&self, epoch: u64) {
        let pause = self.age_check_pause();
        let mut work = locked(&self.work);
        while !work.stop && work.epoch == epoch {
            let Some(pause) = pause else {
                work = self.work_changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(self.work_changed.wait_timeout(work, pause));
            return;
        }
    }

    /// Sleeps for a while, whatever changes meanwhile.
    fn sleep_after_failure(&self, job: Job) {
        let end = Instant::now() + self.health.retry_pause(job);
        let mut work = locked(&self.work);
        // Writers that wait for room must hear of it.
        self.work_changed.notify_all();
        while !work.stop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.work_changed.wait_timeout(work, left);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns once a commit may be added without piling up more than the store can flush and compact, or with
    /// [`Error::Closed`] once `cancel` is set, which [`Inner::signal_work`] tells those who wait. Called without any lock.
    pub(super) fn wait_for_room(&self, cancel: &AtomicBool) -> Result<()> {
        if self.writers_never_wait() || !self.is_crowded(&self.current.load()) {
            return Ok(());
        }
        self.counters.write_stalls.add(1);
        hit(Mark::RoomMade);
        let _timer = self.counters.latencies.write_stall.time();
        let begin = Instant::now();
        let waited =
            if self.options.background { self.wait_for_threads(cancel) } else { self.make_room_here(cancel) };
        self.counters.write_stall_micros.add(begin.elapsed().as_micros() as u64);
        waited
    }

    /// Whether all work is left to [`crate::Db::step`].
    pub(super) fn writers_never_wait(&self) -> bool {
        !self.options.background && !self.options.writers_make_room
    }

    pub(super) fn is_crowded(&self, current: &Current) -> bool {
        let sealed = if self.options.background { MAX_SEALED_MEMTABLES } else { 1 };
        current.sealed.len() >= sealed || current.version.level(0).len() >= LEVEL0_STOP
    }

    fn wait_for_threads(&self, cancel: &AtomicBool) -> Result<()> {
        let mut work = locked(&self.work);
        while self.is_crowded(&self.current.load()) {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Closed);
            }
            self.check_writable()?;
            if let Some(error) = self.health.hopeless() {
                return Err(error);
            }
            work = self.work_changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Without threads the writer does the work itself.
    fn make_room_here(&self, cancel: &AtomicBool) -> Result<()> {
        self.or_poison("making room", || {
            while self.flush_oldest()? {}
            while self.needs_compaction() {
                self.compact_once(cancel)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Db, Durability, Options, WriteBatch};

    #[test]
    fn threads_are_woken_for_a_sequence_that_was_let_go_of_only_if_a_job_met_it_and_it_is_not_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { background: false, ..Options::default() };
        let db = Db::open(dir.path(), options).unwrap();
        let put = || {
            let mut batch = WriteBatch::new();
            batch.put(b"key", b"value").unwrap();
            db.commit(batch, Durability::Memory).unwrap();
        };
        let changes = || db.inner.work_epoch().unwrap();
        let woken_after = |commits: bool, job: bool| {
            let held = db.snapshot();
            if commits {
                put();
            }
            if job {
                db.inner.snapshots.pinned();
            }
            let before = changes();
            drop(held);
            changes() - before
        };
        put();
        assert_eq!(woken_after(false, true), 0, "what the newest sees is no garbage");
        assert_eq!(woken_after(true, false), 0, "no job has kept anything for it");
        assert_eq!(woken_after(true, true), 1, "what only it needed is garbage now");
    }
}
