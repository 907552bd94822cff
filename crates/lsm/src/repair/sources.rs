//! What is to be read of a store that may be damaged: which manifest to go by, which tables and log segments count, and
//! what of them is there.

use std::path::Path;

use super::loss::{Loss, LossCode};
use super::merge::Target;
use super::survey::Survey;
use crate::batch::OpKind;
use crate::db::{Place, Portions, Recoverer, SeqRange};
use crate::error::{Error, Result};
use crate::fault::{CheckedFile, Fault, FaultCode};
use crate::fs::Fs;
use crate::manifest::{ManifestSurvey, StoreState, survey_manifest};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::table::{Gap, Remains, TableForm, TableMeta};
use crate::timeline::{Stamp, Timekeeper};
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::{LogSurvey, LostCommits, Replay, survey_log};

/// Everything that can be read of a store.
pub(super) struct Sources {
    /// The manifest is whole and is the one that counts.
    pub(super) certain: bool,
    /// What it says, as far as it can be read.
    pub(super) state: StoreState,
    pub(super) tables: Vec<Remains>,
    pub(super) timekeeper: Timekeeper,
    pub(super) log_commits: u64,
    /// The newest commit that is known to have been there.
    pub(super) last: Seq,
    pub(super) files: Vec<CheckedFile>,
    pub(super) losses: Vec<Loss>,
}

impl Sources {
    /// Reads the store that `survey` has looked at, whose id is `store`. Commits of its log are put into tables of
    /// `target`, which are then among the sources.
    pub(super) fn read(
        fs: &dyn Fs,
        survey: &Survey,
        store: StoreId,
        target: &mut Target<'_>,
    ) -> Result<Self> {
        let (manifest, certain) = choose_manifest(fs, survey)?;
        let mut sources = Self {
            certain,
            state: manifest.as_ref().map(|manifest| manifest.state.clone()).unwrap_or_default(),
            tables: Vec::new(),
            timekeeper: Timekeeper::default(),
            log_commits: 0,
            last: Seq::ZERO,
            files: manifest_files(survey, manifest.as_ref()),
            losses: Vec::new(),
        };
        sources.timekeeper = Timekeeper::new(sources.state.timeline.clone());
        if !certain {
            sources.losses.push(uncertain(survey, manifest.as_ref()));
        }
        for (number, meta) in tables_that_count(survey, manifest.as_ref(), certain) {
            sources.table(Remains::of(fs, survey.paths.table(number), store, number, meta.as_ref())?);
        }
        let in_source = sources.tables.len();
        let covered = sources.tables.iter().map(Remains::greatest).max().unwrap_or_default();
        sources.last = covered.max(sources.state.last_seq);
        sources.log(fs, survey, store, target)?;
        if !certain {
            sources.place_ingested(in_source);
        }
        Ok(sources)
    }

    /// Gives tables of bulk ingests, which are among the first `in_source`, a sequence where nobody tells theirs: the first
    /// one after all tables with smaller numbers that lies in no other table and not in the log.
    fn place_ingested(&mut self, in_source: usize) {
        let taken: Vec<(Seq, Seq)> = self
            .tables
            .iter()
            .filter(|left| !left.has_no_place())
            .filter_map(|left| Some((left.least()?, left.greatest())))
            .collect();
        let mut newest = Seq::ZERO;
        for left in &mut self.tables[..in_source] {
            if !left.has_no_place() {
                newest = newest.max(left.greatest());
                continue;
            }
            let next = |seq: Seq| seq.checked_add(1).unwrap_or(Seq::MAX);
            let mut base = next(newest);
            while let Some((_, greatest)) =
                taken.iter().find(|(least, greatest)| (*least..=*greatest).contains(&base))
                && base < Seq::MAX
            {
                base = next(*greatest);
            }
            hit(Mark::IngestPlaced);
            left.place(base);
            self.last = self.last.max(base);
            self.losses.push(out_of_order(left, newest));
        }
    }

    fn table(&mut self, left: Remains) {
        let mut file = CheckedFile::new(left.path(), left.size);
        file.blocks = left.pieces.len() as u64;
        file.faults.clone_from(&left.faults);
        self.files.push(file);
        if !planted::active(Bug::SalvageGapsNotReported) {
            self.losses.extend(left.gaps.iter().map(|gap| lost_in(left.path(), gap, self.certain)));
        }
        self.tables.push(left);
    }

