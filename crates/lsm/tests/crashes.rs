//! Crashes that the simulated disk of `crates/sim` found to be survived badly, each told with real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::io::ErrorKind;
use std::path::Path;

use fountain_lsm::{Db, Durability, Job, KeyRange, Options, Retention, WriteBatch};
use support::{Asked, TestFs, fast_dir, files, get, get_at, killed, put, seq, small};

fn put_with(db: &Db, key: &str, value: &str, durability: Durability) {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
    db.commit(batch, durability).unwrap();
}

fn log_segment(dir: &Path) -> std::path::PathBuf {
    files(&dir.join("wal")).pop().unwrap()
}

/// Opens a store and dies when `CURRENT` is about to be replaced.
fn die_before_current(dir: &Path) {
    let fs = TestFs::new();
    fs.fail_when(|asked| matches!(asked, Asked::Rename(_)).then_some(ErrorKind::Other));
    assert!(Db::open(dir, Options { fs, ..small() }).is_err());
}

#[test]
fn a_store_whose_creation_died_twice_is_created_by_the_third_open() {
    let dir = fast_dir();
    die_before_current(dir.path());
    die_before_current(dir.path());
    assert!(files(&dir.path().join("wal")).len() > 1, "both left a segment behind");
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.recovery().created);
    put(&db, "k", "v");
}

#[test]
fn a_recovery_that_died_does_not_vouch_for_a_log_that_was_not_on_disk() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, small()).unwrap();
    put(&db, "synced", "1");
    let synced = std::fs::metadata(log_segment(&live)).unwrap().len();
    put_with(&db, "not synced", "2", Durability::Os);
    killed(&live, &image);
    let segment = log_segment(&image);
    die_before_current(&image);
    // The power fails: what was not synced is gone, and recovery's new segment, which was synced, is there.
    std::fs::File::options().write(true).open(&segment).unwrap().set_len(synced).unwrap();
    let db = Db::open(&image, small()).unwrap();
    assert_eq!((get(&db, "synced").as_deref(), get(&db, "not synced")), (Some("1"), None));
    assert_eq!(db.visible(), seq(1));
}

#[test]
fn the_name_of_the_directory_is_on_disk_before_a_store_in_it_is() {
    let dir = fast_dir();
    let parent = dir.path().join("parent");
    let root = parent.join("store");
    // An open that died may have made the directories, and nobody else may have synced their names.
    for made in [None, Some(&parent), Some(&root)] {
        let _ = std::fs::remove_dir_all(&parent);
        if let Some(made) = made {
            std::fs::create_dir_all(made).unwrap();
        }
        let fs = TestFs::new();
        let db = Db::open(&root, Options { fs: fs.clone(), ..small() }).unwrap();
        let asked = fs.take_asked();
        let place = |wanted: &Asked| asked.iter().position(|asked| asked == wanted);
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let current = asked.iter().position(|asked| matches!(asked, Asked::Rename(_))).unwrap();
        assert!(place(&Asked::SyncDir(name(&parent))).unwrap() < current, "{made:?}: {asked:?}");
        if made.is_none() || made == Some(&parent) {
            assert!(place(&Asked::SyncDir(name(dir.path()))).unwrap() < current, "{made:?}: {asked:?}");
        }
        drop(db);
    }
}

#[test]
fn a_floor_never_outlives_the_commits_it_was_announced_for() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    // The first commit fills a memtable, the second does not; nothing is flushed but by a step.
    let options = || Options { memtable_bytes: 24 << 10, writers_make_room: false, ..small() };
    let large = "1".repeat(32 << 10);
    let db = Db::open(&live, options()).unwrap();
    db.set_retention(&KeyRange::default(), Retention::LatestOnly);
    put_with(&db, "k", &large, Durability::Disk);
    put_with(&db, "k", "2", Durability::Memory);
    assert!(db.step(Job::Flush).unwrap());
    killed(&live, &image);
    let db = Db::open(&image, options()).unwrap();
    assert_eq!(db.visible(), seq(1), "the second commit was in memory only");
    assert_eq!(get_at(&db, "k", seq(1)), Some(large));
}

#[test]
fn a_flush_lets_go_of_the_log_of_commits_that_changed_nothing() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, small()).unwrap();
    let before = log_segment(&live);
    db.commit(WriteBatch::new(), Durability::Memory).unwrap();
    db.flush().unwrap();
    assert!(!before.exists());
    killed(&live, &image);
    let again = Db::open(&image, small()).unwrap();
    assert_eq!((again.visible(), again.recovery().replayed_commits), (seq(1), 0));
    db.commit(WriteBatch::new(), Durability::Disk).unwrap();
    db.close().unwrap();
    let db = Db::open(&live, small()).unwrap();
    assert!(db.recovery().clean);
    assert_eq!((db.visible(), db.recovery().replayed_commits), (seq(2), 0));
}
