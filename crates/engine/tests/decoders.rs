//! The decoders of the document layer under tens of thousands of mutated inputs, each with what it promises: keys of records
//! and of indexes have one encoding, a record that is accepted can be read and written again, JSON text and queries end in an
//! answer or a typed error, a cursor that was changed is refused, and a store whose catalog was changed opens or says why not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../../lsm/tests/support/mutate.rs"]
mod mutate;

use std::sync::Arc;

use fountain_engine::keys::{BigInt, Key, decode, encode, validate};
use fountain_engine::query::Body;
use fountain_engine::record::{self, Reader, Shapes, Value, from_json, to_json};
use fountain_engine::{
    Batch, CollectionId, CollectionOptions, Direction, Durability, Error, ErrorCode, IndexDefinition,
    IndexKind, KeyRange, MemoryKv, OrderedKv, ReadTier, Store, StoreOptions, View, WriteSet, decode_tuple,
    encode_tuple,
};
use mutate::Mutator;
use serde_json::json;

const CASES: usize = 20_000;

fn seeds() -> Vec<Vec<u8>> {
    let parts = vec![
        Key::Number(-1.5),
        Key::BigInt(BigInt::from(-300)),
        Key::String("a\0b€".to_owned()),
        Key::Array(vec![Key::Number(0.0), Key::Array(vec![])]),
    ];
    let keys = [
        Key::Number(1e300),
        Key::BigInt(BigInt::from(0)),
        Key::BigInt(BigInt::from(i64::MAX)),
        Key::String(String::new()),
        Key::Bytes(vec![0, 255, 0]),
        Key::Array(parts),
    ];
    keys.iter().map(|key| encode(key).unwrap()).collect()
}

#[test]
fn record_keys() {
    let seeds = seeds();
    let mut mutator = Mutator::new(0x0F0A_57A1);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let decoded = decode(&input);
        assert_eq!(decoded.is_ok(), validate(&input).is_ok(), "case {case}: {input:02x?}");
        match decoded {
            Ok(key) => assert_eq!(encode(&key).unwrap(), input, "case {case}: another encoding of {key:?}"),
            Err(_) => refused += 1,
        }
        accepted += usize::from(!seeds.contains(&input) && decode(&input).is_ok());
    }
    assert!(accepted > CASES / 50 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}

/// Values of all types that a document may hold.
fn values() -> Vec<Value> {
    let text = |text: &str| Value::String(text.to_owned());
    vec![
        Value::Null,
        Value::Bool(true),
        Value::Number(-1.5),
        Value::Number(1e300),
        Value::BigInt(BigInt::from(-300)),
        Value::Date(1.7e12),
        text("plain"),
        text("wide 😀 é\0"),
        Value::Bytes(vec![0, 255, 0]),
        Value::Floats(vec![0.5, -2.0]),
        Value::Array(vec![Value::Number(1.0), Value::Array(vec![text("deep")]), Value::Null]),
        Value::Object(vec![("a".to_owned(), Value::Number(7.0)), ("b c".to_owned(), text("x"))]),
    ]
}

fn document(values: &[Value]) -> Value {
    Value::Object(values.iter().enumerate().map(|(at, value)| (format!("m{at}"), value.clone())).collect())
}

