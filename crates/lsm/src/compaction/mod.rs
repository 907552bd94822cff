//! Merging tables downwards: fewer tables to look into, and versions that nothing needs any more dropped.
//!
//! `picker` decides which tables to merge, `gc` which versions to keep, `job` does the work. A compaction reads and
//! writes only tables; it takes effect in one manifest edit.

mod gc;
mod job;
mod picker;

pub(crate) use job::{JobContext, JobOutput, run_job};
pub(crate) use picker::{Task, pick, pick_full};
