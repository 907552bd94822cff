//! For stores that do not open: `verify` tells everything that is wrong, `salvage` saves everything that is left.
//!
//! Storage does the work. Here a salvaged store also gets a catalog that fits its records: a collection whose name is lost
//! is named after its number, even if only an index of it is left, and no number will be given out again. Where shapes of records may be lost, their numbers
//! are taken by shapes that fit no record: one that names a lost shape is an error to read, never another document. Indexes
//! are emptied, and built anew when the store is opened: which of their entries are lost, nobody can tell. Both reports can be had as JSON; `docs/repair.md`
//! says what to do with them, `docs/reports.schema.json` is their form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fountain_lsm::{
    CheckedFile, Db, Direction, Durability, KeyRange, Loss, Note, Options, ReadTier, Seq, VerifyOptions,
    WriteBatch,
};
use serde_json::{Value, json};

use crate::error::Result;
use crate::expiry::CODEC_EXPIRING;
use crate::keyspace::{CATALOG, CollectionId, SHAPES};
use crate::limits::{KEYSPACE_BYTES, MAX_SHAPE_NAMES, MAX_SHAPES};
use crate::record::CODEC_RECORD;

/// Begins the key of a collection's entry; its name follows. The key of the next keyspace id.
const COLLECTION_TAG: u8 = 0x01;
const NEXT_ID_TAG: u8 = 0x02;
/// Begins the key of an index's entry, and that of the progress of its build.
const INDEX_TAG: u8 = 0x03;
const EXPIRY_TAG: u8 = 0x06;
const PROGRESS_TAG: u8 = 0x04;

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// What storage says.
    pub storage: fountain_lsm::VerifyReport,
}

/// What [`salvage`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// What storage says. Its `sequence` counts the commit that mended the catalog, if there was one.
    pub storage: fountain_lsm::SalvageReport,
    /// The collections of the destination.
    pub collections: BTreeMap<CollectionId, String>,
    /// Those of them whose names were lost and are made up.
    pub renamed: Vec<CollectionId>,
}

/// Reads every file of the store in `path` and proves it. Writes nothing, takes no lock, and needs a store that nobody has
/// open, whether it can be opened or not. Of the options only the file system counts. Blocking.
///
/// # Errors
/// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_IO`. What is wrong with a file is in the
/// report.
pub fn verify(path: &Path, options: &Options) -> Result<VerifyReport> {
    let options = VerifyOptions { fs: options.fs.clone() };
    Ok(VerifyReport { storage: fountain_lsm::verify(path, &options)? })
}

/// Saves what can be read of the store in `source`, which stays as it is, into a new store in `dest`, which must not be
/// there or be an empty directory. Blocking, for about as long as copying takes.
///
/// # Errors
/// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_IO`, `ERR_DISK_FULL`, and `ERR_CORRUPT` if no
/// file tells the id of the store. What cannot be read of a file is in the report.
pub fn salvage(source: &Path, dest: &Path, options: &Options) -> Result<SalvageReport> {
    let mut storage = fountain_lsm::salvage(source, dest, options)?;
    let db = Db::open(dest, Options { create_if_missing: false, background: false, ..options.clone() })?;
    let lost_shapes = storage.losses.iter().any(|loss| share_keys(&loss.keys, &KeyRange::prefix(&SHAPES)));
    let mended = mend_shapes(&db, lost_shapes).and_then(|()| mend_catalog(&db));
    storage.sequence = db.visible();
    let closed = db.close();
    let (collections, renamed) = mended?;
    closed?;
    Ok(SalvageReport { storage, collections, renamed })
}

