//! A scrub finds what is wrong with the files of an open store, all of it, and nothing that is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use fountain_lsm::{Compression, Db, Durability, Error, Options, ScrubReport, WriteBatch};
use support::{fast_dir, files, get, put, small};

fn options() -> Options {
    Options { cache_bytes: 0, compression: Compression::None, ..small() }
}

/// A store with several tables, an edited manifest and commits in the log.
fn store(dir: &Path) -> Db {
    let db = Db::open(dir, options()).unwrap();
    for round in 0..3 {
        for key in 0..300 {
            put(&db, &format!("key {key:05}"), &format!("{round} {key:040}"));
        }
        db.flush().unwrap();
    }
    put(&db, "logged", "1");
    put(&db, "logged", "2");
    put(&db, "logged", "3");
    db
}

/// Turns the bits of one byte of a file in place, under the open store.
fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

fn faulty(report: &ScrubReport) -> Vec<(PathBuf, u64)> {
    report.faults().map(|(path, fault)| (path.to_path_buf(), fault.offset)).collect()
}

#[test]
fn a_sound_store_is_read_whole() {
    let dir = fast_dir();
    let db = store(dir.path());
    let report = db.scrub().unwrap();
    assert!(report.is_sound(), "{:?}", faulty(&report));
    let mut scrubbed: Vec<_> = report.files.iter().map(|file| file.path.clone()).collect();
    scrubbed.sort();
    let mut expected: Vec<_> =
        ["", "wal", "tables"].iter().flat_map(|sub| files(&dir.path().join(sub))).collect();
    expected.retain(|path| path.is_file() && !path.ends_with("LOCK"));
    expected.sort();
    assert_eq!(scrubbed, expected);
    for file in &report.files {
        assert_eq!(file.bytes, file.path.metadata().unwrap().len(), "{:?}", file.path);
        assert!(file.blocks > 0, "{:?}", file.path);
    }
    db.close().unwrap();
    assert!(matches!(db.scrub(), Err(Error::Closed)));
}

#[test]
fn every_bad_block_and_every_bad_file_is_reported_in_one_go() {
    let dir = fast_dir();
    let db = store(dir.path());
    let tables = files(&dir.path().join("tables"));
    let segment = files(&dir.path().join("wal")).pop().unwrap();
    flip(&tables[0], 100);
    flip(&tables[0], 9000);
    flip(&tables[1], tables[1].metadata().unwrap().len() - 20);
    flip(&segment, 100);
    let report = db.scrub().unwrap();
    let found = faulty(&report);
    let of = |path: &PathBuf| {
        found.iter().filter(|(faulty, _)| faulty == path).map(|fault| fault.1).collect::<Vec<_>>()
    };
    let blocks = of(&tables[0]);
    assert!(blocks.len() == 2 && blocks[0] == 0 && (4000..=9000).contains(&blocks[1]), "{found:?}");
    assert_eq!(of(&tables[1]).len(), 1, "{found:?}");
    assert_eq!(of(&segment), [96], "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
    match db.verify() {
        Err(Error::Corrupt { path, offset, .. }) => assert!(found.contains(&(path, offset))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn any_flipped_byte_of_any_live_file_is_found() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), options()).unwrap();
    for key in 0..20 {
        put(&db, &format!("key {key}"), "value");
    }
    db.flush().unwrap();
    put(&db, "key 3", "newer");
    let all = db.scrub().unwrap().files;
    for file in all {
        for at in 0..file.bytes {
            flip(&file.path, at);
            let found = faulty(&db.scrub().unwrap());
            assert!(!found.is_empty(), "{:?} byte {at}", file.path);
            assert!(found.iter().all(|(path, _)| *path == file.path), "{:?} byte {at}: {found:?}", file.path);
            flip(&file.path, at);
        }
    }
    assert!(db.scrub().unwrap().is_sound());
}

#[test]
fn missing_and_shortened_files_are_found() {
    let dir = fast_dir();
    let db = store(dir.path());
    let live = db.scrub().unwrap().files;
    for file in live {
        let bytes = std::fs::read(&file.path).unwrap();
        std::fs::remove_file(&file.path).unwrap();
        assert_eq!(faulty(&db.scrub().unwrap()).first().map(|fault| &fault.0), Some(&file.path));
        std::fs::write(&file.path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(faulty(&db.scrub().unwrap()).first().map(|fault| &fault.0), Some(&file.path));
        std::fs::write(&file.path, &bytes).unwrap();
        assert!(db.scrub().unwrap().is_sound());
    }
    assert_eq!(get(&db, "logged").as_deref(), Some("3"));
}

#[test]
fn a_scrub_under_load_finds_nothing_wrong() {
    let dir = fast_dir();
    let db =
        Db::open(dir.path(), Options { background: true, memtable_bytes: 32 * 1024, ..small() }).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut batch = WriteBatch::new();
                    batch.put(format!("{thread} {}", round % 500).as_bytes(), &[7; 200]).unwrap();
                    let durability = if round % 50 == 0 { Durability::Disk } else { Durability::Os };
                    db.commit(batch, durability).unwrap();
                }
            });
        }
        for round in 0..30u32 {
            let report = db.scrub().unwrap();
            assert!(report.is_sound(), "{:?}", report.faults().collect::<Vec<_>>());
            let bulk: Vec<_> = (0..50).map(|key| (format!("bulk {key:03}"), round.to_string())).collect();
            db.ingest(bulk).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(db.metrics().compactions > 0);
}
