//! Verification of what is in a store: catalog, records and indexes, each fault by its collection, index and key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    CollectionId, CollectionOptions, Durability, IndexDefinition, IndexKind, StorageOptions, Store,
    StoreOptions, Timestamp, WriteSet, expiring, verify,
};
use fountain_lsm::{Db, KeyRange, Options, WriteBatch};
use serde_json::{Value, json};

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

/// Puts a document and returns its record.
fn put(store: &Store, collection: CollectionId, number: u32, json: &str) -> Vec<u8> {
    let record = store.encode(&from_json(json).unwrap()).unwrap();
    let record = if number == 3 { expiring(&record, Timestamp::from_millis(1 << 45)) } else { record };
    let mut writes = WriteSet::new();
    writes.put(collection, &key(number), &record).unwrap();
    store.commit(writes, Durability::Disk).unwrap();
    record
}

/// The numbers of a store's keyspaces.
struct Numbers {
    users: u32,
    by_mail: u32,
    by_tag: u32,
    expiry: u32,
    gone: u32,
    record: Vec<u8>,
}

/// Two collections, with indexes of every kind on one of them, and one that was dropped.
fn filled(dir: &Path) -> Numbers {
    let store = Store::open(dir, StoreOptions { sweep_every: None, ..StoreOptions::default() }).unwrap();
    let mut options = CollectionOptions::default();
    options.update(&json!({ "ttl": "until" })).unwrap();
    let users = store.create_collection("users", options, Durability::Disk).unwrap();
    let index = |name: &str, kind, on: &str| {
        let definition = IndexDefinition::new(name, kind, &[on]).unwrap();
        let id = store.create_index(users, definition, Durability::Disk).unwrap();
        // Of one that is still being built less is asked.
        store.wait_for_index(id).unwrap();
        id.get()
    };
    let by_mail = index("byMail", IndexKind::Unique, "mail");
    let by_tag = index("byTag", IndexKind::Multi, "tags[]");
    let record = put(&store, users, 1, r#"{"mail":"a@x","tags":["r","s"]}"#);
    put(&store, users, 2, r#"{"mail":"b@x","tags":["s"]}"#);
    store.flush().unwrap();
    put(&store, users, 3, r#"{"tags":[]}"#);
    let gone = store.collection("gone").unwrap();
    put(&store, gone, 1, r#"{"mail":"c@x"}"#);
    store.drop_collection("gone", Durability::Disk).unwrap();
    let more = store.collection("more").unwrap();
    put(&store, more, 7, "{}");
    store.close().unwrap();
    let (users, gone) = (users.get(), gone.get());
    // The next number after that of the collection, whose entry is made first.
    Numbers { users, by_mail, by_tag, expiry: users + 1, gone, record }
}

fn report(dir: &Path) -> Value {
    let before = std::fs::read_dir(dir).unwrap().count();
    let report = verify(dir, &StorageOptions::default()).unwrap().to_json();
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), before);
    report
}

/// What is reported after the stored keys of a sound store were changed, as `code collection index key`.
fn faults(change: impl FnOnce(&Numbers, &mut WriteBatch)) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let numbers = filled(dir.path());
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let mut batch = WriteBatch::new();
    change(&numbers, &mut batch);
    db.commit(batch, Durability::Disk).unwrap();
    db.close().unwrap();
    let report = report(dir.path());
    assert_eq!(report["sound"], report["contents"]["faults"].as_array().unwrap().is_empty(), "{report}");
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    };
    let faults = report["contents"]["faults"].as_array().unwrap().iter();
    faults
        .map(|fault| ["code", "collection", "index", "key"].map(|name| text(&fault[name])).join(" "))
        .collect()
}

fn at(keyspace: u32, key: &[u8]) -> Vec<u8> {
    [&keyspace.to_be_bytes()[..], key].concat()
}

/// The key of an index entry whose tuple is one string.
fn entry(keyspace: u32, text: &str, record: &[u8]) -> Vec<u8> {
    at(keyspace, &[&encode(&Key::String(text.to_owned())).unwrap()[..], record].concat())
}

#[test]
fn a_sound_store_is_counted_and_nothing_in_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let report = report(dir.path());
    let expected =
        json!({ "collections": 2, "records": 4, "indexEntries": 8, "faults": [], "moreFaults": 0 });
    assert_eq!((&report["sound"], &report["contents"]), (&json!(true), &expected), "{report}");
}

