//! Does the steps of a scenario to a store, and checks after each what the table of faults says. How its store ends and
//! opens again is told in `lifetime`.

mod lifetime;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fountain_lsm::{
    Db, Durability, Error, Health, Job, ManualClock, Options, Retention, Snapshot, StoreId, Timestamp,
};

use super::fault::{Class, Expected, expected};
use super::fs::{FaultFs, Plan, Seen};
use super::health::{DEGRADED, DISK_FULL, Failing, Work};
use super::saved::check_salvage;
use super::script::{Change, Step};
use super::truth::{self, Op, Truth};
use crate::disk::{Disk, SimFs};

/// Where the store is.
pub const STORE: &str = "/data/store";

/// A store and everything that is known of it.
pub struct Session {
    pub fs: FaultFs,
    pub disk: SimFs,
    pub truth: Truth,
    pub db: Option<Db>,
    /// Checkpoints that were promised, and their sequences.
    pub checkpoints: Vec<(PathBuf, u64)>,
    plan: Option<Plan>,
    retention: Retention,
    snapshots: Vec<Snapshot>,
    poisoned: bool,
    failing: Failing,
    /// Some request about a manifest finds no space, which does not count as a fault.
    without_space: bool,
    roomy: bool,
    /// Requests that may change the disk, when the store was poisoned.
    changes_when_poisoned: u64,
    place: usize,
}

/// How stores are opened.
pub fn options(fs: Arc<dyn fountain_lsm::fs::Fs>, retention: Retention) -> Options {
    Options {
        fs,
        store_id: Some(StoreId([7; 16])),
        cache_bytes: 16 << 10,
        memtable_bytes: 8 << 10,
        wal_segment_bytes: 6 << 10,
        table_bytes: 8 << 10,
        retention,
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000))),
        background: false,
        ..Options::default()
    }
}

impl Session {
    /// A session on an empty disk, in which one thing may go wrong.
    pub fn new(plan: Option<Plan>) -> Self {
        let disk = SimFs::default();
        let fs = FaultFs::new(disk.clone());
        if let Some(plan) = plan {
            fs.arm(plan);
        }
        Self {
            fs,
            disk,
            truth: Truth::default(),
            db: None,
            checkpoints: Vec::new(),
            plan,
            retention: Retention::Unbounded,
            snapshots: Vec::new(),
            poisoned: false,
            failing: Failing::default(),
            without_space: false,
            roomy: false,
            changes_when_poisoned: 0,
            place: 0,
        }
    }

