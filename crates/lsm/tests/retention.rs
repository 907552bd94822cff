//! What a retention per range of keys keeps, and that compaction finds the garbage by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use fountain_lsm::{
    Compression, Db, Durability, Error, Job, KeyRange, Options, ReadTier, Retention, Seq, WriteBatch,
};
use support::{delete, fast_dir, get, get_at, put, seq, small};

/// Sequences of the retained versions of a key, newest first; deletions are negative.
fn versions(db: &Db, key: &str) -> Vec<i64> {
    let mut cursor = db.versions(key.as_bytes(), db.visible(), ReadTier::Disk).unwrap();
    let mut found = Vec::new();
    while cursor.next().unwrap() {
        let number = i64::try_from(cursor.seq().get()).unwrap();
        found.push(if cursor.value().is_some() { number } else { -number });
    }
    found
}

fn keep(db: &Db, prefix: &str, retention: Retention) {
    db.set_retention(&KeyRange::prefix(prefix.as_bytes()), retention);
}

#[test]
fn each_range_of_keys_keeps_what_its_retention_says() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    keep(&db, "latest/", Retention::LatestOnly);
    keep(&db, "two/", Retention::Versions(NonZeroU32::new(2).unwrap()));
    keep(&db, "since/", Retention::Since(seq(10)));
    for _ in 0..4 {
        for key in ["all/k", "latest/k", "since/k", "two/k"] {
            put(&db, key, "value");
        }
    }
    delete(&db, "two/k");
    db.compact().unwrap();
    assert_eq!(versions(&db, "all/k"), [13, 9, 5, 1]);
    assert_eq!(versions(&db, "latest/k"), [14]);
    assert_eq!(versions(&db, "since/k"), [15, 11, 7]);
    assert_eq!(versions(&db, "two/k"), [-17, 16]);

    assert_eq!(get_at(&db, "all/k", seq(2)).as_deref(), Some("value"), "other ranges are not touched");
    assert_eq!(get_at(&db, "since/k", seq(10)).as_deref(), Some("value"));
    let truncated = |key: &str, at: Seq| match db.get(key.as_bytes(), at, ReadTier::Disk) {
        Err(Error::HistoryTruncated { floor, .. }) => floor.get(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(truncated("since/k", seq(9)), 10);
    assert_eq!(truncated("latest/k", seq(16)), 17);
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(matches!(db.get(b"since/k", seq(9), ReadTier::Disk), Err(Error::HistoryTruncated { .. })));
    assert_eq!(versions(&db, "two/k"), [-17, 16]);
}

#[test]
fn a_snapshot_keeps_what_it_sees_in_every_range() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    keep(&db, "latest/", Retention::LatestOnly);
    for number in 1..=3 {
        put(&db, "latest/k", &number.to_string());
    }
    let snapshot = db.snapshot_at(seq(2)).unwrap();
    put(&db, "latest/k", "4");
    db.compact().unwrap();
    assert_eq!(versions(&db, "latest/k"), [4, 2]);
    assert_eq!(get_at(&db, "latest/k", snapshot.seq()).as_deref(), Some("2"));
    let late = db.snapshot_at(seq(3)).unwrap();
    assert!(
        matches!(db.get(b"latest/k", late.seq(), ReadTier::Disk), Err(Error::HistoryTruncated { .. })),
        "a sequence that was pinned too late is not claimed to be complete"
    );
    assert_eq!(get_at(&db, "other", late.seq()), None);
}

#[test]
fn a_snapshot_below_the_floor_of_some_ranges_keeps_the_others() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    keep(&db, "latest/", Retention::LatestOnly);
    for number in 1..=4 {
        put(&db, if number % 2 == 0 { "all/k" } else { "latest/k" }, &number.to_string());
    }
    db.compact().unwrap();
    let _snapshot = db.snapshot_at(seq(2)).unwrap();
    keep(&db, "all/", Retention::LatestOnly);
    put(&db, "all/k", "5");
    db.compact().unwrap();
    assert_eq!(versions(&db, "all/k"), [5, 2]);
    assert_eq!(get_at(&db, "all/k", seq(2)).as_deref(), Some("2"));
    let below = db.get(b"latest/k", seq(2), ReadTier::Disk);
    assert!(matches!(below, Err(Error::HistoryTruncated { floor, .. }) if floor == seq(5)));
}

#[test]
fn several_retentions_are_set_at_once_the_later_over_the_earlier() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    let all = KeyRange::prefix(b"all/");
    db.set_retentions(&[(KeyRange::default(), Retention::LatestOnly), (all, Retention::Unbounded)]);
    for key in ["all/k", "latest/k", "all/k", "latest/k"] {
        put(&db, key, "value");
    }
    db.compact().unwrap();
    assert_eq!((versions(&db, "all/k"), versions(&db, "latest/k")), (vec![3, 1], vec![4]));
}

