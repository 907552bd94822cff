//! Reads that never wait for the disk: Linux's `preadv2` with `RWF_NOWAIT`, which answers from the page cache or not at all.
//!
//! Not every file system and not every sandbox knows the call. Where one does not, it is not asked again: each question costs
//! a system call on the thread that is in a hurry.

use std::fs::File;
use std::io::IoSliceMut;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Set when the system has said that it does not know such reads.
static UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Fills `buf` from `offset` if the page cache has all of it; whether it did.
pub(super) fn read(file: &File, offset: u64, buf: &mut [u8]) -> bool {
    // The kernel takes the greatest offset for the file's own position.
    if i64::try_from(offset).is_err() || UNKNOWN.load(Ordering::Relaxed) {
        return false;
    }
    let wanted = buf.len();
    match preadv2(file, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == wanted,
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
            UNKNOWN.store(true, Ordering::Relaxed);
            false
        }
        // Not in memory, interrupted, or broken: who may wait finds out.
        Err(_) => false,
    }
}
