//! Rows: what point reads have found in the tables of one version, so that reading a key again looks neither for its table
//! nor for its block. A point read of what is in memory spends most of its time waiting for the processor to fetch the
//! filter, the index, the cache's table and the block one after another; a row takes two fetches.
//!
//! What always holds:
//! - Rows belong to one version, which never changes, and hold the newest record of a key in all of its tables. So they
//!   are right for every read at or after the newest sequence in these tables, and go when the version does.
//! - They take nothing from blocks: only memory that the cache has to spare, charged to it, and no more than a quarter of
//!   its capacity. When there is none to spare they give back what they have and keep nothing more.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::cache::BlockCache;
use crate::limits::{MAX_ROW_BYTES, ROWS_CACHE_SHARE};
use crate::types::Seq;

/// Readers of different shards do not wait for each other. There are more only where one could have more than slots can reach.
const LEAST_SHARDS: usize = 8;
const MOST_SHARDS: usize = 256;
/// Rows begin at multiples of this, which makes slots small: many fit into what the processor keeps close.
const ROW_ALIGNMENT: usize = 16;
/// Bits of a slot that say where its row begins. The others are a part of the hash.
const PLACE_BITS: u32 = 20;
/// Bytes of rows that slots can reach.
const MOST_BYTES: usize = (1 << PLACE_BITS) * ROW_ALIGNMENT - ROW_ALIGNMENT;
const SLOTS: usize = 16;
/// Rows of a shard at which it gets twice as many buckets, for each of those that it has.
const ROWS_PER_BUCKET: usize = 8;
/// First buckets and bytes of a shard; both are doubled when they are used up.
const FIRST_BUCKETS: usize = 8;
const FIRST_BYTES: usize = 2048;
/// Hash, sequence, and the lengths of key and value.
const HEADER_BYTES: usize = 8 + 8 + 4 + 4;

/// The rows of one version.
#[derive(Default)]
pub(crate) struct Rows {
    kept: OnceLock<Kept>,
    /// Nothing is kept any more.
    ended: AtomicBool,
}

struct Kept {
    /// A power of two.
    shards: Box<[Mutex<Shard>]>,
    /// Bytes that each shard may have.
    most: usize,
    cache: Arc<BlockCache>,
}

/// Buckets, and the rows they point into: header, key and value of each, one after another.
#[derive(Default)]
struct Shard {
    buckets: Vec<Bucket>,
    bytes: Vec<u8>,
    rows: usize,
}

/// Slots of one line of the processor's cache; 0 is an empty one.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([Slot; SLOTS]);

/// A part of the hash, and one more than where the row begins.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Slot(u32);

/// One row.
struct Row<'a> {
    hash: u64,
    seq: Seq,
    key: &'a [u8],
    value: &'a [u8],
}

impl Rows {
    /// Gives `show` the record of `key`, if it is kept. `hash` is that of the filters. `show` must not read by key.
    #[inline]
    pub(crate) fn show<R>(&self, key: &[u8], hash: u64, show: impl FnOnce(Seq, &[u8]) -> R) -> Option<R> {
        let kept = self.kept.get()?;
        let shown = lock(kept.shard(hash)).find(key, hash).map(|row| show(row.seq, row.value))?;
        kept.cache.count_hit();
        Some(shown)
    }

    /// Keeps what was found under `key`, if `cache` has memory to spare.
    pub(crate) fn keep(&self, key: &[u8], hash: u64, seq: Seq, value: &[u8], cache: &Arc<BlockCache>) {
        if self.ended.load(Relaxed) || HEADER_BYTES + key.len() + value.len() > MAX_ROW_BYTES {
            return;
        }
        let kept = self.kept.get_or_init(|| Kept::new(cache));
        let mut shard = lock(kept.shard(hash));
        if shard.find(key, hash).is_none() && !shard.push(&Row { hash, seq, key, value }, kept) {
            drop(shard);
            self.end();
        }
    }

    /// Gives back all memory; nothing is kept any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
        let Some(kept) = self.kept.get() else { return };
        for shard in &*kept.shards {
            // Who is in the middle of keeping something may begin once more; that goes with the version.
            let ended = std::mem::take(&mut *lock(shard));
            kept.cache.release(ended.memory_bytes());
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.end();
    }
}

impl Kept {
    fn new(cache: &Arc<BlockCache>) -> Self {
        let all = cache.capacity() / ROWS_CACHE_SHARE;
        let shards = all.div_ceil(MOST_BYTES).next_power_of_two().clamp(LEAST_SHARDS, MOST_SHARDS);
        let most = (all / shards).min(MOST_BYTES);
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        Self { shards, most, cache: Arc::clone(cache) }
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 56) as usize & (self.shards.len() - 1)]
    }
}

