//! Measures queries over a million small records with the data in cache: `cargo run --release --example query_speed`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement fails by panicking"
)]

use std::time::Instant;

use fountain_engine::keys::{Key, encode};
use fountain_engine::query::{Body, Query};
use fountain_engine::record::from_json;
use fountain_engine::{CollectionId, Durability, Store, StoreOptions, View, WriteSet};

const RECORDS: u32 = 1_000_000;
const BATCH: u32 = 10_000;
const PIECE: u32 = 4096;
const ROUNDS: usize = 5;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { cache_bytes: 1 << 30, memtable_bytes: 64 << 20, ..StoreOptions::default() };
    let store = Store::open(directory.path(), options).unwrap();
    let users = store.collection("users").unwrap();
    fill(&store, users);
    let bytes = store.metrics().storage.table_bytes;
    println!("{RECORDS} records, {bytes} bytes in tables");
    for (name, body) in [
        ("number, 1 in 100", r#"{"where":{"age":37}}"#),
        ("text, 1 in 20", r#"{"where":{"city":"city-7"}}"#),
        ("nested, none", r#"{"where":{"address.zip":"none"}}"#),
        ("range and text", r#"{"where":{"age":{"$gte":18,"$lt":30},"city":"city-7"}}"#),
        ("any element, none", r#"{"where":{"tags[]":"none"}}"#),
        ("or of three", r#"{"where":{"$or":[{"age":3},{"city":"none"},{"address.zip":"none"}]}}"#),
        ("contains, none", r#"{"where":{"email":{"$contains":"none"}}}"#),
    ] {
        let query = query(&store, users, body);
        report(name, || store.count(users, &query, View::Newest).unwrap());
    }
    for (name, body) in [
        ("sorted, first 10", r#"{"orderBy":[{"path":"age","dir":"desc"},{"path":"email"}],"limit":10}"#),
        (
            "filtered, sorted, first 100",
            r#"{"where":{"city":"city-7"},"orderBy":[{"path":"age"}],"limit":100}"#,
        ),
    ] {
        let query = query(&store, users, body);
        report(name, || store.query(users, &query, View::Newest).unwrap().page.len() as u64);
    }
    report("two paths of all, in pieces", || selected(&store, users));
    store.close().unwrap();
}

/// Two paths of every record, in pieces as the facade asks for.
fn selected(store: &Store, users: CollectionId) -> u64 {
    let (mut found, mut cursor) = (0, None);
    loop {
        let from = cursor.map(|cursor: String| format!(r#","cursor":"{cursor}""#)).unwrap_or_default();
        let body = format!(r#"{{"select":["age","address.zip"],"limit":{PIECE}{from}}}"#);
        let answer = store.query(users, &query(store, users, &body), View::Newest).unwrap();
        found += answer.page.len() as u64;
        cursor = answer.next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn fill(store: &Store, users: CollectionId) {
    for first in (0..RECORDS).step_by(BATCH as usize) {
        let mut writes = WriteSet::new();
        for id in first..first + BATCH {
            let document = format!(
                r#"{{"id":{id},"email":"user-{id}@example.org","age":{},"city":"city-{}","tags":["a","b{}"],"address":{{"zip":"{:05}","street":"Street {}"}}}}"#,
                id % 100,
                id % 20,
                id % 7,
                id % 99_999,
                id % 1000
            );
            let record = store.encode(&from_json(&document).unwrap()).unwrap();
            writes.put(users, &encode(&Key::Number(f64::from(id))).unwrap(), &record).unwrap();
        }
        store.commit(writes, Durability::Memory).unwrap();
    }
    store.flush().unwrap();
    store.compact().unwrap();
}

fn query(store: &Store, users: CollectionId, body: &str) -> Query {
    match store.parse_query(users, body, false).unwrap() {
        Body::Find(query) => query,
        other => panic!("{other:?}"),
    }
}

/// The fastest of some rounds, after one that fills the cache.
fn report(name: &str, work: impl Fn() -> u64) {
    let found = work();
    let fastest = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    });
    let fastest = fastest.fold(f64::INFINITY, f64::min);
    println!("{name:<30} {found:>8} found  {:>10.0} records/s", f64::from(RECORDS) / fastest);
}
