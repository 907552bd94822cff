//! How the store of a case is opened: small enough that a few commits go through all of the engine.

use std::sync::Arc;

use fountain_lsm::{Clock, Compression, ManualClock, Options, Retention, StoreId};

use super::ledger::Ledger;
use super::past::Floors;
use crate::blocks::Blocks;
use crate::disk::SimFs;
use crate::random::Random;

/// What stays the same over all sessions of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    memtable_bytes: usize,
    wal_segment_bytes: u64,
    table_bytes: u64,
    cache_bytes: usize,
    compression: Compression,
    blocks: Blocks,
    /// Whether a writer that finds no room flushes and compacts.
    writers_make_room: bool,
    /// Whether old versions may go everywhere.
    pub latest_only: bool,
    /// Whether the file system has hard links.
    pub links: bool,
}

impl Config {
    /// The configuration that follows from a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::nth(seed, 0xC0);
        Self {
            // A memtable takes 16 KiB at once, so that the least limit flushes with every commit.
            memtable_bytes: *random.pick(&[1, 20 << 10, 1 << 20, 1 << 20]),
            wal_segment_bytes: *random.pick(&[1, 400, 2000, 1 << 20]),
            table_bytes: *random.pick(&[300, 2000, 1 << 20]),
            cache_bytes: *random.pick(&[0, 64 << 10]),
            compression: *random.pick(&[Compression::None, Compression::Lz4]),
            writers_make_room: !random.one_in(4),
            latest_only: random.one_in(5),
            links: !random.one_in(4),
            blocks: Blocks::random(&mut random),
        }
    }

    /// One in which a segment is full after a commit, and nothing is done but what is asked for.
    #[cfg(test)]
    pub fn small() -> Self {
        Self {
            memtable_bytes: 1 << 20,
            wal_segment_bytes: 1,
            table_bytes: 1 << 20,
            latest_only: false,
            links: true,
            ..Self::from_seed(1)
        }
    }

    /// What may be gone of a store that was just opened. One that keeps the newest only may have dropped the rest meanwhile.
    pub fn may_forget(&self, ledger: &Ledger) -> Floors {
        if self.latest_only { Floors::all(u64::MAX) } else { ledger.floors }
    }

    /// The options to open a store with.
    pub fn options(&self, fs: &SimFs, clock: &Arc<ManualClock>) -> Options {
        if !self.links {
            fs.refuse_links();
        }
        Options {
            fs: Arc::new(fs.clone()),
            clock: Arc::clone(clock) as Arc<dyn Clock>,
            store_id: Some(StoreId([7; 16])),
            memtable_bytes: self.memtable_bytes,
            wal_segment_bytes: self.wal_segment_bytes,
            table_bytes: self.table_bytes,
            cache_bytes: self.cache_bytes,
            compression: self.compression,
            table_layout: self.blocks.layout(),
            retention: if self.latest_only { Retention::LatestOnly } else { Retention::Unbounded },
            background: false,
            writers_make_room: self.writers_make_room,
            ..Options::default()
        }
    }
}
