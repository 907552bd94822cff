//! Snapshots: handles that keep a sequence readable.

use fountain_engine::Store;
use napi_derive::napi;

use crate::arguments;
use crate::errors::{answer, thrown};
use crate::thread;

/// Keeps the newest sequence readable. Returns the snapshot's handle.
#[napi(catch_unwind)]
pub fn snapshot(store: u32) -> answer::Result<u32> {
    thread::keep_snapshot(store, Store::snapshot).map_err(|error| thrown(&error))
}

/// Keeps the newest state readable for a read that takes several steps. Returns the handle of what is as a snapshot.
#[napi(catch_unwind)]
pub fn hold(store: u32) -> answer::Result<u32> {
    thread::keep_snapshot(store, Store::hold).map_err(|error| thrown(&error))
}

/// Keeps what a transaction sees now for a read that takes several steps, whatever it writes meanwhile. Returns the handle of what
/// is as a snapshot.
#[napi(catch_unwind)]
pub fn hold_writes(transaction: u32) -> answer::Result<u32> {
    thread::keep_writes(transaction).map_err(|error| thrown(&error))
}

/// Keeps a given sequence readable. Returns the snapshot's handle.
#[napi(catch_unwind)]
pub fn snapshot_at(store: u32, sequence: f64) -> answer::Result<u32> {
    let take = |engine: &Store| engine.snapshot_at(arguments::sequence(sequence)?);
    thread::keep_snapshot(store, take).map_err(|error| thrown(&error))
}

/// The sequence that a snapshot keeps.
#[napi(catch_unwind)]
pub fn snapshot_sequence(snapshot: u32) -> answer::Result<f64> {
    thread::snapshot_sequence(snapshot).map(arguments::number).map_err(|error| thrown(&error))
}

/// Lets go of a snapshot; fine if it is gone already.
#[napi(catch_unwind)]
pub fn release_snapshot(snapshot: u32) {
    thread::release_snapshot(snapshot);
}
