//! Reads the log back after a crash. See `docs/format.md`, sections 1.4 and 3.
//!
//! What always holds: commits are applied in order of their sequences without a gap; a tail that was being appended
//! when the store died is discarded and reported; anything else that does not verify is an error, because it was on
//! disk once. Nothing is written here.

use std::path::{Path, PathBuf};

use super::{TAG_DELETE, TAG_DELETE_RANGE, TAG_PUT, TAG_TIME};
use crate::batch::OpKind;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::StorePaths;
use crate::format::{Frame, FrameTag, LogEnd, LogKind, LogScan, PREAMBLE_BYTES, Preamble, varint};
use crate::fs::{Fs, read_head, read_whole};
use crate::limits::{MAX_COMMIT_BYTES, TIME_OP_BYTES};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::timeline::Stamp;
use crate::types::{FileNumber, Seq, StoreId};

/// Longest body of a commit frame: the largest commit and its time.
pub(super) const MAX_BODY_BYTES: usize = MAX_COMMIT_BYTES + TIME_OP_BYTES;

/// Receives the commits of the log.
pub(crate) trait Replay {
    /// The commit `seq`, whose operations follow, says this of its time.
    fn time(&mut self, seq: Seq, stamp: Stamp);
    /// One operation of the commit `seq`. Operations of a commit come together.
    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]);
    /// The commit `seq` is complete.
    fn commit(&mut self, seq: Seq) -> Result<()>;
}

/// Takes commits and does nothing with them.
pub(crate) struct Nowhere;

impl Replay for Nowhere {
    fn time(&mut self, _: Seq, _: Stamp) {}

    fn op(&mut self, _: Seq, _: OpKind, _: &[u8], _: &[u8]) {}

    fn commit(&mut self, _: Seq) -> Result<()> {
        Ok(())
    }
}

/// What replay found.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayEnd {
    /// Sequence of the last commit.
    pub(crate) last_seq: Seq,
    pub(crate) commits: u64,
    pub(crate) bytes: u64,
    /// Bytes that were discarded at the end of the newest segment, and where.
    pub(crate) discarded: Option<(PathBuf, u64)>,
    /// The log ends with the record of a clean close.
    pub(crate) clean_close: bool,
    /// Where the valid frames of the newest segment end.
    pub(crate) tail: u64,
    /// The segment with which the newest one that was read says that the log goes on.
    pub(super) continued: Option<FileNumber>,
}

/// Replays the segments `numbers` (ascending, the first being the one that the manifest names) onto a store whose
/// tables hold everything up to `covered`.
pub(crate) fn replay_segments(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    numbers: &[FileNumber],
    covered: Seq,
    sink: &mut dyn Replay,
) -> Result<ReplayEnd> {
    let mut end = ReplayEnd { last_seq: covered, ..ReplayEnd::default() };
    let segments = link_segments(fs, paths, store, numbers)?;
    for (index, segment) in segments.iter().enumerate() {
        let successor = segments.get(index + 1).map(|next| &next.preamble);
        // One segment at a time in memory.
        let bytes = read_whole(fs, &segment.path)?;
        replay_segment(segment, &bytes, successor, &mut end, sink)?;
    }
    match end.continued {
        Some(number) => {
            let what =
                "the log goes on with this segment, says the one before it, but it is missing or empty";
            Err(Error::corrupt(&paths.wal(number), 0, what).coded(FaultCode::Missing))
        }
        None => Ok(end),
    }
}

/// A segment whose preamble is right.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) preamble: Preamble,
}

