//! The block of memory that JavaScript lends an environment: keys go in and documents come out.
//!
//! The only unsafe code of this crate. What always holds: the block belongs to one environment, is reached on its thread only,
//! and is lent out for the time of one call, during which no JavaScript runs.

#![allow(unsafe_code)]

use napi::bindgen_prelude::Uint8Array;

/// See the module.
pub struct Block(Uint8Array);

impl Block {
    /// Keeps the array, and with it its memory, as long as this lives.
    pub fn new(array: Uint8Array) -> Self {
        Self(array)
    }

    /// The bytes, for one call.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the reference in the array keeps its memory, which does not move. The facade gives the array to nobody and
        // never transfers it, and nothing else reaches the memory while this borrow lives: JavaScript waits on this very
        // thread for the call to end, and other calls of this thread have no way here but through the same `&mut self`.
        unsafe { self.0.as_mut() }
    }
}
