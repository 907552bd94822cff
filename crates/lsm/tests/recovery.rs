//! Opening after a crash, after damage, and opening what is not a store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::Path;

use fountain_lsm::{Db, Durability, Error, FaultCode, Options, WriteBatch};
use support::{delete, fast_dir, files, get, get_at, killed, put, seq, small};

fn fill(db: &Db, count: usize) {
    for index in 0..count {
        put(db, &format!("key {index:05}"), &format!("value {index}"));
    }
}

fn check(db: &Db, count: usize) {
    for index in 0..count {
        assert_eq!(get(db, &format!("key {index:05}")), Some(format!("value {index}")), "key {index}");
    }
    assert_eq!(get(db, &format!("key {count:05}")), None);
}

/// The newest log segment of a store.
fn last_segment(dir: &Path) -> std::path::PathBuf {
    files(&dir.join("wal")).pop().unwrap()
}

#[test]
fn everything_acknowledged_is_there_after_a_kill_and_again_after_a_second_one() {
    let dir = fast_dir();
    let (live, first, second) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    let db = Db::open(&live, small()).unwrap();
    fill(&db, 3000);
    delete(&db, "key 00017");
    killed(&live, &first);
    let again = Db::open(&first, small()).unwrap();
    assert!(!again.recovery().clean && again.recovery().replayed_commits > 0);
    assert_eq!(again.visible(), seq(3001));
    killed(&first, &second);
    for db in [&again, &Db::open(&second, small()).unwrap()] {
        assert_eq!(get(db, "key 00017"), None);
        assert_eq!(get_at(db, "key 00017", seq(3000)), Some("value 17".into()));
        put(db, "key 00017", "value 17");
        assert_eq!(db.visible(), seq(3002), "sequences go on where they ended");
        check(db, 3000);
        db.verify().unwrap();
    }
}

#[test]
fn a_clean_close_leaves_nothing_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.recovery().created);
    fill(&db, 500);
    db.close().unwrap();
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.recovery().clean);
    assert_eq!(db.recovery().replayed_commits, 0);
    check(&db, 500);
}

#[test]
fn memory_level_commits_survive_an_orderly_drop() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"v").unwrap();
    db.commit(batch, Durability::Memory).unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert_eq!(get(&db, "k").as_deref(), Some("v"));
}

#[test]
fn a_torn_tail_is_discarded_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (live, image) = (dir.path().join("a"), dir.path().join("b"));
    let db = Db::open(&live, small()).unwrap();
    fill(&db, 20);
    killed(&live, &image);
    let segment = last_segment(&image);
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() - 3]).unwrap();
    let db = Db::open(&image, small()).unwrap();
    check(&db, 19);
    let report = db.recovery();
    assert_eq!(report.discarded.len(), 1);
    assert_eq!(report.discarded[0].path, segment);
    assert!(report.discarded[0].bytes > 0);
}

