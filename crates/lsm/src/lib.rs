//! Ordered, crash-safe, multi-version key-value storage.
//!
//! This crate is the ground floor of FountainStore. It knows keys, values, sequences and files; it does not know
//! what a document or a collection is. A store is a directory with a write-ahead log, sorted tables and a manifest;
//! `docs/format.md` describes every byte of it.
//!
//! What always holds:
//! - A commit is atomic, has one sequence number, and is visible entirely or not at all.
//! - A commit acknowledged with [`Durability::Disk`] survives power loss.
//! - A read names the sequence it reads at and never takes a lock that a writer or a flush holds.
//! - Damage is an error that names file and offset; it is never reported as "not found".
//!
//! The rooms, from the ground up: `fs` (files, syncs, locks), `format` (varints, salted checksums, log frames),
//! `memtable`, `table`, `cache`, `wal`, `manifest`, `iter` (merging and visibility), `compaction`, `db`.

mod batch;
mod cache;
mod clock;
mod compaction;
mod db;
mod error;
mod fault;
mod files;
mod format;
pub mod fs;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz_entry;
mod instruments;
mod iter;
mod key;
mod key_table;
mod latency;
pub mod limits;
mod listing;
mod manifest;
#[cfg(not(feature = "sim"))]
mod marks;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod marks;
mod memtable;
mod metrics;
mod options;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "planted")]
#[doc(hidden)]
pub mod planted;
mod prefix;
mod range;
mod repair;
mod retention;
mod rows;
#[cfg(not(feature = "sim"))]
mod sites;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sites;
mod snapshot;
mod staging;
mod sync;
mod table;
mod timeline;
mod tombstones;
mod types;
mod value;
mod wal;

pub use batch::WriteBatch;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use db::{
    Changes, CheckpointInfo, CompactionStatus, Cursor, Db, Discarded, Health, Job, LevelStatus, Newest,
    Preview, RangeEstimate, RecoveryReport, RunningCompaction, RunningFlush, ScrubReport, SeqRange, Versions,
};
pub use error::{Error, Result};
pub use fault::{CheckedFile, Fault, FaultCode};
pub use latency::{Latencies, LatencySummary};
pub use metrics::Metrics;
pub use options::Options;
pub use prefix::KeyPrefix;
pub use range::{Direction, KeyRange};
pub use repair::{
    Loss, LossCode, Note, NoteCode, SalvageReport, VerifyOptions, VerifyReport, salvage, salvage_with,
    verify, verify_with,
};
pub use retention::{Retention, RetentionRules};
pub use snapshot::Snapshot;
pub use table::{Compression, TableLayout};
pub use timeline::SeqAt;
pub use types::{Durability, FileNumber, ReadTier, Seq, StoreId};
pub use value::Value;
