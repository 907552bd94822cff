//! The document store: collections of records under ordered keys, in atomic commits, readable at every sequence.
//!
//! This crate is the database itself, usable without Node. It knows documents only as bytes with a codec, and files
//! only through the storage below it.
//!
//! What always holds:
//! - One commit, one sequence. All of a commit's changes, in whatever collections, become visible together.
//! - A commit that was answered is as durable as it asked to be. Commits that wait together share one sync.
//! - What a read sees depends only on the sequence it reads at.
//! - No input panics. Every failure is an [`Error`] with a code from a closed list.
//!
//! The rooms, from the ground up: `limits`, `error`, `keys` (the encoding of record keys), `keyspace` (whose storage
//! key is whose), `kv` (the seam to storage), `catalog` (what collections and indexes there are), `record` (documents in
//! bytes), `write_set` and `document` (what is written), `condition` (what it depends on), `view`, `scan` and `page` (what
//! is read), `history` and `versions` (what was), `feed` and `watch` (what comes), `expiry` (what ends by itself), `index` (entries that lead from values
//! to records), `query` (finding and changing by conditions), `transaction`, `commit` (queue, groups and the one thread
//! that writes), `read_pool`, `gate`, `inner` (the parts and how they end), `store` (the handle), `schema` (what it says
//! of collections and indexes). `own` is what a store keeps for itself, looked at before it is opened. `repair` is for stores
//! that do not open.
//!
//! ```
//! use std::sync::Arc;
//! use fountain_engine::keys::{Key, encode};
//! use fountain_engine::record::from_json;
//! use fountain_engine::{Durability, MemoryKv, ReadTier, Store, StoreOptions, WriteSet};
//!
//! let store = Store::with_kv(Arc::new(MemoryKv::default()), StoreOptions::default())?;
//! let cities = store.collection("cities")?;
//! let key = encode(&Key::String("Bonn".to_owned()))?;
//!
//! let mut writes = WriteSet::new();
//! writes.put(cities, &key, &store.encode(&from_json(r#"{"people":335000}"#)?)?)?;
//! let first = store.commit(writes, Durability::Disk)?;
//!
//! let mut writes = WriteSet::new();
//! writes.delete(cities, &key)?;
//! store.commit(writes, Durability::Disk)?;
//!
//! assert!(store.get(cities, &key, None, ReadTier::Disk)?.is_none());
//! let before = store.get(cities, &key, Some(first), ReadTier::Disk)?;
//! assert_eq!(store.to_json(&before.unwrap())?, r#"{"people":335000}"#);
//! store.close()?;
//! # Ok::<(), fountain_engine::Error>(())
//! ```

mod catalog;
mod commit;
mod condition;
mod document;
mod envelope;
mod error;
mod expiry;
mod feed;
mod gate;
mod history;
mod index;
mod inner;
pub mod keys;
mod keyspace;
mod kv;
pub mod limits;
mod many;
#[cfg(feature = "sim")]
pub mod marks;
#[cfg(not(feature = "sim"))]
mod marks;
mod metrics;
mod missing;
mod options;
mod own;
mod page;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
pub mod query;
mod read_pool;
pub mod record;
mod repair;
mod scan;
mod schema;
mod snapshot;
mod store;
mod sync;
mod transaction;
mod versions;
mod view;
mod watch;
mod write_set;

pub use fountain_lsm::{
    Clock, Direction, Durability, KeyRange, Latencies, LatencySummary, ManualClock,
    Metrics as StorageMetrics, Options as StorageOptions, RangeEstimate, ReadTier, RecoveryReport, Retention,
    Seq, SeqRange, Timestamp, fs,
};

pub use catalog::{CollectionOptions, CollectionRetention, CollectionSetting, Ttl};
pub use commit::{Committed, Done, Refused};
pub use condition::Condition;
pub use document::Document;
pub use envelope::{expiring, with_values};
pub use error::{Error, ErrorCode, ErrorDetails, Result};
pub use history::ChangesRequest;
pub use index::{
    Bounds, BuildStatus, Index, IndexDefinition, IndexId, IndexKind, IndexScan, IndexScanEnd, decode_tuple,
    encode_tuple,
};
pub use keyspace::CollectionId;
pub use kv::{Batch, KvCursor, KvPin, KvValue, KvVersions, LocalKv, MemoryKv, OrderedKv, ShowInState};
pub use metrics::Metrics;
pub use options::StoreOptions;
pub use page::Page;
pub use repair::{
    ContentFault, ContentFaultCode, ContentReport, SalvageReport, VerifyReport, salvage, verify,
};
pub use scan::{ScanEnd, ScanRequest};
pub use schema::CollectionInfo;
pub use snapshot::Snapshot;
pub use store::Store;
pub use transaction::{Isolation, Transaction};
pub use versions::{Told, VersionPage};
pub use view::View;
pub use watch::Watch;
pub use write_set::WriteSet;
