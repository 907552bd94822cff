//! Transactions: what they see, when they are refused, and that nothing of theirs is left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use fountain_engine::{
    CollectionId, CollectionSetting, Condition, Direction, Durability, ErrorCode, Isolation, KeyRange,
    MemoryKv, Page, ReadTier, Result, Retention, Seq, Store, StoreOptions, Transaction, View, WriteSet,
};
use support::{Home, LocalHome, MemoryHome, bytes_in, document, everything, key, memory_store, put};

const BOTH: [Isolation; 2] = [Isolation::Snapshot, Isolation::Serializable];

fn get(store: &Store, collection: CollectionId, number: u32, view: impl Into<View>) -> Option<Vec<u8>> {
    let view = view.into();
    let found = store.get(collection, &key(number), view.clone(), ReadTier::Disk).unwrap();
    let shown = store.get_with(collection, &key(number), view, ReadTier::Disk, <[u8]>::to_vec).unwrap();
    assert_eq!(shown.as_deref(), found.as_deref());
    found.map(|found| bytes_in(&found).to_vec())
}

fn set(transaction: &Transaction, collection: CollectionId, number: u32, text: &str) {
    transaction.put(collection, &key(number), &document(text.as_bytes())).unwrap();
}

fn commit(transaction: &Transaction) -> std::result::Result<u64, ErrorCode> {
    transaction.commit(Durability::Disk).map(Seq::get).map_err(|error| error.code)
}

/// The keys that a scan sees, as numbers written into the documents or the keys' last bytes.
fn scan(
    store: &Store,
    view: impl Into<View>,
    direction: Direction,
    from: u32,
    to: u32,
    max: usize,
) -> Result<Vec<Vec<u8>>> {
    let mut request = everything(store, view);
    request.direction = direction;
    request.range = KeyRange { start: key(from), end: Some(key(to)) };
    request.max_records = max;
    let mut page = Page::new();
    store.scan(&request, ReadTier::Disk, &mut page)?;
    Ok(page.records().map(|(key, _)| key.to_vec()).collect())
}

#[test]
fn a_transaction_reads_one_moment_and_its_own_writes() {
    fn check(store: &Store) {
        let collection = store.collection("c").unwrap();
        for n in 1..=3 {
            store.commit(put(collection, n), Durability::Disk).unwrap();
        }
        let transaction = store.begin(Isolation::Snapshot).unwrap();
        store.commit(put(collection, 4), Durability::Disk).unwrap();
        set(&transaction, collection, 2, "own");
        transaction.delete(collection, &key(3)).unwrap();
        set(&transaction, collection, 5, "new");

        assert_eq!(get(store, collection, 2, &transaction).as_deref(), Some(&b"own"[..]));
        assert_eq!(get(store, collection, 2, None).as_deref(), Some(&b""[..]));
        assert_eq!(
            (get(store, collection, 3, &transaction), get(store, collection, 4, &transaction)),
            (None, None)
        );
        let forward = scan(store, &transaction, Direction::Forward, 0, 9, 100).unwrap();
        assert_eq!(forward, [key(1), key(2), key(5)]);
        let reverse = scan(store, &transaction, Direction::Reverse, 0, 9, 2).unwrap();
        assert_eq!(reverse, [key(5), key(2)]);
        assert_eq!(scan(store, None, Direction::Forward, 0, 9, 100).unwrap(), [1, 2, 3, 4].map(key));

        assert_eq!(commit(&transaction), Ok(5));
        assert_eq!(scan(store, None, Direction::Forward, 0, 9, 100).unwrap(), [1, 2, 4, 5].map(key));
        assert_eq!(get(store, collection, 5, None).as_deref(), Some(&b"new"[..]));
        let error = store.get(collection, &key(1), &transaction, ReadTier::Disk).unwrap_err();
        assert_eq!((error.code, commit(&transaction)), (ErrorCode::Closed, Err(ErrorCode::Closed)));
    }
    check(&memory_store());
    let home = LocalHome::new();
    check(&home.open());
}

#[test]
fn what_is_rolled_back_or_dropped_leaves_nothing() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let transaction = store.begin(Isolation::Serializable).unwrap();
    set(&transaction, collection, 1, "x");
    transaction.rollback();
    transaction.rollback();
    assert_eq!(commit(&transaction), Err(ErrorCode::Closed));
    assert_eq!(transaction.put(collection, &key(1), &document(b"")).unwrap_err().code, ErrorCode::Closed);
    set(&store.begin(Isolation::Snapshot).unwrap(), collection, 1, "x");
    assert_eq!((get(&store, collection, 1, None), store.sequence()), (None, Seq::ZERO));
}

