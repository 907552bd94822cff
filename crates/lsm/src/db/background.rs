//! The threads of a store, and the waiting of writers for them.
//!
//! One thread flushes, one compacts. They sleep until something changes, try, and note why they failed; a writer that
//! has to wait for room gets that reason instead of waiting for ever, for example when the disk is full.
//!
//! What a thread does between two looks is one [`Job`]. [`crate::Db::step`] does one on the calling thread, so a
//! simulation that opens the store without threads decides what happens when. Nothing that reaches the disk depends on
//! the time: clocks only measure, and pace writers and threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inner::{Inner, Work, locked};
use crate::error::{Error, Result};
use crate::limits::{LEVEL0_STOP, MAX_SEALED_MEMTABLES};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Mutex, PoisonError};

/// Pause after a failed flush or compaction before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The running threads; empty when the store works without them.
pub(super) struct Threads {
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(super) fn start(inner: &Arc<Inner>, background: bool) -> Result<Self> {
        let threads = Self { running: Mutex::new(Vec::new()) };
        if background {
            threads.spawn(inner, "fountain-flush", Inner::run_flushes)?;
            threads.spawn(inner, "fountain-compact", Inner::run_compactions)?;
        }
        Ok(threads)
    }

    fn spawn(&self, inner: &Arc<Inner>, name: &str, body: fn(&Inner)) -> Result<()> {
        let shared = Arc::clone(inner);
        let spawned = Builder::new().name(name.to_owned()).spawn(move || body(&shared));
        let handle = spawned.map_err(|e| {
            self.stop(inner);
            Error::io("start a thread for", inner.paths.root(), e)
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
    /// Write zeros ahead of the log if it wants some, and the oldest full memtable as a table.
    Flush,
    /// Carry out the most urgent compaction.
    Compact,
}

/// The place in [`Work`] where the reason of the last failure is noted.
type ErrorPlace = fn(&mut Work) -> &mut Option<Error>;

impl Inner {
    fn run_flushes(&self) {
        self.run_steps(Job::Flush, |work| &mut work.flush_error);
    }

    fn run_compactions(&self) {
        self.run_steps(Job::Compact, |work| &mut work.compaction_error);
    }

    /// Does one piece of work; false if there is none.
    pub(super) fn step(&self, job: Job) -> Result<bool> {
        match job {
            Job::Flush => self.or_poison("flushing", || self.flush_step()),
            Job::Compact => self.or_poison("compacting", || self.compact_once()),
        }
    }

    fn run_steps(&self, job: Job, place: ErrorPlace) {
        loop {
            let epoch = {
                let work = locked(&self.work);
                if work.stop {
                    return;
                }
                work.epoch
            };
            let outcome = self.step(job);
            let mut work = locked(&self.work);
            let failed = outcome.is_err();
            *place(&mut work) = outcome.as_ref().err().cloned();
            if failed {
                // Writers that wait for room must hear of it.
                self.work_changed.notify_all();
            }
            if matches!(outcome, Ok(true)) {
                continue;
            }
            let pause = if failed { Some(RETRY_PAUSE) } else { self.age_check_pause() };
            while !work.stop && work.epoch == epoch {
                if let Some(pause) = pause {
                    let pause = self.work_changed.wait_timeout(work, pause);
                    drop(pause);
                    break;
                }
                work = self.work_changed.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Returns once a commit may be added without piling up more than the store can flush and compact. Called
    /// without any lock.
    pub(super) fn wait_for_room(&self) -> Result<()> {
        if self.writers_never_wait() || !self.is_crowded() {
            return Ok(());
        }
        self.counters.write_stalls.add(1);
        let _timer = self.counters.latencies.write_stall.time();
        let begin = Instant::now();
        let waited = if self.options.background { self.wait_for_threads() } else { self.make_room_here() };
        self.counters.write_stall_micros.add(begin.elapsed().as_micros() as u64);
        waited
    }

    /// Whether all work is left to [`crate::Db::step`].
    pub(super) fn writers_never_wait(&self) -> bool {
        !self.options.background && !self.options.writers_make_room
    }

    fn is_crowded(&self) -> bool {
        let current = self.current.load();
        let sealed = if self.options.background { MAX_SEALED_MEMTABLES } else { 1 };
        current.sealed.len() >= sealed || current.version.level(0).len() >= LEVEL0_STOP
    }

    fn wait_for_threads(&self) -> Result<()> {
        let mut work = locked(&self.work);
        while self.is_crowded() {
            self.check_writable()?;
            if let Some(error) = work.flush_error.as_ref().or(work.compaction_error.as_ref()) {
                return Err(error.clone());
            }
            work = self.work_changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Without threads the writer does the work itself.
    fn make_room_here(&self) -> Result<()> {
        self.or_poison("making room", || {
            while self.flush_oldest()? {}
            while self.needs_compaction() {
                self.compact_once()?;
            }
            Ok(())
        })
    }
}
