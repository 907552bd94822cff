//! The storage engine itself under threads: what it promises today is checked as a history.
//!
//! A list is a key with all its versions: to append is to put, blindly, and to read is to list the versions. So commits
//! of many threads to the same keys need no transactions, and their order shows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fountain_lsm::{Db, Durability, Options, ReadTier, Snapshot, WriteBatch};

use super::history::{End, Key, Op, Txn};
use crate::disk::SimFs;
use crate::parallel::inheriting;
use crate::random::Random;

const THREADS: usize = 4;
const LISTS: usize = 8;
/// Transactions after which other lists are used.
const PERIOD: u64 = 100;

/// What the threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// They write without reading, or read without writing: there is an order that agrees with real time.
    Blind,
    /// They read what they like and then write lists that only they write: write skew is possible, nothing worse.
    OwnLists,
}

struct Shared {
    db: Db,
    clock: AtomicU64,
    count: AtomicU64,
    values: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn read(&self, snapshot: &Snapshot, key: Key) -> fountain_lsm::Result<Op> {
        let mut versions = self.db.versions(&key.to_be_bytes(), snapshot.seq(), ReadTier::Disk)?;
        let mut list = Vec::new();
        while versions.next()? {
            let number = versions.value().and_then(|value| value.first_chunk());
            list.push(number.copied().map_or(0, u64::from_be_bytes));
        }
        list.reverse();
        Ok(Op::Read(key, list))
    }

    fn transaction(&self, mix: Mix, thread: usize, random: &mut Random) -> fountain_lsm::Result<Txn> {
        let base = self.count.fetch_add(1, Ordering::Relaxed) / PERIOD * LISTS as u64;
        let key = |random: &mut Random| (base + random.below(LISTS) as u64) as Key;
        let begin = self.now();
        let snapshot = self.db.snapshot();
        let mut ops = Vec::new();
        let writes = mix == Mix::OwnLists || random.one_in(2);
        if mix == Mix::OwnLists || !writes {
            for _ in 0..random.within(1..4) {
                ops.push(self.read(&snapshot, key(random))?);
            }
        }
        let mut commit = snapshot.seq().get();
        if writes {
            let mut batch = WriteBatch::new();
            for _ in 0..random.within(1..4) {
                let list = match mix {
                    Mix::Blind => key(random),
                    Mix::OwnLists => {
                        (base as usize + thread + THREADS * random.below(LISTS / THREADS)) as Key
                    }
                };
                // A list changes once in a commit: another put would replace the first.
                if ops.iter().any(|op| matches!(op, Op::Append(other, _) if *other == list)) {
                    continue;
                }
                let value = self.values.fetch_add(1, Ordering::Relaxed) + 1;
                batch.put(&list.to_be_bytes(), &[&value.to_be_bytes()[..], &[7; 60]].concat())?;
                ops.push(Op::Append(list, value));
            }
            commit = self.db.commit(batch, Durability::Os)?.get();
        }
        let sequences = Some((snapshot.seq().get(), commit));
        Ok(Txn { begin, end: self.now(), outcome: End::Committed, ops, sequences })
    }
}

/// The history of that many transactions on a new store, with its threads flushing and compacting below them.
///
/// # Errors
/// What the store refuses.
pub fn history(mix: Mix, seed: u64, transactions: usize) -> fountain_lsm::Result<Vec<Txn>> {
    let options = Options {
        fs: Arc::new(SimFs::default()),
        memtable_bytes: 24 << 10,
        table_bytes: 16 << 10,
        cache_bytes: 64 << 10,
        ..Options::default()
    };
    let db = Db::open(Path::new("/store"), options)?;
    let shared = Shared { db, clock: AtomicU64::new(1), count: AtomicU64::new(0), values: AtomicU64::new(0) };
    let client = |thread: usize| {
        let mut random = Random::nth(seed, thread as u64);
        (0..transactions / THREADS).map(|_| shared.transaction(mix, thread, &mut random)).collect()
    };
    let histories: Vec<fountain_lsm::Result<Vec<Txn>>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(inheriting(move || client(thread)))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut history = Vec::new();
    for one in histories {
        history.extend(one?);
    }
    let begin = shared.now();
    let snapshot = shared.db.snapshot();
    let lists = (transactions as u64 / PERIOD + 1) * LISTS as u64;
    let ops = (0..lists as Key).map(|key| shared.read(&snapshot, key)).collect::<Result<_, _>>()?;
    let sequences = Some((snapshot.seq().get(), snapshot.seq().get()));
    history.push(Txn { begin, end: shared.now(), outcome: End::Committed, ops, sequences });
    drop(snapshot);
    shared.db.close()?;
    Ok(history)
}
