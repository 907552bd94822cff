//! The tables of a store at one moment, arranged in levels. Immutable: an edit makes a new version.
//!
//! Level 0 holds flushed tables, newest first; their key ranges may overlap, but every sequence in one is greater
//! than every sequence in the next. Only tables of one ingest have the same sequence, and no key in common. In each
//! deeper level the ranges of user keys do not overlap, and for any key the versions in a level are newer than those in
//! the levels below.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Result;
use crate::fault::{Fault, FaultCode};
use crate::limits::LEVELS;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::rows::Rows;
use crate::table::{MultiGet, Table, TableMeta};
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, ReadTier, Seq};
use crate::value::{Value, Version as Stored};

/// See the module.
#[derive(Default)]
pub(crate) struct Version {
    /// Shared with the cursors over them.
    levels: [Arc<[Arc<Table>]>; LEVELS],
    /// The tables that delete ranges, so that a read need not ask all of them.
    deleting: Vec<Arc<Table>>,
    /// Bytes per level, so that those who ask at every write need not add them up.
    bytes: [u64; LEVELS],
    /// Newest sequence in any table.
    greatest: Seq,
    /// What reads at or after it have found.
    rows: Rows,
}

impl Version {
    /// A version made of the given tables and their levels.
    pub(crate) fn new(tables: impl IntoIterator<Item = (usize, Arc<Table>)>) -> Self {
        let mut levels = [const { Vec::new() }; LEVELS];
        for (level, table) in tables {
            levels[level].push(table);
        }
        Self::arranged(levels)
    }

    /// This version without the tables `removed` and with the tables `added`.
    pub(crate) fn edited(&self, removed: &[(usize, FileNumber)], added: Vec<(usize, Arc<Table>)>) -> Self {
        let gone: HashSet<FileNumber> = removed.iter().map(|&(_, number)| number).collect();
        let stay = |table: &&Arc<Table>| !gone.contains(&table.meta().number);
        let mut levels =
            self.levels.each_ref().map(|tables| tables.iter().filter(stay).cloned().collect::<Vec<_>>());
        for (level, table) in added {
            levels[level].push(table);
        }
        Self::arranged(levels)
    }

    fn arranged(mut levels: [Vec<Arc<Table>>; LEVELS]) -> Self {
        levels[0].sort_by_key(|table| Reverse((table.meta().greatest_seq, table.meta().number)));
        if planted::active(Bug::Level0OldestFirst) {
            levels[0].reverse();
        }
        for tables in &mut levels[1..] {
            tables.sort_by(|a, b| a.meta().smallest.cmp(&b.meta().smallest));
        }
        let bytes = levels.each_ref().map(|tables| tables.iter().map(|table| table.meta().size).sum());
        let deleting = levels.iter().flatten().filter(|table| !table.range_tombstones().is_empty());
        let deleting = deleting.cloned().collect();
        let greatest =
            levels.iter().flatten().map(|table| table.meta().greatest_seq).max().unwrap_or_default();
        let (levels, rows) = (levels.map(Arc::from), Rows::default());
        let version = Self { levels, deleting, bytes, greatest, rows };
        debug_assert_eq!(version.broken_rule(), None);
        version
    }

    /// The first rule of the module that does not hold.
    pub(crate) fn broken_rule(&self) -> Option<String> {
        broken_rules(self.tables().map(|(level, table)| (level, table.meta()))).into_iter().next()
    }

    /// Lets go of what reads have found, when another version takes the place of this one.
    pub(crate) fn end_rows(&self) {
        self.rows.end();
    }

    /// The newest version of `key` at or before `at`, unless a deletion of a range hides it.
    #[inline]
    pub(crate) fn get(
        &self,
        key: &[u8],
        hash: u64,
        at: Seq,
        tier: ReadTier,
    ) -> Result<Option<(Seq, Stored)>> {
        let owned = |seq: Seq, value: &[u8]| (seq, Stored::Put(Value::owned(value.into())));
        if let Some(found) = self.show_row(key, hash, at, owned) {
            return Ok(Some(found));
        }
        let Some((table, seq, found)) = self.find(key, hash, at, tier)? else { return Ok(None) };
        if self.is_newest(at)
            && let Stored::Put(value) = &found
        {
            self.rows.keep(key, hash, seq, value, table.cache());
        }
        Ok(Some((seq, found)))
    }

