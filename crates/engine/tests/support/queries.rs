//! What tests of queries share: documents under numbers, queries of them, and their answers.

use fountain_engine::keys::{Key, decode, encode};
use fountain_engine::query::{Answer, Body, Query};
use fountain_engine::record::from_json;
use fountain_engine::{CollectionId, Durability, IndexDefinition, IndexKind, Store, WriteSet};
use serde_json::Value as Json;

use super::{Home, LocalHome, MemoryHome};

/// Puts documents under their numbers in one commit.
pub fn put(store: &Store, collection: CollectionId, documents: impl Iterator<Item = Json>) {
    let mut writes = WriteSet::new();
    for document in documents {
        let key = encode(&Key::Number(document["id"].as_f64().unwrap())).unwrap();
        let record = store.encode(&from_json(&document.to_string()).unwrap()).unwrap();
        writes.put(collection, &key, &record).unwrap();
    }
    store.commit(writes, Durability::Memory).unwrap();
}

/// The query that a body writes.
pub fn find(store: &Store, collection: CollectionId, body: &Json) -> Query {
    match store.parse_query(collection, &body.to_string(), false).unwrap() {
        Body::Find(query) => query,
        other => panic!("{other:?}"),
    }
}

/// The numbers under which the records of a page lie.
pub fn ids(answer: &Answer) -> Vec<f64> {
    let id = |(key, _): (&[u8], &[u8])| match decode(key).unwrap() {
        Key::Number(number) => number,
        other => panic!("{other:?}"),
    };
    answer.page.records().map(id).collect()
}

/// Runs a test on a store in memory and on one in a directory.
pub fn each_home(test: impl Fn(&Store)) {
    for home in [&MemoryHome::default() as &dyn Home, &LocalHome::new()] {
        let store = home.open();
        test(&store);
        store.close().unwrap();
    }
}

/// An index that is ready when this returns.
pub fn index(store: &Store, collection: CollectionId, name: &str, on: &[&str]) {
    let definition = IndexDefinition::new(name, IndexKind::Multi, on).unwrap();
    let id = store.create_index(collection, definition, Durability::Memory).unwrap();
    store.wait_for_index(id).unwrap();
}

/// The records of a page as JSON.
pub fn items(answer: &Answer) -> Json {
    serde_json::from_slice::<Json>(&answer.to_json().unwrap()).unwrap()["items"].take()
}

/// Carries out a change: how many records it met, and whether there was a commit.
pub fn change(store: &Store, collection: CollectionId, body: &Json) -> (u64, bool) {
    let Body::Change(query, change) = store.parse_query(collection, &body.to_string(), false).unwrap() else {
        panic!("{body} changes nothing")
    };
    let changed = store.change(collection, &query, &change, Durability::Memory).unwrap();
    (changed.records, changed.sequence.is_some())
}
