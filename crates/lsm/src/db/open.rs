//! Finds, makes and recovers a store.
//!
//! Nothing is written before it is certain that the directory is a store of a known format, or empty. Recovery only
//! adds files until the new manifest is current; a crash at any moment before that leaves the old store as it was,
//! a crash after it leaves left-overs that the next open removes.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::commit::{CommitQueue, Log, Publisher};
use super::directory::{prepare_directory, take_back};
use super::flush::Place;
use super::health::HealthState;
use super::inner::{Current, Inner, Work};
use super::obsolete::Obsolete;
use super::pressure::Throttle;
use super::preview::{Found, Preview, open_tables};
use super::progress::Progress;
use super::recover::{Discarded, Portions, Recoverer, RecoveryReport};
use super::turn::Turn;
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::StorePaths;
use crate::fs::{Fs, Lock, LockAttempt, tolerate};
use crate::limits::{LOG_HELD_MEMTABLES, RECOVERY_THREADS};
use crate::listing::Listing;
use crate::manifest::{Loaded, ManifestLog, StoreState, Version, refuse_newer};
use crate::marks::{Mark, hit};
use crate::memtable::Memtable;
use crate::metrics::Counters;
use crate::options::Options;
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::RetentionRules;
use crate::snapshot::SnapshotRegistry;
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Condvar, Mutex};
use crate::table::Table;
use crate::timeline::Timekeeper;
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::{ReplayEnd, WalWriter, replay_segments};

/// A store as recovered, before it takes commits.
struct Recovered {
    store: StoreId,
    state: StoreState,
    /// The tables of the state, opened.
    version: Version,
    last: Seq,
    timekeeper: Timekeeper,
    report: RecoveryReport,
    /// Tables made from the log.
    from_log: Vec<FileNumber>,
    /// The manifest had lost its end, so left-overs go to quarantine instead of being removed.
    suspicious: bool,
}

/// Opens a store. `check`, if there is one, is shown what an existing one holds of some keys before anything of it is changed;
/// what it refuses with is what the caller gets.
pub(super) fn open<E: From<Error>>(
    dir: &Path,
    options: Options,
    check: Option<Check<'_, E>>,
) -> std::result::Result<Inner, E> {
    let counters = Arc::new(Counters::default());
    let timed = Arc::clone(&counters);
    let _timer = timed.latencies.open.time();
    let fs = Arc::clone(&options.fs);
    let paths = StorePaths::new(dir);
    prepare_directory(fs.as_ref(), &paths, options.create_if_missing)?;
    refuse_newer(fs.as_ref(), &paths)?;
    let lock = take_lock(fs.as_ref(), &paths)?;
    let listing = list(fs.as_ref(), &paths)?;
    let cache = BlockCache::new(options.cache_bytes).recorded_in(Arc::clone(&counters));
    let cache = Arc::new(cache);
    let mut recovered = if listing.has_current {
        let found = Found::read(fs.as_ref(), &paths, &listing, &cache)?;
        let _timer = timed.latencies.recovery.time();
        recover(fs.as_ref(), &paths, &options, &listing, &cache, found, check)?
    } else {
        create(fs.as_ref(), &paths, &options, &listing)?
    };
    if planted::active(Bug::TimesNotSettled) {
        recovered.timekeeper.observe(options.clock.now(), recovered.last);
    } else {
        recovered.timekeeper.settle(options.clock.now(), recovered.last);
    }
    recovered.state.timeline = recovered.timekeeper.timeline().clone();
    quarantine_orphans(fs.as_ref(), &paths, &listing, &mut recovered)
        .inspect_err(|_| recovered.discard(fs.as_ref(), &paths))?;
    if planted::active(Bug::OldLogDeletedFirst) {
        listing.segments.iter().for_each(|&number| drop(fs.remove(&paths.wal(number))));
    }
    let (manifest, wal) =
        start_logs(&fs, &paths, &counters, &listing, &mut recovered).inspect_err(|error| {
            // After any other failure it may be that the new manifest names them.
            if error.changed_nothing() {
                recovered.discard(fs.as_ref(), &paths);
            }
        })?;
    clean_up(fs.as_ref(), &paths, &listing, manifest.state(), &mut recovered);
    Ok(assemble(options, paths, counters, lock, Logs { manifest, wal }, cache, recovered))
}

