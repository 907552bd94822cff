//! From a list of operations to a script: every operation is done to the model, and what that answers is written down.

use std::sync::Arc;

use super::list::{At, CURSOR_SLOTS, Change, Keep, List, Op, SNAPSHOT_SLOTS, Scan};
use super::model::Model;
use super::script::{Edit, Range, Reach, Record, Rule, Script, Step};
use super::universe::{Bytes, Span, Universe, Value};

/// What a list means.
pub fn plan(list: &List) -> Script {
    let universe = Universe::new(list.style, list.keys.max(1));
    // Since the list has no commits yet, how far back makes no difference.
    let rule = match list.retention {
        Keep::SinceBack(_) => Rule::Since(0),
        Keep::All => Rule::All,
        Keep::Newest => Rule::Newest,
        Keep::Versions(count) => Rule::Versions(count.max(1)),
        Keep::Age(age) => Rule::Age(u64::from(age)),
    };
    let model = Model::new(universe, rule, SNAPSHOT_SLOTS);
    let mut planner = Planner { model, rule, cursors: Default::default() };
    let steps = list.ops.iter().map(|op| planner.step(op)).collect();
    Script { rule, steps }
}

/// A walk that has begun.
#[derive(Clone)]
struct Walk {
    rest: std::collections::VecDeque<Record>,
}

struct Planner {
    model: Model,
    /// The retention after an open.
    rule: Rule,
    cursors: [Option<Walk>; CURSOR_SLOTS],
}

impl Planner {
    fn step(&mut self, op: &Op) -> Step {
        match op {
            Op::Commit(batches) => self.commit(batches),
            Op::Get(key, at) => self.get(*key, *at),
            Op::GetMany(keys, at) => self.get_many(keys, *at),
            Op::Versions(key, at) => {
                let (key, at) = (self.model.universe.key(*key), self.time(*at));
                let reach = if at > self.model.newest() { Reach::Future } else { Reach::Certain };
                Step::Versions { want: self.model.versions(&key, at), key, at, reach }
            }
            Op::Scan(scan, limit) => self.scan(*scan, usize::from(*limit)),
            Op::OpenCursor(slot, scan) => self.open_cursor(*slot, *scan),
            Op::StepCursor(slot, count) => self.step_cursor(*slot, usize::from(*count)),
            Op::Snapshot(slot) => {
                let slot = usize::from(*slot) % SNAPSHOT_SLOTS;
                let seq = self.model.newest();
                self.model.pins[slot] = None;
                self.model.pins[slot] = Some(self.model.pin(seq).1);
                Step::Snapshot { slot, seq }
            }
            Op::SnapshotAt(slot, at) => self.snapshot_at(*slot, *at),
            Op::Release(slot) => {
                let slot = usize::from(*slot) % SNAPSHOT_SLOTS;
                self.model.pins[slot] = None;
                Step::Release { slot }
            }
            Op::Retain(span, keep) => self.retain(*span, *keep),
            Op::Flush => Step::Flush,
            Op::Compact => Step::Compact,
            Op::CompactRange(span) => Step::CompactRange { range: self.range(*span) },
            Op::During(work, stride, ops) => {
                let steps = ops.iter().map(|op| self.step(op)).collect();
                Step::During { work: *work, stride: *stride, steps }
            }
            Op::Ingest(records) => self.ingest(records),
            Op::Checkpoint => {
                let seq = self.model.newest();
                Step::Checkpoint {
                    seq,
                    want: self.model.records(&everything(), false, seq, usize::MAX - 1).0,
                }
            }
            Op::Reopen => {
                self.reopen();
                Step::Reopen { seq: self.model.newest() }
            }
            Op::Crash => {
                self.model.commit(&[]);
                self.reopen();
                Step::Crash { seq: self.model.newest(), sudden: false }
            }
            Op::SuddenCrash => {
                self.reopen();
                Step::Crash { seq: self.model.newest(), sudden: true }
            }
            Op::Verify => Step::Verify,
            Op::Count => self.count(),
            Op::Wait(millis) => {
                self.model.now += u64::from(*millis);
                Step::Wait(u64::from(*millis))
            }
            Op::SeqAt(ago) => {
                let time = self.model.now.saturating_sub(u64::from(*ago));
                let most = self.model.newest_at(time);
                Step::SeqAt { time, most, times: self.model.times(most).to_vec() }
            }
            Op::Refused(wrong) => Step::Refused(*wrong),
        }
    }

