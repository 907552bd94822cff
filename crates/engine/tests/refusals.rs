//! Why a transaction is refused: what a conflict names, and the limits of what is remembered for transactions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::mpsc::channel;

use fountain_engine::keys::{Key, encode};
use fountain_engine::limits::{MAX_INDEXES, MAX_TRANSACTION_READ_BYTES, MAX_TRANSACTIONS, MAX_WINDOW_BYTES};
use fountain_engine::record::{Value, from_json};
use fountain_engine::{
    CollectionId, Committed, Durability, ErrorCode, IndexDefinition, IndexKind, Isolation, KeyRange, Page,
    ReadTier, Result, Store, Transaction, View, WriteSet,
};
use serde_json::{Value as Json, json};
use support::{document, everything, key, memory_store, put};

/// What a conflict says: collection, key, index, key in the index, and which commit it was.
#[derive(Debug, Default, PartialEq)]
struct Named {
    collection: Option<String>,
    key: Option<Vec<u8>>,
    index: Option<String>,
    index_key: Option<Json>,
    found: Option<u64>,
}

fn named(result: Result<Committed>) -> Named {
    let error = result.unwrap().refused.remove(0).error;
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
    let details = *error.details;
    Named {
        collection: details.collection,
        key: details.key,
        index: details.index,
        index_key: details.index_key,
        found: details.found,
    }
}

/// A store with the collection `c`, in which every document has a number `n` that the index `byN` knows.
struct Setup {
    store: Store,
    collection: CollectionId,
    other: CollectionId,
}

impl Setup {
    fn new() -> Self {
        let store = memory_store();
        let (collection, other) = (store.collection("c").unwrap(), store.collection("other").unwrap());
        let definition = IndexDefinition::new("byN", IndexKind::Multi, &["n"]).unwrap();
        let index = store.create_index(collection, definition, Durability::Memory).unwrap();
        store.wait_for_index(index).unwrap();
        Self { store, collection, other }
    }

    fn put(&self, number: u32, n: u32) -> WriteSet {
        let record = self.store.encode(&from_json(&format!(r#"{{"n":{n}}}"#)).unwrap()).unwrap();
        let mut writes = WriteSet::new();
        writes.put(self.collection, &key(number), &record).unwrap();
        writes
    }

    /// A serializable transaction that has read and written elsewhere.
    fn reader(&self, read: impl FnOnce(&Self, &Transaction)) -> Transaction {
        let transaction = self.store.begin(Isolation::Serializable).unwrap();
        read(self, &transaction);
        transaction.put(self.other, &key(1), &document(b"")).unwrap();
        transaction
    }

    fn reads_key(&self, transaction: &Transaction) {
        assert!(self.store.get(self.collection, &key(2), transaction, ReadTier::Disk).unwrap().is_none());
    }

    fn reads_range(&self, transaction: &Transaction) {
        let mut request = everything(&self.store, transaction);
        request.range = KeyRange { start: key(1), end: Some(key(9)) };
        self.store.scan(&request, ReadTier::Disk, &mut Page::new()).unwrap();
    }

    fn reads_index(&self, transaction: &Transaction) {
        let key = [Value::Number(20.0)];
        assert!(self.store.find(self.collection, "byN", &key, transaction, 9).unwrap().is_empty());
    }
}

fn submit(transaction: &Transaction) -> Result<Committed> {
    let (sender, answer) = channel();
    transaction.submit(Durability::Memory, Box::new(move |result| sender.send(result).unwrap()));
    answer.recv().unwrap()
}

#[test]
fn what_was_read_and_then_changed_is_named_with_the_commit_that_did_it() {
    let setup = Setup::new();
    let c = || Some("c".to_owned());
    let by_key = setup.reader(Setup::reads_key);
    let by_range = setup.reader(Setup::reads_range);
    let by_index = setup.reader(Setup::reads_index);
    let found = Some(setup.store.commit(setup.put(2, 20), Durability::Memory).unwrap().get());
    let record = || Named { collection: c(), key: Some(key(2)), found, ..Named::default() };
    assert_eq!(named(submit(&by_key)), record());
    assert_eq!(named(submit(&by_range)), record());
    let index = Some("byN".to_owned());
    let entry = Named { collection: c(), index, index_key: Some(json!(20)), found, ..Named::default() };
    assert_eq!(named(submit(&by_index)), entry);

    // That a name had no collection.
    let by_name = setup.reader(|setup, transaction| {
        assert_eq!(setup.store.collection("c").unwrap(), setup.collection);
        assert_eq!(transaction.collection("later").unwrap(), None);
    });
    let later = setup.store.collection("later").unwrap();
    let found = Some(setup.store.commit(put(later, 1), Durability::Memory).unwrap().get());
    let name = Named { collection: Some("later".to_owned()), found, ..Named::default() };
    assert_eq!(named(submit(&by_name)), name);
}

#[test]
fn a_commit_of_the_same_group_is_named_as_well() {
    let setup = Setup::new();
    let (by_key, by_range) = (setup.reader(Setup::reads_key), setup.reader(Setup::reads_range));
    // The commit thread stands in a callback until all are submitted.
    let (release, released) = channel::<()>();
    let (entered, inside) = channel();
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    });
    setup.store.submit(vec![put(setup.other, 2)], Durability::Memory, done);
    inside.recv().unwrap();
    let found = Some(setup.store.sequence().get() + 1);
    let group = support::submit(&setup.store, vec![setup.put(2, 1)], Durability::Memory);
    let answers = [&by_key, &by_range].map(|transaction| {
        let (sender, answer) = channel();
        transaction.submit(Durability::Memory, Box::new(move |result| sender.send(result).unwrap()));
        answer
    });
    drop(release);
    assert_eq!(group.recv().unwrap().unwrap().accepted, 1);
    for answer in answers {
        let record = Named { collection: Some("c".to_owned()), key: Some(key(2)), found, ..Named::default() };
        assert_eq!(named(answer.recv().unwrap()), record);
    }
}

/// One of many keys that are as long as keys may be, nearly.
fn long_key(number: usize) -> Vec<u8> {
    encode(&Key::String(format!("{number:04000}"))).unwrap()
}

#[test]
fn a_transaction_is_too_old_when_more_was_written_meanwhile_than_is_remembered() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let [writer, reader] = [(); 2].map(|()| store.begin(Isolation::Snapshot).unwrap());
    let mut keys = (0..MAX_WINDOW_BYTES / long_key(0).len()).map(long_key).peekable();
    while keys.peek().is_some() {
        let mut writes = WriteSet::new();
        keys.by_ref().take(2000).for_each(|key| writes.delete(collection, &key).unwrap());
        store.commit(writes, Durability::Memory).unwrap();
    }
    writer.put(collection, &key(1), &document(b"")).unwrap();
    let error = writer.commit(Durability::Memory).unwrap_err();
    assert_eq!((error.code, error.retryable()), (ErrorCode::TransactionTooOld, true));
    // One without writes needs nothing to be remembered, and one that begins now knows all.
    assert!(reader.commit(Durability::Memory).is_ok());
    let again = store.begin(Isolation::Serializable).unwrap();
    again.put(collection, &key(1), &document(b"")).unwrap();
    assert!(again.commit(Durability::Memory).is_ok());
}

