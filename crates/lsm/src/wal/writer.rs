//! Appends commits to the newest log segment and starts the next segment when one is full.
//!
//! What always holds: frames lie in the order of their sequences without gaps; a segment is used only after the one
//! before it is synced to its end and its own preamble and name are on disk; a commit that was refused leaves no
//! trace in the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::Note;
use super::{TAG_DELETE, TAG_DELETE_RANGE, TAG_PUT, TAG_TIME, WalFile};
use crate::batch::{OpKind, WriteBatch};
use crate::error::{Error, Result};
use crate::files::StorePaths;
use crate::format::{FileSalt, FrameTag, LogKind, PREAMBLE_BYTES, Preamble, append_frame, varint};
use crate::fs::{Fs, tolerate};
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::timeline::Stamp;
use crate::types::{FileNumber, Seq, StoreId};

/// The appender. There is one per store, used under the commit lock.
pub(crate) struct WalWriter {
    fs: Arc<dyn Fs>,
    paths: StorePaths,
    store: StoreId,
    counters: Arc<Counters>,
    file: Arc<WalFile>,
    salt: FileSalt,
    /// Frames that are not yet handed to the operating system; they begin at the written end of the file.
    buffer: Vec<u8>,
}

/// Length of the buffer before a group was encoded, so that a refused group can be taken back.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl WalWriter {
    /// Starts a log with the segment `number`. It continues no other: what recovery read of the old log may not be on
    /// disk. If the store dies before its new manifest is current, the next recovery skips this segment.
    pub(crate) fn create(
        fs: Arc<dyn Fs>,
        paths: StorePaths,
        store: StoreId,
        counters: Arc<Counters>,
        (number, first_seq): (FileNumber, Seq),
    ) -> Result<Self> {
        let preamble = segment_preamble(store, number, FileNumber(0), 0, first_seq);
        let file = create_segment(fs.as_ref(), &paths, &preamble, &counters)?;
        let salt = preamble.salt();
        Ok(Self { fs, paths, store, counters, file: Arc::new(file), salt, buffer: Vec::new() })
    }

    /// The newest segment.
    pub(crate) fn file(&self) -> &Arc<WalFile> {
        &self.file
    }

    /// Bytes in the newest segment, buffered ones included.
    pub(crate) fn end(&self) -> u64 {
        self.file.written() + self.buffer.len() as u64
    }

    /// Bytes that a dying process would lose.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.buffer.len())
    }

    /// Forgets what was encoded since `mark`.
    pub(crate) fn rollback(&mut self, mark: Mark) {
        self.buffer.truncate(mark.0);
    }

    /// Encodes one commit into the buffer, with what it says of its time.
    pub(crate) fn encode(&mut self, batch: &WriteBatch, seq: Seq, stamp: Option<Stamp>) {
        if planted::active(Bug::CommitInPieces) && batch.len() > 1 {
            for (kind, key, value) in batch.ops() {
                self.encode_ops(1, [(kind, key, value)].into_iter(), seq, None);
            }
        } else {
            self.encode_ops(batch.len(), batch.ops(), seq, stamp);
        }
    }

    fn encode_ops<'b>(
        &mut self,
        count: usize,
        ops: impl Iterator<Item = (OpKind, &'b [u8], &'b [u8])>,
        seq: Seq,
        stamp: Option<Stamp>,
    ) {
        let head = (FrameTag::Commit, seq.get(), count as u32 + u32::from(stamp.is_some()));
        let (offset, durable_upto) = (self.end(), self.file.synced());
        append_frame(&mut self.buffer, self.salt, offset, head, durable_upto, |body| {
            if let Some(stamp) = stamp {
                body.push(TAG_TIME);
                varint::put(body, stamp.settled.millis());
                varint::put(body, stamp.at.millis());
            }
            for (kind, key, value) in ops {
                match kind {
                    OpKind::Put => {
                        body.push(TAG_PUT);
                        varint::put_bytes(body, key);
                        varint::put_bytes(body, value);
                    }
                    OpKind::Delete => {
                        body.push(TAG_DELETE);
                        varint::put_bytes(body, key);
                    }
                    OpKind::DeleteRange => {
                        body.push(TAG_DELETE_RANGE);
                        varint::put_bytes(body, key);
                        varint::put_bytes(body, value);
                    }
                }
            }
        });
    }

    /// Encodes the record that says the store was closed in good order after commit `last`.
    pub(crate) fn encode_clean_close(&mut self, last: Seq) {
        let head = (FrameTag::CleanClose, last.get(), 0);
        let (offset, durable_upto) = (self.end(), self.file.synced());
        append_frame(&mut self.buffer, self.salt, offset, head, durable_upto, |_| {});
    }

    /// Hands the buffer to the operating system.
    pub(crate) fn write_out(&mut self) -> Result<()> {
        self.hand_out(|file, buffer| file.append(buffer))
    }

    /// As [`WalWriter::write_out`], for those who wait for the disk; zeros end at `most` bytes of the segment.
    pub(crate) fn write_out_ahead(&mut self, most: u64) -> Result<()> {
        self.hand_out(|file, buffer| file.append_ahead(buffer, most))
    }

    fn hand_out(&mut self, append: impl FnOnce(&WalFile, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        append(&self.file, &mut self.buffer)?;
        self.counters.wal_bytes.add(self.buffer.len() as u64);
        self.buffer.clear();
        // One huge commit must not pin its memory for ever.
        self.buffer.shrink_to(crate::limits::MAX_GROUP_BYTES);
        Ok(())
    }

    /// Starts segment `number`, after everything in this one is on disk.
    pub(crate) fn rotate(&mut self, number: FileNumber, next_seq: Seq) -> Result<()> {
        let preamble = self.end_segment(number, next_seq)?;
        let file = create_segment(self.fs.as_ref(), &self.paths, &preamble, &self.counters)?;
        self.go_on_in(file, preamble.salt());
        self.file.settle()
    }

    /// As [`WalWriter::rotate`], into a file that was made ready: only short syncs are left to do. One of them, that of a
    /// note in the old segment, is left to the first sync of the new one, or to [`WalFile::settle`].
    pub(crate) fn rotate_into(&mut self, next: NextSegment, next_seq: Seq) -> Result<()> {
        match self.end_segment(next.number, next_seq) {
            Ok(preamble) => {
                let file = next.begin(self.fs.as_ref(), &preamble, &self.counters)?;
                self.go_on_in(file, preamble.salt());
                Ok(())
            }
            Err(error) => {
                next.discard(self.fs.as_ref());
                Err(error)
            }
        }
    }

    /// Puts everything in this segment on disk; returns how the next one must begin.
    fn end_segment(&mut self, number: FileNumber, next_seq: Seq) -> Result<Preamble> {
        self.write_out()?;
        let end = self.file.written();
        planted::unless(Bug::SegmentNotSyncedAtRotation, || self.file.sync_upto(end, &self.counters))?;
        Ok(segment_preamble(self.store, number, self.file.number(), end, next_seq))
    }

    fn go_on_in(&mut self, file: WalFile, salt: FileSalt) {
        let (end, head) = (self.file.written(), (FrameTag::Continued, file.number().0, 0));
        let mut frame = Vec::new();
        append_frame(&mut frame, self.salt, end, head, end, |_| {});
        let (previous, counters) = (Arc::clone(&self.file), Arc::clone(&self.counters));
        self.file = Arc::new(file.behind(Note { previous, frame, counters }));
        self.salt = salt;
    }
}

