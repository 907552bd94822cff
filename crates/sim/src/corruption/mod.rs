//! Damage of every kind to stores of every kind: it is noticed, or undone exactly, or changes nothing.
//!
//! `mutant` lists what can happen to the files of a store, `judge` opens what is left and compares it with the truth,
//! `salvaged` saves what is left into a new store and compares that, `documents` does both with document stores, `cut` ends that early,
//! `table` finds blocks to exchange,
//! `tail` knows what a damaged end of a log may look like, `memory` watches how much is asked for meanwhile.
//!
//! What must never be: a wrong answer, a loss that nobody is told of, a panic, a hang, memory without bound, and a store
//! that was refused and yet changed.

mod cut;
mod documents;
mod judge;
mod memory;
mod mutant;
mod salvaged;
mod table;
mod tail;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use fountain_lsm::Durability;
use judge::{Verdict, check_scrub, check_verify, judge};
pub use memory::Counting;
use mutant::{Damaged, Plan};
use salvaged::check_salvage;

use crate::Outcome;
use crate::blocks::Blocks;
use crate::golden::documents::Expected;
use crate::golden::{self, Base, Change, Maker, RECIPES, Recipe};
use crate::parallel::{guarded, parallel};
use crate::random::{Random, mix};
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::watchdog;

/// Longest time for one damaged store.
const LONGEST: Duration = Duration::from_secs(2);
/// How often a time that is too long is taken again, since a busy machine may have done something else meanwhile.
const SECOND_LOOKS: usize = 3;
/// Most memory for one damaged store, beside ten times its size.
const MOST_MEMORY: usize = 64 << 20;

/// One in so many damaged stores is verified, too.
const VERIFIED: u64 = 4;
/// One in so many damaged stores is salvaged, too.
const SALVAGED: u64 = 12;
/// One in so many damaged document stores is.
const SALVAGED_DOCUMENTS: u64 = 4;

/// The stage.
pub const STAGE: Stage =
    Stage { name: "corruption", unit: "damaged stores", share: 20.0, floor: 250_000, run, replay };

/// The part of it that cuts salvage short, by itself: it is rare among the other cases.
pub const CUT: Stage =
    Stage { name: "cut", unit: "salvages cut short", share: 1.0, floor: 0, run: run_cut, replay };

/// One in so many cases is about a document store.
const DOCUMENTS: u64 = 16;
/// Single faults of storage that are due in 600 s.
const SINGLES_DUE: u64 = 110_000;
/// Salvages that are due in 600 s.
const SALVAGED_DUE: u64 = 16_000;

/// One in so many cases is a salvage of a document store that is cut short.
const ONE_CUT: u64 = 256;

/// The detail of a case of these.
const CUT_SHORT: &str = "cut";

/// A store, and what can happen to it.
struct Subject {
    plan: Plan,
    /// What it must say if it is a document store.
    documents: Option<Expected>,
}

/// The stores.
struct Subjects {
    storage: Vec<Subject>,
    documents: Vec<Subject>,
}

impl Subjects {
    /// Makes or reads them, and lists what can happen to each.
    fn all() -> Outcome<Self> {
        let mut bases = RECIPES.iter().map(Recipe::make).collect::<Outcome<Vec<Base>>>()?;
        bases.push(even()?);
        bases.push(split()?);
        let subject = |index| Subject { plan: Plan::new(&bases, index), documents: None };
        let storage = (0..bases.len()).map(subject).collect();
        let (bases, expected): (Vec<_>, Vec<_>) = golden::documents::all()?.into_iter().unzip();
        let subject =
            |(index, expected)| Subject { plan: Plan::new(&bases, index), documents: Some(expected) };
        let documents = expected.into_iter().enumerate().map(subject).collect();
        Ok(Self { storage, documents })
    }

    fn named(&self, name: &str) -> Option<&Subject> {
        self.storage.iter().chain(&self.documents).find(|subject| subject.plan.base().name == name)
    }
}

