//! Reads of many records at once: of one state, and without reading what is not returned.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fountain_engine::{Durability, Isolation, ReadTier, Store, StoreOptions, View, WriteSet};
use support::test_kv::TestKv;
use support::{document, key, put};

fn open() -> (Arc<TestKv>, Store) {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    (kv, store)
}

#[test]
fn reading_on_behind_what_had_room_reads_everything_about_once() {
    let (kv, store) = open();
    let collection = store.collection("c").unwrap();
    let keys: Vec<_> = (0..1000).map(key).collect();
    let large = document(&[7; 1000]);
    for key in &keys {
        let mut writes = WriteSet::new();
        writes.put(collection, key, &large).unwrap();
        store.commit(writes, Durability::Memory).unwrap();
    }
    let (mut found, mut calls) = (0, 0);
    while found < keys.len() {
        let rest: Vec<&[u8]> = keys[found..].iter().map(Vec::as_slice).collect();
        let part = store.get_many_within(collection, &rest, View::Newest, ReadTier::Disk, 20_000).unwrap();
        assert!(part.iter().all(|document| document.as_deref() == Some(&large[..])));
        assert!((1..=30).contains(&part.len()), "{} records of a thousand bytes", part.len());
        (found, calls) = (found + part.len(), calls + 1);
    }
    let read = kv.keys_read.load(Ordering::SeqCst);
    assert!(calls > 30 && read < 2 * keys.len(), "{read} keys were read in {calls} calls");
}

#[test]
fn a_record_that_has_no_room_is_read_by_itself_and_all_fit_without_a_limit() {
    let (_, store) = open();
    let collection = store.collection("c").unwrap();
    for number in 0..300 {
        store.commit(put(collection, number), Durability::Memory).unwrap();
    }
    let keys: Vec<_> = (0..600).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let read = |keys: &[&[u8]], bytes| {
        let found = store.get_many_within(collection, keys, View::Newest, ReadTier::Disk, bytes).unwrap();
        (found.len(), found.iter().flatten().count())
    };
    assert_eq!((read(&keys, 1), read(&keys[299..], 1)), ((1, 1), (1, 1)));
    assert_eq!((read(&keys, usize::MAX), read(&keys[..0], 1)), ((600, 300), (0, 0)));
}

#[test]
fn many_reads_of_a_transaction_see_its_own_writes_of_one_moment() {
    let (kv, store) = open();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Memory).unwrap();
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    let writing = transaction.clone();
    *kv.on_get.lock().unwrap() = Some(Box::new(move || {
        writing.put(collection, &key(2), &document(b"meanwhile")).unwrap();
    }));
    let keys = [key(1), key(2)];
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let read = || {
        let found = store.get_many(collection, &keys, &transaction, ReadTier::Disk).unwrap();
        found.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!((read(), read()), (vec![true, false], vec![true, true]));
}
