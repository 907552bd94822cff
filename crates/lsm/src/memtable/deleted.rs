//! The ranges deleted in a memtable: one more at a time, while others read.
//!
//! A set of fragments never changes, so that readers need no lock, and one range more means a new set with all of it. To
//! spare most of that copying there are several sets, or *runs*, from old to new. A range begins as a run of its own, and
//! what comes to as much as the run before it is merged with that. So an older run is, as a rule, at least twice as heavy as
//! the next one; what was deleted first is copied again only when as much has come after it: once for each doubling, not
//! once for each range.

use std::sync::Arc;

use crate::range::KeyRange;
use crate::tombstones::{Fragment, RangeTombstones};
use crate::types::Seq;

/// Deleted ranges. Immutable: [`DeletedRanges::with`] makes another one, which shares what it can.
#[derive(Clone, Default)]
pub(crate) struct DeletedRanges {
    runs: Vec<Run>,
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
        let added = RangeTombstones::one(start, end, seq);
        let mut weight = added.weight();
        let heavier = |run: &Run| {
            let is_heavier = run.weight > weight;
            weight += run.weight;
            is_heavier
        };
        let kept = self.runs.iter().rposition(heavier).map_or(0, |last| last + 1);
        let (kept, merged) = self.runs.split_at(kept);
        let merged = RangeTombstones::union(merged.iter().map(|run| &*run.set).chain([&added]));
        Self { runs: kept.iter().cloned().chain([Run::new(merged)]).collect() }
    }

    /// The newest deletion at or before `at` with `key` in its range; [`Seq::ZERO`] if there is none.
    pub(super) fn newest_covering(&self, key: &[u8], at: Seq) -> Seq {
        self.runs.iter().map(|run| run.set.newest_covering(key, at)).max().unwrap_or_default()
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
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
        }
        (all, copied)
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
            let (all, copied) = add_all(ranges);
            assert!(copied <= 13 * count as usize, "{copied} copied");
            assert!(all.runs.len() <= 13, "a read has to look into {} runs", all.runs.len());
            assert_eq!(all.to_set().weight(), count as usize);
        }
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
