//! Scans: over everything in both directions, and short ones from random places.

use std::time::Duration;

use crate::Outcome;
use crate::context::Context;
use crate::engines::{Engine, Sync};
use crate::keys;
use crate::measure::Timing;
use crate::random::Rng;
use crate::row::Row;

/// Records per latency: single ones are too short to be timed.
const STRIDE: u64 = 100;
/// Full scans are repeated until they took this long together.
const LEAST_TIME: Duration = Duration::from_secs(1);
/// Steps after a seek.
pub const STEPS: u64 = 100;
/// A seek costs as much as many reads, so there are this many times fewer.
const SEEK_SHARE: u64 = 20;

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the first record to the last.
    Forward,
    /// From the last record to the first.
    Backward,
}

/// All records from the first to the last, again and again.
pub fn forward(context: &Context) -> Outcome<Vec<Row>> {
    full(context, Way::Forward)
}

/// All records from the last to the first, again and again.
pub fn backward(context: &Context) -> Outcome<Vec<Row>> {
    full(context, Way::Backward)
}

fn full(context: &Context, way: Way) -> Outcome<Vec<Row>> {
    let engine = context.open(Sync::Os)?;
    let timing = passes(context, &*engine, way, context.settings.keys, 1)?;
    let row = context.read_row(&timing, context.settings.keys)?;
    engine.close()?;
    Ok(vec![row])
}

/// Full scans over `live` records, all of them in `generation`, until they took long enough to be believed.
pub fn passes(
    context: &Context,
    engine: &dyn Engine,
    way: Way,
    live: u64,
    generation: u64,
) -> Outcome<Timing> {
    let reader = engine.reader()?;
    let mut stopwatch = context.stopwatch();
    let mut in_time = true;
    while in_time && stopwatch.elapsed() < LEAST_TIME {
        let (mut count, mut timed) = (0, 0);
        let mut last = None;
        let mut see = |key: &[u8], value: &[u8]| {
            let (id, found) = context.values.check_record(key, value)?;
            check_order(way, last, id)?;
            if found != generation {
                return Err(format!("record {id} is in generation {found}, not {generation}").into());
            }
            last = Some(id);
            count += 1;
            if count - timed == STRIDE {
                timed = count;
                in_time = stopwatch.lap_average(STRIDE);
            }
            Ok(in_time)
        };
        match way {
            Way::Forward => reader.scan(None, &mut see)?,
            Way::Backward => reader.scan_back(&mut see)?,
        }
        if in_time {
            in_time = stopwatch.lap_average(count - timed);
            if count != live {
                return Err(format!("a scan gives {count} records where {live} are").into());
            }
        }
    }
    Ok(stopwatch.stop())
}

fn check_order(way: Way, last: Option<u64>, id: u64) -> Outcome<()> {
    let in_order = match (way, last) {
        (_, None) => true,
        (Way::Forward, Some(last)) => id > last,
        (Way::Backward, Some(last)) => id < last,
    };
    if in_order { Ok(()) } else { Err(format!("a scan gives record {id} out of order").into()) }
}

/// Short scans from random places, some between two records. Counts seeks.
pub fn seeks(context: &Context) -> Outcome<Vec<Row>> {
    let records = context.settings.keys;
    let engine = context.open(Sync::Os)?;
    let reader = engine.reader()?;
    let mut rng = Rng::new(context.seed);
    let mut stopwatch = context.stopwatch();
    for _ in 0..(records / SEEK_SHARE).max(1) {
        let id = rng.below(records);
        let between = rng.below(2) == 1;
        let from = if between { keys::absent(id) } else { keys::present(id) };
        let first = id + u64::from(between);
        let mut next = first;
        reader.scan(Some(&from), &mut |key, value| {
            let (id, _) = context.values.check_record(key, value)?;
            if id != next {
                return Err(format!("a scan gives record {id} where {next} follows").into());
            }
            next += 1;
            Ok(next - first <= STEPS)
        })?;
        let expected = (records - first).min(STEPS + 1);
        if next - first != expected {
            return Err(format!("a scan from record {first} gives {} records", next - first).into());
        }
        if !stopwatch.lap() {
            break;
        }
    }
    drop(reader);
    let row = context.read_row(&stopwatch.stop(), records)?;
    engine.close()?;
    Ok(vec![row])
}
