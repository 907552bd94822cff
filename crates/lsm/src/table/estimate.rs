//! How many records of a range a table has, about.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use super::Table;
use super::index::Section;
use crate::error::Result;
use crate::range::KeyRange;

impl Table {
    /// About how many more keys of `range` have a record because of this table: the newest version of each counts, for one
    /// more if it is a put, for one less if it is a delete of what an older table has counted. Deleted ranges do not count.
    ///
    /// Only counts and those parts of the index are looked at that are in memory. Blocks are taken to have as many keys
    /// each, deletes to lie everywhere, and what they delete to be in this table as far as that has older versions.
    pub(crate) fn estimate(&self, range: &KeyRange) -> Result<f64> {
        let meta = self.meta();
        let keys = meta.entries.saturating_sub(meta.superseded);
        let deletes = meta.tombstones.min(keys);
        let elsewhere = deletes.saturating_sub(meta.superseded);
        Ok((keys as f64 - deletes as f64 - elsewhere as f64) * self.part_in(range)?)
    }

    /// About which part of the newest versions lies in `range`, from 0 to 1.
    fn part_in(&self, range: &KeyRange) -> Result<f64> {
        let (meta, end) = (self.meta(), range.end.as_deref());
        let Some(index) = self.tail.index(Section::Current) else { return Ok(0.0) };
        if meta.ends_before(&range.start) || end.is_some_and(|end| *end <= *meta.smallest) {
            return Ok(0.0);
        }
        let starts_inside = *meta.smallest < *range.start;
        let ends_inside = end.is_some_and(|end| !meta.ends_before(end));
        let first = if starts_inside { index.blocks_before(self, &range.start)? } else { 0 };
        let last = match end {
            Some(end) if ends_inside => index.blocks_before(self, end)?,
            _ => index.len(),
        };
        // Both ends in one block: half of it.
        let blocks = (last.saturating_sub(first) as f64).max(0.5);
        Ok(blocks / index.len() as f64)
    }
}
