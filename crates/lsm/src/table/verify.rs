//! Proof that a table on disk is what it says: every byte is read again, past the cache, and compared.

use std::cmp::Ordering;
use std::sync::Arc;

use super::block::Block;
use super::block_cursor::BlockCursor;
use super::filter::{Filter, key_hash};
use super::index::{IndexEntry, Section, Target, check_layout};
use super::properties::Properties;
use super::reader::{Access, Table};
use super::section_cursor::SectionCursor;
use super::tail::Tail;
use super::version_order;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::limits::RESTART_INTERVAL;
use crate::types::Seq;

impl Table {
    /// Reads the whole table and checks every checksum, the order of entries and separators, the bounds in the
    /// indexes, the filter, that each version is in its section, the range tombstones, the bounds and all counts. Returns the table's
    /// properties, which are then known to be true.
    pub(crate) fn verify(self: &Arc<Self>) -> Result<Properties> {
        let tail = Tail::load(self.file.as_ref(), &self.path, self.store, self.meta())?;
        let mut counted = Properties::new(self.store, self.meta().number);
        counted.prefixes = tail.properties.prefixes;
        let mut layout = Vec::new();
        for section in [Section::Current, Section::History] {
            let Some(index) = tail.index(section) else { continue };
            let newest = (section == Section::History).then(|| {
                SectionCursor::new(Arc::clone(self), Section::Current, Access::Disk, Seq::ZERO, Seq::MAX)
            });
            let index_entries = index.read_all(self)?;
            layout.push(index_entries.iter().map(|entry| entry.target.handle).collect());
            if index.has_leaves() {
                layout.push(index.root_handles()?);
            }
            let (index, filter) = (index_entries.as_slice(), &tail.filter);
            Check { section, index, filter, newest, last: None, counted: &mut counted }.run(self)?;
        }
        check_layout(&layout, 0, tail.data_end)
            .map_err(|what| Error::corrupt(&self.path, 0, what).coded(FaultCode::Properties))?;
        counted.include(&tail.tombstones);
        if counted == tail.properties {
            return Ok(counted);
        }
        let expected = &tail.properties;
        let what = format!("the table holds {counted:?}; it says {expected:?}");
        Err(Error::corrupt(&self.path, 0, what).coded(FaultCode::Properties))
    }
}

/// The check of one section.
struct Check<'a> {
    section: Section,
    index: &'a [IndexEntry],
    filter: &'a Filter,
    /// For the history, a second walk over the current section at the same key.
    newest: Option<SectionCursor>,
    /// The entry before.
    last: Option<(Vec<u8>, Seq)>,
    counted: &'a mut Properties,
}

impl Check<'_> {
    fn run(&mut self, table: &Table) -> Result<()> {
        if let Some(newest) = &mut self.newest {
            newest.seek_first()?;
        }
        for (position, IndexEntry { target, .. }) in self.index.iter().enumerate() {
            let block = Arc::new(table.read_block(target.handle)?);
            self.block(position, *target, &block)?;
        }
        if self.section == Section::Current {
            self.counted.largest = self.last.take().map_or_else(Box::default, |(key, _)| key.into());
        }
        Ok(())
    }

    fn block(&mut self, position: usize, target: Target, block: &Arc<Block>) -> Result<()> {
        let corrupt = |what: &str| Err(self.corrupt(position, block, what));
        let mut cursor = BlockCursor::new(Arc::clone(block));
        cursor.seek_first()?;
        if position > 0 {
            let here = (cursor.key(), cursor.trailer().seq());
            let separator = self.separator(position - 1);
            let last = self.last.as_ref().map_or((&[][..], Seq::MAX), |(key, seq)| (key, *seq));
            if version_order(separator, here) != Ordering::Less {
                return corrupt("the separator before is not before the first entry");
            }
            if last.0 == here.0 && last != separator {
                return corrupt(
                    "the separator before is not the last version before, though the key goes on",
                );
            }
        }
        let (mut count, mut least, mut greatest) = (0, Seq::MAX, Seq::ZERO);
        while cursor.valid() {
            if cursor.at_restart() != (count % RESTART_INTERVAL == 0) {
                return Err(self.corrupt(position, block, "restarts are not at every 16th entry"));
            }
            self.entry(position, &cursor, block)?;
            least = least.min(cursor.trailer().seq());
            greatest = greatest.max(cursor.trailer().seq());
            count += 1;
            cursor.next()?;
        }
        let corrupt = |what: &str| Err(self.corrupt(position, block, what));
        if block.restarts() as usize != count.div_ceil(RESTART_INTERVAL) {
            return corrupt("more restarts than entries need");
        }
        if (least, greatest) != (target.least, target.greatest) {
            return corrupt("the sequences are not within the bounds in the index");
        }
        let last = self.last.as_ref().map_or((&[][..], Seq::MAX), |(key, seq)| (key, *seq));
        if version_order(last, self.separator(position)) == Ordering::Greater {
            return corrupt("the separator is before the last entry");
        }
        self.counted.data_blocks += 1;
        self.counted.history_blocks += u64::from(self.section == Section::History);
        Ok(())
    }

    fn entry(&mut self, position: usize, cursor: &BlockCursor, block: &Block) -> Result<()> {
        let (key, seq) = (cursor.key(), cursor.trailer().seq());
        if let Some((last_key, last_seq)) = &self.last {
            let ascends = version_order((last_key, *last_seq), (key, seq)) == Ordering::Less;
            if !ascends || (self.section == Section::Current && last_key == key) {
                return Err(self.corrupt(position, block, "entries out of order"));
            }
        }
        if let Some(newest) = &mut self.newest {
            while newest.valid() && newest.key() < key {
                newest.next()?;
            }
            if !newest.valid() || newest.key() != key || newest.trailer().seq() <= seq {
                return Err(self.corrupt(
                    position,
                    block,
                    "a version that is not older than the current one",
                ));
            }
            self.counted.superseded += 1;
        }
        let prefix = self.counted.prefixes.and_then(|rule| rule.of(key)).unwrap_or(key);
        if ![key, prefix].iter().all(|known| self.filter.may_contain(key_hash(known))) {
            let what = "the filter does not know a key or its prefix";
            return Err(self.corrupt(position, block, what).coded(FaultCode::Filter));
        }
        if self.counted.entries == 0 {
            self.counted.smallest = key.into();
        }
        self.counted.count(key, cursor.trailer(), cursor.value());
        let (last_key, last_seq) = self.last.get_or_insert_default();
        last_key.clear();
        last_key.extend_from_slice(key);
        *last_seq = seq;
        Ok(())
    }

    fn separator(&self, position: usize) -> (&[u8], Seq) {
        (&self.index[position].key, self.index[position].seq)
    }

    #[cold]
    fn corrupt(&self, position: usize, block: &Block, what: &str) -> Error {
        let what = format!("{:?} data block {position}: {what}", self.section);
        block.origin().corrupt(what).coded(FaultCode::Order)
    }
}