/// Reads the preambles and links the segments. One may have died before its preamble was on disk, or have been the
/// first of an open that died before its manifest was current; then it held nothing.
fn link_segments(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    numbers: &[FileNumber],
) -> Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::with_capacity(numbers.len());
    for (index, &number) in numbers.iter().enumerate() {
        let path = paths.wal(number);
        let head = read_head(fs, &path, PREAMBLE_BYTES)?;
        let preamble = match Preamble::decode(&path, &head, LogKind::Wal, number, Some(store)) {
            Ok(preamble) => preamble,
            // The first segment was synced before the manifest named it, so its preamble must be right. A later one
            // without frames was being created when the store died or ran out of space; if it was more than that,
            // the next segment's link to it is missing now.
            Err(Error::Corrupt { .. }) if index > 0 && never_used(&read_whole(fs, &path)?) => {
                hit(Mark::SegmentWithoutPreamble);
                continue;
            }
            Err(error) => return Err(error),
        };
        if index > 0 && preamble.previous == FileNumber(0) {
            if never_used(&read_whole(fs, &path)?) && !planted::active(Bug::DeadRecoveryIsDamage) {
                continue;
            }
            let what = "the segment begins a log, but the manifest names an older one";
            return Err(Error::corrupt(&path, 56, what).coded(FaultCode::Link));
        }
        if let Some(before) = segments.last()
            && before.preamble.number != preamble.previous
        {
            let what = format!("the segment follows {}, which is missing", preamble.previous);
            return Err(Error::corrupt(&path, 56, what).coded(FaultCode::Link));
        }
        segments.push(Segment { path, preamble });
    }
    Ok(segments)
}

/// Frames are appended only after the preamble is synced, so a segment with a bad preamble and something behind it
/// has been damaged, while one without was being created when the store died.
pub(super) fn never_used(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE_BYTES..).is_none_or(|frames| frames.iter().all(|&byte| byte == 0))
}

pub(super) fn replay_segment(
    segment: &Segment,
    bytes: &[u8],
    successor: Option<&Preamble>,
    end: &mut ReplayEnd,
    sink: &mut dyn Replay,
) -> Result<()> {
    let limit = match successor {
        None => bytes.len(),
        Some(next) => usize::try_from(next.previous_end)
            .ok()
            .filter(|&limit| limit <= bytes.len())
            .ok_or_else(|| {
                hit(Mark::SegmentCutOff);
                let what = format!(
                    "the segment is cut off; the next one says that it reaches {}",
                    next.previous_end
                );
                Error::corrupt(&segment.path, bytes.len() as u64, what).coded(FaultCode::Frame)
            })?,
    };
    if limit < bytes.len() {
        hit(Mark::BytesBehindLink);
    }
    let mut scan = LogScan::new(&bytes[..limit], segment.preamble.salt(), MAX_BODY_BYTES);
    while let Some(frame) = scan.next().or_else(|| behind_bad_frame(&mut scan)) {
        // Segments behind it in which nothing lies are what an open that died has left.
        end.clean_close = frame.tag == FrameTag::CleanClose;
        match frame.tag {
            FrameTag::Commit => replay_commit(&segment.path, &frame, end, sink)?,
            FrameTag::CleanClose => check_close(&segment.path, &frame, end.last_seq)?,
            // Found only where no segment follows that says where this one ends.
            FrameTag::Continued => end.continued = Some(FileNumber(frame.number)),
            FrameTag::Edit => {
                let what = "a manifest edit in the log";
                return Err(Error::corrupt(&segment.path, frame.offset, what).coded(FaultCode::Frame));
            }
        }
    }
    let at = scan.offset();
    end.bytes += at - PREAMBLE_BYTES as u64;
    end.tail = at;
    match scan.end() {
        LogEnd::Clean if successor.is_none() => {
            if at < limit as u64 {
                hit(Mark::ZerosAtEnd);
            }
            Ok(())
        }
        LogEnd::Clean if at == limit as u64 => Ok(()),
        LogEnd::Torn { bytes } if successor.is_none() => {
            end.discarded = Some((segment.path.clone(), bytes));
            end.clean_close = false;
            hit(Mark::TornTail);
            Ok(())
        }
        LogEnd::Damaged { witness } => {
            hit(Mark::DamagedLog);
            let what = format!("no valid frame, although the frame at {witness} says this was on disk");
            Err(Error::corrupt(&segment.path, at, what).coded(FaultCode::Frame))
        }
        LogEnd::Clean | LogEnd::Torn { .. } => {
            let what = format!("no valid frame, although the next segment says that frames reach {limit}");
            Err(Error::corrupt(&segment.path, at, what).coded(FaultCode::Frame))
        }
    }
}

