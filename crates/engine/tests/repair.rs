//! Stores that do not open: what is wrong is told, what is left is saved under the names of its collections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::Value;
use fountain_engine::{
    CollectionOptions, CollectionSetting, Durability, ErrorCode, IndexDefinition, IndexKind, ReadTier,
    StorageOptions, Store, StoreOptions, Timestamp, WriteSet, expiring, salvage, verify,
};

fn key(text: &str) -> Vec<u8> {
    encode(&Key::String(text.to_owned())).unwrap()
}

fn put(store: &Store, collection: &str, names: &[&str]) {
    let mut writes = WriteSet::new();
    let id = store.collection(collection).unwrap();
    for name in names {
        let document = store.encode(&Value::Object(vec![("v".into(), Value::Number(1.0))])).unwrap();
        writes.put(id, &key(name), &document).unwrap();
    }
    store.commit(writes, Durability::Disk).unwrap();
}

fn has(store: &Store, collection: &str, name: &str) -> bool {
    let id = store.collection(collection).unwrap();
    store.get(id, &key(name), None, ReadTier::Disk).unwrap().is_some()
}

/// Whether a document is there and can be unpacked.
fn reads(store: &Store, collection: &str, name: &str) -> Result<String, ErrorCode> {
    let id = store.collection(collection).unwrap();
    let document = store.get(id, &key(name), None, ReadTier::Disk).unwrap().unwrap();
    store.to_json(&[&[document.codec()], document.body()].concat()).map_err(|error| error.code)
}

/// A store with two collections, each in a table of its own.
fn filled(dir: &Path) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    put(&store, "users", &["ada", "bob"]);
    store.flush().unwrap();
    put(&store, "cities", &["Bonn", "Köln"]);
    store.flush().unwrap();
    store.close().unwrap();
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(dir.join("tables")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_lost_table_is_named_by_its_collections_and_the_rest_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    filled(&source);
    let sound = verify(&source, &StorageOptions::default()).unwrap().to_json();
    assert!(sound["sound"] == true && sound["sequence"] == 2, "{sound}");
    std::fs::remove_file(&tables(&source)[1]).unwrap();
    assert_eq!(Store::open(&source, StoreOptions::default()).err().unwrap().code, ErrorCode::Corrupt);
    let found = verify(&source, &StorageOptions::default()).unwrap().to_json();
    assert!(found["sound"] == false, "{found}");

    let report = salvage(&source, &dest, &StorageOptions::default()).unwrap();
    let json = report.to_json();
    assert_eq!(json["complete"], false);
    // The table held the entry of the collection in the catalog, too.
    assert!(json["losses"][0]["catalog"] == true && json["losses"][0]["code"] == "table", "{json}");
    let store = Store::open(&dest, StoreOptions::default()).unwrap();
    assert!(has(&store, "users", "ada") && has(&store, "users", "bob"));
    assert_eq!(store.collections().unwrap(), ["users"]);
    put(&store, "more", &["1"]);
    assert!(!has(&store, "cities", "Bonn") && has(&store, "more", "1"));
}

#[test]
fn records_whose_catalog_is_lost_get_a_name_and_no_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    let store = Store::open(&source, StoreOptions::default()).unwrap();
    put(&store, "users", &["ada"]);
    put(&store, "cities", &["Bonn"]);
    store.flush().unwrap();
    // Only records, no entry of the catalog.
    put(&store, "users", &["bob"]);
    put(&store, "cities", &["Köln"]);
    store.flush().unwrap();
    store.close().unwrap();
    std::fs::remove_file(&tables(&source)[0]).unwrap();
    let report = salvage(&source, &dest, &StorageOptions::default()).unwrap();
    let json = report.to_json();
    assert_eq!(json["renamed"], serde_json::json!(["recovered-16", "recovered-17"]), "{json}");
    assert_eq!(json["losses"][0]["collections"], json["renamed"]);
    let store = Store::open(&dest, StoreOptions::default()).unwrap();
    assert!(has(&store, "recovered-16", "bob") && has(&store, "recovered-17", "Köln"));
    assert_eq!(report.storage.sequence, store.sequence());
    put(&store, "users", &["new"]);
    assert!(!has(&store, "users", "bob") && has(&store, "recovered-16", "bob"));
    // The shape of the old records was in the lost table, too: no new one takes its number.
    assert_eq!(reads(&store, "recovered-16", "bob"), Err(ErrorCode::Corrupt));
    assert_eq!(reads(&store, "users", "new").unwrap(), r#"{"v":1}"#);
}

