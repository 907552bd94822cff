//! Mutations of valid inputs, from a seeded generator: the same seed makes the same inputs in every run.

/// A source of numbers (SplitMix64, Steele et al., 2014).
pub struct Mutator(u64);

/// Bytes at which decoders go wrong.
const SHARP: [u8; 8] = [0x00, 0x01, 0x7F, 0x80, 0xFF, 0xFE, 0x10, 0x40];

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One of `seeds` with one to four changes. It may come out equal to the seed.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let other = self.below(seeds.len());
            self.change(&mut bytes, &seeds[other]);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let most = 1 << self.below(8);
        let len = self.below(most).min(bytes.len() - at);
        match self.below(11) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = SHARP[self.below(SHARP.len())],
            2 if at < bytes.len() => bytes[at] = self.next() as u8,
            // A number of two to eight bytes, small or at the end of its range.
            3 => self.overwrite_number(bytes, at),
            4 => bytes.truncate(at),
            5 => {
                let fill = if self.below(2) == 0 { 0 } else { self.next() as u8 };
                bytes.extend(std::iter::repeat_n(fill, len));
            }
            6 => drop(bytes.drain(at..at + len)),
            7 => {
                let piece = bytes[at..at + len].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            // The greatest number that a varint can hold in the place of a small one.
            8 if at < bytes.len() => {
                bytes.splice(at..=at, [[0xFF; 9].as_slice(), &[0x01]].concat());
            }
            9 => {
                // A piece of another input in the place where it was there.
                let end = (at + len).min(other.len());
                if at < end {
                    bytes[at..at + len]
                        .copy_from_slice(&[&other[at..end], &vec![0; at + len - end]].concat());
                }
            }
            _ => bytes[at..at + len].iter_mut().for_each(|byte| *byte = self.next() as u8),
        }
    }

    fn overwrite_number(&mut self, bytes: &mut [u8], at: usize) {
        let width = 2 << self.below(3);
        let number = match self.below(4) {
            0 => u64::MAX,
            1 => u64::MAX >> 1,
            2 => self.below(300) as u64,
            _ => bytes.len() as u64 - at as u64,
        };
        for (byte, new) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..width]) {
            *byte = *new;
        }
    }
}
