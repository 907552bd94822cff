//! The first 96 bytes of WAL segments and manifests. See `docs/format.md`, section 1.2.

use std::path::Path;

use super::FileSalt;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::limits::{FORMAT_VERSION, KNOWN_INCOMPAT};
use crate::types::{FileNumber, Seq, StoreId};

/// Length of a preamble; frames start right after it.
pub(crate) const PREAMBLE_BYTES: usize = 96;
const CRC_AT: usize = PREAMBLE_BYTES - 4;

/// Which of the two logs a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    Wal,
    Manifest,
}

impl LogKind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Wal => *b"FSWAL\0\0\x01",
            Self::Manifest => *b"FSMANIF\x01",
        }
    }
}

/// What a preamble says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) kind: LogKind,
    pub(crate) store: StoreId,
    pub(crate) number: FileNumber,
    /// WAL: the segment before this one, 0 if none.
    pub(crate) previous: FileNumber,
    /// WAL: where the valid frames of that segment end.
    pub(crate) previous_end: u64,
    /// WAL: no commit in this segment has a smaller sequence.
    pub(crate) first_seq: Seq,
}

impl Preamble {
    pub(crate) fn manifest(store: StoreId, number: FileNumber) -> Self {
        Self {
            kind: LogKind::Manifest,
            store,
            number,
            previous: FileNumber(0),
            previous_end: 0,
            first_seq: Seq::ZERO,
        }
    }

    pub(crate) fn salt(&self) -> FileSalt {
        FileSalt::new(self.store, self.number)
    }

    pub(crate) fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let mut out = [0; PREAMBLE_BYTES];
        out[0..8].copy_from_slice(&self.kind.magic());
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(PREAMBLE_BYTES as u32).to_le_bytes());
        out[16..32].copy_from_slice(&self.store.0);
        out[32..40].copy_from_slice(&self.number.0.to_le_bytes());
        out[56..64].copy_from_slice(&self.previous.0.to_le_bytes());
        out[64..72].copy_from_slice(&self.previous_end.to_le_bytes());
        out[72..80].copy_from_slice(&self.first_seq.get().to_le_bytes());
        let crc = self.salt().crc(0, &out[..CRC_AT]);
        out[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the preamble of the file `path`, which its name says is `number`, of the store `store` if that is known.
    pub(crate) fn decode(
        path: &Path,
        bytes: &[u8],
        kind: LogKind,
        number: FileNumber,
        store: Option<StoreId>,
    ) -> Result<Self> {
        let damaged = |what: &str| Error::corrupt(path, 0, what).coded(FaultCode::Preamble);
        let bytes: &[u8; PREAMBLE_BYTES] = bytes
            .get(..PREAMBLE_BYTES)
            .and_then(|head| head.try_into().ok())
            .ok_or_else(|| damaged("the preamble is cut off"))?;
        if bytes[0..8] != kind.magic() {
            return Err(damaged("the magic number is not that of this kind of file"));
        }
        let version = u32_at(bytes, 8);
        let incompat = u64_at(bytes, 40);
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[16..32]);
        let read = Self {
            kind,
            store: StoreId(id),
            number: FileNumber(u64_at(bytes, 32)),
            previous: FileNumber(u64_at(bytes, 56)),
            previous_end: u64_at(bytes, 64),
            first_seq: Seq::new(u64_at(bytes, 72))
                .ok_or_else(|| damaged("the first sequence is out of range"))?,
        };
        let intact = read.salt().crc(0, &bytes[..CRC_AT]) == u32_at(bytes, CRC_AT);
        if intact && (version > FORMAT_VERSION || incompat & !KNOWN_INCOMPAT != 0) {
            let what = format!("format version {version}, required features {incompat:#x}");
            return Err(Error::Newer { path: path.to_path_buf(), what });
        }
        if !intact {
            return Err(damaged("the preamble does not match its checksum"));
        }
        if version != FORMAT_VERSION || u32_at(bytes, 12) as usize != PREAMBLE_BYTES {
            return Err(damaged("the preamble has an impossible version or length"));
        }
        if read.number != number || store.is_some_and(|store| store != read.store) {
            return Err(damaged("the file belongs to another store or has been renamed"));
        }
        Ok(read)
    }
}

fn u32_at(bytes: &[u8; PREAMBLE_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; PREAMBLE_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Preamble {
        Preamble {
            kind: LogKind::Wal,
            store: StoreId(*b"0123456789abcdef"),
            number: FileNumber(9),
            previous: FileNumber(7),
            previous_end: 4096,
            first_seq: Seq::new(42).unwrap(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Preamble> {
        let sample = sample();
        Preamble::decode(Path::new("wal/000009.wal"), bytes, sample.kind, sample.number, Some(sample.store))
    }

    #[test]
    fn a_preamble_round_trips() {
        assert_eq!(decode(&sample().encode()).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let good = sample().encode();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(decode(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn a_newer_version_or_an_unknown_feature_is_reported_as_newer() {
        for at in [8, 40] {
            let mut bytes = sample().encode();
            bytes[at] = 0x7F;
            let crc = sample().salt().crc(0, &bytes[..CRC_AT]);
            bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
            assert!(matches!(decode(&bytes), Err(Error::Newer { .. })), "byte {at}");
        }
    }

    #[test]
    fn a_file_of_another_name_or_store_is_refused() {
        let bytes = sample().encode();
        let path = Path::new("wal/000010.wal");
        assert!(Preamble::decode(path, &bytes, LogKind::Wal, FileNumber(10), None).is_err());
        let other = Some(StoreId([0; 16]));
        assert!(Preamble::decode(path, &bytes, LogKind::Wal, FileNumber(9), other).is_err());
        assert!(Preamble::decode(path, &bytes, LogKind::Manifest, FileNumber(9), None).is_err());
    }
}
