//! About how many records a range has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use fountain_lsm::{Db, Durability, Error, KeyRange, Options, Retention, TableLayout, WriteBatch};
use support::fast_dir;

fn key(number: u32) -> Vec<u8> {
    format!("key/{number:06}").into_bytes()
}

fn range(start: u32, end: u32) -> KeyRange {
    KeyRange { start: key(start), end: Some(key(end)) }
}

/// Commits a record for each number, a thousand at a time.
fn fill(db: &Db, numbers: impl IntoIterator<Item = u32>) {
    let numbers: Vec<u32> = numbers.into_iter().collect();
    for some in numbers.chunks(1000) {
        let mut batch = WriteBatch::new();
        for &number in some {
            batch.put(&key(number), &[b'v'; 100]).unwrap();
        }
        db.commit(batch, Durability::Memory).unwrap();
    }
}

fn assert_about(db: &Db, range: &KeyRange, real: u64) {
    let found = db.estimate(range).unwrap().whole_records();
    assert!((real / 2..=real * 2).contains(&found), "{found} for {real} records");
}

#[test]
fn records_are_guessed_in_memory_in_tables_and_in_both() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    assert_eq!(db.estimate(&KeyRange::default()).unwrap().whole_records(), 0);
    fill(&db, 0..20_000);
    let check = |db: &Db| {
        assert_about(db, &KeyRange::default(), 20_000);
        assert_about(db, &range(5_000, 7_000), 2_000);
        assert_about(db, &range(19_000, 40_000), 1_000);
        assert_eq!(db.estimate(&range(30_000, 40_000)).unwrap().whole_records(), 0);
        assert_eq!(db.estimate(&range(7_000, 5_000)).unwrap().whole_records(), 0);
    };
    check(&db);
    db.flush().unwrap();
    check(&db);
    assert_eq!(
        db.estimate(&KeyRange::default()).unwrap().whole_records(),
        20_000,
        "tables in the range are exact"
    );
    fill(&db, 20_000..40_000);
    assert_about(&db, &KeyRange::default(), 40_000);
    assert_about(&db, &range(15_000, 25_000), 10_000);
    db.close().unwrap();
    assert!(matches!(db.estimate(&range(0, 1)), Err(Error::Closed)));
}

#[test]
fn what_was_written_again_or_deleted_does_not_count_once_it_is_merged() {
    for retention in [Retention::Unbounded, Retention::LatestOnly] {
        rewrite_and_delete(&Options { retention, ..Options::default() });
    }
}

fn rewrite_and_delete(options: &Options) {
    let dir = fast_dir();
    let db = Db::open(dir.path(), options.clone()).unwrap();
    fill(&db, (0..5_000).chain(0..5_000));
    assert_about(&db, &KeyRange::default(), 5_000);
    db.flush().unwrap();
    fill(&db, 0..5_000);
    let mut batch = WriteBatch::new();
    for number in 0..4_000 {
        batch.delete(&key(number)).unwrap();
    }
    db.commit(batch, Durability::Memory).unwrap();
    db.compact().unwrap();
    let all = || db.estimate(&KeyRange::default()).unwrap().whole_records();
    if options.retention == Retention::Unbounded {
        // Nothing tells which deletes are the newest version of their key.
        assert!((1_000..=4_000).contains(&all()), "{}", all());
        return;
    }
    assert_eq!(all(), 1_000);
    assert_about(&db, &range(4_500, 5_000), 500);
    // Deletes that are not merged yet count for one less each.
    let mut batch = WriteBatch::new();
    for number in 4_000..4_500 {
        batch.delete(&key(number)).unwrap();
    }
    db.commit(batch, Durability::Memory).unwrap();
    assert_eq!(all(), 500);
    db.close().unwrap();
}

#[test]
fn what_was_deleted_and_put_again_counts() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    fill(&db, 0..5_000);
    let mut batch = WriteBatch::new();
    for number in 0..5_000 {
        batch.delete(&key(number)).unwrap();
    }
    db.commit(batch, Durability::Memory).unwrap();
    fill(&db, 0..5_000);
    assert_about(&db, &KeyRange::default(), 5_000);
    db.flush().unwrap();
    assert_about(&db, &KeyRange::default(), 5_000);
    db.close().unwrap();
}

#[test]
fn a_table_with_an_index_of_two_levels_is_guessed_by_what_is_in_memory() {
    let dir = fast_dir();
    let table_layout = TableLayout { index_bytes: 0, ..TableLayout::default() };
    let options = Options { table_layout, ..Options::default() };
    let db = Db::open(dir.path(), options.clone()).unwrap();
    fill(&db, 0..60_000);
    db.compact().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), options).unwrap();
    let inserts = db.metrics().cache_inserts;
    assert_about(&db, &range(10_000, 40_000), 30_000);
    assert_about(&db, &range(45_000, 60_000), 15_000);
    assert_eq!(db.metrics().cache_inserts, inserts, "nothing is read");
    db.close().unwrap();
}
