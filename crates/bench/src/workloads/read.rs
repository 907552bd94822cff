//! Point reads: from the cache, from beyond it, of keys that are not there, beside a writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::context::Context;
use crate::engines::{Engine, Reader, Sync};
use crate::keys;
use crate::measure::Timing;
use crate::random::Rng;
use crate::row::Row;

/// Writes per second beside the reads: the same for all engines, so that a slow writer does not make reads fast.
const WRITES_PER_SECOND: u64 = 10_000;
/// The writer sleeps until this much work has gathered.
const WRITER_NAP: Duration = Duration::from_millis(1);

/// Random records, all of which fit the cache and have been read before, from `threads` threads at once, each as many as
/// there are records.
pub fn hot(context: &Context, threads: u64) -> Outcome<Vec<Row>> {
    let all_and_a_half = context.settings.user_bytes(context.settings.keys) * 3 / 2;
    let cache_bytes = context.settings.cache_bytes.max(all_and_a_half as usize);
    let engine = context.open_with_cache(Sync::Os, cache_bytes)?;
    warm(context, &*engine.reader()?)?;
    let timings = std::thread::scope(|scope| {
        let engine = &*engine;
        let start = |thread| scope.spawn(move || random_gets(context, &*engine.reader()?, thread));
        let handles: Vec<_> = (0..threads).map(start).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Outcome<Timing>>| {
            handle.join().unwrap_or_else(|_| Err("a reader panicked".into()))
        };
        handles.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    })?;
    finish(context, engine, &Timing::of_all(timings)?)
}

/// Random records with a cache of a quarter of them, and nothing in the system's cache at first.
pub fn cold(context: &Context) -> Outcome<Vec<Row>> {
    let quarter = context.settings.user_bytes(context.settings.keys) / 4;
    context.evict()?;
    let engine = context.open_with_cache(Sync::Os, quarter as usize)?;
    let reader = engine.reader()?;
    let timing = random_gets(context, &*reader, 0)?;
    drop(reader);
    finish(context, engine, &timing)
}

/// Random keys between the existing ones.
pub fn missing(context: &Context) -> Outcome<Vec<Row>> {
    let engine = context.open(Sync::Os)?;
    let reader = engine.reader()?;
    let mut rng = Rng::new(context.seed);
    let mut stopwatch = context.stopwatch();
    for _ in 0..context.settings.keys {
        let id = rng.below(context.settings.keys);
        if reader.get(&keys::absent(id), &mut |_| Ok(()))? {
            return Err(format!("a read found the key after record {id}, which was never written").into());
        }
        if !stopwatch.lap() {
            break;
        }
    }
    drop(reader);
    finish(context, engine, &stopwatch.stop())
}

fn warm(context: &Context, reader: &dyn Reader) -> Outcome<()> {
    reader.scan(None, &mut |_, _| Ok(true))?;
    let mut rng = Rng::new(!context.seed);
    for _ in 0..context.settings.keys / 10 {
        check_get(context, reader, rng.below(context.settings.keys))?;
    }
    Ok(())
}

fn random_gets(context: &Context, reader: &dyn Reader, thread: u64) -> Outcome<Timing> {
    let mut rng = Rng::new(context.seed + (thread << 32));
    let mut stopwatch = context.stopwatch();
    for _ in 0..context.settings.keys {
        check_get(context, reader, rng.below(context.settings.keys))?;
        if !stopwatch.lap() {
            break;
        }
    }
    Ok(stopwatch.stop())
}

/// Reads record `id`, which must be there, and checks its value.
fn check_get(context: &Context, reader: &dyn Reader, id: u64) -> Outcome<()> {
    let found = reader.get(&keys::present(id), &mut |value| context.values.check(id, value).map(drop))?;
    if found { Ok(()) } else { Err(format!("record {id} was written and is not found").into()) }
}

fn finish(context: &Context, engine: Box<dyn Engine>, timing: &Timing) -> Outcome<Vec<Row>> {
    let row = context.read_row(timing, context.settings.keys)?;
    engine.close()?;
    Ok(vec![row])
}

/// Random records while another thread overwrites records at a fixed rate. Counts the reads.
pub fn while_writing(context: &Context) -> Outcome<Vec<Row>> {
    let engine = context.open(Sync::Os)?;
    let done = AtomicBool::new(false);
    let timing = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(context, &*engine, &done));
        let timing = fresh_gets(context, &*engine);
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap_or_else(|_| Err("the writer panicked".into()))?;
        timing
    })?;
    finish(context, engine, &timing)
}

/// Reads of the newest state, each one.
fn fresh_gets(context: &Context, engine: &dyn Engine) -> Outcome<Timing> {
    let mut reader = engine.reader()?;
    let mut rng = Rng::new(context.seed);
    let mut stopwatch = context.stopwatch();
    for _ in 0..context.settings.keys {
        reader.refresh()?;
        check_get(context, &*reader, rng.below(context.settings.keys))?;
        if !stopwatch.lap() {
            break;
        }
    }
    Ok(stopwatch.stop())
}

fn write_until(context: &Context, engine: &dyn Engine, done: &AtomicBool) -> Outcome<()> {
    let mut rng = Rng::new(!context.seed);
    let mut value = Vec::new();
    let started = Instant::now();
    let mut written = 0;
    while !done.load(Ordering::Relaxed) {
        let due = u64::try_from(started.elapsed().as_micros())? * WRITES_PER_SECOND / 1_000_000;
        while written < due && !done.load(Ordering::Relaxed) {
            written += 1;
            let id = rng.below(context.settings.keys);
            context.values.write(id, 1 + written, &mut value);
            engine.put(&keys::present(id), &value)?;
        }
        std::thread::sleep(WRITER_NAP);
    }
    Ok(())
}
