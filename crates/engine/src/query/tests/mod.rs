//! What queries promise, on a state in memory with indexes built the simplest way.

mod execution;
mod language;
mod naive;
mod projector;
mod property;
mod semantics;
mod transactions;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use fountain_lsm::{Direction, KeyRange, Seq};
use serde_json::{Value as Json, json};

use super::about::Commits;
use super::run::{count, distinct, find};
use super::source::{Entries, IndexInfo, Passed, Records, Source};
use super::*;
use crate::document::Document;
use crate::error::Result;
use crate::keys::{self, Key};
use crate::keyspace::CollectionId;
use crate::kv::KvValue;
use crate::query::seal::Seal;
use crate::record::{self, Path, Reader, ShapeList, Shapes, Value};

/// Records and indexes in memory.
pub struct MemorySource {
    seq: Seq,
    shapes: Shapes,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    indexes: Vec<IndexInfo>,
    /// Of each index the entries: tuple and record key, and the record key.
    entries: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Ranges in which entries were counted.
    sampled: Cell<u32>,
}

impl MemorySource {
    /// The documents, written as queries write values, under their `id`.
    pub fn new(documents: &[Json], indexes: Vec<IndexInfo>) -> Self {
        let shapes = Shapes::empty();
        let mut records = BTreeMap::new();
        for document in documents {
            let value = literal::parse(document, &pointer::Pointer::root()).unwrap();
            let key = to_key(value.member("id").unwrap()).unwrap();
            records.insert(keys::encode(&key).unwrap(), record::write(&value, &shapes).unwrap());
        }
        let (seq, entries, sampled) = (Seq::ZERO, Vec::new(), Cell::new(0));
        let mut source = Self { seq, shapes, records, indexes, entries, sampled };
        source.entries = source.indexes.iter().map(|index| source.build(index)).collect();
        source
    }

    fn build(&self, index: &IndexInfo) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let shapes = self.shapes.list();
        let mut entries = BTreeMap::new();
        for (key, record) in &self.records {
            let reader = Reader::new(record, &shapes).unwrap();
            let mut tuples = BTreeSet::from([(Vec::new(), false)]);
            for path in &index.on {
                let mut values = BTreeSet::new();
                path.visit(&reader, &mut |mut found| {
                    let value = Value::read(&mut found)?;
                    values.insert(ranges::encode(&value).unwrap_or_else(|| vec![0x60]));
                    Ok(())
                })
                .unwrap();
                if values.is_empty() {
                    values.insert(vec![0x04]);
                }
                tuples = tuples
                    .iter()
                    .flat_map(|(tuple, partial)| {
                        let extend = |value: &Vec<u8>| {
                            ([&tuple[..], value].concat(), *partial || *value == [0x04] || *value == [0x60])
                        };
                        values.iter().map(extend).collect::<Vec<_>>()
                    })
                    .collect();
            }
            for (tuple, partial) in tuples {
                if index.sparse && partial {
                    continue;
                }
                let full = if index.unique && !partial { tuple } else { [tuple, key.clone()].concat() };
                let replaced = entries.insert(full, key.clone());
                assert!(replaced.is_none(), "the index is not unique");
            }
        }
        entries
    }
}

struct Walked<'a>(Vec<(&'a Vec<u8>, &'a Vec<u8>)>, usize);

impl<'a> Walked<'a> {
    fn new(map: &'a BTreeMap<Vec<u8>, Vec<u8>>, range: &KeyRange, direction: Direction) -> Self {
        let mut found: Vec<_> = map.iter().filter(|(key, _)| range.contains(key)).collect();
        if direction == Direction::Reverse {
            found.reverse();
        }
        Self(found, 0)
    }
}

impl Records for Walked<'_> {
    fn next(&mut self) -> Result<Option<Passed<'_>>> {
        self.1 += 1;
        Ok(self.0.get(self.1 - 1).map(|(key, record)| Passed { key, record, is_live: true }))
    }
}

impl Entries for Walked<'_> {
    fn next(&mut self) -> Result<bool> {
        self.1 += 1;
        Ok(self.1 <= self.0.len())
    }

    fn record_key(&self) -> &[u8] {
        self.0[self.1 - 1].1
    }
}

impl Commits for MemorySource {
    fn put_by(&self, key: &[u8]) -> Result<Option<Seq>> {
        Ok(naive::put_by(&id_of(key)).and_then(Seq::new))
    }

    fn created_by(&self, key: &[u8]) -> Result<Option<Seq>> {
        Ok(naive::created_by(&id_of(key)).and_then(Seq::new))
    }
}

impl Source for MemorySource {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn seal(&self) -> Seal {
        Seal::new([7; 16], CollectionId::FIRST)
    }

    fn moment(&self) -> Option<f64> {
        None
    }

    fn shapes(&self) -> ShapeList {
        self.shapes.list()
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> Result<Box<dyn Records + '_>> {
        Ok(Box::new(Walked::new(&self.records, range, direction)))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Document>> {
        let stored = |record: &Vec<u8>| Document::from_stored(KvValue::Shared(record.as_slice().into()));
        self.records.get(key).map(stored).transpose()
    }

    fn indexes(&self) -> &[IndexInfo] {
        &self.indexes
    }

    fn entries(&self, index: usize, range: &KeyRange, direction: Direction) -> Result<Box<dyn Entries + '_>> {
        Ok(Box::new(Walked::new(&self.entries[index], range, direction)))
    }

    fn sample(&self, index: usize, range: &KeyRange, most: u32) -> Result<u32> {
        self.sampled.set(self.sampled.get() + 1);
        let entries = self.entries[index].keys().filter(|key| range.contains(key));
        Ok(entries.take(most as usize).count() as u32)
    }

    fn estimate_entries(&self, index: usize, range: &KeyRange) -> Result<u64> {
        Ok(self.entries[index].keys().filter(|key| range.contains(key)).count() as u64)
    }

    fn estimate_records(&self, range: &KeyRange) -> Result<u64> {
        Ok(self.records.keys().filter(|key| range.contains(key)).count() as u64)
    }
}

pub fn index(name: &str, on: &[&str]) -> IndexInfo {
    let on = on.iter().map(|path| Path::parse(path).unwrap()).collect();
    IndexInfo { name: name.to_owned(), on, unique: false, sparse: false }
}

pub fn query(json: &Json) -> Query {
    Query::from_json(json, Rules { regex: true, ..Rules::default() }).unwrap()
}

/// One page by a given plan.
pub fn find_by(source: &MemorySource, query: &Query, plan: &plan::Plan) -> Result<Answer> {
    run::find_by(source, query, plan, meter::Meter::new(&query.hints))
}

/// The keys on a page, as values.
pub fn ids(answer: &Answer) -> Vec<Json> {
    answer.page.records().map(|(key, _)| id_of(key)).collect()
}

/// An encoded key as a value.
fn id_of(key: &[u8]) -> Json {
    match keys::decode(key).unwrap() {
        Key::String(text) => json!(text),
        Key::Number(number) => json!(number as i64),
        other => json!(format!("{other:?}")),
    }
}

/// The record key that equals `value`, if one can.
fn to_key(value: &Value) -> Option<Key> {
    Some(match value {
        Value::Number(number) => Key::Number(*number),
        Value::BigInt(number) => Key::BigInt(number.clone()),
        Value::String(text) => Key::String(text.clone()),
        Value::Bytes(bytes) => Key::Bytes(bytes.clone()),
        Value::Array(elements) => Key::Array(elements.iter().map(to_key).collect::<Option<_>>()?),
        _ => return None,
    })
}
