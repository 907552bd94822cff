//! How a block lies in the file: `payload ‖ compression ‖ crc`. See `docs/format.md`, section 5.1.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{FileSalt, varint};
#[cfg(feature = "zstd")]
use crate::limits::ZSTD_MOST_EXPANSION;
use crate::limits::{LZ4_MOST_EXPANSION, MAX_BLOCK_BYTES, MIN_COMPRESSION_GAIN};
use crate::planted::{self, Bug};

/// Bytes behind the payload: compression and checksum.
pub(crate) const TRAILER_BYTES: usize = 5;
/// Bytes before compressed data: the uncompressed size.
const SIZE_BYTES: usize = 4;

/// How data blocks of tables that stay are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// LZ4 block format, where it saves enough.
    #[default]
    Lz4,
    /// Zstandard, where it saves enough: smaller than LZ4 and slower to write and to read. Only with the cargo feature
    /// `zstd`, without which tables written so cannot be read either.
    #[cfg(feature = "zstd")]
    Zstd,
}

const NONE: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// Whether blocks can have this compression byte.
pub(crate) fn is_compression(byte: u8) -> bool {
    byte <= ZSTD
}

/// Place of a block in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// Where the payload begins.
    pub(crate) offset: u64,
    /// Bytes of the payload as stored.
    pub(crate) size: u32,
}

impl Handle {
    /// Offset behind the block, or `None` if there is no such offset.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.size))?.checked_add(TRAILER_BYTES as u64)
    }

    /// Bytes of the whole block in the file.
    pub(crate) fn stored_bytes(self) -> usize {
        self.size as usize + TRAILER_BYTES
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        varint::put(out, self.offset);
        varint::put(out, u64::from(self.size));
    }

    /// Takes a handle from the front of `bytes`.
    #[inline]
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let offset = varint::take(bytes)?;
        let size = u32::try_from(varint::take(bytes)?).ok()?;
        Some(Self { offset, size })
    }
}

/// Wraps payloads; keeps its working memory from block to block.
pub(crate) struct Sealer {
    salt: FileSalt,
    compressed: Vec<u8>,
    table: lz4_flex::block::CompressTable,
    #[cfg(feature = "zstd")]
    zstd: super::zstd::Encoder,
}

impl Sealer {
    pub(crate) fn new(salt: FileSalt) -> Self {
        Self {
            salt,
            compressed: Vec::new(),
            table: lz4_flex::block::CompressTable::default(),
            #[cfg(feature = "zstd")]
            zstd: super::zstd::Encoder::default(),
        }
    }

