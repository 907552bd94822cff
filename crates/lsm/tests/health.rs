//! What a store does after a failure of the disk, and what it says about it: it goes on where that is safe, tries again
//! what may be tried again, and stops where it is not known what is on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fountain_lsm::{Db, Durability, Error, Health, Options, WriteBatch};
use support::{Asked, TestFs, fast_dir, files, get, put, small};

/// "Too many open files".
const EMFILE: i32 = if cfg!(windows) { 4 } else { 24 };

fn open(fs: &Arc<TestFs>, dir: &Path, options: &Options) -> Db {
    Db::open(dir, Options { fs: fs.clone(), ..options.clone() }).unwrap()
}

fn try_put(db: &Db, key: &str) -> fountain_lsm::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), b"value").unwrap();
    db.commit(batch, Durability::Disk).map(|_| ())
}

fn is_table(asked: &Asked) -> bool {
    asked.name().ends_with(".sst")
}

fn tables(dir: &Path) -> usize {
    files(&dir.join("tables")).len()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_flush_that_fails_is_tried_again_with_another_file_until_it_succeeds() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &Options { background: true, memtable_bytes: 4096, ..small() });
    assert!(db.health().is_healthy());
    fs.fail_when(|asked| (matches!(asked, Asked::Write(_)) && is_table(asked)).then_some(ErrorKind::Other));
    let mut written = 0;
    while db.metrics().sealed_memtables == 0 {
        put(&db, &format!("key {written:04}"), "value");
        written += 1;
    }
    wait_until("two attempts", || db.metrics().failed_flushes >= 2);
    assert!(matches!(db.health(), Health::Degraded { cause: Error::Io { .. } }), "{:?}", db.health());
    assert_eq!(db.metrics().health, 1);
    put(&db, "while degraded", "there is room");
    assert_eq!(get(&db, "key 0000").as_deref(), Some("value"), "reads go on");
    fs.heal();
    wait_until("healthy", || db.health().is_healthy() && db.metrics().sealed_memtables == 0);
    let asked = fs.take_asked();
    let mut created: Vec<_> =
        asked.iter().filter(|asked| matches!(asked, Asked::Create(_)) && is_table(asked)).collect();
    let attempts = created.len();
    created.dedup();
    assert!(created.len() >= 3 && created.len() == attempts, "a new number each time: {created:?}");
    let live = db.metrics().level_tables.iter().sum::<u64>();
    assert_eq!(tables(dir.path()) as u64, live, "nothing is left of those that failed");
    assert_eq!(get(&db, "key 0000").as_deref(), Some("value"));
}

#[test]
fn writers_that_wait_for_room_get_the_reason_only_after_several_failures_in_a_row() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &Options { background: true, memtable_bytes: 4096, ..small() });
    fs.fail_when(|asked| (matches!(asked, Asked::Write(_)) && is_table(asked)).then_some(ErrorKind::Other));
    let mut written = 0;
    let error = loop {
        match try_put(&db, &format!("key {written:06}")) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(db.metrics().failed_flushes >= 3);
    fs.heal();
    wait_until("a commit", || try_put(&db, "healed").is_ok());
    wait_until("healthy", || db.health().is_healthy());
}

#[test]
fn a_full_disk_is_told_and_forgotten_with_the_next_commit_that_succeeds() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &small());
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        fs.fail_when(move |asked| matches!(asked, Asked::Write(_)).then_some(kind));
        assert!(matches!(try_put(&db, "refused"), Err(Error::DiskFull { .. })), "{kind}");
        assert!(matches!(db.health(), Health::DiskFull { cause: Error::DiskFull { .. } }));
        fs.heal();
        try_put(&db, "taken").unwrap();
        assert!(db.health().is_healthy());
    }
    assert_eq!(db.metrics().refused_commits, 3);
    assert_eq!(get(&db, "refused"), None);
}

#[test]
fn a_refused_commit_that_cannot_be_cut_out_of_the_log_poisons_the_store() {
    // Its frames might be whole, and be taken for those of a later commit.
    for refused in [(|asked: &Asked| matches!(asked, Asked::SetLen(_))) as fn(&Asked) -> bool, |asked| {
        matches!(asked, Asked::Sync(_))
    }] {
        let dir = fast_dir();
        let fs = TestFs::new();
        let db = open(&fs, dir.path(), &small());
        fs.fail_when(move |asked| {
            (matches!(asked, Asked::Write(_)) || refused(asked)).then_some(ErrorKind::StorageFull)
        });
        assert!(matches!(try_put(&db, "refused"), Err(Error::DiskFull { .. })));
        fs.heal();
        assert!(matches!(db.health(), Health::Poisoned { cause: Error::Io { .. } }), "{:?}", db.health());
        assert!(matches!(try_put(&db, "later"), Err(Error::Poisoned { .. })));
    }
}

