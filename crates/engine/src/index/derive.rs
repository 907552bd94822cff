//! What a commit changes in indexes: the entries of the records that it replaces go, those of the new ones come. And
//! whether it may: no key of a unique index may be held by two records.
//!
//! Runs on the commit thread, where nobody else writes: what a record and an index hold now, after the commits accepted
//! before in the same group, is what they hold when this commit happens.

use std::collections::{HashMap, HashSet};

use super::entries::Entries;
use super::{Index, IndexTable, show};
use crate::commit::Pending;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Moment, Swept, is_live};
use crate::keyspace::CollectionId;
use crate::kv::{Batch, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_DERIVED_BYTES};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::record::{Reader, ShapeList};

/// What deriving looks at.
pub(crate) struct State<'a> {
    /// Storage.
    pub kv: &'a dyn OrderedKv,
    /// What was accepted before.
    pub pending: &'a Pending,
    /// Shapes of all records concerned.
    pub shapes: ShapeList,
    /// What expires by now has expired.
    pub now: Moment,
}

/// How many keys storage is told of before they are read: as many as the processor's caches hold with their records, and
/// still have when the commit is written.
const APPROACHED: usize = 128;

/// Adds to `out` what the operations of `batch` change in indexes. Returns how many records it deletes because they have
/// expired and were in the way.
///
/// # Errors
/// `ERR_UNIQUE`; `ERR_TOO_LARGE` and `ERR_LIMIT` for entries over their limits; what reading storage can fail with.
/// `details.item` is the operation. `out` is then to be thrown away.
pub(crate) fn derive(state: &State<'_>, table: &IndexTable, batch: &Batch, out: &mut Batch) -> Result<usize> {
    if table.is_empty() {
        return Ok(0);
    }
    let mut changes = Changes::default();
    let last = last_operations(batch);
    let mut ahead = batch.ops().map(|(key, _)| key);
    for (item, (key, document)) in batch.ops().enumerate() {
        if item.is_multiple_of(APPROACHED) {
            let mut next = ahead.by_ref().take(APPROACHED);
            state.kv.approach(&mut next);
            // Storage need not take them all.
            next.for_each(drop);
        }
        let Some((collection, record_key)) = split_record_key(key) else { continue };
        let indexes = table.all_of(collection);
        if indexes.is_empty() || last.as_ref().is_some_and(|last| last.get(key) != Some(&item)) {
            continue;
        }
        let changed = changes.replace(state, indexes, key, record_key, document, item);
        let changed = changed.and_then(|()| changes.check_size());
        changed.map_err(|error| error.with(|details| details.item = Some(item as u64)))?;
    }
    changes.finish(state, table, Some(batch), out)
}

/// Adds to `out` the deletes of those of `swept` that have expired, and what these change in indexes. Returns how many.
///
/// # Errors
/// As [`derive`].
pub(crate) fn expire(
    state: &State<'_>,
    table: &IndexTable,
    swept: &[Swept],
    out: &mut Batch,
) -> Result<usize> {
    let mut changes = Changes::default();
    for Swept { collection, record_key } in swept {
        changes.evict_expired(state, table, *collection, record_key)?;
    }
    changes.finish(state, table, None, out)
}

/// Where the last operation on each key is, if there are several operations.
fn last_operations(batch: &Batch) -> Option<HashMap<&[u8], usize>> {
    let several = batch.len() > 1;
    several.then(|| batch.ops().enumerate().map(|(item, (key, _))| (key, item)).collect())
}

fn split_record_key(key: &[u8]) -> Option<(CollectionId, &[u8])> {
    Some((CollectionId::of_storage_key(key)?, key.get(KEYSPACE_BYTES..)?))
}

/// The entries of a record that goes. One that the index could not take, or for which nothing was computed, was never in it;
/// it can only be met while the index is being built, and then removing or repairing it must be possible.
fn fill_old(old: &mut Entries, index: &Index, record_key: &[u8], record: &Reader<'_>) -> Result<()> {
    match old.fill(index, record_key, record) {
        Err(error) if index.since.is_none() && never_taken(error.code) => {
            old.clear();
            Ok(())
        }
        filled => filled,
    }
}

/// Whether a record that an index answers with this is never in it.
pub(super) fn never_taken(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::TooLarge | ErrorCode::Limit | ErrorCode::Definition)
}

