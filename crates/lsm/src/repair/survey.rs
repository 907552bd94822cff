//! A first look at a store that nobody has open: which files there are, which of them count, whose they are.

use std::io;
use std::path::Path;

use super::identity::{Identity, identify};
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::files::StorePaths;
use crate::fs::{Fs, read_head};
use crate::limits::MAX_CURRENT_BYTES;
use crate::listing::Listing;
use crate::manifest::{CurrentSurvey, survey_manifests};
use crate::marks::{Mark, hit};

/// What the look found.
pub(super) struct Survey {
    pub(super) paths: StorePaths,
    pub(super) listing: Listing,
    pub(super) current: CurrentSurvey,
    /// Whose files these are.
    pub(super) identity: Identity,
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
        let mut current = survey_manifests(fs, &paths, &listing)?;
        let known = current.manifest.as_ref().and_then(|manifest| manifest.store);
        let identity = identify(fs, &paths, &listing, known);
        let is_foreign = known.is_some() && known != identity.store;
        if let Some(manifest) = current.manifest.as_mut().filter(|_| is_foreign) {
            hit(Mark::ManifestDisowned);
            manifest.disown();
        }
        Ok(Self { paths, listing, current, identity, unreadable, pointer })
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
