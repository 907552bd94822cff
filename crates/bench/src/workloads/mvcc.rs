//! Many versions of each record: what they cost the newest reads, what the past costs, and what they take on disk.

use crate::Outcome;
use crate::context::{Context, Run};
use crate::engines::{Engine, Sync, Versions};
use crate::keys;
use crate::measure::Timing;
use crate::random::Rng;
use crate::row::Row;

use super::load::{self, Batch};
use super::{Start, scan as scans};

/// There are fewer records than elsewhere, but as many reads as this for each of them.
const READS_PER_RECORD: u64 = 20;
/// Generations that are kept where not all are, nor only the newest.
const TEN: u64 = 10;

fn versions(engine: &dyn Engine) -> Outcome<&dyn Versions> {
    engine.versions().ok_or_else(|| "this engine keeps no old versions".into())
}

fn generations(context: &Context) -> u64 {
    match context.start {
        Start::Versions { count, .. } => count.into(),
        Start::Empty | Start::EmptyKeeping(_) | Start::Loaded | Start::Killed => 1,
    }
}

/// Random records in their newest versions.
pub fn get(context: &Context) -> Outcome<Vec<Row>> {
    let (records, newest) = (load::versioned_keys(context), generations(context));
    let engine = context.open(Sync::Os)?;
    let reader = engine.reader()?;
    let mut rng = Rng::new(context.seed);
    let mut stopwatch = context.stopwatch();
    for _ in 0..records * READS_PER_RECORD {
        let id = rng.below(records);
        let found = reader.get(&keys::present(id), &mut |value| expect(context, id, newest, value))?;
        must_be_found(id, found)?;
        if !stopwatch.lap() {
            break;
        }
    }
    drop(reader);
    finish(context, engine, &stopwatch.stop())
}

/// Random records as of random times between the first version and the newest.
pub fn get_as_of(context: &Context) -> Outcome<Vec<Row>> {
    let (records, newest) = (load::versioned_keys(context), generations(context));
    let engine = context.open(Sync::Os)?;
    let past = versions(&*engine)?;
    let commits = load::commits_per_generation(records);
    let now = past.now();
    let mut rng = Rng::new(context.seed);
    let mut stopwatch = context.stopwatch();
    for _ in 0..records * READS_PER_RECORD {
        let id = rng.below(records);
        let generation = 1 + rng.below(newest);
        // The moment at which the last commit of that generation had just been made.
        let at = now - (newest - generation) * commits;
        let see = &mut |value: &[u8]| expect(context, id, generation, value);
        must_be_found(id, past.get_at(&keys::present(id), at, see)?)?;
        if !stopwatch.lap() {
            break;
        }
    }
    finish(context, engine, &stopwatch.stop())
}

/// All records in their newest versions, again and again.
pub fn scan(context: &Context) -> Outcome<Vec<Row>> {
    let (records, newest) = (load::versioned_keys(context), generations(context));
    let engine = context.open(Sync::Os)?;
    let timing = scans::passes(context, &*engine, scans::Way::Forward, records, newest)?;
    finish(context, engine, &timing)
}

/// Writes all versions, a thousand records per commit, and merges everything, so that the space is what the
/// retention asks for. Latencies are averages over a commit.
pub fn fill(context: &Context, generations: u64) -> Outcome<Vec<Row>> {
    fill_and_keep(context, generations, |_, _| Ok(()))
}

/// As [`fill`], and keeps what could be seen since the last commit before the ten newest generations.
pub fn fill_since(context: &Context, generations: u64) -> Outcome<Vec<Row>> {
    fill_and_keep(context, generations, |past, commits| past.keep_since(past.now() - TEN * commits))
}

/// As [`fill_since`], by age.
pub fn fill_young(context: &Context, generations: u64) -> Outcome<Vec<Row>> {
    fill_and_keep(context, generations, |past, commits| past.keep_young(TEN * commits))
}

fn fill_and_keep(
    context: &Context,
    generations: u64,
    keep: impl FnOnce(&dyn Versions, u64) -> Outcome<()>,
) -> Outcome<Vec<Row>> {
    let records = load::versioned_keys(context);
    let engine = context.open(Sync::Os)?;
    let mut batch = Batch::default();
    let run = Run::begin();
    let mut stopwatch = context.stopwatch();
    for generation in 1..=generations {
        let watch = Some(&mut stopwatch);
        load::write_generation(&*engine, &context.values, records, generation, &mut batch, watch)?;
    }
    let timing = stopwatch.stop();
    let past = versions(&*engine)?;
    keep(past, load::commits_per_generation(records))?;
    past.compact()?;
    let row = context.write_row(&*engine, &run, &timing, timing.ops, records)?;
    engine.close()?;
    Ok(vec![row])
}

fn expect(context: &Context, id: u64, generation: u64, value: &[u8]) -> Outcome<()> {
    let found = context.values.check(id, value)?;
    if found == generation {
        return Ok(());
    }
    Err(format!("record {id} is in generation {found} where {generation} was written").into())
}

fn must_be_found(id: u64, found: bool) -> Outcome<()> {
    if found { Ok(()) } else { Err(format!("record {id} was written and is not found").into()) }
}

fn finish(context: &Context, engine: Box<dyn Engine>, timing: &Timing) -> Outcome<Vec<Row>> {
    let row = context.read_row(timing, load::versioned_keys(context))?;
    engine.close()?;
    Ok(vec![row])
}
