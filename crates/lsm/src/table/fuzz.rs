//! The decoders of tables and their parts, for [`crate::fuzz_entry`].

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::block::{Block, Origin};
use super::block_builder::BlockBuilder;
use super::block_cursor::BlockCursor;
use super::envelope::{self, TRAILER_BYTES};
use super::filter::{Filter, key_hash};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::Index;
use super::properties::Properties;
use super::tail::Tail;
use super::{
    Compression, Gap, Remains, Table, TableForm, TableLayout, TableMeta, TableWriter, tombstone_block,
};
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::fs::Fs;
use crate::fuzz_entry::{Decoded, Disk, digest};
use crate::limits::RESTART_INTERVAL;
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Kind, ReadTier, Seq, StoreId, Trailer};
use crate::value::Version;

const STORE: StoreId = StoreId([0xA5; 16]);
const NUMBER: FileNumber = FileNumber(7);
/// Where the block of [`run_envelope`] is said to lie.
const OFFSET: u64 = 77;

fn salt() -> FileSalt {
    FileSalt::new(STORE, NUMBER)
}

fn path() -> PathBuf {
    PathBuf::from("table")
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap_or(Seq::MAX)
}

/// Key, sequence, and value or delete; in the order of a table.
type Row = (Vec<u8>, u64, Option<Vec<u8>>);

/// Two versions of each key, enough for several blocks in both sections.
fn rows() -> Vec<Row> {
    let row = |n: u64| {
        let value = (!n.is_multiple_of(9)).then(|| vec![b'v'; 200 + n as usize]);
        (format!("key{:02}", n / 2).into_bytes(), 60 - n, value)
    };
    (0..60).map(row).collect()
}

fn trailer(row: &Row) -> Trailer {
    Trailer::new(seq(row.1), if row.2.is_some() { Kind::Put } else { Kind::Delete })
}

fn written() -> Result<(Vec<u8>, TableMeta)> {
    written_as(TableLayout::default())
}

/// Blocks of a version or two, named by leaves of three.
fn split() -> TableLayout {
    TableLayout { block_bytes: 400, index_bytes: 0, leaf_blocks: NonZeroU16::MIN.saturating_add(2) }
}

fn written_as(layout: TableLayout) -> Result<(Vec<u8>, TableMeta)> {
    let disk = Disk::default();
    let writer = TableWriter::create(&disk, path(), STORE, NUMBER, Compression::Lz4)?;
    let mut writer = writer.with_form(TableForm { layout, prefixes: None });
    for row in &rows() {
        writer.add(&row.0, trailer(row), row.2.as_deref().unwrap_or_default())?;
    }
    writer.add_range_tombstones(&ranges())?;
    let meta = writer.finish()?;
    Ok((disk.get(&path())?, meta))
}

fn ranges() -> RangeTombstones {
    let set = RangeTombstones::default().with(b"key05", b"key07", seq(70));
    set.with(b"key06", b"key09", seq(80)).with(b"x", b"z", seq(90))
}

pub(crate) fn tables() -> Result<Vec<Vec<u8>>> {
    Ok(vec![written()?.0])
}

pub(crate) fn split_tables() -> Result<Vec<Vec<u8>>> {
    Ok(vec![written_as(split())?.0])
}

fn opened(bytes: &[u8], meta: TableMeta) -> Result<Arc<Table>> {
    let disk = Disk::with(path(), bytes);
    Table::open(&disk, path(), STORE, meta, Arc::new(BlockCache::new(0))).map(Arc::new)
}

pub(crate) fn run_table(input: &[u8]) -> Decoded {
    static META: OnceLock<Option<TableMeta>> = OnceLock::new();
    let meta = META.get_or_init(|| written().ok().map(|(_, meta)| meta)).clone()?;
    run_table_of(input, meta)
}

