//! The store as it should be: a map for every commit there ever was, and what may have been forgotten.
//!
//! It shares no code with the engine. It is allowed to be slow and to keep everything; it knows neither files nor
//! memtables nor levels. The one thing it cannot know is *when* the store drops old versions, as that depends on
//! flushes and compactions; so it keeps, for every key, the greatest floor that the retention there has been allowed
//! so far. At and above it everything must be readable; below it, what is read must be right or be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::script::{Edit, Range, Reach, Record, Rule, VersionsWanted};
use super::universe::{Bytes, Universe};

/// What a store holds after a commit.
pub type State = Arc<BTreeMap<Bytes, Bytes>>;

/// Something that happened to a key.
#[derive(Clone, Debug)]
struct Event {
    seq: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Put(Bytes),
    Delete,
    /// The key lay in a range that was deleted.
    RangeDelete,
}

/// What is known of a stretch of keys.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    rule: Rule,
    /// Below this, versions may be gone because of earlier rules.
    floor: u64,
    /// So many of the newest versions are certain, whatever the floor.
    versions: u32,
}

/// A snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    /// Its sequence.
    pub seq: u64,
    /// It is certain that the store granted it.
    pub certain: bool,
    /// It was taken when everything was readable at its sequence, so everything stays readable.
    pub complete: bool,
}

/// The model.
#[derive(Debug)]
pub struct Model {
    /// The keys.
    pub universe: Universe,
    /// The snapshots.
    pub pins: Vec<Option<Pin>>,
    /// The time, in milliseconds since the store was made.
    pub now: u64,
    /// When each commit was made.
    times: Vec<u64>,
    states: Vec<State>,
    events: BTreeMap<Bytes, Vec<Event>>,
    stretches: Vec<Stretch>,
}

impl Rule {
    fn versions(self) -> u32 {
        match self {
            Self::All => u32::MAX,
            Self::Versions(count) => count,
            Self::Newest | Self::Since(_) | Self::Age(_) => 0,
        }
    }
}

impl Model {
    /// An empty store with a retention, and room for snapshots.
    pub fn new(universe: Universe, rule: Rule, slots: usize) -> Self {
        let stretches = vec![Stretch { rule, floor: 0, versions: rule.versions() }; universe.stretches()];
        let states = vec![State::default()];
        Self {
            universe,
            pins: vec![None; slots],
            now: 0,
            times: vec![0],
            states,
            events: BTreeMap::new(),
            stretches,
        }
    }

