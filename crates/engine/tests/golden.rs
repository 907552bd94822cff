//! Document stores that lie in `golden/`, as each version of the format wrote them: they are sound, open, say what they must,
//! go on, and are salvaged completely.
//!
//! `cargo run -p fountain-sim -- golden documents DIR` made them. Once a version of the format is released, its folder never
//! changes again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fountain_engine::keys::{Key, decode, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    Bounds, CollectionId, Direction, Durability, ErrorCode, IndexScan, IndexScanEnd, KeyRange, ManualClock,
    Page, ReadTier, ScanEnd, ScanRequest, Seq, StorageOptions, Store, StoreOptions, Timestamp, View,
    WriteSet, salvage, verify,
};
use serde_json::Value;

const MOST_BYTES: u64 = 64 << 10;

/// Every golden store with its name.
fn goldens() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = |dir: &Path| -> Vec<PathBuf> {
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths.filter(|path| path.is_dir()).collect();
        paths.sort();
        paths
    };
    let stores: Vec<_> = folders(&root).iter().flat_map(|version| folders(version)).collect();
    assert!(stores.len() >= 5, "{stores:?}");
    stores.into_iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

fn expected(golden: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap()
}

/// Copies a directory, and gives back how many bytes its files have.
fn copy(from: &Path, to: &Path) -> u64 {
    std::fs::create_dir_all(to).unwrap();
    let copied = std::fs::read_dir(from).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &place) } else { std::fs::copy(&path, &place).unwrap() }
    });
    copied.sum()
}

fn open(dir: &Path, expected: &Value) -> Store {
    let now = Timestamp::from_millis(expected["now"].as_u64().unwrap());
    let options = StoreOptions {
        create_if_missing: false,
        clock: Arc::new(ManualClock::new(now)),
        sweep_every: None,
        ..StoreOptions::default()
    };
    Store::open(dir, options).unwrap()
}

