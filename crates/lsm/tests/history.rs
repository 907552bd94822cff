//! Reading the past: what is kept, for how long, and what is said about what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use fountain_lsm::{Db, Direction, Durability, Error, KeyRange, Options, ReadTier, Retention, WriteBatch};
use support::{delete, fast_dir, get, get_at, put, scan, seq, small};

fn latest_only() -> Options {
    Options { retention: Retention::LatestOnly, ..small() }
}

#[test]
fn every_version_stays_readable_through_flush_compaction_and_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "one");
    put(&db, "k", "two");
    db.flush().unwrap();
    delete(&db, "k");
    put(&db, "other", "x");
    db.compact().unwrap();
    put(&db, "k", "five");
    let check = |db: &Db| {
        let versions: Vec<_> = (0..=5).map(|at| get_at(db, "k", seq(at))).collect();
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(versions, [None, text("one"), text("two"), None, None, text("five")]);
    };
    check(&db);
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    check(&db);
    db.compact().unwrap();
    check(&db);
}

#[test]
fn a_read_can_tell_which_commit_put_the_value_there() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "one");
    put(&db, "other", "x");
    put(&db, "k", "three");
    let check = |newest: Option<(u64, &str)>| {
        let found = |at| db.get_with_seq(b"k", at, ReadTier::Disk).unwrap();
        let show = |found: Option<(fountain_lsm::Seq, fountain_lsm::Value)>| {
            found.map(|(at, value)| (at.get(), String::from_utf8(value.to_vec()).unwrap()))
        };
        let expected = |found: Option<(u64, &str)>| found.map(|(at, value)| (at, value.to_owned()));
        assert_eq!(show(found(None)), expected(newest));
        assert_eq!(show(found(Some(seq(2)))), expected(Some((1, "one"))));
        assert_eq!(show(found(Some(seq(0)))), None);
    };
    check(Some((3, "three")));
    db.flush().unwrap();
    check(Some((3, "three")));
    put(&db, "k", "four");
    check(Some((4, "four")));
    delete(&db, "k");
    check(None);
    db.compact().unwrap();
    check(None);
    let future = db.get_with_seq(b"k", Some(seq(9)), ReadTier::Disk);
    assert!(matches!(future, Err(Error::FutureSequence { .. })));
}

#[test]
fn tables_that_are_newer_than_a_read_are_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "one");
    db.flush().unwrap();
    for _ in 0..3 {
        put(&db, "k", "newer");
        db.flush().unwrap();
    }
    let everything = KeyRange::default();
    let mut batch = WriteBatch::new();
    batch.delete_range(&KeyRange { start: b"a".to_vec(), end: Some(b"z".to_vec()) }).unwrap();
    db.commit(batch, Durability::Memory).unwrap();
    db.flush().unwrap();
    let looks = || db.metrics().cache_hits + db.metrics().cache_misses;
    let one = [(b"k".to_vec(), b"one".to_vec())];
    let before = looks();
    assert_eq!(get_at(&db, "k", seq(1)).as_deref(), Some("one"));
    assert_eq!(looks() - before, 1, "a get");
    let many = db.get_many(&[b"k"], seq(1), ReadTier::Disk).unwrap();
    assert_eq!(many.iter().flatten().map(|value| &**value).collect::<Vec<_>>(), [b"one"]);
    assert_eq!(looks() - before, 2, "a get of many");
    assert_eq!(scan(&db, everything.clone(), seq(1), Direction::Forward), one);
    assert_eq!(scan(&db, everything.clone(), seq(1), Direction::Reverse), one);
    assert_eq!(looks() - before, 4, "a scan each way");
    assert_eq!(get(&db, "k"), None);
    assert_eq!(scan(&db, everything, seq(5), Direction::Forward), []);
}

#[test]
fn the_future_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "one");
    let error = db.get(b"k", seq(2), ReadTier::Disk).unwrap_err();
    assert!(
        matches!(error, Error::FutureSequence { requested, newest } if (requested, newest) == (seq(2), seq(1)))
    );
    assert!(matches!(db.snapshot_at(seq(2)), Err(Error::FutureSequence { .. })));
}

