//! Sorted records taken in bulk: all or nothing, under one sequence, wherever they lie among other records.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;

use fountain_lsm::{Compression, Db, Durability, Error, Options, ReadTier, WriteBatch};
use proptest::prelude::*;
use support::{TestFs, all, delete, fast_dir, files, get, get_at, killed, put, records, seq, small};

fn levels(db: &Db) -> Vec<u64> {
    db.metrics().level_tables
}

#[test]
fn into_an_empty_store_records_go_to_the_deepest_level_in_tables_of_the_wanted_size() {
    let dir = fast_dir();
    let options = Options { compression: Compression::None, ..small() };
    let db = Db::open(dir.path(), options).unwrap();
    assert_eq!(db.ingest(records(0..5000, "value")).unwrap(), seq(1));
    assert_eq!(db.visible(), seq(1));
    let levels = levels(&db);
    assert!(
        *levels.last().unwrap() >= 3 && levels.iter().sum::<u64>() == *levels.last().unwrap(),
        "{levels:?}"
    );
    let sizes = files(&dir.path().join("tables"))
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .collect::<Vec<_>>();
    assert!(sizes.iter().all(|&size| size < 2 * small().table_bytes), "{sizes:?}");
    assert_eq!(get(&db, "key 004999").as_deref(), Some("value 4999"));
    assert_eq!(all(&db, seq(1)).len(), 5000);
    assert_eq!(all(&db, seq(0)), []);
    assert_eq!((db.metrics().ingests, db.metrics().commits), (1, 0));
    db.verify().unwrap();
}

#[test]
fn newer_records_hide_older_ones_and_older_sequences_still_see_these() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "key 000003", "older");
    put(&db, "key 000100", "stays");
    delete(&db, "key 000004");
    assert_eq!(db.ingest(records(0..10, "bulk")).unwrap(), seq(4));
    assert_eq!(put(&db, "key 000005", "newer"), seq(5));
    for stage in 0..4 {
        assert_eq!(get(&db, "key 000003").as_deref(), Some("bulk 3"), "stage {stage}");
        assert_eq!(get(&db, "key 000004").as_deref(), Some("bulk 4"));
        assert_eq!(get(&db, "key 000005").as_deref(), Some("newer"));
        assert_eq!(get(&db, "key 000100").as_deref(), Some("stays"));
        assert_eq!(get_at(&db, "key 000003", seq(3)).as_deref(), Some("older"));
        assert_eq!(get_at(&db, "key 000005", seq(4)).as_deref(), Some("bulk 5"));
        assert_eq!(all(&db, seq(3)).len(), 2);
        match stage {
            0 => db.flush().unwrap(),
            1 => db.compact().unwrap(),
            _ => db.verify().unwrap(),
        }
    }
}

#[test]
fn records_between_tables_go_below_and_records_among_them_into_one_table_of_level_0() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "key 002000", "flushed");
    put(&db, "key 002100", "flushed");
    db.flush().unwrap();
    let before = levels(&db)[0];
    db.ingest(records(0..4000, "bulk")).unwrap();
    let now = levels(&db);
    assert_eq!(now[0], before + 1, "{now:?}");
    assert_eq!(*now.last().unwrap(), 2, "one on each side: {now:?}");
    assert_eq!(get(&db, "key 002000").as_deref(), Some("bulk 2000"));
    assert_eq!(get(&db, "key 002050").as_deref(), Some("bulk 2050"));
    assert_eq!(get_at(&db, "key 002000", seq(2)).as_deref(), Some("flushed"));
    assert_eq!(all(&db, seq(3)).len(), 4000);
    db.verify().unwrap();
    // Everything is covered now, so a second one lies in level 0 as a whole.
    db.compact().unwrap();
    let mut among = records(500..1500, "more");
    among.retain(|(key, _)| key.ends_with('7'));
    db.ingest(among).unwrap();
    db.verify().unwrap();
    assert_eq!(get(&db, "key 000507").as_deref(), Some("more 507"));
    assert_eq!(get(&db, "key 000508").as_deref(), Some("bulk 508"));
    db.compact().unwrap();
    db.verify().unwrap();
    assert_eq!(get(&db, "key 000507").as_deref(), Some("more 507"));
}