/// Gives every collection that has records or indexes a name, and leaves a next id behind all of them.
fn mend_catalog(db: &Db) -> Result<(BTreeMap<CollectionId, String>, Vec<CollectionId>)> {
    let (mut names, next) = read_catalog(db)?;
    let Emptied { mut batch, last, collections: mut found } = empty_indexes(db)?;
    let mut renamed = Vec::new();
    let mut last_used = last;
    for (id, has_records) in keyspaces(db)? {
        last_used = last_used.max(id.get());
        if has_records {
            found.insert(id);
        } else if !names.contains_key(&id) {
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
        batch.put(
            &catalog_key(COLLECTION_TAG, name.as_bytes()),
            json!({ "id": id.get() }).to_string().as_bytes(),
        )?;
        names.insert(id, name);
        renamed.push(id);
    }
    last_used = last_used.max(names.keys().next_back().map_or(0, |last| last.get()));
    let least = last_used.saturating_add(1);
    if next < least && last_used > 0 {
        batch.put(&catalog_key(NEXT_ID_TAG, b""), &least.to_le_bytes())?;
    }
    if !batch.is_empty() {
        db.commit(batch, Durability::Disk)?;
    }
    Ok((names, renamed))
}

/// Puts a shape that fits no record where one is missing: between others, and if the last ones `may_be_lost`, at every number
/// that may have been given out. Records then carry their names themselves.
///
/// In a record every value says how it ends, and an object has as many as its shape has names. With a shape of more names
/// than the right one, a record ends before it is complete.
fn mend_shapes(db: &Db, may_be_lost: bool) -> Result<()> {
    let mut stored = BTreeSet::new();
    let mut cursor =
        db.cursor(KeyRange::prefix(&SHAPES), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        stored.extend(cursor.key()[KEYSPACE_BYTES..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes)));
    }
    drop(cursor);
    let end = if may_be_lost { MAX_SHAPES as u32 } else { stored.last().map_or(0, |last| last + 1) };
    let mut batch = WriteBatch::new();
    for number in (0..end).filter(|number| !stored.contains(number)) {
        let names: Vec<String> = (0..MAX_SHAPE_NAMES)
            .map(|name| if name == 0 { format!("lost {number}") } else { name.to_string() })
            .collect();
        let key = [SHAPES, number.to_be_bytes()].concat();
        batch.put(&key, json!(names).to_string().as_bytes())?;
    }
    if !batch.is_empty() {
        db.commit(batch, Durability::Disk)?;
    }
    Ok(())
}

fn share_keys(a: &KeyRange, b: &KeyRange) -> bool {
    let begins_before = |a: &KeyRange, b: &KeyRange| b.end.as_ref().is_none_or(|end| a.start < *end);
    begins_before(a, b) && begins_before(b, a)
}

fn catalog_key(tag: u8, rest: &[u8]) -> Vec<u8> {
    [&CATALOG[..], &[tag], rest].concat()
}

/// The names that can be read and the next id, 0 if that is lost.
fn read_catalog(db: &Db) -> Result<(BTreeMap<CollectionId, String>, u32)> {
    let (mut names, mut next) = (BTreeMap::new(), 0);
    let mut cursor =
        db.cursor(KeyRange::prefix(&CATALOG), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        match &cursor.key()[KEYSPACE_BYTES..] {
            [COLLECTION_TAG, name @ ..] => {
                let entry: Option<Value> = serde_json::from_slice(cursor.value()).ok();
                let id = entry.as_ref().and_then(|entry| u32::try_from(entry["id"].as_u64()?).ok());
                if let (Some(id), Ok(name)) = (id.and_then(CollectionId::new), std::str::from_utf8(name)) {
                    names.insert(id, name.to_owned());
                }
            }
            [NEXT_ID_TAG] => {
                next = cursor.value().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            }
            _ => {}
        }
    }
    Ok((names, next))
}

/// What lets every index be built anew.
struct Emptied {
    batch: WriteBatch,
    /// The last id of an index.
    last: u32,
    /// The collections that have indexes. One may have lost its name and all its records.
    collections: BTreeSet<CollectionId>,
}

