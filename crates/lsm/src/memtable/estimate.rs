//! How many records of a range a memtable has, about.
#![expect(clippy::cast_precision_loss, reason = "numbers of records are guesses here")]

use super::Memtable;
use crate::db::RangeEstimate;
use crate::limits::ESTIMATE_SAMPLE;
use crate::range::KeyRange;
use crate::types::{Kind, Seq, Trailer};

impl Memtable {
    /// About what this memtable adds to `range`: each key whose newest version here is a put counts for one record more, each
    /// whose newest version is a delete for one less, as an older memtable or a table has counted it. Deleted ranges do not
    /// count.
    ///
    /// [`ESTIMATE_SAMPLE`] versions are looked at. If there are no more, the answer is exact; otherwise the rest of the range
    /// is taken to be like them, and how many versions it has is guessed by the shape of the tree.
    pub(crate) fn estimate(&self, range: &KeyRange) -> RangeEstimate {
        let (mut versions, mut found, mut last_key) = (0, RangeEstimate::default(), None);
        let mut place = self.tree.seek(&range.start, Trailer::new(Seq::MAX, Kind::Delete));
        while let Some(at) = place.filter(|at| range.contains(at.entry().key())) {
            if versions == ESTIMATE_SAMPLE {
                let times = (self.versions(range) / f64::from(versions)).max(1.0);
                let RangeEstimate { records, keys, bytes } = found;
                return RangeEstimate { records: records * times, keys: keys * times, bytes: bytes * times };
            }
            let entry = at.entry();
            if last_key != Some(entry.key()) {
                found.records += if entry.trailer().kind() == Kind::Put { 1.0 } else { -1.0 };
                found.keys += 1.0;
            }
            found.bytes += (entry.key().len() + entry.value().len()) as f64;
            (versions, last_key, place) = (versions + 1, Some(entry.key()), at.next());
        }
        found
    }

    /// About how many versions there are of keys in `range`.
    fn versions(&self, range: &KeyRange) -> f64 {
        let end = range.end.as_deref().map_or(1.0, |end| self.tree.part_before(end));
        (end - self.tree.part_before(&range.start)) * self.tree.len() as f64
    }
}

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

    #[test]
    fn many_versions_of_few_keys_are_few_records() {
        let memtable = filled((0..50_000).map(|number| (number / 10, Kind::Put)));
        let found = memtable.estimate(&KeyRange::default()).records;
        assert!((2_500.0..=10_000.0).contains(&found), "{found}");
    }
}