#[test]
fn many_records_among_tables_make_several_tables_of_level_0() {
    let dir = fast_dir();
    let options = || Options { table_bytes: 2048, ..small() };
    let db = Db::open(dir.path(), options()).unwrap();
    put(&db, "key 000000", "first");
    put(&db, "key 009999", "last");
    db.flush().unwrap();
    db.ingest(records(0..10_000, "bulk")).unwrap();
    let now = levels(&db);
    assert_eq!(now.iter().sum::<u64>(), now[0], "everything is covered: {now:?}");
    let sizes = || files(&dir.path().join("tables")).into_iter().map(|path| path.metadata().unwrap().len());
    assert!(now[0] > 3 && sizes().all(|size| size < 40 * 2048), "{:?}", sizes().collect::<Vec<_>>());
    let check = |db: &Db| {
        assert_eq!(all(db, seq(3)).len(), 10_000);
        assert_eq!(all(db, seq(2)).len(), 2);
        assert_eq!(get(db, "key 009999").as_deref(), Some("bulk 9999"));
        assert_eq!(get_at(db, "key 009999", seq(2)).as_deref(), Some("last"));
        db.verify().unwrap();
    };
    check(&db);
    drop(db);
    let db = Db::open(dir.path(), options()).unwrap();
    check(&db);
    put(&db, "key 005000", "newer");
    db.compact().unwrap();
    check(&db);
    assert_eq!(get(&db, "key 005000").as_deref(), Some("newer"));
}

#[test]
fn unsorted_or_duplicate_keys_name_their_position_and_leave_nothing() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "a", "1");
    let tables = files(&dir.path().join("tables")).len();
    let mut unsorted = records(0..3000, "v");
    unsorted.swap(2000, 2001);
    assert!(matches!(db.ingest(unsorted), Err(Error::Unsorted { position: 2001, duplicate: false })));
    let mut duplicate = records(0..3000, "v");
    duplicate[7].0 = duplicate[6].0.clone();
    let error = db.ingest(duplicate).unwrap_err();
    assert!(matches!(error, Error::Unsorted { position: 7, duplicate: true }), "{error}");
    let huge = [(vec![0; 9000], "v")];
    assert!(matches!(db.ingest(huge), Err(Error::TooLarge { what: "key", .. })));
    assert_eq!(files(&dir.path().join("tables")).len(), tables, "nothing was even flushed");
    assert_eq!((db.visible(), all(&db, seq(1)).len()), (seq(1), 1));
    assert_eq!(put(&db, "b", "2"), seq(2));
    assert_eq!(db.ingest(Vec::<(&str, &str)>::new()).unwrap(), seq(2), "nothing is no commit");
}

#[test]
fn sequences_go_on_after_a_kill_wherever_the_log_was() {
    for (index, before) in [0, 1, 2].into_iter().enumerate() {
        for after in [0, 1, 2] {
            for empty in [false, true] {
                let dir = fast_dir();
                let (live, image) = (dir.path().join("live"), dir.path().join("image"));
                let db = Db::open(&live, small()).unwrap();
                let commit = |key: usize| {
                    let mut batch = WriteBatch::new();
                    if !empty {
                        batch.put(format!("other {key}").as_bytes(), b"x").unwrap();
                    }
                    db.commit(batch, Durability::Disk).unwrap()
                };
                for key in 0..before {
                    commit(key);
                }
                let first = db.ingest(records(0..20, "one")).unwrap();
                for key in 0..after {
                    commit(key);
                }
                let second = db.ingest(records(10..30, "two")).unwrap();
                assert_eq!((first.get(), second.get()), (index as u64 + 1, (before + after) as u64 + 2));
                let third = commit(9);
                killed(&live, &image);
                let again = Db::open(&image, small()).unwrap();
                assert_eq!(again.visible(), third);
                assert!(all(&again, third) == all(&db, third));
                assert!(all(&again, first) == all(&db, first));
                assert_eq!(put(&again, "next", "x").get(), third.get() + 1);
                again.verify().unwrap();
            }
        }
    }
}

