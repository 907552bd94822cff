//! Unsigned LEB128 and length-prefixed bytes, strict: what was not written by this code is damage.

/// Longest encoding of a 64-bit integer.
pub(crate) const MAX_VARINT_BYTES: usize = 10;

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Puts `value` into the front of `out`, which has room for it; returns how many bytes that takes.
#[inline]
pub(crate) fn put_in_front(out: &mut [u8], mut value: u64) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}

/// Appends `bytes` behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes an integer from the front of `input`; `None` if it is cut off, too long or padded.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(u64::from(first));
    }
    take_long(input)
}

/// [`take`] three times. In tables most integers have one byte, so that is looked at first, for all of them at once.
#[inline]
pub(crate) fn take_three(input: &mut &[u8]) -> Option<[u64; 3]> {
    if let Some((&bytes, rest)) = input.split_first_chunk::<3>()
        && (bytes[0] | bytes[1] | bytes[2]) < 0x80
    {
        *input = rest;
        return Some(bytes.map(u64::from));
    }
    Some([take(input)?, take(input)?, take(input)?])
}

/// [`take`] for an integer of several bytes: without a loop if it ends within the next eight.
#[inline]
fn take_long(input: &mut &[u8]) -> Option<u64> {
    const MORE: u64 = 0x8080_8080_8080_8080;
    let Some((&bytes, _)) = input.split_first_chunk::<8>() else { return take_bytewise(input) };
    let word = u64::from_le_bytes(bytes);
    let ends = !word & MORE;
    if ends == 0 {
        return take_bytewise(input);
    }
    let len = ends.trailing_zeros() / 8 + 1;
    *input = &input[len as usize..];
    // The last byte and those before it, then without the bit that says whether more follow.
    let word = word << (64 - 8 * len) >> (64 - 8 * len);
    let padded = word >> (8 * (len - 1)) == 0;
    let word = word & !MORE;
    let word = word & 0x007F_007F_007F_007F | (word & 0x7F00_7F00_7F00_7F00) >> 1;
    let word = word & 0x0000_3FFF_0000_3FFF | (word & 0x3FFF_0000_3FFF_0000) >> 2;
    let word = word & 0x0FFF_FFFF | (word & 0x0FFF_FFFF_0000_0000) >> 4;
    if padded { None } else { Some(word) }
}

#[cold]
fn take_bytewise(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(MAX_VARINT_BYTES).enumerate() {
        let bits = u64::from(byte & 0x7F);
        let shift = 7 * index as u32;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            let padded = byte == 0 && index > 0;
            *input = &input[index + 1..];
            return if padded { None } else { Some(value) };
        }
    }
    None
}

/// Takes length-prefixed bytes from the front of `input`.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take(input)?).ok()?;
    take_slice(input, len)
}

/// Takes `len` bytes from the front of `input`.
#[inline]
pub(crate) fn take_slice<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_round_trip_at_every_length() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), (1 << 53) - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut input = bytes.as_slice();
            assert_eq!(take(&mut input), Some(value));
            assert!(input.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..cut]), None, "{value} cut to {cut}");
            }
        }
    }

    #[test]
    fn padded_and_overlong_integers_are_refused() {
        assert_eq!(take(&mut &[0x80, 0x00][..]), None);
        assert_eq!(take(&mut &[0xFF; 11][..]), None);
        assert_eq!(take(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02][..]), None);
    }

    proptest! {
        #[test]
        fn the_ways_to_take_an_integer_agree(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0x80), Just(0xFF), any::<u8>()], 0..14),
        ) {
            let (mut one, mut slow) = (bytes.as_slice(), bytes.as_slice());
            let taken = take(&mut one);
            prop_assert_eq!(taken, take_bytewise(&mut slow));
            prop_assert!(taken.is_none() || one == slow);
            let (mut three, mut single) = (bytes.as_slice(), bytes.as_slice());
            let taken = take_three(&mut three);
            let expected = (|| Some([take(&mut single)?, take(&mut single)?, take(&mut single)?]))();
            prop_assert_eq!(taken, expected);
            prop_assert!(taken.is_none() || three == single);
        }
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, b"abc");
        assert_eq!(take_bytes(&mut bytes.as_slice()), Some(&b"abc"[..]));
        assert_eq!(take_bytes(&mut &bytes[..3]), None);
        assert_eq!(take_bytes(&mut &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F][..]), None);
    }
}