    fn log(&mut self, fs: &dyn Fs, survey: &Survey, store: StoreId, target: &mut Target<'_>) -> Result<()> {
        let oldest = if self.certain { self.state.log_number } else { FileNumber(0) };
        let numbers: Vec<FileNumber> = survey.listing.segments.range(oldest..).copied().collect();
        let covered = self.certain.then_some(self.state.last_seq);
        let first = Place {
            fs: target.fs,
            paths: target.paths,
            store: target.store,
            number: target.next_file,
            form: TableForm { layout: target.options.table_layout, prefixes: None },
        };
        let portions = Portions::of(target.options.memtable_bytes, 1);
        let timekeeper = std::mem::take(&mut self.timekeeper);
        let mut kept = Whole::new(Recoverer::new(first, portions, timekeeper));
        let mut log = survey_log(fs, &survey.paths, store, &numbers, covered, &mut kept);
        if self.certain && numbers.first() != Some(&oldest) {
            self.missing_segment(&survey.paths.wal(oldest), &mut log);
        }
        self.note_log(survey, log)?;
        let mut recoverer = kept.finish()?;
        target.next_file = recoverer.next_file();
        self.timekeeper = std::mem::take(&mut recoverer.timekeeper);
        for meta in &recoverer.tables {
            let path = target.paths.table(meta.number);
            let written = Remains::of(target.fs, path, target.store, meta.number, Some(meta))?;
            if let Some(fault) = written.faults.first() {
                // It was written a moment ago.
                return Err(
                    Error::corrupt(written.path(), fault.offset, fault.found.clone()).coded(fault.code)
                );
            }
            self.tables.push(written);
        }
        Ok(())
    }

    /// The log does not begin where the manifest says.
    fn missing_segment(&mut self, path: &Path, log: &mut LogSurvey) {
        hit(Mark::SalvageSegmentMissing);
        let found = "the log segment that the manifest names is not there";
        let mut file = CheckedFile::new(path, 0);
        file.faults.push(Fault::whole(FaultCode::Missing, found));
        self.files.push(file);
        let due = self.state.last_seq.checked_add(1).unwrap_or(Seq::MAX);
        match log.lost.first_mut() {
            Some(lost) if lost.first == due => lost.path = path.to_path_buf(),
            _ if log.commits > 0 => {}
            _ => {
                let path = path.to_path_buf();
                log.lost.push(LostCommits { path, offset: 0, bytes: 0, first: due, last: Seq::MAX });
            }
        }
    }

    fn note_log(&mut self, survey: &Survey, log: LogSurvey) -> Result<()> {
        let is_damaged = log.segments.iter().any(|segment| !segment.faults.is_empty());
        let last = log.segments.last().filter(|_| is_damaged);
        let last_damaged = last.map(|segment| (segment.path.clone(), segment.bytes));
        for segment in log.segments {
            segment.refuse_newer()?;
            let mut file = CheckedFile::new(&segment.path, segment.bytes);
            file.blocks = segment.commits;
            file.faults = segment.faults;
            self.files.push(file);
        }
        self.log_commits = log.commits;
        self.last = self.last.max(log.last_seq);
        let behind = self.last.checked_add(1).unwrap_or(Seq::MAX);
        let mut end_is_lost = log.missing.is_some() || log.torn.is_some();
        for lost in log.lost {
            hit(Mark::SalvageBehindLoss);
            end_is_lost |= lost.last == Seq::MAX;
            let known = if lost.last == Seq::MAX { lost.first.get() - 1 } else { lost.last.get() };
            self.last = self.last.max(Seq::new(known).unwrap_or_default());
            let found = "no commit can be read here".to_owned();
            if !planted::active(Bug::SalvageLogLossNotReported) {
                self.lose_commits(LossCode::Log, lost, found);
            }
        }
        let open_end =
            |path, offset, bytes| LostCommits { path, offset, bytes, first: behind, last: Seq::MAX };
        if let Some(number) = log.missing {
            let lost = open_end(survey.paths.wal(number), 0, 0);
            let found = "it is missing or empty, though the segment before it says that the log goes on here";
            self.lose_commits(LossCode::Log, lost, found.to_owned());
        }
        if let Some((path, offset, bytes)) = log.torn {
            let found = "bytes that nobody vouches for: an append that was cut short, or damage".to_owned();
            self.lose_commits(LossCode::TornTail, open_end(path, offset, bytes), found);
        }
        if let Some((path, end)) = last_damaged.filter(|_| !log.clean_close && !end_is_lost) {
            hit(Mark::SalvageOpenEnd);
            let found = "the log is damaged, and nothing says that it was to end here".to_owned();
            self.lose_commits(LossCode::TornTail, open_end(path, end, 0), found);
        }
        Ok(())
    }

