//! A block in memory: immutable entries with shared prefixes, searched in place. See `docs/format.md`, section 5.2.
//!
//! Heads (keys and lengths) lie together, before all values, so that a search walks over a few cache lines whatever
//! the size of the values. It begins with a binary search over the restarts, which compares eight-byte prefixes that
//! lie close together and looks at whole keys only among equal prefixes. The prefixes leave out what the keys of all
//! restarts begin with, such as a keyspace.
//!
//! The restarts are checked once, when the block is made, and kept decoded with their prefixes: deriving these costs a
//! fraction of reading a block, takes nothing on disk and cannot disagree with the keys. Other entries are checked as
//! they are decoded: a checksum says that the bytes are those that were written, not that a correct program wrote
//! them. No bytes lead to a panic.

use std::cmp::Ordering;
use std::mem::size_of;
use std::path::Path;
use std::sync::Arc;

use super::block_builder::RESTART_BYTES;
use super::version_order;
use crate::error::{Error, Result};
use crate::format::varint;
use crate::key::common_prefix;
use crate::limits::MAX_KEY_BYTES;
use crate::types::{Kind, Seq, Trailer};

/// Bytes of a key that a search compares first.
const PREFIX_BYTES: usize = 8;

/// A checked payload and where it came from.
pub(crate) struct Block {
    /// Heads, then values.
    bytes: Vec<u8>,
    /// Where the heads end and the values begin.
    heads_end: u32,
    /// The bytes that the keys of all restarts begin with, as a part of `bytes`.
    common_start: u32,
    common_len: u32,
    restarts: Box<[Restart]>,
    origin: Origin,
    /// Added to the sequences of all entries, as part of a trailer.
    base: u64,
}

/// Where a restart begins, and what its key goes on with after the common bytes: big-endian, filled up with zeros.
#[derive(Clone, Copy)]
struct Restart {
    prefix: u64,
    place: Place,
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

/// Where an entry begins, as positions in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) head: u32,
    pub(crate) value: u32,
}

/// One entry, as positions in the payload.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Bytes of the key taken from the entry before.
    pub(crate) shared: u32,
    suffix_start: u32,
    suffix_end: u32,
    pub(crate) value_start: u32,
    value_end: u32,
    pub(crate) trailer: Trailer,
}

impl Entry {
    fn key_len(&self) -> u32 {
        self.shared + (self.suffix_end - self.suffix_start)
    }

    /// Where the next entry begins.
    #[inline]
    pub(crate) fn end(&self) -> Place {
        Place { head: self.suffix_end, value: self.value_end }
    }

    pub(crate) fn value_len(&self) -> u32 {
        self.value_end - self.value_start
    }
}

