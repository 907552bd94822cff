//! Goes through all moments of a recording, and through the crashes at each.

use std::collections::HashSet;
use std::path::Path;

use super::config::Config;
use super::ledger::{Ledger, Mark};
use super::plan;
use super::script::{Commit, Step};
use super::session::{Check, Session};
use super::verify;
use crate::disk::{Crash, Disk, Op, SimFs};
use crate::model::Model;
use crate::protocol::{Judged, Protocol};
use crate::random::{Random, mix};
use fountain_lsm::{Durability, ManualClock, Timestamp};
use std::sync::Arc;

/// What was done; all of it verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Distinct crash states after one, two and three crashes.
    pub states: [u64; 3],
    /// Checkpoints opened.
    pub checkpoints: u64,
    /// Commits replayed from logs.
    pub replayed: u64,
    /// Openings that reported a discarded end of a log.
    pub torn: u64,
    /// Stores that were asked when their commits were made.
    pub timed: u64,
    /// Syncs that failed in a store that had crashed before.
    pub failed_later: u64,
    /// Syncs that failed while a store was opened that was there before.
    pub failed_opens: u64,
    /// What the rules of the order had to look at.
    pub judged: Judged,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.states.iter_mut().zip(other.states) {
            *sum += count;
        }
        self.checkpoints += other.checkpoints;
        self.replayed += other.replayed;
        self.torn += other.torn;
        self.timed += other.timed;
        self.failed_later += other.failed_later;
        self.failed_opens += other.failed_opens;
        self.judged += other.judged;
    }

    /// All crash states.
    pub fn all_states(&self) -> u64 {
        self.states.iter().sum()
    }
}

/// What happened between two crashes.
pub struct Recording {
    /// The disk before.
    pub before: Disk,
    /// What was promised before.
    pub ledger: Ledger,
    /// What the store might have held before.
    pub model_before: Model,
    /// The changes of the disk.
    pub ops: Vec<Op>,
    /// What else happened, and after how many changes.
    pub marks: Vec<(usize, Mark)>,
    /// What the store might hold after it was opened.
    pub model_after: Model,
}

impl Recording {
    /// What a session did, which began with all this.
    pub fn of(session: Session<'_>, before: Disk, ledger: Ledger, model_before: Model) -> Self {
        let ops = session.fs.take_recording();
        let Session { marks, model, .. } = session;
        Self { before, ledger, model_before, ops, marks, model_after: model }
    }

    /// Where changes of a kind are.
    pub fn positions(&self, kind: impl Fn(&Op) -> bool) -> Vec<usize> {
        self.ops.iter().enumerate().filter(|(_, op)| kind(op)).map(|(index, _)| index).collect()
    }
}

/// How many of the states after a crash are explored further: one in so many, after one and after two crashes.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// One in so many states after one crash gets second crashes.
    pub second: usize,
    /// One in so many states after two crashes gets third ones.
    pub third: usize,
    /// Crashes tried in each recording after the first.
    pub crashes: usize,
}

/// Moments between a sync that fails and the end of the process at which the power fails, about.
const MOMENTS_AFTER_FAILURE: usize = 6;

/// Milliseconds after which copies are opened.
const COPY_AGE: u64 = 60_000;
/// One in so many second lives of a store has a sync that fails.
const FAILING_LIVES: usize = 8;
/// About as many syncs as opening a store takes, and some more.
const SYNCS_OF_A_LIFE: usize = 16;

/// Explores one case.
pub struct Explorer<'a> {
    config: &'a Config,
    depth: Depth,
    random: Random,
    seen: HashSet<u64>,
    /// What was done.
    pub tally: Tally,
}

/// A moment in a recording.
struct Moment<'a> {
    disk: &'a Disk,
    ledger: &'a Ledger,
    model: &'a Model,
    /// Crashes before this one.
    crashes: usize,
    /// Nothing more happens before something is synced.
    before_sync: bool,
}

impl<'a> Explorer<'a> {
    /// An explorer for one case.
    pub fn new(config: &'a Config, depth: Depth, seed: u64) -> Self {
        let random = Random::nth(seed, 0xE8);
        Self { config, depth, random, seen: HashSet::new(), tally: Tally::default() }
    }

