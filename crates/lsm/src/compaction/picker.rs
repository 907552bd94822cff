//! Which tables to merge next.
//!
//! Level 0 first, because every read looks into all of its tables: all of it is merged with what it overlaps in
//! level 1. Then the level that is most over its size: the table of it that overlaps least with the next level,
//! relative to its size (as in RocksDB's `kMinOverlappingRatio`). A table that overlaps nothing is moved, not copied.

use std::sync::Arc;

use crate::limits::{LEVEL_GROWTH, LEVEL0_TRIGGER, LEVEL1_BYTES, LEVELS};
use crate::manifest::Version;
use crate::table::Table;

/// Tables to merge into `target`.
#[derive(Clone)]
pub(crate) struct Task {
    /// The tables and their levels, newest versions first: level 0 in its order, then level by level.
    pub(crate) inputs: Vec<(usize, Arc<Table>)>,
    /// Level of the merged tables.
    pub(crate) target: usize,
    /// A single table that only changes its level.
    pub(crate) trivial_move: bool,
}

/// Bytes that `level` may hold.
fn target_bytes(level: usize) -> u64 {
    LEVEL1_BYTES.saturating_mul(LEVEL_GROWTH.saturating_pow(level as u32 - 1))
}

/// The most urgent task, if there is one.
pub(crate) fn pick(version: &Version) -> Option<Task> {
    if version.level(0).len() >= LEVEL0_TRIGGER {
        return Some(with_overlaps(version, 0, version.level(0).to_vec()));
    }
    let level = (1..LEVELS - 1)
        .filter(|&level| version.level_bytes(level) > target_bytes(level))
        .max_by(|&a, &b| fullness(version, a).total_cmp(&fullness(version, b)))?;
    let table = version
        .level(level)
        .iter()
        .min_by(|a, b| overlap_ratio(version, level, a).total_cmp(&overlap_ratio(version, level, b)))?;
    Some(with_overlaps(version, level, vec![Arc::clone(table)]))
}

/// A task that merges the tables of all levels into the deepest level that has any, so that a range of levels
/// becomes one sorted run; `None` when there is nothing to merge.
pub(crate) fn pick_full(version: &Version) -> Option<Task> {
    let inputs: Vec<_> = version.tables().map(|(level, table)| (level, Arc::clone(table))).collect();
    let deepest = inputs.iter().map(|&(level, _)| level).max()?;
    Some(Task { inputs, target: deepest.max(1), trivial_move: false })
}

fn with_overlaps(version: &Version, level: usize, tables: Vec<Arc<Table>>) -> Task {
    let target = level + 1;
    let smallest = tables.iter().map(|table| &table.meta().smallest).min();
    let largest = tables.iter().map(|table| &table.meta().largest).max();
    let below = match (smallest, largest) {
        (Some(smallest), Some(largest)) => version.overlapping(target, smallest, largest),
        _ => Vec::new(),
    };
    let trivial_move = tables.len() == 1 && below.is_empty();
    let inputs = tables.into_iter().map(|table| (level, table));
    let inputs = inputs.chain(below.into_iter().map(|table| (target, table))).collect();
    Task { inputs, target, trivial_move }
}

#[expect(clippy::cast_precision_loss, reason = "only compared")]
fn fullness(version: &Version, level: usize) -> f64 {
    version.level_bytes(level) as f64 / target_bytes(level) as f64
}

#[expect(clippy::cast_precision_loss, reason = "only compared")]
fn overlap_ratio(version: &Version, level: usize, table: &Table) -> f64 {
    let meta = table.meta();
    let overlapped = version.overlapping(level + 1, &meta.smallest, &meta.largest);
    let below: u64 = overlapped.iter().map(|table| table.meta().size).sum();
    below as f64 / meta.size.max(1) as f64
}
