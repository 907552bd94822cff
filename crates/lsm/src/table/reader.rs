//! An open table: point reads, and the way to its blocks.
//!
//! Indexes and filter stay in memory while the table is open, so a point read costs at most one block, or a second
//! one when it asks for a version that is not the newest of its key in the table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, Entry, Found, Origin};
use super::cursor::TableCursor;
use super::envelope::{self, Handle};
use super::index::{Index, Section};
use super::key_hash;
use super::meta::TableMeta;
use super::superseded::Superseded;
use super::tail::{Tail, read_exact};
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::fs::{File, Fs};
use crate::latency::Timer;
use crate::limits::MAX_BLOCK_BYTES_AT_ONCE;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::tombstones::RangeTombstones;
use crate::types::{Kind, ReadTier, Seq, StoreId};
use crate::value::{Value, Version};

/// Where blocks may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// The cache, and as far as the tier allows the disk; what is read from there is kept in the cache.
    Cached(ReadTier),
    /// The disk, past the cache and many blocks at once.
    Disk,
}

impl Access {
    /// How far to go for a part of the index, which comes through the cache in any case.
    pub(super) fn index_tier(self) -> ReadTier {
        match self {
            Self::Cached(tier) => tier,
            Self::Disk => ReadTier::Disk,
        }
    }
}

/// What a look into one section found.
pub(super) enum Look<B> {
    /// A version that the read may see, and its block.
    Found(B, Entry),
    /// If there is a version, it is too new: that of the key, or all in its block, which was not even looked at.
    Newer,
    /// No version.
    Absent,
}

impl<B> Look<B> {
    /// What `found` in `block` means for a read at `at`.
    #[inline]
    pub(super) fn new(found: Found, block: B, at: Seq) -> Self {
        match found {
            Found::Version(entry) if entry.trailer.seq() <= at => Self::Found(block, entry),
            Found::Version(_) => Self::Newer,
            Found::End | Found::Greater => Self::Absent,
        }
    }
}

