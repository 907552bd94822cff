//! The seam between the document layer and storage: an ordered, multi-version key-value store.
//!
//! What every implementation promises:
//! - A batch becomes visible entirely or not at all, under one sequence; the batches of one call get consecutive
//!   sequences in their order, and only one call commits at a time.
//! - What is visible at a sequence never changes. A read below the history that is kept fails with
//!   `ERR_HISTORY_TRUNCATED`, unless that very sequence is pinned; a read of the future fails with `ERR_SEQUENCE`.
//! - After [`OrderedKv::close`] every call that can fail does so with `ERR_CLOSED`.

mod batch;
mod local;
mod memory;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use fountain_lsm::{
    Direction, Durability, KeyRange, Metrics, RangeEstimate, ReadTier, RecoveryReport, Retention, Seq,
    SeqRange, Value,
};

use crate::error::Result;

pub use batch::Batch;
pub use local::LocalKv;
pub use memory::MemoryKv;

/// Reads one state: as [`OrderedKv::show`], without a sequence.
pub type ShowInState<'a> = dyn Fn(&[u8], ReadTier, &mut dyn FnMut(&[u8])) -> Result<bool> + 'a;

/// An ordered, multi-version key-value store.
pub trait OrderedKv: Send + Sync {
    /// Commits `batches`, each atomic under its own sequence, all or a prefix of them after a crash.
    ///
    /// # Errors
    /// Then none of them is visible. `ERR_INVALID_ARGUMENT` without a batch.
    fn commit_many(&self, batches: &[Batch], durability: Durability) -> Result<SeqRange>;

