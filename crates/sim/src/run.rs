//! Carries out what the command line says.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::Outcome;
use crate::cli::{Ci, Command, Soak, help};
use crate::golden;
use crate::kill::run_child;
use crate::parallel::guarded;
use crate::regressions;
use crate::report::{Recap, to_json, to_text};
use crate::stage::{Context, Failure, Stage, StageReport, scaled};
use crate::stages::{STAGES, named};

/// Time to which the floors of stages belong.
const FULL_RUN: Duration = Duration::from_secs(600);
/// How many times its part of the time a stage may take that has not done what is due. Those behind it keep at least one of
/// so many parts of theirs.
const PATIENCE: f64 = 3.0;
/// What a run may take where stages have not done what is due, relative to its time.
const OVERTIME: f64 = 1.4;

/// Stages whose cases are no lists from which something could be left out, or come out differently with each attempt.
const RUN_AS_A_WHOLE: [&str; 4] = ["determinism", "isolation", "corruption", "kill"];

/// Does it; false when something was found that must not be.
pub(crate) fn run(command: Command) -> Outcome<bool> {
    match command {
        Command::Help => {
            print!("{}", help());
            Ok(true)
        }
        Command::Ci(ci) => {
            let keep = &mut |line: &serde_json::Value| {
                keep_failures(line);
                Ok(())
            };
            Ok(replay_regressions()? & run_stages(&ci, keep)?)
        }
        Command::Soak(soak) => run_soak(soak),
        Command::Replay(case) => replay(&case),
        Command::Child(args) => run_child(&args).map(|()| false),
        Command::MakeGolden(dir) => golden::write_all(&dir).map(|()| true),
        Command::MakeGoldenDocuments(dir) => golden::documents::write_all(&dir).map(|()| true),
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
            if RUN_AS_A_WHOLE.contains(&stage.name) {
                println!("               the case is as short as it gets: this stage runs one as a whole");
            }
            Ok(false)
        }
    }
}

/// Runs the stages one after the other; each gets its part of the time that is left. One that has not done its due then
/// goes on, at the cost of those behind it and of some overtime.
fn run_stages(ci: &Ci, keep: &mut dyn FnMut(&serde_json::Value) -> Outcome<()>) -> Outcome<bool> {
    let (end, last_end) = (Instant::now() + ci.budget, Instant::now() + ci.budget.mul_f64(OVERTIME));
    let shares = |stages: &[&Stage]| stages.iter().map(|stage| stage.share).sum::<f64>();
    let everything: f64 = STAGES.iter().map(|stage| stage.share).sum();
    let scale = ci.budget.div_duration_f64(FULL_RUN) * everything / shares(&ci.stages);
    let mut recap = Recap::default();
    for (index, stage) in ci.stages.iter().enumerate() {
        let now = Instant::now();
        let (left, most) = (end.saturating_duration_since(now), last_end.saturating_duration_since(now));
        let part = stage.share / shares(&ci.stages[index..]);
        let floor = scaled(stage.floor, scale);
        let ctx = Context {
            stage: stage.name,
            deadline: now + left.mul_f64(part),
            latest: now + most.mul_f64((part * PATIENCE).min(1.0 - (1.0 - part) / PATIENCE)),
            due: floor,
            cases: u64::MAX,
            seed: ci.seed,
            threads: ci.threads,
            scale,
            hunting: false,
        };
        let report = run_stage(stage, &ctx);
        let line = to_json(stage, &report, floor);
        if ci.json {
            println!("{line}");
        } else {
            print!("{}", to_text(stage, &report, floor));
        }
        recap.note(stage, &report, floor);
        keep(&line)?;
    }
    if !ci.json {
        print!("{}", recap.to_text());
    }
    Ok(recap.is_good())
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

/// Adds the cases in which a stage has failed to those that `ci` replays first. Where the sources are not there or may not
/// be written, the failure has said what is to be added.
fn keep_failures(report: &serde_json::Value) {
    let found = report["failures"].as_array().into_iter().flatten();
    for case in found.filter_map(|failure| failure["replay"].as_str()) {
        match regressions::add(&regressions::file(), case) {
            Ok(()) => eprintln!("               kept in the list of regressions: {case}"),
            Err(error) => eprintln!(
                "               add to the list of regressions, which was not written ({error}): {case}"
            ),
        }
    }
}

/// Rounds with ever new seeds, after the cases that failed once. Every report is appended to a file, with the seed of its
/// round, between a line that says what is proved and one that says what it came to; every case that failed is added to those
/// that `ci` replays first.
fn run_soak(soak: Soak) -> Outcome<bool> {
    let (begin, end) = (Instant::now(), Instant::now() + soak.time);
    let mut log = SoakLog::open(&soak.out)?;
    let mut append = |line: &serde_json::Value| log.append(line);
    let mut round = soak.round;
    append(&json!({
        "began": seconds_now(),
        "commit": soak.commit,
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "threads": round.threads,
        "seed": round.seed,
    }))?;
    let mut good = replay_regressions()?;
    append(&json!({ "regressions": regressions::known().len(), "good": good }))?;
    let (mut sums, mut rounds) = (BTreeMap::<String, (u64, f64, u64)>::new(), 0);
    // A round that would go on far beyond the end is not begun.
    while rounds == 0 || Instant::now() + round.budget / 2 < end {
        let seed = round.seed;
        good &= run_stages(&round, &mut |line| {
            let sum = sums.entry(line["stage"].as_str().unwrap_or_default().to_owned()).or_default();
            sum.0 += line["done"].as_u64().unwrap_or_default();
            sum.1 += line["seconds"].as_f64().unwrap_or_default();
            sum.2 += line["failures"].as_array().map_or(0, Vec::len) as u64;
            append(&json!({ "seed": seed, "report": line }))?;
            keep_failures(line);
            Ok(())
        })?;
        rounds += 1;
        round.seed = round.seed.wrapping_add(1);
    }
    let sums: BTreeMap<_, _> = sums
        .into_iter()
        .map(|(stage, (done, seconds, failures))| {
            (stage, json!({ "done": done, "seconds": seconds, "failures": failures }))
        })
        .collect();
    let hours = begin.elapsed().as_secs_f64() / 3600.0;
    append(&json!({ "ended": seconds_now(), "hours": hours, "rounds": rounds, "good": good, "sums": sums }))?;
    Ok(good)
}

/// The file of a long run. Whenever the run is killed, each line of it is whole but perhaps the last one, and what is
/// appended later begins on a line of its own.
struct SoakLog(File);

impl SoakLog {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self(file))
    }

    /// Appends a line with one write.
    fn append(&mut self, line: &serde_json::Value) -> io::Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_long_run_goes_on_in_its_file_on_a_line_of_its_own_though_it_was_killed_in_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("soak.jsonl");
        for number in 0..2 {
            SoakLog::open(&path).unwrap().append(&json!({ "number": number })).unwrap();
        }
        fs::write(&path, [&fs::read(&path).unwrap()[..], b"{\"number\":"].concat()).unwrap();
        SoakLog::open(&path).unwrap().append(&json!({ "number": 2 })).unwrap();
        let lines = fs::read_to_string(&path).unwrap();
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["number"].as_u64();
        let numbers: Vec<_> = lines.lines().map(read).collect();
        assert_eq!(numbers, [Some(0), Some(1), None, Some(2)]);
    }
}
