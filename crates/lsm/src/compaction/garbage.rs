//! Which tables are worth rewriting for what would go.
//!
//! Only what certainly goes counts, or a table would be rewritten again and again:
//! - *obsolete versions*, by bytes: of each key a table holds at most as many versions as the retention keeps, and one more
//!   for each pin within the table's time; what it has beyond that goes, whichever versions it is;
//! - *tombstones*, by their number, because they cost those who scan past them: where only newest versions are kept and
//!   no pin is in the way. At the bottom those of ranges count like those of keys;
//! - *what deletions of ranges cover*, by bytes: whole tables in deeper levels, once the deletion gets there.
//!
//! A released pin or a changed retention makes more of it certain, so both are reasons to look again.

use std::sync::Arc;

use super::gc::Needed;
use super::levels::BOTTOM;
use crate::limits::{GARBAGE_SHARE, LEVELS};
use crate::manifest::Version;
use crate::range::KeyRange;
use crate::retention::{Retention, RetentionRules};
use crate::table::{Table, TableMeta};
use crate::tombstones::Fragment;
use crate::types::Seq;

/// What decides: the tables, which versions are wanted, and who reads the past.
#[derive(Clone, Copy)]
pub(super) struct Garbage<'a> {
    pub(super) version: &'a Version,
    pub(super) rules: &'a RetentionRules,
    pub(super) needed: &'a Needed,
}

/// What is kept of the keys of a table, at most.
struct Kept {
    /// Versions of each key.
    versions: u64,
    /// Whether tombstones are kept among them.
    tombstones: bool,
}

impl<'a> Garbage<'a> {
    /// The table below level 0 whose rewrite frees most, of those where it frees enough.
    pub(super) fn worst(&self) -> Option<(usize, &'a Arc<Table>)> {
        let tables = self.version.tables().filter(|(level, _)| *level > 0);
        let freed = tables.map(|(level, table)| (self.freed(level, table), level, table));
        let most = freed.filter(|(freed, ..)| *freed > 0).max_by_key(|(freed, ..)| *freed)?;
        Some((most.1, most.2))
    }

    /// Bytes that a rewrite of the table frees; 0 if that is too little to be worth it.
    fn freed(&self, level: usize, table: &Table) -> u64 {
        let meta = table.meta();
        let is_clean = meta.superseded == 0 && meta.tombstones == 0 && table.range_tombstones().weight() == 0;
        if is_clean {
            return 0;
        }
        let Some(kept) = self.kept(meta) else { return 0 };
        let obsolete = self.obsolete_bytes(table, kept.versions);
        let (tombstones, versions) = self.tombstones(level, table, &kept);
        let tombstone_bytes = share(meta.size, tombstones, versions);
        let freed = obsolete + tombstone_bytes;
        if freed * GARBAGE_SHARE >= meta.size { freed } else { 0 }
    }

    /// What the retention keeps in the table; `None` if that may be everything.
    fn kept(&self, meta: &TableMeta) -> Option<Kept> {
        let mut most = Kept { versions: 1, tombstones: false };
        for (_, retention) in self.rules.over(&range_of(meta)) {
            if retention.floor(self.needed.newest).is_none_or(|floor| meta.greatest_seq > floor) {
                return None;
            }
            if let Retention::Versions(count) = retention {
                most.versions = most.versions.max(count.get().into());
                most.tombstones = true;
            }
        }
        Some(most)
    }

    /// Bytes of versions that are more than can be kept of the keys of the table.
    fn obsolete_bytes(&self, table: &Table, kept_of_key: u64) -> u64 {
        let meta = table.meta();
        let keys = meta.entries.saturating_sub(meta.superseded);
        let pins = self.pins_between(meta.least_seq, meta.greatest_seq) as u64;
        let kept = keys.saturating_mul(kept_of_key - 1 + pins);
        share(table.history_bytes(), meta.superseded.saturating_sub(kept), meta.superseded)
    }

    /// How many tombstones go, and of how many versions.
    fn tombstones(&self, level: usize, table: &Table, kept: &Kept) -> (u64, u64) {
        let meta = table.meta();
        // At the bottom, tombstones go only if nobody reads before them; above, they take what they hide along.
        let from = if level == BOTTOM { Seq::ZERO } else { meta.least_seq };
        if kept.tombstones || self.pins_between(from, meta.greatest_seq) > 0 {
            return (0, meta.entries);
        }
        let of_ranges = if level == BOTTOM { table.range_tombstones().weight() as u64 } else { 0 };
        (meta.tombstones + of_ranges, meta.entries + of_ranges)
    }

    /// The pins at which a version from `from` on can be seen, though there is a later one up to `to`.
    fn pins_between(&self, from: Seq, to: Seq) -> usize {
        let before = |seq: Seq| self.needed.pins.partition_point(|&pin| pin < seq);
        before(to).saturating_sub(before(from))
    }

    /// Bytes of tables in deeper levels of which nothing is left when the deletions of ranges in `table` get there.
    pub(super) fn covered_below(&self, level: usize, table: &Table) -> u64 {
        let fragments = table.range_tombstones().fragments().iter();
        fragments.map(|fragment| self.covered_by(fragment, level)).sum()
    }

    fn covered_by(&self, fragment: &Fragment, level: usize) -> u64 {
        let inside = |tables: &'a [Arc<Table>]| {
            let first = tables.partition_point(|table| *table.meta().smallest < *fragment.start);
            tables[first..].iter().take_while(|table| table.meta().ends_before(&fragment.end))
        };
        let below = (level + 1..LEVELS).flat_map(|level| inside(self.version.level(level)));
        below
            .map(|table| table.meta())
            .filter(|meta| self.is_hidden(meta, fragment))
            .map(|meta| meta.size)
            .sum()
    }

    /// Whether nobody needs what lies in a table behind one of the deletions of a range around it.
    fn is_hidden(&self, meta: &TableMeta, fragment: &Fragment) -> bool {
        let Some(&deletion) = fragment.seqs.iter().rev().find(|&&seq| seq > meta.greatest_seq) else {
            return false;
        };
        let is_over = |retention: Retention| match retention {
            Retention::Unbounded | Retention::Versions(_) | Retention::MaxAge(_) => false,
            Retention::LatestOnly | Retention::Since(_) => {
                retention.floor(self.needed.newest).is_some_and(|floor| deletion <= floor)
            }
        };
        self.pins_between(meta.least_seq, deletion) == 0
            && self.rules.over(&range_of(meta)).all(|(_, retention)| is_over(retention))
    }
}

/// The keys from the smallest to the largest of a table.
fn range_of(meta: &TableMeta) -> KeyRange {
    KeyRange { start: meta.smallest.to_vec(), end: Some([&meta.largest[..], &[0]].concat()) }
}

/// The part of `bytes` that `some` of `all` have.
fn share(bytes: u64, some: u64, all: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(some);
    u64::try_from(part.checked_div(u128::from(all)).unwrap_or(0)).unwrap_or(u64::MAX)
}
