//! What a store tells about how it was left, and that it is what its documents say: the report of the storage below comes
//! through unchanged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fountain_engine::{
    CollectionOptions, Durability, IndexDefinition, IndexKind, Page, ReadTier, RecoveryReport, Store, View,
};
use support::{LocalHome, everything, put};
use tempfile::TempDir;

/// A store whose process was killed after three commits, one of them flushed.
fn killed() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let store = Store::open(&live, LocalHome::options()).unwrap();
    let collection = store.collection("c").unwrap();
    for number in 0..3 {
        store.commit(put(collection, number), Durability::Disk).unwrap();
        if number == 0 {
            store.flush().unwrap();
        }
    }
    copy(&live, &image);
    (dir, image)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens a store and gives back its report and how many documents it has.
fn opened(path: &Path) -> (RecoveryReport, usize) {
    let store = Store::open(path, LocalHome::options()).unwrap();
    let mut page = Page::default();
    store.scan(&everything(&store, View::Newest), ReadTier::Disk, &mut page).unwrap();
    (store.recovery_report().clone(), page.records().count())
}

fn only(dir: &Path, part: &str) -> PathBuf {
    let found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut found = found.into_iter().filter(|path| path.to_string_lossy().contains(part));
    let only = found.next().unwrap();
    assert_eq!(found.next(), None);
    only
}

fn append(path: &Path, junk: &[u8]) {
    let bytes = [&fs::read(path).unwrap(), junk].concat();
    fs::write(path, bytes).unwrap();
}

#[test]
fn creation_and_a_clean_close_are_told() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), LocalHome::options()).unwrap();
    let report = store.recovery_report().clone();
    assert!(report.created && !report.clean && report.removed_files == 0);
    store.commit(put(store.collection("c").unwrap(), 1), Durability::Disk).unwrap();
    store.close().unwrap();
    drop(store);
    let (report, documents) = opened(dir.path());
    assert!(report.clean && !report.created && report.replayed_commits == 0, "{report:?}");
    assert!(report.discarded.is_empty() && report.quarantined.is_empty() && documents == 1);
}

#[test]
fn commits_taken_from_the_log_are_counted() {
    let (_dir, image) = killed();
    let (report, documents) = opened(&image);
    assert_eq!((report.clean, report.replayed_commits, documents), (false, 2, 3));
    assert!(report.replayed_bytes > 0 && report.discarded.is_empty());
}

#[test]
fn a_commit_that_was_cut_short_is_discarded_entirely_and_reported() {
    let (_dir, image) = killed();
    let segment = only(&image.join("wal"), "wal");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 3]).unwrap();
    let (report, documents) = opened(&image);
    assert_eq!((report.replayed_commits, documents), (1, 2));
    let [tail] = &report.discarded[..] else { panic!("{:?}", report.discarded) };
    assert!(tail.path == segment && tail.bytes > 3, "{tail:?}");
    assert_eq!(tail.reason, "an append that was cut short");
}

/// Where the last byte of a log lies that is not one of the zeros ahead of it.
fn written(segment: &Path) -> usize {
    fs::read(segment).unwrap().iter().rposition(|&byte| byte != 0).unwrap() + 1
}

#[test]
fn definitions_and_records_of_one_commit_are_there_together_wherever_the_log_ends() {
    let dir = TempDir::new().unwrap();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let store = Store::open(&live, LocalHome::options()).unwrap();
    let (old, new) = (store.collection("old").unwrap(), store.collection("new").unwrap());
    let multi = |name: &str| IndexDefinition::new(name, IndexKind::Multi, &["b"]).unwrap();
    let mut writes = put(old, 1);
    writes.create_index(old, multi("gone"));
    store.commit(writes, Durability::Disk).unwrap();
    let segment = only(&live.join("wal"), "wal");
    let begin = written(&segment);
    let mut writes = put(new, 2);
    writes.create_index(new, multi("byB"));
    writes.create_collection(
        new,
        CollectionOptions { schema_version: Some(3), ..CollectionOptions::default() },
    );
    writes.drop_index(old, "gone");
    writes.create_index(old, multi("byB"));
    store.commit(writes, Durability::Disk).unwrap();
    store.wait_for_index(store.index(old, "byB").unwrap().id).unwrap();
    copy(&live, &image);
    let (segment, end) = (only(&image.join("wal"), "wal"), written(&segment));
    let bytes = fs::read(&segment).unwrap();
    let mut seen = [0; 2];
    for cut in (begin..end).step_by(7).chain([end]) {
        let path = dir.path().join(format!("cut {cut}"));
        copy(&image, &path);
        fs::write(path.join("wal").join(segment.file_name().unwrap()), &bytes[..cut]).unwrap();
        let store = Store::open(&path, LocalHome::options()).unwrap();
        let indexes = |name: &str| {
            let info = store.collection_info(name).unwrap()?;
            let names: Vec<_> = info.indexes.iter().map(|index| index.definition.name().to_owned()).collect();
            Some((info.options.schema_version, names))
        };
        let mut page = Page::default();
        store.scan(&everything(&store, View::Newest), ReadTier::Disk, &mut page).unwrap();
        let whole = indexes("new").is_some();
        seen[usize::from(whole)] += 1;
        if whole {
            assert_eq!(indexes("new"), Some((Some(3), vec!["byB".to_owned()])), "cut at {cut}");
        }
        assert_eq!(
            indexes("old"),
            Some((None, vec![if whole { "byB" } else { "gone" }.to_owned()])),
            "cut at {cut}"
        );
        assert_eq!(store.sequence().get() > 1, whole, "cut at {cut}");
        store.close().unwrap();
        fs::remove_dir_all(&path).unwrap();
    }
    assert!(seen[0] > 10 && seen[1] > 0, "{seen:?}");
    store.close().unwrap();
}

#[test]
fn what_a_manifest_that_was_cut_short_does_not_name_is_moved_aside_and_reported() {
    let (_dir, image) = killed();
    let manifest = only(&image, "MANIFEST");
    append(&manifest, &[0xE1, 0, 0, 0, 7]);
    fs::write(image.join("tables/000900.sst"), b"whatever").unwrap();
    let (report, documents) = opened(&image);
    let [tail] = &report.discarded[..] else { panic!("{:?}", report.discarded) };
    assert_eq!((&tail.path, tail.bytes), (&manifest, 5));
    assert_eq!(report.quarantined, [image.join("quarantine/000900.sst")]);
    assert_eq!((report.replayed_commits, documents), (2, 3));
}

#[test]
fn left_overs_that_were_removed_are_counted() {
    let (_dir, image) = killed();
    let (before, _) = opened(&image);
    for stray in ["tables/000900.sst", "tables/000901.sst"] {
        fs::write(image.join(stray), b"whatever").unwrap();
    }
    let (report, documents) = opened(&image);
    assert_eq!((report.removed_files, documents), (before.removed_files + 2, 3));
}
