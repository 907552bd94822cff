//! A log segment that is open for appending: how far it is written, how far it is synced.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::fs::File;
use crate::metrics::Counters;
use crate::types::FileNumber;

/// One segment. The appender writes under its own lock; anyone may ask for a sync at the same time.
pub(crate) struct WalFile {
    file: Box<dyn File>,
    path: PathBuf,
    number: FileNumber,
    /// Everything before this offset has been handed to the operating system.
    written: AtomicU64,
    /// Everything before this offset is on disk. Never greater than `written`.
    synced: AtomicU64,
    /// Held during a sync, so that those who wait for it share the next one.
    syncing: Mutex<()>,
}

impl WalFile {
    /// Wraps a new segment whose first `written` bytes are written and synced.
    pub(crate) fn new(file: Box<dyn File>, path: PathBuf, number: FileNumber, written: u64) -> Self {
        Self {
            file,
            path,
            number,
            written: AtomicU64::new(written),
            synced: AtomicU64::new(written),
            syncing: Mutex::new(()),
        }
    }

    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Appends at the written end. Only the one appender calls this.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<()> {
        let at = self.written();
        self.file.write_at(at, bytes).map_err(|e| Error::io("append to", &self.path, e))?;
        self.written.store(at + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Cuts off what a failed append may have left behind the written end, durably.
    pub(crate) fn cut_failed_append(&self) -> Result<()> {
        self.file.set_len(self.written()).map_err(|e| Error::io("truncate", &self.path, e))?;
        self.file.sync().map_err(|e| Error::sync(&self.path, e))
    }

    /// Returns once everything before `upto` is on disk. Several callers share one sync.
    ///
    /// After an error nothing is known about what is on disk: the caller must not go on with this segment.
    pub(crate) fn sync_upto(&self, upto: u64, counters: &Counters) -> Result<()> {
        if self.synced() >= upto {
            return Ok(());
        }
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.synced() >= upto {
            return Ok(());
        }
        let target = self.written();
        debug_assert!(target >= upto, "only written bytes can be synced");
        let timer = counters.latencies.wal_sync.time();
        self.file.sync().map_err(|e| Error::sync(&self.path, e))?;
        drop(timer);
        counters.wal_syncs.add(1);
        self.synced.store(target, Ordering::Release);
        Ok(())
    }
}
