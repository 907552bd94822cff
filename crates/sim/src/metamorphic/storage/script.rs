//! What a list of operations means: every operation with what it must answer.
//!
//! The model turns a list into a script once; the script is then carried out under every configuration. Nothing in it
//! depends on a configuration, so a store that plays it without a complaint has the same history as every other.

use super::list::{Work, Wrong};
use super::universe::Bytes;

/// Key and value.
pub type Record = (Bytes, Bytes);

/// A list with all answers.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is kept where no step said otherwise since the last open.
    pub rule: Rule,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Which old versions are kept, in terms of sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All.
    All,
    /// The newest.
    Newest,
    /// The newest of each key, this many.
    Versions(u32),
    /// What is needed to read at this sequence or later.
    Since(u64),
    /// What is needed to read as of a moment that is at most so many milliseconds ago.
    Age(u64),
}

/// Keys from the first one up to before the second, or up to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub from: Bytes,
    /// The end.
    pub to: Option<Bytes>,
}

/// One change of a commit.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Sets a key.
    Put(Bytes, Bytes),
    /// Deletes a key.
    Delete(Bytes),
    /// Deletes a range that has an end.
    DeleteRange(Bytes, Bytes),
}

/// Whether a read at a sequence has to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It has to.
    Certain,
    /// The store may have let go of that time: it succeeds, or says so and names a floor that is at most this.
    Perhaps(u64),
    /// The sequence has not happened yet; it has to say so.
    Future,
}

/// What the versions of a key must be.
#[derive(Clone, Debug)]
pub struct VersionsWanted {
    /// All there ever were up to the moment, from new to old; `None` is a deletion.
    pub allowed: Vec<(u64, Option<Bytes>)>,
    /// Those that must be there, in the same order.
    pub required: Vec<(u64, Option<Bytes>)>,
    /// Whether the first one listed must have the value `value`, or be a deletion or missing if there is none.
    pub is_certain: bool,
    /// See `is_certain`.
    pub value: Option<Bytes>,
}

/// An operation and what it must answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commits under consecutive sequences.
    Commit { batches: Vec<Vec<Edit>>, first: u64, last: u64 },
    /// A read of one key; without `at` of the newest state.
    Get { key: Bytes, at: Option<u64>, want: Option<Bytes>, reach: Reach },
    /// A read of several keys.
    GetMany { keys: Vec<Bytes>, at: u64, want: Vec<Option<Bytes>>, reach: Reach },
    /// The versions of a key.
    Versions { key: Bytes, at: u64, want: VersionsWanted, reach: Reach },
    /// The first records of a walk; `whole` if there are no more.
    Scan { range: Range, reverse: bool, at: u64, want: Vec<Record>, whole: bool, reach: Reach },
    /// The beginning of a walk that goes on later.
    OpenCursor { slot: usize, range: Range, reverse: bool, at: u64, reach: Reach },
    /// The next records of a walk, if there is one; `whole` if it is over then.
    WalkOn { slot: usize, want: Vec<Record>, whole: bool },
    /// A snapshot of the newest state.
    Snapshot { slot: usize, seq: u64 },
    /// A snapshot of some sequence.
    SnapshotAt { slot: usize, seq: u64, reach: Reach },
    /// The end of a snapshot, if there is one.
    Release { slot: usize },
    /// Another retention.
    Retain { range: Range, rule: Rule },
    /// Everything into tables.
    Flush,
    /// Everything merged.
    Compact,
    /// What lies over a range merged.
    CompactRange { range: Range },
    /// Steps in the middle of background work.
    During { work: Work, stride: u8, steps: Vec<Step> },
    /// Records past the log, under one sequence.
    Ingest { records: Vec<Record>, seq: u64 },
    /// A copy, with what is in it.
    Checkpoint { seq: u64, want: Vec<Record> },
    /// Close and open; then this is the newest sequence.
    Reopen { seq: u64 },
    /// An empty commit that is as durable as the crash is bad, the crash, and an open; then this is the newest sequence.
    Crash { seq: u64, sudden: bool },
    /// All files are sound.
    Verify,
    /// The newest sequence, the greatest that the history floor can be, and how many snapshots are open.
    Count { seq: u64, floor: u64, snapshots: (usize, usize) },
    /// So many milliseconds pass.
    Wait(u64),
    /// Which commit was the newest at a time: at most `most`, and of the commits from there down to the answer, whose times
    /// follow from the oldest to the newest, none may be older than the answer says.
    SeqAt { time: u64, most: u64, times: Vec<u64> },
    /// Something that is refused and changes nothing.
    Refused(Wrong),
}
