//! The list of all stages, in the order in which they run.

use crate::stage::Stage;
use crate::{corruption, crash, determinism, faults, isolation, kill, marks, metamorphic, planted};

/// Every stage.
pub const STAGES: &[Stage] = &[
    planted::STAGE,
    crash::STAGE,
    metamorphic::COLLECTIONS,
    faults::STAGE,
    metamorphic::STAGE,
    determinism::STAGE,
    isolation::STAGE,
    corruption::STAGE,
    kill::STAGE,
    marks::STAGE,
];

/// The stage with a name.
pub fn named(name: &str) -> Option<&'static Stage> {
    STAGES.iter().find(|stage| stage.name == name)
}
