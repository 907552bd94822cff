//! Lists of operations on documents, by chance.

use crate::random::Random;

/// Keys of documents.
pub const KEYS: usize = 16;
/// Snapshots that can be open at once.
pub const SLOTS: usize = 3;
/// Watchers that there can be at once.
pub const WATCHERS: usize = 2;
/// The indexes of the collection `plain`, which are defined and dropped: name, unique, paths, sparse.
pub const INDEXES: [(&str, bool, &[&str], bool); 4] = [
    ("n", false, &["n"], false),
    ("tags", false, &["t[]"], false),
    ("pair", false, &["t[]", "n"], true),
    ("e", true, &["e"], false),
];

/// The chance by which a list gets watchers.
const WATCHING: u64 = 0x3A7F;

/// A document: a small number, a name that a unique index may want for itself, tags, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub n: Option<u8>,
    pub e: Option<u8>,
    pub t: Vec<u8>,
    /// When it expires, in milliseconds, if its collection lets documents expire.
    pub x: Option<u64>,
    pub len: usize,
}

/// New documents, or `None` for a deletion.
pub type Writes = Vec<(u8, Option<Document>)>;

/// A condition: on the number, on a tag, or on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub n: Option<u8>,
    pub t: Option<u8>,
}

/// A state to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Newest,
    /// That many commits ago.
    Back(usize),
    /// That of a snapshot; the newest if there is none.
    Slot(usize),
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// A commit to `plain`.
    Commit(Writes),
    /// Commits to `plain` that are submitted together, and so are one group.
    Group(Vec<Writes>),
    /// A commit to `fleeting`, whose documents expire.
    CommitFleeting(Writes),
    /// A transaction over `plain` that reads what it wrote, and then commits or does not.
    Transaction(Writes, Condition, bool),
    Get(u8, At),
    /// Everything, by reading the collection.
    Scan(At),
    /// A query with a filter, through whatever index it likes.
    Query(Condition, At),
    /// The records of one key of an index.
    Find(usize, u8, At),
    /// A whole index, and that of `fleeting`.
    Walk(usize),
    Define(usize),
    Drop(usize),
    Snapshot(usize),
    Release(usize),
    /// Somebody begins to watch what comes behind a state, in place of the watcher before: `plain` alone, or everything.
    Watch {
        watcher: usize,
        from: At,
        alone: bool,
    },
    /// A watcher asks for so many pages, each of so many bytes, or until nothing has come yet.
    Follow {
        watcher: usize,
        pages: usize,
        max_bytes: usize,
    },
    /// Keeps the newest versions only, or all again.
    Retain(bool),
    /// Drops `fleeting`, and makes a new one with the same name.
    Renew,
    Wait(u64),
    Sweep,
    Flush,
    Compact,
    Reopen,
    Crash,
}

/// The list for a seed.
pub fn generate(seed: u64) -> Vec<Op> {
    let mut random = Random::nth(seed, 0xD0C);
    let count = *random.pick(&[20, 60, 120]);
    // Each list goes without some kinds.
    let mut left_out = [false; 12];
    left_out.fill_with(|| random.one_in(4));
    let ops = (0..count).map(|_| op(&mut random, &left_out)).collect();
    with_watchers(ops, &mut Random::nth(seed, WATCHING))
}

/// Adds watchers to half of the lists. What else is in a list does not depend on it.
fn with_watchers(mut ops: Vec<Op>, random: &mut Random) -> Vec<Op> {
    if random.one_in(2) {
        return ops;
    }
    for _ in 0..ops.len() / 3 {
        let watcher = random.below(WATCHERS);
        let op = match random.below(6) {
            0..2 => Op::Group((0..random.within(2..5)).map(|_| writes(random, false)).collect()),
            2 => Op::Watch { watcher, from: at(random), alone: random.one_in(2) },
            _ => Op::Follow {
                watcher,
                pages: *random.pick(&[1, 2, 100]),
                max_bytes: *random.pick(&[1, 100, 2000, 1 << 20]),
            },
        };
        ops.insert(random.below(ops.len() + 1), op);
    }
    ops
}

fn op(random: &mut Random, left_out: &[bool; 12]) -> Op {
    let kind = random.below(64);
    let rare =
        [38..41, 41..43, 43..45, 45..47, 47..49, 49..50, 50..53, 53..54, 54..56, 56..57, 57..58, 58..60];
    if rare.iter().zip(left_out).any(|(kinds, left_out)| *left_out && kinds.contains(&kind)) {
        return Op::Commit(writes(random, false));
    }
    match kind {
        0..12 => Op::Commit(writes(random, false)),
        12..15 => Op::CommitFleeting(writes(random, true)),
        15..18 => Op::Transaction(writes(random, false), condition(random), random.one_in(3)),
        18..22 => Op::Get(random.below(KEYS) as u8, at(random)),
        22..25 => Op::Scan(at(random)),
        25..31 => Op::Query(condition(random), at(random)),
        31..36 => Op::Find(random.below(INDEXES.len()), random.below(5) as u8, at(random)),
        36..38 => Op::Walk(random.below(INDEXES.len())),
        41..43 => Op::Drop(random.below(INDEXES.len())),
        43..45 => Op::Snapshot(random.below(SLOTS)),
        45..47 => Op::Release(random.below(SLOTS)),
        47..49 => Op::Retain(random.one_in(2)),
        50..53 => Op::Wait(*random.pick(&[2, 400, 3000])),
        53..54 => Op::Compact,
        54..56 => Op::Flush,
        56..57 => Op::Reopen,
        57..58 => Op::Crash,
        49 | 58..60 => Op::Sweep,
        60 => Op::Renew,
        _ => Op::Define(random.below(INDEXES.len())),
    }
}

fn writes(random: &mut Random, expiring: bool) -> Writes {
    let count = random.within(1..5);
    (0..count)
        .map(|_| {
            let key = random.below(KEYS) as u8;
            (key, (!random.one_in(4)).then(|| document(random, expiring)))
        })
        .collect()
}

fn document(random: &mut Random, expiring: bool) -> Document {
    let tags = random.below(4);
    Document {
        n: (!random.one_in(5)).then(|| random.below(5) as u8),
        e: (!random.one_in(3)).then(|| random.below(3 * KEYS) as u8),
        t: (0..tags).map(|_| random.below(5) as u8).collect(),
        // The clock stands at even numbers, so that nothing expires at this very moment.
        x: (expiring && !random.one_in(3)).then(|| 2 * random.below(5000) as u64 + 1),
        len: *random.pick(&[0, 0, 20, 200, 3000]),
    }
}

fn condition(random: &mut Random) -> Condition {
    let mut value = || random.one_in(2).then(|| random.below(5) as u8);
    Condition { n: value(), t: value() }
}

fn at(random: &mut Random) -> At {
    match random.below(4) {
        0 => At::Back(*random.pick(&[1, 2, 10])),
        1 => At::Slot(random.below(SLOTS)),
        _ => At::Newest,
    }
}
