//! The engines under one roof: what the workloads ask of an ordered key-value store, and nothing else.
//!
//! Each engine is used as its own documentation recommends, with the same cache, the same durability and the same
//! compression; the README of this crate says which call of which engine stands behind every word here.

use std::path::Path;

use crate::Outcome;
use crate::keys::Key;

#[cfg(feature = "fjall")]
mod fjall;
mod fountain;
#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sled")]
mod sled;

/// Bytes of a write buffer before it is flushed, in engines that have one: the default of ours.
pub const MEMTABLE_BYTES: usize = 32 << 20;

/// Threads that flush and compact, in engines that let us choose.
#[cfg(any(feature = "fjall", feature = "rocksdb"))]
const BACKGROUND_THREADS: u8 = 2;

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Once the operating system has it.
    Os,
    /// Once the disk has it.
    Disk,
}

/// Whether tables are compressed, in engines that can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// No; values are incompressible.
    None,
    /// With LZ4; values are compressible to about a half.
    Lz4,
}

/// Which old versions are kept, in engines that can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Only the newest, as engines without versions do.
    Newest,
    /// The ten newest of each record.
    LastTen,
    /// All of them.
    All,
    /// All of them, by a clock on which each batch takes a second, until told to keep less.
    Timed,
}

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of cache.
    pub cache_bytes: usize,
    /// Compression of tables.
    pub compression: Compression,
    /// When writes count as done.
    pub sync: Sync,
    /// Retention of old versions.
    pub keep: Keep,
    /// Bytes of a write buffer before it is flushed, in engines that have one.
    pub memtable_bytes: usize,
}

/// Gets to see a value.
pub type SeeValue<'a> = &'a mut dyn FnMut(&[u8]) -> Outcome<()>;

/// Gets to see a record of a scan; false ends the scan.
pub type SeeRecord<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Outcome<bool>;

/// An open store.
pub trait Engine: Send + std::marker::Sync {
    /// Sets `key` to `value` in a commit of its own.
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()>;

    /// Deletes `key` in a commit of its own.
    fn delete(&self, key: &Key) -> Outcome<()>;

    /// Sets all of `puts` in one commit.
    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()>;

    /// A reader for the calling thread.
    fn reader(&self) -> Outcome<Box<dyn Reader + '_>>;

    /// Moves what is buffered in memory to where it stays.
    fn flush(&self) -> Outcome<()>;

    /// The engine's old versions, if it keeps any.
    fn versions(&self) -> Option<&dyn Versions> {
        None
    }

    /// Ends the use of the store; it opens again without recovery.
    fn close(self: Box<Self>) -> Outcome<()>;
}

/// Reads of one thread. Sees what was committed before it was made or last refreshed, and maybe more.
pub trait Reader {
    /// Sees from now on everything that is committed now. Costs nothing where readers see the newest state anyway.
    fn refresh(&mut self) -> Outcome<()>;

    /// Shows the value of `key`, lent by the engine where it can; false when there is none.
    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool>;

    /// Shows the records from the first or from `from` (included) on, in the order of their keys.
    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()>;

    /// Shows all records from the last to the first.
    fn scan_back(&self, see: SeeRecord) -> Outcome<()>;
}

/// The past of a store.
pub trait Versions {
    /// The newest point in time; each commit moves it on by one.
    fn now(&self) -> u64;

    /// Shows the value that `key` had at the point `at`; false when it had none.
    fn get_at(&self, key: &Key, at: u64, see: SeeValue) -> Outcome<bool>;

    /// From now on only what could be seen at the point `at` or later is kept.
    fn keep_since(&self, at: u64) -> Outcome<()>;

    /// From now on only what could be seen in the last so many batches is kept, by their age; for [`Keep::Timed`].
    fn keep_young(&self, batches: u64) -> Outcome<()>;

    /// Merges everything and drops what is not kept.
    fn compact(&self) -> Outcome<()>;
}

/// Opens the store in a directory, creating it if there is none.
type Open = fn(&Path, &Config) -> Outcome<Box<dyn Engine>>;

/// An engine that is built in.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in options and reports.
    pub name: &'static str,
    /// Whether it keeps old versions.
    pub has_versions: bool,
    /// Whether the operating system has each write when the call returns, so that the death of the process costs none.
    pub outlives_process: bool,
    open: Open,
}

impl Kind {
    /// The engines that are built in, ours first.
    pub const ALL: &[Self] = &[
        Self { name: Self::OURS, has_versions: true, outlives_process: true, open: fountain::open },
        #[cfg(feature = "fjall")]
        Self { name: "fjall", has_versions: false, outlives_process: true, open: fjall::open },
        #[cfg(feature = "rocksdb")]
        Self { name: "rocksdb", has_versions: false, outlives_process: true, open: rocksdb::open },
        #[cfg(feature = "lmdb")]
        Self { name: "lmdb", has_versions: false, outlives_process: true, open: lmdb::open },
        #[cfg(feature = "redb")]
        Self { name: "redb", has_versions: false, outlives_process: false, open: redb::open },
        #[cfg(feature = "sled")]
        Self { name: "sled", has_versions: false, outlives_process: false, open: sled::open },
    ];

    /// Name of the engine that the others are compared with.
    pub const OURS: &str = "fountain";

    /// The engine of this name.
    ///
    /// # Errors
    /// When it is not built in.
    pub fn named(name: &str) -> Outcome<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.name).collect();
            format!(
                "the engine '{name}' is not built in, only {}; build with --features peers for all of them",
                known.join(", ")
            )
            .into()
        })
    }

    /// Opens the store in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn open(&self, dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
        std::fs::create_dir_all(dir)?;
        (self.open)(dir, config)
    }
}

#[cfg(test)]
mod tests;
