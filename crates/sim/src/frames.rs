//! Finds the frames in a log or a manifest. Written after the description of the format, and independent of the engine.

use std::ops::Range;

/// Where frames begin.
pub(crate) const PREAMBLE: usize = 96;
/// The tag of a commit.
pub(crate) const COMMIT: u8 = 0xB1;
/// The tag of an edit of a manifest.
pub(crate) const EDIT: u8 = 0xE1;
/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;

/// A frame.
pub(crate) struct Frame {
    pub(crate) tag: u8,
    /// Sequence of a commit.
    pub(crate) number: u64,
    /// Operations of a commit, fields of an edit.
    pub(crate) count: u64,
    pub(crate) at: usize,
    /// Up to where the log was on disk when it was written.
    pub(crate) durable_upto: usize,
    /// Bytes of its head under the head's checksum, which follows them.
    pub(crate) head: usize,
    pub(crate) end: usize,
}

impl Frame {
    /// Where its body lies.
    pub(crate) fn body(&self) -> Range<usize> {
        self.at + self.head + CHECKSUM..self.end - CHECKSUM
    }
}

/// The frames of a file, up to the first bytes that hold none.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    frames_from(bytes, PREAMBLE)
}

/// Those of them from an offset on, at which one must begin.
pub(crate) fn frames_from(bytes: &[u8], from: usize) -> Vec<Frame> {
    let mut found: Vec<Frame> = Vec::new();
    while let Some(frame) = frame_at(bytes, found.last().map_or(from, |last| last.end)) {
        found.push(frame);
    }
    found
}

fn frame_at(bytes: &[u8], at: usize) -> Option<Frame> {
    let tag = *bytes.get(at)?;
    let mut next = at + 1;
    let mut varint = || {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(next)?;
            next += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    let body = usize::try_from(varint()?).ok()?;
    let (number, back, count) = (varint()?, varint()?, varint()?);
    let durable_upto = at.checked_sub(usize::try_from(back).ok()?)?;
    let end = next.checked_add(CHECKSUM)?.checked_add(body)?.checked_add(CHECKSUM)?;
    (matches!(tag, 0xB1..=0xB3 | EDIT) && end <= bytes.len()).then_some(Frame {
        tag,
        number,
        count,
        at,
        durable_upto,
        head: next - at,
        end,
    })
}
