//! Faults of the disk: every request of a scenario goes wrong, in every way, once and for ever.
//!
//! `script` says what is done to a store, `session` does it on a file system in which requests go wrong (`fs`), and
//! checks after each step that the store is what the table of faults says (`fault`), that every error arrived somewhere,
//! that it says of its `health` what it must, and that answers are true (`truth`) or errors. `case` adds what is found when the store is opened again without faults.
//! `rare` has what takes several threads or much patience, `saved` compares what salvage saves. `sites` knows every place in the engine at which an error can arrive, and which have seen one.

mod case;
mod fault;
mod fs;
mod health;
mod rare;
mod saved;
mod script;
mod session;
mod sites;
mod stage;
mod truth;

pub(crate) use fault::Fault;
pub(crate) use fs::{FaultFs, Plan};
pub use stage::STAGE;