/// A store whose table has blocks that are equally long, so that they can change places.
fn even() -> Outcome<Base> {
    let mut maker = Maker::new(13, |options| options.table_bytes = 64 << 10)?;
    for (number, name) in ["first", "other", "third"].into_iter().enumerate() {
        let mut value = vec![0; BLOCK];
        Random::nth(0xE7E2, number as u64).fill(&mut value);
        maker.commit(vec![Change::Put(name.into(), value)], Durability::Disk)?;
    }
    maker.close()?;
    Ok(maker.finish("even"))
}

/// A store whose tables have many small blocks, older versions and indexes of two levels.
fn split() -> Outcome<Base> {
    let mut maker = Maker::new(14, |options| options.table_layout = Blocks::Small.layout())?;
    for round in 0..3u8 {
        let put = |key: u8| Change::Put(format!("key {key:02}").into(), vec![key ^ round; 60]);
        maker.commit((0..24).map(put).collect(), Durability::Disk)?;
    }
    maker.close()?;
    Ok(maker.finish("split"))
}

/// Bytes of a value that fills a data block.
const BLOCK: usize = 4200;

/// How often each verdict was given.
#[derive(Default)]
struct Tally {
    done: u64,
    /// Stores that were salvaged, too.
    salvaged: u64,
    /// Document stores.
    documents: u64,
    /// Faults by themselves, of storage and of document stores; no two of them are the same.
    singles: [u64; 2],
    /// Salvages that were cut short.
    cut: u64,
    verdicts: [u64; Verdict::ALL.len()],
}

fn run(ctx: &Context) -> StageReport {
    let subjects = match Subjects::all() {
        Ok(subjects) => subjects,
        Err(error) => return not_begun(&error),
    };
    let (tallies, failures) = parallel(
        ctx,
        |tally: &Tally| tally.done,
        |tally: &mut Tally, index, seed| {
            if !ctx.hunting && index % ONE_CUT == ONE_CUT / 2 {
                tally.cut += 1;
                return cut_short(&subjects, seed);
            }
            let case = if ctx.hunting {
                let both = [&subjects.storage, &subjects.documents];
                Case::of_any_kind(both[(index % 2) as usize], seed)
            } else {
                case_of(&subjects, ctx.seed, index, seed)
            };
            let asked = if ctx.hunting { Asked::All } else { Asked::Some(ctx.seed) };
            let case = Case { asked, ..case };
            watchdog::begin(format!("{}/{seed:016x}:{}", ctx.stage, case.name()));
            tally.done += 1;
            tally.salvaged += u64::from(case.is_salvaged());
            let of_documents = case.subject.documents.is_some();
            tally.documents += u64::from(of_documents);
            tally.singles[usize::from(of_documents)] += u64::from(case.faults.len() == 1);
            match case.check() {
                Ok(verdict) => tally.verdicts[verdict as usize] += 1,
                Err(what) => return Err(Failure::of_case(ctx.stage, seed, &case.name(), what)),
            }
            Ok(())
        },
    );
    let sum = |of: &dyn Fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let verdict = |verdict: Verdict| Count {
        name: verdict.name(),
        count: sum(&|tally| tally.verdicts[verdict as usize]),
        floor: ctx.floor(verdict.floor()),
    };
    let count = |name, of: &dyn Fn(&Tally) -> u64, floor: u64| Count {
        name,
        count: sum(of),
        floor: ctx.floor(floor),
    };
    let total = |name, subjects: &[Subject]| Count { name, count: faults_of(subjects), floor: 1 };
    let more = [
        count("salvaged, too", &|tally| tally.salvaged, SALVAGED_DUE),
        total("single faults of storage that there are", &subjects.storage),
        count("of them tried", &|tally| tally.singles[0], SINGLES_DUE),
        count("document stores", &|tally| tally.documents, 12_000),
        total("single faults of document stores that there are", &subjects.documents),
        count("of them tried", &|tally| tally.singles[1], 9_000),
        count("salvages of document stores cut short", &|tally| tally.cut, 800),
    ];
    StageReport {
        done: sum(&|tally| tally.done),
        also: Verdict::ALL.into_iter().map(verdict).chain(more).collect(),
        failures,
        seconds: 0.0,
    }
}

