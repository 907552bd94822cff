//! The same random operations on a store with indexes and on a model that works out every entry anew: whatever is read
//! through an index, at any sequence, is what the records of that sequence say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::{Value, from_json};
use fountain_engine::{
    Bounds, Direction, Durability, ErrorCode, IndexDefinition, IndexKind, IndexScan, IndexScanEnd, Page,
    ReadTier, Seq, Store, View, WriteSet,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{Home, LocalHome, MemoryHome};

/// Records of one collection.
type Records = BTreeMap<u8, Json>;

/// A key in the model: values of two paths; `None` is missing.
type Tuple = Vec<Option<Json>>;

#[derive(Clone, Debug)]
enum Op {
    /// Commits that are submitted together; in each, puts and deletes.
    Commit(Vec<Vec<(u8, Option<Json>)>>),
    /// A commit in a transaction that reads through an index before it ends.
    Transaction(Vec<(u8, Option<Json>)>),
    Define(usize),
    Drop(usize),
    Read {
        index: usize,
        at: prop::sample::Index,
        reverse: bool,
        page: usize,
        from: u8,
    },
    Reopen,
    Flush,
}

const INDEXES: [(&str, IndexKind, &[&str], bool); 5] = [
    ("email", IndexKind::Unique, &["e"], false),
    ("tags", IndexKind::Multi, &["t[]"], false),
    ("both", IndexKind::Multi, &["t[]", "n"], true),
    ("pair", IndexKind::Unique, &["n", "e"], true),
    ("n", IndexKind::Multi, &["n"], false),
];

fn definition(number: usize) -> IndexDefinition {
    let (name, kind, on, sparse) = INDEXES[number];
    let definition = IndexDefinition::new(name, kind, on).unwrap();
    if sparse { definition.sparse() } else { definition }
}

fn any_document() -> impl Strategy<Value = Json> {
    let e = prop_oneof![3 => (0u8..12).prop_map(|n| json!(format!("e{n}"))), 1 => Just(json!(null)), 1 => Just(json!({}))];
    let n =
        prop_oneof![(0u8..4).prop_map(|n| json!(n)), Just(json!("x")), Just(json!(true)), Just(json!([1]))];
    let t = prop::collection::vec(prop_oneof![(0u8..4).prop_map(|n| json!(n)), Just(json!("t\u{0}"))], 0..4);
    let member = |name: &'static str, value: Option<Json>| value.map(|value| (name.to_owned(), value));
    (prop::option::of(e), prop::option::of(n), prop::option::of(t)).prop_map(move |(e, n, t)| {
        let t = t.map(Json::Array);
        Json::Object([member("e", e), member("n", n), member("t", t)].into_iter().flatten().collect())
    })
}

fn any_writes() -> impl Strategy<Value = Vec<(u8, Option<Json>)>> {
    prop::collection::vec((0u8..10, prop::option::weighted(0.8, any_document())), 1..4)
}

fn any_op() -> impl Strategy<Value = Op> {
    let read = (0..INDEXES.len(), any::<prop::sample::Index>(), any::<bool>(), 1usize..5, 0u8..5);
    prop_oneof![
        8 => prop::collection::vec(any_writes(), 1..4).prop_map(Op::Commit),
        2 => any_writes().prop_map(Op::Transaction),
        4 => (0..INDEXES.len()).prop_map(Op::Define),
        1 => (0..INDEXES.len()).prop_map(Op::Drop),
        10 => read.prop_map(|(index, at, reverse, page, from)| Op::Read { index, at, reverse, page, from }),
        1 => Just(Op::Reopen),
        1 => Just(Op::Flush),
    ]
}

/// What a path finds in a document, each once, as the model sees it.
fn found(document: &Json, path: &str) -> Vec<Option<Json>> {
    let values: Vec<Json> = match path.strip_suffix("[]") {
        None => document.get(path).cloned().into_iter().collect(),
        Some(name) => match document.get(name) {
            Some(Json::Array(elements)) => elements.clone(),
            _ => Vec::new(),
        },
    };
    let mut out: Vec<Option<Json>> = Vec::new();
    for value in values {
        if !out.contains(&Some(value.clone())) {
            out.push(Some(value));
        }
    }
    if out.is_empty() { vec![None] } else { out }
}

fn is_other(value: Option<&Json>) -> bool {
    value.is_none_or(Json::is_object)
}

/// The entries of a document in an index.
fn tuples(index: usize, document: &Json) -> Vec<Tuple> {
    let (_, _, on, sparse) = INDEXES[index];
    let mut out: Vec<Tuple> = vec![vec![]];
    for path in on {
        let values = found(document, path);
        let longer = |tuple: &Tuple| -> Vec<Tuple> {
            values.iter().map(|value| [&tuple[..], std::slice::from_ref(value)].concat()).collect()
        };
        out = out.iter().flat_map(longer).collect();
    }
    out.retain(|tuple| !sparse || !tuple.iter().any(Option::is_none));
    out
}

/// Where a value stands among all the values of these tests.
fn rank(value: Option<&Json>) -> (u8, String) {
    match value {
        None => (0, String::new()),
        Some(Json::Null) => (1, String::new()),
        Some(Json::Bool(value)) => (2, value.to_string()),
        Some(Json::Number(number)) => (3, number.to_string()),
        Some(Json::String(text)) => (4, text.clone()),
        Some(Json::Array(_)) => (5, String::new()),
        Some(Json::Object(_)) => (6, String::new()),
    }
}

fn key(number: u8) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

struct Run<H: Home> {
    home: H,
    store: Store,
    /// The records after every sequence.
    history: BTreeMap<u64, Records>,
    defined: BTreeSet<usize>,
}

impl<H: Home> Run<H> {
    fn new(home: H) -> Self {
        let store = home.open();
        Self { home, store, history: BTreeMap::from([(0, Records::new())]), defined: BTreeSet::new() }
    }

    fn records(&self) -> &Records {
        self.history.last_key_value().unwrap().1
    }

    /// The record that another one would take a key from, if the writes were applied.
    fn conflicts(&self, records: &Records) -> bool {
        self.defined
            .iter()
            .any(|&index| INDEXES[index].1 == IndexKind::Unique && has_duplicates(index, records))
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Commit(commits) => self.commit(commits),
            Op::Transaction(writes) => self.transaction(writes),
            Op::Define(index) => self.define(*index),
            Op::Drop(index) => {
                let collection = self.store.collection("c").unwrap();
                let dropped = self.store.drop_index(collection, INDEXES[*index].0, Durability::Os);
                assert_eq!(dropped.is_ok(), self.defined.remove(index));
            }
            Op::Read { index, at, reverse, page, from } => self.read(*index, *at, *reverse, *page, *from),
            Op::Reopen => {
                self.store.close().unwrap();
                self.store = self.home.open();
            }
            Op::Flush => self.store.flush().unwrap(),
        }
    }

    fn write_set(&self, writes: &[(u8, Option<Json>)]) -> WriteSet {
        let collection = self.store.collection("c").unwrap();
        let mut set = WriteSet::new();
        for (id, document) in writes {
            match document {
                Some(document) => {
                    let record = self.store.encode(&from_json(&document.to_string()).unwrap()).unwrap();
                    set.put(collection, &key(*id), &record).unwrap();
                }
                None => set.delete(collection, &key(*id)).unwrap(),
            }
        }
        set
    }

    fn commit(&mut self, commits: &[Vec<(u8, Option<Json>)>]) {
        let sets = commits.iter().map(|writes| self.write_set(writes)).collect();
        let committed = support::submit(&self.store, sets, Durability::Os).recv().unwrap().unwrap();
        for (place, writes) in commits.iter().enumerate() {
            let after = applied(self.records(), writes);
            match committed.sequence(place) {
                Ok(seq) => {
                    assert!(!self.conflicts(&after), "{after:?}");
                    self.history.insert(seq.get(), after);
                }
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::Unique, "{error}");
                    assert!(self.conflicts(&after), "{error}: {after:?}");
                }
            }
        }
    }

    fn transaction(&mut self, writes: &[(u8, Option<Json>)]) {
        let collection = self.store.collection("c").unwrap();
        let transaction = self.store.begin(fountain_engine::Isolation::Serializable).unwrap();
        for (id, document) in writes {
            match document {
                Some(document) => {
                    let record = self.store.encode(&from_json(&document.to_string()).unwrap()).unwrap();
                    transaction.put(collection, &key(*id), &record).unwrap();
                }
                None => transaction.delete(collection, &key(*id)).unwrap(),
            }
        }
        let after = applied(self.records(), writes);
        for &index in &self.defined.clone() {
            for reverse in [false, true] {
                let read = self.walk(index, View::from(&transaction), &Bounds::all(), reverse, 3);
                assert_eq!(read, expected(index, &after, reverse, 0), "{index} in a transaction");
            }
        }
        match transaction.commit(Durability::Os) {
            Ok(seq) => {
                assert!(!self.conflicts(&after));
                self.history.insert(seq.get(), after);
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Unique, "{error}");
                assert!(self.conflicts(&after));
            }
        }
    }

    fn define(&mut self, index: usize) {
        let collection = self.store.collection("c").unwrap();
        let id = self.store.create_index(collection, definition(index), Durability::Os).unwrap();
        let fails = INDEXES[index].1 == IndexKind::Unique && has_duplicates(index, self.records());
        match self.store.wait_for_index(id) {
            Ok(()) => {
                assert!(!fails);
                self.defined.insert(index);
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Unique, "{error}");
                assert!(fails && !self.defined.contains(&index));
                assert_eq!(
                    self.store.index(collection, INDEXES[index].0).unwrap_err().code,
                    ErrorCode::NoIndex
                );
            }
        }
    }

    fn read(&self, index: usize, at: prop::sample::Index, reverse: bool, page: usize, from: u8) {
        let newest = self.store.sequence().get();
        let at = at.index(newest as usize + 1) as u64;
        let collection = self.store.collection("c").unwrap();
        let view = View::At(Seq::new(at).unwrap());
        if !self.defined.contains(&index) {
            let found = self.store.find(collection, INDEXES[index].0, &[Value::Null], view, 1);
            assert_eq!(found.unwrap_err().code, ErrorCode::NoIndex);
            return;
        }
        let records = self.history.range(..=at).next_back().unwrap().1;
        let first = Value::Number(f64::from(from));
        let bounds = match from {
            0 => Bounds::all(),
            _ => Bounds::range(&[], Bound::Included(&first), Bound::Unbounded).unwrap(),
        };
        assert_eq!(
            self.walk(index, view.clone(), &bounds, reverse, page),
            expected(index, records, reverse, from),
            "{} at {at} of {newest}",
            INDEXES[index].0
        );
        let equal = self.walk(index, view, &Bounds::equal(&[first]).unwrap(), reverse, page);
        let mut matching: Vec<_> = expected(index, records, reverse, from);
        matching.retain(|(tuple, _)| tuple[0] == Some(json!(from)));
        assert_eq!(equal, matching);
    }

    /// Everything that a scan through an index gives, page by page, with the tuple that it was found by.
    fn walk(
        &self,
        index: usize,
        at: View,
        bounds: &Bounds,
        reverse: bool,
        page_size: usize,
    ) -> Vec<(Tuple, u8)> {
        let collection = self.store.collection("c").unwrap();
        let mut request = IndexScan {
            collection,
            index: INDEXES[index].0.to_owned(),
            bounds: bounds.clone(),
            direction: if reverse { Direction::Reverse } else { Direction::Forward },
            at,
            after: None,
            max_records: page_size,
            max_bytes: usize::MAX,
        };
        let (mut page, mut out) = (Page::new(), Vec::new());
        loop {
            let end = self.store.scan_index(&request, ReadTier::Disk, &mut page).unwrap();
            assert!(page.len() <= page_size);
            for (key, document) in page.records() {
                let id = (0..10).find(|&id| key == self::key(id)).unwrap();
                out.push((id, serde_json::from_str::<Json>(&self.store.to_json(document).unwrap()).unwrap()));
            }
            match end {
                IndexScanEnd::Done => break,
                IndexScanEnd::More(position) => request.after = Some(position),
            }
        }
        // Records come in the order of tuples; the n-th time a record comes it is for its n-th tuple in the range.
        let mut times: BTreeMap<u8, usize> = BTreeMap::new();
        out.iter()
            .map(|(id, document)| {
                let mut own = tuples(index, document);
                own.sort_by_key(|tuple| tuple.iter().map(|value| rank(value.as_ref())).collect::<Vec<_>>());
                own.retain(|tuple| in_bounds(bounds, tuple));
                if reverse {
                    own.reverse();
                }
                let time = times.entry(*id).or_default();
                *time += 1;
                (own[*time - 1].clone(), *id)
            })
            .collect()
    }
}

