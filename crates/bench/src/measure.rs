//! Time: a stopwatch over operations and the distribution of what they took.

use std::time::{Duration, Instant};

use crate::Outcome;

/// Every power of two is divided into this many parts, so a reported latency is at most 1.6 % too high.
const PARTS: u64 = 64;
const PART_BITS: u32 = PARTS.trailing_zeros();
const BUCKETS: usize = (64 - PART_BITS as usize + 1) * PARTS as usize;

/// Counts of latencies in buckets that grow with them; the longest is exact.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: 0 }
    }

    /// Adds `count` latencies of `nanos` nanoseconds.
    pub fn record(&mut self, nanos: u64, count: u64) {
        self.counts[bucket(nanos)] += count;
        self.total += count;
        self.longest = self.longest.max(nanos);
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// The latency in nanoseconds that `per_mille` of 1000 operations do not exceed; 0 when empty.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.total * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return upper_edge(at).min(self.longest);
            }
        }
        0
    }

    /// The longest latency in nanoseconds.
    pub fn longest(&self) -> u64 {
        self.longest
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - PART_BITS;
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    let part = bucket % PARTS + PARTS;
    // The last bucket ends at the largest number.
    ((u128::from(part) + 1) << shift).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

/// A stopwatch over a row of operations of one thread. It reads the clock once per operation, so what happens
/// between two operations counts towards the second one.
pub struct Stopwatch {
    histogram: Histogram,
    ops: u64,
    started: Instant,
    last: Instant,
    deadline: Instant,
}

/// What a stopwatch, or several at once, measured.
pub struct Timing {
    /// Latencies of the operations.
    pub histogram: Histogram,
    /// Operations done.
    pub ops: u64,
    /// From the first start to the last stop.
    pub elapsed: Duration,
}

impl Stopwatch {
    /// Starts now; time is up after `limit`.
    pub fn start(limit: Duration) -> Self {
        let now = Instant::now();
        Self { histogram: Histogram::new(), ops: 0, started: now, last: now, deadline: now + limit }
    }

    /// Counts an operation that ended now. Returns whether there is time for another.
    pub fn lap(&mut self) -> bool {
        let nanos = self.tick();
        self.ops += 1;
        self.histogram.record(nanos, 1);
        self.last < self.deadline
    }

    /// Counts one call that did `ops` operations; its latency is that of the call.
    pub fn lap_call(&mut self, ops: u64) -> bool {
        let more = self.lap();
        self.ops += ops - 1;
        more
    }

    /// Counts `ops` operations too short to be timed one by one: each gets the average latency.
    pub fn lap_average(&mut self, ops: u64) -> bool {
        let nanos = self.tick();
        if let Some(average) = nanos.checked_div(ops) {
            self.ops += ops;
            self.histogram.record(average, ops);
        }
        self.last < self.deadline
    }

    /// Leaves out the time since the last lap.
    pub fn go_on(&mut self) {
        let now = Instant::now();
        self.started += now - self.last;
        self.last = now;
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.last - self.started
    }

    /// Stops at the last lap.
    pub fn stop(self) -> Timing {
        let elapsed = self.elapsed();
        Timing { histogram: self.histogram, ops: self.ops, elapsed }
    }

    fn tick(&mut self) -> u64 {
        let now = Instant::now();
        let nanos = u64::try_from((now - self.last).as_nanos()).unwrap_or(u64::MAX);
        self.last = now;
        nanos
    }
}

impl Timing {
    /// What several threads did in the same time.
    ///
    /// # Errors
    /// When there was none.
    pub fn of_all(timings: impl IntoIterator<Item = Self>) -> Outcome<Self> {
        let mut timings = timings.into_iter();
        let mut total = timings.next().ok_or("no thread did anything")?;
        timings.for_each(|timing| total.join(&timing));
        Ok(total)
    }

    /// Adds what another thread did in the same time.
    fn join(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.ops += other.ops;
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Operations per second.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn ops_per_second(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_the_numbers_up_to_its_upper_edge() {
        for nanos in [0, 1, 63, 64, 127, 128, 129, 1000, 123_456_789, u64::MAX / 3, u64::MAX] {
            let at = bucket(nanos);
            assert!(at < BUCKETS && nanos <= upper_edge(at), "{nanos}");
            assert!(at == 0 || upper_edge(at - 1) < nanos, "{nanos}");
            let edge = u128::from(upper_edge(at));
            assert!(edge * 1000 <= u128::from(nanos) * 1016, "{nanos} is reported as {edge}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers_recorded() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), 0);
        for nanos in 1..=1000 {
            histogram.record(nanos * 1000, 1);
        }
        let near = |per_mille, nanos: u64| {
            let found = histogram.quantile(per_mille);
            assert!(found >= nanos && found * 1000 <= nanos * 1016, "{per_mille}: {found}");
        };
        near(500, 500_000);
        near(990, 990_000);
        near(999, 999_000);
        assert_eq!(histogram.quantile(1000), 1_000_000);
        assert_eq!(histogram.longest(), 1_000_000);
    }

    #[test]
    fn what_is_left_out_is_in_no_latency_and_not_in_the_whole() {
        let begin = Instant::now();
        let mut stopwatch = Stopwatch::start(Duration::from_secs(1000));
        std::thread::sleep(Duration::from_millis(20));
        stopwatch.go_on();
        stopwatch.lap();
        let timing = stopwatch.stop();
        assert!(timing.elapsed + Duration::from_millis(20) <= begin.elapsed());
        assert!(u128::from(timing.histogram.longest()) <= timing.elapsed.as_nanos());
    }

    #[test]
    fn joined_timings_add_operations_and_overlap_in_time() {
        let timing =
            |ops, millis| Timing { histogram: Histogram::new(), ops, elapsed: Duration::from_millis(millis) };
        let mut both = timing(10, 500);
        both.join(&timing(30, 1000));
        assert_eq!((both.ops, both.elapsed.as_millis()), (40, 1000));
        assert!((both.ops_per_second() - 40.0).abs() < 1e-6);
    }
}
