//! What the tests share: places to keep a store in, and a way to wait for a submission.
#![allow(dead_code, reason = "every test file uses another part")]

pub mod expiry;
pub mod gate_fs;
pub mod queries;
pub mod test_kv;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use fountain_engine::keys::{Key, encode};
use fountain_engine::{
    CollectionId, Committed, Direction, Durability, KeyRange, MemoryKv, Result, ScanRequest, Store,
    StoreOptions, View, WriteSet,
};
use tempfile::TempDir;

/// A place where a store can be opened again after it was closed.
pub trait Home {
    /// Opens the store.
    fn open(&self) -> Store;
}

/// A store in memory.
#[derive(Default)]
pub struct MemoryHome(Mutex<Arc<MemoryKv>>);

impl Home for MemoryHome {
    fn open(&self) -> Store {
        let mut kv = self.0.lock().unwrap();
        *kv = Arc::new(kv.reopen());
        Store::with_kv(kv.clone(), StoreOptions::default()).unwrap()
    }
}

/// A store in a directory, with so little memory that a few documents fill it.
pub struct LocalHome(TempDir);

impl LocalHome {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn options() -> StoreOptions {
        StoreOptions {
            memtable_bytes: 8 << 10,
            cache_bytes: 64 << 10,
            wal_segment_bytes: 16 << 10,
            ..StoreOptions::default()
        }
    }
}

impl Home for LocalHome {
    fn open(&self) -> Store {
        Store::open(self.path(), Self::options()).unwrap()
    }
}

/// A store in memory that nobody opens again.
pub fn memory_store() -> Store {
    MemoryHome::default().open()
}

/// Submits and gives back where the answer will come.
pub fn submit(store: &Store, commits: Vec<WriteSet>, durability: Durability) -> Receiver<Result<Committed>> {
    let (sender, receiver) = channel();
    store.submit(commits, durability, Box::new(move |result| drop(sender.send(result))));
    receiver
}

/// An encoded key.
pub fn key(number: u32) -> Vec<u8> {
    encode(&Key::Number(f64::from(number))).unwrap()
}

/// The record of an object that has nothing but `bytes` in the member `b`.
pub fn document(bytes: &[u8]) -> Vec<u8> {
    let length = [bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8];
    let structure = [&[0xEA, 1, 0x41, 0xED][..], &length, bytes].concat();
    [&[2, 0][..], &(structure.len() as u16).to_le_bytes(), &structure, b"b"].concat()
}

/// The bytes in a record made by [`document`].
pub fn bytes_in(record: &[u8]) -> &[u8] {
    &record[10..record.len() - 1]
}

/// A commit of one put.
pub fn put(collection: CollectionId, number: u32) -> WriteSet {
    let mut writes = WriteSet::new();
    writes.put(collection, &key(number), &document(b"")).unwrap();
    writes
}

/// A scan of all records of the collection `c`.
pub fn everything(store: &Store, at: impl Into<View>) -> ScanRequest {
    ScanRequest {
        collection: store.collection("c").unwrap(),
        range: KeyRange::default(),
        direction: Direction::Forward,
        at: at.into(),
        max_records: 100,
        max_bytes: 1 << 20,
    }
}
