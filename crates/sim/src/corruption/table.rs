//! Finds the data blocks of a table that is sound. Written after the description of the format, and independent of the
//! engine.

use std::ops::Range;

/// Bytes of the footer.
const FOOTER: usize = 96;
/// Bytes behind the payload of a block: its compression and its checksum.
const TRAILER: usize = 5;
/// Where the footer names the index of each section.
const INDEXES: [usize; 2] = [0, 12];

/// Where the data blocks of a table lie; empty for what is no table, or has an index of two levels.
pub(super) fn data_blocks(bytes: &[u8]) -> Vec<Range<usize>> {
    let Some(footer) = bytes.len().checked_sub(FOOTER) else { return Vec::new() };
    let sections = INDEXES.into_iter().filter_map(|at| {
        let offset = usize::try_from(u64_at(bytes, footer + at)?).ok()?;
        let size = u32_at(bytes, footer + at + 8)? as usize;
        (size > 0).then(|| bytes.get(offset..offset.checked_add(size)?)).flatten()
    });
    sections.flat_map(|index| handles(index).unwrap_or_default()).collect()
}

/// The handles in an index: each entry has a restart, which says where its value lies.
fn handles(index: &[u8]) -> Option<Vec<Range<usize>>> {
    let restarts = index.len().checked_sub(4)?;
    let count = u32_at(index, restarts)? as usize;
    let first = restarts.checked_sub(count.checked_mul(8)?)?;
    let handle = |number: usize| {
        let mut rest = index.get(u32_at(index, first + number * 8 + 4)? as usize..)?;
        let (offset, size) = (varint(&mut rest)?, varint(&mut rest)?);
        Some(offset..offset.checked_add(size)?.checked_add(TRAILER)?)
    };
    (0..count).map(handle).collect()
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7F).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
