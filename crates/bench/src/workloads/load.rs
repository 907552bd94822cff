//! Building the stores that workloads start from.

use crate::Outcome;
use crate::context::Context;
use crate::engines::{Engine, Sync};
use crate::keys::{self, Key};
use crate::measure::Stopwatch;
use crate::random::Shuffle;
use crate::values::Values;

use super::{BATCH, Start};

/// With many versions there are this many times fewer records, so that a hundred of each can be written.
const VERSIONED_SHARE: u64 = 50;

/// Builds the store that the workload starts from, flushed and closed unless its writer is to have died.
///
/// # Errors
/// Those of the engine.
pub fn build(context: &Context) -> Outcome<()> {
    let (keys, generations) = match context.start {
        Start::Empty | Start::EmptyKeeping(_) => return Ok(()),
        Start::Killed => return write_and_die(context),
        Start::Loaded => (context.settings.keys, 1),
        Start::Versions { count, .. } => (versioned_keys(context), count),
    };
    let engine = context.open(Sync::Os)?;
    let mut batch = Batch::default();
    for generation in 1..=generations.into() {
        write_generation(&*engine, &context.values, keys, generation, &mut batch, None)?;
    }
    context.settle(&*engine)?;
    engine.close()
}

/// Writes all records in shuffled order, one per commit, and leaves the engine as death would: without a word.
fn write_and_die(context: &Context) -> Outcome<()> {
    let keys = context.settings.keys;
    let order = Shuffle::new(keys, context.seed);
    let engine = context.open_to_log_only()?;
    let mut value = Vec::new();
    for id in (0..keys).map(|place| order.at(place)) {
        context.values.write(id, 1, &mut value);
        engine.put(&keys::present(id), &value)?;
    }
    std::mem::forget(engine);
    Ok(())
}

/// Number of records that have versions.
pub fn versioned_keys(context: &Context) -> u64 {
    (context.settings.keys / VERSIONED_SHARE).max(100)
}

/// Number of commits that [`write_generation`] makes for `keys` records.
pub fn commits_per_generation(keys: u64) -> u64 {
    keys.div_ceil(BATCH)
}

/// Writes all records below `keys` in `generation`, shuffled, in batches; counts them as single operations.
///
/// # Errors
/// Those of the engine.
pub fn write_generation(
    engine: &dyn Engine,
    values: &Values,
    keys: u64,
    generation: u64,
    batch: &mut Batch,
    mut stopwatch: Option<&mut Stopwatch>,
) -> Outcome<()> {
    let order = Shuffle::new(keys, generation);
    for first in (0..keys).step_by(BATCH as usize) {
        let ids = (first..keys.min(first + BATCH)).map(|place| order.at(place));
        let puts = batch.fill(values, ids.map(|id| (id, generation)));
        engine.batch(puts)?;
        if let Some(stopwatch) = stopwatch.as_deref_mut() {
            stopwatch.lap_average(puts.len() as u64);
        }
    }
    Ok(())
}

/// Room for the records of a commit, used again for each one, so that the measured work is the engine's.
#[derive(Default)]
pub struct Batch {
    puts: Vec<(Key, Vec<u8>)>,
}

impl Batch {
    /// Holds the records with these ids and generations.
    pub fn fill(&mut self, values: &Values, records: impl Iterator<Item = (u64, u64)>) -> &[(Key, Vec<u8>)] {
        let mut count = 0;
        for (id, generation) in records {
            if self.puts.len() == count {
                self.puts.push(Default::default());
            }
            let (key, value) = &mut self.puts[count];
            *key = keys::present(id);
            values.write(id, generation, value);
            count += 1;
        }
        &self.puts[..count]
    }
}