impl Recovered {
    /// Removes the tables that were made from the log, when opening fails after all: the log still holds everything,
    /// and on a full disk the next attempt needs their space.
    fn discard(&self, fs: &dyn Fs, paths: &StorePaths) {
        for &number in &self.from_log {
            hit(Mark::RecoveryTakenBack);
            tolerate(fs.remove(&paths.table(number)));
        }
    }
}

/// The two logs of an opened store.
struct Logs {
    manifest: ManifestLog,
    wal: WalWriter,
}

/// What [`Bug::LockIgnored`] holds.
struct IgnoredLock;

impl Lock for IgnoredLock {}

fn take_lock(fs: &dyn Fs, paths: &StorePaths) -> Result<Box<dyn Lock>> {
    match fs.try_lock(&paths.lock()).map_err(|e| Error::io("lock", &paths.lock(), e))? {
        LockAttempt::Held(lock) => Ok(lock),
        LockAttempt::Busy(_) if planted::active(Bug::LockIgnored) => Ok(Box::new(IgnoredLock)),
        LockAttempt::Busy(pid) => {
            hit(Mark::LockRefused);
            Err(Error::Locked { path: paths.root().to_path_buf(), pid })
        }
    }
}

/// Makes the directories of the store and looks what is in them.
fn list(fs: &dyn Fs, paths: &StorePaths) -> Result<Listing> {
    for dir in [paths.wal_dir(), paths.table_dir()] {
        fs.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
    }
    Listing::read(fs, paths)
}

/// A new store. Left-overs of creations that died are fine; data without `CURRENT` is not.
fn create(fs: &dyn Fs, paths: &StorePaths, options: &Options, listing: &Listing) -> Result<Recovered> {
    if !options.create_if_missing {
        return Err(Error::Missing { path: paths.root().to_path_buf() });
    }
    if listing.may_hold_data(fs, paths)? {
        let what = "CURRENT is missing, but the directory holds data";
        return Err(Error::corrupt(&paths.current(), 0, what).coded(FaultCode::Missing));
    }
    let store = match options.store_id {
        Some(store) => store,
        None => random_store_id(paths.root())?,
    };
    if !listing.manifests.is_empty() || !listing.segments.is_empty() {
        hit(Mark::CreationResumed);
    }
    let state = StoreState { next_file: listing.next_number(paths)?, ..StoreState::default() };
    let report = RecoveryReport { created: true, ..RecoveryReport::default() };
    Ok(Recovered {
        store,
        state,
        version: Version::default(),
        last: Seq::ZERO,
        timekeeper: Timekeeper::default(),
        report,
        from_log: Vec::new(),
        suspicious: false,
    })
}

/// An id for a new store.
pub(crate) fn random_store_id(root: &Path) -> Result<StoreId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Error::system("draw an id for", root, std::io::Error::other(e)))?;
    Ok(StoreId(id))
}

/// The keys that somebody wants to see before the store is changed, and what is asked then.
pub(super) struct Check<'a, E> {
    pub(super) keys: &'a KeyRange,
    pub(super) passes: Box<Judge<'a, E>>,
}

type Judge<'a, E> = dyn FnOnce(&Preview) -> std::result::Result<(), E> + 'a;

/// Reads the log of an existing store and writes its commits into tables. The log is read once, unless `check` has to pass
/// first and there is more of it than memory is meant for.
fn recover<E: From<Error>>(
    fs: &dyn Fs,
    paths: &StorePaths,
    options: &Options,
    listing: &Listing,
    cache: &Arc<BlockCache>,
    found: Found,
    check: Option<Check<'_, E>>,
) -> std::result::Result<Recovered, E> {
    let Loaded { store, number, state, .. } = &found.loaded;
    let known =
        if planted::active(Bug::NumberReused) { FileNumber(0) } else { listing.next_number(paths)? };
    let next_file = state.next_file.max(known).max(FileNumber(number.0 + 1));
    let first = Place { fs, paths, store: *store, number: next_file, form: options.table_form() };
    let portions = Portions::of(options.memtable_bytes, recovery_threads(options));
    let writing = || Recoverer::new(first, portions, Timekeeper::new(state.timeline.clone()));
    let (mut recoverer, mut read) = (writing(), None);
    if let Some(Check { keys, passes }) = check {
        recoverer = recoverer.holding(options.memtable_bytes.saturating_mul(LOG_HELD_MEMTABLES));
        let (preview, end) = Preview::read_for(fs, paths, &found, keys, &mut recoverer)?;
        passes(&preview)?;
        if recoverer.has_all() {
            read = Some(end);
        } else {
            recoverer = writing();
        }
    }
    let replayed = match read {
        Some(end) => Ok(end),
        None => replay_segments(fs, paths, *store, &found.segments, state.last_seq, &mut recoverer),
    };
    let opened = replayed.and_then(|end| {
        recoverer.finish()?;
        let new = recoverer.tables.iter().map(|meta| (0, meta));
        Ok((end, open_tables(fs, paths, *store, cache, new)?))
    });
    let (end, new) = opened.inspect_err(|_| recoverer.discard())?;
    Ok(recovered(found, &end, new, recoverer))
}

