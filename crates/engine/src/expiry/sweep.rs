//! Deletes what has expired.
//!
//! One thread, which lives only while there is a collection in which something may expire, looks at the beginnings of the
//! expiry indexes every second or so. What it finds it submits like every other commit; the commit thread, where nobody else
//! writes, decides which of the records have really expired by then. A crash loses nothing: what was not deleted is found
//! again.
//!
//! A record that cannot be read, or a chunk whose index entries are too much for one commit, hinders nothing else: the chunk
//! is cut in halves until it can be committed, and a single record that cannot be deleted is passed over and counted. It is
//! tried again in every later sweep; these come less often then, so that they take only a small part of the time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fountain_lsm::{Clock, Direction, Durability, KeyRange, ReadTier};

use super::{MOMENT_BYTES, Moment, moment};
use crate::catalog::Catalog;
use crate::commit::{Submission, Submitter};
use crate::error::{Error, ErrorCode, Result};
use crate::index::Index;
use crate::index::encode::tag;
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::limits::{KEYSPACE_BYTES, SWEEP_CHUNK_RECORDS};
use crate::marks::{Mark, hit};
use crate::metrics::Counters;
use crate::sync::{lock, spawn};
use crate::write_set::WriteSet;

/// How many times as long as a sweep that had to leave something took the sweeper waits at least.
const REST: u32 = 16;

/// A record that may have expired.
#[derive(Debug)]
pub(crate) struct Swept {
    pub collection: CollectionId,
    pub record_key: Vec<u8>,
}

/// The sweeper of one store.
pub(crate) struct Sweeper {
    kv: Arc<dyn OrderedKv>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    submitter: Submitter,
    counters: Arc<Counters>,
    /// How often it looks; without that only when it is told to.
    pause: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    thread: Option<JoinHandle<()>>,
    stopping: bool,
}

impl Sweeper {
    /// Nothing is swept before the first [`Sweeper::wake`].
    pub fn new(
        kv: Arc<dyn OrderedKv>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        submitter: Submitter,
        counters: Arc<Counters>,
        pause: Option<Duration>,
    ) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { kv, catalog, clock, submitter, counters, pause, state, changed })
    }

    /// There may be something that expires.
    pub fn wake(self: &Arc<Self>) {
        let Some(pause) = self.pause else { return };
        let mut state = lock(&self.state);
        if state.thread.is_some() || state.stopping || !self.catalog.indexes().has_expiries() {
            return;
        }
        let sweeper = Arc::clone(self);
        // Without a thread nothing is swept until the next index is defined or the store is opened again; reads leave out
        // what has expired all the same.
        state.thread = spawn("fountain-expiry", move || sweeper.run(pause)).ok();
    }

    /// Ends the thread after its commit at hand, and waits for that if `wait` says so.
    pub fn stop(&self, wait: bool) {
        let mut state = lock(&self.state);
        state.stopping = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread.filter(|_| wait) {
            // Its work is caught, so it does not end by a panic.
            let _ = thread.join();
        }
    }

    /// Deletes what has expired now. What cannot be deleted is left and counted; the rest goes all the same.
    ///
    /// # Errors
    /// What reading and committing can fail with, of the whole store or of an index; not of single records.
    pub fn sweep(&self) -> Result<()> {
        let (mut left, mut outcome) = (0, Ok(()));
        for index in self.catalog.indexes().expiries() {
            let swept = self.sweep_index(index, &mut left);
            left += usize::from(swept.is_err());
            let hopeless = swept.as_ref().is_err_and(|error| !concerns_records(error));
            outcome = outcome.and(swept);
            if hopeless {
                break;
            }
        }
        self.counters.unswept.set(left);
        outcome
    }

    /// Goes once over what is due in one index, and counts what it has to leave.
    fn sweep_index(&self, index: &Index, left: &mut usize) -> Result<()> {
        let now = moment(self.clock.now());
        let (mut from, mut size) = (index.id.prefix().to_vec(), SWEEP_CHUNK_RECORDS);
        while !lock(&self.state).stopping {
            let due = self.due(index, &from, now, size)?;
            let (Some(last), found) = (due.last, due.records.len()) else { break };
            match self.delete(due.records) {
                Ok(()) => {
                    hit(Mark::Swept);
                    size = SWEEP_CHUNK_RECORDS.min(2 * size);
                }
                Err(error) if !concerns_records(&error) => return Err(error),
                Err(_) if found > 1 => {
                    size = found / 2;
                    continue;
                }
                Err(_) => *left += 1,
            }
            from = keys::after(&last);
        }
        Ok(())
    }

    fn run(&self, pause: Duration) {
        let mut wait = pause;
        loop {
            let state = lock(&self.state);
            let waited = self.changed.wait_timeout_while(state, wait, |state| !state.stopping);
            let (state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            if state.stopping {
                return;
            }
            drop(state);
            let begun = Instant::now();
            // What cannot be deleted now is found again the next time.
            if catch_unwind(AssertUnwindSafe(|| self.sweep())).is_err() {
                self.kv.poison("a panic while deleting what has expired");
            }
            let rest = if self.counters.unswept.get() > 0 { begun.elapsed() * REST } else { Duration::ZERO };
            wait = pause.max(rest);
        }
    }

    /// The records behind `from` that are due first. Those before what cannot be read count; without any it is an error.
    fn due(&self, index: &Index, from: &[u8], now: Moment, size: usize) -> Result<Due> {
        let mut end = index.id.prefix().to_vec();
        keys::push_number(tag::DATE, now, &mut end);
        // Behind every record key.
        end.push(keys::tag::ESCAPE);
        let range = KeyRange { start: from.to_vec(), end: Some(end) };
        let pin = self.kv.pin(None)?;
        let mut cursor = self.kv.cursor(range, pin.seq(), Direction::Forward, ReadTier::Disk)?;
        let mut due = Due::default();
        while due.records.len() < size {
            match cursor.next() {
                Ok(true) => {}
                Err(error) if due.records.is_empty() => return Err(error),
                Ok(false) | Err(_) => break,
            }
            let record_key = cursor.key().get(KEYSPACE_BYTES + MOMENT_BYTES..).unwrap_or_default().to_vec();
            due.records.push(Swept { collection: index.collection, record_key });
            due.last = Some(cursor.key().to_vec());
        }
        Ok(due)
    }

    /// Deletes those that have really expired, if any have.
    fn delete(&self, due: Vec<Swept>) -> Result<()> {
        let mut writes = WriteSet::new();
        writes.set_swept(due);
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |result| drop(sender.send(result)));
        self.submitter.submit(Submission { commits: vec![writes], durability: Durability::Os, done });
        let answer = receiver.recv().unwrap_or_else(|_| Err(Error::closed()));
        match answer?.sequence(0) {
            // That none of them has expired any more. A dropped collection is no reason, as what is swept names none.
            Err(error) if error.code != ErrorCode::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Records whose moments have come by the index, and the storage key of the last entry.
#[derive(Default)]
struct Due {
    records: Vec<Swept>,
    last: Option<Vec<u8>>,
}

/// Whether it may be a few records that cannot be deleted, and not that nothing can be.
fn concerns_records(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::TooLarge | ErrorCode::Limit | ErrorCode::Corrupt | ErrorCode::NewerFormat | ErrorCode::Io
    )
}
