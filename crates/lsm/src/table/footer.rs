//! The last 64 bytes of a table: where to find everything else. See `docs/format.md`, section 5.6.

use std::path::Path;

use super::envelope::Handle;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::limits::{FORMAT_VERSION, KNOWN_INCOMPAT};

pub(crate) const FOOTER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"FSTABLE\x01";
/// Bytes under the checksum.
const COVERED_BYTES: usize = 52;

/// Where the blocks behind the data blocks lie. Filter, index and properties follow one another without a gap and end
/// at the footer; the data blocks fill what is before the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) filter: Handle,
    pub(crate) index: Handle,
    pub(crate) properties: Handle,
}

impl Footer {
    /// The stored form of a footer that will lie at `offset`.
    pub(crate) fn encode(&self, salt: FileSalt, offset: u64) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        for (at, handle) in [(0, self.index), (12, self.filter), (24, self.properties)] {
            bytes[at..at + 8].copy_from_slice(&handle.offset.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&handle.size.to_le_bytes());
        }
        bytes[36..40].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[40..48].copy_from_slice(&KNOWN_INCOMPAT.to_le_bytes());
        let crc = salt.crc(offset, &bytes[..COVERED_BYTES]);
        bytes[COVERED_BYTES..56].copy_from_slice(&crc.to_le_bytes());
        bytes[56..].copy_from_slice(MAGIC);
        bytes
    }

    /// A footer from its stored form at `offset` of `path`.
    pub(crate) fn decode(
        bytes: &[u8; FOOTER_BYTES],
        salt: FileSalt,
        offset: u64,
        path: &Path,
    ) -> Result<Self> {
        let corrupt = |what: String| Err(Error::corrupt(path, offset, what));
        if bytes[56..] != *MAGIC {
            return corrupt(format!(
                "the last bytes are {:02x?}; expected the mark of a table",
                &bytes[56..]
            ));
        }
        if !Self::is_sealed_by(bytes, salt, offset) {
            return corrupt("footer checksum does not match".to_owned());
        }
        check_features(bytes, path)?;
        if read_u32(bytes, 36) != FORMAT_VERSION || read_u32(bytes, 48) != 0 {
            return corrupt("footer with an impossible format version or a reserved field in use".to_owned());
        }
        let footer = Self::handles(bytes);
        if !footer.is_contiguous(offset) {
            return corrupt("the footer's blocks do not follow one another up to the footer".to_owned());
        }
        Ok(footer)
    }

    /// Whether the checksum was made with `salt` at `offset`.
    pub(crate) fn is_sealed_by(bytes: &[u8; FOOTER_BYTES], salt: FileSalt, offset: u64) -> bool {
        salt.crc(offset, &bytes[..COVERED_BYTES]) == read_u32(bytes, COVERED_BYTES)
    }

    /// The handles, unchecked.
    pub(crate) fn handles(bytes: &[u8; FOOTER_BYTES]) -> Self {
        let [index, filter, properties] =
            [0, 12, 24].map(|at| Handle { offset: read_u64(bytes, at), size: read_u32(bytes, at + 8) });
        Self { filter, index, properties }
    }

    fn is_contiguous(&self, footer_offset: u64) -> bool {
        self.filter.end() == Some(self.index.offset)
            && self.index.end() == Some(self.properties.offset)
            && self.properties.end() == Some(footer_offset)
    }
}

/// Whether this code may read the table at all. The checksum is known to be right, so a larger version or an unknown
/// bit was written on purpose.
fn check_features(bytes: &[u8; FOOTER_BYTES], path: &Path) -> Result<()> {
    let newer = |what: String| Err(Error::Newer { path: path.to_path_buf(), what });
    let (version, incompat) = (read_u32(bytes, 36), read_u64(bytes, 40));
    if version > FORMAT_VERSION {
        return newer(format!("table format {version}; this version knows {FORMAT_VERSION}"));
    }
    match incompat & !KNOWN_INCOMPAT {
        0 => Ok(()),
        unknown => newer(format!("table needs the unknown features {unknown:#x}")),
    }
}

fn read_u32(bytes: &[u8; FOOTER_BYTES], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn read_u64(bytes: &[u8; FOOTER_BYTES], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{FileNumber, StoreId};

    const OFFSET: u64 = 1000;

    fn salt() -> FileSalt {
        FileSalt::new(StoreId([5; 16]), FileNumber(3))
    }

    fn footer() -> Footer {
        Footer {
            filter: Handle { offset: 500, size: 95 },
            index: Handle { offset: 600, size: 195 },
            properties: Handle { offset: 800, size: 195 },
        }
    }

    fn decode(bytes: &[u8; FOOTER_BYTES]) -> Result<Footer> {
        Footer::decode(bytes, salt(), OFFSET, Path::new("t"))
    }

    /// A footer with one part changed and the checksum made right again.
    fn changed(at: usize, part: &[u8]) -> Result<Footer> {
        let mut bytes = footer().encode(salt(), OFFSET);
        bytes[at..at + part.len()].copy_from_slice(part);
        let crc = salt().crc(OFFSET, &bytes[..COVERED_BYTES]);
        bytes[COVERED_BYTES..56].copy_from_slice(&crc.to_le_bytes());
        decode(&bytes)
    }

    #[test]
    fn the_stored_form_round_trips() {
        assert_eq!(decode(&footer().encode(salt(), OFFSET)).unwrap(), footer());
    }

    #[test]
    fn a_newer_format_or_feature_is_called_newer() {
        for error in [changed(36, &[2]).unwrap_err(), changed(47, &[0x80]).unwrap_err()] {
            assert!(matches!(error, Error::Newer { .. }), "{error}");
        }
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_damage() {
        for (at, part) in [(0, 1u8), (8, 1), (12, 1), (20, 1), (24, 1), (32, 1), (36, 0), (48, 1)] {
            let error = changed(at, &[part]).unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: OFFSET, .. }), "byte {at}: {error}");
        }
    }

    #[test]
    fn every_flipped_byte_is_damage() {
        for at in 0..FOOTER_BYTES {
            let mut bytes = footer().encode(salt(), OFFSET);
            bytes[at] ^= 0x40;
            assert!(matches!(decode(&bytes).unwrap_err(), Error::Corrupt { .. }), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_with_a_right_checksum_never_panic(bytes: [u8; 24], rest: [u8; 12]) {
            let _ = changed(0, &bytes);
            let _ = changed(24, &rest);
        }
    }
}
