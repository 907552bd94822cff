//! Verification and salvage of stores that nobody has open, each on a thread of its own. They answer with their report as
//! JSON text.

use std::path::PathBuf;

use fountain_engine::{StorageOptions, salvage as salvage_store, verify as verify_store};
use napi::Env;
use napi_derive::napi;

use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::stores::run;
use crate::thread::ticket_of;

/// Reads every file of the store at `path` and proves it. Answers with the report.
#[napi(catch_unwind)]
pub fn verify(env: Env, environment: u32, ticket: u32, path: String) -> answer::Result<()> {
    let start = || {
        let ticket = ticket_of(env, ticket, environment)?;
        run("fountain-verify", ticket, move || {
            let report = verify_store(&PathBuf::from(path), &StorageOptions::default())?;
            Ok(Outcome::bytes(0.0, report.to_json().to_string().into_bytes()))
        })
    };
    start().map_err(|error| thrown(&error))
}

/// Saves what can be read of the store at `source` into a new one at `destination`. Answers with the report.
#[napi(catch_unwind)]
pub fn salvage(
    env: Env,
    environment: u32,
    ticket: u32,
    source: String,
    destination: String,
) -> answer::Result<()> {
    let start = || {
        let ticket = ticket_of(env, ticket, environment)?;
        run("fountain-salvage", ticket, move || {
            let (source, destination) = (PathBuf::from(source), PathBuf::from(destination));
            let report = salvage_store(&source, &destination, &StorageOptions::default())?;
            Ok(Outcome::bytes(0.0, report.to_json().to_string().into_bytes()))
        })
    };
    start().map_err(|error| thrown(&error))
}
