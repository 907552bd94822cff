//! Where a store of a run lies, what a crash makes of that place, and how it is cleared away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fountain_lsm::fs::{Fs, RealFs};

use super::config::{Medium, Promise};
use crate::disk::{Crash, SimFs};
use crate::random::Random;

/// A disk, and a directory on it.
pub enum Place {
    /// Simulated.
    Simulated(SimFs),
    /// Of the operating system; deleted at the end.
    Real(tempfile::TempDir),
}

impl Place {
    /// An empty place.
    ///
    /// # Errors
    /// When the operating system gives no directory.
    pub fn new(medium: Medium) -> io::Result<Self> {
        let in_memory = Path::new("/dev/shm");
        Ok(match medium {
            Medium::Simulated => Self::Simulated(SimFs::default()),
            // Nothing is learned here from the speed of a real disk.
            Medium::Real if in_memory.is_dir() => Self::Real(tempfile::tempdir_in(in_memory)?),
            Medium::Real => Self::Real(tempfile::tempdir()?),
        })
    }

    /// The file system.
    pub fn fs(&self) -> Arc<dyn Fs> {
        match self {
            Self::Simulated(fs) => Arc::new(fs.clone()),
            Self::Real(_) => Arc::new(RealFs),
        }
    }

    /// A name in the place.
    pub fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Simulated(_) => Path::new("/").join(name),
            Self::Real(dir) => dir.path().join(name),
        }
    }

    /// The place after a crash, as bad as commits were promised to survive. A real directory stays as it is: what a
    /// process has written is there when the process is gone.
    #[must_use]
    pub fn crashed(self, promise: Promise, random: &mut Random) -> Self {
        let Self::Simulated(fs) = &self else { return self };
        let crash = match (promise, random.below(5)) {
            (Promise::Memory | Promise::Os, _) | (Promise::Disk, 0) => Crash::Kill,
            (Promise::Disk, 1) => Crash::Synced,
            (Promise::Disk, 2) => Crash::Prefix(random.bits()),
            (Promise::Disk, 3) => Crash::Sectors(random.bits()),
            (Promise::Disk, _) => Crash::Garbage(random.bits()),
        };
        Self::Simulated(SimFs::new(fs.disk().crash(&crash)))
    }
}

/// Removes a directory and what is in it.
///
/// # Errors
/// What the file system says.
pub fn remove_all(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    for name in fs.list(dir)? {
        let path = dir.join(name);
        if fs.list(&path).is_ok() {
            remove_all(fs, &path)?;
        } else {
            fs.remove(&path)?;
        }
    }
    fs.remove_dir(dir)
}
