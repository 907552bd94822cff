//! A log segment that is open for appending: how far it is written, how far it is synced.
//!
//! A sync takes half the time when all it has to put on disk are bytes in blocks that the file has already: then the file
//! system has nothing of its own to write. So a small append that somebody waits for, when it comes to the end of the
//! file, writes zeros behind itself in the same call, and the next ones write over them. Zeros are what the end of a log
//! may look like anyway (see `docs/format.md`, section 1.4), and they need no sync of their own.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result, is_no_space};
use crate::fs::{File, tolerate};
use crate::limits::{WAL_AHEAD_BYTES, WAL_AHEAD_FROM, WAL_AHEAD_MAX_APPEND};
use crate::marks::{Mark, hit};
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};
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
    /// The file reaches at least to here, with zeros behind what is written. Only the appender changes it.
    reach: AtomicU64,
    /// Whether there was no space for zeros once. They are not tried again in this segment: each try would take what is left of
    /// the disk from those who can do without.
    no_room: AtomicBool,
    /// What the segment before is to be told before anything in this one counts as on disk. What only the system has may come
    /// before it.
    note: Mutex<Option<Note>>,
    /// Held during a sync, so that those who wait for it share the next one. Holds why a sync failed: after that none
    /// is tried again.
    syncing: Mutex<Option<Error>>,
}

/// A frame that says behind the end of a segment which one goes on from there: should that one vanish, the log would
/// otherwise seem to end.
pub(super) struct Note {
    pub(super) previous: Arc<WalFile>,
    pub(super) frame: Vec<u8>,
    pub(super) counters: Arc<Counters>,
}

