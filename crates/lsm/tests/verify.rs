//! Verification of stores that nobody has open: sound ones are found sound, whatever state they were left in; damage is
//! found wherever it is; and nothing is ever written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fountain_lsm::{
    CheckedFile, Db, Error, FaultCode, KeyRange, NoteCode, Preview, VerifyOptions, VerifyReport, WriteBatch,
    verify, verify_with,
};
use support::{TestFs, fast_dir, files, killed, put, seq, small};

fn check(dir: &Path) -> VerifyReport {
    verify(dir, &VerifyOptions::default()).unwrap()
}

fn faulty(report: &VerifyReport) -> Vec<(PathBuf, u64, FaultCode)> {
    report.faults().map(|(path, fault)| (path.to_path_buf(), fault.offset, fault.code)).collect()
}

/// Every file below a directory with its bytes.
fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in files(dir) {
        if path.is_dir() {
            found.extend(image(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// A store with tables in two levels, deleted ranges, an edited manifest and commits in the log.
fn filled(dir: &Path) -> Db {
    let db = Db::open(dir, small()).unwrap();
    for round in 0..3 {
        for key in 0..100 {
            put(&db, &format!("key {key:03}"), &format!("{round} {key:040}"));
        }
        let mut batch = WriteBatch::new();
        batch.delete_range(&KeyRange { start: b"key 020".to_vec(), end: Some(b"key 030".to_vec()) }).unwrap();
        db.commit(batch, fountain_lsm::Durability::Disk).unwrap();
        if round == 1 {
            db.compact().unwrap();
        }
        db.flush().unwrap();
    }
    put(&db, "logged", "1");
    put(&db, "logged", "2");
    put(&db, "logged", "3");
    db
}

#[test]
fn a_sound_store_is_sound_after_a_close_a_kill_and_a_drop_and_is_left_as_it_was() {
    let dir = fast_dir();
    let (live, killed_at) = (dir.path().join("live"), dir.path().join("killed"));
    let db = filled(&live);
    killed(&live, &killed_at);
    db.close().unwrap();
    for (path, clean) in [(&live, true), (&killed_at, false)] {
        let before = image(path);
        let report = check(path);
        assert!(report.is_sound(), "{:?}", faulty(&report));
        assert_eq!((report.sequence, report.closed_cleanly), (seq(306), clean));
        assert_eq!(report.store.unwrap(), small().store_id.unwrap());
        assert_eq!(image(path), before);
        let mut read: Vec<_> = report.files.iter().map(|file| file.path.clone()).collect();
        read.extend(report.notes.iter().map(|note| note.path.clone()));
        read.push(path.join("LOCK"));
        read.sort();
        assert_eq!(read, before.keys().cloned().collect::<Vec<_>>(), "every file is accounted for");
    }
}

#[test]
fn any_flipped_byte_that_counts_is_found_in_its_file() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = Db::open(&live, small()).unwrap();
    for key in 0..20 {
        put(&db, &format!("key {key}"), "value");
    }
    db.flush().unwrap();
    for round in 0..3 {
        put(&db, "key 3", &round.to_string());
    }
    drop(db);
    let mut torn = 0;
    for file in check(&live).files {
        let good = std::fs::read(&file.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            std::fs::write(&file.path, &bad).unwrap();
            let report = check(&live);
            let found = faulty(&report);
            let noted =
                report.notes.iter().any(|note| note.code == NoteCode::TornTail && note.path == file.path);
            // What a damaged end of the manifest does not tell any more is missed elsewhere, too.
            let here = found.iter().all(|fault| fault.0 == file.path) && !found.is_empty();
            assert!(here || noted, "{:?} byte {at}: {found:?}", file.path);
            torn += usize::from(found.is_empty());
        }
        std::fs::write(&file.path, &good).unwrap();
    }
    assert!(torn > 0 && torn < 400, "{torn} flips look like an append that was cut short");
    assert!(check(&live).is_sound());
}

#[test]
fn all_faults_are_found_in_one_go_even_if_the_store_cannot_be_opened() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    drop(filled(&live));
    let tables = files(&live.join("tables"));
    let segment = files(&live.join("wal")).pop().unwrap();
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 0xFF;
        std::fs::write(path, bytes).unwrap();
    };
    flip(&tables[0], 100);
    let len = std::fs::read(&tables[1]).unwrap().len();
    flip(&tables[1], len - 20);
    flip(&segment, 130);
    flip(&live.join("CURRENT"), 3);
    assert!(Db::open(&live, small()).is_err());
    let found = faulty(&check(&live));
    let codes: Vec<_> = found.iter().map(|(path, _, code)| (path.clone(), *code)).collect();
    for expected in [
        (live.join("CURRENT"), FaultCode::Current),
        (tables[0].clone(), FaultCode::Block),
        (tables[1].clone(), FaultCode::Tail),
        (segment, FaultCode::Frame),
    ] {
        assert!(codes.contains(&expected), "{expected:?} in {codes:?}");
    }
}

#[test]
fn missing_files_and_left_overs_are_told_apart() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    drop(filled(&live));
    std::fs::write(live.join("tables/000999.sst"), b"half a table").unwrap();
    std::fs::write(live.join("notes.txt"), b"mine").unwrap();
    let report = check(&live);
    assert!(report.is_sound(), "{:?}", faulty(&report));
    let notes: Vec<_> = report.notes.iter().map(|note| (note.path.clone(), note.code)).collect();
    assert!(notes.contains(&(live.join("tables/000999.sst"), NoteCode::LeftOver)));
    assert!(notes.contains(&(live.join("notes.txt"), NoteCode::Foreign)));
    for file in report.files {
        let bytes = std::fs::read(&file.path).unwrap();
        std::fs::remove_file(&file.path).unwrap();
        let found = faulty(&check(&live));
        assert!(found.iter().any(|fault| fault.0 == file.path && fault.2 == FaultCode::Missing), "{found:?}");
        std::fs::write(&file.path, bytes).unwrap();
    }
}

