//! Carries out what the command line says.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::cli::{Ci, Command, Soak, help};
use crate::golden;
use crate::kill::run_child;
use crate::parallel::guarded;
use crate::regressions;
use crate::report::{below_floor, to_json, to_text};
use crate::stage::{Context, Failure, Stage, StageReport};
use crate::stages::{STAGES, named};

/// Time to which the floors of stages belong.
const FULL_RUN: Duration = Duration::from_secs(600);

/// Does it; false when something was found that must not be.
pub(crate) fn run(command: Command) -> Outcome<bool> {
    match command {
        Command::Help => {
            print!("{}", help());
            Ok(true)
        }
        Command::Ci(ci) => Ok(replay_regressions()? & run_stages(&ci, &mut |_| Ok(()))?),
        Command::Soak(soak) => run_soak(soak),
        Command::Replay(case) => replay(&case),
        Command::Child(args) => run_child(&args).map(|()| false),
        Command::MakeGolden(dir) => golden::write_all(&dir).map(|()| true),
    }
}

fn replay_regressions() -> Outcome<bool> {
    regressions::known().into_iter().map(replay).try_fold(true, |good, outcome| Ok(outcome? & good))
}

/// Runs one case again; false if it fails.
fn replay(case: &str) -> Outcome<bool> {
    let (name, detail) = case.split_once('/').ok_or("a case is STAGE/CASE")?;
    let stage = named(name).ok_or_else(|| format!("there is no stage '{name}'"))?;
    let outcome = guarded(|| (stage.replay)(detail));
    match outcome.unwrap_or_else(|panic| {
        Err(Failure { replay: case.to_owned(), ..Failure::of_seed(stage.name, 0, panic) })
    }) {
        Ok(()) => Ok(true),
        Err(failure) => {
            println!("FAILURE        {}\n               {}", failure.replay, failure.what);
            Ok(false)
        }
    }
}

/// Runs the stages one after the other; each gets its part of the time that is left.
fn run_stages(ci: &Ci, keep: &mut dyn FnMut(&serde_json::Value) -> Outcome<()>) -> Outcome<bool> {
    let end = Instant::now() + ci.budget;
    let shares = |stages: &[&Stage]| stages.iter().map(|stage| stage.share).sum::<f64>();
    let everything: f64 = STAGES.iter().map(|stage| stage.share).sum();
    let mut good = true;
    for (index, stage) in ci.stages.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let ctx = Context {
            stage: stage.name,
            deadline: Instant::now() + left.mul_f64(stage.share / shares(&ci.stages[index..])),
            seed: ci.seed,
            threads: ci.threads,
            scale: ci.budget.div_duration_f64(FULL_RUN) * everything / shares(&ci.stages),
            hunting: false,
        };
        let report = run_stage(stage, &ctx);
        let floor = ctx.floor(stage.floor);
        good &= report.failures.is_empty() && below_floor(stage, &report, floor).is_empty();
        let line = to_json(stage, &report, floor);
        if ci.json {
            println!("{line}");
        } else {
            print!("{}", to_text(stage, &report, floor));
        }
        keep(&line)?;
    }
    Ok(good)
}

fn run_stage(stage: &Stage, ctx: &Context) -> StageReport {
    let begin = Instant::now();
    let outcome = guarded(|| (stage.run)(ctx));
    let mut report = outcome.unwrap_or_else(|panic| StageReport {
        failures: vec![Failure::of_seed(stage.name, ctx.seed, panic)],
        ..StageReport::default()
    });
    report.seconds = begin.elapsed().as_secs_f64();
    report
}

/// Rounds with ever new seeds; every report is appended to a file, with the seed of its round, and every case that failed
/// to those that `ci` replays first.
fn run_soak(soak: Soak) -> Outcome<bool> {
    let end = Instant::now() + soak.time;
    let mut out = OpenOptions::new().create(true).append(true).open(&soak.out)?;
    let mut round = soak.round;
    let mut good = true;
    while Instant::now() < end {
        let seed = round.seed;
        good &= run_stages(&round, &mut |line| {
            writeln!(out, "{}", json!({ "seed": seed, "report": line }))?;
            out.flush()?;
            let found = line["failures"].as_array().into_iter().flatten();
            let cases = found.filter_map(|failure| failure["replay"].as_str());
            Ok(cases.into_iter().try_for_each(|case| regressions::add(&regressions::file(), case))?)
        })?;
        round.seed = round.seed.wrapping_add(1);
    }
    Ok(good)
}
