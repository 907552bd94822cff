//! Benchmarks of FountainStore's ordered storage against other embedded engines.
//!
//! `args` reads the command line, `rounds` runs each workload on each engine in a process of its own, in turns, and
//! `report` sets the answers side by side. Below them: `workloads` do the work and check every answer, `engines`
//! put all stores under one trait, and `random`, `keys`, `values`, `measure`, `process` and `space` are the tools.
//!
//! What always holds: all engines get the same operations in the same order from the same seed; every value read is
//! compared with what was written; a wrong answer ends the run with an error instead of a number.

mod args;
mod context;
mod engines;
mod keys;
mod measure;
mod model;
mod process;
mod random;
mod report;
mod rounds;
mod row;
mod space;
mod values;
mod workloads;

use std::error::Error;
use std::process::ExitCode;

use args::Command;

/// What anything here gives back: the first failure ends the process, so it only has to be readable.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fountain-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    match args::parse(lexopt::Parser::from_env())? {
        Command::Help => print!("{}", args::help()),
        Command::Compare(plan) => rounds::compare(&plan)?,
        Command::Load(task) => task.load()?,
        Command::Measure(task) => {
            for row in task.measure()? {
                println!("{}", row.to_json());
            }
        }
    }
    Ok(())
}
