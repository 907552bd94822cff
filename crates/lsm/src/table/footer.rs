//! The last 96 bytes of a table: where to find everything else. See `docs/format.md`, section 5.7.

use std::num::NonZeroU16;
use std::path::Path;

use super::envelope::Handle;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::limits::{FORMAT_VERSION, INDEX_LEAF_BLOCKS, KNOWN_INCOMPAT};

pub(crate) const FOOTER_BYTES: usize = 96;
/// Offset and payload size of one block.
const HANDLE_BYTES: usize = 12;
const MAGIC: &[u8; 8] = b"FSTABLE\x01";
/// Bytes under the checksum.
const COVERED_BYTES: usize = 84;
const VERSION_AT: usize = 60;
const FEATURES_AT: usize = 64;
/// One byte per index: 0 none, 1 the root names data blocks, 2 it names leaves.
const LEVELS_AT: usize = 72;
const LEAF_BLOCKS_AT: usize = 74;
const RESERVED_AT: usize = 76;
const MAGIC_AT: usize = 88;

/// Where the root of an index lies, and of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) handle: Handle,
    /// Whether it names leaves instead of data blocks.
    pub(crate) has_leaves: bool,
}

/// Where the blocks behind the data blocks and the leaves of indexes lie. They follow one another without a gap, in the order of these fields
/// and without those that are `None`, and end at the footer; the data blocks and the leaves fill what is before the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) filter: Handle,
    /// Index of the current section.
    pub(crate) current: Option<Root>,
    /// Index of the history section.
    pub(crate) history: Option<Root>,
    /// Data blocks named by each leaf but the last.
    pub(crate) leaf_blocks: NonZeroU16,
    pub(crate) tombstones: Option<Handle>,
    pub(crate) properties: Handle,
}

/// How a block that is not there is written: no block behind the data has offset 0.
const ABSENT: Handle = Handle { offset: 0, size: 0 };

impl Footer {
    /// The stored form of a footer that will lie at `offset`.
    pub(crate) fn encode(&self, salt: FileSalt, offset: u64) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let roots = [self.current, self.history];
        let [current, history] = roots.map(|root| root.map(|root| root.handle));
        let optional = [current, history, self.tombstones].map(|handle| handle.unwrap_or(ABSENT));
        let [current, history, tombstones] = optional;
        for (index, handle) in [current, history, self.filter, tombstones, self.properties].iter().enumerate()
        {
            let at = index * HANDLE_BYTES;
            bytes[at..at + 8].copy_from_slice(&handle.offset.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&handle.size.to_le_bytes());
        }
        bytes[VERSION_AT..FEATURES_AT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[FEATURES_AT..LEVELS_AT].copy_from_slice(&KNOWN_INCOMPAT.to_le_bytes());
        bytes[LEVELS_AT..RESERVED_AT].copy_from_slice(&self.levels());
        let crc = salt.crc(offset, &bytes[..COVERED_BYTES]);
        bytes[COVERED_BYTES..MAGIC_AT].copy_from_slice(&crc.to_le_bytes());
        bytes[MAGIC_AT..].copy_from_slice(MAGIC);
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
        let magic = &bytes[MAGIC_AT..];
        if magic != MAGIC {
            return corrupt(format!("the last bytes are {magic:02x?}; expected the mark of a table"));
        }
        if !Self::is_sealed_by(bytes, salt, offset) {
            return corrupt("footer checksum does not match".to_owned());
        }
        check_features(bytes, path)?;
        if read_u32(bytes, VERSION_AT) != FORMAT_VERSION || bytes[RESERVED_AT..COVERED_BYTES] != [0; 8] {
            return corrupt("footer with an impossible format version or a reserved field in use".to_owned());
        }
        let footer = Self::handles(bytes);
        if footer.levels() != bytes[LEVELS_AT..RESERVED_AT] {
            return corrupt("what the footer says of indexes is not what it says of their leaves".to_owned());
        }
        if !footer.is_contiguous(offset) {
            return corrupt("the footer's blocks do not follow one another up to the footer".to_owned());
        }
        Ok(footer)
    }

    /// As [`Self::decode`], whatever mark stands at its end, where the checksum does not reach.
    pub(crate) fn decode_unmarked(
        bytes: &[u8; FOOTER_BYTES],
        salt: FileSalt,
        offset: u64,
        path: &Path,
    ) -> Result<Self> {
        let mut marked = *bytes;
        marked[MAGIC_AT..].copy_from_slice(MAGIC);
        Self::decode(&marked, salt, offset, path)
    }

    /// Whether the checksum was made with `salt` at `offset`.
    pub(crate) fn is_sealed_by(bytes: &[u8; FOOTER_BYTES], salt: FileSalt, offset: u64) -> bool {
        salt.crc(offset, &bytes[..COVERED_BYTES]) == read_u32(bytes, COVERED_BYTES)
    }

