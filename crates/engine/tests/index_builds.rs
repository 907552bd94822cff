//! Indexes that are defined when there is data already, and what unique ones refuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fountain_engine::keys::{Key, encode};
use fountain_engine::query::Body;
use fountain_engine::record::{Value, from_json};
use fountain_engine::{
    Bounds, BuildStatus, CollectionId, CollectionOptions, Direction, Durability, ErrorCode, IndexDefinition,
    IndexKind, IndexScan, Isolation, MemoryKv, OrderedKv, Page, ReadTier, StorageOptions, Store,
    StoreOptions, View, WriteSet, salvage,
};
use serde_json::json;
use support::test_kv::TestKv;

fn open(kv: &Arc<MemoryKv>) -> Store {
    Store::with_kv(kv.clone(), StoreOptions::default()).unwrap()
}

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

fn put(store: &Store, collection: CollectionId, writes: &[(u32, &str)]) -> WriteSet {
    let mut set = WriteSet::new();
    for (number, json) in writes {
        set.put(collection, &key(*number), &store.encode(&from_json(json).unwrap()).unwrap()).unwrap();
    }
    set
}

fn unique(name: &str, path: &str) -> IndexDefinition {
    IndexDefinition::new(name, IndexKind::Unique, &[path]).unwrap()
}

fn multi(name: &str, path: &str) -> IndexDefinition {
    IndexDefinition::new(name, IndexKind::Multi, &[path]).unwrap()
}

fn keys_of(page: &Page) -> Vec<Vec<u8>> {
    page.records().map(|(key, _)| key.to_vec()).collect()
}

fn fill(store: &Store, count: u32) -> CollectionId {
    let collection = store.collection("c").unwrap();
    for start in (0..count).step_by(500) {
        let mut set = WriteSet::new();
        for number in start..count.min(start + 500) {
            let json = format!(r#"{{"n":{},"u":{number}}}"#, number % 10);
            set.put(collection, &key(number), &store.encode(&from_json(&json).unwrap()).unwrap()).unwrap();
        }
        store.commit(set, Durability::Memory).unwrap();
    }
    collection
}

#[test]
fn a_build_is_complete_whatever_is_written_meanwhile() {
    let store = open(&Arc::default());
    let collection = fill(&store, 3000);
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..3000).rev().step_by(7) {
                let set =
                    put(&store, collection, &[(number, r#"{"n":"new"}"#), (5000 + number, r#"{"n":"new"}"#)]);
                store.commit(set, Durability::Memory).unwrap();
                let mut set = WriteSet::new();
                set.delete(collection, &key(number / 2)).unwrap();
                store.commit(set, Durability::Memory).unwrap();
            }
        });
        store.wait_for_index(id).unwrap();
    });
    assert!(matches!(store.build_status(id).unwrap(), Some(BuildStatus::Ready)));
    let total: usize = (0..10)
        .map(|n| Value::Number(f64::from(n)))
        .chain([Value::String("new".to_owned())])
        .map(|n| store.find(collection, "n", &[n], View::Newest, 10_000).unwrap().len())
        .sum();
    assert_eq!(total as u64, store.count_records(collection, View::Newest).unwrap());
}