/// How many threads write tables. None but the caller's where all is to be done on that one.
fn recovery_threads(options: &Options) -> usize {
    if options.background {
        std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(RECOVERY_THREADS)
    } else {
        1
    }
}

fn recovered(
    found: Found,
    end: &ReplayEnd,
    new: Vec<(usize, Arc<Table>)>,
    recoverer: Recoverer<'_>,
) -> Recovered {
    let Found { loaded: Loaded { store, mut state, discarded, .. }, version, .. } = found;
    let version = version.edited(&[], new);
    let suspicious = discarded.is_some();
    if suspicious {
        hit(Mark::TornManifest);
    }
    let report = report(&state, end, discarded);
    state.next_file = recoverer.next_file();
    state.last_seq = end.last_seq;
    state.floors.lower_to(end.last_seq);
    let from_log = recoverer.tables.iter().map(|meta| meta.number).collect();
    for meta in recoverer.tables {
        state.tables.insert(meta.number, (0, meta));
    }
    let (last, timekeeper) = (end.last_seq, recoverer.timekeeper);
    Recovered { store, state, version, last, timekeeper, report, from_log, suspicious }
}

fn report(state: &StoreState, end: &ReplayEnd, manifest: Option<(PathBuf, u64)>) -> RecoveryReport {
    let cut_short = |(path, bytes): (PathBuf, u64)| Discarded {
        path,
        bytes,
        reason: "an append that was cut short".to_owned(),
    };
    let clean = state.closed_cleanly && end.clean_close && manifest.is_none();
    let discarded = manifest.into_iter().chain(end.discarded.clone()).map(cut_short);
    if clean {
        hit(Mark::CleanOpen);
    }
    RecoveryReport {
        created: false,
        clean,
        replayed_commits: end.commits,
        replayed_bytes: end.bytes,
        discarded: discarded.filter(|_| !planted::active(Bug::DiscardNotReported)).collect(),
        quarantined: Vec::new(),
        removed_files: 0,
    }
}

/// Starts a new log segment and a new manifest; with the latter the recovered store becomes the store.
fn start_logs(
    fs: &Arc<dyn Fs>,
    paths: &StorePaths,
    counters: &Arc<Counters>,
    listing: &Listing,
    recovered: &mut Recovered,
) -> Result<(ManifestLog, WalWriter)> {
    let is_new = recovered.report.created;
    let state = &mut recovered.state;
    let mut take = || {
        let number = state.next_file;
        state.next_file = FileNumber(number.0 + 1);
        number
    };
    let (segment, manifest) = (take(), take());
    if is_new || !planted::active(Bug::OldLogStaysInUse) {
        state.log_number = segment;
    }
    state.closed_cleanly = false;
    let first = recovered.last.checked_add(1).unwrap_or(Seq::MAX);
    let store = recovered.store;
    let begin = (segment, first);
    let wal = WalWriter::create(Arc::clone(fs), paths.clone(), store, Arc::clone(counters), begin)?;
    let (fs, state) = (Arc::clone(fs), state.clone());
    // The directories were made before; their names must be on disk before anything in them counts.
    if let Err(error) = fs.sync_dir(paths.root()).map_err(|e| Error::sync_dir(paths.root(), e)) {
        drop(wal);
        if is_new {
            take_back(fs.as_ref(), paths, listing.segments.iter().copied().chain([segment]));
        }
        return Err(error);
    }
    let manifest = ManifestLog::create(fs, paths.clone(), store, Arc::clone(counters), manifest, state)?;
    Ok((manifest, wal))
}

