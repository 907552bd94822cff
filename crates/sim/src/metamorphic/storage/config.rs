//! The configurations under which one list is run: all of them must give the same history.

use std::num::NonZeroU16;

use fountain_lsm::{Compression, Durability, KeyPrefix};
use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;
use crate::random::Random;

/// Where the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// On a simulated disk.
    Simulated,
    /// In a directory of the operating system.
    Real,
}

/// Who flushes and compacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worker {
    /// Threads of the store.
    Threads,
    /// Writers that find no room.
    Writers,
    /// Whoever runs the list: a flush after every so many commits, and a compaction after every so many; 0 is never.
    Steps {
        /// Commits from flush to flush.
        flush: u8,
        /// Commits from compaction to compaction.
        compact: u8,
    },
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// Not at all.
    None,
    /// With LZ4.
    Lz4,
    /// With Zstandard.
    Zstd,
}

/// What filters know as the prefix of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prefix {
    /// So many bytes.
    Fixed(NonZeroU16),
    /// Up to and with the first byte of this value.
    UpTo(u8),
}

/// How durable commits are, and so how bad a crash may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// Commits stay in memory; the process is killed.
    Memory,
    /// Commits go to the operating system; the process is killed.
    Os,
    /// Commits go to the disk; the power fails.
    Disk,
}

/// One configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where the files are.
    pub medium: Medium,
    /// Who flushes and compacts.
    pub worker: Worker,
    /// See [`fountain_lsm::Options::memtable_bytes`].
    pub memtable_bytes: usize,
    /// See [`fountain_lsm::Options::wal_segment_bytes`].
    pub wal_segment_bytes: u64,
    /// See [`fountain_lsm::Options::table_bytes`].
    pub table_bytes: u64,
    /// See [`fountain_lsm::Options::cache_bytes`].
    pub cache_bytes: usize,
    /// See [`fountain_lsm::Options::compression`].
    pub packing: Packing,
    /// See [`fountain_lsm::Options::bottom_compression`].
    #[serde(default)]
    pub bottom: Option<Packing>,
    /// See [`fountain_lsm::Options::prefix_filter`].
    #[serde(default)]
    pub prefix: Option<Prefix>,
    /// How tables are cut into blocks.
    #[serde(default)]
    pub blocks: Blocks,
    /// How durable commits are.
    pub promise: Promise,
    /// Reads try memory first.
    pub memory_first: bool,
}

impl Packing {
    /// As an option of the store.
    pub fn compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        }
    }
}

impl Prefix {
    /// As an option of the store.
    pub fn rule(self) -> KeyPrefix {
        match self {
            Self::Fixed(len) => KeyPrefix::Fixed(len),
            Self::UpTo(last) => KeyPrefix::UpTo(last),
        }
    }

    /// A prefix that keys of some style have, by chance.
    fn random(random: &mut Random) -> Self {
        let lengths = [1, 2, 3, 57, 301].map(|len| NonZeroU16::new(len).unwrap_or(NonZeroU16::MIN));
        if random.one_in(2) {
            Self::Fixed(*random.pick(&lengths))
        } else {
            Self::UpTo(*random.pick(b"ab/\x00\xFE"))
        }
    }
}

impl Promise {
    /// As commits are made.
    pub fn durability(self) -> Durability {
        match self {
            Self::Memory => Durability::Memory,
            Self::Os => Durability::Os,
            Self::Disk => Durability::Disk,
        }
    }
}

impl Config {
    /// Everything stays in memory for as long as it can: hardly anything of the machinery is involved.
    pub const PLAIN: Self = Self {
        medium: Medium::Simulated,
        worker: Worker::Writers,
        memtable_bytes: 16 << 20,
        wal_segment_bytes: 64 << 20,
        table_bytes: 32 << 20,
        cache_bytes: 1 << 20,
        packing: Packing::None,
        bottom: None,
        prefix: None,
        blocks: Blocks::Usual,
        promise: Promise::Os,
        memory_first: false,
    };

    /// Everything is as small as it can be, so that all of the machinery runs all the time.
    pub const TINY: Self = Self {
        medium: Medium::Simulated,
        worker: Worker::Steps { flush: 1, compact: 1 },
        memtable_bytes: 4 << 10,
        wal_segment_bytes: 1 << 10,
        table_bytes: 1 << 10,
        cache_bytes: 0,
        packing: Packing::Lz4,
        bottom: Some(Packing::Zstd),
        prefix: Some(Prefix::Fixed(NonZeroU16::MIN)),
        blocks: Blocks::Single,
        promise: Promise::Disk,
        memory_first: true,
    };

    /// A configuration by chance.
    pub fn random(random: &mut Random) -> Self {
        let every = |random: &mut Random| *random.pick(&[0, 1, 2, 5, 20]);
        let worker = match random.below(8) {
            0 => Worker::Threads,
            1 | 2 => Worker::Writers,
            _ => Worker::Steps { flush: every(random), compact: every(random) },
        };
        Self {
            medium: if random.one_in(16) { Medium::Real } else { Medium::Simulated },
            worker,
            memtable_bytes: *random.pick(&[4 << 10, 17 << 10, 24 << 10, 64 << 10, 1 << 20]),
            wal_segment_bytes: *random.pick(&[1 << 10, 8 << 10, 64 << 10, 4 << 20]),
            table_bytes: *random.pick(&[1 << 10, 4 << 10, 16 << 10, 256 << 10, 32 << 20]),
            cache_bytes: *random.pick(&[0, 8 << 10, 64 << 10, 8 << 20]),
            packing: *random.pick(&[Packing::None, Packing::Lz4, Packing::Zstd]),
            bottom: *random.pick(&[None, None, Some(Packing::None), Some(Packing::Lz4), Some(Packing::Zstd)]),
            prefix: random.one_in(2).then(|| Prefix::random(random)),
            promise: *random.pick(&[Promise::Memory, Promise::Os, Promise::Disk]),
            memory_first: random.one_in(3),
            blocks: Blocks::random(random),
        }
    }
}
