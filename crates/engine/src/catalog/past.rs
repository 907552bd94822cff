//! What the catalog was at earlier sequences. Its entries are versioned like everything else, so storage knows; nothing of it
//! is kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange, ReadTier, Seq};

use super::{CATALOG, COLLECTION_NAME, COLLECTION_TAG, Catalog, check_name, damaged, entry};
use crate::error::Result;
use crate::index::Index;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::limits::KEYSPACE_BYTES;

/// The collections of one state, by id.
pub(crate) type Names = BTreeMap<CollectionId, String>;

impl Catalog {
    /// The id of the collection that had a name at a sequence.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`, `ERR_HISTORY_TRUNCATED`, and what reading storage can fail with.
    pub fn id_at(kv: &dyn OrderedKv, name: &str, at: Seq) -> Result<Option<CollectionId>> {
        check_name(COLLECTION_NAME, name)?;
        let stored = kv.get(&stored_key(name), Some(at), ReadTier::Disk)?;
        stored.map(|stored| id_in(name, &stored)).transpose()
    }

    /// The storage key of the entry of a collection.
    pub fn key_of(name: &str) -> Vec<u8> {
        stored_key(name)
    }

    /// The collections that there were at a sequence.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED`, and what reading storage can fail with.
    pub fn names_at(kv: &dyn OrderedKv, at: Seq) -> Result<Names> {
        let range = KeyRange::prefix(&[&CATALOG[..], &[COLLECTION_TAG]].concat());
        let mut cursor = kv.cursor(range, at, Direction::Forward, ReadTier::Disk)?;
        let mut names = Names::new();
        while cursor.next()? {
            let name = String::from_utf8_lossy(&cursor.key()[KEYSPACE_BYTES + 1..]).into_owned();
            names.insert(id_in(&name, cursor.value())?, name);
        }
        Ok(names)
    }

    /// The collections that there were at `after` or came up to `upto`, and which commits dropped some of them.
    ///
    /// # Errors
    /// As [`Catalog::names_at`].
    pub fn between(kv: &dyn OrderedKv, after: Seq, upto: Seq) -> Result<(Names, Vec<(Seq, CollectionId)>)> {
        let mut names = Self::names_at(kv, after)?;
        let range = KeyRange::prefix(&[&CATALOG[..], &[COLLECTION_TAG]].concat());
        let mut versions = kv.changes(range.clone(), &[range], after, upto)?;
        let mut steps = Vec::new();
        while versions.next()? {
            let name = String::from_utf8_lossy(&versions.key()[KEYSPACE_BYTES + 1..]).into_owned();
            let id = versions.value().map(|value| id_in(&name, value)).transpose()?;
            steps.push((versions.seq(), name, id));
        }
        steps.sort();
        let mut ids: BTreeMap<String, CollectionId> =
            names.iter().map(|(id, name)| (name.clone(), *id)).collect();
        let mut drops = Vec::new();
        for (seq, name, id) in steps {
            if let Some(id) = id {
                names.insert(id, name.clone());
                ids.insert(name, id);
            } else {
                drops.extend(ids.remove(&name).map(|id| (seq, id)));
            }
        }
        Ok((names, drops))
    }

    /// The commit that dropped a collection of this name, if that happened up to a sequence and is still known.
    ///
    /// # Errors
    /// What reading storage can fail with.
    pub fn dropped_at(kv: &dyn OrderedKv, id: CollectionId, name: &str, upto: Seq) -> Result<Option<Seq>> {
        let mut versions = kv.versions(&stored_key(name), upto)?;
        let mut dropped = None;
        while versions.next()? {
            match versions.value() {
                None => dropped = Some(versions.seq()),
                Some(value) if id_in(name, value)? == id => return Ok(dropped),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// The expiry index that a collection had at a sequence that is kept.
    ///
    /// # Errors
    /// `ERR_WOULD_BLOCK` if `tier` is memory and it is not there, and what reading storage can fail with.
    pub fn expiry_at(
        kv: &dyn OrderedKv,
        collection: CollectionId,
        at: Seq,
        tier: ReadTier,
    ) -> Result<Option<Arc<Index>>> {
        let key = entry::expiry_key(collection);
        let stored = kv.get(&[&CATALOG[..], &key].concat(), Some(at), tier)?;
        stored.map(|stored| entry::load_expiry(&key, &stored).map(Arc::new)).transpose()
    }
}

fn stored_key(name: &str) -> Vec<u8> {
    [&CATALOG[..], &entry::collection_key(name)].concat()
}

fn id_in(name: &str, value: &[u8]) -> Result<CollectionId> {
    let parsed = entry::parse_collection(value).map(|(id, _)| id);
    parsed.ok_or_else(|| damaged(format_args!("an earlier entry of collection {name}")))
}
