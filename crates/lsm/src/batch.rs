//! A set of changes that becomes visible together.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};
use crate::key_table::KeyTable;
use crate::limits::{MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::range::KeyRange;

/// Most that an operation adds to a log frame beside its key and value: a tag and two lengths.
const OP_OVERHEAD_BYTES: usize = 8;

/// Puts and deletes that are committed as one: all of them under one sequence, or none.
///
/// A key appears once: the last operation on it wins, and a deletion of a range takes back what was done in the range
/// before it. Keys and values lie in one buffer in the order of the
/// operations, ready to be copied into the log.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    ops: Ops,
    /// Index of the last operation per key, of the first `indexed` operations; built only once a batch has several.
    by_key: KeyTable,
    indexed: usize,
    superseded: usize,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpKind {
    /// Sets the key to the value.
    Put,
    /// Deletes the key; the value is empty.
    Delete,
    /// Deletes the keys from the key up to before the value.
    DeleteRange,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    kind: OpKind,
    start: usize,
    key_len: usize,
    value_len: usize,
    live: bool,
}

/// Operations in order. Most often there is one, which needs no list on the heap.
#[derive(Clone, Debug)]
enum Ops {
    One([Op; 1]),
    Many(Vec<Op>),
}

impl Default for Ops {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Deref for Ops {
    type Target = [Op];

    fn deref(&self) -> &[Op] {
        match self {
            Self::One(op) => op,
            Self::Many(ops) => ops,
        }
    }
}

impl DerefMut for Ops {
    fn deref_mut(&mut self) -> &mut [Op] {
        match self {
            Self::One(op) => op,
            Self::Many(ops) => ops,
        }
    }
}

impl Ops {
    fn push(&mut self, op: Op) {
        match self {
            Self::Many(ops) if ops.capacity() == 0 => *self = Self::One([op]),
            Self::Many(ops) => ops.push(op),
            Self::One([first]) => *self = Self::Many(vec![*first, op]),
        }
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with memory for so many operations, and so many bytes of keys and values.
    pub fn with_capacity(operations: usize, bytes: usize) -> Self {
        let mut batch = Self { bytes: Vec::with_capacity(bytes), ..Self::default() };
        if operations > 1 {
            batch.ops = Ops::Many(Vec::with_capacity(operations));
            batch.by_key.reserve(operations);
        }
        batch
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when key, value or the whole batch is over its limit; the batch is unchanged.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check("value", value.len(), MAX_VALUE_BYTES)?;
        self.push(OpKind::Put, key, value)
    }

    /// Deletes `key`; fine if it does not exist.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key or the whole batch is over its limit; the batch is unchanged.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.push(OpKind::Delete, key, &[])
    }

    /// Deletes all keys of `range` as they are before this operation. Costs the same for any number of keys. A range
    /// without end, or an empty one, is not meant: the former is refused, the latter does nothing.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a bound or the whole batch is over its limit, or when the range has no end (its size
    /// is then `usize::MAX`); the batch is unchanged.
    pub fn delete_range(&mut self, range: &KeyRange) -> Result<()> {
        let limit = MAX_KEY_BYTES;
        let end = range.end.as_deref().ok_or(Error::TooLarge {
            what: "end of a range",
            size: usize::MAX,
            limit,
        })?;
        if range.is_empty() {
            return Ok(());
        }
        check("key", end.len(), MAX_KEY_BYTES)?;
        self.append(OpKind::DeleteRange, &range.start, end)?;
        let last = self.ops.len() - 1;
        for index in 0..last {
            let op = self.ops[index];
            let key = &self.bytes[op.start..op.start + op.key_len];
            if op.live && op.kind != OpKind::DeleteRange && range.contains(key) {
                self.ops[index].live = false;
                self.superseded += 1;
            }
        }
        Ok(())
    }

    /// Number of operations that count.
    pub fn len(&self) -> usize {
        self.ops.len() - self.superseded
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of keys and values held, superseded operations included.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The operations that count, in order: kind, key, value.
    pub(crate) fn ops(&self) -> impl Iterator<Item = (OpKind, &[u8], &[u8])> + Clone {
        self.ops.iter().filter(|op| op.live).map(|op| {
            let (key, value) =
                self.bytes[op.start..op.start + op.key_len + op.value_len].split_at(op.key_len);
            (op.kind, key, value)
        })
    }

    fn push(&mut self, kind: OpKind, key: &[u8], value: &[u8]) -> Result<()> {
        self.append(kind, key, value)?;
        self.supersede(self.ops.len() - 1);
        Ok(())
    }

    fn append(&mut self, kind: OpKind, key: &[u8], value: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        let overhead = (self.ops.len() + 1) * OP_OVERHEAD_BYTES;
        check("commit", self.bytes.len() + key.len() + value.len() + overhead, MAX_COMMIT_BYTES)?;
        let start = self.bytes.len();
        self.bytes.reserve(key.len() + value.len());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops.push(Op { kind, start, key_len: key.len(), value_len: value.len(), live: true });
        Ok(())
    }

    /// Marks an earlier operation on the key of operation `last` as dead.
    fn supersede(&mut self, last: usize) {
        if last == 0 {
            // Batches of one operation are the common case and never pay for the map.
            return;
        }
        // Deletions of ranges are not indexed when they are added, so more than one operation may be behind.
        for index in self.indexed..=last {
            // An earlier one may be dead already, by the deletion of a range.
            if let Some(earlier) = self.index_key(index)
                && std::mem::replace(&mut self.ops[earlier].live, false)
            {
                self.superseded += 1;
            }
        }
        self.indexed = last + 1;
    }

    /// Notes where the key of an operation was changed last, and returns where it was changed before.
    fn index_key(&mut self, index: usize) -> Option<usize> {
        let op = self.ops[index];
        if op.kind == OpKind::DeleteRange || !op.live {
            return None;
        }
        let (bytes, ops) = (&self.bytes, &self.ops);
        let key_of = |op: &Op| &bytes[op.start..op.start + op.key_len];
        self.by_key.insert(key_of(&op), index, |earlier| key_of(&ops[earlier]))
    }
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(batch: &WriteBatch) -> Vec<(OpKind, Vec<u8>, Vec<u8>)> {
        batch.ops().map(|(kind, key, value)| (kind, key.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn the_last_operation_on_a_key_wins() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1").unwrap();
        batch.put(b"b", b"2").unwrap();
        batch.delete(b"a").unwrap();
        batch.put(b"b", b"3").unwrap();
        assert_eq!(
            ops(&batch),
            [(OpKind::Delete, b"a".to_vec(), vec![]), (OpKind::Put, b"b".to_vec(), b"3".to_vec())]
        );
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn a_deleted_range_takes_back_what_came_before_it_and_nothing_after() {
        let mut batch = WriteBatch::new();
        batch.put(b"b", b"1").unwrap();
        batch.put(b"x", b"2").unwrap();
        batch.delete_range(&KeyRange { start: b"a".to_vec(), end: Some(b"c".to_vec()) }).unwrap();
        batch.put(b"b", b"3").unwrap();
        batch.put(b"b", b"4").unwrap();
        batch.delete_range(&KeyRange { start: b"c".to_vec(), end: Some(b"c".to_vec()) }).unwrap();
        assert!(batch.delete_range(&KeyRange::default()).is_err());
        assert_eq!(
            ops(&batch),
            [
                (OpKind::Put, b"x".to_vec(), b"2".to_vec()),
                (OpKind::DeleteRange, b"a".to_vec(), b"c".to_vec()),
                (OpKind::Put, b"b".to_vec(), b"4".to_vec()),
            ]
        );
        assert_eq!(batch.len(), 3);
    }

    #[test]
    fn the_last_operation_on_a_key_wins_also_over_one_before_the_deletion_of_another_range() {
        let mut batch = WriteBatch::new();
        batch.put(b"k", b"1").unwrap();
        batch.delete_range(&KeyRange { start: b"x".to_vec(), end: Some(b"y".to_vec()) }).unwrap();
        batch.delete(b"k").unwrap();
        assert_eq!(
            ops(&batch),
            [(OpKind::DeleteRange, b"x".to_vec(), b"y".to_vec()), (OpKind::Delete, b"k".to_vec(), vec![]),]
        );
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn an_operation_over_a_limit_names_it_and_leaves_the_batch_unchanged() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1").unwrap();
        let error = batch.put(&vec![0; MAX_KEY_BYTES + 1], b"").unwrap_err();
        assert_eq!(error.to_string(), "key of 8193 bytes is over the limit of 8192 bytes");
        assert_eq!(ops(&batch), [(OpKind::Put, b"a".to_vec(), b"1".to_vec())]);
    }
}