#[test]
fn whoever_names_an_index_that_is_being_built_is_told_so() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = fill(&store, 300);
    // The disk is full from the definition on, so that the build stands.
    let full = Arc::clone(&kv);
    *kv.on_visible.lock().unwrap() = Some(Box::new(move || full.fails.store(true, Ordering::SeqCst)));
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    let troubled = || loop {
        if let Some(BuildStatus::Building { trouble: Some(error), .. }) = store.build_status(id).unwrap() {
            return error;
        }
        thread::yield_now();
    };
    assert_eq!(troubled().code, ErrorCode::DiskFull);
    let query = |body: serde_json::Value| {
        let Body::Find(query) = store.parse_query(collection, &body.to_string(), false).unwrap() else {
            panic!("not a query");
        };
        store.query(collection, &query, View::Newest).map(|answer| answer.page.len())
    };
    let hinted = json!({ "where": { "n": 3 }, "hint": { "index": "n" } });
    let found =
        store.find(collection, "n", &[Value::Number(3.0)], View::Newest, 100).map(|found| found.len());
    for error in [found.unwrap_err(), query(hinted.clone()).unwrap_err()] {
        assert_eq!(error.code, ErrorCode::IndexBuilding, "{error}");
        assert_eq!((error.details.index.as_deref(), error.retryable()), (Some("n"), true));
    }
    // Who does not name it is answered by a scan.
    assert_eq!(query(json!({ "where": { "n": 3 } })).unwrap(), 30);
    let required = query(json!({ "where": { "n": 3 }, "requireIndex": true }));
    assert_eq!(required.unwrap_err().code, ErrorCode::NoIndex);
    kv.fails.store(false, Ordering::SeqCst);
    store.wait_for_index(id).unwrap();
    assert_eq!(query(hinted).unwrap(), 30);
}

