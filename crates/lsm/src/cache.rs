//! Table blocks kept in memory, shared by all tables of a store.
//!
//! Blocks are immutable and file numbers are never used twice, so an entry can never be stale; those of removed
//! tables simply age out. The weight of an entry is the memory its block really takes. What open tables keep in memory
//! for themselves, indexes and filters, is charged to the same budget and leaves less of it to blocks.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Weighter};

use crate::latency::Timer;
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::table::Block;
use crate::types::FileNumber;

/// Typical block in memory; sizes the cache's own tables and what is left to blocks before any are known.
const TYPICAL_BLOCK_BYTES: usize = 4 * 1024 + 512;
/// Most blocks the cache's tables are sized for at the start; they grow when there are more.
const MAX_ESTIMATED_BLOCKS: usize = 1 << 20;
/// What an entry takes beside its block: key, pointer and bookkeeping.
const ENTRY_OVERHEAD: u64 = 64;
/// Whatever is charged, blocks may use this part of the capacity: without blocks a cache is of no use.
const LEAST_BLOCK_SHARE: u64 = 4;
/// The room of blocks changes by this part of the capacity at a time.
const CHARGE_STEPS: u64 = 64;

/// A bounded map from place on disk to block.
pub(crate) struct BlockCache {
    /// `None` caches nothing: capacity 0.
    blocks: Option<Blocks>,
    capacity: u64,
    charged: Mutex<Charged>,
    hits: AtomicU64,
    misses: AtomicU64,
    inserts: AtomicU64,
    evictions: Arc<AtomicU64>,
    /// Has the histogram of misses.
    counters: Arc<Counters>,
}

/// What is held elsewhere.
struct Charged {
    bytes: u64,
    /// What blocks were last told that they may use. They round it up, so they cannot be asked.
    left: u64,
}

type Blocks = Cache<Key, Arc<Block>, ByMemory, BuildHasherDefault<PlaceHasher>, CountEvictions>;

/// What a cache did since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    /// Lookups that found their block, or what they wanted of it.
    pub(crate) hits: u64,
    /// Lookups that did not.
    pub(crate) misses: u64,
    /// Blocks offered after a miss; one larger than a share of the cache is not kept.
    pub(crate) inserts: u64,
    /// Blocks that had to leave, those too large to be kept included.
    pub(crate) evictions: u64,
    /// Bytes of blocks held now.
    pub(crate) bytes: u64,
    /// Bytes held by open tables for themselves.
    pub(crate) charged: u64,
    /// Most bytes that may be held, blocks and charges together.
    pub(crate) capacity: u64,
}

impl BlockCache {
    /// A cache for about `capacity` bytes of blocks; 0 caches nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let blocks = (capacity > 0).then(|| {
            let estimate = (capacity / TYPICAL_BLOCK_BYTES).clamp(1, MAX_ESTIMATED_BLOCKS);
            let hasher = BuildHasherDefault::default();
            Cache::with(estimate, capacity as u64, ByMemory, hasher, CountEvictions(Arc::clone(&evictions)))
        });
        Self {
            blocks,
            capacity: capacity as u64,
            charged: Mutex::new(Charged { bytes: 0, left: capacity as u64 }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            inserts: AtomicU64::new(0),
            evictions,
            counters: Arc::default(),
        }
    }

    /// As it is, with the times of misses recorded in `counters`.
    pub(crate) fn recorded_in(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// Takes `bytes` that are held elsewhere from what blocks may use, though never more than leaves them a quarter of
    /// the capacity. To be given back with [`Self::release`].
    pub(crate) fn charge(&self, bytes: usize) {
        self.change_charge(|charged| charged.saturating_add(bytes as u64));
    }

    /// As [`Self::charge`], if that many bytes are neither charged nor used by blocks, nor the last of them: there is always a
    /// part of a block that is not used, in each shard. Says whether they were.
    pub(crate) fn charge_spare(&self, bytes: usize) -> bool {
        let Some(blocks) = &self.blocks else { return false };
        let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
        let held = blocks.weight();
        let typical = held.checked_div(blocks.len() as u64).unwrap_or(TYPICAL_BLOCK_BYTES as u64);
        let unusable = self.step().max(typical.saturating_mul(blocks.num_shards() as u64));
        let used = held.saturating_add(charged.bytes).saturating_add(unusable);
        if self.capacity.saturating_sub(used) < bytes as u64 || used > self.capacity {
            return false;
        }
        charged.bytes += bytes as u64;
        self.fit(&mut charged);
        true
    }

    /// Most bytes that may be held.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Counts an answer that needed no block.
    #[inline]
    pub(crate) fn count_hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    /// Gives back what was charged.
    pub(crate) fn release(&self, bytes: usize) {
        self.change_charge(|charged| charged.saturating_sub(bytes as u64));
    }

    fn change_charge(&self, change: impl FnOnce(u64) -> u64) {
        // The lock keeps two changes from setting the capacity in the wrong order.
        let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
        charged.bytes = change(charged.bytes);
        self.fit(&mut charged);
    }

    /// Leaves to blocks what is not charged. Under the lock of what is.
    ///
    /// In steps, since each change costs the cache some of what it remembers of blocks that it no longer has.
    fn fit(&self, charged: &mut Charged) {
        if let Some(blocks) = &self.blocks {
            let taken = charged.bytes.div_ceil(self.step()).saturating_mul(self.step());
            let left = self.capacity.saturating_sub(taken).max(self.capacity / LEAST_BLOCK_SHARE);
            if left != charged.left {
                blocks.set_capacity(left);
                charged.left = left;
            }
        }
    }

    fn step(&self) -> u64 {
        (self.capacity / CHARGE_STEPS).max(1)
    }

    /// The block at `offset` of `file`, if it is in memory.
    #[inline]
    pub(crate) fn get(&self, file: FileNumber, offset: u64) -> Option<Arc<Block>> {
        let found = self.blocks.as_ref().and_then(|blocks| blocks.get(&Key::of(file, offset)));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
        found
    }

    /// As [`Self::get`], without being counted and without making it likelier that the block stays.
    pub(crate) fn peek(&self, file: FileNumber, offset: u64) -> Option<Arc<Block>> {
        self.blocks.as_ref()?.peek(&Key::of(file, offset))
    }

    /// Records the time until the guard is dropped as that of getting what was not here.
    pub(crate) fn time_miss(&self) -> Timer<'_> {
        self.counters.latencies.block_read.time()
    }

    /// Offers a block that was just read.
    pub(crate) fn insert(&self, file: FileNumber, offset: u64, block: Arc<Block>) {
        if let Some(blocks) = &self.blocks {
            self.inserts.fetch_add(1, Relaxed);
            blocks.insert(Key::of(file, offset), block);
        }
    }

    /// What the cache did so far.
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            inserts: self.inserts.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            bytes: self.blocks.as_ref().map_or(0, Cache::weight),
            charged: self.charged.lock().unwrap_or_else(PoisonError::into_inner).bytes,
            capacity: self.capacity,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    file: u64,
    offset: u64,
}

