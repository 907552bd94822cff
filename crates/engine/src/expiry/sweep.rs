//! Deletes what has expired.
//!
//! One thread, which lives only while there is a collection in which something may expire, looks at the beginnings of the
//! expiry indexes every second or so. What it finds it submits like every other commit; the commit thread, where nobody else
//! writes, decides which of the records have really expired by then. A crash loses nothing: what was not deleted is found
//! again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fountain_lsm::{Clock, Direction, Durability, KeyRange, ReadTier};

use super::moment;
use crate::catalog::Catalog;
use crate::commit::{Submission, Submitter};
use crate::error::{Error, ErrorCode, Result};
use crate::index::Index;
use crate::index::encode::tag;
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::limits::{KEYSPACE_BYTES, SWEEP_CHUNK_RECORDS};
use crate::sync::lock;
use crate::write_set::WriteSet;

/// Bytes of the moment with which the entries of an expiry index begin.
const MOMENT_BYTES: usize = 9;

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
        pause: Option<Duration>,
    ) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { kv, catalog, clock, submitter, pause, state, changed })
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
        state.thread =
            thread::Builder::new().name("fountain-expiry".to_owned()).spawn(move || sweeper.run(pause)).ok();
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

    /// Deletes what has expired now.
    ///
    /// # Errors
    /// What reading and committing can fail with.
    pub fn sweep(&self) -> Result<()> {
        for index in self.catalog.indexes().expiries() {
            while !lock(&self.state).stopping {
                let expired = self.expired(index)?;
                let found = expired.len();
                if found == 0 || !self.delete(expired)? || found < SWEEP_CHUNK_RECORDS {
                    break;
                }
            }
        }
        Ok(())
    }

    fn run(&self, pause: Duration) {
        loop {
            let state = lock(&self.state);
            let waited = self.changed.wait_timeout_while(state, pause, |state| !state.stopping);
            let (state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            if state.stopping {
                return;
            }
            drop(state);
            // What cannot be deleted now is found again the next time.
            if catch_unwind(AssertUnwindSafe(|| self.sweep())).is_err() {
                self.kv.poison("a panic while deleting what has expired");
            }
        }
    }

    /// The records that expired first.
    fn expired(&self, index: &Index) -> Result<Vec<Swept>> {
        let prefix = index.id.prefix();
        let mut end = prefix.to_vec();
        keys::push_number(tag::DATE, moment(self.clock.now()), &mut end);
        // Behind every record key.
        end.push(keys::tag::ESCAPE);
        let range = KeyRange { start: prefix.to_vec(), end: Some(end) };
        let pin = self.kv.pin(None)?;
        let mut cursor = self.kv.cursor(range, pin.seq(), Direction::Forward, ReadTier::Disk)?;
        let mut found = Vec::new();
        while found.len() < SWEEP_CHUNK_RECORDS && cursor.next()? {
            let record_key = cursor.key().get(KEYSPACE_BYTES + MOMENT_BYTES..).unwrap_or_default().to_vec();
            found.push(Swept { collection: index.collection, record_key });
        }
        Ok(found)
    }

    /// Whether any was deleted.
    fn delete(&self, expired: Vec<Swept>) -> Result<bool> {
        let mut writes = WriteSet::new();
        writes.set_swept(expired);
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |result| drop(sender.send(result)));
        self.submitter.submit(Submission { commits: vec![writes], durability: Durability::Os, done });
        let answer = receiver.recv().unwrap_or_else(|_| Err(Error::closed()));
        match answer?.sequence(0) {
            Ok(_) => Ok(true),
            Err(error) if error.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