pub(crate) fn run_split_table(input: &[u8]) -> Decoded {
    static META: OnceLock<Option<TableMeta>> = OnceLock::new();
    let meta = META.get_or_init(|| written_as(split()).ok().map(|(_, meta)| meta)).clone()?;
    run_table_of(input, meta)
}

fn run_table_of(input: &[u8], meta: TableMeta) -> Decoded {
    // A table of another size would be refused by that alone.
    let meta = TableMeta { size: input.len() as u64, ..meta };
    let table = opened(input, meta).ok()?;
    for row in &rows() {
        match table.get_with_seq(&row.0, key_hash(&row.0), seq(row.1), ReadTier::Disk) {
            Ok(found) => assert!(is_right(found.as_ref(), row), "{row:?} was read as something else"),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. } | Error::Newer { .. }), "{error}"),
        }
    }
    let mut told = Vec::new();
    let mut cursor = table.cursor(ReadTier::Disk);
    cursor.seek_first().ok()?;
    while cursor.valid() {
        told.push((cursor.key().to_vec(), cursor.trailer().raw(), cursor.value().to_vec()));
        cursor.next().ok()?;
    }
    let properties = table.verify().ok()?;
    Some(digest((told, format!("{properties:?} {:?}", table.range_tombstones()))))
}

fn is_right(found: Option<&(Seq, Version)>, row: &Row) -> bool {
    match (found, &row.2) {
        (Some((at, Version::Put(found))), Some(value)) => at.get() == row.1 && **found == **value,
        (Some((at, Version::Delete)), None) => at.get() == row.1,
        _ => false,
    }
}

/// What is left of the split table, which is described.
pub(crate) fn run_remains(input: &[u8]) -> Decoded {
    static META: OnceLock<Option<TableMeta>> = OnceLock::new();
    let meta = META.get_or_init(|| written_as(split()).ok().map(|(_, meta)| meta));
    run_remains_of(input, Some(meta.as_ref()?))
}

/// What is left of the table, of which only the number is known.
pub(crate) fn run_unnamed_remains(input: &[u8]) -> Decoded {
    run_remains_of(input, None)
}

/// What is left is a part of what was written, and the rest is told to be missing.
fn run_remains_of(input: &[u8], meta: Option<&TableMeta>) -> Decoded {
    let left = Remains::of(&Disk::with(path(), input), path(), STORE, NUMBER, meta).ok()?;
    let mut found = Vec::new();
    for piece in &left.pieces {
        let mut cursor = BlockCursor::new(left.read(piece).ok()?);
        found.extend(walk(&mut cursor, input.len(), BlockCursor::seek_first, BlockCursor::next)?);
    }
    let written = |row: &Row| (row.0.clone(), trailer(row).raw(), row.2.clone().unwrap_or_default());
    let all: Vec<_> = rows().iter().map(written).collect();
    assert!(found.iter().all(|version| all.contains(version)), "a version that was never written");
    for row in rows().iter().filter(|row| !found.contains(&written(row))) {
        let is_in = |gap: &Gap| {
            let times = gap.least..=gap.greatest;
            !gap.deletions_only && gap.keys.contains(&row.0) && times.contains(&seq(row.1))
        };
        assert!(left.gaps.iter().any(is_in), "{row:?} is missing in silence");
    }
    let has_deletions = left.tombstones == ranges();
    assert!(has_deletions || left.tombstones.is_empty() && !left.gaps.is_empty(), "deletions of ranges");
    (left.faults.is_empty() && left.gaps.is_empty()).then(|| digest(found))
}

pub(crate) fn blocks() -> Vec<Vec<u8>> {
    let mut builder = BlockBuilder::new(RESTART_INTERVAL);
    for row in &rows() {
        builder.add(&row.0, trailer(row), row.2.as_deref().unwrap_or_default());
    }
    vec![builder.finish().to_vec()]
}

fn block(input: &[u8]) -> Option<Block> {
    let origin = Origin { path: Arc::from(Path::new("table")), offset: 0 };
    Block::new(input.to_vec(), origin).ok()
}

