//! Reads `CURRENT` and the manifest it names. Writes nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::edit::EditFault;
use super::log::current_text;
use super::{Edit, StoreState};
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::{StoreFile, StorePaths, parse_root_name};
use crate::format::{FrameTag, LogEnd, LogKind, LogScan, PREAMBLE_BYTES, Preamble};
use crate::fs::{Fs, read_head, read_whole};
use crate::limits::{MAX_CURRENT_BYTES, MAX_EDIT_BYTES};
use crate::marks::{Mark, hit};
use crate::types::{FileNumber, StoreId};

/// What was read.
pub(crate) struct Loaded {
    pub(crate) store: StoreId,
    pub(crate) number: FileNumber,
    pub(crate) state: StoreState,
    /// The manifest ended in this many bytes of an edit that was cut short.
    pub(crate) discarded: Option<(PathBuf, u64)>,
}

/// Reads the manifest of the store at `paths`, whose `CURRENT` exists.
pub(crate) fn load(fs: &dyn Fs, paths: &StorePaths) -> Result<Loaded> {
    let number = read_current(fs, &paths.current())?;
    let path = paths.manifest(number);
    let bytes = read_whole(fs, &path)?;
    let preamble = Preamble::decode(&path, &bytes, LogKind::Manifest, number, None)?;
    let mut scan = LogScan::new(&bytes, preamble.salt(), MAX_EDIT_BYTES);
    let mut state = StoreState::default();
    let mut edits = 0;
    while let Some(frame) = scan.next() {
        let damaged = |what: &str| Error::corrupt(&path, frame.offset, what).coded(FaultCode::Edit);
        edits += 1;
        if frame.tag != FrameTag::Edit || frame.number != edits {
            return Err(damaged(&format!("edit {edits} was expected")));
        }
        let applied = Edit::decode(frame.body, frame.count).and_then(|edit| state.apply(edit));
        applied.map_err(|fault| match fault {
            EditFault::UnknownField(tag) => {
                Error::Newer { path: path.clone(), what: format!("manifest field {tag}") }
            }
            EditFault::Malformed(what) => damaged(&format!("{what} cannot be right")),
        })?;
    }
    let at = scan.offset();
    if edits == 0 {
        // The first edit was synced before `CURRENT` named this manifest.
        return Err(Error::corrupt(&path, at, "the first edit does not verify").coded(FaultCode::Frame));
    }
    let discarded = match scan.end() {
        LogEnd::Clean => None,
        LogEnd::Torn { bytes } => Some((path, bytes)),
        LogEnd::Damaged { witness } => {
            hit(Mark::DamagedManifest);
            let what = format!("no valid edit, although the one at {witness} says this was on disk");
            return Err(Error::corrupt(&path, at, what).coded(FaultCode::Frame));
        }
    };
    Ok(Loaded { store: preamble.store, number, state, discarded })
}

/// Refuses a store whose manifest says that it needs a later version, or cannot be read. Everything else that may be
/// wrong with it is for [`load`] to say, under the lock; so is a file that is not there, which somebody who has the
/// store open may just have replaced.
pub(crate) fn refuse_newer(fs: &dyn Fs, paths: &StorePaths) -> Result<()> {
    let begin = || {
        let number = read_current(fs, &paths.current())?;
        let path = paths.manifest(number);
        Preamble::decode(&path, &read_head(fs, &path, PREAMBLE_BYTES)?, LogKind::Manifest, number, None)
    };
    match begin() {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        Err(error @ (Error::Newer { .. } | Error::Io { .. })) => Err(error),
        _ => Ok(()),
    }
}

/// The number of the manifest that `CURRENT` names.
pub(crate) fn read_current(fs: &dyn Fs, path: &Path) -> Result<FileNumber> {
    let bytes = read_head(fs, path, MAX_CURRENT_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    let name = text.split(' ').next().unwrap_or_default();
    match parse_root_name(name) {
        Some(StoreFile::Manifest(number)) if text == current_text(number) => Ok(number),
        _ => {
            let what = "this is not the name of a manifest with its checksum";
            Err(Error::corrupt(path, 0, what).coded(FaultCode::Current))
        }
    }
}
