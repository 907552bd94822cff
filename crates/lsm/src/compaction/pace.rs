//! How fast a compaction may write, so that it leaves the disk to those who wait for it.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};

/// Longest nap at a time, so that a closing store does not wait for it.
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// A limit of bytes per second. Without a limit, and when there is a hurry, it never waits.
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    begin: Instant,
    written: u64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, begin: Instant::now(), written: 0 }
    }

    /// Notes that `written` bytes have been written in all, and waits if that was too fast.
    pub(crate) fn reached(&mut self, written: u64, hurry: &dyn Fn() -> bool, cancel: &AtomicBool) {
        let Some(rate) = self.bytes_per_second.filter(|&rate| rate > 0) else { return };
        if hurry() {
            // Time lost to a hurry is not made up for later.
            self.begin = Instant::now();
            self.written = written;
            return;
        }
        let due = Duration::from_millis((written - self.written).saturating_mul(1000) / rate);
        while let Some(ahead) = due.checked_sub(self.begin.elapsed()).filter(|ahead| !ahead.is_zero()) {
            if cancel.load(Ordering::Relaxed) || hurry() {
                return;
            }
            std::thread::sleep(ahead.min(LONGEST_NAP));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_and_a_hurry_is_not_slowed() {
        let cancel = AtomicBool::new(false);
        let mut pace = Pace::new(Some(1 << 20));
        let begin = Instant::now();
        pace.reached(100 << 10, &|| false, &cancel);
        assert!(begin.elapsed() >= Duration::from_millis(90), "{:?}", begin.elapsed());
        // At the limit it would take minutes.
        let begin = Instant::now();
        pace.reached(100 << 20, &|| true, &cancel);
        cancel.store(true, Ordering::Relaxed);
        pace.reached(200 << 20, &|| false, &cancel);
        Pace::new(None).reached(u64::MAX, &|| false, &cancel);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }
}
