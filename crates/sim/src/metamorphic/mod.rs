//! One list of operations, many configurations, one history.
//!
//! A list of operations by chance is run on stores that are set up as differently as can be: everything in memory or
//! everything on disk at once, threads or none, small files or large ones, with and without cache and compression. None
//! of that may show in an answer. What the answers must be is said by a model that keeps a map for every commit. `storage` does
//! so with the storage engine, `documents` with the document store above it.

pub mod documents;
pub mod saved;
pub mod storage;

use self::saved::Saved;
use self::storage::config::{Config, Medium, Worker};
use self::storage::generate::generate;
use self::storage::list::List;
use self::storage::plan::plan;
use self::storage::player::{Mismatch, play_recorded};
use self::storage::shrink::{attempt, shrink};
use self::storage::tally::Tally;
use crate::parallel::parallel;
use crate::random::Random;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};

/// The stage.
pub const STAGE: Stage = Stage { name: NAME, unit: "operations", share: 26.0, floor: 3_000_000, run, replay };

/// The part of it that is about documents; who hunts bugs of the document store needs no more.
pub const DOCUMENTS: Stage =
    Stage { name: "documents", unit: "operations", share: 1.0, floor: 0, run: run_documents, replay };

/// Crash states of document stores.
pub use self::documents::crash::STAGE as COLLECTIONS;

const NAME: &str = "metamorphic";
/// Configurations by chance for each list, beside the two extremes.
const RANDOM_CONFIGS: usize = 4;
/// One in so many cases crashes during builds of indexes.
const BUILDS: usize = 16;

/// What a thread has done.
#[derive(Default)]
struct Done {
    storage: Tally,
    documents: documents::Tally,
}

fn run(ctx: &Context) -> StageReport {
    let mut failures: Vec<Failure> =
        saved::names().iter().filter_map(|name| replay_saved(name).err()).collect();
    let (tallies, found) = parallel(
        ctx,
        |done: &Done| done.storage.operations,
        |done: &mut Done, _, seed| {
            case(seed, &mut done.storage).map_err(|failed| {
                if ctx.hunting {
                    Failure::of_seed(NAME, seed, failed.mismatch.what)
                } else {
                    failed.report(seed)
                }
            })?;
            if ctx.hunting { Ok(()) } else { document_cases(seed, &mut done.documents) }
        },
    );
    failures.extend(found);
    let (mut tally, mut documents) = (Tally::default(), documents::Tally::default());
    for one in &tallies {
        tally.add(&one.storage);
        documents.add(&one.documents);
    }
    let also = |name, count, floor| Count { name, count, floor: ctx.floor(floor) };
    StageReport {
        done: tally.operations,
        also: vec![
            also("operations amid work", tally.interleaved, 10_000),
            also("flushes", tally.flushes, 100_000),
            also("compactions", tally.compactions, 50_000),
            also("versions dropped", tally.versions_dropped, 500_000),
            also("reads past the floor", tally.truncated, 20_000),
            also("reads answered at once from memory, the system's included", tally.at_once, 50_000),
            also("reopens", tally.reopens, 5_000),
            also("crashes", tally.crashes, 3_000),
            also("checkpoints", tally.checkpoints, 1_000),
            also("operations on documents", documents.operations, 200_000),
            also("answers of indexes", documents.index_answers, 30_000),
            also("commits told to watchers", documents.told, 30_000),
            also("crashes of the document store", documents.crashes, 1_000),
            also("crashes while indexes were built", documents.builds, 500),
            Count { name: "levels with tables", count: tally.most_levels, floor: 3 },
        ],
        failures,
        seconds: 0.0,
    }
}

fn run_documents(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(
        ctx,
        |tally: &documents::Tally| tally.operations,
        |tally: &mut documents::Tally, _, seed| document_cases(seed, tally),
    );
    let done = tallies.iter().map(|tally| tally.operations).sum();
    StageReport { done, also: Vec::new(), failures, seconds: 0.0 }
}

/// Cases of the document store, for some seeds.
fn document_cases(seed: u64, tally: &mut documents::Tally) -> Result<(), Failure> {
    let mut random = Random::nth(seed, 3);
    let failed = |detail: &'static str| move |what| Failure::of_case(NAME, seed, detail, what);
    documents::case(seed, tally).map_err(failed("documents"))?;
    if random.one_in(BUILDS) {
        documents::builds::case(seed, tally).map_err(failed("builds"))?;
    }
    Ok(())
}

