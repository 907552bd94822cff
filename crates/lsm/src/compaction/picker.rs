//! Which tables to merge next.
//!
//! The level that is most over its size goes first, level 0 counting its tables, because every read looks into all
//! of them. Of level 0 the oldest tables go down together, so that it stays in order of time; of a deeper level the
//! table that overlaps least with the next level, relative to its size (as RocksDB's `kMinOverlappingRatio`). Tables
//! that meet nothing below are moved, not copied. When nothing is over its size, small tables of level 0 are merged
//! if that is cheap, and what is mostly garbage is rewritten, see `garbage`.
//!
//! A small table of level 0 counts by its bytes: what was flushed before it had grown, when a store was closed or a
//! checkpoint was made, must not bring forward a merge of all that is large. There may be twice as many tables then.

use std::sync::Arc;

use super::garbage::Garbage;
use super::gc::Needed;
use super::levels::{BOTTOM, LevelBytes, LevelPlan};
use crate::limits::{
    GARBAGE_SHARE, LEVEL0_FULL_SHARE, LEVEL0_MAX_INPUTS, LEVEL0_MOST, LEVEL0_RELIEF_RATIO, LEVEL0_TRIGGER,
};
use crate::manifest::Version;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::RetentionRules;
use crate::table::{Compression, Table, TableMeta};

/// Tables to merge into `target`.
#[derive(Clone)]
pub(crate) struct Task {
    /// The tables and their levels.
    pub(crate) inputs: Vec<(usize, Arc<Table>)>,
    /// Level of the merged tables.
    pub(crate) target: usize,
    /// The tables only change their level.
    pub(crate) trivial_move: bool,
    /// Which rare branch led to it. It is hit by who carries the task out: tasks are also made to see whether there are any.
    pub(crate) mark: Option<Mark>,
}

impl Task {
    /// Bytes of the inputs.
    pub(crate) fn bytes(&self) -> u64 {
        self.inputs.iter().map(|(_, table)| table.meta().size).sum()
    }

    /// The keys from the smallest to the largest of the inputs.
    pub(crate) fn range(&self) -> KeyRange {
        let tables = self.inputs.iter().map(|(_, table)| table);
        bounds(tables).map_or_else(KeyRange::default, |(smallest, largest)| KeyRange {
            start: smallest.to_vec(),
            end: Some([largest, &[0]].concat()),
        })
    }
}

/// What decides: the tables, how much their levels should hold, and what garbage is.
pub(crate) struct Picker<'a> {
    version: &'a Version,
    bytes: LevelBytes,
    plan: LevelPlan,
    /// Bytes from which on a table of level 0 counts as a whole one.
    full_bytes: u64,
    rules: &'a RetentionRules,
    needed: &'a Needed,
    packing: Packing,
}

/// How tables are compressed where they stay long enough to pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Below the base.
    pub(crate) lower: Compression,
    /// In the last level.
    pub(crate) bottom: Compression,
}

impl<'a> Picker<'a> {
    /// `base_bytes` is what level 0 delivers at once. Tables on their way down that are to be compressed otherwise are
    /// copied rather than moved.
    pub(crate) fn new(
        version: &'a Version,
        base_bytes: u64,
        rules: &'a RetentionRules,
        needed: &'a Needed,
        packing: Packing,
    ) -> Self {
        let bytes = std::array::from_fn(|level| version.level_bytes(level));
        let plan = LevelPlan::new(&bytes, base_bytes);
        let full_bytes = (base_bytes / (LEVEL0_TRIGGER * LEVEL0_FULL_SHARE) as u64).max(1);
        Self { version, bytes, plan, full_bytes, rules, needed, packing }
    }

    /// The most urgent task, if there is one.
    pub(crate) fn pick(&self) -> Option<Task> {
        let scores = (0..BOTTOM).map(|level| (level, self.score(level)));
        let (level, score) = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
        if score < 1.0 {
            return self.tidy_level0().or_else(|| self.pick_garbage());
        }
        if level == 0 { Some(self.pick_level0()) } else { self.pick_from(level) }
    }

    /// A task that merges all tables that hold keys of `range`, of all levels, into the deepest level that has any;
    /// `None` when there are none.
    pub(crate) fn pick_range(&self, range: &KeyRange) -> Option<Task> {
        let inside = |meta: &TableMeta| {
            range.end.as_ref().is_none_or(|end| *meta.smallest < **end) && *range.start <= *meta.largest
        };
        let touched = self.version.tables().filter(|(_, table)| inside(table.meta()));
        let (smallest, largest) = bounds(touched.map(|(_, table)| table))?;
        let inputs = self.closed_over(smallest.to_vec(), largest.to_vec());
        let target = inputs.iter().map(|&(level, _)| level).max()?;
        let target = if target == 0 { BOTTOM } else { target };
        Some(Task { inputs, target, trivial_move: false, mark: None })
    }

