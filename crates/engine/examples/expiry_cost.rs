//! What expiry costs: writes and reads of records that expire beside those that do not, and deleting them.
//!
//! `cargo run --release -p fountain-engine --example expiry_cost`; the numbers are in `docs/expiry.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement ends at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::Value;
use fountain_engine::{
    CollectionId, Durability, ManualClock, ReadTier, Store, StoreOptions, Timestamp, View, WriteSet, expiring,
};

const RECORDS: u32 = 100_000;
const PER_COMMIT: u32 = 100;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number.wrapping_mul(2_654_435_761)))).unwrap()
}

fn nanoseconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(RECORDS)
}

fn write_all(store: &Store, collection: CollectionId, expire: bool) -> f64 {
    let members =
        vec![("n".to_owned(), Value::Number(1.0)), ("note".to_owned(), Value::String("x".repeat(180)))];
    let document = store.encode(&Value::Object(members)).unwrap();
    let numbers: Vec<u32> = (0..RECORDS).collect();
    let sets: Vec<WriteSet> = numbers
        .chunks(PER_COMMIT as usize)
        .map(|numbers| {
            let mut set = WriteSet::new();
            for &number in numbers {
                let at = START.plus(Duration::from_millis(u64::from(number)));
                let document = if expire { expiring(&document, at) } else { document.clone() };
                set.put(collection, &key(number), &document).unwrap();
            }
            set
        })
        .collect();
    nanoseconds(|| {
        for set in sets {
            store.commit(set, Durability::Memory).unwrap();
        }
    })
}

fn read_all(store: &Store, collection: CollectionId) -> f64 {
    nanoseconds(|| {
        for number in 0..RECORDS {
            let found = store.get(collection, &key(number), View::Newest, ReadTier::Memory).unwrap();
            assert!(found.is_some());
        }
    })
}

fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1)));
    let options = StoreOptions { memtable_bytes: 256 << 20, clock: clock.clone(), ..StoreOptions::default() };
    let store = Store::open(directory.path(), StoreOptions { sweep_every: None, ..options }).unwrap();
    let (plain, expiring) = (store.collection("plain").unwrap(), store.collection("expiring").unwrap());
    for (name, collection, expire) in [("plain", plain, false), ("expiring", expiring, true)] {
        let write = write_all(&store, collection, expire);
        let read = read_all(&store, collection).min(read_all(&store, collection));
        println!("{name}: write {write:.0} ns, read {read:.0} ns a record");
    }
    clock.set(START.plus(Duration::from_secs(3600)));
    let sweep = nanoseconds(|| store.sweep_expired().unwrap());
    assert_eq!(store.metrics().expired, u64::from(RECORDS));
    println!("sweep: {sweep:.0} ns a record");
    store.close().unwrap();
}