/// The configurations of a case.
fn configs(seed: u64) -> Vec<Config> {
    let mut random = Random::nth(seed, 1);
    let mut configs = vec![Config::PLAIN, Config::TINY];
    configs.extend((0..RANDOM_CONFIGS).map(|_| Config::random(&mut random)));
    configs
}

/// A list that fails under one of its configurations.
#[derive(Debug)]
struct Failed {
    index: usize,
    config: Config,
    list: List,
    mismatch: Mismatch,
}

/// One list under all its configurations.
fn case(seed: u64, tally: &mut Tally) -> Result<(), Box<Failed>> {
    let list = generate(seed);
    let script = plan(&list);
    for (index, config) in configs(seed).iter().enumerate() {
        let played = crate::parallel::guarded(|| storage::player::play(&script, config, seed, tally));
        let played = played.unwrap_or_else(|what| Err(Mismatch { step: list.ops.len(), what }));
        if let Err(mismatch) = played {
            return Err(Box::new(Failed { index, config: config.clone(), list, mismatch }));
        }
    }
    Ok(())
}

impl Failed {
    /// Shrinks the list, saves it, and says where it is.
    fn report(self, seed: u64) -> Failure {
        let Self { index, config, list, mismatch } = self;
        let (list, mismatch) = shrink(list, &config, seed, mismatch);
        let saved = Saved { config, seed, list };
        let text = saved.to_text(&mismatch.what).unwrap_or_default();
        let written = saved.write(&format!("{seed:016x}"), &mismatch.what);
        let place =
            written.map_or_else(|error| format!("not saved: {error}"), |path| path.display().to_string());
        let what = format!("{} (configuration {index}; {place})\n{text}", mismatch.what);
        Failure::of_case(NAME, seed, &index.to_string(), what)
    }
}

/// Runs the list of a seed with background work in steps, and gives back a digest of all that happened to the disk and
/// how many changes of the disk there were.
///
/// # Errors
/// The complaint, should the list fail.
pub(crate) fn recorded(seed: u64) -> Result<(u64, u64), String> {
    let script = plan(&generate(seed));
    let mut config = Config::random(&mut Random::nth(seed, 2));
    config.medium = Medium::Simulated;
    if config.worker == Worker::Threads {
        config.worker = Worker::Steps { flush: 2, compact: 3 };
    }
    play_recorded(&script, &config, seed)
}

fn replay(case: &str) -> Result<(), Failure> {
    let Some((seed, detail)) = parse_case(case) else { return replay_saved(case) };
    let failed = |what| Failure::of_case(NAME, seed, detail, what);
    match detail {
        "documents" => return documents::replay(seed).map_err(failed),
        "builds" => return documents::builds::case(seed, &mut documents::Tally::default()).map_err(failed),
        _ => {}
    }
    let list = generate(seed);
    let all = configs(seed);
    let chosen: Vec<(usize, &Config)> = match detail.parse::<usize>() {
        Ok(index) => all.iter().enumerate().skip(index).take(1).collect(),
        Err(_) => all.iter().enumerate().collect(),
    };
    for (index, config) in chosen {
        if let Err(mismatch) = attempt(&list, config, seed, &mut Tally::default()) {
            return Err(Failed { index, config: config.clone(), list, mismatch }.report(seed));
        }
    }
    Ok(())
}

/// Runs a saved list again, also under the two extreme configurations.
fn replay_saved(name: &str) -> Result<(), Failure> {
    let failure = |what: String| {
        let replay = format!("{NAME}/{name}");
        Failure { replay, ..Failure::of_seed(NAME, 0, what) }
    };
    let saved = Saved::read(name).map_err(|error| failure(format!("list {name}: {error}")))?;
    for config in [&saved.config, &Config::PLAIN, &Config::TINY] {
        attempt(&saved.list, config, saved.seed, &mut Tally::default())
            .map_err(|mismatch| failure(format!("step {}: {}", mismatch.step, mismatch.what)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_lists_pass() {
        for name in saved::names() {
            replay_saved(&name).unwrap();
        }
    }

    #[test]
    fn a_document_case_is_known_by_its_name() {
        replay("0000000000000007:documents").unwrap();
    }

    #[test]
    fn a_few_lists_pass_under_all_their_configurations() {
        let mut tally = Tally::default();
        for seed in 0..6 {
            case(seed, &mut tally).unwrap();
        }
        assert!(tally.operations > 1000);
    }
}