    /// Tries all kinds of crashes at all moments of a first recording.
    pub fn explore(&mut self, recording: &Recording) -> Check<()> {
        self.walk(recording, 0, 0, &mut |explorer, moment| {
            for crash in plan::all(moment.disk, moment.before_sync, &mut explorer.random) {
                explorer.try_crash(moment, &crash)?;
            }
            Ok(())
        })
    }

    /// Looks at nothing but the order of the changes.
    pub fn order(&mut self, recording: &Recording) -> Check<()> {
        self.walk(recording, 0, 0, &mut |_, _| Ok(()))
    }

    /// P6: a sync failed in a recording before which there were so many crashes. What comes after it is crashed at some
    /// moments. At its end comes another process, which finds what the running machine shows; then the power fails at every
    /// other moment of its recovery, and what the failed sync should have written is gone or not. A process that dies while it
    /// takes back the directories of a new store is left out, and so is one that finds such directories of a process that died
    /// before: limits that are published. Gives the change that failed.
    pub fn explore_failed_sync(&mut self, recording: &Recording, crashes: usize) -> Check<Op> {
        let is_failure = |op: &&Op| matches!(op, Op::FailedSync { .. } | Op::FailedSyncDir { .. });
        let failure = recording.ops.iter().find(is_failure).ok_or("no sync has failed")?;
        let place = recording.ops.iter().take_while(|op| !is_failure(op)).count();
        let after = ((recording.ops.len() - place) / MOMENTS_AFTER_FAILURE).max(1);
        let mut at_the_end = None;
        self.walk(recording, crashes, place + 1, &mut |explorer, moment| {
            at_the_end = Some((moment.disk.clone(), moment.ledger.after_crash(true), moment.model.clone()));
            // A failure that ends nothing is followed by the rest of the scenario.
            if explorer.random.one_in(after) {
                let is_limit = moment.disk.has_names_in_doubt() && !moment.ledger.created;
                for crash in explorer.crashes_after_failure(moment) {
                    if !(is_limit && crash == Crash::Kill) {
                        explorer.try_crash(moment, &crash)?;
                    }
                }
            }
            Ok(())
        })?;
        let Some((disk, ledger, model)) = at_the_end else { return Ok(failure.clone()) };
        // The directories of a new store that a process before has left: to the next process they are like any others.
        if disk.has_names_in_doubt() && !ledger.created && crashes > 0 {
            return Ok(failure.clone());
        }
        let recovery = self.live_on(disk, &ledger, &model)?;
        self.walk(&recovery, crashes + 1, 0, &mut |explorer, moment| {
            if explorer.random.one_in(2) {
                return Ok(());
            }
            for crash in [Crash::Synced, plan::one(moment.disk, &mut explorer.random)] {
                explorer.try_crash(moment, &crash)?;
            }
            Ok(())
        })?;
        Ok(failure.clone())
    }

    /// All kinds in a first life of a store, few in a later one.
    fn crashes_after_failure(&mut self, moment: &Moment<'_>) -> Vec<Crash> {
        match moment.crashes {
            0 => plan::all(moment.disk, false, &mut self.random),
            _ => vec![Crash::Synced, Crash::Kill, Crash::Sectors(self.random.bits())],
        }
    }

    /// Tries some crashes at some moments of a later recording.
    fn explore_some(&mut self, recording: &Recording, crashes: usize) -> Check<()> {
        // At most every moment, at least some.
        let marks = recording.marks.iter().filter(|(_, mark)| !mark.promises_nothing()).count();
        let share = (recording.ops.len() + marks).div_ceil(self.depth.crashes).max(1);
        self.walk(recording, crashes, 0, &mut |explorer, moment| {
            if !explorer.random.one_in(share) {
                return Ok(());
            }
            let crash = plan::one(moment.disk, &mut explorer.random);
            explorer.try_crash(moment, &crash)
        })
    }

