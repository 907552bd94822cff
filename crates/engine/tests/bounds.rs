//! Memory that commits take: what they change in indexes can be many times what they write, and is bounded all the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fountain_engine::{
    CollectionId, CollectionOptions, Durability, ErrorCode, IndexDefinition, IndexKind, WriteSet,
};
use support::expiry::{Setup, setup_on};
use support::key;
use support::test_kv::TestKv;

/// A store on storage that counts, with a collection under an index in which one record may have thousands of entries.
fn heavy() -> (Arc<TestKv>, Setup, CollectionId) {
    let kv = Arc::new(TestKv::default());
    let setup = setup_on(kv.clone());
    let collection = setup.create(CollectionOptions::default());
    let definition = IndexDefinition::new("ab", IndexKind::Multi, &["a[]", "b[]"]).unwrap();
    let index = setup.store.create_index(collection, definition, Durability::Memory).unwrap();
    setup.store.wait_for_index(index).unwrap();
    (kv, setup, collection)
}

/// A document with `count` times `count` entries, each of a little more than twice `length` bytes.
fn document(count: usize, length: usize) -> String {
    let texts: Vec<_> = (0..count).map(|n| format!("\"{n:02}{}\"", "x".repeat(length - 2))).collect();
    let texts = texts.join(",");
    format!(r#"{{"a":[{texts}],"b":[{texts}]}}"#)
}

#[test]
fn a_commit_that_changes_too_much_in_indexes_is_refused_before_all_of_it_is_worked_out() {
    let (kv, setup, collection) = heavy();
    // 1024 entries of 1 KiB each; 48 MiB may be changed.
    let json = document(32, 512);
    let mut deletes = WriteSet::new();
    for number in 0..80 {
        setup.put(collection, number, &json, None).unwrap();
        deletes.delete(collection, &key(number)).unwrap();
    }
    let before = kv.single_reads.load(Ordering::SeqCst);
    let error = setup.store.commit(deletes, Durability::Memory).unwrap_err();
    assert_eq!((error.code, error.details.what), (ErrorCode::TooLarge, Some("index entries of a commit")));
    let read = kv.single_reads.load(Ordering::SeqCst) - before;
    assert!(read < 60, "{read} records were read");
    assert_eq!(setup.store.count_records(collection, setup.store.sequence()).unwrap(), 80);
}

#[test]
fn a_chunk_of_a_build_that_changes_too_much_is_committed_in_parts() {
    let (_, setup, collection) = heavy();
    let json = document(32, 512).replacen('{', "{\"n\":1,", 1);
    for number in 0..80 {
        setup.put(collection, number, &json, Some(50)).unwrap();
    }
    setup.put(collection, 80, r#"{"n":1}"#, None).unwrap();
    setup.at(60);
    setup.index(collection, "n", IndexKind::Unique);
    assert_eq!(setup.store.metrics().expired, 80);
    assert_eq!(setup.store.count_records(collection, setup.store.sequence()).unwrap(), 1);
}