    fn lose_commits(&mut self, code: LossCode, lost: LostCommits, found: String) {
        let LostCommits { path, offset, bytes, first, last } = lost;
        self.losses.push(Loss {
            code,
            path,
            offset,
            bytes,
            keys: KeyRange::default(),
            sequences: SeqRange { first, last },
            certain: code == LossCode::Log,
            found,
        });
    }
}

/// The manifest to go by, and whether it is certain that it describes the store.
///
/// If the one that `CURRENT` names is no use, the newest one is right if it is whole: an open that died may have written
/// it, and then it describes the same store in other words. One that is older than that of `CURRENT` is out of date. One
/// without its end may be, too.
fn choose_manifest(fs: &dyn Fs, survey: &Survey) -> Result<(Option<ManifestSurvey>, bool)> {
    let current = &survey.current;
    let named = current.manifest.as_ref().filter(|_| current.fault.is_none());
    if named.is_some_and(|found| is_whole(found, survey)) {
        return Ok((current.manifest.clone(), true));
    }
    if let Some(&newest) = survey.listing.manifests.last()
        && named.is_none_or(|named| newest > named.number)
    {
        let found = survey_manifest(fs, &survey.paths, newest)?;
        if found.is_sound() && found.store == survey.identity.store {
            hit(Mark::SalvageByNewest);
            let whole = is_whole(&found, survey);
            return Ok((Some(found), whole));
        }
    }
    Ok((current.manifest.clone(), false))
}

/// Whether a manifest is that of these files and has all of its edits. If it is an older one in the place of another, files
/// that it names are gone and there are tables of which it cannot know.
fn is_whole(manifest: &ManifestSurvey, survey: &Survey) -> bool {
    let (state, listing) = (&manifest.state, &survey.listing);
    let names_what_is_gone = !listing.segments.contains(&state.log_number)
        || state.tables.keys().any(|number| !listing.tables.contains(number));
    let is_out_of_date =
        names_what_is_gone && listing.tables.last().is_some_and(|newest| *newest >= state.next_file);
    manifest.is_sound() && manifest.torn.is_none() && !is_out_of_date && survey.identity.undisputed
}

fn manifest_files(survey: &Survey, manifest: Option<&ManifestSurvey>) -> Vec<CheckedFile> {
    let mut current = CheckedFile::new(&survey.paths.current(), 0);
    current.faults.extend(survey.current.fault.clone().or_else(|| survey.unreadable.clone()));
    let named = survey.current.manifest.as_ref().filter(|_| survey.current.fault.is_none());
    let surveys =
        named.into_iter().chain(manifest.filter(|used| named.is_none_or(|named| named.path != used.path)));
    let file = |found: &ManifestSurvey| CheckedFile {
        blocks: found.edits,
        faults: found.faults.clone(),
        ..CheckedFile::new(&found.path, found.bytes)
    };
    std::iter::once(current).chain(surveys.map(file)).collect()
}

fn uncertain(survey: &Survey, manifest: Option<&ManifestSurvey>) -> Loss {
    let path = manifest.map_or_else(|| survey.paths.current(), |manifest| manifest.path.clone());
    let fault = manifest.and_then(|manifest| manifest.faults.first());
    let found = match (manifest, fault) {
        (_, Some(fault)) => fault.found.as_str(),
        (Some(_), None) if !survey.identity.undisputed => "as many files belong to another store",
        (Some(_), None) => "the manifest is cut short or out of date",
        (None, None) => "there is no manifest",
    };
    Loss {
        code: LossCode::Manifest,
        path,
        offset: fault.map_or(0, |fault| fault.offset),
        bytes: 0,
        keys: KeyRange::default(),
        sequences: SeqRange { first: Seq::ZERO, last: Seq::MAX },
        certain: false,
        found: format!("it is not certain which tables and log segments belong to the store: {found}"),
    }
}

