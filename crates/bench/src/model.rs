//! What a store must hold: the generation of each record, kept beside the engine and compared with its answers.

use crate::Outcome;
use crate::engines::Engine;
use crate::values::Values;

/// Generation of each record by id; 0 is none.
pub struct Model {
    generations: Vec<u32>,
    live: u64,
}

impl Model {
    /// No records, with room for ids below `ids`.
    pub fn empty(ids: u64) -> Self {
        Self { generations: vec![0; ids as usize], live: 0 }
    }

    /// Records with all ids below `ids`, in generation 1.
    pub fn loaded(ids: u64) -> Self {
        Self { generations: vec![1; ids as usize], live: ids }
    }

    /// Number of records.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Notes a write of record `id` and gives its generation.
    pub fn put(&mut self, id: u64) -> u64 {
        if self.generations.len() <= id as usize {
            self.generations.resize(id as usize + 1, 0);
        }
        let generation = &mut self.generations[id as usize];
        self.live += u64::from(*generation == 0);
        *generation += 1;
        u64::from(*generation)
    }

    /// Notes a deletion of record `id`.
    pub fn delete(&mut self, id: u64) {
        self.live -= u64::from(self.generations[id as usize] != 0);
        self.generations[id as usize] = 0;
    }

    /// Checks that `generation` is what a read of record `id` must find.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, id: u64, generation: u64) -> Outcome<()> {
        let expected = self.generations.get(id as usize).copied().unwrap_or(0);
        if u64::from(expected) == generation {
            return Ok(());
        }
        Err(format!("record {id} is in generation {generation}, but {expected} was written last").into())
    }

    /// Checks by one scan that `engine` holds exactly these records.
    ///
    /// # Errors
    /// When a record is missing, too many, old, damaged or out of order.
    pub fn check_all(&self, engine: &dyn Engine, values: &Values) -> Outcome<()> {
        let mut reader = engine.reader()?;
        reader.refresh()?;
        let mut next = 0;
        let mut count = 0;
        reader.scan(None, &mut |key, value| {
            let (id, generation) = values.check_record(key, value)?;
            if id < next {
                return Err(format!("record {id} comes after one with a larger key").into());
            }
            next = id + 1;
            count += 1;
            self.check(id, generation)?;
            Ok(true)
        })?;
        if count != self.live {
            return Err(format!("a scan gives {count} records where {} were written", self.live).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::{Compression, Config, Keep, Kind, MEMTABLE_BYTES, Sync};
    use crate::keys;

    #[test]
    fn a_store_that_differs_from_the_model_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            cache_bytes: 8 << 20,
            compression: Compression::None,
            sync: Sync::Os,
            keep: Keep::Newest,
            memtable_bytes: MEMTABLE_BYTES,
        };
        let engine = Kind::ALL[0].open(dir.path(), &config).unwrap();
        let values = Values::new(50, false);
        let mut model = Model::empty(10);
        let mut value = Vec::new();
        for id in [3, 1, 3, 7] {
            values.write(id, model.put(id), &mut value);
            engine.put(&keys::present(id), &value).unwrap();
        }
        model.check_all(&*engine, &values).unwrap();

        let error = |engine| model.check_all(engine, &values).unwrap_err().to_string();
        engine.delete(&keys::present(1)).unwrap();
        assert!(error(&*engine).contains("2 records where 3"));
        values.write(1, 2, &mut value);
        engine.put(&keys::present(1), &value).unwrap();
        assert!(error(&*engine).contains("generation 2, but 1"));
        values.write(2, 1, &mut value);
        engine.put(&keys::present(1), &value).unwrap();
        assert!(error(&*engine).contains("lies under the key"));
        engine.close().unwrap();
    }
}
