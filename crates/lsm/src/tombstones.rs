//! Deletions of whole ranges of keys.
//!
//! A range tombstone with sequence `t` hides every version of its keys whose sequence is less than `t` from readers
//! at or after `t`. Overlapping tombstones are kept as *fragments* (as in RocksDB and Pebble): ranges that do not
//! overlap, each with the sequences of all tombstones that cover it, so that one binary search answers for a key.

use std::collections::BTreeMap;

use crate::range::KeyRange;
use crate::types::Seq;

/// A range of keys and the sequences of the tombstones that cover all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// The first key.
    pub(crate) start: Box<[u8]>,
    /// The first key after the range.
    pub(crate) end: Box<[u8]>,
    /// Descending, without repetition, never empty.
    pub(crate) seqs: Vec<Seq>,
}

/// Tombstones as fragments, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeTombstones {
    fragments: Vec<Fragment>,
}

impl RangeTombstones {
    /// Fragments whose order and shape the caller vouches for.
    pub(crate) fn from_fragments(fragments: Vec<Fragment>) -> Self {
        debug_assert!(fragments.iter().all(|fragment| {
            fragment.start < fragment.end && fragment.seqs.windows(2).all(|pair| pair[0] > pair[1])
        }));
        debug_assert!(fragments.windows(2).all(|pair| pair[0].end <= pair[1].start));
        Self { fragments }
    }

    /// The union of several sets.
    pub(crate) fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::union_of(sets.into_iter().map(Self::fragments))
    }

    /// The union of stretches of several sets.
    pub(crate) fn union_of<'a>(stretches: impl IntoIterator<Item = &'a [Fragment]>) -> Self {
        let mut all: Vec<&Fragment> = stretches.into_iter().flatten().collect();
        if all.is_empty() {
            return Self::default();
        }
        all.sort_by(|a, b| a.start.cmp(&b.start));
        let mut sweep = Sweep::default();
        for fragment in all {
            sweep.open(fragment);
        }
        sweep.advance_to(None);
        Self { fragments: sweep.done }
    }

    /// One tombstone; nothing for an empty range.
    pub(crate) fn one(start: &[u8], end: &[u8], seq: Seq) -> Self {
        let fragment =
            (start < end).then(|| Fragment { start: start.into(), end: end.into(), seqs: vec![seq] });
        Self { fragments: fragment.into_iter().collect() }
    }

    /// This set with one tombstone more, for tests that put one together.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn with(&self, start: &[u8], end: &[u8], seq: Seq) -> Self {
        Self::union([self, &Self::one(start, end, seq)])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    pub(crate) fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// The fragments with keys of `range`.
    pub(crate) fn over(&self, range: &KeyRange) -> &[Fragment] {
        let from = self.fragments.partition_point(|fragment| *fragment.end <= *range.start);
        let rest = &self.fragments[from..];
        let before_end = |fragment: &Fragment| range.end.as_ref().is_none_or(|end| *fragment.start < **end);
        &rest[..rest.partition_point(before_end)]
    }

    /// Sequences in all fragments: what it costs to copy the set.
    pub(crate) fn weight(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.seqs.len()).sum()
    }

    /// How many fragments begin or end between two keys, those that do both counted twice.
    pub(crate) fn cuts_between(&self, start: &[u8], end: &[u8]) -> usize {
        let before = |key: &[u8]| self.fragments.partition_point(|fragment| *fragment.start < *key);
        let ended = |key: &[u8]| self.fragments.partition_point(|fragment| *fragment.end < *key);
        let at_start = self.fragments.get(before(start)).is_some_and(|fragment| *fragment.start == *start);
        let ends_at_start = self.fragments.get(ended(start)).is_some_and(|fragment| *fragment.end == *start);
        let begin = before(end) - before(start) - usize::from(at_start);
        begin + ended(end) - ended(start) - usize::from(ends_at_start)
    }

    /// How many sequences have to be copied to cut the set at `key`; `None` where it is cut already.
    pub(crate) fn depth_at(&self, key: &[u8]) -> Option<usize> {
        let index = self.fragments.partition_point(|fragment| *fragment.end < *key);
        match self.fragments.get(index) {
            Some(fragment) if *fragment.end == *key || *fragment.start == *key => None,
            Some(fragment) if *fragment.start < *key => Some(fragment.seqs.len()),
            _ => Some(0),
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        let of = |fragment: &Fragment| {
            size_of::<Fragment>()
                + fragment.start.len()
                + fragment.end.len()
                + size_of_val(fragment.seqs.as_slice())
        };
        self.fragments.iter().map(of).sum()
    }

    /// The fragment with `key` in its range.
    pub(crate) fn fragment_over(&self, key: &[u8]) -> Option<&Fragment> {
        let index = self.fragments.partition_point(|fragment| *fragment.end <= *key);
        self.fragments.get(index).filter(|fragment| *fragment.start <= *key)
    }

    /// The sequences of the tombstones that cover `key`, descending.
    pub(crate) fn covering(&self, key: &[u8]) -> &[Seq] {
        self.fragment_over(key).map_or(&[], |fragment| &fragment.seqs)
    }

    /// The newest tombstone at or before `at` that covers `key`; [`Seq::ZERO`] if there is none.
    pub(crate) fn newest_covering(&self, key: &[u8], at: Seq) -> Seq {
        self.covering(key).iter().copied().find(|&seq| seq <= at).unwrap_or_default()
    }

    /// What of this set lies between `from` and `to` (exclusive; `None` for no end).
    pub(crate) fn clip(&self, from: &[u8], to: Option<&[u8]>) -> Self {
        let inside = |fragment: &Fragment| {
            let start: Box<[u8]> = if *fragment.start < *from { from.into() } else { fragment.start.clone() };
            let end: Box<[u8]> = match to {
                Some(to) if *to < *fragment.end => to.into(),
                _ => fragment.end.clone(),
            };
            (start < end).then(|| Fragment { start, end, seqs: fragment.seqs.clone() })
        };
        Self { fragments: self.fragments.iter().filter_map(inside).collect() }
    }
}

