//! Keys: 16 bytes, ordered as their ids, with a gap after each one for keys that do not exist.

/// A key of the benchmark.
pub type Key = [u8; 16];

/// Bytes of a key.
pub const KEY_BYTES: u64 = 16;

/// The key of record `id`.
pub fn present(id: u64) -> Key {
    hex(id * 2)
}

/// A key that no record has, between the records `id` and `id + 1`.
pub fn absent(id: u64) -> Key {
    hex(id * 2 + 1)
}

fn hex(number: u64) -> Key {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut key = [0; 16];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = DIGITS[(number >> (60 - 4 * at)) as usize & 15];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_their_ids_and_absent_keys_lie_between() {
        assert_eq!(&present(0xAB), b"0000000000000156");
        for id in [0, 1, 15, 16, 255, 1 << 40] {
            assert!(present(id) < absent(id) && absent(id) < present(id + 1));
        }
    }
}