fn in_bounds(bounds: &Bounds, tuple: &Tuple) -> bool {
    let value = |json: &Json| Value::parse_json(&json.to_string()).unwrap();
    match &tuple[0] {
        None => bounds.keys().start.is_empty(),
        Some(json) if json.is_object() => bounds.keys().end.is_none() || bounds.keys().contains(&[0x60]),
        Some(json) => bounds.keys().contains(&fountain_engine::encode_tuple(&[value(json)]).unwrap()),
    }
}

fn applied(records: &Records, writes: &[(u8, Option<Json>)]) -> Records {
    let mut after = records.clone();
    for (id, document) in writes {
        match document {
            Some(document) => drop(after.insert(*id, document.clone())),
            None => drop(after.remove(id)),
        }
    }
    after
}

fn has_duplicates(index: usize, records: &Records) -> bool {
    let mut seen: Vec<Tuple> = Vec::new();
    let all = records.values().flat_map(|document| tuples(index, document));
    all.filter(|tuple| !tuple.iter().any(|value| is_other(value.as_ref()))).any(|tuple| {
        let known = seen.contains(&tuple);
        seen.push(tuple);
        known
    })
}

/// Everything that an index holds from a number on, in order; 0 is from the beginning.
fn expected(index: usize, records: &Records, reverse: bool, from: u8) -> Vec<(Tuple, u8)> {
    let mut out: Vec<(Tuple, u8)> = records
        .iter()
        .flat_map(|(id, document)| tuples(index, document).into_iter().map(|tuple| (tuple, *id)))
        .filter(|(tuple, _)| from == 0 || rank(tuple[0].as_ref()) >= rank(Some(&json!(from))))
        .collect();
    out.sort_by_key(|(tuple, id)| (tuple.iter().map(|value| rank(value.as_ref())).collect::<Vec<_>>(), *id));
    if reverse {
        out.reverse();
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn indexes_in_memory_agree_with_the_records(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut run = Run::new(MemoryHome::default());
        for op in &ops {
            run.apply(op);
        }
        run.store.close().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn indexes_on_disk_agree_with_the_records(ops in prop::collection::vec(any_op(), 1..60)) {
        let mut run = Run::new(LocalHome::new());
        for op in &ops {
            run.apply(op);
        }
        run.store.close().unwrap();
    }
}
