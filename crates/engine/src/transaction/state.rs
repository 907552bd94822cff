//! One transaction: what it has written and read so far.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fountain_lsm::{Clock, Direction, KeyRange, ReadTier, Seq, Timestamp};

use super::Isolation;
use super::cursor::TransactionCursor;
use super::reads::ReadSet;
use super::registry::{Registration, Transactions};
use super::writes::{Write, Writes};
use crate::condition::Condition;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Moment, moment};
use crate::keyspace::CollectionId;
use crate::kv::{KvCursor, KvValue, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_COMMIT_BYTES, MAX_COMMIT_OPS, MAX_TRANSACTION_AGE};
use crate::sync::lock;
use crate::write_set::WriteSet;

/// See the module.
pub(crate) struct State {
    isolation: Isolation,
    snapshot: Seq,
    begun: Instant,
    /// When it began by the clock, which goes on while the machine sleeps, but may be set.
    time: Timestamp,
    clock: Arc<dyn Clock>,
    ended: AtomicBool,
    own: Mutex<Own>,
    /// Until it is committed, refused or rolled back.
    registration: Mutex<Option<Registration>>,
}

#[derive(Default)]
struct Own {
    writes: Arc<Writes>,
    bytes: usize,
    reads: ReadSet,
}

impl State {
    /// A transaction at the newest sequence.
    pub fn begin(
        transactions: &Arc<Transactions>,
        kv: &dyn OrderedKv,
        isolation: Isolation,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        // Before the pin: what expires meanwhile may be seen, what is renewed meanwhile may not be missed.
        let time = clock.now();
        let registration = transactions.enter(kv)?;
        Ok(Arc::new(Self {
            isolation,
            snapshot: registration.seq(),
            begun: Instant::now(),
            time,
            clock: Arc::clone(clock),
            ended: AtomicBool::new(false),
            own: Mutex::default(),
            registration: Mutex::new(Some(registration)),
        }))
    }

    /// The moment it reads.
    pub fn snapshot(&self) -> Seq {
        self.snapshot
    }

    /// The moment that decides what has expired.
    pub fn moment(&self) -> Moment {
        moment(self.time)
    }

    /// What it is protected from.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// What it has written so far, and nothing that it writes later.
    pub fn writes(&self) -> Arc<Writes> {
        Arc::clone(&lock(&self.own).writes)
    }

    /// The value of a storage key, with the writes in `seen`, or without them the newest.
    pub fn get(
        &self,
        kv: &dyn OrderedKv,
        key: &[u8],
        tier: ReadTier,
        seen: Option<&Writes>,
    ) -> Result<Option<KvValue>> {
        let value = |writes: &Writes| writes.get(key).map(|write| write.value.clone());
        let written = seen.map_or_else(|| value(&lock(&self.own).writes), value);
        // Looked at afterwards: when it ends its writes go to the commit, and were not to be found.
        self.check_running()?;
        if let Some(value) = written {
            return Ok(value.map(KvValue::Shared));
        }
        let value = kv.get(key, Some(self.snapshot), tier)?;
        self.note_key(key);
        Ok(value)
    }

    /// A walk over a range of storage keys, with the writes in `seen`.
    pub fn cursor(
        self: &Arc<Self>,
        kv: &dyn OrderedKv,
        range: KeyRange,
        direction: Direction,
        tier: ReadTier,
        seen: Arc<Writes>,
    ) -> Result<Box<dyn KvCursor>> {
        self.check_running()?;
        let base = kv.cursor(range.clone(), self.snapshot, direction, tier)?;
        Ok(Box::new(TransactionCursor::new(Arc::clone(self), seen, base, range, direction)))
    }

