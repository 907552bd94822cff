//! Deleting whole ranges of keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use fountain_lsm::{Db, Direction, Durability, KeyRange, Options, ReadTier, Retention, WriteBatch};
use support::{fast_dir, get, get_at, killed, put, scan, seq, small};

fn delete_range(db: &Db, start: &str, end: &str) {
    let mut batch = WriteBatch::new();
    let range = KeyRange { start: start.as_bytes().to_vec(), end: Some(end.as_bytes().to_vec()) };
    batch.delete_range(&range).unwrap();
    db.commit(batch, Durability::Disk).unwrap();
}

fn keys(db: &Db) -> Vec<String> {
    let records = scan(db, KeyRange::default(), db.visible(), Direction::Forward);
    records.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

#[test]
fn a_deleted_range_is_gone_from_then_on_and_there_before() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, small()).unwrap();
    for key in ["a", "b", "c", "d"] {
        put(&db, key, "old");
    }
    delete_range(&db, "b", "d");
    put(&db, "c", "new");
    let check = |db: &Db| {
        assert_eq!(keys(db), ["a", "c", "d"]);
        assert_eq!((get(db, "b"), get(db, "c").as_deref()), (None, Some("new")));
        assert_eq!(get_at(db, "b", seq(4)).as_deref(), Some("old"));
        assert_eq!(get_at(db, "c", seq(5)), None);
    };
    check(&db);
    killed(&live, &image);
    check(&Db::open(&image, small()).unwrap());
    db.flush().unwrap();
    check(&db);
    db.compact().unwrap();
    check(&db);
    db.close().unwrap();
    drop(db);
    check(&Db::open(&live, small()).unwrap());
}

#[test]
fn the_versions_of_a_key_show_when_its_range_was_deleted() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "1");
    delete_range(&db, "a", "z");
    delete_range(&db, "j", "l");
    put(&db, "k", "4");
    db.flush().unwrap();
    delete_range(&db, "k", "kk");
    let mut versions = db.versions(b"k", db.visible(), ReadTier::Disk).unwrap();
    let mut found = Vec::new();
    while versions.next().unwrap() {
        found.push((versions.seq().get(), versions.value().map(<[u8]>::to_vec)));
    }
    assert_eq!(found, [(5, None), (4, Some(b"4".to_vec())), (2, None), (1, Some(b"1".to_vec()))]);
}

#[test]
fn scans_pass_over_what_a_deleted_range_hides_without_reading_it() {
    let dir = fast_dir();
    let large = Options { memtable_bytes: 1 << 20, table_bytes: 1 << 20, ..small() };
    let db = Db::open(dir.path(), large).unwrap();
    let mut batch = WriteBatch::new();
    for index in 0..2000 {
        batch.put(format!("gone {index:05}").as_bytes(), &[1; 100]).unwrap();
    }
    batch.put(b"first", b"1").unwrap();
    batch.put(b"last", b"1").unwrap();
    db.commit(batch, Durability::Os).unwrap();
    db.flush().unwrap();
    delete_range(&db, "gone 00100", "gone 01900");
    put(&db, "gone 01000", "again");
    let left: Vec<String> = ["first".to_owned()]
        .into_iter()
        .chain((0..100).chain([1000]).chain(1900..2000).map(|index| format!("gone {index:05}")))
        .chain(["last".to_owned()])
        .collect();
    let blocks_looked_at = |direction| {
        let looks = || db.metrics().cache_hits + db.metrics().cache_misses;
        let before = looks();
        let mut records = scan(&db, KeyRange::default(), db.visible(), direction);
        if direction == Direction::Reverse {
            records.reverse();
        }
        let found: Vec<_> = records.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect();
        assert_eq!(found, left);
        assert_eq!(scan(&db, KeyRange::default(), seq(1), direction).len(), 2002, "before the deletion");
        looks() - before
    };
    for state in ["in memory", "in a table of its own", "in one table with what it hides"] {
        for direction in [Direction::Forward, Direction::Reverse] {
            // A scan of all records looks at more than 50 blocks.
            let looked_at = blocks_looked_at(direction);
            assert!((55..85).contains(&looked_at), "{state}, {direction:?}: {looked_at}");
        }
        if state == "in memory" { db.flush().unwrap() } else { db.compact().unwrap() }
    }
}

