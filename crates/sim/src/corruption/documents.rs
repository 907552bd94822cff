//! Damage to document stores: an answer is right or an error that says why there is none, and what is salvaged is true.
//!
//! The stores are the golden ones of [`crate::golden::documents`]. Of a store that was closed nothing may be missing without
//! a word; of one that was not, the end of the log may be, and then it is the store of an earlier commit.

use std::path::Path;
use std::sync::Arc;

use fountain_engine::keys::{Key, encode};
use fountain_engine::{
    CollectionId, ContentFaultCode, Error, ErrorCode, Page, ReadTier, SalvageReport, ScanEnd, ScanRequest,
    StorageOptions, Store, View, salvage, verify,
};
use fountain_lsm::{Direction, KeyRange, LossCode};

use super::judge::{Verdict, check_untouched};
use super::mutant::Damaged;
use crate::disk::SimFs;
use crate::golden::documents::{Collection, Expected, compare, options};
use crate::golden::{Base, STORE, disk_with};

/// Where the saved store goes.
pub(super) const SAVED: &str = "/saved";

/// Judges a damaged document store; `Err` says what must not be.
pub(super) fn judge(expected: &Expected, damaged: &Damaged) -> Result<Verdict, String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let store = match Store::open(Path::new(STORE), options(&fs, expected.now)) {
        Ok(store) => store,
        Err(error) => {
            check_refusal(&error)?;
            check_untouched(&fs, &damaged.files)?;
            return Ok(Verdict::Refused);
        }
    };
    let last = store.sequence().get();
    if damaged.forged {
        // Whatever it says, it says it without breaking.
        let _ = compare(&store, expected, 0..=last.min(expected.sequence));
        return Ok(Verdict::Forged);
    }
    let discarded = !store.recovery_report().discarded.is_empty();
    if last > expected.sequence || (expected.clean && last < expected.sequence) {
        return Err(format!("it ends with commit {last} instead of {}", expected.sequence));
    }
    let noticed = compare(&store, expected, 0..=last)?;
    let closed = store.close();
    drop(store);
    match closed {
        _ if !noticed.is_empty() => Ok(Verdict::NoticedByReads),
        Err(error) => Err(format!("it does not close: {}: {error}", error.code)),
        Ok(()) if last == expected.sequence && discarded => Ok(Verdict::Repaired),
        Ok(()) if last == expected.sequence => Ok(Verdict::Unaffected),
        Ok(()) if discarded => Ok(Verdict::LostTail),
        Ok(()) => Ok(Verdict::CutTail),
    }
}

pub(super) fn check_refusal(error: &Error) -> Result<(), String> {
    match error.code {
        ErrorCode::Corrupt
        | ErrorCode::Io
        | ErrorCode::NewerFormat
        | ErrorCode::NotAStore
        | ErrorCode::NotFound => Ok(()),
        code => Err(format!("refused with {code}: {error}")),
    }
}

/// What verification says must fit what became of the store.
pub(super) fn check_verify(damaged: &Damaged, verdict: Verdict) -> Result<(), String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let found = verify(Path::new(STORE), &storage(&fs));
    check_untouched(&fs, &damaged.files)?;
    match found {
        Ok(report) if report.is_sound() && matches!(verdict, Verdict::Refused | Verdict::NoticedByReads) => {
            Err("verification found nothing wrong".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => check_refusal(&error),
    }
}

fn storage(fs: &SimFs) -> StorageOptions {
    StorageOptions { fs: Arc::new(fs.clone()), ..StorageOptions::default() }
}

/// Salvages the damaged store; `Err` says what must not be.
pub(super) fn check_salvage(base: &Base, expected: &Expected, damaged: &Damaged) -> Result<(), String> {
    let fs = SimFs::new(disk_with(&damaged.files));
    let outcome = salvage(Path::new(STORE), Path::new(SAVED), &storage(&fs));
    check_untouched(&fs, &damaged.files)?;
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return check_refusal(&error).map_err(|what| format!("salvage {what}")),
    };
    check_saved(base, expected, damaged, &fs, &report)
}

/// Compares what was saved with what is expected.
pub(super) fn check_saved(
    base: &Base,
    expected: &Expected,
    damaged: &Damaged,
    fs: &SimFs,
    report: &SalvageReport,
) -> Result<(), String> {
    let store = Store::open(Path::new(SAVED), options(fs, expected.now))
        .map_err(|error| format!("what was saved does not open: {}: {error}", error.code))?;
    if damaged.forged || (report.storage.source_store != base.store() && damaged.is_mostly_foreign(base)) {
        return Ok(());
    }
    let saved = Saved { expected, report, store: &store };
    saved.check().map_err(|what| format!("what was saved: {what}; losses: {:?}", report.storage.losses))?;
    store.close().map_err(|error| format!("what was saved does not close: {error}"))?;
    let report = verify(Path::new(SAVED), &storage(fs)).map_err(|error| error.to_string())?;
    let contents = report.contents.ok_or("what was saved has files with faults")?;
    let is_lost_shape =
        |code, found: &str| code == ContentFaultCode::Record && found.contains("which is lost");
    match contents.faults.iter().find(|fault| !is_lost_shape(fault.code, &fault.found)) {
        Some(fault) => Err(format!("what was saved has a fault: {fault:?}")),
        None => Ok(()),
    }
}

