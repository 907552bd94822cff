//! How much writers are slowed so that compaction keeps up.
//!
//! The pressure grows from 0 to 1 with what piles up: memtables before the flush, tables in level 0 and bytes to compact
//! before compaction. A writer under pressure waits a little in proportion to what it writes, before it queues and without any
//! lock, so that the rate of writing sinks smoothly towards what the flush and the compaction can take, instead of stopping at
//! a cliff. Only at the far end, where memory or the number of tables would grow without bound, does it stop.

use std::time::{Duration, Instant};

use super::inner::{Current, Inner, locked};
use super::progress::Speeds;
use crate::error::Result;
use crate::limits::{
    DEBT_SOFT_BASES, DEBT_STOP_BASES, LEVEL0_SOFT, LEVEL0_STOP, LONGEST_WRITE_DELAY, MAX_SEALED_MEMTABLES,
    SHORTEST_WRITE_DELAY,
};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// When the next byte may be written, if writers are slowed.
#[derive(Default)]
pub(super) struct Throttle {
    next: Mutex<Option<Instant>>,
    /// Whether `next` is set; cheaper to ask.
    is_set: AtomicBool,
}

impl Inner {
    /// Lets a writer of `bytes` wait as long as what piles up demands.
    pub(super) fn admit(&self, bytes: usize) -> Result<()> {
        if self.writers_never_wait() {
            return Ok(());
        }
        let current = self.current.load();
        let mut backlog = self.backlog(&current);
        if self.is_crowded(&current) {
            drop(current);
            self.wait_for_room(&self.cancel)?;
            backlog = self.backlog(&self.current.load());
        }
        self.slow_down(bytes, backlog);
        Ok(())
    }

    /// 0: write at full speed; 1: stop.
    pub(super) fn pressure(&self) -> f64 {
        self.backlog(&self.current.load()).pressure()
    }

    fn backlog(&self, current: &Current) -> Backlog {
        Backlog {
            tables: current.version.level(0).len(),
            memtables: current.sealed.len(),
            active: current.active.size_bytes(),
            memtable: self.options.memtable_bytes,
            debt: self.debt.load(Ordering::Relaxed),
            base: self.base_bytes(),
        }
    }

    /// Lets a writer of `bytes` wait for its share of the rate that the pressure allows.
    fn slow_down(&self, bytes: usize, backlog: Backlog) {
        let throttle = &self.throttle;
        if backlog.pressure() <= 0.0 {
            if throttle.is_set.load(Ordering::Relaxed) {
                *locked(&throttle.next) = None;
                throttle.is_set.store(false, Ordering::Relaxed);
            }
            return;
        }
        throttle.is_set.store(true, Ordering::Relaxed);
        let takes = backlog.time_for(bytes, self.progress.speeds());
        let mut next = locked(&throttle.next);
        let (due, wait) = book(*next, Instant::now(), takes);
        *next = Some(due);
        drop(next);
        if wait > SHORTEST_WRITE_DELAY {
            self.counters.write_slowdowns.add(1);
            std::thread::sleep(wait);
        }
    }
}

/// What has piled up.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    /// Tables in level 0.
    tables: usize,
    /// Full memtables that wait for the flush or are in it.
    memtables: usize,
    /// Bytes in the memtable that takes the commits, and in a full one.
    active: usize,
    memtable: usize,
    /// Bytes to compact.
    debt: u64,
    /// What level 0 delivers at once.
    base: u64,
}

impl Backlog {
    /// 0: write at full speed; 1: stop.
    fn pressure(self) -> f64 {
        self.before_flush().max(self.before_compaction())
    }

    /// From the moment at which one memtable is being flushed and the next one is full to that at which there is one more.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn before_flush(self) -> f64 {
        let stop = MAX_SEALED_MEMTABLES as f64;
        let filled = (self.active as f64 / self.memtable.max(1) as f64).min(1.0);
        share(self.memtables as f64 + filled, stop - 1.0, stop)
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn before_compaction(self) -> f64 {
        let level0 = share(self.tables as f64, LEVEL0_SOFT as f64, LEVEL0_STOP as f64);
        let base = self.base as f64;
        level0.max(share(self.debt as f64, base * DEBT_SOFT_BASES as f64, base * DEBT_STOP_BASES as f64))
    }

    /// Time that `bytes` take at the rate that flush and compaction allow, whichever is less.
    fn time_for(self, bytes: usize, speeds: Speeds) -> Duration {
        let flush = time_for(bytes, speeds.flush, self.before_flush());
        flush.max(time_for(bytes, speeds.compaction, self.before_compaction()))
    }
}

/// Time that `bytes` take at the rate for this pressure; none without pressure. The rate is four times `speed`, what those who
/// are behind take, where the pressure begins, and is halved with each fifth of the way to the stop: so whoever comes to the soft
/// limit when a flush or a large merge has just begun has not come to the stop when it ends.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn time_for(bytes: usize, speed: u64, pressure: f64) -> Duration {
    if pressure <= 0.0 {
        return Duration::ZERO;
    }
    let rate = speed as f64 * 4.0 * (-5.0 * pressure).exp2();
    Duration::from_secs_f64(bytes as f64 / rate.max(1024.0))
}

/// Books a write that takes so long at the rate of now: when the next one may begin, and how long this one waits. A pause is
/// saved up for at most [`LONGEST_WRITE_DELAY`].
fn book(next: Option<Instant>, now: Instant, takes: Duration) -> (Instant, Duration) {
    let begin = next.map_or(now, |next| next.max(now.checked_sub(LONGEST_WRITE_DELAY).unwrap_or(now)));
    let due = begin + takes;
    (due, due.saturating_duration_since(now).min(LONGEST_WRITE_DELAY))
}

/// Where `value` lies between `soft` and `stop`: 0 at or below the one, 1 at or above the other.
fn share(value: f64, soft: f64, stop: f64) -> f64 {
    ((value - soft) / (stop - soft)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
