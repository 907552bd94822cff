//! What the children of one case do, and how they open their store. All of it follows from the seed.

use std::fmt;

use fountain_lsm::{Durability, Options, Retention};

use crate::blocks::Blocks;
use crate::random::Random;

/// What the writing child does besides committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One commit after the other.
    Single,
    /// Several threads, which share groups.
    Lanes,
    /// Several commits in one call.
    Groups,
    /// Another thread flushes and compacts all the time.
    Upkeep,
    /// Another thread makes checkpoints.
    Checkpoints,
    /// Some of the commits are bulk ingests.
    Ingests,
    /// The store is dropped and opened again all the time.
    Reopens,
    /// The store is closed and opened again all the time.
    Closes,
}

const WORKS: [Work; 8] = [
    Work::Single,
    Work::Lanes,
    Work::Groups,
    Work::Upkeep,
    Work::Checkpoints,
    Work::Ingests,
    Work::Reopens,
    Work::Closes,
];

/// One case.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From which it follows.
    pub seed: u64,
    pub work: Work,
    /// Threads that commit.
    pub lanes: u8,
    memtable_bytes: usize,
    wal_segment_bytes: u64,
    keeps_everything: bool,
    blocks: Blocks,
    first_lane: u8,
}

impl Plan {
    /// The case of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::nth(seed, 0);
        let work = *random.pick(&WORKS);
        let lanes = match work {
            Work::Single | Work::Groups | Work::Reopens | Work::Closes => 1,
            Work::Lanes => 4,
            Work::Upkeep | Work::Checkpoints | Work::Ingests => 2,
        };
        Self {
            seed,
            work,
            lanes,
            memtable_bytes: 8192 << random.below(7),
            wal_segment_bytes: 8192 << random.below(7),
            keeps_everything: !random.one_in(3),
            first_lane: random.below(3) as u8,
            blocks: Blocks::random(&mut random),
        }
    }

    /// How the store is opened.
    pub fn options(&self) -> Options {
        Options {
            memtable_bytes: self.memtable_bytes,
            wal_segment_bytes: self.wal_segment_bytes,
            table_bytes: 4 * self.memtable_bytes as u64,
            cache_bytes: 1 << 20,
            table_layout: self.blocks.layout(),
            retention: if self.keeps_everything { Retention::Unbounded } else { Retention::LatestOnly },
            ..Options::default()
        }
    }

    /// Whether every earlier state can be read.
    pub fn keeps_everything(&self) -> bool {
        self.keeps_everything
    }

    /// What commit `k` of a lane asks for: there are lanes of each level, and one that mixes the extremes.
    pub fn durability(&self, lane: u8, k: u64) -> Durability {
        match (lane + self.first_lane) % 3 {
            0 => Durability::Disk,
            1 => Durability::Os,
            _ if k.is_multiple_of(4) => Durability::Disk,
            _ => Durability::Memory,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, memtable {}, segment {}, blocks {:?}, {}",
            self.work,
            self.memtable_bytes,
            self.wal_segment_bytes,
            self.blocks,
            if self.keeps_everything { "all versions" } else { "newest versions" }
        )
    }
}
