//! Frames, the all-or-nothing records of WAL segments and manifests. See `docs/format.md`, sections 1.3 and 1.4.
//!
//! A frame is `BEGIN body COMMIT`; without a valid `COMMIT` it does not exist. Every frame also says up to where its
//! file was known to be synced when it was written, which is what tells a torn tail from damage: bytes that a later
//! frame vouches for were on disk once, so if they are bad now, they have rotted.

use super::checksum::{OFFSET_BYTES, crc_continued};
use super::{FileSalt, PREAMBLE_BYTES, varint};
use crate::planted::{self, Bug};

const CRC_BYTES: usize = 4;
/// Longest `BEGIN`: tag, four integers and checksum.
const MAX_BEGIN_BYTES: usize = 1 + 4 * varint::MAX_VARINT_BYTES + CRC_BYTES;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameTag {
    Commit = 0xB1,
    CleanClose = 0xB2,
    Continued = 0xB3,
    Edit = 0xE1,
}

impl FrameTag {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0xB1 => Some(Self::Commit),
            0xB2 => Some(Self::CleanClose),
            0xB3 => Some(Self::Continued),
            0xE1 => Some(Self::Edit),
            _ => None,
        }
    }
}

/// A frame as read from a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: FrameTag,
    /// Sequence of the commit, or number of the edit.
    pub(crate) number: u64,
    /// Operations or fields in the body.
    pub(crate) count: u32,
    pub(crate) body: &'a [u8],
    /// Where the frame begins in the file.
    pub(crate) offset: u64,
}

/// The parts of `BEGIN` that are not the body.
#[derive(Clone, Copy, Debug)]
struct Begin {
    tag: FrameTag,
    /// Its own length, checksum included.
    len: usize,
    body_len: usize,
    number: u64,
    durable_upto: u64,
    count: u32,
    crc: u32,
}

