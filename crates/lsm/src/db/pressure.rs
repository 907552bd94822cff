//! How much writers are slowed so that compaction keeps up.
//!
//! The pressure grows from 0 to 1 with what piles up: tables in level 0, full memtables, bytes to compact. A writer
//! under pressure waits a little in proportion to what it writes, before it queues and without any lock, so that the
//! rate of writing sinks smoothly towards what compaction can take, instead of stopping at a cliff. Only at the far
//! end, where memory or the number of tables would grow without bound, does it stop.

use std::time::{Duration, Instant};

use super::inner::{Current, Inner, locked};
use crate::error::Result;
use crate::limits::{
    DEBT_SOFT_BASES, DEBT_STOP_BASES, LEVEL0_SOFT, LEVEL0_STOP, LONGEST_WRITE_DELAY, MAX_SEALED_MEMTABLES,
    PRESSURED_BYTES_PER_SECOND,
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
        let mut pressure = self.pressure_of(&current);
        if self.is_crowded(&current) {
            drop(current);
            self.wait_for_room()?;
            pressure = self.pressure();
        }
        self.slow_down(bytes, pressure);
        Ok(())
    }

    /// 0: write at full speed; 1: stop.
    pub(super) fn pressure(&self) -> f64 {
        self.pressure_of(&self.current.load())
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn pressure_of(&self, current: &Current) -> f64 {
        let tables = current.version.level(0).len();
        let level0 = share(tables as f64, LEVEL0_SOFT as f64, LEVEL0_STOP as f64);
        let memtables = share(current.sealed.len() as f64, 1.0, MAX_SEALED_MEMTABLES as f64);
        let base = self.base_bytes() as f64;
        let debt = self.debt.load(Ordering::Relaxed) as f64;
        let debt = share(debt, base * DEBT_SOFT_BASES as f64, base * DEBT_STOP_BASES as f64);
        level0.max(memtables * memtables).max(debt)
    }

    /// Lets a writer of `bytes` wait for its share of the rate that the pressure allows.
    fn slow_down(&self, bytes: usize, pressure: f64) {
        let throttle = &self.throttle;
        if pressure <= 0.0 {
            if throttle.is_set.load(Ordering::Relaxed) {
                *locked(&throttle.next) = None;
                throttle.is_set.store(false, Ordering::Relaxed);
            }
            return;
        }
        throttle.is_set.store(true, Ordering::Relaxed);
        let mut next = locked(&throttle.next);
        let now = Instant::now();
        let begin = next.map_or(now, |next| next.max(now.checked_sub(LONGEST_WRITE_DELAY).unwrap_or(now)));
        let due = begin + self.time_for(bytes, pressure);
        *next = Some(due);
        drop(next);
        let wait = due.saturating_duration_since(now).min(LONGEST_WRITE_DELAY);
        if wait > Duration::from_micros(50) {
            self.counters.write_slowdowns.add(1);
            std::thread::sleep(wait);
        }
    }

    /// Time that `bytes` take at the rate for this pressure: four times what compaction can take where the pressure
    /// begins, half of it where it ends.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn time_for(&self, bytes: usize, pressure: f64) -> Duration {
        let speed = self.progress.speed().unwrap_or(PRESSURED_BYTES_PER_SECOND) as f64;
        let rate = speed * (4.0 - 3.5 * pressure.min(1.0));
        Duration::from_secs_f64(bytes as f64 / rate.max(1024.0))
    }
}

/// Where `value` lies between `soft` and `stop`: 0 at or below the one, 1 at or above the other.
fn share(value: f64, soft: f64, stop: f64) -> f64 {
    ((value - soft) / (stop - soft)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_grows_evenly_from_the_soft_limit_to_the_stop() {
        let shares = [0.0, 8.0, 16.0, 24.0, 100.0].map(|value| share(value, 8.0, 24.0).to_bits());
        assert_eq!(shares, [0.0, 0.0, 0.5, 1.0, 1.0].map(f64::to_bits));
    }
}
