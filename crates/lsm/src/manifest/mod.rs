//! Which files make up the store. See `docs/format.md`, section 4.
//!
//! `edit` is one change to the list of files; `version` is the list itself, immutable and shared with readers;
//! `log` writes edits to the manifest, makes a new manifest when needed and points `CURRENT` at it; `load` reads it
//! all back. A table joins or leaves the store only through an edit that is on disk.

mod edit;
mod load;
mod log;
mod version;

pub(crate) use edit::{Edit, StoreState};
pub(crate) use load::{Loaded, load};
pub(crate) use log::ManifestLog;
pub(crate) use version::{Probe, Version, first_reaching};
