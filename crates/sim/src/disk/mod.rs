//! A simulated disk: everything the engine asks of a file system, and exactly what a crash may leave of it.
//!
//! `op` lists the changes, `node` holds files and directories with what of them is durable, `state` is the disk as a
//! value, `crash` says what a crash leaves of it, and `fs` puts all that behind the engine's `Fs`.

mod crash;
mod fs;
mod node;
mod op;
mod state;
#[cfg(test)]
mod tests;

pub use crash::{Crash, SECTOR_BYTES};
pub use fs::SimFs;
pub use op::{FileId, Name, Op, ROOT};
pub use state::Disk;
