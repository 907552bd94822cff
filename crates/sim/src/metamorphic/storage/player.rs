//! Plays a script on a store under one configuration, and complains about every answer that is not as written.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fountain_lsm::{
    Clock, Cursor, Db, Durability, Error, Job, KeyRange, ManualClock, Options, ReadTier, Retention, Seq,
    SeqAt, Snapshot, StoreId, Timestamp, WriteBatch, limits,
};

use super::config::{Config, Packing, Prefix, Promise, Worker};
use super::digest::Digest;
use super::list::{CURSOR_SLOTS, SNAPSHOT_SLOTS, Work, Wrong};
use super::pause::{Pauses, PausingFs};
use super::place::{Place, remove_all};
use super::script::{Edit, Range, Record, Rule, Script, Step};
use super::tally::Tally;
use crate::parallel::inheriting;
use crate::random::Random;

/// When every store is made.
const BIRTH: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// What `Db::seq_at` leaves out is no older than one in so many of the time since then, or a step of time.
const LEAST_RESOLUTION: u32 = 100;

/// A complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The step, counted from 0; operations in the middle of work count as the work.
    pub step: usize,
    /// What is wrong.
    pub what: String,
}

/// What ends a step that cannot be gone on after.
pub(super) type Complaint = String;

/// Plays `script` from beginning to end. The seed decides how crashes go.
///
/// # Errors
/// The first complaint.
pub fn play(script: &Script, config: &Config, seed: u64, tally: &mut Tally) -> Result<(), Mismatch> {
    let mut player = Player::new(script.rule, config, seed).map_err(|what| Mismatch { step: 0, what })?;
    for (step, todo) in script.steps.iter().enumerate() {
        player.step(todo).map_err(|what| Mismatch { step, what })?;
    }
    player.end(tally).map_err(|what| Mismatch { step: script.steps.len(), what })
}

/// As [`play`], and gives back a digest of everything that was asked of the simulated disk, and how much that was.
///
/// # Errors
/// The first complaint.
pub fn play_recorded(script: &Script, config: &Config, seed: u64) -> Result<(u64, u64), Complaint> {
    let mut player = Player::new(script.rule, config, seed)?;
    player.digest = Some(Digest::default());
    player.record();
    script.steps.iter().try_for_each(|step| player.step(step))?;
    player.let_go();
    done("close", player.db()?.close())?;
    player.take_record();
    Ok(player.digest.map(|digest| (digest.finish(), digest.changes)).unwrap_or_default())
}

pub(super) struct Player<'a> {
    pub(super) config: &'a Config,
    rule: Rule,
    random: Random,
    clock: Arc<ManualClock>,
    place: Option<Place>,
    pauses: Arc<Pauses>,
    pub(super) db: Option<Arc<Db>>,
    pub(super) snapshots: [Option<Snapshot>; SNAPSHOT_SLOTS],
    pub(super) cursors: [Option<Cursor>; CURSOR_SLOTS],
    commits: usize,
    /// Work has been stopped in the middle; more work would wait for it.
    amid_work: bool,
    copies: usize,
    pub(super) tally: Tally,
    /// What was asked of the disk, if anybody wants to know.
    digest: Option<Digest>,
}

impl<'a> Player<'a> {
    fn new(rule: Rule, config: &'a Config, seed: u64) -> Result<Self, Complaint> {
        let place = Place::new(config.medium).map_err(|error| format!("no place for a store: {error}"))?;
        let mut player = Self {
            config,
            rule,
            random: Random::new(seed),
            clock: Arc::new(ManualClock::new(BIRTH)),
            place: Some(place),
            pauses: Arc::default(),
            db: None,
            snapshots: Default::default(),
            cursors: Default::default(),
            commits: 0,
            amid_work: false,
            copies: 0,
            tally: Tally::default(),
            digest: None,
        };
        player.open()?;
        Ok(player)
    }

