//! What transactions did, as their callers saw it.
//!
//! Every value is a list, every write appends a number to one that is never appended twice. So a read shows which
//! writes came before it, and in which order: that is all that is needed to find what an engine did wrong.

/// A list.
pub type Key = u32;

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a number at the end of a list.
    Append(Key, u64),
    /// Reads a list.
    Read(Key, Vec<u64>),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It happened.
    Committed,
    /// It did not happen.
    Aborted,
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Txn {
    /// A moment before it began; moments are numbers that grow.
    pub begin: u64,
    /// A moment after it ended.
    pub end: u64,
    /// How it ended.
    pub outcome: End,
    /// What it did, in order.
    pub ops: Vec<Op>,
    /// The sequence it read at and the one it committed with, where the engine says them.
    pub sequences: Option<(u64, u64)>,
}

impl Txn {
    /// What it appended.
    pub fn appends(&self) -> impl Iterator<Item = (Key, u64)> {
        self.ops.iter().filter_map(|op| match op {
            Op::Append(key, value) => Some((*key, *value)),
            Op::Read(..) => None,
        })
    }

    /// What it read of lists that it had not appended to before.
    pub fn outer_reads(&self) -> impl Iterator<Item = (Key, &[u64])> {
        self.ops.iter().enumerate().filter_map(|(index, op)| match op {
            Op::Read(key, list) => {
                let own = |op: &Op| matches!(op, Op::Append(own, _) if own == key);
                (!self.ops[..index].iter().any(own)).then_some((*key, &list[..]))
            }
            Op::Append(..) => None,
        })
    }
}