/// Appends a frame that will lie at `offset` of the file to `out`; `body` writes its body.
///
/// `BEGIN` states the length of the body, so it is made when that is known, and the body then moved out of its way.
/// Its checksum covers the same bytes as the one of the whole frame begins with, so that one goes on from it.
pub(crate) fn append_frame(
    out: &mut Vec<u8>,
    salt: FileSalt,
    offset: u64,
    (tag, number, count): (FrameTag, u64, u32),
    durable_upto: u64,
    body: impl FnOnce(&mut Vec<u8>),
) {
    debug_assert!(durable_upto <= offset, "what is not written cannot be synced");
    let start = out.len();
    body(out);
    let body_len = out.len() - start;
    let mut room = [0; OFFSET_BYTES + MAX_BEGIN_BYTES];
    room[OFFSET_BYTES] = tag as u8;
    let mut end = OFFSET_BYTES + 1;
    for value in [body_len as u64, number, offset.saturating_sub(durable_upto), u64::from(count)] {
        end += varint::put_in_front(&mut room[end..], value);
    }
    let crc = salt.crc_behind_offset(offset, &mut room[..end]);
    room[end..][..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    let begin = &room[OFFSET_BYTES..end + CRC_BYTES];
    out.extend_from_slice(begin);
    out.copy_within(start..start + body_len, start + begin.len());
    out[start..][..begin.len()].copy_from_slice(begin);
    let crc = crc_continued(crc, &out[start + begin.len() - CRC_BYTES..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// How the readable part of a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// Nothing but zeros follows.
    Clean,
    /// This many bytes follow that nobody vouches for: an append that was cut short.
    Torn { bytes: u64 },
    /// The frame at this offset vouches for bytes that are bad.
    Damaged { witness: u64 },
}

/// Reads the frames of a whole file in order, up to the first offset that does not hold a valid one.
pub(crate) struct LogScan<'a> {
    file: &'a [u8],
    salt: FileSalt,
    at: usize,
    max_body: usize,
}

impl<'a> LogScan<'a> {
    /// `file` is the whole file, preamble included; bodies longer than `max_body` are invalid.
    pub(crate) fn new(file: &'a [u8], salt: FileSalt, max_body: usize) -> Self {
        Self { file, salt, at: PREAMBLE_BYTES, max_body }
    }

    /// Offset of the first byte not yet read; after the last frame, where the valid frames end.
    pub(crate) fn offset(&self) -> u64 {
        self.at as u64
    }

    /// The next frame, or `None` at the first offset that holds no valid frame.
    pub(crate) fn next(&mut self) -> Option<Frame<'a>> {
        let begin = self.begin_at(self.at)?;
        let body_at = self.at + begin.len;
        let commit_at = body_at.checked_add(begin.body_len)?;
        let commit = self.file.get(commit_at..commit_at.checked_add(CRC_BYTES)?)?;
        let crc = crc_continued(begin.crc, &self.file[body_at - CRC_BYTES..commit_at]).to_le_bytes();
        if commit != crc && !planted::active(Bug::FrameUnchecked) {
            return None;
        }
        let frame = Frame {
            tag: begin.tag,
            number: begin.number,
            count: begin.count,
            body: &self.file[body_at..commit_at],
            offset: self.at as u64,
        };
        self.at = commit_at + CRC_BYTES;
        Some(frame)
    }

    /// Moves on from bad bytes to the next valid frame; false if there is none.
    pub(crate) fn skip_damage(&mut self) -> bool {
        let bad = self.at;
        while self.at < self.file.len() {
            self.at += 1;
            let found = self.at;
            if self.next().is_some() {
                self.at = found;
                return true;
            }
        }
        self.at = bad;
        false
    }

    /// Judges what lies behind the last valid frame.
    pub(crate) fn end(&self) -> LogEnd {
        let tail = &self.file[self.at.min(self.file.len())..];
        if tail.iter().all(|&byte| byte == 0) {
            return LogEnd::Clean;
        }
        let bad = self.at as u64;
        let mut at = self.at;
        while at < self.file.len() {
            if self.begin_at(at).is_some_and(|begin| begin.durable_upto > bad)
                && !planted::active(Bug::DamageIsTornTail)
            {
                return LogEnd::Damaged { witness: at as u64 };
            }
            at += 1;
        }
        LogEnd::Torn { bytes: tail.len() as u64 }
    }

    fn begin_at(&self, at: usize) -> Option<Begin> {
        let bytes = self.file.get(at..)?;
        let tag = FrameTag::from_byte(*bytes.first()?)?;
        let mut rest = &bytes[1..];
        let body_len = usize::try_from(varint::take(&mut rest)?).ok()?;
        let number = varint::take(&mut rest)?;
        let durable_upto = (at as u64).checked_sub(varint::take(&mut rest)?)?;
        let count = u32::try_from(varint::take(&mut rest)?).ok()?;
        let checked = bytes.len() - rest.len();
        let stored = varint::take_slice(&mut rest, CRC_BYTES)?;
        let crc = self.salt.crc(at as u64, &bytes[..checked]);
        if stored != crc.to_le_bytes() || body_len > self.max_body {
            return None;
        }
        Some(Begin { tag, len: checked + CRC_BYTES, body_len, number, durable_upto, count, crc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FileNumber, StoreId};

    const MAX_BODY: usize = 1 << 16;

    fn salt() -> FileSalt {
        FileSalt::new(StoreId([5; 16]), FileNumber(3))
    }

    /// A file with one frame per body; each frame vouches for everything before the frame before it.
    fn file_with(bodies: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let mut file = vec![0; PREAMBLE_BYTES];
        let mut starts = Vec::new();
        for (index, body) in bodies.iter().enumerate() {
            let durable_upto = starts.last().copied().unwrap_or(0) as u64;
            starts.push(file.len());
            let offset = file.len() as u64;
            let head = (FrameTag::Commit, index as u64 + 1, 1);
            append_frame(&mut file, salt(), offset, head, durable_upto, |out| out.extend_from_slice(body));
        }
        (file, starts)
    }

    fn read(file: &[u8]) -> (Vec<u64>, LogEnd) {
        let mut scan = LogScan::new(file, salt(), MAX_BODY);
        let mut numbers = Vec::new();
        while let Some(frame) = scan.next() {
            numbers.push(frame.number);
        }
        (numbers, scan.end())
    }

    #[test]
    fn frames_round_trip_and_end_cleanly_before_zeros() {
        let (mut file, starts) = file_with(&[b"", b"one", b"eight by", b"nine byte"]);
        let begin = [0xB1, 9, 4, (starts[3] - starts[2]) as u8, 1];
        assert_eq!(file[starts[3]..][..begin.len()], begin);
        assert_eq!(file.len() - starts[3], begin.len() + CRC_BYTES + 9 + CRC_BYTES);
        assert_eq!(read(&file), (vec![1, 2, 3, 4], LogEnd::Clean));
        file.resize(file.len() + 4096, 0);
        assert_eq!(read(&file), (vec![1, 2, 3, 4], LogEnd::Clean));
    }

    #[test]
    fn each_of_the_two_checksums_covers_everything_before_it_from_the_frame_s_place_on() {
        let numbers = [0, 127, 128, u64::from(u32::MAX), u64::MAX];
        for (number, len) in
            numbers.into_iter().flat_map(|number| (0..200usize).map(move |len| (number, len)))
        {
            let body: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let mut frame = b"before".to_vec();
            let (offset, head) = (number / 2, (FrameTag::Edit, number, number as u32));
            append_frame(&mut frame, salt(), offset, head, 0, |out| out.extend_from_slice(&body));
            let frame = frame.strip_prefix(b"before").unwrap();
            let mut begin = vec![FrameTag::Edit as u8];
            for value in [len as u64, number, offset, u64::from(number as u32)] {
                varint::put(&mut begin, value);
            }
            begin.extend_from_slice(&salt().crc(offset, &begin).to_le_bytes());
            let whole = [begin, body].concat();
            let crc = salt().crc(offset, &whole).to_le_bytes();
            assert_eq!(frame, [&whole[..], &crc].concat(), "number {number}, {len} bytes");
        }
    }

    #[test]
    fn a_cut_anywhere_in_the_last_frame_is_a_torn_tail() {
        let (file, starts) = file_with(&[b"first", b"second"]);
        for cut in starts[1] + 1..file.len() {
            let (numbers, end) = read(&file[..cut]);
            assert_eq!(numbers, [1]);
            assert_eq!(end, LogEnd::Torn { bytes: (cut - starts[1]) as u64 });
        }
    }

    #[test]
    fn a_flip_in_a_vouched_for_frame_is_damage_and_in_the_last_ones_a_torn_tail() {
        let (good, starts) = file_with(&[b"first", b"second", b"third"]);
        for at in PREAMBLE_BYTES..good.len() {
            let mut file = good.clone();
            file[at] ^= 0x10;
            let (numbers, end) = read(&file);
            let frame = starts.iter().rposition(|&start| at >= start).unwrap();
            assert_eq!(numbers.len(), frame, "byte {at}");
            match frame {
                0 => assert_eq!(end, LogEnd::Damaged { witness: starts[2] as u64 }),
                _ => assert!(matches!(end, LogEnd::Torn { .. })),
            }
        }
    }

    #[test]
    fn behind_damage_the_next_whole_frame_is_found_again() {
        let (good, starts) = file_with(&[b"first", b"second", b"third"]);
        for at in starts[0]..starts[2] {
            let mut file = good.clone();
            file[at] ^= 0x10;
            let mut scan = LogScan::new(&file, salt(), MAX_BODY);
            let mut numbers = Vec::new();
            loop {
                match scan.next() {
                    Some(frame) => numbers.push(frame.number),
                    None if scan.skip_damage() => {}
                    None => break,
                }
            }
            assert_eq!(numbers, if at < starts[1] { [2, 3] } else { [1, 3] }, "byte {at}");
            assert_eq!(scan.offset(), good.len() as u64);
        }
    }

    #[test]
    fn a_frame_at_another_offset_does_not_exist() {
        let (file, starts) = file_with(&[b"first", b"second"]);
        let mut moved = file[..starts[1]].to_vec();
        moved.extend_from_slice(&file[starts[0]..starts[1]]);
        assert_eq!(read(&moved).0, [1]);
    }

    #[test]
    fn an_overlong_body_is_refused_without_reading_it() {
        let mut file = vec![0; PREAMBLE_BYTES];
        let offset = file.len() as u64;
        append_frame(&mut file, salt(), offset, (FrameTag::Edit, 1, 1), 0, |out| {
            out.resize(out.len() + MAX_BODY + 1, 7);
        });
        assert_eq!(read(&file).0, Vec::<u64>::new());
    }
}
