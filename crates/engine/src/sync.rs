//! Locks that a panic elsewhere cannot turn into a panic here, and threads.
//!
//! The data under every lock of this crate is changed in single steps that cannot be left half-done, so a lock whose
//! holder panicked is still good.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::planted;

/// Starts a thread with this name. A bug that is planted in this one is active there, too.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let inherit = planted::inherited();
    Builder::new().name(name.to_owned()).spawn(move || {
        inherit();
        work()
    })
}

/// Takes the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits to be notified, and again as long as `waiting` says so.
pub(crate) fn wait_while<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    waiting: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condvar.wait_while(guard, waiting).unwrap_or_else(PoisonError::into_inner)
}