/// Lets every index be built anew: its entries go, and so does what says that it is ready.
fn empty_indexes(db: &Db) -> Result<Emptied> {
    let (mut batch, mut last, mut collections) = (WriteBatch::new(), 0, BTreeSet::new());
    let mut cursor =
        db.cursor(KeyRange::prefix(&CATALOG), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        match &cursor.key()[KEYSPACE_BYTES..] {
            [INDEX_TAG | EXPIRY_TAG, owner @ ..] => {
                let entry: Option<serde_json::Map<_, _>> = serde_json::from_slice(cursor.value()).ok();
                let Some(mut entry) = entry else { continue };
                let id = entry.get("id").and_then(|id| u32::try_from(id.as_u64()?).ok());
                let Some(id) = id.and_then(CollectionId::new) else { continue };
                last = last.max(id.get());
                let owner = owner.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                collections.extend(owner.and_then(CollectionId::new));
                entry.remove("since");
                batch.delete_range(&KeyRange::prefix(&id.prefix()))?;
                batch.put(cursor.key(), Value::Object(entry).to_string().as_bytes())?;
            }
            [PROGRESS_TAG, ..] => batch.delete(cursor.key())?,
            _ => {}
        }
    }
    Ok(Emptied { batch, last, collections })
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
        found.push((id, matches!(first, Some(&(CODEC_RECORD | CODEC_EXPIRING)))));
        from = id.get().checked_add(1).and_then(CollectionId::new);
    }
    Ok(found)
}

impl VerifyReport {
    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let report = &self.storage;
        json!({
            "path": report.path.to_string_lossy(),
            "store": report.store.map(|store| hex(&store.0)),
            "sequence": report.sequence.get(),
            "closedCleanly": report.closed_cleanly,
            "sound": report.is_sound(),
            "bytes": report.bytes(),
            "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
            "notes": report.notes.iter().map(note_json).collect::<Vec<_>>(),
        })
    }
}

impl SalvageReport {
    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let report = &self.storage;
        json!({
            "source": report.source.to_string_lossy(),
            "destination": report.destination.to_string_lossy(),
            "sourceStore": hex(&report.source_store.0),
            "store": hex(&report.store.0),
            "sequence": report.sequence.get(),
            "historyFrom": report.history_from.get(),
            "complete": report.is_complete(),
            "manifestSound": report.manifest_sound,
            "versions": report.versions,
            "rangeDeletions": report.range_deletions,
            "logCommits": report.log_commits,
            "tables": report.tables,
            "bytes": report.bytes,
            "collections": self.collections.values().collect::<Vec<_>>(),
            "renamed": self.renamed.iter().filter_map(|id| self.collections.get(id)).collect::<Vec<_>>(),
            "losses": report.losses.iter().map(|loss| self.loss_json(loss)).collect::<Vec<_>>(),
            "files": report.files.iter().map(file_json).collect::<Vec<_>>(),
            "notes": report.notes.iter().map(note_json).collect::<Vec<_>>(),
        })
    }

    fn loss_json(&self, loss: &Loss) -> Value {
        let concerned = |id: &CollectionId| share_keys(&loss.keys, &id.storage_range(&KeyRange::default()));
        let named = self.collections.iter().filter(|(id, _)| concerned(id)).map(|(_, name)| name);
        let last = loss.sequences.last;
        json!({
            "code": loss.code.as_str(),
            "path": loss.path.to_string_lossy(),
            "offset": loss.offset,
            "bytes": loss.bytes,
            "collections": named.collect::<Vec<_>>(),
            "catalog": *loss.keys.start < CollectionId::FIRST.prefix()[..],
            "keys": { "start": hex(&loss.keys.start), "end": loss.keys.end.as_deref().map(hex) },
            "sequences": { "first": loss.sequences.first.get(), "last": (last < Seq::MAX).then(|| last.get()) },
            "certain": loss.certain,
            "found": loss.found,
        })
    }
}

fn file_json(file: &CheckedFile) -> Value {
    let fault = |fault: &fountain_lsm::Fault| {
        json!({
            "offset": fault.offset,
            "code": fault.code.as_str(),
            "expected": fault.code.expected(),
            "found": fault.found,
        })
    };
    json!({
        "path": file.path.to_string_lossy(),
        "bytes": file.bytes,
        "blocks": file.blocks,
        "faults": file.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn note_json(note: &Note) -> Value {
    json!({
        "path": note.path.to_string_lossy(),
        "code": note.code.as_str(),
        "offset": note.offset,
        "bytes": note.bytes,
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(DIGITS[usize::from(four)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}
