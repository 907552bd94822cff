//! How large the blocks of tables are, so that a small store has many of them and indexes of two levels.

use std::num::NonZeroU16;

use fountain_lsm::TableLayout;
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// See [`TableLayout`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blocks {
    /// As in every store.
    #[default]
    Usual,
    /// Blocks of a few versions, named by leaves of three.
    Small,
    /// Blocks of one version, named by leaves of one.
    Single,
}

impl Blocks {
    /// One by chance.
    pub const fn random(random: &mut Random) -> Self {
        *random.pick(&[Self::Usual, Self::Small, Self::Single])
    }

    /// As an option of the store.
    pub fn layout(self) -> TableLayout {
        let split = |block_bytes, leaf_blocks| TableLayout { block_bytes, index_bytes: 0, leaf_blocks };
        match self {
            Self::Usual => TableLayout::default(),
            Self::Small => split(200, NonZeroU16::MIN.saturating_add(2)),
            Self::Single => split(0, NonZeroU16::MIN),
        }
    }
}