/// Each shape is in the first table, whatever it has of names; the second one has records of them.
#[test]
fn a_lost_shape_is_no_other_shape_however_many_names_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest, again) =
        (dir.path().join("source"), dir.path().join("dest"), dir.path().join("again"));
    let store = Store::open(&source, StoreOptions::default()).unwrap();
    let names = [128, 127, 1, 0];
    let put = |store: &Store, count: usize, record: &str| {
        let member = |name: usize| (format!("m{name}"), Value::Bool(true));
        let document = store.encode(&Value::Object((0..count).map(member).collect())).unwrap();
        let mut writes = WriteSet::new();
        writes.put(store.collection("records").unwrap(), &key(record), &document).unwrap();
        store.commit(writes, Durability::Disk).unwrap();
    };
    for count in names {
        put(&store, count, "first");
    }
    store.flush().unwrap();
    for count in names {
        put(&store, count, &count.to_string());
    }
    store.flush().unwrap();
    store.close().unwrap();
    std::fs::remove_file(&tables(&source)[0]).unwrap();

    let saved = [(&source, &dest), (&dest, &again)];
    for (from, to) in saved {
        salvage(from, to, &StorageOptions::default()).unwrap();
        let store = Store::open(to, StoreOptions::default()).unwrap();
        for (shape, count) in names.iter().enumerate() {
            let id = store.collection("recovered-16").unwrap();
            let document = store.get(id, &key(&count.to_string()), None, ReadTier::Disk).unwrap().unwrap();
            let record = [&[document.codec()], document.body()].concat();
            let error = store.to_json(&record).unwrap_err();
            assert_eq!(error.code, ErrorCode::Corrupt, "{count} names: {error}");
            assert!(error.message.contains(&format!("shape {shape}, which is lost")), "{error}");
            // Nor is it taken for another one when it is written, or when it is read for a query.
            let mut writes = WriteSet::new();
            writes.put(id, &key("copy"), &record).unwrap();
            let refused = store.commit(writes, Durability::Disk).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidArgument, "{refused}");
        }
        // Documents of the same names are stored and read as ever.
        for count in names {
            put(&store, count, &format!("new {count}"));
            let text = reads(&store, "records", &format!("new {count}")).unwrap();
            assert_eq!(text.matches(':').count(), count, "{text}");
        }
        store.close().unwrap();
        let found = verify(to, &StorageOptions::default()).unwrap().contents.unwrap();
        let faults: Vec<_> = found.faults.iter().map(|fault| fault.found.as_str()).collect();
        assert_eq!(faults.len(), names.len(), "{faults:?}");
        assert!(faults.iter().all(|found| found.contains("which is lost")), "{faults:?}");
    }
}

/// What is left of the collection is its index, which was stored later than its name and its records.
#[test]
fn an_index_whose_collection_is_lost_gets_one_and_the_store_opens() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    let store = Store::open(&source, StoreOptions::default()).unwrap();
    put(&store, "users", &["ada", "bob"]);
    store.flush().unwrap();
    let definition = IndexDefinition::new("byV", IndexKind::Multi, &["v"]).unwrap();
    let users = store.collection("users").unwrap();
    let index = store.create_index(users, definition, Durability::Disk).unwrap();
    store.wait_for_index(index).unwrap();
    store.close().unwrap();
    std::fs::remove_file(&tables(&source)[0]).unwrap();

    let json = salvage(&source, &dest, &StorageOptions::default()).unwrap().to_json();
    assert_eq!(json["collections"], serde_json::json!(["recovered-16"]), "{json}");
    assert_eq!(json["renamed"], json["collections"]);
    let store = Store::open(&dest, StoreOptions::default()).unwrap();
    let recovered = store.collection("recovered-16").unwrap();
    let index = store.index(recovered, "byV").unwrap();
    store.wait_for_index(index.id).unwrap();
    put(&store, "recovered-16", &["new"]);
    put(&store, "users", &["eve"]);
    assert_ne!(store.collection("users").unwrap(), recovered);
}

