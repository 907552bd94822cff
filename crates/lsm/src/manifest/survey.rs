//! Reads a manifest that may be damaged as far as it can be read, and goes on behind what is bad.
//!
//! What the edits say that can be read is not what the store was when some cannot: a table may have come or gone with
//! an edit that is lost. So the result also tells which tables an edit removed for certain, and which numbers were given
//! out later than the first edit, which describes a whole store.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::edit::EditFault;
use super::load::read_current;
use super::{Edit, StoreState};
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::files::StorePaths;
use crate::format::{Frame, FrameTag, LogEnd, LogKind, LogScan, Preamble};
use crate::fs::{Fs, read_whole};
use crate::limits::MAX_EDIT_BYTES;
use crate::listing::Listing;
use crate::types::{FileNumber, StoreId};

/// Where a preamble names the store.
const STORE_AT: u64 = 16;

/// What was found in a manifest.
#[derive(Clone, Debug)]
pub(crate) struct ManifestSurvey {
    pub(crate) path: PathBuf,
    pub(crate) number: FileNumber,
    pub(crate) bytes: u64,
    /// Edits that could be read.
    pub(crate) edits: u64,
    pub(crate) store: Option<StoreId>,
    /// What the edits that could be read add up to.
    pub(crate) state: StoreState,
    /// The next file number according to the first edit, if that could be read.
    pub(crate) first_new: Option<FileNumber>,
    /// Tables that an edit removed and none added again.
    pub(crate) removed: BTreeSet<FileNumber>,
    pub(crate) faults: Vec<Fault>,
    /// An append that was cut short: where, and how many bytes.
    pub(crate) torn: Option<(u64, u64)>,
}

/// `CURRENT` and the manifest to go by.
#[derive(Debug)]
pub(crate) struct CurrentSurvey {
    /// What is wrong with `CURRENT`.
    pub(crate) fault: Option<Fault>,
    /// The manifest that it names; otherwise the newest one that can be read without a fault, or the newest.
    pub(crate) manifest: Option<ManifestSurvey>,
}

/// Reads `CURRENT` and the manifest it names, or the best one there is.
///
/// # Errors
/// [`Error::Newer`] for a manifest that this version must not judge.
pub(crate) fn survey_manifests(fs: &dyn Fs, paths: &StorePaths, listing: &Listing) -> Result<CurrentSurvey> {
    match read_current(fs, &paths.current()) {
        Ok(number) => Ok(CurrentSurvey { fault: None, manifest: Some(survey_manifest(fs, paths, number)?) }),
        Err(error) => {
            let fault = Some(Fault::from(&error));
            let mut newest = None;
            for &number in listing.manifests.iter().rev() {
                let found = survey_manifest(fs, paths, number)?;
                if found.faults.is_empty() {
                    return Ok(CurrentSurvey { fault, manifest: Some(found) });
                }
                newest.get_or_insert(found);
            }
            Ok(CurrentSurvey { fault, manifest: newest })
        }
    }
}

/// Reads the manifest with this number.
///
/// # Errors
/// As [`survey_manifests`].
pub(crate) fn survey_manifest(fs: &dyn Fs, paths: &StorePaths, number: FileNumber) -> Result<ManifestSurvey> {
    let path = paths.manifest(number);
    let mut found = ManifestSurvey {
        path,
        number,
        bytes: 0,
        edits: 0,
        store: None,
        state: StoreState::default(),
        first_new: None,
        removed: BTreeSet::new(),
        faults: Vec::new(),
        torn: None,
    };
    let bytes = match read_whole(fs, &found.path) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.faults.push(Fault::from(&error));
            return Ok(found);
        }
    };
    found.bytes = bytes.len() as u64;
    match Preamble::decode(&found.path, &bytes, LogKind::Manifest, number, None) {
        Ok(preamble) => {
            found.store = Some(preamble.store);
            found.frames(&bytes, preamble)?;
        }
        Err(error @ Error::Newer { .. }) => return Err(error),
        // Without the id of the store no checksum in the file can be checked.
        Err(error) => found.faults.push(Fault::from(&error)),
    }
    Ok(found)
}

impl ManifestSurvey {
    /// Whether the edits add up to what opening would find.
    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Forgets what it says, because it is the manifest of another store.
    pub(crate) fn disown(&mut self) {
        let found = "it belongs to another store than most files here".to_owned();
        self.faults.insert(0, Fault { offset: STORE_AT, code: FaultCode::Preamble, found });
        self.state = StoreState::default();
        self.first_new = None;
        self.removed.clear();
        self.torn = None;
    }

    fn frames(&mut self, bytes: &[u8], preamble: Preamble) -> Result<()> {
        let mut scan = LogScan::new(bytes, preamble.salt(), MAX_EDIT_BYTES);
        let mut next = 1;
        loop {
            while let Some(frame) = scan.next() {
                self.frame(&frame, next)?;
                next = frame.number.saturating_add(1);
            }
            let at = scan.offset();
            if !scan.skip_damage() {
                self.tail(&scan, next == 1);
                return Ok(());
            }
            let found = format!("no valid edit in {} bytes, although one follows", scan.offset() - at);
            self.faults.push(Fault { offset: at, code: FaultCode::Frame, found });
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, due: u64) -> Result<()> {
        let mut fault = |found: String| {
            self.faults.push(Fault { offset: frame.offset, code: FaultCode::Edit, found });
        };
        if frame.tag != FrameTag::Edit {
            fault("a frame that is no edit".to_owned());
            return Ok(());
        }
        if frame.number != due {
            fault(format!("edit {} where {due} was due", frame.number));
        }
        match Edit::decode(frame.body, frame.count) {
            Ok(edit) => {
                self.edits += 1;
                if frame.number == 1 {
                    self.first_new = edit.next_file;
                }
                self.apply(edit, frame.offset);
            }
            Err(EditFault::UnknownField(tag)) => {
                let what = format!("manifest field {tag}");
                return Err(Error::Newer { path: self.path.clone(), what });
            }
            Err(EditFault::Malformed(what)) => fault(format!("{what} cannot be right")),
        }
        Ok(())
    }

    /// Carries out an edit. Where one before it is lost, what it removes may not be there, and that is no fault of its own.
    fn apply(&mut self, edit: Edit, offset: u64) {
        self.removed.extend(edit.removed.iter().map(|&(_, number)| number));
        for (_, meta) in &edit.added {
            self.removed.remove(&meta.number);
        }
        let before = self.state.clone();
        if let Err(fault) = self.state.apply(edit.clone()) {
            if self.faults.is_empty() {
                let found = format!("{fault:?}");
                self.faults.push(Fault { offset, code: FaultCode::Edit, found });
            }
            self.state = before;
            self.state.carry_out(edit);
        }
    }

    fn tail(&mut self, scan: &LogScan<'_>, empty: bool) {
        let at = scan.offset();
        let found = match scan.end() {
            _ if empty => "the first edit does not verify".to_owned(),
            LogEnd::Damaged { witness } => {
                format!("no valid edit, although the one at {witness} says that this was on disk")
            }
            LogEnd::Torn { bytes } => return self.torn = Some((at, bytes)),
            LogEnd::Clean => return,
        };
        self.faults.push(Fault { offset: at, code: FaultCode::Frame, found });
    }
}