#[test]
fn a_failed_sync_of_names_poisons_the_store_wherever_it_happens() {
    type Work = fn(&Db) -> fountain_lsm::Result<()>;
    let works: [(&str, &str, Work); 4] = [
        ("tables", "flush", |db| db.flush()),
        ("tables", "compact", |db| db.compact()),
        ("tables", "ingest", |db| db.ingest([("z", "1")]).map(|_| ())),
        ("wal", "rotate", |db| db.flush()),
    ];
    for (names, what, work) in works {
        let dir = fast_dir();
        let fs = TestFs::new();
        let db = open(&fs, dir.path(), &small());
        put(&db, "a", "1");
        if what == "compact" {
            db.flush().unwrap();
            put(&db, "a", "2");
            db.flush().unwrap();
        }
        fs.fail_when(move |asked| {
            matches!(asked, Asked::SyncDir(name) if name == names).then_some(ErrorKind::Other)
        });
        assert!(matches!(work(&db), Err(Error::Io { op: "sync", .. })), "{what}");
        fs.heal();
        fs.take_asked();
        assert!(matches!(db.health(), Health::Poisoned { .. }), "{what}: {:?}", db.health());
        assert!(matches!(try_put(&db, "later"), Err(Error::Poisoned { .. })), "{what}");
        assert!(matches!(db.compact(), Err(Error::Poisoned { .. })), "{what}");
        assert!(get(&db, "a").is_some(), "{what}: reads go on");
        db.close().unwrap();
        assert_eq!(fs.take_asked(), [], "{what}: nothing is written any more");
        drop(db);
        let db = Db::open(dir.path(), small()).unwrap();
        assert!(get(&db, "a").is_some() && db.health().is_healthy(), "{what}");
        db.verify().unwrap();
    }
}

#[test]
fn a_process_without_handles_gets_errors_and_goes_on_when_it_has_some() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = open(&fs, dir.path(), &Options { wal_segment_bytes: 2048, ..small() });
    put(&db, "k", "1");
    let handles: [fn(&Asked) -> bool; 5] = [
        |asked| matches!(asked, Asked::Open(_)),
        |asked| matches!(asked, Asked::SyncDir(name) if name == "tables"),
        |asked| matches!(asked, Asked::SyncDir(name) if name == "wal"),
        |asked| matches!(asked, Asked::Create(name) if name.ends_with(".sst")),
        |asked| matches!(asked, Asked::Create(name) if name.ends_with(".wal")),
    ];
    for (round, none_left) in handles.into_iter().enumerate() {
        put(&db, "round", &round.to_string());
        let before = tables(dir.path());
        fs.fail_with(move |asked| none_left(asked).then(|| io::Error::from_raw_os_error(EMFILE)));
        assert!(matches!(db.flush(), Err(Error::Io { .. })), "round {round}");
        assert!(!matches!(db.health(), Health::Poisoned { .. }), "round {round}: {:?}", db.health());
        assert_eq!(tables(dir.path()), before, "round {round}: no table is left over");
        fs.heal();
        put(&db, "more", &round.to_string());
        db.flush().unwrap();
        assert!(db.health().is_healthy());
    }
    fs.fail_with(|asked| matches!(asked, Asked::Create(_)).then(|| io::Error::from_raw_os_error(EMFILE)));
    let error = (0..1000).find_map(|index| try_put(&db, &format!("key {index}")).err());
    assert!(matches!(error, Some(Error::Io { op: "create", .. })), "a new segment was due: {error:?}");
    fs.heal();
    try_put(&db, "after").unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!((get(&db, "round").as_deref(), get(&db, "after").is_some()), (Some("4"), true));
    db.verify().unwrap();
}

#[test]
fn a_manifest_that_was_replaced_without_a_handle_to_sync_that_is_not_written_to_before_it_is_synced() {
    let dir = fast_dir();
    let path = dir.path().join("store");
    let fs = TestFs::new();
    let db = open(&fs, &path, &small());
    put(&db, "k", "1");
    // After an append that failed comes another manifest.
    fs.fail_when(|asked| {
        matches!(asked, Asked::Write(name) if name.starts_with("MANIFEST")).then_some(ErrorKind::StorageFull)
    });
    assert!(matches!(db.flush(), Err(Error::DiskFull { .. })));
    let current = std::fs::read(path.join("CURRENT")).unwrap();
    let renamed = Arc::new(AtomicBool::new(false));
    let is_renamed = Arc::clone(&renamed);
    fs.fail_with(move |asked| {
        renamed.fetch_or(matches!(asked, Asked::Rename(name) if name == "CURRENT"), Ordering::SeqCst);
        let fails =
            matches!(asked, Asked::SyncDir(name) if name == "store") && renamed.load(Ordering::SeqCst);
        fails.then(|| io::Error::from_raw_os_error(EMFILE))
    });
    for _ in 0..2 {
        assert!(matches!(db.flush(), Err(Error::Io { op: "open", .. })));
        assert!(is_renamed.load(Ordering::SeqCst));
        assert!(!matches!(db.health(), Health::Poisoned { .. }), "{:?}", db.health());
    }
    assert_ne!(std::fs::read(path.join("CURRENT")).unwrap(), current);
    for (image, is_switched) in [("switched", true), ("not switched", false)] {
        let image = dir.path().join(image);
        support::killed(&path, &image);
        if !is_switched {
            std::fs::write(image.join("CURRENT"), &current).unwrap();
        }
        let db = Db::open(&image, small()).unwrap();
        assert_eq!(get(&db, "k").as_deref(), Some("1"));
        db.verify().unwrap();
    }
    fs.heal();
    db.flush().unwrap();
    let is_manifest = |path: &PathBuf| path.to_string_lossy().contains("MANIFEST-");
    assert_eq!(files(&path).iter().filter(|path| is_manifest(path)).count(), 1);
    drop(db);
    let db = Db::open(&path, small()).unwrap();
    assert_eq!(get(&db, "k").as_deref(), Some("1"));
    db.verify().unwrap();
}