#[test]
fn commits_flushes_and_compactions_go_on_while_records_are_written_and_are_older() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { background: true, ..small() }).unwrap();
    put(&db, "key 000001", "before");
    let mut newest = seq(1);
    let bulk = records(0..2000, "bulk").into_iter().enumerate().map(|(index, record)| {
        if index % 100 == 1 {
            // In the same thread: it would wait for ever if the ingest kept commits out.
            newest = put(&db, "key 000001", &format!("meanwhile {index}"));
            assert_eq!(get(&db, "key 000001"), Some(format!("meanwhile {index}")));
            put(&db, &format!("other {index}"), "x");
        }
        if index == 700 {
            db.compact().unwrap();
        }
        record
    });
    let taken = db.ingest(bulk).unwrap();
    assert_eq!(taken.get(), 42, "twenty times two commits and one came before");
    assert_eq!(get(&db, "key 000001").as_deref(), Some("bulk 1"));
    assert_eq!(get_at(&db, "key 000001", newest).as_deref(), Some("meanwhile 1901"));
    assert_eq!(put(&db, "key 000001", "after"), seq(43));
    assert_eq!(get(&db, "key 000001").as_deref(), Some("after"));
    assert_eq!(all(&db, taken).len(), 2020);
    db.compact().unwrap();
    assert_eq!(all(&db, taken).len(), 2020);
    db.verify().unwrap();
}

#[test]
fn levels_are_right_also_when_the_tables_have_changed_since_the_records_were_cut() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { compression: Compression::None, ..small() }).unwrap();
    // Cut for the bottom, between nothing; then tables appear above all of it.
    let bulk = records(0..4000, "bulk").into_iter().enumerate().map(|(index, record)| {
        if index == 3500 {
            put(&db, "key 000100", "meanwhile");
            put(&db, "key 003900", "meanwhile");
            db.flush().unwrap();
        }
        record
    });
    let taken = db.ingest(bulk).unwrap();
    let now = levels(&db);
    assert!(now[0] >= 3 && now[1..].iter().sum::<u64>() == 0, "several of one sequence in level 0: {now:?}");
    let check = |db: &Db| {
        assert_eq!(get(db, "key 000100").as_deref(), Some("bulk 100"));
        assert_eq!(get_at(db, "key 000100", seq(2)).as_deref(), Some("meanwhile"));
        assert_eq!((all(db, taken).len(), all(db, seq(2)).len()), (4000, 2));
        db.verify().unwrap();
    };
    check(&db);
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    check(&db);
    put(&db, "key 000100", "newer");
    db.compact().unwrap();
    assert_eq!(get(&db, "key 000100").as_deref(), Some("newer"));
    assert_eq!(all(&db, taken).len(), 4000);
    db.verify().unwrap();
}

#[test]
fn the_sequence_of_an_ingest_is_said_by_the_manifest_and_survives_copies_and_merges() {
    let dir = fast_dir();
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let db = Db::open(&live, small()).unwrap();
    for number in 0..5 {
        put(&db, "before", &number.to_string());
    }
    assert_eq!(db.ingest(records(0..300, "one")).unwrap(), seq(6));
    assert_eq!(db.ingest(records(100..200, "two")).unwrap(), seq(7));
    db.checkpoint(&copy).unwrap();
    let check = |db: &Db| {
        assert_eq!(get_at(db, "key 000150", seq(5)), None);
        assert_eq!(get_at(db, "key 000150", seq(6)).as_deref(), Some("one 150"));
        assert_eq!(get_at(db, "key 000150", seq(7)).as_deref(), Some("two 150"));
        let mut versions = db.versions(b"key 000150", db.visible(), ReadTier::Disk).unwrap();
        let mut found = Vec::new();
        while versions.next().unwrap() {
            found.push(versions.seq().get());
        }
        assert_eq!(found, [7, 6]);
        assert_eq!((all(db, seq(5)).len(), all(db, seq(6)).len()), (1, 301));
        db.verify().unwrap();
    };
    for db in [db, Db::open(&copy, small()).unwrap()] {
        check(&db);
        db.compact().unwrap();
        check(&db);
    }
}

