//! What a table says about itself. See `docs/format.md`, section 5.6.

use super::TableMeta;
use std::num::NonZeroU16;

use crate::format::varint;
use crate::limits::MAX_KEY_BYTES;
use crate::prefix::KeyPrefix;
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

const FIXED_PREFIX: u64 = 1;
const DELIMITED_PREFIX: u64 = 2;
/// Bytes of store id and file number at the start.
pub(crate) const IDENTITY_BYTES: usize = 24;

/// Identity, counts and bounds of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Properties {
    /// The store the table belongs to.
    pub(crate) store: StoreId,
    /// The table's file.
    pub(crate) number: FileNumber,
    /// Versions, tombstones included.
    pub(crate) entries: u64,
    /// Versions that are deletes.
    pub(crate) tombstones: u64,
    /// Versions that are not the newest of their key in the table.
    pub(crate) superseded: u64,
    /// Data blocks of both sections.
    pub(crate) data_blocks: u64,
    /// Data blocks of the history section.
    pub(crate) history_blocks: u64,
    /// Bytes of all user keys, counted once per version.
    pub(crate) key_bytes: u64,
    /// Bytes of all values.
    pub(crate) value_bytes: u64,
    /// Range tombstones, counted once per fragment.
    pub(crate) range_tombstones: u64,
    /// Oldest commit with a version or a range tombstone here.
    pub(crate) least_seq: Seq,
    /// Newest commit with a version or a range tombstone here.
    pub(crate) greatest_seq: Seq,
    /// First user key, or where the first range tombstone begins.
    pub(crate) smallest: Box<[u8]>,
    /// Last user key, or where the last range tombstone ends.
    pub(crate) largest: Box<[u8]>,
    /// Whether `largest` is the end of a range tombstone.
    pub(crate) largest_exclusive: bool,
    /// Which prefixes the filter knows.
    pub(crate) prefixes: Option<KeyPrefix>,
}

impl Properties {
    /// Of a table without entries.
    pub(crate) fn new(store: StoreId, number: FileNumber) -> Self {
        Self {
            store,
            number,
            entries: 0,
            tombstones: 0,
            superseded: 0,
            data_blocks: 0,
            history_blocks: 0,
            key_bytes: 0,
            value_bytes: 0,
            range_tombstones: 0,
            least_seq: Seq::MAX,
            greatest_seq: Seq::ZERO,
            smallest: Box::default(),
            largest: Box::default(),
            largest_exclusive: false,
            prefixes: None,
        }
    }

    /// Counts an entry of either section, which leaves it to the caller to count what is superseded. The bounds are
    /// not touched: only the first and the last entry know them.
    pub(crate) fn count(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        self.entries += 1;
        self.tombstones += u64::from(trailer.kind() == Kind::Delete);
        self.key_bytes += key.len() as u64;
        self.value_bytes += value.len() as u64;
        self.least_seq = self.least_seq.min(trailer.seq());
        self.greatest_seq = self.greatest_seq.max(trailer.seq());
    }

    /// Counts the range tombstones, once all entries are counted and their bounds are set.
    pub(crate) fn include(&mut self, tombstones: &RangeTombstones) {
        let fragments = tombstones.fragments();
        let (Some(first), Some(last)) = (fragments.first(), fragments.last()) else { return };
        for seq in fragments.iter().flat_map(|fragment| &fragment.seqs) {
            self.range_tombstones += 1;
            self.least_seq = self.least_seq.min(*seq);
            self.greatest_seq = self.greatest_seq.max(*seq);
        }
        if self.entries == 0 || first.start < self.smallest {
            self.smallest.clone_from(&first.start);
        }
        if self.entries == 0 || last.end > self.largest {
            self.largest.clone_from(&last.end);
            self.largest_exclusive = true;
        }
    }