    /// Gives `show` what [`Self::get`] would find, if an earlier read has found it. `show` must not read by key.
    #[inline]
    pub(crate) fn show_row<R>(
        &self,
        key: &[u8],
        hash: u64,
        at: Seq,
        show: impl FnOnce(Seq, &[u8]) -> R,
    ) -> Option<R> {
        if self.is_newest(at) { self.rows.show(key, hash, show) } else { None }
    }

    /// Whether a read at `at` sees what is newest in all tables, which is what rows are.
    #[inline]
    fn is_newest(&self, at: Seq) -> bool {
        at >= self.greatest
    }

    /// As [`Self::get`], with the table that has it.
    fn find(&self, key: &[u8], hash: u64, at: Seq, tier: ReadTier) -> Result<Option<(&Table, Seq, Stored)>> {
        let level0 = self.levels[0].iter().filter(|table| table.meta().overlaps(key, key));
        let deeper = self.levels[1..].iter().filter_map(|tables| {
            tables.get(first_reaching(tables, key)).filter(|table| table.meta().overlaps(key, key))
        });
        for table in level0.chain(deeper).filter(|table| !table.meta().is_newer_than(at)) {
            let deleted = table.range_tombstones().newest_covering(key, at);
            let deleted = if planted::active(Bug::RangeTombstoneIgnored) { Seq::ZERO } else { deleted };
            let found = table.get_with_seq(key, hash, at, tier);
            if found.is_err() && planted::active(Bug::ReadErrorIsAbsence) {
                continue;
            }
            match found? {
                Some((seq, found)) if seq >= deleted => return Ok(Some((table, seq, found))),
                None if deleted == Seq::ZERO => {}
                _ => {
                    hit(Mark::HiddenByRange);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// [`Self::get`] for several keys, given in key order: table by table, and in each block by block.
    /// What is found is put in place in `found`; `keys` is used up.
    pub(crate) fn get_many(
        &self,
        mut keys: Vec<Probe<'_>>,
        at: Seq,
        tier: ReadTier,
        found: &mut [Option<Value>],
    ) -> Result<()> {
        debug_assert!(keys.is_sorted_by(|a, b| a.key <= b.key));
        for (_, table) in self.tables().filter(|(_, table)| !table.meta().is_newer_than(at)) {
            let meta = table.meta();
            let first = keys.partition_point(|probe| *probe.key < *meta.smallest);
            let inside = keys[first..].partition_point(|probe| !meta.ends_before(probe.key));
            let keys_inside = &mut keys[first..first + inside];
            // All at once: each look at the filter misses the processor's caches, and so they do it together.
            for probe in &mut *keys_inside {
                probe.possible = table.may_contain(probe.hash);
            }
            let mut reads = MultiGet::new(table, at, tier);
            for probe in keys_inside {
                let deleted = table.range_tombstones().newest_covering(probe.key, at);
                if !probe.possible {
                    hit(Mark::FilterSaidNo);
                }
                let version = if probe.possible { reads.get(probe.key)? } else { None };
                probe.answered = version.is_some() || deleted > Seq::ZERO;
                if let Some((seq, Stored::Put(value))) = version
                    && seq >= deleted
                {
                    found[probe.place] = Some(value);
                }
            }
            keys.retain(|probe| !probe.answered);
            if keys.is_empty() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn level(&self, level: usize) -> &[Arc<Table>] {
        &self.levels[level]
    }

    /// As [`Self::level`], to be kept.
    pub(crate) fn shared_level(&self, level: usize) -> &Arc<[Arc<Table>]> {
        &self.levels[level]
    }

    /// Tables of `level` that may hold keys in `smallest..=largest`.
    pub(crate) fn overlapping(&self, level: usize, smallest: &[u8], largest: &[u8]) -> Vec<Arc<Table>> {
        let tables = self.levels[level].iter();
        tables.filter(|table| table.meta().overlaps(smallest, largest)).cloned().collect()
    }

    /// Whether a level below `level` may hold versions of `key`.
    pub(crate) fn reaches_below(&self, level: usize, key: &[u8]) -> bool {
        self.levels[level + 1..].iter().any(|tables| {
            tables.get(first_reaching(tables, key)).is_some_and(|table| table.meta().overlaps(key, key))
        })
    }

    /// Whether a level below `level` may hold versions of keys in `range`, which has an end.
    pub(crate) fn reaches_below_range(&self, level: usize, range: &KeyRange) -> bool {
        let end = range.end.as_deref().unwrap_or_default();
        let reaches =
            |table: &Arc<Table>| *table.meta().smallest < *end && !table.meta().ends_before(&range.start);
        self.levels[level + 1..].iter().flat_map(|tables| tables.iter()).any(reaches)
    }

    /// The deleted ranges of tables that may hold keys of `range`.
    pub(crate) fn tombstones_over(&self, range: &KeyRange) -> impl Iterator<Item = &RangeTombstones> {
        let all = self.deleting.iter().map(|table| (table.meta(), table.range_tombstones()));
        let meets = |meta: &TableMeta| {
            range.end.as_ref().is_none_or(|end| *meta.smallest < **end) && !meta.ends_before(&range.start)
        };
        all.filter(move |(meta, _)| meets(meta)).map(|(_, deleted)| deleted)
    }

    /// Bytes in `level`.
    pub(crate) fn level_bytes(&self, level: usize) -> u64 {
        self.bytes[level]
    }

    /// All tables with their levels.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        self.levels
            .iter()
            .enumerate()
            .flat_map(|(level, tables)| tables.iter().map(move |table| (level, table)))
    }
}

/// Rules about tables together that do not hold, when tables cover the commits up to `covered`.
pub(crate) fn arrangement_faults<'a>(
    tables: impl IntoIterator<Item = (usize, &'a TableMeta)>,
    covered: Seq,
) -> Vec<Fault> {
    let tables: Vec<_> = tables.into_iter().collect();
    let rules = broken_rules(tables.iter().copied());
    let mut faults: Vec<_> = rules.into_iter().map(|rule| Fault::whole(FaultCode::Levels, rule)).collect();
    for (_, meta) in tables.into_iter().filter(|(_, meta)| meta.greatest_seq > covered) {
        let (number, reaches) = (meta.number, meta.greatest_seq);
        let found = format!("table {number} reaches to sequence {reaches}, but tables cover only {covered}");
        faults.push(Fault::whole(FaultCode::Sequence, found));
    }
    faults
}

/// The rules of the module that do not hold for tables with these levels.
fn broken_rules<'a>(tables: impl IntoIterator<Item = (usize, &'a TableMeta)>) -> Vec<String> {
    let mut levels = [const { Vec::new() }; LEVELS];
    for (level, meta) in tables {
        levels[level].push(meta);
    }
    let mut rules = Vec::new();
    let [level0, deeper @ ..] = &mut levels;
    level0.sort_by_key(|meta: &&TableMeta| Reverse((meta.greatest_seq, meta.number)));
    let in_order = |newer: &TableMeta, older: &TableMeta| {
        let (newer_seq, older_seq) = (newer.least_seq, older.greatest_seq);
        newer_seq > older_seq || (newer_seq == older_seq && [newer.base, older.base].contains(&newer_seq))
    };
    for pair in level0.windows(2).filter(|pair| !in_order(pair[0], pair[1])) {
        rules.push(format!("tables {} and {} overlap in time", pair[0].number, pair[1].number));
    }
    for (above, tables) in deeper.iter_mut().enumerate() {
        tables.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        for pair in tables.windows(2).filter(|pair| !pair[0].ends_before(&pair[1].smallest)) {
            let (a, b, level) = (pair[0].number, pair[1].number, above + 1);
            rules.push(format!("tables {a} and {b} overlap in level {level}"));
        }
    }
    rules
}

/// One of several keys to read.
pub(crate) struct Probe<'k> {
    pub(crate) key: &'k [u8],
    pub(crate) hash: u64,
    /// Where its answer goes.
    pub(crate) place: usize,
    /// The filter of the table at hand lets it through.
    pub(crate) possible: bool,
    /// Some source has said what there is to say.
    pub(crate) answered: bool,
}

/// Index of the first table of a sorted level whose largest key is at or after `key`.
pub(crate) fn first_reaching(tables: &[Arc<Table>], key: &[u8]) -> usize {
    tables.partition_point(|table| table.meta().ends_before(key))
}
