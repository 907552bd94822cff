//! Names of collections and the ids of their keyspaces (`docs/format.md` §6.2).
//!
//! A name gets its id when it is first asked for; nothing is stored then. The first commit that writes to the
//! collection carries the catalog entry, so the entry exists if and only if that commit does. An id stays with its
//! name while the store is open, even when that commit fails, and the commit after it carries the entry instead.
//!
//! What always holds: a stored id is below the stored next id, so no id is ever given to a second name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use fountain_lsm::{Direction, KeyRange, ReadTier};
use serde_json::{Value, json};

use crate::error::{Error, ErrorCode, Result};
use crate::keyspace::{CATALOG, CollectionId};
use crate::kv::{Batch, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_COLLECTIONS, MAX_NAME_CHARS};
use crate::sync::lock;

/// Begins the key of a collection's entry; its name follows.
const COLLECTION_TAG: u8 = 0x01;
/// The key of the next keyspace id.
const NEXT_ID_KEY: [u8; 1] = [0x02];

/// The collections of one store, by name and by id.
#[derive(Debug)]
pub(crate) struct Catalog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ids: BTreeMap<String, CollectionId>,
    entries: BTreeMap<CollectionId, Entry>,
    /// The id for the next new name.
    next: CollectionId,
    /// The next id as the stored catalog has it.
    stored_next: CollectionId,
}

#[derive(Debug)]
struct Entry {
    name: String,
    stored: bool,
}

/// What a group of commits adds to the catalog, to be confirmed when the group has been committed.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    ids: BTreeSet<CollectionId>,
    next: Option<CollectionId>,
}

impl Catalog {
    /// Reads the catalog at the newest sequence.
    pub fn load(kv: &dyn OrderedKv) -> Result<Self> {
        let range = KeyRange::prefix(&CATALOG);
        let mut cursor = kv.cursor(range, kv.visible(), Direction::Forward, ReadTier::Disk)?;
        let first = CollectionId::FIRST;
        let (ids, entries) = (BTreeMap::new(), BTreeMap::new());
        let mut state = State { ids, entries, next: first, stored_next: first };
        while cursor.next()? {
            state.load_entry(&cursor.key()[KEYSPACE_BYTES..], cursor.value())?;
        }
        if let Some((&last, _)) = state.entries.last_key_value()
            && last >= state.stored_next
        {
            return Err(damaged(format_args!(
                "collection id {last} is not below the next id {}",
                state.stored_next
            )));
        }
        state.next = state.stored_next;
        Ok(Self { state: Mutex::new(state) })
    }

    /// The id of a name, a new one if the name is new.
    pub fn reserve(&self, name: &str) -> Result<CollectionId> {
        check_name(name)?;
        let mut state = lock(&self.state);
        if let Some(&id) = state.ids.get(name) {
            return Ok(id);
        }
        let count = state.entries.len() + 1;
        let following = state.next.get().checked_add(1).and_then(CollectionId::new);
        let (true, Some(following)) = (count <= MAX_COLLECTIONS, following) else {
            return Err(Error::too_many("collections", count, MAX_COLLECTIONS));
        };
        let id = std::mem::replace(&mut state.next, following);
        state.insert(name, id, false);
        Ok(id)
    }

    /// Names of the stored collections, sorted.
    pub fn stored_names(&self) -> Vec<String> {
        let state = lock(&self.state);
        let stored = |id: &CollectionId| state.entries.get(id).is_some_and(|entry| entry.stored);
        state.ids.iter().filter(|(_, id)| stored(id)).map(|(name, _)| name.clone()).collect()
    }

    /// The name of a collection.
    pub fn name(&self, id: CollectionId) -> Option<String> {
        lock(&self.state).entries.get(&id).map(|entry| entry.name.clone())
    }

    /// Refuses ids that this catalog did not give out.
    pub fn check_known(&self, ids: &[CollectionId]) -> Result<()> {
        let state = lock(&self.state);
        match ids.iter().find(|id| !state.entries.contains_key(id)) {
            Some(id) => Err(Error::argument(format!("there is no collection with id {id} in this store"))),
            None => Ok(()),
        }
    }

