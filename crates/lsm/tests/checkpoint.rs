//! Copies of a store that is being written to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fountain_lsm::{Db, Direction, Durability, Error, KeyRange, Options, Seq, WriteBatch};
use support::{Asked, TestFs, delete, fast_dir, files, get, put, scan, small};

fn all(db: &Db, at: Seq) -> Vec<(Vec<u8>, Vec<u8>)> {
    scan(db, KeyRange::default(), at, Direction::Forward)
}

/// Commits that overwrite, delete and add, until told to stop.
fn churn(db: &Db, thread: usize, stop: &AtomicBool) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut batch = WriteBatch::new();
        for step in 0..10usize {
            let key = format!("{thread} {:04}", (round * 7 + step * 31) % 600);
            if (round + step).is_multiple_of(5) {
                batch.delete(key.as_bytes()).unwrap();
            } else {
                batch.put(key.as_bytes(), format!("{round:0100}").as_bytes()).unwrap();
            }
        }
        db.commit(batch, Durability::Os).unwrap();
    }
}

/// Opens the copy and compares it with the store it was made from.
fn check_copy(copy: &Path, source: &Db, at: Seq) {
    let db = Db::open(copy, small()).unwrap();
    assert!(db.recovery().clean, "{:?}", db.recovery());
    assert_eq!((db.visible(), db.recovery().replayed_commits), (at, 0));
    db.verify().unwrap();
    assert!(all(&db, at) == all(source, at), "the copy is not the store at {at}");
    let early = Seq::new(at.get() / 2).unwrap();
    assert!(all(&db, early) == all(source, early), "history is not the same at {early}");
    assert_eq!(put(&db, "only here", "yes").get(), at.get() + 1);
    assert_eq!(get(source, "only here"), None);
    db.close().unwrap();
}

#[test]
fn checkpoints_under_load_are_the_store_at_their_sequence() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let options = Options { background: true, memtable_bytes: 32 * 1024, ..small() };
    let db = Db::open(&live, options).unwrap();
    let stop = AtomicBool::new(false);
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        let (db, stop) = (&db, &stop);
        for thread in 0..2 {
            scope.spawn(move || churn(db, thread, stop));
        }
        for index in 0..6 {
            let before = db.visible();
            while db.visible().get() < before.get() + 20 {
                std::thread::yield_now();
            }
            let before = db.visible();
            let copy = dir.path().join(format!("copy {index}"));
            let info = db.checkpoint(&copy).unwrap();
            assert!(info.sequence >= before);
            let tables = files(&copy.join("tables"));
            assert_eq!(info.files as usize, tables.len() + 3);
            assert_eq!(info.bytes, tables.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());
            copies.push((copy, info.sequence));
            db.compact().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(db.metrics().compactions > 0);
    for (copy, at) in &copies {
        check_copy(copy, &db, *at);
    }
    db.compact().unwrap();
    let named = db.metrics().level_tables.iter().sum::<u64>() as usize;
    assert_eq!(files(&live.join("tables")).len(), named, "what was held is deleted afterwards");
    db.verify().unwrap();
}

#[test]
fn an_empty_store_and_a_store_closed_since_can_be_copied() {
    let dir = fast_dir();
    let db = Db::open(&dir.path().join("live"), small()).unwrap();
    let info = db.checkpoint(&dir.path().join("empty")).unwrap();
    assert_eq!((info.sequence, info.files, info.bytes), (Seq::ZERO, 3, 0));
    check_copy(&dir.path().join("empty"), &db, Seq::ZERO);
    put(&db, "a", "1");
    delete(&db, "a");
    db.checkpoint(&dir.path().join("copy")).unwrap();
    db.close().unwrap();
    assert!(matches!(db.checkpoint(&dir.path().join("late")), Err(Error::Closed)));
    drop(db);
    std::fs::remove_dir_all(dir.path().join("live")).unwrap();
    let copy = Db::open(&dir.path().join("copy"), small()).unwrap();
    assert_eq!(get(&copy, "a"), None);
    assert_eq!(support::get_at(&copy, "a", support::seq(1)).as_deref(), Some("1"));
}

#[test]
fn a_destination_that_exists_is_refused_untouched() {
    let dir = fast_dir();
    let db = Db::open(&dir.path().join("live"), small()).unwrap();
    put(&db, "a", "1");
    let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
    std::fs::write(&file, b"text").unwrap();
    std::fs::create_dir(&folder).unwrap();
    for taken in [file, folder] {
        match db.checkpoint(&taken) {
            Err(Error::Io { path, source, .. }) => {
                assert_eq!((path, source.kind()), (taken, ErrorKind::AlreadyExists));
            }
            other => panic!("{other:?}"),
        }
    }
    let nowhere = dir.path().join("no").join("where");
    assert!(matches!(db.checkpoint(&nowhere), Err(Error::Io { .. })));
    assert_eq!(files(dir.path()).len(), 3);
}

