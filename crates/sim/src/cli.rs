//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::Outcome;
use crate::kill::ChildArgs;
use crate::stage::Stage;
use crate::stages::{STAGES, named};

/// What the process is to do.
pub enum Command {
    /// Print how the program is used.
    Help,
    /// Run stages within a time.
    Ci(Ci),
    /// Run all stages with ever new seeds.
    Soak(Soak),
    /// Run one case again: `stage/case`.
    Replay(String),
    /// Be a process that the stage `kill` kills.
    Child(ChildArgs),
    /// Write the golden stores below this directory.
    MakeGolden(PathBuf),
    /// Write the golden document stores below this directory.
    MakeGoldenDocuments(PathBuf),
}

/// A run of stages.
pub struct Ci {
    /// Time for all stages together.
    pub budget: Duration,
    /// JSON lines instead of a table.
    pub json: bool,
    /// The stages, in the order of the list.
    pub stages: Vec<&'static Stage>,
    /// Where chance begins.
    pub seed: u64,
    /// Threads of each stage.
    pub threads: usize,
}

/// A long run.
pub struct Soak {
    /// How long.
    pub time: Duration,
    /// The file to which reports are appended.
    pub out: PathBuf,
    /// Each round of it, with another seed.
    pub round: Ci,
    /// The commit that is proved, as it is to be written down.
    pub commit: String,
}

/// Time of one round of a long run.
const SOAK_ROUND: Duration = Duration::from_secs(600);
/// Seed of a run that does not say another.
pub const DEFAULT_SEED: u64 = 1;
/// Threads of a run that does not say another number.
const DEFAULT_THREADS: usize = 2;

/// How the program is used.
pub fn help() -> String {
    let stages: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
    format!(
        "\
Proves that the store loses nothing and gives no wrong answer.
  fountain-sim ci --budget-seconds N    all stages within N seconds; fails on a failure and on a count below its floor
  fountain-sim soak --hours H           ever new seeds for H hours
      --out FILE                        where reports are appended (default soak.jsonl)
      --commit ID                       the commit that is proved, to be written down with them
  fountain-sim replay STAGE/CASE        one case again, as a failure named it
  fountain-sim golden make DIR          the golden stores of this version of the format, each in a directory below DIR
  fountain-sim golden documents DIR     the same for document stores
Options of ci and soak:
  --only A,B                            these stages only
  --seed S                              where chance begins (default {DEFAULT_SEED}; soak: the time)
  --threads N                           threads (default {DEFAULT_THREADS})
  --json                                JSON lines instead of a table
Stages: {}
",
        stages.join(", ")
    )
}

/// Reads the command line.
///
/// # Errors
/// When a word is unknown, or lacks its value or has one out of range.
pub fn parse(mut parser: lexopt::Parser) -> Outcome<Command> {
    let mut words: Vec<String> = Vec::new();
    let mut budget = None;
    let mut hours = None;
    let mut out = PathBuf::from("soak.jsonl");
    let mut seed = None;
    let mut commit = String::from("not said");
    let mut round = Ci {
        budget: SOAK_ROUND,
        json: false,
        stages: STAGES.iter().collect(),
        seed: DEFAULT_SEED,
        threads: DEFAULT_THREADS,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("budget-seconds") => budget = Some(positive("--budget-seconds", parser.value()?.parse()?)?),
            Long("hours") => hours = Some(positive("--hours", parser.value()?.parse()?)?),
            Long("out") => out = parser.value()?.into(),
            Long("commit") => commit = parser.value()?.string()?,
            Long("json") => round.json = true,
            Long("only") => round.stages = stages(&parser.value()?.string()?)?,
            Long("seed") => seed = Some(parser.value()?.parse()?),
            Long("threads") => round.threads = parser.value()?.parse::<usize>()?.max(1),
            Value(word) => words.push(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Command::Help),
        ["ci"] => {
            round.budget = Duration::from_secs_f64(budget.ok_or("ci needs --budget-seconds")?);
            round.seed = seed.unwrap_or(DEFAULT_SEED);
            Ok(Command::Ci(round))
        }
        ["soak"] => {
            let time = Duration::from_secs_f64(hours.ok_or("soak needs --hours")? * 3600.0);
            round.budget = SOAK_ROUND.min(time);
            round.seed = seed.unwrap_or_else(seed_of_now);
            Ok(Command::Soak(Soak { time, out, round, commit }))
        }
        ["replay", case] => Ok(Command::Replay(case.to_owned())),
        ["child", ref words @ ..] => {
            Ok(Command::Child(ChildArgs::from_words(words).ok_or("child is for the stage kill only")?))
        }
        ["golden", "make", dir] => Ok(Command::MakeGolden(dir.into())),
        ["golden", "documents", dir] => Ok(Command::MakeGoldenDocuments(dir.into())),
        _ => Err(format!("unexpected '{}'; see --help", words.join(" ")).into()),
    }
}

fn seed_of_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(DEFAULT_SEED, |since| since.as_nanos() as u64)
}

fn positive(option: &str, value: f64) -> Outcome<f64> {
    if value > 0.0 && value < 1e7 {
        Ok(value)
    } else {
        Err(format!("{option} {value} is out of range").into())
    }
}

fn stages(names: &str) -> Outcome<Vec<&'static Stage>> {
    let all = names.split(',').map(|name| named(name).ok_or(format!("there is no stage '{name}'").into()));
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Outcome<Command> {
        parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn a_run_takes_its_budget_seed_and_threads() {
        let Ok(Command::Ci(run)) =
            parsed(&["ci", "--budget-seconds", "2.5", "--seed=9", "--threads=3", "--json"])
        else {
            panic!("not a run");
        };
        assert_eq!(run.budget, Duration::from_millis(2500));
        assert_eq!((run.seed, run.threads, run.json), (9, 3, true));
        assert_eq!(run.stages.len(), STAGES.len());
    }

    #[test]
    fn wrong_lines_are_refused_with_what_was_expected() {
        for (args, part) in [
            (&["ci"][..], "needs --budget-seconds"),
            (&["ci", "--budget-seconds=0"], "out of range"),
            (&["ci", "--budget-seconds=5", "--only=nothing"], "no stage 'nothing'"),
            (&["soak"], "needs --hours"),
            (&["replay"], "unexpected 'replay'"),
            (&["dance"], "unexpected 'dance'"),
            (&["--frobnicate"], "frobnicate"),
        ] {
            let error = parsed(args).err().unwrap().to_string();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