impl Shard {
    fn memory_bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>() + self.bytes.capacity()
    }

    #[inline]
    fn find(&self, key: &[u8], hash: u64) -> Option<Row<'_>> {
        let bucket = self.buckets.get(self.bucket_of(hash))?;
        let candidates = bucket.0.iter().filter(|slot| slot.is_of(hash));
        candidates.filter_map(|slot| Row::read(&self.bytes, slot.start())).find(|row| row.key == key)
    }

    /// Adds a row that is not here. What the shard has is forgotten when it has used up all that it may have; `false` if
    /// it needs memory that there is not, or if blocks need what it has.
    fn push(&mut self, row: &Row<'_>, kept: &Kept) -> bool {
        let needed = self.bytes.len() + row.len();
        let buckets = if self.rows < self.buckets.len() * ROWS_PER_BUCKET { 0 } else { self.buckets.len() };
        let buckets = if self.buckets.is_empty() { FIRST_BUCKETS } else { buckets };
        let bytes = if needed <= self.bytes.capacity() {
            0
        } else {
            self.bytes.capacity().max(FIRST_BYTES).max(row.len())
        };
        let more = buckets * size_of::<Bucket>() + bytes;
        if self.memory_bytes() + more > kept.most {
            return kept.cache.charge_spare(0) && self.begin_anew(row);
        }
        if more > 0 && !kept.cache.charge_spare(more) {
            return false;
        }
        if bytes > 0 {
            let before = self.bytes.capacity();
            self.bytes.reserve_exact(before + bytes - self.bytes.len());
            kept.cache.charge(self.bytes.capacity() - before - bytes);
        }
        if buckets > 0 {
            self.spread(self.buckets.len() + buckets);
        }
        self.append(row);
        true
    }

    /// Forgets all rows and begins with this one in the memory that they had.
    fn begin_anew(&mut self, row: &Row<'_>) -> bool {
        self.buckets.fill(Bucket::default());
        self.bytes.clear();
        self.rows = 0;
        if !self.buckets.is_empty() && row.len() <= self.bytes.capacity() {
            self.append(row);
        }
        true
    }

    fn append(&mut self, row: &Row<'_>) {
        let at = self.bytes.len();
        row.write(&mut self.bytes);
        self.bytes.resize(at + row.len(), 0);
        self.enter(row.hash, at);
        self.rows += 1;
    }

    /// Points to the row at `at`. In a full bucket it takes the place of another one.
    fn enter(&mut self, hash: u64, at: usize) {
        let place = self.bucket_of(hash);
        let Some(bucket) = self.buckets.get_mut(place) else { return };
        let free = bucket.0.iter().position(|slot| *slot == Slot::default());
        bucket.0[free.unwrap_or(at / ROW_ALIGNMENT % SLOTS)] = Slot::new(hash, at);
    }

    /// Spreads the slots over so many buckets, a power of two.
    fn spread(&mut self, buckets: usize) {
        let before = std::mem::replace(&mut self.buckets, vec![Bucket::default(); buckets]);
        for slot in before.iter().flat_map(|bucket| bucket.0).filter(|slot| *slot != Slot::default()) {
            if let Some(hash) = Row::read(&self.bytes, slot.start()).map(|row| row.hash) {
                self.enter(hash, slot.start());
            }
        }
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        hash as usize & self.buckets.len().wrapping_sub(1)
    }
}

impl Slot {
    fn new(hash: u64, at: usize) -> Self {
        Self(Self::part(hash) << PLACE_BITS | ((at / ROW_ALIGNMENT) as u32 + 1))
    }

    /// Bits that choose neither the shard nor the bucket.
    #[inline]
    fn part(hash: u64) -> u32 {
        (hash >> 44) as u32 & ((1 << (32 - PLACE_BITS)) - 1)
    }

    /// Whether it may be of a key with this hash.
    #[inline]
    fn is_of(self, hash: u64) -> bool {
        self.0 >> PLACE_BITS == Self::part(hash) && self != Self::default()
    }

    #[inline]
    fn start(self) -> usize {
        (self.0 as usize & ((1 << PLACE_BITS) - 1)).saturating_sub(1) * ROW_ALIGNMENT
    }
}

