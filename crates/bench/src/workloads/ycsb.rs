//! The core workloads of YCSB (Cooper and others, 2010): mixes of reads and writes of records chosen with a skew.
//! Every read is compared with the write before it.

use crate::Outcome;
use crate::context::{Context, Run};
use crate::engines::{Engine, Reader, Sync};
use crate::keys;
use crate::model::Model;
use crate::random::{Rng, Shuffle, Zipf};
use crate::row::Row;

/// Longest scan, in records.
const MAX_SCAN: u64 = 100;

/// What a workload does, in hundredths of its operations; the rest are reads.
#[derive(Clone, Copy, Default)]
struct Mix {
    updates: u64,
    inserts: u64,
    scans: u64,
    read_modify_writes: u64,
    /// Whether the newest records are the frequent ones, and not some spread over all.
    newest_first: bool,
}

/// Half reads, half updates.
pub fn a(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix { updates: 50, ..Mix::default() })
}

/// Reads, and an update now and then.
pub fn b(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix { updates: 5, ..Mix::default() })
}

/// Reads only.
pub fn c(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix::default())
}

/// Reads of the newest records, and an insertion now and then.
pub fn d(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix { inserts: 5, newest_first: true, ..Mix::default() })
}

/// Short scans, and an insertion now and then.
pub fn e(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix { inserts: 5, scans: 95, ..Mix::default() })
}

/// Half reads, half updates of what was just read.
pub fn f(context: &Context) -> Outcome<Vec<Row>> {
    run(context, Mix { read_modify_writes: 50, ..Mix::default() })
}

struct Client<'a> {
    context: &'a Context,
    engine: &'a dyn Engine,
    reader: Box<dyn Reader + 'a>,
    model: Model,
    mix: Mix,
    rng: Rng,
    zipf: Zipf,
    spread: Shuffle,
    records: u64,
    writes: u64,
    value: Vec<u8>,
}

fn run(context: &Context, mix: Mix) -> Outcome<Vec<Row>> {
    let records = context.settings.keys;
    // Scans are many reads each.
    let ops = if mix.scans > 0 { records / 10 } else { records };
    let engine = context.open(Sync::Os)?;
    let mut client = Client {
        context,
        engine: &*engine,
        reader: engine.reader()?,
        model: Model::loaded(records),
        mix,
        rng: Rng::new(context.seed),
        zipf: Zipf::new(records, Zipf::YCSB),
        spread: Shuffle::new(records, 1),
        records,
        writes: 0,
        value: Vec::new(),
    };
    let run = Run::begin();
    let mut stopwatch = context.stopwatch();
    for _ in 0..ops {
        client.step()?;
        if !stopwatch.lap() {
            break;
        }
    }
    let timing = stopwatch.stop();
    let (model, writes) = client.leave();
    let row = context.write_row(&*engine, &run, &timing, writes, model.live())?;
    model.check_all(&*engine, &context.values)?;
    engine.close()?;
    Ok(vec![row])
}

impl Client<'_> {
    /// Ends the reads; gives what must be in the store and how many records were written.
    fn leave(self) -> (Model, u64) {
        (self.model, self.writes)
    }

    fn step(&mut self) -> Outcome<()> {
        let mix = self.mix;
        let mut draw = self.rng.below(100);
        for (share, action) in [
            (mix.updates, Self::update as fn(&mut Self) -> Outcome<()>),
            (mix.inserts, Self::insert),
            (mix.scans, Self::scan),
            (mix.read_modify_writes, Self::read_modify_write),
        ] {
            if draw < share {
                return action(self);
            }
            draw -= share;
        }
        let id = self.choose();
        self.read(id)
    }

    fn choose(&mut self) -> u64 {
        let rank = self.zipf.next(&mut self.rng);
        if self.mix.newest_first { self.records - 1 - rank } else { self.spread.at(rank) }
    }

    fn read(&mut self, id: u64) -> Outcome<()> {
        self.reader.refresh()?;
        let (values, model) = (&self.context.values, &self.model);
        let see = &mut |value: &[u8]| model.check(id, values.check(id, value)?);
        if self.reader.get(&keys::present(id), see)? {
            return Ok(());
        }
        Err(format!("record {id} was written and is not found").into())
    }

    fn write(&mut self, id: u64) -> Outcome<()> {
        self.writes += 1;
        self.context.values.write(id, self.model.put(id), &mut self.value);
        self.engine.put(&keys::present(id), &self.value)
    }

    fn update(&mut self) -> Outcome<()> {
        let id = self.choose();
        self.write(id)
    }

    fn insert(&mut self) -> Outcome<()> {
        let id = self.records;
        self.records += 1;
        self.write(id)
    }

    fn read_modify_write(&mut self) -> Outcome<()> {
        let id = self.choose();
        self.read(id)?;
        self.write(id)
    }

    fn scan(&mut self) -> Outcome<()> {
        let first = self.choose();
        let len = 1 + self.rng.below(MAX_SCAN);
        self.reader.refresh()?;
        let mut next = first;
        self.reader.scan(Some(&keys::present(first)), &mut |key, value| {
            let (id, generation) = self.context.values.check_record(key, value)?;
            if id != next {
                return Err(format!("a scan gives record {id} where {next} follows").into());
            }
            self.model.check(id, generation)?;
            next += 1;
            Ok(next - first < len)
        })?;
        let expected = (self.records - first).min(len);
        if next - first == expected {
            return Ok(());
        }
        Err(format!("a scan from record {first} gives {} of {expected} records", next - first).into())
    }
}
