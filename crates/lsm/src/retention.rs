//! Which versions are kept, by key range, and from where on history is therefore complete.
//!
//! [`RetentionRules`] say what is wanted: one retention for every range of keys. [`Floors`] say what has become of it:
//! for every range the oldest sequence at which it can still be read exactly. A compaction raises the floors, in the
//! same manifest edit in which it drops versions, and never lowers them. Only a crash does, which may take back the commits
//! that raised them.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::types::Seq;

/// Which old versions of keys are kept. Whatever the retention, open snapshots keep what they see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Every version, for ever.
    #[default]
    Unbounded,
    /// Only the newest version.
    LatestOnly,
    /// The newest versions of each key, this many, tombstones included. Reading *as of* an earlier sequence is not
    /// exact any more once a version was dropped; listing the versions of a key is what this is for.
    Versions(NonZeroU32),
    /// Everything that is needed to read as of this sequence or a later one.
    Since(Seq),
    /// Everything that is needed to read as of any moment that is not longer ago than this, and a little more (at most
    /// 2 %). What was newest at the oldest of these moments is kept, however old it is. Which commits a moment means
    /// is recorded when they are made, see [`crate::Db::seq_at`]; if that is not known, they are kept.
    MaxAge(Duration),
}

impl Retention {
    /// From where on the past can be read exactly once everything allowed was dropped, if `newest` is the newest
    /// sequence now; `None` when nothing may be dropped. What an age means is for [`RetentionRules::resolved`] to say.
    pub(crate) fn floor(self, newest: Seq) -> Option<Seq> {
        match self {
            Self::Unbounded | Self::MaxAge(_) => None,
            Self::LatestOnly | Self::Versions(_) => Some(newest),
            Self::Since(_) if planted::active(Bug::SinceIsLatest) => Some(newest),
            Self::Since(seq) => Some(seq.min(newest)),
        }
    }
}

/// A value for every key, constant over ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RangeMap<T> {
    /// Where each stretch begins, ascending, and its value; the first begins at the empty key.
    stretches: Vec<(Vec<u8>, T)>,
}

impl<T: Copy + PartialEq> RangeMap<T> {
    fn new(everywhere: T) -> Self {
        Self { stretches: vec![(Vec::new(), everywhere)] }
    }

    fn index_of(&self, key: &[u8]) -> usize {
        self.stretches.partition_point(|(start, _)| start.as_slice() <= key).saturating_sub(1)
    }

    fn at(&self, key: &[u8]) -> T {
        self.stretches[self.index_of(key)].1
    }

    /// Changes the values over a range.
    fn change(&mut self, range: &KeyRange, change: impl Fn(T) -> T) {
        if range.is_empty() {
            return;
        }
        let first = self.cut_at(&range.start);
        let end = range.end.as_ref().map_or(self.stretches.len(), |end| self.cut_at(end));
        for (_, value) in &mut self.stretches[first..end] {
            *value = change(*value);
        }
        // What is equal now to its neighbour is one stretch with it; only in and around the range can that be.
        let mut at = first.max(1);
        for _ in first.max(1)..=end {
            if self.stretches.get(at).is_some_and(|next| next.1 == self.stretches[at - 1].1) {
                self.stretches.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Makes a stretch begin at `key`, and says which it is.
    fn cut_at(&mut self, key: &[u8]) -> usize {
        let index = self.index_of(key);
        if self.stretches[index].0 == key {
            return index;
        }
        let value = self.stretches[index].1;
        self.stretches.insert(index + 1, (key.to_vec(), value));
        index + 1
    }

    /// The stretches that share keys with a range.
    fn over(&self, range: &KeyRange) -> impl Iterator<Item = (KeyRange, T)> + use<'_, T> {
        let ends = self.stretches[1..].iter().map(|(start, _)| Some(start)).chain([None]);
        let (from, end) = (range.start.clone(), range.end.clone());
        let whole = self.stretches.iter().zip(ends);
        let over = whole.filter(move |((start, _), stretch_end)| {
            stretch_end.is_none_or(|stretch_end| *stretch_end > from)
                && end.as_ref().is_none_or(|end| start < end)
        });
        over.map(|((start, value), end)| (KeyRange { start: start.clone(), end: end.cloned() }, *value))
    }
}

/// The retention of every key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRules {
    map: RangeMap<Retention>,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self::new(Retention::default())
    }
}

impl RetentionRules {
    /// The same retention for all keys.
    pub fn new(everywhere: Retention) -> Self {
        Self { map: RangeMap::new(everywhere) }
    }

    /// Sets the retention of the keys in `range`.
    pub fn set(&mut self, range: &KeyRange, retention: Retention) {
        self.map.change(range, |_| retention);
    }

    /// The retention of `key`.
    pub fn of(&self, key: &[u8]) -> Retention {
        self.map.at(key)
    }

    /// The least age that something depends on.
    pub(crate) fn least_age(&self) -> Option<Duration> {
        let age = |retention: &Retention| match retention {
            Retention::MaxAge(age) => Some(*age),
            _ => None,
        };
        self.map.stretches.iter().filter_map(|(_, retention)| age(retention)).min()
    }

