//! A tiny table, byte by byte as `docs/format.md` has it. Offsets and bytes were worked out by hand.

use super::*;

/// Wraps a payload by the recipe of sections 1.1 and 5.1.
fn sealed(payload: &[u8], offset: u64) -> Vec<u8> {
    let mut block = payload.to_vec();
    block.push(0);
    let crc = salted_crc(&block, offset);
    block.extend_from_slice(&crc.to_le_bytes());
    block
}

fn salted_crc(bytes: &[u8], offset: u64) -> u32 {
    let (number, offset) = (7u64.to_le_bytes(), offset.to_le_bytes());
    crc32c::crc32c(&[&[0xA5; 16][..], &number, &offset, bytes].concat())
}

#[test]
fn a_tiny_table_has_the_documented_bytes() {
    let rows = [row("a", 1, Some(b"x")), row("b", 2, None)];
    let fixture = Fixture::write(&rows, Compression::None);

    let data = b"\x00\x01\x01\x04a\x00\x01\x00\x09bx\0\0\0\0\x0A\0\0\0\x01\0\0\0";
    let mut filter = b"\x06\x01\x00\x00\x00".to_vec();
    filter.resize(5 + 64, 0);
    for bit in FILTER_BITS {
        filter[5 + bit / 8] |= 1 << (bit % 8);
    }
    let index = b"\x00\x01\x02\x08b\x00\x17\0\0\0\0\x05\0\0\0\x01\0\0\0";
    let mut properties = vec![0xA5; 16];
    properties.extend_from_slice(b"\x07\x00\x00\x00\x00\x00\x00\x00\x02\x01\x01\x02\x01\x01\x02\x01a\x01b");

    let mut expected = sealed(data, 0);
    assert_eq!(expected.len(), 28);
    expected.extend(sealed(&filter, 28));
    assert_eq!(expected.len(), 102);
    expected.extend(sealed(index, 102));
    assert_eq!(expected.len(), 126);
    expected.extend(sealed(&properties, 126));
    assert_eq!(expected.len(), 166);
    let mut footer = Vec::new();
    footer.extend_from_slice(b"\x66\0\0\0\0\0\0\0\x13\0\0\0");
    footer.extend_from_slice(b"\x1C\0\0\0\0\0\0\0\x45\0\0\0");
    footer.extend_from_slice(b"\x7E\0\0\0\0\0\0\0\x23\0\0\0");
    footer.extend_from_slice(b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    footer.extend_from_slice(&salted_crc(&footer, 166).to_le_bytes());
    footer.extend_from_slice(b"FSTABLE\x01");
    expected.extend(footer);

    assert_eq!(fixture.bytes(), expected);
    assert_eq!(fixture.meta.size, 230);
}

/// The bits of the keys `a` and `b` by section 5.4, from their hashes `E6C632B61E964E1F` and `575A0B1C44D8843F`,
/// worked out with another implementation of xxh3.
const FILTER_BITS: [usize; 12] = [61, 32, 407, 287, 418, 283, 137, 197, 70, 392, 5, 101];
