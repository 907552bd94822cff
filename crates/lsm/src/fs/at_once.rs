//! Reads that never wait for the disk: Linux's `preadv2` with `RWF_NOWAIT`, which answers from the page cache or not at all.
//!
//! Not every file system and not every sandbox knows the call. A file of one that does not is not asked again: each question
//! costs a system call on the thread that is in a hurry. Other files are, since they may lie elsewhere.

use std::fs::File;
use std::io::IoSliceMut;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// What is known of one file.
#[derive(Default)]
pub(super) struct AtOnce {
    /// The system has said that it does not know such reads of this file.
    is_unknown: AtomicBool,
}

impl AtOnce {
    /// Fills `buf` from `offset` if the page cache has all of it; whether it did.
    pub(super) fn read(&self, file: &File, offset: u64, buf: &mut [u8]) -> bool {
        // The kernel takes the greatest offset for the file's own position.
        if i64::try_from(offset).is_err() {
            return false;
        }
        let wanted = buf.len();
        self.ask(wanted, || preadv2(file, &mut [IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT))
    }

    /// Whether `call`, if it is made, reads all that is wanted.
    fn ask(&self, wanted: usize, call: impl FnOnce() -> rustix::io::Result<usize>) -> bool {
        if self.is_unknown.load(Ordering::Relaxed) {
            return false;
        }
        match call() {
            Ok(read) => read == wanted,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                self.is_unknown.store(true, Ordering::Relaxed);
                false
            }
            // Not in memory, interrupted, or broken: who may wait finds out.
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_so_is_not_asked_again_and_others_are() {
        let (here, there) = (AtOnce::default(), AtOnce::default());
        assert!(!here.ask(5, || Err(Errno::AGAIN)), "not in memory");
        assert!(here.ask(5, || Ok(5)) && !here.ask(5, || Ok(4)));
        assert!(!here.ask(5, || Err(Errno::OPNOTSUPP)));
        assert!(!here.ask(5, || panic!("asked again")));
        assert!(there.ask(5, || Ok(5)), "another file system");
    }
}
