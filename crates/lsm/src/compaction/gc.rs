//! Which versions of a key are still needed.
//!
//! For a key whose history is complete from a *floor* on, the sequences at which somebody may read are the floor,
//! everything after it, and the pinned sequences before it. The pins and the floor cut the time up to the floor into
//! stripes; of the versions in one stripe only the newest can be seen by anyone, so the others go. A tombstone may go,
//! too, when it is in the oldest stripe and no deeper level can hold its key: then there is nothing left for it to
//! hide. A range tombstone counts as a version of every key in its range.

use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::retention::Retention;
use crate::tombstones::RangeTombstones;
use crate::types::{Kind, Seq, Trailer};

/// What was needed when a compaction began.
#[derive(Clone, Debug)]
pub(crate) struct Needed {
    /// Pinned sequences, ascending.
    pub(crate) pins: Vec<Seq>,
    /// The newest visible sequence.
    pub(crate) newest: Seq,
}

/// Decides version by version, keys ascending and versions of a key newest first.
pub(crate) struct VersionFilter<'a> {
    needed: &'a Needed,
    /// The ranges that are deleted in what is filtered.
    deleted: &'a RangeTombstones,
    /// Sequences of the deletions of ranges with the current key in them that are not passed yet, descending.
    deletions: &'a [Seq],
    retention: Retention,
    /// The floor of the current key; `None` keeps every version.
    floor: Option<Seq>,
    /// Number of pins before the floor, which is also the stripe that the floor closes.
    pins_before_floor: usize,
    /// Stripe of the last version of the current key that was seen; stripe 0 is the oldest.
    last_stripe: Option<usize>,
    /// Versions of the current key seen at or before the newest sequence.
    seen: u32,
}

impl<'a> VersionFilter<'a> {
    pub(crate) fn new(needed: &'a Needed, deleted: &'a RangeTombstones) -> Self {
        debug_assert!(needed.pins.is_sorted());
        Self {
            needed,
            deleted,
            deletions: &[],
            retention: Retention::Unbounded,
            floor: None,
            pins_before_floor: 0,
            last_stripe: None,
            seen: 0,
        }
    }

    /// The versions of `key` follow, whose retention is this.
    pub(crate) fn start_key(&mut self, key: &[u8], retention: Retention) {
        if !self.deleted.is_empty() {
            self.deletions = self.deleted.covering(key);
        }
        if retention != self.retention {
            self.retention = retention;
            self.floor = retention.floor(self.needed.newest);
            let floor = self.floor.unwrap_or_default();
            self.pins_before_floor = self.needed.pins.partition_point(|&pin| pin < floor);
        }
        self.last_stripe = None;
        self.seen = 0;
    }

    /// Whether to keep the next version. `hides_nothing` says whether no deeper level can hold the key.
    pub(crate) fn keep(&mut self, trailer: Trailer, hides_nothing: impl FnOnce() -> bool) -> bool {
        while let Some((&deletion, rest)) = self.deletions.split_first()
            && deletion > trailer.seq()
        {
            self.deletions = rest;
            self.pass_deletion(deletion);
        }
        let Some(stripe) = self.stripe(trailer.seq()) else {
            self.count(trailer.seq());
            return true;
        };
        let newest_in_stripe = self.last_stripe.replace(stripe) != Some(stripe);
        let missing = u32::from(planted::active(Bug::OneVersionLess));
        let among_last =
            matches!(self.retention, Retention::Versions(count) if self.seen + missing < count.get());
        self.count(trailer.seq());
        if among_last {
            return true;
        }
        if !newest_in_stripe {
            hit(Mark::VersionDropped);
            return false;
        }
        if trailer.kind() == Kind::Delete && stripe == 0 {
            let dropped = hides_nothing() || planted::active(Bug::TombstoneDroppedTooSoon);
            hit(if dropped { Mark::TombstoneDropped } else { Mark::TombstoneKept });
            return !dropped;
        }
        if stripe < self.pins_before_floor {
            hit(Mark::KeptForPin);
        }
        true
    }

    /// The deletion of a range lies between the version before and the next one.
    fn pass_deletion(&mut self, seq: Seq) {
        if let Some(stripe) = self.stripe(seq) {
            self.last_stripe = Some(stripe);
        }
        self.count(seq);
    }