impl Key {
    #[inline]
    fn of(file: FileNumber, offset: u64) -> Self {
        Self { file: if planted::active(Bug::CacheKeyWithoutFile) { 0 } else { file.0 }, offset }
    }
}

#[derive(Clone, Copy)]
struct ByMemory;

impl Weighter<Key, Arc<Block>> for ByMemory {
    #[inline]
    fn weight(&self, _key: &Key, block: &Arc<Block>) -> u64 {
        block.memory_bytes() as u64 + ENTRY_OVERHEAD
    }
}

/// Counts the blocks that leave.
#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<Key, Arc<Block>> for CountEvictions {
    /// The last block that left, so that it is freed after the cache's lock is.
    type RequestState = Option<Arc<Block>>;

    fn on_evict(&self, state: &mut Self::RequestState, _key: Key, block: Arc<Block>) {
        self.0.fetch_add(1, Relaxed);
        *state = Some(block);
    }
}

/// Folded multiplication: keys are small numbers chosen by the store itself, so speed matters and hostile input does
/// not, while the map needs both ends and the middle of the hash to be well mixed.
#[derive(Clone, Copy, Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ 0x9E37_79B9_7F4A_7C15) * 0xA076_1D64_78BD_642F;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::limits::RESTART_INTERVAL;
    use crate::table::{BlockBuilder, Origin};
    use crate::types::{Kind, Seq, Trailer};

    /// A block of about so many bytes.
    fn block(bytes: usize) -> Arc<Block> {
        let mut builder = BlockBuilder::new(RESTART_INTERVAL);
        builder.add(b"key", Trailer::new(Seq::MAX, Kind::Put), &vec![7; bytes]);
        let origin = Origin { path: Arc::from(Path::new("table")), offset: 0 };
        Arc::new(Block::new(builder.finish().to_vec(), origin).unwrap())
    }

    #[test]
    fn a_cache_full_of_blocks_has_nothing_to_spare_however_large_they_are() {
        for bytes in [500, 4000, 15_000, 30_000] {
            let cache = BlockCache::new(1 << 20);
            let block = block(bytes);
            for number in 0..(4 << 20) / bytes as u64 {
                let has_evicted = cache.stats().evictions > 0;
                cache.insert(FileNumber(1), number, Arc::clone(&block));
                let is_half_full = cache.stats().bytes < 1 << 19;
                assert!(!is_half_full || has_evicted || cache.charge_spare(0), "{bytes}: {number}");
            }
            assert!(cache.stats().evictions > 0 && !cache.charge_spare(0), "{bytes}: {:?}", cache.stats());
        }
    }

    #[test]
    fn blocks_are_told_what_they_may_use_only_when_that_changes() {
        // Not a number that the shards of the cache can share evenly.
        let cache = BlockCache::new((1 << 20) + 13);
        let blocks = cache.blocks.as_ref().unwrap();
        cache.charge(100);
        // A mark that goes when they are told anything.
        let marked = blocks.capacity() + (4 << 20);
        blocks.set_capacity(marked);
        cache.charge(1);
        cache.release(100);
        assert!(blocks.capacity() >= marked, "within a step");
        cache.charge(cache.step() as usize);
        assert!(blocks.capacity() < marked, "a step further");
    }
}
