//! Opening, closing and dropping a store, with work in flight.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Weak};
use std::thread;
use std::time::{Duration, Instant};

use fountain_engine::{
    CollectionId, CollectionOptions, Durability, ErrorCode, IndexDefinition, IndexKind, MemoryKv, OrderedKv,
    Page, ReadTier, Seq, Store, StoreOptions, WriteSet,
};
use support::test_kv::TestKv;
use support::{Home, LocalHome, MemoryHome, document, everything, key, memory_store, put, submit};

/// Waits until the store's threads let go of its storage, which they do last.
fn assert_ends(kv: &Weak<MemoryKv>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while kv.strong_count() > 0 {
        assert!(Instant::now() < deadline, "the store's threads did not end");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn after_close_everything_is_closed_and_closing_again_is_fine() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let snapshot = store.snapshot().unwrap();
    let request = everything(&store, snapshot.sequence());
    store.close().unwrap();
    store.close().unwrap();
    drop(snapshot);

    let errors = [
        store.collection("c").unwrap_err(),
        store.collections().unwrap_err(),
        store.commit(put(collection, 2), Durability::Memory).unwrap_err(),
        submit(&store, vec![put(collection, 2)], Durability::Memory).recv().unwrap().unwrap_err(),
        store.get(collection, &key(1), None, ReadTier::Memory).unwrap_err(),
        store.scan(&request, ReadTier::Disk, &mut Page::new()).unwrap_err(),
        store.spawn_read(Box::new(|_| ())).unwrap_err(),
        store.snapshot().unwrap_err(),
        store.snapshot_at(Seq::ZERO).unwrap_err(),
        store.flush().unwrap_err(),
        store.compact().unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code == ErrorCode::Closed), "{errors:?}");
    assert_eq!((store.sequence().get(), store.metrics().commits), (1, 1));
}

#[test]
fn closing_completes_what_was_accepted_and_refuses_the_rest() {
    for _ in 0..20 {
        close_under_load(&MemoryHome::default());
    }
    for _ in 0..3 {
        close_under_load(&LocalHome::new());
    }
}

fn close_under_load(home: &impl Home) {
    let store = home.open();
    let collection = store.collection("c").unwrap();
    let together = Barrier::new(5);
    let accepted: Vec<u32> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (store, together) = (&store, &together);
                scope.spawn(move || {
                    together.wait();
                    submit_many(store, collection, writer * 1000..writer * 1000 + 200)
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                together.wait();
                store.close().unwrap();
                assert_eq!(store.collections().unwrap_err().code, ErrorCode::Closed);
            });
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let store = home.open();
    assert_eq!(store.sequence().get(), accepted.len() as u64);
    let stored = |n: &u32| store.get(collection, &key(*n), None, ReadTier::Disk).unwrap().is_some();
    assert!(accepted.iter().all(stored));
}

/// Submits a put for every number and returns those that were committed; the others met a closed store.
fn submit_many(store: &Store, collection: CollectionId, numbers: Range<u32>) -> Vec<u32> {
    let answers: Vec<_> =
        numbers.map(|n| (n, submit(store, vec![put(collection, n)], Durability::Disk))).collect();
    let mut committed = Vec::new();
    for (number, answer) in answers {
        match answer.recv().unwrap() {
            Ok(_) => committed.push(number),
            Err(error) => assert_eq!(error.code, ErrorCode::Closed),
        }
    }
    committed
}

#[test]
fn closing_waits_for_queued_reads_which_still_see_the_store() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let found = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let found = Arc::clone(&found);
        let job = move |store: &Store| {
            thread::sleep(Duration::from_micros(200));
            let record = store.get(collection, &key(1), None, ReadTier::Disk).unwrap();
            found.fetch_add(usize::from(record.is_some()), Ordering::SeqCst);
            assert_eq!(store.close().unwrap_err().code, ErrorCode::InvalidArgument);
        };
        store.spawn_read(Box::new(job)).unwrap();
    }
    store.close().unwrap();
    assert_eq!(found.load(Ordering::SeqCst), 50);
}

#[test]
fn closing_ends_a_merge_under_way_and_does_not_wait_for_all_of_it() {
    let kv = Arc::new(TestKv::default());
    kv.merges_on.store(true, Ordering::SeqCst);
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let merging = store.clone();
    let merge = thread::spawn(move || merging.compact());
    while !kv.merging.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    store.close().unwrap();
    assert_eq!(merge.join().unwrap().unwrap_err().code, ErrorCode::Closed);
}

#[test]
fn dropping_the_last_handle_commits_what_was_submitted_and_ends_the_threads() {
    let kv = Arc::new(MemoryKv::default());
    let weak = Arc::downgrade(&kv);
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    let answers: Vec<_> =
        (0..100).map(|n| submit(&store, vec![put(collection, n)], Durability::Disk)).collect();
    drop(store);
    assert!(answers.into_iter().all(|answer| answer.recv().unwrap().is_ok()));
    assert_eq!(kv.visible().get(), 100);
    assert!(kv.flush().is_err(), "storage is closed");
    drop(kv);
    assert_ends(&weak);
}

