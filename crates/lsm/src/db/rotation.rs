//! When the active memtable or the log segment is full: the next one.
//!
//! Both change together, under the commit lock: a memtable is sealed where a log segment ends, so that a segment can be
//! deleted when the memtables that it feeds are flushed. A new segment needs the old one on disk, which takes long when
//! much of it is not synced yet. So whoever finds something full only asks for the change; a thread of its own syncs the
//! log and makes the next file ready while commits go on, and takes the commit lock for what little has been appended
//! since. Whoever asks for a flush does the same. Should it not come in time, or without threads, a commit does all of it itself.

use std::sync::Arc;

use super::commit::Log;
use super::inner::{Current, Inner, locked};
use crate::error::{Error, Result};
use crate::limits::{LOG_OUTWEIGHS, WAL_LEFT_BYTES, WAL_SYNC_ROUNDS};
use crate::marks::{Mark, hit};
use crate::memtable::Memtable;
use crate::sync::atomic::Ordering;
use crate::types::{FileNumber, Seq};
use crate::wal::{NextSegment, WalFile};

/// What has reached its size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
    Nothing,
    Segment,
    Memtable,
}

impl Inner {
    /// Starts a new memtable when the active one is full or would grow far beyond that by `incoming` bytes, or a new
    /// log segment when only that is full. So a memtable holds at most half again of what it should, or one group of
    /// its own: a sorted run that goes to disk as one table.
    pub(super) fn make_room(&self, log: &mut Log, incoming: usize) -> Result<()> {
        let current = self.current.load();
        let (full, limit) = (self.full(log, &current.active), self.options.memtable_bytes);
        let too_large =
            current.active.size_bytes() + incoming > limit + limit / 2 && !current.active.is_empty();
        drop(current);
        let segment_limit = self.options.wal_segment_bytes;
        let urgent = too_large || log.wal.end() >= segment_limit + segment_limit / 2;
        if full == Full::Nothing && !too_large {
            return Ok(());
        }
        if self.options.background && !urgent {
            self.ask_for_rotation();
            return Ok(());
        }
        let made = if full == Full::Segment && !too_large {
            hit(Mark::RotatedForSize);
            self.rotate_log(log, None).map(|_| ())
        } else {
            if full != Full::Memtable {
                hit(Mark::SealedForLargeGroup);
            }
            self.seal_active(log, None)
        };
        made.inspect_err(|error| {
            self.note_refused(error);
            if error.changed_nothing() {
                hit(Mark::RotationRefused);
            }
        })
    }

    fn full(&self, log: &Log, active: &Memtable) -> Full {
        if active.size_bytes() >= self.options.memtable_bytes && !active.is_empty() {
            Full::Memtable
        } else if log.wal.end() < self.options.wal_segment_bytes {
            Full::Nothing
        } else if self.log_outweighs(active) {
            Full::Memtable
        } else {
            Full::Segment
        }
    }

    /// Whether the log of a memtable has grown far beyond it, now that its last segment is full. So it is with commits that
    /// change nothing, or little: each takes place in the log, and only a flush lets go of that.
    fn log_outweighs(&self, active: &Memtable) -> bool {
        let segments = locked(&self.segments);
        let fed_by = segments.len() - segments.partition_point(|&segment| segment < active.first_segment());
        let log_bytes = self.options.wal_segment_bytes.saturating_mul(fed_by as u64);
        log_bytes >= LOG_OUTWEIGHS * self.options.wal_segment_bytes.max(self.options.memtable_bytes as u64)
    }

    fn ask_for_rotation(&self) {
        if !self.rotation_wanted.swap(true, Ordering::AcqRel) {
            self.signal_work();
        }
    }

    /// What the log thread does whenever it is woken, and without threads whoever does the work. An error that leaves
    /// everything as it was is for the commit that will have to make room itself.
    pub(super) fn tend_log(&self) -> Result<()> {
        self.check_poison()?;
        let (segment, full) = {
            let log = locked(&self.log);
            (Arc::clone(log.wal.file()), self.full(&log, &self.current.load().active))
        };
        if full == Full::Nothing {
            return Ok(());
        }
        let full = |log: &Log| {
            let is_wanted = self.check_writable().is_ok();
            if is_wanted { self.full(log, &self.current.load().active) } else { Full::Nothing }
        };
        self.rotate_ahead(&segment, full).inspect_err(|error| self.poison_unless_harmless(error))
    }

