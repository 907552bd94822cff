//! For stores that do not open: `verify` tells everything that is wrong, `salvage` saves everything that is left.
//!
//! Storage does the work. Here a salvaged store also gets a catalog that fits its records: a collection whose name is lost
//! is named after its number, even if only an index of it is left, and no number will be given out again. Where shapes of
//! records may be lost, their numbers are marked as those of lost shapes: a record that names one is an error to read, never
//! another document. Indexes are emptied, and built anew when the store is opened: which of their entries are lost, nobody
//! can tell. `catalog` does all that but the shapes. `check` looks at what is in a store whose files are sound, `contents` is
//! what it reports. Both reports can be had as JSON; `docs/repair.md` says what to do with them,
//! `docs/reports.schema.json` is their form.

mod catalog;
mod check;
mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fountain_lsm::{
    CheckedFile, Db, Direction, Durability, KeyRange, Loss, Note, Options, ReadTier, Seq, VerifyOptions,
    WriteBatch,
};
use serde_json::{Value, json};

use crate::error::Result;
use crate::keyspace::{CATALOG, CollectionId, SHAPES};
use crate::limits::{KEYSPACE_BYTES, MAX_SHAPES};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::record::LOST_SHAPE;

pub use contents::{ContentFault, ContentFaultCode, ContentReport};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// What storage says of the files.
    pub storage: fountain_lsm::VerifyReport,
    /// What is in them; `None` if a file has a fault, as then nothing certain can be said of it.
    pub contents: Option<ContentReport>,
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

/// Reads every file of the store in `path` and proves it, and if they are sound, catalog, records and indexes, too. Writes
/// nothing, takes no lock, and needs a store that nobody has open, whether it can be opened or not. Of the options only the
/// file system counts. Blocking.
///
/// # Errors
/// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_IO`. What is wrong with a file or with what is in
/// it is in the report.
pub fn verify(path: &Path, options: &Options) -> Result<VerifyReport> {
    let options = VerifyOptions { fs: options.fs.clone(), ..VerifyOptions::default() };
    let (storage, contents) = fountain_lsm::verify_with(path, &options, check::check)?;
    Ok(VerifyReport { storage, contents })
}

/// Saves what can be read of the store in `source`, which stays as it is, into a new store in `dest`, which must not be
/// there or be an empty directory. Blocking, for about as long as copying takes.
///
/// # Errors
/// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_IO`, `ERR_DISK_FULL`, and `ERR_CORRUPT` if no
/// file tells the id of the store. What cannot be read of a file is in the report.
pub fn salvage(source: &Path, dest: &Path, options: &Options) -> Result<SalvageReport> {
    fountain_lsm::salvage_with(source, dest, options, |place, storage| mend(place, storage, options))
}

/// Makes a catalog and shapes that fit what was saved in `place`, before it becomes a store.
fn mend(place: &Path, mut storage: fountain_lsm::SalvageReport, options: &Options) -> Result<SalvageReport> {
    let db = Db::open(place, Options { create_if_missing: false, background: false, ..options.clone() })?;
    let lost =
        |keyspace| storage.losses.iter().any(|loss| share_keys(&loss.keys, &KeyRange::prefix(keyspace)));
    let (lost_shapes, lost_catalog) = (lost(&SHAPES), lost(&CATALOG));
    let mended = catalog::refuse_newer(&db)
        .and_then(|()| mend_shapes(&db, lost_shapes))
        .and_then(|()| catalog::mend(&db, lost_catalog));
    storage.sequence = db.visible();
    let closed = db.close();
    let (collections, renamed) = mended?;
    closed?;
    Ok(SalvageReport { storage, collections, renamed })
}

/// Marks every shape that is missing as lost: between others, and if the last ones `may_be_lost`, every number that may have
/// been given out. New records then carry their names themselves.
fn mend_shapes(db: &Db, may_be_lost: bool) -> Result<()> {
    let mut stored = BTreeSet::new();
    let mut cursor =
        db.cursor(KeyRange::prefix(&SHAPES), db.visible(), Direction::Forward, ReadTier::Disk)?;
    while cursor.next()? {
        stored.extend(cursor.key()[KEYSPACE_BYTES..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes)));
    }
    drop(cursor);
    let end = if may_be_lost { MAX_SHAPES as u32 } else { stored.last().map_or(0, |last| last + 1) };
    let end = if planted::active(Bug::LostShapesForgotten) { 0 } else { end };
    let mut batch = WriteBatch::new();
    for number in (0..end).filter(|number| !stored.contains(number)) {
        batch.put(&[SHAPES, number.to_be_bytes()].concat(), LOST_SHAPE)?;
    }
    if !batch.is_empty() {
        hit(Mark::ShapesMarkedLost);
        db.commit(batch, Durability::Disk)?;
    }
    Ok(())
}

fn share_keys(a: &KeyRange, b: &KeyRange) -> bool {
    let begins_before = |a: &KeyRange, b: &KeyRange| b.end.as_ref().is_none_or(|end| a.start < *end);
    begins_before(a, b) && begins_before(b, a)
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.storage.is_sound() && self.contents.as_ref().is_none_or(ContentReport::is_sound)
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let report = &self.storage;
        json!({
            "path": report.path.to_string_lossy(),
            "store": report.store.map(|store| hex(&store.0)),
            "sequence": report.sequence.get(),
            "closedCleanly": report.closed_cleanly,
            "sound": self.is_sound(),
            "bytes": report.bytes(),
            "contents": self.contents.as_ref().map(ContentReport::to_json),
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
