//! One life of a store: carries out steps, tells the model, and notes what was begun and what was acknowledged.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fountain_lsm::{
    Clock, Db, Durability, Error, Job, KeyRange, ManualClock, Retention, Seq, Snapshot, Timestamp, WriteBatch,
};

use super::config::Config;
use super::ledger::{Ledger, Mark};
use super::past::{AGE_MILLIS, Floors, Past};
use super::script::{Commit, Keep, Step};
use super::verify::{self, Found};
use crate::disk::SimFs;
use crate::model::{Bytes, Change, Model};
use crate::random::Random;

/// The first thing that is wrong, in words.
pub type Check<T> = Result<T, String>;

/// Where the store lies.
pub const STORE: &str = "/data/store";
/// When the first store is made, in milliseconds.
const BIRTH: u64 = 1_700_000_000_000;
/// Keys in use; few, so that they are overwritten and deleted often.
const KEYS: usize = 10;

/// A store in use.
pub struct Session<'a> {
    config: &'a Config,
    /// Its disk.
    pub fs: SimFs,
    db: Option<Db>,
    /// What it should hold, commits whose outcome is not known included.
    pub model: Model,
    /// What happened, and after how many recorded changes of the disk.
    pub marks: Vec<(usize, Mark)>,
    snapshots: Vec<Snapshot>,
    random: Random,
    clock: Arc<ManualClock>,
    /// Part of every value, so that a value of another session is not taken for one of this.
    signature: u16,
    past: Past,
    /// What may be gone, as it was noted last.
    floors: Floors,
    /// A fault is to be expected, and from then on an error is not a finding.
    pub faulty: bool,
    /// The fault came while a store was opened that was there before.
    pub failed_in_open: bool,
    /// Nothing more can be written.
    dead: bool,
}

/// Where a checkpoint with this number is made.
pub fn checkpoint_path(number: usize) -> PathBuf {
    PathBuf::from(format!("/data/copy{number}"))
}

fn key(number: usize) -> Bytes {
    format!("k{number:02}").as_bytes().into()
}