    fn commit(&mut self, batches: &[Vec<Change>]) -> Step {
        let first = self.model.newest() + 1;
        let mut planned = Vec::with_capacity(batches.len());
        for changes in batches {
            let edits: Vec<Edit> = changes.iter().map(|change| self.edit(change)).collect();
            self.model.commit(&edits);
            planned.push(edits);
        }
        let last = self.model.newest();
        Step::Commit { batches: planned, first: first.min(last), last }
    }

    fn edit(&self, change: &Change) -> Edit {
        let universe = &self.model.universe;
        match change {
            Change::Put(key, value) => Edit::Put(universe.key(*key), value.bytes()),
            Change::Delete(key) => Edit::Delete(universe.key(*key)),
            Change::DeleteRange(from, to) => {
                let (from, to) = universe.bounds(Span { from: Some(*from), to: Some(*to) });
                Edit::DeleteRange(from, to.unwrap_or_else(|| universe.key(0)))
            }
        }
    }

    fn get(&self, key: u16, at: At) -> Step {
        let key = self.model.universe.key(key);
        let seq = self.time(at);
        let want = self.model.state(seq).get(&key).cloned();
        if at == At::Newest {
            return Step::Get { key, at: None, want, reach: Reach::Certain };
        }
        Step::Get { reach: self.model.reach_of(seq, &key), key, at: Some(seq), want }
    }

    fn get_many(&self, keys: &[u16], at: At) -> Step {
        let at = self.time(at);
        let keys: Vec<Bytes> = keys.iter().map(|&key| self.model.universe.key(key)).collect();
        let want = keys.iter().map(|key| self.model.state(at).get(key).cloned()).collect();
        let worse = |a: Reach, b: Reach| match (a, b) {
            (Reach::Future, _) | (_, Reach::Future) => Reach::Future,
            (Reach::Perhaps(a), Reach::Perhaps(b)) => Reach::Perhaps(a.max(b)),
            (Reach::Certain, other) | (other, Reach::Certain) => other,
        };
        let whole = if at > self.model.newest() { Reach::Future } else { Reach::Certain };
        let reach = keys.iter().map(|key| self.model.reach_of(at, key)).fold(whole, worse);
        Step::GetMany { keys, at, want, reach }
    }

    fn scan(&self, scan: Scan, limit: usize) -> Step {
        let (range, at) = (self.range(scan.span), self.time(scan.at));
        let (want, whole) = self.model.records(&range, scan.reverse, at, limit);
        let reach = self.model.reach(at, self.model.universe.stretches_of(scan.span));
        Step::Scan { range, reverse: scan.reverse, at, want, whole, reach }
    }

    fn open_cursor(&mut self, slot: u8, scan: Scan) -> Step {
        let slot = usize::from(slot) % CURSOR_SLOTS;
        let (range, at) = (self.range(scan.span), self.time(scan.at));
        let reach = self.model.reach(at, self.model.universe.stretches_of(scan.span));
        self.cursors[slot] = match reach {
            Reach::Future => None,
            Reach::Certain | Reach::Perhaps(_) => {
                let (records, _) = self.model.records(&range, scan.reverse, at, usize::MAX - 1);
                Some(Walk { rest: records.into() })
            }
        };
        Step::OpenCursor { slot, range, reverse: scan.reverse, at, reach }
    }

    fn step_cursor(&mut self, slot: u8, count: usize) -> Step {
        let slot = usize::from(slot) % CURSOR_SLOTS;
        let Some(walk) = &mut self.cursors[slot] else {
            return Step::WalkOn { slot, want: Vec::new(), whole: false };
        };
        let whole = count > walk.rest.len();
        let want = walk.rest.drain(..count.min(walk.rest.len())).collect();
        if whole {
            self.cursors[slot] = None;
        }
        Step::WalkOn { slot, want, whole }
    }

