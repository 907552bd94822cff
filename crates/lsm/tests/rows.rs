//! What point reads have found is remembered, and must never be taken for what it is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use fountain_lsm::{Db, Durability, KeyRange, Options, ReadTier, Retention, WriteBatch};
use support::{delete, fast_dir, get, get_at, put, small};

/// Three times: found in the tables, remembered, and answered from memory alone.
fn check(db: &Db, key: &str, expected: Option<&str>) {
    for _ in 0..3 {
        assert_eq!(get(db, key).as_deref(), expected, "{key}");
    }
    if expected.is_some() {
        assert!(db.get_newest(key.as_bytes(), ReadTier::Memory).unwrap().is_some());
    }
}

#[test]
fn what_was_read_is_not_taken_for_what_was_written_since() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    let first = put(&db, "a", "1");
    put(&db, "b", "1");
    put(&db, "c", "1");
    db.flush().unwrap();
    for key in ["a", "b", "c"] {
        check(&db, key, Some("1"));
    }
    // In memory above what was read, and then in tables of their own.
    let second = put(&db, "a", "2");
    delete(&db, "b");
    let mut batch = WriteBatch::new();
    batch.delete_range(&KeyRange { start: b"c".to_vec(), end: Some(b"d".to_vec()) }).unwrap();
    db.commit(batch, Durability::Disk).unwrap();
    for flush in [false, true] {
        if flush {
            db.flush().unwrap();
        }
        check(&db, "a", Some("2"));
        check(&db, "b", None);
        check(&db, "c", None);
        // The past is what it was, before and after the newest was read.
        assert_eq!(get_at(&db, "a", first).as_deref(), Some("1"));
        assert_eq!(get_at(&db, "a", second).as_deref(), Some("2"));
        assert_eq!(get_at(&db, "c", second).as_deref(), Some("1"));
        check(&db, "a", Some("2"));
    }
    db.compact().unwrap();
    check(&db, "a", Some("2"));
    check(&db, "b", None);
    db.ingest([("a", "3"), ("c", "3")]).unwrap();
    check(&db, "a", Some("3"));
    check(&db, "c", Some("3"));
    assert_eq!(get_at(&db, "a", second).as_deref(), Some("2"));
}

#[test]
fn a_record_that_was_read_needs_no_block_any_more() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "a", "1");
    db.flush().unwrap();
    check(&db, "a", Some("1"));
    let before = db.metrics();
    check(&db, "a", Some("1"));
    let after = db.metrics();
    assert_eq!((after.cache_hits - before.cache_hits, after.cache_misses - before.cache_misses), (4, 0));
}

/// Also where nothing but the newest versions is kept, so that the newest tables do not have what the state shows.
#[test]
fn a_state_that_is_read_stays_what_it_was_whatever_is_written_and_merged() {
    for retention in [Retention::Unbounded, Retention::LatestOnly] {
        let dir = fast_dir();
        let db = Db::open(dir.path(), Options { retention, ..small() }).unwrap();
        put(&db, "a", "1");
        put(&db, "b", "1");
        db.flush().unwrap();
        check(&db, "a", Some("1"));
        put(&db, "c", "1");
        let state = db.newest().unwrap();
        let shown = |key: &str| {
            let mut value = None;
            let found = state
                .show(key.as_bytes(), ReadTier::Disk, &mut |bytes| value = Some(bytes.to_vec()))
                .unwrap();
            assert_eq!(found, value.is_some());
            value
        };
        for step in 0..4 {
            let one = Some(b"1".to_vec());
            let expected = [one.clone(), one.clone(), one, None];
            assert_eq!([shown("a"), shown("b"), shown("c"), shown("d")], expected, "{retention:?}, {step}");
            match step {
                0 => drop([put(&db, "a", "2"), delete(&db, "b"), put(&db, "c", "2"), put(&db, "d", "2")]),
                1 => db.flush().unwrap(),
                _ => db.compact().unwrap(),
            }
        }
        check(&db, "a", Some("2"));
        check(&db, "b", None);
    }
}
