//! Salvage of a document store that is cut short: by the end of the process or of the power at any change of the disk, or by
//! an error at any request.
//!
//! Whatever happens, the source stays as it is, and the destination is a whole store or none. Another attempt succeeds, also
//! beside what the first one left.

use std::path::Path;
use std::sync::Arc;

use fountain_engine::{SalvageReport, StorageOptions, salvage, verify};
use fountain_lsm::fs::Fs;

use super::documents::{SAVED, check_refusal, check_saved};
use super::judge::check_untouched;
use super::mutant::Damaged;
use super::{Subject, Subjects};
use crate::disk::{Crash, SimFs};
use crate::faults::{Fault, FaultFs, Plan};
use crate::golden::documents::Expected;
use crate::golden::{Base, STORE, disk_with};
use crate::random::Random;

/// The store of a case, and what it must say.
struct Cut<'a> {
    base: &'a Base,
    expected: &'a Expected,
    damaged: Damaged,
}

/// A salvage that is cut short; all of it follows from the seed.
///
/// # Errors
/// What must not be.
pub(super) fn case(subjects: &Subjects, seed: u64) -> Result<(), String> {
    let mut random = Random::nth(seed, 0xC07);
    let Subject { plan, documents: Some(expected) } = random.pick(&subjects.documents) else {
        return Err("a document store without its documents".to_owned());
    };
    let base = plan.base();
    // One in three has a fault that salvage may have to do without.
    let faults: Vec<u64> = if random.one_in(3) { vec![plan.draw(&mut random)] } else { Vec::new() };
    let damaged = plan.damage(&faults);
    if damaged.forged {
        return Ok(());
    }
    let cut = Cut { base, expected, damaged };
    let told = |what| format!("store '{}', damaged by {faults:?}: {what}", base.name);
    if random.one_in(2) { cut.dies(&mut random) } else { cut.fails(&mut random) }.map_err(told)
}

fn options(fs: Arc<dyn Fs>) -> StorageOptions {
    StorageOptions { fs, ..StorageOptions::default() }
}

fn attempt(fs: Arc<dyn Fs>) -> fountain_engine::Result<SalvageReport> {
    salvage(Path::new(STORE), Path::new(SAVED), &options(fs))
}

impl Cut<'_> {
    /// The process or the machine dies at some change of the disk.
    fn dies(&self, random: &mut Random) -> Result<(), String> {
        let fs = SimFs::new(disk_with(&self.damaged.files));
        let mut disk = fs.record_from();
        let succeeds = attempt(Arc::new(fs.clone())).is_ok();
        let ops = fs.take_recording();
        // At the end what was answered must be there, which is most easily wrong.
        let at = if random.one_in(4) { ops.len() } else { random.below(ops.len() + 1) };
        ops[..at].iter().for_each(|op| disk.apply(op));
        let crash = match random.below(4) {
            0 => Crash::Kill,
            1 => Crash::Synced,
            2 => Crash::Prefix(random.bits()),
            _ => Crash::Garbage(random.bits()),
        };
        let fs = SimFs::new(disk.crash(&crash));
        let told = |what: String| format!("{crash:?} at change {at} of {}: {what}", ops.len());
        if succeeds && at == ops.len() && fs.list(Path::new(SAVED)).is_err() {
            return Err(told("what was answered to be saved is not there".to_owned()));
        }
        self.go_on(&fs, succeeds).map_err(told)
    }

    /// A request goes wrong, or all from one on.
    fn fails(&self, random: &mut Random) -> Result<(), String> {
        let disk = SimFs::new(disk_with(&self.damaged.files));
        let fs = FaultFs::new(disk);
        let succeeds = attempt(Arc::new(fs.clone())).is_ok();
        let requests = fs.requests();
        let at = random.below(requests.len().max(1));
        let fits = |fault: &Fault| requests.get(at).is_some_and(|request| fault.fits(request.kind));
        let fitting: Vec<_> = Fault::ALL.into_iter().filter(fits).collect();
        let plan = Plan { at, fault: *random.pick(&fitting), for_ever: random.one_in(3) };

        let disk = SimFs::new(disk_with(&self.damaged.files));
        let fs = FaultFs::new(disk.clone());
        fs.arm(plan);
        let told = |what| format!("{plan:?}, {:?}: {what}", requests.get(at));
        let outcome = attempt(Arc::new(fs.clone()));
        if let Some(wrong) = fs.take_wrong().into_iter().next() {
            return Err(told(wrong));
        }
        fs.heal();
        match &outcome {
            Ok(report) => self.saved(&disk, report).map_err(told),
            Err(_) => self.go_on(&disk, succeeds).map_err(told),
        }
    }

    /// What is there after a salvage that did not come to its end, and another attempt.
    fn go_on(&self, fs: &SimFs, succeeds: bool) -> Result<(), String> {
        check_untouched(fs, &self.damaged.files)?;
        if fs.list(Path::new(SAVED)).is_ok_and(|names| !names.is_empty()) {
            // The first attempt had come to its end but for its answer.
            let report = verify(Path::new(SAVED), &options(Arc::new(fs.clone())));
            let report = report.map_err(|error| format!("the destination is no store: {error}"))?;
            let lost = |found: &str| found.contains("which is lost");
            let contents = report.contents.as_ref().ok_or("half a store was left")?;
            return match contents.faults.iter().find(|fault| !lost(&fault.found)) {
                Some(fault) => Err(format!("half a store was left: {fault:?}")),
                None => Ok(()),
            };
        }
        match attempt(Arc::new(fs.clone())) {
            Ok(report) => self.saved(fs, &report),
            Err(error) if succeeds => Err(format!("another attempt fails: {error}")),
            Err(error) => check_refusal(&error),
        }
    }

    fn saved(&self, fs: &SimFs, report: &SalvageReport) -> Result<(), String> {
        check_untouched(fs, &self.damaged.files)?;
        check_saved(self.base, self.expected, &self.damaged, fs, report)
    }
}
