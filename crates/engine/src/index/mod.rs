//! Secondary indexes: ordered entries that lead from values in documents to records (`docs/format.md` §6.6).
//!
//! What always holds:
//! - An index changes in the same commit as the records, so at every sequence at which it is ready its entries are
//!   exactly those that [`entries`] gives for the records of that sequence.
//! - Of a unique index no key is held by two records, at any sequence.
//! - Which entries a record has depends on nothing but the record and the definition.
//!
//! `definition` is what the catalog keeps, `encode` turns values into keys, `entries` a record into entries, `bounds`
//! conditions into ranges of keys. `derive` runs on the commit thread and adds to a commit what it changes in indexes,
//! `build` fills a new index in the background, `read` answers. `table` is all indexes of a store at one moment.

mod bounds;
mod build;
mod chunk;
mod definition;
mod derive;
pub(crate) mod encode;
pub(crate) mod entries;
mod fallback;
mod overlay;
mod read;
mod scan;
mod show;
mod single;
mod table;

use std::fmt;

use fountain_lsm::Seq;

use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Expiry, MOMENT_BYTES};
use crate::keyspace::CollectionId;
use crate::limits::KEYSPACE_BYTES;

pub use bounds::Bounds;
pub use build::BuildStatus;
pub(crate) use build::Builder;
pub(crate) use chunk::Chunk;
pub use definition::{IndexDefinition, IndexKind};
pub(crate) use derive::{State, derive, expire};
pub use encode::{decode_tuple, encode_tuple};
pub(crate) use entries::lacks_values;
pub(crate) use read::{IndexCursor, Place, building, entry_range};
pub(crate) use scan::fill as fill_page;
pub use scan::{IndexScan, IndexScanEnd};
pub(crate) use show::tuple as show_tuple;
pub(crate) use single::{fill_single, is_single};
pub(crate) use table::IndexTable;

/// An index of one store: the id of its keyspace, from the same counter as those of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(u32);

impl IndexId {
    /// An index id from its number, as [`IndexId::get`] gave it.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What every storage key of the index begins with.
    pub(crate) const fn prefix(self) -> [u8; KEYSPACE_BYTES] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for IndexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An index as the store keeps it. It never changes; when the index is ready, another takes its place.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its id.
    pub id: IndexId,
    /// Whose records it leads to.
    pub collection: CollectionId,
    /// What it was defined as.
    pub definition: IndexDefinition,
    /// From which sequence on it is complete; `None` while it is being built.
    pub since: Option<Seq>,
    /// What its entries are made of instead of the definition, if it leads from moments to the records that expire then.
    pub(crate) expiry: Option<Expiry>,
}

impl Index {
    /// The record that a stored entry leads to; `key` is without the keyspace.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub(crate) fn record_key<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Result<&'a [u8]> {
        if self.expiry.is_none() {
            return entries::record_key(self, key, value);
        }
        key.get(MOMENT_BYTES..)
            .ok_or_else(|| Error::new(ErrorCode::Corrupt, "an entry of an expiry index that is too short"))
    }

    /// The values of a stored entry, as JSON, if it is one of an index that was defined; `key` is without the keyspace.
    pub(crate) fn shown_key(&self, key: &[u8]) -> Option<serde_json::Value> {
        let count = self.definition.on().len();
        let (end, _) = encode::split(key, count).ok().filter(|_| self.expiry.is_none())?;
        Some(show_tuple(key.get(..end)?, count))
    }

    /// Whether it is complete at `at`, or, without that, at the newest sequence.
    pub fn is_ready(&self, at: Option<Seq>) -> bool {
        match (self.since, at) {
            (Some(since), Some(at)) => at >= since,
            (since, _) => since.is_some(),
        }
    }
}
