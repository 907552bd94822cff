//! sled: a lock-free B+tree over a log in Rust.

use std::path::Path;

use sled::{Batch, Db, IVec};

use super::{Config, Engine, Reader, SeeRecord, SeeValue, Sync};
use crate::Outcome;
use crate::keys::Key;

struct Sled {
    db: Db,
    sync: Sync,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let db = sled::Config::new()
        .path(dir)
        .cache_capacity(config.cache_bytes as u64)
        .flush_every_ms(None)
        .open()?;
    Ok(Box::new(Sled { db, sync: config.sync }))
}

impl Sled {
    fn persist(&self) -> Outcome<()> {
        if self.sync == Sync::Disk {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Engine for Sled {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.db.insert(key, value)?;
        self.persist()
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.db.remove(key)?;
        self.persist()
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let mut batch = Batch::default();
        for (key, value) in puts {
            batch.insert(&key[..], value.as_slice());
        }
        self.db.apply_batch(batch)?;
        self.persist()
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(SledReader(&self.db)))
    }

    fn flush(&self) -> Outcome<()> {
        self.db.flush()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.flush()
    }
}

struct SledReader<'a>(&'a Db);

impl SledReader<'_> {
    fn walk(records: impl Iterator<Item = sled::Result<(IVec, IVec)>>, see: SeeRecord) -> Outcome<()> {
        for record in records {
            let (key, value) = record?;
            if !see(&key, &value)? {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for SledReader<'_> {
    fn refresh(&mut self) -> Outcome<()> {
        Ok(())
    }

    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool> {
        match self.0.get(key)? {
            Some(value) => see(&value).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()> {
        match from {
            Some(key) => Self::walk(self.0.range(&key[..]..), see),
            None => Self::walk(self.0.iter(), see),
        }
    }

    fn scan_back(&self, see: SeeRecord) -> Outcome<()> {
        Self::walk(self.0.iter().rev(), see)
    }
}
