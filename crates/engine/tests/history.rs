//! What was: versions of records, changes in the order of commits, differences of moments.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use fountain_engine::{
    ChangesRequest, CollectionId, CollectionOptions, CollectionRetention, Durability, ErrorCode, MemoryKv,
    Retention, ScanEnd, Seq, Store, StoreOptions, VersionPage, WriteSet,
};
use support::{Home, LocalHome, MemoryHome, bytes_in, document, key};

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// Commits puts and, without a text, deletes.
fn commit(store: &Store, changes: &[(CollectionId, u32, Option<&str>)]) -> u64 {
    let mut writes = WriteSet::new();
    for (collection, number, text) in changes {
        match text {
            Some(text) => writes.put(*collection, &key(*number), &document(text.as_bytes())).unwrap(),
            None => writes.delete(*collection, &key(*number)).unwrap(),
        }
    }
    store.commit(writes, Durability::Memory).unwrap().get()
}

type Row = (u64, u32, Vec<u8>, Option<String>);

fn rows(page: &VersionPage) -> Vec<Row> {
    let text = |record: &[u8]| String::from_utf8(bytes_in(record).to_vec()).unwrap();
    let row = |(seq, collection, key, record): (Seq, CollectionId, &[u8], Option<&[u8]>)| {
        (seq.get(), collection.get(), key.to_vec(), record.map(text))
    };
    page.versions().map(row).collect()
}

fn request(collection: Option<CollectionId>, after: u64, upto: u64, max_bytes: usize) -> ChangesRequest {
    ChangesRequest { collection, after: seq(after), upto: seq(upto), max_bytes }
}

fn all_changes(store: &Store, mut request: ChangesRequest) -> Vec<Row> {
    let (mut all, mut page) = (Vec::new(), VersionPage::new());
    while request.after < request.upto {
        let reached = store.changes(&request, &mut page).unwrap();
        assert!(reached > request.after && reached <= request.upto);
        all.extend(rows(&page));
        request.after = reached;
    }
    all
}

fn whole_diff(store: &Store, request: &ChangesRequest) -> Vec<Row> {
    let (mut all, mut page, mut start) = (Vec::new(), VersionPage::new(), None);
    loop {
        let end = store.diff(request, start.as_deref(), &mut page).unwrap();
        all.extend(rows(&page));
        if end == ScanEnd::Done {
            return all;
        }
        start = page.after_last();
    }
}

