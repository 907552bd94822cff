//! Which commit was the newest at which moment.
//!
//! A [`Timeline`] is a list of *moments*: at this time, that commit was the newest; every commit up to it was made at or
//! before that time, every later one at or after it. Times and sequences only ever go up in it, whatever the clock does:
//! what does not come after the last moment is left out. So between two moments it is not known when a commit was made, and
//! whoever asks is given the older one, never a commit from after the time that was asked for.
//!
//! The list has at most [`MAX_MOMENTS`]. When it is full, it is thinned: gaps may grow to [`AGE_RESOLUTION`]th of their
//! age, which is enough for ten years.
//!
//! A [`Timekeeper`] extends the timeline of an open store by asking the clock. Commits state their time in the log when
//! [`TIME_STEP`] has passed since the last that did, so one that states nothing was made within that time. While the clock
//! is behind the last moment, nothing is known, and every commit says that. The first commit of a memtable states its time
//! in any case: the log before it goes when the memtable before it is flushed.

use std::ops::Range;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::limits::{AGE_RESOLUTION, MAX_MOMENTS, TIME_STEP};
use crate::types::Seq;

/// At `time`, the newest commit was `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) time: Timestamp,
    pub(crate) seq: Seq,
}

/// What a commit says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Every commit before this one was made at or before this time; may be unknown.
    pub(crate) settled: Timestamp,
    /// When this one was made. Unknown while the clock is behind.
    pub(crate) at: Timestamp,
}

/// What [`crate::Db::seq_at`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqAt {
    /// A commit that had been made by then, and all before it.
    pub seq: Seq,
    /// Later commits that had been made by then, too, are at most this much older than the moment asked for. Zero when
    /// there are none, and when there are some of that very millisecond.
    pub within: Duration,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    moments: Vec<Moment>,
}

impl Timeline {
    /// Adds a moment, if it comes after the last.
    pub(crate) fn record(&mut self, moment: Moment) {
        if moment.time == Timestamp::UNKNOWN {
            return;
        }
        match self.moments.as_mut_slice() {
            [.., last] if moment <= *last || moment.seq < last.seq => return,
            // Of many at one time, the first ends the time before and the last begins the time after.
            [.., before, last] if before.time == moment.time => last.seq = moment.seq,
            _ => self.moments.push(moment),
        }
        // Of a time in which nothing happened, the two ends say all.
        if let [.., first, _, last] = self.moments.as_slice()
            && first.seq == last.seq
        {
            self.moments.swap_remove(self.moments.len() - 2);
        }
        if self.moments.len() > MAX_MOMENTS {
            self.thin();
        }
    }

    /// All moments, ascending.
    pub(crate) fn moments(&self) -> &[Moment] {
        &self.moments
    }

    pub(crate) fn last(&self) -> Option<Moment> {
        self.moments.last().copied()
    }

