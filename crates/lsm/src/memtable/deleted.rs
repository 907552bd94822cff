//! The ranges deleted in a memtable: one more at a time, while others read.
//!
//! A set of fragments never changes, so that readers need no lock, and one range more means a new set with all of it. To
//! spare most of that copying there are several sets, or *runs*, from old to new. A run is always at least twice as heavy as
//! the next one: a range begins as a run of its own, and merges with the run before it unless that is twice as heavy as all
//! that has come since. What counts is the weight *after* a merge. Where ranges overlap, that can be far more than the sum of
//! both, and runs that looked at the sum would stay apart for ever. So the number of runs, which a read looks into one by
//! one, is that of the doublings in the weight of all, whatever the ranges look like; and what was deleted first is copied
//! again only when as much, or half as much, has come after it: once for each doubling, not once for each range.
//!
//! Runs that stay apart may be far heavier as one set, into which a flush puts them: many ranges side by side, and then many
//! over all of them. So what that set will weigh is estimated as ranges come, and they count for that towards the size of
//! the memtable if it is more than what they take now.

use std::sync::Arc;

use crate::range::KeyRange;
use crate::tombstones::{Fragment, RangeTombstones};
use crate::types::Seq;

/// Deleted ranges. Immutable: [`DeletedRanges::with`] makes another one, which shares what it can.
#[derive(Clone, Default)]
pub(crate) struct DeletedRanges {
    runs: Vec<Run>,
    /// About the weight that all of them in one set would have; exact while there is one run.
    weight_as_one: usize,
}

#[derive(Clone)]
struct Run {
    set: Arc<RangeTombstones>,
    /// Sequences in all fragments: what copying it costs.
    weight: usize,
    bytes: usize,
}

impl Run {
    fn new(set: RangeTombstones) -> Self {
        Self { weight: set.weight(), bytes: set.memory_bytes(), set: Arc::new(set) }
    }
}

impl DeletedRanges {
    /// These and one more. An empty range adds nothing.
    pub(super) fn with(&self, start: &[u8], end: &[u8], seq: Seq) -> Self {
        let mut kept = self.runs.as_slice();
        let mut merged = Run::new(RangeTombstones::one(start, end, seq));
        if merged.weight == 0 {
            return self.clone();
        }
        let weight_as_one = self.weight_as_one + self.growth_by(start, end);
        // Several at once where the sum of their weights is reason enough; then again, for the union may be heavier.
        while let (heavy, light @ [_, ..]) = split_by_weight(kept, merged.weight) {
            let sets = light.iter().chain([&merged]).map(|run| &*run.set);
            merged = Run::new(RangeTombstones::union(sets));
            kept = heavy;
        }
        let weight_as_one = if kept.is_empty() { merged.weight } else { weight_as_one };
        Self { runs: kept.iter().cloned().chain([merged]).collect(), weight_as_one }
    }

    /// About how much heavier one set of all would get by a range: its sequence is in each fragment that it covers, and what it
    /// cuts is there twice.
    fn growth_by(&self, start: &[u8], end: &[u8]) -> usize {
        let inside: usize = self.runs.iter().map(|run| run.set.cuts_between(start, end)).sum();
        let cut = |key| self.runs.iter().map(|run| run.set.depth_at(key)).sum::<Option<usize>>().unwrap_or(0);
        1 + inside + cut(start) + cut(end)
    }

    /// The newest deletion at or before `at` with `key` in its range; [`Seq::ZERO`] if there is none.
    pub(super) fn newest_covering(&self, key: &[u8], at: Seq) -> Seq {
        self.runs.iter().map(|run| run.set.newest_covering(key, at)).max().unwrap_or_default()
    }

    /// Bytes of memory in use, or that a flush will use for them, whichever is more.
    pub(super) fn counted_bytes(&self) -> usize {
        self.memory_bytes().max(self.weight_as_one.saturating_mul(size_of::<Seq>()))
    }

    fn memory_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.bytes).sum()
    }

    /// All of them in one set.
    pub(crate) fn to_set(&self) -> RangeTombstones {
        RangeTombstones::union(self.runs.iter().map(|run| &*run.set))
    }

    /// The fragments with keys of `range`, run by run.
    pub(crate) fn over(&self, range: &KeyRange) -> impl Iterator<Item = &[Fragment]> {
        self.runs.iter().map(|run| run.set.over(range))
    }
}