    /// All tables between two keys, and whatever overlaps them, until nothing more does: only then no older version
    /// of a key is left above a newer one.
    fn closed_over(&self, mut smallest: Vec<u8>, mut largest: Vec<u8>) -> Vec<(usize, Arc<Table>)> {
        loop {
            let all = self.version.tables().filter(|(_, table)| table.meta().overlaps(&smallest, &largest));
            let inputs: Vec<_> = all.map(|(level, table)| (level, Arc::clone(table))).collect();
            let Some((least, greatest)) = bounds(inputs.iter().map(|(_, table)| table)) else {
                return inputs;
            };
            if *least >= *smallest && *greatest <= *largest {
                return inputs;
            }
            hit(Mark::RangeWidened);
            (smallest, largest) = (least.to_vec(), greatest.to_vec());
        }
    }

    /// Bytes that have to be rewritten until every level is within its size.
    pub(crate) fn debt_bytes(&self) -> u64 {
        let is_due = self.score(0) >= 1.0;
        let small = if is_due { 0 } else { self.tidy_level0().map_or(0, |task| task.bytes()) };
        self.plan.debt_bytes(&self.bytes, is_due) + small
    }

    /// Whether tables of level 0 are to be merged.
    pub(crate) fn level0_is_pending(&self) -> bool {
        self.score(0) >= 1.0 || self.tidy_level0().is_some()
    }

    /// How tables of a level are compressed.
    pub(crate) fn compression(&self, level: usize) -> Compression {
        if level == BOTTOM {
            self.packing.bottom
        } else if level > self.plan.base {
            self.packing.lower
        } else {
            Compression::None
        }
    }

    /// How much each level should hold.
    pub(crate) fn plan(&self) -> &LevelPlan {
        &self.plan
    }

    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    fn score(&self, level: usize) -> f64 {
        if level == 0 {
            let number = self.version.level(0).len() as f64 / LEVEL0_MOST as f64;
            return number.max(self.full_tables() / LEVEL0_TRIGGER as f64);
        }
        // At its target a level is fine; only what is more than that is too much.
        let fullness = self.plan.fullness(level, &self.bytes);
        if fullness > 1.0 { fullness } else { 0.0 }
    }

    /// How many full tables those of level 0 come to.
    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    fn full_tables(&self) -> f64 {
        let counted = |table: &Arc<Table>| table.meta().size.min(self.full_bytes);
        let bytes: u64 = self.version.level(0).iter().map(counted).sum();
        bytes as f64 / self.full_bytes as f64
    }

    /// The oldest tables of level 0 on their way into the base.
    fn level0_down(&self) -> Task {
        let all = self.version.level(0);
        let oldest = &all[all.len().saturating_sub(LEVEL0_MAX_INPUTS)..];
        self.with_overlaps(0, self.plan.base, oldest.to_vec())
    }

    /// The oldest tables of level 0, or, when these would meet far more than they are, some of its tables merged
    /// among themselves.
    fn pick_level0(&self) -> Task {
        let task = self.level0_down();
        let of_level0 = task.inputs.iter().filter(|(level, _)| *level == 0);
        let bytes: u64 = of_level0.map(|(_, table)| table.meta().size).sum();
        let costly = task.bytes() - bytes > bytes * LEVEL0_RELIEF_RATIO;
        if costly { self.relieve_level0().unwrap_or(task) } else { task }
    }

    /// What makes fewer tables of level 0, when they are too small to be due, for little: all of it merged down, if what
    /// it meets is small, too, or else the newest of them merged among themselves. Of these an older one joins only
    /// while it is not much larger than the newer ones together, so that no record is merged often.
    fn tidy_level0(&self) -> Option<Task> {
        if self.version.level(0).len() < LEVEL0_TRIGGER {
            return None;
        }
        let down = self.level0_down();
        if down.bytes() <= self.full_bytes {
            return Some(down);
        }
        let mut together = 0;
        let joins = |table: &&Arc<Table>| {
            let size = table.meta().size;
            let joins = size < self.full_bytes && (together == 0 || size <= together * 2);
            together += size;
            joins
        };
        let run = self.version.level(0).iter().take_while(joins).take(LEVEL0_MAX_INPUTS);
        let inputs: Vec<_> = run.map(|table| (0, Arc::clone(table))).collect();
        if inputs.len() < LEVEL0_TRIGGER {
            return None;
        }
        Some(Task { inputs, target: 0, trivial_move: false, mark: Some(Mark::Level0Tidied) })
    }

    /// Merges the newest small tables of level 0 into one table of level 0. They follow one another in time, so
    /// what they become takes their place.
    fn relieve_level0(&self) -> Option<Task> {
        let all = self.version.level(0);
        let small = self.bytes[0] / all.len() as u64 * 2;
        let run = all.iter().take_while(|table| table.meta().size <= small).take(LEVEL0_MAX_INPUTS);
        let inputs: Vec<_> = run.map(|table| (0, Arc::clone(table))).collect();
        if inputs.len() <= LEVEL0_TRIGGER {
            return None;
        }
        Some(Task { inputs, target: 0, trivial_move: false, mark: Some(Mark::Level0Relief) })
    }

