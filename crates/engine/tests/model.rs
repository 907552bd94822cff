//! The same random operations on a store and on a model that is too simple to be wrong: all answers agree, at every
//! sequence, through flushes, compactions and reopens.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use fountain_engine::keys::{Key, encode};
use fountain_engine::{
    CollectionId, Direction, Durability, ErrorCode, KeyRange, Page, ReadTier, ScanEnd, ScanRequest, Seq,
    Store, WriteSet,
};
use proptest::prelude::*;
use support::{Home, LocalHome, MemoryHome, document};

const NAMES: [&str; 3] = ["first", "second", "third"];

/// What every collection holds after each commit; index 0 is before the first.
type Records = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// A put of a document, or a delete.
#[derive(Clone, Debug)]
struct Write {
    collection: usize,
    key: Vec<u8>,
    document: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Op {
    /// Several commits submitted together.
    Commit(Vec<Vec<Write>>),
    Get {
        collection: usize,
        key: Vec<u8>,
        at: Option<prop::sample::Index>,
    },
    Scan(Scan),
    Snapshot,
    Flush,
    Compact,
    Reopen,
}

#[derive(Clone, Debug)]
struct Scan {
    collection: usize,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    direction: Direction,
    at: prop::sample::Index,
    max_records: usize,
    max_bytes: usize,
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        (-5i32..5).prop_map(|n| Key::Number(f64::from(n))),
        "[ab\u{0}]{0,3}".prop_map(Key::String),
        (0i32..3, "[ab]{0,1}")
            .prop_map(|(n, text)| { Key::Array(vec![Key::Number(f64::from(n)), Key::String(text)]) }),
    ];
    key.prop_map(|key| encode(&key).unwrap())
}

fn any_document() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 300..6000),
    ];
    body.prop_map(|body| document(&body))
}

fn any_op() -> impl Strategy<Value = Op> {
    let collection = 0..NAMES.len();
    let write = (collection.clone(), any_key(), prop::option::weighted(0.75, any_document()))
        .prop_map(|(collection, key, document)| Write { collection, key, document });
    let commit = prop::collection::vec(write, 1..5);
    let at = any::<prop::sample::Index>();
    let scan = (
        collection.clone(),
        prop_oneof![Just(Vec::new()), any_key()],
        prop::option::of(any_key()),
        prop_oneof![Just(Direction::Forward), Just(Direction::Reverse)],
        at.clone(),
        1usize..6,
        prop_oneof![Just(0usize), Just(100), Just(usize::MAX)],
    )
        .prop_map(|(collection, start, end, direction, at, max_records, max_bytes)| {
            Op::Scan(Scan { collection, start, end, direction, at, max_records, max_bytes })
        });
    prop_oneof![
        8 => prop::collection::vec(commit, 1..4).prop_map(Op::Commit),
        6 => (collection, any_key(), prop::option::of(at))
            .prop_map(|(collection, key, at)| Op::Get { collection, key, at }),
        6 => scan,
        1 => Just(Op::Snapshot),
        1 => Just(Op::Flush),
        1 => Just(Op::Compact),
        1 => Just(Op::Reopen),
    ]
}

struct Run<H: Home> {
    home: H,
    store: Store,
    history: Vec<Records>,
    /// Collections that were written to. Their order is that of [`NAMES`].
    written: BTreeSet<usize>,
}

impl<H: Home> Run<H> {
    fn new(home: H) -> Self {
        let store = home.open();
        Self { home, store, history: vec![Records::new()], written: BTreeSet::new() }
    }

