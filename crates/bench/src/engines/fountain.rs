//! Ours: `fountain-lsm` used directly.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fountain_lsm::{
    Clock, Db, Direction, Durability, KeyRange, ManualClock, Options, ReadTier, Retention, Seq, SystemClock,
    WriteBatch,
};

use super::{Compression, Config, Engine, Keep, Reader, SeeRecord, SeeValue, Sync, Versions};
use crate::Outcome;
use crate::keys::Key;

/// What a batch takes on a clock that goes by them.
const BATCH_TIME: Duration = Duration::from_secs(1);

struct Fountain {
    db: Db,
    durability: Durability,
    /// Set on with every batch, where time is to be told by commits.
    clock: Option<Arc<ManualClock>>,
}

pub(super) fn open(dir: &Path, config: &Config) -> Outcome<Box<dyn Engine>> {
    let clock = (config.keep == Keep::Timed).then(|| Arc::new(ManualClock::new(SystemClock.now())));
    let ten = NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN);
    let options = Options {
        cache_bytes: config.cache_bytes,
        memtable_bytes: config.memtable_bytes,
        compression: match config.compression {
            Compression::None => fountain_lsm::Compression::None,
            Compression::Lz4 => fountain_lsm::Compression::Lz4,
        },
        retention: match config.keep {
            Keep::Newest => Retention::LatestOnly,
            Keep::LastTen => Retention::Versions(ten),
            Keep::All | Keep::Timed => Retention::Unbounded,
        },
        ..Options::default()
    };
    let options = match &clock {
        Some(clock) => Options { clock: Arc::clone(clock) as _, ..options },
        None => options,
    };
    let durability = match config.sync {
        Sync::Os => Durability::Os,
        Sync::Disk => Durability::Disk,
    };
    Ok(Box::new(Fountain { db: Db::open(dir, options)?, durability, clock }))
}

impl Engine for Fountain {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let mut batch = WriteBatch::new();
        batch.put(key, value)?;
        self.db.commit(batch, self.durability)?;
        Ok(())
    }

    fn delete(&self, key: &Key) -> Outcome<()> {
        let mut batch = WriteBatch::new();
        batch.delete(key)?;
        self.db.commit(batch, self.durability)?;
        Ok(())
    }

    fn batch(&self, puts: &[(Key, Vec<u8>)]) -> Outcome<()> {
        let mut batch = WriteBatch::new();
        for (key, value) in puts {
            batch.put(key, value)?;
        }
        if let Some(clock) = &self.clock {
            clock.advance(BATCH_TIME);
        }
        self.db.commit(batch, self.durability)?;
        Ok(())
    }

    fn reader(&self) -> Outcome<Box<dyn Reader + '_>> {
        Ok(Box::new(FountainReader(&self.db)))
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.db.flush()?)
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.db.close()?)
    }
}

impl Versions for Fountain {
    fn now(&self) -> u64 {
        self.db.visible().get()
    }

    fn get_at(&self, key: &Key, at: u64, see: SeeValue) -> Outcome<bool> {
        let at = Seq::new(at).ok_or("a point in time beyond the last possible one")?;
        match self.db.get(key, at, ReadTier::Disk)? {
            Some(value) => see(&value).map(|()| true),
            None => Ok(false),
        }
    }

    fn keep_since(&self, at: u64) -> Outcome<()> {
        let at = Seq::new(at).ok_or("a point in time beyond the last possible one")?;
        self.db.set_retention(&KeyRange::default(), Retention::Since(at));
        Ok(())
    }

    fn keep_young(&self, batches: u64) -> Outcome<()> {
        let age = BATCH_TIME * u32::try_from(batches)?;
        self.db.set_retention(&KeyRange::default(), Retention::MaxAge(age));
        Ok(())
    }

    fn compact(&self) -> Outcome<()> {
        Ok(self.db.compact()?)
    }
}

struct FountainReader<'a>(&'a Db);

impl FountainReader<'_> {
    fn walk(&self, start: Vec<u8>, direction: Direction, see: SeeRecord) -> Outcome<()> {
        let range = KeyRange { start, end: None };
        let mut cursor = self.0.cursor(range, self.0.visible(), direction, ReadTier::Disk)?;
        while cursor.next()? {
            if !see(cursor.key(), cursor.value())? {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for FountainReader<'_> {
    fn refresh(&mut self) -> Outcome<()> {
        Ok(())
    }

    fn get(&self, key: &Key, see: SeeValue) -> Outcome<bool> {
        match self.0.get_newest(key, ReadTier::Disk)? {
            Some(value) => see(&value).map(|()| true),
            None => Ok(false),
        }
    }

    fn scan(&self, from: Option<&Key>, see: SeeRecord) -> Outcome<()> {
        let start = from.map_or_else(Vec::new, |key| key.to_vec());
        self.walk(start, Direction::Forward, see)
    }

    fn scan_back(&self, see: SeeRecord) -> Outcome<()> {
        self.walk(Vec::new(), Direction::Reverse, see)
    }
}
