//! Reads a log that nobody has open as far as it can be read, and goes on behind what is bad.
//!
//! Recovery stops at the first damage, because it must not serve a state with a hole in it. Whoever wants to know all
//! faults of a store, or to save what is left of it, wants the rest of the log, too. Nothing is written here.

use std::path::{Path, PathBuf};

use super::replay::{MAX_BODY_BYTES, Replay, never_used, replay_commit};
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::files::StorePaths;
use crate::format::{FileSalt, Frame, FrameTag, LogEnd, LogKind, LogScan, Preamble};
use crate::fs::{Fs, read_whole};
use crate::marks::{Mark, hit};
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::ReplayEnd;

/// What was found in one segment.
#[derive(Debug)]
pub(crate) struct SegmentSurvey {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) commits: u64,
    pub(crate) faults: Vec<Fault>,
}

impl SegmentSurvey {
    /// Fails for a segment of a later format, which this version must not judge.
    pub(crate) fn refuse_newer(&self) -> Result<()> {
        match self.faults.iter().find(|fault| fault.code == FaultCode::NewerFormat) {
            Some(fault) => Err(Error::Newer { path: self.path.clone(), what: fault.found.clone() }),
            None => Ok(()),
        }
    }
}

/// Commits that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostCommits {
    /// Where they should be, or the place at which they turn out to be missing.
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Bytes that should hold them; 0 when that is not known.
    pub(crate) bytes: u64,
    pub(crate) first: Seq,
    /// [`Seq::MAX`] when nothing tells how many there were.
    pub(crate) last: Seq,
}

/// What was found in a log.
#[derive(Debug, Default)]
pub(crate) struct LogSurvey {
    pub(crate) segments: Vec<SegmentSurvey>,
    /// The newest commit that could be read, or that tables cover.
    pub(crate) last_seq: Seq,
    /// Commits that could be read.
    pub(crate) commits: u64,
    /// Commits that were there once and could not be read.
    pub(crate) lost: Vec<LostCommits>,
    /// The end of the newest segment that recovery would discard: path, offset, bytes.
    pub(crate) torn: Option<(PathBuf, u64, u64)>,
    /// The log ends with the record of a clean close.
    pub(crate) clean_close: bool,
    /// The newest segment says that the log goes on with this one, which is missing or empty.
    pub(crate) missing: Option<FileNumber>,
}

/// Reads the segments `numbers`, ascending, of a store whose tables hold everything up to `covered`, or up to where the
/// log begins if that is not known. Commits that can be read go to `sink`, in order.
pub(crate) fn survey_log(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    numbers: &[FileNumber],
    covered: Option<Seq>,
    sink: &mut dyn Replay,
) -> LogSurvey {
    let mut walk = Walk { log: LogSurvey::default(), end: ReplayEnd::default(), hole: None };
    let mut before: Option<FileNumber> = None;
    let mut next = numbers.first().map(|&number| read(fs, paths, store, number));
    let begin = covered.or_else(|| next.as_ref().and_then(Segment::sequence_before));
    walk.log.last_seq = begin.unwrap_or_default();
    for index in 0..numbers.len() {
        let Some(mut segment) = next.take() else { break };
        next = numbers.get(index + 1).map(|&number| read(fs, paths, store, number));
        // What was being created when the store died is nobody's loss, and no link in the chain.
        if segment.unused && index > 0 {
            continue;
        }
        segment.check_link(before);
        before = Some(segment.number);
        let reach = match &next {
            Some(next) if !next.unused => {
                next.preamble.map_or(Reach::Unknown, |next| Reach::To(next.previous_end))
            }
            _ => Reach::Open,
        };
        walk.segment(segment, reach, sink);
    }
    walk.rest();
    walk.log
}

/// How far the frames of a segment reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It is the newest: as far as they verify.
    Open,
    /// Up to here, says the next segment.
    To(u64),
    /// There is a next segment, and it cannot say.
    Unknown,
}

/// A segment in memory.
struct Segment {
    number: FileNumber,
    path: PathBuf,
    bytes: Vec<u8>,
    salt: FileSalt,
    preamble: Option<Preamble>,
    /// It was never written to, and nothing says that it continues another.
    unused: bool,
    faults: Vec<Fault>,
}

fn read(fs: &dyn Fs, paths: &StorePaths, store: StoreId, number: FileNumber) -> Segment {
    let path = paths.wal(number);
    let salt = FileSalt::new(store, number);
    let (bytes, mut faults) = match read_whole(fs, &path) {
        Ok(bytes) => (bytes, Vec::new()),
        Err(error) => (Vec::new(), vec![Fault::from(&error)]),
    };
    let readable = faults.is_empty();
    let preamble = match Preamble::decode(&path, &bytes, LogKind::Wal, number, Some(store)) {
        Ok(preamble) => Some(preamble),
        Err(error) => {
            faults.extend(readable.then(|| Fault::from(&error)));
            None
        }
    };
    let begins_log = preamble.is_none_or(|preamble| preamble.previous == FileNumber(0));
    let unused = readable && begins_log && never_used(&bytes);
    Segment { number, path, bytes, salt, preamble, unused, faults }
}

impl Segment {
    /// The sequence before that of the first commit.
    fn sequence_before(&self) -> Option<Seq> {
        let first = LogScan::new(&self.bytes, self.salt, MAX_BODY_BYTES).next().map(|frame| frame.number);
        let begin = first.or(self.preamble.map(|preamble| preamble.first_seq.get()))?;
        Seq::new(begin.saturating_sub(1))
    }