    /// Calls `visit` at every moment from a change on. Between two changes of the disk only the strictest promises count:
    /// those after an acknowledgement and before the next commit begins.
    fn walk(
        &mut self,
        recording: &Recording,
        crashes: usize,
        from: usize,
        visit: &mut dyn FnMut(&mut Self, &Moment<'_>) -> Check<()>,
    ) -> Check<()> {
        let mut disk = recording.before.clone();
        let mut protocol = Protocol::new(&disk);
        let mut ledger = recording.ledger.clone();
        let mut model = &recording.model_before;
        let mut marks = recording.marks.iter().peekable();
        for index in 0..=recording.ops.len() {
            let op = recording.ops.get(index);
            let before_sync = op.is_none_or(|op| matches!(op, Op::Sync { .. } | Op::SyncDir { .. }));
            let mut visited = index < from;
            while let Some((_, mark)) = marks.next_if(|(at, _)| *at <= index) {
                if matches!(mark, Mark::Begun(_)) && !visited {
                    let moment = Moment { disk: &disk, ledger: &ledger, model, crashes, before_sync };
                    visit(self, &moment)
                        .map_err(|what| format!("{what}\n  at change {index}, before {mark:?}"))?;
                    visited = true;
                } else if !matches!(mark, Mark::Begun(_)) && !mark.promises_nothing() {
                    visited = index < from;
                }
                ledger.note(mark);
                if matches!(mark, Mark::Opened(_)) {
                    model = &recording.model_after;
                }
            }
            if !visited {
                let moment = Moment { disk: &disk, ledger: &ledger, model, crashes, before_sync };
                visit(self, &moment).map_err(|what| format!("{what}\n  at change {index}"))?;
            }
            if let Some(op) = op {
                protocol.check(&disk, op).map_err(|what| format!("{what}\n  at change {index}: {op:?}"))?;
                disk.apply(op);
                // The next open may already have begun to change things.
                ledger.clean = false;
            }
        }
        self.tally.judged += protocol.judged;
        Ok(())
    }

    fn try_crash(&mut self, moment: &Moment<'_>, crash: &Crash) -> Check<()> {
        let image = moment.disk.crash(crash);
        let ledger = moment.ledger.after_crash(*crash == Crash::Kill);
        if !self.seen.insert(fingerprint(&image, &ledger, *crash == Crash::Kill)) {
            return Ok(());
        }
        self.visit(image, &ledger, moment)
            .map_err(|what| format!("{what}\n  after crash {}: {crash:?}", moment.crashes + 1))
    }

    fn visit(&mut self, image: Disk, ledger: &Ledger, moment: &Moment<'_>) -> Check<()> {
        let (model, crashes) = (moment.model, moment.crashes + 1);
        self.tally.states[crashes - 1] += 1;
        let deeper = match crashes {
            1 => self.random.one_in(self.depth.second),
            2 => self.random.one_in(self.depth.third),
            _ => false,
        };
        self.verify_checkpoints(&image, ledger, model)?;
        if deeper && crashes == 1 && self.random.one_in(FAILING_LIVES) {
            return self.fail_later(image, ledger, model);
        }
        if deeper {
            let recording = self.live_on(image, ledger, model)?;
            return self.explore_some(&recording, crashes);
        }
        let mut session = self.session(SimFs::new(image), ledger, model);
        self.recover(&mut session, ledger)?;
        if self.random.one_in(3) {
            self.use_further(&mut session)?;
        }
        session.end(false)
    }

    fn verify_checkpoints(&mut self, image: &Disk, ledger: &Ledger, model: &Model) -> Check<()> {
        if !ledger.checkpoints.is_empty() {
            let apart = SimFs::new(image.clone());
            let clock = Arc::new(ManualClock::new(Timestamp::from_millis(ledger.now + COPY_AGE)));
            let options = self.config.options(&apart, &clock);
            let floors = self.config.may_forget(ledger);
            verify::checkpoints(&apart, &options, model, ledger, &floors)?;
            self.tally.checkpoints += ledger.checkpoints.len() as u64;
        }
        Ok(())
    }

    fn session(&mut self, fs: SimFs, ledger: &Ledger, model: &Model) -> Session<'a> {
        Session::new(self.config, fs, model.clone(), ledger, self.random.bits())
    }