    /// What the manifest knows of this table, whose file has `size` bytes.
    pub(crate) fn into_meta(self, size: u64) -> TableMeta {
        TableMeta {
            number: self.number,
            base: Seq::ZERO,
            size,
            entries: self.entries,
            tombstones: self.tombstones,
            superseded: self.superseded,
            least_seq: self.least_seq,
            greatest_seq: self.greatest_seq,
            smallest: self.smallest,
            largest: self.largest,
            largest_exclusive: self.largest_exclusive,
        }
    }

    /// The same with real sequences instead of those in the file, in a table with this base; `None` if there are none.
    pub(crate) fn based_on(self, base: Seq) -> Option<Self> {
        let least_seq = base.checked_add(self.least_seq.get())?;
        let greatest_seq = base.checked_add(self.greatest_seq.get())?;
        let fits = base == Seq::ZERO || self.range_tombstones == 0;
        fits.then_some(Self { least_seq, greatest_seq, ..self })
    }

    /// Appends the stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.number.0.to_le_bytes());
        for number in [
            self.entries,
            self.tombstones,
            self.superseded,
            self.data_blocks,
            self.history_blocks,
            self.key_bytes,
            self.value_bytes,
            self.range_tombstones,
            self.least_seq.get(),
            self.greatest_seq.get(),
        ] {
            varint::put(out, number);
        }
        varint::put_bytes(out, &self.smallest);
        varint::put_bytes(out, &self.largest);
        varint::put(out, u64::from(self.largest_exclusive));
        let rule = match self.prefixes {
            None => return,
            Some(KeyPrefix::Fixed(len)) => [FIXED_PREFIX, u64::from(len.get())],
            Some(KeyPrefix::UpTo(delimiter)) => [DELIMITED_PREFIX, u64::from(delimiter)],
        };
        for number in rule {
            varint::put(out, number);
        }
    }

    /// Properties from their stored form, or `None` if they are damaged or contradict themselves.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (store, number) = identity(payload)?;
        let rest = &mut &payload[IDENTITY_BYTES..];
        let properties = Self {
            store,
            number,
            entries: varint::take(rest)?,
            tombstones: varint::take(rest)?,
            superseded: varint::take(rest)?,
            data_blocks: varint::take(rest)?,
            history_blocks: varint::take(rest)?,
            key_bytes: varint::take(rest)?,
            value_bytes: varint::take(rest)?,
            range_tombstones: varint::take(rest)?,
            least_seq: Seq::new(varint::take(rest)?)?,
            greatest_seq: Seq::new(varint::take(rest)?)?,
            smallest: varint::take_bytes(rest)?.into(),
            largest: varint::take_bytes(rest)?.into(),
            largest_exclusive: take_flag(rest)?,
            prefixes: if rest.is_empty() { None } else { Some(take_prefixes(rest)?) },
        };
        (rest.is_empty() && properties.is_plausible()).then_some(properties)
    }

    fn is_plausible(&self) -> bool {
        (self.entries > 0 || self.range_tombstones > 0)
            && self.tombstones <= self.entries
            && self.superseded <= self.entries.saturating_sub(1)
            && self.history_blocks <= self.data_blocks
            && are_blocks_of(self.entries - self.superseded, self.data_blocks - self.history_blocks)
            && are_blocks_of(self.superseded, self.history_blocks)
            && (!self.largest_exclusive || self.range_tombstones > 0)
            && self.least_seq <= self.greatest_seq
            && self.smallest <= self.largest
            && self.smallest.len().max(self.largest.len()) <= MAX_KEY_BYTES
    }
}

/// Whether so many data blocks can hold so many entries: each holds at least one.
fn are_blocks_of(entries: u64, blocks: u64) -> bool {
    (entries.min(1)..=entries).contains(&blocks)
}

