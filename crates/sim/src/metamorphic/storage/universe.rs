//! The keys of a list of operations, and their values.
//!
//! A list names keys by numbers, so that it stays short and can be shrunk; how the numbers become bytes is chosen once
//! for the whole list. Few keys are enough: what goes wrong between keys goes wrong between neighbours.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Bytes that many may hold.
pub type Bytes = Arc<[u8]>;

/// How the keys look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStyle {
    /// Three digits.
    Short,
    /// Paths of which all but the end is the same.
    Paths,
    /// Each is the beginning of others; the first is empty.
    Nested,
    /// Bytes at both ends of their range, of any length from none on.
    Extreme,
    /// Hundreds of bytes to two thousand.
    Long,
}

/// All styles.
pub const STYLES: [KeyStyle; 5] =
    [KeyStyle::Short, KeyStyle::Paths, KeyStyle::Nested, KeyStyle::Extreme, KeyStyle::Long];

impl KeyStyle {
    /// The key with a number. No two numbers have the same.
    pub fn key(self, number: u16) -> Vec<u8> {
        match self {
            Self::Short => format!("{number:03}").into_bytes(),
            Self::Paths => {
                let common = "tenant/00000000-0000-0000-0000-000000000000/collection/";
                format!("{common}{:02}/{}", number / 8, number % 8).into_bytes()
            }
            Self::Nested => spell(number, b"ab"),
            Self::Extreme => spell(number, &[0x00, 0x01, 0xFE, 0xFF]),
            Self::Long => {
                let mut key = vec![b'l'; 300 + usize::from(number % 5) * 420];
                key.extend_from_slice(&number.to_be_bytes());
                key
            }
        }
    }
}

/// The word with a number in the list of all words over an alphabet, the shorter first.
fn spell(number: u16, alphabet: &[u8]) -> Vec<u8> {
    let (mut rest, base) = (usize::from(number), alphabet.len());
    let mut word = Vec::new();
    while rest > 0 {
        rest -= 1;
        word.push(alphabet[rest % base]);
        rest /= base;
    }
    word.reverse();
    word
}

/// A value: its length, and a tag that tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value(pub u32, pub u32);

impl Value {
    /// The bytes. Values with odd tags compress well, the others do not.
    pub fn bytes(self) -> Bytes {
        let Self(len, tag) = self;
        let mut bytes = vec![0; len as usize];
        if tag % 2 == 1 {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = (tag >> (at % 4 * 8)) as u8;
            }
        } else {
            Random::nth(u64::from(tag), u64::from(len)).fill(&mut bytes);
        }
        bytes.into()
    }
}

/// The beginning or the end of a range: a key, or what comes right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The number of the key.
    pub key: u16,
    /// Right after the key instead of before it.
    pub after: bool,
}

/// A range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Where it begins; `None` for the beginning of all.
    pub from: Option<Bound>,
    /// Where it ends; `None` for the end of all.
    pub to: Option<Bound>,
}

/// The keys of a list as bytes, and every place where a range of them can begin or end.
#[derive(Clone, Debug)]
pub struct Universe {
    keys: Vec<Bytes>,
    /// The empty key, and every key and what comes right after it; ascending. From each to before the next is a
    /// *stretch*: no range begins or ends within it.
    points: Vec<Bytes>,
}

impl Universe {
    /// The keys with the numbers from 0 to before `count`.
    pub fn new(style: KeyStyle, count: u16) -> Self {
        let keys: Vec<Bytes> = (0..count).map(|number| style.key(number).into()).collect();
        let after = keys.iter().map(|key| Bytes::from([&key[..], &[0]].concat()));
        let mut points: Vec<Bytes> =
            keys.iter().cloned().chain(after).chain([Bytes::from(&[][..])]).collect();
        points.sort_unstable();
        points.dedup();
        Self { keys, points }
    }

    /// The key with a number.
    pub fn key(&self, number: u16) -> Bytes {
        Arc::clone(&self.keys[usize::from(number) % self.keys.len()])
    }

    /// All keys, in no order.
    pub fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    /// Number of stretches.
    pub fn stretches(&self) -> usize {
        self.points.len()
    }

    /// The stretch that a key lies in.
    pub fn stretch_of(&self, key: &[u8]) -> usize {
        self.points.partition_point(|point| **point <= *key).saturating_sub(1)
    }

    /// The stretches that make up a range; none for one that ends before it begins.
    pub fn stretches_of(&self, span: Span) -> std::ops::Range<usize> {
        let (from, to) = self.bounds(span);
        let place = |bound: &[u8]| self.points.partition_point(|point| **point < *bound);
        let from = place(&from);
        from..to.map_or(self.points.len(), |to| place(&to)).max(from)
    }

    /// First key and end of a range.
    pub fn bounds(&self, span: Span) -> (Bytes, Option<Bytes>) {
        let place = |bound: Bound| {
            let key = self.key(bound.key);
            if bound.after { Bytes::from([&key[..], &[0]].concat()) } else { key }
        };
        (span.from.map_or_else(|| Bytes::from(&[][..]), place), span.to.map(place))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_has_a_key_of_its_own_in_every_style() {
        for style in STYLES {
            let keys: BTreeSet<_> = (0..500).map(|number| style.key(number)).collect();
            assert_eq!(keys.len(), 500, "{style:?}");
            assert!(keys.iter().all(|key| key.len() <= 2048), "{style:?}");
        }
        assert_eq!(KeyStyle::Extreme.key(5), [0x00, 0x00]);
    }

    #[test]
    fn a_range_is_the_stretches_between_its_bounds() {
        let universe = Universe::new(KeyStyle::Short, 3);
        let at = |key, after| Some(Bound { key, after });
        assert_eq!(universe.stretches(), 7, "the start, and two for each key");
        assert_eq!(universe.stretches_of(Span { from: None, to: None }), 0..7);
        assert_eq!(universe.stretches_of(Span { from: at(0, false), to: at(0, true) }), 1..2);
        assert_eq!(universe.stretches_of(Span { from: at(0, true), to: at(2, false) }), 2..5);
        assert!(universe.stretches_of(Span { from: at(2, false), to: at(1, false) }).is_empty());
        assert_eq!(universe.stretch_of(b"001"), 3);
    }

    #[test]
    fn values_with_the_same_tag_and_length_are_the_same() {
        assert_eq!(Value(9, 3).bytes(), Value(9, 3).bytes());
        assert_ne!(Value(9, 2).bytes(), Value(9, 4).bytes());
        assert_eq!(&*Value(5, 0x0102_0305).bytes(), &[5, 3, 2, 1, 5]);
        assert!(Value(0, 1).bytes().is_empty());
    }
}