#[test]
fn records() {
    let shapes = Shapes::empty();
    let all = values();
    let documents: Vec<Value> = all.chunks(4).chain([&all[..], &[]]).map(document).collect();
    let named = documents.iter().map(|document| record::write_named(document).unwrap());
    let seeds: Vec<_> =
        documents.iter().map(|document| record::write(document, &shapes).unwrap()).chain(named).collect();
    let shapes = shapes.list();
    let mut mutator = Mutator::new(0x5EC0_12D5);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let read = || Reader::new(&input, &shapes).and_then(|mut reader| Value::read(&mut reader));
        let written = || {
            let mut out = Vec::new();
            to_json(&mut Reader::new(&input, &shapes)?, &mut out).map(|()| out)
        };
        if record::check(&input, &shapes).is_err() {
            // Bytes from a disk are read without this check: that ends, whatever they are.
            let _ = (read(), written());
            refused += 1;
            continue;
        }
        let value = read().unwrap_or_else(|error| panic!("case {case}: {error}"));
        let again = record::write_named(&value).unwrap();
        record::check(&again, &shapes).unwrap_or_else(|error| panic!("case {case}: {error}"));
        // By their bytes, as lists of 32-bit numbers may hold what is equal to nothing.
        let reread = Value::read(&mut Reader::new(&again, &[]).unwrap()).unwrap();
        assert_eq!(record::write_named(&reread).unwrap(), again, "case {case}");
        let text = written().unwrap_or_else(|error| panic!("case {case}: {error}"));
        assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "case {case}: {text:?}");
        accepted += usize::from(!seeds.contains(&input));
    }
    assert!(accepted > CASES / 50 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}

#[test]
fn index_keys() {
    let keys: Vec<Value> =
        values().into_iter().filter(|value| !matches!(value, Value::Floats(_) | Value::Object(_))).collect();
    let seeds: Vec<_> =
        keys.chunks(3).chain(keys.chunks(1)).map(|tuple| encode_tuple(tuple).unwrap()).collect();
    let mut mutator = Mutator::new(0x1DE2_0CE5);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        for count in 1..=3 {
            let Ok(tuple) = decode_tuple(&input, count) else {
                refused += 1;
                continue;
            };
            // Without what is missing, or no key, a tuple has one encoding.
            if let Some(values) = tuple.iter().cloned().collect::<Option<Vec<Value>>>() {
                assert_eq!(
                    encode_tuple(&values).unwrap(),
                    input,
                    "case {case}: another encoding of {values:?}"
                );
                accepted += usize::from(!seeds.contains(&input));
            }
        }
    }
    assert!(accepted > CASES / 50 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}

