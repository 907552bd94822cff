//! Every limit and tuning constant of this crate, in one place.

/// Longest user key in bytes. Keeps a restart key and a separator well inside one block.
pub const MAX_KEY_BYTES: usize = 8 * 1024;
/// Longest value in bytes: 64 MiB.
pub const MAX_VALUE_BYTES: usize = 64 << 20;
/// Largest commit in bytes, keys, values and 8 bytes per operation together: 256 MiB. Bounds the body of a WAL frame, so a damaged length
/// can never ask for more memory than this.
pub const MAX_COMMIT_BYTES: usize = 256 << 20;
/// Largest manifest edit in bytes; bounds allocation when a manifest is read.
pub(crate) const MAX_EDIT_BYTES: usize = 64 << 20;
/// Largest block payload that a reader accepts: one maximal entry and change.
pub(crate) const MAX_BLOCK_BYTES: usize = MAX_VALUE_BYTES + MAX_KEY_BYTES + 1024;

/// Version of every file format in this store.
pub const FORMAT_VERSION: u32 = 1;
/// Incompatible feature bits this code understands.
pub(crate) const KNOWN_INCOMPAT: u64 = 0;

/// Number of levels; level 0 holds flushed tables in commit order, the others are sorted runs.
pub const LEVELS: usize = 7;
/// A table entry shares its key with the previous one except at every 16th.
pub(crate) const RESTART_INTERVAL: usize = 16;
/// Uncompressed size at which a data block is closed.
pub(crate) const BLOCK_BYTES: usize = 4 * 1024;
/// Filter bits per key and probes: about 0.9 % false positives in one cache line.
pub(crate) const FILTER_BITS_PER_KEY: usize = 10;
/// Probes per lookup for [`FILTER_BITS_PER_KEY`].
pub(crate) const FILTER_PROBES: u8 = 6;
/// A compressed block is kept only if it saves at least one byte in this many (12.5 %).
pub(crate) const MIN_COMPRESSION_GAIN: usize = 8;
/// Bytes of a new table that are collected for one system call.
pub(crate) const TABLE_WRITE_BYTES: usize = 1 << 20;
/// First level whose tables are compressed; the levels above are rewritten too soon to pay.
pub(crate) const FIRST_COMPRESSED_LEVEL: usize = 2;

/// Number of level-0 tables that starts a compaction.
pub(crate) const LEVEL0_TRIGGER: usize = 4;
/// Number of level-0 tables at which writers wait for compaction.
pub(crate) const LEVEL0_STOP: usize = 24;
/// Full memtables that may wait for the flush before writers wait too.
pub(crate) const MAX_SEALED_MEMTABLES: usize = 3;
/// Bytes in level 1 before it is compacted into level 2.
pub(crate) const LEVEL1_BYTES: u64 = 64 << 20;
/// Each deeper level may hold this many times more.
pub(crate) const LEVEL_GROWTH: u64 = 10;

/// Longest group of commits written with one system call, in bytes.
pub(crate) const MAX_GROUP_BYTES: usize = 8 << 20;
/// Buffered WAL bytes of memory-level commits that trigger a write to the operating system.
pub(crate) const WAL_BUFFER_BYTES: usize = 256 * 1024;
/// Manifest size at which a new one with a fresh snapshot is started.
pub(crate) const MANIFEST_ROTATE_BYTES: u64 = 4 << 20;
