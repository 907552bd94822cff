//! The write-ahead log: every commit lies here before it counts. See `docs/format.md`, section 3.
//!
//! `file` is an open segment that knows how much of it is written and synced; `writer` appends commits to the newest
//! segment and starts the next one; `replay` reads the segments back after a crash; `check` reads them while the store is open,
//! `survey` when nobody has it open, as far as they can be read.

mod check;
mod file;
mod replay;
mod survey;
mod writer;

pub(crate) use check::{SegmentCheck, check_segments};
pub(crate) use file::WalFile;
pub(crate) use replay::{Nowhere, Replay, ReplayEnd, replay_segments};
pub(crate) use survey::{LogSurvey, LostCommits, survey_log};
pub(crate) use writer::{Mark, NextSegment, WalWriter};

/// Operation tags in the body of a commit frame.
const TAG_PUT: u8 = 0x01;
const TAG_DELETE: u8 = 0x02;
const TAG_DELETE_RANGE: u8 = 0x03;
const TAG_TIME: u8 = 0x04;
