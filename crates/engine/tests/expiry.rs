//! Records that expire: nobody sees them from their moment on, whichever way they look, and then they are deleted like
//! others are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use fountain_engine::query::Body;
use fountain_engine::record::Value;
use fountain_engine::{
    CollectionId, CollectionOptions, CollectionRetention, CollectionSetting, Condition, Durability,
    ErrorCode, IndexDefinition, IndexKind, Isolation, ManualClock, MemoryKv, ReadTier, Store, StoreOptions,
    Timestamp, VersionPage, View, WriteSet, expiring,
};
use serde_json::json;
use support::expiry::{BusyClock, START, Setup, options, setup, ttl};
use support::key;
use tempfile::TempDir;

#[test]
fn every_way_of_reading_leaves_out_what_has_expired_and_gives_documents_as_they_were_put() {
    let setup = setup();
    let collection = setup.create(ttl("at", 100));
    setup.index(collection, "n", IndexKind::Multi);
    setup.put(collection, 1, &format!(r#"{{"n":1,"at":{START}}}"#), None).unwrap();
    setup.put(collection, 2, r#"{"n":2,"at":"never"}"#, None).unwrap();
    setup.put(collection, 3, r#"{"n":3}"#, Some(50)).unwrap();
    setup.put(collection, 4, &format!(r#"{{"n":4,"at":{START}}}"#), Some(200)).unwrap();
    let found = setup.store.get(collection, &key(3), None, ReadTier::Disk).unwrap().unwrap();
    assert_eq!(*found, *setup.record(r#"{"n":3}"#));
    for (millis, expected) in [(0, 4), (49, 4), (50, 3), (99, 3), (100, 2), (199, 2), (200, 1), (10_000, 1)] {
        setup.at(millis);
        assert_eq!(setup.count(collection, "n", View::Newest), expected, "after {millis} ms");
        assert_eq!(setup.sees(collection, 3, None), millis < 50);
    }
    // A clock that is set back shows what was not deleted yet.
    setup.at(0);
    assert_eq!(setup.count(collection, "n", View::Newest), 4);
}

#[test]
fn a_document_that_is_renewed_while_a_read_begins_is_seen() {
    let clock = BusyClock::new();
    let options = StoreOptions { clock: clock.clone(), sweep_every: None, ..StoreOptions::default() };
    let store = Store::with_kv(Arc::new(MemoryKv::default()), options).unwrap();
    let collection = store.create_collection("c", CollectionOptions::default(), Durability::Memory).unwrap();
    let definition = IndexDefinition::new("n", IndexKind::Multi, &["n"]).unwrap();
    let index = store.create_index(collection, definition, Durability::Memory).unwrap();
    store.wait_for_index(index).unwrap();
    let record = store.encode(&fountain_engine::record::from_json(r#"{"n":1}"#).unwrap()).unwrap();
    // It expires at the time that the next read is told, but is renewed before that is told.
    let renew_at = |millis: u64| {
        let expires = |millis| expiring(&record, Timestamp::from_millis(START + millis));
        let put = move |store: &Store, record: &[u8]| {
            let mut writes = WriteSet::new();
            writes.put(collection, &key(1), record).unwrap();
            store.commit(writes, Durability::Memory).unwrap();
        };
        put(&store, &expires(millis));
        let (clock_then, store, renewed) = (clock.clone(), store.clone(), expires(millis + 50));
        *clock.first.lock().unwrap() = Some(Box::new(move || {
            put(&store, &renewed);
            clock_then.clock.set(Timestamp::from_millis(START + millis));
        }));
    };
    renew_at(100);
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    assert!(store.get(collection, &key(1), &transaction, ReadTier::Disk).unwrap().is_some());
    renew_at(200);
    let found = store.find(collection, "n", &[Value::Number(1.0)], View::Newest, 10).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn transactions_and_snapshots_of_the_newest_state_go_by_the_time_when_they_began() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.index(collection, "n", IndexKind::Multi);
    setup.put(collection, 1, r#"{"n":1}"#, Some(50)).unwrap();
    setup.put(collection, 2, r#"{"n":2}"#, None).unwrap();
    let snapshot = setup.store.snapshot().unwrap();
    let transaction = setup.store.begin(Isolation::Serializable).unwrap();
    setup.at(60);
    let late = setup.store.begin(Isolation::Serializable).unwrap();
    assert_eq!(setup.count(collection, "n", View::Newest), 1);
    assert_eq!(setup.count(collection, "n", snapshot.sequence()), 2);
    assert_eq!(setup.count(collection, "n", &transaction), 2);
    assert_eq!(setup.count(collection, "n", &late), 1);
    setup.store.sweep_expired().unwrap();
    assert_eq!(setup.count(collection, "n", snapshot.sequence()), 2);
    assert_eq!(setup.count(collection, "n", &transaction), 2);
    let past = snapshot.sequence();
    drop(snapshot);
    // A state of the past has what its commits left.
    assert_eq!(setup.count(collection, "n", past), 2);
    assert_eq!(setup.count(collection, "n", setup.store.sequence()), 1);
}

#[test]
fn pages_of_a_query_show_one_state_whatever_expires_between_them() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    for number in 0..6 {
        setup.put(collection, number, r#"{"n":1}"#, Some(if number < 2 { 10 } else { 100 })).unwrap();
    }
    setup.at(20);
    let mut query = json!({ "limit": 2 });
    let mut seen = 0;
    loop {
        let Body::Find(parsed) = setup.store.parse_query(collection, &query.to_string(), false).unwrap()
        else {
            panic!("not a query");
        };
        let answer = setup.store.query(collection, &parsed, View::Newest).unwrap();
        seen += answer.page.len();
        let Some(next) = answer.next else { break };
        query["cursor"] = json!(next);
        setup.at(200);
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_state_with_which_a_watch_begins_goes_by_the_time_when_it_began() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.index(collection, "n", IndexKind::Multi);
    setup.put(collection, 1, r#"{"n":1}"#, Some(50)).unwrap();
    setup.put(collection, 2, r#"{"n":2}"#, Some(100)).unwrap();
    setup.at(60);
    let sight = setup.store.parse_sight("{}", false).unwrap();
    let watch = setup.store.watch_collection(collection, sight.clone(), None).unwrap();
    let begin = watch.begin();
    let from = setup.store.watch_collection(collection, sight.clone(), Some(begin)).unwrap();
    setup.put(collection, 3, r#"{"n":3}"#, None).unwrap();
    setup.at(110);
    assert_eq!(setup.count(collection, "n", begin), 1);
    // One that begins with a state of the past has no other time for it.
    let late = setup.store.watch_collection(collection, sight, Some(begin)).unwrap();
    drop(watch);
    assert_eq!(setup.count(collection, "n", begin), 1);
    let mut page = VersionPage::new();
    from.next(None, begin, 1000, &mut page).unwrap();
    assert_eq!(setup.count(collection, "n", begin), 1);
    late.next(None, begin, 1000, &mut page).unwrap();
    assert_eq!(setup.count(collection, "n", begin), 2);
}

#[test]
fn a_transaction_keeps_the_moment_of_each_document_that_it_sees() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.at(60);
    // Nothing in the collection expires in the state that it reads, so it sees what it has written itself.
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    transaction.put(collection, &key(1), &setup.expiring(r#"{"n":1}"#, Some(50))).unwrap();
    assert!(setup.sees(collection, 1, &transaction));
    transaction.put_keeping_expiry(collection, &key(1), &setup.record(r#"{"n":2}"#)).unwrap();
    assert!(setup.sees(collection, 1, &transaction));
    transaction.commit(Durability::Memory).unwrap();
    assert!(!setup.sees(collection, 1, None));
}

#[test]
fn conditions_and_unique_keys_know_nothing_of_what_has_expired() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.index(collection, "n", IndexKind::Unique);
    setup.put(collection, 1, r#"{"n":1}"#, Some(50)).unwrap();
    let first = setup.store.sequence();
    let conditional = |condition: Condition, json: &str| {
        let mut writes = WriteSet::new();
        writes.put_if(collection, &key(1), &setup.record(json), condition)?;
        setup.store.commit(writes, Durability::Memory)
    };
    assert_eq!(conditional(Condition::Absent, r#"{"n":9}"#).unwrap_err().code, ErrorCode::Exists);
    assert_eq!(setup.put(collection, 2, r#"{"n":1}"#, None).unwrap_err().code, ErrorCode::Unique);
    setup.at(50);
    assert_eq!(conditional(Condition::Sequence(first), r#"{"n":9}"#).unwrap_err().code, ErrorCode::Conflict);

    // Whoever takes the key pushes the old holder out, in the same commit and for those who watch.
    let watch = setup.store.watch().unwrap();
    let before = setup.store.sequence();
    setup.put(collection, 2, r#"{"n":1}"#, None).unwrap();
    let mut page = VersionPage::new();
    watch.next(Some(collection), before, usize::MAX, &mut page).unwrap();
    let changes: Vec<_> =
        page.versions().map(|(_, _, key, document)| (key.to_vec(), document.is_some())).collect();
    assert_eq!(changes, [(key(1), false), (key(2), true)]);
    let metrics = setup.store.metrics();
    assert_eq!((metrics.expired, metrics.deletes), (1, 0));
    let found = setup.store.find(collection, "n", &[Value::Number(1.0)], View::Newest, 10).unwrap();
    assert_eq!(found.records().map(|(key, _)| key.to_vec()).collect::<Vec<_>>(), [key(2)]);
    assert_eq!(setup.put(collection, 3, r#"{"n":1}"#, None).unwrap_err().code, ErrorCode::Unique);
    assert!(conditional(Condition::Absent, r#"{"n":9}"#).is_ok());

    // A holder that the same commit renews is no expired one.
    setup.put(collection, 4, r#"{"n":4}"#, Some(60)).unwrap();
    setup.at(60);
    let mut writes = WriteSet::new();
    writes.put(collection, &key(4), &setup.record(r#"{"n":4,"again":true}"#)).unwrap();
    writes.put(collection, &key(5), &setup.record(r#"{"n":4}"#)).unwrap();
    assert_eq!(setup.store.commit(writes, Durability::Memory).unwrap_err().code, ErrorCode::Unique);
}

/// Encoded keys of what a unique index on `n` finds for 1.
fn holders(setup: &Setup, collection: CollectionId) -> Vec<Vec<u8>> {
    let found = setup.store.find(collection, "n", &[Value::Number(1.0)], View::Newest, 10).unwrap();
    found.records().map(|(key, _)| key.to_vec()).collect()
}

#[test]
fn a_unique_index_is_built_whatever_expired_records_hold() {
    // In one chunk and in two, the expired one first and last.
    for (dead, live, count) in [(1, 2, 2), (2, 1, 2), (1, 300, 300), (300, 1, 300)] {
        let setup = setup();
        let collection = setup.create(CollectionOptions::default());
        for number in 1..=count {
            let json =
                format!(r#"{{"n":{}}}"#, if [dead, live].contains(&number) { 1 } else { -i64::from(number) });
            setup.put(collection, number, &json, (number == dead).then_some(50)).unwrap();
        }
        setup.at(60);
        setup.index(collection, "n", IndexKind::Unique);
        assert_eq!(holders(&setup, collection), [key(live)]);
        setup.store.sweep_expired().unwrap();
        assert_eq!(holders(&setup, collection), [key(live)]);
        assert_eq!(setup.store.metrics().expired, 1);
    }
}

#[test]
fn an_expired_record_that_cannot_be_indexed_does_not_end_a_build() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    let long = format!(r#"{{"n":"{}"}}"#, "x".repeat(3000));
    setup.put(collection, 1, &long, Some(50)).unwrap();
    setup.put(collection, 2, r#"{"n":1}"#, None).unwrap();
    setup.at(60);
    setup.index(collection, "n", IndexKind::Multi);
    assert_eq!(holders(&setup, collection), [key(2)]);
    assert!(!setup.sees(collection, 1, setup.store.sequence()));

    setup.put(collection, 3, r#"{"m":1}"#, Some(70)).unwrap();
    setup.put(collection, 4, &long.replace('n', "m"), Some(80)).unwrap();
    setup.at(75);
    let definition = IndexDefinition::new("m", IndexKind::Multi, &["m"]).unwrap();
    let index = setup.store.create_index(collection, definition, Durability::Memory).unwrap();
    let error = setup.store.wait_for_index(index).unwrap_err();
    assert_eq!((error.code, error.details.holder), (ErrorCode::TooLarge, Some(json!(4))));
}

#[test]
fn what_a_query_may_scan_counts_expired_records_too() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    let mut writes = WriteSet::new();
    for number in 0..1000 {
        writes.put(collection, &key(number), &setup.expiring(r#"{"n":1}"#, Some(10))).unwrap();
    }
    writes.put(collection, &key(1000), &setup.record(r#"{"n":1}"#)).unwrap();
    setup.store.commit(writes, Durability::Memory).unwrap();
    setup.at(10);
    let query = |most: u32, order: serde_json::Value| {
        let body = json!({ "maxScanned": most, "orderBy": order });
        let Body::Find(query) = setup.store.parse_query(collection, &body.to_string(), false).unwrap() else {
            panic!("not a query");
        };
        let found = setup.store.query(collection, &query, View::Newest);
        found.map(|answer| answer.page.len()).map_err(|error| error.code)
    };
    for order in [json!([]), json!([{ "path": "n" }])] {
        assert_eq!(query(100, order.clone()), Err(ErrorCode::Limit));
        assert_eq!(query(1001, order), Ok(1));
    }
}

#[test]
fn what_has_expired_is_deleted_in_ordinary_commits_that_everybody_sees() {
    let setup = setup();
    let collection = setup.create(ttl("at", 0));
    setup.index(collection, "n", IndexKind::Multi);
    for number in 0..700 {
        setup.put(collection, number, &format!(r#"{{"n":{number},"at":{}}}"#, START + 10), None).unwrap();
    }
    setup.put(collection, 700, r#"{"n":700}"#, None).unwrap();
    let before = setup.store.sequence();
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    transaction.put(collection, &key(5), &setup.record("{}")).unwrap();
    setup.store.sweep_expired().unwrap();
    assert_eq!((setup.store.sequence(), setup.store.metrics().expired), (before, 0));
    setup.at(10);
    setup.store.sweep_expired().unwrap();
    let metrics = setup.store.metrics();
    assert_eq!((metrics.expired, metrics.deletes), (700, 0));
    let commits = setup.store.sequence().get() - before.get();
    assert!((1..=10).contains(&commits), "{commits} commits for 700 records");
    assert_eq!(transaction.commit(Durability::Memory).unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(setup.count(collection, "n", setup.store.sequence()), 1);
    let mut page = VersionPage::new();
    setup.store.history(collection, &key(1), None, usize::MAX, &mut page).unwrap();
    let versions: Vec<_> = page.versions().map(|(.., document)| document.is_some()).collect();
    assert_eq!(versions, [false, true]);
    setup.store.sweep_expired().unwrap();
    assert_eq!(setup.store.metrics().expired, 700);
}

#[test]
fn a_ttl_that_is_set_later_counts_for_what_is_there_and_one_that_is_taken_back_does_not() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.index(collection, "n", IndexKind::Multi);
    for number in 0..600 {
        setup.put(collection, number, &format!(r#"{{"n":{number},"at":{START}}}"#), None).unwrap();
    }
    setup.put(collection, 600, r#"{"n":600}"#, Some(30)).unwrap();
    let alter = |ttl: serde_json::Value| {
        let settings = CollectionSetting::list(&json!({ "ttl": ttl })).unwrap();
        setup.store.alter_collection("c", settings, Durability::Memory).unwrap();
    };
    alter(json!({ "field": "at", "after": 20 }));
    setup.at(25);
    assert_eq!(setup.count(collection, "n", View::Newest), 1);
    alter(json!(null));
    assert_eq!(setup.count(collection, "n", View::Newest), 601);
    setup.at(30);
    assert_eq!(setup.count(collection, "n", View::Newest), 600);
    alter(json!("at"));
    assert_eq!(setup.count(collection, "n", View::Newest), 0);
    // The index that the sweeper walks is built in the background.
    while setup.store.metrics().expired < 601 {
        setup.store.sweep_expired().unwrap();
        std::thread::yield_now();
    }
    assert_eq!(setup.count(collection, "n", setup.store.sequence()), 0);
    let info = setup.store.collection_info("c").unwrap().unwrap();
    assert_eq!(info.indexes.len(), 1, "nobody sees the expiry index");
}

#[test]
fn it_all_goes_on_after_a_reopen_and_compaction_gives_the_space_back() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(START)));
    let directory = TempDir::new().unwrap();
    let open =
        || Setup { store: Store::open(directory.path(), options(&clock)).unwrap(), clock: clock.clone() };
    let setup = open();
    let retention = Some(CollectionRetention::LatestOnly);
    let collection = setup.create(CollectionOptions { retention, ..ttl("at", 0) });
    setup.index(collection, "n", IndexKind::Multi);
    let text = "x".repeat(500);
    for number in 0..200 {
        let json = format!(r#"{{"n":{number},"at":{},"text":"{text}"}}"#, START + 10);
        setup.put(collection, number, &json, (number % 2 == 0).then_some(20)).unwrap();
    }
    setup.store.close().unwrap();
    let setup = open();
    setup.at(10);
    assert_eq!(setup.count(collection, "n", View::Newest), 100);
    setup.at(20);
    setup.store.sweep_expired().unwrap();
    assert_eq!(setup.store.metrics().expired, 200);
    setup.store.compact().unwrap();
    let bytes = setup.store.metrics().storage.table_bytes;
    assert!(bytes < 10_000, "{bytes} bytes for a collection in which everything expired");
    setup.store.close().unwrap();
    let setup = open();
    assert_eq!(setup.count(collection, "n", setup.store.sequence()), 0);
    setup.store.close().unwrap();
}

#[test]
fn the_store_sweeps_by_itself() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(START)));
    let options = StoreOptions { sweep_every: Some(Duration::from_millis(5)), ..options(&clock) };
    let setup = Setup { store: Store::with_kv(Arc::new(MemoryKv::default()), options).unwrap(), clock };
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, "{}", Some(5)).unwrap();
    setup.at(5);
    while setup.store.metrics().expired == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!setup.sees(collection, 1, setup.store.sequence()));
}

#[test]
fn updates_keep_the_moment_and_a_put_without_one_takes_it_back() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, r#"{"n":1}"#, Some(50)).unwrap();
    setup.put(collection, 2, r#"{"n":1}"#, Some(50)).unwrap();
    let body = json!({ "type": "update", "where": { "n": 1 }, "set": { "n": 2 } });
    let Body::Change(query, change) = setup.store.parse_query(collection, &body.to_string(), false).unwrap()
    else {
        panic!("not a change");
    };
    setup.store.change(collection, &query, &change, Durability::Memory).unwrap();
    setup.put(collection, 2, r#"{"n":3}"#, None).unwrap();
    setup.at(50);
    assert_eq!((setup.sees(collection, 1, None), setup.sees(collection, 2, None)), (false, true));
    setup.store.sweep_expired().unwrap();
    assert!(setup.sees(collection, 2, None));
}

#[test]
fn a_transaction_may_put_what_expires_as_the_record_did_that_it_replaces() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, "{}", Some(50)).unwrap();
    setup.put(collection, 2, "{}", None).unwrap();
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    for number in 1..=3 {
        transaction.put_keeping_expiry(collection, &key(number), &setup.record(r#"{"n":2}"#)).unwrap();
    }
    // What the transaction has written itself comes before what was there.
    transaction.put(collection, &key(4), &setup.expiring("{}", Some(50))).unwrap();
    transaction.put_keeping_expiry(collection, &key(4), &setup.record("{}")).unwrap();
    transaction.commit(Durability::Memory).unwrap();
    assert!((1..=4).all(|number| setup.sees(collection, number, None)));
    setup.at(50);
    let left: Vec<u32> = (1..=4).filter(|number| setup.sees(collection, *number, None)).collect();
    assert_eq!(left, [2, 3]);
}

#[test]
fn a_transaction_is_too_old_after_five_minutes() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    setup.at(fountain_engine::limits::MAX_TRANSACTION_AGE.as_millis() as u64);
    transaction.put(collection, &key(1), &setup.record("{}")).unwrap();
    setup.at(fountain_engine::limits::MAX_TRANSACTION_AGE.as_millis() as u64 + 1);
    let put = transaction.put(collection, &key(2), &setup.record("{}"));
    assert_eq!(put.unwrap_err().code, ErrorCode::TransactionTooOld);
    let get = setup.store.get(collection, &key(1), &transaction, ReadTier::Disk);
    assert_eq!(get.unwrap_err().code, ErrorCode::TransactionTooOld);
    assert_eq!(transaction.commit(Durability::Memory).unwrap_err().code, ErrorCode::TransactionTooOld);
    assert!(!setup.sees(collection, 1, None));
}

#[test]
fn one_commit_may_take_the_keys_of_thousands_that_have_expired() {
    const HOLDERS: u32 = 10_000;
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.index(collection, "n", IndexKind::Unique);
    let all = |from: u32, expires: Option<u64>| {
        let mut writes = WriteSet::new();
        for number in 0..HOLDERS {
            let document = setup.expiring(&format!(r#"{{"n":{number}}}"#), expires);
            writes.put(collection, &key(from + number), &document).unwrap();
        }
        setup.store.commit(writes, Durability::Memory)
    };
    all(0, Some(10)).unwrap();
    assert_eq!(all(HOLDERS, None).unwrap_err().code, ErrorCode::Unique);
    setup.at(10);
    all(HOLDERS, None).unwrap();
    assert_eq!(setup.store.count_records(collection, setup.store.sequence()).unwrap(), u64::from(HOLDERS));
}

#[test]
fn a_put_that_keeps_an_expiry_keeps_none_of_a_record_that_has_expired() {
    let setup = setup();
    let collection = setup.create(CollectionOptions::default());
    setup.put(collection, 1, r#"{"n":1}"#, Some(50)).unwrap();
    setup.at(60);
    let transaction = setup.store.begin(Isolation::Snapshot).unwrap();
    transaction.put_keeping_expiry(collection, &key(1), &setup.record(r#"{"n":2}"#)).unwrap();
    transaction.commit(Durability::Memory).unwrap();
    assert!(setup.sees(collection, 1, None));
    setup.at(1_000_000);
    assert!(setup.sees(collection, 1, None));
}