impl Note {
    /// Without space for it the log is as good as it ever was.
    fn leave(self) -> Result<()> {
        if self.previous.append_if_space(&self.frame)? {
            self.previous.sync_upto(self.previous.written(), &self.counters)?;
        }
        Ok(())
    }
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
            reach: AtomicU64::new(written),
            no_room: AtomicBool::new(false),
            note: Mutex::new(None),
            syncing: Mutex::new(None),
        }
    }

    /// As the segment behind another, which is to be told by the first sync of this one, or before.
    pub(super) fn behind(mut self, note: Note) -> Self {
        self.note = Mutex::new(Some(note));
        self
    }

    /// Tells the segment before that this one goes on from there, if that is not done.
    pub(crate) fn settle(&self) -> Result<()> {
        self.leave_note(&mut *self.keep_syncing()?)
    }

    fn leave_note(&self, failed: &mut Option<Error>) -> Result<()> {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner).take();
        match note.map(Note::leave) {
            Some(Err(error)) => Err(failed.insert(error).clone()),
            Some(Ok(())) | None => Ok(()),
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
        self.appended(self.try_append(bytes, bytes.len()))
    }

    /// As [`WalFile::append`], for bytes that will be synced at once; zeros end at `most` bytes of the segment. Leaves
    /// the bytes as they are.
    pub(crate) fn append_ahead(&self, bytes: &mut Vec<u8>, most: u64) -> Result<()> {
        let len = bytes.len();
        let zeros = self.zeros_behind(len as u64, most);
        if zeros > 0 {
            bytes.resize(len + zeros, 0);
            let outcome = self.try_append(bytes, len);
            bytes.truncate(len);
            if !outcome.as_ref().is_err_and(is_no_space) {
                hit(Mark::ZerosAhead);
                return self.appended(outcome);
            }
            // There may be space for the bytes alone.
            tolerate(outcome);
            self.no_room.store(true, Ordering::Relaxed);
            hit(Mark::ZerosRefused);
        }
        self.append(bytes)
    }

    fn appended(&self, outcome: io::Result<()>) -> Result<()> {
        outcome.map_err(|e| Error::io("append to", &self.path, e))
    }

    /// How many zeros an append of this length should write behind itself.
    fn zeros_behind(&self, len: u64, most: u64) -> usize {
        let end = self.written() + len;
        let is_there = end <= self.reach.load(Ordering::Acquire);
        let is_refused = self.no_room.load(Ordering::Relaxed);
        if is_there || is_refused || end < WAL_AHEAD_FROM || len > WAL_AHEAD_MAX_APPEND {
            return 0;
        }
        WAL_AHEAD_BYTES.min(usize::try_from(most.saturating_sub(end)).unwrap_or(usize::MAX))
    }

    /// As [`WalFile::append`], for what is not worth an error when there is no space for it: false then.
    fn append_if_space(&self, bytes: &[u8]) -> Result<bool> {
        match self.try_append(bytes, bytes.len()) {
            Err(e) if is_no_space(&e) => Ok(tolerate::<()>(Err(e)).is_some()),
            appended => appended.map(|()| true).map_err(|e| Error::io("append a note to", &self.path, e)),
        }
    }

    /// Writes all of `bytes` at the written end, which then lies behind the first `len` of them; the others are zeros.
    fn try_append(&self, bytes: &[u8], len: usize) -> io::Result<()> {
        let at = self.written();
        let end = at + len as u64;
        let written = self.file.write_at(at, bytes);
        if written.is_err() && planted::active(Bug::HoleAfterFailedWrite) {
            self.written.store(end, Ordering::Release);
        }
        written?;
        self.reach.fetch_max(at + bytes.len() as u64, Ordering::AcqRel);
        self.written.store(end, Ordering::Release);
        Ok(())
    }

    /// Cuts off what a failed append may have left behind the written end, durably. If this fails, a frame of it might
    /// be taken for a later one. Only the one appender calls this.
    ///
    /// Its sync keeps others out and they keep out of it: of two syncs of one file at the same time only one may be told
    /// that writing failed, and that has to be the one who vouches for the bytes.
    pub(crate) fn cut_failed_append(&self) -> Result<()> {
        let mut failed = self.keep_syncing()?;
        self.leave_note(&mut failed)?;
        let written = self.written();
        self.reach.store(written, Ordering::Release);
        self.file.set_len(written).map_err(|e| Error::truncate(&self.path, e))?;
        self.file.sync().map_err(|e| failed.insert(Error::sync(&self.path, e)).clone())?;
        self.synced.store(written, Ordering::Release);
        Ok(())
    }

    /// The right to sync; the error of the sync that failed, if one did.
    fn keep_syncing(&self) -> Result<MutexGuard<'_, Option<Error>>> {
        let failed = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*failed {
            hit(Mark::SyncAfterFailure);
            return Err(error.clone());
        }
        Ok(failed)
    }

    /// Returns once everything before `upto` is on disk. Several callers share one sync.
    ///
    /// After an error nothing is known about what is on disk: the caller must not go on with this segment.
    pub(crate) fn sync_upto(&self, upto: u64, counters: &Counters) -> Result<()> {
        if self.synced() >= upto || planted::active(Bug::AckBeforeSync) {
            return Ok(());
        }
        let mut failed = self.keep_syncing()?;
        if self.synced() >= upto {
            hit(Mark::SyncShared);
            return Ok(());
        }
        self.leave_note(&mut failed)?;
        let target = self.written();
        debug_assert!(target >= upto, "only written bytes can be synced");
        let timer = counters.latencies.wal_sync.time();
        let synced = self.file.sync();
        let again = synced.is_err() && planted::active(Bug::SyncRetried);
        let synced = if again { self.file.sync() } else { synced };
        synced.map_err(|e| failed.insert(Error::sync(&self.path, e)).clone())?;
        drop(timer);
        counters.wal_syncs.add(1);
        self.synced.store(target, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::{Arc, OnceLock, Weak};

    use super::*;
    use crate::fs::{Fs, RealFs};

    fn segment(dir: &tempfile::TempDir) -> WalFile {
        let path = dir.path().join("segment");
        WalFile::new(RealFs.create_new(&path).unwrap(), path, FileNumber(1), 0)
    }

    #[test]
    fn small_synced_appends_write_zeros_behind_themselves_when_they_come_to_the_end_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = segment(&dir);
        let (len, ahead) = (|| file.file.len().unwrap(), WAL_AHEAD_BYTES as u64);
        file.append_ahead(&mut vec![7; 100], u64::MAX).unwrap();
        assert_eq!(len(), 100, "hardly written to");
        let large = WAL_AHEAD_MAX_APPEND as usize + 1;
        file.append_ahead(&mut vec![7; large], u64::MAX).unwrap();
        assert_eq!(len(), file.written(), "large appends gain nothing");
        let mut bytes = vec![7; 100];
        file.append_ahead(&mut bytes, u64::MAX).unwrap();
        assert_eq!((bytes, len()), (vec![7; 100], file.written() + ahead));
        let (written, before) = (file.written(), len());
        file.append_ahead(&mut vec![8; 20_000], u64::MAX).unwrap();
        file.append(&vec![9; 20_000]).unwrap();
        assert_eq!((file.written(), len()), (written + 40_000, before), "there was room");
        let mut found = vec![1; 50_000];
        file.file.read_at(written, &mut found).unwrap();
        assert!(found[..20_000].iter().all(|&byte| byte == 8));
        assert!(found[20_000..40_000].iter().all(|&byte| byte == 9));
        assert!(found[40_000..].iter().all(|&byte| byte == 0));
        file.append(&vec![9; WAL_AHEAD_BYTES]).unwrap();
        assert_eq!(len(), file.written(), "nobody waits for the disk");
        file.append_ahead(&mut vec![8; 100], u64::MAX).unwrap();
        assert_eq!(len(), file.written() + ahead);
        file.cut_failed_append().unwrap();
        assert_eq!(len(), file.written());
    }

    #[test]
    fn zeros_do_not_reach_beyond_what_the_segment_may_become() {
        let dir = tempfile::tempdir().unwrap();
        let file = segment(&dir);
        file.append_ahead(&mut vec![7; 20_000], 30_000).unwrap();
        assert_eq!(file.file.len().unwrap(), 30_000);
        file.append_ahead(&mut vec![7; 20_000], 30_000).unwrap();
        assert_eq!(file.file.len().unwrap(), 40_000);
    }

    /// A file on a disk that is full from this length on.
    struct FullFile {
        room: u64,
        file: Box<dyn File>,
        written: Arc<AtomicU64>,
    }

    impl File for FullFile {
        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
            self.file.read_at(offset, into)
        }
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let fits = self.room.saturating_sub(offset).min(bytes.len() as u64);
            self.written.fetch_add(fits, Ordering::Relaxed);
            self.file.write_at(offset, &bytes[..fits as usize])?;
            if fits < bytes.len() as u64 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }
    }

    #[test]
    fn without_space_for_zeros_a_segment_goes_on_without_them() {
        let dir = tempfile::tempdir().unwrap();
        let (path, written) = (dir.path().join("segment"), Arc::new(AtomicU64::new(0)));
        let file = RealFs.create_new(&path).unwrap();
        let file = Box::new(FullFile { room: 120_000, file, written: Arc::clone(&written) });
        let file = WalFile::new(file, path, FileNumber(1), 0);
        for _ in 0..1000 {
            file.append_ahead(&mut vec![7; 100], u64::MAX).unwrap();
        }
        assert_eq!(file.written(), 100_000);
        let taken = written.load(Ordering::Relaxed);
        assert!(taken < 250_000, "{taken} bytes written for 100,000");
    }

    /// A file whose sync with this number fails and whose others, as on Linux, find nothing to report.
    #[derive(Default)]
    struct ForgetfulFile {
        fails: u32,
        syncs: AtomicU32,
        /// Who must hold the right to sync meanwhile.
        segment: OnceLock<Weak<WalFile>>,
    }

    impl ForgetfulFile {
        fn segment(fails: u32) -> (Arc<Self>, Arc<WalFile>) {
            let disk = Arc::new(Self { fails, ..Self::default() });
            let file = WalFile::new(Box::new(Arc::clone(&disk)), PathBuf::from("segment"), FileNumber(1), 0);
            let file = Arc::new(file);
            disk.segment.set(Arc::downgrade(&file)).unwrap();
            (disk, file)
        }

        fn syncs(&self) -> u32 {
            self.syncs.load(Ordering::Relaxed)
        }
    }

    impl File for Arc<ForgetfulFile> {
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            let segment = self.segment.get().and_then(Weak::upgrade).unwrap();
            assert!(segment.syncing.try_lock().is_err(), "a sync that others do not keep out of");
            let number = self.syncs.fetch_add(1, Ordering::Relaxed) + 1;
            if number == self.fails { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn a_failed_sync_is_never_tried_again_whoever_asks() {
        let (disk, file) = ForgetfulFile::segment(1);
        file.append(&[7; 100]).unwrap();
        let counters = Counters::default();
        for _ in 0..3 {
            assert!(matches!(file.sync_upto(100, &counters), Err(Error::Io { op: "sync", .. })));
        }
        assert!(matches!(file.cut_failed_append(), Err(Error::Io { op: "sync", .. })));
        assert_eq!((disk.syncs(), file.synced()), (1, 0));
    }

    #[test]
    fn bytes_whose_loss_only_the_cut_of_a_failed_append_was_told_are_not_taken_for_synced() {
        let (disk, file) = ForgetfulFile::segment(1);
        file.append(&[7; 100]).unwrap();
        assert!(matches!(file.cut_failed_append(), Err(Error::Io { op: "sync", .. })));
        assert!(matches!(file.sync_upto(100, &Counters::default()), Err(Error::Io { op: "sync", .. })));
        assert_eq!((disk.syncs(), file.synced()), (1, 0));
    }

    #[test]
    fn a_cut_syncs_what_lies_before_it() {
        let (disk, file) = ForgetfulFile::segment(0);
        file.append(&[7; 100]).unwrap();
        file.cut_failed_append().unwrap();
        assert_eq!(file.synced(), 100);
        file.sync_upto(100, &Counters::default()).unwrap();
        assert_eq!(disk.syncs(), 1);
    }
}