    /// Adds to `batch`, which writes to `ids`, the entries that neither storage nor an earlier batch of the same
    /// group has.
    pub fn claim(&self, ids: &[CollectionId], batch: &mut Batch, claims: &mut Claims) {
        let state = lock(&self.state);
        let mut next = claims.next.unwrap_or(state.stored_next);
        let before = next;
        for id in ids {
            let Some(entry) = state.entries.get(id) else { continue };
            if entry.stored || !claims.ids.insert(*id) {
                continue;
            }
            let key = [&[COLLECTION_TAG], entry.name.as_bytes()].concat();
            batch.push(&CATALOG, &key, Some(json!({ "id": id.get() }).to_string().as_bytes()));
            // `reserve` made sure that there is an id after this one.
            next = next.max(CollectionId::new(id.get().saturating_add(1)).unwrap_or(next));
        }
        if next != before {
            batch.push(&CATALOG, &NEXT_ID_KEY, Some(&next.get().to_le_bytes()));
            claims.next = Some(next);
        }
    }

    /// The group was committed: what it claimed is stored.
    pub fn confirm(&self, claims: Claims) {
        let mut state = lock(&self.state);
        for id in claims.ids {
            if let Some(entry) = state.entries.get_mut(&id) {
                entry.stored = true;
            }
        }
        state.stored_next = claims.next.unwrap_or(state.stored_next);
    }
}

impl State {
    fn insert(&mut self, name: &str, id: CollectionId, stored: bool) {
        self.ids.insert(name.to_owned(), id);
        self.entries.insert(id, Entry { name: name.to_owned(), stored });
    }

    fn load_entry(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if key == NEXT_ID_KEY {
            let number = value.try_into().ok().map(u32::from_le_bytes);
            self.stored_next = number
                .and_then(CollectionId::new)
                .ok_or_else(|| damaged(format_args!("{value:?} is not the next collection id")))?;
            return Ok(());
        }
        let [COLLECTION_TAG, name @ ..] = key else {
            return Err(Error::new(ErrorCode::NewerFormat, format!("unknown catalog entry {key:?}")));
        };
        let name = std::str::from_utf8(name).ok().filter(|name| check_name(name).is_ok());
        let name = name.ok_or_else(|| damaged(format_args!("{key:?} does not hold a collection name")))?;
        let id = parse_entry(value).ok_or_else(|| {
            damaged(format_args!("the entry of collection {name} is {:?}", String::from_utf8_lossy(value)))
        })?;
        if let Some(other) = self.entries.get(&id) {
            return Err(damaged(format_args!("collections {} and {name} both have id {id}", other.name)));
        }
        self.insert(name, id, true);
        Ok(())
    }
}

/// The id in a collection's entry. Fields it does not know it leaves alone.
fn parse_entry(value: &[u8]) -> Option<CollectionId> {
    let entry: Value = serde_json::from_slice(value).ok()?;
    CollectionId::new(entry.get("id")?.as_u64()?.try_into().ok()?)
}

/// Checks a collection name: 1 to 128 ASCII letters, digits, dots, underscores and hyphens.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refused = |message: String| Error::new(ErrorCode::InvalidName, message);
    if name.is_empty() {
        return Err(refused("a collection name has at least 1 character".to_owned()));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some((offset, c)) = name.char_indices().find(|&(_, c)| !allowed(c)) {
        let message = format!("a collection name has only A-Z a-z 0-9 . _ - but not {c:?} at byte {offset}");
        return Err(refused(message).with(|details| details.offset = Some(offset as u64)));
    }
    if name.len() > MAX_NAME_CHARS {
        let message =
            format!("a collection name has at most {MAX_NAME_CHARS} characters, not {}", name.len());
        return Err(refused(message).with(|details| {
            details.size = Some(name.len() as u64);
            details.limit = Some(MAX_NAME_CHARS as u64);
        }));
    }
    Ok(())
}

fn damaged(message: impl fmt::Display) -> Error {
    Error::new(ErrorCode::Corrupt, format!("damaged catalog: {message}"))
}

#[cfg(test)]
mod tests;
