//! The command line: what to compare, how large, how often.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::Outcome;
use crate::context::{Settings, Task};
use crate::engines::{Compression, Keep, Kind};
use crate::values::HEADER_BYTES;
use crate::workloads::Workload;

/// What the process is to do.
pub enum Command {
    /// Print how the program is used.
    Help,
    /// Compare engines; everything else is done by processes that this starts.
    Compare(Plan),
    /// Build the store that a workload starts from.
    Load(Task),
    /// Run one workload on one engine and print its rows.
    Measure(Task),
}

/// What to compare and how often.
pub struct Plan {
    /// The engines, in the order of the report.
    pub engines: Vec<Kind>,
    /// The workloads, in the order of the report.
    pub workloads: Vec<&'static Workload>,
    /// How often each is run on each; `None` leaves it to the other options.
    pub rounds: Option<u32>,
    /// Make everything small enough to end within a minute.
    pub quick: bool,
    /// Print rows as JSON lines on standard output, and the tables on standard error.
    pub json: bool,
    /// Where stores are made and removed again.
    pub dir: PathBuf,
    /// What all runs have in common.
    pub settings: Settings,
}

/// How the program is used.
pub fn help() -> String {
    let engines: Vec<_> = Kind::ALL.iter().map(|kind| kind.name).collect();
    let workloads: Vec<_> = Workload::ALL.iter().map(|workload| workload.name).collect();
    format!(
        "\
Measures ordered storage engines against each other. Options:
  --quick               everything selected within 50 s, with few records
  --only A,B            these workloads or suites (kv, ycsb, mvcc) only
  --engines A,B         these engines only
  --rounds N            how often each workload is run on each engine (default 5, with --quick 1)
  --keys N              records (default 1000000)
  --value-bytes N       bytes of a value (default 100)
  --cache-mb N          cache of each engine in MiB (default 64)
  --compression none|lz4  default none, with values that do not compress
  --keep newest|last-ten|all|timed
                        which versions our engine keeps outside of mvcc (default newest, as peers do)
  --limit-ms N          longest measured time of a workload (default 60000)
  --dir DIR             where stores are made (default: the system's folder for temporary files)
  --json                JSON lines on standard output, tables on standard error
Engines built in: {}
Workloads: {}
",
        engines.join(", "),
        workloads.join(", ")
    )
}

/// What a task needs to know beside the settings; given by a comparison to the processes it starts.
#[derive(Default)]
struct TaskArgs {
    engine: Option<String>,
    workload: Option<String>,
    round: u32,
    store: Option<PathBuf>,
}

/// Reads the command line.
///
/// # Errors
/// When an option is unknown, lacks its value or has one out of range.
pub fn parse(mut parser: lexopt::Parser) -> Outcome<Command> {
    let mut plan = Plan {
        engines: Kind::ALL.to_vec(),
        workloads: Workload::ALL.iter().collect(),
        rounds: None,
        quick: false,
        json: false,
        dir: std::env::temp_dir(),
        settings: Settings::default(),
    };
    let mut action = None;
    let mut task = TaskArgs::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("quick") => plan.quick = true,
            Long("json") => plan.json = true,
            Long("only") => plan.workloads = workloads(&parser.value()?.string()?)?,
            Long("engines") => plan.engines = engines(&parser.value()?.string()?)?,
            Long("rounds") => plan.rounds = Some(at_least("--rounds", 1, parser.value()?.parse()?)?),
            Long("dir") => plan.dir = parser.value()?.into(),
            Long("engine") => task.engine = Some(parser.value()?.string()?),
            Long("workload") => task.workload = Some(parser.value()?.string()?),
            Long("round") => task.round = parser.value()?.parse()?,
            Long("store") => task.store = Some(parser.value()?.into()),
            Long(name) => {
                let name = name.to_owned();
                let value = parser.value()?;
                setting(&mut plan.settings, &name, &value)?;
            }
            Value(word) if action.is_none() => action = Some(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    match action.as_deref() {
        None => Ok(Command::Compare(plan)),
        Some("load") => Ok(Command::Load(task.complete(plan.settings)?)),
        Some("measure") => Ok(Command::Measure(task.complete(plan.settings)?)),
        Some(other) => Err(format!("unexpected argument '{other}'; see --help").into()),
    }
}

impl TaskArgs {
    fn complete(self, settings: Settings) -> Outcome<Task> {
        let (Some(engine), Some(workload), Some(store)) = (self.engine, self.workload, self.store) else {
            return Err("a single task needs --engine, --workload and --store".into());
        };
        Ok(Task {
            kind: Kind::named(&engine)?,
            workload: Workload::named(&workload)?,
            round: self.round,
            store,
            settings,
        })
    }
}

/// Sets the setting with this name; the counterpart of [`to_args`].
fn setting(settings: &mut Settings, name: &str, value: &OsString) -> Outcome<()> {
    match name {
        "keys" => settings.keys = at_least("--keys", 100, value.parse()?)?,
        "value-bytes" => settings.value_bytes = at_least("--value-bytes", HEADER_BYTES, value.parse()?)?,
        "cache-mb" => settings.cache_bytes = at_least("--cache-mb", 1, value.parse::<usize>()?)? << 20,
        "limit-ms" => settings.limit = Duration::from_millis(at_least("--limit-ms", 1, value.parse()?)?),
        "compression" => {
            settings.compression =
                choice(name, value, &[("none", Compression::None), ("lz4", Compression::Lz4)])?;
        }
        "keep" => settings.keep = choice(name, value, KEPT)?,
        _ => return Err(format!("unknown option --{name}; see --help").into()),
    }
    Ok(())
}

/// What `--keep` may say.
const KEPT: &[(&str, Keep)] =
    &[("newest", Keep::Newest), ("last-ten", Keep::LastTen), ("all", Keep::All), ("timed", Keep::Timed)];

/// The options that give a process these settings.
pub fn to_args(settings: &Settings) -> Vec<String> {
    let compression = match settings.compression {
        Compression::None => "none",
        Compression::Lz4 => "lz4",
    };
    let keep = KEPT.iter().find(|(_, keep)| *keep == settings.keep).map_or("newest", |(name, _)| name);
    [
        ("keys", settings.keys.to_string()),
        ("value-bytes", settings.value_bytes.to_string()),
        ("cache-mb", (settings.cache_bytes >> 20).to_string()),
        ("limit-ms", settings.limit.as_millis().to_string()),
        ("compression", compression.to_owned()),
        ("keep", keep.to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| format!("--{name}={value}"))
    .collect()
}

fn at_least<T: PartialOrd + Copy + std::fmt::Display>(option: &str, least: T, value: T) -> Outcome<T> {
    if value < least {
        return Err(format!("{option} {value} is below {least}, the least possible").into());
    }
    Ok(value)
}

fn choice<T: Copy>(option: &str, value: &OsString, choices: &[(&str, T)]) -> Outcome<T> {
    choices.iter().find(|(name, _)| value == name).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("--{option} is {}, not '{}'", names.join(" or "), value.to_string_lossy()).into()
    })
}

fn engines(names: &str) -> Outcome<Vec<Kind>> {
    names.split(',').map(Kind::named).collect()
}

fn workloads(names: &str) -> Outcome<Vec<&'static Workload>> {
    let mut chosen = Vec::new();
    for name in names.split(',') {
        let before = chosen.len();
        chosen.extend(Workload::ALL.iter().filter(|workload| workload.suite == name));
        if chosen.len() == before {
            chosen.push(Workload::named(name)?);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(args: &[&str]) -> Outcome<Plan> {
        match parse(lexopt::Parser::from_args(args))? {
            Command::Compare(plan) => Ok(plan),
            _ => Err("not a comparison".into()),
        }
    }

    #[test]
    fn settings_survive_the_way_to_another_process() {
        let plan = compare(&[
            "--keys=5000",
            "--value-bytes=1024",
            "--cache-mb=8",
            "--compression=lz4",
            "--keep=all",
            "--limit-ms=250",
        ])
        .unwrap();
        let args = to_args(&plan.settings);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        assert_eq!(compare(&args).unwrap().settings, plan.settings);
        assert_ne!(plan.settings, Settings::default());
    }

    #[test]
    fn a_suite_stands_for_its_workloads() {
        let plan = compare(&["--only=fillseq,ycsb"]).unwrap();
        let names: Vec<_> = plan.workloads.iter().map(|workload| workload.name).collect();
        assert_eq!(names, ["fillseq", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"]);
    }

    #[test]
    fn bad_options_are_refused_with_what_was_expected() {
        for (args, part) in [
            (&["--keys=1"][..], "below 100"),
            (&["--value-bytes=3"], "below 16"),
            (&["--rounds=0"], "below 1"),
            (&["--compression=zip"], "none or lz4"),
            (&["--only=fillsq"], "fillsq"),
            (&["--engines=leveldb"], "not built in"),
            (&["--frobnicate=1"], "unknown option"),
            (&["mesure"], "unexpected argument"),
            (&["measure"], "needs --engine"),
        ] {
            let error = parse(lexopt::Parser::from_args(args)).err().unwrap().to_string();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
