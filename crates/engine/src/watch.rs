//! Following the store: what commits change, each once and in their order, from any commit whose history is kept on.

use std::collections::BTreeMap;
use std::fmt;

use fountain_lsm::Seq;

use crate::document;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::feed::{Recent, Wake};
use crate::history::ChangesRequest;
use crate::keyspace::CollectionId;
use crate::kv::Batch;
use crate::limits::{KEYSPACE_BYTES, MAX_PAGE_BYTES};
use crate::store::Store;
use crate::versions::VersionPage;

/// Somebody who follows a store. As long as one exists, recent commits are kept in memory, so one who keeps up reads
/// nothing from storage, and one who does not is served from there. The place is the caller's to remember.
pub struct Watch {
    store: Store,
    id: u64,
}

impl Store {
    /// Begins to follow the store.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn watch(&self) -> Result<Watch> {
        let _pass = self.inner.enter("watching")?;
        Ok(Watch { store: self.clone(), id: self.inner.feed.enter() })
    }
}

impl Watch {
    /// Fills `page`, which is cleared first, with the next changes after `after`, and returns the commit up to which they
    /// go, as [`Store::changes`] does. That is `after` itself when there is no later commit; see [`Watch::when_after`].
    ///
    /// # Errors
    /// As [`Store::changes`]; `ERR_SEQUENCE` when `after` has not happened yet.
    pub fn next(
        &self,
        collection: Option<CollectionId>,
        after: Seq,
        max_bytes: usize,
        page: &mut VersionPage,
    ) -> Result<Seq> {
        page.clear();
        let inner = &self.store.inner;
        let _pass = inner.enter("watching")?;
        let upto = inner.kv.visible();
        if after > upto {
            let message = format!("sequence {after} has not happened yet; the newest is {upto}");
            return Err(Error::new(ErrorCode::Sequence, message).with(|details| {
                details.requested = Some(after.get());
                details.newest = Some(upto.get());
            }));
        }
        let request = ChangesRequest { collection, after, upto, max_bytes };
        if let Some(recent) = inner.feed.after(after)
            && let Some(reached) = self.fill(&request, &recent, page)?
        {
            return Ok(reached);
        }
        self.store.changes(&request, page)
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
