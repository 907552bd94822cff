//! A set of changes that becomes visible together.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::limits::{MAX_COMMIT_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::types::Kind;

/// Most that an operation adds to a log frame beside its key and value: a tag and two lengths.
const OP_OVERHEAD_BYTES: usize = 8;

/// Puts and deletes that are committed as one: all of them under one sequence, or none.
///
/// A key appears once: the last operation on it wins. Keys and values lie in one buffer in the order of the
/// operations, ready to be copied into the log.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    ops: Vec<Op>,
    /// Index of the live operation per key; built only once a batch has several operations.
    by_key: HashMap<Box<[u8]>, usize>,
    superseded: usize,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    kind: Kind,
    start: usize,
    key_len: usize,
    value_len: usize,
    live: bool,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when key, value or the whole batch is over its limit; the batch is unchanged.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        check("value", value.len(), MAX_VALUE_BYTES)?;
        self.push(Kind::Put, key, value)
    }

    /// Deletes `key`; fine if it does not exist.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the key or the whole batch is over its limit; the batch is unchanged.
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.push(Kind::Delete, key, &[])
    }

    /// Number of distinct keys changed.
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
    pub(crate) fn ops(&self) -> impl Iterator<Item = (Kind, &[u8], &[u8])> {
        self.ops.iter().filter(|op| op.live).map(|op| {
            let (key, value) =
                self.bytes[op.start..op.start + op.key_len + op.value_len].split_at(op.key_len);
            (op.kind, key, value)
        })
    }

    fn push(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Result<()> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        let overhead = (self.ops.len() + 1) * OP_OVERHEAD_BYTES;
        check("commit", self.bytes.len() + key.len() + value.len() + overhead, MAX_COMMIT_BYTES)?;
        self.supersede(key);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops.push(Op { kind, start, key_len: key.len(), value_len: value.len(), live: true });
        Ok(())
    }

    /// Marks an earlier operation on `key` as dead and remembers that the next one is the live one.
    fn supersede(&mut self, key: &[u8]) {
        if self.ops.is_empty() {
            return;
        }
        if self.by_key.is_empty() {
            // Batches of one operation are the common case and never pay for the map.
            let first = self.ops[0];
            let first_key = &self.bytes[first.start..first.start + first.key_len];
            self.by_key.insert(first_key.into(), 0);
        }
        if let Some(earlier) = self.by_key.insert(key.into(), self.ops.len()) {
            self.ops[earlier].live = false;
            self.superseded += 1;
        }
    }
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(batch: &WriteBatch) -> Vec<(Kind, Vec<u8>, Vec<u8>)> {
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
            [(Kind::Delete, b"a".to_vec(), vec![]), (Kind::Put, b"b".to_vec(), b"3".to_vec())]
        );
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn an_operation_over_a_limit_names_it_and_leaves_the_batch_unchanged() {
        let mut batch = WriteBatch::new();
        batch.put(b"a", b"1").unwrap();
        let error = batch.put(&vec![0; MAX_KEY_BYTES + 1], b"").unwrap_err();
        assert_eq!(error.to_string(), "key of 8193 bytes is over the limit of 8192 bytes");
        assert_eq!(ops(&batch), [(Kind::Put, b"a".to_vec(), b"1".to_vec())]);
    }
}
