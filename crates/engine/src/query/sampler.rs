//! Guesses how many entries of indexes lie in ranges, by counting those of some.
//!
//! A query may ask for very many ranges, so what is counted for one query is bounded. What is not counted any more is guessed
//! to be as what was.
#![expect(clippy::cast_precision_loss, reason = "numbers of entries are guesses here")]

use std::cell::Cell;

use fountain_lsm::KeyRange;

use super::meter::Meter;
use super::source::Source;
use crate::error::Result;
use crate::limits::{MAX_PLAN_ENTRIES, MAX_PLAN_RANGES, PLAN_SAMPLE, PLAN_SAMPLE_RANGES};

/// See the module.
pub(super) struct Sampler<'a> {
    source: &'a dyn Source,
    meter: &'a Meter,
    records: f64,
    /// Ranges in which entries were counted, and the entries.
    ranges: Cell<u32>,
    counted: Cell<u32>,
    /// Entries that these ranges were guessed to have.
    guessed: Cell<f64>,
}

impl<'a> Sampler<'a> {
    /// Of a collection with about as many `records`.
    pub fn new(source: &'a dyn Source, meter: &'a Meter, records: f64) -> Self {
        let (ranges, counted, guessed) = (Cell::new(0), Cell::new(0), Cell::new(0.0));
        Self { source, meter, records, ranges, counted, guessed }
    }

    /// About how many entries of an index lie in `ranges`: counted if both are few.
    ///
    /// # Errors
    /// `ERR_TIMEOUT`, and what reading can fail with.
    pub fn entries(&self, index: usize, ranges: &[KeyRange]) -> Result<f64> {
        if let [only] = ranges
            && only.start.is_empty()
            && only.end.is_none()
        {
            return Ok(self.records);
        }
        let (mut found, mut looked) = (0.0, 0.0);
        let step = ranges.len().div_ceil(PLAN_SAMPLE_RANGES).max(1);
        for range in ranges.iter().step_by(step) {
            let Some(entries) = self.range(index, range)? else { break };
            found += entries;
            looked += 1.0;
        }
        let average = if looked > 0.0 { found / looked } else { self.average() };
        Ok((average * ranges.len() as f64).min(self.records.max(found)))
    }

    /// About how many entries lie in one range; `None` when enough was counted for this query.
    fn range(&self, index: usize, range: &KeyRange) -> Result<Option<f64>> {
        self.meter.check_time()?;
        if self.ranges.get() >= MAX_PLAN_RANGES || self.counted.get() >= MAX_PLAN_ENTRIES {
            return Ok(None);
        }
        let count = self.source.sample(index, range, PLAN_SAMPLE)?;
        let guess = match f64::from(count) {
            // There may be more, and only storage can tell about how many.
            found if count == PLAN_SAMPLE => (self.source.estimate_entries(index, range)? as f64).max(found),
            found => found,
        };
        self.ranges.set(self.ranges.get() + 1);
        self.counted.set(self.counted.get() + count);
        self.guessed.set(self.guessed.get() + guess);
        Ok(Some(guess))
    }

    /// What one of the ranges had on average.
    fn average(&self) -> f64 {
        self.guessed.get() / f64::from(self.ranges.get()).max(1.0)
    }
}
