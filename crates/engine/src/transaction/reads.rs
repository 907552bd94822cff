//! What a serializable transaction has read: keys, and ranges in which it has seen what there is and what there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use fountain_lsm::KeyRange;

use crate::error::{Error, Result};
use crate::limits::MAX_TRANSACTION_READ_BYTES;

/// What a key or a range costs beside its bytes.
const ENTRY_BYTES: usize = 64;

/// Storage keys and ranges of them. Ranges that touch are one, so that a scan in many pages is one range.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    keys: BTreeSet<Vec<u8>>,
    /// By their starts; they neither overlap nor touch. `None` is no end.
    ranges: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    /// It grew over its limit; then it holds nothing, and says so when it is needed.
    overflowed: bool,
}

impl ReadSet {
    /// Adds a key.
    pub fn add_key(&mut self, key: &[u8]) {
        if self.overflowed || self.keys.contains(key) {
            return;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        self.keys.insert(key.to_vec());
        self.limit();
    }

    /// Adds a range.
    pub fn add_range(&mut self, range: KeyRange) {
        if self.overflowed || range.is_empty() {
            return;
        }
        let KeyRange { mut start, mut end } = range;
        // Those that touch it are the last that begins before it, and those that begin inside.
        while let Some((other_start, other_end)) = self.touching(&start, end.as_deref()) {
            self.ranges.remove(&other_start);
            self.bytes = self.bytes.saturating_sub(size(&other_start, other_end.as_deref()));
            start = start.min(other_start);
            end = end.zip(other_end).map(|(one, other)| one.max(other));
        }
        self.bytes += size(&start, end.as_deref());
        self.ranges.insert(start, end);
        self.limit();
    }

    /// Whether everything that was added is known.
    ///
    /// # Errors
    /// `ERR_TOO_LARGE`.
    pub fn check_complete(&self) -> Result<()> {
        if !self.overflowed {
            return Ok(());
        }
        Err(Error::too_large("what a transaction has read", self.bytes, MAX_TRANSACTION_READ_BYTES))
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(Vec::as_slice)
    }

    /// The ranges.
    pub fn ranges(&self) -> impl Iterator<Item = KeyRange> {
        self.ranges.iter().map(|(start, end)| KeyRange { start: start.clone(), end: end.clone() })
    }

    /// A range that overlaps or touches the one from `start` to `end`.
    fn touching(&self, start: &[u8], end: Option<&[u8]>) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let upto = end.map_or(Bound::Unbounded, Bound::Included);
        let before = self.ranges.range::<[u8], _>((Bound::Unbounded, upto));
        let (other_start, other_end) = before.last()?;
        let touches = other_end.as_ref().is_none_or(|other_end| other_end.as_slice() >= start);
        touches.then(|| (other_start.clone(), other_end.clone()))
    }

    fn limit(&mut self) {
        if self.bytes > MAX_TRANSACTION_READ_BYTES {
            *self = Self { overflowed: true, bytes: self.bytes, ..Self::default() };
        }
    }
}

fn size(start: &[u8], end: Option<&[u8]>) -> usize {
    start.len() + end.map_or(0, <[u8]>::len) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: start.into(), end: (!end.is_empty()).then(|| end.into()) }
    }

    fn shown(reads: &ReadSet) -> Vec<String> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let show =
            |range: KeyRange| format!("{}..{}", text(range.start), range.end.map_or_else(String::new, text));
        reads.ranges().map(show).collect()
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut reads = ReadSet::default();
        for (start, end) in [("d", "f"), ("a", "b"), ("x", ""), ("h", "k")] {
            reads.add_range(range(start, end));
        }
        assert_eq!(shown(&reads), ["a..b", "d..f", "h..k", "x.."]);
        reads.add_range(range("b", "c"));
        assert_eq!(shown(&reads), ["a..c", "d..f", "h..k", "x.."]);
        reads.add_range(range("e", "i"));
        assert_eq!(shown(&reads), ["a..c", "d..k", "x.."]);
        reads.add_range(range("y", "z"));
        assert_eq!(shown(&reads), ["a..c", "d..k", "x.."]);
        reads.add_range(range("bb", ""));
        assert_eq!(shown(&reads), ["a.."]);
        reads.add_range(range("q", "q"));
        assert_eq!((shown(&reads).len(), reads.bytes), (1, 1 + ENTRY_BYTES));
    }

    #[test]
    fn a_read_set_over_its_limit_is_refused() {
        let mut reads = ReadSet::default();
        let key = |number: u32| [&number.to_be_bytes()[..], &[0; 4000]].concat();
        for number in 0..8000 {
            reads.add_key(&key(number));
        }
        assert!(reads.check_complete().is_ok());
        for number in 8000..8500 {
            reads.add_key(&key(number));
        }
        assert_eq!(reads.check_complete().unwrap_err().code, crate::error::ErrorCode::TooLarge);
        assert_eq!(reads.keys().count(), 0);
    }
}
