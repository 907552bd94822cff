//! Following the store: what commits change, each once and in their order, from any commit whose history is kept on.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fountain_lsm::{KeyRange, Seq};

use crate::document;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Held, moment};
use crate::feed::{Recent, Wake};
use crate::history::ChangesRequest;
use crate::keyspace::CollectionId;
use crate::kv::{Batch, KvPin, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_PAGE_BYTES};
use crate::marks::{Mark, hit};
use crate::query::{Past, Sight};
use crate::store::Store;
use crate::sync::lock;
use crate::versions::VersionPage;

/// Somebody who follows a store. As long as one exists, recent commits are kept in memory, so one who keeps up reads
/// nothing from storage, and one who does not is served from there. The place is the caller's to remember.
pub struct Watch {
    store: Store,
    id: u64,
    begin: Seq,
    view: Option<CollectionView>,
    cancelled: AtomicBool,
}

/// What is told of one collection.
struct CollectionView {
    collection: CollectionId,
    sight: Sight,
    place: Mutex<Place>,
}

/// How far a collection was followed.
struct Place {
    /// The next changes come behind this commit.
    after: Seq,
    /// Keeps the state of `past` readable: that behind which the next changes come, or where a retention has dropped that by
    /// the time it is reached, an earlier one. What came since is then no more than memory kept for watchers.
    _pin: Box<dyn KvPin>,
    /// Keeps the time by which records of the state expire with which the watch begins, if that was the newest.
    held: Option<Held>,
    past: Past,
    /// Changes that were read and are next, and the commit that they lead to. One page of what is told has them all, unless the
    /// documents before them are large.
    ahead: Option<(VersionPage, Seq)>,
}

impl Place {
    fn new(pin: Box<dyn KvPin>, held: Option<Held>) -> Self {
        let past = Past { state: pin.seq(), since: HashMap::new() };
        Self { after: past.state, _pin: pin, held, past, ahead: None }
    }

    /// Goes on to behind the commit `reached`, up to which `changes` were told; stays where it is when that fails.
    fn advance(
        &mut self,
        kv: &dyn OrderedKv,
        collection: CollectionId,
        reached: Seq,
        changes: &VersionPage,
    ) -> Result<()> {
        // A pin of the sequence by itself would not do: collections have retentions of their own.
        match kv.pin_over(&collection.storage_range(&KeyRange::default()), reached) {
            Ok(pin) => *self = Self::new(pin, None),
            Err(error) if error.code == ErrorCode::HistoryTruncated => self.past.add(changes, reached),
            Err(error) => return Err(error),
        }
        drop(self.held.take());
        self.after = reached;
        Ok(())
    }
}