/// A store that was salvaged.
struct Saved<'a> {
    expected: &'a Expected,
    report: &'a SalvageReport,
    store: &'a Store,
}

impl Saved<'_> {
    fn check(&self) -> Result<(), String> {
        let (storage, last) = (&self.report.storage, self.expected.sequence);
        if storage.is_complete() {
            let from = storage.history_from.get();
            let whole = self.is_as_of(from, last);
            // A log that was not closed and ends with a whole commit tells nothing of later ones.
            let ends_earlier = || (from..last).rev().any(|last| self.is_as_of(from, last).is_ok());
            return if !self.expected.clean && ends_earlier() { Ok(()) } else { whole };
        }
        for id in self.report.collections.keys() {
            let collection = self.expected.collections.get(&id.get()).ok_or("a collection from nowhere")?;
            let entry = [&[0, 0, 0, 0, 1][..], collection.name.as_bytes()].concat();
            if collection.dropped.is_some() && !self.may_lack_deletion(&entry) {
                return Err(format!("{}, which was dropped, is there again", collection.name));
            }
            self.records(*id, collection)?;
        }
        for (id, collection) in &self.expected.collections {
            let is_saved = self.report.collections.keys().any(|saved| saved.get() == *id);
            let keys = || collection.live_at(last).into_keys().map(str::to_owned).collect::<Vec<_>>();
            if !is_saved && collection.is_there(last) && !keys().iter().all(|key| self.may_lack(*id, key)) {
                return Err(format!("{} is missing", collection.name));
            }
        }
        Ok(())
    }

    /// Whether it is the store as of a commit, but for what mended it.
    fn is_as_of(&self, from: u64, last: u64) -> Result<(), String> {
        let there = self.expected.collections.values().filter(|collection| collection.is_there(last));
        if self.report.collections.len() != there.count() {
            return Err(format!("other collections than as of {last}: {:?}", self.report.collections));
        }
        let noticed = compare(self.store, self.expected, from..=last)?;
        noticed.first().map_or(Ok(()), |noticed| Err(noticed.clone()))
    }

    /// Whether the report says that something is missing which concerns a storage key.
    fn is_lost(&self, key: &[u8]) -> bool {
        self.report.storage.losses.iter().any(|loss| loss.keys.contains(key))
    }

    /// Whether the deletion of a single key may be among what is missing.
    fn may_lack_deletion(&self, key: &[u8]) -> bool {
        let losses = self.report.storage.losses.iter().filter(|loss| loss.code != LossCode::RangeDeletions);
        losses.map(|loss| &loss.keys).any(|keys| keys.contains(key))
    }

    fn may_lack(&self, collection: u32, key: &str) -> bool {
        let Ok(key) = encode(&Key::String(key.to_owned())) else { return false };
        self.is_lost(&[&collection.to_be_bytes()[..], &key].concat())
    }

    /// Each record is what it was at the newest commit, or the report names it and then it is what it was once, or says that
    /// its shape is lost.
    fn records(&self, id: CollectionId, collection: &Collection) -> Result<(), String> {
        let newest = collection.records_at(self.expected.sequence);
        for (key, versions) in &collection.records {
            let at = |what: &str| format!("{key} of {} {what}", collection.name);
            let encoded = encode(&Key::String(key.clone())).map_err(|error| error.to_string())?;
            let found =
                self.store.get(id, &encoded, None, ReadTier::Disk).map_err(|error| at(&error.message))?;
            let text = found.map(|found| self.store.to_json(&found)).transpose();
            let text = match text {
                Ok(text) => text,
                Err(error) if error.code == ErrorCode::Corrupt && error.message.contains("which is lost") => {
                    continue;
                }
                Err(error) => return Err(at(&format!("is {}: {error}", error.code))),
            };
            let due = newest.get(key.as_str()).copied();
            let has_expired = collection.expired.contains(key) && text.is_none();
            if text.as_deref() == due || has_expired {
                continue;
            }
            if !self.may_lack(id.get(), key) {
                return Err(at(&format!("is {text:?} and not {due:?}")));
            }
            let was_so = |text: &String| versions.iter().any(|(_, version)| version.as_ref() == Some(text));
            if text.as_ref().is_some_and(|text| !was_so(text)) {
                return Err(at(&format!("is {text:?}, which it never was")));
            }
        }
        self.no_others(id, collection)
    }

    /// No record that never was.
    fn no_others(&self, collection: CollectionId, expected: &Collection) -> Result<(), String> {
        let known: Vec<_> =
            expected.records.keys().filter_map(|key| encode(&Key::String(key.clone())).ok()).collect();
        let mut request = ScanRequest {
            collection,
            range: KeyRange::default(),
            direction: Direction::Forward,
            at: View::Newest,
            max_records: 16,
            max_bytes: usize::MAX,
        };
        let mut page = Page::new();
        loop {
            let end = match self.store.scan(&request, ReadTier::Disk, &mut page) {
                Ok(end) => end,
                // Whether it expires cannot be known without its shape.
                Err(error) if error.code == ErrorCode::Corrupt && error.message.contains("which is lost") => {
                    return Ok(());
                }
                Err(error) => return Err(error.to_string()),
            };
            for (key, _) in page.records() {
                if !known.iter().any(|known| known == key) {
                    return Err(format!("{} has a record {key:?}", expected.name));
                }
            }
            if end == ScanEnd::Done {
                return Ok(());
            }
            request.continue_after(&page);
        }
    }
}
