//! Small stores of every kind, made the same way each time, and what they must say.
//!
//! `truth` is what was committed, `maker` commits it and writes it down, `recipes` are the stores, `files` puts them on a
//! disk for the tests of the engine. The corruption stage damages the same stores in memory. `documents` are stores of the
//! floor above.

pub mod documents;
mod files;
mod maker;
mod recipes;
mod truth;

pub use files::write_all;
pub(crate) use maker::Maker;
pub use maker::{Base, Image, STORE, batch, disk_with, options};
pub use recipes::{RECIPES, Recipe, named};
pub use truth::{Change, History, Truth};
