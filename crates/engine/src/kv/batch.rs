//! The changes of one commit, in a form that every storage can read.

use fountain_lsm::KeyRange;

use crate::keyspace::CollectionId;

/// Puts and deletes in order; the last one on a key wins. Keys and values lie in one buffer, so that filling a batch
/// allocates little and copying it is one pass.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ops: Vec<Op>,
    /// Ranges that are deleted before the operations.
    ranges: Vec<KeyRange>,
    /// Collections of which all records are among these; for those who watch.
    dropped: Vec<CollectionId>,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    /// Where the key begins; the value follows it.
    start: usize,
    key_len: usize,
    /// `None` for a delete.
    value_len: Option<usize>,
}

impl Batch {
    /// Appends a put of `value`, or a delete if there is none, of the key that is `prefix` and then `key`. The key
    /// comes in two parts because its owner has it so, and joining them here costs no extra copy.
    pub fn push(&mut self, prefix: &[u8], key: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        // At once: most commits have one operation, for which the parts would grow this three times.
        self.bytes.reserve(prefix.len() + key.len() + value.map_or(0, <[u8]>::len));
        self.bytes.extend_from_slice(prefix);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ops.push(Op { start, key_len: prefix.len() + key.len(), value_len: value.map(<[u8]>::len) });
    }

    /// Deletes all keys of a range that has an end, before the operations, whenever they were added.
    pub fn delete_range(&mut self, range: KeyRange) {
        self.ranges.push(range);
    }

    /// The ranges that are deleted before the operations.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// Notes that a range that is deleted has all records of a collection.
    pub(crate) fn note_drop(&mut self, collection: CollectionId) {
        self.dropped.push(collection);
    }

    /// The collections that are dropped.
    pub(crate) fn dropped(&self) -> &[CollectionId] {
        &self.dropped
    }

    /// Adds what another batch does, after what this one does.
    pub fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ops.extend(other.ops.iter().map(|op| Op { start: op.start + base, ..*op }));
        self.ranges.extend_from_slice(&other.ranges);
        self.dropped.extend_from_slice(&other.dropped);
    }

    /// The operations in order: key, and value or `None` for a delete.
    pub fn ops(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.ops.iter().map(|op| self.parts(op))
    }

    /// The operation at a place in the order.
    pub fn op(&self, index: usize) -> Option<(&[u8], Option<&[u8]>)> {
        self.ops.get(index).map(|op| self.parts(op))
    }

    fn parts(&self, op: &Op) -> (&[u8], Option<&[u8]>) {
        let (key, rest) = self.bytes[op.start..].split_at(op.key_len);
        (key, op.value_len.map(|len| &rest[..len]))
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is no operation and no range.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.ranges.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back_in_order_with_joined_keys() {
        let mut batch = Batch::default();
        batch.push(b"p", b"a", Some(b"1"));
        batch.push(b"", b"", Some(b""));
        batch.push(b"p", b"b", None);
        let ops: Vec<_> = batch.ops().collect();
        assert_eq!(ops, [(&b"pa"[..], Some(&b"1"[..])), (&b""[..], Some(&b""[..])), (&b"pb"[..], None)]);
        assert_eq!((batch.op(2), batch.op(3)), (Some(ops[2]), None));
        assert_eq!((batch.len(), batch.size_bytes()), (3, 5));

        let mut both = Batch::default();
        both.push(b"", b"z", Some(b"2"));
        both.append(&batch);
        assert_eq!(both.ops().skip(1).collect::<Vec<_>>(), ops);
    }
}
