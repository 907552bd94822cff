//! The Bloom filter of a table: every lookup touches one cache line. See `docs/format.md`, section 5.4.
//!
//! What always holds: a key that was added may be contained. A key that was not is taken for contained about once in
//! a hundred times at 10 bits and 6 probes.

use twox_hash::XxHash3_64;

use crate::planted::{self, Bug};

/// Bytes of one line, the size of a cache line on the machines this runs on.
const LINE_BYTES: usize = 64;
const HEADER_BYTES: usize = 5;
/// More probes than this help no filter; a larger number is damage.
const MAX_PROBES: u8 = 30;
const GOLDEN: u32 = 0x9E37_79B9;

/// Hash of a user key, computed once per read for all tables.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    XxHash3_64::oneshot(key)
}

/// One line, aligned so that it is one cache line in memory too.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u64; LINE_BYTES / 8]);

/// A filter in memory.
pub(crate) struct Filter {
    lines: Box<[Line]>,
    probes: u8,
}

impl Filter {
    /// A filter over keys with these hashes.
    pub(crate) fn build(hashes: &[u64], bits_per_key: usize, probes: u8) -> Self {
        // The payload must fit the 32-bit size in the footer; a larger set of keys gets fewer bits each.
        let most = u32::MAX as usize / LINE_BYTES - 1;
        let count = (hashes.len() * bits_per_key).div_ceil(LINE_BYTES * 8).clamp(1, most);
        let mut filter = Self { lines: vec![Line::default(); count].into(), probes };
        for &hash in hashes.iter().skip(usize::from(planted::active(Bug::FilterLacksKey))) {
            let index = filter.line_of(hash);
            let line = &mut filter.lines[index].0;
            for bit in Probes::new(hash, probes) {
                line[bit / 64] |= 1 << (bit % 64);
            }
        }
        filter
    }

    /// A filter from its stored form, or what is wrong with that.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, String> {
        let Some((header, bytes)) = payload.split_first_chunk::<HEADER_BYTES>() else {
            return Err(format!("filter of {} bytes; expected at least {HEADER_BYTES}", payload.len()));
        };
        let [probes, count @ ..] = *header;
        let count = u32::from_le_bytes(count);
        if probes == 0 || probes > MAX_PROBES {
            return Err(format!("filter with {probes} probes; expected 1 to {MAX_PROBES}"));
        }
        if count == 0 || bytes.len() as u64 != u64::from(count) * LINE_BYTES as u64 {
            return Err(format!("filter with {count} lines of {LINE_BYTES} bytes in {} bytes", bytes.len()));
        }
        let (lines, _) = bytes.as_chunks::<LINE_BYTES>();
        Ok(Self { lines: lines.iter().map(decode_line).collect(), probes })
    }

    /// Appends the stored form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.probes);
        out.extend_from_slice(&(self.lines.len() as u32).to_le_bytes());
        for word in self.lines.iter().flat_map(|line| line.0) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Whether the key with this hash may have been added; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let line = &self.lines[self.line_of(hash)].0;
        // All bits lie in one cache line, so looking at each is cheaper than a mispredicted early exit.
        Probes::new(hash, self.probes).fold(1, |found, bit| found & (line[bit / 64] >> (bit % 64))) == 1
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    /// Bytes of the stored form for `keys` distinct keys.
    pub(crate) fn stored_bytes(keys: usize, bits_per_key: usize) -> usize {
        HEADER_BYTES + (keys * bits_per_key).div_ceil(LINE_BYTES * 8).max(1) * LINE_BYTES
    }

    #[inline]
    fn line_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.lines.len() as u64) >> 32) as usize
    }
}

fn decode_line(bytes: &[u8; LINE_BYTES]) -> Line {
    let mut line = Line::default();
    for (word, bytes) in line.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    line
}

/// The bits of one key in its line.
struct Probes {
    state: u32,
    left: u8,
}

impl Probes {
    #[inline]
    fn new(hash: u64, probes: u8) -> Self {
        Self { state: hash as u32, left: probes }
    }
}

impl Iterator for Probes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let bit = (self.state >> 23) as usize;
        self.state = self.state.wrapping_mul(GOLDEN);
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{FILTER_BITS_PER_KEY, FILTER_PROBES};

    fn hashes(from: u32, count: u32) -> Vec<u64> {
        (from..from + count).map(|n| key_hash(format!("user{n:08}").as_bytes())).collect()
    }

    #[test]
    fn what_was_added_is_found_and_few_others_are() {
        for count in [1, 10, 1000, 50_000] {
            let filter = Filter::build(&hashes(0, count), FILTER_BITS_PER_KEY, FILTER_PROBES);
            assert!(hashes(0, count).iter().all(|&hash| filter.may_contain(hash)), "{count} keys");
        }
        let filter = Filter::build(&hashes(0, 50_000), FILTER_BITS_PER_KEY, FILTER_PROBES);
        let wrong = hashes(1_000_000, 100_000).iter().filter(|&&hash| filter.may_contain(hash)).count();
        assert!(wrong < 1500, "{wrong} false positives in 100000");
        assert!(wrong > 100, "{wrong} false positives in 100000 are too good to be true");
    }

    #[test]
    fn bits_are_where_the_format_says() {
        let hash = 0x8000_0000_1234_5678;
        let filter = Filter::build(&[hash; 200], FILTER_BITS_PER_KEY, 2);
        let mut bytes = Vec::new();
        filter.encode(&mut bytes);
        // 200 keys at 10 bits are 4 lines; half of the hash range is line 2.
        assert_eq!(bytes.len(), 5 + 4 * 64);
        assert_eq!(bytes[..5], [2, 4, 0, 0, 0]);
        let mut expected = [0u8; 4 * 64];
        for r in [0x1234_5678u32, 0x1234_5678u32.wrapping_mul(0x9E37_79B9)] {
            let bit = (r >> 23) as usize;
            expected[2 * 64 + bit / 8] |= 1 << (bit % 8);
        }
        assert_eq!(bytes[5..], expected);
        assert_eq!(Filter::stored_bytes(200, FILTER_BITS_PER_KEY), bytes.len());
    }

    #[test]
    fn the_key_hash_is_xxh3_with_seed_0() {
        assert_eq!(key_hash(b""), 0x2D06_8005_38D3_94C2);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_filter_or_refused(payload in prop::collection::vec(any::<u8>(), 0..300), hash: u64) {
            if let Ok(filter) = Filter::decode(&payload) {
                filter.may_contain(hash);
            }
        }

        #[test]
        fn the_stored_form_round_trips(hashes in prop::collection::vec(any::<u64>(), 0..500)) {
            let mut bytes = Vec::new();
            Filter::build(&hashes, FILTER_BITS_PER_KEY, FILTER_PROBES).encode(&mut bytes);
            let filter = Filter::decode(&bytes).unwrap();
            prop_assert!(hashes.iter().all(|&hash| filter.may_contain(hash)));
            let mut again = Vec::new();
            filter.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}
