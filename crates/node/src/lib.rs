//! The Node-API binding: it translates handles, buffers, completions and errors, and contains no policy.
//!
//! How it keeps its promises:
//! - Hot functions are free functions that take `u32` handles, and no function returns a buffer: JavaScript
//!   allocates, Rust fills or copies, at the time of the call. The hottest read goes through a block that is lent once,
//!   and is exported by hand ([`hot`]).
//! - Every export catches panics; work on other threads answers its ticket even when it panics ([`mailbox`]).
//! - Each environment (the main thread, each worker) has one weak threadsafe function. It is referenced while answers
//!   are outstanding, so the process waits for acknowledged writes and never hangs when idle ([`thread`]).
//! - Engine threads know a mailbox, never an environment; a mailbox whose environment has ended drops its letters.
//! - One engine per directory in the whole process, shared by all environments ([`registry`]).

// The macro that exports functions registers nothing in unit tests, which leaves them without a caller.
#![cfg_attr(test, allow(dead_code))]
// Exported functions own what JavaScript passed, whether they consume it or not.
#![allow(clippy::needless_pass_by_value)]

mod arguments;
mod errors;
mod history;
mod hot;
mod indexes;
mod mailbox;
mod pages;
#[cfg(feature = "planted-panics")]
mod planted;
mod queries;
mod reads;
mod registry;
mod repair;
mod reports;
mod scans;
mod snapshots;
mod stores;
mod thread;
mod transactions;
mod watches;
mod writes;

/// Where the addon's memory comes from. What a commit is made of is taken on a thread of JavaScript and let go of on the
/// commit thread, and blocks are read and dropped on many: an allocator that returns memory between threads without a lock
/// makes all of that faster than that of the C library does. Node itself goes on using the latter.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
