//! Conditions of commits: judged one commit at a time, in order, by everything before it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::thread;

use fountain_engine::{
    CollectionId, Condition, Durability, Error, ErrorCode, ReadTier, Seq, Store, WriteSet,
};
use support::{Home, LocalHome, MemoryHome, document, key, memory_store, put, submit};

fn insert(collection: CollectionId, number: u32) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.put_if(collection, &key(number), &document(b""), Condition::Absent).unwrap();
    writes
}

fn replace(collection: CollectionId, number: u32, expected: Seq) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.put_if(collection, &key(number), &document(b""), Condition::Sequence(expected)).unwrap();
    writes
}

fn remove(collection: CollectionId, number: u32, expected: Seq) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.delete_if(collection, &key(number), Condition::Sequence(expected)).unwrap();
    writes
}

fn commit(store: &Store, writes: WriteSet) -> Result<Seq, Error> {
    store.commit(writes, Durability::Disk)
}

fn code(result: Result<Seq, Error>) -> ErrorCode {
    result.unwrap_err().code
}

/// Keeps the commit thread in a callback until the sender is dropped.
fn hold(store: &Store, collection: CollectionId) -> SyncSender<()> {
    let (release, released) = sync_channel::<()>(0);
    let (entered, inside) = channel();
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    });
    store.submit(vec![put(collection, 0)], Durability::Memory, done);
    inside.recv().unwrap();
    release
}

#[test]
fn conditions_hold_through_memory_tables_and_reopening() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let collection = store.collection("c").unwrap();
        let first = commit(&store, insert(collection, 1)).unwrap();
        let error = commit(&store, insert(collection, 1)).unwrap_err();
        assert_eq!(
            (error.code, error.details.item, error.details.found),
            (ErrorCode::Exists, Some(0), Some(1))
        );
        assert_eq!(error.details.collection.as_deref(), Some("c"));
        assert_eq!(error.details.key, Some(key(1)));
        store.flush().unwrap();
        assert_eq!(code(commit(&store, insert(collection, 1))), ErrorCode::Exists);
        let second = commit(&store, replace(collection, 1, first)).unwrap();
        assert_eq!(code(commit(&store, replace(collection, 1, first))), ErrorCode::Conflict);
        store.compact().unwrap();
        store.close().unwrap();

        let store = home.open();
        assert_eq!(code(commit(&store, remove(collection, 1, first))), ErrorCode::Conflict);
        commit(&store, remove(collection, 1, second)).unwrap();
        assert_eq!(code(commit(&store, remove(collection, 1, second))), ErrorCode::Conflict);
        commit(&store, insert(collection, 1)).unwrap();
        assert_eq!(store.metrics().refusals, 2);
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn commits_of_one_group_are_judged_in_order_and_a_refused_one_hinders_nobody() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let release = hold(&store, collection);
    let one = submit(
        &store,
        vec![insert(collection, 1), insert(collection, 1), put(collection, 2), insert(collection, 2)],
        Durability::Disk,
    );
    let mut removal = WriteSet::new();
    removal.delete(collection, &key(1)).unwrap();
    let two = submit(&store, vec![insert(collection, 1), removal, insert(collection, 1)], Durability::Disk);
    let none = submit(&store, vec![insert(collection, 2)], Durability::Disk);
    // The first put of the group gets sequence 2.
    let three = submit(&store, vec![replace(collection, 1, Seq::new(5).unwrap())], Durability::Disk);
    drop(release);

    let one = one.recv().unwrap().unwrap();
    let codes: Vec<_> = (0..4).map(|place| one.sequence(place).map_err(|error| error.code)).collect();
    let seq = |number| Ok(Seq::new(number).unwrap());
    assert_eq!(codes, [seq(2), Err(ErrorCode::Exists), seq(3), Err(ErrorCode::Exists)]);
    let two = two.recv().unwrap().unwrap();
    assert_eq!(code(two.sequence(0)), ErrorCode::Exists);
    assert_eq!((two.sequence(1).unwrap().get(), two.sequence(2).unwrap().get()), (4, 5));
    let none = none.recv().unwrap().unwrap();
    assert_eq!((none.accepted, none.refused.len(), none.first.get()), (0, 1, 5));
    assert_eq!(three.recv().unwrap().unwrap().sequence(0).unwrap().get(), 6);
    assert_eq!(store.sequence().get(), 6);
}

#[test]
fn a_commit_with_one_condition_that_fails_writes_nothing() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    commit(&store, put(collection, 1)).unwrap();
    let mut writes = WriteSet::new();
    writes.put(collection, &key(2), &document(b"")).unwrap();
    writes.put_if(collection, &key(1), &document(b""), Condition::Absent).unwrap();
    let error = commit(&store, writes).unwrap_err();
    assert_eq!((error.code, error.details.item), (ErrorCode::Exists, Some(1)));
    assert!(store.get(collection, &key(2), None, ReadTier::Disk).unwrap().is_none());
    assert_eq!(store.sequence().get(), 1);

    let mut twice = WriteSet::new();
    twice.put_if(collection, &key(3), &document(b""), Condition::Absent).unwrap();
    twice.put_if(collection, &key(3), &document(b""), Condition::Absent).unwrap();
    assert_eq!(code(commit(&store, twice)), ErrorCode::Exists);
    let mut again = WriteSet::new();
    again.delete(collection, &key(1)).unwrap();
    again.put_if(collection, &key(1), &document(b""), Condition::Absent).unwrap();
    commit(&store, again).unwrap();
}

#[test]
fn a_required_sequence_counts_what_the_same_group_commits_before() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let after = |least| {
        let mut writes = put(collection, 9);
        writes.require_sequence(Seq::new(least).unwrap());
        writes
    };
    let release = hold(&store, collection);
    let answer = submit(&store, vec![after(2), put(collection, 1), after(2), after(9)], Durability::Disk);
    drop(release);
    let answer = answer.recv().unwrap().unwrap();
    let refused: Vec<_> = answer.refused.iter().map(|refused| (refused.place, refused.error.code)).collect();
    assert_eq!(refused, [(0, ErrorCode::Sequence), (3, ErrorCode::Sequence)]);
    let details = &answer.refused[1].error.details;
    assert_eq!((details.requested, details.newest), (Some(9), Some(3)));
}

#[test]
fn of_many_who_insert_the_same_key_one_succeeds() {
    let home = LocalHome::new();
    let store = home.open();
    let collection = store.collection("c").unwrap();
    thread::scope(|scope| {
        let writer = || (0..200).filter(|&n| commit(&store, insert(collection, n)).is_ok()).count();
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(writer)).collect();
        let inserted: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(inserted, 200);
    });
    assert_eq!((store.sequence().get(), store.metrics().refusals), (200, 600));
    store.close().unwrap();
}

#[test]
fn counters_that_many_increment_by_sequence_lose_nothing() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let start = commit(&store, put(collection, 1)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut known = start;
                let mut done = 0;
                while done < 50 {
                    match commit(&store, replace(collection, 1, known)) {
                        Ok(sequence) => {
                            known = sequence;
                            done += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.code, ErrorCode::Conflict);
                            known = Seq::new(error.details.found.unwrap()).unwrap();
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.sequence().get(), 201);
}