/// A file for the next segment. Its name and the place for its preamble are on disk, so that to begin it takes one short
/// sync. Should the store die before, the next recovery skips it.
pub(crate) struct NextSegment {
    file: Box<dyn crate::fs::File>,
    path: PathBuf,
    number: FileNumber,
}

impl NextSegment {
    pub(crate) fn create(fs: &dyn Fs, paths: &StorePaths, number: FileNumber) -> Result<Self> {
        let path = paths.wal(number);
        let file = fs.create_new(&path).map_err(|e| Error::io("create", &path, e))?;
        let next = Self { file, path, number };
        match next.settle(fs, paths) {
            Ok(()) => Ok(next),
            Err(error) => {
                next.discard(fs);
                Err(error)
            }
        }
    }

    fn settle(&self, fs: &dyn Fs, paths: &StorePaths) -> Result<()> {
        let zeros = [0; PREAMBLE_BYTES];
        self.file.write_at(0, &zeros).map_err(|e| Error::io("write", &self.path, e))?;
        self.file.sync().map_err(|e| Error::sync(&self.path, e))?;
        sync_names(fs, paths)
    }

    fn begin(self, fs: &dyn Fs, preamble: &Preamble, counters: &Counters) -> Result<WalFile> {
        let written =
            self.file.write_at(0, &preamble.encode()).map_err(|e| Error::io("write", &self.path, e));
        let begun = written.and_then(|()| self.file.sync().map_err(|e| Error::sync(&self.path, e)));
        if let Err(error) = begun {
            self.discard(fs);
            return Err(error);
        }
        counters.wal_segments.add(1);
        Ok(WalFile::new(self.file, self.path, self.number, PREAMBLE_BYTES as u64))
    }