#[test]
fn every_flipped_byte_of_a_log_is_damage_or_touches_only_the_last_commit() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("a"), dir.path().join("b"));
    let db = Db::open(&live, small()).unwrap();
    fill(&db, 12);
    killed(&live, &image);
    let segment = last_segment(&image);
    let good = std::fs::read(&segment).unwrap();
    let mut damaged = 0;
    for at in 0..good.len() {
        let copy = dir.path().join(format!("flip {at}"));
        killed(&image, &copy);
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        std::fs::write(last_segment(&copy), &bad).unwrap();
        match Db::open(&copy, small()) {
            Ok(db) => {
                let last = db.visible().get();
                // The last frame, and the one before it, which nobody vouches for yet, may be taken for a torn tail.
                assert!((10..=12).contains(&last), "byte {at}: {last} commits are left");
                assert_eq!(db.recovery().discarded.len(), usize::from(last < 12), "byte {at}");
                check(&db, last as usize);
            }
            Err(Error::Corrupt { path, .. }) => {
                assert_eq!(path, last_segment(&copy));
                damaged += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(damaged > good.len() / 2, "{damaged} of {}", good.len());
}

#[test]
fn every_flipped_byte_after_a_clean_close_is_detected_or_harmless() {
    let dir = fast_dir();
    let live = dir.path().join("a");
    let db = Db::open(&live, small()).unwrap();
    fill(&db, 8);
    db.close().unwrap();
    drop(db);
    let _ = std::fs::remove_file(live.join("LOCK"));
    let dirs = [live.clone(), live.join("wal"), live.join("tables")];
    let all = dirs.iter().flat_map(|dir| files(dir));
    for path in all.filter(|path| path.is_file()) {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let copy = dir.path().join("flip");
            killed(&live, &copy);
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            std::fs::write(copy.join(path.strip_prefix(&live).unwrap()), &bad).unwrap();
            let name = path.file_name().unwrap();
            match Db::open(&copy, small()).and_then(|db| db.verify().map(|()| db)) {
                Ok(db) => check(&db, 8),
                Err(Error::Corrupt { .. } | Error::Newer { .. } | Error::Io { .. }) => {}
                Err(other) => panic!("{name:?} byte {at}: {other}"),
            }
            std::fs::remove_dir_all(&copy).unwrap();
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("a");
    let db = Db::open(&live, small()).unwrap();
    fill(&db, 40);
    db.close().unwrap();
    drop(db);
    let manifest = files(&live).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    for missing in
        [last_segment(&live), files(&live.join("tables")).remove(0), live.join("CURRENT"), manifest]
    {
        let copy = dir.path().join("copy");
        killed(&live, &copy);
        let gone = copy.join(missing.strip_prefix(&live).unwrap());
        std::fs::remove_file(&gone).unwrap();
        match Db::open(&copy, small()) {
            Err(Error::Corrupt { path, .. } | Error::Io { path, .. }) => assert_eq!(path, gone),
            Err(other) => panic!("{gone:?}: {other}"),
            Ok(_) => panic!("{gone:?}: opened"),
        }
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn left_overs_of_a_crash_are_removed_and_foreign_files_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 10);
    drop(db);
    let orphan = dir.path().join("tables").join("000999.sst");
    let foreign = [dir.path().join("tables").join(".DS_Store"), dir.path().join("notes.txt")];
    for path in foreign.iter().chain([&orphan]) {
        std::fs::write(path, b"whatever").unwrap();
    }
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(!orphan.exists() && foreign.iter().all(|path| path.exists()));
    assert!(db.recovery().removed_files > 0);
    let before = files(&dir.path().join("wal"));
    fill(&db, 10);
    db.flush().unwrap();
    let after = files(&dir.path().join("wal"));
    assert!(after.iter().all(|path| !before.contains(path)), "file numbers are not used twice");
    assert!(*files(&dir.path().join("tables")).last().unwrap() > orphan);
}

#[test]
fn a_second_handle_is_refused_with_the_owner_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    match Db::open(dir.path(), small()) {
        Err(Error::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{:?}", other.err()),
    }
    db.close().unwrap();
    Db::open(dir.path(), small()).unwrap();
}

#[test]
fn what_is_not_a_store_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"text").unwrap();
    assert!(matches!(Db::open(&file, small()), Err(Error::NotAStore { .. })));
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("package.json"), b"{}").unwrap();
    assert!(matches!(Db::open(&foreign, small()), Err(Error::NotAStore { .. })));
    assert_eq!(files(&foreign).len(), 1, "nothing was written");
    let missing = Options { create_if_missing: false, ..small() };
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(Db::open(&nowhere, missing), Err(Error::Missing { .. })));
    assert!(!nowhere.exists());
}

#[test]
fn a_store_of_a_newer_format_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 3);
    db.close().unwrap();
    drop(db);
    let manifest =
        files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[8] = 2;
    // The checksum as documented: crc32c(store id, file number, offset 0, bytes 0..92).
    let mut salted = bytes[16..40].to_vec();
    salted.extend_from_slice(&[0; 8]);
    salted.extend_from_slice(&bytes[..92]);
    let crc = crc32c::crc32c(&salted);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&manifest, &bytes).unwrap();
    let before = files(dir.path());
    assert!(matches!(Db::open(dir.path(), small()), Err(Error::Newer { path, .. }) if path == manifest));
    assert_eq!(files(dir.path()), before);
    assert_eq!(std::fs::read(&manifest).unwrap(), bytes);
}

#[test]
fn use_after_close_is_an_error_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    let snapshot = db.snapshot();
    db.close().unwrap();
    let tier = fountain_lsm::ReadTier::Disk;
    assert!(matches!(db.get_newest(b"k", tier), Err(Error::Closed)));
    assert!(matches!(db.get(b"k", snapshot.seq(), tier), Err(Error::Closed)));
    let range = fountain_lsm::KeyRange::default();
    assert!(matches!(
        db.cursor(range, snapshot.seq(), fountain_lsm::Direction::Forward, tier),
        Err(Error::Closed)
    ));
    assert!(matches!(db.commit(WriteBatch::new(), Durability::Disk), Err(Error::Closed)));
    assert!(matches!(db.flush(), Err(Error::Closed)));
    assert!(matches!(db.compact(), Err(Error::Closed)));
}

#[test]
fn empty_commits_count_and_do_not_break_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (live, image) = (dir.path().join("a"), dir.path().join("b"));
    let db = Db::open(&live, small()).unwrap();
    let empty = || db.commit(WriteBatch::new(), Durability::Disk).unwrap();
    put(&db, "k", "1");
    assert_eq!(empty(), seq(2));
    db.flush().unwrap();
    put(&db, "k", "3");
    empty();
    killed(&live, &image);
    let again = Db::open(&image, small()).unwrap();
    assert_eq!((again.visible(), get(&again, "k").as_deref()), (seq(4), Some("3")));
}

