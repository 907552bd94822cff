//! How many records a range has, about, without reading any of them.

use super::inner::Inner;
use crate::error::Result;
use crate::range::KeyRange;

impl Inner {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a guess")]
    pub(super) fn estimate_records(&self, range: &KeyRange) -> Result<u64> {
        self.check_open()?;
        if range.is_empty() {
            return Ok(0);
        }
        let current = self.current.load();
        let mut records = 0.0;
        for memtable in [&current.active].into_iter().chain(&current.sealed) {
            records += memtable.estimate(range);
        }
        for (_, table) in current.version.tables() {
            records += table.estimate(range)?;
        }
        Ok(records.max(0.0).round() as u64)
    }
}
