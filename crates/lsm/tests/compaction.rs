//! What compaction does when asked, what it says of itself, and how it slows writers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::Path;

use fountain_lsm::{Compression, Db, Durability, Error, Job, KeyRange, Options, Retention, WriteBatch};
#[cfg(feature = "zstd")]
use fountain_lsm::{Direction, ReadTier};
use support::busy::{compacting_for_hours, soon};
#[cfg(feature = "zstd")]
use support::scan;
use support::{fast_dir, get, put, small};

#[test]
fn the_status_tells_what_lies_where_and_what_is_still_to_do() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for round in 0..5 {
        put(&db, "key", &format!("value {round}"));
        db.flush().unwrap();
    }
    let before = db.compaction_status();
    assert_eq!((before.levels[0].tables, before.pending_tables), (5, 5));
    assert!(before.debt_bytes >= before.levels[0].bytes && before.levels[0].bytes > 0, "{before:?}");
    assert!(before.running.is_none() && before.write_amplification > 0.0, "{before:?}");
    db.compact().unwrap();
    let after = db.compaction_status();
    assert_eq!((after.levels[0].tables, after.pending_tables, after.debt_bytes), (0, 0, 0));
    assert_eq!(after.levels.iter().map(|level| level.tables).sum::<u64>(), 1);
    assert!(after.write_amplification > before.write_amplification);
}

#[test]
fn a_merge_that_was_asked_for_ends_when_it_is_told_to_and_leaves_all_as_it_was() {
    let dir = fast_dir();
    // So slow that it would take hours.
    let options = Options {
        compaction_bytes_per_second: Some(1),
        memtable_bytes: 8 << 20,
        wal_segment_bytes: 8 << 20,
        ..small()
    };
    let db = Db::open(dir.path(), options).unwrap();
    for round in 0..2 {
        put(&db, "key", &format!("value {round}"));
        for n in 0..3000 {
            put(&db, &format!("{n:04}"), "v");
        }
        db.flush().unwrap();
    }
    let before = db.compaction_status().levels;
    std::thread::scope(|scope| {
        let merge = scope.spawn(|| db.compact());
        while db.compaction_status().running.is_none() && !merge.is_finished() {
            std::thread::yield_now();
        }
        db.stop_compacting();
        assert!(matches!(merge.join().unwrap(), Err(Error::Closed)));
    });
    assert!(matches!(db.compact(), Err(Error::Closed)));
    assert_eq!(format!("{:?}", db.compaction_status().levels), format!("{before:?}"));
    assert_eq!(get(&db, "key").as_deref(), Some("value 1"));
    db.verify().unwrap();
}

#[test]
fn a_merge_that_was_asked_for_does_not_wait_for_the_one_before_it_when_it_is_told_to_end() {
    let dir = fast_dir();
    let db = compacting_for_hours(dir.path());
    std::thread::scope(|scope| {
        let merge = scope.spawn(|| db.compact());
        db.stop_compacting();
        let is_first_to_end = soon(|| merge.is_finished()) && db.compaction_status().running.is_some();
        db.close().unwrap();
        assert!(matches!(merge.join().unwrap(), Err(Error::Closed)));
        assert!(is_first_to_end, "it waited for the one before it");
    });
}

#[test]
fn compacting_a_range_leaves_the_other_tables_where_they_are() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for key in ["a1", "b1", "a2", "b2"] {
        put(&db, key, "value");
        db.flush().unwrap();
    }
    db.compact_range(&KeyRange::prefix(b"a")).unwrap();
    let levels = db.compaction_status().levels;
    assert_eq!((levels[0].tables, levels[6].tables), (2, 1), "{levels:?}");
    for key in ["a1", "b1", "a2", "b2"] {
        assert_eq!(get(&db, key).as_deref(), Some("value"));
    }
    db.verify().unwrap();
}