    /// The same rules with sequences instead of ages; `floor` says what an age means now.
    pub(crate) fn resolved(&self, floor: impl Fn(Duration) -> Seq) -> Self {
        let resolve = |(start, retention): &(Vec<u8>, Retention)| {
            let retention = match *retention {
                Retention::MaxAge(age) => Retention::Since(floor(age)),
                other => other,
            };
            (start.clone(), retention)
        };
        Self { map: RangeMap { stretches: self.map.stretches.iter().map(resolve).collect() } }
    }

    /// The retentions of the keys in `range`, by stretches.
    pub(crate) fn over(&self, range: &KeyRange) -> impl Iterator<Item = (KeyRange, Retention)> + use<'_> {
        self.map.over(range)
    }
}

/// The oldest exact sequence of every key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Floors {
    map: RangeMap<Seq>,
}

impl Default for Floors {
    fn default() -> Self {
        Self { map: RangeMap::new(Seq::ZERO) }
    }
}

impl Floors {
    /// Raises the floor of the keys in `range` to `floor`.
    pub(crate) fn raise(&mut self, range: &KeyRange, floor: Seq) {
        self.map.change(range, |old| old.max(floor));
    }

    /// Lowers the floors above `newest`, the last commit that a crash left, to it. They were set by commits that the
    /// crash took back; every key's newest version is always kept, so `newest` itself is exact.
    pub(crate) fn lower_to(&mut self, newest: Seq) {
        self.map.change(&KeyRange::default(), |old| old.min(newest));
    }

    /// The floor of `key`.
    pub(crate) fn of(&self, key: &[u8]) -> Seq {
        self.map.at(key)
    }

    /// The greatest floor of a key in `range`.
    pub(crate) fn greatest_over(&self, range: &KeyRange) -> Seq {
        self.map.over(range).map(|(_, floor)| floor).max().unwrap_or_default()
    }

    /// The greatest floor of all keys.
    pub(crate) fn greatest(&self) -> Seq {
        self.map.stretches.iter().map(|(_, floor)| *floor).max().unwrap_or_default()
    }

    /// The least floor of all keys.
    pub(crate) fn least(&self) -> Seq {
        self.map.stretches.iter().map(|(_, floor)| *floor).min().unwrap_or_default()
    }

    /// The ranges whose floor is not zero.
    pub(crate) fn raised(&self) -> impl Iterator<Item = (KeyRange, Seq)> {
        self.map.over(&KeyRange::default()).filter(|(_, floor)| *floor > Seq::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn range(start: &[u8], end: Option<&[u8]>) -> KeyRange {
        KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) }
    }

    #[test]
    fn a_rule_holds_from_its_start_up_to_before_its_end() {
        let mut rules = RetentionRules::default();
        rules.set(&range(b"b", Some(b"d")), Retention::LatestOnly);
        rules.set(&range(b"c", None), Retention::Since(seq(9)));
        let of = |key: &[u8]| rules.of(key);
        assert_eq!((of(b""), of(b"a\xFF")), (Retention::Unbounded, Retention::Unbounded));
        assert_eq!((of(b"b"), of(b"bz")), (Retention::LatestOnly, Retention::LatestOnly));
        assert_eq!((of(b"c"), of(b"z")), (Retention::Since(seq(9)), Retention::Since(seq(9))));
        assert_eq!(rules.over(&range(b"a", Some(b"b"))).count(), 1);
        assert_eq!(rules.over(&range(b"a", Some(b"b\0"))).count(), 2);
    }

    #[test]
    fn floors_that_a_crash_overtook_sink_to_what_it_left() {
        let mut floors = Floors::default();
        floors.raise(&range(b"b", Some(b"d")), seq(7));
        floors.raise(&range(b"d", None), seq(3));
        floors.lower_to(seq(5));
        assert_eq!([b"a", b"b", b"d"].map(|key| floors.of(key).get()), [0, 5, 3]);
    }

    #[test]
    fn floors_are_only_raised() {
        let mut floors = Floors::default();
        floors.raise(&range(b"b", Some(b"d")), seq(7));
        floors.raise(&range(b"c", Some(b"e")), seq(5));
        assert_eq!([b"a", b"b", b"c", b"d", b"e"].map(|key| floors.of(key).get()), [0, 7, 7, 5, 0]);
        assert_eq!((floors.greatest(), floors.least()), (seq(7), Seq::ZERO));
        assert_eq!(floors.greatest_over(&range(b"d", None)), seq(5));
        assert_eq!(floors.raised().count(), 2);
    }

    proptest! {
        #[test]
        fn a_range_map_equals_an_array(changes in proptest::collection::vec((0..30u8, 0..32u8, 0..5u64), 0..30)) {
            let mut floors = Floors::default();
            let mut model = [0u64; 31];
            for (start, end, floor) in changes {
                let end = (end < 31).then_some([end]);
                let stop = end.map_or(31, |end| usize::from(end[0]));
                floors.raise(&range(&[start], end.as_ref().map(<[u8; 1]>::as_slice)), seq(floor));
                for value in model.iter_mut().take(stop).skip(usize::from(start)) {
                    *value = floor.max(*value);
                }
            }
            for (key, expected) in model.iter().enumerate() {
                prop_assert_eq!(floors.of(&[key as u8]).get(), *expected);
            }
        }
    }
}
