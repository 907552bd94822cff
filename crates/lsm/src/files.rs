//! Names in a store's directory. See `docs/format.md`, section 2.

use std::path::{Path, PathBuf};

use crate::limits::FILE_NUMBER_LIMIT;
use crate::types::FileNumber;

/// Where everything in one store lies.
#[derive(Clone, Debug)]
pub(crate) struct StorePaths {
    root: PathBuf,
}

/// A file that belongs to a store by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFile {
    Lock,
    Current,
    CurrentTemp,
    Manifest(FileNumber),
    /// One of the directories `wal`, `tables`, `quarantine`.
    Directory,
}

pub(crate) const WAL_DIR: &str = "wal";
pub(crate) const TABLE_DIR: &str = "tables";
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
const WAL_SUFFIX: &str = ".wal";
const TABLE_SUFFIX: &str = ".sst";
const MANIFEST_PREFIX: &str = "MANIFEST-";

impl StorePaths {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    pub(crate) fn current_temp(&self) -> PathBuf {
        self.root.join("CURRENT.tmp")
    }

    pub(crate) fn manifest(&self, number: FileNumber) -> PathBuf {
        self.root.join(manifest_name(number))
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.root.join(WAL_DIR)
    }

    pub(crate) fn wal(&self, number: FileNumber) -> PathBuf {
        self.wal_dir().join(format!("{number}{WAL_SUFFIX}"))
    }

    pub(crate) fn table_dir(&self) -> PathBuf {
        self.root.join(TABLE_DIR)
    }

    pub(crate) fn table(&self, number: FileNumber) -> PathBuf {
        self.table_dir().join(format!("{number}{TABLE_SUFFIX}"))
    }

    pub(crate) fn quarantine_dir(&self) -> PathBuf {
        self.root.join(QUARANTINE_DIR)
    }
}

/// `MANIFEST-000012`.
pub(crate) fn manifest_name(number: FileNumber) -> String {
    format!("{MANIFEST_PREFIX}{number}")
}

/// What a name in the store's own directory stands for; `None` for a foreign file.
pub(crate) fn parse_root_name(name: &str) -> Option<StoreFile> {
    match name {
        "LOCK" => Some(StoreFile::Lock),
        "CURRENT" => Some(StoreFile::Current),
        "CURRENT.tmp" => Some(StoreFile::CurrentTemp),
        WAL_DIR | TABLE_DIR | QUARANTINE_DIR => Some(StoreFile::Directory),
        _ => parse_number(name.strip_prefix(MANIFEST_PREFIX)?).map(StoreFile::Manifest),
    }
}

/// The number of a WAL segment from its name.
pub(crate) fn parse_wal_name(name: &str) -> Option<FileNumber> {
    parse_number(name.strip_suffix(WAL_SUFFIX)?)
}

/// The number of a table from its name.
pub(crate) fn parse_table_name(name: &str) -> Option<FileNumber> {
    parse_number(name.strip_suffix(TABLE_SUFFIX)?)
}

/// Only the exact spelling counts: what this store would not have written is foreign.
fn parse_number(digits: &str) -> Option<FileNumber> {
    let number = FileNumber(digits.parse().ok()?);
    (number.0 < FILE_NUMBER_LIMIT && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_foreign_names_are_left_alone() {
        let paths = StorePaths::new(Path::new("s"));
        for number in [FileNumber(1), FileNumber(999_999), FileNumber(12_345_678)] {
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(parse_wal_name(&name(paths.wal(number))), Some(number));
            assert_eq!(parse_table_name(&name(paths.table(number))), Some(number));
            assert_eq!(parse_root_name(&manifest_name(number)), Some(StoreFile::Manifest(number)));
        }
        for foreign in [
            ".DS_Store",
            "._000001.wal",
            "1.wal",
            "0000001.wal",
            "+00001.wal",
            "000001.wal~",
            "9007199254740992.wal",
            "18446744073709551615.wal",
            "",
        ] {
            assert_eq!(parse_wal_name(foreign), None, "{foreign}");
        }
        assert_eq!(parse_root_name("MANIFEST"), None);
        assert_eq!(parse_root_name("notes.txt"), None);
    }
}