    fn id(&self, collection: usize) -> CollectionId {
        self.store.collection(NAMES[collection]).unwrap()
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Commit(commits) => self.commit(commits),
            Op::Get { collection, key, at } => self.get(*collection, key, *at),
            Op::Scan(scan) => self.scan(scan),
            Op::Snapshot => self.snapshot(),
            Op::Flush => self.store.flush().unwrap(),
            Op::Compact => self.store.compact().unwrap(),
            Op::Reopen => {
                self.store.close().unwrap();
                self.store = self.home.open();
            }
        }
        self.check_catalog();
    }

    fn commit(&mut self, commits: &[Vec<Write>]) {
        let mut sets = Vec::new();
        for commit in commits {
            let (mut set, mut records) = (WriteSet::new(), self.history.last().unwrap().clone());
            for Write { collection, key, document } in commit {
                let (id, place) = (self.id(*collection), (*collection, key.clone()));
                self.written.insert(*collection);
                if let Some(document) = document {
                    set.put(id, key, document).unwrap();
                    records.insert(place, document.clone());
                } else {
                    set.delete(id, key).unwrap();
                    records.remove(&place);
                }
            }
            sets.push(set);
            self.history.push(records);
        }
        let sequences = support::submit(&self.store, sets, Durability::Os).recv().unwrap().unwrap();
        let newest = self.history.len() as u64 - 1;
        assert_eq!(sequences.first.get(), newest + 1 - commits.len() as u64);
        assert_eq!((sequences.last().get(), self.store.sequence().get()), (newest, newest));
    }

    fn get(&self, collection: usize, key: &[u8], at: Option<prop::sample::Index>) {
        let sequence = at.map_or(self.history.len() - 1, |at| at.index(self.history.len()));
        let at = at.map(|_| Seq::new(sequence as u64).unwrap());
        let found = self.store.get(self.id(collection), key, at, ReadTier::Disk).unwrap();
        let expected = self.history[sequence].get(&(collection, key.to_vec()));
        assert_eq!(found.as_deref(), expected.map(Vec::as_slice));
        // Twice, as what was found once may be remembered.
        for _ in 0..2 {
            let shown = self.store.get_with(self.id(collection), key, at, ReadTier::Disk, <[u8]>::to_vec);
            assert_eq!(shown.unwrap().as_ref(), expected);
        }
    }

    fn scan(&self, scan: &Scan) {
        let sequence = scan.at.index(self.history.len());
        let range = KeyRange { start: scan.start.clone(), end: scan.end.clone() };
        let in_range = self.history[sequence]
            .iter()
            .filter(|((collection, key), _)| *collection == scan.collection && range.contains(key));
        let mut expected: Vec<_> =
            in_range.map(|((_, key), document)| (key.clone(), document.clone())).collect();
        if scan.direction == Direction::Reverse {
            expected.reverse();
        }
        let request = ScanRequest {
            collection: self.id(scan.collection),
            range,
            direction: scan.direction,
            at: Seq::new(sequence as u64).into(),
            max_records: scan.max_records,
            max_bytes: scan.max_bytes,
        };
        assert_eq!(scan_all(&self.store, request), expected);
    }

    fn snapshot(&self) {
        let snapshot = self.store.snapshot().unwrap();
        assert_eq!(snapshot.sequence().get(), self.history.len() as u64 - 1);
        assert_eq!(self.store.snapshot_at(Seq::ZERO).unwrap().sequence(), Seq::ZERO);
        let future = snapshot.sequence().checked_add(1).unwrap();
        assert_eq!(self.store.snapshot_at(future).unwrap_err().code, ErrorCode::Sequence);
        let key = encode(&Key::Number(0.0)).unwrap();
        let error = self.store.get(self.id(0), &key, Some(future), ReadTier::Disk).unwrap_err();
        assert_eq!(error.code, ErrorCode::Sequence);
    }

    /// The catalog lists exactly the collections that some commit wrote to, be it only a delete.
    fn check_catalog(&self) {
        let expected: Vec<&str> = self.written.iter().map(|&collection| NAMES[collection]).collect();
        assert_eq!(self.store.collections().unwrap(), expected);
    }
}

/// All records of a scan, page after page, none larger than asked for.
fn scan_all(store: &Store, mut request: ScanRequest) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut records, mut page) = (Vec::new(), Page::new());
    loop {
        let end = store.scan(&request, ReadTier::Disk, &mut page).unwrap();
        assert!(page.len() <= request.max_records);
        assert_eq!(page.records().count(), page.len());
        records.extend(page.records().map(|(key, document)| (key.to_vec(), document.to_vec())));
        if end == ScanEnd::Done {
            return records;
        }
        assert!(!page.is_empty());
        request.continue_after(&page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_store_in_memory_answers_as_the_model(ops in prop::collection::vec(any_op(), 1..80)) {
        let mut run = Run::new(MemoryHome::default());
        for op in &ops {
            run.apply(op);
        }
        run.store.close().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_on_disk_answers_as_the_model(ops in prop::collection::vec(any_op(), 1..80)) {
        let mut run = Run::new(LocalHome::new());
        for op in &ops {
            run.apply(op);
        }
        run.store.close().unwrap();
    }
}
