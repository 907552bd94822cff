//! Reads of many records at once.

use fountain_lsm::ReadTier;

use crate::document::Document;
use crate::error::Result;
use crate::keys;
use crate::keyspace::CollectionId;
use crate::store::{Store, seen};
use crate::view::View;

/// Keys that are looked up first, before it is known how large the records are, and most that are at a time.
const FIRST_KEYS: usize = 8;
const KEYS_AT_ONCE: usize = 256;

impl Store {
    /// The records under several keys, in their order, all of one state. Cheaper than as many [`Store::get`], as keys that lie
    /// close together share the work.
    ///
    /// # Errors
    /// As [`Store::get`], for all of them together.
    pub fn get_many(
        &self,
        collection: CollectionId,
        keys: &[&[u8]],
        at: impl Into<View>,
        tier: ReadTier,
    ) -> Result<Vec<Option<Document>>> {
        self.get_many_within(collection, keys, at, tier, usize::MAX)
    }

    /// As [`Store::get_many`], but of the first keys only as many as it takes to have `max_bytes` of records; at least one.
    /// Not much more is read than what is returned, so that one who goes on behind it reads everything about once.
    ///
    /// # Errors
    /// As [`Store::get_many`].
    pub fn get_many_within(
        &self,
        collection: CollectionId,
        keys: &[&[u8]],
        at: impl Into<View>,
        tier: ReadTier,
        max_bytes: usize,
    ) -> Result<Vec<Option<Document>>> {
        let view = at.into();
        let _pass = self.inner.enter("reading")?;
        let read = || {
            keys.iter().try_for_each(|key| keys::validate(key))?;
            self.check_own(&view)?;
            self.read_many(collection, keys, &view, tier, max_bytes)
        };
        let documents = read().map_err(|error| self.in_collection(error, collection))?;
        self.inner.counters.gets.add(documents.len());
        Ok(documents)
    }

    fn read_many(
        &self,
        collection: CollectionId,
        keys: &[&[u8]],
        view: &View,
        tier: ReadTier,
        max_bytes: usize,
    ) -> Result<Vec<Option<Document>>> {
        let kv = self.inner.kv.as_ref();
        let live = self.inner.live(collection, view, tier)?;
        // All parts are read of one state.
        let pin =
            (matches!(view, View::Newest) && keys.len() > FIRST_KEYS).then(|| kv.pin(None)).transpose()?;
        let view = match (view, &pin) {
            (_, Some(pin)) => View::At(pin.seq()),
            (View::Transaction(transaction), None) => View::Transaction(transaction.frozen()),
            (view, None) => view.clone(),
        };
        let (mut found, mut bytes, mut part) = (Vec::with_capacity(keys.len()), 0, FIRST_KEYS);
        while found.len() < keys.len() {
            let rest = &keys[found.len()..];
            let stored: Vec<_> = rest.iter().take(part).map(|key| collection.storage_key(key)).collect();
            for value in view.get_many(kv, &stored, tier)? {
                if bytes >= max_bytes {
                    return Ok(found);
                }
                let document = seen(live.as_ref(), value)?;
                bytes += document.as_ref().map_or(0, |document| document.len());
                found.push(document);
            }
            // As many as have room if they are as large as those so far.
            let average = (bytes / found.len()).max(1);
            part = (max_bytes.saturating_sub(bytes) / average).clamp(1, KEYS_AT_ONCE);
        }
        Ok(found)
    }
}