#[test]
fn rolling_back_what_has_been_submitted_changes_nothing() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    set(&transaction, collection, 1, "own");
    // Another commit is noted, and the commit thread stands in its callback.
    let (release, released) = channel::<()>();
    let (entered, inside) = channel();
    let done = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    });
    store.submit(vec![put(collection, 2)], Durability::Memory, done);
    inside.recv().unwrap();
    let (sender, answer) = channel();
    transaction.submit(Durability::Memory, Box::new(move |result| sender.send(result).unwrap()));
    transaction.rollback();
    drop(release);
    let committed = answer.recv().unwrap().unwrap();
    assert_eq!((committed.accepted, committed.refused.len()), (1, 0), "{committed:?}");
    assert_eq!(get(&store, collection, 1, View::Newest).unwrap(), b"own");
}

#[test]
fn of_two_that_write_one_key_the_first_to_commit_wins() {
    for isolation in BOTH {
        let store = memory_store();
        let collection = store.collection("c").unwrap();
        let (one, two) = (store.begin(isolation).unwrap(), store.begin(isolation).unwrap());
        set(&one, collection, 1, "one");
        set(&two, collection, 1, "two");
        assert_eq!((commit(&two), commit(&one)), (Ok(1), Err(ErrorCode::Conflict)));
        assert_eq!(get(&store, collection, 1, None).as_deref(), Some(&b"two"[..]));
        // A plain write counts as well, and so does a delete.
        let three = store.begin(isolation).unwrap();
        store.commit(put(collection, 1), Durability::Disk).unwrap();
        three.delete(collection, &key(1)).unwrap();
        let error = three.commit(Durability::Disk).unwrap_err();
        assert_eq!((error.code, error.details.collection.as_deref()), (ErrorCode::Conflict, Some("c")));
        assert!(error.retryable());
    }
}

#[test]
fn write_skew_is_found_only_when_serializable() {
    for (isolation, second) in
        [(Isolation::Snapshot, Ok(2)), (Isolation::Serializable, Err(ErrorCode::Conflict))]
    {
        let store = memory_store();
        let collection = store.collection("c").unwrap();
        let (one, two) = (store.begin(isolation).unwrap(), store.begin(isolation).unwrap());
        assert_eq!((get(&store, collection, 2, &one), get(&store, collection, 1, &two)), (None, None));
        set(&one, collection, 1, "one");
        set(&two, collection, 2, "two");
        assert_eq!((commit(&one), commit(&two)), (Ok(1), second));
    }
}

#[test]
fn a_range_counts_as_read_as_far_as_it_was_seen() {
    fn case(direction: Direction, max: usize, written: u32) -> std::result::Result<u64, ErrorCode> {
        let store = memory_store();
        let collection = store.collection("c").unwrap();
        for n in [10, 20, 30] {
            store.commit(put(collection, n), Durability::Disk).unwrap();
        }
        let transaction = store.begin(Isolation::Serializable).unwrap();
        scan(&store, &transaction, direction, 5, 40, max).unwrap();
        set(&transaction, collection, 99, "x");
        store.commit(put(collection, written), Durability::Disk).unwrap();
        commit(&transaction)
    }
    let conflict = Err(ErrorCode::Conflict);
    // All of it: what was not there counts, what lies outside does not.
    for (written, expected) in
        [(4, Ok(5)), (5, conflict), (15, conflict), (30, conflict), (39, conflict), (40, Ok(5))]
    {
        assert_eq!(case(Direction::Forward, 100, written), expected, "{written}");
        assert_eq!(case(Direction::Reverse, 100, written), expected, "{written}");
    }
    // The first two records: up to the second of them.
    for (written, expected) in [(6, conflict), (15, conflict), (20, conflict), (25, Ok(5)), (30, Ok(5))] {
        assert_eq!(case(Direction::Forward, 2, written), expected, "{written}");
    }
    for (written, expected) in [(10, Ok(5)), (15, Ok(5)), (20, conflict), (25, conflict), (35, conflict)] {
        assert_eq!(case(Direction::Reverse, 2, written), expected, "{written}");
    }
}

