//! What the end of a log can be without anybody noticing.
//!
//! A log that ends early, or in zeros, is what a crash before the last appends leaves; nothing in it can tell that from
//! the loss of those appends. So an unclean store whose newest segment was cut off there, or became zeros, opens as of the
//! commit before, which is all that can be asked of it. The documents say so.

use std::path::Path;

use crate::frames::{COMMIT, Frame, PREAMBLE, frames};
use crate::golden::{Base, Image};

/// What may be left of the log of a store that was not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it, or nothing: damage that the log itself shows.
    All,
    /// Up to this commit, and recovery says that it discarded the rest: no frame that is left tells that what is bad was
    /// on disk once.
    Torn(u64),
    /// Up to this commit: the log looks as if it had never had more.
    Ended(u64),
}

/// What may be left, from what became of the newest segments.
pub(super) fn what_is_left(base: &Base, files: &Image) -> Left {
    let mut segments = base.files.iter().rev().filter(|(path, _)| path.starts_with("wal")).peekable();
    while let Some((path, whole)) = segments.next() {
        let left = files.get(path).map_or(&[][..], |left| left);
        let is_first = segments.peek().is_none();
        if left.get(..PREAMBLE) == whole.get(..PREAMBLE) {
            return what_is_left_of(whole, left);
        }
        // One that seems never to have been used is as good as none; the first one is named by the manifest.
        if is_first || left.iter().skip(PREAMBLE).any(|&byte| byte != 0) {
            break;
        }
    }
    Left::All
}

/// What may be left of a segment behind which none is seen.
fn what_is_left_of(whole: &[u8], left: &[u8]) -> Left {
    let all = frames(whole);
    let same = |from: usize, to: usize| left.get(from..to) == whole.get(from..to);
    let Some(first) = all.iter().position(|frame| !same(frame.at, frame.end)) else { return Left::All };
    let bad = all[first].at;
    // The preamble says with which commit the segment begins.
    let begin = whole[72..].first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    let commits = all[..first].iter().rfind(|frame| frame.tag == COMMIT);
    let last = commits.map_or(begin.saturating_sub(1), |frame| frame.number);
    if left.get(bad..).is_none_or(|rest| rest.iter().all(|&byte| byte == 0)) {
        return Left::Ended(last);
    }
    // The head of a frame is enough to tell, with the checksum behind it.
    let tells = |frame: &Frame| frame.durable_upto > bad && same(frame.at, frame.at + frame.head + 4);
    if all[first..].iter().any(tells) { Left::All } else { Left::Torn(last) }
}

/// Whether the store differs only in that its manifest or its log ends earlier, as after a crash.
pub(super) fn ends_earlier(base: &Base, files: &Image) -> bool {
    base.files.len() == files.len()
        && base.files.iter().zip(files).all(|((path, before), (other, after))| {
            let is_log = path.starts_with("wal") || path.to_string_lossy().starts_with("MANIFEST");
            let kept = after.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            path == other && (before == after || (is_log && before.starts_with(&after[..kept])))
        })
}

/// Whether the changes touch only bytes that mean nothing: behind the frames of a segment that another one follows, or
/// zeros at the end of the newest segment or of the manifest.
pub(super) fn only_dead_bytes(base: &Base, files: &Image) -> bool {
    if base.files.len() != files.len() {
        return false;
    }
    base.files.iter().zip(files).all(|((path, before), (other, after))| {
        let is_log = path.starts_with("wal") || path.to_string_lossy().starts_with("MANIFEST");
        path == other
            && (before == after
                || (is_log && meaningful(base, path, before) == meaningful(base, path, after)))
    })
}

/// The part of a log that means something.
fn meaningful<'a>(base: &Base, path: &Path, bytes: &'a [u8]) -> &'a [u8] {
    // The next segment says where this one ends.
    let next = base.files.range(path.to_path_buf()..).nth(1).filter(|(next, _)| next.starts_with("wal"));
    let end =
        next.and_then(|(_, next)| next.get(64..)?.first_chunk().map(|end| u64::from_le_bytes(*end) as usize));
    match end {
        Some(end) if path.starts_with("wal") => &bytes[..end.min(bytes.len())],
        _ => &bytes[..bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)],
    }
}
