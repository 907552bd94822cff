//! Following a store: each change once, from memory or from storage, and ends that are noticed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::thread;

use fountain_engine::limits::MAX_FEED_BYTES;
use fountain_engine::record::from_json;
use fountain_engine::{
    CollectionOptions, CollectionRetention, Durability, ErrorCode, Seq, Store, StoreOptions, VersionPage,
    Watch, WriteSet,
};
use support::gate_fs::{Gate, GateFs};
use support::test_kv::TestKv;
use support::{Home, LocalHome, MemoryHome, key, memory_store, put};

fn next(watch: &Watch, after: Seq) -> (Seq, Vec<u64>) {
    let mut page = VersionPage::new();
    let reached = watch.next(None, after, 500, &mut page).unwrap();
    (reached, page.versions().map(|(seq, ..)| seq.get()).collect())
}

/// Follows from the beginning until `last` was seen.
fn follow(store: &Store, last: u64) -> Vec<u64> {
    let watch = store.watch().unwrap();
    let (mut seen, mut after) = (Vec::new(), Seq::ZERO);
    while after.get() < last {
        let (reached, more) = next(&watch, after);
        seen.extend(more);
        if reached == after {
            let (sender, woken) = channel();
            watch.when_after(after, Box::new(move || sender.send(()).unwrap()));
            woken.recv().unwrap();
        }
        after = reached;
    }
    seen
}

