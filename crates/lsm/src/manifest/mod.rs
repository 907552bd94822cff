//! Which files make up the store. See `docs/format.md`, section 4.
//!
//! `edit` is one change to the list of files; `version` is the list itself, immutable and shared with readers;
//! `log` writes edits to the manifest, makes a new manifest when needed and points `CURRENT` at it; `load` reads it
//! all back, `survey` as much of it as damage has left. A table joins or leaves the store only through an edit that is on disk.

mod edit;
mod load;
mod log;
mod survey;
mod version;

pub(crate) use edit::{Edit, StoreState};
#[cfg(feature = "fuzzing")]
pub(crate) use load::read_current;
pub(crate) use load::{Loaded, load, refuse_newer};
pub(crate) use log::ManifestLog;
pub(crate) use survey::{CurrentSurvey, ManifestSurvey, survey_manifest, survey_manifests};
pub(crate) use version::{Probe, Version, arrangement_faults, first_reaching};
