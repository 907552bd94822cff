//! Memory that commits take: what they change in indexes can be many times what they write, and is bounded all the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{channel, sync_channel};

use fountain_engine::{
    CollectionId, CollectionOptions, Durability, ErrorCode, IndexDefinition, IndexKind, WriteSet,
};
use support::expiry::{Setup, setup_on};
use support::test_kv::TestKv;
use support::{key, submit};

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

/// Bytes of commits after which storage is asked, and bytes that one commit may change in indexes.
const MOST_AT_ONCE: usize = (16 << 20) + (48 << 20);

/// Deletes records, each in a commit of its own.
fn deletes(collection: CollectionId, count: u32) -> Vec<WriteSet> {
    let delete = |number| {
        let mut writes = WriteSet::new();
        writes.delete(collection, &key(number)).unwrap();
        writes
    };
    (0..count).map(delete).collect()
}

#[test]
fn small_commits_that_wait_together_but_change_much_in_indexes_reach_storage_in_parts() {
    let (kv, setup, collection) = heavy();
    let json = document(32, 512);
    for number in 0..80 {
        setup.put(collection, number, &json, None).unwrap();
    }
    let (release, released) = sync_channel::<()>(0);
    let (entered, inside) = channel();
    let mut writes = WriteSet::new();
    writes.delete(collection, &key(1000)).unwrap();
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    });
    setup.store.submit(vec![writes], Durability::Memory, done);
    inside.recv().unwrap();
    kv.largest_group.store(0, Ordering::SeqCst);
    let answers: Vec<_> = deletes(collection, 80)
        .into_iter()
        .map(|delete| submit(&setup.store, vec![delete], Durability::Memory))
        .collect();
    let before = setup.store.sequence().get();
    drop(release);
    let sequences = answers.into_iter().map(|answer| answer.recv().unwrap().unwrap().first.get());
    assert!(sequences.eq(before + 1..=before + 80));
    let largest = kv.largest_group.load(Ordering::SeqCst);
    assert!(largest <= MOST_AT_ONCE, "{largest} bytes at once");
    assert_eq!(setup.store.count_records(collection, setup.store.sequence()).unwrap(), 0);
}

#[test]
fn of_commits_submitted_together_those_fail_that_are_in_a_part_that_storage_fails_to_take() {
    let (kv, setup, collection) = heavy();
    let json = document(32, 512);
    for number in 0..80 {
        setup.put(collection, number, &json, None).unwrap();
    }
    let before = setup.store.sequence().get();
    let storage_key = |number| [&collection.get().to_be_bytes()[..], &key(number)].concat();
    *kv.fails_deleting.lock().unwrap() = storage_key(40);
    let mut commits = deletes(collection, 80);
    // One that is refused for a reason of its own.
    commits[3].require_sequence(fountain_engine::Seq::MAX);
    let committed = submit(&setup.store, commits, Durability::Memory).recv().unwrap().unwrap();
    let refused: Vec<_> = committed.refused.iter().map(|refused| refused.place).collect();
    assert_eq!((committed.first.get(), committed.accepted + refused.len()), (before + 1, 80));
    assert_eq!(committed.refused[0].error.code, ErrorCode::Sequence);
    assert!(committed.refused[1..].iter().all(|refused| refused.error.code == ErrorCode::DiskFull));
    assert!(refused[0] == 3 && refused[1..].contains(&40) && refused.is_sorted(), "{refused:?}");
    assert!(refused[1] > 4 && refused.len() < 60, "{refused:?}");
    assert_eq!(setup.store.sequence().get(), before + committed.accepted as u64);
    for place in 0..80 {
        let is_there = setup.sees(collection, place, None);
        assert_eq!(is_there, refused.contains(&(place as usize)), "{place}");
        assert_eq!(committed.sequence(place as usize).is_err(), is_there);
    }

    *kv.fails_deleting.lock().unwrap() = storage_key(3);
    let answer = submit(&setup.store, deletes(collection, 4), Durability::Memory).recv().unwrap();
    assert_eq!(answer.unwrap_err().code, ErrorCode::DiskFull);
}
