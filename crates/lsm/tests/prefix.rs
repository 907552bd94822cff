//! Filters that know prefixes: scans look into fewer tables and find the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::num::NonZeroU16;

use fountain_lsm::{Db, Direction, Durability, KeyPrefix, KeyRange, Options, ReadTier, Seq, WriteBatch};
use proptest::prelude::*;
use support::{fast_dir, put, scan, seq, small};

const RULES: [Option<KeyPrefix>; 4] = [
    None,
    Some(KeyPrefix::Fixed(NonZeroU16::new(2).unwrap())),
    Some(KeyPrefix::Fixed(NonZeroU16::new(3).unwrap())),
    Some(KeyPrefix::UpTo(b'/')),
];

fn with(rule: Option<KeyPrefix>) -> Options {
    Options { prefix_filter: rule, ..small() }
}

fn lookups(db: &Db) -> u64 {
    let metrics = db.metrics();
    metrics.cache_hits + metrics.cache_misses
}

#[test]
fn a_scan_of_a_prefix_looks_only_into_tables_that_may_have_it() {
    for rule in [KeyPrefix::UpTo(b'/'), KeyPrefix::Fixed(NonZeroU16::new(8).unwrap())] {
        let dir = fast_dir();
        let db = Db::open(dir.path(), with(Some(rule))).unwrap();
        for table in 0..20 {
            // Bounds do not tell these tables apart.
            put(&db, "user 000/a", "x");
            put(&db, "user 999/a", "x");
            for key in 0..20 {
                put(&db, &format!("user {:03}/{key}", 100 + table * 7), "x");
            }
            db.flush().unwrap();
        }
        let scan_of = |user: u32, direction| {
            let before = lookups(&db);
            let found =
                scan(&db, KeyRange::prefix(format!("user {user:03}/").as_bytes()), db.visible(), direction);
            (found.len(), lookups(&db) - before)
        };
        for direction in [Direction::Forward, Direction::Reverse] {
            let (mut missing, mut there) = (0, 0);
            for user in 101..240 {
                let (found, looked) = scan_of(user, direction);
                if (user - 100) % 7 == 0 && user < 240 {
                    assert_eq!(found, 20);
                    there += looked;
                } else {
                    assert_eq!(found, 0);
                    missing += looked;
                }
            }
            // 120 prefixes that no table has would be 2400 lookups without the filter, and 19 that one has 380.
            assert!(missing < 120, "{missing}");
            assert!((19..60).contains(&there), "{there}");
        }
        let before = lookups(&db);
        let all =
            scan(&db, KeyRange { start: b"user 1".to_vec(), end: None }, db.visible(), Direction::Forward);
        assert_eq!(all.len(), 401);
        assert!(lookups(&db) - before >= 20, "a wider range needs every table");
        db.verify().unwrap();
    }
}

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<(u8, u8, Option<u8>)>),
    DeleteRange(u8, u8),
    Ingest(Vec<u8>),
    Flush,
    Compact,
    /// From here on, tables are written by another rule.
    Reopen(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let change = (0..12u8, 0..6u8, proptest::option::weighted(0.8, any::<u8>()));
    prop_oneof![
        8 => prop::collection::vec(change, 1..12).prop_map(Op::Commit),
        1 => (0..12u8, 0..14u8).prop_map(|(from, to)| Op::DeleteRange(from, to)),
        1 => prop::collection::vec(0..72u8, 1..20).prop_map(Op::Ingest),
        3 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => (0..RULES.len()).prop_map(Op::Reopen),
    ]
}

/// Some keys have a delimiter and some do not, and some are too short for a prefix.
fn key(group: u8, number: u8) -> Vec<u8> {
    match group % 3 {
        0 => format!("{group:02}/{number}").into_bytes(),
        1 => format!("{group:02}{number}").into_bytes(),
        _ => vec![b'0' + group / 10, b'0' + number],
    }
}

fn apply(db: &mut Db, dir: &std::path::Path, op: &Op, number: usize) {
    match op {
        Op::Commit(changes) => {
            let mut batch = WriteBatch::new();
            for (group, number, value) in changes {
                match value {
                    Some(value) => batch.put(&key(*group, *number), &[*value; 30]).unwrap(),
                    None => batch.delete(&key(*group, *number)).unwrap(),
                }
            }
            db.commit(batch, Durability::Os).unwrap();
        }
        Op::DeleteRange(from, to) => {
            let range = KeyRange { start: key(*from, 0), end: Some(key(*to, 3)) };
            let mut batch = WriteBatch::new();
            batch.delete_range(&range).unwrap();
            db.commit(batch, Durability::Os).unwrap();
        }
        Op::Ingest(keys) => {
            let sorted: std::collections::BTreeSet<_> = keys.iter().map(|n| key(n / 6, n % 6)).collect();
            db.ingest(sorted.iter().map(|key| (key, [number as u8; 4]))).unwrap();
        }
        Op::Flush => db.flush().unwrap(),
        Op::Compact => db.compact().unwrap(),
        Op::Reopen(rule) => {
            db.close().unwrap();
            *db = Db::open(dir, with(RULES[*rule])).unwrap();
        }
    }
}

/// Everything that can be read of the store by prefixes, at one sequence.
fn answers(db: &Db, at: Seq) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut answers = Vec::new();
    for group in 0..13u8 {
        for prefix in
            [format!("{group:02}"), format!("{group:02}/"), format!("{group:02}3"), format!("{}", group % 10)]
        {
            for direction in [Direction::Forward, Direction::Reverse] {
                answers.push(scan(db, KeyRange::prefix(prefix.as_bytes()), at, direction));
            }
        }
        let mut versions = db.versions(&key(group, 2), at, ReadTier::Disk).unwrap();
        let mut found = Vec::new();
        while versions.next().unwrap() {
            let value = versions.value().unwrap_or(b"deleted").to_vec();
            found.push((versions.seq().get().to_be_bytes().to_vec(), value));
        }
        answers.push(found);
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stores_with_and_without_prefixes_answer_alike(ops in prop::collection::vec(op(), 1..50)) {
        let dir = fast_dir();
        let open = |name: &str, rule| Db::open(&dir.path().join(name), with(rule)).unwrap();
        let mut plain = open("plain", None);
        let mut others: Vec<_> = (1..RULES.len()).map(|rule| open(&rule.to_string(), RULES[rule])).collect();
        for (number, op) in ops.iter().enumerate() {
            if !matches!(op, Op::Reopen(_)) {
                apply(&mut plain, dir.path(), op, number);
            }
            for (index, db) in others.iter_mut().enumerate() {
                apply(db, &dir.path().join((index + 1).to_string()), op, number);
            }
        }
        let newest = plain.visible();
        for at in [newest, seq(newest.get() / 2)] {
            let expected = answers(&plain, at);
            for db in &others {
                prop_assert_eq!(db.visible(), newest);
                prop_assert!(answers(db, at) == expected, "at {}", at);
                db.verify().unwrap();
            }
        }
    }
}
