//! LMDB through `heed`: a copy-on-write B+tree that is read where the operating system has mapped it.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithTls};

use super::{Config, Engine, Reader, SeeRecord, SeeValue, Sync};
use crate::Outcome;
use crate::keys::Key;

/// Address space for the map; the file grows only as it is written.
const MAP_BYTES: usize = 64 << 30;

type Records = Database<'static, Bytes, Bytes>;

struct Lmdb {
    env: Env,
    records: Records,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let env = open_env(dir, config.sync)?;
    let records = env
        .create_databases_and_commit(env.write_txn()?, |opener, txn| {
            opener.create_database(txn, None).map(CommitOrAbort::<_, ()>::Commit)
        })?
        .unwrap_commit();
    Ok(Box::new(Lmdb { env, records }))
}

#[expect(
    unsafe_code,
    reason = "LMDB maps its file: nobody else may change it, and its directory is ours alone"
)]
fn open_env(dir: &Path, sync: Sync) -> Outcome<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES);
    if sync == Sync::Os {
        // SAFETY: without syncs only a crash of the machine can damage the store, and no run goes on after one.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: each run has a fresh directory and opens it once.
    Ok(unsafe { options.open(dir)? })
}

impl Engine for Lmdb {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        self.records.put(&mut txn, key, value)?;
        Ok(txn.commit()?)
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        self.records.delete(&mut txn, key)?;
        Ok(txn.commit()?)
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in puts {
            self.records.put(&mut txn, key, value)?;
        }
        Ok(txn.commit()?)
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(LmdbReader { engine: self, txn: Some(self.env.read_txn()?) }))
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.env.force_sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

struct LmdbReader<'a> {
    engine: &'a Lmdb,
    /// Always there between calls.
    txn: Option<RoTxn<'a, WithTls>>,
}

impl LmdbReader<'_> {
    fn txn(&self) -> Outcome<&RoTxn<'_, WithTls>> {
        self.txn.as_ref().ok_or_else(|| "the last refresh failed".into())
    }
}

impl Reader for LmdbReader<'_> {
    fn refresh(&mut self) -> Outcome<()> {
        // A thread has one slot for a read transaction, so the old one goes first.
        self.txn = None;
        self.txn = Some(self.engine.env.read_txn()?);
        Ok(())
    }

    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool> {
        match self.engine.records.get(self.txn()?, key)? {
            Some(value) => see(value).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()> {
        let first = from.map_or(Bound::Unbounded, |key| Bound::Included(&key[..]));
        for record in self.engine.records.range(self.txn()?, &(first, Bound::Unbounded))? {
            let (key, value) = record?;
            if !see(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, see: SeeRecord) -> Outcome<()> {
        for record in self.engine.records.rev_iter(self.txn()?)? {
            let (key, value) = record?;
            if !see(key, value)? {
                break;
            }
        }
        Ok(())
    }
}