fn text(key: &[u8]) -> String {
    let Key::String(text) = decode(key).unwrap() else { panic!("{key:?} is no string") };
    text
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn scan(store: &Store, collection: CollectionId, at: View) -> Result<BTreeMap<String, String>, ErrorCode> {
    let (max_records, max_bytes) = (3, usize::MAX);
    let (range, direction) = (KeyRange::default(), Direction::Reverse);
    let mut request = ScanRequest { collection, range, direction, at, max_records, max_bytes };
    let (mut found, mut page) = (BTreeMap::new(), Page::new());
    loop {
        let end = store.scan(&request, ReadTier::Disk, &mut page).map_err(|error| error.code)?;
        found.extend(page.records().map(|(key, record)| (text(key), store.to_json(record).unwrap())));
        if end == ScanEnd::Done {
            return Ok(found);
        }
        request.continue_after(&page);
    }
}

fn walk(store: &Store, collection: CollectionId, index: &str) -> Vec<String> {
    store.wait_for_index(store.index(collection, index).unwrap().id).unwrap();
    let (max_records, max_bytes) = (2, usize::MAX);
    let (index, bounds, direction) = (index.to_owned(), Bounds::all(), Direction::Forward);
    let at = View::Newest;
    let mut request =
        IndexScan { collection, index, bounds, direction, at, after: None, max_records, max_bytes };
    let (mut found, mut page) = (Vec::new(), Page::new());
    loop {
        let end = store.scan_index(&request, ReadTier::Disk, &mut page).unwrap();
        found.extend(page.records().map(|(key, _)| text(key)));
        match end {
            IndexScanEnd::Done => return found,
            IndexScanEnd::More(after) => request.after = Some(after),
        }
    }
}

/// The documents of a collection as of a sequence, as they must be.
fn due(collection: &Value, at: u64) -> BTreeMap<String, String> {
    let newest = |versions: &Value| {
        let versions = versions.as_array().unwrap().iter().rev();
        let mut versions = versions.filter(|version| version[0].as_u64().unwrap() <= at);
        versions.next().and_then(|version| version[1].as_str().map(str::to_owned))
    };
    let records = collection["records"].as_object().unwrap().iter();
    records.filter_map(|(key, versions)| Some((key.clone(), newest(versions)?))).collect()
}

/// Compares everything that the store has to say with what it must.
fn check(name: &str, store: &Store, expected: &Value) {
    let newest = expected["sequence"].as_u64().unwrap();
    let collections = expected["collections"].as_object().unwrap();
    let is_there = |collection: &Value, at: u64| {
        collection["since"].as_u64().unwrap() <= at
            && collection["dropped"].as_u64().is_none_or(|dropped| dropped > at)
    };
    for at in 0..=newest {
        let found = store.collections_at(seq(at)).unwrap();
        let found: BTreeMap<_, _> = found.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
        let there = collections.iter().filter(|(_, collection)| is_there(collection, at));
        let there =
            there.map(|(id, collection)| (id.clone(), collection["name"].as_str().unwrap().to_owned()));
        assert_eq!(found, there.collect(), "{name}: collections as of {at}");
    }
    for (id, collection) in collections {
        let id = CollectionId::new(id.parse().unwrap()).unwrap();
        let is = |what: &str| collection[what].as_bool().unwrap();
        for at in (0..=newest).filter(|&at| is_there(collection, at) && !is("expires")) {
            match scan(store, id, View::At(seq(at))) {
                Err(ErrorCode::HistoryTruncated) if is("latest_only") => {}
                found => assert_eq!(found, Ok(due(collection, at)), "{name}: {id} as of {at}"),
            }
        }
        if !is_there(collection, newest) {
            continue;
        }
        let mut live = due(collection, newest);
        let expired = collection["expired"].as_array().unwrap();
        live.retain(|key, _| !expired.iter().any(|expired| expired == key.as_str()));
        assert_eq!(scan(store, id, View::Newest), Ok(live), "{name}: {id} now");
        for (index, keys) in collection["indexes"].as_object().unwrap() {
            let keys: Vec<_> = keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            assert_eq!(walk(store, id, index), keys, "{name}: index {index}");
        }
    }
}

#[test]
fn every_golden_store_is_sound_opens_says_the_truth_and_goes_on() {
    for (name, golden) in goldens() {
        let expected = expected(&golden);
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store");
        let bytes = copy(&golden.join("store"), &place);
        assert!(bytes <= MOST_BYTES, "{name}: {bytes} bytes");
        let report = verify(&place, &StorageOptions::default()).unwrap();
        assert!(report.is_sound(), "{name}: {}", report.to_json());
        let (newest, clean) = (expected["sequence"].as_u64().unwrap(), expected["clean"].as_bool().unwrap());
        assert_eq!((report.storage.sequence.get(), report.storage.closed_cleanly), (newest, clean), "{name}");

        let store = open(&place, &expected);
        assert_eq!((store.sequence().get(), store.recovery_report().clean), (newest, clean), "{name}");
        check(&name, &store, &expected);
        // The catalog, a shape and a record of it go on from what was there.
        let added = store.collection("added").unwrap();
        let mut writes = WriteSet::new();
        let document = store.encode(&from_json(r#"{"added":true}"#).unwrap()).unwrap();
        writes.put(added, &encode(&Key::Number(1.0)).unwrap(), &document).unwrap();
        store.commit(writes, Durability::Disk).unwrap();
        let crashed = dir.path().join("crashed");
        copy(&place, &crashed);
        std::fs::remove_file(crashed.join("LOCK")).unwrap();
        store.close().unwrap();

        let store = open(&crashed, &expected);
        assert_eq!(store.collection("added").unwrap(), added, "{name}");
        assert_eq!(store.count_records(added, View::Newest).unwrap(), 1, "{name}");
        check(&name, &store, &expected);
        store.compact().unwrap();
        check(&name, &store, &expected);
        store.close().unwrap();
        let report = verify(&crashed, &StorageOptions::default()).unwrap();
        assert!(report.is_sound(), "{name}: {}", report.to_json());
    }
}

#[test]
fn every_golden_store_is_salvaged_completely() {
    for (name, golden) in goldens() {
        let expected = expected(&golden);
        let dir = tempfile::tempdir().unwrap();
        let (place, saved) = (dir.path().join("store"), dir.path().join("saved"));
        copy(&golden.join("store"), &place);
        let report = salvage(&place, &saved, &StorageOptions::default()).unwrap();
        assert!(report.storage.is_complete() && report.renamed.is_empty(), "{name}: {}", report.to_json());
        let store = open(&saved, &expected);
        check(&name, &store, &expected);
        store.close().unwrap();
        assert!(verify(&saved, &StorageOptions::default()).unwrap().is_sound(), "{name}");
    }
}
