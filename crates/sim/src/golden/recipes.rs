//! The stores, one for each way in which a store can lie on its disk. Each has a few kilobytes, so that every byte of it
//! can be damaged in turn.
//!
//! Not among them: an index of two levels, which takes more than a megabyte.

use fountain_lsm::{Compression, Durability, KeyRange, Options, Retention};

use super::maker::{Base, Maker};
use super::truth::Change;
use crate::Outcome;
use crate::random::Random;

/// One of the stores.
pub struct Recipe {
    /// What it is called; also the name of its directory.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    make: fn(&str) -> Outcome<Base>,
}

impl Recipe {
    /// Makes the store.
    ///
    /// # Errors
    /// When the engine refuses something.
    pub fn make(&self) -> Outcome<Base> {
        (self.make)(self.name)
    }
}

/// The recipe with a name.
pub fn named(name: &str) -> Option<&'static Recipe> {
    RECIPES.iter().find(|recipe| recipe.name == name)
}

/// All stores.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "empty", about: "created and closed; nothing was ever committed", make: empty },
    Recipe { name: "clean", about: "tables in two levels, closed in good order", make: clean },
    Recipe { name: "unclean", about: "a table, and synced commits in the log", make: unclean },
    Recipe { name: "groups", about: "commits that were synced in groups, never flushed", make: groups },
    Recipe { name: "segments", about: "a log of several segments, never flushed", make: segments },
    Recipe { name: "history", about: "many versions of few keys, in blocks of their own", make: history },
    Recipe { name: "ranges", about: "deleted ranges, in tables and in the log", make: ranges },
    Recipe { name: "compressed", about: "tables compressed with LZ4, closed", make: compressed },
    Recipe { name: "checkpoint", about: "a checkpoint of an open store", make: checkpoint },
    Recipe { name: "ingested", about: "a bulk ingest was the last thing before the close", make: ingested },
    Recipe {
        name: "latest",
        about: "old versions were dropped, and the history floors say so",
        make: latest,
    },
    Recipe { name: "recovered", about: "killed, opened again, written to and killed again", make: recovered },
];

fn key(number: usize) -> String {
    format!("user/{number:04}")
}

/// A value that does not compress.
fn noise(seed: usize, len: usize) -> String {
    let mut random = Random::nth(0x601D, seed as u64);
    (0..len).map(|_| char::from(b'!' + random.below(90) as u8)).collect()
}

fn empty(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(1, |_| {})?;
    maker.close()?;
    Ok(maker.finish(name))
}

fn clean(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(2, |_| {})?;
    for number in 0..16 {
        maker.put(&key(number), &noise(number, 40))?;
    }
    maker.remember();
    maker.compact()?;
    for number in 6..12 {
        maker.put(&key(number * 2), &noise(number + 100, 30))?;
    }
    maker.delete(&key(3))?;
    maker.flush()?;
    maker.remember();
    maker.put("zebra", "last")?;
    maker.close()?;
    Ok(maker.finish(name))
}

fn unclean(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(3, |_| {})?;
    for number in 0..8 {
        maker.put(&key(number), &noise(number, 40))?;
    }
    maker.flush()?;
    maker.remember();
    for number in 4..12 {
        maker.put(&key(number), &noise(number + 100, 30))?;
        if number == 8 {
            maker.remember();
        }
    }
    maker.delete(&key(2))?;
    Ok(maker.finish(name))
}

fn groups(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(4, |_| {})?;
    for number in 0..15 {
        let durability = if number % 4 == 3 { Durability::Disk } else { Durability::Os };
        let changes = vec![
            Change::Put(key(number).into(), noise(number, 20).into()),
            Change::Put(b"count".to_vec(), number.to_string().into()),
        ];
        maker.commit(changes, durability)?;
        maker.wait(1);
    }
    Ok(maker.finish(name))
}

fn segments(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(5, |options| options.wal_segment_bytes = 400)?;
    for number in 0..14 {
        maker.put(&key(number % 5), &noise(number, 60))?;
        if number % 5 == 4 {
            maker.remember();
        }
    }
    Ok(maker.finish(name))
}

fn history(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(6, |options| options.table_bytes = 64 << 10)?;
    for round in 0..14 {
        for number in 0..6 {
            maker.commit(
                vec![Change::Put(key(number).into(), noise(round * 10 + number, 110).into())],
                Durability::Os,
            )?;
        }
        if round == 7 {
            maker.delete(&key(1))?;
            maker.flush()?;
        }
    }
    maker.compact()?;
    maker.close()?;
    Ok(maker.finish(name))
}

fn ranges(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(7, |_| {})?;
    for number in 0..12 {
        maker.put(&key(number), &noise(number, 20))?;
    }
    maker.delete_range(&key(2), &key(5))?;
    maker.flush()?;
    maker.put(&key(3), "again")?;
    maker.delete_range(&key(8), &key(30))?;
    maker.flush()?;
    maker.commit(
        vec![
            Change::DeleteRange(key(0).into(), key(2).into()),
            Change::Put(key(1).into(), b"after".to_vec()),
        ],
        Durability::Disk,
    )?;
    maker.put("other", "1")?;
    maker.put("other", "2")?;
    Ok(maker.finish(name))
}

fn compressed(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(8, |options| options.compression = Compression::Lz4)?;
    for number in 0..150 {
        let value = format!("{{\"name\":\"{number}\",\"tags\":[\"one\",\"two\",\"three\"],\"ok\":true}}");
        maker.commit(vec![Change::Put(key(number).into(), value.into())], Durability::Os)?;
    }
    maker.compact()?;
    maker.close()?;
    Ok(maker.finish(name))
}

fn checkpoint(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(9, |_| {})?;
    for number in 0..10 {
        maker.put(&key(number), &noise(number, 40))?;
    }
    maker.flush()?;
    for number in 5..15 {
        maker.put(&key(number), &noise(number + 50, 20))?;
    }
    maker.checkpoint(name)
}

fn ingested(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(10, |_| {})?;
    for number in 0..6 {
        maker.put(&key(number), &noise(number, 40))?;
    }
    maker.remember();
    let records: Vec<_> = (3..20).map(|number| (key(number), noise(number + 70, 20))).collect();
    maker.ingest(&records)?;
    maker.close()?;
    Ok(maker.finish(name))
}

fn latest(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(11, |options: &mut Options| options.retention = Retention::LatestOnly)?;
    for round in 0..3 {
        for number in 0..8 {
            maker.put(&key(number), &noise(round * 10 + number, 25))?;
        }
    }
    maker.delete(&key(4))?;
    maker.compact()?;
    maker.put(&key(5), "newer")?;
    // What is put after the floor keeps its history from here on.
    maker.db()?.set_retention(&KeyRange::default(), Retention::Unbounded);
    maker.flush()?;
    maker.truth.floor = maker.db()?.history_floor().get();
    maker.put(&key(5), "newest")?;
    maker.put(&key(6), "newest")?;
    Ok(maker.finish(name))
}

fn recovered(name: &str) -> Outcome<Base> {
    let mut maker = Maker::new(12, |_| {})?;
    for number in 0..7 {
        maker.put(&key(number), &noise(number, 30))?;
    }
    maker.remember();
    maker.kill()?;
    maker.remember();
    for number in 4..10 {
        maker.put(&key(number), &noise(number + 20, 30))?;
    }
    Ok(maker.finish(name))
}