#[test]
fn the_versions_of_one_key_never_spread_over_two_tables_however_small_tables_are() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { table_bytes: 1, ..small() }).unwrap();
    for round in 0..20 {
        for key in ["a", "b", "c", "d", "e"] {
            put(&db, key, &format!("{round} {}", "v".repeat(500)));
        }
        db.flush().unwrap();
    }
    db.compact().unwrap();
    let levels = db.compaction_status().levels;
    let tables: u64 = levels.iter().map(|level| level.tables).sum();
    assert_eq!((levels[0].tables, tables), (0, 5), "a table for each key, with its 20 versions");
    db.verify().unwrap();
}

/// Bytes of the last level, after the same records were written, compacted and verified with this compression of it.
fn bottom_bytes(dir: &Path, bottom: Option<Compression>) -> u64 {
    let retention = Retention::LatestOnly;
    let options =
        Options { compression: Compression::None, bottom_compression: bottom, retention, ..small() };
    let db = Db::open(dir, options).unwrap();
    let value = |number: u64| format!("{{\"name\":\"number {number}\",\"square\":{}}}", number * number);
    for number in 0..500 {
        put(&db, &format!("key {number:04}"), &value(number));
    }
    db.compact().unwrap();
    db.verify().unwrap();
    for number in [0, 7, 499] {
        assert_eq!(get(&db, &format!("key {number:04}")), Some(value(number)));
    }
    let levels = db.compaction_status().levels;
    assert_eq!((levels[..6].iter().map(|level| level.tables).sum::<u64>(), levels[6].tables), (0, 1));
    let bytes = levels[6].bytes;
    db.close().unwrap();
    bytes
}

#[test]
fn the_last_level_has_a_compression_of_its_own() {
    let dir = fast_dir();
    let plain = bottom_bytes(dir.path(), None);
    let lz4 = bottom_bytes(dir.path(), Some(Compression::Lz4));
    assert!(lz4 * 8 < plain * 7, "{lz4} of {plain} bytes");
    let again = bottom_bytes(dir.path(), None);
    assert!(
        again >= plain,
        "what is compacted again is written as it is to be now: {again} and {plain} bytes"
    );
}

#[cfg(feature = "zstd")]
#[test]
fn zstandard_makes_the_last_level_smaller_than_lz4_does() {
    let (first, second) = (fast_dir(), fast_dir());
    let lz4 = bottom_bytes(first.path(), Some(Compression::Lz4));
    let zstd = bottom_bytes(second.path(), Some(Compression::Zstd));
    assert!(zstd < lz4, "{zstd} and {lz4} bytes");
}

#[cfg(feature = "zstd")]
#[test]
fn a_last_level_in_zstandard_is_read_after_a_restart_and_written_otherwise_when_asked_to() {
    let dir = fast_dir();
    let with = |bottom| Options { bottom_compression: Some(bottom), cache_bytes: 0, ..small() };
    let value =
        |number: u64, round: &str| format!("{{\"round\":\"{round}\",\"square\":{}}}", number * number);
    let db = Db::open(dir.path(), with(Compression::Zstd)).unwrap();
    let mut moments = Vec::new();
    for round in ["first", "second"] {
        for number in 0..500 {
            put(&db, &format!("key {number:04}"), &value(number, round));
        }
        moments.push((db.visible(), round));
        db.compact().unwrap();
    }
    let bottom = |db: &Db| db.compaction_status().levels[6].bytes;
    let packed = bottom(&db);
    let kept: usize = (0..500).map(|number| 2 * value(number, "first").len()).sum();
    assert!(packed * 2 < kept as u64, "{packed} bytes for {kept} of values");
    db.close().unwrap();
    for compression in [Compression::Zstd, Compression::Lz4, Compression::None] {
        let db = Db::open(dir.path(), with(compression)).unwrap();
        for _ in 0..2 {
            assert!(db.scrub().unwrap().is_sound());
            for &(at, round) in &moments {
                let found = scan(&db, KeyRange::default(), at, Direction::Forward);
                let expected = |number: u64| {
                    (format!("key {number:04}").into_bytes(), value(number, round).into_bytes())
                };
                assert!(found == (0..500).map(expected).collect::<Vec<_>>(), "as of {at}");
                let one = db.get(b"key 0123", at, ReadTier::Disk).unwrap().unwrap();
                assert_eq!(one.to_vec(), value(123, round).into_bytes());
            }
            db.compact().unwrap();
        }
        assert_eq!(bottom(&db) > packed, compression != Compression::Zstd);
        db.close().unwrap();
    }
}

