//! The store after a kill, compared with what its children had been promised.

use std::io;
use std::path::{Path, PathBuf};

use fountain_lsm::{Db, Direction, KeyRange, ReadTier, Seq};

use super::child::is_ingest;
use super::ledger::Ledger;
use super::plan::Plan;
use super::script::{Records, Script};

/// States of earlier rounds that are compared again after each later one.
const REMEMBERED: usize = 3;

/// The store of one case and what it must hold. Its directory goes with it.
pub struct Store<'a> {
    plan: &'a Plan,
    dir: Directory,
    /// What it held after the last check, and the sequence of that.
    records: Records,
    sequence: u64,
    exists: bool,
    earlier: Vec<(u64, Records)>,
}

/// What was found.
pub struct Found {
    /// Commits of the round.
    pub commits: u64,
    /// Complete checkpoints.
    pub copies: u64,
}

/// How many commits of each lane of a round a store holds.
type Counts = Vec<(Script, u64)>;

impl<'a> Store<'a> {
    /// A place for the store of a case, which does not exist yet.
    pub fn new(plan: &'a Plan) -> io::Result<Self> {
        let dir = Directory::new(plan.seed)?;
        let (records, earlier) = (Records::new(), Vec::new());
        Ok(Self { plan, dir, records, sequence: 0, exists: false, earlier })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// Opens the store after the children of a round were killed, and compares everything. `is_clean` says that the last
    /// thing that happened to it was a close.
    pub fn check(&mut self, round: u32, ledger: &Ledger, is_clean: bool) -> Result<Found, String> {
        let db = self.open(ledger)?;
        if is_clean && !db.recovery().clean {
            return Err(format!("it had been closed, and is not clean: {:?}", db.recovery()));
        }
        let (records, at) = (read(&db, db.visible())?, db.visible().get());
        let counts = self.counts(round, &records)?;
        let commits: u64 = counts.iter().map(|(_, count)| count).sum();
        for (script, count) in &counts {
            let (lane, expected) = (script.lane, ledger.lanes.get(&script.lane));
            let (acknowledged, begun) = expected.map_or((0, 0), |lane| (lane.acknowledged, lane.begun));
            if !(acknowledged..=begun).contains(count) {
                return Err(format!(
                    "lane {lane} has {count} commits; {acknowledged} were acknowledged, {begun} begun"
                ));
            }
        }
        if self.sequence + commits != at {
            return Err(format!("{commits} commits after {} led to sequence {at}", self.sequence));
        }
        compare("the newest state", &self.after(&counts), &records)?;
        self.check_history(&db, ledger)?;
        let copies = self.check_copies(round, ledger, &counts)?;
        db.verify().map_err(|error| format!("it does not verify: {error}"))?;
        // Every other time as a process would that ends without closing.
        if at.is_multiple_of(2) {
            db.close().map_err(|error| format!("it does not close: {error}"))?;
        }
        self.remember(at, records);
        Ok(Found { commits, copies })
    }

    fn open(&mut self, ledger: &Ledger) -> Result<Db, String> {
        let path = self.dir.0.join("store");
        let db =
            Db::open(&path, self.plan.options()).map_err(|error| format!("it does not open: {error}"))?;
        let report = db.recovery();
        self.exists |= ledger.has_opened();
        if report.created && self.exists {
            return Err("it was created anew".to_owned());
        }
        if !report.quarantined.is_empty() {
            return Err(format!("files in quarantine: {:?}", report.quarantined));
        }
        if report.replayed_commits > db.visible().get() {
            return Err(format!("{} commits replayed of {}", report.replayed_commits, db.visible()));
        }
        if let Some(tail) =
            report.discarded.iter().find(|tail| tail.bytes == 0 || !tail.path.starts_with(&path))
        {
            return Err(format!("an odd report of a discarded tail: {tail:?}"));
        }
        self.exists = true;
        Ok(db)
    }

    fn counts(&self, round: u32, records: &Records) -> Result<Counts, String> {
        let lanes = (0..self.plan.lanes).map(|lane| Script { seed: self.plan.seed, round, lane });
        lanes.map(|script| Ok((script, script.count(records)?))).collect()
    }

    /// What these commits make of the last state. Lanes have keys of their own, so their order does not matter.
    fn after(&self, counts: &Counts) -> Records {
        let mut records = self.records.clone();
        for &(script, count) in counts {
            for k in 1..=count {
                script.apply(k, is_ingest(self.plan.work, k), &mut records);
            }
        }
        records
    }

    /// Each acknowledged commit is seen at its sequence, and earlier states are what they were.
    fn check_history(&self, db: &Db, ledger: &Ledger) -> Result<(), String> {
        if !self.plan.keeps_everything() {
            return Ok(());
        }
        for (&lane, said) in &ledger.lanes {
            let every = said.sequences.len().div_ceil(50).max(1);
            for &(k, seq) in said.sequences.iter().rev().step_by(every) {
                let at = Seq::new(seq).ok_or("a sequence out of range")?;
                let counter = db.get(&Script::counter_key(lane), at, ReadTier::Disk);
                let counter = counter.map_err(|error| format!("reading at {seq}: {error}"))?;
                if counter.is_none_or(|counter| !counter.ends_with(&k.to_le_bytes())) {
                    return Err(format!("commit {k} of lane {lane} is not what sequence {seq} shows"));
                }
            }
        }
        for (seq, records) in &self.earlier {
            let at = Seq::new(*seq).ok_or("a sequence out of range")?;
            compare(&format!("the state at {seq}"), records, &read(db, at)?)?;
        }
        Ok(())
    }

    /// A checkpoint under its own name is complete, and one that was acknowledged is there.
    fn check_copies(&self, round: u32, ledger: &Ledger, newest: &Counts) -> Result<u64, String> {
        let mut copies = 0;
        for number in 0.. {
            let path = self.dir.0.join(format!("copy-{number}"));
            if !path.exists() {
                if ledger.copied.iter().any(|&copied| copied >= number) {
                    return Err(format!("checkpoint {number} is gone"));
                }
                break;
            }
            let what = |error: fountain_lsm::Error| format!("checkpoint {number}: {error}");
            let db = Db::open(&path, self.plan.options()).map_err(what)?;
            if !db.recovery().clean {
                return Err(format!("checkpoint {number} is not complete: {:?}", db.recovery()));
            }
            let records = read(&db, db.visible())?;
            let counts = self.counts(round, &records)?;
            if counts.iter().zip(newest).any(|((_, copied), (_, newest))| copied > newest) {
                return Err(format!("checkpoint {number} has commits that the store has not"));
            }
            let commits: u64 = counts.iter().map(|(_, count)| count).sum();
            if self.sequence + commits != db.visible().get() {
                return Err(format!("checkpoint {number} with {commits} commits is at {}", db.visible()));
            }
            compare(&format!("checkpoint {number}"), &self.after(&counts), &records)?;
            db.verify().map_err(what)?;
            drop(db);
            std::fs::remove_dir_all(&path).map_err(|error| error.to_string())?;
            copies += 1;
        }
        Ok(copies)
    }

    fn remember(&mut self, at: u64, records: Records) {
        if self.earlier.len() == REMEMBERED {
            self.earlier.remove(0);
        }
        self.earlier.push((at, records.clone()));
        (self.records, self.sequence) = (records, at);
    }
}

fn read(db: &Db, at: Seq) -> Result<Records, String> {
    let wrong = |error: fountain_lsm::Error| format!("reading at {at}: {error}");
    let mut cursor = db.cursor(KeyRange::default(), at, Direction::Forward, ReadTier::Disk).map_err(wrong)?;
    let mut records = Records::new();
    while cursor.next().map_err(wrong)? {
        records.insert(cursor.key().to_vec(), cursor.value().to_vec());
    }
    Ok(records)
}

fn compare(what: &str, expected: &Records, found: &Records) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let key = expected.keys().chain(found.keys()).find(|key| expected.get(*key) != found.get(*key));
    let show = |records: &Records| {
        let value = records.get(key?)?;
        Some(String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned())
    };
    let key = key.map(|key| String::from_utf8_lossy(key).into_owned());
    Err(format!("{what}: {key:?} is {:?}, expected {:?}", show(found), show(expected)))
}

/// A directory that is removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(seed: u64) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("fountain-kill-{}-{seed:016x}", std::process::id()));
        // A case that is run again begins anew.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // On a failure it would be of use, but the seed makes another.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