/// Walks over fragments in order of their starts and cuts where any of them begins or ends.
#[derive(Default)]
struct Sweep {
    done: Vec<Fragment>,
    at: Box<[u8]>,
    /// Ends of the open fragments, with their sequences.
    open: BTreeMap<Box<[u8]>, Vec<Seq>>,
}

impl Sweep {
    fn open(&mut self, fragment: &Fragment) {
        self.advance_to(Some(&fragment.start));
        self.open.entry(fragment.end.clone()).or_default().extend(&fragment.seqs);
    }

    /// Emits what lies before `to`.
    fn advance_to(&mut self, to: Option<&[u8]>) {
        while let Some(first_end) = self.open.keys().next().cloned() {
            let stop = match to {
                Some(to) if *to < *first_end => to.into(),
                _ => first_end.clone(),
            };
            self.emit(stop);
            if self.at != first_end {
                return;
            }
            self.open.remove(&first_end);
        }
        self.at = to.unwrap_or_default().into();
    }

    fn emit(&mut self, stop: Box<[u8]>) {
        if self.at < stop {
            let mut seqs: Vec<Seq> = self.open.values().flatten().copied().collect();
            seqs.sort_unstable_by(|a, b| b.cmp(a));
            seqs.dedup();
            self.done.push(Fragment { start: self.at.clone(), end: stop.clone(), seqs });
        }
        self.at = stop;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn set(ranges: &[(u8, u8, u64)]) -> RangeTombstones {
        ranges.iter().fold(RangeTombstones::default(), |set, &(start, end, number)| {
            set.with(&[start], &[end], seq(number))
        })
    }

    #[test]
    fn overlapping_tombstones_are_cut_where_any_of_them_begins_or_ends() {
        let set = set(&[(10, 30, 5), (20, 40, 7), (50, 60, 6), (20, 20, 9)]);
        let fragments: Vec<_> = set
            .fragments()
            .iter()
            .map(|f| (f.start[0], f.end[0], f.seqs.iter().map(|seq| seq.get()).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            fragments,
            [(10, 20, vec![5]), (20, 30, vec![7, 5]), (30, 40, vec![7]), (50, 60, vec![6])]
        );
        assert_eq!(set.newest_covering(&[25], seq(6)), seq(5));
        assert_eq!(set.newest_covering(&[25], seq(4)), Seq::ZERO);
        assert_eq!(set.newest_covering(&[45], seq(100)), Seq::ZERO);
    }

    #[test]
    fn cuts_are_counted_between_keys_and_what_a_new_one_copies_where_none_is() {
        let set = set(&[(10, 30, 5), (20, 40, 7), (50, 60, 6)]);
        assert_eq!(set.cuts_between(&[0], &[100]), 8);
        assert_eq!(set.cuts_between(&[10], &[60]), 6);
        assert_eq!(set.cuts_between(&[11], &[20]), 0);
        assert_eq!(set.cuts_between(&[15], &[35]), 4);
        let depths = [5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 70].map(|key| set.depth_at(&[key]));
        let cut = None;
        assert_eq!(depths, [Some(0), cut, Some(1), cut, Some(2), cut, cut, Some(0), cut, cut, Some(0)]);
    }

    #[test]
    fn a_clipped_set_covers_what_lies_inside() {
        let clipped = set(&[(10, 30, 5), (50, 60, 6)]).clip(&[20], Some(&[55]));
        assert_eq!(clipped, set(&[(20, 30, 5), (50, 55, 6)]));
        assert!(set(&[(10, 30, 5)]).clip(&[30], None).is_empty());
    }

    proptest! {
        #[test]
        fn a_set_covers_exactly_what_its_tombstones_cover(
            ranges in proptest::collection::vec((0..20u8, 0..20u8, 1..9u64), 0..12),
            at in 0..9u64,
        ) {
            let set = set(&ranges);
            prop_assert!(set.fragments().windows(2).all(|pair| pair[0].end <= pair[1].start));
            for key in 0..21u8 {
                let covers = |&(start, end, number): &(u8, u8, u64)| start <= key && key < end && number <= at;
                let newest = ranges.iter().filter(|range| covers(range)).map(|range| range.2).max();
                prop_assert_eq!(set.newest_covering(&[key], seq(at)).get(), newest.unwrap_or(0));
            }
        }
    }
}
