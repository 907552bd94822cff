//! To which store the files of a directory belong.
//!
//! Every manifest, log segment and table names its store under a checksum of its own. Where they do not agree, files were
//! mixed up; then the store is the one that most of them belong to, and what a manifest of another one says is not about
//! these files. Of two stores with as many files it is that of the manifest, but nothing is certain then.

use std::path::PathBuf;

use crate::error::Result;
use crate::fault::Fault;
use crate::files::StorePaths;
use crate::format::{LogKind, PREAMBLE_BYTES, Preamble};
use crate::fs::{Fs, read_head};
use crate::listing::Listing;
use crate::marks::{Mark, hit};
use crate::table::stored_identity;
use crate::types::StoreId;

/// Whose the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// `None` if no file tells.
    pub(super) store: Option<StoreId>,
    /// No other store has as many files here.
    pub(super) undisputed: bool,
    /// Files that could not be asked because the operating system refused them.
    pub(super) unreadable: Vec<(PathBuf, Fault)>,
}

/// Asks the manifest to go by, which belongs to `manifest`, and all log segments and tables.
pub(super) fn identify(
    fs: &dyn Fs,
    paths: &StorePaths,
    listing: &Listing,
    manifest: Option<StoreId>,
) -> Identity {
    let mut unreadable = Vec::new();
    let mut files: Vec<StoreId> = manifest.into_iter().collect();
    let mut ask = |path: PathBuf, answer: Result<Option<StoreId>>| match answer {
        Ok(store) => files.extend(store),
        Err(error) => {
            hit(Mark::FileNotAsked);
            unreadable.push((path, Fault::from(&error)));
        }
    };
    for &number in listing.segments.iter().rev() {
        let path = paths.wal(number);
        let head = read_head(fs, &path, PREAMBLE_BYTES);
        let of = |head: Vec<u8>| Preamble::decode(&path, &head, LogKind::Wal, number, None).ok();
        let answer = head.map(|head| of(head).map(|preamble| preamble.store));
        ask(path, answer);
    }
    for &number in listing.tables.iter().rev() {
        let path = paths.table(number);
        let answer = stored_identity(fs, &path, number);
        ask(path, answer);
    }
    let (store, undisputed) = elect(files);
    Identity { store, undisputed, unreadable }
}

/// The store with most files, of those with as many the one that comes first; and whether it is the only one with so many.
fn elect(files: Vec<StoreId>) -> (Option<StoreId>, bool) {
    let mut counts: Vec<(StoreId, usize)> = Vec::new();
    for store in files {
        match counts.iter_mut().find(|(known, _)| *known == store) {
            Some((_, count)) => *count += 1,
            None => counts.push((store, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or_default();
    let mut first = counts.iter().filter(|(_, count)| *count == most);
    let store = first.next().map(|(store, _)| *store);
    (store, first.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_the_one_with_most_files_and_in_doubt_the_one_of_the_manifest() {
        let of = |files: &[u8]| {
            let (store, undisputed) = elect(files.iter().map(|&id| StoreId([id; 16])).collect());
            (store.map(|store| store.0[0]), undisputed)
        };
        assert_eq!(of(&[]), (None, true));
        assert_eq!((of(&[1, 1, 2]), of(&[1, 2, 2])), ((Some(1), true), (Some(2), true)));
        assert_eq!((of(&[1, 2]), of(&[1, 2, 3])), ((Some(1), false), (Some(1), false)));
        assert_eq!(of(&[1, 2, 2, 3, 3]), (Some(2), false));
    }
}