    /// Appends the block for `payload`, which will lie at `offset` of the file; returns the size of the payload as
    /// stored.
    pub(crate) fn seal(
        &mut self,
        payload: &[u8],
        compression: Compression,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> usize {
        let kind = match compression {
            Compression::None => NONE,
            Compression::Lz4 => LZ4,
            #[cfg(feature = "zstd")]
            Compression::Zstd => ZSTD,
        };
        let (kind, stored) = match kind {
            NONE => (NONE, payload),
            kind if self.compress(payload, kind) => (kind, self.compressed.as_slice()),
            _ => (NONE, payload),
        };
        out.extend_from_slice(stored);
        out.push(kind);
        out.extend_from_slice(&self.salt.crc_parts(offset, &[stored, &[kind]]).to_le_bytes());
        stored.len()
    }

    /// Whether compression pays; the result is then in `self.compressed`.
    fn compress(&mut self, payload: &[u8], kind: u8) -> bool {
        let most = match kind {
            #[cfg(feature = "zstd")]
            ZSTD => super::zstd::most_bytes(payload.len()),
            _ => lz4_flex::block::get_maximum_output_size(payload.len()),
        };
        self.compressed.clear();
        self.compressed.resize(SIZE_BYTES + most, 0);
        self.compressed[..SIZE_BYTES].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let output = &mut self.compressed[SIZE_BYTES..];
        let compressed = match kind {
            #[cfg(feature = "zstd")]
            ZSTD => self.zstd.compress(payload, output),
            _ => lz4_flex::block::compress_into_with_table(payload, output, &mut self.table).ok(),
        };
        let Some(len) = compressed else { return false };
        self.compressed.truncate(SIZE_BYTES + len);
        self.compressed.len() <= payload.len() - payload.len() / MIN_COMPRESSION_GAIN
    }
}

/// Checks the block that begins at `offset` and fills all of `stored`; returns its compression byte.
fn check(stored: &[u8], salt: FileSalt, offset: u64, path: &Path) -> Result<u8> {
    let Some((covered, crc)) = stored.split_last_chunk::<4>() else {
        return Err(Error::corrupt(path, offset, format!("block of {} bytes", stored.len())));
    };
    let (found, expected) = (salt.crc(offset, covered), u32::from_le_bytes(*crc));
    match covered.last() {
        _ if found != expected && !planted::active(Bug::BlockUnchecked) => {
            Err(Error::corrupt(path, offset, format!("block checksum {found:08x}; expected {expected:08x}")))
        }
        Some(&kind) => Ok(kind),
        None => Err(Error::corrupt(path, offset, "block without a payload")),
    }
}

/// The payload of a data block, unwrapped and decompressed.
pub(crate) fn open(mut stored: Vec<u8>, salt: FileSalt, offset: u64, path: &Path) -> Result<Vec<u8>> {
    if let Some(payload) = decompressed(&stored, salt, offset, path)? {
        return Ok(payload);
    }
    stored.truncate(stored.len() - TRAILER_BYTES);
    Ok(stored)
}

/// [`open`] for a block among others.
pub(crate) fn open_copy(stored: &[u8], salt: FileSalt, offset: u64, path: &Path) -> Result<Vec<u8>> {
    let payload = decompressed(stored, salt, offset, path)?;
    Ok(payload.unwrap_or_else(|| stored[..stored.len() - TRAILER_BYTES].to_vec()))
}

/// The checked block decompressed, or `None` if it is not compressed.
fn decompressed(stored: &[u8], salt: FileSalt, offset: u64, path: &Path) -> Result<Option<Vec<u8>>> {
    let kind = check(stored, salt, offset, path)?;
    let payload = &stored[..stored.len() - TRAILER_BYTES];
    let bytes = match kind {
        NONE => return Ok(None),
        LZ4 => decompress(payload, LZ4_MOST_EXPANSION, lz4),
        #[cfg(feature = "zstd")]
        ZSTD => decompress(payload, ZSTD_MOST_EXPANSION, super::zstd::decompress),
        #[cfg(not(feature = "zstd"))]
        ZSTD => {
            let what = "blocks compressed with zstd, which this build leaves out (cargo feature `zstd`)";
            return Err(Error::Newer { path: path.to_path_buf(), what: what.to_owned() });
        }
        kind => return Err(unknown_compression(kind, offset, path)),
    };
    bytes.map(Some).map_err(|what| Error::corrupt(path, offset, what))
}

/// The payload of a block that is never compressed.
pub(crate) fn open_plain<'a>(stored: &'a [u8], salt: FileSalt, offset: u64, path: &Path) -> Result<&'a [u8]> {
    match check(stored, salt, offset, path)? {
        NONE => Ok(&stored[..stored.len() - TRAILER_BYTES]),
        kind => Err(unknown_compression(kind, offset, path)),
    }
}

fn unknown_compression(kind: u8, offset: u64, path: &Path) -> Error {
    Error::corrupt(path, offset, format!("block with compression {kind}, which is not used here"))
}

fn lz4(compressed: &[u8], bytes: &mut [u8]) -> std::result::Result<usize, String> {
    lz4_flex::block::decompress_into(compressed, bytes).map_err(|error| error.to_string())
}