    /// Opens the store that is there and compares it with the model.
    fn recover(&mut self, session: &mut Session<'a>, ledger: &Ledger) -> Check<()> {
        if let Some(found) = session.open(ledger)? {
            self.tally.replayed += found.report.replayed_commits;
            self.tally.torn += u64::from(!found.report.discarded.is_empty());
            self.tally.timed += u64::from(found.timed);
        }
        Ok(())
    }

    /// Records how the store is recovered and used further.
    fn live_on(&mut self, image: Disk, ledger: &Ledger, model: &Model) -> Check<Recording> {
        let fs = SimFs::new(image.clone());
        fs.record();
        let mut session = self.session(fs, ledger, model);
        self.recover(&mut session, ledger)?;
        self.use_further(&mut session)?;
        session.end(self.random.one_in(2))?;
        Ok(Recording::of(session, image, ledger.clone(), model.clone()))
    }

    /// P6 after a crash: a sync fails while the store is recovered or used further.
    fn fail_later(&mut self, image: Disk, ledger: &Ledger, model: &Model) -> Check<()> {
        let fs = SimFs::new(image.clone());
        fs.record();
        fs.fail_sync_after(self.random.below(SYNCS_OF_A_LIFE));
        let mut session = self.session(fs, ledger, model);
        session.faulty = true;
        self.recover(&mut session, ledger)?;
        self.use_further(&mut session)?;
        session.end(false)?;
        let (failed, in_open) = (session.has_failed(), session.failed_in_open);
        let recording = Recording::of(session, image, ledger.clone(), model.clone());
        if !failed {
            return self.explore_some(&recording, 1);
        }
        self.tally.failed_later += 1;
        self.tally.failed_opens += u64::from(in_open);
        self.explore_failed_sync(&recording, 1).map(drop).map_err(|what| format!("{what}\n  a sync failed"))
    }

    /// A store that was recovered must be as good as any: it takes commits, flushes, and opens again.
    fn use_further(&mut self, session: &mut Session<'_>) -> Check<()> {
        const AFTERWARDS: [Step; 10] = [
            Step::Commit(Commit::Put, Durability::Disk),
            Step::Commit(Commit::Put, Durability::Disk),
            Step::Commit(Commit::Batch, Durability::Os),
            Step::Commit(Commit::DeleteRange, Durability::Disk),
            Step::Commit(Commit::Delete, Durability::Disk),
            Step::Flush,
            Step::Compact,
            Step::Checkpoint,
            Step::Reopen,
            Step::Abandon,
        ];
        let count = self.random.within(1..4);
        let steps: Vec<_> = (0..count).map(|_| *self.random.pick(&AFTERWARDS)).collect();
        session.run(&steps).map_err(|what| format!("after recovery, {what}"))
    }
}

/// Equal for equal images with equal promises.
fn fingerprint(image: &Disk, ledger: &Ledger, is_kill: bool) -> u64 {
    let states = [ledger.clean, ledger.created, is_kill].map(u64::from);
    let copies = ledger
        .checkpoints
        .iter()
        .flat_map(|promise| [promise.number as u64, promise.least, promise.done.map_or(0, |last| last + 1)]);
    let promises = [ledger.disk, ledger.os, ledger.begun].into_iter().chain(states).chain(copies);
    let hash = promises.fold(0, |hash, number| mix(hash ^ number));
    mix(hash ^ content_hash(image))
}

/// A hash of all names and bytes on a disk, whatever their order.
pub fn content_hash(image: &Disk) -> u64 {
    let Some(root) = image.lookup(Path::new("/")) else { return 0 };
    let mut sum = 0u64;
    let mut dirs = vec![(root, 1)];
    while let Some((dir, path)) = dirs.pop() {
        for (name, file) in image.entries(dir) {
            let path = hash_bytes(path, name.as_bytes());
            match image.bytes(file) {
                Some(bytes) => sum = sum.wrapping_add(hash_bytes(path, bytes)),
                None => dirs.push((file, path)),
            }
            sum = sum.wrapping_add(mix(path));
        }
    }
    sum
}

fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(seed ^ bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    for &byte in chunks.remainder() {
        hash = mix(hash ^ u64::from(byte));
    }
    mix(hash)
}