fn take_flag(input: &mut &[u8]) -> Option<bool> {
    match varint::take(input)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn take_prefixes(input: &mut &[u8]) -> Option<KeyPrefix> {
    match (varint::take(input)?, varint::take(input)?) {
        (FIXED_PREFIX, len) => NonZeroU16::new(u16::try_from(len).ok()?).map(KeyPrefix::Fixed),
        (DELIMITED_PREFIX, delimiter) => u8::try_from(delimiter).ok().map(KeyPrefix::UpTo),
        _ => None,
    }
}

/// Store and file number at the start of stored properties.
pub(crate) fn identity(payload: &[u8]) -> Option<(StoreId, FileNumber)> {
    let (store, rest) = payload.split_first_chunk::<16>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    Some((StoreId(*store), FileNumber(u64::from_le_bytes(*number))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn properties() -> Properties {
        Properties {
            store: StoreId([9; 16]),
            number: FileNumber(27),
            entries: 300,
            tombstones: 2,
            superseded: 299,
            data_blocks: 4,
            history_blocks: 3,
            key_bytes: 1000,
            value_bytes: 2000,
            range_tombstones: 5,
            least_seq: Seq::new(7).unwrap(),
            greatest_seq: Seq::MAX,
            smallest: Box::from(&b"a"[..]),
            largest: Box::from(&b"b"[..]),
            largest_exclusive: true,
            prefixes: None,
        }
    }

    fn encoded(properties: &Properties) -> Vec<u8> {
        let mut bytes = Vec::new();
        properties.encode(&mut bytes);
        bytes
    }

    #[test]
    fn the_stored_form_is_as_documented_and_round_trips() {
        let bytes = encoded(&properties());
        let mut expected = vec![9u8; 16];
        expected.extend_from_slice(&[27, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(b"\xAC\x02\x02\xAB\x02\x04\x03\xE8\x07\xD0\x0F\x05\x07");
        expected.extend_from_slice(b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x0F\x01a\x01b\x01");
        assert_eq!(bytes, expected);
        assert_eq!(Properties::decode(&bytes).unwrap(), properties());
        let len = NonZeroU16::new(300).unwrap();
        for (rule, stored) in
            [(KeyPrefix::Fixed(len), &b"\x01\xAC\x02"[..]), (KeyPrefix::UpTo(b'/'), b"\x02/")]
        {
            let with = Properties { prefixes: Some(rule), ..properties() };
            assert_eq!(encoded(&with), [bytes.as_slice(), stored].concat());
            assert_eq!(Properties::decode(&encoded(&with)), Some(with));
        }
        for wrong in [&b"\x01\0"[..], b"\x01", b"\0", b"\0\0", b"\x03\x01", b"\x02\xAC\x02", b"\x02/\0"] {
            assert_eq!(Properties::decode(&[bytes.as_slice(), wrong].concat()), None, "{wrong:?}");
        }
    }

    #[test]
    fn truncated_or_contradictory_properties_are_refused() {
        let bytes = encoded(&properties());
        for len in 0..bytes.len() {
            assert_eq!(Properties::decode(&bytes[..len]), None, "cut to {len}");
        }
        let tombstones_only = Properties {
            entries: 0,
            tombstones: 0,
            superseded: 0,
            data_blocks: 0,
            history_blocks: 0,
            ..properties()
        };
        assert_eq!(Properties::decode(&encoded(&tombstones_only)), Some(tombstones_only.clone()));
        for wrong in [
            Properties { range_tombstones: 0, largest_exclusive: false, ..tombstones_only },
            Properties { entries: 0, tombstones: 0, superseded: 0, ..properties() },
            Properties { range_tombstones: 0, ..properties() },
            Properties { tombstones: 301, ..properties() },
            Properties { superseded: 300, ..properties() },
            Properties { data_blocks: 0, ..properties() },
            Properties { data_blocks: 301, ..properties() },
            Properties { history_blocks: 0, ..properties() },
            Properties { history_blocks: 4, ..properties() },
            Properties { history_blocks: 5, ..properties() },
            Properties { greatest_seq: Seq::ZERO, ..properties() },
            Properties { largest: Box::default(), ..properties() },
        ] {
            assert_eq!(Properties::decode(&encoded(&wrong)), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Properties::decode(&bytes);
        }
    }
}
