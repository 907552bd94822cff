//! What could not be saved, in a form that programs can use.

use std::fmt;
use std::path::PathBuf;

use super::notes::Note;
use crate::db::SeqRange;
use crate::fault::CheckedFile;
use crate::range::KeyRange;
use crate::types::{Seq, StoreId};

/// What [`crate::salvage`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// The store that was read.
    pub source: PathBuf,
    /// The store that was made.
    pub destination: PathBuf,
    /// The id of the source.
    pub source_store: StoreId,
    /// The id of the destination: another one, as it is another store.
    pub store: StoreId,
    /// The newest commit of the destination. Sequences are those of the source; where the newest commits are lost, it
    /// is the newest that is known to have been there.
    pub sequence: Seq,
    /// Before this commit the past cannot be read in the destination, for some keys or for all.
    pub history_from: Seq,
    /// The manifest told for certain which files belong to the source.
    pub manifest_sound: bool,
    /// Versions written, deletions of keys included.
    pub versions: u64,
    /// Deletions of ranges written, each counted once per table and fragment.
    pub range_deletions: u64,
    /// Commits taken from the log.
    pub log_commits: u64,
    /// Tables written.
    pub tables: u64,
    /// Bytes of the tables written.
    pub bytes: u64,
    /// Every file of the source that was read, with what is wrong with it.
    pub files: Vec<CheckedFile>,
    /// What is missing, or may be. Everything else is there.
    pub losses: Vec<Loss>,
    /// Files of the source that were left alone.
    pub notes: Vec<Note>,
}

impl SalvageReport {
    /// Whether everything was saved, for certain.
    pub fn is_complete(&self) -> bool {
        self.losses.is_empty()
    }
}

/// A stretch of a store that is missing: of the keys in `keys`, what the commits in `sequences` did to them.
///
/// So a read of such a key may find nothing, or an older version than the right one, also one that had been deleted by
/// one of these commits. A read of any other key, or as of a sequence before the first of them, is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What is missing.
    pub code: LossCode,
    /// The file.
    pub path: PathBuf,
    /// Where in the file; 0 for all of it.
    pub offset: u64,
    /// How many bytes; 0 when that is not known.
    pub bytes: u64,
    /// The keys that it may concern.
    pub keys: KeyRange,
    /// The commits that it may concern. The last is [`Seq::MAX`] when nothing tells how many there were.
    pub sequences: SeqRange,
    /// Whether something is missing for certain, rather than perhaps nothing.
    pub certain: bool,
    /// What was found instead, for people.
    pub found: String,
}

/// What a [`Loss`] is about. The list may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LossCode {
    /// A data block of a table.
    Block,
    /// A table, or a part of it that nothing tells more about.
    Table,
    /// The deletions of ranges in a table.
    RangeDeletions,
    /// Commits in the log.
    Log,
    /// The end of the log: an append that was cut short and never acknowledged as durable, or damage that looks so. Also
    /// what may have followed in a log that is damaged elsewhere and was not closed in good order.
    TornTail,
    /// The manifest cannot be read, so it is not certain which files belong to the store: one that is gone is not missed,
    /// and one that had been replaced may bring back what was deleted.
    Manifest,
    /// A table of a bulk ingest whose sequence only the manifest knew. It was given a likely one; what is older may hide
    /// what is newer.
    Order,
}

impl LossCode {
    /// The code as text, for example `"range_deletions"`. Stays the same in later versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Table => "table",
            Self::RangeDeletions => "range_deletions",
            Self::Log => "log",
            Self::TornTail => "torn_tail",
            Self::Manifest => "manifest",
            Self::Order => "order",
        }
    }
}

impl fmt::Display for LossCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
