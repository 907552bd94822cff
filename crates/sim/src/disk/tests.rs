//! What each kind of crash leaves.

use std::collections::BTreeSet;
use std::path::Path;

use fountain_lsm::fs::{Fs, LockAttempt};

use super::{Crash, Disk, SECTOR_BYTES, SimFs};

fn read(disk: &Disk, path: &str) -> Option<Vec<u8>> {
    disk.lookup(Path::new(path)).map(|file| disk.bytes(file).unwrap().to_vec())
}

/// What a file holds after each of many crashes; `None` where it is gone.
fn outcomes(disk: &Disk, path: &str, crash: fn(u64) -> Crash) -> BTreeSet<Option<Vec<u8>>> {
    (0..400).map(|seed| read(&disk.crash(&crash(seed)), path)).collect()
}

#[test]
fn bytes_need_a_sync_and_names_a_sync_of_their_directory() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    file.write_at(0, b"12").unwrap();
    file.sync().unwrap();
    assert_eq!(read(&fs.disk().crash(&Crash::Synced), "/a"), None, "its name is not on disk");
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_at(1, b"34").unwrap();
    assert_eq!(read(&fs.disk().crash(&Crash::Synced), "/a").unwrap(), b"12");
    assert_eq!(read(&fs.disk().crash(&Crash::Kill), "/a").unwrap(), b"134");
    let again = fs.disk().crash(&Crash::Kill).crash(&Crash::Synced);
    assert_eq!(read(&again, "/a").unwrap(), b"12", "a kill makes nothing durable");
    file.sync().unwrap();
    assert_eq!(read(&fs.disk().crash(&Crash::Synced), "/a").unwrap(), b"134");
}

#[test]
fn a_rename_is_one_step_that_a_crash_keeps_or_loses() {
    let fs = SimFs::default();
    for (name, bytes) in [("/old", b"o"), ("/new", b"n")] {
        let file = fs.create_new(Path::new(name)).unwrap();
        file.write_at(0, bytes).unwrap();
        file.sync().unwrap();
    }
    fs.create_dir(Path::new("/dir")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.rename(Path::new("/new"), Path::new("/old")).unwrap();
    let found = outcomes(&fs.disk(), "/old", Crash::Sectors);
    assert_eq!(found, BTreeSet::from([Some(b"o".to_vec()), Some(b"n".to_vec())]));
    fs.rename(Path::new("/old"), Path::new("/dir/moved")).unwrap();
    for seed in 0..100 {
        let image = fs.disk().crash(&Crash::Sectors(seed));
        let places = ["/old", "/new", "/dir/moved"].map(|path| read(&image, path));
        assert!(places.contains(&Some(b"n".to_vec())), "a renamed file is somewhere");
    }
}

#[test]
fn after_a_failed_sync_of_a_directory_each_name_is_on_disk_or_not_whatever_is_synced_later() {
    let fs = SimFs::default();
    let create = |name: &str| drop(fs.create_new(Path::new(name)).unwrap());
    create("/a");
    create("/b");
    fs.fail_sync_after(0);
    assert!(fs.sync_dir(Path::new("/")).is_err());
    create("/c");
    fs.sync_dir(Path::new("/")).unwrap();
    let names = |image: &Disk| ["/a", "/b", "/c"].map(|name| read(image, name).is_some());
    assert_eq!(names(&fs.disk().crash(&Crash::Kill)), [true; 3]);
    assert_eq!(names(&fs.disk().crash(&Crash::Synced)), [false, false, true]);
    let found: BTreeSet<_> = (0..100).map(|seed| names(&fs.disk().crash(&Crash::Sectors(seed)))).collect();
    let each = [(false, false), (false, true), (true, false), (true, true)];
    assert_eq!(found, each.map(|(a, b)| [a, b, true]).into());
    assert_eq!(fs.disk().pending().len(), 2);
    fs.remove(Path::new("/a")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let found: BTreeSet<_> = (0..100).map(|seed| names(&fs.disk().crash(&Crash::Sectors(seed)))).collect();
    assert_eq!(
        found,
        [[false, false, true], [false, true, true]].into(),
        "a later change of a name settles it"
    );
}

#[test]
fn what_a_failed_sync_should_have_written_is_in_doubt_until_the_next_sync() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"1").unwrap();
    fs.fail_sync_after(0);
    assert!(file.sync().is_err());
    let expected = [Some(vec![]), Some(b"\0".to_vec()), Some(b"1".to_vec())];
    let found = outcomes(&fs.disk(), "/a", Crash::Sectors);
    assert!(found.is_subset(&expected.into()) && found.len() > 1, "{found:?}");
    file.sync().unwrap();
    assert_eq!(outcomes(&fs.disk(), "/a", Crash::Sectors), [Some(vec![])].into());
}

