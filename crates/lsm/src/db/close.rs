//! The end of an open store.

use std::sync::atomic::Ordering;

use super::background::Threads;
use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::manifest::Edit;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};

impl Inner {
    /// See [`super::Db::close`].
    pub(super) fn close(&self, threads: &Threads) -> Result<()> {
        let mut closed = locked(&self.closed);
        if let Some(outcome) = &*closed {
            return outcome.clone();
        }
        self.drain_commits();
        threads.stop(self);
        let outcome = self.or_poison("closing", || self.close_files());
        self.let_go_of_directory();
        *closed = Some(outcome.clone());
        outcome
    }

    /// The end without `close`: stops the threads and hands what is buffered to the operating system.
    pub(super) fn abandon(&self, threads: &Threads) {
        let mut closed = locked(&self.closed);
        if closed.is_some() {
            return;
        }
        self.drain_commits();
        threads.stop(self);
        if self.check_poison().is_ok() {
            // Nobody is left to hear of an error. What it would lose was promised to live only in memory.
            let _ = locked(&self.log).wal.write_out();
        }
        self.let_go_of_directory();
        *closed = Some(Err(Error::Closed));
    }

    /// From now on another process may have the store. A flush that somebody asked for and that is still making a log segment is
    /// waited for, so that no file appears or goes after this.
    fn let_go_of_directory(&self) {
        *locked(&self.rotating_ahead) = true;
        *locked(&self.lock) = None;
    }

    /// Lets no more commits in and waits for those that are in.
    fn drain_commits(&self) {
        let groups = {
            let log = locked(&self.log);
            self.closing.store(true, Ordering::Release);
            log.groups
        };
        self.signal_work();
        self.publisher.wait_for(groups);
    }

    fn close_files(&self) -> Result<()> {
        // An ingest stops soon, too.
        let _ingesting = self.ingesting.take();
        let _checkpointing = locked(&self.checkpointing);
        // A compaction that somebody asked for stops soon, and none begins after it.
        let _compacting = self.compacting.take();
        if self.check_poison().is_err() {
            hit(Mark::ClosedPoisoned);
            // What is on disk is for the next open to find out; anything written now could only harm.
            return Ok(());
        }
        let flushed = self.seal_used(&mut locked(&self.log)).and_then(|()| {
            while !planted::active(Bug::ClosedWithoutFlush) && self.flush_oldest()? {}
            Ok(())
        });
        if let Err(error) = flushed {
            if self.check_poison().is_err() {
                return Err(error);
            }
            hit(Mark::ClosedUnflushed);
            // The log still holds everything; make sure that all of it is on disk.
            let log = &mut *locked(&self.log);
            log.wal.write_out()?;
            log.wal.file().sync_upto(log.wal.file().written(), &self.counters)?;
            return Err(error);
        }
        self.mark_closed()
    }

    fn mark_closed(&self) -> Result<()> {
        let log = &mut *locked(&self.log);
        log.wal.encode_clean_close(log.last);
        log.wal.write_out()?;
        log.wal.file().sync_upto(log.wal.file().written(), &self.counters)?;
        let mut manifest = locked(&self.manifest);
        locked(&self.timekeeper).observe(self.options.clock.now(), log.last);
        let edit = Edit {
            next_file: Some(self.next_file_number()),
            closed_cleanly: !planted::active(Bug::CleanCloseNotSaid),
            moments: self.moments_for(&manifest, Some(log.last)),
            ..Edit::default()
        };
        self.install_edit(&mut manifest, &edit)
    }
}
