//! A defect that shows as a panic, in whatever call: it ends that call only, everything that writes is refused from
//! then on with the reason, reads go on, nobody waits for ever, and reopening heals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;

use fountain_engine::{Durability, Error, ErrorCode, Page, ReadTier, Seq, Store, StoreOptions};
use support::test_kv::TestKv;
use support::{everything, key, put, submit};

fn open(kv: &Arc<TestKv>) -> Store {
    Store::with_kv(kv.clone(), StoreOptions::default()).unwrap()
}

fn panics_in(kv: &TestKv, call: &'static str) {
    *kv.panics_in.lock().unwrap() = call;
}

/// Everything that writes is refused with a reason that says `doing`, and reads go on.
fn assert_poisoned(store: &Store, doing: &str) {
    let collection = store.collection("c").unwrap();
    let errors = [
        store.commit(put(collection, 2), Durability::Memory).unwrap_err(),
        submit(store, vec![put(collection, 2)], Durability::Disk).recv().unwrap().unwrap_err(),
        store.flush().unwrap_err(),
        store.compact().unwrap_err(),
    ];
    let reason = format!("a panic while {doing}");
    for error in errors {
        assert!(error.code == ErrorCode::Poisoned && error.message.contains(&reason), "{doing}: {error}");
    }
    assert!(store.get(collection, &key(1), None, ReadTier::Disk).unwrap().is_some());
    let found = store.scan(&everything(store, Seq::ZERO), ReadTier::Disk, &mut Page::new());
    assert!(found.is_ok(), "{doing}");
    assert_eq!(store.snapshot().unwrap().sequence().get(), 1);
}

#[test]
fn a_panic_in_any_call_ends_it_and_refuses_later_writes() {
    type Work = fn(&Store);
    let calls: [(&'static str, &str, Work); 7] = [
        ("get", "reading", |store| {
            drop(store.get(store.collection("c").unwrap(), &key(1), None, ReadTier::Disk));
        }),
        ("cursor", "scanning", |store| {
            drop(store.scan(&everything(store, Seq::ZERO), ReadTier::Disk, &mut Page::new()));
        }),
        ("pin", "taking a snapshot", |store| drop(store.snapshot())),
        ("pin", "taking a snapshot", |store| drop(store.snapshot_at(Seq::ZERO))),
        ("flush", "flushing", |store| drop(store.flush())),
        ("compact", "compacting", |store| drop(store.compact())),
        ("get", "reading", |store| {
            let (done, ended) = channel::<()>();
            let job = move |store: &Store| {
                let _done = done;
                drop(store.get(store.collection("c").unwrap(), &key(1), None, ReadTier::Disk));
            };
            store.spawn_read(Box::new(job)).unwrap();
            // The job dropped its end in its panic.
            ended.recv().unwrap_err();
            panic!("as it does in the other cases");
        }),
    ];
    for (call, doing, work) in calls {
        let kv = Arc::new(TestKv::default());
        let store = open(&kv);
        let collection = store.collection("c").unwrap();
        store.commit(put(collection, 1), Durability::Disk).unwrap();
        panics_in(&kv, call);
        catch_unwind(AssertUnwindSafe(|| work(&store))).unwrap_err();
        panics_in(&kv, "");
        assert_poisoned(&store, doing);
        store.close().unwrap();

        let store = Store::with_kv(Arc::new(kv.kv.reopen()), StoreOptions::default()).unwrap();
        store.commit(put(collection, 2), Durability::Disk).unwrap();
        store.flush().unwrap();
    }
}

#[test]
fn a_panic_while_committing_answers_everyone_in_the_group_and_refuses_the_next() {
    let kv = Arc::new(TestKv::default());
    let store = open(&kv);
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let ((release, held), (arrived, arrival)) = (channel::<()>(), channel());
    let hold = move |_| {
        arrived.send(()).unwrap();
        assert!(held.recv().is_err());
    };
    store.submit(vec![], Durability::Disk, Box::new(hold));
    // Only what is submitted while the commit thread is held there is one group.
    arrival.recv().unwrap();
    let answers: Vec<_> =
        (2..12).map(|n| submit(&store, vec![put(collection, n)], Durability::Disk)).collect();
    let empty = submit(&store, vec![], Durability::Disk);
    panics_in(&kv, "commit_many");
    drop(release);
    for answer in answers.into_iter().chain([empty]) {
        let error: Error = answer.recv().unwrap().unwrap_err();
        assert!(error.code == ErrorCode::Internal && error.message.contains("a panic"), "{error}");
    }
    panics_in(&kv, "");
    assert_eq!(store.queued_bytes(), 0);
    assert_poisoned(&store, "committing");
    store.close().unwrap();
}

#[test]
fn a_panic_while_closing_is_the_answer_of_close() {
    let kv = Arc::new(TestKv::default());
    let store = open(&kv);
    panics_in(&kv, "close");
    assert_eq!(store.close().unwrap_err().code, ErrorCode::Internal);
    assert_eq!(store.close().unwrap_err().code, ErrorCode::Internal, "the same again");
    assert_eq!(store.snapshot().unwrap_err().code, ErrorCode::Closed);
}

#[test]
fn a_call_made_while_an_unrelated_panic_unwinds_poisons_nothing() {
    struct ReadsWhenDropped(Store);
    impl Drop for ReadsWhenDropped {
        fn drop(&mut self) {
            self.0.snapshot().unwrap();
        }
    }
    let store = open(&Arc::new(TestKv::default()));
    let reader = ReadsWhenDropped(store.clone());
    catch_unwind(AssertUnwindSafe(move || {
        let _reader = reader;
        panic!("elsewhere");
    }))
    .unwrap_err();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
}
