//! Writes one table from entries in order, and range tombstones in order.
//!
//! Nothing of a table counts before [`TableWriter::finish`] returned: until then the file is a left-over that no
//! manifest names. A writer that is dropped leaves its file behind for the caller to remove.

use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;

use super::envelope::{Compression, Handle, Sealer, TRAILER_BYTES};
use super::filter::{Filter, key_hash};
use super::footer::{FOOTER_BYTES, Footer, Root};
use super::index_builder::RootPayload;
use super::layout::{TableForm, TableLayout};
use super::meta::TableMeta;
use super::properties::Properties;
use super::section_writer::SectionWriter;
use super::tombstone_block;
use super::version_order;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::format::varint::MAX_VARINT_BYTES;
use crate::fs::{File, Fs};
use crate::limits::{
    BLOCK_BYTES, FILTER_BITS_PER_KEY, FILTER_PROBES, MAX_KEY_BYTES, MAX_VALUE_BYTES, TABLE_WRITE_BYTES,
};
use crate::planted::{self, Bug};
use crate::tombstones::{Fragment, RangeTombstones};
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

/// A table being written.
pub(crate) struct TableWriter {
    out: Output,
    salt: FileSalt,
    compression: Compression,
    sealer: Sealer,
    /// The newest version of each key; the last one added has the last key of the table.
    current: SectionWriter,
    /// All other versions.
    history: SectionWriter,
    /// One per distinct user key, and one per distinct prefix.
    hashes: Vec<u64>,
    /// Hash of the prefix of the last key that has one.
    last_prefix: Option<u64>,
    last_seq: Seq,
    layout: TableLayout,
    fragments: Vec<Fragment>,
    fragment_bytes: usize,
    properties: Properties,
}

impl TableWriter {
    /// Begins a table in a new file at `path`.
    pub(crate) fn create(
        fs: &dyn Fs,
        path: PathBuf,
        store: StoreId,
        number: FileNumber,
        compression: Compression,
    ) -> Result<Self> {
        let file = fs.create_new(&path).map_err(|error| Error::io("create", &path, error))?;
        let salt = FileSalt::new(store, number);
        Ok(Self {
            out: Output { file, path, written: 0, buffer: Vec::new() },
            salt,
            compression,
            sealer: Sealer::new(salt),
            current: SectionWriter::new(),
            history: SectionWriter::new(),
            hashes: Vec::new(),
            last_prefix: None,
            last_seq: Seq::ZERO,
            layout: TableLayout::default(),
            fragments: Vec::new(),
            fragment_bytes: 0,
            properties: Properties::new(store, number),
        })
    }

    /// Has the table written so. To be called before anything is added.
    pub(crate) fn with_form(mut self, form: TableForm) -> Self {
        self.layout = form.layout;
        self.properties.prefixes = form.prefixes;
        self
    }

