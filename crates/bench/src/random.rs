//! Numbers that look random and are the same in every run: a generator, a shuffled order, a skewed choice.

/// A small fast generator (splitmix64). The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5EED_0F0F_0F0F_5EED))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, which must not be 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A fraction in `0..1`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Spreads the bits of a number over all 64.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The numbers below `len` in a shuffled order that needs no memory: a Feistel network over the next even power of
/// two, walked until it lands below `len`. Every number comes exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    len: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    /// A shuffled order of the numbers below `len`.
    pub fn new(len: u64, seed: u64) -> Self {
        let bits = (64 - len.saturating_sub(1).leading_zeros()).max(2);
        Self { len, half_bits: bits.div_ceil(2), seed: mix(seed) }
    }

    /// The number at `place`, which must be below the length.
    pub fn at(&self, place: u64) -> u64 {
        let mut x = place;
        loop {
            x = self.round_trip(x);
            if x < self.len {
                return x;
            }
        }
    }

    fn round_trip(&self, x: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for round in 0..4 {
            let next = left ^ (mix(right ^ self.seed.wrapping_add(round)) & mask);
            (left, right) = (right, next);
        }
        left << self.half_bits | right
    }
}

/// Skewed choice among the numbers below `len`, 0 the most frequent: the generator of YCSB (Gray and others, 1994).
#[derive(Clone, Debug)]
pub struct Zipf {
    len: f64,
    theta: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// The skew that YCSB uses.
    pub const YCSB: f64 = 0.99;

    /// A choice among `len` numbers with skew `theta`, between 0 (even) and 1.
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    pub fn new(len: u64, theta: f64) -> Self {
        let zeta: f64 = (1..=len).map(|i| (i as f64).powf(-theta)).sum();
        let zeta_of_2 = 1.0 + 0.5f64.powf(theta);
        let len = len as f64;
        let eta = (1.0 - (2.0 / len).powf(1.0 - theta)) / (1.0 - zeta_of_2 / zeta);
        Self { len, theta, alpha: 1.0 / (1.0 - theta), zeta, eta }
    }

    /// The next choice.
    #[expect(clippy::cast_sign_loss, reason = "never negative")]
    pub fn next(&self, rng: &mut Rng) -> u64 {
        let u = rng.fraction();
        let scaled = u * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.theta) {
            return 1;
        }
        let rank = self.len * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.len as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_gives_every_number_once() {
        for len in [1, 2, 3, 7, 64, 1000, 4097] {
            let shuffle = Shuffle::new(len, 9);
            let mut seen: Vec<u64> = (0..len).map(|place| shuffle.at(place)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..len), "of {len}");
        }
    }

    #[test]
    fn different_seeds_shuffle_differently() {
        let order = |seed| (0..100).map(|place| Shuffle::new(100, seed).at(place)).collect::<Vec<_>>();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn zipf_prefers_small_numbers_as_much_as_its_law_says() {
        let (zipf, mut rng) = (Zipf::new(1000, Zipf::YCSB), Rng::new(1));
        let mut counts = vec![0u32; 1000];
        for _ in 0..100_000 {
            counts[usize::try_from(zipf.next(&mut rng)).unwrap()] += 1;
        }
        // With 1000 numbers and skew 0.99 the first has 1/7.73 of all choices, the second half as many.
        assert!((12_400..13_500).contains(&counts[0]), "{}", counts[0]);
        assert!((6_000..7_000).contains(&counts[1]), "{}", counts[1]);
        assert!(counts[500..].iter().sum::<u32>() > 5_000);
    }
}
