//! What of a key counts as its prefix, for filters that know prefixes.
//!
//! What always holds: keys with the same prefix follow one another in order; and when a range has a prefix, every key in
//! it has that same prefix. So a table whose filter does not know the prefix of a range holds no key of it.

use std::num::NonZeroU16;

use crate::range::{KeyRange, prefix_end};

/// How the prefix of a key is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPrefix {
    /// So many bytes at the start. Shorter keys have no prefix.
    Fixed(NonZeroU16),
    /// Everything up to the first byte with this value, which is included. Keys without it have no prefix.
    UpTo(u8),
}

impl KeyPrefix {
    /// The prefix of `key`, if it has one.
    pub(crate) fn of(self, key: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Fixed(len) => key.get(..usize::from(len.get())),
            Self::UpTo(delimiter) => key.iter().position(|&byte| byte == delimiter).map(|last| &key[..=last]),
        }
    }

    /// The prefix that every key in `range` has, if they all have the same.
    pub(crate) fn of_range(self, range: &KeyRange) -> Option<&[u8]> {
        let prefix = self.of(&range.start)?;
        let stays_within = match (&range.end, prefix_end(prefix)) {
            (Some(end), Some(behind)) => *end <= behind,
            (None, Some(_)) => false,
            (_, None) => true,
        };
        stays_within.then_some(prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixed(len: u16) -> KeyPrefix {
        KeyPrefix::Fixed(NonZeroU16::new(len).unwrap())
    }

    #[test]
    fn a_prefix_is_the_first_bytes_or_all_up_to_the_delimiter() {
        assert_eq!(fixed(3).of(b"abcd"), Some(&b"abc"[..]));
        assert_eq!((fixed(3).of(b"abc"), fixed(3).of(b"ab")), (Some(&b"abc"[..]), None));
        assert_eq!(KeyPrefix::UpTo(b'/').of(b"a/b/c"), Some(&b"a/"[..]));
        assert_eq!(KeyPrefix::UpTo(b'/').of(b"abc"), None);
        let whole = KeyRange::prefix(b"abc");
        assert_eq!((fixed(3).of_range(&whole), fixed(4).of_range(&whole)), (Some(&b"abc"[..]), None));
        assert_eq!(fixed(3).of_range(&KeyRange { start: b"abc".to_vec(), end: None }), None);
    }

    proptest! {
        #[test]
        fn every_key_in_a_range_has_the_prefix_of_the_range(
            start in prop::collection::vec(prop_oneof![0..3u8, Just(0xFF)], 0..5),
            end in prop::option::of(prop::collection::vec(prop_oneof![0..3u8, Just(0xFF)], 0..5)),
            key in prop::collection::vec(prop_oneof![0..3u8, Just(0xFF)], 0..6),
            len in 1..4u16,
        ) {
            let range = KeyRange { start, end };
            for rule in [fixed(len), KeyPrefix::UpTo(1), KeyPrefix::UpTo(0xFF)] {
                if let Some(prefix) = rule.of_range(&range)
                    && range.contains(&key)
                {
                    prop_assert_eq!(rule.of(&key), Some(prefix));
                }
            }
        }
    }
}
