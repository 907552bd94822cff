//! Following the store: what commits change, each once and in their order, from any commit whose history is kept on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use fountain_lsm::Seq;

use crate::document;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry;
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
        let Some(Recent { commits, dropped }) = inner.feed.after(after) else {
            return self.store.changes(&ChangesRequest { collection, after, upto, max_bytes }, page);
        };
        let mut reached = after;
        for (seq, batch) in commits {
            self.push(seq, &batch, collection, &dropped, page)?;
            reached = seq;
            if page.bytes().len() >= max_bytes.min(MAX_PAGE_BYTES) {
                break;
            }
        }
        Ok(reached)
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

    /// Adds what a commit changed, by collection and key; of several operations on a key the last counts. `dropped` are
    /// collections that are dropped later.
    fn push(
        &self,
        seq: Seq,
        batch: &Arc<Batch>,
        only: Option<CollectionId>,
        dropped: &BTreeSet<CollectionId>,
        page: &mut VersionPage,
    ) -> Result<()> {
        let prefixes: Vec<_> = batch.dropped().iter().map(|id| id.prefix()).collect();
        // That a collection is dropped is told by the empty key, which no record has.
        let drops = prefixes.iter().map(|prefix| (&prefix[..], None));
        let changes: BTreeMap<&[u8], Option<&[u8]>> = batch.ops().chain(drops).collect();
        for (key, value) in changes {
            let Some(collection) = CollectionId::of_storage_key(key) else { continue };
            let is_drop = key.len() == KEYSPACE_BYTES;
            if !is_drop && !dropped.contains(&collection) && self.store.collection_of(key).is_none() {
                continue;
            }
            if only.is_none_or(|only| only == collection) {
                value.map_or(Ok(()), document::check_stored)?;
                let document = value.map(|value| expiry::split(value).1);
                page.push(seq, collection, &key[KEYSPACE_BYTES..], document);
            }
        }
        Ok(())
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