/// What a search for one key found.
#[derive(Clone, Copy)]
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
    pub(crate) fn new(mut bytes: Vec<u8>, origin: Origin) -> Result<Self> {
        let (heads_end, values_end, restarts) = take_restarts(&bytes).map_err(|what| origin.corrupt(what))?;
        bytes.truncate(values_end as usize);
        let mut block = Self { bytes, heads_end, common_start: 0, common_len: 0, restarts, origin, base: 0 };
        block.derive_prefixes()?;
        Ok(block)
    }

    /// The block of a table with this base.
    pub(crate) fn with_base(mut self, base: Seq) -> Self {
        self.base = Trailer::new(base, Kind::Put).raw();
        self
    }

    /// What is added to sequences.
    pub(crate) fn base(&self) -> Seq {
        Seq::new(self.base >> 2).unwrap_or(Seq::MAX)
    }

    fn derive_prefixes(&mut self) -> Result<()> {
        let (first, last) = (self.restart_entry(0)?, self.restart_entry(self.restarts() - 1)?);
        self.common_start = first.suffix_start;
        self.common_len = common_prefix(self.suffix(&first), self.suffix(&last)) as u32;
        for index in 0..self.restarts() {
            let entry = self.restart_entry(index)?;
            let rest = self.suffix(&entry).get(self.common_len as usize..).unwrap_or_default();
            self.restarts[index as usize].prefix = prefix_of(rest);
        }
        Ok(())
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.restarts.len() * size_of::<Restart>()
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
        self.slice(entry.suffix_start, entry.suffix_end - entry.suffix_start)
    }

    /// The value of `entry`.
    #[inline]
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        self.slice(entry.value_start, entry.value_len())
    }

    /// Where an entry behind the last one would begin.
    #[inline]
    pub(crate) fn end(&self) -> Place {
        Place { head: self.heads_end, value: self.bytes.len() as u32 }
    }

    /// Number of restarts, at least 1.
    #[inline]
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts.len() as u32
    }

    /// Where the entry at restart `index` begins; the end if there is no such restart.
    #[inline]
    pub(crate) fn restart(&self, index: u32) -> Place {
        self.restarts.get(index as usize).map_or(self.end(), |restart| restart.place)
    }

    /// Decodes the entry at position `at`.
    #[inline]
    pub(crate) fn entry(&self, at: Place) -> Result<Entry> {
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
        let common = self.slice(self.common_start, self.common_len);
        let (start, rest) = key.split_at(key.len().min(common.len()));
        match start.cmp(common) {
            Ordering::Less => return Ok(0),
            Ordering::Greater => return Ok(self.restarts()),
            Ordering::Equal => {}
        }
        let prefix = prefix_of(rest);
        let low = lower_bound(&self.restarts, prefix);
        match self.restarts.get(low) {
            Some(restart) if restart.prefix == prefix => {
                self.lower_restart_among_equals(low as u32, key, seq)
            }
            _ => Ok(low as u32),
        }
    }

    /// Whether the entry at restart `index` is not before `(key, seq)`.
    #[inline]
    pub(crate) fn reaches(&self, index: u32, key: &[u8], seq: Seq) -> Result<bool> {
        let entry = self.restart_entry(index)?;
        Ok(version_order((self.suffix(&entry), entry.trailer.seq()), (key, seq)) != Ordering::Less)
    }

    /// [`Self::lower_restart`] from restart `low` on, the first whose prefix equals that of `key`.
    fn lower_restart_among_equals(&self, mut low: u32, key: &[u8], seq: Seq) -> Result<u32> {
        let prefix = self.restarts.get(low as usize).map_or(0, |restart| restart.prefix);
        let behind = self.restarts.get(low as usize..).unwrap_or_default();
        let mut high = low + behind.partition_point(|restart| restart.prefix <= prefix) as u32;
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
    #[inline]
    pub(crate) fn find(&self, key: &[u8], seq: Seq) -> Result<Found> {
        let restart = self.lower_restart(key, seq)?.saturating_sub(1);
        self.find_from(self.restart(restart), (0, 0), key, seq)
    }

    /// As [`Self::find`], when `before` is a key less than `key` that was found at `entry`. Between keys close together
    /// there are fewer entries than from the restart before.
    pub(crate) fn find_behind(&self, before: &[u8], entry: &Entry, key: &[u8], seq: Seq) -> Result<Found> {
        let restart = self.restart(self.lower_restart(key, seq)?.saturating_sub(1));
        if restart.head > entry.suffix_end {
            return self.find_from(restart, (0, 0), key, seq);
        }
        let known = (mismatch(before, key), before.len() as u32);
        self.find_from(entry.end(), known, key, seq)
    }

    /// Looks from the entry at `at` on. `matched` is how much of `key` the entry before has in common with it, `key_len`
    /// the length of its key. As that entry is before the target, an entry that shares more than that is before the
    /// target too; of any other only the suffix has to be compared.
    #[inline]
    fn find_from(
        &self,
        mut at: Place,
        (mut matched, mut key_len): (usize, u32),
        key: &[u8],
        seq: Seq,
    ) -> Result<Found> {
        while at.head < self.heads_end {
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
            at = entry.end();
        }
        Ok(Found::End)
    }

    #[inline]
    fn decode(&self, at: Place) -> Option<Entry> {
        let mut rest = self.bytes.get(at.head as usize..self.heads_end as usize)?;
        let [shared, unshared, value_len] = varint::take_three(&mut rest)?;
        let trailer = Trailer::from_raw(varint::take(&mut rest)?.checked_add(self.base)?)?;
        let too_long = shared > MAX_KEY_BYTES as u64 || unshared > MAX_KEY_BYTES as u64 - shared;
        let values_left = u64::from(self.end().value.checked_sub(at.value)?);
        if too_long || unshared > rest.len() as u64 || value_len > values_left {
            return None;
        }
        if value_len > 0 && trailer.kind() == Kind::Delete {
            return None;
        }
        let suffix_start = self.heads_end - rest.len() as u32;
        Some(Entry {
            shared: shared as u32,
            suffix_start,
            suffix_end: suffix_start + unshared as u32,
            value_start: at.value,
            value_end: at.value + value_len as u32,
            trailer,
        })
    }

    #[cold]
    pub(crate) fn bad_entry(&self, at: Place) -> Error {
        self.origin.corrupt(format!("no valid entry at byte {} of the block", at.head))
    }
}

