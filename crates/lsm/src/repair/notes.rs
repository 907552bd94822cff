//! Files of a store that a check has no use for.

use std::path::{Path, PathBuf};

use super::survey::Survey;
use crate::error::{Error, Result};
use crate::fault::{CheckedFile, Fault};
use crate::fs::Fs;

/// Something that is no fault and yet worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub path: PathBuf,
    /// What is to be said about it.
    pub code: NoteCode,
    /// Where in the file it begins; 0 for all of it.
    pub offset: u64,
    /// How many bytes; 0 for [`NoteCode::Foreign`], which is not even opened.
    pub bytes: u64,
}

/// What a [`Note`] says. The list may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoteCode {
    /// The end of an append that was cut short: never acknowledged as durable. The next open discards it.
    TornTail,
    /// A file that the manifest does not name: left over from a crash. The next open removes it.
    LeftOver,
    /// A file that recovery moved aside once.
    Quarantined,
    /// A file that no store has written. Left alone.
    Foreign,
    /// The log, whose directory it is about, is too large for what is in the store to be looked at.
    LargeLog,
}

impl NoteCode {
    /// The code as text, for example `"torn_tail"`. Stays the same in later versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TornTail => "torn_tail",
            Self::LeftOver => "left_over",
            Self::Quarantined => "quarantined",
            Self::Foreign => "foreign",
            Self::LargeLog => "large_log",
        }
    }
}

/// Notes every file that is not among those checked. One that cannot even be opened is added to these, with its fault.
pub(super) fn note_rest(fs: &dyn Fs, survey: &Survey, files: &mut Vec<CheckedFile>) -> Vec<Note> {
    let Survey { listing, paths, .. } = survey;
    let manifests = listing.manifests.iter().map(|&number| paths.manifest(number));
    let segments = listing.segments.iter().map(|&number| paths.wal(number));
    let tables = listing.tables.iter().map(|&number| paths.table(number));
    let mut left: Vec<PathBuf> =
        manifests.chain(segments).chain(tables).chain(listing.current_temp.clone()).collect();
    left.retain(|path| !files.iter().any(|file| file.path == *path));
    let mut notes = Vec::new();
    for (code, paths) in [(NoteCode::LeftOver, &left), (NoteCode::Quarantined, &listing.quarantined)] {
        for path in paths {
            match measure(fs, path) {
                Ok(bytes) => notes.push(Note { path: path.clone(), code, offset: 0, bytes }),
                Err(error) => {
                    let faults = vec![Fault::from(&error)];
                    files.push(CheckedFile { faults, ..CheckedFile::new(path, 0) });
                }
            }
        }
    }
    let foreign = listing.foreign.iter();
    notes.extend(foreign.map(|path| Note {
        path: path.clone(),
        code: NoteCode::Foreign,
        offset: 0,
        bytes: 0,
    }));
    notes
}

/// The length of a file.
pub(super) fn measure(fs: &dyn Fs, path: &Path) -> Result<u64> {
    let file = fs.open(path).map_err(|e| Error::io("open", path, e))?;
    file.len().map_err(|e| Error::io("measure", path, e))
}
