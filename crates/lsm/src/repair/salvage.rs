//! Saves what can be read of a store into a new one.
//!
//! What always holds:
//! - Nothing in the source is written, created, renamed or removed, and it is not locked.
//! - Every version that is written was in the source, under the same key and sequence. A deletion that could be read goes
//!   on deleting, and what is missing is reported by keys and commits.
//! - The destination is complete or not there; it is verified before it gets its name.

use std::path::Path;

use super::loss::SalvageReport;
use super::merge::{Merged, Target, merge};
use super::notes::note_rest;
use super::sources::Sources;
use super::survey::Survey;
use super::verify::{VerifyOptions, verify};
use crate::db::random_store_id;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::limits::LEVELS;
use crate::manifest::StoreState;
use crate::options::Options;
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::staging::Staging;
use crate::types::{FileNumber, StoreId};

/// Reads whatever can be read of the store in `source`, with or without a manifest, and writes a new store with it in
/// `dest`, which must not be there or be an empty directory. Sequences and history stay; the destination has an id of its own. The report tells
/// exactly what is missing.
///
/// Of the options, the file system, `store_id`, `memtable_bytes` (which bounds the memory for the log), `table_bytes`,
/// `compression`, `bottom_compression` and `prefix_filter` count.
///
/// # Errors
/// [`Error::Locked`] if somebody has the source open or opened it meanwhile; [`Error::Missing`], [`Error::NotAStore`] and
/// [`Error::Newer`] by what is found; [`Error::Corrupt`] if nothing tells the id of the store, without which no
/// checksum can be checked; [`Error::Io`] and [`Error::DiskFull`] if the directory cannot be read or the destination
/// is there or cannot be written. What cannot be read of a file is in the report.
pub fn salvage(source: &Path, dest: &Path, options: &Options) -> Result<SalvageReport> {
    salvage_with(source, dest, options, |_, report| Ok(report))
}

/// As [`salvage`], for a layer above that has something to mend: `finish` is given the directory in which the new store is put
/// together, to open it there, change and close it, and the report so far, whose destination it is. Only what it has
/// left behind is verified and gets its name: if it fails or dies, there is no new store.
///
/// # Errors
/// As [`salvage`], and what `finish` fails with.
pub fn salvage_with<T, E: From<Error>>(
    source: &Path,
    dest: &Path,
    options: &Options,
    finish: impl FnOnce(&Path, SalvageReport) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let fs = options.fs.as_ref();
    refuse_inside(source, dest)?;
    let survey = Survey::of(fs, source)?;
    let Some(store) = survey.identity.store else {
        let what = "no file tells to which store it belongs, so nothing in it can be checked";
        return Err(Error::corrupt(source, 0, what).coded(FaultCode::Preamble).into());
    };
    let staging = Staging::in_place_of_nothing(fs, dest)?;
    let built = build(&survey, store, &staging, options).map_err(E::from);
    let done = built.and_then(|report| {
        let finished =
            finish(staging.paths.root(), SalvageReport { destination: dest.to_path_buf(), ..report })?;
        check(&staging, options)?;
        survey.confirm_unchanged(fs)?;
        staging.publish(fs)?;
        Ok(finished)
    });
    if done.is_err() {
        staging.discard(fs);
    }
    done
}

/// A destination inside the source would be a change of the source.
fn refuse_inside(source: &Path, dest: &Path) -> Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if absolute(dest).starts_with(absolute(source)) {
        let error =
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "it lies inside the store to be saved");
        return Err(Error::system("create", dest, error));
    }
    Ok(())
}

fn build(
    survey: &Survey,
    source_store: StoreId,
    staging: &Staging,
    options: &Options,
) -> Result<SalvageReport> {
    let fs = options.fs.as_ref();
    staging.make_directories(fs)?;
    let store = match options.store_id {
        Some(store) => store,
        None => random_store_id(staging.paths.root())?,
    };
    let mut target = Target { fs, paths: &staging.paths, store, options, next_file: FileNumber(1) };
    let mut sources = Sources::read(fs, survey, source_store, &mut target)?;
    let from_log = FileNumber(1)..target.next_file;
    let merged = merge(&sources.tables, &mut target)?;
    sources.tables.clear();
    for number in from_log.start.0..from_log.end.0 {
        let path = staging.paths.table(FileNumber(number));
        fs.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    let state = new_state(&sources, &merged);
    let history_from = state.floors.greatest();
    let table_dir = staging.paths.table_dir();
    planted::unless(Bug::SalvageNamesNotSynced, || {
        fs.sync_dir(&table_dir).map_err(|e| Error::sync(&table_dir, e))
    })?;
    let numbers = (target.take_number(), target.take_number());
    staging.complete(&options.fs, store, state, numbers)?;
    let mut losses = sources.losses;
    losses.extend(merged.losses);
    let mut files = sources.files;
    let notes = note_rest(fs, survey, &mut files);
    Ok(SalvageReport {
        source: survey.paths.root().to_path_buf(),
        destination: staging.paths.root().to_path_buf(),
        source_store,
        store,
        sequence: sources.last,
        history_from,
        manifest_sound: sources.certain,
        versions: merged.versions,
        range_deletions: merged.range_deletions,
        log_commits: sources.log_commits,
        tables: merged.tables.len() as u64,
        bytes: merged.tables.iter().map(|meta| meta.size).sum(),
        files,
        losses,
        notes,
    })
}

/// The store that the new tables are. Without the manifest it is not known from where on the past can be read, so it
/// cannot.
fn new_state(sources: &Sources, merged: &Merged) -> StoreState {
    let mut floors = sources.state.floors.clone();
    if !sources.certain {
        floors.raise(&KeyRange::default(), sources.last);
    }
    floors.lower_to(sources.last);
    let tables = merged.tables.iter().map(|meta| (meta.number, (LEVELS - 1, meta.clone())));
    StoreState {
        last_seq: sources.last,
        floors,
        tables: tables.collect(),
        timeline: sources.timekeeper.timeline().clone(),
        ..StoreState::default()
    }
}

/// Reads the new store again.
fn check(staging: &Staging, options: &Options) -> Result<()> {
    let report =
        verify(staging.paths.root(), &VerifyOptions { fs: options.fs.clone(), ..VerifyOptions::default() })?;
    match report.faults().next() {
        None => Ok(()),
        Some((path, fault)) => Err(Error::corrupt(path, fault.offset, fault.found.clone()).coded(fault.code)),
    }
}