#[test]
fn a_transaction_that_has_read_too_much_may_read_on_and_not_write() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Memory).unwrap();
    let [before, after] = [(); 2].map(|()| store.begin(Isolation::Serializable).unwrap());
    before.put(collection, &key(2), &document(b"")).unwrap();
    let keys: Vec<_> = (0..MAX_TRANSACTION_READ_BYTES / long_key(0).len()).map(long_key).collect();
    for part in keys.chunks(1000) {
        let part: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
        for transaction in [&before, &after] {
            store.get_many(collection, &part, transaction, ReadTier::Disk).unwrap();
        }
    }
    assert_eq!(before.commit(Durability::Memory).unwrap_err().code, ErrorCode::TooLarge);
    assert!(store.get(collection, &key(1), &after, ReadTier::Disk).unwrap().is_some());
    let error = after.put(collection, &key(3), &document(b"")).unwrap_err();
    assert_eq!((error.code, error.details.what), (ErrorCode::TooLarge, Some("what a transaction has read")));
    assert!(after.commit(Durability::Memory).is_ok());
}

#[test]
fn one_transaction_more_than_may_be_open_is_refused_until_one_ends() {
    let store = memory_store();
    let mut open: Vec<_> = (0..MAX_TRANSACTIONS).map(|_| store.begin(Isolation::Snapshot).unwrap()).collect();
    let error = store.begin(Isolation::Snapshot).unwrap_err();
    assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(MAX_TRANSACTIONS as u64)));
    open.pop();
    assert!(store.begin(Isolation::Serializable).is_ok());
}

#[test]
fn one_index_more_than_a_collection_may_have_is_refused_until_one_goes() {
    let store = memory_store();
    let (collection, other) = (store.collection("c").unwrap(), store.collection("other").unwrap());
    let create = |collection, number: usize| {
        let definition = IndexDefinition::new(&format!("by{number}"), IndexKind::Multi, &["n"]).unwrap();
        store.create_index(collection, definition, Durability::Memory)
    };
    for number in 0..MAX_INDEXES {
        create(collection, number).unwrap();
    }
    let error = create(collection, MAX_INDEXES).unwrap_err();
    assert_eq!((error.code, error.details.limit), (ErrorCode::Limit, Some(MAX_INDEXES as u64)));
    assert_eq!(create(collection, 0).unwrap(), store.index(collection, "by0").unwrap().id);
    assert!(create(other, 0).is_ok());
    store.drop_index(collection, "by0", Durability::Memory).unwrap();
    store.wait_for_index(create(collection, MAX_INDEXES).unwrap()).unwrap();
    assert_eq!(store.count_records(collection, View::Newest).unwrap(), 0);
}