    /// The stripe of a sequence; `None` after the floor, where everything is kept.
    fn stripe(&self, seq: Seq) -> Option<usize> {
        let floor = self.floor?;
        if seq > floor {
            return None;
        }
        if planted::active(Bug::PinsIgnored) {
            return Some(0);
        }
        Some(self.needed.pins.partition_point(|&pin| pin < seq).min(self.pins_before_floor))
    }

    fn count(&mut self, seq: Seq) {
        self.seen += u32::from(seq <= self.needed.newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    /// Sequences kept of one key's versions, given as (sequence, is a put), newest first.
    fn kept(
        retention: Retention,
        (pins, newest): (&[u64], u64),
        versions: &[(u64, bool)],
        hides_nothing: bool,
    ) -> Vec<u64> {
        let needed = Needed { pins: pins.iter().map(|&pin| seq(pin)).collect(), newest: seq(newest) };
        let none = RangeTombstones::default();
        let mut filter = VersionFilter::new(&needed, &none);
        filter.start_key(b"k", retention);
        let kept = versions.iter().filter(|(number, put)| {
            let kind = if *put { Kind::Put } else { Kind::Delete };
            filter.keep(Trailer::new(seq(*number), kind), || hides_nothing)
        });
        kept.map(|(number, _)| *number).collect()
    }

    const MANY: [(u64, bool); 6] = [(9, true), (8, true), (6, true), (5, true), (3, true), (1, true)];

    #[test]
    fn unbounded_keeps_everything() {
        assert_eq!(
            kept(Retention::Unbounded, (&[], 10), &[(9, false), (5, true), (2, true)], true),
            [9, 5, 2]
        );
    }

    #[test]
    fn of_each_stripe_only_the_newest_version_is_kept() {
        let latest = |pins, newest| kept(Retention::LatestOnly, (pins, newest), &MANY, true);
        assert_eq!(latest(&[], 10), [9]);
        assert_eq!(latest(&[5], 10), [9, 5]);
        assert_eq!(latest(&[4, 7], 10), [9, 6, 3]);
        assert_eq!(latest(&[], 7), [9, 8, 6], "what is newer than the newest visible is not touched");
    }

    #[test]
    fn since_keeps_everything_after_its_sequence_and_what_was_newest_at_it() {
        let since = |at, pins| kept(Retention::Since(seq(at)), (pins, 10), &MANY, true);
        assert_eq!(since(5, &[]), [9, 8, 6, 5]);
        assert_eq!(since(4, &[]), [9, 8, 6, 5, 3]);
        assert_eq!(since(8, &[2]), [9, 8, 1]);
        assert_eq!(since(100, &[]), [9]);
    }

    #[test]
    fn last_versions_keep_their_number_and_what_pins_see() {
        let last =
            |count, pins| kept(Retention::Versions(NonZeroU32::new(count).unwrap()), (pins, 10), &MANY, true);
        assert_eq!(last(1, &[]), [9]);
        assert_eq!(last(3, &[]), [9, 8, 6]);
        assert_eq!(last(2, &[4]), [9, 8, 3]);
        assert_eq!(last(100, &[]), [9, 8, 6, 5, 3, 1]);
    }

    #[test]
    fn a_tombstone_stays_while_it_hides_something() {
        let versions = [(9, false), (5, true), (2, true)];
        let latest = |pins, hides_nothing| kept(Retention::LatestOnly, (pins, 10), &versions, hides_nothing);
        assert_eq!(latest(&[], true), Vec::<u64>::new());
        assert_eq!(latest(&[], false), [9]);
        assert_eq!(latest(&[5], true), [9, 5]);
        assert_eq!(latest(&[1], true), [9]);
    }

    #[test]
    fn a_range_tombstone_hides_what_is_older_in_its_stripe() {
        let needed = Needed { pins: vec![seq(4)], newest: seq(10) };
        let deleted = RangeTombstones::default().with(b"j", b"l", seq(8));
        let mut filter = VersionFilter::new(&needed, &deleted);
        let mut keep = |key: &[u8], versions: &[u64]| {
            filter.start_key(key, Retention::LatestOnly);
            let mut kept = versions.to_vec();
            kept.retain(|number| filter.keep(Trailer::new(seq(*number), Kind::Put), || true));
            kept
        };
        assert_eq!(keep(b"k", &[9, 8, 6, 3]), [9, 3], "the pin at 4 still sees 3");
        assert_eq!(keep(b"k", &[6, 3, 1]), [3], "6 is hidden from all who read after 8");
        assert_eq!(keep(b"m", &[6, 3, 1]), [6, 3], "another key");
    }
}