#[test]
fn without_history_a_compaction_keeps_the_newest_and_what_snapshots_see() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), latest_only()).unwrap();
    for version in 1..=50 {
        put(&db, "k", &format!("v{version}"));
    }
    put(&db, "gone", "x");
    let snapshot = db.snapshot_at(seq(20)).unwrap();
    delete(&db, "gone");
    db.compact().unwrap();
    assert_eq!(get(&db, "k").as_deref(), Some("v50"));
    assert_eq!(get_at(&db, "k", snapshot.seq()).as_deref(), Some("v20"));
    assert_eq!(get(&db, "gone"), None);
    let error = db.get(b"k", seq(30), ReadTier::Disk).unwrap_err();
    assert!(
        matches!(error, Error::HistoryTruncated { requested, floor } if (requested, floor) == (seq(30), seq(52)))
    );
    // 48 of the 50 versions, and the value under the tombstone; the tombstone stays while an older snapshot is open.
    assert_eq!(db.metrics().versions_dropped, 48 + 1);
    drop(snapshot);
    db.compact().unwrap();
    assert!(matches!(db.get(b"k", seq(20), ReadTier::Disk), Err(Error::HistoryTruncated { .. })));
    assert_eq!(get(&db, "k").as_deref(), Some("v50"));
    assert_eq!(db.metrics().versions_dropped, 49 + 2);
}

#[test]
fn the_history_floor_survives_a_reopen_and_a_change_of_retention() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), latest_only()).unwrap();
    put(&db, "k", "one");
    put(&db, "k", "two");
    db.compact().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!(db.history_floor(), seq(2));
    assert!(matches!(db.snapshot_at(seq(1)), Err(Error::HistoryTruncated { .. })));
    put(&db, "k", "three");
    db.compact().unwrap();
    assert_eq!(get_at(&db, "k", seq(2)).as_deref(), Some("two"));
}

#[test]
fn a_deleted_key_does_not_come_back_from_a_deeper_level() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), latest_only()).unwrap();
    put(&db, "k", "old");
    db.compact().unwrap();
    delete(&db, "k");
    db.flush().unwrap();
    assert_eq!(get(&db, "k"), None);
    db.compact().unwrap();
    assert_eq!(get(&db, "k"), None);
    assert_eq!(db.metrics().level_tables.iter().sum::<u64>(), 0, "nothing is left to store");
    db.close().unwrap();
    drop(db);
    assert_eq!(get(&Db::open(dir.path(), latest_only()).unwrap(), "k"), None);
}

#[test]
fn a_read_limited_to_memory_says_so_instead_of_missing() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "one");
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(matches!(db.get_newest(b"k", ReadTier::Memory), Err(Error::WouldBlock)));
    assert_eq!(get(&db, "k").as_deref(), Some("one"));
    assert_eq!(db.get_newest(b"k", ReadTier::Memory).unwrap().as_deref(), Some(&b"one"[..]));
}

#[test]
fn a_newest_scan_looks_at_as_many_blocks_with_a_hundred_versions_of_each_key_as_with_one() {
    let blocks_looked_at = |versions: u32| {
        let dir = fast_dir();
        let db = Db::open(dir.path(), Options { table_bytes: 16 << 20, ..small() }).unwrap();
        for version in 0..versions {
            let mut batch = WriteBatch::new();
            for key in 0..400 {
                batch.put(format!("key {key:04}").as_bytes(), &[version as u8; 100]).unwrap();
            }
            db.commit(batch, Durability::Memory).unwrap();
        }
        db.compact().unwrap();
        let metrics = db.metrics();
        assert_eq!(metrics.table_entries, u64::from(versions) * 400, "nothing was dropped");
        let looks = |db: &Db| db.metrics().cache_hits + db.metrics().cache_misses;
        let before = looks(&db);
        let found = scan(&db, KeyRange::default(), db.visible(), Direction::Forward);
        assert!(found.len() == 400 && found.iter().all(|(_, value)| value[0] == (versions - 1) as u8));
        looks(&db) - before
    };
    let (one, hundred) = (blocks_looked_at(1), blocks_looked_at(100));
    assert!(one >= 10 && hundred <= one + 1, "{hundred} blocks with 100 versions, {one} with one");
}

/// A store of three tables in level 0, each with the same keys.
fn three_runs_of_the_same_keys(dir: &std::path::Path) -> Db {
    let options = Options { memtable_bytes: 1 << 20, table_bytes: 16 << 20, ..small() };
    let db = Db::open(dir, options).unwrap();
    for version in 0..3u8 {
        write_keys(&db, 0..4000, version);
        db.flush().unwrap();
    }
    assert_eq!(db.metrics().level_tables[0], 3);
    db
}

fn write_keys(db: &Db, keys: std::ops::Range<u32>, version: u8) {
    let mut batch = WriteBatch::new();
    keys.for_each(|key| batch.put(format!("key {key:04}").as_bytes(), &[version; 100]).unwrap());
    db.commit(batch, Durability::Memory).unwrap();
}