    fn snapshot_at(&mut self, slot: u8, at: At) -> Step {
        let slot = usize::from(slot) % SNAPSHOT_SLOTS;
        let seq = self.time(at);
        self.model.pins[slot] = None;
        let (reach, pin) = self.model.pin(seq);
        self.model.pins[slot] = (reach != Reach::Future).then_some(pin);
        Step::SnapshotAt { slot, seq, reach }
    }

    fn retain(&mut self, span: Span, keep: Keep) -> Step {
        let rule = match keep {
            Keep::All => Rule::All,
            Keep::Newest => Rule::Newest,
            Keep::Versions(count) => Rule::Versions(count.max(1)),
            Keep::Age(age) => Rule::Age(u64::from(age)),
            Keep::SinceBack(back) => Rule::Since(self.model.newest().saturating_sub(u64::from(back))),
        };
        let stretches = self.model.universe.stretches_of(span);
        if !stretches.is_empty() {
            self.model.retain(stretches, rule);
        }
        Step::Retain { range: self.range(span), rule }
    }

    fn ingest(&mut self, records: &[(u16, Value)]) -> Step {
        let key = |(number, value): &(u16, Value)| (self.model.universe.key(*number), value.bytes());
        let mut records: Vec<Record> = records.iter().map(key).collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        records.dedup_by(|later, earlier| later.0 == earlier.0);
        if !records.is_empty() {
            let edits: Vec<Edit> =
                records.iter().map(|(key, value)| Edit::Put(Arc::clone(key), Arc::clone(value))).collect();
            self.model.commit(&edits);
        }
        Step::Ingest { records, seq: self.model.newest() }
    }

    fn count(&self) -> Step {
        let pins = || self.model.pins.iter().flatten();
        let snapshots = (pins().filter(|pin| pin.certain).count(), pins().count());
        Step::Count { seq: self.model.newest(), floor: self.model.least_floor(), snapshots }
    }

    fn reopen(&mut self) {
        self.model.reopen(self.rule);
        self.cursors = Default::default();
    }

    fn range(&self, span: Span) -> Range {
        let (from, to) = self.model.universe.bounds(span);
        Range { from, to }
    }

    fn time(&self, at: At) -> u64 {
        let newest = self.model.newest();
        match at {
            At::Newest => newest,
            At::Back(back) => newest.saturating_sub(u64::from(back)),
            At::Slot(slot) => {
                let pin = self.model.pins[usize::from(slot) % SNAPSHOT_SLOTS];
                pin.map_or(newest, |pin| pin.seq)
            }
            At::Ahead(ahead) => newest + 1 + u64::from(ahead),
        }
    }
}

fn everything() -> Range {
    Range { from: [].into(), to: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metamorphic::storage::universe::KeyStyle;

    #[test]
    fn a_script_says_what_each_operation_answers() {
        let put = |key| Op::Commit(vec![vec![Change::Put(key, Value(3, 1))]]);
        let scan = Scan { span: Span { from: None, to: None }, reverse: true, at: At::Slot(0) };
        let ops = vec![
            put(1),
            Op::Snapshot(0),
            put(2),
            Op::Scan(scan, 9),
            Op::OpenCursor(0, Scan { at: At::Newest, ..scan }),
            Op::Crash,
            Op::StepCursor(0, 1),
            Op::Get(2, At::Back(2)),
            Op::Get(2, At::Ahead(0)),
        ];
        let list = List { style: KeyStyle::Short, keys: 4, retention: Keep::All, ops };
        let steps = plan(&list).steps;
        assert!(matches!(&steps[3], Step::Scan { want, whole: true, at: 1, .. } if want.len() == 1));
        assert!(matches!(&steps[5], Step::Crash { seq: 3, sudden: false }));
        assert!(matches!(&steps[6], Step::WalkOn { want, whole: false, .. } if want.is_empty()));
        assert!(matches!(&steps[7], Step::Get { want: None, at: Some(1), reach: Reach::Certain, .. }));
        assert!(matches!(&steps[8], Step::Get { reach: Reach::Future, .. }));
    }
}
