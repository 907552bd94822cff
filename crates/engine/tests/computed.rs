//! Indexes on values that the program computes and puts with its documents.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use fountain_engine::keys::{Key, encode};
use fountain_engine::limits::MAX_RECORDS_LOOKED_AT;
use fountain_engine::record::{Value, from_json};
use fountain_engine::{
    BuildStatus, CollectionId, Durability, ErrorCode, IndexDefinition, IndexKind, Isolation, MemoryKv, Page,
    Seq, StorageOptions, Store, StoreOptions, Timestamp, VersionPage, View, WriteSet, expiring, salvage,
    with_values,
};
use support::{Home, LocalHome, MemoryHome};

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

fn record(store: &Store, json: &str) -> Vec<u8> {
    store.encode(&from_json(json).unwrap()).unwrap()
}

/// A document with these values for the index `words` of version 1.
fn with_words(store: &Store, json: &str, words: &str) -> Vec<u8> {
    with_values(&record(store, json), &record(store, &format!(r#"{{"words@1":{words}}}"#)))
}

fn put(
    store: &Store,
    collection: CollectionId,
    number: u32,
    document: &[u8],
) -> fountain_engine::Result<Seq> {
    let mut set = WriteSet::new();
    set.put(collection, &key(number), document)?;
    store.commit(set, Durability::Memory)
}

fn words(kind: IndexKind) -> IndexDefinition {
    IndexDefinition::computed("words", kind, 1).unwrap()
}

fn found(store: &Store, collection: CollectionId, word: &str, at: impl Into<View>) -> Vec<Vec<u8>> {
    let page = store.find(collection, "words", &[Value::String(word.to_owned())], at, 100).unwrap();
    page.records().map(|(key, _)| key.to_vec()).collect()
}

/// Puts every record that lacks values again with `["old"]`, as a program does.
fn compute(store: &Store, collection: CollectionId) -> usize {
    let id = store.index(collection, "words").unwrap().id;
    let (mut page, mut after, mut count) = (VersionPage::new(), Vec::new(), 0);
    loop {
        let next = store.records_without_values(id, &after, &mut page).unwrap();
        for (seq, _, key, document) in page.versions() {
            let values = record(store, r#"{"words@1":["old"]}"#);
            let mut set = WriteSet::new();
            let sealed = match document.unwrap() {
                [3, rest @ ..] => {
                    let (millis, document) = rest.split_first_chunk().unwrap();
                    let at = Timestamp::from_millis(u64::from_le_bytes(*millis));
                    expiring(&with_values(document, &values), at)
                }
                document => with_values(document, &values),
            };
            set.put_if(collection, key, &sealed, fountain_engine::Condition::Sequence(seq)).unwrap();
            store.commit(set, Durability::Memory).unwrap();
            count += 1;
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    store.resume_index(id).unwrap();
    count
}

#[test]
fn records_are_found_by_what_was_computed_and_documents_are_as_they_were() {
    let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    store.create_index(collection, words(IndexKind::Multi), Durability::Memory).unwrap();
    put(&store, collection, 1, &with_words(&store, r#"{"t":"a b"}"#, r#"["a","b","a"]"#)).unwrap();
    let before = put(&store, collection, 2, &with_words(&store, r#"{"t":"b"}"#, r#"["b"]"#)).unwrap();
    put(&store, collection, 2, &with_words(&store, r#"{"t":""}"#, "[]")).unwrap();
    assert_eq!(found(&store, collection, "a", View::Newest), [key(1)]);
    assert_eq!(found(&store, collection, "b", View::Newest), [key(1)]);
    assert_eq!(found(&store, collection, "b", View::At(before)), [key(1), key(2)]);
    let document =
        store.get(collection, &key(1), View::Newest, fountain_engine::ReadTier::Disk).unwrap().unwrap();
    assert_eq!(*document, *record(&store, r#"{"t":"a b"}"#));
}

#[test]
fn a_put_without_values_of_the_version_is_refused_and_changes_nothing() {
    let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    store.create_index(collection, words(IndexKind::Multi), Durability::Memory).unwrap();
    let other = with_values(&record(&store, "{}"), &record(&store, r#"{"words@2":["a"]}"#));
    for document in [record(&store, "{}"), other] {
        let error = put(&store, collection, 1, &document).unwrap_err();
        assert_eq!((error.code, error.details.index.as_deref()), (ErrorCode::Definition, Some("words")));
        let transaction = store.begin(Isolation::Snapshot).unwrap();
        transaction.put(collection, &key(1), &document).unwrap();
        assert_eq!(transaction.commit(Durability::Memory).unwrap_err().code, ErrorCode::Definition);
    }
    let torn = with_values(&record(&store, "{}"), b"\x02\0\x05\0\xA0");
    assert_eq!(put(&store, collection, 1, &torn).unwrap_err().code, ErrorCode::InvalidArgument);
    assert_eq!(store.count_records(collection, View::Newest).unwrap(), 0);
}

#[test]
fn a_transaction_finds_what_it_wrote_by_its_values() {
    let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    store.create_index(collection, words(IndexKind::Unique), Durability::Memory).unwrap();
    put(&store, collection, 1, &with_words(&store, "{}", r#"["a"]"#)).unwrap();
    let transaction = store.begin(Isolation::Serializable).unwrap();
    transaction.put(collection, &key(1), &with_words(&store, "{}", r#"["b"]"#)).unwrap();
    transaction.put(collection, &key(2), &with_words(&store, "{}", r#"["a"]"#)).unwrap();
    assert_eq!(found(&store, collection, "a", View::Transaction(transaction.clone())), [key(2)]);
    transaction.commit(Durability::Memory).unwrap();
    assert_eq!(found(&store, collection, "b", View::Newest), [key(1)]);
    let error = put(&store, collection, 3, &with_words(&store, "{}", r#"["c","a"]"#)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unique);
}

#[test]
fn what_was_there_before_is_built_when_the_program_has_computed_it_also_across_a_restart() {
    let home = LocalHome::new();
    let store = home.open();
    let collection = store.collection("c").unwrap();
    let count = 600;
    for number in 0..count {
        let plain = record(&store, &format!(r#"{{"n":{number}}}"#));
        let far = Timestamp::from_millis(4_000_000_000_000);
        let document = if number == 7 { expiring(&plain, far) } else { plain };
        put(&store, collection, number, &document).unwrap();
    }
    let before = store.sequence();
    let id = store.create_index(collection, words(IndexKind::Multi), Durability::Disk).unwrap();
    assert_eq!(store.wait_for_index(id).unwrap_err().code, ErrorCode::Definition);
    let status = store.build_status(id).unwrap();
    assert!(matches!(status, Some(BuildStatus::Building { trouble: Some(_), .. })), "{status:?}");
    let error = store.find(collection, "words", &[], View::Newest, 1).unwrap_err();
    assert_eq!(error.code, ErrorCode::IndexBuilding);
    put(&store, collection, 3, &with_words(&store, "{}", r#"["new"]"#)).unwrap();
    store.close().unwrap();

    let store = home.open();
    assert_eq!(store.wait_for_index(id).unwrap_err().code, ErrorCode::Definition);
    assert_eq!(compute(&store, collection), count as usize - 1);
    store.wait_for_index(id).unwrap();
    assert_eq!(found(&store, collection, "new", View::Newest), [key(3)]);
    let mut page = Page::new();
    let request = fountain_engine::IndexScan {
        collection,
        index: "words".to_owned(),
        bounds: fountain_engine::Bounds::equal(&[Value::String("old".to_owned())]).unwrap(),
        direction: fountain_engine::Direction::Forward,
        at: View::Newest,
        after: None,
        max_records: usize::MAX,
        max_bytes: usize::MAX,
    };
    store.scan_index(&request, fountain_engine::ReadTier::Disk, &mut page).unwrap();
    assert_eq!(page.len(), count as usize - 1);
    // Nobody can tell what it would have had then.
    let past = store.find(collection, "words", &[], View::At(before), 1).unwrap_err();
    assert_eq!(past.code, ErrorCode::Definition);
    let kept =
        store.get(collection, &key(7), View::Newest, fountain_engine::ReadTier::Disk).unwrap().unwrap();
    assert_eq!(*kept, *record(&store, r#"{"n":7}"#));
    store.close().unwrap();
}

#[test]
fn a_salvaged_store_has_the_index_again() {
    let (home, saved) = (LocalHome::new(), tempfile::TempDir::new().unwrap());
    let store = home.open();
    let collection = store.collection("c").unwrap();
    store.create_index(collection, words(IndexKind::Multi), Durability::Disk).unwrap();
    for number in 0..50 {
        put(&store, collection, number, &with_words(&store, "{}", r#"["a"]"#)).unwrap();
    }
    store.close().unwrap();
    let to = saved.path().join("to");
    salvage(home.path(), &to, &StorageOptions::default()).unwrap();
    let store = Store::open(&to, LocalHome::options()).unwrap();
    let collection = store.collection("c").unwrap();
    let id = store.index(collection, "words").unwrap().id;
    store.wait_for_index(id).unwrap();
    assert_eq!(found(&store, collection, "a", View::Newest).len(), 50);
    store.close().unwrap();
}

#[test]
fn looking_for_records_without_values_goes_on_in_steps_that_closing_can_wait_for() {
    let store = MemoryHome::default().open();
    let collection = store.collection("c").unwrap();
    // Only the last one lacks its values when the index is defined.
    let last = MAX_RECORDS_LOOKED_AT as u32 + 10;
    let mut set = WriteSet::new();
    for number in 0..last {
        set.put(collection, &key(number), &with_words(&store, "{}", r#"["new"]"#)).unwrap();
    }
    set.put(collection, &key(last), &record(&store, "{}")).unwrap();
    store.commit(set, Durability::Memory).unwrap();
    let id = store.create_index(collection, words(IndexKind::Multi), Durability::Memory).unwrap();
    let mut page = VersionPage::new();
    let next = store.records_without_values(id, &[], &mut page).unwrap().unwrap();
    assert_eq!((page.len(), &next), (0, &key(MAX_RECORDS_LOOKED_AT as u32 - 1)));
    assert_eq!(store.records_without_values(id, &next, &mut page).unwrap(), None);
    assert_eq!(page.versions().map(|(_, _, found, _)| found.to_vec()).collect::<Vec<_>>(), [key(last)]);
    store.close().unwrap();
}
