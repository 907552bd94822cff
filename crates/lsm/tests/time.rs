//! Moments instead of sequences: which commit was the newest at a time, and retention by age. The clock is told what to
//! say; that it may be wrong must never cost more than precision.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fountain_lsm::{
    Db, Direction, Durability, Error, KeyRange, ManualClock, Options, ReadTier, Retention, SystemClock,
    Timestamp, WriteBatch,
};
use proptest::prelude::*;
use support::{fast_dir, get, get_at, killed, put, scan, seq, small};

const START: u64 = 1_790_000_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(START + seconds * 1000)
}

fn open(dir: &Path, clock: &Arc<ManualClock>, retention: Retention) -> Db {
    Db::open(dir, Options { clock: Arc::clone(clock) as _, retention, ..small() }).unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(at(0)))
}

/// Sequence and seconds within which the answer is right.
fn found(db: &Db, seconds: u64) -> Option<(u64, u64)> {
    db.seq_at(at(seconds)).map(|found| (found.seq.get(), found.within.as_secs()))
}

#[test]
fn a_moment_names_the_commit_that_was_newest_then_also_after_a_restart_of_any_kind() {
    let dir = fast_dir();
    let (live, image, copy) = (dir.path().join("live"), dir.path().join("image"), dir.path().join("copy"));
    let clock = clock();
    let db = open(&live, &clock, Retention::Unbounded);
    for (seconds, value) in [(10, "1"), (20, "2"), (20, "3"), (500, "4"), (501, "5")] {
        clock.set(at(seconds));
        put(&db, "key", value);
        if value == "2" {
            db.flush().unwrap();
        }
    }
    let check = |db: &Db| {
        assert_eq!(db.seq_at(Timestamp::from_millis(START - 1)), None, "there was no store");
        assert_eq!((found(db, 0), found(db, 9)), (Some((0, 0)), Some((0, 0))));
        assert_eq!((found(db, 10), found(db, 19)), (Some((1, 0)), Some((1, 0))));
        assert_eq!((found(db, 21), found(db, 499)), (Some((3, 0)), Some((3, 0))));
        assert_eq!(
            (found(db, 500), found(db, 501), found(db, 900)),
            (Some((4, 0)), Some((5, 0)), Some((5, 0)))
        );
        assert_eq!(get_at(db, "key", db.seq_at(at(300)).unwrap().seq).as_deref(), Some("3"));
    };
    check(&db);
    clock.set(at(600));
    killed(&live, &image);
    db.checkpoint(&copy).unwrap();
    db.close().unwrap();
    for path in [image, copy, live] {
        clock.set(at(1000));
        let db = open(&path, &clock, Retention::Unbounded);
        check(&db);
        clock.set(at(1100));
        put(&db, "key", "6");
        drop(db);
        let db = open(&path, &clock, Retention::Unbounded);
        check(&db);
        assert_eq!((found(&db, 1099), found(&db, 1100)), (Some((5, 0)), Some((6, 0))), "{path:?}");
    }
}

/// The first commit of each second states its time in the log. A flush lets go of the log; what it said of those that came
/// after must not go with it.
#[test]
fn commits_that_state_no_time_are_known_to_be_of_their_second_after_a_flush_and_the_end_of_the_process() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let clock = clock();
    let db = open(&live, &clock, Retention::Unbounded);
    clock.set(at(10));
    put(&db, "a", "1");
    put(&db, "a", "2");
    clock.set(at(15));
    db.flush().unwrap();
    put(&db, "a", "3");
    put(&db, "a", "4");
    clock.set(at(20));
    put(&db, "a", "5");
    clock.set(Timestamp::from_millis(START + 20_300));
    db.ingest([("b", "6")]).unwrap();
    clock.set(at(30));
    killed(&live, &image);
    for db in [db, open(&image, &clock, Retention::Unbounded)] {
        assert_eq!(
            (found(&db, 9), found(&db, 11), found(&db, 14)),
            (Some((0, 0)), Some((2, 0)), Some((2, 0)))
        );
        assert_eq!((found(&db, 16), found(&db, 19)), (Some((4, 0)), Some((4, 0))));
        assert_eq!(
            (found(&db, 20), found(&db, 21), found(&db, 29)),
            (Some((5, 0)), Some((6, 0)), Some((6, 0)))
        );
    }
}

