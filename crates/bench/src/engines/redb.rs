//! redb: a copy-on-write B+tree in Rust.

use std::path::Path;

use redb::{
    Database, Durability, Range, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use super::{Config, Engine, Reader, SeeRecord, SeeValue, Sync};
use crate::Outcome;
use crate::keys::Key;

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

struct Redb {
    db: Database,
    durability: Durability,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let db = Database::builder().set_cache_size(config.cache_bytes).create(dir.join("data.redb"))?;
    let txn = db.begin_write()?;
    txn.open_table(RECORDS)?;
    txn.commit()?;
    let durability = match config.sync {
        Sync::Os => Durability::None,
        Sync::Disk => Durability::Immediate,
    };
    Ok(Box::new(Redb { db, durability }))
}

impl Redb {
    fn begin(&self) -> Outcome<WriteTransaction> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(self.durability)?;
        Ok(txn)
    }
}

impl Engine for Redb {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let txn = self.begin()?;
        txn.open_table(RECORDS)?.insert(&key[..], value)?;
        Ok(txn.commit()?)
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        let txn = self.begin()?;
        txn.open_table(RECORDS)?.remove(&key[..])?;
        Ok(txn.commit()?)
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let txn = self.begin()?;
        let mut table = txn.open_table(RECORDS)?;
        for (key, value) in puts {
            table.insert(&key[..], value.as_slice())?;
        }
        drop(table);
        Ok(txn.commit()?)
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(RedbReader { db: &self.db, table: table(&self.db)? }))
    }

    fn flush(&self) -> Outcome<()> {
        // A durable commit takes all commits before it along.
        Ok(self.db.begin_write()?.commit()?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.flush()?;
        Ok(self.db.close()?)
    }
}

fn table(db: &Database) -> Outcome<ReadOnlyTable<&'static [u8], &'static [u8]>> {
    Ok(db.begin_read()?.open_table(RECORDS)?)
}

struct RedbReader<'a> {
    db: &'a Database,
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl RedbReader<'_> {
    fn all(&self) -> Outcome<Range<'_, &'static [u8], &'static [u8]>> {
        Ok(self.table.iter()?)
    }
}

impl Reader for RedbReader<'_> {
    fn refresh(&mut self) -> Outcome<()> {
        self.table = table(self.db)?;
        Ok(())
    }

    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool> {
        match self.table.get(&key[..])? {
            Some(value) => see(value.value()).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()> {
        let records = match from {
            Some(key) => self.table.range(&key[..]..)?,
            None => self.all()?,
        };
        for record in records {
            let (key, value) = record?;
            if !see(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, see: SeeRecord) -> Outcome<()> {
        for record in self.all()?.rev() {
            let (key, value) = record?;
            if !see(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }
}
