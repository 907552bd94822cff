//! Merging tables downwards: fewer tables to look into, and versions that nothing needs any more dropped.
//!
//! `levels` says how much each level should hold, `picker` which tables to merge next, `garbage` which for what would go,
//! `gc` which versions to keep and `ranges` which deletions of ranges, `cut` where one new table ends and the next begins,
//! `pace` how fast to write, and `job` does the work. A compaction reads and writes only tables; it takes effect in one
//! manifest edit.

mod cut;
mod garbage;
mod gc;
#[cfg(test)]
mod golden;
mod job;
mod levels;
mod pace;
mod picker;
mod ranges;

pub(crate) use gc::{Needed, VersionFilter};
pub(crate) use job::{JobContext, JobOutput, run_job};
pub(crate) use picker::{Packing, Picker, Task};
pub(crate) use ranges::Clipper;