#[test]
fn a_failed_sync_loses_what_it_should_have_written_for_good() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"1").unwrap();
    fs.fail_sync_after(0);
    assert!(!fs.has_failed());
    assert!(file.sync().is_err());
    assert!(fs.has_failed());
    file.write_at(1, b"2").unwrap();
    file.sync().unwrap();
    assert_eq!(read(&fs.disk().crash(&Crash::Kill), "/a").unwrap(), b"12");
    assert_eq!(read(&fs.disk().crash(&Crash::Synced), "/a").unwrap(), b"\x002");
}

#[test]
fn sectors_lengths_and_garbage_are_independent_and_spare_what_is_on_disk() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, &[1; 100]).unwrap();
    file.sync().unwrap();
    file.write_at(100, &[2; SECTOR_BYTES]).unwrap();
    let found = outcomes(&fs.disk(), "/a", Crash::Sectors);
    let first = SECTOR_BYTES - 100;
    let expected = [(0, 0), (2, 0), (0, 2), (2, 2)].map(|(head, tail)| {
        let written = [vec![head; first], vec![tail; 100]].concat();
        Some([vec![1; 100], written].concat())
    });
    let expected: BTreeSet<_> = expected.into_iter().chain([Some(vec![1; 100])]).collect();
    assert_eq!(found, expected);
    let spoilt = outcomes(&fs.disk(), "/a", Crash::Garbage);
    assert!(spoilt.len() > 50);
    assert!(spoilt.iter().flatten().all(|bytes| bytes[..100] == [1; 100]));
    let beside = outcomes(&fs.disk(), "/a", Crash::Beside);
    assert!(beside.iter().flatten().any(|bytes| bytes[..100] != [1; 100]), "neighbours are harmed, too");
}

#[test]
fn a_prefix_ends_anywhere_in_a_write_but_never_skips_one() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"ab").unwrap();
    file.write_at(2, b"cd").unwrap();
    let found = outcomes(&fs.disk(), "/a", Crash::Prefix);
    let expected: BTreeSet<_> = (0..=4).map(|len| Some(b"abcd"[..len].to_vec())).collect();
    assert_eq!(found, expected);
}

#[test]
fn exactly_the_named_operations_are_kept() {
    let fs = SimFs::default();
    let file = fs.create_new(Path::new("/a")).unwrap();
    file.write_at(0, b"ab").unwrap();
    file.write_at(2, b"cd").unwrap();
    let disk = fs.disk();
    let [create, first, second] = disk.pending()[..] else { panic!("{:?}", disk.pending()) };
    assert_eq!(read(&disk.crash(&Crash::Only(vec![create, second])), "/a").unwrap(), b"\0\0cd");
    assert_eq!(read(&disk.crash(&Crash::Only(vec![create])), "/a").unwrap(), b"");
    assert_eq!(read(&disk.crash(&Crash::Only(vec![first, second])), "/a"), None);
}

#[test]
fn a_recording_repeats_what_happened_on_a_copy_of_the_disk() {
    let fs = SimFs::default();
    let mut copy = fs.disk();
    fs.record();
    fs.create_dir(Path::new("/d/e")).unwrap();
    let file = fs.create_new(Path::new("/d/e/f")).unwrap();
    file.write_at(0, b"abc").unwrap();
    file.set_len(2).unwrap();
    fs.hard_link(Path::new("/d/e/f"), Path::new("/d/g")).unwrap();
    fs.rename(Path::new("/d/e"), Path::new("/d/h")).unwrap();
    fs.remove(Path::new("/d/h/f")).unwrap();
    fs.remove_dir(Path::new("/d/h")).unwrap();
    assert_eq!(fs.recorded(), 9);
    for op in fs.take_recording() {
        copy.apply(&op);
    }
    assert_eq!(read(&copy, "/d/g").unwrap(), b"ab");
    assert_eq!(format!("{copy:?}"), format!("{:?}", fs.disk()));
}

#[test]
fn locks_and_open_files_are_counted_until_they_are_dropped() {
    let fs = SimFs::default();
    let path = Path::new("/LOCK");
    let held = fs.try_lock(path).unwrap();
    assert!(matches!(fs.try_lock(path).unwrap(), LockAttempt::Busy(None)));
    let file = fs.open(path).unwrap();
    assert_eq!(fs.open_handles(), 2);
    drop((held, file));
    assert_eq!(fs.open_handles(), 0);
    assert!(matches!(fs.try_lock(path).unwrap(), LockAttempt::Held(_)));
}
