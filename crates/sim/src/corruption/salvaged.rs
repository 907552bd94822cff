//! Salvages a damaged store and compares what was saved with the truth.
//!
//! Whatever happened to the store: what is read from the new one is right, or the report names its key and the commit that
//! is missing, and then it was right once. What was deleted comes back only where that is reported. The source is left as
//! it was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fountain_lsm::{
    Db, Direction, KeyRange, Loss, LossCode, Options, ReadTier, SalvageReport, Seq, StoreId, VerifyOptions,
    salvage, verify,
};

use super::judge::{check_refusal, check_untouched};
use super::mutant::Damaged;
use super::tail::{Left, what_is_left};
use crate::disk::SimFs;
use crate::golden::{Base, STORE, disk_with, options};

/// Where the saved store goes.
const SAVED: &str = "/saved";

/// Salvages the damaged store; `Err` says what must not be. `single` says that there is one fault only.
pub(super) fn check_salvage(base: &Base, damaged: &Damaged, single: bool) -> Result<(), String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let copying = Options { store_id: Some(StoreId([0xEE; 16])), ..options(&fs) };
    let outcome = salvage(Path::new(STORE), Path::new(SAVED), &copying);
    check_untouched(&fs, &damaged.files)?;
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return check_refusal(&error).map_err(|what| format!("salvage {what}")),
    };
    let failed = |error| format!("what was saved does not open: {error}");
    let saved = Options { create_if_missing: false, ..copying };
    let db = Db::open(Path::new(SAVED), saved).map_err(failed)?;
    if damaged.forged || (report.source_store != base.store() && damaged.is_mostly_foreign(base)) {
        return Ok(());
    }
    if !db.recovery().clean || db.visible() != report.sequence {
        return Err(format!("what was saved was not closed after commit {}", report.sequence));
    }
    let sound =
        verify(Path::new(SAVED), &VerifyOptions { fs: Arc::new(fs.clone()), ..VerifyOptions::default() })
            .map_err(failed)?;
    if let Some((path, fault)) = sound.faults().next() {
        return Err(format!("{} was saved with a fault: {}", path.display(), fault.found));
    }
    Saved { base, damaged, report: &report, db: &db }.check(single)
}

struct Saved<'a> {
    base: &'a Base,
    damaged: &'a Damaged,
    report: &'a SalvageReport,
    db: &'a Db,
}

impl Saved<'_> {
    fn check(&self, single: bool) -> Result<(), String> {
        let last = self.report.sequence.get();
        let newest = self.upto()?;
        for at in [last, last.midpoint(self.report.history_from.get()), self.report.history_from.get()] {
            self.records(at.min(last), newest)?;
        }
        if !single {
            return Ok(());
        }
        // One fault leaves everything there but what it hit: where that was the manifest, nothing can vouch for the rest, and
        // yet it is right.
        let truth = &self.base.truth;
        let is_there = |loss: &Loss| match loss.code {
            LossCode::Manifest | LossCode::Order => true,
            LossCode::TornTail => last >= truth.newest(),
            _ => false,
        };
        let nothing_is_gone = self.report.losses.iter().all(is_there) && truth.newest() == newest;
        if nothing_is_gone && self.scan(last)? != truth.records(last) {
            return Err(format!("other records after one fault, for which {:?}", self.report.losses));
        }
        Ok(())
    }

    /// The newest commit that the log can tell of.
    fn upto(&self) -> Result<u64, String> {
        let (truth, last) = (&self.base.truth, self.report.sequence.get());
        if last >= truth.newest() || self.reported(None, truth.newest()) {
            return Ok(truth.newest());
        }
        match what_is_left(self.base, &self.damaged.files) {
            Left::Ended(left) if left <= last => Ok(left),
            left => Err(format!(
                "commits after {last} are not there and not reported as lost; allowed: {left:?}; {:?}",
                self.report.losses
            )),
        }
    }

    fn scan(&self, at: u64) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
        let failed = |error| format!("reading what was saved: {error}");
        let at = Seq::new(at).unwrap_or(Seq::MAX);
        let cursor = self.db.cursor(KeyRange::default(), at, Direction::Forward, ReadTier::Disk);
        let mut cursor = cursor.map_err(failed)?;
        let mut records = BTreeMap::new();
        while cursor.next().map_err(failed)? {
            records.insert(cursor.key().to_vec(), cursor.value().to_vec());
        }
        Ok(records)
    }

    /// Compares all records as of a commit with the truth of the commits up to `newest`.
    fn records(&self, at: u64, newest: u64) -> Result<(), String> {
        let found = self.scan(at)?;
        let history = self.base.truth.history(newest);
        if let Some(key) = found.keys().find(|key| !history.contains_key(*key)) {
            return Err(format!("{} was saved and never was there", key.escape_ascii()));
        }
        for (key, versions) in history {
            let (value, by) = newest_at(versions, at);
            let saved = found.get(key);
            if saved == value || self.reported(Some(key), by) {
                let was_true = |saved| {
                    versions.iter().any(|(seq, value)| *seq <= newest && value.as_ref() == Some(saved))
                };
                if saved.is_none_or(was_true) {
                    continue;
                }
            }
            let show = |value: Option<&Vec<u8>>| value.map(|value| value.escape_ascii().to_string());
            return Err(format!(
                "{} as of {at} was saved as {:?}, not {:?}; missing: {:?}",
                key.escape_ascii(),
                show(saved),
                show(value),
                self.report.losses
            ));
        }
        Ok(())
    }

    /// Whether the report says that what a commit did to the key, or to all, may be missing.
    fn reported(&self, key: Option<&[u8]>, seq: u64) -> bool {
        self.report.losses.iter().any(|loss| {
            let range = loss.sequences.first.get()..=loss.sequences.last.get();
            range.contains(&seq) && key.is_none_or(|key| loss.keys.contains(key))
        })
    }
}

