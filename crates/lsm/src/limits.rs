//! Every limit and tuning constant of this crate, in one place.

use std::num::NonZeroU16;
use std::time::Duration;

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

/// Files are numbered below this. What has a greater number by its name is not one of ours: a store that took a number
/// every microsecond would need three centuries for them.
pub(crate) const FILE_NUMBER_LIMIT: u64 = 1 << 53;
/// Longest content of `CURRENT` in bytes, and some.
pub(crate) const MAX_CURRENT_BYTES: usize = 64;

/// Number of levels; level 0 holds flushed tables in commit order, the others are sorted runs.
pub const LEVELS: usize = 7;
/// A table entry shares its key with the previous one except at every 16th.
pub(crate) const RESTART_INTERVAL: usize = 16;
/// Uncompressed size at which a data block is closed, unless [`crate::TableLayout`] says something else.
pub(crate) const BLOCK_BYTES: usize = 4 * 1024;
/// Most that it can say.
pub(crate) const MOST_BLOCK_BYTES: usize = 1 << 20;
/// Filter bits per key and probes: about 0.9 % false positives in one cache line.
pub(crate) const FILTER_BITS_PER_KEY: usize = 10;
/// Probes per lookup for [`FILTER_BITS_PER_KEY`].
pub(crate) const FILTER_PROBES: u8 = 6;
/// A compressed block is kept only if it saves at least one byte in this many (12.5 %).
pub(crate) const MIN_COMPRESSION_GAIN: usize = 8;
/// Most bytes that one byte of LZ4 can stand for: each further byte of a length adds at most 255.
pub(crate) const LZ4_MOST_EXPANSION: usize = 255;
/// Most bytes that one byte of Zstandard can stand for: a block of 128 KiB takes at least four bytes.
#[cfg(feature = "zstd")]
pub(crate) const ZSTD_MOST_EXPANSION: usize = (128 << 10) / 4;
/// Level of Zstandard compression.
#[cfg(feature = "zstd")]
pub(crate) const ZSTD_LEVEL: i32 = 3;
/// Data blocks in a row that a scan reads from the disk one by one before it begins to read ahead.
pub(crate) const MISSES_BEFORE_READ_AHEAD: u32 = 2;
/// Data blocks that one walk over a section reads for somebody who must not wait, though the system has them in memory: each
/// takes microseconds, and a long stretch of deleted records takes many.
pub(crate) const MAX_BLOCKS_AT_ONCE: u32 = 128;
/// Larger blocks are not read for somebody who must not wait.
pub(crate) const MAX_BLOCK_BYTES_AT_ONCE: usize = 256 * 1024;
/// Blocks in a row of which a reader is known to see nothing that a walk leaves out before it enters one all the same. It has to
/// stand somewhere, and a search for more would cost a short scan more than it can gain.
pub(crate) const MAX_SUPERSEDED_BLOCKS: usize = 64;
/// Larger records, with their keys, are not kept as rows: finding their block takes a small part of the time to read them.
pub(crate) const MAX_ROW_BYTES: usize = 4 * 1024;
/// Rows may take this part of the cache.
pub(crate) const ROWS_CACHE_SHARE: usize = 4;
/// Bytes read ahead at first; doubled with every further read.
pub(crate) const FIRST_READ_AHEAD_BYTES: usize = 8 * 1024;
/// Most bytes read ahead.
pub(crate) const MAX_READ_AHEAD_BYTES: usize = 256 * 1024;
/// Bytes of an index that may stay in memory, unless [`crate::TableLayout`] says something else; a larger one is split into
/// leaves and a root.
pub(crate) const MAX_PINNED_INDEX_BYTES: usize = 1 << 20;
/// Data blocks named by each leaf of a split index but the last, where the footer names no other number. Part of the file
/// format.
pub(crate) const INDEX_LEAF_BLOCKS: NonZeroU16 = NonZeroU16::new(256).unwrap();
/// Bytes of a new table that are collected for one system call.
pub(crate) const TABLE_WRITE_BYTES: usize = 1 << 20;

/// Number of full level-0 tables that starts a compaction. Smaller ones count for less.
pub(crate) const LEVEL0_TRIGGER: usize = 4;
/// Number of level-0 tables that starts one however small they are, before writers are slowed.
pub(crate) const LEVEL0_MOST: usize = 8;
/// A level-0 table is full from this part of a memtable on: records take up to a quarter of the place in a table that they took
/// in memory.
pub(crate) const LEVEL0_FULL_SHARE: usize = 4;
/// Number of level-0 tables at which writers begin to be slowed.
pub(crate) const LEVEL0_SOFT: usize = 12;
/// Number of level-0 tables at which writers wait for compaction.
pub(crate) const LEVEL0_STOP: usize = 36;
/// Bytes to compact at which writers begin to be slowed, and at which they are slowed most, in units of what level 0
/// delivers at once.
pub(crate) const DEBT_SOFT_BASES: u64 = 32;
/// See [`DEBT_SOFT_BASES`].
pub(crate) const DEBT_STOP_BASES: u64 = 128;
/// Longest delay of one write under pressure.
pub(crate) const LONGEST_WRITE_DELAY: Duration = Duration::from_millis(1);
/// A shorter one is left out: the system would make it longer.
pub(crate) const SHORTEST_WRITE_DELAY: Duration = Duration::from_micros(50);
/// Taken for the speed of flushes and of compactions until it is known.
pub(crate) const PRESSURED_BYTES_PER_SECOND: u64 = 32 << 20;
/// Pause before a flush or compaction that failed is tried again; doubled with every failure in a row.
pub(crate) const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
pub(crate) const LONGEST_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest such pause when what is to be read is damaged.
pub(crate) const DAMAGE_RETRY_PAUSE: Duration = Duration::from_secs(60);
/// Failures in a row after which writers that wait for room get the reason instead.
pub(crate) const FAILURES_BEFORE_WRITERS_HEAR: u32 = 3;
/// Full memtables that may wait for the flush before writers wait too.
pub(crate) const MAX_SEALED_MEMTABLES: usize = 3;
/// Each deeper level may hold this many times more.
pub(crate) const LEVEL_GROWTH: u64 = 10;
/// Most level-0 tables merged at once; the rest waits for the next turn.
pub(crate) const LEVEL0_MAX_INPUTS: usize = 12;
/// How many times the bytes of level 0 a merge into the base may rewrite before some of its tables are merged among themselves
/// instead.
pub(crate) const LEVEL0_RELIEF_RATIO: u64 = 4;
/// A table that may overlap this many times its size in the level below the next ends early.
pub(crate) const MAX_GRANDPARENT_OVERLAP: u64 = 10;
/// What is to be rewritten for its garbage is worth it when at least one in this many of its bytes would go; a tombstone has an
/// average share of them.
pub(crate) const GARBAGE_SHARE: u64 = 4;