    /// Seals the memtable that has the last commit, if none is yet. Other commits wait for little of it: what there is to sync is
    /// synced before.
    pub(super) fn seal_ahead(&self) -> Result<()> {
        let upto = locked(&self.log).last;
        loop {
            let segment = {
                let log = locked(&self.log);
                if log.sealed >= upto {
                    return Ok(());
                }
                Arc::clone(log.wal.file())
            };
            self.check_poison()?;
            // Whoever else has begun a segment meanwhile need not have sealed anything.
            let full = |log: &Log| {
                let is_wanted = log.sealed < upto && self.check_poison().is_ok();
                if is_wanted { Full::Memtable } else { Full::Nothing }
            };
            self.rotate_ahead(&segment, full).inspect_err(|error| self.poison_unless_harmless(error))?;
        }
    }

    /// Puts most of `segment` on disk, makes a file for the next one, and then takes the commit lock to do what is still to be
    /// done, unless somebody else has done it.
    fn rotate_ahead(&self, segment: &Arc<WalFile>, full: impl FnOnce(&Log) -> Full) -> Result<()> {
        let ended = locked(&self.rotating_ahead);
        if *ended {
            return Err(Error::Closed);
        }
        self.check_place()?;
        let fs = self.options.fs.as_ref();
        let next = NextSegment::create(fs, &self.paths, self.take_file_number())?;
        // Last, so that little is appended between these syncs and the lock.
        if let Err(error) = self.sync_most(segment) {
            next.discard(fs);
            return Err(error);
        }
        let mut log = locked(&self.log);
        let full = if Arc::ptr_eq(log.wal.file(), segment) { full(&log) } else { Full::Nothing };
        let rotated = match full {
            Full::Memtable => self.seal_active(&mut log, Some(next)),
            Full::Segment => self.rotate_log(&mut log, Some(next)).map(|_| ()),
            Full::Nothing => {
                next.discard(fs);
                Ok(())
            }
        };
        let newest = Arc::clone(log.wal.file());
        drop(log);
        drop(ended);
        rotated.and_then(|()| newest.settle())
    }

    /// Syncs what commits go on appending to, until little is left.
    fn sync_most(&self, segment: &WalFile) -> Result<()> {
        for _ in 0..WAL_SYNC_ROUNDS {
            let written = segment.written();
            if written.saturating_sub(segment.synced()) <= WAL_LEFT_BYTES {
                break;
            }
            segment.sync_upto(written, &self.counters)?;
        }
        Ok(())
    }

    /// Puts the active memtable into the line for the flush. Its commits are on disk in the log afterwards, and the
    /// log segments that follow hold none of them.
    pub(super) fn seal_active(&self, log: &mut Log, next: Option<NextSegment>) -> Result<()> {
        let first_segment = self.rotate_log(log, next)?;
        self.current.load().active.seal(log.last);
        log.sealed = log.last;
        self.note_seal(log);
        let active = Arc::new(Memtable::new(first_segment));
        self.swap_current(|current| {
            let mut sealed = Vec::with_capacity(current.sealed.len() + 1);
            sealed.push(Arc::clone(&current.active));
            sealed.extend(current.sealed.iter().cloned());
            Current {
                active,
                sealed,
                version: Arc::clone(&current.version),
                floors: Arc::clone(&current.floors),
            }
        });
        self.signal_work();
        Ok(())
    }

    /// Begins a log segment, in the file that was made ready or in a new one.
    pub(super) fn rotate_log(&self, log: &mut Log, ready: Option<NextSegment>) -> Result<FileNumber> {
        self.check_place()?;
        let _timer = self.counters.latencies.log_rotation.time();
        let next = log.last.checked_add(1).unwrap_or(Seq::MAX);
        let rotated = match ready {
            Some(ready) => log.wal.rotate_into(ready, next),
            None => log.wal.rotate(self.take_file_number(), next),
        };
        if matches!(rotated, Err(Error::DiskFull { .. })) && log.wal.buffered() > 0 {
            log.wal.file().cut_failed_append()?;
        }
        rotated?;
        self.rotation_wanted.store(false, Ordering::Release);
        let number = log.wal.file().number();
        locked(&self.segments).push(number);
        Ok(number)
    }
}
