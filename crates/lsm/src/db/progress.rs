//! What flushes and compactions are doing and how far behind these are, for people and for the pace of writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::inner::{Inner, locked};
use crate::compaction::{Picker, Task};
use crate::limits::{LEVELS, PRESSURED_BYTES_PER_SECOND};
use crate::sync::Mutex;

/// The running flush, the running compaction and the speeds of the last ones.
#[derive(Default)]
pub(super) struct Progress {
    flush: Mutex<Option<RunningFlush>>,
    running: Mutex<Option<RunningCompaction>>,
    read: AtomicU64,
    compaction_speed: Speed,
    flush_speed: Speed,
}

/// Bytes per second that were measured last, averaged; 0 until they were.
#[derive(Default)]
struct Speed(AtomicU64);

impl Speed {
    fn note(&self, bytes: u64, took: Duration) {
        let measured = bytes.saturating_mul(1_000_000).checked_div(took.as_micros() as u64);
        if let Some(measured) = measured {
            let old = self.0.load(Ordering::Relaxed);
            let averaged = if old == 0 { measured } else { old - old / 4 + measured / 4 };
            self.0.store(averaged, Ordering::Relaxed);
        }
    }

    fn get(&self) -> u64 {
        Some(self.0.load(Ordering::Relaxed)).filter(|&speed| speed > 0).unwrap_or(PRESSURED_BYTES_PER_SECOND)
    }
}

/// Bytes per second that the background takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speeds {
    /// Of memtables.
    pub(super) flush: u64,
    /// Of inputs of merges.
    pub(super) compaction: u64,
}

/// What flushes and compactions are doing and have to do.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CompactionStatus {
    /// The compaction that is running.
    pub running: Option<RunningCompaction>,
    /// The flush that is running.
    pub running_flush: Option<RunningFlush>,
    /// All levels from 0 down.
    pub levels: Vec<LevelStatus>,
    /// Bytes that have to be rewritten until every level is within its size.
    pub debt_bytes: u64,
    /// Tables in levels that are over their size.
    pub pending_tables: u64,
    /// Bytes written to tables per byte committed; 0 before the first flush.
    pub write_amplification: f64,
    /// How much writers are slowed: 0 not at all, 1 to a stop.
    pub pressure: f64,
}

/// A compaction under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningCompaction {
    /// Levels of the inputs, ascending.
    pub from_levels: Vec<usize>,
    /// Level of the outputs.
    pub to_level: usize,
    /// Number of inputs.
    pub input_tables: usize,
    /// Bytes of the inputs.
    pub input_bytes: u64,
    /// Bytes of keys and values read so far.
    pub read_bytes: u64,
}

/// A flush under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunningFlush {
    /// Bytes in memory of what is written as a table.
    pub memtable_bytes: u64,
    /// Further memtables that wait for their turn.
    pub waiting_memtables: u64,
}

/// Takes the running flush from the status when it is over.
pub(super) struct Flushing<'a>(&'a Progress);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        *locked(&self.0.flush) = None;
    }
}

/// One level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelStatus {
    /// Its tables.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes it may hold; `None` for no limit. Level 0 is limited by its number of tables.
    pub target_bytes: Option<u64>,
}

impl Progress {
    /// A flush runs until what this returns is dropped.
    pub(super) fn begin_flush(&self, flush: RunningFlush) -> Flushing<'_> {
        *locked(&self.flush) = Some(flush);
        Flushing(self)
    }

    pub(super) fn begin(&self, task: &Task) {
        let mut from_levels: Vec<_> = task.inputs.iter().map(|&(level, _)| level).collect();
        from_levels.sort_unstable();
        from_levels.dedup();
        let (input_tables, input_bytes) = (task.inputs.len(), task.bytes());
        self.read.store(0, Ordering::Relaxed);
        let to_level = task.target;
        *locked(&self.running) =
            Some(RunningCompaction { from_levels, to_level, input_tables, input_bytes, read_bytes: 0 });
    }

    pub(super) fn advance(&self, read: u64) {
        self.read.store(read, Ordering::Relaxed);
    }

    pub(super) fn end(&self, task: &Task, took: Duration, done: bool) {
        *locked(&self.running) = None;
        if done && !task.trivial_move {
            self.compaction_speed.note(task.bytes(), took);
        }
    }

    /// A flush of so many bytes of memtable is over.
    pub(super) fn note_flush(&self, bytes: u64, took: Duration) {
        self.flush_speed.note(bytes, took);
    }

    /// What was measured last, or a guess.
    pub(super) fn speeds(&self) -> Speeds {
        Speeds { flush: self.flush_speed.get(), compaction: self.compaction_speed.get() }
    }

    fn running(&self) -> Option<RunningCompaction> {
        let running = locked(&self.running).clone();
        running.map(|running| RunningCompaction { read_bytes: self.read.load(Ordering::Relaxed), ..running })
    }
}

impl Inner {
    pub(super) fn compaction_status(&self) -> CompactionStatus {
        let version = Arc::clone(&self.current.load().version);
        let (plan, debt_bytes, level0_is_pending) = self.with_picker(&version, |picker| {
            (picker.plan().clone(), picker.debt_bytes(), picker.level0_is_pending())
        });
        let level = |level: usize| LevelStatus {
            tables: version.level(level).len() as u64,
            bytes: version.level_bytes(level),
            target_bytes: Some(plan.targets[level]).filter(|&target| level > 0 && target < u64::MAX),
        };
        let levels: Vec<_> = (0..LEVELS).map(level).collect();
        let over = |(index, status): &(usize, &LevelStatus)| match status.target_bytes {
            Some(target) => status.bytes > target,
            None => *index == 0 && level0_is_pending,
        };
        let pending_tables = levels.iter().enumerate().filter(over).map(|(_, status)| status.tables).sum();
        CompactionStatus {
            running: self.progress.running(),
            running_flush: *locked(&self.progress.flush),
            levels,
            debt_bytes,
            pending_tables,
            write_amplification: self.metrics().write_amplification(),
            pressure: self.pressure(),
        }
    }

    /// Works out anew how much there is to compact, after the tables have changed.
    pub(super) fn refresh_debt(&self) {
        let version = Arc::clone(&self.current.load().version);
        self.debt
            .store(self.with_picker(&version, |picker: &Picker<'_>| picker.debt_bytes()), Ordering::Relaxed);
    }
}
