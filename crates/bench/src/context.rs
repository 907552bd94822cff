//! What one process does: one workload on one engine in one directory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::engines::{Compression, Config, Engine, Keep, Kind, MEMTABLE_BYTES, Sync};
use crate::keys::KEY_BYTES;
use crate::measure::{Stopwatch, Timing};
use crate::process;
use crate::row::Row;
use crate::space;
use crate::values::Values;
use crate::workloads::{Start, Workload, load};

/// What all runs of a comparison have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Number of records.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Bytes of cache of each engine, where a workload does not need another size.
    pub cache_bytes: usize,
    /// Compression of tables.
    pub compression: Compression,
    /// Versions that our engine keeps where a workload does not say.
    pub keep: Keep,
    /// Longest measured time of a workload.
    pub limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: 1_000_000,
            value_bytes: 100,
            cache_bytes: 64 << 20,
            compression: Compression::None,
            keep: Keep::Newest,
            limit: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Bytes of keys and values of `records` records.
    pub fn user_bytes(&self, records: u64) -> u64 {
        records * (KEY_BYTES + self.value_bytes as u64)
    }

    /// How long nothing must happen for background work to count as done.
    fn idle(&self) -> Duration {
        (self.limit / 4).clamp(Duration::from_millis(20), Duration::from_millis(100))
    }
}

/// A run that a process was started for.
pub struct Task {
    /// The engine.
    pub kind: Kind,
    /// The workload.
    pub workload: &'static Workload,
    /// The round, which is also the seed of everything random.
    pub round: u32,
    /// Directory of the store.
    pub store: PathBuf,
    /// What all runs have in common.
    pub settings: Settings,
}

impl Task {
    /// Builds the store that the workload starts from.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn load(self) -> Outcome<()> {
        load::build(&Context::new(self))
    }

    /// Runs the workload.
    ///
    /// # Errors
    /// Those of the engine, and every wrong answer.
    pub fn measure(self) -> Outcome<Vec<Row>> {
        let run = self.workload.run;
        run(&Context::new(self))
    }
}

/// What a workload works with.
pub struct Context {
    /// What all runs have in common.
    pub settings: Settings,
    /// The state the store starts from.
    pub start: Start,
    /// Seed of everything random in this run: the same for all engines.
    pub seed: u64,
    /// The values to write and to expect.
    pub values: Values,
    task: TaskName,
    kind: Kind,
    store: PathBuf,
}

struct TaskName {
    suite: &'static str,
    workload: &'static str,
    round: u32,
}

/// A measurement that is going on: bytes written are counted from its beginning.
pub struct Run {
    written_before: Option<u64>,
}

impl Run {
    /// Begins a measurement.
    pub fn begin() -> Self {
        Self { written_before: process::bytes_written() }
    }
}

impl Context {
    fn new(task: Task) -> Self {
        let compressible = task.settings.compression == Compression::Lz4;
        Self {
            start: task.workload.start,
            seed: u64::from(task.round) + 1,
            values: Values::new(task.settings.value_bytes, compressible),
            task: TaskName { suite: task.workload.suite, workload: task.workload.name, round: task.round },
            kind: task.kind,
            store: task.store,
            settings: task.settings,
        }
    }

    /// Opens the store with the cache of the settings.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn open(&self, sync: Sync) -> Outcome<Box<dyn Engine>> {
        self.open_with_cache(sync, self.settings.cache_bytes)
    }

    /// Opens the store with buffers so large that nothing that is written now is flushed.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn open_to_log_only(&self) -> Outcome<Box<dyn Engine>> {
        let twice = self.settings.user_bytes(self.settings.keys) * 2;
        let memtable_bytes = MEMTABLE_BYTES.max(usize::try_from(twice)?);
        self.kind.open(&self.store, &Config { memtable_bytes, ..self.config(Sync::Os) })
    }

    /// Opens the store with a cache of `cache_bytes`.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn open_with_cache(&self, sync: Sync, cache_bytes: usize) -> Outcome<Box<dyn Engine>> {
        self.kind.open(&self.store, &Config { cache_bytes, ..self.config(sync) })
    }

    fn config(&self, sync: Sync) -> Config {
        let keep = match self.start {
            Start::Versions { keep, .. } | Start::EmptyKeeping(keep) => keep,
            Start::Empty | Start::Loaded | Start::Killed => self.settings.keep,
        };
        let Settings { cache_bytes, compression, .. } = self.settings;
        Config { cache_bytes, compression, sync, keep, memtable_bytes: MEMTABLE_BYTES }
    }

    /// Makes the operating system forget the files of the store.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn evict(&self) -> Outcome<()> {
        Ok(space::evict(&self.store)?)
    }

    /// A stopwatch that is up at the limit of the settings.
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch::start(self.settings.limit)
    }

    /// Waits until `engine` has moved everything to where it stays; gives the seconds it took.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn settle(&self, engine: &dyn Engine) -> Outcome<f64> {
        let started = Instant::now();
        engine.flush()?;
        process::wait_until_idle(self.settings.idle());
        Ok(started.elapsed().as_secs_f64())
    }

    /// The row of a workload that only read; `live` records lie in the store.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn read_row(&self, timing: &Timing, live: u64) -> Outcome<Row> {
        self.row(self.task.workload, timing, live)
    }

    /// The row of a workload that made `writes` writes of records and leaves `live` of them. Waits for background
    /// work first, so that all of its writes and all of its space count.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn write_row(
        &self,
        engine: &dyn Engine,
        run: &Run,
        timing: &Timing,
        writes: u64,
        live: u64,
    ) -> Outcome<Row> {
        let settle_s = self.settle(engine)?;
        let written = process::bytes_written().zip(run.written_before).map(|(now, before)| now - before);
        let user_bytes = self.settings.user_bytes(writes);
        Ok(Row {
            settle_s: Some(settle_s),
            write_amp: written.and_then(|bytes| ratio(bytes, user_bytes)),
            ..self.row(self.task.workload, timing, live)?
        })
    }

    /// A further row of the same workload, under a name of its own.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn row(&self, workload: &str, timing: &Timing, live: u64) -> Outcome<Row> {
        let micros = |per_mille| micros(timing.histogram.quantile(per_mille));
        Ok(Row {
            suite: self.task.suite.to_owned(),
            workload: workload.to_owned(),
            engine: self.kind.name.to_owned(),
            round: self.task.round,
            ops: timing.ops,
            ops_per_s: timing.ops_per_second(),
            p50: micros(500),
            p99: micros(990),
            p999: micros(999),
            max: self::micros(timing.histogram.longest()),
            settle_s: None,
            write_amp: None,
            space_amp: ratio(space::disk_bytes(&self.store)?, self.settings.user_bytes(live)),
            rss_mb: process::peak_memory_mib(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn ratio(bytes: u64, base: u64) -> Option<f64> {
    (base > 0).then(|| bytes as f64 / base as f64)
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 ns")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