    /// The newest sequence.
    pub fn newest(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The newest commit that had been made at a time.
    pub fn newest_at(&self, time: u64) -> u64 {
        self.times.partition_point(|made| *made <= time).saturating_sub(1) as u64
    }

    /// When the commits up to one were made, from that before the first on.
    pub fn times(&self, upto: u64) -> &[u64] {
        &self.times[..=upto as usize]
    }

    /// From where on history is complete once all that may go by a rule is gone.
    fn rule_floor(&self, rule: Rule) -> u64 {
        match rule {
            Rule::All => 0,
            Rule::Newest | Rule::Versions(_) => self.newest(),
            Rule::Since(seq) => seq.min(self.newest()),
            Rule::Age(age) => self.now.checked_sub(age).map_or(0, |time| self.newest_at(time)),
        }
    }

    /// What was there after the commit with a sequence; after the newest one for a sequence that has not happened.
    pub fn state(&self, seq: u64) -> &State {
        &self.states[seq.min(self.newest()) as usize]
    }

    /// Carries out one commit.
    pub fn commit(&mut self, edits: &[Edit]) {
        let seq = self.newest() + 1;
        let mut state = Arc::clone(self.state(seq));
        let map = Arc::make_mut(&mut state);
        // Of the events of one key in one commit, what a later deletion of a range takes back did not happen.
        let mut events: BTreeMap<Bytes, (bool, Option<What>)> = BTreeMap::new();
        for edit in edits {
            match edit {
                Edit::Put(key, value) => {
                    map.insert(Arc::clone(key), Arc::clone(value));
                    events.entry(Arc::clone(key)).or_default().1 = Some(What::Put(Arc::clone(value)));
                }
                Edit::Delete(key) => {
                    map.remove(key);
                    events.entry(Arc::clone(key)).or_default().1 = Some(What::Delete);
                }
                Edit::DeleteRange(from, to) => {
                    let inside = |key: &Bytes| *key >= *from && *key < *to;
                    map.retain(|key, _| !inside(key));
                    for key in self.universe.keys().iter().filter(|key| inside(key)) {
                        events.insert(Arc::clone(key), (true, None));
                    }
                }
            }
        }
        for (key, (range_deleted, what)) in events {
            let deleted = range_deleted.then_some(What::RangeDelete);
            let happened = deleted.into_iter().chain(what).map(|what| Event { seq, what });
            self.events.entry(key).or_default().extend(happened);
        }
        self.states.push(state);
        self.times.push(self.now);
    }

    /// Says what is kept in a range from now on.
    pub fn retain(&mut self, stretches: std::ops::Range<usize>, rule: Rule) {
        for index in stretches {
            let before = self.stretches[index];
            self.stretches[index] = Stretch {
                floor: before.floor.max(self.rule_floor(before.rule)),
                rule,
                versions: before.versions.min(rule.versions()),
            };
        }
    }

    /// The store was opened: its snapshots are gone, and `rule` is the retention of everything.
    pub fn reopen(&mut self, rule: Rule) {
        self.retain(0..self.stretches.len(), rule);
        self.pins.fill(None);
    }

    /// The greatest floor that the store can have in some stretches; in all for none.
    fn floor(&self, stretches: std::ops::Range<usize>) -> u64 {
        let stretches = if stretches.is_empty() { 0..self.stretches.len() } else { stretches };
        self.floors(stretches).max().unwrap_or_default()
    }

    fn floors(&self, stretches: std::ops::Range<usize>) -> impl Iterator<Item = u64> {
        self.stretches[stretches].iter().map(|stretch| stretch.floor.max(self.rule_floor(stretch.rule)))
    }

    /// The greatest that the least floor of all keys can be.
    pub fn least_floor(&self) -> u64 {
        self.floors(0..self.stretches.len()).min().unwrap_or_default()
    }

    /// Whether a read of some stretches must succeed.
    pub fn reach(&self, at: u64, stretches: std::ops::Range<usize>) -> Reach {
        if at > self.newest() {
            return Reach::Future;
        }
        let floor = self.floor(stretches);
        let pinned = self.pins.iter().flatten().any(|pin| pin.seq == at && pin.certain && pin.complete);
        if at >= floor || pinned { Reach::Certain } else { Reach::Perhaps(floor) }
    }

    /// Whether a read of one key must succeed.
    pub fn reach_of(&self, at: u64, key: &[u8]) -> Reach {
        let stretch = self.universe.stretch_of(key);
        self.reach(at, stretch..stretch + 1)
    }

    /// Whether a sequence can be pinned, and the pin if it is.
    pub fn pin(&self, seq: u64) -> (Reach, Pin) {
        let floor = self.least_floor();
        let before = self.pins.iter().flatten().find(|pin| pin.seq == seq && pin.certain);
        let reach = if seq > self.newest() {
            Reach::Future
        } else if seq >= floor || before.is_some() {
            Reach::Certain
        } else {
            Reach::Perhaps(floor)
        };
        let complete = seq >= self.floor(0..0) || before.is_some_and(|pin| pin.complete);
        (reach, Pin { seq, certain: reach == Reach::Certain, complete })
    }

    /// The first records of a walk, and whether they are all.
    pub fn records(&self, range: &Range, reverse: bool, at: u64, limit: usize) -> (Vec<Record>, bool) {
        if range.to.as_ref().is_some_and(|to| *to <= range.from) {
            return (Vec::new(), true);
        }
        let end = range.to.as_deref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let start = std::ops::Bound::Included(&*range.from);
        let mut inside = self.state(at).range::<[u8], _>((start, end));
        let copy = |(key, value): (&Bytes, &Bytes)| (Arc::clone(key), Arc::clone(value));
        let next = || if reverse { inside.next_back() } else { inside.next() }.map(copy);
        let mut records: Vec<Record> = std::iter::from_fn(next).take(limit + 1).collect();
        let whole = records.len() <= limit;
        records.truncate(limit);
        (records, whole)
    }

    /// What a list of the versions of a key must be.
    pub fn versions(&self, key: &[u8], at: u64) -> VersionsWanted {
        let events = self.events.get(key).map_or(&[][..], Vec::as_slice);
        let events = &events[..events.partition_point(|event| event.seq <= at)];
        let stretch_index = self.universe.stretch_of(key);
        let stretch = self.stretches[stretch_index];
        let floor = self.floor(stretch_index..stretch_index + 1);
        let all = shown(events);
        let total = self.events.get(key).map_or(0, Vec::len);
        // What is certain by number: counted from the newest event of all, not from the newest one shown.
        let certain = total.saturating_sub(stretch.versions as usize);
        let kept = |index: usize, seq: u64| {
            seq > floor || (index >= certain && !matches!(events[index].what, What::RangeDelete))
        };
        let required =
            all.iter().filter(|(index, (seq, _))| kept(*index, *seq)).map(|(_, version)| version.clone());
        let required = required.collect();
        let is_certain = self.reach_of(at, key) == Reach::Certain;
        let value = self.state(at).get(key).cloned();
        let allowed = events.iter().rev().map(|event| (event.seq, event.value()));
        VersionsWanted { allowed: allowed.collect(), required, is_certain, value }
    }
}

impl Event {
    fn value(&self) -> Option<Bytes> {
        if let What::Put(value) = &self.what { Some(Arc::clone(value)) } else { None }
    }
}

/// The versions that a store which keeps everything lists, with the index of their event, from new to old: of the
/// deletions of ranges between two versions the first one, if there was something for it to delete.
fn shown(events: &[Event]) -> Vec<(usize, (u64, Option<Bytes>))> {
    let mut shown = Vec::new();
    let mut index = events.len();
    // The newer neighbour in the list; a deletion in the commit of a later version is not shown beside it.
    let mut newer = u64::MAX;
    while index > 0 {
        let mut deletion = None;
        while index > 0 && matches!(events[index - 1].what, What::RangeDelete) {
            index -= 1;
            deletion = Some(index).filter(|&index| events[index].seq < newer).or(deletion);
        }
        let Some(version) = index.checked_sub(1) else { break };
        if let (Some(deletion), What::Put(_)) = (deletion, &events[version].what) {
            shown.push((deletion, (events[deletion].seq, None)));
        }
        newer = events[version].seq;
        shown.push((version, (newer, events[version].value())));
        index = version;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metamorphic::storage::universe::KeyStyle;

    fn model(rule: Rule) -> Model {
        Model::new(Universe::new(KeyStyle::Short, 4), rule, 2)
    }

    fn put(model: &mut Model, number: u16, value: &[u8]) {
        let key = model.universe.key(number);
        model.commit(&[Edit::Put(key, value.into())]);
    }

    fn everything() -> Range {
        Range { from: [].into(), to: None }
    }

    #[test]
    fn every_commit_stays_readable() {
        let mut model = model(Rule::All);
        put(&mut model, 1, b"a");
        put(&mut model, 1, b"b");
        let (from, to) = (model.universe.key(0), model.universe.key(2));
        model.commit(&[Edit::DeleteRange(from, to), Edit::Put(model.universe.key(0), [7][..].into())]);
        let counts = [0, 1, 2, 3].map(|seq| model.records(&everything(), false, seq, 9).0.len());
        assert_eq!(counts, [0, 1, 1, 1]);
        let versions = model.versions(b"001", 3);
        let seqs: Vec<_> = versions.required.iter().map(|(seq, value)| (*seq, value.is_some())).collect();
        assert_eq!(seqs, [(3, false), (2, true), (1, true)]);
        assert!(versions.is_certain && versions.value.is_none());
        assert_eq!(model.versions(b"000", 3).required.len(), 1, "there was nothing to delete before the put");
    }

    #[test]
    fn what_retention_allows_to_go_is_not_certain_unless_a_snapshot_holds_it() {
        let mut model = model(Rule::All);
        for round in 0..3 {
            put(&mut model, 1, &[round]);
        }
        let (reach, pin) = model.pin(2);
        assert_eq!((reach, pin.complete), (Reach::Certain, true));
        model.pins[0] = Some(pin);
        let stretch = model.universe.stretch_of(b"001");
        model.retain(stretch..stretch + 1, Rule::Newest);
        put(&mut model, 2, b"x");
        let reach = |at, key: &[u8]| model.reach_of(at, key);
        assert_eq!((reach(1, b"001"), reach(2, b"001")), (Reach::Perhaps(4), Reach::Certain));
        assert_eq!(
            (reach(4, b"001"), reach(1, b"002"), reach(5, b"002")),
            (Reach::Certain, Reach::Certain, Reach::Future)
        );
        assert_eq!(model.pin(1).0, Reach::Certain, "other keys can be read at it");
        assert!(!model.pin(1).1.complete);
        assert!(model.versions(b"001", 4).required.is_empty());
    }

    #[test]
    fn what_is_older_than_the_age_when_time_has_passed_is_not_certain() {
        let mut model = model(Rule::Age(500));
        for time in [100, 400, 2000] {
            model.now = time;
            put(&mut model, 1, b"x");
        }
        let floor = |model: &mut Model, now| {
            model.now = now;
            model.least_floor()
        };
        assert_eq!((floor(&mut model, 2000), floor(&mut model, 2499), floor(&mut model, 2500)), (2, 2, 3));
        assert_eq!(
            (model.reach_of(2, b"001"), model.reach_of(3, b"001")),
            (Reach::Perhaps(3), Reach::Certain)
        );
        assert_eq!(
            ([99, 100, 1999].map(|time| model.newest_at(time)), model.times(1)),
            ([0, 1, 2], &[0, 100][..])
        );
    }

    #[test]
    fn the_last_versions_are_counted_from_the_newest() {
        let mut model = model(Rule::Versions(2));
        for round in 0..4 {
            put(&mut model, 1, &[round]);
        }
        let seqs =
            |at| -> Vec<u64> { model.versions(b"001", at).required.iter().map(|(seq, _)| *seq).collect() };
        assert_eq!((seqs(4), seqs(3), seqs(2)), (vec![4, 3], vec![3], vec![]));
    }
}
