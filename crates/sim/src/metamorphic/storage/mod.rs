//! Lists of operations on the storage engine.
//!
//! `list` is what is generated, saved and shrunk; `universe` its keys and values; `generate` makes one by chance.
//! `model` is the store as it should be, `plan` asks it and writes the answers down as a `script`. `config` is how a
//! store can be set up, `place` where it lies, `pause` stops its work in the middle; `player` plays a script on it, and
//! `reads` checks what it answers. `shrink` makes failing lists short;
//! `digest` sums up what a run asked of its disk.

pub mod config;
pub mod digest;
pub mod generate;
pub mod list;
pub mod model;
pub mod pause;
pub mod place;
pub mod plan;
pub mod player;
mod reads;
pub mod script;
pub mod shrink;
pub mod tally;
pub mod universe;