#[test]
fn a_record_has_its_versions_from_the_newest_to_the_oldest() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let collection = store.collection("c").unwrap();
        for text in [Some("one"), Some("two"), None, Some("four")] {
            commit(&store, &[(collection, 1, text), (collection, 2, Some("other"))]);
        }
        store.flush().unwrap();
        store.close().unwrap();
        let store = home.open();
        let mut page = VersionPage::new();
        let end = store.history(collection, &key(1), None, 1 << 20, &mut page).unwrap();
        let texts = |page: &VersionPage| -> Vec<_> {
            rows(page).into_iter().map(|(seq, _, _, text)| (seq, text)).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(end, ScanEnd::Done);
        assert_eq!(texts(&page), [(4, text("four")), (3, None), (2, text("two")), (1, text("one"))]);
        let end = store.history(collection, &key(1), Some(seq(3)), 1, &mut page).unwrap();
        assert_eq!((end, texts(&page)), (ScanEnd::More, vec![(3, None)]));
        store.history(collection, &key(9), None, 1, &mut page).unwrap();
        assert!(page.is_empty());
        let future = store.history(collection, &key(1), Some(seq(9)), 1, &mut page).unwrap_err();
        assert_eq!(future.code, ErrorCode::Sequence);
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn changes_come_in_the_order_of_commits_in_pages_of_whole_commits() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let (one, two) = (store.collection("one").unwrap(), store.collection("two").unwrap());
        let mut expected: Vec<Row> = Vec::new();
        for n in 0..60u32 {
            let text = "x".repeat(n as usize % 40);
            let text = (n % 7 != 3).then_some(text.as_str());
            let changes = [(one, n % 5, text), (one, 5 + n % 3, Some("y")), (two, n % 4, text)];
            let at = commit(&store, &changes);
            expected.extend(changes.map(|(collection, number, text)| {
                (at, collection.get(), key(number), text.map(str::to_owned))
            }));
            if n == 30 {
                store.flush().unwrap();
                store.compact().unwrap();
            }
        }
        for max_bytes in [1, 200, 1 << 20] {
            assert_eq!(all_changes(&store, request(None, 0, 60, max_bytes)), expected, "{max_bytes}");
            let part: Vec<_> = expected
                .iter()
                .filter(|row| row.1 == two.get() && row.0 > 10 && row.0 <= 50)
                .cloned()
                .collect();
            assert_eq!(all_changes(&store, request(Some(two), 10, 50, max_bytes)), part, "{max_bytes}");
        }
        let error = store.changes(&request(None, 0, 61, 1), &mut VersionPage::new()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Sequence);
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn what_was_is_not_told_backwards() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let one = store.collection("one").unwrap();
        commit(&store, &[(one, 1, Some("a"))]);
        commit(&store, &[(one, 1, Some("b"))]);
        let mut page = VersionPage::new();
        for collection in [None, Some(one)] {
            let backwards = request(collection, 2, 1, 1 << 20);
            assert_eq!(store.diff(&backwards, None, &mut page).unwrap_err().code, ErrorCode::InvalidArgument);
            assert_eq!(store.changes(&backwards, &mut page).unwrap_err().code, ErrorCode::InvalidArgument);
            let unborn = request(collection, 3, 1, 1 << 20);
            assert_eq!(store.diff(&unborn, None, &mut page).unwrap_err().code, ErrorCode::Sequence);
            assert_eq!(store.changes(&unborn, &mut page).unwrap_err().code, ErrorCode::Sequence);
        }
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn a_difference_has_only_what_differs() {
    fn check(home: &dyn Home) {
        let store = home.open();
        let (one, two) = (store.collection("one").unwrap(), store.collection("two").unwrap());
        commit(&store, &[(one, 1, Some("a")), (one, 2, Some("b")), (one, 3, Some("c")), (two, 1, Some("d"))]);
        commit(&store, &[(one, 1, Some("changed")), (one, 4, Some("new")), (one, 5, Some("short"))]);
        commit(&store, &[(one, 2, None), (one, 3, Some("x")), (one, 5, None), (two, 1, Some("e"))]);
        commit(&store, &[(one, 3, Some("c"))]);
        let text = |text: &str| Some(text.to_owned());
        let expected = vec![
            (2, one.get(), key(1), text("changed")),
            (3, one.get(), key(2), None),
            (2, one.get(), key(4), text("new")),
            (3, two.get(), key(1), text("e")),
        ];
        for max_bytes in [1, 1 << 20] {
            assert_eq!(whole_diff(&store, &request(None, 1, 4, max_bytes)), expected);
            assert_eq!(whole_diff(&store, &request(Some(two), 1, 4, max_bytes)), expected[3..]);
        }
        assert_eq!(whole_diff(&store, &request(None, 4, 4, 1)), []);
        store.close().unwrap();
    }
    check(&MemoryHome::default());
    check(&LocalHome::new());
}

#[test]
fn what_is_no_longer_kept_is_an_error() {
    let home = LocalHome::new();
    let options = StoreOptions { retention: Retention::LatestOnly, ..LocalHome::options() };
    let store = Store::open(home.path(), options).unwrap();
    let collection = store.collection("c").unwrap();
    for _ in 0..5 {
        commit(&store, &[(collection, 1, Some("x"))]);
    }
    store.compact().unwrap();
    let mut page = VersionPage::new();
    let error = store.changes(&request(None, 2, 5, 1), &mut page).unwrap_err();
    assert_eq!((error.code, error.details.floor), (ErrorCode::HistoryTruncated, Some(5)));
    let error = store.diff(&request(None, 2, 5, 1), None, &mut page).unwrap_err();
    assert_eq!(error.code, ErrorCode::HistoryTruncated);
    assert_eq!(store.changes(&request(None, 5, 5, 1), &mut page).unwrap(), seq(5));
    store.close().unwrap();
}

#[test]
fn a_snapshot_keeps_a_moment_to_compare_with_but_not_what_came_after_it() {
    fn check(store: &Store) {
        let collection = store.collection("c").unwrap();
        for text in ["a", "b", "c", "d", "e"] {
            commit(store, &[(collection, 1, Some(text))]);
        }
        let _pinned = store.snapshot_at(seq(2)).unwrap();
        store.compact().unwrap();
        let mut page = VersionPage::new();
        let error = store.changes(&request(None, 2, 5, 1), &mut page).unwrap_err();
        assert_eq!((error.code, error.details.floor), (ErrorCode::HistoryTruncated, Some(5)));
        let expected = [(5, collection.get(), key(1), Some("e".to_owned()))];
        assert_eq!(whole_diff(store, &request(None, 2, 5, 1)), expected);
        store.close().unwrap();
    }
    let home = LocalHome::new();
    let options = StoreOptions { retention: Retention::LatestOnly, ..LocalHome::options() };
    check(&Store::open(home.path(), options.clone()).unwrap());
    check(&Store::with_kv(Arc::<MemoryKv>::default(), options).unwrap());
}

#[test]
fn who_asks_for_a_dropped_collection_of_which_the_catalog_keeps_no_past_is_told_so() {
    fn check(store: &Store) {
        let keeping = |retention| CollectionOptions { retention, ..CollectionOptions::default() };
        let all = keeping(Some(CollectionRetention::Unbounded));
        let create = |name| store.create_collection(name, all.clone(), Durability::Memory).unwrap();
        let (gone, kept) = (create("gone"), create("kept"));
        let after = commit(store, &[(gone, 1, Some("a")), (kept, 1, Some("a"))]);
        commit(store, &[(gone, 2, Some("b")), (kept, 2, Some("b"))]);
        store.drop_collection("gone", Durability::Memory).unwrap();
        let upto = commit(store, &[(kept, 1, Some("c"))]);
        store.flush().unwrap();
        store.compact().unwrap();
        assert_eq!(store.collections_at(seq(after)).unwrap_err().code, ErrorCode::HistoryTruncated);
        let mut page = VersionPage::new();
        for collection in [Some(gone), None] {
            let request = request(collection, after, upto, 1 << 20);
            let error = store.changes(&request, &mut page).unwrap_err();
            assert_eq!(error.code, ErrorCode::HistoryTruncated);
            assert_eq!(store.diff(&request, None, &mut page).unwrap_err().code, ErrorCode::HistoryTruncated);
        }
        let text = |text: &str| Some(text.to_owned());
        let (new, changed) =
            ((after + 1, kept.get(), key(2), text("b")), (upto, kept.get(), key(1), text("c")));
        let request = request(Some(kept), after, upto, 1 << 20);
        assert_eq!(all_changes(store, request.clone()), [new.clone(), changed.clone()]);
        assert_eq!(whole_diff(store, &request), [changed, new]);
        store.close().unwrap();
    }
    let home = LocalHome::new();
    let options = StoreOptions { retention: Retention::LatestOnly, ..LocalHome::options() };
    check(&Store::open(home.path(), options.clone()).unwrap());
    check(&Store::with_kv(Arc::<MemoryKv>::default(), options).unwrap());
}

#[test]
fn a_time_names_the_commit_that_was_the_newest() {
    let home = LocalHome::new();
    let store = home.open();
    let collection = store.collection("c").unwrap();
    commit(&store, &[(collection, 1, Some("x"))]);
    commit(&store, &[(collection, 1, Some("y"))]);
    assert_eq!(store.sequence_at(u64::MAX / 2).unwrap(), seq(2));
    let past = store.sequence_at(1000).map_err(|error| error.code);
    assert!(matches!(past, Ok(Seq::ZERO) | Err(ErrorCode::HistoryTruncated)), "{past:?}");
    store.close().unwrap();
}