#[test]
fn the_last_handle_may_be_dropped_on_the_threads_of_the_store() {
    for on_commit_thread in [true, false] {
        let kv = Arc::new(MemoryKv::default());
        let weak = Arc::downgrade(&kv);
        let store = Store::with_kv(kv, StoreOptions::default()).unwrap();
        let collection = store.collection("c").unwrap();
        let (go, wait) = channel::<()>();
        if on_commit_thread {
            let last = store.clone();
            let done = Box::new(move |_| {
                let _ = wait.recv();
                drop(last);
            });
            store.submit(vec![put(collection, 1)], Durability::Disk, done);
        } else {
            let job = move |_: &Store| {
                let _ = wait.recv();
            };
            store.spawn_read(Box::new(job)).unwrap();
        }
        let later = submit(&store, vec![put(collection, 2)], Durability::Disk);
        drop(store);
        go.send(()).unwrap();
        assert!(later.recv().unwrap().is_ok());
        assert_ends(&weak);
    }
}

#[test]
fn the_last_handle_may_be_dropped_on_the_commit_thread_while_an_index_is_built() {
    let kv = Arc::new(MemoryKv::default());
    let weak = Arc::downgrade(&kv);
    let store = Store::with_kv(kv, StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let mut writes = WriteSet::new();
    writes.create_index(collection, IndexDefinition::new("b", IndexKind::Multi, &["b"]).unwrap());
    let (last, (go, wait)) = (store.clone(), channel::<()>());
    let done = Box::new(move |_| {
        let _ = wait.recv();
        // The builder then waits for an answer of this thread.
        while last.queued_bytes() == 0 {
            thread::yield_now();
        }
        drop(last);
    });
    store.submit(vec![writes], Durability::Disk, done);
    drop(store);
    go.send(()).unwrap();
    assert_ends(&weak);
}

#[test]
fn collections_and_records_survive_a_reopen() {
    fn check(home: &impl Home) {
        let store = home.open();
        let (b, a) = (store.collection("b").unwrap(), store.collection("a").unwrap());
        store.collection("never-written").unwrap();
        for n in 0..500 {
            store.commit(put(if n % 2 == 0 { a } else { b }, n), Durability::Os).unwrap();
        }
        store.close().unwrap();

        let store = home.open();
        assert_eq!(store.collections().unwrap(), ["a", "b"]);
        assert_eq!((store.collection("a").unwrap(), store.collection("b").unwrap()), (a, b));
        assert_eq!(store.sequence().get(), 500);
        for n in 0..500 {
            let present = |id| store.get(id, &key(n), None, ReadTier::Disk).unwrap().is_some();
            assert_eq!((present(a), present(b)), (n % 2 == 0, n % 2 == 1));
        }
        let first = store.get(a, &key(0), Seq::new(1), ReadTier::Disk).unwrap();
        assert_eq!(*first.unwrap(), *document(b""));
        assert!(store.get(a, &key(0), Some(Seq::ZERO), ReadTier::Disk).unwrap().is_none());
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn a_store_that_is_open_cannot_be_opened_again_until_it_is_closed() {
    let home = LocalHome::new();
    let store = home.open();
    let error = Store::open(home.path(), LocalHome::options()).unwrap_err();
    assert_eq!((error.code, error.details.pid), (ErrorCode::Locked, Some(std::process::id())));
    assert!(error.retryable());
    store.close().unwrap();
    home.open().close().unwrap();
}

#[test]
fn opening_refuses_what_it_cannot_open() {
    let home = LocalHome::new();
    let missing = home.path().join("missing");
    let options = StoreOptions { create_if_missing: false, ..StoreOptions::default() };
    let error = Store::open(&missing, options).unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    assert!(error.details.path.unwrap().ends_with("missing"));

    for read_threads in [0, 65] {
        let options = StoreOptions { read_threads, ..StoreOptions::default() };
        let error = Store::open(&missing, options).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
    assert!(!missing.exists());
}

#[test]
fn collections_that_one_commit_creates_and_writes_to_are_there_after_a_reopen() {
    for home in [&MemoryHome::default() as &dyn Home, &LocalHome::new()] {
        let store = home.open();
        let (set, written) = (store.collection("set").unwrap(), store.collection("written").unwrap());
        let mut writes = put(written, 1);
        writes.set_collection(set, CollectionOptions::default());
        store.commit(writes, Durability::Memory).unwrap();
        store.close().unwrap();

        let store = home.open();
        assert_eq!(store.collections().unwrap(), ["set", "written"]);
        let (new, ids) = (store.collection("new").unwrap(), [set, written]);
        assert!(!ids.contains(&new), "{new} is taken");
        // One that is dropped before anything was stored of it leaves nothing.
        let mut writes = WriteSet::new();
        writes.drop_collection(new);
        store.commit(writes, Durability::Memory).unwrap();
        store.close().unwrap();
        let store = home.open();
        assert_eq!(store.collections().unwrap(), ["set", "written"]);
        store.close().unwrap();
    }
}

#[test]
fn whoever_waits_for_an_index_of_a_closed_store_is_told_that_it_is_closed() {
    let store = memory_store();
    let collection = store.collection("a").unwrap();
    let definition = IndexDefinition::new("byV", IndexKind::Multi, &["v"]).unwrap();
    let index = store.create_index(collection, definition, Durability::Disk).unwrap();
    store.wait_for_index(index).unwrap();
    store.close().unwrap();
    assert_eq!(store.wait_for_index(index).unwrap_err().code, ErrorCode::Closed);
}
