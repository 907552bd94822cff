//! Checksums bound to store, file and offset. See `docs/format.md`, section 1.1.

use crate::planted::{self, Bug};
use crate::types::{FileNumber, StoreId};

/// Bytes of an offset in a checksum.
pub(crate) const OFFSET_BYTES: usize = 8;

/// The identity of one file, folded into every checksum inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSalt(u32);

impl FileSalt {
    pub(crate) fn new(store: StoreId, number: FileNumber) -> Self {
        let crc = crc32c::crc32c(&store.0);
        Self(crc32c::crc32c_append(crc, &number.0.to_le_bytes()))
    }

    /// Checksum of `bytes` that begin at `offset` of this file.
    pub(crate) fn crc(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.start(offset), bytes)
    }

    /// Checksum of the concatenation of `parts` that begins at `offset` of this file.
    pub(crate) fn crc_parts(self, offset: u64, parts: &[&[u8]]) -> u32 {
        parts.iter().fold(self.start(offset), |crc, part| crc32c::crc32c_append(crc, part))
    }

    /// Checksum of bytes at `offset`, which follow in `behind` upon [`OFFSET_BYTES`] of room for the offset: it covers that,
    /// too, and so both take one pass.
    #[inline]
    pub(crate) fn crc_behind_offset(self, offset: u64, behind: &mut [u8]) -> u32 {
        behind[..OFFSET_BYTES].copy_from_slice(&covered(offset).to_le_bytes());
        crc32c::crc32c_append(self.0, behind)
    }

    /// A checksum that grows byte by byte, of bytes that begin at `offset` of this file.
    pub(crate) fn running(self, offset: u64) -> RunningCrc {
        RunningCrc(!self.start(offset))
    }

    fn start(self, offset: u64) -> u32 {
        crc32c::crc32c_append(self.0, &covered(offset).to_le_bytes())
    }
}

/// The checksum of what has `crc` and of the `bytes` behind that.
#[inline]
pub(crate) fn crc_continued(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// What a checksum says of the place.
fn covered(offset: u64) -> u64 {
    if planted::active(Bug::ChecksumWithoutOffset) { 0 } else { offset }
}

/// See [`FileSalt::running`]. Without the processor's instruction, which is fast for many bytes and slow for one.
pub(crate) struct RunningCrc(u32);

impl RunningCrc {
    /// Adds a byte; the checksum of all so far.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) -> u32 {
        self.0 = CRC_OF_BYTE[usize::from(self.0 as u8 ^ byte)] ^ (self.0 >> 8);
        !self.0
    }
}

/// What each byte does to a checksum: the remainders of the Castagnoli polynomial, bits reversed.
static CRC_OF_BYTE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_depends_on_store_file_offset_and_bytes() {
        let salt = FileSalt::new(StoreId([1; 16]), FileNumber(7));
        let base = salt.crc(4096, b"block");
        assert_eq!(salt.crc_parts(4096, &[b"blo", b"ck"]), base);
        let mut running = salt.running(4096);
        assert_eq!(b"block".map(|byte| running.push(byte))[4], base);
        assert_ne!(salt.crc(8192, b"block"), base);
        assert_ne!(salt.crc(4096, b"blocK"), base);
        assert_ne!(FileSalt::new(StoreId([1; 16]), FileNumber(8)).crc(4096, b"block"), base);
        assert_ne!(FileSalt::new(StoreId([2; 16]), FileNumber(7)).crc(4096, b"block"), base);
    }

    #[test]
    fn a_checksum_follows_the_documented_recipe() {
        let mut bytes = vec![3u8; 16];
        bytes.extend_from_slice(&9u64.to_le_bytes());
        bytes.extend_from_slice(&64u64.to_le_bytes());
        bytes.extend_from_slice(b"payload");
        let salt = FileSalt::new(StoreId([3; 16]), FileNumber(9));
        assert_eq!(salt.crc(64, b"payload"), crc32c::crc32c(&bytes));
    }
}
