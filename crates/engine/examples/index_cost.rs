//! What an index costs: commits with 0 to 3 indexes, and an equality read of one record beside a point read.
//!
//! `cargo run --release -p fountain-engine --example index_cost`; the numbers are in `docs/indexes.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement ends at the first surprise")]

use std::time::Instant;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::Value;
use fountain_engine::{
    Bounds, CollectionId, Direction, Durability, IndexDefinition, IndexKind, IndexScan, Page, ReadTier,
    Store, StoreOptions, View, WriteSet,
};

/// That of the addon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u32 = 100_000;
const PER_COMMIT: u32 = 100;

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

/// Spreads numbers, so that entries do not come in order.
fn spread(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

fn document(store: &Store, number: u32, round: u32) -> Vec<u8> {
    let text = |text: String| Value::String(text);
    let members = vec![
        ("id".to_owned(), Value::Number(f64::from(number))),
        ("email".to_owned(), text(format!("{:08x}-{round}@example.org", spread(number)))),
        ("city".to_owned(), text(format!("city {}", spread(number + round) % 1000))),
        ("age".to_owned(), Value::Number(f64::from(spread(number + 7 * round) % 100))),
        ("note".to_owned(), text("x".repeat(100))),
    ];
    store.encode(&Value::Object(members)).unwrap()
}

/// Nanoseconds for each record.
fn write_all(store: &Store, collection: CollectionId, round: u32) -> f64 {
    let mut sets = Vec::new();
    for start in (0..RECORDS).step_by(PER_COMMIT as usize) {
        let mut set = WriteSet::new();
        for number in start..start + PER_COMMIT {
            set.put(collection, &key(spread(number)), &document(store, number, round)).unwrap();
        }
        sets.push(set);
    }
    let begun = Instant::now();
    for set in sets {
        store.commit(set, Durability::Memory).unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(RECORDS)
}

fn reads(store: &Store, collection: CollectionId) {
    let (mut point, mut equal) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        let begun = Instant::now();
        for number in 0..10_000 {
            let key = key(spread(number * 7));
            assert!(store.get(collection, &key, View::Newest, ReadTier::Memory).unwrap().is_some());
        }
        point = point.min(begun.elapsed().as_secs_f64() * 1e9 / 1e4);
        let mut page = Page::new();
        let mut request = IndexScan {
            collection,
            index: "email".to_owned(),
            bounds: Bounds::all(),
            direction: Direction::Forward,
            at: View::Newest,
            after: None,
            max_records: 10,
            max_bytes: usize::MAX,
        };
        let begun = Instant::now();
        for number in 0..10_000 {
            let email = format!("{:08x}-1@example.org", spread(number * 7));
            request.bounds = Bounds::equal(&[Value::String(email)]).unwrap();
            store.scan_index(&request, ReadTier::Memory, &mut page).unwrap();
            assert_eq!(page.len(), 1);
        }
        equal = equal.min(begun.elapsed().as_secs_f64() * 1e9 / 1e4);
    }
    println!("point read {point:.0} ns, equality read through a unique index {equal:.0} ns");
}

fn main() {
    let definitions = [("email", IndexKind::Unique), ("city", IndexKind::Multi), ("age", IndexKind::Multi)];
    for count in 0..=definitions.len() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Store::open(
            directory.path(),
            StoreOptions { memtable_bytes: 256 << 20, ..StoreOptions::default() },
        )
        .unwrap();
        let collection = store.collection("c").unwrap();
        for (name, kind) in &definitions[..count] {
            let definition = IndexDefinition::new(name, *kind, &[name]).unwrap();
            store.create_index(collection, definition, Durability::Memory).unwrap();
        }
        let (first, second) = (write_all(&store, collection, 0), write_all(&store, collection, 1));
        println!("{count} indexes: insert {first:.0} ns, update of every entry {second:.0} ns a record");
        if count == definitions.len() {
            reads(&store, collection);
        }
        store.close().unwrap();
    }
}