    /// Appends a version, which must come after the one before. Fails with [`Error::TooLarge`] over a limit, and with
    /// what the operating system reports when collected bytes are written.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        check_limit("key", key.len(), MAX_KEY_BYTES)?;
        check_limit("value", value.len(), MAX_VALUE_BYTES)?;
        debug_assert!(trailer.kind() == Kind::Put || value.is_empty(), "a delete has no value");
        let last_key = self.current.last_key();
        let first = self.properties.entries == 0;
        debug_assert!(
            first || version_order((last_key, self.last_seq), (key, trailer.seq())) == Ordering::Less,
            "entries must ascend"
        );
        if first {
            self.properties.smallest = key.into();
        }
        let section = if first || last_key != key {
            self.hashes.push(key_hash(key));
            if let Some(prefix) = self.properties.prefixes.and_then(|rule| rule.of(key)) {
                let hash = key_hash(prefix);
                if self.last_prefix.replace(hash) != Some(hash) {
                    self.hashes.push(hash);
                }
            }
            &mut self.current
        } else {
            self.properties.superseded += 1;
            &mut self.history
        };
        // A block is cut before it grows too large, so that a large value has a block of its own.
        if section.is_full_for(key, value, self.layout.block_bytes) {
            let out = &mut self.out;
            section
                .finish_block(Some(key), |payload| out.append(&mut self.sealer, payload, self.compression))?;
        }
        section.add(key, trailer, value);
        self.properties.count(key, trailer, value);
        self.last_seq = trailer.seq();
        Ok(())
    }

    /// Adds all tombstones of a set, as by [`Self::add_range_tombstone`].
    pub(crate) fn add_range_tombstones(&mut self, set: &RangeTombstones) -> Result<()> {
        for fragment in set.fragments() {
            for &seq in &fragment.seqs {
                self.add_range_tombstone(&fragment.start, &fragment.end, seq)?;
            }
        }
        Ok(())
    }

    /// Adds a range tombstone over the keys from `start` up to but without `end`. Tombstones come as fragments: each
    /// has the same range as the one before and an older sequence, or begins where that one ends or behind. They may
    /// be added before, between and after versions. Fails with [`Error::TooLarge`] over a limit.
    pub(crate) fn add_range_tombstone(&mut self, start: &[u8], end: &[u8], seq: Seq) -> Result<()> {
        check_limit("key", start.len().max(end.len()), MAX_KEY_BYTES)?;
        debug_assert!(start < end, "a range tombstone covers something");
        match self.fragments.last_mut() {
            Some(last) if *last.start == *start && *last.end == *end => {
                debug_assert!(last.seqs.last().is_none_or(|&before| before > seq), "sequences must descend");
                last.seqs.push(seq);
            }
            last => {
                debug_assert!(last.is_none_or(|last| *last.end <= *start), "fragments must ascend");
                self.fragments.push(Fragment { start: start.into(), end: end.into(), seqs: vec![seq] });
                self.fragment_bytes += start.len() + end.len();
            }
        }
        self.fragment_bytes += MAX_VARINT_BYTES;
        Ok(())
    }

    /// About the size of the file if it were finished now.
    pub(crate) fn bytes_written(&self) -> u64 {
        let filter = Filter::stored_bytes(self.hashes.len(), FILTER_BITS_PER_KEY);
        let sections = self.current.pending_bytes() + self.history.pending_bytes();
        self.out.offset() + (filter + sections + self.fragment_bytes + FOOTER_BYTES) as u64
    }

    /// Writes the rest and syncs the file. Making its name durable is up to the caller.
    pub(crate) fn finish(mut self) -> Result<TableMeta> {
        if self.properties.entries == 0 && self.fragments.is_empty() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a table needs at least one version");
            return Err(Error::system("finish", &self.out.path, source));
        }
        self.properties.largest = self.current.last_key().into();
        for section in [&mut self.current, &mut self.history] {
            let out = &mut self.out;
            section.finish_block(None, |payload| out.append(&mut self.sealer, payload, self.compression))?;
            self.properties.data_blocks += section.blocks();
        }
        self.properties.history_blocks = self.history.blocks();
        let out = &mut self.out;
        let mut leaf = |payload: &[u8]| out.append(&mut self.sealer, payload, Compression::None);
        let current = self.current.finish_index(self.layout, &mut leaf)?;
        let history = self.history.finish_index(self.layout, &mut leaf)?;

        let mut payload = Vec::new();
        Filter::build(&self.hashes, FILTER_BITS_PER_KEY, FILTER_PROBES).encode(&mut payload);
        let filter = self.append(&payload)?;
        let current = current.map(|root| self.append_root(&root)).transpose()?;
        let history = history.map(|root| self.append_root(&root)).transpose()?;
        let fragments = std::mem::take(&mut self.fragments);
        let mut tombstones = None;
        if !fragments.is_empty() {
            payload.clear();
            tombstone_block::encode(&fragments, &mut payload);
            // The size in the footer has 32 bits.
            check_limit("range tombstones", payload.len(), u32::MAX as usize)?;
            tombstones = Some(self.append(&payload)?);
        }
        self.properties.include(&RangeTombstones::from_fragments(fragments));
        payload.clear();
        self.properties.encode(&mut payload);
        let properties = self.append(&payload)?;
        let leaf_blocks = self.layout.leaf_blocks;
        let footer = Footer { filter, current, history, leaf_blocks, tombstones, properties };
        let footer = footer.encode(self.salt, self.out.offset());
        self.out.buffer.extend_from_slice(&footer);
        self.out.flush()?;
        planted::unless(Bug::TableNotSynced, || {
            self.out.file.sync().map_err(|error| Error::io("sync", &self.out.path, error))
        })?;
        Ok(self.properties.into_meta(self.out.written))
    }

    fn append_root(&mut self, root: &RootPayload) -> Result<Root> {
        // The size in the footer has 32 bits.
        check_limit("table index", root.payload.len(), u32::MAX as usize)?;
        Ok(Root { handle: self.append(&root.payload)?, has_leaves: root.has_leaves })
    }

    /// Appends a block that is never compressed.
    fn append(&mut self, payload: &[u8]) -> Result<Handle> {
        self.out.append(&mut self.sealer, payload, Compression::None)
    }
}

