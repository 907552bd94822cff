//! The records of a page that do not come in the order asked for: all that match are seen, the first ones are kept.

use std::collections::BinaryHeap;

use crate::error::{Error, ErrorCode, Result};
use crate::limits::MAX_SORT_BYTES;

/// A record that is kept.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    /// What it is ordered by; no two are equal.
    pub full_key: Vec<u8>,
    /// Bytes of it before the key of the record.
    pub sort_key_len: usize,
    pub key: Vec<u8>,
    pub record: Vec<u8>,
}

impl Kept {
    fn size(&self) -> usize {
        self.full_key.len() + self.key.len() + self.record.len() + size_of::<Self>()
    }
}

/// Keeps the first `most` of the records that are added.
pub(super) struct Collector {
    heap: BinaryHeap<Kept>,
    most: usize,
    bytes: usize,
}

impl Collector {
    pub fn new(most: usize) -> Self {
        Self { heap: BinaryHeap::new(), most, bytes: 0 }
    }

    /// Whether a record with this key would be kept.
    pub fn wants(&self, full_key: &[u8]) -> bool {
        self.heap.len() < self.most
            || self.heap.peek().is_some_and(|last| full_key < last.full_key.as_slice())
    }

    pub fn add(&mut self, kept: Kept) -> Result<()> {
        self.bytes += kept.size();
        self.heap.push(kept);
        if self.heap.len() > self.most
            && let Some(last) = self.heap.pop()
        {
            self.bytes -= last.size();
        }
        if self.bytes <= MAX_SORT_BYTES {
            return Ok(());
        }
        let message = format!(
            "sorting needs more than {MAX_SORT_BYTES} bytes; set a limit, select fewer paths, or let an index give the order"
        );
        Err(Error::new(ErrorCode::Limit, message).with(|details| {
            details.what = Some("bytes to sort");
            details.limit = Some(MAX_SORT_BYTES as u64);
        }))
    }

    /// What was kept, in order.
    pub fn into_sorted(self) -> Vec<Kept> {
        self.heap.into_sorted_vec()
    }
}
