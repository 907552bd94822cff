//! Locks, atomics and threads, as the commit pipeline, the memtable, snapshots and background work use them.
//!
//! Usually these are the standard library's. With the feature `shuttle` they are those of the crate of that name, under
//! which a test runs the same code in thousands of chosen schedules (`tests/schedules.rs`). What is held across one of
//! its operations must come from here, too, or a schedule would stop at a lock that it does not know.

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic},
    thread,
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic},
    thread,
};
