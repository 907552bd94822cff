//! The stage: every request of every scenario, in every way in which it can go wrong, once and for ever.

use std::collections::BTreeMap;

use super::case::{Case, Ending, Scenario};
use super::fault::{Class, Fault, Kind};
use super::fs::{Plan, Seen};
use super::rare;
use super::script::SCENARIOS;
use super::sites;
use crate::parallel::parallel;
use crate::random::{Random, mix};
use crate::regressions::NO_CASE;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::watchdog;

/// See the module.
pub const STAGE: Stage =
    Stage { name: "faults", unit: "injected faults", share: 12.0, floor: 50_000, run, replay };

/// Cases in a run of 600 s.
const CASES: u64 = 20_000;

/// What goes wrong with each request, once or for ever, before anything else does: with that, errors reach every place.
const FIRST: [(Fault, bool); 4] =
    [(Fault::Io, false), (Fault::Io, true), (Fault::Full, false), (Fault::Replaced, false)];
/// The same for requests of one kind only, about files of one class.
const FIRST_OF_KIND: [(Kind, Class, Fault, bool); 3] = [
    (Kind::Write, Class::Log, Fault::Full, true),
    (Kind::Write, Class::Log, Fault::Quota, true),
    (Kind::SyncDir, Class::Other, Fault::Handles, true),
];

#[derive(Default)]
struct Tally {
    cases: u64,
    seen: Seen,
}

fn run(ctx: &Context) -> StageReport {
    let (cases, first) = match all_cases(ctx.hunting.then_some(ctx.seed)) {
        Ok(cases) => cases,
        Err(failure) => return StageReport { failures: vec![failure], ..StageReport::default() },
    };
    let count = cases.len() as u64;
    // What every place needs to have seen an error is due however little time there is.
    let least = ctx.floor(CASES).max(first);
    let all = Context { due: if ctx.hunting { 0 } else { least }, ..ctx.clone() };
    let (tallies, mut failures) = parallel(
        &all,
        |tally: &Tally| tally.cases,
        |tally: &mut Tally, index, seed| {
            // The whole list again and again, with other endings.
            let (scenario, plan) = cases[(index % count) as usize];
            let endings = [Ending::Close, Ending::Kill, Ending::Power];
            let ending = endings[((mix(index % count) + index / count) % 3) as usize];
            let case = Case { scenario: Scenario::Known(scenario), plan: Some(plan), ending };
            watchdog::begin(format!("{}/{seed:016x}:{}", STAGE.name, case.name()));
            let seen = case.run(seed).map_err(|what| failure(&case, seed, &what))?;
            tally.cases += 1;
            tally.seen.injected += seen.injected;
            tally.seen.surfaced += seen.surfaced;
            tally.seen.tolerated += seen.tolerated;
            Ok(())
        },
    );
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let done = sum(|tally| tally.cases);
    let (places, missed) = match (sites::all(), sites::missed()) {
        (Ok(places), Ok(missed)) => (places.len() as u64, missed),
        _ => (1, vec![("the source of the engine".to_owned(), 0)]),
    };
    let reached = places - missed.len() as u64;
    if !ctx.hunting {
        failures.extend((!missed.is_empty()).then(|| missed_places(ctx.seed, &missed)));
        let rare = rare::RARE.iter().filter_map(|(name, _)| rare_case(ctx.seed, name).err());
        failures.extend(rare);
    }
    StageReport {
        done: sum(|tally| tally.seen.injected),
        also: vec![
            Count { name: "cases", count: done, floor: least },
            Count { name: "single faults that there are: request, error, once or for ever", count, floor: 1 },
            Count {
                name: "of them tried, before any is tried again",
                count: done.min(count),
                floor: least.max(ctx.floor(count)).min(count),
            },
            Count { name: "requests that can fail", count: requests(&cases), floor: 2_000 },
            Count {
                name: "faults that became errors",
                count: sum(|tally| tally.seen.surfaced),
                floor: ctx.floor(25_000),
            },
            Count {
                name: "faults that were tolerated",
                count: sum(|tally| tally.seen.tolerated),
                floor: ctx.floor(2_500),
            },
            Count { name: "places where errors arrived", count: reached, floor: places },
            Count { name: "places where errors can arrive", count: places, floor: 1 },
        ],
        failures,
        seconds: 0.0,
    }
}

/// The places are in the source of the engine: a new one needs a scenario in which it meets an error.
fn missed_places(seed: u64, missed: &[(String, u32)]) -> Failure {
    let places: Vec<_> = missed.iter().map(|(file, line)| format!("{file}:{line}")).collect();
    Failure::of_case(STAGE.name, seed, NO_CASE, format!("no error arrived at {}", places.join(", ")))
}

fn failure(case: &Case, seed: u64, what: &str) -> Failure {
    let what = format!("{what}\n               in {}: {}", case.name(), case.scenario.words().join(" "));
    Failure::of_case(STAGE.name, seed, &case.name(), what)
}

fn requests(cases: &[(usize, Plan)]) -> u64 {
    cases.iter().filter(|(_, plan)| (plan.fault, plan.for_ever) == FIRST[0]).count() as u64
}

/// Cases by what goes wrong with what, once or for ever.
type Cases = BTreeMap<(Kind, Class, Fault, bool), Vec<(usize, Plan)>>;