#[test]
fn every_change_is_seen_once_and_in_order_while_commits_go_on() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let collection = store.collection("c").unwrap();
        let commit = |n| store.commit(put(collection, n), Durability::Memory).unwrap();
        for n in 0..50 {
            commit(n);
        }
        store.flush().unwrap();
        let seen = thread::scope(|scope| {
            let followers: Vec<_> = (0..3).map(|_| scope.spawn(|| follow(&store, 400))).collect();
            for n in 50..400 {
                commit(n % 60);
            }
            followers.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        for one in seen {
            assert!(one.iter().copied().eq(1..=400), "{one:?}");
        }
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn one_who_waits_learns_that_nothing_comes_any_more() {
    let store = memory_store();
    let (watch, cancelled) = (store.watch().unwrap(), store.watch().unwrap());
    let (sender, woken) = channel::<()>();
    for watch in [&watch, &cancelled] {
        let sender = sender.clone();
        watch.when_after(Seq::ZERO, Box::new(move || sender.send(()).unwrap()));
    }
    drop(sender);
    cancelled.cancel();
    store.close().unwrap();
    assert!(woken.recv().is_err());
    let error = watch.next(None, Seq::ZERO, 1, &mut VersionPage::new()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Closed);
    assert_eq!(store.watch().unwrap_err().code, ErrorCode::Closed);
}

#[test]
fn the_future_is_an_error() {
    let store = memory_store();
    let error = store.watch().unwrap().next(None, Seq::MAX, 1, &mut VersionPage::new()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Sequence);
}

fn document(store: &Store, n: u32) -> Vec<u8> {
    store.encode(&from_json(&format!(r#"{{"n":{n}}}"#)).unwrap()).unwrap()
}

/// What is told, brief: sequence, key, `n` of the document and of the one before it.
type Brief = (u64, u8, Option<String>, Option<String>, bool);

fn all_told(store: &Store, watch: &Watch) -> Vec<Brief> {
    let (mut page, mut told, mut after) = (VersionPage::new(), Vec::new(), watch.begin());
    while after < store.sequence() {
        after = watch.next(None, after, 60, &mut page).unwrap();
        let json = |document: &[u8]| store.to_json(document).unwrap();
        told.extend(page.changes().map(|one| {
            let key = one.key.last().copied().unwrap_or_default();
            (one.seq.get(), key, one.document.map(json), one.previous.map(json), one.leaves)
        }));
    }
    told
}

#[test]
fn by_conditions_the_same_is_told_from_memory_and_from_storage_whatever_is_kept() {
    fn check(home: &dyn Home, retention: CollectionRetention) {
        let store = home.open();
        let options = CollectionOptions { retention: Some(retention), ..CollectionOptions::default() };
        let collection = store.create_collection("c", options, Durability::Memory).unwrap();
        let put = |changes: &[(u32, Option<u32>)]| {
            let mut writes = WriteSet::new();
            for (id, n) in changes {
                match n {
                    Some(n) => writes.put(collection, &key(*id), &document(&store, *n)).unwrap(),
                    None => writes.delete(collection, &key(*id)).unwrap(),
                }
            }
            store.commit(writes, Durability::Memory).unwrap();
        };
        put(&[(1, Some(1)), (2, Some(9))]);
        let sight = |previous| {
            let sight = format!(r#"{{"where":{{"n":{{"$lt":5}}}},"prev":{previous}}}"#);
            store.parse_sight(&sight, false).unwrap()
        };
        let begin = store.sequence();
        let live = store.watch_collection(collection, sight(true), None).unwrap();
        assert_eq!(live.begin(), begin);
        for n in [2, 8, 9, 3] {
            put(&[(1, Some(n)), (3, Some(9))]);
        }
        put(&[(2, None)]);
        put(&[(1, None), (1, Some(4)), (2, None)]);
        put(&[(1, None)]);
        if retention == CollectionRetention::LatestOnly {
            store.flush().unwrap();
            store.compact().unwrap();
        }
        let json = |n: u32| Some(format!(r#"{{"n":{n}}}"#));
        let at = |steps: u64| begin.get() + steps;
        let last = key(1).last().copied().unwrap();
        let expected = [
            (at(1), last, json(2), json(1), false),
            (at(2), last, json(8), json(2), true),
            (at(4), last, json(3), json(9), false),
            (at(6), last, json(4), json(3), false),
            (at(7), last, None, json(4), false),
        ];
        assert_eq!(all_told(&store, &live), expected);
        if retention == CollectionRetention::Unbounded {
            // Nobody watched when these were made, so they come from storage.
            drop(live);
            put(&[(9, Some(9))]);
            let later = store.watch_collection(collection, sight(true), Some(begin)).unwrap();
            assert_eq!(all_told(&store, &later), expected);
            let brief = store.watch_collection(collection, sight(false), Some(begin)).unwrap();
            let without = expected.map(|(seq, key, document, _, leaves)| (seq, key, document, None, leaves));
            assert_eq!(all_told(&store, &brief), without);
        } else {
            let gone = store.watch_collection(collection, sight(true), Seq::new(begin.get() - 1));
            assert_eq!(gone.unwrap_err().code, ErrorCode::HistoryTruncated);
        }
        store.close().unwrap();
    }
    check(&MemoryHome::default(), CollectionRetention::Unbounded);
    check(&LocalHome::new(), CollectionRetention::Unbounded);
    check(&LocalHome::new(), CollectionRetention::LatestOnly);
}

#[test]
fn what_was_before_is_told_beside_a_flush_that_is_about_to_drop_it() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Arc::new(Gate::default()));
    let options = StoreOptions { fs: Arc::new(GateFs(Arc::clone(&gate))), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let keeps_newest = CollectionOptions {
        retention: Some(CollectionRetention::LatestOnly),
        ..CollectionOptions::default()
    };
    let collection = store.create_collection("c", keeps_newest, Durability::Memory).unwrap();
    let put = |n| {
        let mut writes = WriteSet::new();
        writes.put(collection, &key(1), &document(&store, n)).unwrap();
        store.commit(writes, Durability::Memory).unwrap();
    };
    put(1);
    let sight = store.parse_sight(r#"{"prev":true}"#, false).unwrap();
    let watch = store.watch_collection(collection, sight, None).unwrap();
    put(2);
    put(3);
    gate.shut();
    let (mut page, mut told) = (VersionPage::new(), Vec::new());
    let mut next = |after| {
        let reached = watch.next(None, after, 1, &mut page);
        let json = |document: &[u8]| store.to_json(document).unwrap();
        told.extend(page.changes().map(|one| (one.document.map(json), one.previous.map(json))));
        reached
    };
    let begin = watch.begin();
    let reached = thread::scope(|scope| {
        let flush = scope.spawn(|| store.flush());
        gate.wait_for_somebody();
        let reached = next(begin);
        gate.open();
        flush.join().unwrap().unwrap();
        reached
    });
    assert_eq!(next(reached.unwrap()).unwrap(), store.sequence());
    let json = |n: u32| Some(format!(r#"{{"n":{n}}}"#));
    assert_eq!(told, [(json(2), json(1)), (json(3), json(2))]);
    store.close().unwrap();
}

/// What was read ahead of a page is all there is of it once the retention and the memory for watchers have let go of it.
#[test]
fn a_page_that_could_not_be_filled_is_filled_the_next_time_whatever_was_dropped_meanwhile() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let keeps_newest = CollectionOptions {
        retention: Some(CollectionRetention::LatestOnly),
        ..CollectionOptions::default()
    };
    let collection = store.create_collection("c", keeps_newest, Durability::Memory).unwrap();
    let put = |id, size| {
        let text = char::from(b'a' + id as u8).to_string().repeat(size);
        let document = from_json(&format!(r#"{{"text":"{text}"}}"#)).unwrap();
        let mut writes = WriteSet::new();
        writes.put(collection, &key(id), &store.encode(&document).unwrap()).unwrap();
        store.commit(writes, Durability::Memory).unwrap();
    };
    (0..4).for_each(|id| put(id, 500));
    let sight = store.parse_sight(r#"{"prev":true}"#, false).unwrap();
    let watch = store.watch_collection(collection, sight, None).unwrap();
    for id in 0..4 {
        let mut writes = WriteSet::new();
        writes.delete(collection, &key(id)).unwrap();
        store.commit(writes, Durability::Memory).unwrap();
    }
    // All the deletes have room in a page, but only one of the documents before them.
    let mut page = VersionPage::new();
    let mut next = |after| {
        let reached = watch.next(None, after, 500, &mut page)?;
        let first_letter = |document: &[u8]| store.to_json(document).unwrap().as_bytes()[9];
        let told: Vec<_> = page.changes().map(|one| one.previous.map(first_letter)).collect();
        Ok::<_, fountain_engine::Error>((reached, told))
    };
    let (mut after, first) = next(watch.begin()).unwrap();
    assert_eq!(first, [Some(b'a')]);

    *kv.unreadable.lock().unwrap() = collection.get().to_be_bytes().to_vec();
    assert_eq!(next(after).unwrap_err().code, ErrorCode::Corrupt);
    kv.unreadable.lock().unwrap().clear();
    kv.unpinnable.store(true, Ordering::SeqCst);
    assert_eq!(next(after).unwrap_err().code, ErrorCode::Io);
    kv.unpinnable.store(false, Ordering::SeqCst);
    (4..7).for_each(|id| put(id, MAX_FEED_BYTES / 2));
    store.flush().unwrap();
    store.compact().unwrap();
    for letter in b"bcd" {
        let (reached, told) = next(after).unwrap();
        assert_eq!((reached.get(), told), (after.get() + 1, vec![Some(*letter)]));
        after = reached;
    }
    // What came later was kept nowhere.
    assert_eq!(next(after).unwrap_err().code, ErrorCode::HistoryTruncated);
    store.close().unwrap();
}

#[test]
fn the_documents_before_changes_count_for_the_size_of_a_page() {
    fn check(home: &dyn Home, watches: bool) {
        const COUNT: u32 = 40;
        const SIZE: usize = 10_000;
        let store = home.open();
        let collection = store.collection("c").unwrap();
        for n in 0..COUNT {
            let mut writes = WriteSet::new();
            writes.put(collection, &key(n), &support::document(&vec![n as u8; SIZE])).unwrap();
            store.commit(writes, Durability::Memory).unwrap();
        }
        let begin = store.sequence();
        let sight = store.parse_sight(r#"{"prev":true}"#, false).unwrap();
        let watch = watches.then(|| store.watch_collection(collection, sight.clone(), None).unwrap());
        for n in 0..COUNT {
            let mut writes = WriteSet::new();
            writes.delete(collection, &key(n)).unwrap();
            store.commit(writes, Durability::Memory).unwrap();
        }
        let watch = watch.map_or_else(|| store.watch_collection(collection, sight, Some(begin)), Ok).unwrap();
        let (mut page, mut told, mut after) = (VersionPage::new(), Vec::new(), begin);
        while after < store.sequence() {
            after = watch.next(None, after, 2 * SIZE, &mut page).unwrap();
            assert!(page.bytes().len() < 4 * SIZE, "{} bytes", page.bytes().len());
            assert_eq!(page.changes().last().map(|one| one.seq), Some(after));
            told.extend(page.changes().map(|one| {
                let before = support::bytes_in(one.previous.unwrap());
                assert!(one.document.is_none() && before.len() == SIZE);
                (one.seq.get(), u32::from(before[0]))
            }));
        }
        assert!(told.into_iter().eq((0..COUNT).map(|n| (begin.get() + 1 + u64::from(n), n))));
        store.close().unwrap();
    }
    check(&MemoryHome::default(), true);
    check(&LocalHome::new(), true);
    check(&LocalHome::new(), false);
}

#[test]
fn a_watch_of_a_dropped_collection_ends_with_its_drop_or_says_that_it_was_before() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Memory).unwrap();
    let (plain, sight) = (store.watch().unwrap(), store.parse_sight("{}", false).unwrap());
    let before = store.watch_collection(collection, sight.clone(), None).unwrap();
    let dropped = store.drop_collection("c", Durability::Memory).unwrap();
    let after = store.watch_collection(collection, sight, None).unwrap();
    let mut page = VersionPage::new();
    for (watch, from) in [(&plain, plain.begin()), (&before, before.begin())] {
        assert_eq!(watch.next(Some(collection), from, 100, &mut page).unwrap(), dropped);
        assert_eq!(page.changes().map(|one| one.key.len()).collect::<Vec<_>>(), [0]);
    }
    for watch in [&plain, &after] {
        let error = watch.next(Some(collection), dropped, 100, &mut page).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
    }
    let error = before.next(None, before.begin(), 100, &mut page).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    after.cancel();
    assert_eq!(after.next(None, dropped, 100, &mut page).unwrap_err().code, ErrorCode::Closed);
}
