//! Every decoder of this crate behind one door, for fuzzers: `fuzz/` and `tests/decoders.rs`.
//!
//! What always holds: no input makes a decoder panic, run for ever or ask for memory without bound; and what a checksum
//! protects is decoded to what was written, or to a beginning of it where a log may end in a torn append, or refused.
//! The second is checked by comparing what [`Decoder::run`] returns for a seed and for a mutation of it.

mod disk;
mod logs;
mod salvage;

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Result;
use crate::table::fuzz as tables;

pub(crate) use disk::Disk;

/// What an input was decoded to, in one number; `None` if it was refused.
pub type Decoded = Option<u64>;

/// What a mutation of a seed may be decoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The same as the seed.
    Same,
    /// The same as the seed cut off somewhere.
    CutShort,
    /// Anything, since there is no checksum here; the decoder checks by itself that it makes sense.
    Sound,
}

/// A decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// The newest segment of a write-ahead log, replayed.
    Segment,
    /// A segment that another one follows, replayed.
    SealedSegment,
    /// The body of a commit, in a frame that is right.
    CommitBody,
    /// A manifest, loaded.
    Manifest,
    /// The body of an edit: how many fields, then the fields.
    Edit,
    /// The beginning of a log file.
    Preamble,
    /// The frames of a log file.
    Frames,
    /// What `CURRENT` holds.
    Current,
    /// A data block, walked both ways and searched.
    Block,
    /// An index block.
    Index,
    /// A filter.
    Filter,
    /// A footer.
    Footer,
    /// A footer whose checksum is right.
    SealedFooter,
    /// Table properties.
    Properties,
    /// Range tombstones of a table.
    Tombstones,
    /// How a block is compressed, then the block, whose checksum is right.
    Envelope,
    /// A whole table: opened, read, walked and verified.
    Table,
    /// The same of one with many small blocks, whose indexes have leaves.
    SplitTable,
    /// A segment that another one follows, read as far as it can be, to be saved or judged.
    SurveyedSegment,
    /// A manifest, likewise.
    SurveyedManifest,
    /// A table with many small blocks that the manifest describes, likewise.
    RemainsOfTable,
    /// A table of which only its number is known, likewise.
    RemainsOfUnnamedTable,
}

impl Decoder {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Segment,
        Self::SealedSegment,
        Self::CommitBody,
        Self::Manifest,
        Self::Edit,
        Self::Preamble,
        Self::Frames,
        Self::Current,
        Self::Block,
        Self::Index,
        Self::Filter,
        Self::Footer,
        Self::SealedFooter,
        Self::Properties,
        Self::Tombstones,
        Self::Envelope,
        Self::Table,
        Self::SplitTable,
        Self::SurveyedSegment,
        Self::SurveyedManifest,
        Self::RemainsOfTable,
        Self::RemainsOfUnnamedTable,
    ];

    /// Valid inputs, always the same.
    ///
    /// # Errors
    /// None that is known: everything happens in memory.
    pub fn seeds(self) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Segment | Self::Frames => logs::segments(),
            Self::SealedSegment | Self::SurveyedSegment => logs::sealed_segments(),
            Self::CommitBody => logs::commit_bodies(),
            Self::Manifest | Self::SurveyedManifest => logs::manifests(),
            Self::Edit => logs::edits(),
            Self::Preamble => logs::preambles(),
            Self::Current => logs::currents(),
            Self::Block => Ok(tables::blocks()),
            Self::Index => tables::indexes(),
            Self::Filter => Ok(tables::filters()),
            Self::Footer | Self::SealedFooter => tables::footers(),
            Self::Properties => tables::properties(),
            Self::Tombstones => Ok(tables::tombstones()),
            Self::Envelope => Ok(tables::envelopes()),
            Self::Table | Self::RemainsOfUnnamedTable => tables::tables(),
            Self::SplitTable | Self::RemainsOfTable => tables::split_tables(),
        }
    }

    /// Decodes an input.
    pub fn run(self, input: &[u8]) -> Decoded {
        match self {
            Self::Segment => logs::run_segment(input),
            Self::SealedSegment => logs::run_sealed_segment(input),
            Self::CommitBody => logs::run_commit_body(input),
            Self::Manifest => logs::run_manifest(input),
            Self::Edit => logs::run_edit(input),
            Self::Preamble => logs::run_preamble(input),
            Self::Frames => Some(logs::run_frames(input)),
            Self::Current => logs::run_current(input),
            Self::Block => tables::run_block(input),
            Self::Index => tables::run_index(input),
            Self::Filter => tables::run_filter(input),
            Self::Footer => tables::run_footer(input),
            Self::SealedFooter => tables::run_sealed_footer(input),
            Self::Properties => tables::run_properties(input),
            Self::Tombstones => tables::run_tombstones(input),
            Self::Envelope => tables::run_envelope(input),
            Self::Table => tables::run_table(input),
            Self::SplitTable => tables::run_split_table(input),
            Self::SurveyedSegment => salvage::run_segment(input),
            Self::SurveyedManifest => salvage::run_manifest(input),
            Self::RemainsOfTable => tables::run_remains(input),
            Self::RemainsOfUnnamedTable => tables::run_unnamed_remains(input),
        }
    }

    /// What may become of a mutation of a seed.
    pub fn promise(self) -> Promise {
        match self {
            Self::SealedSegment
            | Self::Preamble
            | Self::Current
            | Self::Footer
            | Self::Table
            | Self::SplitTable
            | Self::SurveyedSegment
            | Self::RemainsOfTable
            | Self::RemainsOfUnnamedTable => Promise::Same,
            Self::Segment | Self::Manifest | Self::SurveyedManifest | Self::Frames => Promise::CutShort,
            _ => Promise::Sound,
        }
    }

    /// The most memory in bytes that decoding `input_bytes` may ask for at once.
    pub fn most_memory(self, input_bytes: usize) -> usize {
        match self {
            // A block says how large it is uncompressed, up to a limit; its checksum is right here.
            Self::Envelope => crate::limits::MAX_BLOCK_BYTES,
            _ => 64 * 1024 + 64 * input_bytes,
        }
    }
}

/// One number for something decoded.
pub(crate) fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