/// Length of the common prefix; for the short suffixes in blocks a plain loop is the fastest.
#[inline]
fn mismatch(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The first bytes as a number that sorts like them.
#[inline]
fn prefix_of(key: &[u8]) -> u64 {
    if let Some(prefix) = key.first_chunk() {
        return u64::from_be_bytes(*prefix);
    }
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(prefix)
}

/// Index of the first restart whose prefix is not less than `prefix`. The only branch that data decides is the end of
/// the loop, and that is the same for every search in the block.
#[inline]
fn lower_bound(restarts: &[Restart], prefix: u64) -> usize {
    let before = |index: usize| restarts.get(index).is_some_and(|restart| restart.prefix < prefix);
    let (mut low, mut left) = (0, restarts.len());
    while left > 1 {
        let half = left / 2;
        low += usize::from(before(low + half - 1)) * half;
        left -= half;
    }
    low + usize::from(before(low))
}

/// Where heads and values end, and the restarts without their prefixes; or what is wrong.
fn take_restarts(bytes: &[u8]) -> std::result::Result<(u32, u32, Box<[Restart]>), String> {
    let len = bytes.len();
    if u32::try_from(len).is_err() {
        return Err(format!("block of {len} bytes"));
    }
    let Some((rest, count)) = bytes.split_last_chunk::<4>() else {
        return Err(format!("block of {len} bytes has no restart count"));
    };
    let count = u32::from_le_bytes(*count);
    let values_end = (rest.len() as u64).checked_sub(u64::from(count) * RESTART_BYTES as u64);
    let (Some(values_end), true) = (values_end, count > 0) else {
        return Err(format!("block of {len} bytes with {count} restarts"));
    };
    let stored = rest[values_end as usize..].as_chunks().0;
    let heads_end = stored.first().map_or(0, |&first| decode_restart(first).value);
    let mut restarts = Vec::with_capacity(stored.len());
    let mut least = Place { head: 0, value: heads_end };
    for (index, restart) in stored.iter().enumerate() {
        let place = decode_restart(*restart);
        let in_order = if index == 0 { place.head == 0 } else { place.head >= least.head };
        let in_range = place.head < heads_end && u64::from(place.value) <= values_end;
        if !in_order || !in_range || place.value < least.value {
            return Err(format!("restart {index} of a block at {place:?}, out of order or range"));
        }
        least = Place { head: place.head + 1, value: place.value };
        restarts.push(Restart { prefix: 0, place });
    }
    Ok((heads_end, values_end as u32, restarts.into()))
}

fn decode_restart(bytes: [u8; RESTART_BYTES]) -> Place {
    // Little-endian: the first of the two numbers is the lower half.
    let both = u64::from_le_bytes(bytes);
    Place { head: both as u32, value: (both >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_sort_like_keys(
            a in prop::collection::vec(any::<u8>(), 0..12),
            b in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            if prefix_of(&a) != prefix_of(&b) {
                prop_assert_eq!(prefix_of(&a).cmp(&prefix_of(&b)), a.cmp(&b));
            }
        }

        #[test]
        fn the_lower_bound_is_the_first_that_is_not_less(
            mut prefixes in prop::collection::vec(0..40u64, 0..50),
            wanted in 0..41u64,
        ) {
            prefixes.sort_unstable();
            let restarts: Vec<Restart> =
                prefixes.iter().map(|&prefix| Restart { prefix, place: Place { head: 0, value: 0 } }).collect();
            let expected = prefixes.iter().filter(|&&prefix| prefix < wanted).count();
            prop_assert_eq!(lower_bound(&restarts, wanted), expected);
        }
    }
}