    fn options(&self) -> Options {
        let config = self.config;
        let disk = self.place.as_ref().map_or_else(|| Options::default().fs, Place::fs);
        Options {
            fs: Arc::new(PausingFs::new(disk, Arc::clone(&self.pauses))),
            store_id: Some(StoreId([5; 16])),
            clock: Arc::clone(&self.clock) as _,
            cache_bytes: config.cache_bytes,
            memtable_bytes: config.memtable_bytes,
            wal_segment_bytes: config.wal_segment_bytes,
            table_bytes: config.table_bytes,
            table_layout: config.blocks.layout(),
            compression: config.packing.compression(),
            bottom_compression: config.bottom.map(Packing::compression),
            prefix_filter: config.prefix.map(Prefix::rule),
            retention: retention(self.rule),
            background: config.worker == Worker::Threads,
            writers_make_room: config.worker == Worker::Writers,
            ..Options::default()
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.as_ref().map_or_else(PathBuf::new, |place| place.path(name))
    }

    fn open(&mut self) -> Result<(), Complaint> {
        let db = Db::open(&self.path("store"), self.options()).map_err(|error| format!("open: {error}"))?;
        self.db = Some(Arc::new(db));
        Ok(())
    }

    pub(super) fn db(&self) -> Result<&Arc<Db>, Complaint> {
        self.db.as_ref().ok_or_else(|| "the store could not be opened before".to_owned())
    }

    pub(super) fn tier(&self) -> ReadTier {
        match self.config.memory_first {
            false => ReadTier::Disk,
            true if self.tally.operations.is_multiple_of(2) => ReadTier::System,
            true => ReadTier::Memory,
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Complaint> {
        self.tally.operations += 1;
        match step {
            Step::Commit { batches, first, last } => self.commit(batches, (*first, *last)),
            Step::Snapshot { slot, seq } => {
                self.snapshots[*slot] = None;
                let snapshot = self.db()?.snapshot();
                same("the snapshot's sequence", snapshot.seq().get(), *seq)?;
                self.snapshots[*slot] = Some(snapshot);
                Ok(())
            }
            Step::Release { slot } => {
                self.snapshots[*slot] = None;
                Ok(())
            }
            Step::Retain { range, rule } => self.retain(range, *rule),
            Step::Flush => done("flush", self.db()?.flush()),
            Step::Compact => done("compact", self.db()?.compact()),
            Step::CompactRange { range } => {
                done("compact_range", self.db()?.compact_range(&key_range(range)))
            }
            Step::During { work, stride, steps } => self.during(*work, *stride, steps),
            Step::Ingest { records, seq } => {
                let ingested = self.db()?.ingest(records.iter().map(|(key, value)| (key, value)));
                same("the ingest's sequence", ingested.map_err(|e| format!("ingest: {e}"))?.get(), *seq)
            }
            Step::Checkpoint { seq, want } => self.checkpoint(*seq, want),
            Step::Reopen { seq } => self.reopen(*seq),
            Step::Crash { seq, sudden } => self.crash(*seq, *sudden),
            Step::Verify => done("verify", self.db()?.verify()),
            Step::Wait(millis) => {
                self.clock.advance(Duration::from_millis(*millis));
                Ok(())
            }
            Step::SeqAt { time, most, times } => self.seq_at(*time, *most, times),
            Step::Count { seq, floor, snapshots } => self.count(*seq, *floor, *snapshots),
            Step::Refused(wrong) => self.refused(*wrong),
            read => self.read(read),
        }
    }

    fn commit(&mut self, batches: &[Vec<Edit>], (first, last): (u64, u64)) -> Result<(), Complaint> {
        let batches = batches.iter().map(|edits| batch(edits)).collect::<fountain_lsm::Result<Vec<_>>>();
        let batches = batches.map_err(|error| format!("a change is refused: {error}"))?;
        let range = self.db()?.commit_many(batches, self.config.promise.durability());
        let range = range.map_err(|error| format!("commit: {error}"))?;
        same("the first sequence", range.first.get(), first)?;
        same("the last sequence", range.last.get(), last)?;
        self.commits += 1;
        let Worker::Steps { flush, compact } = self.config.worker else { return Ok(()) };
        if self.amid_work {
            return Ok(());
        }
        for (every, job) in [(flush, Job::Flush), (compact, Job::Compact)] {
            if every > 0 && self.commits.is_multiple_of(usize::from(every)) {
                done("a step", self.db()?.step(job).map(|_| ()))?;
            }
        }
        Ok(())
    }

    fn retain(&self, range: &Range, rule: Rule) -> Result<(), Complaint> {
        let db = self.db()?;
        db.set_retention(&key_range(range), retention(rule));
        if self.config.worker == Worker::Threads {
            // A thread may have begun under the old rule; when these return, what it began is over.
            let nothing = KeyRange { start: Vec::new(), end: Some(Vec::new()) };
            done("flush", db.flush())?;
            done("compact_range", db.compact_range(&nothing))?;
        }
        Ok(())
    }

    /// Steps in the middle of work, where the configuration has such a thing; after it where not.
    fn during(&mut self, work: Work, stride: u8, steps: &[Step]) -> Result<(), Complaint> {
        let job = match work {
            Work::Flush => Job::Flush,
            Work::Compact => Job::Compact,
        };
        if !matches!(self.config.worker, Worker::Steps { .. }) {
            if self.config.worker == Worker::Writers {
                done("a step", self.db()?.step(job).map(|_| ()))?;
            }
            return steps.iter().try_for_each(|step| self.step(step));
        }
        let (db, pauses) = (Arc::clone(self.db()?), Arc::clone(&self.pauses));
        pauses.arm(stride);
        self.amid_work = true;
        let played = thread::scope(|scope| {
            let worked = scope.spawn(inheriting(|| {
                let _done = pauses.done_at_end();
                db.step(job)
            }));
            let played = steps.iter().try_for_each(|step| {
                pauses.wait();
                self.tally.interleaved += u64::from(!worked.is_finished());
                let played = self.step(step);
                pauses.resume(stride);
                played
            });
            pauses.disarm();
            let worked = worked.join().map_err(|_| "a step panicked".to_owned())?;
            played.and(done("a step", worked.map(|_| ())))
        });
        self.amid_work = false;
        played
    }

    fn checkpoint(&mut self, seq: u64, want: &[Record]) -> Result<(), Complaint> {
        self.copies += 1;
        self.tally.checkpoints += 1;
        let path = self.path(&format!("copy {}", self.copies));
        let info = self.db()?.checkpoint(&path).map_err(|error| format!("checkpoint: {error}"))?;
        same("the copy's sequence", info.sequence.get(), seq)?;
        let options = self.options();
        let fs = Arc::clone(&options.fs);
        let copy = Db::open(&path, options).map_err(|error| format!("open the copy: {error}"))?;
        same("the copy's newest sequence", copy.visible().get(), seq)?;
        same("whether the copy is clean", copy.recovery().clean, true)?;
        super::reads::scan_whole(&copy, seq, want)?;
        done("verify the copy", copy.verify())?;
        done("close the copy", copy.close())?;
        drop(copy);
        remove_all(fs.as_ref(), &path).map_err(|error| format!("remove the copy: {error}"))
    }

    /// From here on the disk records, if a digest is wanted.
    fn record(&self) {
        if let (Some(Place::Simulated(fs)), Some(_)) = (&self.place, &self.digest) {
            fs.record();
        }
    }

    fn take_record(&mut self) {
        if let (Some(Place::Simulated(fs)), Some(digest)) = (&self.place, &mut self.digest) {
            digest.take(fs);
        }
    }

    fn let_go(&mut self) {
        self.snapshots = Default::default();
        self.cursors = Default::default();
    }

    fn reopen(&mut self, seq: u64) -> Result<(), Complaint> {
        self.tally.reopens += 1;
        self.let_go();
        let db = Arc::clone(self.db()?);
        done("close", db.close())?;
        self.count_work();
        self.db = None;
        drop(db);
        self.open()?;
        let recovery = self.db()?.recovery();
        same("whether the store is clean", recovery.clean, true)?;
        // The old manifest and the old, empty log segment; anything more was leaked.
        same("the files to clear away", recovery.removed_files, 2)?;
        same("the newest sequence", self.db()?.visible().get(), seq)
    }

    /// Whatever was committed is to outlive it; without a last commit, what is in memory only is flushed.
    fn crash(&mut self, seq: u64, sudden: bool) -> Result<(), Complaint> {
        self.tally.crashes += 1;
        self.let_go();
        if !sudden {
            let least = self.config.promise.durability().max(Durability::Os);
            let last = self.db()?.commit(WriteBatch::new(), least).map_err(|e| format!("commit: {e}"))?;
            same("the last sequence before the crash", last.get(), seq)?;
        } else if self.config.promise == Promise::Memory {
            done("flush", self.db()?.flush())?;
        }
        self.count_work();
        self.take_record();
        self.place = match self.place.take() {
            Some(place @ Place::Simulated(_)) => Some(place.crashed(self.config.promise, &mut self.random)),
            real => real,
        };
        self.record();
        self.db = None;
        self.open()?;
        same("the newest sequence", self.db()?.visible().get(), seq)
    }

    fn count(&self, seq: u64, floor: u64, snapshots: (usize, usize)) -> Result<(), Complaint> {
        let db = self.db()?;
        same("the newest sequence", db.visible().get(), seq)?;
        let open = db.metrics().open_snapshots as usize;
        if db.history_floor().get() > floor {
            return Err(format!("the history floor is {}, but can be at most {floor}", db.history_floor()));
        }
        if open < snapshots.0 || open > snapshots.1 {
            return Err(format!("{open} snapshots are open, expected {} to {}", snapshots.0, snapshots.1));
        }
        Ok(())
    }

    /// The answer is no commit from after the time, those that it leaves out are as young as it says, and that is within
    /// what is promised for times so long ago. From the first commit on there is an answer.
    fn seq_at(&self, time: u64, most: u64, times: &[u64]) -> Result<(), Complaint> {
        let asked = BIRTH.plus(Duration::from_millis(time));
        let Some(SeqAt { seq, within, .. }) = self.db()?.seq_at(asked) else {
            return if most == 0 {
                Ok(())
            } else {
                Err(format!("nothing is known of {time}, but {most} was the newest"))
            };
        };
        let seq = seq.get();
        if seq > most {
            return Err(format!("commit {seq} was the newest at {time}, says the store; it was {most}"));
        }
        let promised = limits::TIME_STEP.max(self.clock.now().since(asked) / LEAST_RESOLUTION);
        if most > 0 && within > promised {
            return Err(format!(
                "{seq} was the newest at {time} within {within:?}, which is more than {promised:?}"
            ));
        }
        let left_out = times.get(seq as usize + 1).map(|made| Duration::from_millis(time - made));
        match left_out {
            Some(age) if age > within => Err(format!(
                "{seq} was the newest at {time} within {within:?}, but the next is older by {age:?}"
            )),
            _ => Ok(()),
        }
    }

    fn refused(&self, wrong: Wrong) -> Result<(), Complaint> {
        let db = self.db()?;
        let before = db.visible();
        let error = match wrong {
            Wrong::LongKey => WriteBatch::new().put(&vec![1; limits::MAX_KEY_BYTES + 1], b"").err(),
            Wrong::EndlessDeletion => WriteBatch::new().delete_range(&KeyRange::default()).err(),
            Wrong::UnsortedIngest => db.ingest([(b"b", b"1"), (b"a", b"2")]).err(),
            Wrong::DuplicateIngest => db.ingest([(b"b", b"1"), (b"b", b"2")]).err(),
        };
        match error {
            Some(Error::TooLarge { .. } | Error::Unsorted { .. }) => {
                same("the newest sequence after what was refused", db.visible(), before)
            }
            Some(other) => Err(format!("{wrong:?} is refused for a wrong reason: {other}")),
            None => Err(format!("{wrong:?} is not refused")),
        }
    }

    /// Adds up what the open store has done.
    fn count_work(&mut self) {
        let Some(db) = &self.db else { return };
        let metrics = db.metrics();
        self.tally.flushes += metrics.flushes;
        self.tally.compactions += metrics.compactions;
        self.tally.versions_dropped += metrics.versions_dropped;
        let levels = metrics.level_tables.iter().filter(|&&tables| tables > 0).count() as u64;
        self.tally.most_levels = self.tally.most_levels.max(levels);
    }

    fn end(mut self, tally: &mut Tally) -> Result<(), Complaint> {
        self.let_go();
        done("close", self.db()?.close())?;
        self.count_work();
        tally.add(&self.tally);
        Ok(())
    }
}

fn batch(edits: &[Edit]) -> fountain_lsm::Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for edit in edits {
        match edit {
            Edit::Put(key, value) => batch.put(key, value)?,
            Edit::Delete(key) => batch.delete(key)?,
            Edit::DeleteRange(from, to) => {
                batch.delete_range(&KeyRange { start: from.to_vec(), end: Some(to.to_vec()) })?;
            }
        }
    }
    Ok(batch)
}

pub(super) fn key_range(range: &Range) -> KeyRange {
    KeyRange { start: range.from.to_vec(), end: range.to.as_ref().map(|to| to.to_vec()) }
}

pub(super) fn sequence(number: u64) -> Seq {
    Seq::new(number).unwrap_or(Seq::MAX)
}

fn retention(rule: Rule) -> Retention {
    match rule {
        Rule::All => Retention::Unbounded,
        Rule::Newest => Retention::LatestOnly,
        Rule::Versions(count) => Retention::Versions(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)),
        Rule::Since(seq) => Retention::Since(sequence(seq)),
        Rule::Age(age) => Retention::MaxAge(Duration::from_millis(age)),
    }
}

pub(super) fn same<T: Copy + PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    wanted: T,
) -> Result<(), Complaint> {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found:?}, expected {wanted:?}")) }
}

fn done(what: &str, outcome: fountain_lsm::Result<()>) -> Result<(), Complaint> {
    outcome.map_err(|error| format!("{what}: {error}"))
}
