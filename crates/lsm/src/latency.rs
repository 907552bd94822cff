//! How long things take: histograms that are always on.
//!
//! A duration falls into one of 128 buckets, four to an octave, from 16 ns to 68 s. Reported percentiles are the middle
//! of their bucket and so at most 12.5 % away from the true value; below 16 ns they are at most 16 ns away, above 68 s
//! the greatest duration stands for all. Count, mean and greatest are exact.
//!
//! Recording is two relaxed additions and a comparison, without a lock. Reads, and writes to the log that no sync
//! follows, are so short that even looking at the clock would show, so only about one in 64 of them, drawn at random, is
//! timed.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Buckets per doubling.
const SUB_BUCKETS: u64 = 4;
/// Power of two of the shortest duration told apart, in nanoseconds.
const FIRST_OCTAVE: u32 = 4;
const BUCKETS: usize = 128;
/// One short call in 2 to this power is timed.
const SAMPLE_SHIFT: u32 = 6;

/// Durations of one kind.
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// Sum and greatest, in nanoseconds.
    total: AtomicU64,
    max: AtomicU64,
}

/// What became of one kind of work since the store was opened or the latencies were last reset. Times are in
/// microseconds; all are 0 when nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LatencySummary {
    /// Durations recorded.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 90 % of them took no longer.
    pub p90_us: f64,
    /// 99 % of them took no longer.
    pub p99_us: f64,
    /// 99.9 % of them took no longer.
    pub p999_us: f64,
    /// The longest; exact.
    pub max_us: f64,
    /// The average; exact.
    pub mean_us: f64,
}

macro_rules! latencies {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The live histograms of a store.
        #[derive(Default)]
        pub(crate) struct Recorders { $(pub(crate) $name: Histogram,)* }

        /// How long the stages of a store take.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Latencies { $($(#[$doc])* pub $name: LatencySummary,)* }

        impl Recorders {
            /// What was recorded.
            pub(crate) fn summary(&self) -> Latencies {
                Latencies { $($name: self.$name.read(|cell| cell.load(Relaxed)),)* }
            }

            /// What was recorded; recording starts again from nothing. A duration recorded meanwhile is counted
            /// either here or after, never twice.
            pub(crate) fn reset(&self) -> Latencies {
                Latencies { $($name: self.$name.read(|cell| cell.swap(0, Relaxed)),)* }
            }
        }
    };
}

latencies! {
    /// Commits as their callers saw them: waiting for room, for the group, for log and sync, and to become visible.
    commit,
    /// Writes of a group of commits to the log; where nobody waits for the disk, one in 64, drawn at random, is timed.
    wal_write,
    /// Syncs of the log.
    wal_sync,
    /// Reads of one key; one in 64, drawn at random, is timed.
    get,
    /// Reads of several keys at once; one in 64, drawn at random, is timed.
    get_many,
    /// First steps of cursors, which find their place; one in 64, drawn at random, is timed.
    seek,
    /// First steps through the versions of a key; one in 64, drawn at random, is timed.
    versions,
    /// First steps through what commits changed, or what differs between two of them, up to the first version shown.
    changes,
    /// Flushes of one memtable.
    flush,
    /// Compactions, trivial moves included.
    compaction,
    /// Waiting of writers for flushes and compactions.
    write_stall,
    /// Beginnings of a log segment, as far as commits have to wait for them.
    log_rotation,
    /// Edits of the manifest, a new manifest included where one is needed.
    manifest_edit,
    /// Blocks that a read or a scan did not find in the cache and got from the system or the disk, or several of them read at
    /// once: reading, checking and unpacking.
    block_read,
    /// Bulk ingests as their callers saw them.
    ingest,
    /// Checkpoints as their callers saw them.
    checkpoint,
    /// Scrubs of the whole store.
    scrub,
    /// Opening the store, once: all of it, what a recovery did included.
    open,
    /// What of that went into a recovery: reading the log, and tables made of it.
    recovery,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = [const { AtomicU64::new(0) }; BUCKETS];
        Self { buckets, total: AtomicU64::new(0), max: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Records one duration.
    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(nanos)].fetch_add(1, Relaxed);
        self.total.fetch_add(nanos, Relaxed);
        if nanos > self.max.load(Relaxed) {
            self.max.fetch_max(nanos, Relaxed);
        }
    }

    /// Records the time until the guard is dropped.
    pub(crate) fn time(&self) -> Timer<'_> {
        Timer { histogram: self, begin: Instant::now() }
    }

    /// As [`Histogram::time`], for about one call in 64.
    #[inline]
    pub(crate) fn sample(&self) -> Option<Timer<'_>> {
        is_sampled().then(|| self.time())
    }

    fn read(&self, take: impl Fn(&AtomicU64) -> u64) -> LatencySummary {
        let counts: Vec<u64> = self.buckets.iter().map(&take).collect();
        let (total, max) = (take(&self.total), take(&self.max));
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return LatencySummary::default();
        }
        let percentile = |per_mille: u64| micros(nanos_at(&counts, (count * per_mille).div_ceil(1000), max));
        LatencySummary {
            count,
            p50_us: percentile(500),
            p90_us: percentile(900),
            p99_us: percentile(990),
            p999_us: percentile(999),
            max_us: micros(max),
            mean_us: micros(total) / to_f64(count),
        }
    }
}