/// The record of a clean close names the newest commit; if that is not there, something before it is lost.
fn check_close(path: &Path, frame: &Frame<'_>, last: Seq) -> Result<()> {
    if frame.number == last.get() {
        return Ok(());
    }
    let what = format!("the store was closed after commit {}, but the newest one is {last}", frame.number);
    Err(Error::corrupt(path, frame.offset, what).coded(FaultCode::Sequence))
}

pub(super) fn replay_commit(
    path: &Path,
    frame: &Frame<'_>,
    end: &mut ReplayEnd,
    sink: &mut dyn Replay,
) -> Result<()> {
    let damaged = |code, what: &str| Error::corrupt(path, frame.offset, what).coded(code);
    let expected =
        end.last_seq.checked_add(1).ok_or_else(|| damaged(FaultCode::Sequence, "sequences are exhausted"))?;
    let expected = planted_sequence(frame, end.last_seq).unwrap_or(expected);
    if frame.number != expected.get() {
        let what = format!("commit {} where {expected} was expected", frame.number);
        return Err(damaged(FaultCode::Sequence, &what));
    }
    let (mut body, mut ops) = (frame.body, frame.count);
    if planted::active(Bug::CountBelieved) {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(ops as usize)));
    }
    if body.first() == Some(&TAG_TIME) && ops > 0 {
        let stamp =
            take_time(&mut body).ok_or_else(|| damaged(FaultCode::Frame, "a time that cannot be read"))?;
        sink.time(expected, stamp);
        ops -= 1;
    }
    for _ in 0..ops {
        let (kind, key, value) = take_op(&mut body)
            .ok_or_else(|| damaged(FaultCode::Frame, "an operation that cannot be read"))?;
        sink.op(expected, kind, key, value);
    }
    if !body.is_empty() {
        return Err(damaged(FaultCode::Frame, "bytes behind the last operation"));
    }
    sink.commit(expected)?;
    end.last_seq = expected;
    end.commits += 1;
    Ok(())
}

/// The next frame behind one that does not verify, with [`Bug::BadFrameSkipped`].
fn behind_bad_frame<'a>(scan: &mut LogScan<'a>) -> Option<Frame<'a>> {
    (planted::active(Bug::BadFrameSkipped) && scan.skip_damage()).then(|| scan.next()).flatten()
}

/// The sequence of a frame with which planted bugs are content.
fn planted_sequence(frame: &Frame<'_>, last: Seq) -> Option<Seq> {
    let gap = planted::active(Bug::BadFrameSkipped) && frame.number > last.get();
    let piece = planted::active(Bug::CommitInPieces) && frame.number == last.get();
    (gap || piece).then(|| Seq::new(frame.number)).flatten()
}

fn take_time(body: &mut &[u8]) -> Option<Stamp> {
    varint::take_slice(body, 1)?;
    let mut time = || varint::take(body).map(Timestamp::from_millis);
    Some(Stamp { settled: time()?, at: time()? })
}

