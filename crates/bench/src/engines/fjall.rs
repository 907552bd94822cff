//! fjall: a log-structured tree in Rust.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{BACKGROUND_THREADS, Compression, Config, Engine, Reader, SeeRecord, SeeValue, Sync};
use crate::Outcome;
use crate::keys::Key;

struct Fjall {
    db: Database,
    records: Keyspace,
    sync: Sync,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let db = Database::builder(dir)
        .cache_size(config.cache_bytes as u64)
        .worker_threads(BACKGROUND_THREADS.into())
        .journal_compression(CompressionType::None)
        .open()?;
    let compression = match config.compression {
        Compression::None => CompressionPolicy::disabled(),
        Compression::Lz4 => {
            CompressionPolicy::new([CompressionType::None, CompressionType::None, CompressionType::Lz4])
        }
    };
    let records = db.keyspace("records", || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(config.memtable_bytes as u64)
            .data_block_compression_policy(compression)
    })?;
    Ok(Box::new(Fjall { db, records, sync: config.sync }))
}

impl Fjall {
    /// A write has reached the operating system when the call returns; the disk has it only after this.
    fn persist(&self) -> Outcome<()> {
        if self.sync == Sync::Disk {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Engine for Fjall {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.records.insert(&key[..], value)?;
        self.persist()
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        self.records.remove(&key[..])?;
        self.persist()
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let mode = match self.sync {
            Sync::Os => PersistMode::Buffer,
            Sync::Disk => PersistMode::SyncData,
        };
        let mut batch = self.db.batch().durability(Some(mode));
        for (key, value) in puts {
            batch.insert(&self.records, &key[..], value.as_slice());
        }
        batch.commit()?;
        Ok(())
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(FjallReader(&self.records)))
    }

    fn flush(&self) -> Outcome<()> {
        self.records.rotate_memtable_and_wait()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.db.persist(PersistMode::SyncAll)?;
        Ok(())
    }
}

struct FjallReader<'a>(&'a Keyspace);

impl FjallReader<'_> {
    fn walk(records: impl Iterator<Item = fjall::Guard>, see: SeeRecord) -> Outcome<()> {
        for record in records {
            let (key, value) = record.into_inner()?;
            if !see(&key, &value)? {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for FjallReader<'_> {
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
