//! A store with a clock that the test sets, and with what the tests of expiry ask of it.

use std::sync::{Arc, Mutex};

use fountain_engine::query::{Answer, Body};
use fountain_engine::record::from_json;
use fountain_engine::{
    Clock, CollectionId, CollectionOptions, Direction, Durability, IndexDefinition, IndexKind, ManualClock,
    MemoryKv, OrderedKv, Page, ReadTier, Result, Store, StoreOptions, Timestamp, Ttl, View, WriteSet,
    expiring,
};
use serde_json::json;

use super::key;

/// A store without a sweeper of its own.
pub struct Setup {
    pub store: Store,
    pub clock: Arc<ManualClock>,
}

/// The time at the start, in milliseconds.
pub const START: u64 = 1_700_000_000_000;

/// Options with a clock.
pub fn options(clock: &Arc<ManualClock>) -> StoreOptions {
    StoreOptions { clock: clock.clone(), sweep_every: None, ..StoreOptions::default() }
}

/// On storage in memory.
pub fn setup() -> Setup {
    setup_on(Arc::new(MemoryKv::default()))
}

/// On any storage.
pub fn setup_on(kv: Arc<dyn OrderedKv>) -> Setup {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(START)));
    Setup { store: Store::with_kv(kv, options(&clock)).unwrap(), clock }
}

/// A ttl by a field.
pub fn ttl(field: &str, after: u64) -> CollectionOptions {
    let ttl = Ttl::from_json(&json!({ "field": field, "after": after })).unwrap();
    CollectionOptions { ttl: Some(ttl), ..CollectionOptions::default() }
}

/// A clock that does something, once, before it tells the time.
pub struct BusyClock {
    pub clock: ManualClock,
    pub first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl BusyClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { clock: ManualClock::new(Timestamp::from_millis(START)), first: Mutex::new(None) })
    }
}

impl Clock for BusyClock {
    fn now(&self) -> Timestamp {
        let first = self.first.lock().unwrap().take();
        if let Some(first) = first {
            first();
        }
        self.clock.now()
    }
}

impl Setup {
    pub fn create(&self, options: CollectionOptions) -> CollectionId {
        self.store.create_collection("c", options, Durability::Memory).unwrap()
    }

    pub fn record(&self, json: &str) -> Vec<u8> {
        self.store.encode(&from_json(json).unwrap()).unwrap()
    }

    /// A put that expires so many milliseconds after the start, if it does.
    pub fn put(&self, collection: CollectionId, number: u32, json: &str, expires: Option<u64>) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.put(collection, &key(number), &self.expiring(json, expires))?;
        self.store.commit(writes, Durability::Memory).map(drop)
    }

    pub fn expiring(&self, json: &str, expires: Option<u64>) -> Vec<u8> {
        let record = self.record(json);
        expires.map_or(record.clone(), |at| expiring(&record, Timestamp::from_millis(START + at)))
    }

    pub fn at(&self, millis: u64) {
        self.clock.set(Timestamp::from_millis(START + millis));
    }

    pub fn sees(&self, collection: CollectionId, number: u32, at: impl Into<View>) -> bool {
        let view = at.into();
        let found = self.store.get(collection, &key(number), view.clone(), ReadTier::Disk).unwrap();
        let shown = self.store.get_with(collection, &key(number), view, ReadTier::Disk, <[u8]>::to_vec);
        assert_eq!(shown.unwrap().as_deref(), found.as_deref());
        found.is_some()
    }

    /// How many records every way of reading finds; they all agree.
    pub fn count(&self, collection: CollectionId, index: &str, at: impl Into<View>) -> usize {
        let at = at.into();
        let mut page = Page::new();
        let request = fountain_engine::ScanRequest {
            collection,
            max_records: 1000,
            ..super::everything(&self.store, at.clone())
        };
        self.store.scan(&request, ReadTier::Disk, &mut page).unwrap();
        let scanned = page.len();
        assert_eq!(self.store.count_records(collection, at.clone()).unwrap(), scanned as u64);
        let keys: Vec<_> = (0..1000).map(key).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = self.store.get_many(collection, &keys, at.clone(), ReadTier::Disk).unwrap();
        assert_eq!(found.iter().flatten().count(), scanned);
        let through = json!({ "where": { "n": { "$gte": 0 } }, "hint": { "index": index }, "limit": 1000 });
        for query in [json!({ "limit": 1000 }), through] {
            let Body::Find(query) = self.store.parse_query(collection, &query.to_string(), false).unwrap()
            else {
                panic!("not a query");
            };
            assert_eq!(self.store.count(collection, &query, at.clone()).unwrap(), scanned as u64);
            assert_eq!(self.store.query(collection, &query, at.clone()).unwrap().page.len(), scanned);
        }
        let scan = fountain_engine::IndexScan {
            collection,
            index: index.to_owned(),
            bounds: fountain_engine::Bounds::all(),
            direction: Direction::Reverse,
            at,
            after: None,
            max_records: 1000,
            max_bytes: usize::MAX,
        };
        self.store.scan_index(&scan, ReadTier::Disk, &mut page).unwrap();
        assert_eq!(page.len(), scanned);
        scanned
    }

    pub fn index(&self, collection: CollectionId, name: &str, kind: IndexKind) {
        let definition = IndexDefinition::new(name, kind, &[name]).unwrap();
        let id = self.store.create_index(collection, definition, Durability::Memory).unwrap();
        self.store.wait_for_index(id).unwrap();
    }

    /// A page of one record, behind a cursor.
    pub fn page(&self, collection: CollectionId, cursor: Option<&str>, at: impl Into<View>) -> Answer {
        let mut query = json!({ "limit": 1 });
        if let Some(cursor) = cursor {
            query["cursor"] = json!(cursor);
        }
        let Body::Find(query) = self.store.parse_query(collection, &query.to_string(), false).unwrap() else {
            panic!("not a query");
        };
        self.store.query(collection, &query, at).unwrap()
    }
}
