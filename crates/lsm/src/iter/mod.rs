//! Walking many sorted sources as one.
//!
//! `source` is one sorted stream of versions (a memtable, a table, a level); `merge` walks several of them in version
//! order; `visible` shows of those versions what a reader at one sequence sees.

mod level;
mod merge;
mod source;
mod visible;

pub(crate) use level::{LevelCursor, View};
pub(crate) use merge::MergeCursor;
pub(crate) use source::Source;
pub(crate) use visible::VisibleCursor;
