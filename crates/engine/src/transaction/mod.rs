//! Transactions: reads at one moment, writes that are seen only by the transaction itself, and a commit that happens
//! only if nobody else changed what it depends on.
//!
//! Nothing is locked and nobody waits. The commit thread decides, in the order of commits: a transaction is refused with
//! `ERR_CONFLICT` if a key that it writes was written after its moment, and, when serializable, also if a key or a range
//! that it has read was. So of transactions in each other's way the first to commit wins, and one that only reads never
//! fails.
//!
//! `state` is what one transaction has done so far, `writes` and `reads` what it has written and read, `cursor` a walk over storage and its own writes;
//! `registry` and `window` are what the commit thread knows of all of them, `validate` is its judgement.

mod cursor;
mod reads;
mod registry;
mod state;
mod validate;
mod window;
mod writes;

use std::fmt;
use std::sync::{Arc, mpsc};

use fountain_lsm::{Direction, Durability, KeyRange, ReadTier, Seq};

use crate::catalog::Catalog;
use crate::commit::{Committed, Done};
use crate::condition::Condition;
use crate::document;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Moment, lives, time};
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::{KvCursor, KvValue, OrderedKv};
use crate::store::Store;
use crate::view::View;

pub(crate) use registry::Transactions;
pub(crate) use state::{Claim, State};
pub(crate) use validate::NameKey;
pub(crate) use writes::Writes;

/// What a transaction is protected from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// It reads one moment, and no write of others since then is overwritten. Two transactions may still each read what
    /// the other writes (write skew).
    #[default]
    Snapshot,
    /// As if transactions happened one after another: what it has read may not have changed either.
    Serializable,
}

/// An open transaction; made by [`Store::begin`]. Clones are handles to the same one. Pass it as the view of reads and
/// scans of its store. Dropping the last handle rolls it back.
#[derive(Clone)]
pub struct Transaction {
    store: Store,
    state: Arc<State>,
    /// The own writes that reads see, if not the newest.
    seen: Option<Arc<Writes>>,
}

impl Transaction {
    pub(crate) fn new(store: Store, state: Arc<State>) -> Self {
        Self { store, state, seen: None }
    }

    /// The moment it reads.
    pub fn sequence(&self) -> Seq {
        self.state.snapshot()
    }

    /// What it is protected from.
    pub fn isolation(&self) -> Isolation {
        self.state.isolation()
    }

    /// The collection that has a name at its moment, if there is one: one that was dropped since then, too, which its commit
    /// will find. Finding none is a read of a serializable transaction, which conflicts with who makes one.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`, `ERR_TRANSACTION_TOO_OLD`.
    pub fn collection(&self, name: &str) -> Result<Option<CollectionId>> {
        let _pass = self.store.inner.enter("naming a collection")?;
        self.state.check_not_ended()?;
        let found = Catalog::id_at(self.store.inner.kv.as_ref(), name, self.sequence())?;
        if found.is_none() {
            self.state.note_key(&Catalog::key_of(name));
        }
        Ok(found)
    }

    /// Sets a record, as [`crate::WriteSet::put`] does, for itself at once and for others when it commits.
    ///
    /// # Errors
    /// As [`crate::WriteSet::put`]; `ERR_CLOSED` when it has ended, `ERR_TRANSACTION_TOO_OLD`.
    pub fn put(&self, collection: CollectionId, key: &[u8], document: &[u8]) -> Result<()> {
        self.write(collection, key, Some(document), None)
    }

    /// As [`Transaction::put`], but the record goes on to expire by itself when the one that it replaces does, as the
    /// transaction sees that. Blocking: it reads.
    ///
    /// # Errors
    /// As [`Transaction::put`], and what reading storage can fail with.
    pub fn put_keeping_expiry(&self, collection: CollectionId, key: &[u8], document: &[u8]) -> Result<()> {
        keys::validate(key)?;
        let _pass = self.store.inner.enter("writing")?;
        let (inner, view) = (&self.store.inner, View::Transaction(self.clone()));
        let live = inner.live(collection, &view, ReadTier::Disk)?;
        let replaced = self.get(inner.kv.as_ref(), &collection.storage_key(key), ReadTier::Disk)?;
        // One that has expired is not there, so nothing is replaced.
        let kept = match replaced {
            Some(stored) if lives(live.as_ref(), &stored)? => envelope::open(&stored).expires_at,
            _ => None,
        };
        match kept {
            Some(at) => self.put(collection, key, &envelope::expiring(document, time(at))),
            None => self.put(collection, key, document),
        }
    }

