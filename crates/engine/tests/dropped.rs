//! Dropped collections: they are gone from the newest state only, and everybody concerned is told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fountain_engine::record::from_json;
use fountain_engine::{
    ChangesRequest, Durability, ErrorCode, IndexDefinition, IndexKind, Isolation, ReadTier, ScanEnd, Seq,
    Store, StoreOptions, VersionPage, WriteSet,
};
use support::test_kv::TestKv;
use support::{Home, LocalHome, MemoryHome, document, key, put};

fn commit(store: &Store, writes: WriteSet) -> Seq {
    store.commit(writes, Durability::Memory).unwrap()
}

/// Collection, key and kind of each change; the key of a drop is empty.
fn told(page: &VersionPage) -> Vec<(u64, u32, usize, bool)> {
    page.versions()
        .map(|(seq, collection, key, document)| (seq.get(), collection.get(), key.len(), document.is_some()))
        .collect()
}

/// Two commits to a collection, which is then dropped and comes again under its name.
fn dropped(home: &impl Home) -> Store {
    let store = home.open();
    let (kept, old) = (store.collection("kept").unwrap(), store.collection("c").unwrap());
    let mut both = put(kept, 1);
    both.put(old, &key(1), &document(b"")).unwrap();
    commit(&store, both);
    commit(&store, put(old, 2));
    store.drop_collection("c", Durability::Memory).unwrap();
    let new = store.collection("c").unwrap();
    assert_ne!(old, new);
    commit(&store, put(new, 3));
    store
}

fn check_past(store: &Store) {
    let at = |number| Seq::new(number).unwrap();
    let (old, new) = (store.collection_at("c", at(2)).unwrap().unwrap(), store.collection("c").unwrap());
    assert!(store.get(old, &key(2), at(2), ReadTier::Disk).unwrap().is_some());
    assert_eq!(
        (store.collection_at("c", at(3)).unwrap(), store.collection_at("c", at(4)).unwrap()),
        (None, Some(new))
    );
    assert_eq!(store.collection_at("nobody", at(4)).unwrap(), None);
    assert_eq!(store.collections_at(at(2)).unwrap().into_values().collect::<Vec<_>>(), ["kept", "c"]);
    assert_eq!(store.collection_at("no name", at(4)).unwrap_err().code, ErrorCode::InvalidName);

    // How the moments differ, whole and in pages of one.
    let (old, new) = (old.get(), new.get());
    let request = |after, upto, max_bytes| ChangesRequest { collection: None, after, upto, max_bytes };
    let mut page = VersionPage::new();
    store.diff(&request(at(1), at(4), 1 << 20), None, &mut page).unwrap();
    assert_eq!(told(&page), [(3, old, 9, false), (4, new, 9, true)]);
    let (mut start, mut found) = (None, Vec::new());
    loop {
        let end = store.diff(&request(at(2), at(4), 1), start.as_deref(), &mut page).unwrap();
        found.extend(told(&page));
        if end == ScanEnd::Done {
            break;
        }
        start = page.after_last();
    }
    assert_eq!(found, [(3, old, 9, false), (3, old, 9, false), (4, new, 9, true)]);
    // What came and went in between differs in neither.
    store.diff(&request(at(0), at(3), 1 << 20), None, &mut page).unwrap();
    assert_eq!(told(&page), [(1, 16, 9, true)]);

    let whole =
        [(1, 16, 9, true), (1, old, 9, true), (2, old, 9, true), (3, old, 0, false), (4, new, 9, true)];
    assert_eq!(store.changes(&request(at(0), at(4), 1 << 20), &mut page).unwrap(), at(4));
    assert_eq!(told(&page), whole);
    let (mut after, mut found) = (at(0), Vec::new());
    while after < at(4) {
        after = store.changes(&request(after, at(4), 1), &mut page).unwrap();
        found.extend(told(&page));
    }
    assert_eq!(found, whole);
}

#[test]
fn a_dropped_collection_is_found_in_the_past_by_its_name_and_told_of() {
    for reopened in [false, true] {
        let (memory, local) = (MemoryHome::default(), LocalHome::new());
        let mut stores = [dropped(&memory), dropped(&local)];
        if reopened {
            for store in &stores {
                store.close().unwrap();
            }
            stores = [memory.open(), local.open()];
        }
        for store in stores {
            check_past(&store);
            store.close().unwrap();
        }
    }
}