    /// The handles, unchecked.
    pub(crate) fn handles(bytes: &[u8; FOOTER_BYTES]) -> Self {
        let [current, history, filter, tombstones, properties] = [0, 1, 2, 3, 4].map(|index| {
            let at = index * HANDLE_BYTES;
            Handle { offset: read_u64(bytes, at), size: read_u32(bytes, at + 8) }
        });
        let optional = |handle| (handle != ABSENT).then_some(handle);
        let root = |handle, index: usize| {
            let has_leaves = bytes[LEVELS_AT + index] > 1;
            optional(handle).map(|handle| Root { handle, has_leaves })
        };
        let leaf_blocks = u16::from_le_bytes([bytes[LEAF_BLOCKS_AT], bytes[LEAF_BLOCKS_AT + 1]]);
        Self {
            filter,
            current: root(current, 0),
            history: root(history, 1),
            leaf_blocks: NonZeroU16::new(leaf_blocks).unwrap_or(INDEX_LEAF_BLOCKS),
            tombstones: optional(tombstones),
            properties,
        }
    }

    /// What is said of indexes. The usual number of blocks in a leaf is written as 0, as is that of leaves that are not there.
    fn levels(&self) -> [u8; RESERVED_AT - LEVELS_AT] {
        let level = |root: Option<Root>| root.map_or(0, |root| 1 + u8::from(root.has_leaves));
        let split = [self.current, self.history].into_iter().flatten().any(|root| root.has_leaves);
        let unusual = split && self.leaf_blocks != INDEX_LEAF_BLOCKS;
        let [low, high] = if unusual { self.leaf_blocks.get().to_le_bytes() } else { [0; 2] };
        [level(self.current), level(self.history), low, high]
    }

    fn is_contiguous(&self, footer_offset: u64) -> bool {
        let [current, history] = [self.current, self.history].map(|root| root.map(|root| root.handle));
        let optional = [current, history, self.tombstones].into_iter().flatten();
        let blocks = [self.filter].into_iter().chain(optional).chain([self.properties]);
        let mut end = Some(self.filter.offset);
        for handle in blocks {
            if end != Some(handle.offset) {
                return false;
            }
            end = handle.end();
        }
        end == Some(footer_offset)
    }
}

/// Whether this code may read the table at all. The checksum is known to be right, so a larger version or an unknown
/// bit was written on purpose.
fn check_features(bytes: &[u8; FOOTER_BYTES], path: &Path) -> Result<()> {
    let newer = |what: String| Err(Error::Newer { path: path.to_path_buf(), what });
    let (version, incompat) = (read_u32(bytes, VERSION_AT), read_u64(bytes, FEATURES_AT));
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
            current: Some(Root { handle: Handle { offset: 600, size: 95 }, has_leaves: true }),
            history: Some(Root { handle: Handle { offset: 700, size: 45 }, has_leaves: false }),
            leaf_blocks: INDEX_LEAF_BLOCKS,
            tombstones: Some(Handle { offset: 750, size: 45 }),
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
        bytes[COVERED_BYTES..MAGIC_AT].copy_from_slice(&crc.to_le_bytes());
        decode(&bytes)
    }

    #[test]
    fn the_stored_form_round_trips() {
        assert_eq!(decode(&footer().encode(salt(), OFFSET)).unwrap(), footer());
        let least = Footer {
            current: None,
            history: None,
            tombstones: None,
            properties: Handle { offset: 600, size: 395 },
            ..footer()
        };
        assert_eq!(decode(&least.encode(salt(), OFFSET)).unwrap(), least);
        for (blocks, stored) in [(1, [1, 0]), (255, [255, 0]), (256, [0, 0]), (257, [1, 1])] {
            let unusual = Footer { leaf_blocks: NonZeroU16::new(blocks).unwrap(), ..footer() };
            let bytes = unusual.encode(salt(), OFFSET);
            assert_eq!(bytes[74..76], stored);
            assert_eq!(decode(&bytes).unwrap(), unusual);
            let unsplit = Footer { leaf_blocks: unusual.leaf_blocks, ..least };
            assert_eq!(unsplit.encode(salt(), OFFSET), least.encode(salt(), OFFSET), "there are no leaves");
        }
    }

    #[test]
    fn a_newer_format_or_feature_is_called_newer() {
        for error in [changed(60, &[2]).unwrap_err(), changed(71, &[0x80]).unwrap_err()] {
            assert!(matches!(error, Error::Newer { .. }), "{error}");
        }
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_damage() {
        for (at, part) in [
            (0, 1u8),
            (8, 1),
            (12, 1),
            (20, 1),
            (24, 1),
            (32, 1),
            (36, 1),
            (44, 1),
            (48, 1),
            (56, 1),
            (60, 0),
            (72, 0),
            (72, 3),
            (73, 0),
            (75, 1),
            (76, 1),
            (83, 1),
        ] {
            let error = changed(at, &[part]).unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: OFFSET, .. }), "byte {at}: {error}");
        }
        let error = changed(72, &[1, 1, 5]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "blocks in leaves that are not there: {error}");
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
            let _ = changed(36, &bytes);
            let _ = changed(72, &rest);
        }
    }
}