    fn check_link(&mut self, before: Option<FileNumber>) {
        let (Some(before), Some(preamble)) = (before, self.preamble) else { return };
        if preamble.previous != before {
            let found =
                format!("the segment follows {}, but the one before it is {before}", preamble.previous);
            self.faults.push(Fault { offset: 56, code: FaultCode::Link, found });
        }
    }
}

struct Walk {
    log: LogSurvey,
    /// What the decoder of commits wants to count in.
    end: ReplayEnd,
    /// Bytes that should hold frames and hold none, behind the last commit that was read: file, offset, length.
    hole: Option<(PathBuf, u64, u64)>,
}

impl Walk {
    fn segment(&mut self, mut segment: Segment, reach: Reach, sink: &mut dyn Replay) {
        let mut survey = SegmentSurvey {
            path: segment.path.clone(),
            bytes: segment.bytes.len() as u64,
            commits: 0,
            faults: std::mem::take(&mut segment.faults),
        };
        let mut seen = false;
        let end = match reach {
            Reach::To(end) => {
                usize::try_from(end).map_or(segment.bytes.len(), |end| end.min(segment.bytes.len()))
            }
            Reach::Open | Reach::Unknown => segment.bytes.len(),
        };
        let bytes = &segment.bytes[..end];
        let mut scan = LogScan::new(bytes, segment.salt, MAX_BODY_BYTES);
        loop {
            while let Some(frame) = scan.next() {
                self.frame(&mut survey, &frame, sink);
                seen = true;
            }
            let at = scan.offset();
            if scan.skip_damage() {
                let bytes = scan.offset() - at;
                self.hole = Some((survey.path.clone(), at, bytes));
                let found =
                    format!("no valid frame in {bytes} bytes, although one follows at {}", scan.offset());
                survey.faults.push(Fault { offset: at, code: FaultCode::Frame, found });
            } else {
                self.tail(&mut survey, &scan, reach);
                break;
            }
        }
        if segment.preamble.is_none() && !seen {
            self.hole = Some((survey.path.clone(), 0, survey.bytes));
        }
        self.log.commits += survey.commits;
        self.log.segments.push(survey);
    }

    fn frame(&mut self, survey: &mut SegmentSurvey, frame: &Frame<'_>, sink: &mut dyn Replay) {
        let mut fault = |code, found: String| survey.faults.push(Fault { offset: frame.offset, code, found });
        self.log.clean_close = frame.tag == FrameTag::CleanClose;
        let last = self.log.last_seq.get();
        match frame.tag {
            FrameTag::Commit if frame.number <= last => {
                fault(FaultCode::Sequence, format!("commit {} behind commit {last}", frame.number));
            }
            FrameTag::Commit => {
                let before = Seq::new(frame.number - 1).unwrap_or(Seq::MAX);
                if let Some(first) = self.log.last_seq.checked_add(1).filter(|first| *first <= before) {
                    fault(FaultCode::Sequence, format!("commit {} where {first} was due", frame.number));
                    self.lose(&survey.path, frame.offset, first, before);
                }
                self.hole = None;
                self.end.last_seq = before;
                match replay_commit(&survey.path, frame, &mut self.end, sink) {
                    Ok(()) => survey.commits += 1,
                    Err(error) => {
                        hit(Mark::CommitUnreadable);
                        survey.faults.push(Fault::from(&error));
                        let seq = Seq::new(frame.number).unwrap_or(Seq::MAX);
                        self.lose(&survey.path, frame.offset, seq, seq);
                    }
                }
                self.log.last_seq = Seq::new(frame.number).unwrap_or(Seq::MAX);
            }
            FrameTag::CleanClose if frame.number != last => {
                fault(FaultCode::Sequence, format!("closed after commit {}, not {last}", frame.number));
                if let Some((first, closed)) = self.log.last_seq.checked_add(1).zip(Seq::new(frame.number))
                    && first <= closed
                {
                    self.lose(&survey.path, frame.offset, first, closed);
                }
            }
            FrameTag::CleanClose => self.hole = None,
            FrameTag::Continued => self.log.missing = Some(FileNumber(frame.number)),
            FrameTag::Edit => fault(FaultCode::Frame, "a manifest edit in the log".to_owned()),
        }
    }

    /// Notes lost commits: in the hole before, if there is one, or missing at this place.
    fn lose(&mut self, path: &Path, offset: u64, first: Seq, last: Seq) {
        let (path, offset, bytes) = self.hole.take().unwrap_or_else(|| (path.to_path_buf(), offset, 0));
        self.log.lost.push(LostCommits { path, offset, bytes, first, last });
    }

    /// What is missing at the end: nothing behind it tells how much.
    fn rest(&mut self) {
        let Some((path, offset, bytes)) = self.hole.take() else { return };
        let first = self.log.last_seq.checked_add(1).unwrap_or(Seq::MAX);
        self.log.lost.push(LostCommits { path, offset, bytes, first, last: Seq::MAX });
    }

    /// Judges what lies behind the last valid frame.
    fn tail(&mut self, survey: &mut SegmentSurvey, scan: &LogScan<'_>, reach: Reach) {
        let at = scan.offset();
        let end = scan.end();
        let found = match (end, reach) {
            (LogEnd::Damaged { witness }, _) => {
                format!("no valid frame, although the one at {witness} says that this was on disk")
            }
            (_, Reach::To(end)) if end != at => {
                format!("no valid frame, although the next segment says that frames reach {end}")
            }
            (LogEnd::Torn { bytes }, Reach::Open) => {
                self.log.torn = Some((survey.path.clone(), at, bytes));
                self.log.clean_close = false;
                return;
            }
            _ => return,
        };
        self.hole = Some((survey.path.clone(), at, survey.bytes.saturating_sub(at)));
        survey.faults.push(Fault { offset: at, code: FaultCode::Frame, found });
    }
}