fn take_op<'a>(body: &mut &'a [u8]) -> Option<(OpKind, &'a [u8], &'a [u8])> {
    match varint::take_slice(body, 1)?[0] {
        TAG_PUT => {
            let key = varint::take_bytes(body)?;
            Some((OpKind::Put, key, varint::take_bytes(body)?))
        }
        TAG_DELETE_RANGE => {
            let start = varint::take_bytes(body)?;
            Some((OpKind::DeleteRange, start, varint::take_bytes(body)?))
        }
        TAG_DELETE => Some((OpKind::Delete, varint::take_bytes(body)?, &[])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::WriteBatch;
    use crate::fs::RealFs;
    use crate::metrics::Counters;
    use crate::wal::WalWriter;

    #[derive(Default)]
    struct Told(Vec<(u64, u64, u64)>, u64);

    impl Replay for Told {
        fn time(&mut self, seq: Seq, stamp: Stamp) {
            self.0.push((seq.get(), stamp.settled.millis(), stamp.at.millis()));
        }

        fn op(&mut self, _: Seq, _: OpKind, _: &[u8], _: &[u8]) {
            self.1 += 1;
        }

        fn commit(&mut self, _: Seq) -> Result<()> {
            Ok(())
        }
    }

    /// A segment with one commit, written out by hand from `docs/format.md`; its checksums come from elsewhere, too.
    fn by_hand() -> Vec<u8> {
        [
            // Preamble: magic, version 1, its length, store, number 1.
            &b"FSWAL\0\0\x01\x01\0\0\0\x60\0\0\0"[..],
            &[1; 16],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            // No features, continues none, every sequence is at least 1; twelve zeros and the checksum.
            &[0; 32],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0; 12],
            b"\xF6\x79\xC4\x6C",
            // A commit: 22 bytes, sequence 1, everything before it is on disk, three operations; checksum.
            b"\xB1\x16\x01\x00\x03\x50\x36\xE5\x3C",
            b"\x01\x03key\x05value",
            b"\x02\x04gone",
            b"\x03\x01a\x01b",
            b"\x72\x29\xB6\x4E",
        ]
        .concat()
    }

    /// Remembers every operation.
    #[derive(Default)]
    struct Ops(Vec<(u64, OpKind, Vec<u8>, Vec<u8>)>);

    impl Replay for Ops {
        fn time(&mut self, _: Seq, _: Stamp) {}

        fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
            self.0.push((seq.get(), kind, key.to_vec(), value.to_vec()));
        }

        fn commit(&mut self, _: Seq) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_segment_is_written_and_read_byte_by_byte_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path());
        RealFs.create_dir(&paths.wal_dir()).unwrap();
        let (store, number) = (StoreId([1; 16]), FileNumber(1));
        let (fs, counters) = (Arc::new(RealFs), Arc::new(Counters::default()));
        let begin = (number, Seq::new(1).unwrap());
        let mut wal = WalWriter::create(fs, paths.clone(), store, counters, begin).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(b"key", b"value").unwrap();
        batch.delete(b"gone").unwrap();
        batch.delete_range(&crate::KeyRange { start: b"a".to_vec(), end: Some(b"b".to_vec()) }).unwrap();
        wal.encode(&batch, Seq::new(1).unwrap(), None);
        wal.write_out().unwrap();
        drop(wal);
        let path = paths.wal(number);
        assert_eq!(read_whole(&RealFs, &path).unwrap(), by_hand());

        std::fs::write(&path, by_hand()).unwrap();
        let mut told = Ops::default();
        let end = replay_segments(&RealFs, &paths, store, &[number], Seq::ZERO, &mut told).unwrap();
        assert_eq!((end.commits, end.last_seq.get()), (1, 1));
        let expected = [
            (1, OpKind::Put, b"key".to_vec(), b"value".to_vec()),
            (1, OpKind::Delete, b"gone".to_vec(), Vec::new()),
            (1, OpKind::DeleteRange, b"a".to_vec(), b"b".to_vec()),
        ];
        assert_eq!(told.0, expected);
    }

    #[test]
    fn the_time_of_a_commit_comes_before_its_operations_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path());
        RealFs.create_dir(&paths.wal_dir()).unwrap();
        let (store, number) = (StoreId([1; 16]), FileNumber(1));
        let begin = (number, Seq::new(1).unwrap());
        let (fs, counters) = (Arc::new(RealFs), Arc::new(Counters::default()));
        let mut wal = WalWriter::create(fs, paths.clone(), store, counters, begin).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"v").unwrap();
        let stamp =
            Stamp { settled: Timestamp::from_millis(300), at: Timestamp::from_millis(1_790_000_000_000) };
        wal.encode(&batch, Seq::new(1).unwrap(), Some(stamp));
        wal.encode(&batch, Seq::new(2).unwrap(), None);
        wal.write_out().unwrap();
        let bytes = read_whole(&RealFs, &paths.wal(number)).unwrap();
        let body = b"\x04\xAC\x02\x80\xD8\xC1\xA2\x8C\x34\x01\x01k\x01v";
        let begin = [0xB1, body.len() as u8, 1, 0, 2];
        assert_eq!(bytes[PREAMBLE_BYTES..][..begin.len()], begin);
        assert_eq!(bytes[PREAMBLE_BYTES + begin.len() + 4..][..body.len()], *body);
        let mut told = Told::default();
        let end = replay_segments(&RealFs, &paths, store, &[number], Seq::ZERO, &mut told).unwrap();
        assert_eq!((told.0, told.1, end.commits), (vec![(1, 300, 1_790_000_000_000)], 2, 2));
    }
}
