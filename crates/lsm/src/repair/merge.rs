//! All versions that could be read, in order, written into new tables.
//!
//! The pieces of all tables are merged; one that begins late is not read before its turn. The same version in two places,
//! as of a table and the tables that it was merged into, is written once. All go to the lowest level, in tables that do
//! not overlap, so nothing has to be known about the levels they were in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::loss::{Loss, LossCode};
use crate::compaction::Clipper;
use crate::db::SeqRange;
use crate::error::{Error, Result};
use crate::files::StorePaths;
use crate::fs::Fs;
use crate::marks::{Mark, hit};
use crate::options::Options;
use crate::planted::{self, Bug};
use crate::table::{BlockCursor, Piece, Remains, TableMeta, TableWriter};
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Seq, StoreId};

/// Where the new tables are written.
pub(super) struct Target<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) paths: &'a StorePaths,
    pub(super) store: StoreId,
    pub(super) options: &'a Options,
    pub(super) next_file: FileNumber,
}

impl Target<'_> {
    pub(super) fn take_number(&mut self) -> FileNumber {
        let number = self.next_file;
        self.next_file = FileNumber(number.0 + 1);
        number
    }
}

/// What was written.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) tables: Vec<TableMeta>,
    pub(super) versions: u64,
    pub(super) range_deletions: u64,
    /// Pieces that could be read once and not again.
    pub(super) losses: Vec<Loss>,
}

/// Writes everything in `sources` into new tables, whose bytes are on disk afterwards; their names may not be.
pub(super) fn merge(sources: &[Remains], target: &mut Target<'_>) -> Result<Merged> {
    let with_deletions = sources.iter().filter(|_| !planted::active(Bug::SalvageForgetsRangeDeletions));
    let deleted = RangeTombstones::union(with_deletions.map(|source| &source.tombstones));
    let mut heap: BinaryHeap<Run<'_>> = BinaryHeap::new();
    for source in sources {
        heap.extend(source.pieces.iter().map(|piece| Run::new(source, piece)));
    }
    let mut output = Output { target, clipper: Clipper::new(deleted), open: None, merged: Merged::default() };
    let mut last: Option<(Vec<u8>, Seq)> = None;
    while let Some(mut run) = heap.pop() {
        let Some(cursor) = &mut run.cursor else {
            match run.open() {
                Ok(()) => heap.push(run),
                Err(error) => {
                    hit(Mark::BlockReadOnce);
                    output.merged.losses.push(run.loss(&error));
                }
            }
            continue;
        };
        if last.as_ref().is_none_or(|(key, seq)| *key != run.key || *seq != run.seq) {
            let new_key = last.as_ref().is_none_or(|(key, _)| *key != run.key);
            output.add(cursor, new_key)?;
            let (key, seq) = last.get_or_insert_default();
            key.clone_from(&run.key);
            *seq = run.seq;
        }
        cursor.next()?;
        if cursor.valid() {
            run.key.clear();
            run.key.extend_from_slice(cursor.key());
            run.seq = cursor.trailer().seq();
            heap.push(run);
        }
    }
    output.close(None)?;
    Ok(output.merged)
}

/// A piece in the merge.
struct Run<'a> {
    source: &'a Remains,
    piece: &'a Piece,
    /// `None` before its turn.
    cursor: Option<BlockCursor>,
    key: Vec<u8>,
    seq: Seq,
}

impl<'a> Run<'a> {
    fn new(source: &'a Remains, piece: &'a Piece) -> Self {
        let (key, seq) = &piece.first;
        Self { source, piece, cursor: None, key: key.to_vec(), seq: *seq }
    }

    fn open(&mut self) -> Result<()> {
        let mut cursor = BlockCursor::new(self.source.read(self.piece)?);
        cursor.seek_first()?;
        self.cursor = Some(cursor);
        Ok(())
    }

    fn loss(&self, error: &Error) -> Loss {
        Loss {
            code: LossCode::Block,
            path: self.source.path().to_path_buf(),
            offset: self.piece.offset(),
            bytes: self.piece.bytes(),
            keys: self.piece.keys(),
            sequences: SeqRange { first: self.piece.least, last: self.piece.greatest },
            certain: true,
            found: error.to_string(),
        }
    }

    /// The least comes first; of equal versions that in the newest table.
    fn order(&self, other: &Self) -> Ordering {
        let by_version = self.key.cmp(&other.key).then(other.seq.cmp(&self.seq));
        let by_age = other.source.number.cmp(&self.source.number);
        by_version.then(by_age).then(self.piece.offset().cmp(&other.piece.offset()))
    }
}

impl Ord for Run<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives back the greatest.
        self.order(other).reverse()
    }
}

impl PartialOrd for Run<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Eq for Run<'_> {}

/// The tables being written.
struct Output<'a, 'b> {
    target: &'a mut Target<'b>,
    clipper: Clipper,
    open: Option<TableWriter>,
    merged: Merged,
}

impl Output<'_, '_> {
    fn add(&mut self, cursor: &BlockCursor, new_key: bool) -> Result<()> {
        let full =
            self.open.as_ref().is_some_and(|open| open.bytes_written() >= self.target.options.table_bytes);
        if new_key && full {
            self.close(Some(cursor.key()))?;
        }
        self.merged.versions += 1;
        self.writer()?.add(cursor.key(), cursor.trailer(), cursor.value())
    }

    fn writer(&mut self) -> Result<&mut TableWriter> {
        match &mut self.open {
            Some(writer) => Ok(writer),
            none => {
                let options = self.target.options;
                let number = self.target.take_number();
                let path = self.target.paths.table(number);
                let (fs, store) = (self.target.fs, self.target.store);
                let writer = TableWriter::create(fs, path, store, number, options.packing().bottom)?;
                Ok(none.insert(writer.with_form(options.table_form())))
            }
        }
    }

    /// Ends the open table before the key `to`, or at the end of all.
    fn close(&mut self, to: Option<&[u8]>) -> Result<()> {
        let deleted = self.clipper.take(to);
        if !deleted.is_empty() {
            self.writer()?.add_range_tombstones(&deleted)?;
        }
        if let Some(writer) = self.open.take() {
            let count = deleted.fragments().iter().map(|fragment| fragment.seqs.len() as u64);
            self.merged.range_deletions += count.sum::<u64>();
            self.merged.tables.push(writer.finish()?);
        }
        Ok(())
    }
}
