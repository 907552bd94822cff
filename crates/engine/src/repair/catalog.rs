//! Gives a salvaged store a catalog that fits its records.
//!
//! A collection that was dropped stays dropped as long as the catalog tells: of one whose name was deleted nothing comes back,
//! even if what deleted its records is lost.
//!
//! What a lost entry said is taken from what is left: a collection without a name gets one, with the ttl that its expiry
//! index has; a collection with a ttl gets the expiry index that belongs to it, and so does one whose records carry
//! moments of their own. Without such an index nobody would know that they expire.

use std::collections::{BTreeMap, BTreeSet};

use fountain_lsm::{Db, Direction, Durability, KeyRange, ReadTier, Seq, WriteBatch};
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, parse_collection};
use crate::envelope;
use crate::error::Result;
use crate::keyspace::{CATALOG, CollectionId, unknown_keys};
use crate::limits::KEYSPACE_BYTES;
use crate::marks::{Mark, hit};
use crate::own::refuse_unknown;
use crate::planted::{self, Bug};
use crate::record::CODEC_RECORD;

/// Begins the key of a collection's entry; its name follows. The key of the next keyspace id.
const COLLECTION_TAG: u8 = 0x01;
const NEXT_ID_TAG: u8 = 0x02;
/// Begins the key of an index's entry, and that of the progress of its build.
const INDEX_TAG: u8 = 0x03;
const EXPIRY_TAG: u8 = 0x06;
const PROGRESS_TAG: u8 = 0x04;

/// What can be read of the catalog.
#[derive(Default)]
struct Known {
    names: BTreeMap<CollectionId, String>,
    /// The ttl of each collection that has one.
    ttls: BTreeMap<CollectionId, Value>,
    /// The next id; 0 if that is lost.
    next: u32,
}

/// Gives every collection that has records or indexes a name and the expiry index that it needs, and leaves a next id behind
/// all of them. Returns the names, and those that are made up. `lost` says whether entries may be missing.
pub(super) fn mend(db: &Db, lost: bool) -> Result<(BTreeMap<CollectionId, String>, Vec<CollectionId>)> {
    let Known { mut names, mut ttls, next } = read_catalog(db)?;
    let mut dropped: BTreeSet<_> = once_named(db)?.into_iter().filter(|id| !names.contains_key(id)).collect();
    if planted::active(Bug::SalvageRevivesDropped) {
        dropped.clear();
    }
    let Emptied { mut batch, last, collections: mut found, expiries } = empty_indexes(db, &dropped)?;
    let mut renamed = Vec::new();
    let mut last_used = last;
    for (id, has_records) in keyspaces(db)? {
        last_used = last_used.max(id.get());
        if dropped.contains(&id) {
            hit(Mark::DroppedStaysDropped);
            batch.delete_range(&KeyRange::prefix(&id.prefix()))?;
        } else if has_records {
            found.insert(id);
        } else if !names.contains_key(&id) {
            hit(Mark::EntriesWithoutIndex);
            // Entries of an index; of one whose definition is lost nothing can be made.
            batch.delete_range(&KeyRange::prefix(&id.prefix()))?;
        }
    }
    for id in found {
        if names.contains_key(&id) {
            continue;
        }
        let name =
            (0..).map(|n| if n == 0 { format!("recovered-{id}") } else { format!("recovered-{id}-{n}") });
        let is_free = |name: &String| !names.values().any(|taken| taken == name);
        let name = name.into_iter().find(is_free).unwrap_or_default();
        let ttl = expiries.get(&id).and_then(|expiry| expiry.get("ttl")).cloned();
        ttls.extend(ttl.map(|ttl| (id, ttl)));
        let entry = with_ttl([("id".to_owned(), json!(id.get()))], ttls.get(&id));
        batch.put(&catalog_key(COLLECTION_TAG, name.as_bytes()), entry.as_bytes())?;
        hit(Mark::NameMadeUp);
        names.insert(id, name);
        renamed.push(id);
    }
    let numbers = names.keys().next_back().into_iter().chain(dropped.last());
    last_used = numbers.map(|id| id.get()).fold(last_used, u32::max);
    for &id in names.keys() {
        let (ttl, expiry) = (ttls.get(&id), expiries.get(&id));
        let number = match expiry {
            Some(expiry) if expiry.get("ttl") == ttl => continue,
            Some(expiry) => expiry.get("id").cloned().unwrap_or_default(),
            None if ttl.is_some() || (lost && carries_moments(db, id)?) => {
                last_used = last_used.saturating_add(1);
                json!(last_used)
            }
            None => continue,
        };
        let entry = with_ttl([("id".to_owned(), number)], ttl);
        batch.put(&catalog_key(EXPIRY_TAG, &id.get().to_be_bytes()), entry.as_bytes())?;
    }
    let least = last_used.saturating_add(1);
    if next < least && last_used > 0 {
        batch.put(&catalog_key(NEXT_ID_TAG, b""), &least.to_le_bytes())?;
    }
    if !batch.is_empty() {
        db.commit(batch, Durability::Disk)?;
    }
    Ok((names, renamed))
}

/// Refuses what a later version has written: what belongs to it would be taken for left-overs.
pub(super) fn refuse_newer(db: &Db) -> Result<()> {
    let cursor = |range| db.cursor(range, db.visible(), Direction::Forward, ReadTier::Disk);
    refuse_unknown(&mut cursor(unknown_keys())?)?;
    let mut entries = cursor(KeyRange::prefix(&CATALOG))?;
    while entries.next()? {
        Catalog::refuse_newer(&entries.key()[KEYSPACE_BYTES..], entries.value())?;
    }
    Ok(())
}

