//! How many records of a range a memtable has, about.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use super::Memtable;
use super::tree::Place;
use crate::db::RangeEstimate;
use crate::limits::{ESTIMATE_PLACES, ESTIMATE_SAMPLE};
use crate::range::KeyRange;
use crate::types::{Kind, Seq, Trailer};

/// What some versions are worth, and how many they are.
#[derive(Default)]
struct Sample {
    versions: u32,
    found: RangeEstimate,
}

impl Memtable {
    /// About what this memtable adds to `range`: each key whose newest version here is a put counts for one record more, each
    /// whose newest version is a delete for one less, as an older memtable or a table has counted it. Deleted ranges do not
    /// count.
    ///
    /// [`ESTIMATE_SAMPLE`] versions are looked at. If there are no more, the answer is exact; otherwise as many are looked at
    /// in [`ESTIMATE_PLACES`] places of the range, as much may be written about a few keys, or deleted in a row. The rest
    /// is taken to be like them, and how many versions it has is guessed by the shape of the tree.
    pub(crate) fn estimate(&self, range: &KeyRange) -> RangeEstimate {
        let start = self.tree.seek(&range.start, NEWEST);
        let mut sample = Sample::default();
        if self.look(start, range, ESTIMATE_SAMPLE, &mut sample).is_none() {
            return sample.found;
        }
        let from = self.tree.part_before(&range.start);
        let part = range.end.as_deref().map_or(1.0, |end| self.tree.part_before(end)) - from;
        let mut spread = Sample::default();
        for place in 0..ESTIMATE_PLACES {
            let middle = (f64::from(place) + 0.5) / f64::from(ESTIMATE_PLACES);
            let at = self.tree.at_part(from + part * middle);
            self.look(at, range, ESTIMATE_SAMPLE / ESTIMATE_PLACES, &mut spread);
        }
        // Where the guess of places led out of the range, its beginning speaks for it.
        let Sample { versions, found } = if spread.versions > 0 { spread } else { sample };
        let times = (part * self.tree.len() as f64 / f64::from(versions)).max(1.0);
        RangeEstimate { records: found.records * times, keys: found.keys * times, bytes: found.bytes * times }
    }

    /// Adds `most` versions from `place` on to a sample; what comes behind them in the range, if anything does.
    fn look<'a>(
        &'a self,
        mut place: Option<Place<'a>>,
        range: &KeyRange,
        most: u32,
        sample: &mut Sample,
    ) -> Option<Place<'a>> {
        let mut last_key = None;
        for _ in 0..most {
            let at = place.filter(|at| range.contains(at.entry().key()))?;
            let entry = at.entry();
            let is_newest = match last_key {
                Some(last) => last != entry.key(),
                None => {
                    let newest = self.tree.seek(entry.key(), NEWEST);
                    newest.is_some_and(|newest| newest.entry().trailer() == entry.trailer())
                }
            };
            if is_newest {
                sample.found.records += if entry.trailer().kind() == Kind::Put { 1.0 } else { -1.0 };
                sample.found.keys += 1.0;
            }
            sample.found.bytes += (entry.key().len() + entry.value().len()) as f64;
            sample.versions += 1;
            (last_key, place) = (Some(entry.key()), at.next());
        }
        place.filter(|at| range.contains(at.entry().key()))
    }
}

/// Comes before all versions of a key.
const NEWEST: Trailer = Trailer::new(Seq::MAX, Kind::Delete);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "few versions are counted in whole numbers")]
mod tests {
    use super::*;
    use crate::types::FileNumber;

    fn range(start: u64, end: u64) -> KeyRange {
        KeyRange { start: start.to_be_bytes().to_vec(), end: Some(end.to_be_bytes().to_vec()) }
    }

    /// A memtable in which `order` keys of eight bytes have a version of `kind` each.
    fn filled(order: impl Iterator<Item = (u64, Kind)>) -> Memtable {
        let memtable = Memtable::new(FileNumber(1));
        let mut writer = memtable.writer();
        for (seq, (key, kind)) in (1..).zip(order) {
            writer.insert(&key.to_be_bytes(), Seq::new(seq).unwrap(), kind, b"value");
        }
        drop(writer);
        memtable
    }

    #[test]
    fn few_versions_are_counted_one_by_one_and_a_delete_counts_for_one_less() {
        let puts = (0..40).map(|key| (key, Kind::Put));
        let deletes = (30..50).map(|key| (key, Kind::Delete));
        let memtable = filled(puts.clone().chain(puts).chain(deletes));
        assert_eq!(memtable.estimate(&range(0, 30)).records, 30.0);
        assert_eq!(memtable.estimate(&range(0, 100)).records, 30.0 - 20.0);
        assert_eq!(memtable.estimate(&range(60, 100)).records, 0.0);
        assert_eq!(memtable.estimate(&KeyRange::default()).records, 10.0);
    }

    #[test]
    fn many_versions_are_guessed_within_a_factor_of_two() {
        let scattered = (0..60_000u64).map(|number| number.wrapping_mul(2_654_435_761) % 60_000);
        for memtable in
            [filled((0..60_000).map(|key| (key, Kind::Put))), filled(scattered.map(|key| (key, Kind::Put)))]
        {
            for (start, end) in [(0, 60_000), (0, 7_000), (20_000, 50_000), (55_000, 60_000)] {
                let (found, real) = (memtable.estimate(&range(start, end)).records, (end - start) as f64);
                assert!((real / 2.0..=real * 2.0).contains(&found), "{start}..{end}: {found}");
            }
        }
    }

    /// One key was written again and again, others were deleted in a row, and the rest is as usual.
    #[test]
    fn what_comes_first_in_a_range_does_not_speak_for_the_rest() {
        let often = (0..5_000).map(|_| (1_000, Kind::Put));
        let deleted = (2_000..4_000).map(|key| (key, Kind::Delete));
        let puts = (10_000..60_000).map(|key| (key, Kind::Put));
        let memtable = filled(deleted.chain(puts).chain(often));
        for (start, real) in [(0, 48_001.0), (1_000, 48_001.0), (2_000, 48_000.0), (10_000, 50_000.0)] {
            let found = memtable.estimate(&range(start, 60_000)).records;
            assert!((real / 2.0..=real * 2.0).contains(&found), "from {start}: {found} of {real}");
        }
    }

    #[test]
    fn many_versions_of_few_keys_are_few_records() {
        let memtable = filled((0..50_000).map(|number| (number / 10, Kind::Put)));
        let found = memtable.estimate(&KeyRange::default()).records;
        assert!((2_500.0..=10_000.0).contains(&found), "{found}");
    }
}
