//! A disk that is full or fails: nothing acknowledged is lost, nothing half-done, and the error says what happened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;

use fountain_lsm::{Db, Durability, Error, Options, WriteBatch};
use support::{Asked, TestFs, fast_dir, get, put, small};

fn open(fs: &Arc<TestFs>, dir: &std::path::Path, options: &Options) -> Db {
    Db::open(dir, Options { fs: fs.clone(), ..options.clone() }).unwrap()
}

fn try_put(db: &Db, key: &str, durability: Durability) -> fountain_lsm::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), b"value").unwrap();
    db.commit(batch, durability).map(|_| ())
}

fn ends_with(asked: &Asked, suffix: &str) -> bool {
    asked.name().ends_with(suffix)
}

#[test]
fn a_commit_refused_by_a_full_disk_leaves_no_trace_and_the_next_one_succeeds_when_there_is_space() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &small());
    put(&db, "before", "1");
    fs.fail_when(|asked| {
        (matches!(asked, Asked::Write(_)) && ends_with(asked, ".wal")).then_some(ErrorKind::StorageFull)
    });
    let error = try_put(&db, "refused", Durability::Disk).unwrap_err();
    assert!(
        matches!(&error, Error::DiskFull { path, .. } if path.to_string_lossy().ends_with(".wal")),
        "{error}"
    );
    assert_eq!(get(&db, "refused"), None);
    assert_eq!(get(&db, "before").as_deref(), Some("1"), "reading goes on");
    fs.heal();
    try_put(&db, "after", Durability::Disk).unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!(db.recovery().discarded, [], "the refused commit was cut off");
    assert_eq!(db.visible().get(), 2);
    assert_eq!(
        (get(&db, "before").is_some(), get(&db, "refused"), get(&db, "after").is_some()),
        (true, None, true)
    );
}

#[test]
fn commits_kept_in_memory_are_not_lost_when_the_write_of_a_later_one_is_refused() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &small());
    try_put(&db, "buffered", Durability::Memory).unwrap();
    fs.fail_when(|asked| matches!(asked, Asked::Write(_)).then_some(ErrorKind::StorageFull));
    assert!(try_put(&db, "refused", Durability::Os).is_err());
    fs.heal();
    try_put(&db, "after", Durability::Os).unwrap();
    let image = fast_dir();
    support::killed(dir.path(), image.path());
    let db = Db::open(image.path(), small()).unwrap();
    assert_eq!(
        (get(&db, "buffered").is_some(), get(&db, "refused"), get(&db, "after").is_some()),
        (true, None, true)
    );
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_the_store_is_reopened() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &small());
    put(&db, "before", "1");
    fs.fail_when(|asked| {
        (matches!(asked, Asked::Sync(_)) && ends_with(asked, ".wal")).then_some(ErrorKind::Other)
    });
    assert!(matches!(try_put(&db, "doubtful", Durability::Disk), Err(Error::Io { op: "sync", .. })));
    fs.heal();
    fs.take_asked();
    for durability in [Durability::Disk, Durability::Os, Durability::Memory] {
        assert!(matches!(try_put(&db, "later", durability), Err(Error::Poisoned { .. })));
    }
    assert!(matches!(db.flush(), Err(Error::Poisoned { .. })));
    assert_eq!(get(&db, "before").as_deref(), Some("1"), "reading goes on");
    assert_eq!(get(&db, "doubtful"), None, "what was not acknowledged is not shown");
    db.close().unwrap();
    assert_eq!(fs.take_asked(), [], "no sync is tried again and nothing is written, not even at close");
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!(get(&db, "before").as_deref(), Some("1"));
    try_put(&db, "later", Durability::Disk).unwrap();
}

#[test]
fn a_flush_that_finds_the_disk_full_keeps_everything_and_works_when_there_is_space() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &small());
    put(&db, "k", "1");
    let refused: [fn(&Asked) -> bool; 4] = [
        |asked| matches!(asked, Asked::Create(_)) && ends_with(asked, ".sst"),
        |asked| matches!(asked, Asked::Write(_)) && ends_with(asked, ".sst"),
        |asked| matches!(asked, Asked::Write(n) if n.starts_with("MANIFEST")),
        |asked| matches!(asked, Asked::Create(n) | Asked::Write(n) if n.contains("CURRENT") || n.starts_with("MANIFEST")),
    ];
    for (round, refused) in refused.into_iter().enumerate() {
        put(&db, "round", &round.to_string());
        fs.fail_when(move |asked| refused(asked).then_some(ErrorKind::StorageFull));
        assert!(matches!(db.flush(), Err(Error::DiskFull { .. })), "round {round}");
        assert_eq!(get(&db, "round"), Some(round.to_string()));
        fs.heal();
        put(&db, "more", &round.to_string());
        db.flush().unwrap();
        let image = fast_dir();
        support::killed(dir.path(), image.path());
        let db = Db::open(image.path(), small()).unwrap();
        assert_eq!((get(&db, "round"), get(&db, "more")), (Some(round.to_string()), Some(round.to_string())));
        db.verify().unwrap();
    }
}

