//! Stores in which something is in the way of whoever comes next: a compaction that takes hours, or a level 0 that is full.
//!
//! What is in the way stays there until the test says otherwise, so that nothing depends on who is faster.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fountain_lsm::{Db, Durability, Options, WriteBatch};

use super::{Asked, TestFs, small};

/// Records in each of the tables of a [`full`] store: so many that a compaction looks whether it is to end.
const RECORDS_OF_TABLE: u32 = 150;
/// Tables of level 0 in a [`full`] store: more than there may be.
const TABLES: u64 = 40;

/// Whether something comes true within a minute, which is longer than anything here takes.
pub fn soon(is_true: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        if Instant::now() > patience {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// A compaction takes hours: it writes a byte a second.
pub fn slow() -> Options {
    Options {
        background: true,
        compaction_bytes_per_second: Some(1),
        memtable_bytes: 128 << 10,
        wal_segment_bytes: 1 << 20,
        ..small()
    }
}

/// A store of 600 records in whose background a compaction has begun that takes hours.
pub fn compacting_for_hours(dir: &Path) -> Db {
    let db = Db::open(dir, slow()).unwrap();
    for round in 0..4 {
        for n in 0..600 {
            let mut batch = WriteBatch::new();
            batch.put(format!("{n:04}").as_bytes(), format!("{round}{}", "v".repeat(60)).as_bytes()).unwrap();
            db.commit(batch, Durability::Memory).unwrap();
        }
        db.flush().unwrap();
    }
    assert!(soon(|| db.compaction_status().running.is_some()));
    db
}

/// Whoever creates a table waits here while it is shut.
#[derive(Default)]
pub struct Gate {
    /// Whether it is shut, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    /// Lets all go on, now and later.
    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Whether somebody waits.
    pub fn is_waited_at(&self) -> bool {
        self.state.lock().unwrap().1 > 0
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        let mut state = self.changed.wait_while(state, |(is_shut, _)| *is_shut).unwrap();
        state.1 -= 1;
    }
}

/// A store whose level 0 is so full that writers wait for room, and nobody can make any before the gate is open. Dropping it
/// opens the gate.
pub struct Full {
    pub db: Arc<Db>,
    pub gate: Arc<Gate>,
}

impl Drop for Full {
    fn drop(&mut self) {
        // The threads of the store are waited for when it is dropped.
        self.gate.open();
    }
}

/// A full store, in which every table has the same keys, and level 0 the only ones. Room is made as `options` say.
pub fn full(dir: &Path, options: Options) -> Full {
    let db = Db::open(dir, Options { writers_make_room: false, ..small() }).unwrap();
    for table in 0..TABLES {
        let mut batch = WriteBatch::new();
        for n in 0..RECORDS_OF_TABLE {
            batch.put(format!("key {n:06}").as_bytes(), format!("of table {table}").as_bytes()).unwrap();
        }
        db.commit(batch, Durability::Memory).unwrap();
        db.flush().unwrap();
    }
    assert_eq!(db.metrics().level_tables[0], TABLES);
    db.close().unwrap();
    let (fs, gate) =
        (TestFs::new(), Arc::new(Gate { state: Mutex::new((true, 0)), changed: Condvar::new() }));
    let passed = Arc::clone(&gate);
    fs.fail_when(move |asked| {
        if matches!(asked, Asked::Create(name) if name.ends_with(".sst")) {
            passed.pass();
        }
        None
    });
    Full { db: Arc::new(Db::open(dir, Options { fs, ..options }).unwrap()), gate }
}