/// In the first table are the expiry indexes, in the second one what else says that records expire.
#[test]
fn what_expires_is_not_seen_although_the_entries_of_expiry_indexes_are_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    let store = Store::open(&source, StoreOptions { sweep_every: None, ..StoreOptions::default() }).unwrap();
    let mut options = CollectionOptions::default();
    options.update(&serde_json::json!({ "ttl": "at" })).unwrap();
    store.create_collection("ttl", options, Durability::Disk).unwrap();
    let past = |name: &str| store.encode(&Value::Object(vec![(name.into(), Value::Number(5.0))])).unwrap();
    let put = |collection: &str, name: &str, document: &[u8]| {
        let mut writes = WriteSet::new();
        writes.put(store.collection(collection).unwrap(), &key(name), document).unwrap();
        store.commit(writes, Durability::Disk).unwrap();
    };
    put("own", "first", &expiring(&past("v"), Timestamp::from_millis(5)));
    store.flush().unwrap();
    for collection in ["ttl", "own"] {
        let settings = vec![CollectionSetting::SchemaVersion(Some(1))];
        store.alter_collection(collection, settings, Durability::Disk).unwrap();
    }
    put("ttl", "a", &past("at"));
    put("own", "a", &expiring(&past("at"), Timestamp::from_millis(5)));
    store.flush().unwrap();
    store.close().unwrap();
    std::fs::remove_file(&tables(&source)[0]).unwrap();

    let json = salvage(&source, &dest, &StorageOptions::default()).unwrap().to_json();
    assert_eq!(json["collections"], serde_json::json!(["ttl", "own"]), "{json}");
    let store = Store::open(&dest, StoreOptions { sweep_every: None, ..StoreOptions::default() }).unwrap();
    assert!(!has(&store, "ttl", "a") && !has(&store, "own", "a"));
    // The indexes are built in the background.
    while store.metrics().expired < 2 {
        store.sweep_expired().unwrap();
        std::thread::yield_now();
    }
    assert_eq!(store.metrics().unswept, 0);
}

/// The deletions of ranges in a table lie in a block of their own, those of catalog entries do not.
#[test]
fn a_dropped_collection_stays_dropped_where_only_the_deletion_of_its_records_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (source, dest) = (dir.path().join("source"), dir.path().join("dest"));
    let store = Store::open(&source, StoreOptions::default()).unwrap();
    put(&store, "gone", &["1", "2"]);
    let gone = store.collection("gone").unwrap();
    let definition = IndexDefinition::new("byV", IndexKind::Multi, &["v"]).unwrap();
    let index = store.create_index(gone, definition, Durability::Disk).unwrap();
    store.wait_for_index(index).unwrap();
    let before = store.sequence();
    put(&store, "kept", &["3"]);
    store.flush().unwrap();
    store.drop_collection("gone", Durability::Disk).unwrap();
    store.flush().unwrap();
    store.close().unwrap();

    let whole = salvage(&source, &dest, &StorageOptions::default()).unwrap().to_json();
    assert_eq!((&whole["complete"], &whole["collections"]), (&true.into(), &serde_json::json!(["kept"])));
    let table = tables(&source).pop().unwrap();
    let sound = std::fs::read(&table).unwrap();
    // One flipped byte in every block.
    let (mut blocks, mut met) = (BTreeSet::new(), 0);
    for at in (0..sound.len()).step_by(4) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&table, bytes).unwrap();
        let found = verify(&source, &StorageOptions::default()).unwrap();
        let new = found.storage.faults().next().is_some_and(|(_, fault)| blocks.insert(fault.offset));
        if !new {
            continue;
        }
        std::fs::remove_dir_all(&dest).unwrap();
        let report = salvage(&source, &dest, &StorageOptions::default()).unwrap().to_json();
        if report["losses"][0]["code"] != "range_deletions" {
            continue;
        }
        met += 1;
        assert_eq!(report["collections"], serde_json::json!(["kept"]), "{report}");
        let store = Store::open(&dest, StoreOptions::default()).unwrap();
        assert_eq!(store.collections().unwrap(), ["kept"]);
        assert!(has(&store, "kept", "3") && !has(&store, "gone", "1"));
        // Before it was dropped it is there, by its name.
        let then = store.collections_at(before).unwrap();
        assert_eq!(then.into_values().collect::<Vec<_>>(), ["gone"]);
        store.close().unwrap();
        assert!(verify(&dest, &StorageOptions::default()).unwrap().is_sound());
    }
    assert!(met > 0);
}
