//! The workloads, each a plain function over a context, and the table of all of them.

mod fill;
pub mod load;
mod mvcc;
mod open;
mod read;
mod scan;
mod ycsb;

use crate::Outcome;
use crate::context::Context;
use crate::engines::{Keep, Kind};
use crate::row::Row;
use Keep::{All, LastTen, Newest, Timed};

/// Records per commit where a workload writes in batches.
const BATCH: u64 = 1000;

/// Something to measure.
pub struct Workload {
    /// The suite it belongs to: kv, ycsb or mvcc.
    pub suite: &'static str,
    /// Its name in options and reports.
    pub name: &'static str,
    /// The state the store starts from.
    pub start: Start,
    /// Does it.
    pub run: fn(&Context) -> Outcome<Vec<Row>>,
}

/// The state of a store before a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// No records.
    Empty,
    /// No records, and this retention whatever the settings say.
    EmptyKeeping(Keep),
    /// All records once, written in shuffled order, flushed and closed.
    Loaded,
    /// All records once, written in shuffled order, one per commit, by a process that died before anything was flushed.
    Killed,
    /// Fewer records, each in `count` versions.
    Versions {
        /// Versions of each record.
        count: u32,
        /// Which of them are kept.
        keep: Keep,
    },
}

impl Start {
    /// Whether a store has to be built for it.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Empty | Self::EmptyKeeping(_))
    }
}

const fn kv(name: &'static str, start: Start, run: fn(&Context) -> Outcome<Vec<Row>>) -> Workload {
    Workload { suite: "kv", name, start, run }
}

const fn ycsb(name: &'static str, run: fn(&Context) -> Outcome<Vec<Row>>) -> Workload {
    Workload { suite: "ycsb", name, start: Start::Loaded, run }
}

const fn mvcc(name: &'static str, start: Start, run: fn(&Context) -> Outcome<Vec<Row>>) -> Workload {
    Workload { suite: "mvcc", name, start, run }
}

const fn versions(count: u32) -> Start {
    Start::Versions { count, keep: All }
}

impl Workload {
    /// All workloads in the order of the report.
    pub const ALL: &[Self] = &[
        kv("fillseq", Start::Empty, fill::in_order),
        kv("fillrandom", Start::Empty, fill::shuffled),
        kv("fillbatch", Start::Empty, fill::batches),
        kv("fillsync1", Start::Empty, |context| fill::durable(context, 1)),
        kv("fillsync8", Start::Empty, |context| fill::durable(context, 8)),
        kv("overwrite", Start::Loaded, fill::overwrite),
        kv("readrandom-hot", Start::Loaded, |context| read::hot(context, 1)),
        kv("readrandom-hot-2", Start::Loaded, |context| read::hot(context, 2)),
        kv("readrandom-hot-4", Start::Loaded, |context| read::hot(context, 4)),
        kv("readrandom-cold", Start::Loaded, read::cold),
        kv("readmissing", Start::Loaded, read::missing),
        kv("readseq", Start::Loaded, scan::forward),
        kv("readreverse", Start::Loaded, scan::backward),
        kv("seekrandom", Start::Loaded, scan::seeks),
        kv("readwhilewriting", Start::Loaded, read::while_writing),
        kv("deleterandom", Start::Loaded, fill::delete_then_scan),
        kv("open", Start::Loaded, open::in_good_order),
        kv("open-full-log", Start::Killed, open::after_death),
        ycsb("ycsb-a", ycsb::a),
        ycsb("ycsb-b", ycsb::b),
        ycsb("ycsb-c", ycsb::c),
        ycsb("ycsb-d", ycsb::d),
        ycsb("ycsb-e", ycsb::e),
        ycsb("ycsb-f", ycsb::f),
        mvcc("mvcc-get-1", versions(1), mvcc::get),
        mvcc("mvcc-get-10", versions(10), mvcc::get),
        mvcc("mvcc-get-100", versions(100), mvcc::get),
        mvcc("mvcc-asof-1", versions(1), mvcc::get_as_of),
        mvcc("mvcc-asof-10", versions(10), mvcc::get_as_of),
        mvcc("mvcc-asof-100", versions(100), mvcc::get_as_of),
        mvcc("mvcc-scan-1", versions(1), mvcc::scan),
        mvcc("mvcc-scan-10", versions(10), mvcc::scan),
        mvcc("mvcc-scan-100", versions(100), mvcc::scan),
        mvcc("mvcc-fill-all-1", Start::EmptyKeeping(All), |context| mvcc::fill(context, 1)),
        mvcc("mvcc-fill-all-10", Start::EmptyKeeping(All), |context| mvcc::fill(context, 10)),
        mvcc("mvcc-fill-all-100", Start::EmptyKeeping(All), |context| mvcc::fill(context, 100)),
        mvcc("mvcc-fill-ten-100", Start::EmptyKeeping(LastTen), |context| mvcc::fill(context, 100)),
        mvcc("mvcc-fill-since-100", Start::EmptyKeeping(All), |context| mvcc::fill_since(context, 100)),
        mvcc("mvcc-fill-age-100", Start::EmptyKeeping(Timed), |context| mvcc::fill_young(context, 100)),
        mvcc("mvcc-fill-newest-1", Start::EmptyKeeping(Newest), |context| mvcc::fill(context, 1)),
        mvcc("mvcc-fill-newest-10", Start::EmptyKeeping(Newest), |context| mvcc::fill(context, 10)),
        mvcc("mvcc-fill-newest-100", Start::EmptyKeeping(Newest), |context| mvcc::fill(context, 100)),
    ];

    /// The workload of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Outcome<&'static Self> {
        Self::ALL.iter().find(|workload| workload.name == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|workload| workload.name).collect();
            format!("there is no workload '{name}', only {}", known.join(", ")).into()
        })
    }

    /// Whether `kind` can run it: not where it must have kept old versions and keeps none, nor where it must have kept what a
    /// process wrote before it died and has not passed that on.
    pub fn suits(&self, kind: &Kind) -> bool {
        (kind.has_versions || self.suite != "mvcc") && (kind.outlives_process || self.start != Start::Killed)
    }
}

#[cfg(test)]
mod tests;
