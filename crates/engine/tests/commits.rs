//! What commits promise to their callers: order, grouping, atomicity, and failures that hit only whom they concern.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Barrier};
use std::thread;

use fountain_engine::{CollectionId, Durability, ErrorCode, ReadTier, Seq, Store, StoreOptions, WriteSet};
use support::test_kv::TestKv;
use support::{Home, LocalHome, MemoryHome, key, memory_store, put, submit};

/// Keeps the commit thread in a callback until the returned sender is dropped, so that what is submitted meanwhile
/// becomes one group.
fn hold_commit_thread(store: &Store, collection: CollectionId) -> SyncSender<()> {
    let (release, released) = sync_channel::<()>(0);
    let (entered, inside) = channel();
    store.submit(
        vec![put(collection, 0)],
        Durability::Memory,
        Box::new(move |result| {
            entered.send(result.is_ok()).unwrap();
            let _ = released.recv();
        }),
    );
    assert!(inside.recv().unwrap());
    release
}

#[test]
fn commits_that_wait_together_get_consecutive_sequences_and_share_one_sync() {
    let home = LocalHome::new();
    let store = Store::open(home.path(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    let release = hold_commit_thread(&store, collection);
    let syncs_before = store.metrics().storage.wal_syncs;

    let answers: Vec<_> =
        (1..=1000).map(|n| submit(&store, vec![put(collection, n)], Durability::Disk)).collect();
    assert!(store.queued_bytes() >= 1000 * (4 + 9 + 3));
    drop(release);
    for (index, answer) in answers.into_iter().enumerate() {
        let sequences = answer.recv().unwrap().unwrap();
        let expected = Seq::new(index as u64 + 2).unwrap();
        assert_eq!((sequences.first, sequences.last()), (expected, expected));
    }
    let metrics = store.metrics();
    assert_eq!((metrics.commits, metrics.puts, metrics.commit_groups), (1001, 1001, 2));
    assert_eq!(store.queued_bytes(), 0);
    let syncs = metrics.storage.wal_syncs - syncs_before;
    assert!((1..=2).contains(&syncs), "1000 durable commits in one group took {syncs} syncs");
    store.close().unwrap();
}

#[test]
fn a_thousand_commits_from_many_threads_get_a_thousand_sequences() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let mut sequences: Vec<u64> = thread::scope(|scope| {
        let writer = |writer: u32| {
            let store = &store;
            move || -> Vec<u64> {
                (0..125)
                    .map(|n| {
                        store.commit(put(collection, writer * 1000 + n), Durability::Disk).unwrap().get()
                    })
                    .collect()
            }
        };
        let writers: Vec<_> = (0..8).map(|number| scope.spawn(writer(number))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    sequences.sort_unstable();
    assert!(sequences.iter().copied().eq(1..=1000));
}

#[test]
fn commits_submitted_together_are_consecutive_and_each_visible_at_its_own_sequence() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let mut delete = WriteSet::new();
    delete.delete(collection, &key(1)).unwrap();
    let sequences = submit(&store, vec![put(collection, 1), delete, put(collection, 2)], Durability::Disk)
        .recv()
        .unwrap()
        .unwrap();
    assert_eq!((sequences.first.get(), sequences.last().get()), (1, 3));
    let present =
        |number, at| store.get(collection, &key(number), Seq::new(at), ReadTier::Disk).unwrap().is_some();
    assert_eq!([present(1, 0), present(1, 1), present(1, 2)], [false, true, false]);
    assert_eq!([present(2, 2), present(2, 3)], [false, true]);
    let metrics = store.metrics();
    assert_eq!((metrics.commits, metrics.puts, metrics.deletes, metrics.gets), (3, 2, 1, 5));
}

#[test]
fn first_writes_to_one_new_collection_from_many_threads_agree_on_its_id() {
    let home = MemoryHome::default();
    let store = home.open();
    let together = Barrier::new(8);
    let ids: Vec<CollectionId> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let (store, together) = (&store, &together);
                scope.spawn(move || {
                    together.wait();
                    let id = store.collection("new").unwrap();
                    store.commit(put(id, number), Durability::Disk).unwrap();
                    id
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|&id| id == ids[0]));
    assert_eq!(store.collections().unwrap(), ["new"]);
    store.close().unwrap();

    let store = home.open();
    assert_eq!((store.collection("new").unwrap(), store.collections().unwrap().len()), (ids[0], 1));
    assert!((0..8).all(|n| store.get(ids[0], &key(n), None, ReadTier::Disk).unwrap().is_some()));
}

#[test]
fn a_submission_that_makes_no_sense_fails_alone() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let unknown = CollectionId::new(collection.get() + 1).unwrap();
    let release = hold_commit_thread(&store, collection);
    let good = submit(&store, vec![put(collection, 1)], Durability::Disk);
    let bad = [
        submit(&store, vec![], Durability::Disk),
        submit(&store, vec![put(collection, 2), WriteSet::new()], Durability::Disk),
    ];
    let half_good = submit(&store, vec![put(unknown, 3), put(collection, 3)], Durability::Disk);
    let also_good = submit(&store, vec![put(collection, 4)], Durability::Disk);
    drop(release);

    assert_eq!(good.recv().unwrap().unwrap().first.get(), 2);
    let half_good = half_good.recv().unwrap().unwrap();
    assert_eq!(
        half_good.refused.iter().map(|refused| (refused.place, refused.error.code)).collect::<Vec<_>>(),
        [(0, ErrorCode::InvalidArgument)]
    );
    assert_eq!(half_good.first.get(), 3);
    assert_eq!(also_good.recv().unwrap().unwrap().first.get(), 4);
    for answer in bad {
        assert_eq!(answer.recv().unwrap().unwrap_err().code, ErrorCode::InvalidArgument);
    }
    let absent = |number| store.get(collection, &key(number), None, ReadTier::Disk).unwrap().is_none();
    assert!(absent(2) && !absent(3));
}

#[test]
fn a_collection_whose_first_commit_failed_is_stored_by_the_next() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();

    kv.fails.store(true, Ordering::SeqCst);
    assert_eq!(store.commit(put(collection, 1), Durability::Disk).unwrap_err().code, ErrorCode::DiskFull);
    assert!(store.collections().unwrap().is_empty());
    assert_eq!((store.collection("c").unwrap(), store.metrics().commits), (collection, 0));

    kv.fails.store(false, Ordering::SeqCst);
    store.commit(put(collection, 2), Durability::Disk).unwrap();
    assert_eq!(store.collections().unwrap(), ["c"]);
    store.close().unwrap();
    let store = Store::with_kv(Arc::new(kv.kv.reopen()), StoreOptions::default()).unwrap();
    assert_eq!(store.collection("c").unwrap(), collection);
    assert_eq!(store.collections().unwrap(), ["c"]);
}

#[test]
fn a_failure_of_storage_answers_every_commit_of_the_group() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    let release = hold_commit_thread(&store, collection);
    let answers: Vec<_> =
        (0..10).map(|n| submit(&store, vec![put(collection, n)], Durability::Disk)).collect();
    kv.fails.store(true, Ordering::SeqCst);
    drop(release);
    for answer in answers {
        assert_eq!(answer.recv().unwrap().unwrap_err().code, ErrorCode::DiskFull);
    }
    kv.fails.store(false, Ordering::SeqCst);
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    assert_eq!(store.queued_bytes(), 0);
}

