//! How many records of a range a table has, about.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use super::block_cursor::BlockCursor;
use super::index::{Index, Section};
use super::reader::Table;
use crate::db::RangeEstimate;
use crate::error::Result;
use crate::limits::ESTIMATE_BLOCKS;
use crate::range::KeyRange;
use crate::types::{Kind, ReadTier, Seq, Trailer};

/// What is in some blocks.
#[derive(Default)]
struct Sample {
    puts: f64,
    deletes: f64,
    /// Bytes of the blocks in the file.
    bytes: f64,
}

impl Table {
    /// About what this table adds to `range`. The newest version of each key counts, for one record more if it is a put, for one
    /// less if it is a delete of what an older table has counted. Deleted ranges do not count.
    ///
    /// A table that lies in the range as a whole is judged by its counts; of another, [`ESTIMATE_BLOCKS`] blocks at equal
    /// distances within the range are read, or all if there are no more, as keys may be short here and values long there. What
    /// deletes delete is taken to be in this table as far as that has older versions. Of these deletes the counts do not tell
    /// which are the newest version of their key: half of them are taken to be.
    ///
    /// Where a block cannot be read, the range is guessed by what is in memory, as if all blocks were alike: that is for those to
    /// meet who need what is in it.
    pub(crate) fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        let (meta, end) = (self.meta(), range.end.as_deref());
        let Some(index) = self.tail.index(Section::Current) else { return Ok(RangeEstimate::default()) };
        if meta.ends_before(&range.start) || end.is_some_and(|end| *end <= *meta.smallest) {
            return Ok(RangeEstimate::default());
        }
        if *range.start <= *meta.smallest && end.is_none_or(|end| meta.ends_before(end)) {
            return Ok(self.part_of_all(1.0));
        }
        match self.sampled(index, range) {
            Ok(sample) => Ok(self.worth(&sample)),
            Err(_) => Ok(self.part_of_all(self.part_in(index, range)?)),
        }
    }

    /// What this part of the table is worth if it is like the rest.
    fn part_of_all(&self, part: f64) -> RangeEstimate {
        let meta = self.meta();
        let keys = meta.entries.saturating_sub(meta.superseded) as f64;
        let (elsewhere, here) = self.newest_deletes();
        let records = keys - 2.0 * elsewhere - here;
        RangeEstimate { records: records * part, keys: keys * part, bytes: meta.size as f64 * part }
    }

    fn worth(&self, sample: &Sample) -> RangeEstimate {
        let (elsewhere, here) = self.newest_deletes();
        let share = if elsewhere > 0.0 { elsewhere / (elsewhere + here) } else { 0.0 };
        // With what lies behind in history, as far as the file has any.
        let all = self.meta().size as f64;
        let deep = all / (all - self.history_bytes() as f64).max(1.0);
        RangeEstimate {
            records: sample.puts - sample.deletes * share,
            keys: sample.puts + sample.deletes,
            bytes: sample.bytes * deep.clamp(1.0, all),
        }
    }

    /// About how many deletes are the newest version of their key: of something in older tables, and of something here.
    fn newest_deletes(&self) -> (f64, f64) {
        let meta = self.meta();
        let (deletes, superseded) = (meta.tombstones as f64, meta.superseded as f64);
        let keys = (meta.entries as f64 - superseded).max(0.0);
        let elsewhere = (deletes - superseded).max(0.0);
        (elsewhere, ((deletes - elsewhere) / 2.0).min(keys))
    }

    /// What the blocks of `range` have, by those that are looked at.
    fn sampled(&self, index: &Index, range: &KeyRange) -> Result<Sample> {
        let first = index.lower_bound(self, &range.start, Seq::MAX, ReadTier::Disk)?;
        let end = match range.end.as_deref() {
            Some(end) => index.lower_bound(self, end, Seq::MAX, ReadTier::Disk)?,
            None => index.len(),
        };
        let mut sample = Sample::default();
        // The block in which the range ends may have some of it, too.
        let all = (end + 1).min(index.len()).saturating_sub(first);
        if all <= ESTIMATE_BLOCKS {
            for position in first..first + all {
                self.look_into(index, position, range, &mut sample)?;
            }
            return Ok(sample);
        }
        // Of the first block and of that in which the range ends half is in it, as far as anybody knows.
        let (blocks, step) = ((end - first) as f64, all / ESTIMATE_BLOCKS);
        for at in 0..ESTIMATE_BLOCKS {
            self.look_into(index, first + at * step + step / 2, &KeyRange::default(), &mut sample)?;
        }
        let times = blocks / ESTIMATE_BLOCKS as f64;
        let Sample { puts, deletes, bytes } = sample;
        Ok(Sample { puts: puts * times, deletes: deletes * times, bytes: bytes * times })
    }

    /// Adds what block `position` has in `range`. Where nothing is deleted, its entries are counted by their restarts: a plan
    /// looks at blocks of every table for every index, and to walk over them took most of its time.
    fn look_into(&self, index: &Index, position: usize, range: &KeyRange, sample: &mut Sample) -> Result<()> {
        let target = index.target(self, position, ReadTier::Disk)?;
        let mut cursor = BlockCursor::new(self.block(target.handle, ReadTier::Disk, |_| Ok(()))?);
        sample.bytes += target.handle.stored_bytes() as f64;
        if self.meta().tombstones == 0 {
            let before = cursor.rank(&range.start)?;
            let until = match range.end.as_deref() {
                Some(end) => cursor.rank(end)?,
                None => cursor.count()?,
            };
            sample.puts += until.saturating_sub(before) as f64;
            return Ok(());
        }
        cursor.seek(&range.start, Trailer::new(Seq::MAX, Kind::Delete))?;
        while cursor.valid() && range.contains(cursor.key()) {
            match cursor.trailer().kind() {
                Kind::Put => sample.puts += 1.0,
                Kind::Delete => sample.deletes += 1.0,
            }
            cursor.next()?;
        }
        Ok(())
    }

    /// About which part of the blocks lies in `range`, from 0 to 1, by what is in memory.
    fn part_in(&self, index: &Index, range: &KeyRange) -> Result<f64> {
        let first = index.blocks_before(self, &range.start)?;
        let last = match range.end.as_deref() {
            Some(end) => index.blocks_before(self, end)?,
            None => index.len(),
        };
        // Both ends in one block: half of it.
        let blocks = (last.saturating_sub(first) as f64).max(0.5);
        Ok(blocks / index.len() as f64)
    }
}