#[test]
fn one_that_only_reads_never_fails() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let transaction = store.begin(Isolation::Serializable).unwrap();
    scan(&store, &transaction, Direction::Forward, 0, 9, 100).unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    assert_eq!(commit(&transaction), Ok(1));
    assert_eq!(store.sequence().get(), 2);
}

#[test]
fn its_moment_stays_readable_without_history() {
    let options = StoreOptions { retention: Retention::LatestOnly, ..StoreOptions::default() };
    let store = Store::with_kv(Arc::new(MemoryKv::default()), options).unwrap();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    for n in 1..=5 {
        store.commit(put(collection, n), Durability::Disk).unwrap();
    }
    store.compact().unwrap();
    assert!(get(&store, collection, 1, &transaction).is_some());
    transaction.rollback();
    store.compact().unwrap();
    let past = store.get(collection, &key(1), Seq::new(1), ReadTier::Disk).unwrap_err();
    assert_eq!(past.code, ErrorCode::HistoryTruncated);
}

#[test]
fn conditions_are_judged_by_own_writes_at_once_and_by_the_store_at_the_end() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let first = store.commit(put(collection, 1), Durability::Disk).unwrap();

    let transaction = store.begin(Isolation::Snapshot).unwrap();
    transaction.put_if(collection, &key(2), &document(b""), Condition::Absent).unwrap();
    let again = transaction.put_if(collection, &key(2), &document(b""), Condition::Absent).unwrap_err();
    assert_eq!(again.code, ErrorCode::Exists);
    transaction.delete(collection, &key(2)).unwrap();
    transaction.put_if(collection, &key(2), &document(b""), Condition::Absent).unwrap();
    transaction.put_if(collection, &key(1), &document(b""), Condition::Sequence(first)).unwrap();
    assert_eq!(commit(&transaction), Ok(2));

    let transaction = store.begin(Isolation::Snapshot).unwrap();
    transaction.put_if(collection, &key(1), &document(b""), Condition::Absent).unwrap();
    set(&transaction, collection, 1, "a later put does not lift the condition");
    let error = transaction.commit(Durability::Disk).unwrap_err();
    assert_eq!((error.code, error.details.found), (ErrorCode::Exists, Some(2)));
    let transaction = store.begin(Isolation::Snapshot).unwrap();
    transaction.delete_if(collection, &key(1), Condition::Sequence(first)).unwrap();
    assert_eq!(commit(&transaction), Err(ErrorCode::Conflict));
}

#[test]
fn a_transaction_is_one_of_its_own_store_only() {
    let (store, other) = (memory_store(), memory_store());
    let transaction = other.begin(Isolation::Snapshot).unwrap();
    let collection = store.collection("c").unwrap();
    let error = store.get(collection, &key(1), &transaction, ReadTier::Disk).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let error = store.scan(&everything(&store, &transaction), ReadTier::Disk, &mut Page::new()).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
}

#[test]
fn closing_the_store_ends_its_transactions() {
    let home = MemoryHome::default();
    let store = home.open();
    let collection = store.collection("c").unwrap();
    let transaction = store.begin(Isolation::Serializable).unwrap();
    set(&transaction, collection, 1, "x");
    store.close().unwrap();
    let error = store.get(collection, &key(1), &transaction, ReadTier::Disk).unwrap_err();
    assert_eq!((error.code, commit(&transaction)), (ErrorCode::Closed, Err(ErrorCode::Closed)));
    assert_eq!(store.begin(Isolation::Snapshot).unwrap_err().code, ErrorCode::Closed);
    drop((transaction, store));
    assert_eq!(home.open().sequence(), Seq::ZERO);
}

