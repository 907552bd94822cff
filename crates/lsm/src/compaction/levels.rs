//! How much each level should hold.
//!
//! Sizes are derived from the deepest level upwards, as RocksDB's dynamic level sizes are: the deepest level holds
//! what it holds, each level above a tenth of the one below, until the next would be smaller than what level 0
//! delivers at once. That level is the *base*: level 0 is merged into it, and the levels between stay empty. So the
//! bulk of the data is always in the deepest level, and a store of any size wastes at most about a tenth.

use crate::limits::{LEVEL_GROWTH, LEVELS};

/// Bytes per level.
pub(crate) type LevelBytes = [u64; LEVELS];

/// The deepest level.
pub(crate) const BOTTOM: usize = LEVELS - 1;

/// The shape that a store of some size should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelPlan {
    /// The level into which level 0 is merged.
    pub(crate) base: usize,
    /// Bytes each level may hold; 0 above the base, no limit at the bottom.
    pub(crate) targets: LevelBytes,
}

impl LevelPlan {
    /// The plan for levels that hold `bytes`; `base_bytes` is what level 0 delivers at once.
    pub(crate) fn new(bytes: &LevelBytes, base_bytes: u64) -> Self {
        let base_bytes = base_bytes.max(1);
        let mut targets = [0; LEVELS];
        targets[BOTTOM] = u64::MAX;
        let mut level = BOTTOM;
        let mut size = bytes[1..].iter().copied().max().unwrap_or(0);
        while level > 1 && size > base_bytes {
            level -= 1;
            size /= LEVEL_GROWTH;
            // The base may be small for now; it must not be compacted away before it is worth it.
            targets[level] = size.max(base_bytes);
        }
        Self { base: level, targets }
    }

    /// How full a level is: 1 at its target. Levels above the base should be empty.
    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    pub(crate) fn fullness(&self, level: usize, bytes: &LevelBytes) -> f64 {
        match self.targets[level] {
            _ if level == BOTTOM || bytes[level] == 0 => 0.0,
            0 => f64::MAX,
            target => bytes[level] as f64 / target as f64,
        }
    }

    /// Bytes that have to be rewritten until every level is within its target: what is too much in a level, and for
    /// each byte of that what it meets in the next.
    pub(crate) fn debt_bytes(&self, bytes: &LevelBytes, level0_is_due: bool) -> u64 {
        let mut debt = 0u64;
        let mut arriving = if level0_is_due { bytes[0] } else { 0 };
        if arriving > 0 {
            debt += arriving + bytes[self.base];
        }
        for level in 1..BOTTOM {
            let held = bytes[level] + if level == self.base { arriving } else { 0 };
            let excess = held.saturating_sub(self.targets[level]);
            let below = if level < self.base { self.base } else { level + 1 };
            let met = u128::from(excess) * u128::from(bytes[below]);
            let most = excess.saturating_mul(LEVEL_GROWTH);
            let overlap =
                met.checked_div(u128::from(held)).map_or(0, |met| u64::try_from(met).unwrap_or(most));
            debt += excess + overlap.min(most);
            arriving = if level == self.base { 0 } else { arriving };
        }
        debt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn plan(bytes: LevelBytes) -> LevelPlan {
        LevelPlan::new(&bytes, 128 * MIB)
    }

    #[test]
    fn a_small_store_has_one_level_below_level_0() {
        assert_eq!(plan([0; LEVELS]).base, BOTTOM);
        assert_eq!(plan([50 * MIB, 0, 0, 0, 0, 0, 100 * MIB]).base, BOTTOM);
    }

    #[test]
    fn a_growing_store_gets_levels_from_the_bottom_up() {
        let two = plan([0, 0, 0, 0, 0, 0, 1000 * MIB]);
        assert_eq!(
            (two.base, two.targets[5]),
            (5, 128 * MIB),
            "the base holds what level 0 delivers at once"
        );
        let three = plan([0, 0, 0, 0, 0, 0, 20_000 * MIB]);
        assert_eq!((three.base, &three.targets[3..6]), (3, &[128 * MIB, 200 * MIB, 2000 * MIB][..]));
        assert_eq!(three.targets[2], 0);
    }

    #[test]
    fn levels_above_the_base_are_emptied_first() {
        let bytes = [0, 0, 0, 0, 10 * MIB, 0, 500 * MIB];
        let plan = plan(bytes);
        assert_eq!(plan.base, 5);
        assert!(plan.fullness(4, &bytes) > plan.fullness(5, &bytes));
        assert_eq!(plan.fullness(BOTTOM, &bytes).to_bits(), 0f64.to_bits());
    }

    #[test]
    fn debt_counts_what_must_be_moved_and_what_it_meets() {
        let bytes = [40 * MIB, 0, 0, 0, 0, 300 * MIB, 1500 * MIB];
        let plan = plan(bytes);
        assert_eq!((plan.base, plan.targets[5]), (4, 150 * MIB));
        let without = plan.debt_bytes(&bytes, false);
        assert_eq!(without, 150 * MIB + 750 * MIB);
        assert_eq!(plan.debt_bytes(&bytes, true), without + 40 * MIB);
    }

    #[test]
    fn debt_is_right_for_levels_whose_product_is_more_than_64_bits() {
        const TIB: u64 = 1 << 40;
        let bytes = [0, 0, 0, 0, 0, 3 * TIB, 10 * TIB];
        let plan = plan(bytes);
        let excess = 2 * TIB;
        assert_eq!(plan.targets[5], TIB);
        assert_eq!(plan.debt_bytes(&bytes, false), excess + excess / 3 * 10 + 6);
    }
}
