//! Checks the log segments of an open store. Nothing is replayed or written.

use std::path::PathBuf;

use super::replay::{MAX_BODY_BYTES, Nowhere, ReplayEnd, Segment, replay_segment};
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::StorePaths;
use crate::format::{LogKind, LogScan, PREAMBLE_BYTES, Preamble};
use crate::fs::{Fs, read_head, read_whole};
use crate::types::{FileNumber, Seq, StoreId};

/// What was found in one segment.
pub(crate) struct SegmentCheck {
    pub(crate) path: PathBuf,
    /// Bytes that were to be checked.
    pub(crate) bytes: u64,
    /// Commits that are sound.
    pub(crate) commits: u64,
    pub(crate) fault: Option<Error>,
}

/// Checks the segments `numbers`, ascending and without a gap, of which the last is written up to `newest_end`.
pub(crate) fn check_segments(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    numbers: &[FileNumber],
    newest_end: u64,
) -> Vec<SegmentCheck> {
    let mut checks = Vec::with_capacity(numbers.len());
    for (index, &number) in numbers.iter().enumerate() {
        let mut check = SegmentCheck { path: paths.wal(number), bytes: 0, commits: 0, fault: None };
        let place = Place { number, next: numbers.get(index + 1).copied(), oldest: index == 0, newest_end };
        check.fault = check_segment(fs, paths, store, place, &mut check).err();
        checks.push(check);
    }
    checks
}

/// A segment among the others.
#[derive(Clone, Copy)]
struct Place {
    number: FileNumber,
    next: Option<FileNumber>,
    oldest: bool,
    newest_end: u64,
}

fn check_segment(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    place: Place,
    check: &mut SegmentCheck,
) -> Result<()> {
    let path = &check.path;
    let mut bytes = read_whole(fs, path)?;
    let preamble = Preamble::decode(path, &bytes, LogKind::Wal, place.number, Some(store))?;
    let next = place.next.map(|next| read_preamble(fs, paths, store, next)).transpose();
    if place.next.is_none() {
        // Behind its written end, others are appending right now.
        bytes.truncate(usize::try_from(place.newest_end).unwrap_or(usize::MAX));
    }
    check.bytes = bytes.len() as u64;
    let mut end =
        ReplayEnd { last_seq: sequence_before(&preamble, &bytes, place.oldest), ..Default::default() };
    let segment = Segment { path: path.clone(), preamble };
    // If the next segment cannot be read, that is its own fault, and only the end of this one is not known.
    let successor = next.as_ref().ok().and_then(Option::as_ref);
    let replayed = replay_segment(&segment, &bytes, successor, &mut end, &mut Nowhere);
    check.commits = end.commits;
    replayed?;
    if place.next.is_none() && end.tail != place.newest_end {
        let what = format!("no valid frame, although {} bytes were written", place.newest_end);
        return Err(Error::corrupt(path, end.tail, what).coded(FaultCode::Frame));
    }
    Ok(())
}

fn read_preamble(fs: &dyn Fs, paths: &StorePaths, store: StoreId, number: FileNumber) -> Result<Preamble> {
    let path = paths.wal(number);
    Preamble::decode(&path, &read_head(fs, &path, PREAMBLE_BYTES)?, LogKind::Wal, number, Some(store))
}

/// The sequence that the first commit of the segment follows. Only of the oldest segment may tables cover a part: a
/// bulk ingest takes a sequence without a frame, and leaves no older segment behind.
fn sequence_before(preamble: &Preamble, bytes: &[u8], oldest: bool) -> Seq {
    let mut first = preamble.first_seq.get();
    if oldest && let Some(frame) = LogScan::new(bytes, preamble.salt(), MAX_BODY_BYTES).next() {
        first = first.max(frame.number);
    }
    Seq::new(first.saturating_sub(1)).unwrap_or(Seq::MAX)
}
