//! A defect that shows as a panic, wherever it strikes: writes are refused from then on, nobody waits for ever, and
//! the next open finds everything that was acknowledged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fountain_lsm::{Db, Durability, Error, Options, WriteBatch};
use support::{Asked, TestFs, fast_dir, get, put, small};

fn try_put(db: &Db, key: &str) -> fountain_lsm::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), b"value").unwrap();
    db.commit(batch, Durability::Disk).map(|_| ())
}

fn is_panic(error: &Error) -> bool {
    matches!(error, Error::Poisoned { cause } if cause.contains("a panic while") && cause.contains("planted"))
}

/// Makes the request number `nth` from now panic; returns how many requests there have been.
fn panic_at(fs: &TestFs, nth: usize) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    fs.fail_when(move |_| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) != nth, "planted");
        None
    });
    count
}

/// Opens, commits, flushes, compacts, closes, going on after failures; returns the keys whose commit was acknowledged.
fn work(fs: &Arc<TestFs>, dir: &Path, nth: usize) -> Vec<String> {
    let count = panic_at(fs, nth);
    let mut acknowledged = Vec::new();
    let opened = catch_unwind(AssertUnwindSafe(|| Db::open(dir, Options { fs: fs.clone(), ..small() })));
    let Ok(db) = opened else { return acknowledged };
    let db = db.unwrap();
    let mut upkeep = |what: &str, work: &dyn Fn() -> fountain_lsm::Result<()>| {
        if let Err(error) = work() {
            assert!(is_panic(&error), "request {nth}, {what}: {error}");
        }
        let key = format!("after {what}");
        match try_put(&db, &key) {
            Ok(()) => acknowledged.push(key),
            Err(error) => assert!(is_panic(&error), "request {nth}, {key}: {error}"),
        }
        if count.load(Ordering::SeqCst) > nth {
            assert!(is_panic(&try_put(&db, "refused").unwrap_err()), "request {nth}, {what}");
        }
        for key in &acknowledged {
            assert!(get(&db, key).is_some(), "request {nth}: reads of {key} do not go on");
        }
    };
    upkeep("open", &|| Ok(()));
    upkeep("flush", &|| db.flush());
    upkeep("another flush", &|| db.flush());
    upkeep("compaction", &|| db.compact());
    upkeep("checkpoint", &|| db.checkpoint(&dir.with_extension("copy")).map(|_| ()));
    upkeep("ingest", &|| {
        let ingest = || db.ingest([("i", "1"), ("j", "2")]).map(|_| ());
        // A panic among the records may be the caller's own, so it is not swallowed.
        catch_unwind(AssertUnwindSafe(ingest)).unwrap_or(Ok(()))
    });
    let _ = db.close();
    acknowledged
}

#[test]
fn a_panic_at_any_single_request_refuses_later_writes_and_loses_nothing_acknowledged() {
    for nth in 0.. {
        let root = fast_dir();
        let dir = root.path().join("store");
        let fs = TestFs::new();
        let acknowledged = work(&fs, &dir, nth);
        let requests = fs.take_asked().len();
        let db = Db::open(&dir, small()).unwrap_or_else(|error| panic!("request {nth}: {error}"));
        for key in &acknowledged {
            assert!(get(&db, key).is_some(), "request {nth}: {key} is lost");
        }
        db.verify().unwrap();
        try_put(&db, "again").unwrap();
        if acknowledged.len() == 6 && requests <= nth {
            assert!(nth > 60, "only {nth} requests were made");
            break;
        }
    }
}

#[test]
fn writers_that_share_a_sync_with_a_panic_all_get_an_answer() {
    for asked_for in ["sync", "write"] {
        let dir = fast_dir();
        let fs = TestFs::new();
        let db = Db::open(dir.path(), Options { fs: fs.clone(), ..small() }).unwrap();
        put(&db, "before", "1");
        let count = AtomicUsize::new(0);
        fs.fail_when(move |asked| {
            let hit = match asked {
                Asked::Sync(name) => asked_for == "sync" && name.ends_with(".wal"),
                Asked::Write(name) => asked_for == "write" && name.ends_with(".wal"),
                _ => false,
            };
            assert!(!hit || count.fetch_add(1, Ordering::SeqCst) != 5, "planted");
            None
        });
        let acknowledged: Vec<String> = thread::scope(|scope| {
            let writer = |writer: usize| {
                let db = &db;
                scope.spawn(move || {
                    let keys = (0..).map(|n| format!("{writer}-{n}"));
                    keys.take_while(|key| {
                        try_put(db, key).inspect_err(|e| assert!(is_panic(e), "{e}")).is_ok()
                    })
                    .collect::<Vec<_>>()
                })
            };
            let writers: Vec<_> = (0..4).map(writer).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        fs.heal();
        fs.take_asked();
        assert!(is_panic(&db.flush().unwrap_err()));
        db.close().unwrap();
        assert_eq!(fs.take_asked(), [], "nothing is written after it, not even at close");
        let db = Db::open(dir.path(), small()).unwrap();
        assert!(acknowledged.iter().all(|key| get(&db, key).is_some()));
    }
}

#[test]
fn a_panic_on_a_background_thread_is_told_to_the_writers_who_wait_for_it() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let options = Options { background: true, memtable_bytes: 16 * 1024, ..small() };
    let db = Db::open(dir.path(), Options { fs: fs.clone(), ..options.clone() }).unwrap();
    fs.fail_when(|asked| {
        assert!(!(matches!(asked, Asked::Create(_)) && asked.name().ends_with(".sst")), "planted");
        None
    });
    let mut written = 0;
    let error = loop {
        match try_put(&db, &format!("key {written:06}")) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(is_panic(&error), "{error}");
    db.close().unwrap();
    let db = Db::open(dir.path(), options).unwrap();
    assert!((0..written).all(|key| get(&db, &format!("key {key:06}")).is_some()));
}

#[test]
fn a_panic_of_the_caller_among_the_records_of_an_ingest_reaches_the_caller() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "before", "1");
    let records = (0..3).map(|n| {
        assert!(n < 2, "planted");
        (format!("key {n}"), "value")
    });
    catch_unwind(AssertUnwindSafe(|| db.ingest(records))).unwrap_err();
    assert!(is_panic(&try_put(&db, "refused").unwrap_err()));
    assert_eq!(get(&db, "before").as_deref(), Some("1"));
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!((get(&db, "key 0"), db.visible().get()), (None, 1));
}

#[test]
fn a_layer_above_can_refuse_writes_with_its_own_reason() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    db.poison("the layer above lost count");
    let error = try_put(&db, "refused").unwrap_err();
    assert!(matches!(&error, Error::Poisoned { cause } if cause == "the layer above lost count"), "{error}");
    assert!(matches!(db.checkpoint(&dir.path().join("copy")), Err(Error::Poisoned { .. })));
}