#[test]
fn compaction_lets_go_of_a_deleted_range_where_no_history_is_kept() {
    let dir = fast_dir();
    let options = Options { retention: Retention::LatestOnly, ..small() };
    let db = Db::open(dir.path(), options.clone()).unwrap();
    for index in 0..2000 {
        let mut batch = WriteBatch::new();
        batch.put(format!("dropped {index:05}").as_bytes(), &[1; 100]).unwrap();
        batch.put(format!("kept {index:05}").as_bytes(), &[1; 20]).unwrap();
        db.commit(batch, Durability::Os).unwrap();
    }
    db.compact().unwrap();
    let before = db.metrics().table_bytes;
    delete_range(&db, "dropped ", "dropped!");
    assert_eq!(keys(&db).len(), 2000);
    db.compact().unwrap();
    let metrics = db.metrics();
    assert_eq!((keys(&db).len(), metrics.table_entries), (2000, 2000));
    assert!(metrics.table_bytes * 2 < before, "{} of {before} bytes are left", metrics.table_bytes);
    db.verify().unwrap();
    db.close().unwrap();
    drop(db);
    assert_eq!(keys(&Db::open(dir.path(), options).unwrap()).len(), 2000);
}

#[test]
fn a_snapshot_keeps_a_range_that_is_deleted_after_it() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { retention: Retention::LatestOnly, ..small() }).unwrap();
    put(&db, "k", "1");
    let snapshot = db.snapshot();
    delete_range(&db, "a", "z");
    db.compact().unwrap();
    assert_eq!((get(&db, "k"), get_at(&db, "k", snapshot.seq()).as_deref()), (None, Some("1")));
    drop(snapshot);
    db.compact().unwrap();
    assert_eq!(get(&db, "k"), None);
    assert_eq!(db.metrics().level_tables.iter().sum::<u64>(), 0);
}

#[test]
fn deletions_of_ranges_fill_a_memtable_like_records() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { memtable_bytes: 16 * 1024, ..small() }).unwrap();
    let begin = db.metrics();
    for index in 0..100 {
        delete_range(&db, &format!("k{index:06}"), &format!("k{index:06}x"));
    }
    assert!(db.metrics().memtable_bytes - begin.memtable_bytes > 100 * 23);
    assert_eq!(db.metrics().flushes, 0);
    for index in 100..400 {
        delete_range(&db, &format!("k{index:06}"), &format!("k{index:06}x"));
    }
    assert!(db.metrics().flushes > 0, "{} bytes", db.metrics().memtable_bytes);
    db.flush().unwrap();
    let now = db.metrics();
    assert_eq!(now.memtable_bytes, begin.memtable_bytes);
    assert!(now.table_memory_bytes > 400 * 23, "they are in memory while their table is open");
}

#[test]
fn a_log_of_commits_that_leave_next_to_nothing_in_memory_is_let_go_of() {
    let empty = |_| WriteBatch::new();
    let same_range = |_| {
        let mut batch = WriteBatch::new();
        batch.delete_range(&KeyRange { start: b"k".to_vec(), end: Some(vec![b'k'; 512]) }).unwrap();
        batch
    };
    let commits: [(u64, &dyn Fn(u64) -> WriteBatch); 2] = [(20_000, &empty), (600, &same_range)];
    for (count, batch) in commits {
        let dir = fast_dir();
        let (live, image) = (dir.path().join("live"), dir.path().join("image"));
        let db = Db::open(&live, small()).unwrap();
        for index in 0..count {
            db.commit(batch(index), Durability::Os).unwrap();
        }
        let metrics = db.metrics();
        assert!(metrics.wal_segments > 6, "{} segments were begun", metrics.wal_segments);
        assert!(metrics.live_wal_segments <= 4, "{} segments are left", metrics.live_wal_segments);
        killed(&live, &image);
        assert_eq!(Db::open(&image, small()).unwrap().visible(), seq(count));
    }
}