/// Records when it is dropped.
pub(crate) struct Timer<'a> {
    histogram: &'a Histogram,
    begin: Instant,
}

impl Timer<'_> {
    /// Records nothing.
    pub(crate) fn discard(self) {
        std::mem::forget(self);
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.record(self.begin.elapsed());
    }
}

/// True for one call in 64 of a thread. Drawn, because counting would fall into step with work that repeats itself.
#[inline]
pub(crate) fn is_sampled() -> bool {
    thread_local!(static STATE: Cell<u32> = const { Cell::new(0x9E37_79B9) });
    STATE.with(|state| {
        // A linear congruential step; only its highest bits are random enough, and only they are used.
        let next = state.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.set(next);
        next >> (u32::BITS - SAMPLE_SHIFT) == 0
    })
}

/// The bucket of a duration.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.max(1 << FIRST_OCTAVE);
    let octave = nanos.ilog2();
    // The two bits behind the leading one.
    let sub = (nanos >> (octave - 2)) & (SUB_BUCKETS - 1);
    let bucket = u64::from(octave - FIRST_OCTAVE) * SUB_BUCKETS + sub;
    (bucket as usize).min(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle_of(bucket: usize) -> u64 {
    let octave = bucket as u64 / SUB_BUCKETS + u64::from(FIRST_OCTAVE);
    let width = 1u64 << (octave - 2);
    (SUB_BUCKETS + bucket as u64 % SUB_BUCKETS) * width + width / 2
}

/// About the duration of the `rank`th, from 1, in order of length.
fn nanos_at(counts: &[u64], rank: u64, max: u64) -> u64 {
    let mut seen = 0;
    let bucket = counts.iter().position(|&count| {
        seen += count;
        seen >= rank
    });
    match bucket {
        Some(bucket) if bucket + 1 < BUCKETS => middle_of(bucket).min(max),
        _ => max,
    }
}

fn micros(nanos: u64) -> f64 {
    to_f64(nanos) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ns, which is 104 days")]
pub(crate) fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let recorders = Recorders::default();
        for micros in 1..=1000 {
            recorders.commit.record(Duration::from_micros(micros));
        }
        let summary = recorders.summary().commit;
        assert_eq!(summary.count, 1000);
        for (found, expected) in [
            (summary.p50_us, 500.0),
            (summary.p90_us, 900.0),
            (summary.p99_us, 990.0),
            (summary.p999_us, 999.0),
        ] {
            assert!((found - expected).abs() <= expected * 0.125, "{found} for {expected}");
        }
        assert!((summary.max_us - 1000.0).abs() < 0.001 && (summary.mean_us - 500.5).abs() < 0.001);
        assert_eq!(recorders.summary().wal_sync, LatencySummary::default());
    }

    #[test]
    fn a_reset_returns_what_was_and_starts_again() {
        let recorders = Recorders::default();
        recorders.flush.record(Duration::from_millis(3));
        assert_eq!(recorders.reset().flush.count, 1);
        assert_eq!(recorders.summary(), Latencies::default());
    }

    #[test]
    fn concurrent_resets_lose_and_double_nothing() {
        let recorders = Recorders::default();
        let counted = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| (0..20_000).for_each(|n| recorders.get.record(Duration::from_nanos(n))))
                })
                .collect();
            let mut counted = 0;
            while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                counted += recorders.reset().get.count;
            }
            counted
        });
        assert_eq!(counted + recorders.reset().get.count, 40_000);
    }

    #[test]
    fn about_one_call_in_64_is_sampled_even_when_two_kinds_take_turns() {
        let (a, b) = (Histogram::default(), Histogram::default());
        for _ in 0..64_000 {
            drop(a.sample());
            drop(b.sample());
        }
        for histogram in [a, b] {
            let count = histogram.read(|cell| cell.load(Relaxed)).count;
            assert!((500..2000).contains(&count), "{count} of 64000");
        }
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_within_an_eighth_of_everything_in_it(nanos in 16u64..68_000_000_000) {
            let middle = middle_of(bucket_of(nanos));
            prop_assert!(middle.abs_diff(nanos) * 8 <= nanos, "{nanos} is reported as {middle}");
        }

        #[test]
        fn longer_durations_never_fall_into_earlier_buckets(a: u64, b: u64) {
            prop_assert!((bucket_of(a) <= bucket_of(b)) == (a <= b) || bucket_of(a) == bucket_of(b));
        }
    }
}
