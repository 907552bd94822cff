//! A version in the arena: header, key and value in one piece that never changes.
#![expect(
    unsafe_code,
    reason = "records live in the arena and are found by pointers; see the SAFETY comments"
)]

use std::cmp;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::arena::{Arena, Bump};
use super::version_order;
use crate::types::{Kind, Seq, Trailer};

/// Header of a record; the key and then the value follow it in memory.
#[repr(C)]
pub(super) struct Record {
    trailer: u64,
    key_len: u32,
    value_len: u32,
}

const HEADER_BYTES: usize = size_of::<Record>();
const _: () = assert!(align_of::<Record>() <= super::arena::WORD);

/// A complete record, for as long as its arena is borrowed.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    record: NonNull<Record>,
    arena: PhantomData<&'a Arena>,
}

/// A place in the order of versions.
#[derive(Clone, Copy)]
pub(super) struct Target<'k> {
    pub(super) key: &'k [u8],
    pub(super) trailer: Trailer,
}

impl Record {
    /// Writes a record into the arena that `bump` belongs to.
    pub(super) fn write(
        arena: &Arena,
        bump: &mut Bump,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> NonNull<Self> {
        let piece = arena.alloc(bump, HEADER_BYTES + key.len() + value.len());
        let record = piece.cast::<Self>();
        let header =
            Self { trailer: trailer.raw(), key_len: key.len() as u32, value_len: value.len() as u32 };
        // SAFETY: the piece is large enough and aligned for the header and the bytes behind it; nobody else knows it
        // yet.
        unsafe {
            record.write(header);
            let bytes = piece.as_ptr().add(HEADER_BYTES);
            ptr::copy_nonoverlapping(key.as_ptr(), bytes, key.len());
            ptr::copy_nonoverlapping(value.as_ptr(), bytes.add(key.len()), value.len());
        }
        record
    }
}

impl<'a> Entry<'a> {
    /// The entry at a record.
    ///
    /// # Safety
    /// The record must be complete, visible to this thread, and live for `'a`.
    pub(super) unsafe fn at(record: NonNull<Record>) -> Self {
        Self { record, arena: PhantomData }
    }

    pub(super) fn record(self) -> NonNull<Record> {
        self.record
    }

    pub(super) fn key(self) -> &'a [u8] {
        self.bytes(0, self.header().key_len as usize)
    }

    pub(super) fn value(self) -> &'a [u8] {
        let header = self.header();
        self.bytes(header.key_len as usize, header.value_len as usize)
    }

    pub(super) fn trailer(self) -> Trailer {
        let raw = self.header().trailer;
        debug_assert!(Trailer::from_raw(raw).is_some());
        Trailer::from_raw(raw).unwrap_or(Trailer::new(Seq::ZERO, Kind::Put))
    }

    /// Where this entry lies in the order of versions, seen from `target`.
    pub(super) fn order(self, target: Target<'_>) -> cmp::Ordering {
        version_order((self.key(), self.trailer()), (target.key, target.trailer))
    }

    fn header(self) -> &'a Record {
        // SAFETY: by the contract of `at`.
        unsafe { self.record.as_ref() }
    }

    fn bytes(self, start: usize, len: usize) -> &'a [u8] {
        // SAFETY: key and value lie behind the header in the same piece and were written by `Record::write`.
        unsafe {
            std::slice::from_raw_parts(self.record.as_ptr().cast::<u8>().add(HEADER_BYTES + start), len)
        }
    }
}
