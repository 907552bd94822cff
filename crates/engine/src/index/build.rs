//! Fills new indexes in the background.
//!
//! One thread, which lives only while there is something to build, takes the records of a collection chunk by chunk: it
//! reads some at the newest sequence, works out their entries, and submits them like any other commit. The commit thread
//! leaves out records that were written since; those it has indexed itself, as from its definition on an index is kept up
//! to date by every commit. When no record is left, the index is ready.
//!
//! How far a build has come is stored with every chunk, so after a crash or a close it goes on there: what lies before the
//! position was indexed, and what was written there later was, too.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use fountain_lsm::{Durability, KeyRange, RangeEstimate};

use super::chunk::{Chunk, Position};
use super::derive::is_too_much_at_once;
use super::{Index, IndexId};
use crate::catalog::{Catalog, SchemaOp};
use crate::commit::{Submission, Submitter};
use crate::error::{Error, ErrorCode, Result};
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::limits::BUILD_CHUNK_RECORDS;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::record::Shapes;
use crate::sync::{lock, spawn};
use crate::write_set::WriteSet;

/// How an index is doing.
#[derive(Clone, Debug)]
pub enum BuildStatus {
    /// It is complete.
    Ready,
    /// It is being built.
    Building {
        /// Records that were passed so far.
        records: u64,
        /// About how many records the collection has, at least those that were passed.
        total: u64,
        /// What keeps the build from going on, if something does. It is tried again, except for `ERR_DEFINITION`: a record
        /// lacks what the program computes, and [`crate::Store::resume_index`] says that it has been put there.
        trouble: Option<Error>,
    },
    /// It could not be built and was dropped, or will be as soon as the disk has room: `ERR_UNIQUE` for two records with
    /// one key, or a record that cannot be indexed. After any other error the build is begun again at the next open.
    Failed(Error),
}

/// Builds the indexes of one store.
pub(crate) struct Builder {
    kv: Arc<dyn OrderedKv>,
    catalog: Arc<Catalog>,
    shapes: Arc<Shapes>,
    submitter: Submitter,
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    running: bool,
    stopping: bool,
    /// There may be more to do than the running thread has seen.
    woken: bool,
    building: BTreeMap<IndexId, (u64, Option<Error>)>,
    failed: BTreeMap<IndexId, Failure>,
    /// Those that cannot go on before the program has computed more.
    waiting: BTreeSet<IndexId>,
}

