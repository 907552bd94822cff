//! What opening tells about how a store was left: one report for each way, and nothing else in any of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::{Path, PathBuf};

use fountain_lsm::{Db, Options, RecoveryReport};
use support::{fast_dir, files, get, killed, put, seq, small};

/// What a report says. The bytes of log that were read are told apart only as some or none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    created: bool,
    clean: bool,
    commits: u64,
    log_read: bool,
    discarded: Vec<(PathBuf, u64, String)>,
    quarantined: Vec<PathBuf>,
    removed: u64,
}

fn told(report: &RecoveryReport) -> Told {
    let tails = report.discarded.iter().map(|tail| (tail.path.clone(), tail.bytes, tail.reason.clone()));
    Told {
        created: report.created,
        clean: report.clean,
        commits: report.replayed_commits,
        log_read: report.replayed_bytes > 0,
        discarded: tails.collect(),
        quarantined: report.quarantined.clone(),
        removed: report.removed_files,
    }
}

fn opened(dir: &Path) -> Told {
    let db = Db::open(dir, small()).unwrap();
    assert_eq!(get(&db, "key 1").as_deref(), Some("1"));
    told(db.recovery())
}

/// The report of a store whose end cut an append short.
fn cut_short(path: &Path, bytes: u64) -> (PathBuf, u64, String) {
    (path.to_path_buf(), bytes, "an append that was cut short".to_owned())
}

/// A store whose process was killed: one commit in a table, two in the log.
fn unclean() -> (tempfile::TempDir, PathBuf) {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, small()).unwrap();
    put(&db, "key 1", "1");
    db.flush().unwrap();
    put(&db, "key 2", "2");
    put(&db, "key 3", "3");
    killed(&live, &image);
    (dir, image)
}

fn the_manifest(store: &Path) -> PathBuf {
    files(store).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap()
}

fn append(path: &Path, junk: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend_from_slice(junk);
    std::fs::write(path, bytes).unwrap();
}

/// Half an edit.
const JUNK: [u8; 5] = [0xE1, 0, 0, 0, 7];
/// Log and manifest of the session before, which every open replaces.
const REPLACED: u64 = 2;

#[test]
fn a_new_store_was_created_and_nothing_else() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!(told(db.recovery()), Told { created: true, ..Told::default() });
}

#[test]
fn a_closed_store_is_clean_and_nothing_else() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "key 1", "1");
    db.close().unwrap();
    drop(db);
    let clean = Told { clean: true, log_read: true, removed: REPLACED, ..Told::default() };
    assert_eq!(opened(dir.path()), clean);
}

#[test]
fn after_a_kill_commits_are_taken_from_the_log() {
    let (_dir, image) = unclean();
    let replayed = Told { commits: 2, log_read: true, removed: REPLACED, ..Told::default() };
    assert_eq!(opened(&image), replayed);
    // What was taken from the log is in a table now.
    let db = Db::open(&image, small()).unwrap();
    assert_eq!((db.visible(), db.recovery().replayed_commits), (seq(3), 0));
}

#[test]
fn the_end_of_a_log_that_was_cut_short_is_discarded() {
    let (_dir, image) = unclean();
    let segment = files(&image.join("wal")).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    // The first of the two commits states its time: a tag and two varints of six bytes.
    let frame = (bytes.len() - 96 - 13) as u64 / 2;
    std::fs::write(&segment, &bytes[..bytes.len() - 3]).unwrap();
    let torn = Told {
        commits: 1,
        log_read: true,
        discarded: vec![cut_short(&segment, frame - 3)],
        removed: REPLACED,
        ..Told::default()
    };
    assert_eq!(opened(&image), torn);
}

#[test]
fn the_end_of_a_manifest_that_was_cut_short_is_discarded_and_unknown_tables_are_moved_aside() {
    let (_dir, image) = unclean();
    let (manifest, stray) = (the_manifest(&image), image.join("tables/000900.sst"));
    append(&manifest, &JUNK);
    std::fs::write(&stray, b"whatever").unwrap();
    let torn = Told {
        commits: 2,
        log_read: true,
        discarded: vec![cut_short(&manifest, JUNK.len() as u64)],
        quarantined: vec![image.join("quarantine/000900.sst")],
        removed: REPLACED,
        ..Told::default()
    };
    assert_eq!(opened(&image), torn);
}

#[test]
fn both_ends_can_be_cut_short() {
    let (_dir, image) = unclean();
    let (manifest, segment) = (the_manifest(&image), files(&image.join("wal")).pop().unwrap());
    append(&manifest, &JUNK);
    append(&segment, &[0xB1, 9, 9]);
    let torn = Told {
        commits: 2,
        log_read: true,
        discarded: vec![cut_short(&manifest, JUNK.len() as u64), cut_short(&segment, 3)],
        removed: REPLACED,
        ..Told::default()
    };
    assert_eq!(opened(&image), torn);
}

#[test]
fn left_overs_are_removed_and_counted() {
    let (_dir, image) = unclean();
    for stray in ["tables/000900.sst", "tables/000901.sst", "MANIFEST-000800"] {
        std::fs::write(image.join(stray), b"whatever").unwrap();
    }
    let removed = Told { commits: 2, log_read: true, removed: REPLACED + 3, ..Told::default() };
    assert_eq!(opened(&image), removed);
}

#[test]
fn a_creation_that_died_is_a_creation() {
    let dir = fast_dir();
    std::fs::create_dir_all(dir.path().join("wal")).unwrap();
    // A log without a commit in it, which nothing names.
    std::fs::write(dir.path().join("wal/000001.wal"), [0; 96]).unwrap();
    let db = Db::open(dir.path(), Options { create_if_missing: true, ..small() }).unwrap();
    assert_eq!(told(db.recovery()), Told { created: true, removed: 1, ..Told::default() });
}