#[test]
fn json_text() {
    let seeds: Vec<Vec<u8>> = [
        r#"{"id":"a","n":-1.5e-7,"deep":[[{"x":null}],true],"text":"\u00e9\ud83d\ude00\n"}"#,
        r#"{"id":[1,"b"],"__proto__":{"a":1},"large":123456789012345678901234567890,"":{}}"#,
        r#"{"id":0}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    let mut mutator = Mutator::new(0x0BAD_7E27);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let Ok(text) = std::str::from_utf8(&input) else { continue };
        let value = match from_json(text) {
            Ok(value) => value,
            Err(error) => {
                assert!(
                    matches!(error.code, ErrorCode::Validation | ErrorCode::TooLarge),
                    "case {case}: {error}"
                );
                refused += 1;
                continue;
            }
        };
        // What is no object is refused where it is written.
        let Ok(record) = record::write_named(&value) else { continue };
        let mut out = Vec::new();
        to_json(&mut Reader::new(&record, &[]).unwrap(), &mut out).unwrap();
        let again = from_json(std::str::from_utf8(&out).unwrap()).unwrap();
        assert_eq!(again, value, "case {case}: {text}");
        accepted += usize::from(!seeds.contains(&input));
    }
    assert!(accepted > CASES / 50 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}

/// A store with documents of all kinds and indexes on them.
fn store() -> (Store, CollectionId) {
    let store = Store::with_kv(Arc::<MemoryKv>::default(), StoreOptions::default()).unwrap();
    let collection = store.collection("c").unwrap();
    let mut writes = WriteSet::new();
    for number in 0..20u32 {
        let json = json!({ "id": number, "n": number % 7, "s": format!("t{number}"), "tags": ["a", number], "o": { "p": 1 } });
        let record = store.encode(&from_json(&json.to_string()).unwrap()).unwrap();
        writes.put(collection, &encode(&Key::Number(f64::from(number))).unwrap(), &record).unwrap();
    }
    store.commit(writes, Durability::Memory).unwrap();
    for (name, on) in [("n", &["n"][..]), ("ns", &["n", "s"]), ("tags", &["tags[]"])] {
        let definition = IndexDefinition::new(name, IndexKind::Multi, on).unwrap();
        let id = store.create_index(collection, definition, Durability::Memory).unwrap();
        store.wait_for_index(id).unwrap();
    }
    (store, collection)
}

/// What bad input may end as: never as damage, or as a fault of the store.
fn is_typed(error: &Error) -> bool {
    use ErrorCode as E;
    matches!(
        error.code,
        E::Validation
            | E::Limit
            | E::TooLarge
            | E::NoIndex
            | E::BadCursor
            | E::Sequence
            | E::HistoryTruncated
            | E::Timeout
    )
}

#[test]
fn queries() {
    let (store, collection) = store();
    let seeds: Vec<Vec<u8>> = [
        json!({ "where": { "n": { "$gte": 2, "$lt": 5 }, "tags[]": { "$in": ["a", 3] } }, "orderBy": [{ "path": "s", "dir": "desc" }] }),
        json!({ "where": { "$or": [{ "n": 1 }, { "$not": { "s": { "$prefix": "t1" } } }], "o.p": { "$exists": true } }, "limit": 3 }),
        json!({ "select": ["id", "o.p", "tags[]"], "hint": { "index": "n" }, "count": "exact", "explain": "analyze" }),
        json!({ "select": { "omit": ["tags"] }, "where": { "$id": { "$between": [1, 9] }, "tags": { "$all": ["a"], "$size": 2 } } }),
        json!({ "where": { "s": { "$regex": "^t[0-9]+$" }, "n": { "$type": ["number", "date"] } }, "asOf": 1 }),
        json!({ "where": { "n": { "$in": [{ "$date": 5 }, { "$bigint": "7" }, { "$bytes": "AQ==" }] } }, "maxScanned": 50 }),
        json!({ "type": "count", "where": { "tags": { "$elem": { "$gt": 1 } } }, "count": "estimate" }),
        json!({ "type": "distinct", "path": "n", "where": { "s": { "$contains": "t" } } }),
        json!({ "indexEquals": { "index": "n", "key": 3, "pageSize": 2 } }),
    ]
    .map(|json| json.to_string().into_bytes())
    .to_vec();
    let mut mutator = Mutator::new(0x00E1_2345);
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let Ok(text) = std::str::from_utf8(&input) else { continue };
        let answered = store.parse_query(collection, text, true).and_then(|body| match body {
            Body::Find(query) => store.query(collection, &query, View::Newest).map(drop),
            Body::Count(query) => store.count(collection, &query, View::Newest).map(drop),
            Body::Distinct(query, path) => store.distinct(collection, &query, &path, View::Newest).map(drop),
            Body::Change(..) => Ok(()),
        });
        match answered {
            Ok(()) => accepted += usize::from(!seeds.contains(&input)),
            Err(error) => {
                assert!(is_typed(&error), "case {case}: {error} of {text}");
                refused += 1;
            }
        }
    }
    assert!(accepted > CASES / 500 && refused > CASES / 10, "{accepted} accepted, {refused} refused");
}