/// Moves tables aside that a manifest without its end does not name. Done durably before it is replaced by one that looks
/// clean: otherwise, should this fail or a crash undo it, the next open would take them for plain left-overs.
fn quarantine_orphans(
    fs: &dyn Fs,
    paths: &StorePaths,
    listing: &Listing,
    recovered: &mut Recovered,
) -> Result<()> {
    if !recovered.suspicious {
        return Ok(());
    }
    let orphans = orphans(paths, listing, &recovered.state);
    if orphans.is_empty() {
        return Ok(());
    }
    for path in orphans {
        recovered.report.quarantined.push(quarantine(fs, paths, &path)?);
        hit(Mark::OrphanQuarantined);
    }
    // The new names before the loss of the old ones; that of the directory is the root's.
    for dir in [paths.root(), &paths.quarantine_dir(), &paths.table_dir()] {
        fs.sync_dir(dir).map_err(|e| Error::sync_dir(dir, e))?;
    }
    Ok(())
}

fn orphans(paths: &StorePaths, listing: &Listing, state: &StoreState) -> Vec<PathBuf> {
    let orphans = listing.tables.iter().filter(|number| !state.tables.contains_key(number));
    orphans.map(|&number| paths.table(number)).collect()
}

/// Removes what a crash or the previous session left behind. What cannot be removed now, the next open tries again.
fn clean_up(
    fs: &dyn Fs,
    paths: &StorePaths,
    listing: &Listing,
    state: &StoreState,
    recovered: &mut Recovered,
) {
    if planted::active(Bug::LeftOversStay) {
        return;
    }
    let manifests = listing.manifests.iter().map(|&number| paths.manifest(number));
    let mut left_over: Vec<_> = manifests.collect();
    let segments = listing.segments.iter().filter(|&&number| number < state.log_number);
    left_over.extend(segments.map(|&number| paths.wal(number)));
    if !recovered.suspicious {
        left_over.extend(orphans(paths, listing, state));
    }
    for path in left_over {
        if tolerate(fs.remove(&path)).is_some() {
            recovered.report.removed_files += 1;
            hit(Mark::LeftOverRemoved);
        }
    }
}

fn quarantine(fs: &dyn Fs, paths: &StorePaths, path: &Path) -> Result<PathBuf> {
    let dir = paths.quarantine_dir();
    fs.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
    let kept = dir.join(path.file_name().unwrap_or_default());
    fs.rename(path, &kept).map_err(|e| Error::io("move aside", path, e))?;
    Ok(kept)
}

fn assemble(
    options: Options,
    paths: StorePaths,
    counters: Arc<Counters>,
    lock: Box<dyn Lock>,
    Logs { manifest, wal }: Logs,
    cache: Arc<BlockCache>,
    recovered: Recovered,
) -> Inner {
    let state = manifest.state();
    let current = Current {
        active: Arc::new(Memtable::new(state.log_number)),
        sealed: Vec::new(),
        version: Arc::new(recovered.version),
        floors: Arc::new(state.floors.clone()),
    };
    Inner {
        store: recovered.store,
        recovery: recovered.report,
        counters,
        cache,
        snapshots: SnapshotRegistry::new(state.floors.clone()),
        rules: ArcSwap::from_pointee(RetentionRules::new(options.retention)),
        current: ArcSwap::from_pointee(current),
        swap: Mutex::new(()),
        next_file: AtomicU64::new(state.next_file.0),
        segments: Mutex::new(vec![state.log_number]),
        manifest: Mutex::new(manifest),
        queue: CommitQueue::default(),
        log: Mutex::new(Log {
            wal,
            last: recovered.last,
            sealed: recovered.last,
            groups: 0,
            quiet: recovered.timekeeper.quiet(),
        }),
        timekeeper: Mutex::new(recovered.timekeeper),
        publisher: Publisher::default(),
        visible: AtomicU64::new(recovered.last.get()),
        health: HealthState::default(),
        closing: AtomicBool::new(false),
        closed: Mutex::new(None),
        progress: Progress::default(),
        debt: AtomicU64::new(0),
        throttle: Throttle::default(),
        ingesting: Turn::default(),
        rotation_wanted: AtomicBool::new(false),
        checkpointing: Mutex::new(()),
        obsolete: Obsolete::default(),
        rotating_ahead: Mutex::new(false),
        flushing: Mutex::new(()),
        compacting: Turn::default(),
        cancel: AtomicBool::new(false),
        cancel_asked: AtomicBool::new(false),
        work: Mutex::new(Work::default()),
        work_changed: Condvar::new(),
        lock: Mutex::new(Some(lock)),
        options,
        paths,
    }
}