/// Versions of one key that a scan steps over before it seeks past the rest (as RocksDB's
/// `max_sequential_skip_in_iterations`).
pub(crate) const STEPS_BEFORE_SEEK: usize = 8;
/// Steps for which one source of a merge comes before the others before it is asked whether that stays so up to the end of
/// its block.
pub(crate) const STEPS_BEFORE_LOOK_AHEAD: u32 = 8;
/// Bytes of commits in memory that a bulk ingest flushes while it keeps other commits waiting.
pub(crate) const INGEST_LEFT_BYTES: usize = 256 << 10;
/// How often it flushes without keeping them waiting until no more than that is left. Each time what came meanwhile is
/// less, unless commits come as fast as they can be flushed.
pub(crate) const INGEST_FLUSH_ROUNDS: usize = 5;
/// A stretch of ingested keys between the tables of the upper levels becomes tables of its own from this size on.
pub(crate) const INGEST_MIN_TABLE_BYTES: u64 = 1 << 20;
/// What falls among the tables of the upper levels makes tables for level 0 of this many times the usual size: few, because
/// their number slows writers, but not one without end, because a table that is written holds a part of it in memory.
pub(crate) const INGEST_UPPER_TABLES: u64 = 32;

/// Longest group of commits written with one system call, in bytes.
pub(crate) const MAX_GROUP_BYTES: usize = 8 << 20;
/// Buffered WAL bytes of memory-level commits that trigger a write to the operating system.
pub(crate) const WAL_BUFFER_BYTES: usize = 256 * 1024;
/// Zeros that are written behind the end of a log segment at a time, so that syncs of small commits find their blocks there.
/// A recovery reads them.
pub(crate) const WAL_AHEAD_BYTES: usize = 256 << 10;
/// Bytes in a segment from which on this is done: not in a store that is hardly written to.
pub(crate) const WAL_AHEAD_FROM: u64 = 16 * 1024;
/// Synced appends beyond this size gain too little by it: what they write is then written twice.
pub(crate) const WAL_AHEAD_MAX_APPEND: u64 = 64 * 1024;
/// Bytes of a segment that may be left to sync when the commit lock is taken to begin the next one.
pub(crate) const WAL_LEFT_BYTES: u64 = 64 * 1024;
/// A memtable is sealed, however small it is, when its log is this many times as large as a full one or a full segment,
/// whichever is more.
pub(crate) const LOG_OUTWEIGHS: u64 = 2;
/// How often a segment is synced without the commit lock, at most, to come down to that.
pub(crate) const WAL_SYNC_ROUNDS: usize = 4;
/// Bytes of edits from which on a manifest is replaced by one that says only their result, if they are also more than what
/// the old one began with.
pub(crate) const MANIFEST_ROTATE_BYTES: u64 = 4 << 20;

/// Threads that write what was in the log as tables when a store is opened, at most; and no more than there are processors.
pub(crate) const RECOVERY_THREADS: usize = 4;
/// Memtables full of log that are held in memory while it is decided whether a store may be opened: as many as there are while
/// it is open. A longer log is read again.
pub(crate) const LOG_HELD_MEMTABLES: usize = MAX_SEALED_MEMTABLES + 1;

/// Time after which the next commit states when it was made. The resolution of [`crate::Db::seq_at`] at its best.
pub const TIME_STEP: Duration = Duration::from_secs(1);
/// Bytes of what a commit says of its time, at most: a tag and two numbers.
pub(crate) const TIME_OP_BYTES: usize = 21;
/// Most moments that a store remembers.
pub(crate) const MAX_MOMENTS: usize = 2048;
/// What was long ago is remembered with gaps of at most one in this many of its age.
pub(crate) const AGE_RESOLUTION: u32 = 128;
/// Shortest and longest pause between two looks at what has become too old to be kept.
pub(crate) const AGE_CHECK_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Bytes of blocks kept in memory while a store is looked at that is not open.
pub(crate) const PREVIEW_CACHE_BYTES: usize = 32 << 20;
/// Bytes of log up to which verification holds what is in it in memory. A log is larger only in a store whose memtables are.
pub(crate) const VERIFY_LOG_BYTES: u64 = 1 << 30;

/// Versions of a memtable that are looked at to guess how many records a range has.
pub(crate) const ESTIMATE_SAMPLE: u32 = 512;
/// Places of the range at which they are looked at, where there are more.
pub(crate) const ESTIMATE_PLACES: u32 = 16;
/// Blocks of a table that are looked at for the same.
pub(crate) const ESTIMATE_BLOCKS: usize = 3;
