//! Crash states of document stores, compared with a ledger outside of them.
//!
//! A store of several collections, with indexes that are built meanwhile, transactions and documents that expire, is used once and
//! every change of its disk recorded, as in the stage `crash`. The recording is stepped through; at its changes, and before every commit
//! that begins, the machine or the process dies, and what is left is opened. It must be what the collections were after one commit
//! between the last that was acknowledged and the last that was begun: names, settings, records, and, once builds
//! have ended, the entries of every index. What recovery and further use did to the disk is a recording, too.
//!
//! `words` are the steps, `world` is what the collections should hold, `session` carries the steps out, `judge` compares.

mod judge;
mod session;
mod words;
mod world;

use std::collections::HashSet;

use self::judge::sound;
use self::session::Session;
use self::words::{Script, Word};
use self::world::Model;
use crate::crash::explore::content_hash;
use crate::crash::ledger::{Ledger, Mark};
use crate::crash::plan;
use crate::crash::session::Check;
use crate::disk::{Crash, Disk, Op, SimFs};
use crate::parallel::{guarded, parallel};
use crate::protocol::{Judged, Protocol};
use crate::random::{Random, mix};
use crate::shrink::shrink;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::watchdog;

/// The stage.
pub const STAGE: Stage = Stage {
    name: "collections",
    unit: "crash states of document stores",
    share: 8.0,
    floor: 20_000,
    run,
    replay,
};

/// Moments of a first recording that are tried, about, and of a later one.
const MOMENTS: [usize; 2] = [60, 5];
/// One in so many states is used further, and that is crashed again.
const SECOND: usize = 10;
/// One in so many stores is verified after it was closed.
const VERIFIED: usize = 3;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Distinct crash states, after one and after two crashes.
    states: [u64; 2],
    cases: u64,
    /// Indexes compared entry by entry.
    indexes: u64,
    /// Collections read as of an earlier commit.
    past: u64,
    /// Stores verified, contents and all.
    verified: u64,
    judged: Judged,
}

/// What happened between two crashes.
struct Recording {
    before: Disk,
    ledger: Ledger,
    model_before: Model,
    ops: Vec<Op>,
    marks: Vec<(usize, Mark)>,
    model_after: Model,
    /// The time at its end, by which whoever comes after it goes.
    now: u64,
}

/// A moment in a recording.
struct Moment<'a> {
    disk: &'a Disk,
    ledger: &'a Ledger,
    model: &'a Model,
    now: u64,
    /// Crashes before this one: none or one.
    crashes: usize,
}

struct Explorer<'a> {
    random: Random,
    seen: HashSet<u64>,
    tally: &'a mut Tally,
}

/// One recording, and crashes all along it.
fn case(seed: u64, script: &Script, tally: &mut Tally) -> Check<()> {
    tally.cases += 1;
    let mut explorer = Explorer { random: Random::nth(seed, 0xE8), seen: HashSet::new(), tally };
    let recording = explorer.record(Disk::default(), &Ledger::default(), &Model::default(), 0, &script.0)?;
    explorer.walk(&recording, 0)
}

impl Explorer<'_> {
    fn record(
        &mut self,
        before: Disk,
        ledger: &Ledger,
        model: &Model,
        now: u64,
        words: &[Word],
    ) -> Check<Recording> {
        let fs = SimFs::new(before.clone());
        fs.record();
        let mut session = Session::new(fs.clone(), model.clone(), now, self.random.bits());
        session.open(ledger, self.tally)?;
        session.run(words, self.tally)?;
        session.end()?;
        let Session { model: model_after, marks, now, .. } = session;
        let (ledger, model_before) = (ledger.clone(), model.clone());
        Ok(Recording { before, ledger, model_before, ops: fs.take_recording(), marks, model_after, now })
    }

    /// Steps through a recording, checks the order of its changes, and crashes at some moments.
    fn walk(&mut self, recording: &Recording, crashes: usize) -> Check<()> {
        let Recording { before, ledger, model_before, ops, marks, model_after, now } = recording;
        let (mut disk, mut ledger, mut model) = (before.clone(), ledger.clone(), model_before);
        let mut protocol = Protocol::new(&disk);
        let mut marks = marks.iter().peekable();
        let begun = marks.clone().filter(|(_, mark)| matches!(mark, Mark::Begun(_))).count();
        let share = ((ops.len() + begun) / MOMENTS[crashes]).max(1);
        for index in 0..=ops.len() {
            while let Some((_, mark)) = marks.next_if(|(at, _)| *at <= index) {
                // What was acknowledged before is promised most strictly just before the next commit.
                if matches!(mark, Mark::Begun(_)) {
                    let moment = Moment { disk: &disk, ledger: &ledger, model, now: *now, crashes };
                    self.visit(&moment, share)
                        .map_err(|what| format!("{what}\n  at change {index}, before {mark:?}"))?;
                }
                ledger.note(mark);
                if matches!(mark, Mark::Opened(_)) {
                    model = model_after;
                }
            }
            let moment = Moment { disk: &disk, ledger: &ledger, model, now: *now, crashes };
            self.visit(&moment, share).map_err(|what| format!("{what}\n  at change {index}"))?;
            if let Some(op) = ops.get(index) {
                protocol.check(&disk, op).map_err(|what| format!("{what}\n  at change {index}: {op:?}"))?;
                disk.apply(op);
            }
        }
        self.tally.judged += protocol.judged;
        Ok(())
    }

    /// One in so many moments is tried: with what was synced only, and in one other way.
    fn visit(&mut self, moment: &Moment<'_>, share: usize) -> Check<()> {
        if !self.random.one_in(share) {
            return Ok(());
        }
        for crash in [Crash::Synced, plan::one(moment.disk, &mut self.random)] {
            let image = moment.disk.crash(&crash);
            let ledger = moment.ledger.after_crash(crash == Crash::Kill);
            let promise = mix(mix(ledger.os) ^ ledger.begun);
            if self.seen.insert(promise ^ content_hash(&image)) {
                self.try_image(image, &ledger, moment)
                    .map_err(|what| format!("{what}\n  after crash {}: {crash:?}", moment.crashes + 1))?;
            }
        }
        Ok(())
    }

    fn try_image(&mut self, image: Disk, ledger: &Ledger, moment: &Moment<'_>) -> Check<()> {
        self.tally.states[moment.crashes] += 1;
        let deeper = moment.crashes == 0 && self.random.one_in(SECOND);
        let count = if deeper { self.random.within(1..4) } else { self.random.below(2) };
        let words: Vec<_> = (0..count).map(|_| Word::random(&mut self.random)).collect();
        if deeper {
            let later = self.record(image, ledger, moment.model, moment.now, &words)?;
            return self.walk(&later, moment.crashes + 1);
        }
        let mut session =
            Session::new(SimFs::new(image), moment.model.clone(), moment.now, self.random.bits());
        session.open(ledger, self.tally)?;
        session.run(&words, self.tally).map_err(|what| format!("after recovery, {what}"))?;
        session.end()?;
        if self.random.one_in(VERIFIED) { sound(&session.fs, self.tally) } else { Ok(()) }
    }
}

fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(
        ctx,
        |tally: &Tally| tally.states.iter().sum(),
        |tally: &mut Tally, _, seed| {
            let script = Script::random(seed);
            watchdog::begin(format!("{}/{seed:016x}:{script}", STAGE.name));
            checked(seed, &script, tally).map_err(|what| failure(seed, &script, &what))
        },
    );
    let sum = |part: fn(&Tally) -> u64| tallies.iter().map(part).sum::<u64>();
    let count =
        |name, part: fn(&Tally) -> u64, floor| Count { name, count: sum(part), floor: ctx.floor(floor) };
    StageReport {
        done: sum(|tally| tally.states.iter().sum()),
        also: vec![
            count("of them with a second crash", |tally| tally.states[1], 3_000),
            count("scenarios", |tally| tally.cases, 80),
            count("indexes compared entry by entry", |tally| tally.indexes, 5_000),
            count("collections read as of an earlier commit", |tally| tally.past, 20_000),
            count("stores verified, contents and all", |tally| tally.verified, 3_000),
            count("changes checked for their order", |tally| tally.judged.changes, 30_000),
            count("files that manifests named, looked up", |tally| tally.judged.named, 3_000),
        ],
        failures,
        seconds: 0.0,
    }
}

fn checked(seed: u64, script: &Script, tally: &mut Tally) -> Result<(), String> {
    guarded(|| case(seed, script, tally)).unwrap_or_else(Err)
}

fn failure(seed: u64, script: &Script, what: &str) -> Failure {
    Failure::of_case(STAGE.name, seed, &script.to_string(), format!("{script}: {what}"))
}

/// Times that a case is run before it counts as good: threads of the store may come in another order.
const TRIES: usize = 5;

/// `seed:steps`. What fails is also tried with fewer steps.
fn replay(case: &str) -> Result<(), Failure> {
    let wrong = |what: String| Failure::of_seed(STAGE.name, 0, format!("{case}: {what}"));
    let (seed, steps) = parse_case(case).ok_or_else(|| wrong("not a case".to_owned()))?;
    let script: Script = steps.parse().map_err(wrong)?;
    let outcome = |script: &Script| (0..TRIES).try_for_each(|_| checked(seed, script, &mut Tally::default()));
    let Err(what) = outcome(&script) else { return Ok(()) };
    let once = |script: &Script| checked(seed, script, &mut Tally::default());
    let shorter = Script(shrink(&script.0, |steps| once(&Script(steps.to_vec())).is_err()));
    let what = outcome(&shorter).err().unwrap_or(what);
    Err(failure(seed, &shorter, &what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_of_several_collections_survive_crashes_everywhere() {
        let mut tally = Tally::default();
        let all = "put,unique,put,define,both,txn,clash,many,flush,expiring,wait,sweep,latest,put,drop-index,reopen,drop,put,\
                   renew,compact";
        for (seed, script) in [(1, all.parse().unwrap()), (2, Script::random(2))] {
            case(seed, &script, &mut tally).unwrap_or_else(|what| panic!("{script}: {what}"));
        }
        assert!(tally.states[0] > 60 && tally.indexes > 30 && tally.verified > 10, "{tally:?}");
    }
}
