//! Selected parts of records, copied byte by byte, are what unpacking and choosing gives.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use fountain_lsm::Seq;

use super::super::about::{About, Commits};
use super::super::literal::render;
use super::super::pointer::Pointer;
use super::super::project::Projector;
use super::super::projection::{BESIDE, Projection};
use crate::error::Result;
use crate::keys::{self, Key};
use crate::limits::MAX_ANSWER_SHAPES;
use crate::record::{self, Reader, Shapes, Value};

/// Knows of one commit, and of none that created anything.
struct OneCommit;

impl Commits for OneCommit {
    fn put_by(&self, _: &[u8]) -> Result<Option<Seq>> {
        Ok(Seq::new(70_000))
    }

    fn created_by(&self, _: &[u8]) -> Result<Option<Seq>> {
        Ok(None)
    }
}

fn projected(projector: &mut Projector<'_>, about: &About<'_>, record: &Reader<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    projector.project(about, record, &mut out).unwrap();
    out
}

/// The answer with its shapes, and what unpacking would have given, of documents under one key.
fn both(select: &Json, key: &Key, documents: &[Value], shapes: &Shapes) -> Vec<(Json, Json)> {
    let key = keys::encode(key).unwrap();
    let about = About::new(&OneCommit, &key);
    let projection = Projection::parse(select, &Pointer::root()).unwrap();
    let records: Vec<_> = documents.iter().map(|document| record::write(document, shapes).unwrap()).collect();
    let stored = shapes.list();
    let mut projector = Projector::new(&projection, &stored);
    let answers: Vec<_> = records
        .iter()
        .map(|record| projected(&mut projector, &about, &Reader::new(record, &stored).unwrap()))
        .collect();
    let all = projector.with_stored(&stored);
    let mut pairs = Vec::new();
    for (document, answer) in documents.iter().zip(&answers) {
        let mut reader = Reader::new(answer, &all).unwrap();
        let value = Value::read(&mut reader).unwrap();
        assert!(reader.is_at_end());
        let Value::Object(mut members) = projection.apply(document.clone()) else { panic!() };
        for (number, other) in projection.beside(&about).unwrap() {
            members.push((BESIDE[number].0.to_owned(), other));
        }
        pairs.push((render(&value), render(&Value::Object(members))));
    }
    pairs
}

/// Shapes to which none can be added any more, so that objects carry their names.
fn full() -> &'static Shapes {
    static FULL: OnceLock<Shapes> = OnceLock::new();
    FULL.get_or_init(|| {
        let shapes = Shapes::empty();
        for n in 0..crate::limits::MAX_SHAPES {
            shapes.reserve(&[&format!("member {n}")]).unwrap();
        }
        shapes
    })
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-400i32..70_000).prop_map(|number| Value::Number(f64::from(number))),
        prop::sample::select(vec!["", "a", "é", "😀", "longer text"])
            .prop_map(|text| Value::String(text.to_owned())),
        Just(Value::Bytes(vec![1, 2, 3])),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        let members = prop::collection::btree_map(name(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::Array),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "é"]).prop_map(str::to_owned)
}

fn select() -> impl Strategy<Value = Json> {
    let paths = vec!["a", "b", "a.b", "a.b.c", "a[]", "a[].b", "b[].a[]", "[\"é\"]", "c[][].a", "c.a"];
    let others = prop::sample::subsequence(vec!["$id", "$seq", "$createdSeq"], 0..=3);
    let paths = prop::collection::vec(prop::sample::select(paths), 0..4);
    (paths, others, any::<bool>()).prop_map(|(paths, others, omit)| {
        if omit { json!({ "omit": paths }) } else { json!([others, paths].concat()) }
    })
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Number(7.5)),
        Just(Key::BigInt("12345678901234567890".parse().unwrap())),
        prop::sample::select(vec!["", "plain", "é😀"]).prop_map(|text| Key::String(text.to_owned())),
        Just(Key::Array(vec![Key::Number(1.0), Key::String("ü".to_owned()), Key::Bytes(vec![0, 255])])),
    ]
}

proptest! {
    #[test]
    fn copying_parts_gives_what_unpacking_gives(
        documents in prop::collection::vec(prop::collection::btree_map(name(), value(), 0..4), 1..6),
        select in select(),
        key in key(),
        named in any::<bool>(),
    ) {
        let own = Shapes::empty();
        let shapes = if named { full() } else { &own };
        let documents: Vec<_> =
            documents.into_iter().map(|members| Value::Object(members.into_iter().collect())).collect();
        for (answer, expected) in both(&select, &key, &documents, shapes) {
            prop_assert_eq!(answer, expected);
        }
    }
}

#[test]
fn an_answer_without_room_for_a_shape_carries_names() {
    let shapes = Shapes::empty();
    let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    // Which members are objects differs from record to record, and with it what is kept of them.
    let document = |bits: usize| {
        let member = |(n, name): (usize, &String)| {
            let inside = Value::Object(vec![("x".to_owned(), Value::Number(1.0))]);
            (name.clone(), if bits & (1 << n) == 0 { Value::Null } else { inside })
        };
        Value::Object(names.iter().enumerate().map(member).collect())
    };
    let documents: Vec<_> = (0..MAX_ANSWER_SHAPES + 10).map(document).collect();
    let mut paths: Vec<String> = names.iter().map(|name| format!("{name}.x")).collect();
    paths.push("$seq".to_owned());
    for (answer, expected) in both(&json!(paths), &Key::Number(1.0), &documents, &shapes) {
        assert_eq!(answer, expected);
        assert_eq!(answer["$seq"], 70_000.0);
    }
}

#[test]
fn a_key_that_is_infinite_is_an_infinite_number_of_the_answer() {
    let (shapes, key) = (Shapes::empty(), keys::encode(&Key::Number(f64::INFINITY)).unwrap());
    let projection = Projection::parse(&json!(["$id"]), &Pointer::root()).unwrap();
    let record = record::write(&Value::Object(Vec::new()), &shapes).unwrap();
    let stored = shapes.list();
    let mut projector = Projector::new(&projection, &stored);
    let reader = Reader::new(&record, &stored).unwrap();
    let answer = projected(&mut projector, &About::new(&OneCommit, &key), &reader);
    let all = projector.with_stored(&stored);
    let value = Value::read(&mut Reader::new(&answer, &all).unwrap()).unwrap();
    assert_eq!(value.member("$id"), Some(&Value::Number(f64::INFINITY)));
}
