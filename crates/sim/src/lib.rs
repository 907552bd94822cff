//! The machinery that proves the promise of the store: what was acknowledged is never lost, and a wrong answer is
//! never given.
//!
//! The proof is made of *stages*. Each runs cases, counts them, and compares what the store does with a model that
//! shares no code with it. `stages` is the list of all of them, `stage` says what one is, `parallel` runs its cases on
//! threads, `blocks` says how small those of tables are,
//! `random` gives reproducible chance, `shrink` makes failing lists short, `run` carries a whole run out, `report` prints it, `cli` reads the
//! command line.
//!
//! What always holds: a case follows from its seed alone, so that a failure can be repeated; a stage that did fewer
//! cases than its floor has failed; no failure is retried or forgotten.

mod blocks;
pub mod cli;
pub mod corruption;
pub mod crash;
mod determinism;
pub mod disk;
pub mod faults;
mod frames;
pub mod golden;
mod isolation;
pub mod kill;
mod marks;
mod metamorphic;
pub mod model;
mod pages;
pub mod parallel;
mod planted;
pub mod protocol;
pub mod random;
pub mod regressions;
pub mod report;
pub mod run;
pub mod shrink;
pub mod stage;
pub mod stages;
pub mod watchdog;

use std::error::Error;

/// What the program gives back where the first error ends it, so that it only has to be readable.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Does what the command line says; false when something was found that must not be.
///
/// # Errors
/// When the command line is wrong or a file cannot be written.
pub fn run(parser: lexopt::Parser) -> Outcome<bool> {
    run::run(cli::parse(parser)?)
}