impl<'a> Row<'a> {
    /// Bytes up to where the next row begins.
    fn len(&self) -> usize {
        (HEADER_BYTES + self.key.len() + self.value.len()).next_multiple_of(ROW_ALIGNMENT)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.seq.get().to_le_bytes());
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.value.len() as u32).to_le_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
    }

    #[inline]
    fn read(bytes: &'a [u8], at: usize) -> Option<Self> {
        let (hash, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let value = rest.get(..u32::from_le_bytes(*value) as usize)?;
        Some(Self { hash: u64::from_le_bytes(*hash), seq: Seq::new(u64::from_le_bytes(*seq))?, key, value })
    }
}

/// What a holder leaves behind that panicked is a shard like any other: rows are written before they are pointed to.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::key_hash;

    fn key(n: u32) -> [u8; 4] {
        n.to_be_bytes()
    }

    fn keep(rows: &Rows, n: u32, value: &[u8], cache: &Arc<BlockCache>) {
        rows.keep(&key(n), key_hash(&key(n)), Seq::MAX, value, cache);
    }

    fn get(rows: &Rows, n: u32) -> Option<Box<[u8]>> {
        rows.show(&key(n), key_hash(&key(n)), |_, value| value.into())
    }

    #[test]
    fn what_was_kept_is_found_and_nothing_else() {
        let (rows, cache) = (Rows::default(), Arc::new(BlockCache::new(64 << 20)));
        assert_eq!(get(&rows, 0), None);
        let value = |n: u32| vec![n as u8; n as usize % 200];
        for n in 0..20_000 {
            keep(&rows, n, &value(n), &cache);
        }
        let found = (0..20_000).filter_map(|n| Some((n, get(&rows, n)?))).collect::<Vec<_>>();
        assert!(found.len() > 19_000, "{} of 20,000", found.len());
        assert!(found.iter().all(|(n, found)| **found == *value(*n)));
        assert!((20_000..40_000).all(|n| get(&rows, n).is_none()));
        assert_eq!(cache.stats().hits, found.len() as u64);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let (rows, cache) = (Rows::default(), Arc::new(BlockCache::new(1 << 20)));
        let seq = |n| Seq::new(n).unwrap();
        rows.keep(b"a", 7, seq(1), b"of a", &cache);
        let get = |key: &[u8]| rows.show(key, 7, |seq, value| (seq, value.to_vec()));
        assert_eq!(get(b"b"), None);
        rows.keep(b"b", 7, seq(2), b"of b", &cache);
        rows.keep(b"b", 7, seq(3), b"never", &cache);
        assert_eq!(get(b"a"), Some((seq(1), b"of a".to_vec())));
        assert_eq!(get(b"b"), Some((seq(2), b"of b".to_vec())));
    }

    #[test]
    fn rows_take_at_most_their_share_and_give_it_back() {
        let cache = Arc::new(BlockCache::new(1 << 20));
        let rows = Rows::default();
        for n in 0..100_000 {
            keep(&rows, n, &[7; 100], &cache);
            assert!(cache.stats().charged <= (1 << 20) / ROWS_CACHE_SHARE as u64);
        }
        assert!((99_900..100_000).any(|n| get(&rows, n).is_some()), "what came last has room");
        assert!(cache.stats().charged > (1 << 20) / ROWS_CACHE_SHARE as u64 / 4);
        drop(rows);
        assert_eq!(cache.stats().charged, 0);
    }

    #[test]
    fn without_memory_to_spare_nothing_is_kept() {
        let cache = Arc::new(BlockCache::new(1 << 20));
        let rows = Rows::default();
        keep(&rows, 1, b"one", &cache);
        assert!(get(&rows, 1).is_some());
        cache.charge(1 << 20);
        for n in 2..2000 {
            keep(&rows, n, &[1; 100], &cache);
        }
        assert!((1..2000).all(|n| get(&rows, n).is_none()));
        assert_eq!(cache.stats().charged, 1 << 20);
    }

    #[test]
    fn rows_that_have_all_they_may_have_give_it_back_when_it_is_needed() {
        let cache = Arc::new(BlockCache::new(1 << 20));
        let rows = Rows::default();
        (0..20_000).for_each(|n| keep(&rows, n, &[1; 100], &cache));
        assert!(cache.stats().charged > 100 << 10);
        cache.charge(1 << 20);
        (20_000..40_000).for_each(|n| keep(&rows, n, &[1; 100], &cache));
        assert_eq!(cache.stats().charged, 1 << 20);
    }

    #[test]
    fn large_records_are_not_kept() {
        let (rows, cache) = (Rows::default(), Arc::new(BlockCache::new(64 << 20)));
        keep(&rows, 1, &[1; MAX_ROW_BYTES], &cache);
        assert_eq!((get(&rows, 1), cache.stats().charged), (None, 0));
    }
}
