//! A commit that defines a collection and is refused: what it would have defined is not there, and who comes behind it in the
//! same group finds the store as if it had never been asked for.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc::channel;

use fountain_engine::record::{Value, from_json};
use fountain_engine::{
    CollectionId, CollectionOptions, Committed, Durability, ErrorCode, IndexDefinition, IndexKind, ReadTier,
    Result, Seq, Store, View, WriteSet,
};
use support::{Home, LocalHome, MemoryHome, key, put, submit};

/// A commit that puts documents with these numbers `n` under 0, 1 and so on.
fn numbered(store: &Store, collection: CollectionId, numbers: &[u32]) -> WriteSet {
    let mut writes = WriteSet::new();
    for (place, n) in numbers.iter().enumerate() {
        let record = store.encode(&from_json(&format!(r#"{{"n":{n}}}"#)).unwrap()).unwrap();
        writes.put(collection, &key(place as u32), &record).unwrap();
    }
    writes
}

/// One that creates a collection with a unique index, and is refused because two of its documents have the same number.
fn refused(store: &Store, collection: CollectionId) -> WriteSet {
    let mut writes = numbered(store, collection, &[1, 1]);
    writes.create_collection(collection, CollectionOptions::default());
    let by_n = IndexDefinition::new("byN", IndexKind::Unique, &["n"]).unwrap();
    writes.create_index(collection, by_n);
    writes
}

/// Answers to submissions that the commit thread has found together, behind one put into `other`.
fn one_group(store: &Store, other: CollectionId, all: [WriteSet; 2]) -> [Result<Committed>; 2] {
    let (release, released) = channel::<()>();
    let (entered, inside) = channel();
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    });
    store.submit(vec![put(other, 0)], Durability::Memory, done);
    inside.recv().unwrap();
    let answers = all.map(|writes| submit(store, vec![writes], Durability::Disk));
    drop(release);
    answers.map(|answer| answer.recv().unwrap())
}

/// Runs a test in each place, with the store and the collections `other`, which gets its first record, and `fresh`.
fn in_each_home(test: impl Fn(&dyn Home, Store, CollectionId, CollectionId)) {
    for home in [&MemoryHome::default() as &dyn Home, &LocalHome::new()] {
        let store = home.open();
        let (other, fresh) = (store.collection("other").unwrap(), store.collection("fresh").unwrap());
        test(home, store, other, fresh);
    }
}

fn check_refused(answer: &Result<Committed>) {
    let answer = answer.as_ref().unwrap();
    let refused: Vec<_> = answer.refused.iter().map(|refused| (refused.place, refused.error.code)).collect();
    assert_eq!((answer.accepted, refused), (0, vec![(0, ErrorCode::Unique)]));
}

fn count(store: &Store, collection: CollectionId) -> u64 {
    store.count_records(collection, View::Newest).unwrap()
}

#[test]
fn nothing_of_it_is_there_when_the_next_commit_goes_elsewhere() {
    in_each_home(|home, store, other, fresh| {
        let [first, second] = one_group(&store, other, [refused(&store, fresh), put(other, 5)]);
        check_refused(&first);
        assert_eq!(second.unwrap().first.get(), 2, "what is refused takes no sequence");
        assert_eq!(store.collections().unwrap(), ["other"]);
        assert_eq!(store.index(fresh, "byN").unwrap_err().code, ErrorCode::NoIndex);
        assert_eq!((count(&store, fresh), count(&store, other)), (0, 2));
        // What comes next gets a number of its own, and the name that was refused its collection after all.
        let another = store.collection("another").unwrap();
        assert!(another != fresh && another != other);
        store.commit(put(another, 1), Durability::Disk).unwrap();
        assert_eq!(store.commit(numbered(&store, fresh, &[1, 1]), Durability::Disk).unwrap().get(), 4);
        store.close().unwrap();

        let store = home.open();
        assert_eq!(store.collections().unwrap(), ["another", "fresh", "other"]);
        let ids = ["another", "fresh", "other"].map(|name| store.collection(name).unwrap());
        assert_eq!(ids, [another, fresh, other]);
        assert_eq!(ids.map(|id| count(&store, id)), [1, 2, 2]);
        assert_eq!(store.index(fresh, "byN").unwrap_err().code, ErrorCode::NoIndex);
        store.close().unwrap();
    });
}

#[test]
fn its_number_is_free_after_the_next_open_and_belongs_to_one_collection_then() {
    in_each_home(|home, store, other, fresh| {
        let [first, second] = one_group(&store, other, [refused(&store, fresh), put(other, 5)]);
        check_refused(&first);
        second.unwrap();
        store.close().unwrap();

        let store = home.open();
        assert_eq!(store.collections().unwrap(), ["other"]);
        let all = ["one", "two", "fresh"].map(|name| {
            let id = store.collection(name).unwrap();
            store.commit(put(id, 1), Durability::Disk).unwrap();
            id
        });
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2] && !all.contains(&other));
        store.close().unwrap();
        let store = home.open();
        assert_eq!(["one", "two", "fresh"].map(|name| store.collection(name).unwrap()), all);
        assert_eq!(all.map(|id| count(&store, id)), [1; 3]);
        store.close().unwrap();
    });
}

#[test]
fn the_next_commit_creates_the_collection_itself_when_it_writes_into_it() {
    in_each_home(|home, store, other, fresh| {
        let mut writes = numbered(&store, fresh, &[7, 7, 8]);
        writes.create_index(fresh, IndexDefinition::new("all", IndexKind::Multi, &["n"]).unwrap());
        let [first, second] = one_group(&store, other, [refused(&store, fresh), writes]);
        check_refused(&first);
        assert_eq!(second.unwrap().first.get(), 2);
        let check = |store: &Store| {
            assert_eq!(store.collections().unwrap(), ["fresh", "other"]);
            assert_eq!((store.collection("fresh").unwrap(), count(store, fresh)), (fresh, 3));
            assert_eq!(store.index(fresh, "byN").unwrap_err().code, ErrorCode::NoIndex);
            let all = store.index(fresh, "all").unwrap();
            assert_eq!((all.collection, all.since.map(Seq::get)), (fresh, Some(2)));
            let found = store.find(fresh, "all", &[Value::Number(7.0)], View::Newest, 9).unwrap();
            assert!(found.records().map(|(found, _)| found).eq([key(0), key(1)]));
            assert!(store.get(fresh, &key(2), None, ReadTier::Disk).unwrap().is_some());
        };
        check(&store);
        store.close().unwrap();
        let store = home.open();
        check(&store);
        // The number of the index is taken, which the next open would notice.
        let another = store.collection("another").unwrap();
        store.commit(put(another, 1), Durability::Disk).unwrap();
        assert_ne!(another.get(), store.index(fresh, "all").unwrap().id.get());
        store.close().unwrap();
        let store = home.open();
        assert_eq!([fresh, another, other].map(|id| count(&store, id)), [3, 1, 1]);
        store.close().unwrap();
    });
}
