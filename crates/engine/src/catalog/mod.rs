//! What a store holds: names of collections, the ids of their keyspaces, their options, and their indexes
//! (`docs/format.md` §6.2).
//!
//! A name gets its id when it is first asked for; nothing is stored then. The first commit that writes to the
//! collection carries the catalog entry, so the entry exists if and only if that commit does. An id stays with its
//! name while the store is open, even when that commit fails, and the commit after it carries the entry instead.
//!
//! Everything else changes on the commit thread, as part of a commit (`change`): what a group changes is in its
//! [`Claims`] until the group was committed, and for everybody else only then.
//!
//! What always holds: a stored id is below the stored next id, so no id is ever given to a second name.

mod change;
mod entry;
mod past;
mod retention;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use fountain_lsm::{Direction, KeyRange, ReadTier, Seq};

use crate::error::{Error, ErrorCode, Result};
use crate::index::{Index, IndexId, IndexTable};
use crate::keyspace::{CATALOG, CollectionId};
use crate::kv::{Batch, KvCursor, OrderedKv};
use crate::limits::{KEYSPACE_BYTES, MAX_COLLECTIONS, MAX_DROPPED_NAMES, MAX_NAME_CHARS};
use crate::planted::{self, Bug};
use crate::sync::lock;

pub(crate) use change::{SchemaOp, no_index};
pub(crate) use entry::parse_collection;
pub use entry::{CollectionOptions, CollectionSetting, Ttl};
pub(crate) use past::Names;
pub use retention::CollectionRetention;
pub(crate) use retention::RuleChange;

/// Begins the key of a collection's entry; its name follows.
const COLLECTION_TAG: u8 = 0x01;
/// The key of the next keyspace id.
const NEXT_ID_KEY: [u8; 1] = [0x02];
/// Begins the key of an index's entry; the id of its collection and its name follow.
const INDEX_TAG: u8 = 0x03;
/// Begins the key of the progress of a build; the id of the index follows.
const PROGRESS_TAG: u8 = 0x04;
/// Begins the key of what is kept of a keyspace that was dropped; its id follows.
const DROPPED_TAG: u8 = 0x05;
/// Begins the key of an expiry index; the id of its collection follows.
const EXPIRY_TAG: u8 = 0x06;

/// The collections of one store, by name and by id.
#[derive(Debug)]
pub(crate) struct Catalog {
    state: Mutex<State>,
    /// The indexes as of the newest commit.
    indexes: ArcSwap<IndexTable>,
}

#[derive(Debug)]
struct State {
    ids: BTreeMap<String, CollectionId>,
    entries: BTreeMap<CollectionId, Entry>,
    /// The id for the next new name or index.
    next: u32,
    /// The next id as the stored catalog has it.
    stored_next: u32,
    /// Which versions are kept of keyspaces that were dropped, where that was set.
    dropped: BTreeMap<u32, CollectionRetention>,
    /// The names of the collections that were dropped last, for messages to those who still write to them.
    dropped_names: VecDeque<(CollectionId, String)>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    stored: bool,
    options: CollectionOptions,
}

/// What a group of commits changes in the catalog, to be confirmed when the group has been committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    ids: BTreeSet<CollectionId>,
    /// Collections that a definition stored, and the sequence of the commit that did: for that commit they are new to its end.
    created: BTreeMap<CollectionId, Seq>,
    next: Option<u32>,
    options: BTreeMap<CollectionId, CollectionOptions>,
    dropped: BTreeSet<CollectionId>,
    /// Keyspaces that are dropped, and which of their versions are kept, where that is set.
    retired: Vec<(u32, CollectionRetention)>,
    indexes: Option<Arc<IndexTable>>,
}

impl Catalog {
    /// Reads the catalog at the newest sequence.
    pub fn load(kv: &dyn OrderedKv) -> Result<Self> {
        let newest = kv.visible();
        let mut cursor = kv.cursor(KeyRange::prefix(&CATALOG), newest, Direction::Forward, ReadTier::Disk)?;
        Self::read(cursor.as_mut(), newest)
    }

