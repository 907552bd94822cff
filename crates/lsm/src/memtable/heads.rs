//! The heads of a node's records: parts of their keys as numbers, to be compared all at once.
//!
//! Two heads share a word of 64 bits, so that a few loads bring all of them into registers, where vector instructions
//! compare them without a branch; a loop over as many as are in use costs more by its mispredicted end than by its steps.
//! In front of the first head lies a number that never changes. What always holds: slots are set by one writer, each
//! before it is made known, and never again; who does not know of a slot ignores what the comparison says of it.

#![cfg_attr(
    all(target_arch = "x86_64", not(feature = "shuttle")),
    expect(unsafe_code, reason = "calls a function with vector instructions; see the SAFETY comment")
)]

use super::node::SLOTS;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Two numbers in each.
const WORDS: usize = (1 + SLOTS).div_ceil(2);

/// See the module.
#[repr(C)]
pub(super) struct Heads {
    words: [AtomicU64; WORDS],
}

/// Which slots are how, the lowest bit for the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) less: u32,
    pub(super) equal: u32,
}

impl Heads {
    /// Heads of all slots, with `fixed` in front of them.
    pub(super) fn new(fixed: u32, heads: [u32; SLOTS]) -> Self {
        let number = |lane: usize| match lane {
            0 => u64::from(fixed),
            lane => heads.get(lane - 1).copied().map_or(0, u64::from),
        };
        Self {
            words: std::array::from_fn(|word| AtomicU64::new(number(2 * word) | number(2 * word + 1) << 32)),
        }
    }

    /// The number in front of the heads.
    #[inline]
    pub(super) fn fixed(&self) -> u32 {
        self.word(0) as u32
    }

    /// The head in a slot.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> u32 {
        let lane = slot + 1;
        half(self.word(lane / 2), lane)
    }

    /// Sets the head of a slot that is not yet known. For the one writer, as it stores a word again that others read.
    pub(super) fn set(&self, slot: usize, head: u32) {
        let lane = slot + 1;
        let shift = 32 * (lane % 2);
        let others = self.word(lane / 2) & !(u64::from(u32::MAX) << shift);
        self.words[lane / 2].store(others | u64::from(head) << shift, Ordering::Relaxed);
    }

    /// How the heads of the first `used` slots compare with `head`.
    #[inline]
    pub(super) fn compare(&self, head: u32, used: usize) -> Compared {
        let Compared { less, equal } = self.compare_all(head);
        let used = (1u32 << used) - 1;
        Compared { less: less & used, equal: equal & used }
    }

    #[cfg(all(target_arch = "x86_64", not(feature = "shuttle")))]
    #[inline]
    fn compare_all(&self, head: u32) -> Compared {
        // SAFETY: every processor with this instruction set has SSE2.
        unsafe { vectors::compare(std::array::from_fn(|word| self.word(word)), head) }
    }

    #[cfg(not(all(target_arch = "x86_64", not(feature = "shuttle"))))]
    #[inline]
    fn compare_all(&self, head: u32) -> Compared {
        let words: [u64; WORDS] = std::array::from_fn(|word| self.word(word));
        let mut compared = Compared { less: 0, equal: 0 };
        for slot in 0..SLOTS {
            let lane = slot + 1;
            let own = half(words[lane / 2], lane);
            compared.less |= u32::from(own < head) << slot;
            compared.equal |= u32::from(own == head) << slot;
        }
        compared
    }

    #[inline]
    fn word(&self, word: usize) -> u64 {
        self.words[word].load(Ordering::Relaxed)
    }
}

/// The one of two numbers in a word that is number `lane` of all.
#[inline]
fn half(word: u64, lane: usize) -> u32 {
    (word >> (32 * (lane % 2))) as u32
}

#[cfg(all(target_arch = "x86_64", not(feature = "shuttle")))]
mod vectors {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_cmplt_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set_epi64x, _mm_set1_epi32, _mm_xor_si128,
    };

    use super::Compared;

    /// How numbers, two in each word, compare with `head`: all but the first.
    #[target_feature(enable = "sse2")]
    #[inline]
    pub(super) fn compare(words: [u64; 7], head: u32) -> Compared {
        // The instructions compare with signs; with the highest bit turned over, that is the order without.
        let sign = _mm_set1_epi32(i32::MIN);
        let head = _mm_xor_si128(_mm_set1_epi32(head.cast_signed()), sign);
        let four =
            |low: u64, high: u64| _mm_xor_si128(_mm_set_epi64x(high.cast_signed(), low.cast_signed()), sign);
        let [a, b, c, d] =
            [four(words[0], words[1]), four(words[2], words[3]), four(words[4], words[5]), four(words[6], 0)];
        let less = |heads| _mm_cmplt_epi32(heads, head);
        let equal = |heads| _mm_cmpeq_epi32(heads, head);
        Compared {
            less: bits([less(a), less(b), less(c), less(d)]),
            equal: bits([equal(a), equal(b), equal(c), equal(d)]),
        }
    }

    /// One bit for each number but the first.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn bits([a, b, c, d]: [__m128i; 4]) -> u32 {
        let all = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
        _mm_movemask_epi8(all).cast_unsigned() >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_compared_as_numbers_without_sign_and_only_those_in_use() {
        let numbers = [0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
        for turn in 0..numbers.len() {
            let heads: [u32; SLOTS] = std::array::from_fn(|slot| numbers[(slot * 3 + turn) % numbers.len()]);
            let (made, filled) = (Heads::new(77, heads), Heads::new(77, [0; SLOTS]));
            for (slot, &head) in heads.iter().enumerate() {
                filled.set(slot, head);
            }
            assert_eq!((made.fixed(), filled.fixed()), (77, 77));
            for head in numbers {
                for used in 0..=SLOTS {
                    let of = |is: &dyn Fn(u32) -> bool| {
                        (0..used).filter(|&slot| is(heads[slot])).map(|slot| 1 << slot).sum::<u32>()
                    };
                    let expected = Compared { less: of(&|own| own < head), equal: of(&|own| own == head) };
                    assert_eq!(made.compare(head, used), expected, "{head:#x} among {used} of {heads:x?}");
                    assert_eq!(filled.compare(head, used), expected);
                }
            }
            assert!((0..SLOTS).all(|slot| filled.get(slot) == heads[slot]));
        }
    }
}
