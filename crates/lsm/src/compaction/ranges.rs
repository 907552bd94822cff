//! Which deletions of ranges are still needed, and which of them belong into which new table.
//!
//! A range tombstone is treated as a version of every key in its range: of those in one stripe only the newest is
//! needed, and one in the oldest stripe is not needed when no deeper level holds keys of its range. Where a number of
//! versions is kept, the deletion stays, too, because what is kept may be older than it. Where the keys of a range have
//! different retentions, the one that keeps most decides.

use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::{Retention, RetentionRules};
use crate::tombstones::{Fragment, RangeTombstones};
use crate::types::Seq;

use super::gc::Needed;

/// The part of `all` that must be written again.
pub(super) fn still_needed(
    all: &RangeTombstones,
    rules: &RetentionRules,
    needed: &Needed,
    hides_nothing: impl Fn(&KeyRange) -> bool,
) -> RangeTombstones {
    let kept = all.fragments().iter().filter_map(|fragment| {
        let range = KeyRange { start: fragment.start.to_vec(), end: Some(fragment.end.to_vec()) };
        let seqs = match least_floor(rules, needed, &range) {
            None => fragment.seqs.clone(),
            Some(floor) => newest_of_stripes(fragment, needed, floor, || hides_nothing(&range)),
        };
        (!seqs.is_empty()).then(|| Fragment {
            start: fragment.start.clone(),
            end: fragment.end.clone(),
            seqs,
        })
    });
    RangeTombstones::from_fragments(kept.collect())
}

/// The least floor of the keys of a range; `None` if some of them may keep versions below their floor, which a
/// deletion must go on hiding.
fn least_floor(rules: &RetentionRules, needed: &Needed, range: &KeyRange) -> Option<Seq> {
    let floor = |(_, retention): (KeyRange, Retention)| match retention {
        Retention::Unbounded | Retention::Versions(_) | Retention::MaxAge(_) => None,
        Retention::LatestOnly | Retention::Since(_) => retention.floor(needed.newest),
    };
    let floors: Option<Vec<Seq>> = rules.over(range).map(floor).collect();
    floors?.into_iter().min()
}

fn newest_of_stripes(
    fragment: &Fragment,
    needed: &Needed,
    floor: Seq,
    hides_nothing: impl Fn() -> bool,
) -> Vec<Seq> {
    let pins_before_floor = needed.pins.partition_point(|&pin| pin < floor);
    let mut last_stripe = None;
    let mut kept = fragment.seqs.clone();
    kept.retain(|&seq| {
        if seq > floor {
            return true;
        }
        let stripe = needed.pins.partition_point(|&pin| pin < seq).min(pins_before_floor);
        let newest = last_stripe.replace(stripe) != Some(stripe);
        let useless = stripe == 0 && (hides_nothing() || planted::active(Bug::RangeTombstoneDroppedTooSoon));
        if !newest || useless {
            hit(Mark::RangeTombstoneDropped);
        }
        newest && !useless
    });
    kept
}

/// Hands out the tombstones of a compaction to its output tables, in key order.
pub(crate) struct Clipper {
    tombstones: RangeTombstones,
    /// Where the part that has not been handed out begins.
    from: Vec<u8>,
}

impl Clipper {
    pub(crate) fn new(tombstones: RangeTombstones) -> Self {
        Self { tombstones, from: Vec::new() }
    }

    /// The tombstones of a table that ends before `to`; `None` for the last table.
    pub(crate) fn take(&mut self, to: Option<&[u8]>) -> RangeTombstones {
        if self.tombstones.is_empty() {
            return RangeTombstones::default();
        }
        if to.is_none() && !self.from.is_empty() && planted::active(Bug::RangeTombstoneLostAtCut) {
            return RangeTombstones::default();
        }
        let taken = self.tombstones.clip(&self.from, to);
        if to.is_some() && !taken.is_empty() {
            hit(Mark::RangeTombstoneClipped);
        }
        if let Some(to) = to {
            self.from = to.to_vec();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn set(ranges: &[(&[u8], &[u8], u64)]) -> RangeTombstones {
        let add = |set: RangeTombstones, &(start, end, number): &(&[u8], &[u8], u64)| {
            set.with(start, end, seq(number))
        };
        ranges.iter().fold(RangeTombstones::default(), add)
    }

    #[test]
    fn of_each_stripe_the_newest_deletion_is_kept_until_it_hides_nothing() {
        let all = set(&[(b"a", b"m", 3), (b"a", b"m", 5), (b"a", b"m", 8)]);
        let needed = Needed { pins: vec![seq(6)], newest: seq(10) };
        let latest = RetentionRules::new(Retention::LatestOnly);
        let kept = |rules, hides| still_needed(&all, rules, &needed, |_| hides);
        assert_eq!(kept(&latest, false), set(&[(b"a", b"m", 5), (b"a", b"m", 8)]));
        assert_eq!(kept(&latest, true), set(&[(b"a", b"m", 8)]));
        assert_eq!(kept(&RetentionRules::default(), true), all);
    }

    #[test]
    fn the_retention_that_keeps_most_decides() {
        let all = set(&[(b"a", b"m", 3)]);
        let mut rules = RetentionRules::new(Retention::LatestOnly);
        let needed = Needed { pins: vec![], newest: seq(10) };
        assert!(still_needed(&all, &rules, &needed, |_| true).is_empty());
        rules.set(&KeyRange::prefix(b"l"), Retention::Unbounded);
        assert_eq!(still_needed(&all, &rules, &needed, |_| true), all);
    }

    #[test]
    fn every_part_of_a_deletion_goes_to_one_table() {
        let mut clipper = Clipper::new(set(&[(b"b", b"f", 3), (b"h", b"k", 4)]));
        assert_eq!(clipper.take(Some(b"d")), set(&[(b"b", b"d", 3)]));
        assert_eq!(clipper.take(Some(b"e")), set(&[(b"d", b"e", 3)]));
        assert_eq!(clipper.take(None), set(&[(b"e", b"f", 3), (b"h", b"k", 4)]));
    }
}