#[test]
fn a_table_that_a_torn_manifest_does_not_name_is_moved_aside_and_reported() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 10);
    drop(db);
    let manifest = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST"));
    let manifest = manifest.unwrap();
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes.extend_from_slice(&[0xE1, 0, 0, 0, 7]);
    std::fs::write(&manifest, bytes).unwrap();
    let orphan = dir.path().join("tables").join("000999.sst");
    std::fs::write(&orphan, b"whatever").unwrap();
    let db = Db::open(dir.path(), small()).unwrap();
    let kept = dir.path().join("quarantine").join("000999.sst");
    assert_eq!(db.recovery().quarantined, std::slice::from_ref(&kept));
    assert_eq!(db.recovery().discarded.iter().map(|tail| tail.path.clone()).collect::<Vec<_>>(), [manifest]);
    assert!(!orphan.exists());
    assert_eq!(std::fs::read(kept).unwrap(), b"whatever");
    check(&db, 10);
}

#[test]
fn a_log_that_goes_on_in_a_segment_that_is_gone_or_empty_is_damage_not_the_end() {
    let dir = fast_dir();
    let (live, image) = (dir.path().join("a"), dir.path().join("b"));
    let options = || Options { wal_segment_bytes: 512, ..small() };
    let db = Db::open(&live, options()).unwrap();
    fill(&db, 40);
    killed(&live, &image);
    let newest = last_segment(&image);
    assert!(files(&image.join("wal")).len() > 2, "the log has several segments");
    let good = std::fs::read(&newest).unwrap();
    std::fs::remove_file(&newest).unwrap();
    for left in [None, Some(vec![]), Some(vec![0; good.len()]), Some(good[..95].to_vec())] {
        if let Some(bytes) = &left {
            std::fs::write(&newest, bytes).unwrap();
        }
        match Db::open(&image, options()) {
            Err(Error::Corrupt { path, code, .. }) => {
                assert_eq!((path, code), (newest.clone(), FaultCode::Missing));
            }
            other => panic!("{:?} bytes are left: {:?}", left.map(|bytes| bytes.len()), other.err()),
        }
    }
    std::fs::write(&newest, good).unwrap();
    check(&Db::open(&image, options()).unwrap(), 40);
}

#[test]
fn a_store_whose_tables_are_damaged_is_refused_before_anything_is_written() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 10);
    db.flush().unwrap();
    put(&db, "logged", "1");
    drop(db);
    let manifest = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST"));
    let torn = [std::fs::read(manifest.as_ref().unwrap()).unwrap(), vec![0xE1, 7]].concat();
    std::fs::write(manifest.unwrap(), torn).unwrap();
    let table = files(&dir.path().join("tables")).remove(0);
    let mut bytes = std::fs::read(&table).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    std::fs::write(dir.path().join("tables/000999.sst"), b"a left-over").unwrap();
    let image = || {
        let dirs = [dir.path().to_path_buf(), dir.path().join("wal"), dir.path().join("tables")];
        let all = dirs.iter().flat_map(|dir| files(dir)).filter(|path| path.is_file());
        all.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let before = image();
    for _ in 0..2 {
        assert!(matches!(Db::open(dir.path(), small()), Err(Error::Corrupt { path, .. }) if path == table));
        assert_eq!(image(), before);
    }
}

#[test]
fn a_clean_close_names_the_newest_commit_so_a_manifest_that_forgot_an_ingest_is_noticed() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 5);
    db.flush().unwrap();
    let manifest = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST"));
    let manifest = manifest.unwrap();
    let before = std::fs::read(&manifest).unwrap();
    db.ingest([("bulk", "1")]).unwrap();
    db.close().unwrap();
    drop(db);
    // Everything that the manifest says is right, but it ends too early.
    std::fs::write(&manifest, before).unwrap();
    assert!(matches!(Db::open(dir.path(), small()), Err(Error::Corrupt { .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_pretends_to_be_huge_and_a_name_with_a_huge_number_are_no_danger() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 10);
    drop(db);
    for stray in
        ["wal/18446744073709551614.wal", "tables/18446744073709551615.sst", "wal/9007199254740992.wal"]
    {
        std::fs::write(dir.path().join(stray), "not ours").unwrap();
    }
    let db = Db::open(dir.path(), small()).unwrap();
    fill(&db, 10);
    db.flush().unwrap();
    drop(db);
    let current = dir.path().join("CURRENT");
    let text = std::fs::read(&current).unwrap();
    std::fs::OpenOptions::new().write(true).open(&current).unwrap().set_len(1 << 40).unwrap();
    let refused = Db::open(dir.path(), small()).err();
    assert!(matches!(&refused, Some(Error::Corrupt { path, .. }) if *path == current), "{refused:?}");
    std::fs::write(&current, text).unwrap();
    check(&Db::open(dir.path(), small()).unwrap(), 10);
    assert!(dir.path().join("wal/18446744073709551614.wal").exists(), "what is not ours is left alone");
}
