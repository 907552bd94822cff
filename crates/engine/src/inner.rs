//! The parts of an open store and how they end.

use std::sync::{Arc, OnceLock};
use std::thread;

use fountain_lsm::{Clock, ReadTier, Seq};

use crate::catalog::Catalog;
use crate::commit::{CommitThread, Committer, Submitter};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Live, Moment, Moments, Sweeper, moment};
use crate::feed::Feed;
use crate::gate::{Gate, Pass};
use crate::index::Builder;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::metrics::Counters;
use crate::options::StoreOptions;
use crate::read_pool::ReadPool;
use crate::record::Shapes;
use crate::transaction::Transactions;
use crate::view::View;

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
    /// How far a read reaches that must not wait for the disk.
    pub tier_at_once: ReadTier,
    pub transactions: Arc<Transactions>,
    pub feed: Arc<Feed>,
    pub builder: Arc<Builder>,
    pub sweeper: Arc<Sweeper>,
    pub clock: Arc<dyn Clock>,
    pub moments: Arc<Moments>,
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
        let clock = Arc::clone(&options.clock);
        let (for_sweeper, its_clock) = (Arc::clone(&catalog), Arc::clone(&clock));
        let pause = options.sweep_every;
        let its_counters = Arc::clone(&counters);
        let sweeper =
            Sweeper::new(Arc::clone(kv), for_sweeper, its_clock, submitter.clone(), its_counters, pause);
        let committer = Committer {
            kv: Arc::clone(kv),
            builder: Arc::clone(&builder),
            catalog: Arc::clone(&catalog),
            shapes: Arc::clone(&shapes),
            counters: Arc::clone(&counters),
            transactions: Arc::clone(&transactions),
            feed: Arc::clone(&feed),
            retention: options.retention,
            clock: Arc::clone(&clock),
            sweeper: Arc::clone(&sweeper),
        };
        let commits = CommitThread::start(&submitter, committer).map_err(|error| {
            reads.close();
            no_thread(&error)
        })?;
        let (gate, closed) = (Gate::default(), OnceLock::new());
        builder.wake();
        sweeper.wake();
        Ok(Self {
            kv: Arc::clone(kv),
            catalog,
            shapes,
            counters,
            gate,
            commits,
            reads,
            tier_at_once: if options.page_cache_reads { ReadTier::System } else { ReadTier::Memory },
            transactions,
            feed,
            builder,
            sweeper,
            clock,
            moments: Arc::default(),
            closed,
        })
    }

    /// Lets a call in that is about `doing` something, unless the store is closed.
    pub fn enter(&self, doing: &'static str) -> Result<Call<'_>> {
        let pass = self.gate.enter()?;
        Ok(Call { inner: self, doing, was_panicking: thread::panicking(), _pass: pass })
    }

    /// Which records of a collection a view sees; all of them if nothing in it expires. A state goes by the ttl that it has
    /// itself, and where a snapshot or a transaction keeps no time, nothing has expired.
    ///
    /// # Errors
    /// As [`Catalog::expiry_at`].
    pub fn live(&self, collection: CollectionId, view: &View, tier: ReadTier) -> Result<Option<Live>> {
        let at = match view {
            View::Newest => None,
            View::At(seq) | View::Then(seq, _) => Some(*seq),
            View::Transaction(transaction) => Some(transaction.sequence()),
        };
        if !self.catalog.current_indexes().may_expire(collection, at) {
            return Ok(None);
        }
        let now = match view {
            View::Newest => Some(moment(self.clock.now())),
            View::At(seq) => self.moments.of(*seq),
            View::Then(_, time) => Some(moment(*time)),
            View::Transaction(transaction) => Some(transaction.moment()),
        };
        now.map_or(Ok(None), |now| self.live_at(collection, now, at, tier))
    }

    /// Which records of a collection are seen at a time, in the state of a sequence or the newest one.
    ///
    /// # Errors
    /// As [`Catalog::expiry_at`].
    pub fn live_at(
        &self,
        collection: CollectionId,
        now: Moment,
        at: Option<Seq>,
        tier: ReadTier,
    ) -> Result<Option<Live>> {
        let table = self.catalog.current_indexes();
        let index = match at {
            Some(at) if table.ttl_may_differ_at(collection, at) => {
                Catalog::expiry_at(self.kv.as_ref(), collection, at, tier)?
            }
            _ => table.expiry_of(collection).cloned(),
        };
        Ok(index.map(|index| Live::new(now, &index, Arc::clone(&self.shapes))))
    }

    /// Ends everything, once; callers that come meanwhile wait for the one result.
    pub fn close(&self) -> Result<()> {
        self.closed.get_or_init(|| self.end()).clone()
    }

    /// The order matters: the builder of indexes and the sweeper wait for commits, jobs on the read threads may wait for commits and for
    /// calls through the gate, calls may not wait for either, and storage must be the last to end.
    fn end(&self) -> Result<()> {
        self.builder.stop();
        // The commit thread owes the builder and the sweeper answers, so there they cannot be waited for; with the answers
        // they end.
        let may_wait = !self.commits.is_current_thread();
        if may_wait {
            self.builder.join();
        }
        self.sweeper.stop(may_wait);
        self.commits.refuse();
        self.feed.close();
        self.kv.stop_compacting();
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
