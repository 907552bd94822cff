//! Finds sealed blocks where no index tells where they lie.
//!
//! Blocks follow one another without gaps, and each ends in a checksum over all of it that is bound to its place. So from
//! the start of one its end is found by trying every length, with a checksum that grows byte by byte; what matches is a
//! block, or one chance in four billion. Behind bytes that begin no block every offset is tried as the start of the
//! next, within a bound of work.

use std::ops::Range;

use super::envelope::{self, Handle, TRAILER_BYTES};
use crate::format::FileSalt;

/// Longest payload that is looked for behind damage. A block of ordinary size is less than half of it.
const RESYNC_PAYLOAD_BYTES: usize = 16 << 10;
/// Bytes that are added to checksums in the search behind damage, in all.
const RESYNC_STEPS: usize = 1 << 26;

/// What was found in a stretch of a table.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// Blocks, in the order of the file.
    pub(super) blocks: Vec<Handle>,
    /// Where no block was found.
    pub(super) holes: Vec<Range<u64>>,
}

/// Looks for blocks in the stretch `range` of a table whose bytes are `file`. What `accept` does not like is none.
pub(super) fn find_sealed(
    file: &[u8],
    range: Range<u64>,
    salt: FileSalt,
    accept: impl Fn(Handle) -> bool,
) -> Sealed {
    let mut found = Sealed::default();
    let (mut at, mut steps) = (range.start as usize, RESYNC_STEPS);
    let end = (range.end as usize).min(file.len());
    while at < end {
        let whole = end - at;
        if let Some(handle) = sealed_at(file, at, whole, end, salt).filter(|&handle| accept(handle)) {
            found.blocks.push(handle);
            at += handle.stored_bytes();
            continue;
        }
        let bad = at;
        at += 1;
        while at < end && steps > 0 {
            let most = RESYNC_PAYLOAD_BYTES.min(end - at);
            steps = steps.saturating_sub(most);
            if sealed_at(file, at, most, end, salt).is_some_and(&accept) {
                break;
            }
            at += 1;
        }
        if steps == 0 {
            at = end;
        }
        found.holes.push(bad as u64..at as u64);
    }
    found
}

/// The block that begins at `at`, has a payload of at most `most` bytes and ends before `end`.
fn sealed_at(file: &[u8], at: usize, most: usize, end: usize, salt: FileSalt) -> Option<Handle> {
    let mut crc = salt.running(at as u64);
    let last = most.min((end - at).checked_sub(TRAILER_BYTES)?);
    for size in 0..=last {
        let compression = file[at + size];
        let sum = crc.push(compression);
        if size > 0 && envelope::is_compression(compression) {
            let stored = file[at + size + 1..].first_chunk::<4>()?;
            if u32::from_le_bytes(*stored) == sum {
                return Some(Handle { offset: at as u64, size: u32::try_from(size).ok()? });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::envelope::{Compression, Sealer};
    use crate::types::{FileNumber, StoreId};

    fn salt() -> FileSalt {
        FileSalt::new(StoreId([3; 16]), FileNumber(4))
    }

    fn file() -> (Vec<u8>, Vec<Handle>) {
        let (mut file, mut handles) = (Vec::new(), Vec::new());
        let mut sealer = Sealer::new(salt());
        for (payload, compression) in [
            (vec![1; 300], Compression::None),
            (vec![2; 3000], Compression::Lz4),
            (vec![3], Compression::None),
            ((0..=255).collect(), Compression::None),
        ] {
            let offset = file.len() as u64;
            let size = sealer.seal(&payload, compression, offset, &mut file) as u32;
            handles.push(Handle { offset, size });
        }
        (file, handles)
    }

    fn ends(holes: &[Range<u64>]) -> Vec<(u64, u64)> {
        holes.iter().map(|hole| (hole.start, hole.end)).collect()
    }

    #[test]
    fn every_block_is_found_without_being_told_where_it_ends() {
        let (file, handles) = file();
        let found = find_sealed(&file, 0..file.len() as u64, salt(), |_| true);
        assert_eq!((found.blocks, found.holes), (handles.clone(), vec![]));
        let last = find_sealed(&file, handles[3].offset..file.len() as u64, salt(), |_| true);
        assert_eq!(last.blocks, handles[3..]);
    }

    #[test]
    fn behind_a_damaged_block_the_next_one_is_found_again() {
        let (good, handles) = file();
        for at in 0..good.len() {
            let mut file = good.clone();
            file[at] ^= 0x40;
            let found = find_sealed(&file, 0..file.len() as u64, salt(), |_| true);
            let mut expected = handles.clone();
            let bad = expected.iter().rposition(|handle| handle.offset <= at as u64).unwrap();
            let bad = expected.remove(bad);
            assert_eq!(found.blocks, expected, "byte {at}");
            assert_eq!(ends(&found.holes), [(bad.offset, bad.end().unwrap())], "byte {at}");
        }
        let none = find_sealed(&good, 0..good.len() as u64, salt(), |_| false);
        assert_eq!((none.blocks, ends(&none.holes)), (vec![], vec![(0, good.len() as u64)]));
    }
}