/// A store of 1500 records in its last level, whose memtable holds about 350 of them, and the bytes that this took.
fn loaded(dir: &Path) -> (Db, u64) {
    let options = Options { retention: Retention::LatestOnly, compression: Compression::None, ..small() };
    let db = Db::open(dir, options).unwrap();
    for number in 0..1500 {
        put(&db, &format!("key {number:04}"), &"v".repeat(100));
    }
    db.compact().unwrap();
    let written = db.metrics();
    (db, written.flush_bytes + written.compaction_write_bytes)
}

/// Writes `count` records in a shuffled order and flushes them; gives the tables of level 0 when there is nothing left to do.
fn overwrite(db: &Db, round: u64, count: u64) -> u64 {
    for turn in 0..count {
        let number = (round * 997 + turn * 2741) % 1500;
        put(db, &format!("key {number:04}"), &"w".repeat(100));
    }
    db.flush().unwrap();
    while db.step(Job::Flush).unwrap() || db.step(Job::Compact).unwrap() {}
    db.compaction_status().levels[0].tables
}

#[test]
fn small_rests_of_flushes_do_not_bring_forward_the_merge_of_large_tables() {
    let dir = fast_dir();
    let (db, before) = loaded(dir.path());
    // Each time a full memtable and the rest of a flush that was asked for.
    let tables: Vec<_> = (0..24).map(|round| overwrite(&db, round, 400)).collect();
    let metrics = db.metrics();
    let written = metrics.flush_bytes + metrics.compaction_write_bytes - before;
    let committed = 24 * 400 * 108;
    assert!(tables.iter().all(|&tables| tables < 8), "{tables:?}");
    assert!(written * 2 < committed * 5, "{written} bytes of tables for {committed} bytes of commits");
    db.verify().unwrap();
}

#[test]
fn a_store_that_is_flushed_for_every_record_does_not_rewrite_the_others_for_it() {
    let dir = fast_dir();
    let (db, before) = loaded(dir.path());
    let tables: Vec<_> = (0..200).map(|round| overwrite(&db, round, 1)).collect();
    let metrics = db.metrics();
    let written = metrics.flush_bytes + metrics.compaction_write_bytes - before;
    assert!(tables.iter().all(|&tables| tables < 8), "{tables:?}");
    assert!(written < before, "{written} bytes of tables for 200 records, {before} for all 1500");
    db.verify().unwrap();
}

#[test]
fn writers_are_slowed_before_they_are_stopped() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    let large = |key: &str| {
        let mut batch = WriteBatch::new();
        batch.put(key.as_bytes(), &vec![1; 400_000]).unwrap();
        db.commit(batch, Durability::Os).unwrap();
    };
    large("free");
    assert_eq!((db.compaction_status().pressure.to_bits(), db.metrics().write_slowdowns), (0, 0));
    for index in 0..24 {
        put(&db, &format!("key {index}"), "value");
        db.flush().unwrap();
    }
    let pressure = db.compaction_status().pressure;
    assert!(pressure > 0.4 && pressure < 1.0, "{pressure}");
    large("slowed");
    let metrics = db.metrics();
    assert_eq!((metrics.write_slowdowns, metrics.write_stalls), (1, 0));
    db.compact().unwrap();
    assert_eq!(db.compaction_status().pressure.to_bits(), 0);
}
