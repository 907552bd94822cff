//! Writing: records in order, shuffled, in batches, durably from several threads, over old ones; and deleting.

use std::time::Duration;

use crate::Outcome;
use crate::context::{Context, Run};
use crate::engines::{Engine, Sync};
use crate::keys;
use crate::measure::{Stopwatch, Timing};
use crate::model::Model;
use crate::random::{Rng, Shuffle};
use crate::row::Row;

use super::load::Batch;
use super::{BATCH, scan};

/// Durable writes wait for the disk, so there are this many times fewer of them, and not for longer than this.
const DURABLE_SHARE: u64 = 20;
const DURABLE_LIMIT: Duration = Duration::from_secs(10);

/// All records in the order of their keys.
pub fn in_order(context: &Context) -> Outcome<Vec<Row>> {
    fill(context, |place| place)
}

/// All records in shuffled order.
pub fn shuffled(context: &Context) -> Outcome<Vec<Row>> {
    let order = Shuffle::new(context.settings.keys, context.seed);
    fill(context, |place| order.at(place))
}

fn fill(context: &Context, order: impl Fn(u64) -> u64) -> Outcome<Vec<Row>> {
    let keys = context.settings.keys;
    let ids = (0..keys).map(order);
    put_all(context, Model::empty(keys), ids)
}

/// As many writes as there are records, each of a record chosen evenly.
pub fn overwrite(context: &Context) -> Outcome<Vec<Row>> {
    let keys = context.settings.keys;
    let mut rng = Rng::new(context.seed);
    let ids = (0..keys).map(|_| rng.below(keys));
    put_all(context, Model::loaded(keys), ids)
}

fn put_all(context: &Context, mut model: Model, ids: impl Iterator<Item = u64>) -> Outcome<Vec<Row>> {
    let engine = context.open(Sync::Os)?;
    let mut value = Vec::new();
    let run = Run::begin();
    let mut stopwatch = context.stopwatch();
    for id in ids {
        context.values.write(id, model.put(id), &mut value);
        engine.put(&keys::present(id), &value)?;
        if !stopwatch.lap() {
            break;
        }
    }
    let timing = stopwatch.stop();
    let row = context.write_row(&*engine, &run, &timing, timing.ops, model.live())?;
    model.check_all(&*engine, &context.values)?;
    engine.close()?;
    Ok(vec![row])
}

/// All records in shuffled order, a thousand per commit. Latencies are those of commits.
pub fn batches(context: &Context) -> Outcome<Vec<Row>> {
    let keys = context.settings.keys;
    let order = Shuffle::new(keys, context.seed);
    let mut model = Model::empty(keys);
    let engine = context.open(Sync::Os)?;
    let mut batch = Batch::default();
    let run = Run::begin();
    let mut stopwatch = context.stopwatch();
    for first in (0..keys).step_by(BATCH as usize) {
        let ids = (first..keys.min(first + BATCH)).map(|place| order.at(place));
        let puts = batch.fill(&context.values, ids.map(|id| (id, model.put(id))));
        engine.batch(puts)?;
        if !stopwatch.lap_call(puts.len() as u64) {
            break;
        }
    }
    let timing = stopwatch.stop();
    let row = context.write_row(&*engine, &run, &timing, timing.ops, model.live())?;
    model.check_all(&*engine, &context.values)?;
    engine.close()?;
    Ok(vec![row])
}

/// Records in shuffled order from `threads` threads at once, each write on disk before the next of its thread.
pub fn durable(context: &Context, threads: u64) -> Outcome<Vec<Row>> {
    let count = (context.settings.keys / DURABLE_SHARE).max(threads);
    let order = Shuffle::new(context.settings.keys, context.seed);
    let engine = context.open(Sync::Disk)?;
    let run = Run::begin();
    let limit = context.settings.limit.min(DURABLE_LIMIT);
    let timings = std::thread::scope(|scope| {
        let engine = &*engine;
        let start = |thread| {
            scope.spawn(move || {
                let ids = (thread..count).step_by(threads as usize).map(|place| order.at(place));
                put_first_generation(context, engine, ids, limit)
            })
        };
        let handles: Vec<_> = (0..threads).map(start).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Outcome<Timing>>| {
            handle.join().unwrap_or_else(|_| Err("a writer panicked".into()))
        };
        handles.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    })?;
    let mut model = Model::empty(context.settings.keys);
    for (thread, timing) in (0..).zip(&timings) {
        for turn in 0..timing.ops {
            model.put(order.at(thread + turn * threads));
        }
    }
    let total = Timing::of_all(timings)?;
    let row = context.write_row(&*engine, &run, &total, total.ops, model.live())?;
    model.check_all(&*engine, &context.values)?;
    engine.close()?;
    Ok(vec![row])
}

fn put_first_generation(
    context: &Context,
    engine: &dyn Engine,
    ids: impl Iterator<Item = u64>,
    limit: Duration,
) -> Outcome<Timing> {
    let mut value = Vec::new();
    let mut stopwatch = Stopwatch::start(limit);
    for id in ids {
        context.values.write(id, 1, &mut value);
        engine.put(&keys::present(id), &value)?;
        if !stopwatch.lap() {
            break;
        }
    }
    Ok(stopwatch.stop())
}

/// Half of the records deleted in shuffled order, then a scan over the other half.
pub fn delete_then_scan(context: &Context) -> Outcome<Vec<Row>> {
    let keys = context.settings.keys;
    let order = Shuffle::new(keys, context.seed);
    let mut model = Model::loaded(keys);
    let engine = context.open(Sync::Os)?;
    let run = Run::begin();
    let mut stopwatch = context.stopwatch();
    for place in 0..keys / 2 {
        let id = order.at(place);
        model.delete(id);
        engine.delete(&keys::present(id))?;
        if !stopwatch.lap() {
            break;
        }
    }
    let timing = stopwatch.stop();
    let deleted = context.write_row(&*engine, &run, &timing, timing.ops, model.live())?;
    model.check_all(&*engine, &context.values)?;
    let timing = scan::passes(context, &*engine, scan::Way::Forward, model.live(), 1)?;
    let scanned = context.row("scan-after-delete", &timing, model.live())?;
    engine.close()?;
    Ok(vec![deleted, scanned])
}
