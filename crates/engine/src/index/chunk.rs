//! A part of a build: records as they were at one sequence, with the entries that they are to have.

use fountain_lsm::{Direction, KeyRange, ReadTier, Seq};

use super::derive::{Changes, State, never_taken};
use super::entries::Entries;
use super::{Index, IndexId, IndexKind, IndexTable};
use crate::catalog::{SchemaOp, no_index};
use crate::error::{Error, Result};
use crate::keys;
use crate::kv::{Batch, OrderedKv};
use crate::limits::{BUILD_CHUNK_BYTES, KEYSPACE_BYTES};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::record::{Reader, Shapes};

/// How far a build has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Records that were passed.
    pub records: u64,
    /// The last of them; empty before the first.
    pub last: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Chunk {
    index: IndexId,
    /// The sequence at which the records were read.
    seq: Seq,
    records: Vec<ChunkRecord>,
    position: Position,
    bytes: usize,
}

#[derive(Debug)]
struct ChunkRecord {
    key: Vec<u8>,
    /// Keys without keyspace, and whether their values name the record.
    entries: Vec<(Vec<u8>, bool)>,
    /// Why it cannot be indexed. Nobody minds if it has expired.
    unfit: Option<Error>,
}

impl Chunk {
    /// Reads the records behind a position, but not more than `most`; `None` if there are none.
    ///
    /// # Errors
    /// What reading storage can fail with.
    pub(super) fn read(
        kv: &dyn OrderedKv,
        shapes: &Shapes,
        index: &Index,
        from: &Position,
        most: usize,
    ) -> Result<Option<Self>> {
        let pin = kv.pin(None)?;
        let start = if from.records == 0 { Vec::new() } else { keys::after(&from.last) };
        let range = index.collection.storage_range(&KeyRange { start, end: None });
        let mut cursor = kv.cursor(range, pin.seq(), Direction::Forward, ReadTier::Disk)?;
        let (records, position) = (Vec::new(), from.clone());
        let mut chunk = Self { index: index.id, seq: pin.seq(), records, position, bytes: 0 };
        let mut entries = Entries::default();
        while chunk.records.len() < most && chunk.bytes < BUILD_CHUNK_BYTES && cursor.next()? {
            let key = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
            let shapes = shapes.list();
            let unfit = match fill(&mut entries, index, key, &Reader::new(cursor.value(), &shapes)?) {
                Err(error) if never_taken(error.code) => {
                    entries.clear();
                    Some(error)
                }
                filled => filled.map(|()| None)?,
            };
            chunk.push(key, &entries, unfit);
        }
        Ok((!chunk.records.is_empty()).then_some(chunk))
    }

    /// Where the build stands when this is committed.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// What is stored about the progress of the build.
    pub(crate) fn progress(&self) -> SchemaOp {
        let Position { records, last } = self.position.clone();
        SchemaOp::NoteProgress { index: self.index, records, last }
    }

    /// Number of records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of all keys.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the entries of the records to `out`. Those that were written since they were read are read again: the commits
    /// that wrote them added only what differed from before, as if the entries of before had been there. What has expired
    /// and is in the way is deleted; returns how many.
    ///
    /// # Errors
    /// `ERR_UNIQUE` when a key is held by another record; `ERR_TOO_LARGE`, `ERR_LIMIT` and `ERR_DEFINITION` for a record
    /// that cannot be indexed; `ERR_NO_INDEX` when nothing is being built any more.
    pub(crate) fn apply(&self, state: &State<'_>, table: &IndexTable, out: &mut Batch) -> Result<usize> {
        let index = table.get(self.index).filter(|index| index.since.is_none());
        let index = index.ok_or_else(|| no_index(&self.index.to_string()))?;
        let mut changes = Changes::default();
        let mut entries = Entries::default();
        let left_out = usize::from(planted::active(Bug::PieceLacksLastRecord));
        for record in self.records.iter().rev().skip(left_out).rev() {
            // It must go, not only be left out: when it goes later, it would take the entry of who has its key by then.
            let may_hinder = record.unfit.is_some() || index.definition.kind() == IndexKind::Unique;
            if may_hinder && changes.evict_expired(state, table, index.collection, &record.key)? {
                continue;
            }
            self.claim(record, index, state, &mut entries, &mut changes)?;
            changes.check_size()?;
        }
        changes.finish(state, table, None, out)
    }

