//! Salvage while requests go wrong: the source stays as it is, the new store is complete or not there, and what was saved
//! is true, or the report says what is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fountain_lsm::fs::Fs;
use fountain_lsm::{Db, Options, Retention, SalvageReport, StoreId, VerifyOptions, salvage, verify};

use super::fs::FaultFs;
use super::session::{STORE, options};
use super::truth::Truth;
use crate::disk::{Disk, SimFs};
use crate::metamorphic::storage::place::remove_all;

/// Where what is saved goes: an empty directory, which counts as none.
const SAVED: &str = "/saved/store";
/// Bytes that are cut off every table, so that it has no footer.
const FOOTER: usize = 96;

/// A salvage of the store, which is not open; `maimed` says that its tables have lost their ends meanwhile.
pub fn check_salvage(fs: &FaultFs, disk: &SimFs, truth: &Truth, maimed: bool) -> Result<(), String> {
    let whole = disk.disk();
    if maimed {
        disk.change_disk(maim);
    }
    disk.create_dir(Path::new(SAVED)).map_err(|error| error.to_string())?;
    let outcome = salvaged(fs, disk, truth, maimed);
    disk.change_disk(|disk| *disk = whole);
    outcome
}

fn salvaged(fs: &FaultFs, disk: &SimFs, truth: &Truth, maimed: bool) -> Result<(), String> {
    let source = content(disk);
    let before = fs.seen();
    let copying =
        Options { store_id: Some(StoreId([8; 16])), ..options(Arc::new(fs.clone()), Retention::Unbounded) };
    let outcome = salvage(Path::new(STORE), Path::new(SAVED), &copying);
    let now = fs.seen();
    if content(disk) != source {
        return Err("salvage changed its source".to_owned());
    }
    let is_disturbed = now.injected > before.injected;
    match outcome {
        Err(_) if is_disturbed => not_half_there(disk),
        Err(error) => Err(format!("salvage failed without a reason: {error}")),
        Ok(report) if now.injected == 0 && !maimed && !report.is_complete() => {
            Err(format!("salvage of a sound store lost {:?}", report.losses))
        }
        Ok(report) => compare(disk, &report, truth),
    }
}

/// Takes the footer off every table.
fn maim(disk: &mut Disk) {
    let tables = Path::new(STORE).join("tables");
    let Some(dir) = disk.lookup(&tables) else { return };
    let found: Vec<_> = disk.entries(dir).map(|(name, file)| (name.to_string(), file)).collect();
    for (name, file) in found {
        let bytes = disk.bytes(file).map(|bytes| Vec::clone(bytes)).unwrap_or_default();
        disk.put(&tables.join(name), bytes[..bytes.len().saturating_sub(FOOTER)].to_vec());
    }
}

/// Every file of the source.
fn content(disk: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for dir in ["", "wal", "tables", "quarantine"] {
        let dir = Path::new(STORE).join(dir);
        disk.with_disk(|disk| {
            for (name, file) in disk.lookup(&dir).into_iter().flat_map(|dir| disk.entries(dir)) {
                files.extend(disk.bytes(file).map(|bytes| (dir.join(name.to_string()), Vec::clone(bytes))));
            }
        });
    }
    files.sort();
    files
}

/// Where salvage failed there is nothing, an empty directory, or a whole store.
fn not_half_there(disk: &SimFs) -> Result<(), String> {
    match disk.list(Path::new(SAVED)) {
        Ok(names) if !names.is_empty() => {
            let sound = verify(
                Path::new(SAVED),
                &VerifyOptions { fs: Arc::new(disk.clone()), ..VerifyOptions::default() },
            );
            let is_sound = sound.is_ok_and(|report| report.is_sound());
            if is_sound { Ok(()) } else { Err("salvage failed and left half a store".to_owned()) }
        }
        _ => Ok(()),
    }
}

/// The new store against the truth. It is complete, or what it lacks is reported.
fn compare(disk: &SimFs, report: &SalvageReport, truth: &Truth) -> Result<(), String> {
    let at = |what: String| format!("what was saved: {what}");
    let failed = |error: fountain_lsm::Error| at(error.to_string());
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    let sound = verify(Path::new(SAVED), &VerifyOptions { fs: Arc::clone(&fs), ..VerifyOptions::default() })
        .map_err(failed)?;
    if !sound.is_sound() {
        return Err(at("it is not sound".to_owned()));
    }
    let existing = Options { create_if_missing: false, ..options(Arc::clone(&fs), Retention::Unbounded) };
    let db = Db::open(Path::new(SAVED), existing).map_err(failed)?;
    let last = db.visible().get();
    if last != report.sequence.get() || last > truth.last() {
        return Err(at(format!("it ends with {last}; {} was begun", truth.last())));
    }
    if report.is_complete() {
        let mut part = truth.upto(last);
        part.forgets |= report.history_from.get() > 0;
        part.compare(&db, &|| false).map_err(at)?;
    } else {
        truth.compare_with_gaps(&db, report).map_err(at)?;
    }
    drop(db);
    remove_all(fs.as_ref(), Path::new(SAVED)).map_err(|error| error.to_string())
}
