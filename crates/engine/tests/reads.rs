//! Reads and scans at the edges: history that is gone, memory that does not reach, ranges that hold nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::thread;

use fountain_engine::{
    Direction, Durability, ErrorCode, KeyRange, MemoryKv, Page, ReadTier, Retention, ScanEnd, Seq, Store,
    StoreOptions, WriteSet,
};
use support::{Home, LocalHome, document, everything, key, memory_store, put};

#[test]
fn history_that_was_dropped_is_an_error_and_a_snapshot_prevents_it() {
    fn check(store: &Store) {
        let collection = store.collection("c").unwrap();
        for n in 1..=5 {
            store.commit(put(collection, n), Durability::Disk).unwrap();
        }
        let snapshot = store.snapshot_at(Seq::new(2).unwrap()).unwrap();
        store.flush().unwrap();
        store.compact().unwrap();

        let third = Seq::new(3).unwrap();
        let error = store.get(collection, &key(3), Some(third), ReadTier::Disk).unwrap_err();
        assert_eq!((error.code, error.details.requested), (ErrorCode::HistoryTruncated, Some(3)));
        assert_eq!(error.details.collection.as_deref(), Some("c"));
        let error = store.scan(&everything(store, third), ReadTier::Disk, &mut Page::new()).unwrap_err();
        assert_eq!((error.code, error.details.floor), (ErrorCode::HistoryTruncated, Some(5)));
        assert_eq!(store.snapshot_at(third).unwrap_err().code, ErrorCode::HistoryTruncated);

        let mut page = Page::new();
        store.scan(&everything(store, snapshot.sequence()), ReadTier::Disk, &mut page).unwrap();
        let keys: Vec<_> = page.records().map(|(key, _)| key.to_vec()).collect();
        assert_eq!(keys, [key(1), key(2)]);
        assert!(store.get(collection, &key(5), None, ReadTier::Disk).unwrap().is_some());
    }
    let options = StoreOptions { retention: Retention::LatestOnly, ..StoreOptions::default() };
    check(&Store::with_kv(Arc::new(MemoryKv::default()), options.clone()).unwrap());
    let home = LocalHome::new();
    check(&Store::open(home.path(), options).unwrap());
}

#[test]
fn reads_of_the_newest_state_never_fail_while_history_is_being_dropped() {
    let options = StoreOptions { retention: Retention::LatestOnly, ..StoreOptions::default() };
    let store = Store::with_kv(Arc::new(MemoryKv::default()), options).unwrap();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Memory).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..500 {
                store.commit(put(collection, 1), Durability::Memory).unwrap();
                store.compact().unwrap();
            }
        });
        while !writer.is_finished() {
            assert!(store.get(collection, &key(1), None, ReadTier::Disk).unwrap().is_some());
            let mut page = Page::new();
            store.scan(&everything(&store, None), ReadTier::Disk, &mut page).unwrap();
            assert_eq!(page.len(), 1);
        }
    });
}

#[test]
fn a_scan_refuses_pages_without_records_and_accepts_ranges_without_keys() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    store.commit(put(collection, 1), Durability::Disk).unwrap();
    let mut request = everything(&store, store.sequence());
    let mut page = Page::new();
    store.scan(&request, ReadTier::Disk, &mut page).unwrap();
    assert_eq!((page.len(), page.last_key()), (1, Some(&key(1)[..])));

    request.max_records = 0;
    let error = store.scan(&request, ReadTier::Disk, &mut page).unwrap_err();
    assert_eq!((error.code, page.len()), (ErrorCode::InvalidArgument, 0));
    request.max_records = 1;
    request.range = KeyRange { start: key(2), end: Some(key(1)) };
    store.scan(&request, ReadTier::Disk, &mut page).unwrap();
    assert!(page.is_empty());
}

/// A store with 100 records of 1 KB in tables, of which only the block with the catalog and the first few is in
/// memory.
fn store_with_a_cold_cache(home: &LocalHome) -> Store {
    let store = home.open();
    let collection = store.collection("c").unwrap();
    let document = document(&[7; 1000]);
    for n in 0..100 {
        let mut writes = WriteSet::new();
        writes.put(collection, &key(n), &document).unwrap();
        store.commit(writes, Durability::Os).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    home.open()
}

#[test]
fn a_read_limited_to_memory_says_so_and_succeeds_once_the_disk_was_read() {
    let home = LocalHome::new();
    let store = store_with_a_cold_cache(&home);
    let collection = store.collection("c").unwrap();
    let read = |tier| store.get(collection, &key(99), None, tier);
    let error = read(ReadTier::Memory).unwrap_err();
    assert_eq!((error.code, error.retryable()), (ErrorCode::WouldBlock, true));
    assert_eq!(store.metrics().gets, 0);
    assert!(read(ReadTier::Disk).unwrap().is_some());
    assert!(read(ReadTier::Memory).unwrap().is_some());
    assert_eq!(store.metrics().gets, 2);
    let show = |number, tier| store.get_with(collection, &key(number), None, tier, <[u8]>::to_vec);
    assert_eq!(show(99, ReadTier::Memory).unwrap().as_deref(), read(ReadTier::Disk).unwrap().as_deref());
    assert_eq!(show(1_000_000, ReadTier::Disk).unwrap(), None);
    assert_eq!(store.metrics().gets, 5);
}

#[test]
fn a_scan_limited_to_memory_gives_what_memory_has_and_the_disk_gives_the_rest() {
    let home = LocalHome::new();
    let store = store_with_a_cold_cache(&home);
    let (mut request, mut page) = (everything(&store, store.sequence()), Page::new());
    request.direction = Direction::Reverse;
    let error = store.scan(&request, ReadTier::Memory, &mut page).unwrap_err();
    assert_eq!((error.code, page.len()), (ErrorCode::WouldBlock, 0));

    request.max_records = 10;
    assert_eq!(store.scan(&request, ReadTier::Disk, &mut page).unwrap(), ScanEnd::More);
    request.max_records = 1000;
    assert_eq!(store.scan(&request, ReadTier::Memory, &mut page).unwrap(), ScanEnd::More);
    let in_memory = page.len();
    assert!((10..100).contains(&in_memory), "{in_memory} of 100 records in memory");
    request.continue_after(&page);
    assert_eq!(store.scan(&request, ReadTier::Disk, &mut page).unwrap(), ScanEnd::Done);
    assert_eq!(in_memory + page.len(), 100);
    assert_eq!(page.last_key(), Some(&key(0)[..]));
}

#[test]
fn a_key_that_is_none_is_refused_by_reads_too() {
    let store = memory_store();
    let collection = store.collection("c").unwrap();
    let key = b"\x30no end";
    let error = store.get(collection, key, None, ReadTier::Disk).unwrap_err();
    let other = store.get_with(collection, key, None, ReadTier::Disk, <[u8]>::len).unwrap_err();
    for error in [error, other] {
        assert_eq!((error.code, error.details.what), (ErrorCode::InvalidKey, Some("truncated")));
        assert_eq!(error.details.collection.as_deref(), Some("c"));
    }
}
