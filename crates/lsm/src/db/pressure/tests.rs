//! How writers are slowed: evenly with what piles up, never for long at once, and so that few of them ever meet a stop.
//!
//! None of it looks at a clock: a store is modelled by how fast its writer, its flush and its compaction are.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Backlog, Speeds, book, share};
use crate::limits::{
    LEVEL0_MAX_INPUTS, LEVEL0_STOP, LEVEL0_TRIGGER, LONGEST_WRITE_DELAY, MAX_SEALED_MEMTABLES,
    SHORTEST_WRITE_DELAY,
};

const MIB: u64 = 1 << 20;
/// No more than one write in a thousand may take longer.
const LONGEST_USUAL_WRITE: Duration = Duration::from_millis(50);

#[test]
fn pressure_grows_evenly_from_the_soft_limit_to_the_stop() {
    let shares = [0.0, 8.0, 16.0, 24.0, 100.0].map(|value| share(value, 8.0, 24.0).to_bits());
    assert_eq!(shares, [0.0, 0.0, 0.5, 1.0, 1.0].map(f64::to_bits));
}

prop_compose! {
    fn backlog()(
        tables in 0..50usize,
        memtables in 0..6usize,
        memtable in 1..64usize << 20,
        filled in 0..150usize,
        bases_of_debt in 0..200u64,
    ) -> Backlog {
        let base = LEVEL0_TRIGGER as u64 * memtable as u64;
        let (active, debt) = (memtable / 100 * filled, base * bases_of_debt);
        Backlog { tables, memtables, active, memtable, debt, base }
    }
}

proptest! {
    #[test]
    fn a_little_more_to_do_is_a_little_more_pressure(before in backlog()) {
        let pressure = before.pressure();
        prop_assert!((0.0..=1.0).contains(&pressure));
        let more = [
            Backlog { tables: before.tables + 1, ..before },
            Backlog { debt: before.debt + before.base, ..before },
            Backlog { active: before.active + before.memtable / 25, ..before },
        ];
        for more in more {
            let rise = more.pressure() - pressure;
            prop_assert!((0.0..0.05).contains(&rise), "{before:?} to {more:?}: {rise}");
        }
        // A memtable that is sealed when it is full changes nothing by that.
        let full = Backlog { active: before.memtable, ..before };
        let sealed = Backlog { active: 0, memtables: before.memtables + 1, ..before };
        prop_assert!((sealed.pressure() - full.pressure()).abs() < 1e-9);
    }

    #[test]
    fn a_write_never_waits_longer_than_the_longest_delay_and_behind_more_never_shorter(
        bytes in 0..256usize << 20,
        speeds in (0..u64::MAX, 0..u64::MAX).prop_map(|(flush, compaction)| Speeds { flush, compaction }),
        less in backlog(),
        more in (0..10usize, 0..64usize << 20, 0..1u64 << 32),
        booked_micros in proptest::option::of(0..10_000_000u64),
    ) {
        let (tables, active, debt) = (less.tables + more.0, less.active + more.1, less.debt + more.2);
        let more = Backlog { tables, active, debt, ..less };
        let (short, long) = (less.time_for(bytes, speeds), more.time_for(bytes, speeds));
        prop_assert!(short <= long, "{short:?}, {long:?}");
        let start = Instant::now();
        let now = start + Duration::from_secs(5);
        let next = booked_micros.map(|micros| start + Duration::from_micros(micros));
        for takes in [short, long] {
            let (due, wait) = book(next, now, takes);
            prop_assert!(wait <= LONGEST_WRITE_DELAY);
            prop_assert!(due >= now.checked_sub(LONGEST_WRITE_DELAY).unwrap() + takes);
            prop_assert!(next.is_none_or(|next| due >= next + takes), "nothing is written for nothing");
        }
    }
}

/// A store whose parts take constant times: one writer that never rests, a flush and a compaction.
struct Model {
    /// Bytes of a memtable and of a write.
    memtable: u64,
    write: u64,
    speeds: Speeds,
    /// Bytes in the active memtable.
    active: u64,
    memtables: usize,
    tables: usize,
    /// When the flush and the compaction under way end, and how many tables the latter takes.
    flush_ends: Option<Instant>,
    merge_ends: Option<(Instant, usize)>,
    next: Option<Instant>,
    now: Instant,
}

