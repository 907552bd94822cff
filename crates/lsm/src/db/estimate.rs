//! How many records a range has, about, by a few of them.

use std::ops::AddAssign;

use super::inner::Inner;
use crate::error::Result;
use crate::range::KeyRange;

/// What a range has, about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RangeEstimate {
    /// Records that the newest state has.
    pub records: f64,
    /// Keys that a walk over them may come by, those included whose newest version is a delete.
    pub keys: f64,
    /// Bytes that such a walk may have to read.
    pub bytes: f64,
}

impl RangeEstimate {
    /// The records as a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a guess")]
    pub fn whole_records(self) -> u64 {
        self.records.max(0.0).round() as u64
    }
}

impl AddAssign for RangeEstimate {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.keys += other.keys;
        self.bytes += other.bytes;
    }
}

impl Inner {
    pub(super) fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        self.check_open()?;
        let mut found = RangeEstimate::default();
        if range.is_empty() {
            return Ok(found);
        }
        let current = self.current.load();
        for memtable in [&current.active].into_iter().chain(&current.sealed) {
            found += memtable.estimate(range);
        }
        for (_, table) in current.version.tables() {
            found += table.estimate(range)?;
        }
        found.records = found.records.max(0.0);
        Ok(found)
    }
}