/// What a stage reports that has no store to damage.
fn not_begun(error: &dyn std::fmt::Display) -> StageReport {
    let failure = Failure::of_seed(STAGE.name, 0, format!("a store cannot be made: {error}"));
    StageReport { failures: vec![failure], ..StageReport::default() }
}

fn run_cut(ctx: &Context) -> StageReport {
    let subjects = match Subjects::all() {
        Ok(subjects) => subjects,
        Err(error) => return not_begun(&error),
    };
    let (tallies, failures) = parallel(
        ctx,
        |done: &u64| *done,
        |done, _, seed| {
            *done += 1;
            cut_short(&subjects, seed)
        },
    );
    StageReport { done: tallies.iter().sum(), failures, ..StageReport::default() }
}

/// Cuts a salvage short.
fn cut_short(subjects: &Subjects, seed: u64) -> Result<(), Failure> {
    cut::case(subjects, seed).map_err(|what| Failure::of_case(STAGE.name, seed, CUT_SHORT, what))
}

fn replay(case: &str) -> Result<(), Failure> {
    let refused = |what: String| Failure {
        replay: format!("corruption/{case}"),
        ..Failure::of_seed("corruption", 0, what)
    };
    let subjects = Subjects::all().map_err(|error| refused(error.to_string()))?;
    if let Some((seed, CUT_SHORT)) = parse_case(case) {
        return cut::case(&subjects, seed).map_err(refused);
    }
    let parsed = parse_case(case).and_then(|(seed, detail)| Some((seed, Case::parse(&subjects, detail)?)));
    let Some((seed, case)) = parsed else { return Err(refused("no such case".to_owned())) };
    case.check().map(|_| ()).map_err(|what| {
        let alone = case.alone();
        let (name, what) = alone.map_or_else(|| (case.name(), what), |(case, what)| (case.name(), what));
        Failure::of_case(STAGE.name, seed, &name, what)
    })
}

/// How many single faults there are.
fn faults_of(subjects: &[Subject]) -> u64 {
    subjects.iter().map(|subject| subject.plan.len()).sum()
}

/// One case in so many has two faults, and all have when every single fault has had its turn.
const DOUBLE: u64 = 4;

/// Every single fault once, in an order that mixes them all and begins somewhere else with each seed of a run, and two at a
/// time by chance.
fn case_of(subjects: &Subjects, begin: u64, index: u64, seed: u64) -> Case<'_> {
    // Counted apart, so that each list is gone through without a gap.
    let documents = index / DOCUMENTS;
    let (subjects, index) = if index % DOCUMENTS == DOCUMENTS - 1 {
        (&subjects.documents, documents)
    } else {
        (&subjects.storage, index - documents)
    };
    let faults = faults_of(subjects);
    let number = index - index / DOUBLE;
    if index % DOUBLE == DOUBLE - 1 || number >= faults {
        Case::double(subjects, seed)
    } else {
        Case::single(subjects, spread(mix(begin) % faults + number, faults))
    }
}

/// The `index`-th of `count` numbers in an order that leaps through all of them.
const fn spread(index: u64, count: u64) -> u64 {
    // A prime larger than any count here, so that every number is met once.
    const LEAP: u64 = 2_147_483_647;
    ((index as u128 * LEAP as u128) % count as u128) as u64
}

/// Of which cases more is asked.
#[derive(Clone, Copy)]
enum Asked {
    /// Of all: they are verified and salvaged.
    All,
    /// Of some, others with each seed of a run.
    Some(u64),
}

/// A store and what happens to it.
struct Case<'a> {
    subject: &'a Subject,
    faults: Vec<u64>,
    asked: Asked,
}

impl<'a> Case<'a> {
    const fn of(subject: &'a Subject, faults: Vec<u64>) -> Self {
        Self { subject, faults, asked: Asked::All }
    }

    /// One fault, numbered through all stores.
    fn single(subjects: &'a [Subject], mut number: u64) -> Self {
        for subject in subjects {
            if number < subject.plan.len() {
                return Self::of(subject, vec![number]);
            }
            number -= subject.plan.len();
        }
        Self::of(&subjects[0], Vec::new())
    }

