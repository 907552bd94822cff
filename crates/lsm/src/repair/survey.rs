//! A first look at a store that nobody has open: which files there are, which of them count, whose they are.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::files::StorePaths;
use crate::format::{LogKind, PREAMBLE_BYTES, Preamble};
use crate::fs::{Fs, read_head};
use crate::limits::MAX_CURRENT_BYTES;
use crate::listing::Listing;
use crate::manifest::{CurrentSurvey, survey_manifests};
use crate::table::stored_identity;
use crate::types::{FileNumber, StoreId};

/// What the look found.
pub(super) struct Survey {
    pub(super) paths: StorePaths,
    pub(super) listing: Listing,
    pub(super) current: CurrentSurvey,
    /// The store's id, from whatever file has it.
    pub(super) store: Option<StoreId>,
    /// Why `CURRENT` could not be read at first, if it is there.
    pub(super) unreadable: Option<Fault>,
    /// What `CURRENT` held, to notice that somebody opened the store meanwhile; `None` if it could not be read.
    pointer: Option<Vec<u8>>,
}

impl Survey {
    /// Looks at the store in `dir`.
    pub(super) fn of(fs: &dyn Fs, dir: &Path) -> Result<Self> {
        let paths = StorePaths::new(dir);
        refuse_open(fs, &paths)?;
        let listing = Listing::read(fs, &paths).map_err(|error| match &error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::Missing { path: dir.to_path_buf() }
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
                Error::NotAStore { path: dir.to_path_buf(), what: "it is a file".to_owned() }
            }
            _ => error,
        })?;
        // A segment that cannot be read may hold anything.
        if !listing.has_current && !listing.may_hold_data(fs, &paths).unwrap_or(true) {
            return Err(match listing.foreign.first() {
                Some(foreign) => {
                    let what = format!("it has no CURRENT, but holds {}", foreign.display());
                    Error::NotAStore { path: dir.to_path_buf(), what }
                }
                None => Error::Missing { path: dir.to_path_buf() },
            });
        }
        let (pointer, unreadable) = match read_head(fs, &paths.current(), MAX_CURRENT_BYTES) {
            Ok(pointer) => (Some(pointer), None),
            Err(error) => (None, Some(Fault::from(&error)).filter(|_| listing.has_current)),
        };
        let current = survey_manifests(fs, &paths, &listing)?;
        let known = current.manifest.as_ref().and_then(|manifest| manifest.store);
        let store = known.or_else(|| find_identity(fs, &paths, &listing));
        Ok(Self { paths, listing, current, store, unreadable, pointer })
    }

    /// Fails if somebody opened the store since: what was read belongs to no one state.
    pub(super) fn confirm_unchanged(&self, fs: &dyn Fs) -> Result<()> {
        refuse_open(fs, &self.paths)?;
        match (&self.pointer, read_head(fs, &self.paths.current(), MAX_CURRENT_BYTES)) {
            (Some(before), Ok(now)) if *before == now => Ok(()),
            // Unreadable as before, or for a moment only; then what it held counted already.
            (None, Err(_)) => Ok(()),
            (Some(_), Err(error @ Error::Io { .. })) => Err(error),
            (None, Ok(_)) if self.unreadable.is_some() => Ok(()),
            _ => Err(Error::Locked { path: self.paths.root().to_path_buf(), pid: None }),
        }
    }
}

fn refuse_open(fs: &dyn Fs, paths: &StorePaths) -> Result<()> {
    let lock = paths.lock();
    match fs.lock_holder(&lock) {
        Ok(None) => Ok(()),
        Ok(Some(pid)) => Err(Error::Locked { path: paths.root().to_path_buf(), pid }),
        // A path through a file, which listing it will tell better.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(()),
        Err(e) => Err(Error::io("look at", &lock, e)),
    }
}

/// The id of the store from any log segment or table that has it under a right checksum.
fn find_identity(fs: &dyn Fs, paths: &StorePaths, listing: &Listing) -> Option<StoreId> {
    let in_segment = |&number: &FileNumber| {
        let path = paths.wal(number);
        let head = read_head(fs, &path, PREAMBLE_BYTES).ok()?;
        Preamble::decode(&path, &head, LogKind::Wal, number, None).ok().map(|preamble| preamble.store)
    };
    let in_table = |&number: &FileNumber| stored_identity(fs, &paths.table(number), number);
    let segments = listing.segments.iter().rev().find_map(in_segment);
    segments.or_else(|| listing.tables.iter().rev().find_map(in_table))
}