/// Blocks that a scan of everything looks at, and the versions that it finds.
fn looks_of_scan(db: &Db, at: fountain_lsm::Seq, direction: Direction) -> (u64, Vec<u8>) {
    let looks = || db.metrics().cache_hits + db.metrics().cache_misses;
    let before = looks();
    let found = scan(db, KeyRange::default(), at, direction);
    let mut keys: Vec<_> = found.iter().map(|(key, _)| key.clone()).collect();
    if direction == Direction::Reverse {
        keys.reverse();
    }
    assert!(keys.is_sorted() && keys.len() == 4000);
    (looks() - before, found.into_iter().map(|(_, value)| value[0]).collect())
}

#[test]
fn a_scan_leaves_out_blocks_of_which_an_earlier_one_saw_that_all_in_them_is_superseded() {
    let dir = fast_dir();
    let db = three_runs_of_the_same_keys(dir.path());
    let newest = db.visible();
    let (first, _) = looks_of_scan(&db, newest, Direction::Forward);
    let (second, versions) = looks_of_scan(&db, newest, Direction::Forward);
    assert!(versions.iter().all(|version| *version == 2));
    assert!(second * 10 < first * 4, "{second} blocks where all three tables have {first}");
    let (reverse, versions) = looks_of_scan(&db, newest, Direction::Reverse);
    assert!(versions.iter().all(|version| *version == 2));
    assert!(reverse * 10 < first * 4, "{reverse} blocks in reverse");
    assert!(db.metrics().table_memory_bytes > 0);
}

#[test]
fn what_is_superseded_for_the_newest_reader_is_still_there_for_all_others() {
    let dir = fast_dir();
    let db = three_runs_of_the_same_keys(dir.path());
    let mut expected = vec![vec![0u8; 4000], vec![1; 4000], vec![2; 4000]];
    // Part of the keys only: some blocks of the newest table have nothing but superseded versions, some only a few.
    for keys in [500..1700u32, 1650..3001] {
        write_keys(&db, keys.clone(), 3);
        let mut next = expected.last().unwrap().clone();
        next[keys.start as usize..keys.end as usize].fill(3);
        expected.push(next);
    }
    let check_all = || {
        for (at, expected) in expected.iter().enumerate() {
            for direction in [Direction::Forward, Direction::Reverse] {
                let (_, mut found) = looks_of_scan(&db, seq(at as u64 + 1), direction);
                if direction == Direction::Reverse {
                    found.reverse();
                }
                assert_eq!(found, *expected, "as of {} {direction:?}", at + 1);
            }
        }
        let mut walk = db.changes(KeyRange::default(), seq(0), seq(5), ReadTier::Disk).unwrap();
        let mut changes = 0;
        while walk.next().unwrap() {
            changes += 1;
        }
        assert_eq!(changes, 3 * 4000 + 1200 + 1351, "every version is a change");
    };
    // From the newest to the oldest and back: what one scan has noted is used by the next.
    looks_of_scan(&db, db.visible(), Direction::Forward);
    check_all();
    check_all();
    db.flush().unwrap();
    check_all();
    db.compact().unwrap();
    assert_eq!(db.metrics().table_entries, 3 * 4000 + 1200 + 1351, "a compaction reads all of it");
    check_all();
}

#[test]
fn a_short_scan_over_superseded_blocks_does_not_look_for_what_lies_far_ahead() {
    let dir = fast_dir();
    let db = three_runs_of_the_same_keys(dir.path());
    looks_of_scan(&db, db.visible(), Direction::Forward);
    let range = KeyRange { start: b"key 2000".to_vec(), end: Some(b"key 2010".to_vec()) };
    let looks = || db.metrics().cache_hits + db.metrics().cache_misses;
    for direction in [Direction::Forward, Direction::Reverse] {
        let before = looks();
        let found = scan(&db, range.clone(), db.visible(), direction);
        assert!(found.len() == 10 && found.iter().all(|(_, value)| value[0] == 2));
        assert!(looks() - before <= 6, "{} blocks of three tables for ten records", looks() - before);
    }
    for start in ["key 0000", "key 0033", "key 3990", "key 3999 and more"] {
        let range = KeyRange { start: start.as_bytes().to_vec(), end: None };
        let found = scan(&db, range, db.visible(), Direction::Forward);
        let expected = 4000 - start[4..8].parse::<usize>().unwrap() - usize::from(start.len() > 8);
        assert_eq!(found.len(), expected, "from {start}");
    }
}