#[test]
fn an_opening_that_fails_for_want_of_space_leaves_no_tables_behind() {
    let dir = fast_dir();
    let image = dir.path().join("image");
    let db = Db::open(&dir.path().join("live"), small()).unwrap();
    put(&db, "k", "1");
    support::killed(&dir.path().join("live"), &image);
    for refused in [
        (|asked| matches!(asked, Asked::Create(name) if name.ends_with(".wal"))) as fn(&Asked) -> bool,
        |asked| matches!(asked, Asked::Create(name) if name.starts_with("MANIFEST")),
        |asked| matches!(asked, Asked::Write(name) if name == "CURRENT.tmp"),
        |asked| matches!(asked, Asked::Open(name) if name.ends_with(".sst")),
    ] {
        let fs = TestFs::new();
        fs.fail_when(move |asked| refused(asked).then_some(ErrorKind::StorageFull));
        let opened = Db::open(&image, Options { fs, ..small() });
        assert!(matches!(opened.err(), Some(Error::DiskFull { .. })));
        assert_eq!(tables(&image), 0);
    }
    let db = Db::open(&image, small()).unwrap();
    assert_eq!(get(&db, "k").as_deref(), Some("1"));
}

#[test]
fn what_a_torn_manifest_does_not_name_stays_even_if_it_cannot_be_moved_aside_at_once() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "k", "1");
    drop(db);
    let manifest = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST-"));
    let manifest = manifest.unwrap();
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes.extend_from_slice(&[0xE1; 40]);
    std::fs::write(&manifest, bytes).unwrap();
    let orphan = dir.path().join("tables").join("000900.sst");
    std::fs::write(&orphan, "unknown").unwrap();
    let fs = TestFs::new();
    fs.fail_when(|asked| {
        matches!(asked, Asked::Rename(name) if name.ends_with(".sst")).then_some(ErrorKind::Other)
    });
    assert!(Db::open(dir.path(), Options { fs: fs.clone(), ..small() }).is_err());
    fs.heal();
    fs.take_asked();
    let db = open(&fs, dir.path(), &small());
    let asked = fs.take_asked();
    let at = |wanted: &dyn Fn(&Asked) -> bool| asked.iter().rposition(wanted).unwrap();
    let synced = |dir: &str| at(&|asked| matches!(asked, Asked::SyncDir(name) if name == dir));
    let moved = at(&|asked| matches!(asked, Asked::Rename(name) if name == "000900.sst"));
    let clean = at(&|asked| matches!(asked, Asked::Create(name) if name.starts_with("MANIFEST")));
    let order = [moved, synced("quarantine"), synced("tables"), clean];
    assert!(order.is_sorted(), "moved for good before the manifest looks clean: {asked:?}");
    assert_eq!(db.recovery().quarantined, [dir.path().join("quarantine").join("000900.sst")]);
    assert_eq!(get(&db, "k").as_deref(), Some("1"));
}

#[cfg(unix)]
#[test]
fn a_store_whose_directory_was_replaced_takes_no_commits_that_need_it() {
    let dir = fast_dir();
    let path = dir.path().join("store");
    let db = Db::open(&path, small()).unwrap();
    put(&db, "k", "1");
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    let other = Db::open(&path, small()).unwrap();
    put(&other, "other", "1");
    assert!(db.flush().is_err());
    assert!(matches!(db.health(), Health::Poisoned { .. }), "{:?}", db.health());
    assert!(matches!(try_put(&db, "later"), Err(Error::Poisoned { .. })));
    assert_eq!(get(&db, "k").as_deref(), Some("1"), "what is open can be read");
    other.flush().unwrap();
    other.verify().unwrap();
}

#[test]
fn a_new_store_whose_name_could_not_be_synced_is_not_opened_before_it_is() {
    let dir = fast_dir();
    let around = dir.path().join("around");
    let fs = TestFs::new();
    let is_around = |asked: &Asked| matches!(asked, Asked::SyncDir(name) if name == "around");
    fs.fail_when(move |asked| is_around(asked).then_some(ErrorKind::Other));
    let refused = Db::open(&around.join("store"), Options { fs: fs.clone(), ..small() });
    assert!(matches!(refused.err(), Some(Error::Io { op: "sync", .. })));
    fs.heal();
    fs.take_asked();
    let db = open(&fs, &around.join("store"), &small());
    assert!(fs.take_asked().iter().any(is_around), "the directory is there now, but is its name on disk?");
    put(&db, "k", "1");
}