    /// Reads the catalog from a walk over its keyspace as of a sequence.
    ///
    /// # Errors
    /// `ERR_CORRUPT` for a catalog that is damaged, `ERR_NEWER_FORMAT` for one with what this version does not know.
    pub fn read(cursor: &mut dyn KvCursor, at: Seq) -> Result<Self> {
        let first = CollectionId::FIRST.get();
        let (ids, entries, dropped) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut state =
            State { ids, entries, next: first, stored_next: first, dropped, dropped_names: VecDeque::new() };
        let mut indexes = IndexTable::opened(at);
        while cursor.next()? {
            let key = &cursor.key()[KEYSPACE_BYTES..];
            match key.first() {
                Some(&INDEX_TAG) => indexes.insert(Arc::new(entry::load_index(key, cursor.value())?)),
                Some(&EXPIRY_TAG) => indexes.insert(Arc::new(entry::load_expiry(key, cursor.value())?)),
                Some(&PROGRESS_TAG) => {}
                Some(&DROPPED_TAG) => state.dropped.extend([entry::load_dropped(key, cursor.value())?]),
                _ => state.load_entry(key, cursor.value())?,
            }
        }
        state.check_ids(&indexes)?;
        state.next = state.stored_next;
        Ok(Self { state: Mutex::new(state), indexes: ArcSwap::from_pointee(indexes) })
    }

    /// Refuses an entry that this version does not know, damaged or not; `key` is without the keyspace.
    ///
    /// # Errors
    /// `ERR_NEWER_FORMAT`.
    pub fn refuse_newer(key: &[u8], value: &[u8]) -> Result<()> {
        match key.first() {
            Some(&(COLLECTION_TAG | PROGRESS_TAG | DROPPED_TAG | EXPIRY_TAG)) => Ok(()),
            Some(&INDEX_TAG) => match entry::load_index(key, value) {
                Err(error) if error.code == ErrorCode::NewerFormat => Err(error),
                _ => Ok(()),
            },
            _ if key == NEXT_ID_KEY => Ok(()),
            _ => Err(unknown_entry(key)),
        }
    }

    /// The name of which a storage key of the catalog tells what it means.
    pub fn named_by(key: &[u8]) -> Option<String> {
        let name = key.strip_prefix(&CATALOG)?.strip_prefix(&[COLLECTION_TAG])?;
        String::from_utf8(name.to_vec()).ok()
    }

    /// The indexes as of the newest commit.
    pub fn indexes(&self) -> Arc<IndexTable> {
        self.indexes.load_full()
    }

    /// The same, for a short look.
    pub fn current_indexes(&self) -> arc_swap::Guard<Arc<IndexTable>> {
        self.indexes.load()
    }

    /// The id of a name, a new one if the name is new.
    pub fn reserve(&self, name: &str) -> Result<CollectionId> {
        check_name(COLLECTION_NAME, name)?;
        let mut state = lock(&self.state);
        if let Some(&id) = state.ids.get(name) {
            return Ok(id);
        }
        let count = state.entries.len() + 1;
        if count > MAX_COLLECTIONS {
            return Err(Error::too_many("collections", count, MAX_COLLECTIONS));
        }
        let id = state.take_id()?;
        state.insert(name, id, false, CollectionOptions::default());
        Ok(id)
    }

    /// The id of a name, if it has one.
    pub fn known(&self, name: &str) -> Result<Option<CollectionId>> {
        check_name(COLLECTION_NAME, name)?;
        Ok(lock(&self.state).ids.get(name).copied())
    }

    /// The id and the options of a stored collection.
    pub fn stored(&self, name: &str) -> Option<(CollectionId, CollectionOptions)> {
        let state = lock(&self.state);
        let &id = state.ids.get(name)?;
        let entry = state.entries.get(&id).filter(|entry| entry.stored)?;
        Some((id, entry.options.clone()))
    }

    /// Names of the stored collections, sorted.
    pub fn stored_names(&self) -> Vec<String> {
        let state = lock(&self.state);
        let stored = |id: &CollectionId| state.entries.get(id).is_some_and(|entry| entry.stored);
        state.ids.iter().filter(|(_, id)| stored(id)).map(|(name, _)| name.clone()).collect()
    }

    /// All collections that are known, by id.
    pub fn all_names(&self) -> Names {
        lock(&self.state).entries.iter().map(|(id, entry)| (*id, entry.name.clone())).collect()
    }

    /// Whether a collection or an index has this number.
    pub fn has_keyspace(&self, number: CollectionId) -> bool {
        lock(&self.state).entries.contains_key(&number)
            || self.indexes().get(IndexId::new(number.get())).is_some()
    }

    /// The name of a collection.
    pub fn name(&self, id: CollectionId) -> Option<String> {
        lock(&self.state).entries.get(&id).map(|entry| entry.name.clone())
    }

