//! Opening: a store that was closed, and one whose process died with everything in the log.

use crate::Outcome;
use crate::context::Context;
use crate::engines::Sync;
use crate::model::Model;
use crate::row::Row;

/// How often a closed store is opened.
const TIMES: usize = 20;

/// A store that was closed in good order, several times. Closing is not measured.
pub fn in_good_order(context: &Context) -> Outcome<Vec<Row>> {
    let mut stopwatch = context.stopwatch();
    let mut more = true;
    for _ in 0..TIMES {
        if !more {
            break;
        }
        stopwatch.go_on();
        let engine = context.open(Sync::Os)?;
        more = stopwatch.lap();
        engine.close()?;
    }
    let keys = context.settings.keys;
    Ok(vec![context.read_row(&stopwatch.stop(), keys)?])
}

/// A store of which nothing was flushed, once: afterwards it has been recovered. All records must be there.
pub fn after_death(context: &Context) -> Outcome<Vec<Row>> {
    let mut stopwatch = context.stopwatch();
    let engine = context.open(Sync::Os)?;
    stopwatch.lap();
    let keys = context.settings.keys;
    let row = context.read_row(&stopwatch.stop(), keys)?;
    Model::loaded(keys).check_all(&*engine, &context.values)?;
    engine.close()?;
    Ok(vec![row])
}
