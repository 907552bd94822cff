//! Proof that a table on disk is what it says: every byte is read again, past the cache, and compared.

use std::cmp::Ordering;
use std::sync::Arc;

use super::block::Block;
use super::block_cursor::BlockCursor;
use super::filter::key_hash;
use super::properties::Properties;
use super::reader::Table;
use super::tail::Tail;
use super::version_order;
use crate::error::{Error, Result};
use crate::limits::RESTART_INTERVAL;
use crate::types::Seq;

impl Table {
    /// Reads the whole table and checks every checksum, the order of entries and separators, the filter, the bounds
    /// and all counts. Returns the table's properties, which are then known to be true.
    pub(crate) fn verify(&self) -> Result<Properties> {
        let tail = Tail::load(self.file.as_ref(), &self.path, self.store, self.meta())?;
        let mut check =
            Check { counted: Properties::new(self.store, self.meta().number), last: None, tail: &tail };
        for position in 0..tail.index.len() {
            let block = Arc::new(self.read_block(tail.index.handle(position)?)?);
            check.block(position, &block)?;
        }
        let mut counted = check.counted;
        counted.largest = check.last.map_or_else(Box::default, |(key, _)| key.into());
        if counted == tail.properties {
            return Ok(counted);
        }
        let expected = &tail.properties;
        Err(Error::corrupt(&self.path, 0, format!("the table holds {counted:?}; it says {expected:?}")))
    }
}

struct Check<'a> {
    counted: Properties,
    /// The entry before.
    last: Option<(Vec<u8>, Seq)>,
    tail: &'a Tail,
}

impl Check<'_> {
    fn block(&mut self, position: usize, block: &Arc<Block>) -> Result<()> {
        let corrupt = |what: &str| Err(block.origin().corrupt(format!("data block {position}: {what}")));
        let mut cursor = BlockCursor::new(Arc::clone(block));
        cursor.seek_first()?;
        let mut count = 0;
        while cursor.valid() {
            if cursor.at_restart() != (count % RESTART_INTERVAL == 0) {
                return corrupt("restarts are not at every 16th entry");
            }
            let here = (cursor.key(), cursor.trailer().seq());
            if self.last.as_ref().is_some_and(|(key, seq)| version_order((key, *seq), here) != Ordering::Less)
            {
                return corrupt("entries out of order");
            }
            if count == 0 && position > 0 {
                let separator = self.tail.index.separator(position - 1)?;
                if version_order(separator, here) != Ordering::Less {
                    return corrupt("the separator before is not before the first entry");
                }
            }
            self.entry(&cursor, block)?;
            count += 1;
            cursor.next()?;
        }
        if block.restarts() as usize != count.div_ceil(RESTART_INTERVAL) {
            return corrupt("more restarts than entries need");
        }
        let last = self.last.as_ref().map_or((&[][..], Seq::MAX), |(key, seq)| (key, *seq));
        if version_order(last, self.tail.index.separator(position)?) == Ordering::Greater {
            return corrupt("the separator is before the last entry");
        }
        self.counted.data_blocks += 1;
        Ok(())
    }

    fn entry(&mut self, cursor: &BlockCursor, block: &Block) -> Result<()> {
        let key = cursor.key();
        if !self.tail.filter.may_contain(key_hash(key)) {
            return Err(block.origin().corrupt("the filter does not know a key of this block"));
        }
        if self.counted.entries == 0 {
            self.counted.smallest = key.into();
        }
        self.counted.count(key, cursor.trailer(), cursor.value());
        let (last_key, last_seq) = self.last.get_or_insert_default();
        last_key.clear();
        last_key.extend_from_slice(key);
        *last_seq = cursor.trailer().seq();
        Ok(())
    }
}