fn catalog_key(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&CATALOG[..], &[tag], rest].concat()
}

/// An entry with a ttl, if there is one.
fn with_ttl<const N: usize>(members: [(String, Value); N], ttl: Option<&Value>) -> String {
    let ttl = ttl.map(|ttl| ("ttl".to_owned(), ttl.clone()));
    Value::Object(members.into_iter().chain(ttl).collect()).to_string()
}

/// Whether a record of a collection says itself when it expires.
fn carries_moments(db: &Db, id: CollectionId) -> Result<bool> {
    let records = KeyRange::prefix(&id.prefix());
    let mut cursor = db.cursor(records, db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        if envelope::carries_moment(cursor.value()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_catalog(db: &Db) -> Result<Known> {
    let mut known = Known::default();
    let mut cursor =
        db.cursor(KeyRange::prefix(&CATALOG), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        match &cursor.key()[KEYSPACE_BYTES..] {
            [COLLECTION_TAG, name @ ..] => {
                let entry: Option<Value> = serde_json::from_slice(cursor.value()).ok();
                let id = entry.as_ref().and_then(|entry| u32::try_from(entry["id"].as_u64()?).ok());
                if let (Some(id), Ok(name)) = (id.and_then(CollectionId::new), std::str::from_utf8(name)) {
                    let ttl = entry.as_ref().and_then(|entry| entry.get("ttl")).cloned();
                    known.ttls.extend(ttl.map(|ttl| (id, ttl)));
                    known.names.insert(id, name.to_owned());
                }
            }
            [NEXT_ID_TAG] => {
                known.next = cursor.value().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            }
            _ => {}
        }
    }
    Ok(known)
}

/// The collections that had a name at some time that is kept.
fn once_named(db: &Db) -> Result<BTreeSet<CollectionId>> {
    let range = KeyRange::prefix(&catalog_key(COLLECTION_TAG, b""));
    let newest = db.visible();
    let changes = |after| db.changes(range.clone(), after, newest, ReadTier::Disk);
    let (after, mut versions) = match changes(Seq::ZERO) {
        Err(fountain_lsm::Error::HistoryTruncated { floor, .. }) => (floor, changes(floor)?),
        versions => (Seq::ZERO, versions?),
    };
    let mut named = BTreeSet::new();
    let mut note = |value: &[u8]| named.extend(parse_collection(value).map(|(id, _)| id));
    while versions.next()? {
        versions.value().into_iter().for_each(&mut note);
    }
    let mut cursor = db.cursor(range.clone(), after, Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        note(cursor.value());
    }
    Ok(named)
}

/// What lets every index be built anew.
struct Emptied {
    batch: WriteBatch,
    /// The last id of an index.
    last: u32,
    /// The collections that have indexes. One may have lost its name and all its records.
    collections: BTreeSet<CollectionId>,
    /// The entries of expiry indexes, by collection.
    expiries: BTreeMap<CollectionId, Map<String, Value>>,
}

/// Lets every index be built anew: its entries go, and so does what says that it is ready. One of a collection that was dropped
/// goes with it.
fn empty_indexes(db: &Db, dropped: &BTreeSet<CollectionId>) -> Result<Emptied> {
    let (mut batch, mut last, mut collections) = (WriteBatch::new(), 0, BTreeSet::new());
    let mut expiries = BTreeMap::new();
    let mut cursor =
        db.cursor(KeyRange::prefix(&CATALOG), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        match &cursor.key()[KEYSPACE_BYTES..] {
            [tag @ (INDEX_TAG | EXPIRY_TAG), owner @ ..] => {
                let entry: Option<Map<_, _>> = serde_json::from_slice(cursor.value()).ok();
                let Some(mut entry) = entry else { continue };
                let id = entry.get("id").and_then(|id| u32::try_from(id.as_u64()?).ok());
                let Some(id) = id.and_then(CollectionId::new) else { continue };
                last = last.max(id.get());
                let owner = owner.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                let owner = owner.and_then(CollectionId::new);
                batch.delete_range(&KeyRange::prefix(&id.prefix()))?;
                if owner.is_some_and(|owner| dropped.contains(&owner)) {
                    batch.delete(cursor.key())?;
                    continue;
                }
                collections.extend(owner);
                if !planted::active(Bug::SalvagedIndexIsReady) {
                    entry.remove("since");
                }
                batch.put(cursor.key(), Value::Object(entry.clone()).to_string().as_bytes())?;
                if *tag == EXPIRY_TAG {
                    expiries.extend(owner.map(|owner| (owner, entry)));
                }
            }
            [PROGRESS_TAG, ..] => batch.delete(cursor.key())?,
            _ => {}
        }
    }
    Ok(Emptied { batch, last, collections, expiries })
}

/// The keyspaces of collections and indexes that have something in them, and whether it is records.
fn keyspaces(db: &Db) -> Result<Vec<(CollectionId, bool)>> {
    let mut found = Vec::new();
    let mut from = Some(CollectionId::FIRST);
    while let Some(id) = from {
        let range = KeyRange { start: id.prefix().to_vec(), end: None };
        let mut cursor = db.cursor(range, db.visible(), Direction::Forward, ReadTier::Disk)?;
        if !cursor.next()? {
            break;
        }
        let number = cursor.key().first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let Some(id) = number.and_then(CollectionId::new) else { break };
        // No value of an index entry begins like a record: it is empty, or a key.
        let first = cursor.value().first();
        found.push((id, first.is_some_and(|&first| first == CODEC_RECORD || envelope::is_envelope(first))));
        from = id.get().checked_add(1).and_then(CollectionId::new);
    }
    Ok(found)
}
