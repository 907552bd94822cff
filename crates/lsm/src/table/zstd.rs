//! Zstandard for data blocks, behind the cargo feature `zstd`.
//!
//! Contexts are large, so each writer keeps one, and each thread that reads.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::limits::ZSTD_LEVEL;

/// Compresses block after block.
#[derive(Default)]
pub(super) struct Encoder(Option<Compressor<'static>>);

impl Encoder {
    /// Fills `output`, which has [`most_bytes`]; returns how far, or `None` if it cannot be done.
    pub(super) fn compress(&mut self, payload: &[u8], output: &mut [u8]) -> Option<usize> {
        let compressor = match &mut self.0 {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(ZSTD_LEVEL).ok()?),
        };
        compressor.compress_to_buffer(payload, output).ok()
    }
}

/// Most bytes that `len` bytes can become.
pub(super) fn most_bytes(len: usize) -> usize {
    zstd::zstd_safe::compress_bound(len)
}

thread_local! {
    static DECODER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Fills `bytes`; returns how far, or what is wrong.
pub(super) fn decompress(compressed: &[u8], bytes: &mut [u8]) -> Result<usize, String> {
    DECODER.with_borrow_mut(|decoder| {
        let decompressor = match decoder {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        decompressor.decompress_to_buffer(compressed, bytes).map_err(|error| error.to_string())
    })
}
