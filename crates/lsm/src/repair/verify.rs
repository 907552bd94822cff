//! Checks every file of a store that nobody has open, and tells everything that is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::notes::{Note, NoteCode, measure, note_rest};
use super::survey::Survey;
use crate::cache::BlockCache;
use crate::db::{Found, Preview};
use crate::error::{Error, Result};
use crate::fault::{CheckedFile, Fault, FaultCode};
use crate::fs::{Fs, RealFs};
use crate::limits::{PREVIEW_CACHE_BYTES, VERIFY_LOG_BYTES};
use crate::manifest::{ManifestSurvey, arrangement_faults};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::table::{Table, TableMeta};
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::{LogSurvey, Nowhere, survey_log};

/// How [`verify`] works.
#[derive(Clone)]
pub struct VerifyOptions {
    /// The file system. Default: the operating system's.
    pub fs: Arc<dyn Fs>,
    /// Bytes of log up to which [`verify_with`] holds what is in it in memory. With more, what is in the store is not looked
    /// at. Default: 1 GiB.
    pub log_bytes: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { fs: Arc::new(RealFs), log_bytes: VERIFY_LOG_BYTES }
    }
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The store's directory.
    pub path: PathBuf,
    /// The store's id, if any file still has it.
    pub store: Option<StoreId>,
    /// The newest commit that could be read.
    pub sequence: Seq,
    /// The store was closed in good order after it.
    pub closed_cleanly: bool,
    /// Every file that counts, with what is wrong with it.
    pub files: Vec<CheckedFile>,
    /// What the store does not need or can do without; nothing of it is wrong.
    pub notes: Vec<Note>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults().next().is_none()
    }

    /// Everything that is wrong, with its file.
    pub fn faults(&self) -> impl Iterator<Item = (&Path, &Fault)> {
        self.files.iter().flat_map(|file| file.faults.iter().map(|fault| (file.path.as_path(), fault)))
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes of the log, whose segments lie in this directory.
    fn log_bytes(&self, dir: &Path) -> u64 {
        self.files.iter().filter(|file| file.path.parent() == Some(dir)).map(|file| file.bytes).sum()
    }
}

/// Reads every file of the store in `dir` and proves it: `CURRENT` and manifest, tables with every block, log; checksums,
/// order, counts, filters, sequences, links, and that levels are arranged as they must be. Goes on after a fault. Writes
/// nothing, takes no lock, and needs a store that nobody has open, whether it can be opened or not.
///
/// # Errors
/// [`Error::Locked`] if somebody has it open or opened it meanwhile; [`Error::Missing`], [`Error::NotAStore`] and
/// [`Error::Newer`] by what is found; [`Error::Io`] if the directory cannot be read. What is wrong with a file, one
/// that cannot be read included, is in the report.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<VerifyReport> {
    let fs = options.fs.as_ref();
    let survey = Survey::of(fs, dir)?;
    let report = check_files(dir, fs, &survey)?;
    survey.confirm_unchanged(fs)?;
    Ok(report)
}

/// As [`verify`], for a layer above that has something to check, too: if every file is sound, `inspect` is shown the newest
/// state of the store, with all that is in its log in memory. Of a store with a larger log than
/// [`VerifyOptions::log_bytes`] it is shown nothing, and a note says so: opening and closing it makes tables of that.
///
/// # Errors
/// As [`verify`], and what `inspect` fails with.
pub fn verify_with<T, E: From<Error>>(
    dir: &Path,
    options: &VerifyOptions,
    inspect: impl FnOnce(&Preview) -> std::result::Result<T, E>,
) -> std::result::Result<(VerifyReport, Option<T>), E> {
    let fs = options.fs.as_ref();
    let survey = Survey::of(fs, dir)?;
    let mut report = check_files(dir, fs, &survey)?;
    let log_bytes = report.log_bytes(&survey.paths.wal_dir());
    let fits = log_bytes <= options.log_bytes;
    let preview = || {
        let cache = Arc::new(BlockCache::new(PREVIEW_CACHE_BYTES));
        let found = Found::read(fs, &survey.paths, &survey.listing, &cache)?;
        Preview::read(fs, &survey.paths, &found, &KeyRange::default())
    };
    let has_contents = report.is_sound() && survey.listing.has_current;
    if has_contents && !fits {
        let path = survey.paths.wal_dir();
        report.notes.push(Note { path, code: NoteCode::LargeLog, offset: 0, bytes: log_bytes });
    }
    let inspected = if has_contents && fits {
        Some(preview().map_err(E::from).and_then(|preview| inspect(&preview)))
    } else {
        None
    };
    // Before what was found: if somebody has opened the store meanwhile, it says nothing.
    survey.confirm_unchanged(fs)?;
    Ok((report, inspected.transpose()?))
}

