//! RocksDB through `rust-rocksdb`: the log-structured tree that others are measured by.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, Options, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};

use super::{BACKGROUND_THREADS, Compression, Config, Engine, Reader, SeeRecord, SeeValue, Sync};
use crate::Outcome;
use crate::keys::Key;

/// Filter bits per key: as many as in our tables.
const FILTER_BITS: f64 = 10.0;

struct Rocks {
    db: DB,
    write: WriteOptions,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&Cache::new_lru_cache(config.cache_bytes));
    tables.set_bloom_filter(FILTER_BITS, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&tables);
    options.set_write_buffer_size(config.memtable_bytes);
    // One that is written to and three that wait, as ours.
    options.set_max_write_buffer_number(4);
    options.set_max_background_jobs(BACKGROUND_THREADS.into());
    options.set_compression_type(match config.compression {
        Compression::None => DBCompressionType::None,
        Compression::Lz4 => DBCompressionType::Lz4,
    });
    let mut write = WriteOptions::default();
    write.set_sync(config.sync == Sync::Disk);
    Ok(Box::new(Rocks { db: DB::open(&options, dir)?, write }))
}

impl Engine for Rocks {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        Ok(self.db.delete_opt(key, &self.write)?)
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in puts {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(RocksReader(&self.db)))
    }

    fn flush(&self) -> Outcome<()> {
        self.db.flush()?;
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.db.flush_wal(true)?)
    }
}

struct RocksReader<'a>(&'a DB);

impl RocksReader<'_> {
    fn walk<'b>(
        mut records: DBRawIterator<'b>,
        step: fn(&mut DBRawIterator<'b>),
        see: SeeRecord,
    ) -> Outcome<()> {
        while let Some((key, value)) = records.item() {
            if !see(key, value)? {
                return Ok(());
            }
            step(&mut records);
        }
        Ok(records.status()?)
    }
}

impl Reader for RocksReader<'_> {
    fn refresh(&mut self) -> Outcome<()> {
        Ok(())
    }

    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool> {
        match self.0.get_pinned(key)? {
            Some(value) => see(&value).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()> {
        let mut records = self.0.raw_iterator();
        match from {
            Some(key) => records.seek(key),
            None => records.seek_to_first(),
        }
        Self::walk(records, DBRawIterator::next, see)
    }

    fn scan_back(&self, see: SeeRecord) -> Outcome<()> {
        let mut records = self.0.raw_iterator();
        records.seek_to_last();
        Self::walk(records, DBRawIterator::prev, see)
    }
}