    /// Writes a storage key; `None` deletes.
    pub fn write(&self, key: &[u8], value: Option<&[u8]>, condition: Option<Condition>) -> Result<()> {
        let mut own = lock(&self.own);
        // Under the lock, so that what is written before it ends goes to the commit.
        self.check_running()?;
        own.reads.check_complete()?;
        let before = own.writes.get(key);
        if let (Some(write), Some(condition)) = (before, condition) {
            condition.judge_own(write.value.is_some())?;
        }
        let length = |write: &Write| key.len() + write.value.as_ref().map_or(0, |value| value.len());
        let replaced = before.map_or(0, length);
        let bytes = own.bytes - replaced + key.len() + value.map_or(0, <[u8]>::len);
        if bytes > MAX_COMMIT_BYTES {
            return Err(Error::too_large("transaction", bytes, MAX_COMMIT_BYTES));
        }
        if before.is_none() && own.writes.len() == MAX_COMMIT_OPS {
            return Err(Error::too_many(
                "keys written in one transaction",
                MAX_COMMIT_OPS + 1,
                MAX_COMMIT_OPS,
            ));
        }
        // What an earlier write asked of the record before the transaction still has to hold.
        let condition = before.map_or(condition, |write| write.condition);
        own.bytes = bytes;
        Arc::make_mut(&mut own.writes).insert(key, Write { value: value.map(Arc::from), condition });
        Ok(())
    }

    /// Nothing may be read or written any more; whether it was running.
    pub fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Ends it, and what is to be committed, without a claim.
    pub fn end_with_writes(&self) -> Result<WriteSet> {
        let running = self.check_running();
        if !self.end() {
            return running.and(Err(ended()));
        }
        let result = running.and_then(|()| self.write_set());
        if result.is_err() {
            self.release();
        }
        result
    }

    /// Lets go of what it kept for its reads and its validation.
    pub fn release(&self) {
        let registration = lock(&self.registration).take();
        drop(registration);
    }

    /// Notes that a storage key was read, if that matters.
    pub(super) fn note_key(&self, key: &[u8]) {
        if self.isolation == Isolation::Serializable {
            lock(&self.own).reads.add_key(key);
        }
    }

    /// Notes that a range was read, if that matters.
    pub(super) fn note_range(&self, range: KeyRange) {
        if self.isolation == Isolation::Serializable {
            lock(&self.own).reads.add_range(range);
        }
    }

    /// Runs `judge` on what was read.
    pub(super) fn with_reads<R>(&self, judge: impl FnOnce(&ReadSet) -> R) -> R {
        judge(&lock(&self.own).reads)
    }

    /// Refuses to go on with a read of a transaction that has ended.
    pub(super) fn check_not_ended(&self) -> Result<()> {
        if self.ended.load(Ordering::Acquire) { Err(ended()) } else { Ok(()) }
    }

    fn check_running(&self) -> Result<()> {
        self.check_not_ended()?;
        let age = self.begun.elapsed().max(self.clock.now().since(self.time));
        if age <= MAX_TRANSACTION_AGE {
            return Ok(());
        }
        let (age, limit) = (age.as_secs(), MAX_TRANSACTION_AGE.as_secs());
        let message =
            format!("the transaction has been open for {age} s, which is over the limit of {limit} s");
        Err(Error::new(ErrorCode::TransactionTooOld, message))
    }

    fn write_set(&self) -> Result<WriteSet> {
        let mut own = lock(&self.own);
        let writes = std::mem::take(&mut own.writes);
        let mut set = WriteSet::new();
        if !writes.is_empty() {
            own.reads.check_complete()?;
        }
        for (storage_key, Write { value, condition }) in writes.iter() {
            // Everything was checked when it was written, and only keys of collections were.
            let Some(collection) = CollectionId::of_storage_key(storage_key) else { continue };
            let key = &storage_key[KEYSPACE_BYTES..];
            match (value, condition) {
                (Some(value), Some(condition)) => set.put_if(collection, key, value, *condition)?,
                (Some(value), None) => set.put(collection, key, value)?,
                (None, Some(condition)) => set.delete_if(collection, key, *condition)?,
                (None, None) => set.delete(collection, key)?,
            }
        }
        Ok(set)
    }
}

fn ended() -> Error {
    Error::new(ErrorCode::Closed, "the transaction has ended")
}

/// The right of a commit to be judged as that of a transaction. When it is gone, the transaction is over.
pub(crate) struct Claim(Arc<State>);

impl Claim {
    pub fn new(state: Arc<State>) -> Self {
        Self(state)
    }

    /// The transaction.
    pub fn state(&self) -> &State {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({:?} at {})", self.0.isolation, self.0.snapshot)
    }
}