/// The log before an open is gone, so the first commit after it has to say when it was made.
#[test]
fn the_first_commits_after_an_open_are_known_to_be_of_their_second() {
    let dir = fast_dir();
    let clock = clock();
    let open_at = |name: &str| open(&dir.path().join(name), &clock, Retention::Unbounded);
    let db = open_at("live");
    put(&db, "a", "1");
    killed(&dir.path().join("live"), &dir.path().join("new"));
    db.close().unwrap();
    clock.set(at(100));
    let db = open_at("live");
    put(&db, "a", "2");
    killed(&dir.path().join("live"), &dir.path().join("old"));
    clock.set(at(86_400));
    for (name, seconds, seq) in [("new", 3, 1), ("old", 103, 2)] {
        let db = open_at(name);
        assert_eq!(found(&db, seconds), Some((seq, 0)), "{name}");
        assert_eq!(found(&db, 3_600), Some((seq, 0)), "{name}");
    }
}

#[test]
fn an_ingest_has_a_time_like_a_commit() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let clock = clock();
    let db = open(&live, &clock, Retention::Unbounded);
    clock.set(at(10));
    put(&db, "a", "1");
    clock.set(at(20));
    assert_eq!(db.ingest([("b", "2"), ("c", "2")]).unwrap(), seq(2));
    clock.set(at(30));
    killed(&live, &image);
    for db in [db, open(&image, &clock, Retention::Unbounded)] {
        assert_eq!(
            (found(&db, 19), found(&db, 20), found(&db, 25)),
            (Some((1, 0)), Some((2, 0)), Some((2, 0)))
        );
    }
}

#[test]
fn what_is_younger_than_its_age_can_be_read_and_older_versions_go() {
    let dir = fast_dir();
    let clock = clock();
    let db = open(dir.path(), &clock, Retention::MaxAge(HOUR));
    db.set_retention(&KeyRange::prefix(b"all/"), Retention::Unbounded);
    for minute in 1..=100u64 {
        clock.set(at(minute * 60));
        let mut batch = WriteBatch::new();
        for key in ["all/key", "key"] {
            batch.put(key.as_bytes(), minute.to_string().as_bytes()).unwrap();
        }
        db.commit(batch, Durability::Os).unwrap();
    }
    db.compact().unwrap();
    let check = |db: &Db| {
        for minute in 40..=100u64 {
            let then = db.seq_at(at(minute * 60)).unwrap().seq;
            assert_eq!(get_at(db, "key", then), Some(minute.to_string()));
        }
        assert_eq!(get_at(db, "all/key", seq(3)).as_deref(), Some("3"), "other keys have another retention");
        match db.get(b"key", seq(30), ReadTier::Disk) {
            Err(Error::HistoryTruncated { floor, .. }) => {
                assert!(floor <= seq(40) && floor >= seq(37), "{floor} is much older than an hour");
            }
            other => panic!("{other:?}"),
        }
    };
    check(&db);
    db.close().unwrap();
    drop(db);
    let db = open(dir.path(), &clock, Retention::MaxAge(HOUR));
    db.set_retention(&KeyRange::prefix(b"all/"), Retention::Unbounded);
    check(&db);
    // A year later only the newest is left, without a gap in what it answers.
    clock.set(at(365 * 24 * 3600));
    db.compact().unwrap();
    assert_eq!(get(&db, "key").as_deref(), Some("100"));
    assert_eq!(get_at(&db, "all/key", seq(3)).as_deref(), Some("3"));
    assert!(matches!(db.get(b"key", seq(99), ReadTier::Disk), Err(Error::HistoryTruncated { .. })));
    db.verify().unwrap();
}