impl Store {
    /// Begins to follow the store.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn watch(&self) -> Result<Watch> {
        let _pass = self.inner.enter("watching")?;
        let mut watch = self.new_watch();
        watch.begin = self.sequence();
        Ok(watch)
    }

    /// Begins to follow one collection from the state `from` on, the newest if that is `None`, by conditions and with the
    /// documents before each change (see [`Sight`]). That state is kept readable until the first changes behind it are asked
    /// for, then the one that these lead to, and so on: whoever is slow holds up what compaction drops. Until then that state
    /// shows what a snapshot of it shows that is taken now, as to what has expired ([`Store::snapshot_at`]).
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED`, `ERR_SEQUENCE`, `ERR_CLOSED`.
    pub fn watch_collection(
        &self,
        collection: CollectionId,
        sight: Sight,
        from: Option<Seq>,
    ) -> Result<Watch> {
        let _pass = self.inner.enter("watching")?;
        // Before the state is fixed: what comes after it is kept.
        let mut watch = self.new_watch();
        // Before the pin, as for a snapshot.
        let now = moment(self.inner.clock.now());
        let kv = self.inner.kv.as_ref();
        let held = self.inner.moments.hold(|| {
            let pin = match from {
                Some(at) => kv.pin_over(&collection.storage_range(&KeyRange::default()), at)?,
                None => kv.pin(None)?,
            };
            let seq = pin.seq();
            let is_newest = from.is_none_or(|at| at == kv.visible());
            Ok((pin, seq, is_newest.then_some(now)))
        });
        let (pin, held) = held.map_err(|error| self.in_collection(error, collection))?;
        watch.begin = pin.seq();
        watch.view = Some(CollectionView { collection, sight, place: Mutex::new(Place::new(pin, held)) });
        Ok(watch)
    }

    /// One that begins later than commits are kept for it.
    fn new_watch(&self) -> Watch {
        let (id, begin) = (self.inner.feed.enter(), Seq::ZERO);
        Watch { store: self.clone(), id, begin, view: None, cancelled: AtomicBool::new(false) }
    }
}

impl Watch {
    /// The sequence behind which its changes begin: what was asked for, or the newest at that time.
    pub fn begin(&self) -> Seq {
        self.begin
    }

    /// Fills `page`, which is cleared first, with the next changes after `after`, and returns the commit up to which they
    /// go, as [`Store::changes`] does. That is `after` itself when there is no later commit; see [`Watch::when_after`].
    /// Of a watch of one collection, which tells of no other, `after` has to be where the page before ended, also if the last
    /// call failed: it is then as if there had been none. The documents
    /// before changes count for the size of a page; all of one commit is in one page, however large.
    ///
    /// # Errors
    /// As [`Store::changes`]; `ERR_SEQUENCE` when `after` has not happened yet, `ERR_NOT_FOUND` when the collection was
    /// dropped before it, `ERR_CLOSED` when the watch was ended.
    pub fn next(
        &self,
        collection: Option<CollectionId>,
        after: Seq,
        max_bytes: usize,
        page: &mut VersionPage,
    ) -> Result<Seq> {
        page.clear();
        let _pass = self.store.inner.enter("watching")?;
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the watch was ended"));
        }
        let Some(CollectionView { collection, sight, place }) = &self.view else {
            return self.next_changes(collection, after, max_bytes, page);
        };
        let mut place = lock(place);
        if place.after != after {
            let message = format!("the changes after {} are next, not those after {after}", place.after);
            return Err(Error::argument(message));
        }
        let (mut changes, upto) = match place.ahead.take() {
            Some(ahead) => ahead,
            None => {
                let mut changes = VersionPage::new();
                let upto = self.next_changes(Some(*collection), after, max_bytes, &mut changes)?;
                (changes, upto)
            }
        };
        let (kv, shapes) = (self.store.inner.kv.as_ref(), self.store.inner.shapes.list());
        let told = sight.fill(kv, &shapes, &place.past, &changes, max_bytes.min(MAX_PAGE_BYTES), page);
        let done = told.and_then(|cut| {
            let reached = cut.unwrap_or(upto);
            if reached != after {
                place.advance(kv, *collection, reached, &changes)?;
            }
            Ok(reached)
        });
        // What was not told is next, and may be nowhere else by then.
        let reached = *done.as_ref().unwrap_or(&after);
        changes.forget(reached);
        place.ahead = (reached < upto).then_some((changes, upto));
        done.map_err(|error| self.store.in_collection(error, *collection))
    }

    /// All changes, whatever is told of them.
    fn next_changes(
        &self,
        collection: Option<CollectionId>,
        after: Seq,
        max_bytes: usize,
        page: &mut VersionPage,
    ) -> Result<Seq> {
        let inner = &self.store.inner;
        // A collection leaves the catalog after the commit that drops it became visible.
        let dropped = collection.filter(|&id| inner.catalog.name(id).is_none());
        let upto = inner.kv.visible();
        if after > upto {
            let message = format!("sequence {after} has not happened yet; the newest is {upto}");
            return Err(Error::new(ErrorCode::Sequence, message).with(|details| {
                details.requested = Some(after.get());
                details.newest = Some(upto.get());
            }));
        }
        let request = ChangesRequest { collection, after, upto, max_bytes };
        let known = match inner.feed.after(after) {
            Some(recent) => self.fill(&request, &recent, page)?,
            None => None,
        };
        let (reached, source) = match known {
            Some(reached) => (reached, Mark::WatchedFromMemory),
            None => (self.store.changes(&request, page)?, Mark::WatchedFromStorage),
        };
        if !page.is_empty() {
            hit(source);
        }
        match dropped {
            // Had it been dropped after `after`, the page would say so.
            Some(id) if page.is_empty() && reached >= upto => Err(Error::new(
                ErrorCode::NotFound,
                format!("the collection with id {id} was dropped before that"),
            )),
            _ => Ok(reached),
        }
    }

    /// Calls `wake` once there is a commit after `after`: here and now if there is one, else on the commit thread. It should
    /// return soon. It is dropped uncalled when the store closes, and when this is dropped or waits again.
    pub fn when_after(&self, after: Seq, wake: Wake) {
        let inner = &self.store.inner;
        if let Some(wake) = inner.feed.wait(self.id, || inner.kv.visible() > after, wake) {
            wake();
        }
    }

    /// Ends it: what waits is dropped, now and later.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.store.inner.feed.leave(self.id);
    }

    /// Fills `page` with what recent commits changed, and returns the commit up to which it goes; `None` if memory does not
    /// know any more which of it are records.
    fn fill(&self, request: &ChangesRequest, recent: &Recent, page: &mut VersionPage) -> Result<Option<Seq>> {
        let mut reached = request.after;
        for (seq, batch) in recent {
            if !self.push(*seq, batch, request.collection, page)? {
                return Ok(None);
            }
            reached = *seq;
            if page.bytes().len() >= request.max_bytes.min(MAX_PAGE_BYTES) {
                break;
            }
        }
        Ok(Some(reached))
    }

    /// Adds what a commit changed, by collection and key; of several operations on a key the last counts. Whether it is known
    /// which of it are records: those of collections that there are, or were until they were dropped.
    fn push(
        &self,
        seq: Seq,
        batch: &Batch,
        only: Option<CollectionId>,
        page: &mut VersionPage,
    ) -> Result<bool> {
        let prefixes: Vec<_> = batch.dropped().iter().map(|id| id.prefix()).collect();
        // That a collection is dropped is told by the empty key, which no record has.
        let drops = prefixes.iter().map(|prefix| (&prefix[..], None));
        let changes: BTreeMap<&[u8], Option<&[u8]>> = batch.ops().chain(drops).collect();
        for (key, value) in changes {
            let Some(collection) = CollectionId::of_storage_key(key) else { continue };
            if only.is_some_and(|only| only != collection) {
                continue;
            }
            let is_drop = key.len() == KEYSPACE_BYTES;
            if !is_drop && self.store.collection_of(key).is_none() {
                match self.store.inner.feed.dropped_after(seq, collection) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => return Ok(false),
                }
            }
            value.map_or(Ok(()), document::check_stored)?;
            let document = value.map(envelope::document);
            page.push(seq, collection, &key[KEYSPACE_BYTES..], document);
        }
        Ok(true)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.store.inner.feed.leave(self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryKv;
    use crate::options::StoreOptions;
    use crate::write_set::WriteSet;
    use fountain_lsm::Durability;
    use std::sync::Arc;

    /// A watcher that has taken the commits that are kept, among them one to a collection that is dropped only then.
    fn overtaken() -> (Store, Watch, Recent, ChangesRequest) {
        let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default()).unwrap();
        let watch = store.watch().unwrap();
        let collection = store.collection("c").unwrap();
        put(&store, collection, b"{}");
        let recent = store.inner.feed.after(Seq::ZERO).unwrap();
        store.drop_collection("c", Durability::Memory).unwrap();
        let upto = store.sequence();
        let request =
            ChangesRequest { collection: Some(collection), after: Seq::ZERO, upto, max_bytes: 1 << 20 };
        (store, watch, recent, request)
    }

    fn put(store: &Store, collection: CollectionId, json: &[u8]) {
        let document = crate::record::from_json(std::str::from_utf8(json).unwrap()).unwrap();
        let mut writes = WriteSet::new();
        let key = crate::keys::encode(&crate::keys::Key::Number(1.0)).unwrap();
        writes.put(collection, &key, &store.encode(&document).unwrap()).unwrap();
        store.commit(writes, Durability::Memory).unwrap();
    }

    #[test]
    fn changes_of_a_collection_that_is_dropped_while_they_are_read_are_not_lost() {
        let (_store, watch, recent, request) = overtaken();
        let mut page = VersionPage::new();
        assert_eq!(watch.fill(&request, &recent, &mut page).unwrap(), Seq::new(1));
        assert_eq!(page.versions().count(), 1);
    }

    #[test]
    fn what_memory_does_not_know_any_more_is_read_from_storage() {
        let (store, watch, recent, request) = overtaken();
        // So much that neither the first commit nor the drop is kept.
        let other = store.collection("other").unwrap();
        let text = format!("{{\"text\":\"{}\"}}", "x".repeat(crate::limits::MAX_FEED_BYTES / 2));
        (0..3).for_each(|_| put(&store, other, text.as_bytes()));
        let mut page = VersionPage::new();
        assert_eq!(watch.fill(&request, &recent, &mut page).unwrap(), None);
        watch.next(request.collection, Seq::ZERO, 1 << 20, &mut page).unwrap();
        let told: Vec<_> = page.versions().map(|(seq, _, key, _)| (seq.get(), key.len())).collect();
        assert_eq!(told, [(1, 9), (2, 0)]);
    }
}
