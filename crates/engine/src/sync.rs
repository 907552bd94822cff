//! Locks that a panic elsewhere cannot turn into a panic here.
//!
//! The data under every lock of this crate is changed in single steps that cannot be left half-done, so a lock whose
//! holder panicked is still good.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