/// What has a limit for a commit as a whole, not for a record of it.
const DERIVED: &str = "index entries of a commit";

/// Whether parts of the commit that is refused with `error` may be fine.
pub(super) fn is_too_much_at_once(error: &Error) -> bool {
    error.code == ErrorCode::TooLarge && error.details.what == Some(DERIVED)
}

/// The changes of one commit, collected.
#[derive(Default)]
pub(super) struct Changes {
    removed: Batch,
    added: Batch,
    /// Deletes of records that have expired and are in the way.
    evicted: Batch,
    /// Storage keys of entries of unique indexes that go, and the new ones with what is to be said about them.
    released: HashSet<Box<[u8]>>,
    claimed: Vec<Claimed>,
    old: Entries,
    new: Entries,
}

struct Claimed {
    collection: CollectionId,
    name: Box<str>,
    paths: usize,
    /// Place among `added`.
    place: usize,
    item: usize,
}

impl Changes {
    fn replace(
        &mut self,
        state: &State<'_>,
        indexes: &[std::sync::Arc<Index>],
        storage_key: &[u8],
        record_key: &[u8],
        document: Option<&[u8]>,
        item: usize,
    ) -> Result<()> {
        let before = state.pending.get(state.kv, storage_key)?;
        if before.as_deref() == document {
            return Ok(());
        }
        let reader = |document| Reader::new(document, &state.shapes);
        let before = before.as_deref().map(reader).transpose()?;
        let after = document.map(reader).transpose()?;
        let (mut old, mut new) = (std::mem::take(&mut self.old), std::mem::take(&mut self.new));
        for index in indexes {
            old.clear();
            new.clear();
            if let Some(before) = &before {
                fill_old(&mut old, index, record_key, before)?;
            }
            if let Some(after) = &after {
                new.fill(index, record_key, after)?;
            }
            self.compare(state, index, &old, &new, record_key, item)?;
        }
        (self.old, self.new) = (old, new);
        Ok(())
    }