#[test]
fn a_clock_that_was_set_back_keeps_more_and_never_less() {
    let dir = fast_dir();
    let clock = clock();
    let db = open(dir.path(), &clock, Retention::MaxAge(HOUR));
    put(&db, "key", "1");
    clock.set(at(60));
    put(&db, "key", "2");
    // The battery is dead: the clock begins in 1970, while two commits are made, and is then set.
    db.close().unwrap();
    drop(db);
    clock.set(Timestamp::from_millis(1000));
    let db = open(dir.path(), &clock, Retention::MaxAge(HOUR));
    put(&db, "key", "3");
    db.flush().unwrap();
    put(&db, "key", "4");
    db.compact().unwrap();
    assert_eq!((1..=4).filter(|&number| get_at(&db, "key", seq(number)).is_some()).count(), 4);
    clock.set(at(24 * 3600));
    assert_eq!(found(&db, 12 * 3600).map(|(seq, _)| seq), Some(2), "of 3 and 4 it is not known");
    put(&db, "key", "5");
    db.compact().unwrap();
    for number in 2..=5 {
        assert_eq!(
            get_at(&db, "key", seq(number)),
            Some(number.to_string()),
            "3 may be younger than an hour"
        );
    }
    clock.set(at(24 * 3600 + 7200));
    db.compact().unwrap();
    assert!(matches!(db.get(b"key", seq(4), ReadTier::Disk), Err(Error::HistoryTruncated { .. })));
    assert_eq!(get(&db, "key").as_deref(), Some("5"));
}

#[test]
fn what_has_become_too_old_goes_by_itself() {
    let dir = fast_dir();
    let (clock, retention) = (Arc::new(SystemClock), Retention::MaxAge(Duration::from_millis(300)));
    let db = Db::open(dir.path(), Options { clock, retention, background: true, ..small() }).unwrap();
    for round in 0..3 {
        let mut batch = WriteBatch::new();
        for key in 0..300 {
            batch.put(format!("key {key:04}").as_bytes(), format!("{round:0100}").as_bytes()).unwrap();
        }
        db.commit(batch, Durability::Os).unwrap();
    }
    db.compact().unwrap();
    let begin = Instant::now();
    while db.metrics().table_entries > 300 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", db.metrics());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(&db, "key 0007"), Some(format!("{:0100}", 2)));
    db.close().unwrap();
}

#[derive(Clone, Debug)]
enum Op {
    Commit(u8, u64),
    Flush,
    Compact,
    Reopen,
    Kill,
    Ask(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..5u8, prop_oneof![0..900u64, 0..200_000u64]).prop_map(|(key, millis)| Op::Commit(key, millis)),
        2 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
        3 => (0..3_600_000u64).prop_map(Op::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_moment_within_the_age_can_be_read_exactly_whatever_happens_in_between(
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let dir = fast_dir();
        let clock = clock();
        let mut generation = 0;
        let path = |generation: u32| dir.path().join(generation.to_string());
        let retention = Retention::MaxAge(HOUR);
        let mut db = open(&path(0), &clock, retention);
        // When each commit was made, and what was there afterwards.
        let mut states = vec![(START, [0u64; 5])];
        let mut now = START;
        for op in ops {
            match op {
                Op::Commit(key, millis) => {
                    now += millis;
                    clock.set(Timestamp::from_millis(now));
                    let mut state = states.last().unwrap().1;
                    state[usize::from(key)] = states.len() as u64;
                    let made = put(&db, &key.to_string(), &states.len().to_string());
                    prop_assert_eq!(made.get() as usize, states.len());
                    states.push((now, state));
                }
                Op::Flush => db.flush().unwrap(),
                Op::Compact => db.compact().unwrap(),
                Op::Reopen => {
                    db.close().unwrap();
                    drop(db);
                    db = open(&path(generation), &clock, retention);
                }
                Op::Kill => {
                    killed(&path(generation), &path(generation + 1));
                    generation += 1;
                    db = open(&path(generation), &clock, retention);
                }
                Op::Ask(back) => {
                    let asked = now.saturating_sub(back);
                    let answer = db.seq_at(Timestamp::from_millis(asked));
                    prop_assert_eq!(answer.is_none(), asked < START);
                    let Some(answer) = answer else { continue };
                    let number = answer.seq.get() as usize;
                    prop_assert!(states[number].0 <= asked, "made later");
                    let within = u64::try_from(answer.within.as_millis()).unwrap();
                    if let Some((missed, _)) = states.get(number + 1) {
                        prop_assert!(missed + within >= asked, "{missed} is missing at {asked}");
                    }
                    let records = scan(&db, KeyRange::default(), answer.seq, Direction::Forward);
                    let expected: Vec<_> = (0..5u8)
                        .map(|key| (key.to_string(), states[number].1[usize::from(key)]))
                        .filter(|(_, value)| *value > 0)
                        .map(|(key, value)| (key.into_bytes(), value.to_string().into_bytes()))
                        .collect();
                    prop_assert_eq!(records, expected);
                }
            }
        }
    }
}
