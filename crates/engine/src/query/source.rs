//! What a query reads: one state of one collection.

use fountain_lsm::{Direction, KeyRange, Seq};

use super::about::Commits;
use super::seal::Seal;
use crate::document::Document;
use crate::error::{Error, Result};
use crate::expiry::Moment;
use crate::record::{Path, ShapeList};

/// One state of one collection with its indexes.
pub(crate) trait Source: Commits {
    /// The sequence of the state.
    fn seq(&self) -> Seq;

    /// What seals the cursors of queries of the collection.
    fn seal(&self) -> Seal;

    /// The time that decides what of it has expired, in milliseconds since 1970; none if that does not matter.
    fn moment(&self) -> Option<Moment>;

    /// The shapes that its records name.
    fn shapes(&self) -> ShapeList;

    /// The records in a range of encoded keys.
    fn scan(&self, range: &KeyRange, direction: Direction) -> Result<Box<dyn Records + '_>>;

    /// The record under an encoded key.
    fn get(&self, key: &[u8]) -> Result<Option<Document>>;

    /// The indexes that can be read in this state.
    fn indexes(&self) -> &[IndexInfo];

    /// Why an index of this name is not among them, if there is one.
    fn unreadable(&self, _name: &str) -> Option<Error> {
        None
    }

    /// The entries of an index in a range of tuples, encoded as `docs/format.md` §6.5 says.
    fn entries(&self, index: usize, range: &KeyRange, direction: Direction) -> Result<Box<dyn Entries + '_>>;

    /// How many entries there are in a range, counted up to `most`, for guesses.
    fn sample(&self, index: usize, range: &KeyRange, most: u32) -> Result<u32>;

    /// About how many entries there are in a range of an index that has many.
    fn estimate_entries(&self, index: usize, range: &KeyRange) -> Result<u64>;

    /// About how many records there are in a range of encoded keys; exact if they are few.
    fn estimate_records(&self, range: &KeyRange) -> Result<u64>;
}

/// What a planner knows of an index.
#[derive(Clone, Debug)]
pub(crate) struct IndexInfo {
    /// Its name.
    pub name: String,
    /// Its paths.
    pub on: Vec<Path>,
    /// Whether two records cannot have the same tuple, except where a value is missing.
    pub unique: bool,
    /// Whether records in which a path leads to nothing have no entries.
    pub sparse: bool,
}

/// A walk over records.
pub(crate) trait Records {
    /// Moves to the first, then to each next record, and gives it; nothing after the last.
    fn next(&mut self) -> Result<Option<Passed<'_>>>;
}

/// A record that a walk is at.
pub(crate) struct Passed<'a> {
    /// Its encoded key.
    pub key: &'a [u8],
    /// The record as it is stored.
    pub record: &'a [u8],
    /// Whether it has not expired. The walk passes those that have, too, as they take time like others.
    pub is_live: bool,
}

/// A walk over index entries.
pub(crate) trait Entries {
    /// Moves to the first, then to each next entry; `false` after the last.
    fn next(&mut self) -> Result<bool>;
    /// Encoded key of the record that the current entry is of.
    fn record_key(&self) -> &[u8];
}