fn check_files(dir: &Path, fs: &dyn Fs, survey: &Survey) -> Result<VerifyReport> {
    let manifest = survey.current.manifest.as_ref();
    let mut check = Check { fs, survey, files: Vec::new(), notes: Vec::new() };
    check.current();
    if let Some(manifest) = manifest {
        check.manifest(manifest);
    }
    check.tables(manifest)?;
    let log = check.log(manifest)?;
    check.unasked();
    let Check { mut files, mut notes, .. } = check;
    notes.extend(note_rest(fs, survey, &mut files));
    let says_closed =
        manifest.is_some_and(|manifest| manifest.state.closed_cleanly && manifest.torn.is_none());
    Ok(VerifyReport {
        path: dir.to_path_buf(),
        store: survey.identity.store,
        sequence: log.last_seq,
        closed_cleanly: says_closed && log.clean_close,
        files,
        notes,
    })
}

/// Adds a fault that is not there yet.
fn add_new(faults: &mut Vec<Fault>, fault: Option<Fault>) {
    faults.extend(fault.filter(|fault| !faults.contains(fault)));
}

/// A check under way.
struct Check<'a> {
    fs: &'a dyn Fs,
    survey: &'a Survey,
    files: Vec<CheckedFile>,
    notes: Vec<Note>,
}

