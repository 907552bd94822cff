//! About how many records a range has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use fountain_lsm::{Db, Durability, Error, KeyRange, Options, ReadTier, Retention, TableLayout, WriteBatch};
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
fn of_a_table_with_an_index_of_two_levels_a_few_blocks_are_read() {
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
    // Of some two thousand.
    let read = db.metrics().cache_inserts - inserts;
    assert!((1..=40).contains(&read), "{read} blocks");
    db.close().unwrap();
}

/// Small and large records share a table: blocks here have a hundred keys, and there one.
#[test]
fn where_records_are_small_and_where_they_are_large_is_guessed_by_what_is_there() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..20_000 {
        batch.put(&key(number), b"small").unwrap();
    }
    for number in 20_000..22_000 {
        batch.put(&key(number), &[b'v'; 5000]).unwrap();
    }
    for number in 22_000..40_000 {
        batch.put(&key(number), b"small").unwrap();
    }
    db.commit(batch, Durability::Memory).unwrap();
    db.compact().unwrap();
    let mut worst = 1.0_f64;
    let ranges =
        [(1_000, 19_000), (3_000, 5_000), (20_100, 21_900), (20_500, 20_502), (23_000, 39_000), (100, 110)];
    for (start, end) in ranges {
        let (found, real) = (db.estimate(&range(start, end)).unwrap().records, f64::from(end - start));
        println!("{start}..{end}: {found:.0} of {real}");
        worst = worst.max(found / real).max(real / found);
    }
    assert!(worst < 1.25, "wrong by a factor of {worst}");
    db.close().unwrap();
}

/// What is damaged is for those to find who need it.
#[test]
fn where_blocks_cannot_be_read_the_guess_is_coarser_and_no_error() {
    let dir = fast_dir();
    let options = Options { background: false, ..Options::default() };
    let db = Db::open(dir.path(), options.clone()).unwrap();
    fill(&db, 0..20_000);
    db.flush().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), options).unwrap();
    for file in std::fs::read_dir(dir.path().join("tables")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes[..half].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(db.get(&key(4_000), db.visible(), ReadTier::Disk).is_err());
    assert_about(&db, &range(2_000, 6_000), 4_000);
    db.close().unwrap();
}

/// What is deleted counts where it was, not everywhere in the table.
#[test]
fn deletes_count_where_they_are() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    fill(&db, 0..40_000);
    db.compact().unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..10_000 {
        batch.delete(&key(number)).unwrap();
    }
    for number in 40_000..50_000 {
        batch.put(&key(number), &[b'v'; 100]).unwrap();
    }
    db.commit(batch, Durability::Memory).unwrap();
    db.flush().unwrap();
    for (start, end, real) in [(1_000, 9_000, 0.0), (41_000, 49_000, 8_000.0), (11_000, 39_000, 28_000.0)] {
        let found = db.estimate(&range(start, end)).unwrap().records;
        assert!((found - real).abs() <= 0.1 * f64::from(end - start), "{start}..{end}: {found:.0} of {real}");
    }
    db.close().unwrap();
}
