//! The transactions of the store itself, on lists: a list is a record, to append is to read it and to put it longer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fountain_engine::keys::{self, encode};
use fountain_engine::query::Body;
use fountain_engine::record::Value;
use fountain_engine::{
    Bounds, CollectionId, Direction, Durability, ErrorCode, IndexDefinition, IndexKind, IndexScan, Isolation,
    KeyRange, MemoryKv, Page, ReadTier, Result, ScanRequest, Store, StoreOptions, Transaction, View,
};

use super::history::{End, Key, Op, Txn};
use super::reference::Engine;
use crate::disk::SimFs;
use crate::parallel::inheriting;
use crate::random::Random;

const THREADS: usize = 4;
const LISTS: usize = 5;
/// Transactions after which other lists are used.
const PERIOD: u64 = 60;

/// What the store lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A map in memory.
    Map,
    /// Storage with tables so small that they are written and merged all the time.
    Tables,
}

/// How all lists are read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// One by one.
    Keys,
    /// A scan of a range of keys.
    Range,
    /// A scan of a range of an index.
    Index,
    /// A query whose filter an index answers.
    Filter,
}

impl Predicate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Keys, Self::Range, Self::Index, Self::Filter];
}

/// A store with one collection of lists.
pub struct Lists {
    store: Store,
    collection: CollectionId,
    isolation: Isolation,
    predicate: Predicate,
    /// The commit that was made last.
    committed: u64,
}

impl Lists {
    /// A new one.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn open(serializable: bool, storage: Storage) -> Result<Self> {
        let store = match storage {
            Storage::Map => Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default())?,
            Storage::Tables => {
                let options = StoreOptions {
                    fs: Arc::new(SimFs::default()),
                    memtable_bytes: 8 << 10,
                    cache_bytes: 64 << 10,
                    ..StoreOptions::default()
                };
                Store::open(Path::new("/store"), options)?
            }
        };
        let collection = store.collection("lists")?;
        let isolation = if serializable { Isolation::Serializable } else { Isolation::Snapshot };
        Ok(Self { store, collection, isolation, predicate: Predicate::Keys, committed: 0 })
    }

    /// Reads all lists in another way from now on, with an index of the numbers in them.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn read_all_by(&mut self, predicate: Predicate) -> Result<()> {
        self.predicate = predicate;
        let definition = IndexDefinition::new(INDEX, IndexKind::Multi, &["list[]"])?;
        let index = self.store.create_index(self.collection, definition, Durability::Memory)?;
        self.store.wait_for_index(index)
    }

    /// What a predicate that all lists fulfil finds.
    fn find_all(&self, transaction: &Transaction) -> Result<BTreeMap<Vec<u8>, Vec<u64>>> {
        let (mut page, at) = (Page::new(), View::from(transaction));
        let (direction, max_records, max_bytes) = (Direction::Forward, usize::MAX, usize::MAX);
        let collection = self.collection;
        match self.predicate {
            Predicate::Keys => return Ok(BTreeMap::new()),
            Predicate::Range => {
                let range = KeyRange::default();
                let request = ScanRequest { collection, range, direction, at, max_records, max_bytes };
                self.store.scan(&request, ReadTier::Disk, &mut page)?;
            }
            Predicate::Index => {
                let (index, bounds, after) = (INDEX.to_owned(), Bounds::all(), None);
                let request =
                    IndexScan { collection, index, bounds, direction, at, after, max_records, max_bytes };
                self.store.scan_index(&request, ReadTier::Disk, &mut page)?;
            }
            Predicate::Filter => {
                let text = r#"{"where":{"list[]":{"$gte":0}}}"#;
                if let Body::Find(query) = self.store.parse_query(collection, text, false)? {
                    page = self.store.query(collection, &query, at)?.page;
                }
            }
        }
        page.records().map(|(key, document)| Ok((key.to_vec(), self.list_of(document)?))).collect()
    }

    fn list_of(&self, document: &[u8]) -> Result<Vec<u64>> {
        let json = self.store.to_json(document)?;
        Ok(serde_json::from_str(&json).map_or_else(|_| vec![FAILED], |document: Document| document.list))
    }

    /// Closes the store.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn close(self) -> Result<()> {
        self.store.close()
    }

    fn get(&self, transaction: &Transaction, key: Key) -> Result<Vec<u64>> {
        let found = self.store.get(self.collection, &record(key)?, transaction, ReadTier::Disk)?;
        let Some(document) = found else { return Ok(Vec::new()) };
        self.list_of(&document)
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 values are ever appended")]
    fn push(&self, transaction: &Transaction, key: Key, value: u64) -> Result<()> {
        let mut list = self.get(transaction, key)?;
        list.push(value);
        let list = list.into_iter().map(|value| Value::Number(value as f64)).collect();
        let document = self.store.encode(&Value::Object(vec![("list".to_owned(), Value::Array(list))]))?;
        transaction.put(self.collection, &record(key)?, &document)
    }

    /// How it ended, and with which sequence.
    fn end(transaction: &Transaction) -> Result<(End, u64)> {
        match transaction.commit(Durability::Memory) {
            Ok(seq) => Ok((End::Committed, seq.get())),
            Err(error) if error.code == ErrorCode::Conflict => Ok((End::Aborted, 0)),
            Err(error) => Err(error),
        }
    }
}

