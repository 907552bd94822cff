//! What lies in a store's directory, by name. Nothing is written and nothing but names is read.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{StoreFile, StorePaths, parse_root_name, parse_table_name, parse_wal_name};
use crate::format::PREAMBLE_BYTES;
use crate::fs::{Fs, read_head};
use crate::limits::FILE_NUMBER_LIMIT;
use crate::types::FileNumber;

/// The files of a store by kind, and everything else.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) has_current: bool,
    pub(crate) manifests: BTreeSet<FileNumber>,
    pub(crate) segments: BTreeSet<FileNumber>,
    pub(crate) tables: BTreeSet<FileNumber>,
    /// A `CURRENT.tmp`, if there is one.
    pub(crate) current_temp: Option<PathBuf>,
    /// What lies in `quarantine`.
    pub(crate) quarantined: Vec<PathBuf>,
    /// What no store would have written.
    pub(crate) foreign: Vec<PathBuf>,
}

impl Listing {
    /// Reads the directories of the store at `paths`; those inside it may be missing.
    pub(crate) fn read(fs: &dyn Fs, paths: &StorePaths) -> Result<Self> {
        let mut listing = Self::default();
        let root = paths.root();
        for name in fs.list(root).map_err(|e| Error::io("list", root, e))? {
            match parse_root_name(&name) {
                Some(StoreFile::Current) => listing.has_current = true,
                Some(StoreFile::Manifest(number)) => drop(listing.manifests.insert(number)),
                Some(StoreFile::CurrentTemp) => listing.current_temp = Some(root.join(name)),
                Some(StoreFile::Lock | StoreFile::Directory) => {}
                None => listing.foreign.push(root.join(name)),
            }
        }
        let Self { segments, tables, foreign, .. } = &mut listing;
        sort(fs, &paths.wal_dir(), parse_wal_name, segments, foreign)?;
        sort(fs, &paths.table_dir(), parse_table_name, tables, foreign)?;
        let quarantine = paths.quarantine_dir();
        listing.quarantined = names(fs, &quarantine)?.iter().map(|name| quarantine.join(name)).collect();
        listing.quarantined.sort();
        listing.foreign.sort();
        Ok(listing)
    }

    /// Whether a commit may be in these files; if not, and without `CURRENT`, they are what is left of creations that
    /// died.
    pub(crate) fn may_hold_data(&self, fs: &dyn Fs, paths: &StorePaths) -> Result<bool> {
        if !self.tables.is_empty() {
            return Ok(true);
        }
        for &number in &self.segments {
            if read_head(fs, &paths.wal(number), PREAMBLE_BYTES + 1)?.len() > PREAMBLE_BYTES {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One more than the greatest number in use, by files in quarantine, too. An error if that leaves too few numbers for
    /// a life of the store, so that none is ever given out that a later open would not know for one of ours.
    pub(crate) fn next_number(&self, paths: &StorePaths) -> Result<FileNumber> {
        let last = |set: &BTreeSet<FileNumber>, path: fn(&StorePaths, FileNumber) -> PathBuf| {
            set.last().map(|&number| (number, path(paths, number)))
        };
        let greatest = [
            last(&self.manifests, StorePaths::manifest),
            last(&self.segments, StorePaths::wal),
            last(&self.tables, StorePaths::table),
        ];
        let set_aside = self.quarantined.iter().filter_map(|path| {
            parse_table_name(path.file_name()?.to_str()?).map(|number| (number, path.clone()))
        });
        match greatest.into_iter().flatten().chain(set_aside).max() {
            None => Ok(FileNumber(1)),
            Some((number, _)) if number.0 < FILE_NUMBER_LIMIT / 2 => Ok(FileNumber(number.0 + 1)),
            Some((_, path)) => {
                let what = io::Error::other("too few numbers are left; the store did not make this file");
                Err(Error::system("number files after", &path, what))
            }
        }
    }
}

fn sort(
    fs: &dyn Fs,
    dir: &Path,
    parse: impl Fn(&str) -> Option<FileNumber>,
    ours: &mut BTreeSet<FileNumber>,
    foreign: &mut Vec<PathBuf>,
) -> Result<()> {
    for name in names(fs, dir)? {
        match parse(&name) {
            Some(number) => drop(ours.insert(number)),
            None => foreign.push(dir.join(name)),
        }
    }
    Ok(())
}

fn names(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>> {
    match fs.list(dir) {
        Ok(names) => Ok(names),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(Error::io("list", dir, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    #[test]
    fn files_are_told_apart_by_their_names_alone() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StorePaths::new(dir.path());
        let empty = Listing::read(&RealFs, &paths).unwrap();
        assert!(!empty.has_current && empty.next_number(&paths).unwrap() == FileNumber(1));
        for sub in ["wal", "tables", "quarantine"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        for name in [
            "CURRENT",
            "LOCK",
            "MANIFEST-000009",
            "notes.txt",
            "wal/000007.wal",
            "wal/7.wal",
            "tables/000012.sst",
            "quarantine/000013.sst",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let listing = Listing::read(&RealFs, &paths).unwrap();
        assert!(listing.has_current && listing.current_temp.is_none());
        assert_eq!(listing.manifests, BTreeSet::from([FileNumber(9)]));
        assert_eq!(listing.segments, BTreeSet::from([FileNumber(7)]));
        assert_eq!(listing.tables, BTreeSet::from([FileNumber(12)]));
        assert_eq!(listing.quarantined, [dir.path().join("quarantine/000013.sst")]);
        assert_eq!(listing.foreign, [dir.path().join("notes.txt"), dir.path().join("wal/7.wal")]);
        assert_eq!(listing.next_number(&paths).unwrap(), FileNumber(14));
        std::fs::write(dir.path().join("wal/18446744073709551614.wal"), "").unwrap();
        assert_eq!(Listing::read(&RealFs, &paths).unwrap().next_number(&paths).unwrap(), FileNumber(14));
        let stray = dir.path().join("tables/9007199254740991.sst");
        std::fs::write(&stray, "").unwrap();
        let refused = Listing::read(&RealFs, &paths).unwrap().next_number(&paths);
        assert!(matches!(refused, Err(Error::Io { path, .. }) if path == stray));
    }
}
