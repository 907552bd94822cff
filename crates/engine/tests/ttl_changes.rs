//! When the ttl of a collection changes: at no moment is anything seen that has expired, before or after.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;

use fountain_engine::{Batch, CollectionSetting, Durability, OrderedKv, ReadTier, Ttl, View};
use serde_json::json;
use support::expiry::{START, Setup, setup_on, ttl};
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