impl<'a> Session<'a> {
    /// A session on a disk, in which the model says what may be found, after what the ledger knows.
    pub fn new(config: &'a Config, fs: SimFs, model: Model, ledger: &Ledger, seed: u64) -> Self {
        let mut random = Random::nth(seed, 0x5E);
        let signature = random.bits() as u16;
        let later = *random.pick(&[1, 1000, 20_000]);
        let later = random.below(later) as u64;
        // One session in eight may find the clock set back.
        let since = if random.one_in(8) { BIRTH } else { ledger.now.max(BIRTH) };
        let now = Timestamp::from_millis(since + later);
        Self {
            config,
            fs,
            db: None,
            model,
            marks: Vec::new(),
            snapshots: Vec::new(),
            random,
            clock: Arc::new(ManualClock::new(now)),
            signature,
            past: Past::new(config.latest_only, Floors::default()),
            floors: Floors::default(),
            faulty: false,
            failed_in_open: false,
            dead: false,
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push((self.fs.recorded(), mark));
    }

    fn now(&self) -> u64 {
        self.clock.now().millis()
    }

    /// Notes what may be gone by now, if that is more than before.
    fn note_floors(&mut self) {
        let floors = self.past.floors(&self.model, self.now());
        if floors != self.floors {
            self.floors = floors;
            self.mark(Mark::Forgets(floors));
        }
    }

    fn begin(&mut self, last: u64) {
        self.note_floors();
        self.mark(Mark::Begun(last));
    }

    fn db(&self) -> Check<&Db> {
        self.db.as_ref().ok_or_else(|| "the store is not open".to_owned())
    }

    /// Whether the fault has come that was to be expected.
    pub fn has_failed(&self) -> bool {
        self.faulty && self.fs.has_failed()
    }

    /// Opens the store as somebody who knows only what was promised, and verifies it. Nothing is found where the fault keeps
    /// it from opening, which ends the session.
    pub fn open(&mut self, ledger: &Ledger) -> Check<Option<Found>> {
        let (before, had_failed) = (self.fs.read_bytes(), self.has_failed());
        let image_bytes = self.fs.with_disk(verify::bytes_of);
        // Before it, as opening writes down what time it is.
        let (now, mut ledger) = (self.now(), ledger.clone());
        ledger.clock_was_back |= now < ledger.now;
        if ledger.clock_was_back {
            self.mark(Mark::ClockBack);
        }
        self.mark(Mark::Time(now));
        let opened = Db::open(Path::new(STORE), self.config.options(&self.fs, &self.clock));
        self.failed_in_open |= ledger.created && self.has_failed() && !had_failed;
        let db = match opened {
            Ok(db) => db,
            Err(_) if self.has_failed() => {
                self.dead = true;
                return Ok(None);
            }
            Err(error) => return Err(format!("the store does not open: {error}")),
        };
        verify::effort(self.fs.read_bytes() - before, image_bytes)?;
        let floors = self.config.may_forget(&ledger);
        let found = verify::store(&db, &self.fs, &self.model, &ledger, &floors, now, &mut self.random)?;
        self.db = Some(db);
        self.model = self.model.upto(found.last);
        self.mark(Mark::Opened(found.last));
        self.floors = ledger.floors.lowered(found.last);
        self.past = Past::new(self.config.latest_only, self.floors);
        self.note_floors();
        Ok(Some(found))
    }

    /// Carries out steps until the end, or until a fault ends it.
    pub fn run(&mut self, steps: &[Step]) -> Check<()> {
        for step in steps {
            if self.dead {
                break;
            }
            self.step(*step).map_err(|what| format!("{step}: {what}"))?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Check<()> {
        self.clock.advance(Duration::from_millis(self.random.below(1500) as u64));
        self.note_floors();
        self.mark(Mark::Time(self.now()));
        match step {
            Step::Commit(commit, durability) => self.commit(commit, durability),
            Step::Flush => self.make_durable(Db::flush),
            Step::Compact => self.make_durable(Db::compact),
            Step::CompactRange => {
                let range = range_of(self.keys());
                self.make_durable(|db| db.compact_range(&range))
            }
            Step::Snapshot => {
                let snapshot = self.db()?.snapshot();
                self.snapshots.push(snapshot);
                Ok(())
            }
            Step::Release => {
                if !self.snapshots.is_empty() {
                    self.snapshots.remove(0);
                }
                Ok(())
            }
            Step::StepFlush => self.background(Job::Flush),
            Step::StepCompact => self.background(Job::Compact),
            Step::Checkpoint => self.checkpoint(),
            Step::Ingest => self.ingest(),
            Step::Reopen => self.reopen(true),
            Step::Abandon => self.reopen(false),
            Step::Retain(keep) => self.retain(keep),
        }?;
        self.check_snapshots()
    }

    fn commit(&mut self, commit: Commit, durability: Durability) -> Check<()> {
        let count = if commit == Commit::Many { 3 } else { 1 };
        let first = self.model.last() + 1;
        let mut batches = Vec::new();
        for _ in 0..count {
            let changes = self.changes(commit);
            batches.push(batch_of(&changes).map_err(|error| error.to_string())?);
            self.model.commit(&changes, self.now());
        }
        let last = self.model.last();
        self.begin(last);
        match self.db()?.commit_many(batches, durability) {
            Ok(range) if (range.first.get(), range.last.get()) == (first, last) => {
                self.mark(Mark::Acknowledged(last, durability));
                Ok(())
            }
            Ok(range) => Err(format!("sequences {range:?} instead of {first} to {last}")),
            Err(error) => {
                self.dead = true;
                self.excuse(&error)
            }
        }
    }

    /// The changes of one commit.
    fn changes(&mut self, commit: Commit) -> Vec<Change> {
        let one = |session: &mut Self| {
            let key = key(session.random.below(KEYS));
            if session.random.one_in(4) {
                Change::Delete(key)
            } else {
                let len = session.random.below(40);
                Change::Put(Bytes::clone(&key), session.value(&key, len))
            }
        };
        match commit {
            Commit::Put => {
                let key = key(self.random.below(KEYS));
                let len = self.random.below(40);
                vec![Change::Put(Bytes::clone(&key), self.value(&key, len))]
            }
            Commit::Big => {
                let key = key(self.random.below(KEYS));
                let len = self.random.within(3000..9000);
                vec![Change::Put(Bytes::clone(&key), self.value(&key, len))]
            }
            Commit::Delete => vec![Change::Delete(self.likely_key())],
            Commit::DeleteRange => {
                let (from, len) = (self.random.below(KEYS), self.random.within(1..5));
                let back = key(from);
                let value = self.value(&back, 3);
                vec![Change::DeleteRange(key(from), key(from + len)), Change::Put(back, value)]
            }
            Commit::Batch | Commit::Many => (0..self.random.within(2..6)).map(|_| one(self)).collect(),
            Commit::Empty => Vec::new(),
        }
    }

    /// A key that has a value, if any has.
    fn likely_key(&mut self) -> Bytes {
        let keys: Vec<_> = self.model.newest().keys().cloned().collect();
        if keys.is_empty() { key(0) } else { Bytes::clone(self.random.pick(&keys)) }
    }

    /// A value that no other commit has: it says for which key it is, in which commit and session it came about.
    fn value(&mut self, key: &[u8], len: usize) -> Bytes {
        let key = String::from_utf8_lossy(key);
        let mut value = format!("{}.{:x}.{key}:", self.model.last() + 1, self.signature).into_bytes();
        let from = value.len();
        // Half of it compresses, half does not.
        value.resize(from + len, b'.');
        self.random.fill(&mut value[from..from + len / 2]);
        value.into()
    }

    /// Numbers of some keys.
    fn keys(&mut self) -> std::ops::Range<usize> {
        let from = self.random.below(KEYS);
        from..from + self.random.within(1..6)
    }

    /// Something after which every commit so far is on disk.
    fn make_durable(&mut self, work: impl FnOnce(&Db) -> Result<(), Error>) -> Check<()> {
        match work(self.db()?) {
            Ok(()) => {
                self.mark(Mark::Acknowledged(self.model.last(), Durability::Disk));
                Ok(())
            }
            Err(error) => self.excuse(&error),
        }
    }

    fn background(&mut self, job: Job) -> Check<()> {
        match self.db()?.step(job) {
            Ok(_) => Ok(()),
            Err(error) => self.excuse(&error),
        }
    }

    fn excuse(&self, error: &Error) -> Check<()> {
        if self.has_failed() { Ok(()) } else { Err(format!("failed without a fault: {error}")) }
    }

    fn ingest(&mut self) -> Check<()> {
        let (from, count) = (self.random.below(KEYS), self.random.within(1..KEYS));
        let keys: Vec<_> = (from..from + count).map(key).collect();
        let records: Vec<_> =
            keys.into_iter().map(|key| (Bytes::clone(&key), self.value(&key, 20))).collect();
        let changes: Vec<_> =
            records.iter().map(|(key, value)| Change::Put(key.clone(), value.clone())).collect();
        let expected = self.model.commit(&changes, self.now());
        self.begin(expected);
        match self.db()?.ingest(records) {
            Ok(seq) if seq.get() == expected => {
                self.mark(Mark::Acknowledged(expected, Durability::Disk));
                Ok(())
            }
            Ok(seq) => Err(format!("sequence {seq} instead of {expected}")),
            Err(error) => {
                self.dead = true;
                self.excuse(&error)
            }
        }
    }

    /// To the first place that is free; so that what a crash left of an earlier attempt is met again.
    fn checkpoint(&mut self) -> Check<()> {
        let taken =
            |number: &usize| self.fs.with_disk(|disk| disk.lookup(&checkpoint_path(*number)).is_some());
        let mut number = 0;
        while taken(&number) {
            number += 1;
        }
        self.mark(Mark::CheckpointBegun(number));
        match self.db()?.checkpoint(&checkpoint_path(number)) {
            Ok(info) if info.sequence.get() == self.model.last() => {
                self.mark(Mark::Acknowledged(self.model.last(), Durability::Disk));
                self.mark(Mark::CheckpointDone(number, info.sequence.get()));
                Ok(())
            }
            Ok(info) => Err(format!("a checkpoint of {} instead of {}", info.sequence, self.model.last())),
            Err(error) => self.excuse(&error),
        }
    }

    fn retain(&mut self, keep: Keep) -> Check<()> {
        let keys = self.keys();
        let range = range_of(keys.clone());
        let retention = match keep {
            Keep::Latest => Retention::LatestOnly,
            Keep::Two => Retention::Versions(NonZeroU32::MIN.saturating_add(1)),
            Keep::Since => Retention::Since(self.db()?.visible()),
            Keep::Age => Retention::MaxAge(Duration::from_millis(AGE_MILLIS)),
        };
        self.db()?.set_retention(&range, retention);
        let now = self.now();
        self.past.retain(keys, keep, &self.model, now);
        self.note_floors();
        Ok(())
    }

    fn check_snapshots(&mut self) -> Check<()> {
        for index in 0..self.snapshots.len() {
            let at = self.snapshots[index].seq();
            verify::state_at(self.db()?, at, &self.model)
                .map_err(|what| format!("the snapshot of {at} is not what it was: {what}"))?;
        }
        Ok(())
    }

    /// Ends this life of the store, in good order or not.
    pub fn end(&mut self, close: bool) -> Check<()> {
        self.snapshots.clear();
        if let Some(db) = self.db.take() {
            let closed = if close { db.close() } else { Ok(()) };
            drop(db);
            match closed {
                Ok(()) if self.has_failed() => {}
                Ok(()) if close => {
                    self.mark(Mark::Acknowledged(self.model.last(), Durability::Disk));
                    self.mark(Mark::Closed);
                }
                Ok(()) => self.mark(Mark::Acknowledged(self.model.last(), Durability::Os)),
                Err(error) => self.excuse(&error)?,
            }
        }
        match self.fs.open_handles() {
            0 => Ok(()),
            open => Err(format!("{open} files and locks are still open after the end")),
        }
    }

    fn reopen(&mut self, close: bool) -> Check<()> {
        self.end(close)?;
        if self.has_failed() {
            self.dead = true;
            return Ok(());
        }
        let last = self.model.last();
        // Whatever was done, the machine did not stop: all of it is there.
        let ledger = Ledger {
            disk: last,
            os: last,
            begun: last,
            clean: close,
            created: true,
            floors: self.floors,
            now: self.now(),
            clock_was_back: self.marks.iter().any(|(_, mark)| *mark == Mark::ClockBack),
            checkpoints: Vec::new(),
        };
        self.open(&ledger).map(|_| ())
    }

    /// The newest sequence, if the store is open.
    pub fn visible(&self) -> Option<Seq> {
        self.db.as_ref().map(Db::visible)
    }
}

fn range_of(keys: std::ops::Range<usize>) -> KeyRange {
    KeyRange { start: key(keys.start).to_vec(), end: Some(key(keys.end).to_vec()) }
}

fn batch_of(changes: &[Change]) -> Result<WriteBatch, Error> {
    let mut batch = WriteBatch::new();
    for change in changes {
        match change {
            Change::Put(key, value) => batch.put(key, value)?,
            Change::Delete(key) => batch.delete(key)?,
            Change::DeleteRange(start, end) => {
                batch.delete_range(&KeyRange { start: start.to_vec(), end: Some(end.to_vec()) })?;
            }
        }
    }
    Ok(batch)
}