/// Bytes that the writer writes in a second, if it need not wait.
const WRITER_SPEED: u64 = 300 * MIB;

fn seconds(bytes: u64, speed: u64) -> Duration {
    Duration::from_nanos((u128::from(bytes) * 1_000_000_000 / u128::from(speed)) as u64)
}

impl Model {
    fn new(write: u64, speeds: Speeds) -> Self {
        Self {
            memtable: 32 * MIB,
            write,
            speeds,
            active: 0,
            memtables: 0,
            tables: LEVEL0_STOP / 2,
            flush_ends: None,
            merge_ends: None,
            next: None,
            now: Instant::now(),
        }
    }

    /// What the background threads have done by now.
    fn catch_up(&mut self) {
        loop {
            if self.flush_ends.is_none() && self.memtables > 0 {
                self.flush_ends = Some(self.now + seconds(self.memtable, self.speeds.flush));
            }
            if self.merge_ends.is_none() && self.tables >= LEVEL0_TRIGGER {
                let tables = self.tables.min(LEVEL0_MAX_INPUTS);
                // As much again and more of the base.
                let bytes = (tables + 2 * LEVEL0_TRIGGER) as u64 * self.memtable;
                self.merge_ends = Some((self.now + seconds(bytes, self.speeds.compaction), tables));
            }
            if self.flush_ends.is_some_and(|end| end <= self.now) {
                (self.flush_ends, self.memtables, self.tables) = (None, self.memtables - 1, self.tables + 1);
            } else if let Some((_, tables)) = self.merge_ends.filter(|(end, _)| *end <= self.now) {
                (self.merge_ends, self.tables) = (None, self.tables - tables);
            } else {
                return;
            }
        }
    }

    fn is_crowded(&self) -> bool {
        self.memtables >= MAX_SEALED_MEMTABLES || self.tables >= LEVEL0_STOP
    }

    fn backlog(&self) -> Backlog {
        let base = LEVEL0_TRIGGER as u64 * self.memtable;
        let (tables, memtables) = (self.tables, self.memtables);
        let debt = if tables >= LEVEL0_TRIGGER { tables as u64 * self.memtable + base } else { 0 };
        let (active, memtable) = (self.active as usize, self.memtable as usize);
        Backlog { tables, memtables, active, memtable, debt, base }
    }

    /// One write; the time that it took.
    fn write(&mut self) -> Duration {
        let begin = self.now;
        self.catch_up();
        while self.is_crowded() {
            let ends = self.flush_ends.into_iter().chain(self.merge_ends.map(|(end, _)| end));
            self.now = ends.min().unwrap();
            self.catch_up();
        }
        let backlog = self.backlog();
        if backlog.pressure() > 0.0 {
            let takes = backlog.time_for(self.write as usize, self.speeds);
            let (due, wait) = book(self.next, self.now, takes);
            self.next = Some(due);
            if wait > SHORTEST_WRITE_DELAY {
                self.now += wait;
            }
        } else {
            self.next = None;
        }
        self.now += Duration::from_micros(2) + seconds(self.write, WRITER_SPEED);
        self.active += self.write;
        if self.active >= self.memtable {
            (self.active, self.memtables) = (0, self.memtables + 1);
        }
        self.now - begin
    }
}

#[test]
fn writers_seldom_wait_long_and_never_meet_a_stop_however_slow_flushes_and_compactions_are() {
    for write in [4 << 10, 12 << 10] {
        for flush in [20, 60, 240] {
            for compaction in [20, 80, 320] {
                let speeds = Speeds { flush: flush * MIB, compaction: compaction * MIB };
                let mut model = Model::new(write, speeds);
                let writes = 30 * model.memtable / write;
                let mut took: Vec<Duration> = (0..writes).map(|_| model.write()).collect();
                took.sort_unstable();
                let (usual, longest) = (took[took.len() - 1 - took.len() / 1000], took[took.len() - 1]);
                println!("{write} bytes, {speeds:?}: {usual:?}, at most {longest:?}");
                assert!(usual <= LONGEST_USUAL_WRITE, "{usual:?} for {write} bytes with {speeds:?}");
                assert!(longest <= LONGEST_USUAL_WRITE, "{longest:?} for {write} bytes with {speeds:?}");
            }
        }
    }
}