    /// Deletes a record; fine if there is none.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn delete(&self, collection: CollectionId, key: &[u8]) -> Result<()> {
        self.write(collection, key, None, None)
    }

    /// As [`Transaction::put`], under a condition. It is judged at once against the transaction's own writes, else when it
    /// commits: then the commit fails with `ERR_EXISTS` or `ERR_CONFLICT`.
    ///
    /// # Errors
    /// As [`Transaction::put`], `ERR_EXISTS`, `ERR_CONFLICT`.
    pub fn put_if(
        &self,
        collection: CollectionId,
        key: &[u8],
        document: &[u8],
        condition: Condition,
    ) -> Result<()> {
        self.write(collection, key, Some(document), Some(condition))
    }

    /// As [`Transaction::delete`], under a condition as in [`Transaction::put_if`].
    ///
    /// # Errors
    /// As [`Transaction::put_if`].
    pub fn delete_if(&self, collection: CollectionId, key: &[u8], condition: Condition) -> Result<()> {
        self.write(collection, key, None, Some(condition))
    }

    /// Ends it without effect. Fine if it has ended already; what was submitted is committed all the same.
    pub fn rollback(&self) {
        // Once it is submitted, the commit needs what it keeps, and lets go of that.
        if self.state.end() {
            self.state.release();
        }
    }

    /// Commits and waits until that is as durable as asked. Without writes nothing is committed, and the answer is the
    /// moment it read.
    ///
    /// # Errors
    /// As [`Transaction::submit`]; `ERR_INVALID_ARGUMENT` on the commit thread, which it would wait for.
    pub fn commit(&self, durability: Durability) -> Result<Seq> {
        self.store.check_not_commit_thread("commit")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        // The receiver waits below; nothing is lost if it is gone.
        self.submit(durability, Box::new(move |result| drop(sender.send(result))));
        let answer = receiver.recv().unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Internal, "the commit thread ended without an answer"))
        });
        answer?.sequence(0)
    }

    /// Ends it and commits what it wrote. `done` is called as by [`Store::submit`], for one commit; without writes at once.
    ///
    /// # Errors
    /// Passed to `done`, as for [`Store::submit`], and as the refusal of the commit: `ERR_CONFLICT`, `ERR_EXISTS`,
    /// `ERR_TRANSACTION_TOO_OLD`. `ERR_CLOSED` if it has ended already.
    pub fn submit(&self, durability: Durability, done: Done) {
        match self.state.end_with_writes() {
            Ok(writes) if writes.is_empty() => {
                self.state.release();
                done(Ok(Committed { first: self.sequence(), accepted: 1, refused: Vec::new() }));
            }
            Ok(mut writes) => {
                writes.set_claim(Claim::new(Arc::clone(&self.state)));
                self.store.submit(vec![writes], durability, done);
            }
            Err(error) => done(Err(error)),
        }
    }

    /// A handle whose reads see what it has written up to now and nothing that it writes later, for reads that take several
    /// steps, of which each must see what the others did, and for reads that begin later than they were asked for.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { seen: Some(self.writes()), ..self.clone() }
    }

    /// The own writes that reads see.
    pub(crate) fn writes(&self) -> Arc<Writes> {
        self.seen.clone().unwrap_or_else(|| self.state.writes())
    }

    /// The value of a storage key.
    pub(crate) fn get(&self, kv: &dyn OrderedKv, key: &[u8], tier: ReadTier) -> Result<Option<KvValue>> {
        self.state.get(kv, key, tier, self.seen.as_deref())
    }

    /// A walk over a range of storage keys.
    pub(crate) fn cursor(
        &self,
        kv: &dyn OrderedKv,
        range: KeyRange,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>> {
        self.state.cursor(kv, range, direction, tier, self.writes())
    }

    /// The moment that decides what has expired for it.
    pub(crate) fn moment(&self) -> Moment {
        self.state.moment()
    }

    /// Whether it is one of this store's.
    pub(crate) fn belongs_to(&self, store: &Store) -> bool {
        self.store.is_same(store)
    }

    fn write(
        &self,
        collection: CollectionId,
        key: &[u8],
        document: Option<&[u8]>,
        condition: Option<Condition>,
    ) -> Result<()> {
        if let Some(document) = document {
            document::check_new(document)?;
        }
        keys::validate(key)?;
        self.state.write(&collection.storage_key(key), document, condition)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({:?} at {})", self.isolation(), self.sequence())
    }
}
