//! Writes one table from entries in order.
//!
//! Nothing of a table counts before [`TableWriter::finish`] returned: until then the file is a left-over that no
//! manifest names. A writer that is dropped leaves its file behind for the caller to remove.

use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;

use super::block_builder::BlockBuilder;
use super::envelope::{Compression, Handle, Sealer, TRAILER_BYTES};
use super::filter::{Filter, key_hash};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::short_separator;
use super::meta::TableMeta;
use super::properties::Properties;
use super::version_order;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::fs::{File, Fs};
use crate::limits::{
    BLOCK_BYTES, FILTER_BITS_PER_KEY, FILTER_PROBES, MAX_KEY_BYTES, MAX_VALUE_BYTES, RESTART_INTERVAL,
    TABLE_WRITE_BYTES,
};
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

/// A table being written.
pub(crate) struct TableWriter {
    out: Output,
    salt: FileSalt,
    compression: Compression,
    sealer: Sealer,
    block: BlockBuilder,
    index: BlockBuilder,
    /// One per distinct user key.
    hashes: Vec<u64>,
    last_trailer: Trailer,
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
            block: BlockBuilder::new(RESTART_INTERVAL),
            index: BlockBuilder::new(1),
            hashes: Vec::new(),
            last_trailer: Trailer::new(Seq::ZERO, Kind::Put),
            properties: Properties::new(store, number),
        })
    }

    /// Appends a version, which must come after the one before. Fails with [`Error::TooLarge`] over a limit, and with
    /// what the operating system reports when collected bytes are written.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        check_limit("key", key.len(), MAX_KEY_BYTES)?;
        check_limit("value", value.len(), MAX_VALUE_BYTES)?;
        debug_assert!(trailer.kind() == Kind::Put || value.is_empty(), "a delete has no value");
        let last_key = self.block.last_key();
        let first = self.properties.entries == 0;
        debug_assert!(
            first
                || version_order((last_key, self.last_trailer.seq()), (key, trailer.seq())) == Ordering::Less,
            "entries must ascend"
        );
        if first {
            self.properties.smallest = key.into();
        }
        if first || last_key != key {
            self.hashes.push(key_hash(key));
        }
        // A block is cut before it grows too large, so that a large value has a block of its own.
        if !self.block.is_empty() && self.block.len() + BlockBuilder::entry_bound(key, value) > BLOCK_BYTES {
            self.finish_block(Some(key))?;
        }
        self.block.add(key, trailer, value);
        self.properties.count(key, trailer, value);
        self.last_trailer = trailer;
        Ok(())
    }

    /// About the size of the file if it were finished now.
    pub(crate) fn bytes_written(&self) -> u64 {
        let behind =
            Filter::stored_bytes(self.hashes.len(), FILTER_BITS_PER_KEY) + self.index.len() + FOOTER_BYTES;
        self.out.offset() + (self.block.len() + behind) as u64
    }

    /// Writes the rest and syncs the file. Making its name durable is up to the caller.
    pub(crate) fn finish(mut self) -> Result<TableMeta> {
        if self.properties.entries == 0 {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a table needs at least one entry");
            return Err(Error::io("finish", &self.out.path, source));
        }
        self.finish_block(None)?;
        self.properties.largest = self.block.last_key().into();

        let mut payload = Vec::new();
        Filter::build(&self.hashes, FILTER_BITS_PER_KEY, FILTER_PROBES).encode(&mut payload);
        let filter = self.append(&payload)?;
        // Positions in blocks and sizes in the footer have 32 bits.
        check_limit("table index", self.index.len(), u32::MAX as usize)?;
        let mut builder = std::mem::replace(&mut self.index, BlockBuilder::new(1));
        let index = self.append(builder.finish())?;
        payload.clear();
        self.properties.encode(&mut payload);
        let properties = self.append(&payload)?;
        let footer = Footer { filter, index, properties }.encode(self.salt, self.out.offset());
        self.out.buffer.extend_from_slice(&footer);
        self.out.flush()?;
        self.out.file.sync().map_err(|error| Error::io("sync", &self.out.path, error))?;
        Ok(meta(self.properties, self.out.written))
    }

    /// Ends the data block; `next_key` is the first key of the one to follow.
    fn finish_block(&mut self, next_key: Option<&[u8]>) -> Result<()> {
        let offset = self.out.offset();
        let payload = self.block.finish();
        let size = self.sealer.seal(payload, self.compression, offset, &mut self.out.buffer) as u32;
        self.block.begin();
        self.properties.data_blocks += 1;

        let last_key = self.block.last_key();
        let separator = match next_key {
            Some(next) if next != last_key => short_separator(last_key, next),
            _ => last_key,
        };
        // A shortened separator lies between two keys, where any sequence will do.
        let seq = if separator == last_key { self.last_trailer.seq() } else { Seq::ZERO };
        let mut handle = Vec::with_capacity(16);
        Handle { offset, size }.encode(&mut handle);
        self.index.add(separator, Trailer::new(seq, Kind::Put), &handle);
        self.out.flush_if_full()
    }

    /// Appends a block that is never compressed.
    fn append(&mut self, payload: &[u8]) -> Result<Handle> {
        let offset = self.out.offset();
        let size = self.sealer.seal(payload, Compression::None, offset, &mut self.out.buffer) as u32;
        self.out.flush_if_full()?;
        Ok(Handle { offset, size })
    }
}

fn meta(properties: Properties, size: u64) -> TableMeta {
    TableMeta {
        number: properties.number,
        size,
        entries: properties.entries,
        tombstones: properties.tombstones,
        least_seq: properties.least_seq,
        greatest_seq: properties.greatest_seq,
        smallest: properties.smallest,
        largest: properties.largest,
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