/// Decompresses with `codec`, which fills its second argument and says how far. A size that is more than
/// `most_expansion` times the compressed bytes is refused before memory is asked for.
fn decompress(
    payload: &[u8],
    most_expansion: usize,
    codec: impl FnOnce(&[u8], &mut [u8]) -> std::result::Result<usize, String>,
) -> std::result::Result<Vec<u8>, String> {
    let Some((size, compressed)) = payload.split_first_chunk::<SIZE_BYTES>() else {
        return Err(format!("compressed block of {} bytes", payload.len()));
    };
    let size = u32::from_le_bytes(*size) as usize;
    let most = MAX_BLOCK_BYTES.min(compressed.len().saturating_mul(most_expansion));
    if size > most {
        let stored = compressed.len();
        return Err(format!("block of {size} bytes uncompressed; {stored} bytes cannot be more than {most}"));
    }
    let mut bytes = vec![0; size];
    match codec(compressed, &mut bytes) {
        Ok(len) if len == size => Ok(bytes),
        Ok(len) => Err(format!("block decompressed to {len} bytes; expected {size}")),
        Err(error) => Err(format!("block does not decompress: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{FileNumber, StoreId};

    fn salt() -> FileSalt {
        FileSalt::new(StoreId([1; 16]), FileNumber(2))
    }

    fn sealed(payload: &[u8], compression: Compression) -> Vec<u8> {
        let mut out = Vec::new();
        let size = Sealer::new(salt()).seal(payload, compression, 77, &mut out);
        assert_eq!(out.len(), size + TRAILER_BYTES);
        out
    }

    fn opened(stored: &[u8]) -> Result<Vec<u8>> {
        open(stored.to_vec(), salt(), 77, Path::new("t"))
    }

    #[test]
    fn compression_is_kept_only_where_it_saves_an_eighth() {
        let repetitive = [7u8; 4096];
        let stored = sealed(&repetitive, Compression::Lz4);
        assert!(stored.len() < 200);
        assert_eq!(opened(&stored).unwrap(), repetitive);

        let noise: Vec<u8> = (0..1024u64)
            .flat_map(|n| twox_hash::XxHash3_64::oneshot(&n.to_le_bytes()).to_le_bytes())
            .collect();
        let stored = sealed(&noise, Compression::Lz4);
        assert_eq!(stored.len(), noise.len() + TRAILER_BYTES);
        assert_eq!(opened(&stored).unwrap(), noise);
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn a_block_in_zstd_is_newer_and_the_missing_feature_is_named() {
        let mut stored = b"\x04\0\0\0whatever\x02".to_vec();
        let crc = salt().crc(77, &stored);
        stored.extend_from_slice(&crc.to_le_bytes());
        let error = opened(&stored).unwrap_err();
        assert!(
            matches!(error, Error::Newer { .. }) && error.to_string().contains("feature `zstd`"),
            "{error}"
        );
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_payloads_round_trip_and_damage_is_noticed() {
        let payload = b"{\"name\":\"Ada\",\"born\":1815}".repeat(100);
        let stored = sealed(&payload, Compression::Zstd);
        assert!(stored.len() < 200);
        assert_eq!(stored[stored.len() - TRAILER_BYTES], ZSTD);
        assert_eq!(opened(&stored).unwrap(), payload);
        let frame = &stored[..stored.len() - TRAILER_BYTES];
        for cut in 0..frame.len() {
            assert!(
                decompress(&frame[..cut], ZSTD_MOST_EXPANSION, super::super::zstd::decompress).is_err(),
                "cut to {cut}"
            );
        }
        for at in 0..SIZE_BYTES {
            let mut wrong = frame.to_vec();
            wrong[at] ^= 1;
            assert!(
                decompress(&wrong, ZSTD_MOST_EXPANSION, super::super::zstd::decompress).is_err(),
                "size byte {at}"
            );
        }
    }

    #[test]
    fn a_block_at_another_offset_is_refused() {
        let stored = sealed(b"payload", Compression::None);
        let error = open(stored, salt(), 78, Path::new("t")).unwrap_err();
        assert!(matches!(error, Error::Corrupt { offset: 78, .. }), "{error}");
    }

    #[test]
    fn a_size_that_the_compressed_bytes_cannot_have_is_refused_before_it_is_allocated() {
        let claim = |size: u32, stored: usize| [&size.to_le_bytes()[..], &vec![0; stored]].concat();
        let refused = |size, stored, most| {
            let codec = |_: &[u8], _: &mut [u8]| unreachable!("memory was allocated");
            let error = decompress(&claim(size, stored), LZ4_MOST_EXPANSION, codec).unwrap_err();
            let what = format!("{size} bytes uncompressed; {stored} bytes cannot be more than {most}");
            assert!(error.contains(&what), "{error}");
        };
        refused(u32::MAX, 7, 7 * 255);
        refused(7 * 255 + 1, 7, 7 * 255);
        refused(1, 0, 0);
        refused(MAX_BLOCK_BYTES as u32 + 1, 1 << 20, MAX_BLOCK_BYTES);
        let fits = decompress(&claim(7 * 255, 7), LZ4_MOST_EXPANSION, |_, bytes| Ok(bytes.len()));
        assert_eq!(fits.unwrap().len(), 7 * 255);
    }

    #[test]
    fn what_compresses_best_stays_within_the_expansion_that_is_believed() {
        let largest = vec![0u8; MAX_BLOCK_BYTES];
        assert!(opened(&sealed(&largest, Compression::Lz4)).unwrap() == largest);
        #[cfg(feature = "zstd")]
        assert!(opened(&sealed(&largest, Compression::Zstd)).unwrap() == largest);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(opened(&bytes).is_err());
            prop_assert!(open_copy(&bytes, salt(), 77, Path::new("t")).is_err());
            prop_assert!(open_plain(&bytes, salt(), 77, Path::new("t")).is_err());
            let _ = decompress(&bytes, LZ4_MOST_EXPANSION, lz4);
            let _ = Handle::take(&mut bytes.as_slice());
        }

        #[test]
        fn payloads_round_trip(payload in prop::collection::vec(0..4u8, 1..2000)) {
            prop_assert_eq!(&opened(&sealed(&payload, Compression::Lz4)).unwrap(), &payload);
            prop_assert_eq!(&opened(&sealed(&payload, Compression::None)).unwrap(), &payload);
        }
    }
}