/// `runs` in two parts: those that may stay before a run of `weight`, and those that it is to be merged with.
fn split_by_weight(runs: &[Run], mut weight: usize) -> (&[Run], &[Run]) {
    let may_stay = |run: &Run| {
        let is_twice = run.weight >= 2 * weight;
        weight += run.weight;
        is_twice
    };
    runs.split_at(runs.iter().rposition(may_stay).map_or(0, |last| last + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    /// Adds ranges one by one; returns the result and the weight of all runs that were made on the way.
    fn add_all<K: AsRef<[u8]>>(ranges: impl IntoIterator<Item = (K, K, u64)>) -> (DeletedRanges, usize) {
        let (mut all, mut copied) = (DeletedRanges::default(), 0);
        for (start, end, number) in ranges {
            let next = all.with(start.as_ref(), end.as_ref(), seq(number));
            let is_new = |run: &&Run| !all.runs.iter().any(|old| Arc::ptr_eq(&old.set, &run.set));
            copied += next.runs.iter().filter(is_new).map(|run| run.weight).sum::<usize>();
            all = next;
            let weights: Vec<_> = all.runs.iter().map(|run| run.weight).collect();
            assert!(weights.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "runs of {weights:?}");
        }
        (all, copied)
    }

    /// What is to hold, whatever the ranges look like. Returns the weight of all of them in one set.
    fn add_all_and_check(ranges: &[([u8; 8], [u8; 8], u64)]) -> usize {
        let (all, copied) = add_all(ranges.iter().copied());
        let whole = all.to_set();
        let doublings = whole.weight().ilog2() as usize + 1;
        assert!(all.runs.len() <= doublings, "a read has to look into {} runs", all.runs.len());
        assert!(copied <= doublings * whole.weight(), "{copied} copied");
        let (counted, needed) = (all.counted_bytes(), whole.memory_bytes());
        assert!(needed <= 4 * counted, "{counted} bytes are counted, and a flush makes {needed} of them");
        assert!(
            counted <= 4 * needed,
            "{counted} bytes are counted, and a flush makes only {needed} of them"
        );
        whole.weight()
    }

    #[test]
    fn each_range_is_copied_once_for_each_doubling_and_not_once_for_each_other_range() {
        let count = 1u64 << 12;
        let apart = |number: u64| ((number * 2).to_be_bytes(), (number * 2 + 1).to_be_bytes(), number + 1);
        for ranges in [
            (0..count).map(apart).collect::<Vec<_>>(),
            (0..count).rev().map(apart).collect(),
            (0..count).map(|number| apart(number * 2_654_435_761 % count)).collect(),
            // The same range again and again.
            (0..count).map(|number| (apart(0).0, apart(0).1, number + 1)).collect(),
        ] {
            assert_eq!(add_all_and_check(&ranges), count as usize);
        }
    }

    #[test]
    fn ranges_that_overlap_are_merged_as_they_get_heavier_by_it() {
        let range = |start: u64, end: u64| (start.to_be_bytes(), end.to_be_bytes());
        // As many runs as there can be, and one.
        for count in [(1u64 << 9) - 1, 1 << 9] {
            let shape = |of: &dyn Fn(u64) -> ([u8; 8], [u8; 8])| {
                let numbered = |number| (of(number).0, of(number).1, number + 1);
                add_all_and_check(&(0..count).map(numbered).collect::<Vec<_>>())
            };
            let n = count as usize;
            let sliding = shape(&|number| range(number, number + 2));
            let growing = shape(&|number| range(0, number + 1));
            let shrinking = shape(&|number| range(number, count));
            let nested = shape(&|number| range(number, 2 * count - number));
            let around = shape(&|number| range(count - number, count + 1 + number));
            assert_eq!([sliding, growing, shrinking], [2 * n, n * (n + 1) / 2, n * (n + 1) / 2]);
            assert_eq!([nested, around], [n * n, n * n]);
        }
    }

    #[test]
    fn ranges_over_many_others_count_for_what_a_flush_makes_of_them() {
        let apart = |number: u64| ((number * 2).to_be_bytes(), (number * 2 + 1).to_be_bytes());
        for (many, over) in [(1000, 100), (1000, 1000), (100, 1000)] {
            let side_by_side = (0..many).map(apart);
            // Each a little longer than the one before, so that they do not begin and end at the same keys.
            let over_all =
                (0..over).map(|number: u64| (0u64.to_be_bytes(), (2 * many + number).to_be_bytes()));
            let all = side_by_side.chain(over_all).zip(1..);
            let weight = add_all_and_check(
                &all.map(|((start, end), number)| (start, end, number)).collect::<Vec<_>>(),
            );
            assert!(weight as u64 > 2 * many * over);
        }
    }

    #[test]
    fn an_empty_range_adds_nothing() {
        let (all, _) = add_all([([1], [3], 1), ([2], [2], 2), ([3], [1], 3), ([2], [2], 4)]);
        assert_eq!((all.runs.len(), all.to_set().weight()), (1, 1));
    }

    #[test]
    fn what_they_take_is_the_sum_of_what_is_left_of_the_runs() {
        let (all, _) = add_all((0..100u8).map(|number| ([number], [number + 2], u64::from(number) + 1)));
        assert_eq!(all.memory_bytes(), all.runs.iter().map(|run| run.set.memory_bytes()).sum::<usize>());
    }

    proptest! {
        #[test]
        fn they_cover_what_one_set_with_the_same_ranges_covers(
            ranges in proptest::collection::vec((0..20u8, 0..20u8), 0..40),
            from in 0..20u8,
            to in 0..20u8,
        ) {
            let numbered = ranges.iter().zip(1..).map(|(&(start, end), number)| ([start], [end], number));
            let (all, _) = add_all(numbered.clone());
            let expected = numbered.fold(RangeTombstones::default(), |set, (start, end, number)| {
                set.with(&start, &end, seq(number))
            });
            prop_assert_eq!(&all.to_set(), &expected);
            let range = KeyRange { start: vec![from], end: Some(vec![to]) };
            let part = RangeTombstones::union_of(all.over(&range));
            for key in 0..21u8 {
                for at in 0..=ranges.len() as u64 {
                    let newest = expected.newest_covering(&[key], seq(at));
                    prop_assert_eq!(all.newest_covering(&[key], seq(at)), newest);
                    if range.contains(&[key]) {
                        prop_assert_eq!(part.newest_covering(&[key], seq(at)), newest);
                    }
                }
            }
        }
    }
}