#[test]
fn watchers_are_told_of_a_drop_and_of_what_came_before_it() {
    let store = support::memory_store();
    let watch = store.watch().unwrap();
    let (one, other) = (store.collection("c").unwrap(), store.collection("d").unwrap());
    commit(&store, put(one, 1));
    commit(&store, put(other, 1));
    store.drop_collection("c", Durability::Memory).unwrap();
    commit(&store, put(other, 2));
    let mut page = VersionPage::new();
    assert_eq!(watch.next(None, Seq::ZERO, 1 << 20, &mut page).unwrap().get(), 4);
    let (one, other) = (one.get(), other.get());
    let whole = [(1, one, 9, true), (2, other, 9, true), (3, one, 0, false), (4, other, 9, true)];
    assert_eq!(told(&page), whole);
    // The same from storage.
    let request =
        ChangesRequest { collection: None, after: Seq::ZERO, upto: store.sequence(), max_bytes: 1 << 20 };
    store.changes(&request, &mut page).unwrap();
    assert_eq!(told(&page), whole);
}

#[test]
fn a_transaction_that_writes_to_a_collection_that_is_dropped_meanwhile_conflicts() {
    let store = support::memory_store();
    let collection = store.collection("c").unwrap();
    commit(&store, put(collection, 1));
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    transaction.put(collection, &key(2), &document(b"")).unwrap();
    let in_group = store.begin(Isolation::Snapshot).unwrap();
    in_group.put(collection, &key(3), &document(b"")).unwrap();
    store.drop_collection("c", Durability::Memory).unwrap();
    for transaction in [transaction, in_group] {
        assert_eq!(transaction.commit(Durability::Memory).unwrap_err().code, ErrorCode::Conflict);
    }
    // Without a transaction it is a mistake.
    let refused = store.commit(put(collection, 4), Durability::Memory).unwrap_err();
    assert_eq!((refused.code, refused.details.collection.as_deref()), (ErrorCode::NotFound, Some("c")));
}

#[test]
fn a_commit_drops_a_collection_once() {
    let store = support::memory_store();
    let collection = store.collection("c").unwrap();
    commit(&store, put(collection, 1));
    let mut twice = WriteSet::new();
    twice.drop_collection(collection);
    twice.drop_collection(collection);
    let refused = store.commit(twice, Durability::Memory).unwrap_err();
    assert_eq!((refused.code, refused.details.collection.as_deref()), (ErrorCode::NotFound, Some("c")));
    assert!(store.collection_info("c").unwrap().is_some(), "nothing of it happens");
    // An index of what is dropped goes with it, and not by itself.
    store
        .create_index(
            collection,
            IndexDefinition::new("i", IndexKind::Multi, &["a"]).unwrap(),
            Durability::Memory,
        )
        .unwrap();
    let mut both = WriteSet::new();
    both.drop_collection(collection);
    both.drop_index(collection, "i");
    assert_eq!(store.commit(both, Durability::Memory).unwrap_err().code, ErrorCode::NotFound);
    assert!(store.collection_info("c").unwrap().is_some());
}

#[test]
fn looking_for_a_name_uses_up_no_id() {
    let store = support::memory_store();
    assert_eq!(store.known_collection("nobody").unwrap(), None);
    let id = store.collection("c").unwrap();
    assert_eq!((store.known_collection("c").unwrap(), id.get()), (Some(id), 16));
    assert_eq!(store.known_collection("").unwrap_err().code, ErrorCode::InvalidName);
}

/// A store with so many documents in a collection with three indexes.
fn filled(kv: &Arc<TestKv>, count: u32) -> Store {
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    for paths in [&["n"][..], &["s"], &["n", "s"]] {
        let definition = IndexDefinition::new(&paths.join("."), IndexKind::Multi, paths).unwrap();
        let id = store.create_index(collection, definition, Durability::Memory).unwrap();
        store.wait_for_index(id).unwrap();
    }
    for start in (0..count).step_by(1000) {
        let mut writes = WriteSet::new();
        for number in start..count.min(start + 1000) {
            let json = format!(r#"{{"n":{number},"s":"text {number}"}}"#);
            writes.put(collection, &key(number), &store.encode(&from_json(&json).unwrap()).unwrap()).unwrap();
        }
        commit(&store, writes);
    }
    store
}

/// What `work` asks of storage: operations and bytes written, keys read, and walks begun.
fn asked(kv: &TestKv, work: impl FnOnce()) -> [usize; 5] {
    let counters = [&kv.operations, &kv.largest_group, &kv.single_reads, &kv.keys_read, &kv.walks];
    for counter in counters {
        counter.store(0, Ordering::SeqCst);
    }
    work();
    counters.map(|counter: &AtomicUsize| counter.load(Ordering::SeqCst))
}

#[test]
fn dropping_asks_the_same_of_storage_whatever_is_dropped() {
    let costs = [10, 5000].map(|count| {
        let kv = Arc::new(TestKv::default());
        let store = filled(&kv, count);
        let collection = store.collection("c").unwrap();
        let index = asked(&kv, || assert!(store.drop_index(collection, "n", Durability::Memory).is_ok()));
        let whole = asked(&kv, || assert!(store.drop_collection("c", Durability::Memory).is_ok()));
        store.close().unwrap();
        [index, whole]
    });
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0].iter().all(|cost| cost[0] > 0), "{costs:?}");
}
