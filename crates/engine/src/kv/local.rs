//! Storage in a directory of this machine: `fountain_lsm`.

use std::path::{Path, PathBuf};

use fountain_lsm::{
    Changes, Cursor, Db, Direction, Durability, KeyRange, Metrics, Options, Preview, RangeEstimate, ReadTier,
    RecoveryReport, Retention, Seq, SeqRange, Snapshot, Timestamp, Versions, WriteBatch,
};

use super::{Batch, KvCursor, KvPin, KvValue, KvVersions, OrderedKv, ShowInState};
use crate::error::{Error, Result};

/// A local store.
pub struct LocalKv {
    db: Db,
    path: PathBuf,
}

impl LocalKv {
    /// Opens the directory `path`: takes its lock and recovers what a crash left. Blocking.
    ///
    /// # Errors
    /// `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_CORRUPT`, `ERR_IO`,
    /// `ERR_DISK_FULL`.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        Ok(Self { db: Db::open(path, options)?, path: path.to_path_buf() })
    }

    /// As [`LocalKv::open`], but if a store is there that `check` refuses for what it holds of `keys`, nothing of it is changed.
    pub(crate) fn open_if(
        path: &Path,
        options: Options,
        keys: &KeyRange,
        check: impl FnOnce(&Preview) -> Result<()>,
    ) -> Result<Self> {
        Ok(Self { db: Db::open_if(path, options, keys, check)?, path: path.to_path_buf() })
    }
}

impl OrderedKv for LocalKv {
    fn commit_many(&self, batches: &[Batch], durability: Durability) -> Result<SeqRange> {
        if batches.is_empty() {
            return Err(Error::argument("there is nothing to commit"));
        }
        let batches = batches.iter().map(write_batch).collect::<Result<Vec<_>>>()?;
        Ok(self.db.commit_many(batches, durability)?)
    }

    fn get(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<KvValue>> {
        let value = match at {
            Some(seq) => self.db.get(key, seq, tier)?,
            None => self.db.get_newest(key, tier)?,
        };
        Ok(value.map(KvValue::Stored))
    }

    fn show(&self, key: &[u8], at: Option<Seq>, tier: ReadTier, show: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let Some(seq) = at else { return Ok(self.db.show_newest(key, tier, show)?) };
        let found = self.db.get(key, seq, tier)?;
        Ok(found.map(|value| show(&value)).is_some())
    }

    fn in_newest(&self, read: &mut dyn FnMut(&ShowInState<'_>) -> Result<()>) -> Result<()> {
        let state = self.db.newest()?;
        read(&|key, tier, show| Ok(state.show(key, tier, show)?))
    }

    fn get_with_seq(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<(Seq, KvValue)>> {
        let found = self.db.get_with_seq(key, at, tier)?;
        Ok(found.map(|(seq, value)| (seq, KvValue::Stored(value))))
    }

    fn get_many(&self, keys: &[Vec<u8>], at: Option<Seq>, tier: ReadTier) -> Result<Vec<Option<KvValue>>> {
        // Without a pin, what is newest now may be out of reach before it is read.
        let pin = if at.is_none() { Some(self.db.snapshot()) } else { None };
        let at = at.or(pin.as_ref().map(Snapshot::seq)).unwrap_or_default();
        let found = self.db.get_many(keys, at, tier)?;
        Ok(found.into_iter().map(|value| value.map(KvValue::Stored)).collect())
    }

    fn approach(&self, keys: &mut dyn Iterator<Item = &[u8]>) {
        self.db.approach(keys);
    }

    fn cursor(
        &self,
        range: KeyRange,
        at: Seq,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>> {
        Ok(Box::new(self.db.cursor(range, at, direction, tier)?))
    }

    fn versions(&self, key: &[u8], at: Seq) -> Result<Box<dyn KvVersions>> {
        let versions = self.db.versions(key, at, ReadTier::Disk)?;
        Ok(Box::new(KeyVersions { versions, key: key.to_vec() }))
    }

    fn changes(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        Ok(Box::new(self.db.changes_beside(range, whole, after, upto, ReadTier::Disk)?))
    }

    fn differences(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        Ok(Box::new(self.db.differences_beside(range, whole, after, upto, ReadTier::Disk)?))
    }

    fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        Ok(self.db.estimate(range)?)
    }

    fn seq_at(&self, millis: u64) -> Option<Seq> {
        self.db.seq_at(Timestamp::from_millis(millis)).map(|found| found.seq)
    }

    fn visible(&self) -> Seq {
        self.db.visible()
    }

    fn pin(&self, at: Option<Seq>) -> Result<Box<dyn KvPin>> {
        let snapshot = match at {
            Some(seq) => self.db.snapshot_at(seq)?,
            None => self.db.snapshot(),
        };
        Ok(Box::new(snapshot))
    }

    fn pin_over(&self, range: &KeyRange, at: Seq) -> Result<Box<dyn KvPin>> {
        Ok(Box::new(self.db.snapshot_over(range, at)?))
    }

    fn set_retention(&self, rules: &[(KeyRange, Retention)]) {
        if !rules.is_empty() {
            self.db.set_retentions(rules);
        }
    }

    fn flush(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn compact(&self) -> Result<()> {
        Ok(self.db.compact()?)
    }

    fn stop_compacting(&self) {
        self.db.stop_compacting();
    }

    fn poison(&self, cause: &str) {
        self.db.poison(cause);
    }

    fn metrics(&self) -> Metrics {
        self.db.metrics()
    }

    fn recovery(&self) -> &RecoveryReport {
        self.db.recovery()
    }

    fn identity(&self) -> [u8; 16] {
        self.db.store_id()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn close(&self) -> Result<()> {
        Ok(self.db.close()?)
    }
}

fn write_batch(batch: &Batch) -> Result<WriteBatch> {
    let operations = batch.ranges().len() + batch.len();
    let mut out = WriteBatch::with_capacity(operations, batch.size_bytes());
    for range in batch.ranges() {
        out.delete_range(range)?;
    }
    for (key, value) in batch.ops() {
        match value {
            Some(value) => out.put(key, value)?,
            None => out.delete(key)?,
        }
    }
    Ok(out)
}

impl KvCursor for Cursor {
    fn next(&mut self) -> Result<bool> {
        Ok(Cursor::next(self)?)
    }

    fn key(&self) -> &[u8] {
        Cursor::key(self)
    }

    fn value(&self) -> &[u8] {
        Cursor::value(self)
    }
}

/// The versions of one key.
struct KeyVersions {
    versions: Versions,
    key: Vec<u8>,
}

impl KvVersions for KeyVersions {
    fn next(&mut self) -> Result<bool> {
        Ok(self.versions.next()?)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn seq(&self) -> Seq {
        self.versions.seq()
    }

    fn value(&self) -> Option<&[u8]> {
        self.versions.value()
    }
}

impl KvVersions for Changes {
    fn next(&mut self) -> Result<bool> {
        Ok(Changes::next(self)?)
    }

    fn key(&self) -> &[u8] {
        Changes::key(self)
    }

    fn seq(&self) -> Seq {
        Changes::seq(self)
    }

    fn value(&self) -> Option<&[u8]> {
        Changes::value(self)
    }
}

impl KvPin for Snapshot {
    fn seq(&self) -> Seq {
        Snapshot::seq(self)
    }
}
