//! For stores that may be damaged and that nobody has open: tell everything that is wrong, save everything that is left.
//!
//! `survey` is the look at the directory with which both begin, `identity` tells whose files lie there. `verify` reads a store and writes nothing; `notes` are
//! about files that it has no use for. `salvage` makes a new store: of the `sources` that can be read, by a `merge`, with
//! each `loss` reported.

mod identity;
mod loss;
mod merge;
mod notes;
mod salvage;
mod sources;
mod survey;
mod verify;

pub use loss::{Loss, LossCode, SalvageReport};
pub use notes::{Note, NoteCode};
pub use salvage::{salvage, salvage_with};
pub use verify::{VerifyOptions, VerifyReport, verify, verify_with};
