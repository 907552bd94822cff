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
    let rows = [row("a", 3, Some(b"x")), row("a", 1, Some(b"old")), row("b", 2, None)];
    let fixture = Fixture::write(&rows, Compression::None);

    let current = b"\x00\x01\x01\x0Ca\x00\x01\x00\x09bx\0\0\0\0\x0A\0\0\0\x01\0\0\0";
    let history = b"\x00\x01\x03\x04aold\0\0\0\0\x05\0\0\0\x01\0\0\0";
    let mut filter = b"\x06\x01\x00\x00\x00".to_vec();
    filter.resize(5 + 64, 0);
    for bit in FILTER_BITS {
        filter[5 + bit / 8] |= 1 << (bit % 8);
    }
    let current_index = b"\x00\x01\x04\x00b\x00\x17\x02\x03\0\0\0\0\x05\0\0\0\x01\0\0\0";
    let history_index = b"\x00\x01\x04\x00a\x1C\x14\x01\x01\0\0\0\0\x05\0\0\0\x01\0\0\0";
    let mut properties = vec![0xA5; 16];
    properties.extend_from_slice(b"\x07\0\0\0\0\0\0\0\x03\x01\x01\x02\x01\x03\x04\x00\x01\x03\x01a\x01b\x00");

    let mut expected = sealed(current, 0);
    assert_eq!(expected.len(), 0x1C);
    expected.extend(sealed(history, 0x1C));
    assert_eq!(expected.len(), 0x35);
    expected.extend(sealed(&filter, 0x35));
    assert_eq!(expected.len(), 0x7F);
    expected.extend(sealed(current_index, 0x7F));
    assert_eq!(expected.len(), 0x99);
    expected.extend(sealed(history_index, 0x99));
    assert_eq!(expected.len(), 0xB3);
    expected.extend(sealed(&properties, 0xB3));
    assert_eq!(expected.len(), 0xDF);
    let mut footer = Vec::new();
    footer.extend_from_slice(b"\x7F\0\0\0\0\0\0\0\x15\0\0\0");
    footer.extend_from_slice(b"\x99\0\0\0\0\0\0\0\x15\0\0\0");
    footer.extend_from_slice(b"\x35\0\0\0\0\0\0\0\x45\0\0\0");
    footer.extend_from_slice(&[0; 12]);
    footer.extend_from_slice(b"\xB3\0\0\0\0\0\0\0\x27\0\0\0");
    footer.extend_from_slice(b"\x01\0\0\0\0\0\0\0\0\0\0\0");
    footer.extend_from_slice(b"\x01\x01\0\0\0\0\0\0\0\0\0\0");
    footer.extend_from_slice(&salted_crc(&footer, 0xDF).to_le_bytes());
    footer.extend_from_slice(b"FSTABLE\x01");
    expected.extend(footer);

    assert_eq!(fixture.bytes(), expected);
    assert_eq!(fixture.meta.size, 0xDF + 96);
}

/// The bits of the keys `a` and `b` by section 5.4, from their hashes `E6C632B61E964E1F` and `575A0B1C44D8843F`,
/// worked out with another implementation of xxh3.
const FILTER_BITS: [usize; 12] = [61, 32, 407, 287, 418, 283, 137, 197, 70, 392, 5, 101];
