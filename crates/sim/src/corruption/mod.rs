//! Damage of every kind to stores of every kind: it is noticed, or undone exactly, or changes nothing.
//!
//! `mutant` lists what can happen to the files of a store, `judge` opens what is left and compares it with the truth,
//! `salvaged` saves what is left into a new store and compares that,
//! `table` finds blocks to exchange,
//! `log` and `tail` know what a damaged end of a log may look like, `memory` watches how much is asked for meanwhile.
//!
//! What must never be: a wrong answer, a loss that nobody is told of, a panic, a hang, memory without bound, and a store
//! that was refused and yet changed.

mod judge;
mod log;
mod memory;
mod mutant;
mod salvaged;
mod table;
mod tail;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use fountain_lsm::Durability;
use judge::{Verdict, check_verify, judge};
pub use memory::Counting;
use mutant::Plan;
use salvaged::check_salvage;

use crate::Outcome;
use crate::blocks::Blocks;
use crate::golden::{Base, Change, Maker, RECIPES, Recipe};
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

/// The stage.
pub const STAGE: Stage =
    Stage { name: "corruption", unit: "damaged stores", share: 20.0, floor: 250_000, run, replay };

/// Makes the stores, and lists what can happen to each.
fn plans() -> Outcome<Vec<Plan>> {
    let mut bases = RECIPES.iter().map(Recipe::make).collect::<Outcome<Vec<Base>>>()?;
    bases.push(even()?);
    bases.push(split()?);
    Ok((0..bases.len()).map(|index| Plan::new(&bases, index)).collect())
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
    verdicts: [u64; Verdict::ALL.len()],
}

fn run(ctx: &Context) -> StageReport {
    let plans = match plans() {
        Ok(plans) => plans,
        Err(error) => {
            let failure = Failure::of_seed(ctx.stage, 0, format!("a store cannot be made: {error}"));
            return StageReport { failures: vec![failure], ..StageReport::default() };
        }
    };
    let (tallies, failures) = parallel(
        ctx,
        |tally: &Tally| tally.done,
        |tally: &mut Tally, index, seed| {
            let case =
                if ctx.hunting { Case::of_any_kind(&plans, seed) } else { case_of(&plans, index, seed) };
            watchdog::begin(format!("{}/{seed:016x}:{}", ctx.stage, case.name()));
            tally.done += 1;
            tally.salvaged += u64::from(case.is_sampled(SALVAGED));
            match case.check() {
                Ok(verdict) => tally.verdicts[verdict as usize] += 1,
                Err(what) => return Err(Failure::of_case(ctx.stage, seed, &case.name(), what)),
            }
            Ok(())
        },
    );
    let count = |verdict: Verdict| Count {
        name: verdict.name(),
        count: tallies.iter().map(|tally| tally.verdicts[verdict as usize]).sum(),
        floor: 0,
    };
    let salvaged = Count {
        name: "salvaged, too",
        count: tallies.iter().map(|tally| tally.salvaged).sum(),
        floor: ctx.floor(12_000),
    };
    StageReport {
        done: tallies.iter().map(|tally| tally.done).sum(),
        also: Verdict::ALL.into_iter().map(count).chain([salvaged]).collect(),
        failures,
        seconds: 0.0,
    }
}

fn replay(case: &str) -> Result<(), Failure> {
    let refused = |what: String| Failure {
        replay: format!("corruption/{case}"),
        ..Failure::of_seed("corruption", 0, what)
    };
    let plans = plans().map_err(|error| refused(error.to_string()))?;
    let parsed = parse_case(case).and_then(|(_, detail)| Case::parse(&plans, detail));
    let Some(case) = parsed else { return Err(refused("no such case".to_owned())) };
    case.check().map(|_| ()).map_err(refused)
}

/// One case in so many has two faults, and all have when every single fault has had its turn.
const DOUBLE: u64 = 4;

/// Every single fault once, in an order that mixes them all, and two at a time by chance.
fn case_of(plans: &[Plan], index: u64, seed: u64) -> Case<'_> {
    let faults: u64 = plans.iter().map(Plan::len).sum();
    let number = index - index / DOUBLE;
    if index % DOUBLE == DOUBLE - 1 || number >= faults {
        Case::double(plans, seed)
    } else {
        Case::single(plans, spread(number, faults))
    }
}

/// The `index`-th of `count` numbers in an order that leaps through all of them.
const fn spread(index: u64, count: u64) -> u64 {
    // A prime larger than any count here, so that every number is met once.
    const LEAP: u64 = 2_147_483_647;
    ((index as u128 * LEAP as u128) % count as u128) as u64
}

/// A store and what happens to it.
struct Case<'a> {
    plan: &'a Plan,
    faults: Vec<u64>,
}

impl<'a> Case<'a> {
    /// One fault, numbered through all stores.
    fn single(plans: &'a [Plan], mut number: u64) -> Self {
        for plan in plans {
            if number < plan.len() {
                return Self { plan, faults: vec![number] };
            }
            number -= plan.len();
        }
        Self { plan: &plans[0], faults: Vec::new() }
    }

    /// One fault, drawn so that each kind is as likely as any other.
    fn of_any_kind(plans: &'a [Plan], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = random.pick(plans);
        Self { plan, faults: vec![plan.draw(&mut random)] }
    }

    /// Two faults, drawn.
    fn double(plans: &'a [Plan], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = random.pick(plans);
        let mut fault = || random.below(plan.len() as usize) as u64;
        Self { plan, faults: vec![fault(), fault()] }
    }

    /// `store:number` or `store:number+number`.
    fn name(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(u64::to_string).collect();
        format!("{}:{}", self.plan.base().name, faults.join("+"))
    }

    fn parse(plans: &'a [Plan], name: &str) -> Option<Self> {
        let (base, faults) = name.split_once(':')?;
        let plan = plans.iter().find(|plan| plan.base().name == base)?;
        let faults = faults.split('+').map(|fault| fault.parse().ok().filter(|fault| *fault < plan.len()));
        Some(Self { plan, faults: faults.collect::<Option<_>>()? })
    }

    /// Whether the case is one of those, one in `n`, of which more is asked.
    fn is_sampled(&self, n: u64) -> bool {
        mix(self.faults.iter().sum()).is_multiple_of(n)
    }

    /// Damages the store and judges what comes of it.
    fn check(&self) -> Result<Verdict, String> {
        let begin = Instant::now();
        let told = || {
            let faults: Vec<_> = self.faults.iter().map(|&fault| self.plan.describe(fault)).collect();
            format!("store '{}', {}", self.plan.base().name, faults.join(" and "))
        };
        let damaged = self.plan.damage(&self.faults);
        memory::begin();
        let verdict = guarded(|| {
            let verdict = judge(self.plan.base(), &damaged)?;
            if self.is_sampled(VERIFIED) {
                check_verify(self.plan.base(), &damaged, verdict)?;
            }
            if self.is_sampled(SALVAGED) {
                check_salvage(self.plan.base(), &damaged, self.faults.len() == 1)?;
            }
            Ok(verdict)
        });
        let (most, mut took) = (memory::most(), begin.elapsed());
        for _ in 0..SECOND_LOOKS {
            if took > LONGEST {
                let begin = Instant::now();
                let _ = guarded(|| judge(self.plan.base(), &damaged));
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
