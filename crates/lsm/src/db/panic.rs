//! What a panic in the store's own code does: the store refuses writes from then on, and nobody waits for ever.
//!
//! A panic is a defect, and what it left half-done in memory is not known. What is on disk is as good as after a crash
//! at that moment. So it is treated like a failed sync: no more writes until the store is opened again, which goes by
//! what is on disk alone. Reads go on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::inner::Inner;
use crate::error::{Error, Result};

impl Inner {
    /// Runs `work`; a panic in it poisons the store and becomes an error. `doing` says what was being done, as in
    /// "a panic while syncing the log".
    pub(super) fn or_poison<T>(&self, doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let cause = format!("a panic while {doing}: {}", message(panic.as_ref()));
            self.poison(&cause);
            Err(Error::Poisoned { cause })
        })
    }

    /// As [`Inner::or_poison`] for work that runs code of the caller: the panic may be the caller's and goes on.
    pub(super) fn poison_and_go_on<T>(&self, doing: &str, work: impl FnOnce() -> T) -> T {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            self.poison(&format!("a panic while {doing}: {}", message(panic.as_ref())));
            resume_unwind(panic)
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
