//! Memory that is handed out in pieces and given back all at once.
//!
//! Chunks are never moved and never freed before the arena is dropped, so a piece handed out stays valid for as long
//! as the arena lives. Memory is not zeroed: whoever takes a piece writes all of it before sharing it. Pieces of one
//! kind come from a [`Bump`] of their own, with an alignment of their own.
//!
//! Chunks grow up to the size of a huge page. With these, the first touch of new memory is one fault instead of 512,
//! and a search through a full memtable seldom misses the processor's cache of page addresses.
#![expect(unsafe_code, reason = "hands out uninitialised memory; see the SAFETY comments")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alignment of pieces that have no wishes.
pub(super) const WORD: usize = 8;
/// Alignment of pieces that begin a cache line.
pub(super) const LINE: usize = 64;
const FIRST_CHUNK_BYTES: usize = 16 * 1024;
/// A huge page, where there are any.
const LARGEST_CHUNK_BYTES: usize = 2 << 20;

/// Owner of the chunks. Shared by readers; only the holder of a [`Bump`] allocates.
#[derive(Default)]
pub(super) struct Arena {
    chunks: Mutex<Vec<Chunk>>,
    bytes: AtomicUsize,
}

struct Chunk {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a chunk is plain memory owned by the arena; it is touched through the pieces handed out, never through here.
unsafe impl Send for Chunk {}

/// The unused rest of the newest chunk: what the one writer allocates from.
pub(super) struct Bump {
    next: *mut u8,
    left: usize,
    chunk_bytes: usize,
    align: usize,
}

// SAFETY: the pointer is only used by whoever holds the `Bump`, together with the arena it belongs to.
unsafe impl Send for Bump {}

impl Bump {
    /// For pieces aligned to `align`, which is [`WORD`] or [`LINE`].
    pub(super) fn new(align: usize) -> Self {
        debug_assert!(align == WORD || align == LINE);
        Self { next: std::ptr::null_mut(), left: 0, chunk_bytes: FIRST_CHUNK_BYTES, align }
    }
}

impl Arena {
    /// Uninitialised memory for `size` bytes, at least one, aligned as `bump` says, valid until the arena is dropped.
    /// `bump` must have been used with this arena only.
    pub(super) fn alloc(&self, bump: &mut Bump, size: usize) -> NonNull<u8> {
        let size = size.next_multiple_of(bump.align);
        // Only the one writer changes it.
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + size, Ordering::Relaxed);
        if size > bump.left {
            if size > bump.chunk_bytes / 4 {
                // Large pieces get a chunk of their own, so that they do not waste the rest of the current one.
                return self.add_chunk(size);
            }
            bump.next = self.add_chunk(bump.chunk_bytes).as_ptr();
            bump.left = bump.chunk_bytes;
            bump.chunk_bytes = (bump.chunk_bytes * 2).min(LARGEST_CHUNK_BYTES);
        }
        let piece = bump.next;
        // SAFETY: `size <= left`, so the new position is at most one past the end of the chunk.
        bump.next = unsafe { piece.add(size) };
        bump.left -= size;
        // SAFETY: `piece` points into a chunk, which starts at a non-null address.
        unsafe { NonNull::new_unchecked(piece) }
    }

    /// Bytes handed out. Chunks have at most one of the largest size more for each [`Bump`].
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add_chunk(&self, size: usize) -> NonNull<u8> {
        let huge = size >= LARGEST_CHUNK_BYTES;
        let align = if huge { LARGEST_CHUNK_BYTES } else { LINE };
        let Ok(layout) = Layout::from_size_align(size, align) else {
            unreachable!("limits keep keys and values far below isize::MAX");
        };
        // SAFETY: `size` is at least `WORD`, so the layout is not empty.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        if huge {
            ask_for_huge_pages(start, size);
        }
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).push(Chunk { start, layout });
        start
    }
}

/// Asks for huge pages where the system gives them only to those who ask. Everything works without them.
fn ask_for_huge_pages(start: NonNull<u8>, size: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        // SAFETY: the range is memory of our own, and the advice changes nothing that can be seen in it.
        let _ = unsafe { madvise(start.as_ptr().cast(), size, Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, size);
}

impl Drop for Arena {
    fn drop(&mut self) {
        let chunks = self.chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
        for chunk in chunks.drain(..) {
            // SAFETY: allocated in `add_chunk` with this layout and freed only here.
            unsafe { dealloc(chunk.start.as_ptr(), chunk.layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_and_do_not_overlap() {
        let arena = Arena::default();
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        for align in [WORD, LINE] {
            let mut bump = Bump::new(align);
            for size in (1..2000).step_by(7).chain([100_000, 3_000_000]) {
                let start = arena.alloc(&mut bump, size).as_ptr() as usize;
                assert_eq!(start % align, 0);
                pieces.push((start, start + size));
            }
        }
        pieces.sort_unstable();
        assert!(pieces.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert!(arena.bytes() >= 6_200_000);
    }

    #[test]
    fn chunks_grow_until_they_begin_where_a_huge_page_can() {
        let (arena, mut bump) = (Arena::default(), Bump::new(WORD));
        for _ in 0..10_000 {
            arena.alloc(&mut bump, 1000);
        }
        let chunks = arena.chunks.lock().unwrap();
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.layout.size()).collect();
        assert!(sizes[0] == FIRST_CHUNK_BYTES && sizes.is_sorted(), "small stores take little: {sizes:?}");
        let last = chunks.last().unwrap();
        assert_eq!((last.layout.size(), last.start.as_ptr() as usize % (2 << 20)), (2 << 20, 0));
    }

    /// What AddressSanitizer must report.
    #[cfg(feature = "planted-memory-faults")]
    #[test]
    fn planted_use_after_free() {
        let (arena, mut bump) = (Arena::default(), Bump::new(WORD));
        let piece = arena.alloc(&mut bump, 8);
        drop(arena);
        // SAFETY: none, on purpose: the arena that owned the piece is gone.
        assert_eq!(unsafe { piece.as_ptr().read_volatile() }, 0);
    }
}