#[test]
fn every_file_that_cannot_be_opened_once_or_ever_is_in_the_report() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    drop(filled(&live));
    std::fs::create_dir_all(live.join("quarantine")).unwrap();
    std::fs::write(live.join("quarantine/000998.sst"), b"aside").unwrap();
    std::fs::write(live.join("tables/000999.sst"), b"half a table").unwrap();
    let fs = TestFs::new();
    let options = VerifyOptions { fs: fs.clone(), ..VerifyOptions::default() };
    let asked = fs.fail_at(usize::MAX, io::ErrorKind::PermissionDenied);
    assert!(verify(&live, &options).unwrap().is_sound());
    let opens = asked.load(std::sync::atomic::Ordering::SeqCst);
    assert!(opens > 10, "{opens}");
    for nth in 0..opens {
        for once in [true, false] {
            let kind = io::ErrorKind::PermissionDenied;
            if once {
                fs.fail_at(nth, kind)
            } else {
                fs.fail_from(nth, kind)
            };
            match verify(&live, &options) {
                Ok(report) => {
                    let codes: Vec<_> = report.faults().map(|(_, fault)| fault.code).collect();
                    assert!(codes.contains(&FaultCode::Unreadable), "open {nth}: {codes:?}");
                }
                Err(Error::Io { op, .. }) => assert_eq!(op, "open"),
                other => panic!("open {nth}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_in_a_store_with_a_large_log_is_not_looked_at_and_a_note_says_so() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    drop(filled(&live));
    let files = check(&live).files;
    let in_log = |file: &&CheckedFile| file.path.parent() == Some(&live.join("wal"));
    let log: u64 = files.iter().filter(in_log).map(|file| file.bytes).sum();
    for (log_bytes, fits) in [(log, true), (log - 1, false)] {
        let options = VerifyOptions { log_bytes, ..VerifyOptions::default() };
        let looked = |preview: &Preview| Ok::<_, Error>(preview.sequence());
        let (report, inspected) = verify_with(&live, &options, looked).unwrap();
        assert!(report.is_sound());
        assert_eq!(inspected, fits.then_some(report.sequence));
        let notes: Vec<_> = report.notes.iter().filter(|note| note.code == NoteCode::LargeLog).collect();
        assert_eq!(
            notes.iter().map(|note| note.bytes).collect::<Vec<_>>(),
            if fits { vec![] } else { vec![log] }
        );
    }
}

#[test]
fn an_open_store_a_stranger_and_nothing_at_all_are_refused() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = filled(&live);
    let options = VerifyOptions::default();
    match verify(&live, &options) {
        Err(Error::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(db);
    assert!(check(&live).is_sound());
    assert!(matches!(verify(&dir.path().join("nowhere"), &options), Err(Error::Missing { .. })));
    assert!(matches!(verify(&live.join("CURRENT"), &options), Err(Error::NotAStore { .. })));
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("package.json"), b"{}").unwrap();
    assert!(matches!(verify(&foreign, &options), Err(Error::NotAStore { .. })));
}
