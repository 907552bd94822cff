//! The directory of a store: made when there is none, refused when it holds something else.
//!
//! What always holds: nothing counts on the name of a directory whose sync has failed. After such a failure the name is on
//! disk or not, the running machine shows it all the same, and a second sync succeeds without writing it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::{StoreFile, StorePaths, parse_root_name};
use crate::fs::{Fs, tolerate};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::types::FileNumber;

/// Refuses foreign directories before anything is written, and makes missing ones.
pub(super) fn prepare_directory(fs: &dyn Fs, paths: &StorePaths, create: bool) -> Result<()> {
    let root = paths.root();
    match fs.list(root) {
        Ok(names) => {
            let is_store = names.iter().any(|name| parse_root_name(name) == Some(StoreFile::Current));
            // Files that desktops and editors strew about are no reason to refuse an otherwise empty directory.
            let foreign = names.iter().find(|name| parse_root_name(name).is_none() && !name.starts_with('.'));
            match foreign {
                Some(foreign) if !is_store => {
                    let what = format!("it has no CURRENT, but holds {foreign:?}");
                    Err(Error::NotAStore { path: root.to_path_buf(), what })
                }
                _ if !is_store && !create => Err(Error::Missing { path: root.to_path_buf() }),
                _ if !is_store => sync_ancestors(fs, root),
                _ => Ok(()),
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && create => make_directory(fs, root),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::Missing { path: root.to_path_buf() })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            Err(Error::NotAStore { path: root.to_path_buf(), what: "it is a file".to_owned() })
        }
        Err(e) => Err(Error::io("list", root, e)),
    }
}

/// Makes a directory and its parents, and their names durable. If that fails, they are removed again: whoever finds them
/// later syncs them again, and would believe that sync.
fn make_directory(fs: &dyn Fs, root: &Path) -> Result<()> {
    let missing = missing(fs, root)?;
    fs.create_dir(root).map_err(|e| Error::io("create", root, e))?;
    sync_ancestors(fs, root).inspect_err(|_| {
        hit(Mark::DirectoryTakenBack);
        for dir in missing {
            tolerate(fs.remove_dir(dir));
        }
    })
}

/// A directory that is not there, and those around it that are not, innermost first.
fn missing<'a>(fs: &dyn Fs, root: &'a Path) -> Result<Vec<&'a Path>> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let mut missing = vec![root];
    for dir in root.ancestors().skip(1).take_while(|dir| !dir.as_os_str().is_empty()) {
        match fs.list(dir) {
            Err(e) if e.kind() == NotFound => missing.push(dir),
            Err(e) if e.kind() != PermissionDenied => return Err(Error::io("list", dir, e)),
            _ => break,
        }
    }
    Ok(missing)
}

/// Removes the directories of a store that was to be created, with what is in them, after the sync of their names failed:
/// whether they are on disk is not known, and no later sync of the same names would tell.
pub(super) fn take_back(fs: &dyn Fs, paths: &StorePaths, segments: impl Iterator<Item = FileNumber>) {
    hit(Mark::DirectoryTakenBack);
    for number in segments {
        tolerate(fs.remove(&paths.wal(number)));
    }
    for dir in [paths.wal_dir(), paths.table_dir()] {
        tolerate(fs.remove_dir(&dir));
    }
}

/// Makes the names of a new store's directory and of all directories around it durable. Which of them an earlier attempt
/// made, that failed or died before this, is not known.
fn sync_ancestors(fs: &dyn Fs, root: &Path) -> Result<()> {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    let mut dir = root;
    while let Some(parent) = dir.parent().filter(|_| !planted::active(Bug::StoreNameNotSynced)) {
        let named = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match fs.sync_dir(named) {
            // No attempt of this process made anything in there.
            Err(e) if matches!(e.kind(), PermissionDenied | InvalidInput | Unsupported) => {}
            synced => synced.map_err(|e| Error::sync(named, e))?,
        }
        dir = parent;
    }
    Ok(())
}