/// The value of a key as of a commit, and the commit that made it so.
fn newest_at(versions: &[(u64, Option<Vec<u8>>)], at: u64) -> (Option<&Vec<u8>>, u64) {
    let newest = versions.iter().rev().find(|(seq, _)| *seq <= at);
    newest.map_or((None, 0), |(seq, value)| (value.as_ref(), *seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Change, RECIPES, Truth, named};

    #[test]
    fn a_manifest_of_another_store_hides_no_loss() {
        let bases: Vec<_> = RECIPES.iter().map(|recipe| recipe.make().unwrap()).collect();
        let manifests: Vec<_> = bases.iter().flat_map(|base| &base.files).filter(is_manifest).collect();
        let mut checked = 0;
        for base in &bases {
            let own = base.files.iter().find(is_manifest).unwrap().0;
            for (_, bytes) in
                manifests.iter().filter(|(path, bytes)| *path == own && base.files[own] != **bytes)
            {
                let mut damaged = Damaged::new(base.files.clone());
                damaged.files.insert(own.clone(), Arc::clone(bytes));
                check_salvage(base, &damaged, true).unwrap();
                checked += 1;
            }
        }
        assert!(checked > 30, "{checked}");
    }

    fn is_manifest(file: &(&std::path::PathBuf, &Arc<Vec<u8>>)) -> bool {
        file.0.to_string_lossy().starts_with("MANIFEST")
    }

    #[test]
    fn a_log_that_is_damaged_and_cut_hides_no_loss() {
        let base = named("unclean").unwrap().make().unwrap();
        let (path, whole) = base.files.iter().rfind(|(path, _)| path.starts_with("wal")).unwrap();
        let frames = crate::frames::frames(whole);
        for (bad, cut) in frames.iter().zip(&frames[1..]) {
            let mut bytes = whole[..cut.end].to_vec();
            bytes[bad.end - 9] ^= 1;
            let mut damaged = Damaged::new(base.files.clone());
            damaged.files.insert(path.clone(), Arc::new(bytes));
            check_salvage(&base, &damaged, false).unwrap();
        }
    }

    #[test]
    fn what_is_missing_without_being_reported_is_noticed() {
        let good = named("unclean").unwrap().make().unwrap();
        let damaged = Damaged::new(good.files.clone());
        check_salvage(&good, &damaged, true).unwrap();
        let mut more = good.clone();
        more.truth.commit(vec![Change::Put(b"lost".to_vec(), b"1".to_vec())]);
        let complaint = check_salvage(&more, &damaged, true).unwrap_err();
        assert!(complaint.contains("not there and not reported as lost"), "{complaint}");
        let mut other = good.clone();
        other.truth = Truth::default();
        for _ in 0..good.truth.newest() {
            other.truth.commit(vec![Change::Put(b"other".to_vec(), b"1".to_vec())]);
        }
        assert!(check_salvage(&other, &damaged, true).unwrap_err().contains("never was there"));
    }
}
