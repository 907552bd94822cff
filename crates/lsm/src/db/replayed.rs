//! Operations read back from the log, put in order before they become a table, or go into a memtable where somebody
//! wants to look at them.
//!
//! Sorting costs little because almost every comparison is one of two numbers. What is sorted can be written as a table at
//! once; and a memtable takes it in faster, since each key goes right behind the one before, through memory that is at hand.

use std::cmp::Ordering;

use super::flush::{Place, write_or_remove};
use crate::batch::OpKind;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::table::TableMeta;
use crate::tombstones::RangeTombstones;
use crate::types::{Kind, Seq, Trailer};

/// Operations in no order.
#[derive(Default)]
pub(crate) struct Replayed {
    /// Keys and values, each value behind its key.
    bytes: Vec<u8>,
    ops: Vec<Op>,
}

struct Op {
    /// Sorts as the first bytes of the key that are not the same in all keys.
    head: u64,
    start: usize,
    key_len: usize,
    value_len: usize,
    seq: Seq,
    kind: OpKind,
}

impl Replayed {
    pub(super) fn push(&mut self, kind: OpKind, key: &[u8], seq: Seq, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops.push(Op { head: 0, start, key_len: key.len(), value_len: value.len(), seq, kind });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of memory in use, about what they will take in a memtable.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len() + self.ops.len() * size_of::<Op>()
    }

    /// Writes all operations as a table whose bytes are on disk when this returns, and forgets them. Making its name durable
    /// is up to the caller. On error no file is left.
    ///
    /// Every version is kept: nobody has said yet which ones may go.
    pub(super) fn write_table(&mut self, place: Place<'_>) -> Result<TableMeta> {
        self.sort();
        let meta = write_or_remove(place, |mut writer| {
            let mut deleted = Vec::new();
            for op in &self.ops {
                let (key, value) = (self.key(op), self.value(op));
                match op.kind {
                    OpKind::Put => writer.add(key, Trailer::new(op.seq, Kind::Put), value)?,
                    OpKind::Delete => writer.add(key, Trailer::new(op.seq, Kind::Delete), value)?,
                    OpKind::DeleteRange => deleted.push(RangeTombstones::one(key, value, op.seq)),
                }
            }
            writer.add_range_tombstones(&RangeTombstones::union(&deleted))?;
            writer.finish()
        })?;
        self.clear();
        Ok(meta)
    }

    /// Applies all operations to `memtable`, in the order of its versions, and forgets them.
    pub(super) fn apply_to(&mut self, memtable: &Memtable) {
        self.sort();
        let mut writer = memtable.writer();
        for op in &self.ops {
            writer.apply(op.kind, self.key(op), op.seq, self.value(op));
        }
        drop(writer);
        self.clear();
    }

    fn clear(&mut self) {
        self.ops.clear();
        self.bytes.clear();
    }

    fn sort(&mut self) {
        let common = self.common_prefix();
        let mut ops = std::mem::take(&mut self.ops);
        for op in &mut ops {
            let rest = &self.key(op)[common..];
            let mut head = [0; 8];
            let len = rest.len().min(8);
            head[..len].copy_from_slice(&rest[..len]);
            op.head = u64::from_be_bytes(head);
        }
        ops.sort_unstable_by(|a, b| self.order(a, b));
        self.ops = ops;
    }

    /// Keys ascending, operations on one key from new to old.
    fn order(&self, a: &Op, b: &Op) -> Ordering {
        a.head.cmp(&b.head).then_with(|| self.key(a).cmp(self.key(b)).then(b.seq.cmp(&a.seq)))
    }

    /// Number of bytes that all keys begin with.
    fn common_prefix(&self) -> usize {
        let Some(first) = self.ops.first() else { return 0 };
        let first = self.key(first);
        self.ops.iter().fold(first.len(), |common, op| {
            let pairs = first[..common].iter().zip(self.key(op));
            pairs.take_while(|(a, b)| a == b).count()
        })
    }

    fn key(&self, op: &Op) -> &[u8] {
        &self.bytes[op.start..op.start + op.key_len]
    }

    fn value(&self, op: &Op) -> &[u8] {
        let start = op.start + op.key_len;
        &self.bytes[start..start + op.value_len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::FileNumber;

    proptest! {
        #[test]
        fn operations_are_sorted_by_key_and_then_from_new_to_old_and_none_is_lost(
            keys in prop::collection::vec(prop::collection::vec(0..3u8, 0..12), 1..60),
            shared in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut replayed = Replayed::default();
            let mut expected = Vec::new();
            for (index, key) in keys.iter().enumerate() {
                let key = [&shared[..], key].concat();
                let seq = Seq::new(index as u64 + 1).unwrap();
                replayed.push(OpKind::Put, &key, seq, &[index as u8]);
                expected.push((key, std::cmp::Reverse(seq)));
            }
            expected.sort();
            replayed.sort();
            let sorted: Vec<_> =
                replayed.ops.iter().map(|op| (replayed.key(op).to_vec(), std::cmp::Reverse(op.seq))).collect();
            prop_assert_eq!(&sorted, &expected);
            let memtable = Memtable::new(FileNumber(1));
            replayed.apply_to(&memtable);
            prop_assert!(replayed.is_empty() && replayed.size_bytes() == 0);
            for (key, std::cmp::Reverse(seq)) in expected {
                let value = [seq.get() as u8 - 1];
                let found = memtable.get(&key, seq).unwrap();
                prop_assert_eq!((found.seq, found.value), (seq, Some(&value[..])));
            }
        }
    }
}
