//! An open table: point reads, and the way to its blocks.
//!
//! Index and filter stay in memory while the table is open, so a point read costs at most one block, or more only when
//! the versions of one key fill several.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Found, Origin};
use super::cursor::TableCursor;
use super::envelope;
use super::meta::TableMeta;
use super::tail::{Tail, read_exact};
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::fs::{File, Fs};
use crate::types::{Kind, ReadTier, Seq, StoreId};
use crate::value::{Value, Version};

/// An open table.
pub(crate) struct Table {
    pub(super) file: Box<dyn File>,
    pub(super) path: Arc<Path>,
    pub(super) store: StoreId,
    salt: FileSalt,
    meta: TableMeta,
    pub(super) tail: Tail,
    cache: Arc<BlockCache>,
}

impl Table {
    /// Opens the table that `meta` describes. A file that is not that table is [`Error::Corrupt`], one of a later
    /// format [`Error::Newer`].
    pub(crate) fn open(
        fs: &dyn Fs,
        path: PathBuf,
        store: StoreId,
        meta: TableMeta,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let file = fs.open(&path).map_err(|error| Error::io("open", &path, error))?;
        let path: Arc<Path> = path.into();
        let tail = Tail::load(file.as_ref(), &path, store, &meta)?;
        let salt = FileSalt::new(store, meta.number);
        Ok(Self { file, path, store, salt, meta, tail, cache })
    }

    /// What the manifest knows about the table.
    pub(crate) fn meta(&self) -> &TableMeta {
        &self.meta
    }

    /// Bytes of memory held beside cached blocks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.tail.index.memory_bytes() + self.tail.filter.memory_bytes()
    }

    /// The newest version of `key` at or before `at`, if this table has one. `hash` is [`super::key_hash`] of `key`.
    /// A block that `tier` does not allow to read is [`Error::WouldBlock`].
    pub(crate) fn get(&self, key: &[u8], hash: u64, at: Seq, tier: ReadTier) -> Result<Option<Version>> {
        if !self.tail.filter.may_contain(hash) {
            return Ok(None);
        }
        let index = &self.tail.index;
        let mut position = index.lower_bound(key, at)?;
        while position < index.len() {
            let block = self.block(position, tier)?;
            match block.find(key, at)? {
                Found::Version(entry) if entry.trailer.kind() == Kind::Delete => {
                    return Ok(Some(Version::Delete));
                }
                Found::Version(entry) => {
                    let value = Value::in_block(block, entry.value_start, entry.value_len());
                    return Ok(Some(Version::Put(value)));
                }
                // Only a separator with this very key can have older versions of it behind.
                Found::End if index.separator(position)?.0 == key => position += 1,
                Found::End | Found::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A cursor over all versions, not positioned yet. It keeps the table open.
    pub(crate) fn cursor(self: &Arc<Self>, tier: ReadTier) -> TableCursor {
        TableCursor::new(Arc::clone(self), tier)
    }

    /// Number of data blocks.
    pub(super) fn blocks(&self) -> usize {
        self.tail.index.len()
    }

    /// Data block `position`, from the cache or, if `tier` allows, from the disk.
    #[inline]
    pub(super) fn block(&self, position: usize, tier: ReadTier) -> Result<Arc<Block>> {
        let handle = self.tail.index.handle(position)?;
        if let Some(block) = self.cache.get(self.meta.number, handle.offset) {
            return Ok(block);
        }
        if tier == ReadTier::Memory {
            return Err(Error::WouldBlock);
        }
        let block = Arc::new(self.read_block(handle)?);
        self.cache.insert(self.meta.number, handle.offset, Arc::clone(&block));
        Ok(block)
    }

    /// Reads and checks a data block. The index has already refused sizes beyond the limit and the file.
    pub(super) fn read_block(&self, handle: envelope::Handle) -> Result<Block> {
        let mut stored = vec![0; handle.stored_bytes()];
        read_exact(self.file.as_ref(), &self.path, handle.offset, &mut stored)?;
        let payload = envelope::open(stored, self.salt, handle.offset, &self.path)?;
        Block::new(payload, Origin { path: Arc::clone(&self.path), offset: handle.offset })
    }
}
