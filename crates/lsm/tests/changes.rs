//! What commits changed: every version of theirs, whatever tables it lies in by now, or an error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use fountain_lsm::{Changes, Db, Error, KeyRange, Options, ReadTier, Retention};
use support::{delete, put, seq, small};

type Change = (String, u64, Option<String>);

fn changes(db: &Db, range: KeyRange, after: u64, upto: u64) -> Result<Vec<Change>, Error> {
    all_of(db.changes(range, seq(after), seq(upto), ReadTier::Disk)?)
}

fn differences(db: &Db, after: u64, upto: u64) -> Result<Vec<Change>, Error> {
    all_of(db.differences(KeyRange::default(), seq(after), seq(upto), ReadTier::Disk)?)
}

fn all_of(mut walk: Changes) -> Result<Vec<Change>, Error> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut all = Vec::new();
    while walk.next()? {
        all.push((text(walk.key()), walk.seq().get(), walk.value().map(text)));
    }
    assert!(!walk.next()?);
    Ok(all)
}

#[test]
fn changes_are_those_of_the_commits_asked_for_by_key_and_from_new_to_old() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    let mut log: Vec<Change> = Vec::new();
    let check = |db: &Db, log: &[Change]| {
        let newest = log.len() as u64;
        for (after, upto) in
            [(0, newest), (newest / 2, newest), (newest / 3, newest / 2), (newest, newest), (5, 2)]
        {
            for range in
                [KeyRange::default(), KeyRange { start: b"k03".to_vec(), end: Some(b"k11".to_vec()) }]
            {
                let mut expected: Vec<_> = log
                    .iter()
                    .filter(|(key, at, _)| *at > after && *at <= upto && range.contains(key.as_bytes()))
                    .cloned()
                    .collect();
                expected.sort_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
                assert_eq!(changes(db, range, after, upto).unwrap(), expected, "({after}, {upto}]");
            }
        }
    };
    for round in 0..6u32 {
        for n in 0..150u32 {
            let key = format!("k{:02}", (n * 7 + round * 3) % 17);
            let value = (n % 5 != 0).then(|| format!("{round}-{n}-{}", "x".repeat(n as usize % 60)));
            let at = match &value {
                Some(value) => put(&db, &key, value),
                None => delete(&db, &key),
            };
            log.push((key, at.get(), value));
        }
        check(&db, &log);
        if round % 2 == 0 {
            db.flush().unwrap();
            check(&db, &log);
        }
        if round == 3 {
            db.compact().unwrap();
            check(&db, &log);
        }
    }
    db.close().unwrap();
    drop(db);
    check(&Db::open(dir.path(), small()).unwrap(), &log);
}

#[test]
fn blocks_without_anything_new_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { memtable_bytes: 4 << 20, cache_bytes: 8 << 20, ..small() };
    let db = Db::open(dir.path(), options()).unwrap();
    for n in 0..3000 {
        put(&db, &format!("k{n:05}"), &"x".repeat(100));
    }
    let before = db.visible().get();
    put(&db, "k01500", "new");
    db.compact().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), options()).unwrap();
    let missed = |db: &Db| db.metrics().cache_misses;
    let start = missed(&db);
    let found = changes(&db, KeyRange::default(), before, before + 1).unwrap();
    assert_eq!(found, [("k01500".to_owned(), before + 1, Some("new".to_owned()))]);
    let few = missed(&db) - start;
    let start = missed(&db);
    assert_eq!(changes(&db, KeyRange::default(), 0, before + 1).unwrap().len(), 3001);
    let all = missed(&db) - start;
    assert!(few * 10 < all, "{few} of {all} blocks were read");
}

#[test]
fn changes_that_may_be_incomplete_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options { retention: Retention::LatestOnly, ..small() }).unwrap();
    for n in 0..10 {
        put(&db, "k", &n.to_string());
    }
    let pinned = db.snapshot_at(seq(4)).unwrap();
    db.compact().unwrap();
    put(&db, "k", "last");
    assert_eq!(changes(&db, KeyRange::default(), 10, 11).unwrap().len(), 1);
    let error = changes(&db, KeyRange::default(), 9, 11).unwrap_err();
    assert!(
        matches!(error, Error::HistoryTruncated { requested, floor } if (requested, floor) == (seq(9), seq(10)))
    );
    let error = changes(&db, KeyRange::default(), 11, 12).unwrap_err();
    assert!(matches!(error, Error::FutureSequence { .. }));
    drop(pinned);
}

#[test]
fn a_pinned_state_can_be_compared_but_what_came_after_it_is_not_claimed_to_be_complete() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options { retention: Retention::LatestOnly, ..small() }).unwrap();
    for n in 1..=10 {
        put(&db, if n % 3 == 0 { "b" } else { "a" }, &n.to_string());
    }
    let (old, newer) = (db.snapshot_at(seq(4)).unwrap(), db.snapshot_at(seq(7)).unwrap());
    delete(&db, "b");
    db.compact().unwrap();
    let truncated = |outcome: Result<Vec<Change>, Error>, at: u64| match outcome.unwrap_err() {
        Error::HistoryTruncated { requested, floor } => assert_eq!((requested, floor), (seq(at), seq(11))),
        other => panic!("{other}"),
    };
    // The versions 5, 8 and 9 are gone, so 4 and 7 are no places to go on from.
    truncated(changes(&db, KeyRange::default(), 4, 11), 4);
    truncated(changes(&db, KeyRange::default(), 4, 7), 4);
    truncated(changes(&db, KeyRange::default(), 7, 11), 7);
    let version = |key: &str, at: u64, value: Option<&str>| (key.to_owned(), at, value.map(str::to_owned));
    let now = [version("a", 10, Some("10")), version("b", 11, None)];
    assert_eq!(differences(&db, 4, 11).unwrap(), now);
    assert_eq!(differences(&db, 7, 11).unwrap(), now);
    assert_eq!(
        differences(&db, 4, 7).unwrap(),
        [version("a", 7, Some("7")), version("b", 6, Some("6"))],
        "one version of each key"
    );
    assert_eq!(differences(&db, 7, 4).unwrap(), []);
    truncated(differences(&db, 4, 9), 9);
    truncated(differences(&db, 5, 11), 5);
    drop(newer);
    truncated(differences(&db, 4, 7), 7);
    drop(old);
}