    /// Refuses ids that are those of no collection. `of_transaction` says that the collections were there when a transaction
    /// began: then one that was dropped is a conflict.
    pub fn check_known(&self, ids: &[CollectionId], of_transaction: bool) -> Result<()> {
        let state = lock(&self.state);
        match ids.iter().find(|id| !state.entries.contains_key(id)) {
            Some(id) if id.get() < state.next => {
                let name = state.dropped_names.iter().find(|(dropped, _)| dropped == id);
                Err(dropped(*id, name.map(|(_, name)| name), of_transaction))
            }
            Some(id) => Err(Error::argument(format!("there is no collection with id {id} in this store"))),
            None => Ok(()),
        }
    }

    /// Refuses ids of collections that the group has dropped, as [`Catalog::check_known`] does.
    pub fn check_kept(&self, claims: &Claims, ids: &[CollectionId], of_transaction: bool) -> Result<()> {
        match ids.iter().find(|id| claims.dropped.contains(id)) {
            Some(id) => Err(dropped(*id, self.name(*id).as_ref(), of_transaction)),
            None => Ok(()),
        }
    }

    /// Adds to `batch`, which writes to `ids`, the entries that neither storage nor an earlier batch of the same
    /// group has. What the group has dropped gets none.
    pub fn claim(&self, ids: &[CollectionId], batch: &mut Batch, claims: &mut Claims) {
        let state = lock(&self.state);
        let mut next = claims.next.unwrap_or(state.stored_next);
        let before = next;
        for id in ids {
            let Some(entry) = state.entries.get(id) else { continue };
            if entry.stored || claims.dropped.contains(id) || !claims.ids.insert(*id) {
                continue;
            }
            let options = claims.options.get(id).unwrap_or(&entry.options);
            if !planted::active(Bug::NameNotCommitted) {
                batch.push(&CATALOG, &entry::collection_key(&entry.name), Some(&options.to_entry(*id)));
            }
            // `take_id` made sure that there is an id after this one.
            next = next.max(id.get().saturating_add(1));
        }
        if next != before {
            batch.push(&CATALOG, &NEXT_ID_KEY, Some(&next.to_le_bytes()));
            claims.next = Some(next);
        }
    }

    /// Hides the indexes that a group drops, before it is committed: whoever sees the commit must not find them any more,
    /// as they are empty then. An expiry index that gets a successor stays until that takes its place: its entries are read by
    /// the sweeper alone, and without it everything would be seen that has expired. Returns what is to be restored if it is
    /// not committed.
    pub fn withdraw(&self, claims: &Claims) -> Option<Arc<IndexTable>> {
        let after = claims.indexes.as_ref()?;
        let before = self.indexes();
        let mut kept = IndexTable::clone(&before);
        let replaced = |index: &Index| index.expiry.is_some() && after.expiry_of(index.collection).is_some();
        for index in before.iter().filter(|index| after.get(index.id).is_none() && !replaced(index)) {
            kept.remove(index.id);
        }
        // Until the new rule is there, whoever sees the commit has to ask the catalog as it is stored.
        for collection in after.ttl_changes_since(&before) {
            kept.note_ttl_change(collection, Seq::MAX);
        }
        self.indexes.store(Arc::new(kept));
        Some(before)
    }

    /// Shows again what [`Catalog::withdraw`] has hidden.
    pub fn restore(&self, withdrawn: Option<Arc<IndexTable>>) {
        if let Some(indexes) = withdrawn {
            self.indexes.store(indexes);
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
        for (id, options) in claims.options {
            if let Some(entry) = state.entries.get_mut(&id) {
                entry.options = options;
            }
        }
        for id in claims.dropped {
            if let Some(entry) = state.entries.remove(&id) {
                state.ids.remove(&entry.name);
                state.dropped_names.push_back((id, entry.name));
            }
        }
        while state.dropped_names.len() > MAX_DROPPED_NAMES {
            state.dropped_names.pop_front();
        }
        state.dropped.extend(claims.retired);
        state.stored_next = claims.next.unwrap_or(state.stored_next);
        if let Some(mut indexes) = claims.indexes {
            Arc::make_mut(&mut indexes).limit_ttl_changes();
            self.indexes.store(indexes);
        }
    }
}

impl Claims {
    /// Whether options or indexes change.
    pub fn changes_schema(&self) -> bool {
        self.indexes.is_some() || !self.options.is_empty()
    }

