//! What can be wrong with the files of a store, in a form that programs can use.
//!
//! The checks of an open store ([`crate::Db::scrub`]) and of one that lies there closed or damaged ([`crate::verify()`])
//! report the same faults by the same codes.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Which rule of the file format does not hold. The list may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultCode {
    /// A file that is needed is not there.
    Missing,
    /// The operating system refuses to read a file.
    Unreadable,
    /// A file in a format that this version does not know.
    NewerFormat,
    /// `CURRENT` does not name a manifest.
    Current,
    /// The first bytes of a log or a manifest.
    Preamble,
    /// Bytes of a log or a manifest that were on disk once and hold no frame now.
    Frame,
    /// What a manifest edit says.
    Edit,
    /// How log segments follow one another.
    Link,
    /// How commits follow one another.
    Sequence,
    /// Footer, properties, filter, indexes or range tombstones of a table.
    Tail,
    /// A data block of a table, or a leaf of its index.
    Block,
    /// Where entries of a table lie.
    Order,
    /// A filter that does not know a key of its table.
    Filter,
    /// The counts and bounds that a table has in its properties or in the manifest.
    Properties,
    /// How tables are arranged in levels.
    Levels,
}

impl FaultCode {
    /// The code as text, for example `"block"`. Stays the same in later versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::NewerFormat => "newer_format",
            Self::Current => "current",
            Self::Preamble => "preamble",
            Self::Frame => "frame",
            Self::Edit => "edit",
            Self::Link => "link",
            Self::Sequence => "sequence",
            Self::Tail => "tail",
            Self::Block => "block",
            Self::Order => "order",
            Self::Filter => "filter",
            Self::Properties => "properties",
            Self::Levels => "levels",
        }
    }

    /// The rule that does not hold, as a sentence for people: what was expected.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Missing => "the file is there",
            Self::Unreadable => "the operating system reads the file",
            Self::NewerFormat => "a format and features that this version knows",
            Self::Current => "CURRENT holds the name of a manifest and its checksum",
            Self::Preamble => "the file begins with a preamble of its kind, its store and its number",
            Self::Frame => "bytes that were on disk once hold whole frames that match their checksums",
            Self::Edit => "edits follow one another and each can be applied to those before it",
            Self::Link => "each log segment continues the one before it exactly at its end",
            Self::Sequence => {
                "commits follow one another without a gap, and tables cover those before the log"
            }
            Self::Tail => "the parts behind the data match their checksums, the manifest and one another",
            Self::Block => "blocks match their checksums and can be decoded",
            Self::Order => "entries ascend, lie where the index says and in the section where they belong",
            Self::Filter => "the filter knows every key of its table",
            Self::Properties => "counts and bounds are those of the entries",
            Self::Levels => "tables of a level do not overlap, and newer versions lie above older ones",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file; 0 when it concerns the file as a whole.
    pub offset: u64,
    /// Which rule does not hold. [`FaultCode::expected`] has it in words.
    pub code: FaultCode,
    /// What was found.
    pub found: String,
}

impl Fault {
    /// A fault of a file as a whole.
    pub(crate) fn whole(code: FaultCode, found: impl Into<String>) -> Self {
        Self { offset: 0, code, found: found.into() }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let code = match error {
            Error::Corrupt { code, .. } => *code,
            Error::Newer { .. } => FaultCode::NewerFormat,
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => FaultCode::Missing,
            _ => FaultCode::Unreadable,
        };
        let found = match error {
            Error::Corrupt { what, .. } | Error::Newer { what, .. } => what.clone(),
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Self { offset: error.offset().unwrap_or(0), code, found }
    }
}

/// A file that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedFile {
    /// The file.
    pub path: PathBuf,
    /// Its bytes; of a log that is being written to, those that were written when the check looked.
    pub bytes: u64,
    /// Sound blocks of a table, commits of a log segment or edits of a manifest.
    pub blocks: u64,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

impl CheckedFile {
    pub(crate) fn new(path: &Path, bytes: u64) -> Self {
        Self { path: path.to_path_buf(), bytes, blocks: 0, faults: Vec::new() }
    }
}
