//! Crash states: what a scenario leaves on disk at every moment, opened and compared with the model.
//!
//! A scenario is run once and every change of the disk recorded. The recording is then stepped through; before and
//! after every change and every acknowledgement, the images that a crash may leave there are made, opened, verified
//! completely, and used further. What the recovery and the further use did to the disk is a recording, too, in which
//! the machine can crash a second and a third time.
//!
//! `script` and `scenarios` say what is done, `config` how the store is opened, `session` does it, `ledger` knows what
//! was promised, `past` what may be gone, `times` when commits were made, `verify` compares a store with the model, `plan` chooses the crashes at a moment, `explore` goes
//! through all moments, `lies` has disks that break their word, `case` runs one scenario so, `stage` ties it together.
#![expect(clippy::missing_errors_doc, reason = "every error here is a finding in words")]

pub mod case;
pub mod config;
pub mod explore;
pub mod ledger;
pub mod lies;
pub mod past;
pub mod plan;
pub mod scenarios;
pub mod script;
pub mod session;
mod stage;
mod times;
pub mod verify;

pub use stage::{ORDER, STAGE};
