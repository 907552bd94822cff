//! Following a store: each change once, from memory or from storage, and ends that are noticed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc::channel;
use std::thread;

use fountain_engine::{Durability, ErrorCode, Seq, Store, VersionPage, Watch};
use support::{Home, LocalHome, MemoryHome, memory_store, put};

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