/// The tables to read, ascending: those that the manifest names; if it is not certain, also all that it may have named.
fn tables_that_count(
    survey: &Survey,
    manifest: Option<&ManifestSurvey>,
    certain: bool,
) -> Vec<(FileNumber, Option<TableMeta>)> {
    let named = manifest.into_iter().flat_map(|manifest| &manifest.state.tables);
    let mut tables: Vec<_> = named.map(|(&number, (_, meta))| (number, Some(meta.clone()))).collect();
    if certain || planted::active(Bug::SalvageSkipsUnnamed) {
        return tables;
    }
    // The first edit describes a whole store: older tables that it does not name were left over then.
    let since = manifest.and_then(|manifest| manifest.first_new).unwrap_or(FileNumber(0));
    let may_count = |number: &FileNumber| {
        *number >= since
            && !manifest.is_some_and(|manifest| {
                manifest.state.tables.contains_key(number) || manifest.removed.contains(number)
            })
    };
    tables.extend(
        survey.listing.tables.iter().filter(|number| may_count(number)).map(|&number| (number, None)),
    );
    tables.sort_by_key(|(number, _)| *number);
    tables
}

/// An ingest gets its sequence after its tables got their numbers, so it is newer than every table with a smaller number.
/// More is not known for certain.
fn out_of_order(left: &Remains, newest: Seq) -> Loss {
    Loss {
        code: LossCode::Order,
        path: left.path().to_path_buf(),
        offset: 0,
        bytes: left.size,
        keys: left.keys(),
        sequences: SeqRange { first: newest, last: Seq::MAX },
        certain: false,
        found: format!("a table of a bulk ingest; only the manifest knew which commit after {newest} it was"),
    }
}

fn lost_in(path: &Path, gap: &Gap, certain: bool) -> Loss {
    let whole = gap.offset == 0 && gap.bytes == 0;
    Loss {
        code: match gap {
            Gap { deletions_only: true, .. } => LossCode::RangeDeletions,
            Gap { greatest: Seq::MAX, .. } => LossCode::Table,
            _ if whole => LossCode::Table,
            _ => LossCode::Block,
        },
        path: path.to_path_buf(),
        offset: gap.offset,
        bytes: gap.bytes,
        keys: gap.keys.clone(),
        sequences: SeqRange { first: gap.least, last: gap.greatest },
        certain,
        found: gap.found.clone(),
    }
}

/// Passes on whole commits only: one whose operations cannot all be read is lost.
struct Whole<'a> {
    kept: Recoverer<'a>,
    seq: Seq,
    ops: Vec<(OpKind, Vec<u8>, Vec<u8>)>,
    stamp: Option<Stamp>,
    failure: Result<()>,
}

impl<'a> Whole<'a> {
    fn new(kept: Recoverer<'a>) -> Self {
        Self { kept, seq: Seq::ZERO, ops: Vec::new(), stamp: None, failure: Ok(()) }
    }

    fn begin(&mut self, seq: Seq) {
        if self.seq != seq {
            self.seq = seq;
            self.ops.clear();
            self.stamp = None;
        }
    }

    /// Writes the rest; fails if that or an earlier table could not be written.
    fn finish(mut self) -> Result<Recoverer<'a>> {
        self.failure?;
        self.kept.finish()?;
        Ok(self.kept)
    }
}

impl Replay for Whole<'_> {
    fn time(&mut self, seq: Seq, stamp: Stamp) {
        self.begin(seq);
        self.stamp = Some(stamp);
    }

    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
        self.begin(seq);
        self.ops.push((kind, key.to_vec(), value.to_vec()));
    }

    fn commit(&mut self, seq: Seq) -> Result<()> {
        self.begin(seq);
        self.failure.clone()?;
        if let Some(stamp) = self.stamp.take() {
            self.kept.time(seq, stamp);
        }
        for (kind, key, value) in self.ops.drain(..) {
            self.kept.op(seq, kind, &key, &value);
        }
        self.failure = self.kept.commit(seq);
        self.failure.clone()
    }
}