#[test]
fn what_a_checkpoint_that_died_left_is_cleared_away_and_foreign_files_are_not() {
    let dir = fast_dir();
    let db = Db::open(&dir.path().join("live"), small()).unwrap();
    put(&db, "a", "1");
    let (copy, staging) = (dir.path().join("copy"), dir.path().join("copy.tmp"));
    std::fs::create_dir_all(staging.join("tables")).unwrap();
    std::fs::write(staging.join("tables").join("000001.sst"), b"half").unwrap();
    std::fs::write(staging.join("CURRENT.tmp"), b"half").unwrap();
    db.checkpoint(&copy).unwrap();
    assert!(!staging.exists());
    check_copy(&copy, &db, support::seq(1));
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("notes.txt"), b"mine").unwrap();
    std::fs::remove_dir_all(&copy).unwrap();
    assert!(matches!(db.checkpoint(&copy), Err(Error::Io { path, .. }) if path == staging));
    assert!(staging.join("notes.txt").exists() && !copy.exists());
}

#[test]
fn tables_are_linked_where_that_is_possible_and_copied_where_not() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = Db::open(&dir.path().join("live"), Options { fs: fs.clone(), ..small() }).unwrap();
    put(&db, "a", &"1".repeat(3000));
    for (name, refused) in [("linked", None), ("copied", Some(ErrorKind::CrossesDevices))] {
        fs.fail_when(move |asked| refused.filter(|_| matches!(asked, Asked::Link(_))));
        fs.take_asked();
        let copy = dir.path().join(name);
        db.checkpoint(&copy).unwrap();
        fs.heal();
        let writes = fs.take_asked();
        let copied = writes.iter().any(|a| matches!(a, Asked::Write(n) if n.ends_with(".sst")));
        let synced = writes.iter().any(|a| matches!(a, Asked::Sync(n) if n.ends_with(".sst")));
        // The first one flushes.
        assert!(name == "linked" || (copied && synced), "{writes:?}");
        check_copy(&copy, &db, support::seq(1));
    }
}

#[test]
fn a_disk_that_fails_at_any_request_leaves_a_complete_checkpoint_or_none_and_the_store_as_it_was() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for nth in 0.. {
            let dir = fast_dir();
            let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
            let fs = TestFs::new();
            let db = Db::open(&live, Options { fs: fs.clone(), ..small() }).unwrap();
            put(&db, "a", "1");
            db.flush().unwrap();
            put(&db, "b", "2");
            let requests = fs.fail_at(nth, kind);
            let outcome = db.checkpoint(&copy);
            let reached = requests.load(Ordering::SeqCst) > nth;
            fs.heal();
            assert!(!dir.path().join("copy.tmp").exists(), "request {nth}: pieces are left");
            assert_eq!(copy.exists(), outcome.is_ok(), "request {nth}");
            if outcome.is_ok() {
                check_copy(&copy, &db, support::seq(2));
            }
            assert_eq!(get(&db, "b").as_deref(), Some("2"));
            // A failed sync of its own log or manifest stops the store; the checkpoint's files are not its own.
            let again = dir.path().join("again");
            match db.checkpoint(&again) {
                Ok(info) => check_copy(&again, &db, info.sequence),
                Err(error) => assert!(matches!(error, Error::Poisoned { .. }) && !again.exists(), "{error}"),
            }
            drop(db);
            let db = Db::open(&live, small()).unwrap();
            assert_eq!((get(&db, "a").as_deref(), get(&db, "b").as_deref()), (Some("1"), Some("2")));
            db.verify().unwrap();
            if !reached {
                assert!(nth > 20, "only {nth} requests were made");
                break;
            }
        }
    }
}

#[test]
fn requests_that_fail_after_the_flush_never_stop_the_store() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = Db::open(&dir.path().join("live"), Options { fs: Arc::clone(&fs) as _, ..small() }).unwrap();
    put(&db, "a", "1");
    db.flush().unwrap();
    for nth in 0.. {
        let requests = fs.fail_at(nth, ErrorKind::Other);
        let copy = dir.path().join(format!("copy {nth}"));
        let _ = db.checkpoint(&copy);
        let reached = requests.load(Ordering::SeqCst) > nth;
        fs.heal();
        put(&db, "more", &nth.to_string());
        db.flush().unwrap();
        if !reached {
            break;
        }
    }
}

#[test]
fn commits_that_changed_nothing_are_in_the_copy_too() {
    let dir = fast_dir();
    let db = Db::open(&dir.path().join("store"), small()).unwrap();
    put(&db, "key", "value");
    for _ in 0..3 {
        db.commit(WriteBatch::new(), Durability::Os).unwrap();
    }
    let info = db.checkpoint(&dir.path().join("copy")).unwrap();
    assert_eq!(info.sequence.get(), 4);
    check_copy(&dir.path().join("copy"), &db, info.sequence);
    assert_eq!(put(&db, "next", "value").get(), 5, "the store goes on as it would have");
}