#[test]
fn every_disagreement_of_an_index_and_its_records_is_named() {
    assert!(faults(|n, batch| batch.delete(&at(n.gone, b"x")).unwrap()).is_empty());
    let lost = faults(|n, batch| batch.delete(&entry(n.by_mail, "a@x", b"")).unwrap());
    assert_eq!(lost, ["missing_entry users byMail 1"]);
    let lost = faults(|n, batch| batch.delete(&entry(n.by_tag, "s", &key(2))).unwrap());
    assert_eq!(lost, ["missing_entry users byTag 2"]);
    let held = faults(|n, batch| batch.put(&entry(n.by_mail, "a@x", b""), &key(2)).unwrap());
    assert_eq!(held, ["unique users byMail 1", "stray_entry users byMail 2"]);
    let stray = faults(|n, batch| batch.put(&entry(n.by_tag, "q", &key(2)), b"").unwrap());
    assert_eq!(stray, ["stray_entry users byTag 2"]);
    let stray = faults(|n, batch| batch.put(&entry(n.by_tag, "r", &key(9)), b"").unwrap());
    assert_eq!(stray, ["stray_entry users byTag 9"]);
    for (key, shown) in [
        (Key::BigInt(10.into()), r#"{"$bigint":"10"}"#),
        (Key::Bytes(b"10".to_vec()), r#"{"$bytes":"MTA="}"#),
        (Key::Array(vec![Key::String("a".to_owned()), Key::Number(1.0)]), r#"["a",1]"#),
        (Key::Number(f64::NEG_INFINITY), r#"{"$number":"-Infinity"}"#),
    ] {
        let stray = faults(|n, batch| batch.put(&entry(n.by_tag, "r", &encode(&key).unwrap()), b"").unwrap());
        assert_eq!(stray, [format!("stray_entry users byTag {shown}")]);
    }
    // As many entries as there should be, but not the right ones.
    let moved = faults(|n, batch| {
        batch.delete(&entry(n.by_tag, "r", &key(1))).unwrap();
        batch.put(&entry(n.by_tag, "r", &key(2)), b"").unwrap();
    });
    assert_eq!(moved, ["missing_entry users byTag 1", "stray_entry users byTag 2"]);
    let moment = |n: &Numbers| {
        let mut range = KeyRange::prefix(&n.expiry.to_be_bytes());
        range.end = Some(at(n.expiry, &[0xFF]));
        range
    };
    let lost = faults(|n, batch| batch.delete_range(&moment(n)).unwrap());
    assert_eq!(lost, ["missing_entry users $ttl 3"]);
    let stray = faults(|n, batch| {
        batch.put(&at(n.expiry, &[&[0x2C, 0xC0, 0, 0, 0, 0, 0, 0, 0][..], &key(1)].concat()), b"").unwrap();
    });
    assert_eq!(stray, ["stray_entry users $ttl 1"]);
    let short = faults(|n, batch| batch.put(&at(n.expiry, b"\x2C"), b"").unwrap());
    assert_eq!(short, ["stray_entry users $ttl null"]);
}

#[test]
fn records_and_keyspaces_and_a_catalog_that_cannot_be_right_are_named() {
    let alien = faults(|n, batch| batch.put(&at(n.gone, &key(1)), &n.record).unwrap());
    assert_eq!(alien, ["keyspace null null null"]);
    let broken = faults(|n, batch| batch.put(&at(n.users, &key(2)), &n.record[..9]).unwrap());
    assert_eq!(broken, ["record users null 2"]);
    let unnamed = faults(|n, batch| batch.put(&at(n.users, b"\xFFx"), b"\x02\0\0\0").unwrap());
    assert_eq!(unnamed, ["record users null null"]);
    let catalog = faults(|_, batch| batch.put(b"\0\0\0\0\x01twice", br#"{"id":16}"#).unwrap());
    assert_eq!(catalog, ["catalog null null null"]);
    let shapes = faults(|_, batch| batch.delete(b"\0\0\0\x01\0\0\0\0").unwrap());
    assert_eq!(shapes, ["shapes null null null"]);
}

#[test]
fn of_an_index_that_is_being_built_no_more_is_asked_than_its_build_has_done() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = filled(dir.path());
    let building = |position: Option<u32>, entries: &[(&str, u32)]| {
        let db = Db::open(dir.path(), Options::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.delete_range(&KeyRange::prefix(&numbers.by_tag.to_be_bytes())).unwrap();
        let definition = json!({ "id": numbers.by_tag, "kind": "multi", "on": ["tags[]"], "sparse": true });
        let name = [&b"\0\0\0\0\x03"[..], &numbers.users.to_be_bytes(), b"byTag"].concat();
        batch.put(&name, definition.to_string().as_bytes()).unwrap();
        let progress = [&b"\0\0\0\0\x04"[..], &numbers.by_tag.to_be_bytes()].concat();
        match position {
            Some(last) => {
                let value = [&1u64.to_le_bytes()[..], &key(last)].concat();
                batch.put(&progress, &value).unwrap();
            }
            None => batch.delete(&progress).unwrap(),
        }
        for (tag, number) in entries {
            batch.put(&entry(numbers.by_tag, tag, &key(*number)), b"").unwrap();
        }
        db.commit(batch, Durability::Disk).unwrap();
        db.close().unwrap();
        report(dir.path())["contents"]["faults"].as_array().unwrap().len()
    };
    assert_eq!(building(None, &[]), 0);
    assert_eq!(building(None, &[("s", 2)]), 0);
    assert_eq!(building(Some(1), &[("r", 1), ("s", 1)]), 0);
    assert_eq!(building(Some(1), &[("s", 1)]), 1);
    assert_eq!(building(Some(2), &[("r", 1), ("s", 1)]), 1);
    assert_eq!(building(None, &[("r", 2)]), 1);
    // It is sound in the end.
    assert_eq!(building(Some(1), &[("r", 1), ("s", 1)]), 0);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let users = store.collection("users").unwrap();
    let index = store.index(users, "byTag").unwrap().id;
    store.wait_for_index(index).unwrap();
    store.close().unwrap();
    assert_eq!(report(dir.path())["sound"], true);
}

#[test]
fn what_a_crash_leaves_is_looked_at_with_its_log_and_a_damaged_file_leaves_nothing_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let numbers = filled(dir.path());
    let db = Db::open(dir.path(), Options { background: false, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    batch.delete(&at(numbers.users, &key(2))).unwrap();
    db.commit(batch, Durability::Disk).unwrap();
    drop(db);
    assert_eq!(report(dir.path())["contents"]["faults"].as_array().unwrap().len(), 2);
    let table = std::fs::read_dir(dir.path().join("tables")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&table, bytes).unwrap();
    let report = report(dir.path());
    assert!(report["sound"] == false && report["contents"].is_null(), "{report}");
}