#[test]
fn writers_on_a_full_disk_get_an_error_instead_of_waiting_for_ever() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let options = Options { background: true, memtable_bytes: 16 * 1024, ..small() };
    let db = open(&fs, dir.path(), &options);
    fs.fail_when(|asked| ends_with(asked, ".sst").then_some(ErrorKind::StorageFull));
    let mut written = 0;
    let error = loop {
        match try_put(&db, &format!("key {written:06}"), Durability::Os) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    fs.heal();
    let begin = std::time::Instant::now();
    while try_put(&db, "healed", Durability::Disk).is_err() {
        assert!(begin.elapsed().as_secs() < 120, "the store recovers by itself when there is space");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(db);
    let db = Db::open(dir.path(), options).unwrap();
    assert_eq!(db.visible().get(), written + 1);
    for key in 0..written {
        assert!(get(&db, &format!("key {key:06}")).is_some());
    }
}

#[test]
fn a_disk_that_fails_at_any_single_request_never_loses_an_acknowledged_commit() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        let mut nth = 0;
        loop {
            let dir = fast_dir();
            let fs = TestFs::new();
            let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = count.clone();
            fs.fail_when(move |_| {
                (counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth).then_some(kind)
            });
            let acknowledged = work_until_failure(&fs, dir.path());
            let reached = count.load(std::sync::atomic::Ordering::SeqCst) > nth;
            let db = Db::open(dir.path(), small())
                .unwrap_or_else(|error| panic!("request {nth}, {kind}: {error}"));
            for key in &acknowledged {
                assert!(get(&db, key).is_some(), "request {nth}, {kind}: {key} is lost");
            }
            db.verify().unwrap();
            if !reached {
                assert!(nth > 40, "only {nth} requests were made");
                break;
            }
            nth += 1;
        }
    }
}

/// Opens, commits, flushes, compacts, closes, going on after failures; returns the keys whose commit was acknowledged.
fn work_until_failure(fs: &Arc<TestFs>, dir: &std::path::Path) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(db) = Db::open(dir, Options { fs: fs.clone(), ..small() }) else { return acknowledged };
    for index in 0..6 {
        let key = format!("key {index}");
        if try_put(&db, &key, Durability::Disk).is_ok() {
            acknowledged.push(key);
        }
        if index % 2 == 1 {
            let _ = db.flush();
        }
    }
    let _ = db.compact();
    if try_put(&db, "last", Durability::Disk).is_ok() {
        acknowledged.push("last".to_owned());
    }
    let _ = db.close();
    acknowledged
}

#[test]
fn a_store_whose_opening_fails_at_any_request_opens_the_next_time_with_everything() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, small()).unwrap();
    put(&db, "flushed", "1");
    db.flush().unwrap();
    put(&db, "logged", "2");
    support::killed(&live, &image);
    for (kind, kills) in [(ErrorKind::StorageFull, 1), (ErrorKind::Other, 1), (ErrorKind::Other, 2)] {
        for nth in 0.. {
            let copy = dir.path().join("copy");
            support::killed(&image, &copy);
            // The second time around, recovery meets what the first one left behind.
            let opened = (0..kills).fold(false, |opened, _| open_failing_at(&copy, nth, kind) || opened);
            let db =
                Db::open(&copy, small()).unwrap_or_else(|error| panic!("request {nth}, {kind}: {error}"));
            assert_eq!(
                (get(&db, "flushed").as_deref(), get(&db, "logged").as_deref()),
                (Some("1"), Some("2"))
            );
            assert_eq!(db.visible().get(), 2);
            drop(db);
            std::fs::remove_dir_all(&copy).unwrap();
            if opened {
                assert!(nth > 12, "opening makes only {nth} requests");
                break;
            }
        }
    }
}

#[test]
fn a_store_whose_creation_dies_at_any_request_again_and_again_is_created_at_last() {
    for nth in 0.. {
        let dir = fast_dir();
        let path = dir.path().join("store");
        let opened = (0..3).fold(false, |opened, _| open_failing_at(&path, nth, ErrorKind::Other) || opened);
        let db = Db::open(&path, small()).unwrap_or_else(|error| panic!("request {nth}: {error}"));
        put(&db, "k", "1");
        db.verify().unwrap();
        if opened {
            assert!(nth > 12, "creating makes only {nth} requests");
            break;
        }
    }
}

/// Whether a store opened although the request number `nth` and all after it were to fail.
fn open_failing_at(dir: &std::path::Path, nth: usize, kind: ErrorKind) -> bool {
    let fs = TestFs::new();
    let count = std::sync::atomic::AtomicUsize::new(0);
    fs.fail_when(move |_| (count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= nth).then_some(kind));
    let options = Options { fs: fs.clone(), ..small() };
    // A process that dies does not tidy up.
    let opened = Db::open(dir, options);
    opened.is_ok()
}