    /// The value of `key` at `at`, or as of the newest commit. The latter never fails for want of history.
    ///
    /// # Errors
    /// `ERR_WOULD_BLOCK` when `tier` does not reach far enough, and what reading storage can fail with.
    fn get(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<KvValue>>;

    /// Gives `show` the value of `key`, which need not be copied for that; says whether there is one. `show` is called at most
    /// once, and must neither read from the store nor take long.
    ///
    /// # Errors
    /// As [`OrderedKv::get`].
    fn show(&self, key: &[u8], at: Option<Seq>, tier: ReadTier, show: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.get(key, at, tier)?;
        Ok(found.map(|value| show(&value)).is_some())
    }

    /// Lets `read` read the newest state, for a few reads that follow one another at once.
    ///
    /// # Errors
    /// What `read` fails with; as [`OrderedKv::get`].
    fn in_newest(&self, read: &mut dyn FnMut(&ShowInState<'_>) -> Result<()>) -> Result<()> {
        let pin = self.pin(None)?;
        read(&|key, tier, show| self.show(key, Some(pin.seq()), tier, show))
    }

    /// The value of `key` and the sequence of the commit that put it there, at `at` or as of the newest commit.
    ///
    /// # Errors
    /// As [`OrderedKv::get`].
    fn get_with_seq(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<(Seq, KvValue)>>;

    /// The values of several keys, in their order, at `at` or as of the newest commit, all of one state.
    ///
    /// # Errors
    /// As [`OrderedKv::get`], for all of them together.
    fn get_many(&self, keys: &[Vec<u8>], at: Option<Seq>, tier: ReadTier) -> Result<Vec<Option<KvValue>>>;

    /// Says that these keys are about to be read or written. Changes nothing but how long that takes.
    fn approach(&self, keys: &mut dyn Iterator<Item = &[u8]>) {
        let _ = keys;
    }

    /// The records in `range` at `at`; the cursor stands before the first one.
    ///
    /// # Errors
    /// As [`OrderedKv::get`].
    fn cursor(
        &self,
        range: KeyRange,
        at: Seq,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>>;

    /// The versions of `key` up to `at`, from the newest to the oldest that is kept.
    ///
    /// # Errors
    /// As [`OrderedKv::get`]; never for want of history.
    fn versions(&self, key: &[u8], at: Seq) -> Result<Box<dyn KvVersions>>;

    /// The versions in `range` that commits after `after` and up to `upto` made: by key, and for each from the newest to
    /// the oldest. Of the keys in `whole` all are there.
    ///
    /// # Errors
    /// As [`OrderedKv::get`]; `ERR_HISTORY_TRUNCATED` when `after` is below the history that is kept of `whole`, pinned or not: a
    /// pin keeps a state, not what came after it.
    fn changes(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>>;

    /// Of the keys in `range` that commits after `after` and up to `upto` changed, the newest version at `upto`. Of the keys
    /// in `whole` none is left out.
    ///
    /// # Errors
    /// As [`OrderedKv::get`], for either sequence and the keys in `whole`.
    fn differences(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>>;

    /// About what `range` has now, by a few blocks of it.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate>;

    /// The newest commit at a time, in milliseconds since 1970; `None` if that is not known.
    fn seq_at(&self, millis: u64) -> Option<Seq>;

    /// Sequence of the newest commit that reads see.
    fn visible(&self) -> Seq;

    /// Keeps a sequence readable until the pin is dropped: `at`, or the newest visible one.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED` and `ERR_SEQUENCE` when `at` cannot be read.
    fn pin(&self, at: Option<Seq>) -> Result<Box<dyn KvPin>>;

    /// Keeps a sequence readable for the keys of a range, if everything from there on is kept of them, whatever is of others.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED` when it is not, or when what is about to drop some of it did not see the pin in time;
    /// `ERR_SEQUENCE`.
    fn pin_over(&self, range: &KeyRange, at: Seq) -> Result<Box<dyn KvPin>>;

    /// Sets which versions are kept of the keys in ranges, one after another but at once. Until it is called everything
    /// is kept; it is not remembered beyond [`OrderedKv::close`].
    fn set_retention(&self, rules: &[(KeyRange, Retention)]);

    /// Moves what is in memory into its durable, sorted form.
    ///
    /// # Errors
    /// What writing storage can fail with.
    fn flush(&self) -> Result<()>;

    /// Drops what no reader can see any more and merges the rest.
    ///
    /// # Errors
    /// What writing storage can fail with.
    fn compact(&self) -> Result<()>;

    /// Ends a [`OrderedKv::compact`] that is under way, and later ones, with `ERR_CLOSED`: the store is about to close.
    fn stop_compacting(&self);

    /// Refuses everything that writes from now on, with `ERR_POISONED` and this cause, until the place is opened again.
    fn poison(&self, cause: &str);

    /// What storage counted so far.
    fn metrics(&self) -> Metrics;

    /// What opening found and repaired.
    fn recovery(&self) -> &RecoveryReport;

    /// What tells the store from every other one, the same at every open. Only who can read its files may learn it.
    fn identity(&self) -> [u8; 16];

    /// Where the data lies; empty if nowhere.
    fn path(&self) -> &Path;

    /// Makes everything durable and lets go of the place. Reads and commits must have ended.
    ///
    /// # Errors
    /// What writing storage can fail with; the store is closed all the same.
    fn close(&self) -> Result<()>;
}

/// A walk over the records of a range.
pub trait KvCursor: Send {
    /// Moves to the first, then to each next record in the direction of the walk; `false` after the last.
    ///
    /// # Errors
    /// As [`OrderedKv::get`]; the walk is then over.
    fn next(&mut self) -> Result<bool>;

    /// Key of the current record.
    fn key(&self) -> &[u8];

    /// Value of the current record.
    fn value(&self) -> &[u8];
}

/// A walk over versions.
pub trait KvVersions: Send {
    /// Moves to the first, then to each next version; `false` after the last.
    ///
    /// # Errors
    /// As [`OrderedKv::get`]; the walk is then over.
    fn next(&mut self) -> Result<bool>;

    /// Key of the current version.
    fn key(&self) -> &[u8];

    /// Sequence of the commit that made it.
    fn seq(&self) -> Seq;

    /// Its value; `None` for a delete.
    fn value(&self) -> Option<&[u8]>;
}

/// Holds a sequence readable until it is dropped.
pub trait KvPin: Send + Sync {
    /// The sequence.
    fn seq(&self) -> Seq;
}

/// The bytes of a value, not copied where storage has them in memory.
#[derive(Debug)]
pub enum KvValue {
    /// As local storage holds it.
    Stored(Value),
    /// Shared with its owner.
    Shared(Arc<[u8]>),
}

impl Deref for KvValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Stored(value) => value,
            Self::Shared(bytes) => bytes,
        }
    }
}
