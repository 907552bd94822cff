//! The parts of an open store and how they end.

use std::sync::{Arc, OnceLock};
use std::thread;

use crate::catalog::Catalog;
use crate::commit::{CommitThread, Committer, Submitter};
use crate::error::{Error, ErrorCode, Result};
use crate::feed::Feed;
use crate::gate::{Gate, Pass};
use crate::index::Builder;
use crate::kv::OrderedKv;
use crate::metrics::Counters;
use crate::options::StoreOptions;
use crate::read_pool::ReadPool;
use crate::record::Shapes;
use crate::transaction::Transactions;

/// What all handles of a store share. None of the store's threads holds it, so that dropping the last handle ends
/// them.
pub(crate) struct Inner {
    pub kv: Arc<dyn OrderedKv>,
    pub catalog: Arc<Catalog>,
    pub shapes: Arc<Shapes>,
    pub counters: Arc<Counters>,
    pub gate: Gate,
    pub commits: CommitThread,
    pub reads: ReadPool,
    pub transactions: Arc<Transactions>,
    pub feed: Arc<Feed>,
    pub builder: Arc<Builder>,
    closed: OnceLock<Result<()>>,
}

impl Inner {
    /// Loads the catalog and starts the threads; closes storage if that fails.
    pub fn start(kv: &Arc<dyn OrderedKv>, options: &StoreOptions) -> Result<Self> {
        let started = Self::try_start(kv, options);
        if started.is_err() {
            // The failure to start is what the caller must learn.
            let _ = kv.close();
        }
        started
    }

    fn try_start(kv: &Arc<dyn OrderedKv>, options: &StoreOptions) -> Result<Self> {
        let catalog = Arc::new(Catalog::load(kv.as_ref())?);
        kv.set_retention(&catalog.rules(options.retention));
        let shapes = Arc::new(Shapes::load(kv.as_ref())?);
        let counters = Arc::new(Counters::default());
        let reads = ReadPool::start(options.read_threads).map_err(|error| no_thread(&error))?;
        let transactions = Arc::new(Transactions::default());
        let feed = Arc::new(Feed::new(kv.visible()));
        let submitter = Submitter::default();
        let (for_builder, for_shapes) = (Arc::clone(&catalog), Arc::clone(&shapes));
        let builder = Builder::new(Arc::clone(kv), for_builder, for_shapes, submitter.clone());
        let committer = Committer {
            kv: Arc::clone(kv),
            builder: Arc::clone(&builder),
            catalog: Arc::clone(&catalog),
            shapes: Arc::clone(&shapes),
            counters: Arc::clone(&counters),
            transactions: Arc::clone(&transactions),
            feed: Arc::clone(&feed),
            retention: options.retention,
        };
        let commits = CommitThread::start(&submitter, committer).map_err(|error| {
            reads.close();
            no_thread(&error)
        })?;
        let (gate, closed) = (Gate::default(), OnceLock::new());
        builder.wake();
        Ok(Self {
            kv: Arc::clone(kv),
            catalog,
            shapes,
            counters,
            gate,
            commits,
            reads,
            transactions,
            feed,
            builder,
            closed,
        })
    }

    /// Lets a call in that is about `doing` something, unless the store is closed.
    pub fn enter(&self, doing: &'static str) -> Result<Call<'_>> {
        let pass = self.gate.enter()?;
        Ok(Call { inner: self, doing, was_panicking: thread::panicking(), _pass: pass })
    }

    /// Ends everything, once; callers that come meanwhile wait for the one result.
    pub fn close(&self) -> Result<()> {
        self.closed.get_or_init(|| self.end()).clone()
    }

    /// The order matters: the builder of indexes waits for commits, jobs on the read threads may wait for commits and for
    /// calls through the gate, calls may not wait for either, and storage must be the last to end.
    fn end(&self) -> Result<()> {
        self.builder.stop();
        // The commit thread owes the builder an answer, so there it cannot be waited for; with the answer it ends.
        if !self.commits.is_current_thread() {
            self.builder.join();
        }
        self.commits.refuse();
        self.feed.close();
        self.reads.close();
        self.gate.close();
        self.commits.finish()
    }
}

/// A call inside the gate. A panic that leaves through it poisons storage: what it left half-done in memory is not
/// known, so nothing may be written that could follow from it.
pub(crate) struct Call<'a> {
    inner: &'a Inner,
    doing: &'static str,
    was_panicking: bool,
    _pass: Pass<'a>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.was_panicking {
            self.inner.kv.poison(&format!("a panic while {}", self.doing));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to hear how it went. The last handle may be dropped on one of the store's own threads;
        // they know not to wait for themselves.
        let _ = self.close();
    }
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, format!("cannot start a thread: {error}"))
        .with(|details| details.os_error = error.raw_os_error())
}
