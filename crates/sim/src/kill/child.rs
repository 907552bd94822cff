//! The process that gets killed.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fountain_lsm::{Db, Durability, KeyRange, WriteBatch};

use super::ledger::Word;
use super::plan::{Plan, Work};
use super::script::Script;
use crate::Outcome;
use crate::random::Random;

/// What a child is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildArgs {
    /// To write, or only to open the store.
    pub writes: bool,
    /// The directory in which the store and its checkpoints are.
    pub dir: PathBuf,
    /// The seed of its case.
    pub seed: u64,
    /// Which child of the case it is.
    pub round: u32,
}

/// Commits per call of [`Work::Groups`].
const GROUP: u64 = 16;
/// Every which commit of [`Work::Ingests`] is an ingest.
pub const INGEST_EVERY: u64 = 5;

impl ChildArgs {
    /// The words of the command line.
    pub fn to_words(&self) -> Vec<OsString> {
        let what = if self.writes { "write" } else { "open" };
        let words = ["child".into(), what.into(), self.dir.clone().into_os_string()];
        words.into_iter().chain([self.seed.to_string().into(), self.round.to_string().into()]).collect()
    }

    /// What the words after `child` say.
    pub fn from_words(words: &[&str]) -> Option<Self> {
        let &[what @ ("write" | "open"), dir, seed, round] = words else { return None };
        Some(Self {
            writes: what == "write",
            dir: PathBuf::from(dir),
            seed: seed.parse().ok()?,
            round: round.parse().ok()?,
        })
    }
}

/// Works until it is killed.
///
/// # Errors
/// Whatever the store fails with, which it must not.
pub fn run(args: &ChildArgs) -> Outcome<()> {
    let child = Child { plan: Plan::new(args.seed), args, failed: AtomicBool::new(false) };
    if !args.writes {
        let _db = child.open()?;
        loop {
            thread::park();
        }
    }
    match child.plan.work {
        Work::Reopens | Work::Closes => child.come_and_go(),
        _ => child.write_for_ever(),
    }
}

struct Child<'a> {
    plan: Plan,
    args: &'a ChildArgs,
    failed: AtomicBool,
}

impl Child<'_> {
    fn open(&self) -> Outcome<Db> {
        say(Word::Opening)?;
        let db = Db::open(&self.args.dir.join("store"), self.plan.options())?;
        say(Word::Opened)?;
        Ok(db)
    }

    /// Threads that commit, and one for the rest.
    fn write_for_ever(&self) -> Outcome<()> {
        let db = self.open()?;
        thread::scope(|scope| {
            let lanes = (0..self.plan.lanes).map(|lane| scope.spawn(self.keeping_on(&db, lane)));
            let lanes: Vec<_> = lanes.collect();
            let upkeep = self.upkeep(&db);
            self.failed.store(true, Ordering::Relaxed);
            let ends = lanes.into_iter().map(|lane| lane.join().map_err(|_| "a lane panicked")?);
            std::iter::once(upkeep).chain(ends).collect()
        })
    }

    fn keeping_on<'s>(&'s self, db: &'s Db, lane: u8) -> impl FnOnce() -> Outcome<()> + 's {
        move || {
            let mut k = 1;
            while !self.failed.load(Ordering::Relaxed) {
                k = self.write(db, lane, k).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        }
    }

    /// Commits number `k` of a lane, or a group that begins with it; gives back the number after.
    fn write(&self, db: &Db, lane: u8, k: u64) -> Outcome<u64> {
        let script = self.script(lane);
        let count = if self.plan.work == Work::Groups { 1 + k % GROUP } else { 1 };
        let last = k + count - 1;
        say(Word::Begun(lane, last))?;
        let durability = self.plan.durability(lane, last);
        let seq = if is_ingest(self.plan.work, k) {
            db.ingest(script.ingest(k))?
        } else {
            let batches = (k..=last).map(|k| script.batch(k)).collect::<Result<Vec<WriteBatch>, _>>()?;
            db.commit_many(batches, durability)?.last
        };
        if durability != Durability::Memory || is_ingest(self.plan.work, k) {
            say(Word::Acknowledged(lane, last, seq.get()))?;
        }
        Ok(last + 1)
    }

    /// What else there is to do, until a lane fails.
    fn upkeep(&self, db: &Db) -> Outcome<()> {
        let mut random = Random::nth(self.args.seed, 1000 + u64::from(self.args.round));
        for number in 0.. {
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            match self.plan.work {
                Work::Upkeep => match random.below(3) {
                    0 => db.flush()?,
                    1 => db.compact()?,
                    _ => db.compact_range(&KeyRange { start: vec![random.below(2) as u8], end: None })?,
                },
                Work::Checkpoints => {
                    db.checkpoint(&self.args.dir.join(format!("copy-{number}")))?;
                    say(Word::Copied(number))?;
                }
                _ => {}
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// A few commits between an open and a close, again and again.
    fn come_and_go(&self) -> Outcome<()> {
        let mut random = Random::nth(self.args.seed, 2000 + u64::from(self.args.round));
        let mut k = 1;
        loop {
            let db = self.open()?;
            for _ in 0..random.below(20) {
                k = self.write(&db, 0, k)?;
            }
            say(Word::Closing)?;
            if self.plan.work == Work::Closes {
                db.close()?;
            }
            drop(db);
            say(Word::Closed)?;
        }
    }

    fn script(&self, lane: u8) -> Script {
        Script { seed: self.args.seed, round: self.args.round, lane }
    }
}

/// Whether commit `k` of a lane is an ingest.
pub fn is_ingest(work: Work, k: u64) -> bool {
    work == Work::Ingests && k.is_multiple_of(INGEST_EVERY)
}

/// Says a word with one write, so that words of several threads do not mix.
fn say(word: Word) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(word.to_line().as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_is_told_is_read_back() {
        for writes in [true, false] {
            let args = ChildArgs { writes, dir: PathBuf::from("some where"), seed: u64::MAX, round: 3 };
            let words: Vec<String> =
                args.to_words().into_iter().map(|word| word.into_string().unwrap()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(words[0], "child");
            assert_eq!(ChildArgs::from_words(&words[1..]), Some(args));
        }
    }
}
