//! Range tombstones in tables.

use super::super::key_hash;
use super::*;
use crate::tombstones::RangeTombstones;
use crate::{Error, ReadTier};

type Range = (&'static str, &'static str, u64);

fn write(rows: &[Row], ranges: &[Range]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table");
    let mut writer = TableWriter::create(&RealFs, path, STORE, NUMBER, Compression::None).unwrap();
    for (start, end, at) in ranges {
        writer.add_range_tombstone(start.as_bytes(), end.as_bytes(), seq(*at)).unwrap();
    }
    for (key, at, value) in rows {
        writer.add(key, trailer(*at, Kind::Put), value.as_deref().unwrap()).unwrap();
    }
    let meta = writer.finish().unwrap();
    Fixture { dir, meta }
}

fn bounds(fixture: &Fixture) -> (&str, &str, bool, u64, u64) {
    let meta = &fixture.meta;
    let text = |key| std::str::from_utf8(key).unwrap();
    let (least, greatest) = (meta.least_seq.get(), meta.greatest_seq.get());
    (text(&meta.smallest), text(&meta.largest), meta.largest_exclusive, least, greatest)
}

#[test]
fn range_tombstones_come_back_as_they_were_given() {
    let ranges = [("b", "d", 9), ("b", "d", 4), ("d", "f", 4), ("m", "n", 7)];
    let fixture = write(&[row("c", 5, Some(b"v"))], &ranges);
    let table = fixture.open().unwrap();
    let expected = ranges.iter().fold(RangeTombstones::default(), |set, (start, end, at)| {
        set.with(start.as_bytes(), end.as_bytes(), seq(*at))
    });
    assert_eq!(*table.range_tombstones(), expected);
    assert_eq!(table.range_tombstones().newest_covering(b"c", Seq::MAX), seq(9));
    let properties = table.verify().unwrap();
    assert_eq!((properties.entries, properties.range_tombstones), (1, 4));
    // A point read says what the table has; what covers it is for the caller to weigh, by the sequence.
    let (found, _) = table.get_with_seq(b"c", key_hash(b"c"), Seq::MAX, ReadTier::Disk).unwrap().unwrap();
    assert_eq!(found, seq(5));
}

#[test]
fn bounds_include_the_spans_of_range_tombstones() {
    let rows = [row("f", 5, Some(b"")), row("m", 6, Some(b""))];
    assert_eq!(bounds(&write(&rows, &[("a", "b", 9)])), ("a", "m", false, 5, 9));
    assert_eq!(bounds(&write(&rows, &[("g", "z", 2)])), ("f", "z", true, 2, 6));
    assert_eq!(bounds(&write(&rows, &[("g", "m", 6)])), ("f", "m", false, 5, 6));
    assert_eq!(bounds(&write(&rows, &[("g", "m\0", 6)])), ("f", "m\0", true, 5, 6));
    assert_eq!(bounds(&write(&rows, &[("a", "c", 1), ("d", "z", 8)])), ("a", "z", true, 1, 8));
}

#[test]
fn a_table_may_hold_range_tombstones_alone() {
    let fixture = write(&[], &[("b", "d", 3), ("e", "g", 5)]);
    assert_eq!(bounds(&fixture), ("b", "g", true, 3, 5));
    assert_eq!(fixture.meta.entries, 0);
    let table = fixture.open().unwrap();
    table.verify().unwrap();
    assert!(table.get(b"c", key_hash(b"c"), Seq::MAX, ReadTier::Disk).unwrap().is_none());
    for mut cursor in [table.cursor(ReadTier::Disk), table.cursor_at(ReadTier::Disk, seq(4))] {
        cursor.seek_first().unwrap();
        assert!(!cursor.valid());
        cursor.seek_last().unwrap();
        assert!(!cursor.valid());
        cursor.seek(b"c", trailer(9, Kind::Put)).unwrap();
        assert!(!cursor.valid());
        cursor.seek_before(b"z").unwrap();
        assert!(!cursor.valid());
    }
}

#[test]
fn every_flipped_byte_of_a_table_of_range_tombstones_is_noticed() {
    let fixture = write(&[], &[("b", "d", 3), ("e", "g", 5)]);
    let bytes = fixture.bytes();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x21;
        std::fs::write(fixture.path(), damaged).unwrap();
        let error = fixture.open().err().or_else(|| fixture.open().unwrap().verify().err());
        assert!(matches!(error, Some(Error::Corrupt { .. })), "byte {at}");
    }
}

#[test]
fn the_bounds_of_a_range_tombstone_have_the_limit_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t");
    let mut writer = TableWriter::create(&RealFs, path, STORE, NUMBER, Compression::None).unwrap();
    let long = vec![b'x'; crate::limits::MAX_KEY_BYTES + 1];
    let error = writer.add_range_tombstone(b"a", &long, seq(1)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "key", .. }), "{error}");
}
