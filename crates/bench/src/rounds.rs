//! Fair turns: in every round each workload runs on one engine after the other, each time in a process and a
//! directory of its own, so that no engine inherits memory, threads or files and slow minutes of the machine hit all.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::args::{Plan, to_args};
use crate::context::Settings;
use crate::engines::Kind;
use crate::report;
use crate::row::Row;
use crate::space;
use crate::workloads::{Start, Workload};

/// Rounds unless asked for another number.
const ROUNDS: u32 = 5;
/// What `--quick` has to do with; a few seconds are left for what is not planned.
const QUICK: Duration = Duration::from_secs(44);
/// When `--quick` begins nothing any more. On a slow machine the plan does not hold; then less is done, and that is said.
const QUICK_ENDS: Duration = Duration::from_secs(46);
/// What a record costs all in all in a quick run on a slow engine: loaded, copied, worked on and checked.
const QUICK_MICROS_PER_KEY: u64 = 25;

/// Runs the plan and reports.
///
/// # Errors
/// When a process fails: by an error of its engine or by a wrong answer.
pub fn compare(plan: &Plan) -> Outcome<()> {
    let rounds = plan.rounds.unwrap_or(if plan.quick { 1 } else { ROUNDS });
    let settings = if plan.quick { quick(plan, rounds) } else { plan.settings.clone() };
    let mut turns = Turns::new(plan, settings)?;
    let mut rows = Vec::new();
    let mut left_out = Vec::new();
    let begin = Instant::now();
    for round in 0..rounds {
        for workload in &plan.workloads {
            eprintln!("round {} of {rounds}: {}", round + 1, workload.name);
            for kind in able(plan, workload) {
                if plan.quick && begin.elapsed() > QUICK_ENDS {
                    left_out.push(format!("{} on {}", workload.name, kind.name));
                    continue;
                }
                for row in turns.measure(*kind, workload, round)? {
                    if plan.json {
                        println!("{}", row.to_json());
                    }
                    rows.push(row);
                }
            }
        }
    }
    let engines: Vec<_> = plan.engines.iter().map(|kind| kind.name).collect();
    let text = report::text(&rows, &engines, &describe(&turns.settings, rounds));
    if plan.json {
        eprint!("{text}");
    } else {
        print!("{text}");
    }
    if !left_out.is_empty() {
        eprintln!("LEFT OUT for lack of time: {}", left_out.join(", "));
    }
    Ok(())
}

/// The engines of the plan that can run `workload`.
fn able<'a>(plan: &'a Plan, workload: &'a Workload) -> impl Iterator<Item = &'a Kind> {
    plan.engines.iter().filter(|kind| workload.suits(kind))
}

/// Settings with which everything selected ends in time: as many records as the average run can afford, and a limit
/// for engines that cannot keep up.
fn quick(plan: &Plan, rounds: u32) -> Settings {
    let runs: usize = plan.workloads.iter().map(|workload| able(plan, workload).count()).sum();
    let share = QUICK / u32::try_from(runs).unwrap_or(u32::MAX).saturating_mul(rounds).max(1);
    let micros = u64::try_from(share.as_micros()).unwrap_or(u64::MAX);
    Settings {
        keys: plan.settings.keys.min((micros / QUICK_MICROS_PER_KEY).max(1000)),
        limit: plan.settings.limit.min(share * 2 / 5),
        ..plan.settings.clone()
    }
}

fn describe(settings: &Settings, rounds: u32) -> String {
    format!(
        "{} records of 16 + {} bytes, cache {} MiB, compression {:?}, {rounds} rounds, {} processors",
        settings.keys,
        settings.value_bytes,
        settings.cache_bytes >> 20,
        settings.compression,
        std::thread::available_parallelism().map_or(0, usize::from)
    )
}

/// The directory of a comparison and the stores that were built in it; all of it is removed in the end.
struct Turns {
    settings: Settings,
    dir: PathBuf,
    /// Stores to start from, which are only ever copied.
    built: HashMap<(&'static str, String), PathBuf>,
}

impl Turns {
    fn new(plan: &Plan, settings: Settings) -> Outcome<Self> {
        let dir = plan.dir.join(format!("fountain-bench-{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { settings, dir, built: HashMap::new() })
    }

    fn measure(&mut self, kind: Kind, workload: &'static Workload, round: u32) -> Outcome<Vec<Row>> {
        let store = self.dir.join("store");
        if workload.start.is_empty() {
            fs::create_dir_all(&store)?;
        } else {
            space::copy_dir(&self.built(kind, workload)?, &store)?;
        }
        let printed = self.child("measure", kind, workload, round, &store)?;
        fs::remove_dir_all(&store)?;
        printed.lines().map(Row::from_json).collect()
    }

    /// The store from which `workload` starts on this engine, built by the first who needs it.
    fn built(&mut self, kind: Kind, workload: &'static Workload) -> Outcome<PathBuf> {
        let start = match workload.start {
            Start::Versions { count, keep } => format!("{count}-versions-{keep:?}"),
            Start::Killed => "killed".to_owned(),
            Start::Empty | Start::EmptyKeeping(_) | Start::Loaded => "loaded".to_owned(),
        };
        let name = (kind.name, start);
        if let Some(path) = self.built.get(&name) {
            return Ok(path.clone());
        }
        let path = self.dir.join(format!("{}-{}", name.0, name.1));
        self.child("load", kind, workload, 0, &path)?;
        self.built.insert(name, path.clone());
        Ok(path)
    }

    /// Runs this program as `action` and gives what it printed.
    fn child(
        &self,
        action: &str,
        kind: Kind,
        workload: &Workload,
        round: u32,
        store: &Path,
    ) -> Outcome<String> {
        let started = Instant::now();
        let output = Command::new(std::env::current_exe()?)
            .arg(action)
            .args(["--engine", kind.name, "--workload", workload.name])
            .arg(format!("--round={round}"))
            .arg("--store")
            .arg(store)
            .args(to_args(&self.settings))
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!(
                "{action} of {} on {} failed after {:.1} s ({})",
                workload.name,
                kind.name,
                started.elapsed().as_secs_f64(),
                output.status
            )
            .into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} is left behind: {error}", self.dir.display());
        }
    }
}