#[test]
fn compaction_finds_tombstones_and_old_versions_when_nobody_asks() {
    let dir = fast_dir();
    let options = Options { retention: Retention::LatestOnly, background: true, ..small() };
    let db = Db::open(dir.path(), options).unwrap();
    for round in 0..2 {
        let mut batch = WriteBatch::new();
        for key in 0..500 {
            batch
                .put(format!("key {key:04}").as_bytes(), format!("{round} {}", "x".repeat(100)).as_bytes())
                .unwrap();
        }
        db.commit(batch, Durability::Os).unwrap();
    }
    let snapshot = db.snapshot();
    let mut batch = WriteBatch::new();
    for key in 0..500 {
        batch.delete(format!("key {key:04}").as_bytes()).unwrap();
    }
    db.commit(batch, Durability::Os).unwrap();
    db.compact().unwrap();
    assert_eq!(get_at(&db, "key 0007", snapshot.seq()).map(|value| value.len()), Some(102));
    assert!(db.metrics().table_entries >= 1000, "the snapshot still sees the records");
    drop(snapshot);
    let begin = Instant::now();
    while db.metrics().table_entries > 0 {
        assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", db.metrics());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(get(&db, "key 0007"), None);
    db.close().unwrap();
}

#[test]
fn a_floor_that_names_a_commit_which_a_crash_takes_back_does_not_hide_what_is_left() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let options = Options { retention: Retention::LatestOnly, ..small() };
    let db = Db::open(&live, options.clone()).unwrap();
    for round in 0..6 {
        put(&db, "k", &round.to_string());
        db.flush().unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"only in the memory of the process").unwrap();
    assert_eq!(db.commit(batch, Durability::Memory).unwrap(), seq(7));
    while db.step(Job::Compact).unwrap() {}
    assert_eq!(db.history_floor(), seq(7));
    support::killed(&live, &image);
    let db = Db::open(&image, options).unwrap();
    assert_eq!((db.visible(), db.history_floor()), (seq(6), seq(6)));
    assert_eq!(get_at(&db, "k", seq(6)).as_deref(), Some("5"));
    assert!(matches!(db.get(b"k", seq(5), ReadTier::Disk), Err(Error::HistoryTruncated { .. })));
}

/// Does compactions until there are none to do; whether there were any.
fn compact_all(db: &Db) -> bool {
    let mut any = false;
    for _ in 0..100 {
        if !db.step(Job::Compact).unwrap() {
            return any;
        }
        any = true;
    }
    panic!("it never ends");
}

fn put_all(db: &Db, prefix: &str, keys: u32) {
    let mut batch = WriteBatch::new();
    for key in 0..keys {
        batch.put(format!("{prefix}{key:04}").as_bytes(), &[b'x'; 100]).unwrap();
    }
    db.commit(batch, Durability::Os).unwrap();
}

#[test]
fn versions_beyond_a_number_go_when_nobody_asks_and_only_once() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for _ in 0..10 {
        put_all(&db, "k", 50);
    }
    db.compact().unwrap();
    assert!(!compact_all(&db), "everything is kept");
    let pinned = db.snapshot_at(seq(2)).unwrap();
    db.set_retention(&KeyRange::default(), Retention::Versions(NonZeroU32::new(4).unwrap()));
    assert!(compact_all(&db));
    assert_eq!(db.metrics().table_entries, 50 * 5, "the newest four, and what the snapshot sees");
    assert_eq!(versions(&db, "k0007"), [10, 9, 8, 7, 2]);
    drop(pinned);
    assert!(!compact_all(&db), "one version of five is not worth it");
    db.set_retention(&KeyRange::default(), Retention::Versions(NonZeroU32::new(3).unwrap()));
    assert!(compact_all(&db));
    assert_eq!(versions(&db, "k0007"), [10, 9, 8]);
}

#[test]
fn the_space_of_a_deleted_range_comes_back_without_further_writes_once_no_snapshot_sees_it() {
    let dir = fast_dir();
    let (retention, bottom_compression) = (Retention::LatestOnly, Some(Compression::None));
    let db = Db::open(dir.path(), Options { retention, bottom_compression, ..small() }).unwrap();
    put_all(&db, "gone", 1000);
    put_all(&db, "kept", 1000);
    db.compact().unwrap();
    assert!(db.metrics().level_tables[6] >= 3);
    let snapshot = db.snapshot();
    let mut batch = WriteBatch::new();
    batch.delete_range(&KeyRange::prefix(b"gone")).unwrap();
    db.commit(batch, Durability::Os).unwrap();
    db.flush().unwrap();
    assert!(!compact_all(&db), "the snapshot sees what is deleted");
    assert_eq!(get_at(&db, "gone0007", snapshot.seq()).map(|value| value.len()), Some(100));
    drop(snapshot);
    assert!(compact_all(&db));
    let metrics = db.metrics();
    assert_eq!((metrics.table_entries, metrics.level_tables[0]), (1000, 0));
    assert!(!compact_all(&db));
    assert_eq!((get(&db, "gone0007"), get(&db, "kept0007").map(|value| value.len())), (None, Some(100)));
}