impl Check<'_> {
    fn current(&mut self) {
        let path = self.survey.paths.current();
        let mut file = self.file(&path);
        file.blocks = u64::from(self.survey.current.fault.is_none());
        add_new(&mut file.faults, self.survey.unreadable.clone());
        add_new(&mut file.faults, self.survey.current.fault.clone());
        self.files.push(file);
    }

    fn manifest(&mut self, manifest: &ManifestSurvey) {
        let mut file = CheckedFile::new(&manifest.path, manifest.bytes);
        file.blocks = manifest.edits;
        file.faults.clone_from(&manifest.faults);
        if manifest.is_sound() {
            let state = &manifest.state;
            let tables = state.tables.values().map(|(level, meta)| (*level, meta));
            file.faults.extend(arrangement_faults(tables, state.last_seq));
        }
        self.files.push(file);
        if let Some((offset, bytes)) = manifest.torn {
            self.note(&manifest.path, NoteCode::TornTail, offset, bytes);
        }
    }

    /// Checks the tables that count: those that the manifest names; if that has a fault, all that there are.
    fn tables(&mut self, manifest: Option<&ManifestSurvey>) -> Result<()> {
        let named = manifest.map(|manifest| &manifest.state.tables);
        let mut metas: Vec<(FileNumber, Option<&TableMeta>)> =
            named.into_iter().flatten().map(|(number, (_, meta))| (*number, Some(meta))).collect();
        if planted::active(Bug::VerifySkipsTables) {
            metas.clear();
        }
        if !manifest.is_some_and(ManifestSurvey::is_sound) {
            let unnamed = |number: &&FileNumber| !named.is_some_and(|named| named.contains_key(number));
            metas.extend(self.survey.listing.tables.iter().filter(unnamed).map(|&number| (number, None)));
            metas.sort_by_key(|(number, _)| *number);
        }
        for (number, meta) in metas {
            let file = self.table(number, meta)?;
            self.files.push(file);
        }
        Ok(())
    }

    fn table(&self, number: FileNumber, meta: Option<&TableMeta>) -> Result<CheckedFile> {
        let path = self.survey.paths.table(number);
        let mut file = self.file(&path);
        let Some(store) = self.survey.identity.store else {
            let found = "no file tells to which store it belongs, so nothing in it can be checked";
            file.faults.push(Fault::whole(FaultCode::Tail, found));
            return Ok(file);
        };
        let cache = Arc::new(BlockCache::new(0));
        let opened = match meta {
            Some(meta) => Table::open(self.fs, path, store, meta.clone(), cache),
            None => Table::open_unnamed(self.fs, path, store, number, cache),
        };
        match opened {
            Ok(table) => {
                let (blocks, faults) = Arc::new(table).scrub();
                file.blocks = blocks;
                file.faults.extend(faults.iter().map(Fault::from));
            }
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => add_new(&mut file.faults, Some(Fault::from(&error))),
        }
        Ok(file)
    }

    fn log(&mut self, manifest: Option<&ManifestSurvey>) -> Result<LogSurvey> {
        let sound = manifest.filter(|manifest| manifest.is_sound());
        let first = manifest.map_or(FileNumber(0), |manifest| manifest.state.log_number);
        let numbers: Vec<FileNumber> = self.survey.listing.segments.range(first..).copied().collect();
        let paths = &self.survey.paths;
        if sound.is_some() && numbers.first() != Some(&first) {
            let mut file = CheckedFile::new(&paths.wal(first), 0);
            let found = "the log segment that the manifest names is not there";
            file.faults.push(Fault::whole(FaultCode::Missing, found));
            self.files.push(file);
        }
        let Some(store) = self.survey.identity.store else { return Ok(LogSurvey::default()) };
        let covered = sound.map(|manifest| manifest.state.last_seq);
        let log = survey_log(self.fs, paths, store, &numbers, covered, &mut Nowhere);
        for segment in &log.segments {
            segment.refuse_newer()?;
            let mut file = CheckedFile::new(&segment.path, segment.bytes);
            file.blocks = segment.commits;
            if !planted::active(Bug::VerifySkipsLog) {
                file.faults.clone_from(&segment.faults);
            }
            self.files.push(file);
        }
        if let Some(number) = log.missing {
            let mut file = CheckedFile::new(&paths.wal(number), 0);
            let found = "it is missing or empty, though the segment before it says that the log goes on here";
            file.faults.push(Fault::whole(FaultCode::Missing, found));
            self.files.push(file);
        }
        if let Some((path, offset, bytes)) = &log.torn
            && !planted::active(Bug::TornTailNotNoted)
        {
            hit(Mark::TornTailNoted);
            self.note(path, NoteCode::TornTail, *offset, *bytes);
        }
        Ok(log)
    }

    /// What was refused when files were asked whose they are is a fault, too, even if it was for a moment only.
    fn unasked(&mut self) {
        for (path, fault) in &self.survey.identity.unreadable {
            match self.files.iter_mut().find(|file| file.path == *path) {
                Some(file) => add_new(&mut file.faults, Some(fault.clone())),
                None => {
                    let faults = vec![fault.clone()];
                    self.files.push(CheckedFile { faults, ..CheckedFile::new(path, 0) });
                }
            }
        }
    }

    fn note(&mut self, path: &Path, code: NoteCode, offset: u64, bytes: u64) {
        self.notes.push(Note { path: path.to_path_buf(), code, offset, bytes });
    }

    /// A file about to be checked. That it cannot be opened or measured is a fault, if only of its own.
    fn file(&self, path: &Path) -> CheckedFile {
        let measured = measure(self.fs, path);
        let mut file = CheckedFile::new(path, *measured.as_ref().unwrap_or(&0));
        file.faults.extend(measured.err().as_ref().map(Fault::from));
        file
    }
}