    fn pick_from(&self, level: usize) -> Option<Task> {
        let target = self.below(level);
        let table = self
            .version
            .level(level)
            .iter()
            .min_by(|a, b| self.overlap_ratio(target, a).total_cmp(&self.overlap_ratio(target, b)))?;
        Some(self.with_overlaps(level, target, vec![Arc::clone(table)]))
    }

    /// The level into which tables of `level` are merged: levels above the base stay empty.
    fn below(&self, level: usize) -> usize {
        (level + 1).max(self.plan.base)
    }

    fn with_overlaps(&self, level: usize, target: usize, tables: Vec<Arc<Table>>) -> Task {
        let mut met: Vec<Arc<Table>> = Vec::new();
        if let Some((smallest, largest)) = bounds(tables.iter()) {
            // What lies between has older versions than the tables and newer ones than the target.
            met.extend(
                (level.max(1)..=target)
                    .filter(|&between| between != level)
                    .flat_map(|between| self.version.overlapping(between, smallest, largest)),
            );
        }
        if planted::active(Bug::OverlapForgotten) && level > 0 {
            met.clear();
        }
        let levels_of_met = |table: &Arc<Table>| {
            (level.max(1)..=target)
                .find(|&between| self.version.level(between).iter().any(|other| Arc::ptr_eq(other, table)))
        };
        let trivial_move = met.is_empty() && self.may_move(level, target, &tables);
        let below = met.into_iter().map(|table| (levels_of_met(&table).unwrap_or(target), table));
        let inputs = tables.into_iter().map(|table| (level, table)).chain(below).collect();
        Task { inputs, target, trivial_move, mark: None }
    }

    /// Whether tables that meet nothing below may simply change their level.
    fn may_move(&self, level: usize, target: usize, tables: &[Arc<Table>]) -> bool {
        let mut sorted: Vec<_> = tables.iter().map(|table| table.meta()).collect();
        sorted.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        let apart = sorted.windows(2).all(|pair| pair[0].ends_before(&pair[1].smallest));
        apart && self.compression(level) == self.compression(target)
    }

    /// What is worth rewriting though nothing is too large.
    fn pick_garbage(&self) -> Option<Task> {
        let garbage = Garbage { version: self.version, rules: self.rules, needed: self.needed };
        let mark = Some(Mark::GarbageRewritten);
        if let Some(task) = self.pick_deletion(garbage) {
            return Some(Task { mark, ..task });
        }
        let (level, table) = garbage.worst()?;
        let inputs = vec![Arc::clone(table)];
        if level == BOTTOM {
            let inputs = inputs.into_iter().map(|table| (level, table)).collect();
            return Some(Task { inputs, target: level, trivial_move: false, mark });
        }
        Some(Task { trivial_move: false, mark, ..self.with_overlaps(level, self.below(level), inputs) })
    }

    /// The way down for deletions of ranges that cover so much below them that it pays.
    fn pick_deletion(&self, garbage: Garbage<'_>) -> Option<Task> {
        let deleting = self.version.tables().filter(|(_, table)| !table.range_tombstones().is_empty());
        let covered = deleting.map(|(level, table)| (garbage.covered_below(level, table), level, table));
        let tasks = covered.filter(|(covered, ..)| *covered > 0).filter_map(|(covered, level, table)| {
            let task = self.with_overlaps(level, self.below(level), self.in_order(level, table));
            (covered * GARBAGE_SHARE >= task.bytes()).then_some((covered, task))
        });
        tasks.max_by_key(|(covered, _)| *covered).map(|(_, task)| task)
    }

    /// A table, and of level 0 all that are older, which go down before it or with it.
    fn in_order(&self, level: usize, table: &Arc<Table>) -> Vec<Arc<Table>> {
        if level > 0 {
            return vec![Arc::clone(table)];
        }
        let newer = |other: &&Arc<Table>| !Arc::ptr_eq(other, table);
        self.version.level(0).iter().skip_while(newer).cloned().collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    fn overlap_ratio(&self, target: usize, table: &Table) -> f64 {
        let meta = table.meta();
        let met = self.version.overlapping(target, &meta.smallest, &meta.largest);
        let bytes: u64 = met.iter().map(|table| table.meta().size).sum();
        bytes as f64 / meta.size.max(1) as f64
    }
}

/// The smallest and the largest key of some tables.
fn bounds<'t>(tables: impl Iterator<Item = &'t Arc<Table>>) -> Option<(&'t [u8], &'t [u8])> {
    tables
        .map(|table| (&*table.meta().smallest, &*table.meta().largest))
        .reduce(|(smallest, largest), next| (smallest.min(next.0), largest.max(next.1)))
}