    /// Whether indexes come, go or become ready.
    pub fn changes_indexes(&self) -> bool {
        self.indexes.is_some()
    }
}

impl State {
    fn insert(&mut self, name: &str, id: CollectionId, stored: bool, options: CollectionOptions) {
        self.ids.insert(name.to_owned(), id);
        self.entries.insert(id, Entry { name: name.to_owned(), stored, options });
    }

    /// An id that nothing has yet.
    fn take_id(&mut self) -> Result<CollectionId> {
        let following = self.next.checked_add(1);
        let (Some(id), Some(following)) = (CollectionId::new(self.next), following) else {
            return Err(Error::too_many("keyspaces", u32::MAX as usize, u32::MAX as usize));
        };
        self.next = following;
        Ok(id)
    }

    /// Refuses a catalog that does not agree with itself.
    fn check_ids(&self, indexes: &IndexTable) -> Result<()> {
        let last_index = indexes.iter().map(|index| index.id.get()).max();
        let last = self.entries.last_key_value().map(|(id, _)| id.get()).max(last_index);
        if let Some(last) = last.filter(|&last| last >= self.stored_next) {
            let next = self.stored_next;
            return Err(damaged(format_args!("the id {last} is not below the next id {next}")));
        }
        for index in indexes.iter() {
            if !self.entries.contains_key(&index.collection) {
                let (name, collection) = (index.definition.name(), index.collection);
                return Err(damaged(format_args!("index {name} belongs to no collection {collection}")));
            }
            if CollectionId::new(index.id.get()).is_none_or(|id| self.entries.contains_key(&id)) {
                return Err(damaged(format_args!("an index and something else have id {}", index.id)));
            }
        }
        Ok(())
    }

    fn load_entry(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if key == NEXT_ID_KEY {
            let number = value.try_into().ok().map(u32::from_le_bytes);
            self.stored_next = number
                .filter(|&number| number >= CollectionId::FIRST.get())
                .ok_or_else(|| damaged(format_args!("{value:?} is not the next keyspace id")))?;
            return Ok(());
        }
        let [COLLECTION_TAG, name @ ..] = key else {
            return Err(unknown_entry(key));
        };
        let name = std::str::from_utf8(name).ok().filter(|name| check_name(COLLECTION_NAME, name).is_ok());
        let name = name.ok_or_else(|| damaged(format_args!("{key:?} does not hold a collection name")))?;
        let (id, options) = entry::parse_collection(value).ok_or_else(|| {
            damaged(format_args!("the entry of collection {name} is {:?}", String::from_utf8_lossy(value)))
        })?;
        if let Some(other) = self.entries.get(&id) {
            return Err(damaged(format_args!("collections {} and {name} both have id {id}", other.name)));
        }
        self.insert(name, id, true, options);
        Ok(())
    }
}

fn dropped(id: CollectionId, name: Option<&String>, of_transaction: bool) -> Error {
    let code = if of_transaction { ErrorCode::Conflict } else { ErrorCode::NotFound };
    let called =
        name.map_or_else(|| format!("the collection with id {id}"), |name| format!("collection {name}"));
    Error::new(code, format!("{called} was dropped")).with(|details| details.collection = name.cloned())
}

/// What [`check_name`] calls the name of a collection.
const COLLECTION_NAME: &str = "a collection name";

/// Checks a name, called `what`: 1 to 128 ASCII letters, digits, dots, underscores and hyphens.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let refused = |message: String| Error::new(ErrorCode::InvalidName, message);
    if name.is_empty() {
        return Err(refused(format!("{what} has at least 1 character")));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some((offset, c)) = name.char_indices().find(|&(_, c)| !allowed(c)) {
        let message = format!("{what} has only A-Z a-z 0-9 . _ - but not {c:?} at byte {offset}");
        return Err(refused(message).with(|details| details.offset = Some(offset as u64)));
    }
    if name.len() > MAX_NAME_CHARS {
        let message = format!("{what} has at most {MAX_NAME_CHARS} characters, not {}", name.len());
        return Err(refused(message).with(|details| {
            details.size = Some(name.len() as u64);
            details.limit = Some(MAX_NAME_CHARS as u64);
        }));
    }
    Ok(())
}

fn unknown_entry(key: &[u8]) -> Error {
    Error::new(ErrorCode::NewerFormat, format!("unknown catalog entry {key:?}"))
}

fn damaged(message: impl fmt::Display) -> Error {
    Error::new(ErrorCode::Corrupt, format!("damaged catalog: {message}"))
}

#[cfg(test)]
mod tests;