/// Why an index could not be built.
struct Failure {
    collection: CollectionId,
    name: String,
    error: Error,
    /// It is being dropped for it, and until that is done it counts as being built. Not if it stays, or if dropping it
    /// has failed.
    dropped: bool,
}

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Builder {
    /// Nothing is built before the first [`Builder::wake`].
    pub fn new(
        kv: Arc<dyn OrderedKv>,
        catalog: Arc<Catalog>,
        shapes: Arc<Shapes>,
        submitter: Submitter,
    ) -> Arc<Self> {
        let (state, changed, thread) = (Mutex::default(), Condvar::new(), Mutex::default());
        Arc::new(Self { kv, catalog, shapes, submitter, state, changed, thread })
    }

    /// There may be something to build, or a waiting caller has something to see.
    pub fn wake(self: &Arc<Self>) {
        self.announce();
        let has_work = self.catalog.indexes().iter().any(|index| index.since.is_none());
        let mut state = lock(&self.state);
        state.woken |= has_work;
        if !has_work || state.running || state.stopping {
            return;
        }
        let builder = Arc::clone(self);
        let spawned = spawn("fountain-index", move || builder.run());
        // Without a thread nothing is built until the next index is defined or the store is opened again; whoever asks
        // is told that it is being built.
        if let Ok(handle) = spawned {
            state.running = true;
            *lock(&self.thread) = Some(handle);
        }
    }

    /// The program has computed what an index waited for.
    pub fn resume(self: &Arc<Self>, id: IndexId) {
        {
            let mut state = lock(&self.state);
            state.waiting.remove(&id);
            if let Some((_, trouble)) = state.building.get_mut(&id) {
                *trouble = None;
            }
        }
        self.wake();
    }

    /// How an index is doing that the catalog has, or that could not be built since the store was opened.
    pub fn status(&self, id: IndexId) -> Option<BuildStatus> {
        self.status_in(&lock(&self.state), id)
    }

    fn status_in(&self, state: &State, id: IndexId) -> Option<BuildStatus> {
        let index = self.catalog.indexes().get(id).cloned();
        if let Some(failure) = state.failed.get(&id)
            && (index.is_none() || !failure.dropped)
        {
            return Some(BuildStatus::Failed(failure.error.clone()));
        }
        let index = index?;
        if index.since.is_some() {
            return Some(BuildStatus::Ready);
        }
        let (records, trouble) = state.building.get(&id).cloned().unwrap_or_default();
        // How far a build is can be told without it.
        let counted = self.kv.estimate(&index.collection.storage_range(&KeyRange::default()));
        let total = counted.map_or(0, RangeEstimate::whole_records).max(records);
        Some(BuildStatus::Building { records, total, trouble })
    }

    /// The last index of this name that could not be built.
    pub fn find_failed(&self, collection: CollectionId, name: &str) -> Option<IndexId> {
        let state = lock(&self.state);
        let mut own = state
            .failed
            .iter()
            .filter(|(_, failure)| failure.collection == collection && failure.name == name);
        own.next_back().map(|(id, _)| *id)
    }

    /// Waits until an index is ready, could not be built, waits for the program, or was dropped; then there is no status.
    pub fn wait(&self, id: IndexId) -> Option<BuildStatus> {
        loop {
            let state = lock(&self.state);
            let status = self.status_in(&state, id);
            let is_building = matches!(status, Some(BuildStatus::Building { .. }));
            if !is_building || state.stopping || state.waiting.contains(&id) {
                return status;
            }
            // The catalog changes without this lock; it is announced, or seen a little later.
            drop(self.changed.wait_timeout(state, Duration::from_millis(20)));
        }
    }

    /// Lets the thread end after its chunk at hand.
    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// Waits until the thread has ended.
    pub fn join(&self) {
        let handle = lock(&self.thread).take();
        if let Some(handle) = handle {
            // Its work is caught, so it does not end by a panic.
            let _ = handle.join();
        }
    }

    fn run(&self) {
        while let Some(index) = self.next() {
            let built = catch_unwind(AssertUnwindSafe(|| self.build(&index)));
            let built = built.unwrap_or_else(|_| {
                self.kv.poison("a panic while building an index");
                Err(Error::new(ErrorCode::Internal, "a panic while building an index"))
            });
            if let Err(error) = built {
                self.give_up(&index, error);
            }
            self.announce();
        }
    }

    /// Something has changed: whoever waits is to look again. With the lock, so that one who has just looked and found
    /// nothing is waiting by now.
    fn announce(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// The next index to build; without one the thread is over.
    fn next(&self) -> Option<Arc<Index>> {
        let mut state = lock(&self.state);
        loop {
            state.woken = false;
            let table = self.catalog.indexes();
            let next = table.iter().find(|index| {
                let id = &index.id;
                index.since.is_none() && !state.failed.contains_key(id) && !state.waiting.contains(id)
            });
            match next {
                Some(index) if !state.stopping => return Some(Arc::clone(index)),
                _ if state.woken && !state.stopping => {}
                _ => {
                    state.running = false;
                    return None;
                }
            }
        }
    }

    /// Builds an index to its end, or until it is dropped or the store closes.
    fn build(&self, index: &Arc<Index>) -> Result<()> {
        let stored = Catalog::progress(self.kv.as_ref(), index.id)?;
        let mut position = stored.map(|(records, last)| Position { records, last }).unwrap_or_default();
        if position.records > 0 {
            hit(Mark::BuildResumed);
        }
        let mut most = BUILD_CHUNK_RECORDS;
        while !lock(&self.state).stopping && self.catalog.indexes().get(index.id).is_some() {
            lock(&self.state).building.insert(index.id, (position.records, None));
            let (mut writes, mut next, mut durability) = (WriteSet::new(), None, Durability::Os);
            let is_enough = planted::active(Bug::IndexReadyTooSoon) && position.records > 0;
            let read = || Chunk::read(self.kv.as_ref(), &self.shapes, index, &position, most);
            let rest = if is_enough { None } else { read()? };
            let size = rest.as_ref().map_or(0, Chunk::len);
            if let Some(chunk) = rest {
                next = Some(chunk.position().clone());
                writes.set_chunk(chunk);
            } else {
                writes.push_schema(SchemaOp::FinishIndex(index.id));
                durability = Durability::Disk;
            }
            match self.commit(writes, durability) {
                Ok(()) => match next {
                    Some(next) => (position, most) = (next, BUILD_CHUNK_RECORDS.min(2 * most)),
                    None => break,
                },
                Err(error) if matches!(error.code, ErrorCode::NoIndex | ErrorCode::Closed) => break,
                Err(error) if is_too_much_at_once(&error) && size > 1 => most = size / 2,
                Err(error) if error.code == ErrorCode::DiskFull => {
                    lock(&self.state).building.insert(index.id, (position.records, Some(error)));
                    self.pause();
                }
                Err(error) => return Err(error),
            }
        }
        lock(&self.state).building.remove(&index.id);
        Ok(())
    }

    /// What the store refused for the sake of the index ends the index; what it could not do is left for the next open, and
    /// what the program has not computed yet is waited for.
    fn give_up(&self, index: &Index, error: Error) {
        if error.code == ErrorCode::Definition {
            let mut state = lock(&self.state);
            state.waiting.insert(index.id);
            state.building.entry(index.id).or_default().1 = Some(error);
            return;
        }
        let dropped = matches!(error.code, ErrorCode::Unique | ErrorCode::TooLarge | ErrorCode::Limit);
        let (collection, name) = (index.collection, index.definition.name().to_owned());
        // Before it is dropped, so that nobody finds neither the index nor the reason.
        lock(&self.state).failed.insert(index.id, Failure { collection, name, error, dropped });
        if dropped {
            hit(Mark::BuildGivenUp);
            self.drop_unbuilt(index.id);
        }
        lock(&self.state).building.remove(&index.id);
    }

    /// Drops an index that could not be built. While the disk is full it is tried again and again; after any other error
    /// the build fails in the same way after the next open.
    fn drop_unbuilt(&self, id: IndexId) {
        while !lock(&self.state).stopping {
            let mut writes = WriteSet::new();
            writes.drop_unbuilt(id);
            let Err(error) = self.commit(writes, Durability::Disk) else { return };
            // Whoever waits must not have to wait for a disk with room.
            if let Some(failure) = lock(&self.state).failed.get_mut(&id) {
                failure.dropped = false;
            }
            self.announce();
            if error.code != ErrorCode::DiskFull {
                return;
            }
            self.pause();
        }
    }

    /// Waits a little before the next try, but not when the store closes.
    fn pause(&self) {
        let waited = self.changed.wait_timeout_while(lock(&self.state), RETRY, |state| !state.stopping);
        drop(waited.unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Box::new(move |result| drop(sender.send(result)));
        self.submitter.submit(Submission { commits: vec![writes], durability, done });
        let answer = receiver.recv().unwrap_or_else(|_| Err(Error::closed()));
        answer?.sequence(0).map(drop)
    }
}
