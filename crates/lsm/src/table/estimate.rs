//! How many records of a range a table has, about.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use super::Table;
use super::index::Section;
use crate::db::RangeEstimate;
use crate::error::Result;
use crate::range::KeyRange;

impl Table {
    /// About what this table adds to `range`. The newest version of each key counts, for one record more if it is a put, for one
    /// less if it is a delete of what an older table has counted. Deleted ranges do not count.
    ///
    /// Only counts and those parts of the index are looked at that are in memory. Blocks are taken to have as many keys
    /// each, deletes to lie everywhere, and what they delete to be in this table as far as that has older versions. Of these
    /// deletes nothing tells which are the newest version of their key: half of them are taken to be.
    pub(crate) fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        let (meta, part) = (self.meta(), self.part_in(range)?);
        let keys = meta.entries.saturating_sub(meta.superseded) as f64;
        let deletes = meta.tombstones as f64;
        let elsewhere = (deletes - meta.superseded as f64).max(0.0);
        let here = ((deletes - elsewhere) / 2.0).min(keys);
        let records = keys - 2.0 * elsewhere - here;
        Ok(RangeEstimate { records: records * part, keys: keys * part, bytes: meta.size as f64 * part })
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
