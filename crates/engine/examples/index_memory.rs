//! What a million records with three indexes take in memory: while they are written and indexed, while they are read by key and
//! by index, and while an index of all of them is built.
//!
//! `cargo run --release -p fountain-engine --example index_memory`; the numbers are in `docs/indexes.md`. Linux only, as the most
//! that a process ever held is asked of the kernel. Ends with 1 if that is over the limit: cache, as many memtables as there can
//! be, and 64 MiB.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement ends at the first surprise")]

use std::process::ExitCode;
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

const RECORDS: u32 = 1_000_000;
const PER_COMMIT: u32 = 100;
const CACHE_BYTES: usize = 64 << 20;
const MEMTABLE_BYTES: usize = 32 << 20;
/// One that takes commits and those that wait for the flush.
const MEMTABLES: usize = 4;
const REST_BYTES: usize = 64 << 20;

/// Spreads numbers, so that neither keys nor entries come in order.
fn spread(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(spread(number)))).unwrap()
}

fn email(number: u32) -> Value {
    Value::String(format!("{:08x}@example.org", spread(number)))
}

fn document(store: &Store, number: u32) -> Vec<u8> {
    let members = vec![
        ("id".to_owned(), Value::Number(f64::from(spread(number)))),
        ("email".to_owned(), email(number)),
        ("city".to_owned(), Value::String(format!("city {}", spread(number) % 1000))),
        ("age".to_owned(), Value::Number(f64::from(spread(number) % 100))),
        ("note".to_owned(), Value::String("x".repeat(100))),
    ];
    store.encode(&Value::Object(members)).unwrap()
}

/// The most that this process ever held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

fn say(what: &str, begun: Instant) {
    println!("{what}: {:.1} s, at most {} MiB so far", begun.elapsed().as_secs_f64(), peak() >> 20);
}

fn write_all(store: &Store, collection: CollectionId) {
    for start in (0..RECORDS).step_by(PER_COMMIT as usize) {
        let mut set = WriteSet::new();
        for number in start..start + PER_COMMIT {
            set.put(collection, &key(number), &document(store, number)).unwrap();
        }
        store.commit(set, Durability::Os).unwrap();
    }
}

fn read_some(store: &Store, collection: CollectionId) {
    let mut page = Page::new();
    for number in (0..RECORDS).step_by(10) {
        assert!(store.get(collection, &key(number), View::Newest, ReadTier::Disk).unwrap().is_some());
        let request = IndexScan {
            collection,
            index: "email".to_owned(),
            bounds: Bounds::equal(&[email(number)]).unwrap(),
            direction: Direction::Forward,
            at: View::Newest,
            after: None,
            max_records: 10,
            max_bytes: usize::MAX,
        };
        store.scan_index(&request, ReadTier::Disk, &mut page).unwrap();
        assert_eq!(page.len(), 1);
    }
}

fn main() -> ExitCode {
    let directory = tempfile::TempDir::new().unwrap();
    let options =
        StoreOptions { cache_bytes: CACHE_BYTES, memtable_bytes: MEMTABLE_BYTES, ..StoreOptions::default() };
    let store = Store::open(directory.path(), options).unwrap();
    let collection = store.collection("c").unwrap();
    let define = |name: &str, kind| {
        let definition = IndexDefinition::new(name, kind, &[name]).unwrap();
        store.create_index(collection, definition, Durability::Os).unwrap();
    };
    define("email", IndexKind::Unique);
    define("city", IndexKind::Multi);

    let begun = Instant::now();
    write_all(&store, collection);
    say("a million records and two entries of each", begun);
    let begun = Instant::now();
    define("age", IndexKind::Multi);
    store.wait_for_index(store.index(collection, "age").unwrap().id).unwrap();
    say("an index of all of them, built in the background", begun);
    let begun = Instant::now();
    read_some(&store, collection);
    say("a tenth of them read by key and by index", begun);
    store.close().unwrap();

    let limit = CACHE_BYTES + MEMTABLES * MEMTABLE_BYTES + REST_BYTES;
    println!("{} MiB at most, where {} MiB are the limit", peak() >> 20, limit >> 20);
    ExitCode::from(u8::from(peak() > limit))
}