fn check_limit(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// The file and the bytes that are not written to it yet.
struct Output {
    file: Box<dyn File>,
    path: PathBuf,
    written: u64,
    buffer: Vec<u8>,
}

impl Output {
    /// Where the next byte will lie.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends a block.
    fn append(&mut self, sealer: &mut Sealer, payload: &[u8], compression: Compression) -> Result<Handle> {
        let offset = self.offset();
        let size = sealer.seal(payload, compression, offset, &mut self.buffer) as u32;
        self.flush_if_full()?;
        Ok(Handle { offset, size })
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() + BLOCK_BYTES + TRAILER_BYTES > TABLE_WRITE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        let result = self.file.write_at(self.written, &self.buffer);
        result.map_err(|error| Error::io("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::BlockCache;
    use crate::fs::RealFs;
    use crate::table::Table;

    /// Verifies a table whose sections hold these versions, in order or not.
    fn verify(current: &[(&str, u64)], history: &[(&str, u64)]) -> Result<Properties> {
        let dir = tempfile::tempdir().unwrap();
        let (path, store) = (dir.path().join("t"), StoreId([1; 16]));
        let mut writer =
            TableWriter::create(&RealFs, path.clone(), store, FileNumber(1), Compression::None).unwrap();
        for (section, entries) in [(&mut writer.current, current), (&mut writer.history, history)] {
            for &(key, seq) in entries {
                let trailer = Trailer::new(Seq::new(seq).unwrap(), Kind::Put);
                section.add(key.as_bytes(), trailer, b"");
                writer.properties.count(key.as_bytes(), trailer, b"");
                writer.hashes.push(key_hash(key.as_bytes()));
            }
        }
        writer.properties.smallest = current[0].0.as_bytes().into();
        writer.properties.superseded = history.len() as u64;
        let meta = writer.finish().unwrap();
        let table = Table::open(&RealFs, path, store, meta, Arc::new(BlockCache::new(0))).unwrap();
        Arc::new(table).verify()
    }

    #[test]
    fn verification_notices_versions_in_the_wrong_section() {
        let good = verify(&[("a", 9), ("b", 3)], &[("a", 8), ("a", 2), ("b", 1)]).unwrap();
        assert_eq!((good.entries, good.superseded), (5, 3));
        for (what, current, history) in [
            ("a key twice in the current section", &[("a", 9), ("a", 8)][..], &[("a", 7)][..]),
            ("a key in the history only", &[("a", 9), ("c", 8)], &[("b", 7)]),
            ("a key in the history behind all others", &[("a", 9)], &[("b", 7)]),
            ("a version in the history that is newer", &[("a", 5)], &[("a", 7)]),
            ("the same version twice", &[("a", 5)], &[("a", 5)]),
            ("versions in the history out of order", &[("a", 9)], &[("a", 3), ("a", 4)]),
        ] {
            let error = verify(current, history).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error}");
        }
    }
}