    /// One fault, drawn so that each kind is as likely as any other.
    fn of_any_kind(subjects: &'a [Subject], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let subject = random.pick(subjects);
        Self::of(subject, vec![subject.plan.draw(&mut random)])
    }

    /// Two faults, drawn.
    fn double(subjects: &'a [Subject], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let subject = random.pick(subjects);
        let mut fault = || random.below(subject.plan.len() as usize) as u64;
        Self::of(subject, vec![fault(), fault()])
    }

    /// `store:number` or `store:number+number`.
    fn name(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(u64::to_string).collect();
        format!("{}:{}", self.subject.plan.base().name, faults.join("+"))
    }

    fn parse(subjects: &'a Subjects, name: &str) -> Option<Self> {
        let (base, faults) = name.split_once(':')?;
        let subject = subjects.named(base)?;
        let most = subject.plan.len();
        let faults = faults.split('+').map(|fault| fault.parse().ok().filter(|fault| *fault < most));
        Some(Self::of(subject, faults.collect::<Option<_>>()?))
    }

    /// Whether the case is one of those, one in `n`, of which more is asked.
    fn is_sampled(&self, n: u64) -> bool {
        match self.asked {
            Asked::All => true,
            Asked::Some(salt) => mix(self.faults.iter().sum::<u64>() ^ mix(salt)).is_multiple_of(n),
        }
    }

    fn judge(&self, damaged: &Damaged) -> Result<Verdict, String> {
        match &self.subject.documents {
            Some(expected) => documents::judge(expected, damaged),
            None => judge(self.subject.plan.base(), damaged),
        }
    }

    /// As [`Self::judge`], and of some more is asked.
    fn judge_all(&self, damaged: &Damaged) -> Result<Verdict, String> {
        let (verdict, base) = (self.judge(damaged)?, self.subject.plan.base());
        if self.is_sampled(VERIFIED) {
            match &self.subject.documents {
                Some(_) => documents::check_verify(damaged, verdict)?,
                None => {
                    check_verify(base, damaged, verdict)?;
                    check_scrub(damaged, verdict)?;
                }
            }
        }
        if self.is_salvaged() {
            match &self.subject.documents {
                Some(expected) => documents::check_salvage(base, expected, damaged)?,
                None => check_salvage(base, damaged, self.faults.len() == 1)?,
            }
        }
        Ok(verdict)
    }

    fn is_salvaged(&self) -> bool {
        self.is_sampled(if self.subject.documents.is_some() { SALVAGED_DOCUMENTS } else { SALVAGED })
    }

    /// A case with one of several faults that fails by itself, and how.
    fn alone(&self) -> Option<(Self, String)> {
        let alone = |&fault: &u64| {
            let case = Self::of(self.subject, vec![fault]);
            let what = case.check().err()?;
            Some((case, what))
        };
        self.faults.iter().filter(|_| self.faults.len() > 1).find_map(alone)
    }

    /// Damages the store and judges what comes of it.
    fn check(&self) -> Result<Verdict, String> {
        let begin = Instant::now();
        let plan = &self.subject.plan;
        let told = || {
            let faults: Vec<_> = self.faults.iter().map(|&fault| plan.describe(fault)).collect();
            format!("store '{}', {}", plan.base().name, faults.join(" and "))
        };
        let damaged = plan.damage(&self.faults);
        memory::begin();
        let verdict = guarded(|| self.judge_all(&damaged));
        let (most, mut took) = (memory::most(), begin.elapsed());
        for _ in 0..SECOND_LOOKS {
            if took > LONGEST {
                let begin = Instant::now();
                let _ = guarded(|| self.judge(&damaged));
                took = took.min(begin.elapsed());
            }
        }
        let verdict = verdict.and_then(|verdict| verdict).map_err(|what| format!("{}: {what}", told()))?;
        let allowed = MOST_MEMORY + 10 * damaged.files.values().map(|bytes| bytes.len()).sum::<usize>();
        if most > allowed {
            return Err(format!("{}: {most} bytes of memory, at most {allowed} are allowed", told()));
        }
        if took > LONGEST {
            return Err(format!("{}: took {took:?}", told()));
        }
        Ok(verdict)
    }
}