/// The store after an ingest that may have failed: everything of it or nothing.
fn check_all_or_nothing(dir: &Path, must: Option<bool>, what: &str) {
    let db = Db::open(dir, small()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let there = get(&db, "key 000000").is_some();
    assert!(must.is_none_or(|must| must == there), "{what}: {there}");
    assert_eq!(all(&db, db.visible()).len(), if there { 3001 } else { 1 }, "{what}");
    assert_eq!(db.visible().get(), if there { 3 } else { 2 }, "{what}");
    assert_eq!(get(&db, "other").as_deref(), Some("2"), "{what}");
    db.verify().unwrap();
    put(&db, "key 000000", "newer");
    drop(db);
    let db = Db::open(dir, small()).unwrap();
    assert_eq!(get(&db, "key 000000").as_deref(), Some("newer"));
}

#[test]
fn a_disk_that_fails_at_any_request_leaves_all_records_or_none() {
    for (kind, for_ever) in
        [(ErrorKind::StorageFull, false), (ErrorKind::Other, false), (ErrorKind::Other, true)]
    {
        for nth in 0.. {
            let dir = fast_dir();
            let (live, image) = (dir.path().join("live"), dir.path().join("image"));
            let fs = TestFs::new();
            let db = Db::open(&live, Options { fs: fs.clone(), ..small() }).unwrap();
            put(&db, "other", "1");
            put(&db, "other", "2");
            let requests = if for_ever { fs.fail_from(nth, kind) } else { fs.fail_at(nth, kind) };
            let outcome = db.ingest(records(0..3000, "bulk"));
            let reached = requests.load(Ordering::SeqCst) > nth;
            killed(&live, &image);
            let what = format!("request {nth}, {kind}, {outcome:?}");
            let must = match &outcome {
                Ok(_) => Some(true),
                Err(Error::DiskFull { .. }) => Some(false),
                Err(_) => None,
            };
            check_all_or_nothing(&image, must, &what);
            fs.heal();
            if matches!(outcome, Err(Error::DiskFull { .. })) {
                assert_eq!(get(&db, "key 000000"), None);
                assert_eq!(db.ingest(records(0..3000, "bulk")).unwrap(), seq(3), "{what}");
            }
            drop(db);
            check_all_or_nothing(&live, must.map(|must| must || kind == ErrorKind::StorageFull), &what);
            if !reached {
                assert!(nth > 15, "only {nth} requests were made");
                break;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<(u16, Option<u8>)>),
    Ingest(Vec<u16>, u16),
    Flush,
    Compact,
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let changes = prop::collection::vec((0..300u16, proptest::option::weighted(0.7, 0..50u8)), 0..8);
    prop_oneof![
        6 => changes.prop_map(Op::Commit),
        4 => (prop::collection::vec(0..300u16, 1..80), 0..3000u16).prop_map(|(keys, len)| Op::Ingest(keys, len)),
        2 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Kill),
    ]
}

type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn apply(dir: &Path, generation: &mut usize, db: &mut Db, states: &mut Vec<State>, op: &Op) {
    let mut state = states.last().unwrap().clone();
    match op {
        Op::Commit(changes) => {
            let mut batch = WriteBatch::new();
            for (key, len) in changes {
                let (key, value) = (key.to_be_bytes().to_vec(), len.map(|len| vec![1; usize::from(len)]));
                if let Some(value) = value {
                    batch.put(&key, &value).unwrap();
                    state.insert(key, value);
                } else {
                    batch.delete(&key).unwrap();
                    state.remove(&key);
                }
            }
            assert_eq!(db.commit(batch, Durability::Os).unwrap().get() as usize, states.len());
            states.push(state);
        }
        Op::Ingest(keys, len) => {
            let value = vec![states.len() as u8; usize::from(*len)];
            let sorted: std::collections::BTreeSet<_> = keys.iter().map(|key| key.to_be_bytes()).collect();
            assert_eq!(
                db.ingest(sorted.iter().map(|key| (key, &value))).unwrap().get() as usize,
                states.len()
            );
            state.extend(sorted.iter().map(|key| (key.to_vec(), value.clone())));
            states.push(state);
        }
        Op::Flush => db.flush().unwrap(),
        Op::Compact => db.compact().unwrap(),
        Op::Kill => {
            let from = dir.join(generation.to_string());
            *generation += 1;
            let to = dir.join(generation.to_string());
            killed(&from, &to);
            *db = Db::open(&to, small()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_commits_compactions_and_kills_in_any_order_the_store_answers_like_a_list_of_maps(
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let dir = fast_dir();
        let mut generation = 0;
        let mut db = Db::open(&dir.path().join("0"), small()).unwrap();
        let mut states = vec![State::new()];
        for op in &ops {
            apply(dir.path(), &mut generation, &mut db, &mut states, op);
        }
        prop_assert_eq!(db.visible().get() as usize, states.len() - 1);
        for (at, state) in states.iter().enumerate() {
            let at = seq(at as u64);
            let expected: Vec<_> = state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert!(all(&db, at) == expected, "at {}", at);
            for key in (0..300u16).step_by(37) {
                let value = db.get(&key.to_be_bytes(), at, ReadTier::Disk).unwrap();
                prop_assert_eq!(value.as_deref(), state.get(&key.to_be_bytes()[..]).map(Vec::as_slice));
            }
        }
        db.verify().unwrap();
    }
}
