//! Queries in transactions that go on while a query runs, as they do when nobody waits for it.

use std::sync::Arc;

use fountain_lsm::ReadTier;

use super::*;
use crate::error::ErrorCode;
use crate::index::{IndexDefinition, IndexKind};
use crate::kv::MemoryKv;
use crate::query::state::{Judged, State};
use crate::view::View;
use crate::{CollectionId, Durability, Isolation, Store, StoreOptions, Transaction, WriteSet};

fn put(store: &Store, transaction: &Transaction, collection: CollectionId, json: &str) {
    let (key, record) = store.encode_json(json, "id").unwrap();
    transaction.put(collection, &key, &record).unwrap();
}

/// A store of two records under an index, and a transaction that has changed one of them.
fn begun() -> (Store, CollectionId, Transaction) {
    let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    let mut writes = WriteSet::new();
    writes.create_index(collection, IndexDefinition::new("n", IndexKind::Multi, &["n"]).unwrap());
    for json in [r#"{"id":1,"n":1}"#, r#"{"id":3,"n":1}"#] {
        let (key, record) = store.encode_json(json, "id").unwrap();
        writes.put(collection, &key, &record).unwrap();
    }
    store.commit(writes, Durability::Memory).unwrap();
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    put(&store, &transaction, collection, r#"{"id":3,"n":1,"own":true}"#);
    (store, collection, transaction)
}

#[test]
fn a_query_sees_what_the_transaction_had_written_when_it_began() {
    let (store, collection, transaction) = begun();
    let state = State::new(&store.inner, collection, View::from(&transaction), Judged::ByView).unwrap();
    // Shapes that are younger than the query, in a new record and in one that it finds.
    put(&store, &transaction, collection, r#"{"id":2,"n":1,"new":1}"#);
    put(&store, &transaction, collection, r#"{"id":1,"n":1,"newer":1}"#);
    for hint in [json!({}), json!({ "where": { "n": 1 }, "hint": { "index": "n" } })] {
        let answer = find(&state, &query(&hint)).unwrap();
        assert_eq!(ids(&answer), [json!(1), json!(3)], "{hint}");
        let json: Json = serde_json::from_slice(&answer.to_json().unwrap()).unwrap();
        assert_eq!(json["items"], json!([{ "id": 1, "n": 1 }, { "id": 3, "n": 1, "own": true }]));
    }
    let now = State::new(&store.inner, collection, View::from(&transaction), Judged::ByView).unwrap();
    assert_eq!(ids(&find(&now, &query(&json!({}))).unwrap()), [json!(1), json!(2), json!(3)]);
}

#[test]
fn a_walk_ends_with_an_error_when_its_transaction_does() {
    for commits in [true, false] {
        let (store, collection, transaction) = begun();
        let range = collection.storage_range(&KeyRange::default());
        let kv = store.inner.kv.as_ref();
        let cursor = View::from(&transaction).cursor(kv, range, Direction::Forward, ReadTier::Disk);
        let mut cursor = cursor.unwrap();
        assert!(cursor.next().unwrap());
        if commits {
            transaction.commit(Durability::Memory).unwrap();
        } else {
            transaction.rollback();
        }
        assert_eq!(cursor.next().unwrap_err().code, ErrorCode::Closed);
    }
}
