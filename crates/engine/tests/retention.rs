//! What is kept of each collection: its own retention, in its indexes, too, from the commit that sets it on, through
//! reopens; and what is not kept gives its space back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fountain_engine::record::Value;
use fountain_engine::{
    ChangesRequest, CollectionId, CollectionOptions, CollectionRetention, CollectionSetting, Durability,
    ErrorCode, IndexDefinition, IndexKind, MemoryKv, Page, ReadTier, Retention, Seq, Store, StoreOptions,
    VersionPage, View, WriteSet,
};
use support::test_kv::TestKv;
use support::{Home, LocalHome, MemoryHome, key};

fn keeping(retention: CollectionRetention) -> CollectionOptions {
    CollectionOptions { retention: Some(retention), ..CollectionOptions::default() }
}

fn put_json(store: &Store, collection: CollectionId, number: u32, json: &str) -> Seq {
    let mut writes = WriteSet::new();
    let record = store.encode(&fountain_engine::record::from_json(json).unwrap()).unwrap();
    writes.put(collection, &key(number), &record).unwrap();
    store.commit(writes, Durability::Memory).unwrap()
}

fn put_padded(store: &Store, collection: CollectionId, number: u32, padding: &str) -> Seq {
    put_json(store, collection, number, &format!(r#"{{"n":{number},"text":"{padding}"}}"#))
}

/// Sequences of the versions of record 1.
fn versions(store: &Store, collection: CollectionId) -> Vec<u64> {
    let mut page = VersionPage::new();
    store.history(collection, &key(1), None, usize::MAX, &mut page).unwrap();
    page.versions().map(|(seq, ..)| seq.get()).collect()
}

fn read_at(store: &Store, collection: CollectionId, at: u64) -> Result<bool, (ErrorCode, Option<u64>)> {
    let found = store.get(collection, &key(1), Seq::new(at), ReadTier::Disk);
    found.map(|found| found.is_some()).map_err(|error| (error.code, error.details.floor))
}

#[test]
fn every_collection_keeps_what_its_own_retention_says_through_reopens() {
    fn check(home: &impl Home) {
        let store = home.open();
        let make = |name, retention| {
            store.create_collection(name, keeping(retention), Durability::Memory).unwrap();
        };
        make("all", CollectionRetention::Unbounded);
        make("latest", CollectionRetention::LatestOnly);
        make("two", CollectionRetention::Count(NonZeroU32::new(2).unwrap()));
        make("since", CollectionRetention::Since(Seq::new(9).unwrap()));
        let ids = ["all", "latest", "two", "since", "unset"].map(|name| store.collection(name).unwrap());
        // Sequences 5 to 9, 10 to 14, 15 to 19.
        for _ in 0..3 {
            for id in ids {
                put_json(&store, id, 1, "{}");
            }
        }
        store.close().unwrap();
        // Nothing is said again: the catalog knows.
        let store = home.open();
        store.compact().unwrap();
        let kept = ids.map(|id| versions(&store, id));
        assert_eq!(kept[0], [15, 10, 5]);
        assert_eq!(kept[1], [16]);
        assert_eq!(kept[2], [17, 12]);
        assert_eq!(kept[3], [18, 13, 8]);
        assert_eq!(kept[4], [19, 14, 9]);
        assert_eq!(read_at(&store, ids[0], 2), Ok(false));
        assert_eq!(read_at(&store, ids[1], 18), Err((ErrorCode::HistoryTruncated, Some(19))));
        assert_eq!(read_at(&store, ids[2], 17), Err((ErrorCode::HistoryTruncated, Some(19))));
        assert_eq!(read_at(&store, ids[3], 8), Err((ErrorCode::HistoryTruncated, Some(9))));
        assert_eq!((read_at(&store, ids[3], 9), read_at(&store, ids[1], 19)), (Ok(true), Ok(true)));
        let error = store.get(ids[1], &key(1), Seq::new(3), ReadTier::Disk).unwrap_err();
        assert_eq!(error.details.collection.as_deref(), Some("latest"));
        assert!(error.message.contains("latest") && error.message.contains("19"), "{error}");

        // The history of all collections ends where that of one does; of each by itself it does not.
        let changes = |collection, after| {
            let (after, upto) = (Seq::new(after).unwrap(), store.sequence());
            let request = ChangesRequest { collection, after, upto, max_bytes: usize::MAX };
            store.changes(&request, &mut VersionPage::new()).map_err(|error| error.details.collection)
        };
        assert_eq!(changes(Some(ids[1]), 18).unwrap_err().as_deref(), Some("latest"));
        assert!(changes(Some(ids[0]), 0).is_ok() && changes(None, 18).is_err() && changes(None, 19).is_ok());
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn a_changed_retention_holds_from_the_commit_that_changes_it_on() {
    let home = LocalHome::new();
    let store = home.open();
    let collection =
        store.create_collection("c", keeping(CollectionRetention::LatestOnly), Durability::Memory).unwrap();
    put_json(&store, collection, 1, "{}");
    put_json(&store, collection, 1, "{}");
    store.compact().unwrap();
    assert_eq!(versions(&store, collection), [3]);
    let alter = |retention| {
        let settings = vec![CollectionSetting::Retention(retention)];
        store.alter_collection("c", settings, Durability::Memory).unwrap()
    };
    let altered = alter(Some(CollectionRetention::Unbounded));
    for _ in 0..3 {
        put_json(&store, collection, 1, "{}");
        store.compact().unwrap();
    }
    assert_eq!((versions(&store, collection), altered.get()), (vec![7, 6, 5, 3], 4));
    assert_eq!(read_at(&store, collection, 4), Ok(true));
    // The store's own retention holds again: everything.
    alter(None);
    put_json(&store, collection, 1, "{}");
    store.compact().unwrap();
    assert_eq!(versions(&store, collection).len(), 5);
    alter(Some(CollectionRetention::LatestOnly));
    store.compact().unwrap();
    assert_eq!(versions(&store, collection), [9]);
    let missing = store.alter_collection("nobody", Vec::new(), Durability::Memory);
    assert_eq!(missing.unwrap_err().code, ErrorCode::NotFound);
    let again = |retention| store.create_collection("c", keeping(retention), Durability::Memory);
    assert_eq!(again(CollectionRetention::Unbounded).unwrap_err().code, ErrorCode::Exists);
    assert_eq!(again(CollectionRetention::LatestOnly).unwrap(), collection);
    store.close().unwrap();
}

#[test]
fn a_change_that_is_not_committed_drops_nothing() {
    let kv = Arc::new(TestKv::default());
    let store = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let collection =
        store.create_collection("c", keeping(CollectionRetention::Unbounded), Durability::Memory).unwrap();
    put_json(&store, collection, 1, "{}");
    put_json(&store, collection, 1, "{}");
    kv.fails.store(true, Ordering::SeqCst);
    let latest = || vec![CollectionSetting::Retention(Some(CollectionRetention::LatestOnly))];
    assert!(store.alter_collection("c", latest(), Durability::Memory).is_err());
    kv.fails.store(false, Ordering::SeqCst);
    store.compact().unwrap();
    assert_eq!(versions(&store, collection), [3, 2]);
    store.alter_collection("c", latest(), Durability::Memory).unwrap();
    store.compact().unwrap();
    assert_eq!(versions(&store, collection), [3]);
}

#[test]
fn an_index_answers_for_every_state_that_its_collection_does() {
    fn check(home: &impl Home, retention: Option<CollectionRetention>, late: bool) {
        let store = home.open();
        let options = CollectionOptions { retention, ..CollectionOptions::default() };
        let collection = store.create_collection("c", options, Durability::Memory).unwrap();
        let define = || {
            let definition = IndexDefinition::new("n", IndexKind::Multi, &["n"]).unwrap();
            let id = store.create_index(collection, definition, Durability::Memory).unwrap();
            store.wait_for_index(id).unwrap();
        };
        if !late {
            define();
        }
        for step in 0..60u32 {
            put_json(&store, collection, step % 7, &format!(r#"{{"n":{}}}"#, step % 3));
            if step % 20 == 19 {
                store.compact().unwrap();
            }
        }
        if late {
            define();
        }
        store.compact().unwrap();
        let mut readable = 0;
        for at in (0..=store.sequence().get()).filter_map(Seq::new) {
            let mut scanned = Page::new();
            let request =
                fountain_engine::ScanRequest { max_records: 1000, ..support::everything(&store, at) };
            let scan = store.scan(&request, ReadTier::Disk, &mut scanned);
            let found = store.find(collection, "n", &[Value::Number(1.0)], at, 1000);
            match (scan, found) {
                (Ok(_), Ok(found)) => {
                    readable += 1;
                    let one =
                        store.encode(&fountain_engine::record::from_json(r#"{"n":1}"#).unwrap()).unwrap();
                    let expected: Vec<_> = scanned.records().filter(|(_, record)| *record == one).collect();
                    assert_eq!(found.records().collect::<Vec<_>>(), expected, "{retention:?} at {at}");
                }
                (Err(error), Err(other)) => assert_eq!(error.code, other.code),
                (Err(error), Ok(found)) => {
                    // Nothing was there that could have been dropped.
                    assert!(found.is_empty() && error.code == ErrorCode::HistoryTruncated, "{at}");
                }
                (Ok(_), Err(error)) => panic!("{retention:?}: the index fails alone at {at}: {error}"),
            }
        }
        assert!(readable > 0);
        store.close().unwrap();
    }
    for late in [false, true] {
        for retention in [
            None,
            Some(CollectionRetention::LatestOnly),
            Some(CollectionRetention::Count(NonZeroU32::new(3).unwrap())),
            Some(CollectionRetention::Since(Seq::new(30).unwrap())),
        ] {
            check(&MemoryHome::default(), retention, late);
            check(&LocalHome::new(), retention, late);
        }
    }
}

#[test]
fn a_collection_may_keep_more_than_the_store_from_the_first_compaction_of_an_open_on() {
    let home = LocalHome::new();
    let options = StoreOptions { retention: Retention::LatestOnly, ..LocalHome::options() };
    let store = Store::open(home.path(), options.clone()).unwrap();
    let kept =
        store.create_collection("all", keeping(CollectionRetention::Unbounded), Durability::Memory).unwrap();
    let other = store.collection("other").unwrap();
    for _ in 0..3 {
        put_json(&store, kept, 1, "{}");
        put_json(&store, other, 1, "{}");
    }
    store.close().unwrap();
    for _ in 0..3 {
        let store = Store::open(home.path(), options.clone()).unwrap();
        store.compact().unwrap();
        assert_eq!((versions(&store, kept).len(), versions(&store, other).len()), (3, 1));
        store.close().unwrap();
    }
}

#[test]
fn what_is_gone_does_not_end_the_history_of_all_collections() {
    fn check(home: &impl Home) {
        let store = home.open();
        let make = |name, options| store.create_collection(name, options, Durability::Memory).unwrap();
        let kept = make("kept", CollectionOptions::default());
        let gone = make("gone", keeping(CollectionRetention::LatestOnly));
        let altered = make("altered", keeping(CollectionRetention::LatestOnly));
        let definition = IndexDefinition::new("n", IndexKind::Multi, &["n"]).unwrap();
        store.create_index(altered, definition, Durability::Memory).unwrap();
        for id in [kept, gone, altered] {
            put_padded(&store, id, 1, "");
        }
        store.drop_index(altered, "n", Durability::Memory).unwrap();
        let settings = vec![CollectionSetting::Retention(Some(CollectionRetention::Unbounded))];
        store.alter_collection("altered", settings, Durability::Memory).unwrap();
        let before = put_padded(&store, kept, 2, "");
        store.drop_collection("gone", Durability::Memory).unwrap();
        let dropped = store.sequence();
        for round in 0..3 {
            put_padded(&store, kept, 3, "");
            put_padded(&store, altered, round, "");
            store.compact().unwrap();
        }
        let request =
            |after| ChangesRequest { collection: None, after, upto: store.sequence(), max_bytes: usize::MAX };
        let mut page = VersionPage::new();
        store.changes(&request(dropped), &mut page).unwrap();
        assert_eq!(page.versions().count(), 6);
        store.diff(&request(dropped), None, &mut page).unwrap();
        // One record was written again as it was.
        assert_eq!(page.versions().count(), 3);
        // What a collection had that was dropped in between has to be there.
        let error = store.changes(&request(before), &mut page).unwrap_err();
        assert_eq!(error.code, ErrorCode::HistoryTruncated);
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn what_is_not_kept_gives_its_space_back() {
    let home = LocalHome::new();
    let store = home.open();
    let padding = "x".repeat(1000);
    let latest = store
        .create_collection("latest", keeping(CollectionRetention::LatestOnly), Durability::Memory)
        .unwrap();
    let definition = IndexDefinition::new("t", IndexKind::Multi, &["text"]).unwrap();
    store.create_index(latest, definition, Durability::Memory).unwrap();
    for round in 0..200 {
        put_padded(&store, latest, round % 5, &format!("{padding}{round}"));
    }
    store.compact().unwrap();
    let bytes = store.metrics().storage.table_bytes;
    assert!(bytes < 40_000, "{bytes} bytes for 5 records of 1000 bytes with their index");

    // A dropped collection takes its rule with it, also when nothing was compacted before the store was closed.
    for round in 0..100 {
        put_padded(&store, latest, round, &format!("{padding}{round}"));
    }
    store.drop_collection("latest", Durability::Memory).unwrap();
    store.close().unwrap();
    let store = home.open();
    store.compact().unwrap();
    let bytes = store.metrics().storage.table_bytes;
    assert!(bytes < 10_000, "{bytes} bytes for a collection that was dropped");
    store.close().unwrap();
}

#[test]
fn states_in_memory_follow_the_same_rules() {
    let kv = Arc::new(MemoryKv::default());
    let store = Store::with_kv(kv, StoreOptions::default()).unwrap();
    let collection =
        store.create_collection("c", keeping(CollectionRetention::LatestOnly), Durability::Memory).unwrap();
    for _ in 0..3 {
        put_json(&store, collection, 1, "{}");
    }
    let snapshot = store.snapshot_at(Seq::new(3).unwrap()).unwrap();
    store.compact().unwrap();
    assert_eq!(versions(&store, collection), [4, 3]);
    assert_eq!(read_at(&store, collection, 3), Ok(true));
    assert_eq!(store.count_records(collection, View::At(snapshot.sequence())).unwrap(), 1);
    drop(snapshot);
    assert_eq!(read_at(&store, collection, 3), Err((ErrorCode::HistoryTruncated, Some(4))));
}

#[test]
fn of_two_changes_of_a_collection_at_once_neither_is_lost() {
    let store = support::memory_store();
    let collection = store.create_collection("c", CollectionOptions::default(), Durability::Memory).unwrap();
    let one = |setting| {
        let mut writes = WriteSet::new();
        writes.alter_collection(collection, vec![setting]);
        writes
    };
    let retention = Some(CollectionRetention::LatestOnly);
    let (version, kept) =
        (CollectionSetting::SchemaVersion(Some(3)), CollectionSetting::Retention(retention));
    // Both were asked for before either was committed.
    let both = support::submit(&store, vec![one(version), one(kept)], Durability::Memory);
    assert_eq!(both.recv().unwrap().unwrap().accepted, 2);
    let expected = CollectionOptions { schema_version: Some(3), retention, ..CollectionOptions::default() };
    assert_eq!(store.collection_info("c").unwrap().unwrap().options, expected);
}

#[test]
fn of_two_who_declare_different_schema_versions_at_once_one_is_refused() {
    let store = support::memory_store();
    let collection = store.create_collection("c", CollectionOptions::default(), Durability::Memory).unwrap();
    let declare = |version: u64| {
        let options = serde_json::json!({ "declaredSchemaVersion": version });
        let mut writes = WriteSet::new();
        writes.alter_collection(collection, CollectionSetting::list(&options).unwrap());
        writes
    };
    let declared = support::submit(&store, vec![declare(1), declare(2), declare(1)], Durability::Memory);
    let answer = declared.recv().unwrap().unwrap();
    let [refused] = &answer.refused[..] else { panic!("{answer:?}") };
    assert_eq!((answer.accepted, refused.place, refused.error.code), (2, 1, ErrorCode::Definition));
    let details = &refused.error.details;
    assert_eq!((details.requested, details.found), (Some(2), Some(1)));
    assert_eq!(details.collection.as_deref(), Some("c"));
    let version = |store: &Store| store.collection_info("c").unwrap().unwrap().options.schema_version;
    assert_eq!(version(&store), Some(1));
    // Who means to change it says so.
    let changed = vec![CollectionSetting::SchemaVersion(Some(2))];
    store.alter_collection("c", changed, Durability::Memory).unwrap();
    assert_eq!(version(&store), Some(2));
    let none = CollectionSetting::list(&serde_json::json!({ "declaredSchemaVersion": null })).unwrap_err();
    assert_eq!(none.code, ErrorCode::Validation);
}