    /// Adds the entries of a record that is still there.
    fn claim(
        &self,
        record: &ChunkRecord,
        index: &Index,
        state: &State<'_>,
        entries: &mut Entries,
        changes: &mut Changes,
    ) -> Result<()> {
        let storage_key = index.collection.storage_key(&record.key);
        let newest = state.pending.sequence_of(state.kv, &storage_key)?;
        let is_as_read = newest.is_some_and(|newest| newest <= self.seq);
        if is_as_read || planted::active(Bug::BuildTakesOldRecords) {
            if let Some(error) = &record.unfit {
                return Err(error.clone());
            }
            for (key, exclusive) in &record.entries {
                changes.add(index, key, *exclusive, &record.key, 0);
            }
        } else if let Some(document) = state.pending.get(state.kv, &storage_key)? {
            hit(Mark::RecordChangedAmidBuild);
            fill(entries, index, &record.key, &Reader::new(&document, &state.shapes)?)?;
            for (key, exclusive) in entries.iter() {
                changes.add(index, key, exclusive, &record.key, 0);
            }
        }
        Ok(())
    }

    fn push(&mut self, key: &[u8], entries: &Entries, unfit: Option<Error>) {
        let entries: Vec<_> = entries.iter().map(|(key, exclusive)| (key.to_vec(), exclusive)).collect();
        self.bytes += key.len() + entries.iter().map(|(entry, _)| entry.len()).sum::<usize>();
        self.position.records += 1;
        self.position.last = key.to_vec();
        self.records.push(ChunkRecord { key: key.to_vec(), entries, unfit });
    }
}

/// The entries of a record; an error names the record.
fn fill(entries: &mut Entries, index: &Index, key: &[u8], record: &Reader<'_>) -> Result<()> {
    let filled = entries.fill(index, key, record);
    filled.map_err(|error| error.with(|details| details.holder = Some(super::show::tuple(key, 1))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fountain_lsm::Durability;

    use super::super::{IndexDefinition, IndexKind};
    use super::*;
    use crate::commit::Pending;
    use crate::keys::{Key, encode};
    use crate::keyspace::CollectionId;
    use crate::kv::MemoryKv;
    use crate::record::{from_json, write};

    fn put(kv: &MemoryKv, shapes: &Shapes, json: &str) {
        let record = write(&from_json(json).unwrap(), shapes).unwrap();
        let mut batch = Batch::default();
        batch.push(&CollectionId::FIRST.prefix(), &encode(&Key::Number(1.0)).unwrap(), Some(&record));
        kv.commit_many(&[batch], Durability::Disk).unwrap();
    }

    #[test]
    fn a_record_that_is_written_while_its_chunk_is_on_its_way_keeps_the_entries_that_did_not_change() {
        let (kv, shapes) = (MemoryKv::default(), Shapes::empty());
        let definition = IndexDefinition::new("n", IndexKind::Multi, &["n[]"]).unwrap();
        let (id, collection) = (IndexId::new(17), CollectionId::FIRST);
        let index = Index { id, collection, definition, since: None, expiry: None };
        put(&kv, &shapes, r#"{"n":["a","b"]}"#);
        let chunk = Chunk::read(&kv, &shapes, &index, &Position::default(), 256).unwrap().unwrap();
        put(&kv, &shapes, r#"{"n":["b","c"],"x":1}"#);

        let pending = Pending::new(kv.visible());
        let state = State { kv: &kv, pending: &pending, shapes: shapes.list(), now: 0.0 };
        let mut table = IndexTable::default();
        table.insert(Arc::new(index));
        let mut out = Batch::default();
        chunk.apply(&state, &table, &mut out).unwrap();
        let texts: Vec<_> = out.ops().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains('b') && texts[1].contains('c'), "{texts:?}");
    }
}