/// Every scenario with everything that can go wrong once or for ever in it. Those that reach every place come first, the
/// others so that each kind of fault of each kind of request comes as often as any other, for as long as there are
/// more. With a seed, all of them come so. Also how many come first.
fn all_cases(mixed: Option<u64>) -> Result<(Vec<(usize, Plan)>, u64), Failure> {
    let mut first = Vec::new();
    let mut later = Cases::new();
    for scenario in 0..SCENARIOS.len() {
        let rehearsal = Case { scenario: Scenario::Known(scenario), plan: None, ending: Ending::Close };
        let requests = rehearsal
            .run(0)
            .and_then(|_| rehearsal.scenario.requests())
            .map_err(|what| failure(&rehearsal, 0, &what))?;
        for (at, request) in requests.iter().enumerate() {
            for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(request.kind)) {
                for for_ever in [false, true] {
                    let kind = (request.kind, Class::of(&request.path), fault, for_ever);
                    let is_first = FIRST.contains(&(fault, for_ever)) || FIRST_OF_KIND.contains(&kind);
                    let is_first = is_first && mixed.is_none();
                    let list = if is_first { &mut first } else { later.entry(kind).or_default() };
                    list.push((scenario, Plan { at, fault, for_ever }));
                }
            }
        }
    }
    let count = first.len() as u64;
    let mut random = Random::nth(0xFA, mixed.unwrap_or_default());
    for list in later.values_mut() {
        for index in (1..list.len()).rev() {
            list.swap(index, random.below(index + 1));
        }
    }
    while !later.is_empty() {
        for list in later.values_mut() {
            first.extend(list.pop());
        }
        later.retain(|_, list| !list.is_empty());
    }
    Ok((first, count))
}

fn rare_case(seed: u64, name: &str) -> Result<(), Failure> {
    let outcome = rare::run(name).unwrap_or_else(|| Err("no such case".to_owned()));
    outcome.map_err(|what| Failure::of_case(STAGE.name, seed, &format!("{RARE}{name}"), what))
}

/// How the detail of a rare case begins.
const RARE: &str = "rare:";

/// What fails is also tried with fewer words.
fn replay(case: &str) -> Result<(), Failure> {
    if let Some((seed, name)) =
        parse_case(case).and_then(|(seed, name)| Some((seed, name.strip_prefix(RARE)?)))
    {
        return rare_case(seed, name);
    }
    let parsed = parse_case(case).and_then(|(seed, name)| Some((seed, Case::named(name)?)));
    let Some((seed, case)) = parsed else {
        return Err(Failure::of_seed(STAGE.name, 0, format!("'{case}' names no case")));
    };
    match case.shortest(seed) {
        None => Ok(()),
        Some((shortest, what)) => Err(failure(&shortest, seed, &what)),
    }
}

#[cfg(test)]
mod tests {
    use fountain_lsm::planted::{Bug, plant};

    use super::*;

    #[test]
    fn a_case_is_read_back_from_its_name() {
        for case in [
            Case { scenario: Scenario::Known(3), plan: None, ending: Ending::Kill },
            Case {
                scenario: Scenario::Words(["put.os", "flush"].map(str::to_owned).to_vec()),
                plan: Some(Plan { at: 2, fault: Fault::Io, for_ever: false }),
                ending: Ending::Close,
            },
            Case {
                scenario: Scenario::Known(0),
                plan: Some(Plan { at: 17, fault: Fault::FullAtTheEnd, for_ever: true }),
                ending: Ending::Power,
            },
        ] {
            assert_eq!(Case::named(&case.name()).as_ref(), Some(&case));
        }
        assert_eq!(Case::named("0:dance"), None);
        assert_eq!(Case::named("put,dance:close"), None);
    }

    #[test]
    fn what_fails_is_made_short() {
        let _planted = plant(Bug::FailedFlushForgets);
        let scenario = Scenario::Known(5);
        let (count, requests) = (scenario.words().len(), scenario.requests().unwrap());
        let plans = (0..requests.len()).map(|at| Plan { at, fault: Fault::Io, for_ever: false });
        let mut cases =
            plans.map(|plan| Case { scenario: scenario.clone(), plan: Some(plan), ending: Ending::Close });
        let fails = cases.find(|case| case.run(1).is_err()).unwrap();
        let failure = replay(&format!("1:{}", fails.name())).unwrap_err();
        let (seed, name) = parse_case(failure.replay.strip_prefix("faults/").unwrap()).unwrap();
        let short = Case::named(name).unwrap();
        assert!(count >= 8 && short.scenario.words().len() <= 2, "{count}, {name}");
        assert!(short.run(seed).is_err(), "{name}");
        // What is left is as short as it gets, so that it stays what it is.
        assert_eq!(replay(&format!("{seed:x}:{name}")).unwrap_err().replay, failure.replay);
    }

    #[test]
    fn nothing_goes_wrong_where_nothing_is_made_to() {
        for (scenario, text) in SCENARIOS.iter().enumerate() {
            for ending in [Ending::Close, Ending::Kill, Ending::Power] {
                let case = Case { scenario: Scenario::Known(scenario), plan: None, ending };
                case.run(7).unwrap_or_else(|what| panic!("{text}: {what}"));
            }
        }
    }
}