    /// Takes out moments that leave small gaps, until there is room again.
    fn thin(&mut self) {
        let Some(end) = self.last() else { return };
        let mut resolution = AGE_RESOLUTION;
        while self.moments.len() > MAX_MOMENTS / 4 * 3 {
            let mut kept: Vec<Moment> = Vec::with_capacity(self.moments.len());
            for (index, &moment) in self.moments.iter().enumerate() {
                let gap = match (kept.last(), self.moments.get(index + 1)) {
                    (Some(before), Some(next)) => next.time.since(before.time),
                    _ => Duration::MAX,
                };
                let age = end.time.since(moment.time);
                if gap.saturating_mul(resolution) > age || gap == Duration::MAX {
                    kept.push(moment);
                }
            }
            self.moments = kept;
            resolution /= 2;
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timekeeper {
    timeline: Timeline,
    /// Every commit that stated no time was made before this; `None` if it is not known when it was.
    settled: Option<Timestamp>,
}

impl Timekeeper {
    /// Takes over what was recorded. When commits since then were made, if there are any, is not known.
    pub(crate) fn new(timeline: Timeline) -> Self {
        Self { timeline, settled: None }
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// While the clock is in this range, commits need not state their time.
    pub(crate) fn quiet(&self) -> Range<Timestamp> {
        match (self.timeline.last(), self.settled) {
            (Some(last), Some(settled)) => last.time..settled,
            _ => Timestamp::UNKNOWN..Timestamp::UNKNOWN,
        }
    }

    /// What a commit has to say that is made now.
    pub(crate) fn stamp(&self, now: Timestamp) -> Option<Stamp> {
        if self.quiet().contains(&now) {
            return None;
        }
        if self.timeline.last().is_some_and(|last| now < last.time) {
            return Some(Stamp { settled: Timestamp::UNKNOWN, at: Timestamp::UNKNOWN });
        }
        Some(Stamp { settled: self.settled.unwrap_or_default(), at: now })
    }

    /// Takes note of what the commit `seq` says, when it is made and when it is read back.
    pub(crate) fn apply(&mut self, stamp: Stamp, seq: Seq) {
        if let Some(before) = seq.get().checked_sub(1).and_then(Seq::new)
            && stamp.settled > Timestamp::UNKNOWN
        {
            // Nothing happened from then on until just before this one.
            self.timeline.record(Moment { time: stamp.settled, seq: before });
            self.timeline.record(Moment { time: stamp.at.minus(Duration::from_millis(1)), seq: before });
        }
        self.begin_step(Moment { time: stamp.at, seq });
    }

    /// Takes note that `newest` is the newest commit now.
    pub(crate) fn observe(&mut self, now: Timestamp, newest: Seq) {
        if let Some(settled) = self.settled.filter(|&settled| settled <= now) {
            self.timeline.record(Moment { time: settled, seq: newest });
        }
        self.begin_step(Moment { time: now, seq: newest });
    }

    /// As [`Self::observe`], where the log of these commits ends: the next commit says that they were made by now, so that
    /// the log after this point tells all of its own commits without the log before.
    pub(crate) fn settle(&mut self, now: Timestamp, newest: Seq) {
        let settled = self.settled.map_or(now, |settled| settled.min(now));
        self.observe(now, newest);
        self.settled = self.settled.map(|_| settled);
    }

    fn begin_step(&mut self, moment: Moment) {
        self.timeline.record(moment);
        let recorded = moment.time > Timestamp::UNKNOWN && self.timeline.last() == Some(moment);
        self.settled = recorded.then(|| moment.time.plus(TIME_STEP));
    }

    /// The newest commit made at or before `time`, as far as is known; `newest` is the newest of all. `None` if nothing
    /// is known of a time so early.
    pub(crate) fn seq_at(&self, time: Timestamp, newest: Seq) -> Option<SeqAt> {
        let moments = self.timeline.moments();
        let next = moments.partition_point(|moment| moment.time <= time);
        let known = moments[next.checked_sub(1)?];
        let (exact, seq) = match (moments.get(next), self.settled) {
            (Some(next), _) => (next.seq == known.seq, known.seq),
            (None, Some(settled)) if settled <= time => (true, newest),
            (None, _) => (known.seq == newest, known.seq),
        };
        let within = if exact { Duration::ZERO } else { time.since(known.time) };
        // A commit has its time before it is visible.
        Some(SeqAt { seq: seq.min(newest), within })
    }

    /// The oldest sequence that has to be kept so that everything can be read as of any moment within `age` of `now`.
    ///
    /// A little more is kept than that: moments of that age may be thinned later, and what is asked for then is an older
    /// one, by two gaps at most.
    pub(crate) fn floor(&self, now: Timestamp, age: Duration, newest: Seq) -> Seq {
        let slack = age / (AGE_RESOLUTION / 2);
        self.seq_at(now.minus(age).minus(slack), newest).map_or(Seq::ZERO, |found| found.seq)
    }

    /// The moments after `last`, up to those of commit `upto`: what a manifest has to be told that ends in `last`.
    pub(crate) fn after(&self, last: Option<Moment>, upto: Seq) -> Vec<Moment> {
        let moments = self.timeline.moments();
        let from = moments.partition_point(|moment| Some(*moment) <= last);
        moments[from..].iter().take_while(|moment| moment.seq <= upto).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A store that commits at these times of its clock, and its times.
    fn kept(times: &[u64]) -> Timekeeper {
        let mut keeper = Timekeeper::default();
        keeper.observe(at(times[0]), Seq::ZERO);
        for (index, &time) in times.iter().enumerate().skip(1) {
            if let Some(stamp) = keeper.stamp(at(time)) {
                keeper.apply(stamp, seq(index as u64));
            }
        }
        keeper
    }

    fn found(keeper: &Timekeeper, time: u64, newest: u64) -> Option<(u64, u64)> {
        let found = keeper.seq_at(at(time), seq(newest))?;
        Some((found.seq.get(), u64::try_from(found.within.as_millis()).unwrap()))
    }

    #[test]
    fn a_burst_is_known_by_both_its_ends() {
        let keeper = kept(&[10_000, 10_300, 20_000, 20_100, 20_900, 50_000]);
        let found = |time| found(&keeper, time, 5);
        assert_eq!(found(9_999), None);
        assert_eq!(found(10_500), Some((0, 500)), "the first commit states no time");
        assert_eq!(found(11_000), Some((1, 0)));
        assert_eq!(found(19_999), Some((1, 0)));
        assert_eq!(found(20_500), Some((2, 500)), "the third had been made, too, at most 500 ms before");
        assert_eq!(found(21_000), Some((4, 0)));
        assert_eq!(found(49_999), Some((4, 0)));
        assert_eq!(found(50_000), Some((5, 0)));
        assert_eq!(found(u64::MAX), Some((5, 0)));
    }

    #[test]
    fn while_the_clock_is_behind_nothing_is_claimed_and_nothing_is_forgotten() {
        let keeper = kept(&[10_000, 30_000, 5_000, 29_000, 60_000, 60_001]);
        let found = |time| found(&keeper, time, 5);
        assert_eq!(found(20_000), Some((0, 0)));
        assert_eq!(found(45_000), Some((1, 15_000)), "2 and 3 were made at unknown times before 4");
        assert_eq!(found(60_000), Some((4, 0)));
        assert_eq!(found(61_000), Some((5, 0)));
    }

    #[test]
    fn commits_that_were_replayed_are_settled_when_the_store_is_opened() {
        let mut keeper = Timekeeper::default();
        keeper.apply(Stamp { settled: at(5_000), at: at(9_000) }, seq(4));
        keeper.observe(at(50_000), seq(6));
        assert_eq!(found(&keeper, 8_999, 6), Some((3, 0)));
        assert_eq!(found(&keeper, 10_000, 6), Some((6, 0)));
        let mut unknown = Timekeeper::new(keeper.timeline().clone());
        unknown.observe(at(90_000), seq(8));
        assert_eq!(found(&unknown, 70_000, 8), Some((6, 20_000)));
    }

    #[test]
    fn the_manifest_is_told_what_it_does_not_know_yet() {
        let keeper = kept(&[10_000, 20_000, 30_000, 40_000]);
        let all = keeper.after(None, seq(3));
        assert_eq!(all, keeper.timeline().moments());
        let known = keeper.after(None, seq(1));
        assert!(known.len() < all.len() && known.iter().all(|moment| moment.seq <= seq(1)));
        assert_eq!(keeper.after(known.last().copied(), seq(3)), all[known.len()..]);
        assert_eq!(keeper.after(all.last().copied(), seq(3)), []);
    }

    #[test]
    fn ten_years_of_commits_stay_bounded_and_precise_in_proportion_to_their_age() {
        const DAY: u64 = 86_400_000;
        let mut keeper = Timekeeper::default();
        keeper.observe(at(DAY), Seq::ZERO);
        let (mut time, mut last) = (DAY, 0);
        let mut made = Vec::new();
        while time < 3_650 * DAY {
            // Bursts of seconds, then hours of silence.
            time += if last % 50 == 0 { 6 * 3_600_000 } else { 1_700 };
            last += 1;
            made.push(time);
            let stamp = keeper.stamp(at(time)).unwrap();
            keeper.apply(stamp, seq(last));
            assert!(keeper.timeline().moments().len() <= MAX_MOMENTS);
        }
        for back in [3_000, 60_000, 3_600_000, DAY, 30 * DAY, 365 * DAY, 3_000 * DAY] {
            let asked = time - back;
            let (found, within) = found(&keeper, asked, last).unwrap();
            let exact = made.partition_point(|&made| made <= asked) as u64;
            assert!(found <= exact && within <= back / 100 + 2_000, "{back}: {found} of {exact}, {within}");
            let missing = &made[found as usize..exact as usize];
            assert!(missing.iter().all(|&made| made + within >= asked), "{back}: {missing:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_from_after_the_time_asked_for_and_what_it_misses_is_recent(
            steps in prop::collection::vec((0..3_000u64, 0..20u8), 1..60),
            asked in 0..120_000u64,
        ) {
            // Some steps go back.
            let mut times = vec![20_000u64];
            for (step, back) in steps {
                let before = times[times.len() - 1];
                times.push(if back == 0 { before.saturating_sub(step * 4) } else { before + step });
            }
            let keeper = kept(&times);
            let newest = times.len() - 1;
            let monotone = times.is_sorted();
            if let Some((found, within)) = found(&keeper, asked, newest as u64) {
                prop_assert!(found as usize <= newest);
                if monotone {
                    prop_assert!(times[1..=found as usize].iter().all(|&time| time <= asked));
                }
                let missed = times[found as usize + 1..].iter().filter(|&&time| time <= asked);
                for &missed in missed {
                    prop_assert!(missed + within >= asked || !monotone);
                }
            }
        }

        #[test]
        fn what_was_kept_within_an_age_is_still_found_after_more_commits(
            steps in prop::collection::vec(1..40_000u64, 2_000..4_000),
            then in 0..1_900usize,
        ) {
            let age = Duration::from_secs(3_600);
            let mut keeper = Timekeeper::default();
            keeper.observe(at(1_000), Seq::ZERO);
            let (mut time, mut floor) = (1_000, Seq::ZERO);
            for (index, step) in steps.iter().enumerate() {
                time += step;
                let made = seq(index as u64 + 1);
                if let Some(stamp) = keeper.stamp(at(time)) {
                    keeper.apply(stamp, made);
                }
                if index == then {
                    floor = keeper.floor(at(time), age, made);
                }
                if index >= then {
                    let oldest = keeper.seq_at(at(time).minus(age), made).map_or(Seq::ZERO, |found| found.seq);
                    prop_assert!(oldest >= floor, "{} is asked for, {} is the floor", oldest, floor);
                }
            }
        }
    }
}
