//! One case: a scenario in which one request goes wrong, or all from one on, and what is found when it is over.

use std::path::Path;
use std::sync::Arc;

use fountain_lsm::fs::Fs;
use fountain_lsm::{Db, Durability, Retention, Seq};

use super::fault::Fault;
use super::fs::{Plan, Request, Seen};
use super::script::{SCENARIOS, Step, parse, words};
use super::session::{STORE, Session, options};
use super::truth::{Op, Truth, batch, key, value};
use crate::disk::{Crash, Disk, SimFs};
use crate::parallel::guarded;
use crate::random::Random;
use crate::shrink::shrink;

/// How a case ends, after which the store is opened on a disk without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What went wrong is over; the store does a last commit, if it takes any, and is closed.
    Close,
    /// The process is killed, and the machine loses power a little later.
    Kill,
    /// The machine loses power.
    Power,
}

const ENDINGS: [(&str, Ending); 3] =
    [("close", Ending::Close), ("kill", Ending::Kill), ("power", Ending::Power)];

/// What is done to the store of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// The one of [`SCENARIOS`] with this index.
    Known(usize),
    /// These words: what is left of one that was made short.
    Words(Vec<String>),
}

impl Scenario {
    /// Its words, each once for every time that it is done.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Known(index) => SCENARIOS.get(*index).copied().map(words).unwrap_or_default(),
            Self::Words(words) => words.clone(),
        }
    }

    fn steps(&self) -> Result<Vec<Step>, String> {
        parse(&self.words().join(" ")).ok_or_else(|| "a word that is none".to_owned())
    }

    /// The requests to the disk when nothing goes wrong.
    pub fn requests(&self) -> Result<Vec<Request>, String> {
        let mut session = Session::new(None);
        session.run(&self.steps()?)?;
        Ok(session.fs.requests())
    }

    fn named(name: &str) -> Option<Self> {
        if let Ok(index) = name.parse() {
            return (index < SCENARIOS.len()).then_some(Self::Known(index));
        }
        let words: Vec<_> = name.split(',').map(str::to_owned).collect();
        parse(&words.join(" ")).map(|_| Self::Words(words))
    }

    fn name(&self) -> String {
        match self {
            Self::Known(index) => index.to_string(),
            Self::Words(words) => words.join(","),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub scenario: Scenario,
    /// What goes wrong; nothing in a rehearsal.
    pub plan: Option<Plan>,
    /// How it ends.
    pub ending: Ending,
}

impl Case {
    /// The case with a name given by [`Case::name`].
    pub fn named(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        let scenario = Scenario::named(parts.next()?)?;
        let ending = parts.next()?;
        let (_, ending) = *ENDINGS.iter().find(|(name, _)| *name == ending)?;
        let plan = match parts.next() {
            None => None,
            Some(at) => {
                let at = at.parse().ok()?;
                let fault = parts.next()?;
                let fault = *Fault::ALL.iter().find(|known| format!("{known:?}") == fault)?;
                Some(Plan { at, fault, for_ever: parts.next() == Some("ever") })
            }
        };
        Some(Self { scenario, plan, ending })
    }

    /// A name from which it can be repeated.
    pub fn name(&self) -> String {
        let ending = ENDINGS.iter().find(|(_, ending)| *ending == self.ending).map_or("", |(name, _)| name);
        let head = format!("{}:{ending}", self.scenario.name());
        match self.plan {
            None => head,
            Some(Plan { at, fault, for_ever }) => {
                format!("{head}:{at}:{fault:?}:{}", if for_ever { "ever" } else { "once" })
            }
        }
    }

    /// Runs the case.
    pub fn run(&self, seed: u64) -> Result<Seen, String> {
        let steps = self.scenario.steps()?;
        let mut session = Session::new(self.plan);
        session.run(&steps)?;
        let latest = steps.contains(&Step::Latest);
        let retention = if latest { Retention::LatestOnly } else { Retention::Unbounded };
        let seen = session.fs.seen();
        match self.ending {
            Ending::Close => closed(session, retention)?,
            Ending::Kill => killed(session, retention)?,
            Ending::Power => powerless(session, retention, seed)?,
        }
        Ok(seen)
    }

    /// The case with as few words as were found to lead to a failure, of the same fault at whatever request it takes then;
    /// `None` if this one does not fail.
    pub fn shortest(&self, seed: u64) -> Option<(Self, String)> {
        let what = self.run(seed).err()?;
        let mut best = (self.clone(), what);
        shrink(&self.scenario.words(), |words| {
            let shorter = self.with_fewer(Scenario::Words(words.to_vec()), seed);
            shorter.map(|found| best = found).is_some()
        });
        Some(best)
    }

    /// A case with another scenario that fails, and how.
    fn with_fewer(&self, scenario: Scenario, seed: u64) -> Option<(Self, String)> {
        let plan = self.plan?;
        // One that fails of itself is another matter.
        let rehearsal = Self { scenario, plan: None, ending: self.ending };
        let requests = rehearsal.run(seed).and_then(|_| rehearsal.scenario.requests()).ok()?;
        let fitting = requests.iter().enumerate().filter(|(_, request)| plan.fault.fits(request.kind));
        fitting.map(|(at, _)| Plan { at, ..plan }).find_map(|plan| {
            let case = Self { plan: Some(plan), ..rehearsal.clone() };
            let what = guarded(|| case.run(seed)).and_then(|outcome| outcome).err()?;
            Some((case, what))
        })
    }
}

/// What went wrong is over: the store goes on if it may, and closes well in any case.
fn closed(mut session: Session, retention: Retention) -> Result<(), String> {
    session.fs.heal();
    let Some(db) = session.db.take() else { return Err("no store is open".to_owned()) };
    let poisoned = session.is_poisoned();
    if !poisoned {
        last_commit(&db, &mut session.truth).map_err(|error| format!("it does not go on: {error}"))?;
        if !db.health().is_healthy() {
            return Err(format!("all is well again, but it is {:?}", db.health()));
        }
    }
    let least = session.truth.promised(if poisoned { Durability::Os } else { Durability::Memory });
    db.close().map_err(|error| format!("it does not close: {error}"))?;
    drop(db);
    if let Some(wrong) = session.fs.take_wrong().into_iter().next() {
        return Err(wrong);
    }
    if session.disk.open_handles() > 0 {
        return Err(format!("{} handles are still open", session.disk.open_handles()));
    }
    let fs = session.disk.clone();
    let mut truth = session.truth;
    let db = opened(&fs, retention, least, &mut truth)?;
    db.verify().map_err(|error| format!("what was closed is not sound: {error}"))?;
    let (tables, segments) = {
        let metrics = db.metrics();
        (metrics.level_tables.iter().sum::<u64>(), metrics.live_wal_segments)
    };
    drop(db);
    no_left_overs(&fs, tables, segments)?;
    copies(&fs, &session.checkpoints, &truth, retention)
}

fn last_commit(db: &Db, truth: &mut Truth) -> fountain_lsm::Result<()> {
    let ops = [Op::Put(key(1), value(999, 0, 40))];
    truth.begin(&ops);
    db.commit(batch(&ops)?, Durability::Disk)?;
    truth.acknowledge(Durability::Disk);
    db.flush()?;
    db.compact()
}

/// Only what the store names is there.
fn no_left_overs(fs: &SimFs, tables: u64, segments: u64) -> Result<(), String> {
    let store = Path::new(STORE);
    let names = |dir: &Path| fs.list(dir).unwrap_or_default();
    let root = names(store);
    let manifests = root.iter().filter(|name| name.starts_with("MANIFEST")).count();
    let found =
        (names(&store.join("tables")).len() as u64, names(&store.join("wal")).len() as u64, manifests);
    if found == (tables, segments, 1) {
        return Ok(());
    }
    Err(format!("(tables, segments, manifests) are {found:?}; expected {:?}", (tables, segments, 1)))
}

/// The process dies; whoever opens the store next shows what a second crash must not take away any more.
fn killed(mut session: Session, retention: Retention) -> Result<(), String> {
    let image = session.disk.disk().crash(&Crash::Kill);
    let least = session.truth.promised(Durability::Os);
    session.db = None;
    let fs = SimFs::new(image);
    let db = opened(&fs, retention, least, &mut session.truth)?;
    let shown = db.visible().get();
    let later = SimFs::new(fs.disk().crash(&Crash::Synced));
    drop(db);
    let db = opened(&later, retention, shown, &mut session.truth)
        .map_err(|what| format!("after a second crash: {what}"))?;
    drop(db);
    copies(&later, &session.checkpoints, &session.truth, retention)
}

fn powerless(mut session: Session, retention: Retention, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let disk: Disk = session.disk.disk();
    let crash = match random.below(4) {
        0 => Crash::Synced,
        1 => Crash::Prefix(random.bits()),
        2 => Crash::Sectors(random.bits()),
        _ => Crash::Garbage(random.bits()),
    };
    let least = session.truth.promised(Durability::Disk);
    session.db = None;
    let fs = SimFs::new(disk.crash(&crash));
    let db =
        opened(&fs, retention, least, &mut session.truth).map_err(|what| format!("{crash:?}: {what}"))?;
    drop(db);
    copies(&fs, &session.checkpoints, &session.truth, retention)
}

/// Opens the store and compares everything; what is shown must not be less than `least`.
fn opened(fs: &SimFs, retention: Retention, least: u64, truth: &mut Truth) -> Result<Db, String> {
    let db = Db::open(Path::new(STORE), options(Arc::new(fs.clone()), retention))
        .map_err(|error| format!("it does not open: {error}"))?;
    let visible = db.visible().get();
    if visible < least || visible > truth.last() {
        return Err(format!("{visible} is visible; {least} to {} was expected", truth.last()));
    }
    truth.settle(visible);
    truth.compare(&db, &|| false)?;
    Ok(db)
}

/// Every checkpoint that was reported complete is a store of its own.
fn copies(
    fs: &SimFs,
    checkpoints: &[(std::path::PathBuf, u64)],
    truth: &Truth,
    retention: Retention,
) -> Result<(), String> {
    for (path, seq) in checkpoints {
        let at = |what: String| format!("checkpoint {}: {what}", path.display());
        let mut settings = options(Arc::new(fs.clone()), retention);
        settings.create_if_missing = false;
        let db = Db::open(path, settings).map_err(|error| at(error.to_string()))?;
        if db.visible() != Seq::new(*seq).unwrap_or(Seq::MAX) {
            return Err(at(format!("{} is visible; expected {seq}", db.visible())));
        }
        let part = truth.upto(*seq);
        part.compare(&db, &|| false).map_err(at)?;
    }
    Ok(())
}