#[test]
fn cursors() {
    let (store, collection) = store();
    let page = |query: &serde_json::Value| {
        let Body::Find(query) = store.parse_query(collection, &query.to_string(), false)? else {
            panic!("not a query");
        };
        store.query(collection, &query, View::Newest)
    };
    let queries = [json!({ "limit": 3 }), json!({ "limit": 2, "orderBy": [{ "path": "s" }] })];
    let seeds: Vec<Vec<u8>> =
        queries.iter().map(|query| page(query).unwrap().next.unwrap().into_bytes()).collect();
    let mut mutator = Mutator::new(0xC0FF_EE00);
    let mut refused = 0;
    for case in 0..CASES {
        let input = mutator.mutate(&seeds);
        let Ok(text) = String::from_utf8(input.clone()) else { continue };
        for (seed, query) in seeds.iter().zip(&queries) {
            let mut query = query.clone();
            query["cursor"] = json!(text);
            match page(&query) {
                Ok(answer) => assert!(input == *seed && !answer.page.is_empty(), "case {case}: {text}"),
                Err(error) => {
                    assert!(
                        matches!(error.code, ErrorCode::BadCursor | ErrorCode::TooLarge),
                        "case {case}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > CASES / 2, "{refused} refused");
}

#[test]
fn catalogs() {
    // A catalog with entries of every kind; what lies in it comes out of the store that made it.
    let kv = Arc::<MemoryKv>::default();
    let made = Store::with_kv(kv.clone(), StoreOptions::default()).unwrap();
    let mut options = CollectionOptions::default();
    options
        .update(
            &json!({ "schemaVersion": 3, "ttl": { "field": "at", "after": 5 }, "retention": { "count": 2 } }),
        )
        .unwrap();
    let collection = made.create_collection("c", options, Durability::Memory).unwrap();
    for definition in [
        IndexDefinition::new("unique", IndexKind::Unique, &["a.b"]).unwrap(),
        IndexDefinition::new("several", IndexKind::Multi, &["tags[]", "n"]).unwrap().sparse(),
        IndexDefinition::computed("words", IndexKind::Multi, 2).unwrap(),
    ] {
        let id = made.create_index(collection, definition, Durability::Memory).unwrap();
        made.wait_for_index(id).unwrap();
    }
    let mut gone = CollectionOptions::default();
    gone.update(&json!({ "retention": "latestOnly" })).unwrap();
    made.create_collection("gone", gone, Durability::Memory).unwrap();
    made.drop_collection("gone", Durability::Memory).unwrap();
    let own = KeyRange { start: Vec::new(), end: Some(collection.get().to_be_bytes().to_vec()) };
    let mut entries = Vec::new();
    let mut cursor = kv.cursor(own, kv.visible(), Direction::Forward, ReadTier::Disk).unwrap();
    while cursor.next().unwrap() {
        entries.push((cursor.key().to_vec(), cursor.value().to_vec()));
    }
    drop(cursor);
    made.close().unwrap();

    let mut mutator = Mutator::new(0xCA7A_1096);
    let values: Vec<_> = entries.iter().map(|(_, value)| value.clone()).collect();
    let keys: Vec<_> = entries.iter().map(|(key, _)| key[4..].to_vec()).collect();
    let (mut accepted, mut refused) = (0, 0);
    for case in 0..CASES / 10 {
        let changed = case % entries.len();
        let mut batch = Batch::default();
        for (at, (key, value)) in entries.iter().enumerate() {
            match case / entries.len() % 4 {
                0 if at == changed => batch.push(&key[..4], &mutator.mutate(&keys[at..=at]), Some(value)),
                1 if at == changed => batch.push(key, b"", Some(&mutator.mutate(&values))),
                _ if at == changed => batch.push(key, b"", Some(&mutator.mutate(&values[at..=at]))),
                _ => batch.push(key, b"", Some(value)),
            }
        }
        let kv = Arc::<MemoryKv>::default();
        kv.commit_many(&[batch], Durability::Memory).unwrap();
        match Store::with_kv(kv, StoreOptions::default()) {
            Ok(store) => {
                accepted += 1;
                store.collections().unwrap();
                store.close().unwrap();
            }
            Err(error) => {
                let known = matches!(error.code, ErrorCode::Corrupt | ErrorCode::NewerFormat);
                assert!(known, "case {case}: {error}");
                refused += 1;
            }
        }
    }
    assert!(accepted > CASES / 500 && refused > CASES / 100, "{accepted} accepted, {refused} refused");
}
