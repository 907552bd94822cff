//! An open store: the one type through which everything else is reached.

use std::path::Path;
use std::sync::{Arc, mpsc};

use fountain_lsm::{Durability, ReadTier, RecoveryReport, Seq};

use crate::commit::{Done, Submission};
use crate::document::{Document, check_stored};
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Live, lives, moment};
use crate::inner::Inner;
use crate::keys;
use crate::keyspace::{CollectionId, own_keys};
use crate::kv::{KvValue, LocalKv, OrderedKv};
use crate::metrics::Metrics;
use crate::options::StoreOptions;
use crate::own;
use crate::page::Page;
use crate::record;
use crate::scan::{self, ScanEnd, ScanRequest};
use crate::snapshot::Snapshot;
use crate::transaction::{Isolation, State, Transaction};
use crate::view::View;
use crate::write_set::WriteSet;

/// A handle to an open store. Clones are handles to the same store and cheap. When the last one is dropped, the
/// store closes as by [`Store::close`], but nobody learns how that went.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in the directory `path`: takes its lock and recovers what a crash left. One that is refused for what it
    /// holds, `ERR_NEWER_FORMAT` or `ERR_CORRUPT`, is left as it was to the last byte. Blocking.
    ///
    /// # Errors
    /// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_CORRUPT`, `ERR_IO`,
    /// `ERR_DISK_FULL`, `ERR_INVALID_ARGUMENT`.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self> {
        options.check()?;
        let kv = LocalKv::open_if(path, options.storage(), &own_keys(), own::check)?;
        Self::with_kv(Arc::new(kv), options)
    }

    /// Opens a store on any storage. Of the options `read_threads`, `retention`,
    /// `sweep_every` and `clock` apply. The store closes the storage.
    ///
    /// # Errors
    /// `ERR_CORRUPT` and `ERR_NEWER_FORMAT` for what the catalog may hold, `ERR_IO` when a thread cannot be started,
    /// `ERR_INVALID_ARGUMENT`.
    #[expect(clippy::needless_pass_by_value, reason = "the same shape as `open`")]
    pub fn with_kv(kv: Arc<dyn OrderedKv>, options: StoreOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { inner: Arc::new(Inner::start(&kv, &options)?) })
    }

    /// Closes the store: waits for submitted commits, queued reads and calls in flight, makes everything durable and
    /// releases the directory. Only [`Store::compact`] is not waited for: what it has not merged yet stays as it is. Further calls, also concurrent ones, return the same result. Every call that begins
    /// after it returned, and every commit submitted after it began, fails with `ERR_CLOSED`.
    ///
    /// # Errors
    /// What making everything durable can fail with; the store is closed all the same. `ERR_INVALID_ARGUMENT` on
    /// the store's own threads, which it would wait for; the store is then not closed.
    pub fn close(&self) -> Result<()> {
        if self.inner.commits.is_current_thread() || self.inner.reads.is_current_thread() {
            return Err(Error::argument(
                "close would wait for itself: it was called on a thread of the store",
            ));
        }
        self.inner.close()
    }

    /// The store's directory; empty for a store in memory.
    pub fn path(&self) -> &Path {
        self.inner.kv.path()
    }

    /// What opening found and repaired.
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.inner.kv.recovery()
    }

    /// The id of a collection; a new one if the name is new. It is stored with the first commit that writes to the
    /// collection.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`, `ERR_LIMIT` (collections), `ERR_CLOSED`.
    pub fn collection(&self, name: &str) -> Result<CollectionId> {
        let _pass = self.inner.enter("naming a collection")?;
        self.inner.catalog.reserve(name)
    }

    /// Names of the collections that were ever written to, sorted.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn collections(&self) -> Result<Vec<String>> {
        let _pass = self.inner.enter("listing collections")?;
        Ok(self.inner.catalog.stored_names())
    }

    /// The newest sequence that reads see.
    pub fn sequence(&self) -> Seq {
        self.inner.kv.visible()
    }

    /// A document as records are stored, codec byte first.
    ///
    /// # Errors
    /// As [`record::write()`]; `ERR_CLOSED`.
    pub fn encode(&self, document: &record::Value) -> Result<Vec<u8>> {
        let _pass = self.inner.enter("encoding")?;
        record::write(document, &self.inner.shapes)
    }

    /// The encoded key and the record of a document in JSON text, which has its key in the member `key_name`.
    ///
    /// # Errors
    /// `ERR_VALIDATION` for text that is not a JSON object, `ERR_INVALID_KEY`, `ERR_TOO_LARGE`, `ERR_CLOSED`.
    pub fn encode_json(&self, json: &str, key_name: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        let document = record::from_json(json)?;
        let key = document.member(key_name).and_then(record::Value::as_key).ok_or_else(|| {
            let message =
                format!("the member {key_name:?} is not a key: a string, a number or an array of keys");
            Error::new(ErrorCode::InvalidKey, message)
        })?;
        Ok((keys::encode(&key)?, self.encode(&document)?))
    }

    /// A stored document as JSON text.
    ///
    /// # Errors
    /// `ERR_CORRUPT`, `ERR_NEWER_FORMAT`.
    pub fn to_json(&self, document: &[u8]) -> Result<String> {
        let shapes = self.inner.shapes.list();
        let mut out = Vec::with_capacity(2 * document.len());
        record::to_json(&mut record::Reader::new(document, &shapes)?, &mut out)?;
        String::from_utf8(out).map_err(|_| Error::new(ErrorCode::Internal, "JSON that is not UTF-8"))
    }

    /// The shapes by which records name the members of their objects.
    pub fn shapes(&self) -> &record::Shapes {
        &self.inner.shapes
    }

    /// Commits `writes` and waits until it is as durable as asked.
    ///
    /// # Errors
    /// As [`Store::submit`], with what it was refused for; `ERR_INVALID_ARGUMENT` on the commit thread, which it would wait for.
    pub fn commit(&self, writes: WriteSet, durability: Durability) -> Result<Seq> {
        self.check_not_commit_thread("commit")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        // The receiver waits below; nothing is lost if it is gone.
        self.submit(vec![writes], durability, Box::new(move |result| drop(sender.send(result))));
        let answer = receiver.recv().unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Internal, "the commit thread ended without an answer"))
        });
        answer?.sequence(0)
    }

    /// Submits commits, each atomic with its own sequence, all consecutive, sharing one log write and one sync with
    /// everything else that waits. One that is refused, for a condition of it or as a conflicting transaction, takes no
    /// sequence and does not hinder the others. Does not block. See [`Store::queued_bytes`] for when to submit more slowly.
    ///
    /// `done` is called exactly once, on the commit thread and with no lock held: with what became of each, or with the
    /// reason why none of the commits happened. It should return soon, as all commits wait for it, and must not
    /// wait for another commit. After [`Store::close`] it is called at once, on this thread, with `ERR_CLOSED`.
    ///
    /// # Errors
    /// Passed to `done`: `ERR_INVALID_ARGUMENT` for an empty commit or an unknown collection, `ERR_POISONED`,
    /// `ERR_DISK_FULL`, `ERR_IO`, `ERR_CLOSED`. A single commit may be refused with `ERR_EXISTS`, `ERR_CONFLICT`,
    /// `ERR_SEQUENCE`, `ERR_TRANSACTION_TOO_OLD`, and with what reading storage can fail with.
    pub fn submit(&self, commits: Vec<WriteSet>, durability: Durability, done: Done) {
        self.inner.commits.submit(Submission { commits, durability, done });
    }

    /// Bytes of submitted commits that are not committed yet. Above [`crate::limits::QUEUE_SOFT_LIMIT_BYTES`] a
    /// writer should wait for answers before it submits more; nothing is refused for it.
    pub fn queued_bytes(&self) -> usize {
        self.inner.commits.queued_bytes()
    }

    /// The record under `key`, encoded by [`keys`], as a view sees it: `None` for the newest state, a sequence, or a
    /// transaction.
    ///
    /// # Errors
    /// For a transaction `ERR_CLOSED`, `ERR_TRANSACTION_TOO_OLD` and `ERR_INVALID_ARGUMENT` (of another store);
    /// `ERR_INVALID_KEY`, `ERR_TOO_LARGE` (key), `ERR_HISTORY_TRUNCATED`, `ERR_SEQUENCE`, `ERR_WOULD_BLOCK` when
    /// `tier` is memory and the answer is not there, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn get(
        &self,
        collection: CollectionId,
        key: &[u8],
        at: impl Into<View>,
        tier: ReadTier,
    ) -> Result<Option<Document>> {
        let view = at.into();
        let _pass = self.inner.enter("reading")?;
        // Before anything is read: what expires meanwhile may be seen, what came meanwhile may not be missed.
        let live = self.inner.live(collection, &view, tier);
        let document = keys::validate(key)
            .and_then(|()| self.check_own(&view))
            .and_then(|()| {
                collection.with_storage_key(key, |stored| view.get(self.inner.kv.as_ref(), stored, tier))
            })
            .and_then(|value| seen(live?.as_ref(), value))
            .map_err(|error| self.in_collection(error, collection))?;
        self.inner.counters.gets.add(1);
        Ok(document)
    }

    /// Gives `show` the record that [`Store::get`] would return, codec byte first, without a copy, and returns what it makes of
    /// it. It must neither read from the store nor take long.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_with<R>(
        &self,
        collection: CollectionId,
        key: &[u8],
        at: impl Into<View>,
        tier: ReadTier,
        mut show: impl FnMut(&[u8]) -> R,
    ) -> Result<Option<R>> {
        let view = at.into();
        let _pass = self.inner.enter("reading")?;
        let mut read = || {
            // In the same order as in `get`.
            let live = self.inner.live(collection, &view, tier);
            keys::validate(key)?;
            self.check_own(&view)?;
            let mut shown = Ok(None);
            collection.with_storage_key(key, |stored| {
                view.show(self.inner.kv.as_ref(), stored, tier, &mut |value| {
                    shown = check_stored(value).and_then(|()| {
                        let live = live.as_ref().map_err(Clone::clone)?.as_ref();
                        Ok(lives(live, value)?.then(|| show(envelope::document(value))))
                    });
                })
            })?;
            shown
        };
        let shown = read().map_err(|error| self.in_collection(error, collection))?;
        self.inner.counters.gets.add(1);
        Ok(shown)
    }

    /// Fills `page`, which is cleared first, with the first records that `request` asks for, and says whether more
    /// may follow; see [`ScanRequest::continue_after`]. With `tier` memory the page holds what memory has of them.
    ///
    /// # Errors
    /// As [`Store::get`] for the view; `ERR_WOULD_BLOCK` when `tier` is memory and not even the first
    /// record is there, `ERR_INVALID_ARGUMENT` (`max_records` is 0), `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`. The page
    /// is then empty.
    pub fn scan(&self, request: &ScanRequest, tier: ReadTier, page: &mut Page) -> Result<ScanEnd> {
        page.clear();
        let _pass = self.inner.enter("scanning")?;
        let end = self
            .check_own(&request.at)
            .and_then(|()| {
                let live = self.inner.live(request.collection, &request.at, tier)?;
                scan::fill(self.inner.kv.as_ref(), live.as_ref(), request, tier, page)
            })
            .map_err(|error| self.in_collection(error, request.collection))?;
        self.inner.counters.scans.add(1);
        Ok(end)
    }

    /// How far a read may go that must not wait for the disk, as [`StoreOptions::page_cache_reads`] says.
    #[must_use]
    pub fn tier_at_once(&self) -> ReadTier {
        self.inner.tier_at_once
    }

    /// Runs `job` on one of the store's read threads, in the order of submission. A job that panics ends only
    /// itself. [`Store::close`] waits for it.
    ///
    /// # Errors
    /// `ERR_CLOSED`; the job is then dropped.
    pub fn spawn_read(&self, job: Box<dyn FnOnce(&Self) + Send>) -> Result<()> {
        let store = self.clone();
        self.inner.reads.spawn(Box::new(move || job(&store)))
    }

    /// Holds the newest visible sequence readable, as it is at this time.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let _pass = self.inner.enter("taking a snapshot")?;
        // Before the pin: what expires meanwhile may be seen, what is renewed meanwhile may not be missed.
        let now = moment(self.inner.clock.now());
        let (pin, held) = self.inner.moments.hold(|| {
            let pin = self.inner.kv.pin(None)?;
            let seq = pin.seq();
            Ok((pin, seq, Some(now)))
        })?;
        Ok(Snapshot::new(pin, held))
    }

    /// Keeps the newest state readable for a read that takes several steps: they all go by the clock as it is now, whatever
    /// snapshots there are of the same sequence. See [`Snapshot::view`].
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn hold(&self) -> Result<Snapshot> {
        let _pass = self.inner.enter("reading")?;
        // Before the pin, as for a snapshot.
        let now = self.inner.clock.now();
        Ok(Snapshot::of_read(self.inner.kv.pin(None)?, now))
    }

    /// Holds `sequence` readable. If it is the newest, that is [`Store::snapshot`]; an earlier one shows what the snapshots of
    /// it show that are still held, taken while it was the newest, and without any exactly what its commits left, expired or
    /// not.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED`, `ERR_SEQUENCE`, `ERR_CLOSED`.
    pub fn snapshot_at(&self, sequence: Seq) -> Result<Snapshot> {
        let _pass = self.inner.enter("taking a snapshot")?;
        let now = moment(self.inner.clock.now());
        let (pin, held) = self.inner.moments.hold(|| {
            let pin = self.inner.kv.pin(Some(sequence))?;
            Ok((pin, sequence, (self.inner.kv.visible() == sequence).then_some(now)))
        })?;
        Ok(Snapshot::new(pin, held))
    }

    /// Deletes the records that have expired now, which the store does by itself about every second. Those that cannot be
    /// deleted are left and counted in [`Metrics::unswept`]. Blocking.
    ///
    /// # Errors
    /// As [`Store::commit`], and what reading storage can fail with, but not for single records; `ERR_INVALID_ARGUMENT` on the commit thread, which it
    /// would wait for.
    pub fn sweep_expired(&self) -> Result<()> {
        self.check_not_commit_thread("sweep_expired")?;
        let _pass = self.inner.enter("deleting what has expired")?;
        self.inner.sweeper.sweep()
    }

    /// Begins a transaction at the newest visible sequence.
    ///
    /// # Errors
    /// `ERR_LIMIT` (open transactions), `ERR_CLOSED`.
    pub fn begin(&self, isolation: Isolation) -> Result<Transaction> {
        let _pass = self.inner.enter("beginning a transaction")?;
        let state =
            State::begin(&self.inner.transactions, self.inner.kv.as_ref(), isolation, &self.inner.clock)?;
        self.inner.counters.transactions.add(1);
        Ok(Transaction::new(self.clone(), state))
    }

    /// Writes what is in memory out as a table. Blocking.
    ///
    /// # Errors
    /// `ERR_POISONED`, `ERR_DISK_FULL`, `ERR_IO`, `ERR_CLOSED`.
    pub fn flush(&self) -> Result<()> {
        let _pass = self.inner.enter("flushing")?;
        self.inner.kv.flush()
    }

    /// Merges tables and drops versions that nothing needs. Blocking.
    ///
    /// # Errors
    /// `ERR_POISONED`, `ERR_DISK_FULL`, `ERR_IO`, `ERR_CORRUPT`, `ERR_CLOSED`.
    pub fn compact(&self) -> Result<()> {
        let _pass = self.inner.enter("compacting")?;
        self.inner.kv.compact()
    }

    /// What the store did since it was opened; also after it was closed.
    pub fn metrics(&self) -> Metrics {
        let counters = &self.inner.counters;
        Metrics {
            puts: counters.puts.get(),
            deletes: counters.deletes.get(),
            expired: counters.expired.get(),
            unswept: counters.unswept.get(),
            commits: counters.commits.get(),
            commit_groups: counters.commit_groups.get(),
            refusals: counters.refusals.get(),
            transactions: counters.transactions.get(),
            gets: counters.gets.get(),
            scans: counters.scans.get(),
            queries: counters.queries.get(),
            index_reads: counters.index_reads.get(),
            queued_bytes: self.queued_bytes() as u64,
            storage: self.inner.kv.metrics(),
        }
    }

    /// Whether a handle is one to this store.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn check_not_commit_thread(&self, call: &str) -> Result<()> {
        if !self.inner.commits.is_current_thread() {
            return Ok(());
        }
        Err(Error::argument(format!("{call} would wait for itself: it was called on the commit thread")))
    }

    pub(crate) fn check_own(&self, view: &View) -> Result<()> {
        match view {
            View::Transaction(transaction) if !transaction.belongs_to(self) => {
                Err(Error::argument("the transaction belongs to another store"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn in_collection(&self, error: Error, collection: CollectionId) -> Error {
        let name = self.inner.catalog.name(collection);
        let mut error = error.with(|details| details.collection.clone_from(&name));
        if let (ErrorCode::HistoryTruncated, Some(name)) = (error.code, name) {
            error.message = format!("collection {name}: {}", error.message);
        }
        error
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({}, sequence {})", self.path().display(), self.sequence())
    }
}

/// What storage holds of a record as a document, unless it has expired.
pub(crate) fn seen(live: Option<&Live>, value: Option<KvValue>) -> Result<Option<Document>> {
    match value.map(Document::from_stored).transpose()? {
        Some(document) if !lives(live, document.stored())? => Ok(None),
        found => Ok(found),
    }
}
