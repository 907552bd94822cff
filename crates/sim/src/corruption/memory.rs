//! Counts what each thread asks the allocator for.
//!
//! A damaged length must not become a request for that much memory. The program installs [`Counting`] as its allocator;
//! where it is not installed, as in unit tests, nothing is counted.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its interface; this one only adds numbers to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count.
pub struct Counting;

thread_local! {
    /// Bytes that this thread asked for, less what it gave back, and the most since [`begin`].
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Begins to count on this thread.
pub(super) fn begin() {
    BYTES.set((0, 0));
}

/// The most bytes that this thread held at once since [`begin`].
pub(super) fn most() -> usize {
    BYTES.get().1.unsigned_abs()
}

fn count(change: isize) {
    // At the end of a thread there is nothing left to count in.
    let _ = BYTES.try_with(|bytes| {
        let (now, most) = bytes.get();
        let now = now.saturating_add(change);
        bytes.set((now, most.max(now)));
    });
}

fn size(layout: Layout) -> isize {
    isize::try_from(layout.size()).unwrap_or(isize::MAX)
}

// SAFETY: every request is passed on to the system's allocator unchanged, and its answer passed back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(isize::try_from(new_size).unwrap_or(isize::MAX).saturating_sub(size(layout)));
        // SAFETY: `pointer` came from the system's allocator with this layout, and the promise about the size is passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(size(layout).saturating_neg());
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}