#[test]
fn a_callback_may_panic_or_submit_again() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.submit(vec![put(collection, 1)], Durability::Disk, Box::new(|_| panic!("in a callback")));

    let (sender, receiver) = channel();
    let again = store.clone();
    store.submit(
        vec![put(collection, 2)],
        Durability::Disk,
        Box::new(move |_| {
            let refused = again.commit(put(collection, 9), Durability::Disk).unwrap_err().code;
            let closing = again.close().unwrap_err().code;
            let inner = sender.clone();
            again.submit(
                vec![put(collection, 3)],
                Durability::Disk,
                Box::new(move |result| inner.send((refused, closing, result.unwrap().first.get())).unwrap()),
            );
        }),
    );
    let expected = (ErrorCode::InvalidArgument, ErrorCode::InvalidArgument, 3);
    assert_eq!(receiver.recv().unwrap(), expected);
    store.close().unwrap();
}

#[test]
fn a_group_is_as_durable_as_its_most_demanding_commit() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Os).unwrap();
    assert_eq!(kv.durable_groups.load(Ordering::SeqCst), 0);

    let release = hold_commit_thread(&store, collection);
    let levels = [Durability::Memory, Durability::Disk, Durability::Os];
    let answers = levels.map(|level| submit(&store, vec![put(collection, 2)], level));
    drop(release);
    assert!(answers.iter().all(|answer| answer.recv().unwrap().is_ok()));
    assert_eq!(kv.durable_groups.load(Ordering::SeqCst), 1);
}
