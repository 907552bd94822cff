//! Finds the frames in a log that is sound. Written after the description of the format, and independent of the engine.

/// Where frames begin.
pub(super) const PREAMBLE: usize = 96;
/// The tag of a commit.
pub(super) const COMMIT: u8 = 0xB1;

/// A frame.
pub(super) struct Frame {
    pub(super) tag: u8,
    /// Sequence of a commit.
    pub(super) number: u64,
    pub(super) at: usize,
    /// Up to where the log was on disk when it was written.
    pub(super) durable_upto: usize,
    /// Bytes of its head under the head's checksum, which follows them.
    pub(super) head: usize,
    pub(super) end: usize,
}

/// The frames of a log, up to the first bytes that hold none.
pub(super) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut found: Vec<Frame> = Vec::new();
    while let Some(frame) = frame_at(bytes, found.last().map_or(PREAMBLE, |last| last.end)) {
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
    let (number, back, _) = (varint()?, varint()?, varint()?);
    let durable_upto = at.checked_sub(usize::try_from(back).ok()?)?;
    let end = next.checked_add(4)?.checked_add(body)?.checked_add(4)?;
    (matches!(tag, 0xB1..=0xB3 | 0xE1) && end <= bytes.len()).then_some(Frame {
        tag,
        number,
        at,
        durable_upto,
        head: next - at,
        end,
    })
}