#[derive(serde::Deserialize)]
struct Document {
    list: Vec<u64>,
}

fn record(key: Key) -> Result<Vec<u8>> {
    encode(&keys::Key::Number(f64::from(key)))
}

/// The index of the numbers in lists.
const INDEX: &str = "numbers";

/// An operation that fails shows as a list that nobody has written, which the checker finds.
const FAILED: u64 = u64::MAX;

impl Engine for Lists {
    /// None if the store refused to begin it.
    type Active = Option<Transaction>;

    fn begin(&mut self) -> Self::Active {
        self.store.begin(self.isolation).ok()
    }

    fn read(&mut self, txn: &mut Self::Active, key: Key) -> Vec<u64> {
        let list = txn.as_ref().and_then(|txn| self.get(txn, key).ok());
        list.unwrap_or_else(|| vec![FAILED])
    }

    fn append(&mut self, txn: &mut Self::Active, key: Key, value: u64) {
        if let Some(open) = txn
            && self.push(open, key, value).is_err()
        {
            open.rollback();
        }
    }

    fn abort(&mut self, txn: &Self::Active) {
        if let Some(txn) = txn {
            txn.rollback();
        }
    }

    fn read_all(&mut self, txn: &mut Self::Active, keys: Range<Key>) -> Vec<(Key, Vec<u64>)> {
        if self.predicate == Predicate::Keys {
            return keys.map(|key| (key, self.read(txn, key))).collect();
        }
        let found = txn.as_ref().and_then(|txn| self.find_all(txn).ok());
        let list = |key| match (&found, record(key)) {
            (Some(found), Ok(record)) => found.get(&record).cloned().unwrap_or_default(),
            _ => vec![FAILED],
        };
        keys.map(|key| (key, list(key))).collect()
    }

    fn commit(&mut self, txn: &Self::Active) -> bool {
        let ended = txn.as_ref().and_then(|txn| Self::end(txn).ok());
        let (end, committed) = ended.unwrap_or((End::Aborted, 0));
        self.committed = committed;
        end == End::Committed
    }

    fn sequences(&self, txn: &Self::Active) -> Option<(u64, u64)> {
        Some((txn.as_ref()?.sequence().get(), self.committed))
    }
}

/// What threads have in common.
struct Shared {
    lists: Lists,
    clock: AtomicU64,
    count: AtomicU64,
    values: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn transaction(&self, random: &mut Random) -> Result<Txn> {
        let base = self.count.fetch_add(1, Ordering::Relaxed) / PERIOD * LISTS as u64;
        let begin = self.now();
        let transaction = self.lists.store.begin(self.lists.isolation)?;
        let (mut ops, reads_only) = (Vec::new(), random.one_in(4));
        for _ in 0..random.within(1..5) {
            let key = (base + random.below(LISTS) as u64) as Key;
            if reads_only || random.one_in(2) {
                ops.push(Op::Read(key, self.lists.get(&transaction, key)?));
            } else {
                let value = self.values.fetch_add(1, Ordering::Relaxed) + 1;
                self.lists.push(&transaction, key, value)?;
                ops.push(Op::Append(key, value));
            }
        }
        let snapshot = transaction.sequence().get();
        let (outcome, committed) = Lists::end(&transaction)?;
        Ok(Txn { begin, end: self.now(), outcome, ops, sequences: Some((snapshot, committed)) })
    }
}

/// The history of that many transactions of several threads, with tables written and merged below them.
///
/// # Errors
/// What the store refuses.
pub fn history(serializable: bool, seed: u64, transactions: usize) -> Result<Vec<Txn>> {
    let shared = Shared {
        lists: Lists::open(serializable, Storage::Tables)?,
        clock: AtomicU64::new(1),
        count: AtomicU64::new(0),
        values: AtomicU64::new(0),
    };
    let client = |thread: usize| {
        let mut random = Random::nth(seed, thread as u64);
        (0..transactions / THREADS).map(|_| shared.transaction(&mut random)).collect::<Result<Vec<_>>>()
    };
    let histories: Vec<Result<Vec<Txn>>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(inheriting(move || client(thread)))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut history = histories.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let begin = shared.now();
    let last = shared.lists.store.begin(Isolation::Snapshot)?;
    let lists = (transactions as u64 / PERIOD + 1) * LISTS as u64;
    let read = |key| Ok(Op::Read(key, shared.lists.get(&last, key)?));
    let ops = (0..lists as Key).map(read).collect::<Result<_>>()?;
    let sequences = Some((last.sequence().get(), last.sequence().get()));
    history.push(Txn { begin, end: shared.now(), outcome: End::Committed, ops, sequences });
    drop(last);
    shared.lists.close()?;
    Ok(history)
}