pub(crate) fn run_block(input: &[u8]) -> Decoded {
    let block = Arc::new(block(input)?);
    for row in &rows()[..4] {
        let _ = block.find(&row.0, seq(row.1));
    }
    let mut cursor = BlockCursor::new(block);
    let forward = walk(&mut cursor, input.len(), BlockCursor::seek_first, BlockCursor::next);
    let backward = walk(&mut cursor, input.len(), BlockCursor::seek_last, BlockCursor::prev);
    for row in &rows()[..4] {
        let _ = cursor.seek(&row.0, trailer(row));
        let _ = cursor.seek_before(&row.0);
        let _ = cursor.rank(&row.0);
    }
    let _ = cursor.count();
    let (forward, mut backward) = (forward?, backward?);
    backward.reverse();
    assert!(forward == backward, "a block holds the same, whichever way it is walked");
    Some(digest(forward))
}

type Step = fn(&mut BlockCursor) -> Result<()>;
type Walked = Vec<(Vec<u8>, u64, Vec<u8>)>;

/// All entries, if every step succeeds. There cannot be more entries than bytes.
fn walk(cursor: &mut BlockCursor, bytes: usize, begin: Step, step: Step) -> Option<Walked> {
    let mut found = Vec::new();
    begin(cursor).ok()?;
    while cursor.valid() {
        found.push((cursor.key().to_vec(), cursor.trailer().raw(), cursor.value().to_vec()));
        assert!(found.len() <= bytes, "a walk that does not end");
        step(cursor).ok()?;
    }
    Some(found)
}

/// The table, its tail and where that begins.
fn tail() -> Result<(Vec<u8>, Footer)> {
    let (bytes, _) = written()?;
    let at = bytes.len() - FOOTER_BYTES;
    let footer = bytes[at..].first_chunk::<FOOTER_BYTES>().map(Footer::handles);
    footer.map(|footer| (bytes, footer)).ok_or(Error::Closed)
}

pub(crate) fn indexes() -> Result<Vec<Vec<u8>>> {
    let (bytes, footer) = tail()?;
    let handles = [footer.current, footer.history].into_iter().flatten().map(|root| root.handle);
    Ok(handles.map(|handle| bytes[handle.offset as usize..][..handle.size as usize].to_vec()).collect())
}

pub(crate) fn run_index(input: &[u8]) -> Decoded {
    static TABLE: OnceLock<Option<Arc<Table>>> = OnceLock::new();
    // Only leaves are read from it, and this index has none.
    let open = || written().and_then(|(bytes, meta)| opened(&bytes, meta)).ok();
    let table = TABLE.get_or_init(open).as_ref()?;
    let root = block(input)?;
    let blocks = u64::from(root.restarts());
    let entries = Index::new(root, None, blocks).and_then(|index| Ok((index.read_all(table)?, index)));
    let (entries, index) = entries.ok()?;
    let mut told = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let bound = index.lower_bound(table, &entry.key, entry.seq, ReadTier::Disk).ok()?;
        assert_eq!(bound, position, "a separator belongs to its block");
        told.push(format!("{:?} {:02x?} {}", entry.target, entry.key, entry.seq));
    }
    Some(digest(told))
}

pub(crate) fn filters() -> Vec<Vec<u8>> {
    let hashes: Vec<u64> = rows().iter().map(|row| key_hash(&row.0)).collect();
    let mut out = Vec::new();
    Filter::build(&hashes, 10, 6).encode(&mut out);
    vec![out]
}

pub(crate) fn run_filter(input: &[u8]) -> Decoded {
    let filter = Filter::decode(input).ok()?;
    let mut again = Vec::new();
    filter.encode(&mut again);
    assert!(again == input, "a filter is written as it was read");
    Some(digest(rows().iter().map(|row| filter.may_contain(key_hash(&row.0))).collect::<Vec<_>>()))
}

