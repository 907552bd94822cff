//! When the ttl of a collection changes: at no moment is anything seen that has expired, before or after.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;

use fountain_engine::{
    Batch, CollectionOptions, CollectionSetting, Durability, IndexKind, Isolation, MemoryKv, OrderedKv,
    ReadTier, Store, Ttl, View,
};
use serde_json::json;
use support::expiry::{START, Setup, options, setup, setup_on, ttl};
use support::key;
use support::test_kv::TestKv;

fn alter(setup: &Setup, ttl: &serde_json::Value) {
    let settings = vec![CollectionSetting::Ttl(Some(Ttl::from_json(ttl).unwrap()))];
    setup.store.alter_collection("c", settings, Durability::Memory).unwrap();
}

#[test]
fn while_a_ttl_is_changed_what_has_expired_by_both_is_not_seen() {
    let kv = Arc::new(TestKv::default());
    let setup = setup_on(kv.clone());
    let collection = setup.create(ttl("at", 5));
    setup.put(collection, 1, &format!(r#"{{"at":{START}}}"#), None).unwrap();
    setup.at(10);
    let (sender, receiver) = channel();
    let store = setup.store.clone();
    *kv.on_visible.lock().unwrap() = Some(Box::new(move || {
        let found = store.get(collection, &key(1), View::Newest, ReadTier::Disk).unwrap();
        sender.send(found.is_some()).unwrap();
    }));
    alter(&setup, &json!({ "field": "at", "after": 6 }));
    assert!(!receiver.recv().unwrap(), "a document that has expired was seen");
    assert!(!setup.sees(collection, 1, View::Newest));
}

#[test]
fn setting_a_ttl_again_makes_up_for_an_expiry_index_that_is_lost() {
    let kv = Arc::new(TestKv::default());
    let mut catalog = Batch::default();
    catalog.push(&[0; 4], b"\x01c", Some(br#"{"id":16,"ttl":"at"}"#));
    catalog.push(&[0; 4], b"\x02", Some(&17_u32.to_le_bytes()));
    kv.commit_many(&[catalog], Durability::Memory).unwrap();
    let setup = setup_on(kv);
    let collection = setup.store.collection("c").unwrap();
    setup.put(collection, 1, &format!(r#"{{"at":{START}}}"#), None).unwrap();
    alter(&setup, &json!("at"));
    assert!(!setup.sees(collection, 1, View::Newest));
    while setup.store.metrics().expired < 1 {
        setup.store.sweep_expired().unwrap();
        std::thread::yield_now();
    }
}

#[test]
fn snapshots_transactions_and_paged_queries_go_by_the_ttl_of_their_own_state() {
    let setup = setup();
    let collection = setup.create(ttl("at", 10));
    setup.index(collection, "n", IndexKind::Multi);
    for number in 1..=2 {
        setup.put(collection, number, &format!(r#"{{"n":{number},"at":{START}}}"#), None).unwrap();
    }
    setup.put(collection, 3, r#"{"n":3}"#, None).unwrap();
    setup.put(collection, 4, r#"{"n":4}"#, None).unwrap();
    let (early, whole) = (setup.store.snapshot().unwrap(), setup.store.begin(Isolation::Snapshot).unwrap());
    let first = setup.page(collection, None, View::Newest).next;

    setup.put(collection, 5, r#"{"n":5}"#, None).unwrap();
    setup.at(10);
    let (late, expired) = (setup.store.snapshot().unwrap(), setup.store.begin(Isolation::Snapshot).unwrap());
    let seen = || {
        let rest = setup.page(collection, first.as_deref(), View::Newest);
        assert_eq!(rest.page.records().next().unwrap().0, key(2), "the second page has the second record");
        [
            setup.count(collection, "n", early.sequence()),
            setup.count(collection, "n", &whole),
            setup.count(collection, "n", late.sequence()),
            setup.count(collection, "n", &expired),
        ]
    };
    let before = seen();
    assert_eq!(before, [4, 4, 3, 3]);
    alter(&setup, &json!({ "field": "at", "after": 1_000 }));
    assert_eq!((seen(), setup.count(collection, "n", View::Newest)), (before, 5));
    alter(&setup, &json!("n"));
    assert_eq!((seen(), setup.count(collection, "n", View::Newest)), (before, 0));
    setup.store.alter_collection("c", vec![CollectionSetting::Ttl(None)], Durability::Memory).unwrap();
    assert_eq!((seen(), setup.count(collection, "n", View::Newest)), (before, 5));
    // The records go with their collection, but not in the past.
    setup.store.drop_collection("c", Durability::Memory).unwrap();
    assert!(setup.sees(collection, 1, early.sequence()) && setup.sees(collection, 1, &whole));
    assert!(!setup.sees(collection, 1, late.sequence()) && !setup.sees(collection, 1, &expired));
}

#[test]
fn a_snapshot_goes_by_the_ttl_of_its_state_however_many_are_changed_meanwhile() {
    let setup = setup();
    let collection = setup.create(ttl("at", 10));
    setup.put(collection, 1, &format!(r#"{{"at":{START}}}"#), None).unwrap();
    setup.put(collection, 2, "{}", None).unwrap();
    setup.at(10);
    let (snapshot, held) = (setup.store.snapshot().unwrap(), setup.store.hold().unwrap());
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    setup.store.alter_collection("c", vec![CollectionSetting::Ttl(None)], Durability::Memory).unwrap();
    for _ in 0..1100 {
        setup.store.create_collection("other", ttl("at", 10), Durability::Memory).unwrap();
        setup.store.drop_collection("other", Durability::Memory).unwrap();
    }
    let views = [View::At(snapshot.sequence()), held.view(), View::from(&transaction), View::Newest];
    let seen = views.map(|view| [1, 2].map(|number| setup.sees(collection, number, view.clone())));
    assert_eq!(seen, [[false, true], [false, true], [false, true], [true, true]]);
}

#[test]
fn a_transaction_that_begins_while_a_ttl_is_changed_sees_one_state_from_the_first_read_on() {
    let kv = Arc::new(TestKv::default());
    let setup = setup_on(kv.clone());
    let collection = setup.create(ttl("at", 5));
    setup.put(collection, 1, &format!(r#"{{"at":{START}}}"#), None).unwrap();
    setup.at(10);
    let (sender, receiver) = channel();
    let store = setup.store.clone();
    *kv.on_visible.lock().unwrap() = Some(Box::new(move || {
        let transaction = store.begin(Isolation::Snapshot).unwrap();
        let found = store.get(collection, &key(1), &transaction, ReadTier::Disk).unwrap();
        sender.send((transaction, found.is_some())).unwrap();
    }));
    alter(&setup, &json!({ "field": "at", "after": 100 }));
    let (transaction, seen) = receiver.recv().unwrap();
    assert_eq!((seen, setup.sees(collection, 1, &transaction)), (true, true));
}

#[test]
fn what_a_snapshot_shows_does_not_depend_on_others_of_its_sequence() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, "{}", Some(10)).unwrap();
    setup.at(10);
    let first = setup.store.snapshot().unwrap();
    setup.put(collection, 2, "{}", None).unwrap();
    let second = setup.store.snapshot_at(first.sequence()).unwrap();
    let seen = setup.sees(collection, 1, second.sequence());
    let held = first.sequence();
    drop(first);
    assert_eq!((seen, setup.sees(collection, 1, second.sequence())), (false, false));
    drop(second);
    let exact = setup.store.snapshot_at(held).unwrap();
    assert!(setup.sees(collection, 1, exact.sequence()), "nothing has expired in a past that nobody held");
}

#[test]
fn a_cursor_from_outside_does_not_bring_its_time_into_a_transaction_or_a_snapshot() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    for number in 1..=2 {
        setup.put(collection, number, "{}", Some(10)).unwrap();
    }
    let outside = setup.page(collection, None, View::Newest).next;
    assert!(outside.is_some());
    setup.at(10);
    let (transaction, snapshot) =
        (setup.store.begin(Isolation::Snapshot).unwrap(), setup.store.snapshot().unwrap());
    assert_eq!(setup.page(collection, outside.as_deref(), &transaction).page.len(), 0);
    assert_eq!(setup.page(collection, outside.as_deref(), snapshot.sequence()).page.len(), 0);
    // By itself it goes on with the state of its first page.
    drop(snapshot);
    assert_eq!(setup.page(collection, outside.as_deref(), View::Newest).page.len(), 1);
}

#[test]
fn a_cursor_that_outlives_a_restart_goes_by_the_ttl_of_its_own_state() {
    let kv = Arc::new(MemoryKv::default());
    let before = setup_on(kv.clone());
    let collection = before.create(ttl("at", 10));
    for number in 1..=3 {
        before.put(collection, number, &format!(r#"{{"n":{number},"at":{START}}}"#), None).unwrap();
    }
    let cursor = before.page(collection, None, View::Newest).next;
    alter(&before, &json!("n"));
    before.put(collection, 4, "{}", None).unwrap();
    before.store.close().unwrap();
    let store = Store::with_kv(Arc::new(kv.reopen()), options(&before.clock)).unwrap();
    let after = Setup { store, clock: before.clock };
    let collection = after.store.collection("c").unwrap();
    let second = after.page(collection, cursor.as_deref(), View::Newest);
    assert_eq!(second.page.records().map(|(found, _)| found.to_vec()).collect::<Vec<_>>(), [key(2)]);
    // By the rule that there is now they have expired.
    assert_eq!([2, 4].map(|number| after.sees(collection, number, View::Newest)), [false, true]);
}