#[test]
fn a_build_goes_on_where_it_was_when_the_store_ended_at_any_commit() {
    let kv: Arc<MemoryKv> = Arc::default();
    let store = open(&kv);
    let collection = fill(&store, 2000);
    store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    store.close().unwrap();
    let mut kv = Arc::new(kv.reopen());
    // Every open lasts for a commit or so; the build needs eight, and what is written in between is not forgotten.
    for round in 0..100u32 {
        let store = open(&kv);
        let mut set = put(&store, collection, &[(round * 20, r#"{"n":"new"}"#)]);
        set.delete(collection, &key(1999 - round)).unwrap();
        store.commit(set, Durability::Memory).unwrap();
        let ready = store.index(collection, "n").unwrap().since.is_some();
        store.close().unwrap();
        kv = Arc::new(kv.reopen());
        if ready {
            break;
        }
    }
    let store = open(&kv);
    store.wait_for_index(store.index(collection, "n").unwrap().id).unwrap();
    let found = |value: Value| store.find(collection, "n", &[value], View::Newest, 10_000).unwrap().len();
    let total: usize = (0..10).map(|n| found(Value::Number(f64::from(n)))).sum();
    let new = found(Value::String("new".to_owned()));
    assert!(new > 0);
    assert_eq!((total + new) as u64, store.count_records(collection, View::Newest).unwrap());
}

#[test]
fn a_unique_index_over_duplicates_fails_with_both_records_and_is_gone() {
    let kv: Arc<MemoryKv> = Arc::default();
    let store = open(&kv);
    let collection = fill(&store, 30);
    let id = store.create_index(collection, unique("n", "n"), Durability::Memory).unwrap();
    let error = store.wait_for_index(id).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unique);
    assert_eq!((error.details.index_key, error.details.holder), (Some(json!(0)), Some(json!(0))));
    assert_eq!(store.index(collection, "n").unwrap_err().code, ErrorCode::NoIndex);
    // The name is free again, and nothing of the failed index is in the way.
    let id = store.create_index(collection, unique("n", "u"), Durability::Memory).unwrap();
    store.wait_for_index(id).unwrap();
    store.close().unwrap();
    let store = open(&Arc::new(kv.reopen()));
    assert_eq!(store.collection_info("c").unwrap().unwrap().indexes.len(), 1);
}

/// Nobody waits for the disk to have room, and once it has, the index goes.
#[test]
fn an_index_that_cannot_be_built_nor_dropped_has_failed_and_is_dropped_later() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection = fill(&store, 30);
    // The entries of indexes in the catalog.
    *kv.fails_deleting.lock().unwrap() = vec![0, 0, 0, 0, 3];
    let id = store.create_index(collection, unique("n", "n"), Durability::Memory).unwrap();
    assert_eq!(store.wait_for_index(id).unwrap_err().code, ErrorCode::Unique);
    assert_eq!(store.index(collection, "n").unwrap().id, id);
    kv.fails_deleting.lock().unwrap().clear();
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.index(collection, "n").is_ok() {
        assert!(Instant::now() < deadline, "the index was not dropped");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.wait_for_index(id).unwrap_err().code, ErrorCode::Unique);
    store.close().unwrap();
}

#[test]
fn a_duplicate_in_a_group_or_a_batch_is_refused_alone_and_names_its_holder() {
    let store = open(&Arc::default());
    let collection = store.collection("c").unwrap();
    store.create_index(collection, unique("byEmail", "email"), Durability::Memory).unwrap();
    let sets = vec![
        put(&store, collection, &[(1, r#"{"email":"a"}"#)]),
        put(&store, collection, &[(2, r#"{"email":"a"}"#)]),
        put(&store, collection, &[(3, r#"{"email":"b"}"#), (4, r#"{"email":"b"}"#)]),
        put(&store, collection, &[(5, r#"{"email":"b"}"#)]),
    ];
    let done = support::submit(&store, sets, Durability::Memory).recv().unwrap().unwrap();
    let codes: Vec<_> = (0..4).map(|place| done.sequence(place).err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::Unique), Some(ErrorCode::Unique), None]);
    let error = done.sequence(1).unwrap_err();
    assert_eq!(error.details.index.as_deref(), Some("byEmail"));
    assert_eq!(
        (error.details.index_key.clone(), error.details.holder.clone()),
        (Some(json!("a")), Some(json!(1)))
    );
    assert!(error.message.contains(r#"byEmail key="a""#), "{error}");
    // A key may go from one record to another within a commit, in either order of the operations.
    store
        .commit(
            put(&store, collection, &[(1, r#"{"email":"b"}"#), (5, r#"{"email":"a"}"#)]),
            Durability::Memory,
        )
        .unwrap();
    let mut set = put(&store, collection, &[(9, r#"{"email":"a"}"#)]);
    set.delete(collection, &key(5)).unwrap();
    store.commit(set, Durability::Memory).unwrap();
    let text = |text: &str| [Value::String(text.to_owned())];
    assert_eq!(keys_of(&store.find(collection, "byEmail", &text("a"), View::Newest, 9).unwrap()), [key(9)]);
    assert_eq!(keys_of(&store.find(collection, "byEmail", &text("b"), View::Newest, 9).unwrap()), [key(1)]);
    // Any number of records lack the value; null is a value.
    store
        .commit(
            put(&store, collection, &[(20, "{}"), (21, "{}"), (22, r#"{"email":null}"#)]),
            Durability::Memory,
        )
        .unwrap();
    let second = store.commit(put(&store, collection, &[(23, r#"{"email":null}"#)]), Durability::Memory);
    assert_eq!(second.unwrap_err().code, ErrorCode::Unique);
}

#[test]
fn a_record_that_cannot_be_indexed_is_refused_and_changes_nothing() {
    let store = open(&Arc::default());
    let collection = store.collection("c").unwrap();
    store.create_index(collection, multi("t", "t"), Durability::Memory).unwrap();
    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(3000));
    let error =
        store.commit(put(&store, collection, &[(1, "{}"), (2, &large)]), Durability::Memory).unwrap_err();
    assert_eq!((error.code, error.details.index.as_deref()), (ErrorCode::TooLarge, Some("t")));
    assert_eq!(error.details.item, Some(1));
    assert_eq!(store.count_records(collection, View::Newest).unwrap(), 0);
}

#[test]
fn records_that_an_index_being_built_cannot_take_can_be_deleted_and_repaired() {
    let store = open(&Arc::default());
    let collection = store.collection("c").unwrap();
    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(3000));
    let many: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let many = format!(r#"{{"t":[{}]}}"#, many.join(","));
    for (path, json) in [("t", &large), ("t[]", &many)] {
        store
            .commit(put(&store, collection, &[(1, json), (2, json), (3, "{}")]), Durability::Memory)
            .unwrap();
        let mut define = WriteSet::new();
        define.create_index(collection, multi("t", path));
        let mut delete = WriteSet::new();
        delete.delete(collection, &key(1)).unwrap();
        let repair = put(&store, collection, &[(2, r#"{"t":"fine"}"#)]);
        // One group, so that the build cannot have ended before the others are judged.
        let done = support::submit(&store, vec![define, delete, repair], Durability::Memory);
        let done = done.recv().unwrap().unwrap();
        assert!(done.refused.is_empty(), "{path}: {:?}", done.refused);
        // What is new has to fit all the same.
        store.wait_for_index(store.index(collection, "t").unwrap().id).unwrap();
        let refused = store.commit(put(&store, collection, &[(1, json)]), Durability::Memory);
        assert!(refused.is_err());
        assert_eq!(store.count_records(collection, View::Newest).unwrap(), 2);
        store.drop_index(collection, "t", Durability::Memory).unwrap();
    }
}

#[test]
fn a_state_with_records_that_the_index_cannot_take_is_read_through_it_without_them() {
    let store = open(&Arc::default());
    let collection = store.collection("c").unwrap();
    let commit = |number, json: &str| {
        store.commit(put(&store, collection, &[(number, json)]), Durability::Memory).unwrap()
    };
    let many: Vec<_> = (0..5000).map(|n| n.to_string()).collect();
    commit(1, &format!(r#"{{"n":"{}"}}"#, "x".repeat(3000)));
    commit(2, &format!(r#"{{"n":[{}]}}"#, many.join(",")));
    let earlier = commit(3, r#"{"n":"a"}"#);
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    commit(1, r#"{"n":"b"}"#);
    commit(2, r#"{"n":"b"}"#);
    for (name, path) in [("n", "n"), ("each", "n[]")] {
        let id = store.create_index(collection, multi(name, path), Durability::Memory).unwrap();
        store.wait_for_index(id).unwrap();
    }
    let find = |name, at: View| {
        let value = Value::String("a".to_owned());
        store.find(collection, name, &[value], at, 10).map(|page| keys_of(&page)).map_err(|error| error.code)
    };
    assert_eq!(find("n", View::At(earlier)), Ok(vec![key(3)]));
    assert_eq!(find("n", View::from(&transaction)), Ok(vec![key(3)]));
    let each = [(1, r#"["a"]"#), (2, r#"["b"]"#)];
    let each = each.map(|(number, n)| commit(number, &format!(r#"{{"n":{n}}}"#)));
    assert_eq!(find("each", View::At(earlier)), Ok(Vec::new()));
    assert_eq!(find("each", View::At(each[0])), Ok(vec![key(1)]));
}

#[test]
fn an_array_that_is_no_key_is_taken_wherever_the_object_in_it_is() {
    let store = open(&Arc::default());
    let collection = store.collection("c").unwrap();
    store.create_index(collection, multi("items", "items"), Durability::Memory).unwrap();
    let numbers: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let numbers = numbers.join(",");
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    let lists = [
        format!("{{}},{numbers}"),
        format!("{numbers},{{}}"),
        format!("[{numbers}],{deep}"),
        format!("[{numbers},{{}}]"),
    ];
    for (number, list) in (0..).zip(&lists) {
        let set = put(&store, collection, &[(number, &format!(r#"{{"items":[{list}]}}"#))]);
        store.commit(set, Durability::Memory).unwrap();
    }
    let request = IndexScan {
        collection,
        index: "items".to_owned(),
        bounds: Bounds::of_type(&[], &Value::Object(vec![])).unwrap(),
        direction: Direction::Forward,
        at: View::Newest,
        after: None,
        max_records: 10,
        max_bytes: usize::MAX,
    };
    let mut page = Page::new();
    store.scan_index(&request, ReadTier::Disk, &mut page).unwrap();
    assert_eq!(keys_of(&page), [key(0), key(1), key(2), key(3)]);
    let set = put(&store, collection, &[(4, &format!(r#"{{"items":[[{numbers}],1]}}"#))]);
    assert_eq!(store.commit(set, Durability::Memory).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn a_dropped_collection_is_empty_for_its_name_and_whole_for_the_past() {
    let kv: Arc<MemoryKv> = Arc::default();
    let store = open(&kv);
    let collection = fill(&store, 100);
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    store.wait_for_index(id).unwrap();
    let before = store.sequence();
    store.drop_collection("c", Durability::Memory).unwrap();
    assert_eq!(store.collections().unwrap(), Vec::<String>::new());
    assert!(store.collection_info("c").unwrap().is_none());
    assert_eq!(store.count_records(collection, View::Newest).unwrap(), 0);
    assert_eq!(store.count_records(collection, before).unwrap(), 100);
    assert!(store.get(collection, &key(3), before, ReadTier::Disk).unwrap().is_some());
    // The old id takes no writes any more, and its name begins anew.
    let refused = store.commit(put(&store, collection, &[(1, "{}")]), Durability::Memory);
    assert_eq!(refused.unwrap_err().code, ErrorCode::NotFound);
    let again = store.collection("c").unwrap();
    assert_ne!(again, collection);
    store.commit(put(&store, again, &[(1, "{}")]), Durability::Memory).unwrap();
    assert_eq!(store.drop_collection("x", Durability::Memory).unwrap_err().code, ErrorCode::NotFound);
    store.close().unwrap();
    let store = open(&Arc::new(kv.reopen()));
    assert_eq!((store.collections().unwrap(), store.collection("c").unwrap()), (vec!["c".to_owned()], again));
    assert!(store.collection_info("c").unwrap().unwrap().indexes.is_empty());
}

#[test]
fn writes_after_a_drop_in_the_same_group_are_refused() {
    let store = open(&Arc::default());
    let collection = fill(&store, 10);
    let mut dropping = WriteSet::new();
    dropping.drop_collection(collection);
    let sets = vec![dropping, put(&store, collection, &[(1, "{}")])];
    let done = support::submit(&store, sets, Durability::Memory).recv().unwrap().unwrap();
    assert!(done.sequence(0).is_ok() && done.sequence(1).is_err());
    assert_eq!(store.count_records(collection, View::Newest).unwrap(), 0);
}

#[test]
fn options_and_definitions_survive_a_reopen_and_conflicts_are_refused() {
    let kv: Arc<MemoryKv> = Arc::default();
    let store = open(&kv);
    let options = CollectionOptions { schema_version: Some(3), ..CollectionOptions::default() };
    let collection = store.create_collection("c", options.clone(), Durability::Memory).unwrap();
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    let sequence = store.sequence();
    assert_eq!(store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap(), id);
    assert_eq!(store.sequence(), sequence);
    let conflict = store.create_index(collection, multi("n", "m"), Durability::Memory);
    assert_eq!(conflict.unwrap_err().code, ErrorCode::Exists);
    store.wait_for_index(id).unwrap();
    store.close().unwrap();
    let kv = Arc::new(kv.reopen());
    let store = open(&kv);
    let info = store.collection_info("c").unwrap().unwrap();
    assert_eq!((info.id, info.options, info.indexes[0].id), (collection, options, id));
    assert_eq!(info.indexes[0].definition, multi("n", "n"));
    assert!(info.indexes[0].since.is_some());
    assert_eq!(kv.visible(), store.sequence());
}

#[test]
fn a_query_reads_an_index_where_it_must_and_finds_the_same_without() {
    let store = open(&Arc::default());
    let collection = fill(&store, 500);
    let earlier = store.sequence();
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    store.wait_for_index(id).unwrap();
    store
        .commit(
            put(&store, collection, &[(600, r#"{"n":3}"#), (601, r#"{"n":{"o":1}}"#)]),
            Durability::Memory,
        )
        .unwrap();
    let count = |query: serde_json::Value, at: View| {
        let Body::Find(query) = store.parse_query(collection, &query.to_string(), false).unwrap() else {
            panic!("not a query");
        };
        store.count(collection, &query, at)
    };
    for (filter, expected) in
        [(json!({"n": 3}), 51), (json!({"n": {"$gte": 8}}), 100), (json!({"n": {"$in": [1, 2, "x"]}}), 100)]
    {
        let scanned = count(json!({ "where": filter }), View::Newest).unwrap();
        let through = count(json!({ "where": filter, "requireIndex": true }), View::Newest).unwrap();
        assert_eq!((scanned, through), (expected, expected), "{filter}");
    }
    // Before it was ready a query does without it.
    assert_eq!(count(json!({ "where": { "n": 3 } }), View::At(earlier)).unwrap(), 50);
    let required = count(json!({ "where": { "n": 3 }, "requireIndex": true }), View::At(earlier));
    assert_eq!(required.unwrap_err().code, ErrorCode::NoIndex);
}

/// A thread that must not wait gets no index that has to be put together, though all of it is in memory.
#[test]
fn an_index_in_a_transaction_is_read_without_waiting_only_if_that_is_little_work() {
    let store = open(&Arc::default());
    let collection = fill(&store, 1000);
    let earlier = store.begin(Isolation::Snapshot).unwrap();
    let id = store.create_index(collection, multi("n", "n"), Durability::Memory).unwrap();
    store.wait_for_index(id).unwrap();
    let later = store.begin(Isolation::Snapshot).unwrap();
    let own = store.encode(&from_json(r#"{"n":"own"}"#).unwrap()).unwrap();
    let scan = |transaction, tier| {
        let request = IndexScan {
            collection,
            index: "n".to_owned(),
            bounds: Bounds::all(),
            direction: Direction::Reverse,
            at: View::from(transaction),
            after: None,
            max_records: 2,
            max_bytes: usize::MAX,
        };
        let mut page = Page::new();
        store.scan_index(&request, tier, &mut page).map(|_| page.len()).map_err(|error| error.code)
    };
    assert_eq!(scan(&earlier, ReadTier::Memory), Err(ErrorCode::WouldBlock));
    assert_eq!(scan(&earlier, ReadTier::Disk), Ok(2));
    for number in 0..256 {
        later.put(collection, &key(number), &own).unwrap();
    }
    assert_eq!(scan(&later, ReadTier::Memory), Ok(2));
    later.put(collection, &key(256), &own).unwrap();
    assert_eq!(scan(&later, ReadTier::Memory), Err(ErrorCode::WouldBlock));
    assert_eq!(scan(&later, ReadTier::Disk), Ok(2));
}

#[test]
fn a_salvaged_store_builds_its_indexes_anew() {
    let directory = tempfile::TempDir::new().unwrap();
    let (source, dest) = (directory.path().join("source"), directory.path().join("dest"));
    let store = Store::open(&source, StoreOptions::default()).unwrap();
    let collection = fill(&store, 300);
    let id = store.create_index(collection, multi("n", "n"), Durability::Disk).unwrap();
    store.wait_for_index(id).unwrap();
    store.close().unwrap();
    let report = salvage(&source, &dest, &StorageOptions::default()).unwrap();
    assert_eq!(report.collections.len(), 1);
    let store = Store::open(&dest, StoreOptions::default()).unwrap();
    let index = store.index(store.collection("c").unwrap(), "n").unwrap();
    store.wait_for_index(index.id).unwrap();
    let found = store.find(collection, "n", &[Value::Number(3.0)], View::Newest, 1000).unwrap();
    assert_eq!(found.len(), 30);
    store.close().unwrap();
}