pub(crate) fn footers() -> Result<Vec<Vec<u8>>> {
    let (bytes, _) = tail()?;
    Ok(vec![bytes[bytes.len() - FOOTER_BYTES..].to_vec()])
}

fn footer_offset() -> u64 {
    static OFFSET: OnceLock<u64> = OnceLock::new();
    *OFFSET.get_or_init(|| written().map_or(0, |(bytes, _)| (bytes.len() - FOOTER_BYTES) as u64))
}

pub(crate) fn run_footer(input: &[u8]) -> Decoded {
    let bytes: &[u8; FOOTER_BYTES] = input.try_into().ok()?;
    let footer = Footer::decode(bytes, salt(), footer_offset(), &path()).ok()?;
    assert!(footer.encode(salt(), footer_offset()) == *bytes, "a footer is written as it was read");
    Some(digest(format!("{footer:?}")))
}

pub(crate) fn run_sealed_footer(input: &[u8]) -> Decoded {
    const COVERED_BYTES: usize = 84;
    let mut bytes: [u8; FOOTER_BYTES] = input.try_into().ok()?;
    let crc = salt().crc(footer_offset(), &bytes[..COVERED_BYTES]);
    bytes[COVERED_BYTES..COVERED_BYTES + 4].copy_from_slice(&crc.to_le_bytes());
    run_footer(&bytes)
}

pub(crate) fn properties() -> Result<Vec<Vec<u8>>> {
    let (bytes, meta) = written()?;
    let disk = Disk::with(path(), &bytes);
    let file = disk.open(&path()).map_err(|error| Error::io("open", &path(), error))?;
    let tail = Tail::load(file.as_ref(), &Arc::from(path()), STORE, &meta)?;
    let mut out = Vec::new();
    tail.properties.encode(&mut out);
    let mut with_prefixes = Vec::new();
    let prefixes = Some(crate::KeyPrefix::UpTo(b'/'));
    Properties { prefixes, ..tail.properties }.encode(&mut with_prefixes);
    Ok(vec![out, with_prefixes])
}

pub(crate) fn run_properties(input: &[u8]) -> Decoded {
    let found = Properties::decode(input)?;
    let mut again = Vec::new();
    found.encode(&mut again);
    assert_eq!(Properties::decode(&again).as_ref(), Some(&found), "properties are read as they were written");
    Some(digest(format!("{found:?}")))
}

pub(crate) fn tombstones() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    tombstone_block::encode(ranges().fragments(), &mut out);
    vec![out]
}

pub(crate) fn run_tombstones(input: &[u8]) -> Decoded {
    let found = tombstone_block::decode(input)?;
    let mut again = Vec::new();
    tombstone_block::encode(found.fragments(), &mut again);
    assert_eq!(
        tombstone_block::decode(&again).as_ref(),
        Some(&found),
        "tombstones are read as they were written"
    );
    Some(digest((format!("{found:?}"), found.newest_covering(b"key06", seq(85)))))
}

/// A block as stored, without its checksum, behind nothing.
pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    let payload = [7u8; 3000];
    let sealed = |compression| {
        let mut out = Vec::new();
        envelope::Sealer::new(salt()).seal(&payload, compression, OFFSET, &mut out);
        // Kind first, then the payload as stored.
        let stored = out.len() - TRAILER_BYTES;
        [&out[stored..=stored], &out[..stored]].concat()
    };
    vec![
        sealed(Compression::None),
        sealed(Compression::Lz4),
        #[cfg(feature = "zstd")]
        sealed(Compression::Zstd),
    ]
}

pub(crate) fn run_envelope(input: &[u8]) -> Decoded {
    let (&kind, payload) = input.split_first()?;
    let mut stored = payload.to_vec();
    stored.push(kind);
    let crc = salt().crc(OFFSET, &stored);
    stored.extend_from_slice(&crc.to_le_bytes());
    envelope::open(stored, salt(), OFFSET, &path()).ok().map(digest)
}