#[test]
fn transfers_of_many_threads_keep_the_sum() {
    for isolation in BOTH {
        let home = LocalHome::new();
        let store = home.open();
        let accounts = store.collection("accounts").unwrap();
        let opening = store.begin(isolation).unwrap();
        (0..6).for_each(|n| set(&opening, accounts, n, "100"));
        commit(&opening).unwrap();
        let balance = |view: View, n| -> i64 {
            std::str::from_utf8(&get(&store, accounts, n, view).unwrap()).unwrap().parse().unwrap()
        };
        let transfer = |from: u32, to: u32| loop {
            let transaction = store.begin(isolation).unwrap();
            let (mine, theirs) = (balance((&transaction).into(), from), balance((&transaction).into(), to));
            let sum: i64 = (0..6).map(|n| balance((&transaction).into(), n)).sum();
            assert_eq!(sum, 600);
            set(&transaction, accounts, from, &(mine - 1).to_string());
            set(&transaction, accounts, to, &(theirs + 1).to_string());
            match commit(&transaction) {
                Ok(_) => return,
                Err(code) => assert_eq!(code, ErrorCode::Conflict),
            }
        };
        thread::scope(|scope| {
            for thread in 0..4u32 {
                let transfer = &transfer;
                scope.spawn(move || {
                    for n in 0..40 {
                        let from = (thread + n) % 6;
                        transfer(from, (from + 1 + n % 5) % 6);
                    }
                });
            }
        });
        let sum: i64 = (0..6).map(|n| balance(View::Newest, n)).sum();
        assert_eq!(sum, 600);
        store.close().unwrap();
    }
}

#[test]
fn dropping_a_collection_conflicts_with_those_who_have_read_it_or_write_to_it() {
    let store = memory_store();
    let (dropped, kept) = (store.collection("c").unwrap(), store.collection("kept").unwrap());
    store.commit(put(dropped, 1), Durability::Disk).unwrap();
    let begin = |isolation| store.begin(isolation).unwrap();
    let (by_key, by_range) = (begin(Isolation::Serializable), begin(Isolation::Serializable));
    let (writer, blind) = (begin(Isolation::Snapshot), begin(Isolation::Serializable));
    assert!(get(&store, dropped, 1, &by_key).is_some());
    assert_eq!(store.count_records(dropped, &by_range).unwrap(), 1);
    for transaction in [&by_key, &by_range, &blind] {
        transaction.put(kept, &key(1), &document(b"")).unwrap();
    }
    writer.put(kept, &key(2), &document(b"")).unwrap();
    store.drop_collection("c", Durability::Disk).unwrap();
    assert_eq!(commit(&by_key), Err(ErrorCode::Conflict));
    assert_eq!(commit(&by_range), Err(ErrorCode::Conflict));
    assert!(commit(&writer).is_ok() && commit(&blind).is_ok());

    // In one group, too: the drop comes first.
    let again = store.collection("c").unwrap();
    store.commit(put(again, 1), Durability::Disk).unwrap();
    let reader = begin(Isolation::Serializable);
    assert!(get(&store, again, 1, &reader).is_some());
    reader.put(kept, &key(3), &document(b"")).unwrap();
    let mut dropping = WriteSet::new();
    dropping.drop_collection(again);
    let group = support::submit(&store, vec![dropping], Durability::Disk);
    assert_eq!(commit(&reader), Err(ErrorCode::Conflict));
    assert!(group.recv().unwrap().is_ok());
}

#[test]
fn looking_for_a_collection_uses_up_no_id_and_is_a_read() {
    let store = memory_store();
    let [watching, writing] =
        [Isolation::Serializable, Isolation::Snapshot].map(|one| store.begin(one).unwrap());
    for transaction in [&watching, &writing] {
        assert_eq!(transaction.collection("later").unwrap(), None);
    }
    assert_eq!(watching.collection("no name").unwrap_err().code, ErrorCode::InvalidName);
    let other = store.collection("other").unwrap();
    assert_eq!(other, CollectionId::FIRST);
    let later = store.collection("later").unwrap();
    store.commit(put(later, 1), Durability::Memory).unwrap();
    for transaction in [&watching, &writing] {
        // What came since is not there for it.
        assert_eq!(transaction.collection("later").unwrap(), None);
        set(transaction, other, 1, "x");
    }
    // Who found that there is none could not have found that after the commit that made it.
    assert_eq!(commit(&watching), Err(ErrorCode::Conflict));
    assert_eq!(commit(&writing), Ok(2));
    let after = store.begin(Isolation::Serializable).unwrap();
    assert_eq!(after.collection("later").unwrap(), Some(later));
    store
        .alter_collection("later", vec![CollectionSetting::SchemaVersion(Some(1))], Durability::Memory)
        .unwrap();
    set(&after, other, 1, "y");
    assert_eq!(commit(&after), Ok(4));
    assert_eq!(after.collection("later").unwrap_err().code, ErrorCode::Closed);
}
