//! A block in memory: immutable entries with shared prefixes, searched in place. See `docs/format.md`, section 5.2.
//!
//! The restart array is checked once, when the block is made. Entries are checked as they are decoded: a checksum says
//! that the bytes are those that were written, not that a correct program wrote them. No bytes lead to a panic.

use std::cmp::Ordering;
use std::mem::size_of;
use std::path::Path;
use std::sync::Arc;

use super::version_order;
use crate::error::{Error, Result};
use crate::format::varint;
use crate::limits::MAX_KEY_BYTES;
use crate::types::{Kind, Seq, Trailer};

/// A checked payload and where it came from.
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where the entries end and the restart array begins.
    entries_end: u32,
    restarts: u32,
    origin: Origin,
}

/// Where a block was read, for errors.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) path: Arc<Path>,
    pub(crate) offset: u64,
}

impl Origin {
    #[cold]
    pub(crate) fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(&self.path, self.offset, what)
    }
}

/// One entry, as positions in the payload.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Bytes of the key taken from the entry before.
    pub(crate) shared: u32,
    suffix_start: u32,
    pub(crate) value_start: u32,
    /// Where the value ends and the next entry begins.
    pub(crate) end: u32,
    pub(crate) trailer: Trailer,
}

impl Entry {
    fn key_len(&self) -> u32 {
        self.shared + (self.value_start - self.suffix_start)
    }

    pub(crate) fn value_len(&self) -> u32 {
        self.end - self.value_start
    }
}

/// What a search for one key found.
pub(crate) enum Found {
    /// The newest version at or before the sequence.
    Version(Entry),
    /// A greater key: the table has no such version.
    Greater,
    /// The end of the block.
    End,
}

impl Block {
    /// Checks a payload and makes it a block.
    pub(crate) fn new(bytes: Vec<u8>, origin: Origin) -> Result<Self> {
        match check_restarts(&bytes) {
            Ok((entries_end, restarts)) => Ok(Self { bytes, entries_end, restarts, origin }),
            Err(what) => Err(origin.corrupt(what)),
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// Where the block was read.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A part of the payload; empty if it does not lie in the block.
    #[inline]
    pub(crate) fn slice(&self, start: u32, len: u32) -> &[u8] {
        self.bytes.get(start as usize..).and_then(|rest| rest.get(..len as usize)).unwrap_or_default()
    }

    /// The part of `entry`'s key that it does not share.
    #[inline]
    pub(crate) fn suffix(&self, entry: &Entry) -> &[u8] {
        self.slice(entry.suffix_start, entry.value_start - entry.suffix_start)
    }

    /// The value of `entry`.
    #[inline]
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        self.slice(entry.value_start, entry.value_len())
    }

    /// Position behind the last entry.
    #[inline]
    pub(crate) fn entries_end(&self) -> u32 {
        self.entries_end
    }

    /// Number of restarts, at least 1.
    #[inline]
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Position of the entry at restart `index`.
    #[inline]
    pub(crate) fn restart(&self, index: u32) -> u32 {
        let at = self.entries_end as usize + index as usize * 4;
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Decodes the entry at position `at`.
    #[inline]
    pub(crate) fn entry(&self, at: u32) -> Result<Entry> {
        self.decode(at).ok_or_else(|| self.bad_entry(at))
    }

    /// The entry at restart `index`; its suffix is its whole key.
    #[inline]
    pub(crate) fn restart_entry(&self, index: u32) -> Result<Entry> {
        let at = self.restart(index);
        match self.decode(at) {
            Some(entry) if entry.shared == 0 => Ok(entry),
            _ => Err(self.bad_entry(at)),
        }
    }

    /// First restart whose entry is not before `(key, seq)`; the number of restarts if there is none.
    #[inline]
    pub(crate) fn lower_restart(&self, key: &[u8], seq: Seq) -> Result<u32> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.restart_entry(middle)?;
            if version_order((self.suffix(&entry), entry.trailer.seq()), (key, seq)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Looks for the newest version of `key` at or before `seq`, without building any key.
    ///
    /// `matched` is how much of `key` the entry before has in common with it. As that entry is before the target, an
    /// entry that shares more than that is before the target too; of any other only the suffix has to be compared.
    pub(crate) fn find(&self, key: &[u8], seq: Seq) -> Result<Found> {
        let mut at = self.restart(self.lower_restart(key, seq)?.saturating_sub(1));
        let (mut matched, mut key_len) = (0, 0);
        while at < self.entries_end {
            let entry = self.entry(at)?;
            if entry.shared > key_len {
                return Err(self.bad_entry(at));
            }
            key_len = entry.key_len();
            let shared = entry.shared as usize;
            if shared <= matched {
                let (suffix, rest) = (self.suffix(&entry), &key[shared..]);
                let common = mismatch(suffix, rest);
                matched = shared + common;
                match (suffix.get(common), rest.get(common)) {
                    (None, None) if entry.trailer.seq() <= seq => return Ok(Found::Version(entry)),
                    (Some(found), Some(wanted)) if found > wanted => return Ok(Found::Greater),
                    (Some(_), None) => return Ok(Found::Greater),
                    _ => {}
                }
            }
            at = entry.end;
        }
        Ok(Found::End)
    }

    #[inline]
    fn decode(&self, at: u32) -> Option<Entry> {
        let mut rest = self.bytes.get(at as usize..self.entries_end as usize)?;
        let shared = varint::take(&mut rest)?;
        let unshared = varint::take(&mut rest)?;
        let value_len = varint::take(&mut rest)?;
        let trailer = Trailer::from_raw(varint::take(&mut rest)?)?;
        let too_long = shared > MAX_KEY_BYTES as u64 || unshared > MAX_KEY_BYTES as u64 - shared;
        if too_long || value_len > rest.len() as u64 || unshared + value_len > rest.len() as u64 {
            return None;
        }
        if value_len > 0 && trailer.kind() == Kind::Delete {
            return None;
        }
        let suffix_start = self.entries_end - rest.len() as u32;
        let value_start = suffix_start + unshared as u32;
        Some(Entry {
            shared: shared as u32,
            suffix_start,
            value_start,
            end: value_start + value_len as u32,
            trailer,
        })
    }

    #[cold]
    pub(crate) fn bad_entry(&self, at: u32) -> Error {
        self.origin.corrupt(format!("no valid entry at byte {at} of the block"))
    }
}

/// Length of the common prefix; for the short suffixes in blocks a plain loop is the fastest.
#[inline]
fn mismatch(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Where the entries end and how many restarts there are, or what is wrong.
fn check_restarts(bytes: &[u8]) -> std::result::Result<(u32, u32), String> {
    let len = bytes.len();
    if u32::try_from(len).is_err() {
        return Err(format!("block of {len} bytes"));
    }
    let Some((rest, count)) = bytes.split_last_chunk::<4>() else {
        return Err(format!("block of {len} bytes has no restart count"));
    };
    let count = u32::from_le_bytes(*count);
    let entries_end = (rest.len() as u64).checked_sub(u64::from(count) * 4);
    let (Some(entries_end), true) = (entries_end, count > 0) else {
        return Err(format!("block of {len} bytes with {count} restarts"));
    };
    let mut least = 0;
    for (index, offset) in rest[entries_end as usize..].as_chunks::<4>().0.iter().enumerate() {
        let offset = u32::from_le_bytes(*offset);
        let in_order = if index == 0 { offset == 0 } else { offset >= least };
        if !in_order || u64::from(offset) >= entries_end {
            return Err(format!("restart {index} of a block at byte {offset}, out of order or range"));
        }
        least = offset + 1;
    }
    Ok((entries_end as u32, count))
}