    /// Both lists are sorted: what is only in the old one goes, what is only in the new one comes.
    fn compare(
        &mut self,
        state: &State<'_>,
        index: &Index,
        old: &Entries,
        new: &Entries,
        record_key: &[u8],
        item: usize,
    ) -> Result<()> {
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            if order.is_le()
                && let Some((key, exclusive)) = old.next()
                && order.is_lt()
            {
                self.remove(state, index, key, exclusive, record_key)?;
            }
            if order.is_ge()
                && let Some((key, exclusive)) = new.next()
                && order.is_gt()
            {
                self.add(index, key, exclusive, record_key, item);
            }
        }
    }

    fn remove(
        &mut self,
        state: &State<'_>,
        index: &Index,
        key: &[u8],
        exclusive: bool,
        record_key: &[u8],
    ) -> Result<()> {
        if planted::active(Bug::OldEntriesStay) {
            return Ok(());
        }
        if exclusive {
            let full = [&index.id.prefix()[..], key].concat();
            // While it is being built, the record may not have its entry yet, and another one may.
            if index.since.is_none()
                && state.pending.get(state.kv, &full)?.is_some_and(|holder| *holder != *record_key)
            {
                return Ok(());
            }
            self.released.insert(full.into());
        }
        self.removed.push(&index.id.prefix(), key, None);
        Ok(())
    }

    pub(super) fn add(&mut self, index: &Index, key: &[u8], exclusive: bool, record_key: &[u8], item: usize) {
        if exclusive {
            let (name, paths) = (index.definition.name().into(), index.definition.on().len());
            let collection = index.collection;
            self.claimed.push(Claimed { collection, name, paths, place: self.added.len(), item });
        }
        let value: &[u8] = if exclusive { record_key } else { b"" };
        self.added.push(&index.id.prefix(), key, Some(value));
    }

    /// Refuses what is too much for one commit. To be asked again and again, before all of it is in memory.
    pub(super) fn check_size(&self) -> Result<()> {
        let parts = [&self.evicted, &self.removed, &self.added];
        let size = parts.map(|part| part.size_bytes() + part.len() * ENTRY_OVERHEAD_BYTES).iter().sum();
        if size > MAX_DERIVED_BYTES {
            return Err(Error::too_large(DERIVED, size, MAX_DERIVED_BYTES));
        }
        Ok(())
    }

    /// Checks the keys of unique indexes and adds everything to `out`: what goes before what comes, since a key may go
    /// from one record to another. `batch` is what the commit itself writes. Returns how many records were deleted because
    /// they have expired.
    pub(super) fn finish(
        &mut self,
        state: &State<'_>,
        table: &IndexTable,
        batch: Option<&Batch>,
        out: &mut Batch,
    ) -> Result<usize> {
        if table.has_expiries() {
            self.evict_holders(state, table, batch)?;
        }
        self.check_size()?;
        self.check_unique(state)?;
        out.append(&self.evicted);
        out.append(&self.removed);
        out.append(&self.added);
        Ok(self.evicted.len())
    }

    /// Pushes out the records that hold keys which others claim but have expired.
    fn evict_holders(&mut self, state: &State<'_>, table: &IndexTable, batch: Option<&Batch>) -> Result<()> {
        // What the commit itself writes, put together when the first holder is met.
        let mut written: Option<HashSet<&[u8]>> = None;
        for place in 0..self.claimed.len() {
            let claimed = &self.claimed[place];
            let (collection, claim) = (claimed.collection, self.added.op(claimed.place));
            let Some((key, Some(record))) = claim else { continue };
            if table.expiry_of(collection).is_none() || self.released.contains(key) {
                continue;
            }
            let Some(holder) = state.pending.get(state.kv, key)?.filter(|holder| **holder != *record) else {
                continue;
            };
            let written = written
                .get_or_insert_with(|| batch.into_iter().flat_map(Batch::ops).map(|(key, _)| key).collect());
            // What the commit itself puts there decides, not what was there before.
            if !written.contains(&*collection.storage_key(&holder)) {
                let holder = holder.to_vec();
                self.evict_expired(state, table, collection, &holder)?;
            }
        }
        Ok(())
    }

    /// Deletes a record and its entries if it has expired; whether it has.
    pub(super) fn evict_expired(
        &mut self,
        state: &State<'_>,
        table: &IndexTable,
        collection: CollectionId,
        record_key: &[u8],
    ) -> Result<bool> {
        let Some(expiry) = table.expiry_of(collection).and_then(|index| index.expiry.as_ref()) else {
            return Ok(false);
        };
        let storage_key = collection.storage_key(record_key);
        let Some(record) = state.pending.get(state.kv, &storage_key)? else { return Ok(false) };
        if is_live(expiry, &record, &state.shapes, state.now)? {
            return Ok(false);
        }
        hit(Mark::ExpiredMadeWay);
        self.evicted.push(&storage_key, b"", None);
        self.replace(state, table.all_of(collection), &storage_key, record_key, None, 0)?;
        self.check_size()?;
        Ok(true)
    }

    fn check_unique(&self, state: &State<'_>) -> Result<()> {
        let mut own: HashMap<&[u8], &[u8]> = HashMap::with_capacity(self.claimed.len());
        let mut ahead = self.claimed.iter().filter_map(|claimed| Some(self.added.op(claimed.place)?.0));
        for (number, claimed) in self.claimed.iter().enumerate() {
            if number.is_multiple_of(APPROACHED) {
                let mut next = ahead.by_ref().take(APPROACHED);
                state.kv.approach(&mut next);
                // Storage need not take them all.
                next.for_each(drop);
            }
            let Some((key, Some(record))) = self.added.op(claimed.place) else { continue };
            if self.claimed.len() > 1
                && let Some(other) = own.insert(key, record)
                && other != record
            {
                return Err(claimed.refused(key, other));
            }
            if self.released.contains(key) || planted::active(Bug::UniqueNotChecked) {
                continue;
            }
            if let Some(holder) = state.pending.get(state.kv, key)?
                && *holder != *record
            {
                return Err(claimed.refused(key, &holder));
            }
        }
        Ok(())
    }
}

/// What an operation takes beside its bytes, at least.
const ENTRY_OVERHEAD_BYTES: usize = 8;

impl Claimed {
    fn refused(&self, key: &[u8], holder: &[u8]) -> Error {
        let key = show::tuple(&key[KEYSPACE_BYTES.min(key.len())..], self.paths);
        let holder = show::tuple(holder, 1);
        let name = &self.name;
        let message = format!("{name} key={key} is held by record {holder} already");
        Error::new(ErrorCode::Unique, message).with(|details| {
            details.index = Some(name.to_string());
            details.index_key = Some(key);
            details.holder = Some(holder);
            details.item = Some(self.item as u64);
        })
    }
}