/// An open table.
pub(crate) struct Table {
    pub(super) file: Box<dyn File>,
    pub(super) path: Arc<Path>,
    pub(super) store: StoreId,
    salt: FileSalt,
    meta: TableMeta,
    pub(super) tail: Tail,
    superseded: Superseded,
    history_bytes: u64,
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
        let (superseded, history_bytes) = (Superseded::default(), tail.history_bytes()?);
        let table = Self { file, path, store, salt, meta, tail, superseded, history_bytes, cache };
        table.cache.charge(table.memory_bytes());
        Ok(table)
    }

    /// This table under another description, for tests of code that looks at descriptions only.
    #[cfg(test)]
    pub(crate) fn described_as(
        mut self,
        meta: TableMeta,
        history_bytes: u64,
        tombstones: RangeTombstones,
    ) -> Self {
        self.meta = meta;
        self.history_bytes = history_bytes;
        self.tail.tombstones = tombstones;
        self
    }

    /// The cache of its blocks.
    pub(crate) fn cache(&self) -> &Arc<BlockCache> {
        &self.cache
    }

    /// What the manifest knows about the table.
    pub(crate) fn meta(&self) -> &TableMeta {
        &self.meta
    }

    /// Bytes of memory held beside cached blocks. They are charged to the cache while the table is open.
    pub(crate) fn memory_bytes(&self) -> usize {
        let indexes = [&self.tail.current, &self.tail.history].into_iter().flatten();
        let indexes = indexes.map(Index::memory_bytes).sum::<usize>();
        let fixed = self.tail.filter.memory_bytes() + self.tail.tombstones.memory_bytes();
        indexes + fixed + self.superseded.memory_bytes()
    }

    /// Bytes in the file of versions that are not the newest of their key here; of a table with a split index an estimate.
    pub(crate) fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    /// The range tombstones of the table. They are always in memory.
    pub(crate) fn range_tombstones(&self) -> &RangeTombstones {
        &self.tail.tombstones
    }

    /// The newest version of `key` at or before `at`, if this table has one, whatever range tombstones say about it.
    /// `hash` is [`super::key_hash`] of `key`. A block that `tier` does not allow to read is [`Error::WouldBlock`].
    #[cfg(test)]
    pub(crate) fn get(&self, key: &[u8], hash: u64, at: Seq, tier: ReadTier) -> Result<Option<Version>> {
        Ok(self.get_with_seq(key, hash, at, tier)?.map(|(_, version)| version))
    }

    /// The newest version of `key` at or before `at` and its sequence, whatever range tombstones say about it.
    #[inline]
    pub(crate) fn get_with_seq(
        &self,
        key: &[u8],
        hash: u64,
        at: Seq,
        tier: ReadTier,
    ) -> Result<Option<(Seq, Version)>> {
        if !self.may_contain(hash) {
            hit(Mark::FilterSaidNo);
            return Ok(None);
        }
        match self.look(Section::Current, key, Seq::MAX, at, tier)? {
            Look::Found(block, entry) => return Ok(Some(version(block, &entry))),
            Look::Absent => return Ok(None),
            Look::Newer if planted::active(Bug::HistoryIgnored) => return Ok(None),
            Look::Newer => hit(Mark::HistoryRead),
        }
        match self.look(Section::History, key, at, at, tier)? {
            Look::Found(block, entry) => Ok(Some(version(block, &entry))),
            Look::Newer | Look::Absent => Ok(None),
        }
    }

    /// Whether the table may hold the key with this hash; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        self.tail.filter.may_contain(hash)
    }

    /// Whether the filter lets keys of `range` through; `false` is certain. It can say so only where it knows prefixes
    /// and all keys of the range have the same.
    pub(crate) fn may_hold_keys_of(&self, range: &KeyRange) -> bool {
        let prefix = self.tail.properties.prefixes.and_then(|rule| rule.of_range(range));
        prefix.is_none_or(|prefix| self.may_contain(key_hash(prefix)))
    }

    /// Looks in one section for the newest version of `key` at or before `newest`, for a read at `at`.
    #[inline]
    fn look(
        &self,
        section: Section,
        key: &[u8],
        newest: Seq,
        at: Seq,
        tier: ReadTier,
    ) -> Result<Look<Arc<Block>>> {
        let Some(index) = self.tail.index(section) else { return Ok(Look::Absent) };
        let Some(target) = index.find(self, key, newest, tier)? else { return Ok(Look::Absent) };
        if target.least > at {
            return Ok(Look::Newer);
        }
        // If the version is not in this block, it is not in the next one either: between two blocks with versions of
        // one key the separator is the last of the first block.
        let block = self.block(target.handle, tier, |_| Ok(()))?;
        let found = block.find(key, newest)?;
        Ok(Look::new(found, block, at))
    }

    /// A cursor over all versions, not positioned yet. It keeps the table open.
    pub(crate) fn cursor(self: &Arc<Self>, tier: ReadTier) -> TableCursor {
        TableCursor::new(self, Access::Cached(tier))
    }

    /// A cursor over all versions for who reads the whole table once, forwards: it reads far ahead and leaves the cache
    /// alone.
    pub(crate) fn cursor_past_cache(self: &Arc<Self>) -> TableCursor {
        TableCursor::new(self, Access::Disk)
    }

    /// A cursor over the versions that a read at `at` can see, not positioned yet. It may also come by others, but not
    /// by those that are superseded when everything in the table is visible at `at`, nor by blocks that are all newer.
    pub(crate) fn cursor_at(self: &Arc<Self>, tier: ReadTier, at: Seq) -> TableCursor {
        TableCursor::as_of(self, tier, at)
    }

    /// A cursor over what commits after `after` and up to `at` have made.
    pub(crate) fn cursor_between(self: &Arc<Self>, tier: ReadTier, after: Seq, at: Seq) -> TableCursor {
        TableCursor::between(self, tier, after, at)
    }

    /// Whether a reader at `at` is known to see nothing of block `position` of the newest versions.
    #[inline]
    pub(super) fn is_superseded(&self, position: usize, at: Seq) -> bool {
        self.superseded.is_known(position, at)
    }

    /// Notes that a reader at `at` has found a newer version of every key in block `position` of the newest versions.
    pub(super) fn note_superseded(&self, position: usize, at: Seq) {
        let taken = self.superseded.note(position, self.blocks(Section::Current), at);
        if taken > 0 {
            self.cache.charge(taken);
        }
    }

    /// Number of data blocks of `section`.
    pub(super) fn blocks(&self, section: Section) -> usize {
        self.tail.index(section).map_or(0, Index::len)
    }

    /// The block at `handle`, from the cache or, if `check` has nothing against it, from the file as far as `tier` allows.
    #[inline]
    pub(super) fn block(
        &self,
        handle: Handle,
        tier: ReadTier,
        check: impl FnOnce(&Block) -> Result<()>,
    ) -> Result<Arc<Block>> {
        if let Some(block) = self.cached(handle) {
            return Ok(block);
        }
        let block = Arc::new(match tier {
            ReadTier::Memory | ReadTier::System => self.block_at_once(handle, tier)?,
            ReadTier::Disk => {
                let _timer = self.time_miss();
                self.read_block(handle)?
            }
        });
        check(&block)?;
        self.keep(handle, &block);
        Ok(block)
    }

    /// The block at `handle` if the cache has it.
    #[inline]
    pub(super) fn cached(&self, handle: Handle) -> Option<Arc<Block>> {
        self.cache.get(self.meta.number, handle.offset)
    }

    /// The block at `handle` if the cache has it, for who goes without it where it does not: the cache counts neither.
    pub(super) fn in_memory(&self, handle: Handle) -> Option<Arc<Block>> {
        self.cache.peek(self.meta.number, handle.offset)
    }

    /// Reads and checks a data block, which the cache does not have, without waiting for the disk. If `tier`, its size or the
    /// system does not let it, that is [`Error::WouldBlock`].
    pub(super) fn block_at_once(&self, handle: Handle, tier: ReadTier) -> Result<Block> {
        if tier == ReadTier::System && handle.stored_bytes() <= MAX_BLOCK_BYTES_AT_ONCE {
            let mut stored = vec![0; handle.stored_bytes()];
            let timer = self.time_miss();
            if self.file.read_at_once(handle.offset, &mut stored) {
                return self.parse(envelope::open(stored, self.salt, handle.offset, &self.path)?, handle);
            }
            // Somebody who may wait comes again for it, and is timed then.
            timer.discard();
        }
        hit(Mark::WouldBlock);
        Err(Error::WouldBlock)
    }

    /// Records how long it takes to get what the cache did not have, until it is dropped.
    pub(super) fn time_miss(&self) -> Timer<'_> {
        self.cache.time_miss()
    }

    /// Offers a block that was just read to the cache.
    pub(super) fn keep(&self, handle: Handle, block: &Arc<Block>) {
        self.cache.insert(self.meta.number, handle.offset, Arc::clone(block));
    }

    /// Reads and checks a data block. The index has already refused sizes beyond the limit and the file.
    pub(super) fn read_block(&self, handle: Handle) -> Result<Block> {
        let mut stored = vec![0; handle.stored_bytes()];
        read_exact(self.file.as_ref(), &self.path, handle.offset, &mut stored)?;
        self.parse(envelope::open(stored, self.salt, handle.offset, &self.path)?, handle)
    }

    /// Checks a data block that was read together with others.
    pub(super) fn copy_block(&self, stored: &[u8], handle: Handle) -> Result<Block> {
        self.parse(envelope::open_copy(stored, self.salt, handle.offset, &self.path)?, handle)
    }

    fn parse(&self, payload: Vec<u8>, handle: Handle) -> Result<Block> {
        let origin = Origin { path: Arc::clone(&self.path), offset: handle.offset };
        Ok(Block::new(payload, origin)?.with_base(self.meta.base))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache.release(self.memory_bytes());
    }
}

pub(super) fn version(block: Arc<Block>, entry: &Entry) -> (Seq, Version) {
    let version = match entry.trailer.kind() {
        Kind::Delete => Version::Delete,
        Kind::Put => Version::Put(Value::in_block(block, entry.value_start, entry.value_len())),
    };
    (entry.trailer.seq(), version)
}
