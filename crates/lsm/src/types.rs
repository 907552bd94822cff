//! The small types that must never be mixed up: sequences, file numbers, store ids, entry kinds.

use std::fmt;

/// Position of a commit in the history of a store. The first commit has sequence 1; 0 means "before all commits".
/// Never exceeds [`Seq::MAX`], so it is exact as a JavaScript number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);
    /// 2^53 − 1, the largest integer that JavaScript numbers represent exactly.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A sequence from its number. Returns `None` above [`Seq::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence `count` commits later, or `None` when the sequence space is exhausted.
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(number) => Self::new(number),
            None => None,
        }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a file for the whole life of a store; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// 16 random bytes that tell one store's files from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId(pub [u8; 16]);

/// What a version of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The key has a value.
    Put = 0,
    /// The key was deleted: a tombstone.
    Delete = 1,
}

/// Sequence and kind of a version in one word, `sequence · 4 + kind`, as stored in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer(u64);

impl Trailer {
    pub(crate) const fn new(seq: Seq, kind: Kind) -> Self {
        Self(seq.0 << 2 | kind as u64)
    }

    /// A trailer from its stored form, or `None` for an unknown kind or a sequence out of range.
    pub(crate) const fn from_raw(raw: u64) -> Option<Self> {
        if raw & 0b11 > Kind::Delete as u64 || raw >> 2 > Seq::MAX.0 { None } else { Some(Self(raw)) }
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    pub(crate) const fn seq(self) -> Seq {
        Seq(self.0 >> 2)
    }

    pub(crate) const fn kind(self) -> Kind {
        if self.0 & 0b11 == Kind::Put as u64 { Kind::Put } else { Kind::Delete }
    }
}

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In the store's memory. Lost if the process dies before a later commit, a flush or a close writes it out.
    Memory,
    /// Handed to the operating system. Survives the death of the process, not of the machine.
    Os,
    /// On disk. Survives power loss.
    #[default]
    Disk,
}

/// How far a read may go for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadTier {
    /// The store's own memory only; a read that would need more fails with [`crate::Error::WouldBlock`].
    Memory,
    /// The store's memory, then what the operating system has in its own and gives at once (on Linux; elsewhere nothing). A
    /// read that would have to wait for the disk fails with [`crate::Error::WouldBlock`].
    System,
    /// Memory, then the disk.
    #[default]
    Disk,
}
