//! For stores that may be damaged and that nobody has open: tell everything that is wrong, save everything that is left.
//!
//! `verify` reads a store and writes nothing. `survey` is the look at the directory with which it begins.

mod survey;
mod verify;

pub use verify::{Note, NoteCode, VerifyOptions, VerifyReport, verify};
