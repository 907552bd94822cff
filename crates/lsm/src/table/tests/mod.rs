//! Tests of whole tables: what is written is read back in every way, and damage is never read back as data.

mod caching;
mod damage;
mod golden;
mod leaves;
mod model;
mod read_ahead;
mod reads;
mod tombstones;

use std::path::PathBuf;
use std::sync::Arc;

use super::envelope::Handle;
use super::index::Section;
use super::{Compression, Table, TableForm, TableLayout, TableMeta, TableWriter};
use crate::cache::BlockCache;
use crate::error::Result;
use crate::fs::RealFs;
use crate::types::{FileNumber, Kind, ReadTier, Seq, StoreId, Trailer};
use crate::value::Version;

const STORE: StoreId = StoreId([0xA5; 16]);
const NUMBER: FileNumber = FileNumber(7);

/// A version as tests write it: key, sequence, and value or delete.
type Row = (Vec<u8>, u64, Option<Vec<u8>>);

fn row(key: impl AsRef<[u8]>, seq: u64, value: Option<&[u8]>) -> Row {
    (key.as_ref().to_vec(), seq, value.map(<[u8]>::to_vec))
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn trailer(number: u64, kind: Kind) -> Trailer {
    Trailer::new(seq(number), kind)
}

/// Sorts rows as a table wants them and drops what a commit could not have written.
fn in_order(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    rows.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
    rows
}

/// A table in a directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
    meta: TableMeta,
}

impl Fixture {
    fn write(rows: &[Row], compression: Compression) -> Self {
        Self::write_as(rows, compression, TableLayout::default())
    }

    fn write_as(rows: &[Row], compression: Compression, layout: TableLayout) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let writer = TableWriter::create(&RealFs, path, STORE, NUMBER, compression).unwrap();
        let mut writer = writer.with_form(TableForm { layout, prefixes: None });
        for (key, seq, value) in rows {
            let kind = if value.is_some() { Kind::Put } else { Kind::Delete };
            writer.add(key, trailer(*seq, kind), value.as_deref().unwrap_or_default()).unwrap();
        }
        let meta = writer.finish().unwrap();
        Self { dir, meta }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("table")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn open(&self) -> Result<Arc<Table>> {
        self.open_as(STORE, self.meta.clone(), 1 << 20)
    }

    fn open_as(&self, store: StoreId, meta: TableMeta, cache_bytes: usize) -> Result<Arc<Table>> {
        let cache = Arc::new(BlockCache::new(cache_bytes));
        Table::open(&RealFs, self.path(), store, meta, cache).map(Arc::new)
    }
}

/// Where a data block of the current section lies.
fn data_block(table: &Table, position: usize) -> Handle {
    let index = table.tail.index(Section::Current).unwrap();
    index.target(table, position, ReadTier::Disk).unwrap().handle
}

/// What a point read should find: the newest version at or before `at`.
fn expected<'a>(rows: &'a [Row], key: &[u8], at: u64) -> Option<&'a Row> {
    rows.iter().find(|(found, seq, _)| found == key && *seq <= at)
}

/// Whether a point read found what it should.
fn is_as_expected(found: Option<&Version>, expected: Option<&Row>) -> bool {
    match (found, expected) {
        (None, None) | (Some(Version::Delete), Some((_, _, None))) => true,
        (Some(Version::Put(found)), Some((_, _, Some(value)))) => **found == **value,
        _ => false,
    }
}