    /// Whether the store takes no more commits.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Opens the store and does all steps.
    pub fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        self.open(0)?;
        for (place, step) in steps.iter().enumerate() {
            self.place = place + 1;
            self.step(*step).map_err(|what| format!("step {} ({step:?}): {what}", self.place))?;
            self.look_around().map_err(|what| format!("after step {} ({step:?}): {what}", self.place))?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Commit(change, durability) => self.commit(change, durability),
            Step::Flush => self.durably(Work::Flush, Db::flush),
            Step::Compact => self.durably(Work::Compact, Db::compact),
            Step::CompactSome => self.call(Work::Some, |db| db.step(Job::Compact).map(|_| ())).map(|_| ()),
            Step::FlushSome => self.call(Work::Some, |db| db.step(Job::Flush).map(|_| ())).map(|_| ()),
            Step::Snapshot => {
                self.snapshots.extend(self.db.as_ref().map(Db::snapshot));
                Ok(())
            }
            Step::Release => {
                self.snapshots.clear();
                Ok(())
            }
            Step::Latest => {
                (self.retention, self.truth.forgets) = (Retention::LatestOnly, true);
                self.reopen(true)
            }
            Step::Checkpoint => self.checkpoint(),
            Step::NoLinks => {
                self.disk.refuse_links();
                Ok(())
            }
            Step::Ingest => self.ingest(),
            Step::IngestUnsorted => {
                let records = [(b"key 05", b"5"), (b"key 03", b"3")];
                match self.call(Work::Some, |db| db.ingest(records))? {
                    Ok(_) => Err("records out of order were taken".to_owned()),
                    Err(_) => Ok(()),
                }
            }
            Step::Scrub => self.scrub(),
            Step::Read => self.read(),
            Step::Reopen => self.reopen(true),
            Step::Abandon => self.reopen(false),
            Step::PowerLoss => self.power_loss(),
            Step::FullManifest => {
                self.fs.fill_manifests(1);
                self.without_space = true;
                Ok(())
            }
            Step::Roomy => {
                self.roomy = true;
                self.reopen(true)
            }
            Step::TearManifest | Step::TearAbandoned => {
                self.close(step == Step::TearManifest)?;
                self.leave_strange_table();
                self.disk.change_disk(tear_manifest);
                self.open(self.truth.promised(Durability::Os))
            }
            Step::LeaveCopy => {
                let piece = copy_path(self.place + 1).with_extension("tmp").join("tables/000001.sst");
                self.disk.change_disk(|disk| disk.put(&piece, vec![7; 300]));
                Ok(())
            }
            Step::VerifyClosed => self.verify_closed(),
            Step::VerifyNameless => self.verify_nameless(),
            Step::Salvage | Step::SalvageMaimed => {
                self.close(false)?;
                check_salvage(&self.fs, &self.disk, &self.truth, step == Step::SalvageMaimed)?;
                self.open(self.truth.promised(Durability::Os))
            }
            Step::OpenTwice => {
                let second = Db::open(Path::new(STORE), self.options());
                match second {
                    Ok(_) => Err("a store that is open was opened again".to_owned()),
                    Err(_) => Ok(()),
                }
            }
        }
    }

    fn options(&self) -> Options {
        let options = options(Arc::new(self.fs.clone()), self.retention);
        if self.roomy {
            return Options { memtable_bytes: 256 << 10, wal_segment_bytes: 256 << 10, ..options };
        }
        options
    }

    /// A table that no manifest names.
    fn leave_strange_table(&self) {
        self.disk.change_disk(|disk| disk.put(&Path::new(STORE).join("tables/000900.sst"), vec![7; 300]));
    }

    fn db(&self) -> Result<&Db, String> {
        self.db.as_ref().ok_or_else(|| "no store is open".to_owned())
    }

    /// Calls the store and checks what follows from what went wrong meanwhile.
    fn call<T>(
        &mut self,
        work: Work,
        act: impl FnOnce(&Db) -> fountain_lsm::Result<T>,
    ) -> Result<fountain_lsm::Result<T>, String> {
        let before = self.fs.seen();
        let outcome = act(self.db()?);
        let now = self.fs.seen();
        let error = outcome.as_ref().err();
        self.judge(&before, &now, error)?;
        if !self.poisoned {
            let is_commit = matches!(work, Work::Commit(_));
            self.failing.note(work, error, self.shows(&before, &now).filter(|_| is_commit));
        }
        Ok(outcome)
    }

    /// How what went wrong between two moments shows where it is not answered.
    fn shows(&self, before: &Seen, now: &Seen) -> Option<u64> {
        let fault = self.plan.filter(|_| now.injected > before.injected).map(|plan| plan.fault);
        match fault {
            Some(fault) if !fault.is_want() => Some(DEGRADED),
            Some(_) => Some(DISK_FULL),
            None => self.without_space.then_some(DISK_FULL),
        }
    }

    fn judge(&mut self, before: &Seen, now: &Seen, error: Option<&Error>) -> Result<(), String> {
        let health = self.db()?.health();
        if self.poisoned {
            return match error {
                Some(Error::Poisoned { .. }) => Ok(()),
                other => Err(format!("a poisoned store answered {other:?}")),
            };
        }
        if now.surfaced > before.surfaced && error.is_none() {
            return Err(format!("an error was kept from the caller: {:?}", self.fs.injected().last()));
        }
        let expected_error = matches!(error, Some(Error::Unsorted { .. } | Error::HistoryTruncated { .. }));
        if let Some(error) = error
            && now.injected == before.injected
            && !expected_error
            && !self.is_full()
        {
            return Err(format!("an error without a reason: {error}"));
        }
        self.poisoned = matches!(health, Health::Poisoned { .. });
        if self.poisoned {
            self.changes_when_poisoned = now.changes;
        }
        self.check_table(before, now)
    }

    /// Whether the error may come from [`Step::FullManifest`].
    fn is_full(&self) -> bool {
        matches!(self.db.as_ref().map(Db::health), Some(Health::DiskFull { .. }))
    }

    /// What the table of faults says, when one request went wrong.
    fn check_table(&self, before: &Seen, now: &Seen) -> Result<(), String> {
        let Some(plan) = self.plan.filter(|plan| !plan.for_ever && now.injected > before.injected) else {
            return Ok(());
        };
        let injected = self.fs.injected();
        let Some(request) = injected.last().filter(|request| request.path.starts_with(STORE)) else {
            return Ok(());
        };
        let must = expected(request.kind, Class::of(&request.path), plan.fault);
        let is = if self.poisoned { Expected::Poisoned } else { Expected::Alive };
        if must == is {
            return Ok(());
        }
        Err(format!("after {:?} of {request:?} the store is {is:?}; expected {must:?}", plan.fault))
    }

    fn commit(&mut self, change: Change, durability: Durability) -> Result<(), String> {
        let commits = truth::commits(change, self.place);
        let before = self.truth.last();
        let batches = commits.iter().map(|ops| truth::batch(ops)).collect::<Result<Vec<_>, _>>();
        let batches = batches.map_err(|error| error.to_string())?;
        let was_poisoned = self.poisoned;
        if !was_poisoned {
            for ops in &commits {
                self.truth.begin(ops);
            }
        }
        match self.call(Work::Commit(durability), |db| db.commit_many(batches, durability))? {
            Ok(range) if range.first.get() == before + 1 && range.last.get() == self.truth.last() => {
                self.truth.acknowledge(durability);
                Ok(())
            }
            Ok(range) => Err(format!("commits after {before} got the sequences {range:?}")),
            Err(_) => self.refused(before),
        }
    }

    /// A commit was refused: it has not happened, or, if that is not known, nobody sees it.
    fn refused(&mut self, before: u64) -> Result<(), String> {
        if !self.poisoned {
            self.truth.forget_after(before);
        }
        let visible = self.db()?.visible().get();
        if visible > before {
            return Err(format!("a commit that was refused is visible, as {visible}"));
        }
        Ok(())
    }

    fn durably(
        &mut self,
        work: Work,
        act: impl FnOnce(&Db) -> fountain_lsm::Result<()>,
    ) -> Result<(), String> {
        if self.call(work, act)?.is_ok() {
            self.truth.acknowledge(Durability::Disk);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let dest = copy_path(self.place);
        let prepared = fountain_lsm::fs::Fs::create_dir(&self.disk, Path::new("/copies"))
            .and_then(|()| fountain_lsm::fs::Fs::sync_dir(&self.disk, Path::new("/")));
        prepared.map_err(|error| error.to_string())?;
        let visible = self.db()?.visible().get();
        match self.call(Work::Some, |db| db.checkpoint(&dest))? {
            Ok(info) if info.sequence.get() < visible => {
                Err(format!("a checkpoint holds {}, but {visible} was visible", info.sequence))
            }
            Ok(info) => {
                self.checkpoints.push((dest, info.sequence.get()));
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn ingest(&mut self) -> Result<(), String> {
        let records: Vec<_> =
            (2..7).map(|nth| (truth::key(nth), truth::value(self.place, nth, 300))).collect();
        let before = self.truth.last();
        let ops: Vec<_> = records.iter().map(|(key, value)| Op::Put(key.clone(), value.clone())).collect();
        if !self.poisoned {
            self.truth.begin(&ops);
        }
        match self.call(Work::Some, |db| db.ingest(records))? {
            Ok(seq) if seq.get() == before + 1 => {
                self.truth.acknowledge(Durability::Disk);
                Ok(())
            }
            Ok(seq) => Err(format!("an ingest after {before} got the sequence {seq}")),
            Err(_) => self.refused(before),
        }
    }

    fn scrub(&mut self) -> Result<(), String> {
        let before = self.fs.seen();
        let report = self.db()?.scrub().map_err(|error| error.to_string())?;
        let now = self.fs.seen();
        let wrong = report.faults().next().map(|(path, fault)| format!("{}: {fault:?}", path.display()));
        match wrong {
            // What is on disk is not known then, and need not be what the store believes.
            Some(_) if self.poisoned => Ok(()),
            Some(wrong) if now.injected == before.injected => Err(format!("a scrub found {wrong}")),
            None if now.surfaced > before.surfaced => Err("a scrub hid an error".to_owned()),
            _ => Ok(()),
        }
    }

    /// Every kind of read: the truth, or an error with a reason.
    pub fn read(&mut self) -> Result<(), String> {
        let injected = std::cell::Cell::new(self.fs.seen().injected);
        let may_fail = || {
            let now = self.fs.seen().injected;
            injected.replace(now) < now
        };
        self.truth.compare(self.db()?, &may_fail)
    }

    /// What must hold after every step.
    fn look_around(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.fs.take_wrong().into_iter().next() {
            return Err(wrong);
        }
        let db = self.db()?;
        let visible = db.visible().get();
        self.failing.check(db, self.poisoned)?;
        if visible > self.truth.last() {
            return Err(format!("{visible} is visible, but only {} was begun", self.truth.last()));
        }
        let key = truth::key(self.place);
        let before = self.fs.seen();
        let found = db.get_newest(&key, fountain_lsm::ReadTier::Disk);
        let excused = self.fs.seen().injected > before.injected;
        match found {
            Ok(found)
                if found.as_ref().map(|value| value.to_vec()).as_ref()
                    == self.truth.states[visible as usize].get(&key) => {}
            Ok(_) => return Err(format!("{} is wrong", String::from_utf8_lossy(&key))),
            Err(_) if excused => {}
            Err(error) => return Err(format!("a read failed without a reason: {error}")),
        }
        if self.poisoned && self.fs.seen().changes > self.changes_when_poisoned {
            return Err("a poisoned store changed the disk".to_owned());
        }
        Ok(())
    }
}

/// Where the step at a place puts its checkpoint.
fn copy_path(place: usize) -> PathBuf {
    PathBuf::from(format!("/copies/{place}"))
}

/// Puts bytes behind the last edit of the manifest that nobody vouches for.
fn tear_manifest(disk: &mut Disk) {
    let Some(store) = disk.lookup(Path::new(STORE)) else { return };
    let manifests = disk.entries(store).filter(|(name, _)| name.starts_with("MANIFEST"));
    let found: Vec<_> = manifests.map(|(name, file)| (name.to_string(), file)).collect();
    for (name, file) in found {
        let mut bytes = disk.bytes(file).map(|bytes| Vec::clone(bytes)).unwrap_or_default();
        bytes.extend_from_slice(&[0xE1; 40]);
        disk.put(&Path::new(STORE).join(name), bytes);
    }
}
