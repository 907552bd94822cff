//! Golden document stores: collections with their histories, indexes of every kind, what expires and what was dropped.
//!
//! `expected` is what such a store must say, `maker` makes one and writes that down, `recipes` are the stores, `compare` holds
//! one that is open against what is expected. They lie in `crates/engine/tests/golden`, whose test opens them; the
//! corruption stage damages the same files.

mod compare;
mod expected;
mod maker;
mod recipes;

pub use compare::{Noticed, compare};
pub use expected::{Collection, Expected, Versions, all, write_all};
pub use maker::options;
