//! The sweeper deletes what it can: what is too much at once or cannot be read hinders nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use fountain_engine::{CollectionOptions, Durability, IndexDefinition, IndexKind};
use support::expiry::{setup, setup_on};
use support::key;
use support::test_kv::TestKv;

#[test]
fn a_chunk_with_too_many_index_entries_is_deleted_in_parts() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    let definition = IndexDefinition::new("t", IndexKind::Multi, &["t[]"]).unwrap();
    let index = setup.store.create_index(collection, definition, Durability::Memory).unwrap();
    setup.store.wait_for_index(index).unwrap();
    // 256 of these have more entries than one commit may change.
    let texts: Vec<_> = (0..110).map(|n| format!("\"{n}{}\"", "x".repeat(2000))).collect();
    let json = format!("{{\"t\":[{}]}}", texts.join(","));
    for number in 0..256 {
        setup.put(collection, number, &json, Some(1)).unwrap();
    }
    let other = setup.store.collection("other").unwrap();
    setup.put(other, 1, "{}", Some(1)).unwrap();
    setup.at(1);
    setup.store.sweep_expired().unwrap();
    let metrics = setup.store.metrics();
    assert_eq!((metrics.expired, metrics.unswept), (257, 0));
}

#[test]
fn a_record_that_cannot_be_read_is_left_and_counted_and_everything_else_goes() {
    let kv = Arc::new(TestKv::default());
    let setup = setup_on(kv.clone());
    let (collection, other) =
        (setup.create(CollectionOptions::default()), setup.store.collection("d").unwrap());
    for number in 0..600 {
        setup.put(collection, number, "{}", Some(1)).unwrap();
    }
    setup.put(other, 1, "{}", Some(1)).unwrap();
    setup.at(1);
    *kv.unreadable.lock().unwrap() = [&collection.get().to_be_bytes()[..], &key(7)].concat();
    setup.store.sweep_expired().unwrap();
    let metrics = setup.store.metrics();
    assert_eq!((metrics.expired, metrics.unswept), (600, 1));

    kv.unreadable.lock().unwrap().clear();
    setup.store.sweep_expired().unwrap();
    let metrics = setup.store.metrics();
    assert_eq!((metrics.expired, metrics.unswept), (601, 0));
}

#[test]
fn what_keeps_the_store_from_writing_ends_the_sweep() {
    let kv = Arc::new(TestKv::default());
    let setup = setup_on(kv.clone());
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, "{}", Some(1)).unwrap();
    setup.at(1);
    kv.fails.store(true, std::sync::atomic::Ordering::SeqCst);
    setup.store.sweep_expired().unwrap_err();
    kv.fails.store(false, std::sync::atomic::Ordering::SeqCst);
    setup.store.sweep_expired().unwrap();
    assert_eq!(setup.store.metrics().expired, 1);
}