    /// Removes the file; if that fails, recovery skips it.
    pub(crate) fn discard(self, fs: &dyn Fs) {
        tolerate(fs.remove(&self.path));
    }
}

fn segment_preamble(
    store: StoreId,
    number: FileNumber,
    previous: FileNumber,
    previous_end: u64,
    first_seq: Seq,
) -> Preamble {
    Preamble { kind: LogKind::Wal, store, number, previous, previous_end, first_seq }
}

fn create_segment(
    fs: &dyn Fs,
    paths: &StorePaths,
    preamble: &Preamble,
    counters: &Counters,
) -> Result<WalFile> {
    let path = paths.wal(preamble.number);
    let created = write_preamble(fs, paths, &path, preamble);
    if created.is_err() {
        // A half-made segment would only puzzle recovery; if it cannot be removed, recovery skips it.
        tolerate(fs.remove(&path));
    }
    let file = created?;
    counters.wal_segments.add(1);
    Ok(WalFile::new(file, path, preamble.number, PREAMBLE_BYTES as u64))
}

fn write_preamble(
    fs: &dyn Fs,
    paths: &StorePaths,
    path: &Path,
    preamble: &Preamble,
) -> Result<Box<dyn crate::fs::File>> {
    let file = fs.create_new(path).map_err(|e| Error::io("create", path, e))?;
    // Before the preamble: should the name be taken back after a failure here, and a crash undo that, nothing claims
    // that the log goes on in this file.
    sync_names(fs, paths)?;
    file.write_at(0, &preamble.encode()).map_err(|e| Error::io("write", path, e))?;
    file.sync().map_err(|e| Error::sync(path, e))?;
    Ok(file)
}

fn sync_names(fs: &dyn Fs, paths: &StorePaths) -> Result<()> {
    planted::unless(Bug::SegmentNameNotSynced, || {
        fs.sync_dir(&paths.wal_dir()).map_err(|e| Error::sync_dir(&paths.wal_dir(), e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{RealFs, read_whole};
    use crate::wal::{Nowhere, replay_segments};

    #[test]
    fn a_segment_names_the_next_one_at_the_latest_when_something_in_that_counts_as_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, paths) = (Arc::new(RealFs), StorePaths::new(dir.path()));
        fs.create_dir(&paths.wal_dir()).unwrap();
        let (store, counters) = (StoreId([1; 16]), Arc::new(Counters::default()));
        let (old, new) = (FileNumber(1), FileNumber(2));
        let begin = (old, Seq::ZERO.checked_add(1).unwrap());
        let mut wal =
            WalWriter::create(fs.clone(), paths.clone(), store, Arc::clone(&counters), begin).unwrap();
        let next = NextSegment::create(fs.as_ref(), &paths, new).unwrap();
        wal.rotate_into(next, begin.1).unwrap();
        let noted = |bytes: &[u8]| bytes.len() > PREAMBLE_BYTES;
        assert!(!noted(&read_whole(fs.as_ref(), &paths.wal(old)).unwrap()), "nobody waits for the note");
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"v").unwrap();
        wal.encode(&batch, begin.1, None);
        wal.write_out().unwrap();
        let file = Arc::clone(wal.file());
        file.sync_upto(file.written(), &counters).unwrap();
        assert!(noted(&read_whole(fs.as_ref(), &paths.wal(old)).unwrap()));
        let alone = replay_segments(fs.as_ref(), &paths, store, &[old], Seq::ZERO, &mut Nowhere);
        assert!(alone.is_err(), "the new segment would be missed");
        file.settle().unwrap();
        let both = replay_segments(fs.as_ref(), &paths, store, &[old, new], Seq::ZERO, &mut Nowhere);
        assert_eq!(both.unwrap().last_seq, begin.1);
    }
}
